//! How a second database does, beside the first.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::pool::histogram::Histogram;
use crate::pool::key::PoolKey;
use crate::server::replay::Outcome;

/// Shortest time between two lines in the log about what differs.
const SPACING: Duration = Duration::from_secs(1);

/// Transactions, by what became of them.
#[derive(Debug, Default)]
pub struct Counts {
    /// The same number of rows, or the same error.
    pub same: AtomicU64,
    /// Other numbers of rows.
    pub rows_differ: AtomicU64,
    /// An error where there was none, none where there was one, or another one.
    pub errors_differ: AtomicU64,
    /// They could not be played.
    pub failed: AtomicU64,
    /// The queue was full.
    pub dropped: AtomicU64,
    /// They could not be played again as they were.
    pub passed_over: AtomicU64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct MirrorStats {
    counts: Counts,
    waiting: AtomicI64,
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    /// Of the first database and of the second.
    both: (Histogram, Histogram),
    told: Option<Instant>,
    /// The last difference or failure.
    last: String,
}

/// What SHOW MIRRORS and the metrics have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// See [`Counts`].
    pub same: u64,
    /// See [`Counts`].
    pub rows_differ: u64,
    /// See [`Counts`].
    pub errors_differ: u64,
    /// See [`Counts`].
    pub failed: u64,
    /// See [`Counts`].
    pub dropped: u64,
    /// See [`Counts`].
    pub passed_over: u64,
    /// Bytes that wait.
    pub waiting: u64,
    /// Microseconds per transaction of the first database, on average.
    pub first_us: u64,
    /// The same of the second.
    pub second_us: u64,
    /// The last difference or failure, in words.
    pub last: String,
}

impl MirrorStats {
    /// Counts one transaction.
    pub(super) fn count(&self, of: impl Fn(&Counts) -> &AtomicU64) {
        of(&self.counts).fetch_add(1, Ordering::Relaxed);
    }

    /// So many bytes more wait.
    pub(super) fn waits(&self, bytes: i64) {
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A transaction could not be played.
    pub(super) fn failed(&self, pool: &PoolKey, error: &str) {
        self.count(|counts| &counts.failed);
        self.tell(pool, format!("not played: {error}"));
    }

    /// Compares what both made of a transaction that begins with a statement of this shape.
    pub(super) fn compare(&self, pool: &PoolKey, shape: u64, first: &Outcome, second: &Outcome) {
        {
            let mut times = self.times.lock();
            times.both.0.note(first.micros);
            times.both.1.note(second.micros);
        }
        let code = |error: Option<[u8; 5]>| match error {
            Some(code) => String::from_utf8_lossy(&code).into_owned(),
            None => "none".to_owned(),
        };
        if first.error != second.error {
            self.count(|counts| &counts.errors_differ);
            let (first, second) = (code(first.error), code(second.error));
            self.tell(
                pool,
                format!("{shape:016x}: error {first}, and {second} here"),
            );
        } else if first.rows != second.rows {
            self.count(|counts| &counts.rows_differ);
            let (first, second) = (first.rows, second.rows);
            self.tell(
                pool,
                format!("{shape:016x}: {first} rows, and {second} here"),
            );
        } else {
            self.count(|counts| &counts.same);
        }
    }

    fn tell(&self, pool: &PoolKey, what: String) {
        let mut times = self.times.lock();
        let now = Instant::now();
        if times
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= SPACING)
        {
            times.told = Some(now);
            tracing::warn!(mirror = %pool, "a mirrored transaction: {what}");
        }
        times.last = what;
    }

    /// All of it now.
    #[must_use]
    pub fn report(&self) -> Report {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let times = self.times.lock();
        let average = |times: &Histogram| times.sum_us() / times.count().max(1);
        Report {
            same: of(&self.counts.same),
            rows_differ: of(&self.counts.rows_differ),
            errors_differ: of(&self.counts.errors_differ),
            failed: of(&self.counts.failed),
            dropped: of(&self.counts.dropped),
            passed_over: of(&self.counts.passed_over),
            waiting: u64::try_from(self.waiting.load(Ordering::Relaxed)).unwrap_or_default(),
            first_us: average(&times.both.0),
            second_us: average(&times.both.1),
            last: times.last.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_compared() {
        let stats = MirrorStats::default();
        let pool = PoolKey::new("app", "bob");
        let outcome = |rows, error: Option<&[u8; 5]>, micros| Outcome {
            rows,
            error: error.copied(),
            micros,
        };
        let first = outcome(3, None, 100);
        stats.compare(&pool, 1, &first, &outcome(3, None, 300));
        stats.compare(&pool, 1, &first, &outcome(4, None, 300));
        stats.compare(&pool, 0xab, &first, &outcome(0, Some(b"42P01"), 300));
        let wrong = outcome(0, Some(b"23505"), 100);
        stats.compare(&pool, 1, &wrong, &outcome(7, Some(b"23505"), 300));
        stats.failed(&pool, "gone");
        let report = stats.report();
        assert_eq!((report.same, report.rows_differ), (1, 2));
        assert_eq!((report.errors_differ, report.failed), (1, 1));
        assert_eq!((report.first_us, report.second_us), (100, 300));
        assert_eq!(report.last, "not played: gone");
    }
}
