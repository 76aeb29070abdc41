//! What each statement cost: calls, errors, rows, bytes, and two times apart: waiting for a server,
//! and the server's own.
//!
//! Statements are told apart by database, user and shape (the text without its literals). The table
//! is bounded; when it is full the entry that was used the longest time ago makes room, which is
//! counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use hdrhistogram::Histogram;

use crate::lint::observe::{Event, Execution, Observation};
use crate::sql::{self, Lexing};

/// Longest time that a histogram tells apart, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;
/// Longest normalised text that is kept, in bytes.
const LONGEST_TEXT: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    database: Box<str>,
    user: Box<str>,
    shape: u64,
}

struct Entry {
    query: Box<str>,
    /// A text of that shape, for EXPLAIN only: it holds literals.
    sample: Arc<[u8]>,
    /// Its plan, a line each, and when it was asked for.
    plan: Option<(SystemTime, Box<[Box<str>]>)>,
    calls: u64,
    errors: u64,
    rows: u64,
    bytes: u64,
    server_total_us: u64,
    wait_total_us: u64,
    server: Histogram<u32>,
    /// Of those that waited; nearly none does, and to count is cheaper than to record.
    wait: Histogram<u32>,
    /// Number of the last record that touched it.
    used: u64,
}

/// See the module.
pub struct Statements {
    map: HashMap<u64, Vec<(Key, Entry)>, foldhash::fast::RandomState>,
    len: usize,
    max: usize,
    clock: u64,
    evicted: u64,
    hasher: foldhash::fast::RandomState,
}

/// One statement for people.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementRow {
    /// Database as clients ask for it.
    pub database: Box<str>,
    /// Login name.
    pub user: Box<str>,
    /// Number of its shape.
    pub shape: u64,
    /// The shape.
    pub query: Box<str>,
    /// A text of that shape as a client sent it. It may hold secrets: not for showing.
    pub sample: Arc<[u8]>,
    /// When its plan was asked for last.
    pub planned: Option<SystemTime>,
    /// The first line of its plan; empty if none is known.
    pub plan: Box<str>,
    /// Executions, those that failed included.
    pub calls: u64,
    /// Executions that failed.
    pub errors: u64,
    /// Rows that came back or were changed.
    pub rows: u64,
    /// Bytes of rows that came back.
    pub bytes: u64,
    /// Microseconds the server took, all executions together.
    pub server_us: u64,
    /// Their median.
    pub server_p50_us: u64,
    /// Their 95th percentile.
    pub server_p95_us: u64,
    /// The longest.
    pub server_max_us: u64,
    /// Microseconds of waiting for a server, all executions together.
    pub wait_us: u64,
    /// Their 95th percentile.
    pub wait_p95_us: u64,
}

/// How many executions took so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The longest of the range in microseconds, a power of two; it begins behind the one before.
    pub up_to_us: u64,
    /// Executions that took the server so long.
    pub server: u64,
    /// Executions that waited so long for a server.
    pub wait: u64,
}

/// Database, user and the lines of a plan.
pub type Planned<'a> = (&'a str, &'a str, &'a [Box<str>]);

impl Statements {
    /// Keeps at most `max` statements.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            map: HashMap::default(),
            len: 0,
            max: max.max(1),
            clock: 0,
            evicted: 0,
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    /// Counts an execution. Anything else that was seen is none of its business.
    pub fn record(&mut self, seen: &Observation) {
        let Event::Executed(execution) = &seen.event else {
            return;
        };
        if execution.shape == 0 {
            return;
        }
        self.clock += 1;
        let (database, user) = (&*seen.subject.database, &*seen.subject.user);
        let hash = {
            use std::hash::BuildHasher;
            self.hasher
                .hash_one((seen.subject.owner(), execution.shape))
        };
        let known = self.map.get_mut(&hash).and_then(|entries| {
            entries.iter_mut().find(|(key, _)| {
                key.shape == execution.shape && *key.database == *database && *key.user == *user
            })
        });
        let server_us = seen.done_us.saturating_sub(seen.sent_us);
        if let Some((_, entry)) = known {
            entry.add(execution, server_us, self.clock);
            return;
        }
        if self.len >= self.max {
            self.evict();
        }
        let mut query = sql::normalised(&execution.text, Lexing::default());
        query.truncate(LONGEST_TEXT);
        // No other histogram than this is made, and its bounds are right.
        let (Ok(server), Ok(wait)) = (histogram(), histogram()) else {
            return;
        };
        let mut entry = Entry {
            query: String::from_utf8_lossy(&query).into(),
            sample: execution.text.clone(),
            plan: None,
            calls: 0,
            errors: 0,
            rows: 0,
            bytes: 0,
            server_total_us: 0,
            wait_total_us: 0,
            server,
            wait,
            used: 0,
        };
        entry.add(execution, server_us, self.clock);
        let key = Key {
            database: database.into(),
            user: user.into(),
            shape: execution.shape,
        };
        self.map.entry(hash).or_default().push((key, entry));
        self.len += 1;
    }

