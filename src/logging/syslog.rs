//! The system's log: lines as datagrams to `/dev/log`.
//!
//! Source: RFC 3164, sections 4 and 5; PgBouncer, `syslog`, `syslog_facility`, `syslog_ident`.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::calendar::utc_millis;
use crate::config::Settings;

/// Where the system listens.
const SOCKET: &str = "/dev/log";
/// Longest datagram; what is longer is cut.
const LONGEST: usize = 8192;

/// A connection to the system's log.
#[derive(Debug)]
pub(super) struct Syslog {
    socket: Option<UnixDatagram>,
    path: PathBuf,
    facility: u8,
    ident: String,
}

impl Syslog {
    /// The system's log if the settings ask for it. It need not be there: whether it is, is tried
    /// again with each line.
    pub(super) fn open(settings: &Settings) -> Option<Self> {
        settings
            .syslog
            .then(|| Self::to(Path::new(SOCKET), settings))
    }

    fn to(path: &Path, settings: &Settings) -> Self {
        Self {
            socket: connect(path).ok(),
            path: path.to_owned(),
            facility: facility(&settings.syslog_facility),
            ident: settings.syslog_ident.clone(),
        }
    }

    /// Sends a line of the log. It is left out if the system's log is not there or has no room:
    /// nobody waits for it.
    pub(super) fn send(&mut self, line: &str, now: SystemTime) {
        let (severity, text) = split(line);
        let priority = self.facility * 8 + severity;
        let (stamp, ident, pid) = (stamp(now), &self.ident, std::process::id());
        let mut datagram = format!("<{priority}>{stamp} {ident}[{pid}]: {text}");
        let end = (0..=LONGEST.min(datagram.len()))
            .rev()
            .find(|end| datagram.is_char_boundary(*end));
        datagram.truncate(end.unwrap_or(0));
        let sent = match &self.socket {
            Some(socket) => socket.send(datagram.as_bytes()),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match sent {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                // The daemon behind it may have been started anew.
                self.socket = connect(&self.path).ok();
                if let Some(socket) = &self.socket {
                    let _ = socket.send(datagram.as_bytes());
                }
            }
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

/// Numbers of facilities; the configuration has been checked.
fn facility(name: &str) -> u8 {
    let known = crate::config::SYSLOG_FACILITIES;
    let found = known.iter().find(|(known, _)| *known == name);
    found.map_or(3, |(_, number)| *number)
}

/// Severity and text of a line: the system's log has time and process of its own.
fn split(line: &str) -> (u8, &str) {
    const INFO: u8 = 6;
    let line = line.trim_end();
    let rest = line
        .split_once("] ")
        .and_then(|(_, rest)| rest.split_once(' '));
    match rest {
        Some(("ERROR", text)) => (3, text),
        Some(("WARNING", text)) => (4, text),
        Some(("LOG", text)) => (INFO, text),
        Some(("DEBUG" | "NOISE", text)) => (7, text),
        _ => (INFO, line),
    }
}

/// `Jan  2 03:04:05`.
fn stamp(now: SystemTime) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let written = utc_millis(now);
    let part = |from: usize, to: usize| written.get(from..to).unwrap_or_default();
    let number = |from, to| part(from, to).parse::<usize>().unwrap_or(1);
    let month = MONTHS
        .get(number(5, 7).saturating_sub(1))
        .unwrap_or(&MONTHS[0]);
    format!("{month} {:2} {}", number(8, 10), part(11, 19))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::config::document::Dialect;
    use crate::config::reference::default_settings;

    #[test]
    fn lines_become_datagrams_and_the_daemon_may_come_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let settings = Settings {
            syslog_facility: "local3".to_owned(),
            syslog_ident: "pooler".to_owned(),
            ..default_settings(Dialect::Ini).expect("defaults")
        };
        let mut syslog = Syslog::to(&path, &settings);
        let now = UNIX_EPOCH + Duration::from_secs(3 * 86_400 + 3_661);
        syslog.send("2026-01-02 03:04:05.678 UTC [7] LOG nobody listens\n", now);
        let daemon = UnixDatagram::bind(&path).expect("bound");
        let pid = std::process::id();
        let mut heard = |daemon: &UnixDatagram, line: &str| {
            syslog.send(line, now);
            let mut buffer = vec![0; 2 * LONGEST];
            let count = daemon.recv(&mut buffer).expect("a datagram");
            String::from_utf8(buffer[..count].to_vec()).expect("text")
        };
        let line = "2026-01-02 03:04:05.678 UTC [7] WARNING C-0x1: d/u@unix:1 away\n";
        let wanted = format!("<156>Jan  4 01:01:01 pooler[{pid}]: C-0x1: d/u@unix:1 away");
        assert_eq!(heard(&daemon, line), wanted);
        drop(daemon);
        std::fs::remove_file(&path).expect("removed");
        let daemon = UnixDatagram::bind(&path).expect("bound again");
        assert!(heard(&daemon, "{\"json\":1}\n").ends_with("]: {\"json\":1}"));
        let long = "é".repeat(LONGEST);
        assert!(heard(&daemon, &long).len() <= LONGEST);
    }

    #[test]
    fn severities() {
        let severity = |word: &str| split(&format!("2026 UTC [1] {word} text")).0;
        assert_eq!(severity("ERROR"), 3);
        assert_eq!(severity("WARNING"), 4);
        assert_eq!(severity("LOG"), 6);
        assert_eq!(severity("DEBUG"), 7);
        assert_eq!(severity("NOISE"), 7);
        assert_eq!(split("no prefix"), (6, "no prefix"));
        assert!(!default_settings(Dialect::Ini).expect("defaults").syslog);
        assert_eq!(facility("daemon"), 3);
        assert_eq!(facility("local0"), 16);
    }
}
