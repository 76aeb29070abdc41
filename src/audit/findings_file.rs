//! The file that findings outlive the process in: `findings_file`.
//!
//! It is written every half minute if something has changed, within a moment of an ACK or a RESET,
//! and when the process ends. A file that cannot be read as it has to be is put aside, never
//! overwritten.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::findings::Findings;
use super::kept::{self, Kept};
use super::replace::replace;
use crate::lint::policy::Policy;

/// Longest file, in bytes.
const LONGEST: usize = 64 << 20;
/// How often it is written.
const EVERY: Duration = Duration::from_secs(30);
/// Damaged files that are put aside under names of their own.
const MOST_BAD: usize = 10;

/// See the module.
#[derive(Debug)]
pub struct FindingsFile {
    path: PathBuf,
    /// Nothing is written over a file that could be neither read nor put aside.
    usable: bool,
    /// When it was last written, or would have been.
    tried: Instant,
    /// What is in it: the revision of the findings, and the policy of then.
    written: Option<(u64, Arc<Policy>)>,
    /// Writing it failed the last time.
    failed: bool,
}

/// What became of a file at the start.
enum Found {
    Nothing,
    Text(Vec<u8>),
    TooLong,
}

impl FindingsFile {
    /// Reads a file. One that is not there holds nothing; neither does one that is damaged, which is
    /// told in the log.
    #[must_use]
    pub fn open(path: &Path) -> (Self, Kept) {
        let shown = path.display();
        let mut file = Self {
            path: path.to_owned(),
            usable: true,
            tried: Instant::now(),
            written: None,
            failed: false,
        };
        let kept = match load(path) {
            Ok(Found::Nothing) => Ok(Kept::default()),
            Ok(Found::TooLong) => Err(format!("{shown}: it is longer than 64 MB")),
            Ok(Found::Text(bytes)) => {
                parse(&bytes).map_err(|(line, what)| format!("{shown}:{line}: {what}"))
            }
            Err(error) => {
                file.usable = false;
                tracing::error!(
                    "findings of before are not known, and none will be kept: {shown}: {error}; make it a file that this user can read and write, and restart"
                );
                Ok(Kept::default())
            }
        };
        let kept = kept.unwrap_or_else(|what| {
            file.put_aside(&what);
            Kept::default()
        });
        if kept.unknown > 0 {
            tracing::warn!(
                "{shown}: {} findings are of rules that this pgweir does not have; they are left out",
                kept.unknown
            );
        }
        (file, kept)
    }

    /// Gives a damaged file another name.
    fn put_aside(&mut self, what: &str) {
        let name = |n: usize| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(match n {
                0 => ".bad".to_owned(),
                n => format!(".bad.{n}"),
            });
            PathBuf::from(name)
        };
        let free = (0..MOST_BAD).map(name).find(|path| !path.exists());
        let moved = match &free {
            Some(to) => std::fs::rename(&self.path, to).map_err(|error| error.to_string()),
            None => Err(format!("there are {MOST_BAD} damaged ones already")),
        };
        match (moved, free) {
            (Ok(()), Some(to)) => tracing::error!(
                "the file of findings is damaged: {what}; pgweir starts without findings. The file is now {}: mend it and rename it back while pgweir is stopped, or delete it",
                to.display()
            ),
            (error, _) => {
                self.usable = false;
                tracing::error!(
                    "the file of findings is damaged: {what}; it cannot be put aside ({}), and no findings will be kept. Move it away and restart",
                    error.err().unwrap_or_default()
                );
            }
        }
    }

    /// Writes it if something has changed and it is time, or `now_in_any_case`.
    pub fn save(
        &mut self,
        findings: &Mutex<Findings>,
        policy: &Arc<Policy>,
        now_in_any_case: bool,
    ) {
        if !self.usable {
            return;
        }
        let (revision, commanded) = findings.lock().revision();
        let known = self.written.as_ref();
        let same_rules = known.is_some_and(|(_, then)| then.changed == policy.changed);
        if same_rules && known.is_some_and(|(then, _)| *then == revision) {
            return;
        }
        let asked = !same_rules || known.is_none_or(|(then, _)| *then < commanded);
        let due = self.tried.elapsed() >= EVERY || (asked && !self.failed);
        if !due && !now_in_any_case {
            return;
        }
        self.tried = Instant::now();
        let (text, left_out, revision) = {
            let findings = findings.lock();
            let (text, left_out) = kept::write(&findings.all(), &policy.changed, LONGEST);
            (text, left_out, findings.revision().0)
        };
        match replace(&self.path, &text) {
            Ok(()) => {
                self.written = Some((revision, policy.clone()));
                self.failed = false;
                if left_out > 0 {
                    tracing::warn!(
                        "{}: {left_out} findings are not in it, for which it has no room",
                        self.path.display()
                    );
                }
            }
            Err(error) => {
                self.failed = true;
                tracing::error!(path = %self.path.display(), %error, "findings cannot be written to their file");
            }
        }
    }
}

/// The bytes of a file. Anything else than a file is not opened: reading from it might never end.
fn load(path: &Path) -> std::io::Result<Found> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
        Ok(of) if !of.is_file() => return Err(std::io::Error::other("it is no regular file")),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(match bytes.len() > LONGEST {
        true => Found::TooLong,
        false => Found::Text(bytes),
    })
}

fn parse(bytes: &[u8]) -> Result<Kept, (usize, String)> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        (line, "it is no UTF-8".to_owned())
    })?;
    kept::read(text)
}

#[cfg(test)]
mod tests;