    /// Forgets the tenth that was used the longest time ago.
    fn evict(&mut self) {
        let mut used: Vec<u64> = (self.map.values().flatten())
            .map(|(_, entry)| entry.used)
            .collect();
        let at = used.len() / 10;
        let (_, oldest, _) = used.select_nth_unstable(at);
        let oldest = *oldest;
        let before = self.len;
        for entries in self.map.values_mut() {
            entries.retain(|(_, entry)| entry.used > oldest);
        }
        self.map.retain(|_, entries| !entries.is_empty());
        self.len = self.map.values().map(Vec::len).sum();
        self.evicted += (before - self.len) as u64;
    }

    /// Statements that had to make room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.map.clear();
        self.len = 0;
    }

    /// A statement's plan was asked for: its lines, none if it has none.
    pub fn planned(&mut self, row: &StatementRow, lines: Vec<Box<str>>) {
        let entries = self.map.values_mut().flatten();
        let found = entries.into_iter().find(|(key, _)| {
            key.shape == row.shape && key.user == row.user && key.database == row.database
        });
        if let Some((_, entry)) = found {
            entry.plan = Some((SystemTime::now(), lines.into()));
        }
    }

    /// Plans of the statements of one shape: database, user and lines.
    #[must_use]
    pub fn plans(&self, shape: u64) -> Vec<Planned<'_>> {
        (self.map.values().flatten())
            .filter(|(key, _)| key.shape == shape)
            .filter_map(|(key, entry)| {
                let (_, lines) = entry.plan.as_ref()?;
                Some((&*key.database, &*key.user, &**lines))
            })
            .collect()
    }

    /// How long the executions of one shape took, all databases and users together, from the shortest to
    /// the longest range that has any; empty if the shape is not known. What is as long as the border of
    /// two ranges may be in either, since times less than a tenth apart are one.
    #[must_use]
    pub fn ranges(&self, shape: u64) -> Vec<Range> {
        let mut all: Vec<Range> = (0..=32)
            .map(|power| Range {
                up_to_us: 1 << power,
                server: 0,
                wait: 0,
            })
            .collect();
        let entries = self
            .map
            .values()
            .flatten()
            .filter(|(key, _)| key.shape == shape);
        for (_, entry) in entries {
            for range in entry.server.iter_recorded() {
                if let Some(one) = all.get_mut(power(range.value_iterated_to())) {
                    one.server += range.count_since_last_iteration();
                }
            }
            for range in entry.wait.iter_recorded() {
                if let Some(one) = all.get_mut(power(range.value_iterated_to())) {
                    one.wait += range.count_since_last_iteration();
                }
            }
            if let Some(one) = all.first_mut() {
                one.wait += entry.unwaited();
            }
        }
        let any = |range: &Range| range.server + range.wait > 0;
        let first = all.iter().position(any).unwrap_or(all.len());
        let last = all.iter().rposition(any).map_or(first, |last| last + 1);
        all.get(first..last).unwrap_or_default().to_vec()
    }

    /// All statements, those that took the server's time most first.
    #[must_use]
    pub fn rows(&self) -> Vec<StatementRow> {
        let mut rows: Vec<StatementRow> = (self.map.values().flatten())
            .map(|(key, entry)| StatementRow {
                database: key.database.clone(),
                user: key.user.clone(),
                shape: key.shape,
                query: entry.query.clone(),
                sample: entry.sample.clone(),
                planned: entry.plan.as_ref().map(|(at, _)| *at),
                plan: (entry.plan.as_ref())
                    .and_then(|(_, lines)| lines.first().cloned())
                    .unwrap_or_default(),
                calls: entry.calls,
                errors: entry.errors,
                rows: entry.rows,
                bytes: entry.bytes,
                server_us: entry.server_total_us,
                server_p50_us: entry.server.value_at_quantile(0.5),
                server_p95_us: entry.server.value_at_quantile(0.95),
                server_max_us: entry.server.max(),
                wait_us: entry.wait_total_us,
                wait_p95_us: entry.waited(0.95),
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.server_us));
        rows
    }
}

/// The least power of two that is no less.
fn power(us: u64) -> usize {
    us.max(1).next_power_of_two().trailing_zeros() as usize
}

/// Two values apart by less than a tenth are one; about 2 KB.
fn histogram() -> Result<Histogram<u32>, hdrhistogram::CreationError> {
    Histogram::new_with_bounds(1, LONGEST, 1)
}

