//! Clusters, as series.

use std::sync::Arc;
use std::time::Instant;

use super::Reading;
use super::findings::Values;
use crate::pool::cluster::Cluster;
use crate::route::topology::{Server, View};

/// A value of each cluster, in the order of names.
fn of_each(reading: &Reading<'_>, value: impl Fn(&Cluster) -> f64) -> Values {
    let one = |(database, cluster): (Box<str>, Arc<Cluster>)| {
        (vec![database.into_string()], value(&cluster))
    };
    all(reading).into_iter().map(one).collect()
}

/// A value of each server of each cluster, if it is known, and one more label before it.
fn of_servers(
    reading: &Reading<'_>,
    value: impl Fn(&View, usize, &Server) -> Option<(Option<&'static str>, f64)>,
) -> Values {
    let mut values = Values::new();
    for (database, cluster) in all(reading) {
        let view = cluster.view();
        for (at, (host, server)) in cluster.hosts.iter().zip(&view.servers).enumerate() {
            if let Some((label, value)) = value(&view, at, server) {
                let mut labels = vec![database.to_string(), host.to_string()];
                labels.extend(label.map(str::to_owned));
                values.push((labels, value));
            }
        }
    }
    values
}

fn all(reading: &Reading<'_>) -> Vec<(Box<str>, Arc<Cluster>)> {
    let mut all: Vec<(Box<str>, Arc<Cluster>)> = (reading.process.clusters.iter())
        .map(|entry| (Box::from(&**entry.key()), entry.value().clone()))
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

pub(super) fn roles(reading: &Reading<'_>) -> Values {
    of_servers(reading, |_, _, server| {
        Some((Some(server.standing.as_str()), 1.0))
    })
}

pub(super) fn lag_seconds(reading: &Reading<'_>) -> Values {
    let now = Instant::now();
    of_servers(reading, |_, _, server| {
        Some((None, server.lag(now)?.as_secs_f64()))
    })
}

pub(super) fn mirrored(reading: &Reading<'_>) -> Values {
    let mut values = Values::new();
    let mut all: Vec<_> = (reading.process.mirrors.iter())
        .map(|entry| (entry.key().to_string(), entry.value().report()))
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    for (database, report) in all {
        for (outcome, count) in [
            ("same", report.same),
            ("rows_differ", report.rows_differ),
            ("errors_differ", report.errors_differ),
            ("failed", report.failed),
            ("dropped", report.dropped),
            ("passed_over", report.passed_over),
        ] {
            values.push((vec![database.clone(), outcome.to_owned()], count as f64));
        }
    }
    values
}

pub(super) fn banned(reading: &Reading<'_>) -> Values {
    let now = Instant::now();
    of_servers(reading, |_, _, server| {
        Some((None, f64::from(u8::from(server.banned(now).is_some()))))
    })
}

pub(super) fn lag_bytes(reading: &Reading<'_>) -> Values {
    of_servers(reading, |view, at, _| {
        Some((None, view.lag_bytes(at)? as f64))
    })
}

pub(super) fn refused(reading: &Reading<'_>) -> Values {
    of_each(reading, |cluster| cluster.refusals.numbers().0 as f64)
}

pub(super) fn retries(reading: &Reading<'_>) -> Values {
    of_each(reading, |cluster| cluster.refusals.numbers().1 as f64)
}
