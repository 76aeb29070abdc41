//! What each pool did in the last minutes: a point each ten seconds.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::quantiles::Quantiles;
use crate::control::Snapshot;
use crate::pool::key::PoolKey;
use crate::pool::snapshot::PoolRow;
use crate::pool::stats::{Times, Totals};

/// Between two points.
const PERIOD: Duration = Duration::from_secs(10);

/// Who calls each second may be a little early.
const SLACK: Duration = Duration::from_millis(500);

/// Points of a pool that are kept: a quarter of an hour.
pub const MOST: usize = 90;

/// Points that all pools have together, about 6 MB; with many pools each has fewer.
const TOGETHER: usize = 40_000;

/// Pools that have points; those beyond have none.
const MOST_POOLS: usize = 4_000;

/// One point of a pool. Rates and quantiles are over the time since the one before.
#[derive(Clone, Debug)]
struct Point {
    at: SystemTime,
    xacts: f32,
    queries: f32,
    errors: f32,
    failed: f32,
    clients: u32,
    waiting: u32,
    active: u32,
    idle: u32,
    maxwait_us: u64,
    quantiles: Quantiles,
}

#[derive(Debug)]
struct Track {
    totals: Totals,
    times: Times,
    points: VecDeque<Point>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Tracks {
    pools: BTreeMap<PoolKey, Track>,
    last: Option<Instant>,
}

impl Track {
    fn take(&mut self, row: &PoolRow, at: SystemTime, period: Duration, most: usize) {
        let rate = |before: u64, after: u64| {
            after.saturating_sub(before) as f32 / period.as_secs_f32().max(1e-3)
        };
        let point = Point {
            at,
            xacts: rate(self.totals.xacts, row.totals.xacts),
            queries: rate(self.totals.queries, row.totals.queries),
            errors: rate(self.totals.errors, row.totals.errors),
            failed: rate(self.totals.failed, row.totals.failed),
            clients: row.clients.saturating_sub(row.cl_waiting),
            waiting: row.cl_waiting,
            active: row.sv_active,
            idle: row.sv_idle + row.sv_used,
            maxwait_us: row.maxwait_us,
            quantiles: Quantiles::of(&row.times.since(&self.times)),
        };
        (self.totals, self.times) = (row.totals, row.times);
        while self.points.len() >= most {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }
}

impl Tracks {
    /// Takes a point of each pool if it is time.
    pub fn take(&mut self, snapshot: &Snapshot, moment: Instant, at: SystemTime) {
        let period = (self.last).map(|last| moment.saturating_duration_since(last));
        if period.is_some_and(|period| period + SLACK < PERIOD) {
            return;
        }
        self.last = Some(moment);
        let rows = snapshot.whole_pools();
        let most = (TOGETHER / rows.len().clamp(1, MOST_POOLS)).min(MOST);
        let mut before = std::mem::take(&mut self.pools);
        for row in rows.into_iter().take(MOST_POOLS) {
            let track = match (before.remove(&row.key), period) {
                (Some(mut track), Some(period)) => {
                    track.take(&row, at, period, most);
                    track
                }
                // A pool's first look only begins: there is nothing to compare with.
                _ => Track {
                    totals: row.totals,
                    times: row.times,
                    points: VecDeque::new(),
                },
            };
            self.pools.insert(row.key, track);
        }
    }

    /// How long things took in a pool at the last look; all `None` if nothing is known.
    pub fn quantiles(&self, key: &PoolKey) -> Quantiles {
        let point = self.pools.get(key).and_then(|track| track.points.back());
        point.map_or_else(Quantiles::default, |point| point.quantiles)
    }

