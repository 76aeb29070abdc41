//! What is going on, in one object.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::api::{objects, pools};
use super::endpoints;
use super::history::{Gauges, History, Point};
use super::problems::{Costliest, Facts, problems};
use crate::admin::show::View;
use crate::calendar::rfc3339;
use crate::lint::rule::Severity;
use crate::lint::rules::runtime::CONTENTION;
use crate::pool::process::Process;

/// Pools in it.
const MOST_POOLS: usize = 20;
/// Servers of clusters in it.
const MOST_SERVERS: usize = 100;
/// A finding that was not seen for so long is not what is wrong now.
const LATELY: Duration = Duration::from_secs(600);

/// The costliest finding that is open, at least a warning and seen lately. While clients wait for `locks`, which
/// is told by itself, none about such waits.
fn costliest(process: &Process, now: SystemTime, locks: bool) -> Option<Costliest> {
    let findings = process.findings.lock();
    let all = findings.all().into_iter();
    let open = all.filter(|finding| {
        finding.hit.severity >= Severity::Warn
            && !(locks && finding.hit.rule.id == CONTENTION.id)
            && now.duration_since(finding.last).unwrap_or_default() < LATELY
            && finding.status(now) == "open"
    });
    // What is critical loses data or lets somebody in; of the rest, what takes the most time.
    let worst = open.max_by_key(|finding| {
        let critical = finding.hit.severity == Severity::Critical;
        (
            critical,
            finding.cost.server_us + finding.cost.gap_us,
            finding.count,
        )
    })?;
    Some(Costliest {
        id: worst.id.to_string(),
        app: worst.subject.app.to_string(),
        database: worst.subject.database.to_string(),
        rule: worst.hit.rule.id,
        message: worst.hit.message.to_string(),
        since: now.duration_since(worst.first).unwrap_or_default(),
        round_trips: worst.cost.round_trips,
        server_us: worst.cost.server_us,
        critical: worst.hit.severity == Severity::Critical,
    })
}

/// Those first that clients wait for, then those that are used the most.
fn attention(row: &Map<String, Value>) -> (i64, i64, i64) {
    let number = |name: &str| row.get(name).and_then(Value::as_i64).unwrap_or(0);
    (
        number("cl_waiting"),
        number("maxwait") * 1_000_000 + number("maxwait_us"),
        number("sv_active"),
    )
}

/// The overview, with the newest point of the history.
pub fn overview(view: &View<'_>, history: &History) -> Value {
    let last = history.last();
    let now = SystemTime::now();
    let process = view.process;
    let phase = process.phase.get();
    let paused = process.holds.read().all;
    let gauges = Gauges::of(view.snapshot);
    let connected = process.clients.get();
    let max_client_conn = view.config.settings.max_client_conn;
    let mut cluster = endpoints::show("cluster").map_or(Vec::new(), |show| objects(show, view));
    cluster.truncate(MOST_SERVERS);
    let with_lag: Vec<(Map<String, Value>, u64)> = (cluster.iter())
        .map(|row| {
            let name = row
                .get("database")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let policy = view
                .config
                .database(name)
                .and_then(|database| database.cluster());
            let lag = policy.map_or(0, |policy| policy.max_lag.as_millis() as u64);
            (row.clone(), lag)
        })
        .collect();
    // Copied, since the thread that looks should not wait for this one.
    let locks = process.waits.lock().now.clone();
    let problems = problems(&Facts {
        snapshot: view.snapshot,
        cluster: &with_lag,
        phase,
        paused,
        clients: (process.places_taken().into(), max_client_conn.into()),
        failed: last.map_or(0.0, |point| point.failed),
        costliest: costliest(process, now, !locks.is_empty()),
        unwritten: process.observer.unwritten(),
        locks: &locks,
    });
    let problems: Vec<Value> = problems
        .iter()
        .map(super::problems::Problem::json)
        .collect();
    let mut pools = pools(view, &history.pools);
    let count = pools.len();
    pools.sort_by_key(|row| std::cmp::Reverse(attention(row)));
    pools.truncate(MOST_POOLS);
    json!({
        "at": rfc3339(now),
        "version": env!("CARGO_PKG_VERSION"),
        "started": rfc3339(process.started_at),
        "phase": phase.as_str(),
        "paused": paused,
        "max_client_conn": max_client_conn,
        "connected": connected,
        "cl_active": gauges.cl_active,
        "cl_waiting": gauges.cl_waiting,
        "maxwait_us": gauges.maxwait_us,
        "sv_active": gauges.sv_active,
        "sv_idle": gauges.sv_idle,
        "sv_login": gauges.sv_login,
        "pool_count": count,
        "now": last.map(Point::json),
        "problems": problems,
        "pools": pools,
        "cluster": cluster,
    })
}
