//! The audit trail: who ran what, when, and how it ended, one JSON line each, in files.
//!
//! Lines hold no literal of any statement: the normalised text, names, numbers. Files are made with
//! mode 0600, renamed when they are full or old, and chained ([`super::chain`]).

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value, json};

use super::chain::{self, Key, Link};
use super::observer::Report;
use super::policy::{Effective, Policy};
use crate::calendar;
use crate::lint::observe::{Block, Event, Execution, Subject};
use crate::sql::{self, Lexing};

/// Longest normalised text in a line, in bytes.
const LONGEST_TEXT: usize = 4096;

/// How the files are kept.
#[derive(Clone, Debug)]
pub struct TrailSettings {
    /// The file that is written to.
    pub path: PathBuf,
    /// Size in bytes at which a new file is begun; 0 for none.
    pub max_bytes: u64,
    /// Age at which a new file is begun; zero for none.
    pub max_age: Duration,
    /// What the chain is made with.
    pub key: Option<Key>,
    /// What cannot be written waits for the disk, however long that takes; else it is lost.
    pub wait: bool,
}

/// Bytes that wait for the disk, at most; one line may go beyond.
const MOST_PENDING: usize = 8 << 20;
/// How long a trail that loses nothing waits until it tries the disk again.
const AGAIN: Duration = Duration::from_millis(200);
/// From this many bytes on a batch is written before its end.
const CHUNK: usize = 256 << 10;

/// An open file of the trail.
pub struct Trail {
    settings: TrailSettings,
    file: File,
    /// Lines that the file does not have yet, perhaps without the front of the first one.
    pending: Vec<u8>,
    link: Link,
    bytes: u64,
    opened: SystemTime,
    lines: u64,
    failed: u64,
    /// Lines and reports that were lost, and of how many the trail itself tells.
    lost: (u64, u64),
    /// The end of the process: nobody waits for the disk any more.
    ending: bool,
    policy: Policy,
    /// What the policy says of the last client: reports come in runs.
    last: Option<(Arc<Subject>, Effective)>,
    /// Statements that the policy covered.
    covered: u64,
}

impl Trail {
    /// Opens the file, or goes on with it if there is one: its chain is read first.
    ///
    /// # Errors
    /// The file cannot be read or written, or its chain is broken; it is left as it is.
    pub fn open(settings: TrailSettings, policy: Policy) -> std::io::Result<Self> {
        let torn = cut_torn(&settings.path)?;
        let link = match File::open(&settings.path) {
            Ok(file) if file.metadata()?.len() > 0 => {
                let checked = chain::verify(BufReader::new(file), None, settings.key.as_ref());
                checked
                    .map_err(|broken| {
                        std::io::Error::other(format!(
                            "{}: {broken}; move the file away to begin a new one",
                            settings.path.display()
                        ))
                    })?
                    .last
            }
            Ok(_) => chain::START,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => chain::START,
            Err(error) => return Err(error),
        };
        let (file, bytes) = append(&settings.path)?;
        let mut trail = Self {
            settings,
            file,
            pending: Vec::new(),
            link,
            bytes,
            opened: SystemTime::now(),
            lines: 0,
            failed: 0,
            lost: (0, 0),
            ending: false,
            policy,
            last: None,
            covered: 0,
        };
        if bytes == 0 {
            trail.begin();
        }
        if let Some(torn) = torn {
            tracing::warn!(path = %trail.settings.path.display(), bytes = torn.len(), "the last line of the audit trail was cut short, by a crash or a full disk; what there is of it is kept in a line of its own");
            let mut fields = Map::new();
            fields.insert("event".into(), "torn".into());
            fields.insert("line".into(), String::from_utf8_lossy(&torn).into());
            trail.put(fields);
        }
        trail.write()?;
        Ok(trail)
    }

    /// Lines written.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Lines that could not be written.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Writes down what this policy covers from now on.
    pub fn cover(&mut self, policy: Policy) {
        self.policy = policy;
        self.last = None;
    }

    /// Whether something is written down, and one of how many like it.
    fn covers(&mut self, report: &Report) -> Option<u32> {
        let subject = &report.seen.subject;
        let effective = match &self.last {
            Some((last, effective)) if Arc::ptr_eq(last, subject) => *effective,
            _ => {
                let effective = self.policy.for_subject(subject);
                self.last = Some((Arc::clone(subject), effective));
                effective
            }
        };
        if !effective.kinds.cover(&report.seen.event) {
            return None;
        }
        match &report.seen.event {
            Event::Executed(execution) if execution.error.is_none() => {
                self.covered = self.covered.wrapping_add(1);
                let sample = effective.sample.max(1);
                (self.covered.is_multiple_of(u64::from(sample))).then_some(sample)
            }
            _ => Some(1),
        }
    }

