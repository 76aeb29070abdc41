//! Averages over the last period of `stats_period`, and the line of statistics in the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Shared;
use super::show::{self, CONSOLE};
use crate::control::Control;
use crate::pool::stats::Totals;

/// Totals by database.
pub type ByDatabase = BTreeMap<String, Totals>;

/// The totals at the ends of the last two periods.
#[derive(Debug, Default)]
pub struct Averages(Mutex<Periods>);

#[derive(Debug, Default)]
struct Periods {
    before: Option<Sample>,
    last: Option<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    at: Instant,
    totals: ByDatabase,
}

/// What happened in a period, per second or per thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Average {
    /// Servers given out per second.
    pub assignments: u64,
    /// Transactions per second.
    pub xacts: u64,
    /// Queries per second.
    pub queries: u64,
    /// Bytes per second from clients.
    pub received: u64,
    /// Bytes per second to clients.
    pub sent: u64,
    /// Microseconds per transaction.
    pub xact_us: u64,
    /// Microseconds per query.
    pub query_us: u64,
    /// Microseconds waited per server given out.
    pub wait_us: u64,
    /// Parse messages of clients per second.
    pub client_parses: u64,
    /// Parse messages to servers per second.
    pub server_parses: u64,
    /// Bind messages per second.
    pub binds: u64,
    /// Logins per second.
    pub logins: u64,
}

/// Averages of what changed from `before` to `after` in `period`. A counter that went back (a pool
/// was forgotten and made anew) counts as unchanged.
///
/// Source: PgBouncer documentation, SHOW STATS.
pub fn average(before: &Totals, after: &Totals, period: Duration) -> Average {
    let micros = period.as_micros().max(1);
    let per_second = |before: u64, after: u64| {
        let change = u128::from(after.saturating_sub(before));
        u64::try_from(change * 1_000_000 / micros).unwrap_or(u64::MAX)
    };
    let per = |before: u64, after: u64, things: u64| {
        after
            .saturating_sub(before)
            .checked_div(things)
            .unwrap_or(0)
    };
    let assigned = after.assignments.saturating_sub(before.assignments);
    let xacts = after.xacts.saturating_sub(before.xacts);
    let queries = after.queries.saturating_sub(before.queries);
    Average {
        assignments: per_second(before.assignments, after.assignments),
        xacts: per_second(before.xacts, after.xacts),
        queries: per_second(before.queries, after.queries),
        received: per_second(before.received, after.received),
        sent: per_second(before.sent, after.sent),
        xact_us: per(before.xact_us, after.xact_us, xacts),
        query_us: per(before.query_us, after.query_us, queries),
        wait_us: per(before.wait_us, after.wait_us, assigned),
        client_parses: per_second(before.client_parses, after.client_parses),
        server_parses: per_second(before.server_parses, after.server_parses),
        binds: per_second(before.binds, after.binds),
        logins: per_second(before.logins, after.logins),
    }
}

fn sum<'a>(totals: impl Iterator<Item = &'a Totals>) -> Totals {
    totals.fold(Totals::default(), |mut sum, more| {
        sum.add(more);
        sum
    })
}

impl Averages {
    /// Ends a period now.
    pub fn record(&self, at: Instant, totals: ByDatabase) {
        let mut periods = self.0.lock();
        periods.before = periods.last.take();
        periods.last = Some(Sample { at, totals });
    }

    /// Averages of one database over the last whole period; zeros before its end.
    pub fn of(&self, database: &str) -> Average {
        self.over(|totals| totals.get(database).copied().unwrap_or_default())
    }

    /// Averages of all databases together.
    pub fn of_all(&self) -> Average {
        self.over(|totals| sum(totals.values()))
    }

    /// Averages of all databases but the console.
    fn of_served(&self) -> Average {
        self.over(|totals| {
            let served = totals.iter().filter(|(name, _)| *name != CONSOLE);
            sum(served.map(|(_, totals)| totals))
        })
    }

    fn over(&self, pick: impl Fn(&ByDatabase) -> Totals) -> Average {
        let periods = self.0.lock();
        let (Some(before), Some(last)) = (&periods.before, &periods.last) else {
            return Average::default();
        };
        let period = last.at.saturating_duration_since(before.at);
        average(&pick(&before.totals), &pick(&last.totals), period)
    }
}

/// The statistics line, as PgBouncer writes it.
pub fn line(average: &Average) -> String {
    format!(
        "stats: {} xacts/s, {} queries/s, {} client parses/s, {} server parses/s, {} binds/s, in {} B/s, out {} B/s, xact {} us, query {} us, wait {} us",
        average.xacts,
        average.queries,
        average.client_parses,
        average.server_parses,
        average.binds,
        average.received,
        average.sent,
        average.xact_us,
        average.query_us,
        average.wait_us,
    )
}

/// Takes a sample every `stats_period`, for ever, and logs the statistics line if `log_stats` says
/// so. A changed period counts from the next sample on. Dropping the future is the way to end it.
pub async fn sample(control: Control, console: Arc<Shared>) {
    loop {
        let totals = show::stats::by_database(&control.counts().await, &console);
        console.averages.record(Instant::now(), totals);
        let settings = control.process().config.load();
        if settings.settings.log_stats && console.averages.0.lock().before.is_some() {
            tracing::info!("{}", line(&console.averages.of_served()));
        }
        let period = settings.settings.stats_period.max(Duration::from_secs(1));
        drop(settings);
        crate::timer::sleep(period).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_of_the_last_whole_period() {
        let start = Instant::now();
        let totals = |queries, query_us| {
            let totals = Totals {
                queries,
                query_us,
                received: queries * 100,
                ..Totals::default()
            };
            ByDatabase::from([("a".to_owned(), totals)])
        };
        let averages = Averages::default();
        assert_eq!(averages.of("a"), Average::default());
        averages.record(start, totals(10, 1_000));
        assert_eq!(averages.of("a"), Average::default());
        averages.record(start + Duration::from_secs(10), totals(110, 51_000));
        let average = averages.of("a");
        assert_eq!(
            (average.queries, average.query_us, average.received),
            (10, 500, 1_000)
        );
        assert_eq!(averages.of_all(), average);
        assert_eq!(averages.of("b"), Average::default());
        // The pool was forgotten meanwhile.
        averages.record(start + Duration::from_secs(20), totals(5, 10));
        assert_eq!(averages.of("a"), Average::default());
        assert_eq!(
            line(&average),
            "stats: 0 xacts/s, 10 queries/s, 0 client parses/s, 0 server parses/s, 0 binds/s, in 1000 B/s, out 0 B/s, xact 0 us, query 500 us, wait 0 us"
        );
    }
}