impl Entry {
    fn add(&mut self, execution: &Execution, server_us: u64, clock: u64) {
        self.calls += 1;
        self.errors += u64::from(execution.error.is_some());
        self.rows += execution.rows;
        self.bytes += execution.bytes;
        self.server_total_us += server_us;
        self.wait_total_us += execution.wait_us;
        self.server.saturating_record(server_us);
        if execution.wait_us > 0 {
            self.wait.saturating_record(execution.wait_us);
        }
        self.used = clock;
    }

    /// Executions that did not wait.
    fn unwaited(&self) -> u64 {
        self.calls.saturating_sub(self.wait.len())
    }

    /// How long so large a part of all executions waited at most.
    fn waited(&self, part: f64) -> u64 {
        let rank = part * self.calls as f64;
        let behind = rank - self.unwaited() as f64;
        match behind > 0.0 {
            true => (self.wait).value_at_quantile(behind / self.wait.len() as f64),
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::known::Known;
    use crate::lint::observe::Subject;
    use std::sync::Arc;

    fn seen(user: &str, shape: u64, took_us: u64, wait_us: u64) -> Observation {
        Observation {
            conn: 1,
            subject: Arc::new(Subject {
                database: "shop".into(),
                user: user.into(),
                ..Subject::default()
            }),
            sent_us: 1000,
            done_us: 1000 + took_us,
            event: Event::Executed(Execution {
                known: Arc::new(Known {
                    text: Arc::from(&b"SELECT a FROM t WHERE b = 'secret'"[..]),
                    shape,
                    ..Known::default()
                }),
                rows: 2,
                bytes: 30,
                wait_us,
                ..Execution::default()
            }),
        }
    }

    #[test]
    fn counts_and_times_are_kept_apart_by_user_and_shape() {
        let mut statements = Statements::new(10);
        for took in [100, 200, 300, 10_000] {
            statements.record(&seen("web", 7, took, 50));
        }
        statements.record(&seen("batch", 7, 5, 0));
        let rows = statements.rows();
        assert_eq!(rows.len(), 2);
        assert_eq!((&*rows[0].user, rows[0].calls, rows[0].rows), ("web", 4, 8));
        assert_eq!((rows[0].server_us, rows[0].wait_us), (10_600, 200));
        assert!(
            (180..=220).contains(&rows[0].server_p50_us),
            "{:?}",
            rows[0]
        );
        assert!(rows[0].server_max_us >= 10_000);
        assert_eq!(&*rows[0].query, "select a from t where b = ?");
        assert_eq!((rows[0].wait_p95_us, rows[1].wait_p95_us), (51, 0));
        let ranges = statements.ranges(7);
        let of = |up_to_us| ranges.iter().find(|range| range.up_to_us == up_to_us);
        let counts = |up_to_us| of(up_to_us).map(|range| (range.server, range.wait));
        assert_eq!((counts(8), counts(128)), (Some((1, 0)), Some((1, 0))));
        assert_eq!((counts(64), counts(512)), (Some((0, 4)), Some((1, 0))));
        assert_eq!(ranges.iter().map(|range| range.server).sum::<u64>(), 5);
        assert_eq!(ranges.iter().map(|range| range.wait).sum::<u64>(), 5);
        assert!(statements.ranges(8).is_empty());
    }

    #[test]
    fn who_did_not_wait_counts_too() {
        let mut statements = Statements::new(10);
        let p95 = |statements: &Statements| statements.rows()[0].wait_p95_us;
        for _ in 0..90 {
            statements.record(&seen("web", 7, 10, 0));
        }
        for _ in 0..4 {
            statements.record(&seen("web", 7, 10, 1000));
        }
        assert_eq!(p95(&statements), 0, "4 of 94");
        for _ in 0..2 {
            statements.record(&seen("web", 7, 10, 1000));
        }
        assert!((900..=1100).contains(&p95(&statements)), "6 of 96");
        let waits: Vec<u64> = (statements.ranges(7).iter())
            .map(|range| range.wait)
            .filter(|&n| n > 0)
            .collect();
        assert_eq!(waits, [90, 6]);
    }

    #[test]
    fn a_full_table_forgets_what_was_not_used_lately() {
        let mut statements = Statements::new(20);
        for shape in 1..=20 {
            statements.record(&seen("web", shape, 1, 0));
        }
        statements.record(&seen("web", 1, 1, 0));
        statements.record(&seen("web", 21, 1, 0));
        let shapes: Vec<u64> = statements.rows().iter().map(|row| row.shape).collect();
        assert!(shapes.contains(&1) && shapes.contains(&21) && !shapes.contains(&2));
        assert!(statements.evicted() > 0);
        assert!(shapes.len() <= 20);
    }
}
