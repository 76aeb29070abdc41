//! The slow-query log: one line for each statement that took long, waiting and the server's own time
//! apart.

use std::time::{Duration, Instant};

use super::observer::Report;
use crate::lint::observe::Event;
use crate::sql::{self, Lexing};

/// Lines in a minute; what is beyond is counted.
const LINES: u32 = 100;
const MINUTE: Duration = Duration::from_secs(60);
/// Longest text in a line, in bytes.
const LONGEST_TEXT: usize = 4096;

/// Writes at most a hundred lines in a minute.
#[derive(Debug, Default)]
pub struct SlowLog {
    since: Option<Instant>,
    lines: u32,
    held_back: u64,
}

/// The microseconds that a statement waited for a server, and took there, if it took so long in
/// all. Zero asks for none.
fn slow(report: &Report, least: Duration) -> Option<(u64, u64)> {
    let Event::Executed(execution) = &report.seen.event else {
        return None;
    };
    let server = report.seen.done_us.saturating_sub(report.seen.sent_us);
    let whole = Duration::from_micros(execution.wait_us.saturating_add(server));
    (!least.is_zero() && whole >= least).then_some((execution.wait_us, server))
}

impl SlowLog {
    /// Logs the statement if it took `least` or longer; zero asks for none. `locked_us`: so long it was
    /// seen waiting for locks.
    pub fn look(&mut self, report: &Report, least: Duration, locked_us: Option<u64>) {
        let Some((wait, server)) = slow(report, least) else {
            return;
        };
        let Event::Executed(execution) = &report.seen.event else {
            return;
        };
        if self.since.is_none_or(|since| since.elapsed() >= MINUTE) {
            if self.held_back > 0 {
                tracing::warn!(target: "slow", "{} more slow queries", self.held_back);
            }
            (self.since, self.lines, self.held_back) = (Some(Instant::now()), 0, 0);
        }
        if self.lines >= LINES {
            self.held_back += 1;
            return;
        }
        self.lines += 1;
        let mut query = sql::normalised(&execution.text, Lexing::default());
        query.truncate(LONGEST_TEXT);
        let subject = &report.seen.subject;
        tracing::warn!(
            target: "slow",
            wait_ms = wait as f64 / 1e3,
            server_ms = server as f64 / 1e3,
            lock_wait_ms = locked_us.map(|us| us as f64 / 1e3),
            rows = execution.rows,
            database = &*subject.database,
            user = &*subject.user,
            app = &*subject.app,
            client = &*subject.client,
            "slow query: {}",
            String::from_utf8_lossy(&query)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::observe::{Execution, Observation};

    #[test]
    fn waiting_and_running_count_together() {
        let report = Report {
            seen: Observation {
                conn: 1,
                subject: std::sync::Arc::default(),
                sent_us: 1_000,
                done_us: 601_000,
                event: Event::Executed(Execution {
                    wait_us: 300_000,
                    ..Execution::default()
                }),
            },
            hits: None,
        };
        let least = Duration::from_millis;
        assert_eq!(slow(&report, least(900)), Some((300_000, 600_000)));
        assert_eq!(slow(&report, least(901)), None);
        assert_eq!(slow(&report, Duration::ZERO), None);
        let mut log = SlowLog::default();
        for _ in 0..LINES + 5 {
            log.look(&report, least(1), None);
        }
        assert_eq!((log.lines, log.held_back), (LINES, 5));
    }
}
