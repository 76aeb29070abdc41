//! The audit trail: who ran what, when, and how it ended, one JSON line each, in files.
//!
//! Lines hold no literal of any statement: the normalised text, names, numbers. Files are made with
//! mode 0600, renamed when they are full or old, and chained ([`super::chain`]).

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::chain::{self, Link};
use super::observer::Report;
use crate::calendar;
use crate::lint::facts::Command;
use crate::lint::observe::{Event, Execution};
use crate::sql::{self, Lexing};

/// Longest normalised text in a line, in bytes.
const LONGEST_TEXT: usize = 4096;

/// Which statements are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// None.
    #[default]
    Off,
    /// Schema changes, role changes and the like.
    Ddl,
    /// These and everything that writes.
    Writes,
    /// Everything.
    All,
}

impl Policy {
    /// All of them, by their names.
    pub const ALL: [(&'static str, Policy); 4] = [
        ("off", Policy::Off),
        ("ddl", Policy::Ddl),
        ("writes", Policy::Writes),
        ("all", Policy::All),
    ];

    /// Whether an execution is written down. What could not be read is taken for anything.
    #[must_use]
    pub fn covers(self, execution: &Execution) -> bool {
        let any = |f: fn(Command) -> bool| {
            (execution.profile.facts.iter()).any(|facts| f(facts.command))
                || execution.profile.facts.is_empty()
        };
        match self {
            Policy::Off => false,
            Policy::All => true,
            Policy::Ddl => any(|command| matches!(command, Command::Ddl | Command::Other)),
            Policy::Writes => {
                any(|command| {
                    matches!(
                        command,
                        Command::Ddl
                            | Command::Other
                            | Command::Insert
                            | Command::Update
                            | Command::Delete
                            | Command::Merge
                            | Command::Copy
                    )
                }) || (execution.profile.facts.iter()).any(|facts| !facts.writes.is_empty())
            }
        }
    }
}

/// How the files are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailSettings {
    /// The file that is written to.
    pub path: PathBuf,
    /// What is written down.
    pub policy: Policy,
    /// Size in bytes at which a new file is begun; 0 for none.
    pub max_bytes: u64,
    /// Age at which a new file is begun; zero for none.
    pub max_age: Duration,
}

/// An open file of the trail.
pub struct Trail {
    settings: TrailSettings,
    file: BufWriter<File>,
    link: Link,
    bytes: u64,
    opened: SystemTime,
    lines: u64,
    failed: u64,
}

impl Trail {
    /// Opens the file, or goes on with it if there is one: its chain is read first.
    ///
    /// # Errors
    /// The file cannot be read or written, or its chain is broken; it is left as it is.
    pub fn open(settings: TrailSettings) -> std::io::Result<Self> {
        let link = match File::open(&settings.path) {
            Ok(file) if file.metadata()?.len() > 0 => {
                let checked = chain::verify(BufReader::new(file), None);
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
            file: BufWriter::new(file),
            link,
            bytes,
            opened: SystemTime::now(),
            lines: 0,
            failed: 0,
        };
        if bytes == 0 {
            trail.begin()?;
        }
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

    /// Writes down what was seen, if the policy covers it. What cannot be written is counted.
    pub fn record(&mut self, report: &Report) {
        let Some(fields) = line(self.settings.policy, report) else {
            return;
        };
        if self.put(fields).is_err() {
            self.failed += 1;
        }
    }

    /// Hands what was written to the system, and begins a new file if it is time.
    ///
    /// # Errors
    /// The disk's.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()?;
        let age = self.opened.elapsed().unwrap_or_default();
        let full = self.settings.max_bytes > 0 && self.bytes >= self.settings.max_bytes;
        let old = !self.settings.max_age.is_zero() && age >= self.settings.max_age;
        if full || old { self.rotate() } else { Ok(()) }
    }

    /// Writes what is held back and waits until the disk has it.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync(&mut self) -> std::io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
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
        self.file = BufWriter::new(file);
        self.bytes = bytes;
        self.opened = SystemTime::now();
        self.begin()
    }

    fn begin(&mut self) -> std::io::Result<()> {
        let previous = chain::show(&self.link);
        let mut fields = Map::new();
        fields.insert("event".into(), "opened".into());
        fields.insert("previous".into(), previous.into());
        self.put(fields)
    }