    /// Writes down what was seen, if the policy covers it. What cannot be written is counted.
    /// `now_us` is the present in the clock of the reports.
    pub fn record(&mut self, report: &Report, now_us: u64) {
        let Some(sample) = self.covers(report) else {
            return;
        };
        let Some(mut fields) = line(report) else {
            return;
        };
        if sample > 1 {
            fields.insert("sample".into(), sample.into());
        }
        // When it happened, not when it is written down.
        let ago = Duration::from_micros(now_us.saturating_sub(report.seen.done_us));
        let at = SystemTime::now()
            .checked_sub(ago)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        fields.insert("at".into(), calendar::rfc3339_micros(at).into());
        self.keep(fields);
    }

    /// Takes a line if there is room; waits for room if nothing may be lost.
    fn keep(&mut self, fields: Map<String, Value>) {
        if self.pending.len() >= CHUNK {
            self.make_room();
        }
        if self.pending.len() >= MOST_PENDING {
            self.failed += 1;
            self.lost.0 += 1;
            return;
        }
        self.tell_lost();
        self.put(fields);
    }

    fn make_room(&mut self) {
        let mut told: Option<Instant> = None;
        while let Err(error) = self.write() {
            let full = self.pending.len() >= MOST_PENDING;
            if !self.settings.wait || self.ending || !full {
                return;
            }
            if told.is_none_or(|told| told.elapsed() >= Duration::from_secs(60)) {
                tracing::error!(%error, path = %self.settings.path.display(), "the audit trail cannot be written: clients wait until it can");
                told = Some(Instant::now());
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// So many more reports never came here.
    pub fn lose(&mut self, reports: u64) {
        self.lost.0 += reports;
    }

    /// The trail itself says how much of it is missing.
    fn tell_lost(&mut self) {
        let (lost, told) = self.lost;
        if lost > told {
            self.lost.1 = lost;
            let mut fields = Map::new();
            fields.insert("event".into(), "lost".into());
            fields.insert("lines".into(), (lost - told).into());
            self.put(fields);
        }
    }

    /// Hands what was written to the system, and begins a new file if it is time.
    ///
    /// # Errors
    /// The disk's; what was not written is tried again.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.write()?;
        self.tell_lost();
        self.write()?;
        let age = self.opened.elapsed().unwrap_or_default();
        let full = self.settings.max_bytes > 0 && self.bytes >= self.settings.max_bytes;
        let old = !self.settings.max_age.is_zero() && age >= self.settings.max_age;
        if full || old { self.rotate() } else { Ok(()) }
    }

    /// The process ends: writes what is held back and waits until the disk has it.
    ///
    /// # Errors
    /// The disk's; then what is left is lost.
    pub fn end(&mut self) -> std::io::Result<()> {
        self.ending = true;
        self.tell_lost();
        self.write()?;
        self.file.sync_data()
    }

    fn write(&mut self) -> std::io::Result<()> {
        let mut done = 0;
        let written = loop {
            match self.pending.get(done..) {
                None | Some([]) => break Ok(()),
                Some(rest) => match self.file.write(rest) {
                    Ok(0) => break Err(std::io::ErrorKind::WriteZero.into()),
                    Ok(n) => done += n,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                },
            }
        };
        self.pending.drain(..done.min(self.pending.len()));
        written
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        let stamp: String = calendar::rfc3339(SystemTime::now())
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let aside = |number: u32| {
            let mut aside = self.settings.path.clone().into_os_string();
            aside.push(match number {
                0 => format!(".{stamp}"),
                number => format!(".{stamp}-{number}"),
            });
            PathBuf::from(aside)
        };
        // Renaming would replace a file of the same moment, or of a clock that was set back.
        let free = (0..1000).map(aside).find(|aside| !aside.exists());
        let aside = free.ok_or(std::io::ErrorKind::AlreadyExists)?;
        std::fs::rename(&self.settings.path, &aside)?;
        let (file, bytes) = append(&self.settings.path)?;
        self.file = file;
        self.bytes = bytes;
        self.opened = SystemTime::now();
        self.begin();
        self.write()
    }

    fn begin(&mut self) {
        let previous = chain::show(&self.link);
        let mut fields = Map::new();
        fields.insert("event".into(), "opened".into());
        fields.insert("previous".into(), previous.into());
        self.put(fields);
    }

    fn put(&mut self, mut fields: Map<String, Value>) {
        (fields.entry("at")).or_insert_with(|| calendar::rfc3339_micros(SystemTime::now()).into());
        let mut line = Value::Object(fields).to_string();
        // The brace comes back with the chain's value.
        line.pop();
        self.link = chain::close(&mut line, &self.link, self.settings.key.as_ref());
        line.push('\n');
        self.pending.extend_from_slice(line.as_bytes());
        self.bytes += line.len() as u64;
        self.lines += 1;
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        // Whoever wants to know of errors calls `end`.
        let _ = self.write();
    }
}

/// Takes a last line without an end, as a crash leaves it, out of a file, so that the chain can go on.
fn cut_torn(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.metadata()?.len();
    // No line is longer.
    let from = len.saturating_sub(1 << 20);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(1 << 20).read_to_end(&mut end)?;
    let whole = end
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    let torn = end.split_off(whole);
    if torn.is_empty() || (whole == 0 && from > 0) {
        return Ok(None);
    }
    OpenOptions::new()
        .write(true)
        .open(path)?
        .set_len(from + whole as u64)?;
    Ok(Some(torn))
}

fn append(path: &Path) -> std::io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// What is written down of a report.
fn line(report: &Report) -> Option<Map<String, Value>> {
    let seen = &report.seen;
    let mut value = match &seen.event {
        Event::Connected { secure, .. } => {
            json!({ "event": "login", "secure": secure })
        }
        Event::LoginFailed { reason } => {
            json!({ "event": "login_failed", "reason": reason })
        }
        Event::Commanded {
            command,
            asked,
            refused,
        } => json!({ "event": "command", "command": command, "asked": asked, "reason": refused }),
        Event::Refused { text, shape } => json!({
            "event": "refused",
            "query": readable(text),
            "fingerprint": format!("{shape:016x}"),
            "findings": findings(report),
        }),
        Event::Disconnected => json!({ "event": "logout" }),
        Event::Executed(execution) => statement(seen.sent_us, seen.done_us, execution, report),
    };
    let fields = value.as_object_mut()?;
    fields.insert("conn".into(), seen.conn.into());
    fields.insert("db".into(), (*seen.subject.database).into());
    fields.insert("user".into(), (*seen.subject.user).into());
    fields.insert("app".into(), (*seen.subject.app).into());
    fields.insert("client".into(), (*seen.subject.client).into());
    Some(std::mem::take(fields))
}

fn statement(sent_us: u64, done_us: u64, execution: &Execution, report: &Report) -> Value {
    let (server, route) = match &execution.server {
        Some((server, route)) => (&**server, *route),
        None => ("", ""),
    };
    json!({
        "event": "statement",
        "server": server,
        "route": route,
        "query": readable(&execution.text),
        "fingerprint": format!("{:016x}", execution.shape),
        "rows": execution.rows,
        "bytes": execution.bytes,
        "wait_us": execution.wait_us,
        "server_us": done_us.saturating_sub(sent_us),
        "tx": match execution.block {
            Block::None => "none",
            Block::Open => "open",
            Block::Failed => "failed",
        },
        "sqlstate": execution.error.map(|state| String::from_utf8_lossy(&state).into_owned()),
        "findings": findings(report),
    })
}

/// A text without its literals.
fn readable(text: &[u8]) -> String {
    let mut query = sql::normalised(text, Lexing::default());
    query.truncate(LONGEST_TEXT);
    String::from_utf8_lossy(&query).into_owned()
}

/// What a statement hit: `rule` or `rule:kind`.
fn findings(report: &Report) -> Vec<String> {
    (report.hits.as_deref().unwrap_or_default().iter())
        .map(|hit| match hit.kind {
            "" => hit.rule.id.to_owned(),
            kind => format!("{}:{kind}", hit.rule.id),
        })
        .collect()
}

/// Checks files in the order in which they were written; what each holds, or what is wrong.
///
/// # Errors
/// The first file that is broken, as a text for people.
pub fn verify(
    files: &[PathBuf],
    key: Option<&Key>,
) -> Result<Vec<(PathBuf, chain::Verified)>, String> {
    let mut before = None;
    let mut checked = Vec::new();
    for path in files {
        let say = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(|error| say(&error))?;
        let reader: &mut dyn BufRead = &mut BufReader::new(file);
        let verified = chain::verify(reader, before, key).map_err(|broken| say(&broken))?;
        before = Some(verified.last);
        checked.push((path.clone(), verified));
    }
    Ok(checked)
}

#[cfg(test)]
mod tests;
