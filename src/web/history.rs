//! The last minutes for plots: points that are taken once for everybody who looks.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::quantiles::Quantiles;
use super::tracks::Tracks;
use crate::admin::averages::{Average, average};
use crate::control::Snapshot;
use crate::pool::stats::{Times, Totals};

/// Points that are kept.
pub const MOST: usize = 900;

/// One point; rates and averages are over the time since the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When.
    pub at: SystemTime,
    /// What happened.
    pub average: Average,
    /// Errors per second that clients got from pgweir.
    pub errors: f64,
    /// Logins to servers per second that failed.
    pub failed: f64,
    /// How long things took.
    pub quantiles: Quantiles,
    /// How things stand.
    pub gauges: Gauges,
}

/// How things stand in all pools together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Clients that do not wait.
    pub cl_active: u32,
    /// Clients that wait for a server.
    pub cl_waiting: u32,
    /// How long the first of them has waited, in microseconds.
    pub maxwait_us: u64,
    /// Servers with a client.
    pub sv_active: u32,
    /// Servers without.
    pub sv_idle: u32,
    /// Logins to servers under way.
    pub sv_login: u32,
}

impl Gauges {
    /// Sums the pools up.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut sum = snapshot
            .pools
            .iter()
            .fold(Self::default(), |sum, pool| Self {
                // Pools of replicas have the clients of their primary's, who are not there twice.
                cl_active: sum.cl_active + pool.key.replica.as_ref().map_or(pool.clients, |_| 0),
                cl_waiting: sum.cl_waiting + pool.cl_waiting,
                maxwait_us: sum.maxwait_us.max(pool.maxwait_us),
                sv_active: sum.sv_active + pool.sv_active,
                sv_idle: sum.sv_idle + pool.sv_idle + pool.sv_used,
                sv_login: sum.sv_login + pool.sv_login,
            });
        sum.cl_active = sum.cl_active.saturating_sub(sum.cl_waiting);
        sum
    }
}

impl Point {
    /// As the API has it.
    pub fn json(&self) -> Value {
        let at = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut point = json!({
            "at": (at.as_secs_f64() * 1e3).round() / 1e3,
            "xact_count": self.average.xacts,
            "query_count": self.average.queries,
            "xact_time": self.average.xact_us,
            "query_time": self.average.query_us,
            "wait_time": self.average.wait_us,
            "received": self.average.received,
            "sent": self.average.sent,
            "errors": self.errors,
            "failed": self.failed,
            "cl_active": self.gauges.cl_active,
            "cl_waiting": self.gauges.cl_waiting,
            "maxwait_us": self.gauges.maxwait_us,
            "sv_active": self.gauges.sv_active,
            "sv_idle": self.gauges.sv_idle,
        });
        if let Some(point) = point.as_object_mut() {
            self.quantiles.add_to(point);
        }
        point
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    points: VecDeque<Point>,
    last: Option<(Instant, Totals, Times)>,
    /// Of each pool.
    pub pools: Tracks,
}

fn per_second(before: u64, after: u64, period: Duration) -> f64 {
    let change = after.saturating_sub(before) as f64;
    let rate = change / period.as_secs_f64().max(1e-6);
    (rate * 100.0).round() / 100.0
}

impl History {
    /// Takes a point. The first call only begins: there is nothing to compare with.
    pub fn take(&mut self, snapshot: &Snapshot, moment: Instant, at: SystemTime) {
        self.pools.take(snapshot, moment, at);
        let (mut totals, mut times) = (Totals::default(), Times::default());
        for pool in &snapshot.pools {
            totals.add(&pool.totals);
            times.add(&pool.times);
        }
        let Some((before, was, took)) = self.last.replace((moment, totals, times)) else {
            return;
        };
        let period = moment.saturating_duration_since(before);
        if self.points.len() >= MOST {
            self.points.pop_front();
        }
        self.points.push_back(Point {
            at,
            average: average(&was, &totals, period),
            errors: per_second(was.errors, totals.errors, period),
            failed: per_second(was.failed, totals.failed, period),
            quantiles: Quantiles::of(&times.since(&took)),
            gauges: Gauges::of(snapshot),
        });
    }

    /// The newest.
    pub fn last(&self) -> Option<&Point> {
        self.points.back()
    }

    /// All, the oldest first.
    pub fn points(&self) -> impl ExactSizeIterator<Item = &Point> {
        self.points.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_a_cluster_are_counted_once_wherever_they_wait() {
        let mut snapshot = crate::admin::tests::snapshot();
        let before = Gauges::of(&snapshot);
        let mut replica = snapshot.pools[0].clone();
        replica.key.replica = Some("b".into());
        replica.cl_waiting = 0;
        snapshot.pools.push(replica);
        let after = Gauges::of(&snapshot);
        assert_eq!(after.cl_active, before.cl_active);
        assert!(after.sv_active > before.sv_active);
        snapshot.pools[2].cl_waiting = 1;
        let waits = Gauges::of(&snapshot);
        assert_eq!(waits.cl_waiting, before.cl_waiting + 1);
        assert_eq!(waits.cl_active, before.cl_active - 1);
    }

    #[test]
    fn points_tell_what_happened_since_the_one_before() {
        let mut history = History::default();
        let (start, now) = (Instant::now(), SystemTime::now());
        let mut snapshot = crate::admin::tests::snapshot();
        history.take(&snapshot, start, now);
        assert!(history.last().is_none());
        snapshot.pools[0].totals.queries += 100;
        snapshot.pools[0].totals.query_us += 50_000;
        snapshot.pools[0].totals.errors += 5;
        for micros in [50, 50, 50, 700] {
            snapshot.pools[0].times.xact.note(micros);
        }
        history.take(&snapshot, start + Duration::from_secs(10), now);
        let point = history.last().expect("a point");
        assert_eq!((point.average.queries, point.average.query_us), (10, 500));
        assert_eq!((point.errors, point.failed), (0.5, 0.0));
        assert_eq!(point.gauges.cl_waiting, 4);
        let xact = point.quantiles.xact.expect("transactions");
        assert!(xact.p50 <= 100 && xact.p95 > 500, "{xact:?}");
        assert_eq!(point.json()["xact_p95_us"], xact.p95);
        assert_eq!(point.json()["query_p50_us"], Value::Null);
        // A pool was forgotten: its counters went with it.
        snapshot.pools.clear();
        history.take(&snapshot, start + Duration::from_secs(20), now);
        let point = history.last().expect("a point");
        assert_eq!((point.average.queries, point.errors), (0, 0.0));
        for second in 0..2 * MOST as u64 {
            history.take(&snapshot, start + Duration::from_secs(30 + second), now);
        }
        assert_eq!(history.points().len(), MOST);
    }
}