    fn put(&mut self, mut fields: Map<String, Value>) -> std::io::Result<()> {
        fields.insert("at".into(), calendar::rfc3339(SystemTime::now()).into());
        let mut line = Value::Object(fields).to_string();
        // The brace comes back with the chain's value.
        line.pop();
        let link = chain::close(&mut line, &self.link);
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        self.link = link;
        self.bytes += line.len() as u64;
        self.lines += 1;
        Ok(())
    }
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
fn line(policy: Policy, report: &Report) -> Option<Map<String, Value>> {
    let seen = &report.seen;
    let mut value = match &seen.event {
        Event::Connected { secure, .. } if policy != Policy::Off => {
            json!({ "event": "login", "secure": secure })
        }
        Event::LoginFailed { reason } if policy != Policy::Off => {
            json!({ "event": "login_failed", "reason": reason })
        }
        // Whatever is written down of what ran: this did not.
        Event::Refused { text, shape } if policy != Policy::Off => json!({
            "event": "refused",
            "query": readable(text),
            "fingerprint": format!("{shape:016x}"),
            "findings": findings(report),
        }),
        Event::Disconnected if policy != Policy::Off => json!({ "event": "logout" }),
        Event::Executed(execution) if policy.covers(execution) => {
            statement(seen.sent_us, seen.done_us, execution, report)
        }
        _ => return None,
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
    json!({
        "event": "statement",
        "query": readable(&execution.text),
        "fingerprint": format!("{:016x}", execution.shape),
        "rows": execution.rows,
        "bytes": execution.bytes,
        "wait_us": execution.wait_us,
        "server_us": done_us.saturating_sub(sent_us),
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
pub fn verify(files: &[PathBuf]) -> Result<Vec<(PathBuf, chain::Verified)>, String> {
    let mut before = None;
    let mut checked = Vec::new();
    for path in files {
        let say = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(|error| say(&error))?;
        let reader: &mut dyn BufRead = &mut BufReader::new(file);
        let verified = chain::verify(reader, before).map_err(|broken| say(&broken))?;
        before = Some(verified.last);
        checked.push((path.clone(), verified));
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::observe::{Observation, Subject};
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    fn report(text: &str) -> Report {
        Report {
            seen: Observation {
                conn: 4,
                subject: Arc::new(Subject {
                    database: "shop".into(),
                    user: "web".into(),
                    app: "till".into(),
                    client: "10.0.0.5".into(),
                }),
                sent_us: 10,
                done_us: 510,
                event: Event::Executed(Box::new(Execution {
                    text: text.as_bytes().into(),
                    shape: 7,
                    error: Some(*b"23505"),
                    ..Execution::default()
                })),
            },
            hits: None,
            suppressed: None,
        }
    }

    fn settings(path: PathBuf) -> TrailSettings {
        TrailSettings {
            path,
            policy: Policy::All,
            max_bytes: 0,
            max_age: Duration::ZERO,
        }
    }

    #[test]
    fn a_statement_is_written_down_without_its_literals() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.jsonl");
        let mut trail = Trail::open(settings(path.clone())).expect("open");
        trail.record(&report("INSERT INTO users (ssn) VALUES ('123-45-6789')"));
        trail.flush().expect("flush");
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(!text.contains("6789"), "{text}");
        let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        assert_eq!(last["sqlstate"], "23505");
        assert_eq!(last["server_us"], 500);
        assert_eq!(last["query"], "insert into users(ssn) values (?)");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(verify(&[path]).is_ok());
    }

    #[test]
    fn files_go_on_where_the_last_ended() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.jsonl");
        let full = TrailSettings {
            max_bytes: 100,
            ..settings(path.clone())
        };
        let mut trail = Trail::open(full.clone()).expect("open");
        trail.record(&report("SELECT 1"));
        trail.flush().expect("rotated");
        trail.record(&report("SELECT 2"));
        drop(trail);
        // As after a restart.
        let mut trail = Trail::open(TrailSettings {
            max_bytes: 0,
            ..full
        })
        .expect("open again");
        trail.record(&report("SELECT 3"));
        trail.flush().expect("flush");
        let mut files: Vec<PathBuf> = std::fs::read_dir(dir.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .filter(|file| *file != path)
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.push(path.clone());
        let checked = verify(&files).expect("intact");
        assert_eq!(checked[1].1.lines, 3);
        // Without its first file the second still holds by itself, but a cut one does not.
        let text = std::fs::read_to_string(&path).expect("readable");
        let cut: Vec<&str> = text
            .lines()
            .enumerate()
            .filter(|(n, _)| *n != 1)
            .map(|(_, l)| l)
            .collect();
        std::fs::write(&path, cut.join("\n")).expect("written");
        assert!(verify(std::slice::from_ref(&path)).is_err());
        assert!(Trail::open(settings(path)).is_err());
    }

    #[test]
    fn files_of_one_moment_do_not_replace_each_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut trail = Trail::open(settings(dir.path().join("audit.jsonl"))).expect("opened");
        for _ in 0..20 {
            trail.rotate().expect("a new file");
        }
        trail.flush().expect("written");
        assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 21);
    }
}
