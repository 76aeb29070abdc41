//! SHOW CLUSTER.

use std::time::Instant;

use super::View;
use crate::admin::table::Kind::{Numeric, Text};
use crate::admin::table::{Column, Row};
use crate::route::choice;
use crate::route::topology::Standing;

/// Columns of SHOW CLUSTER.
pub const CLUSTER: &[Column] = &[
    ("database", Text),
    ("server", Text),
    ("role", Text),
    ("timeline", Numeric),
    ("lag_bytes", Numeric),
    ("lag_ms", Numeric),
    ("latency_us", Numeric),
    ("active", Numeric),
    ("waiting", Numeric),
    ("reason", Text),
    ("weight", Numeric),
    ("zone", Text),
    ("state", Text),
];

/// Columns of EXPLAIN ROUTE.
pub const ROUTE: &[Column] = &[("item", Text), ("value", Text)];

/// Rows of SHOW CLUSTER.
pub fn cluster(view: &View<'_>) -> Vec<Row> {
    let now = Instant::now();
    let mut clusters: Vec<_> = (view.process.clusters.iter())
        .map(|entry| (entry.key().clone(), entry.value().clone()))
        .collect();
    clusters.sort_by(|one, other| one.0.cmp(&other.0));
    let mut rows = Vec::new();
    for (database, cluster) in clusters {
        let seen = cluster.view();
        let config = view.process.config.load();
        let policy = (config.database(&database)).and_then(|entry| entry.cluster());
        let policy = policy.unwrap_or_default();
        for (at, (host, server)) in cluster.hosts.iter().zip(&seen.servers).enumerate() {
            let name = host.to_string();
            let is_primary = seen.primary == Some(at);
            let pools = view.snapshot.pools.iter().filter(|pool| {
                pool.key.database == database
                    && match &pool.key.replica {
                        Some(replica) => **replica == *name,
                        None => is_primary,
                    }
            });
            let (active, waiting) = pools.fold((0, 0), |(active, waiting), pool| {
                (active + pool.sv_active, waiting + pool.cl_waiting)
            });
            let lag = server.lag(now).map(|lag| lag.as_millis() as u64);
            let lag_bytes = (server.standing == Standing::Replica)
                .then(|| seen.lag_bytes(at))
                .flatten();
            let reason = match cluster.switching_to(at) {
                Some(step) => format!("switchover to it: {step}"),
                None => match server.banned(now) {
                    Some(ban) if server.reason.is_empty() => {
                        let left = ban.until.saturating_duration_since(now);
                        format!("for another {:.1} s: {}", left.as_secs_f64(), ban.reason)
                    }
                    _ => server.reason.to_string(),
                },
            };
            rows.push(vec![
                database.to_string().into(),
                name.into(),
                server.standing.as_str().into(),
                server
                    .report
                    .map(|report| u64::from(report.timeline))
                    .into(),
                lag_bytes.into(),
                lag.into(),
                (server
                    .report
                    .map(|report| report.latency.as_micros() as u64))
                .into(),
                u64::from(active).into(),
                u64::from(waiting).into(),
                reason.into(),
                u64::from(server.share.weight).into(),
                cluster.zone(at).to_string().into(),
                choice::state(server, &policy, now).into(),
            ]);
        }
    }
    rows
}