    /// The points of the pools that `wanted` says, given what names them; the oldest of each first.
    pub fn rows(&self, wanted: impl Fn(&Map<String, Value>) -> bool) -> Vec<Map<String, Value>> {
        let mut rows = Vec::new();
        for (key, track) in &self.pools {
            let mut name = Map::new();
            name.insert("database".to_owned(), (*key.database).into());
            name.insert("user".to_owned(), (*key.user).into());
            name.insert("replica".to_owned(), key.replica.as_deref().into());
            if wanted(&name) {
                rows.extend(track.points.iter().map(|point| point.row(&name)));
            }
        }
        rows
    }
}

impl Point {
    fn row(&self, name: &Map<String, Value>) -> Map<String, Value> {
        let at = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let rate = |rate: f32| (f64::from(rate) * 100.0).round() / 100.0;
        let mut row = name.clone();
        let values = [
            ("at", json!((at.as_secs_f64() * 1e3).round() / 1e3)),
            ("xact_count", json!(rate(self.xacts))),
            ("query_count", json!(rate(self.queries))),
            ("errors", json!(rate(self.errors))),
            ("failed", json!(rate(self.failed))),
            ("cl_active", json!(self.clients)),
            ("cl_waiting", json!(self.waiting)),
            ("maxwait_us", json!(self.maxwait_us)),
            ("sv_active", json!(self.active)),
            ("sv_idle", json!(self.idle)),
        ];
        row.extend(values.map(|(name, value)| (name.to_owned(), value)));
        self.quantiles.add_to(&mut row);
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::fields::POOL_POINT;
    use crate::web::quantiles::FIELDS;

    #[test]
    fn a_pool_has_points_as_long_as_it_is_there() {
        let mut tracks = Tracks::default();
        let (start, now) = (Instant::now(), SystemTime::now());
        let mut snapshot = crate::admin::tests::snapshot();
        let key = snapshot.pools[0].key.clone();
        tracks.take(&snapshot, start, now);
        assert!(tracks.rows(|_| true).is_empty());
        // Two workers have a part each.
        for part in &mut snapshot.pools {
            part.totals.queries += 50;
            for micros in [200, 200, 200, 3_000] {
                part.times.query.note(micros);
            }
        }
        tracks.take(&snapshot, start + Duration::from_secs(3), now);
        assert!(tracks.rows(|_| true).is_empty(), "too early");
        tracks.take(&snapshot, start + Duration::from_secs(10), now);
        let rows = tracks.rows(|_| true);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["query_count"], 10.0);
        let fields = [POOL_POINT, FIELDS].concat();
        assert!(fields.iter().all(|field| rows[0].contains_key(field.name)));
        assert_eq!(rows[0].len(), fields.len());
        assert_eq!(rows[0]["cl_waiting"], 4);
        assert_eq!(rows[0]["query_p50_us"], 200);
        assert_eq!(rows[0]["xact_p50_us"], Value::Null);
        let query = tracks.quantiles(&key).query.expect("queries");
        assert!((2_500..=5_000).contains(&query.p99), "{query:?}");
        assert!(tracks.rows(|name| name["user"] == "somebody").is_empty());
        // Nothing happens any more, and what was is no part of the interval.
        for round in 2..2 * MOST as u64 {
            tracks.take(&snapshot, start + PERIOD * round as u32, now);
        }
        assert_eq!(tracks.rows(|_| true).len(), MOST);
        assert_eq!(tracks.quantiles(&key), Quantiles::default());
        snapshot.pools.clear();
        tracks.take(&snapshot, start + PERIOD * 1_000, now);
        assert!(tracks.rows(|_| true).is_empty());
    }

    #[test]
    fn many_pools_have_fewer_points_each() {
        let mut tracks = Tracks::default();
        let (start, now) = (Instant::now(), SystemTime::now());
        let one = crate::admin::tests::snapshot().pools.remove(0);
        let pools = (0..MOST_POOLS + 10).map(|number| PoolRow {
            key: PoolKey::new("app", &format!("user {number}")),
            ..one.clone()
        });
        let snapshot = Snapshot {
            pools: pools.collect(),
            ..Snapshot::default()
        };
        for round in 0..13 {
            tracks.take(&snapshot, start + PERIOD * round, now);
        }
        assert_eq!(tracks.pools.len(), MOST_POOLS);
        let points = tracks.pools.values().map(|track| track.points.len());
        assert_eq!(points.sum::<usize>(), TOGETHER);
    }
}
