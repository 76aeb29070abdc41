//! Asks the servers of each cluster who they are and how far they have come.
//!
//! A task for each server with one connection of its own, so that one that hangs delays no news of
//! the others. It asks once in [`cluster_check_interval`](crate::config::Settings) and whenever
//! [`Cluster::look_now`] is called, as the user of a pool of the database. The question takes no
//! lock, reads no table and is answered by a replica too.

pub mod switchover;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::timer::timeout;

use crate::control::Control;
use crate::derivation::Derivation;
use crate::pool::cluster::Cluster;
use crate::pool::key::PoolKey;
use crate::route::functions::{self, Functions};
use crate::route::topology::Report;
use crate::server::side::{Rows, Side, SideError};

/// Shortest interval between two questions to one server.
const SHORTEST: Duration = Duration::from_millis(10);
/// Shortest pause before a question that somebody asks for out of turn.
const SPACING: Duration = Duration::from_millis(25);
/// How long a server has for an answer before it counts as down.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the primary is asked for the functions of the database.
const FUNCTIONS: Duration = Duration::from_secs(30);
/// Pause before it is looked again for somebody to ask as.
const TICK: Duration = Duration::from_millis(50);

/// One row: in recovery, system identifier, timeline, position.
///
/// The timeline of a primary is that of the log it writes: the control file has it only after the
/// next checkpoint. A replica's is that of what it receives, if the user may see that
/// (`pg_read_all_stats`), else that of its last restart point.
const WHO: &str = "SELECT r, s.system_identifier, \
    CASE WHEN r THEN greatest(c.timeline_id, (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver)) \
    ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::pg_catalog.bit(32)::pg_catalog.int4 END, \
    pg_catalog.pg_wal_lsn_diff(CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END, '0/0') \
    FROM (SELECT pg_catalog.pg_is_in_recovery() AS r) AS recovery, \
    pg_catalog.pg_control_system() AS s, pg_catalog.pg_control_checkpoint() AS c";

/// Keeps every cluster's servers asked until the process ends.
pub async fn run(control: Control, derivation: Arc<Derivation>) {
    let mut watched: HashMap<Arc<str>, Arc<Cluster>> = HashMap::new();
    loop {
        control.process().new_cluster.notified().await;
        watched.retain(|_, cluster| !cluster.is_retired());
        let clusters = &control.process().clusters;
        for entry in clusters {
            let (database, cluster) = (entry.key(), entry.value());
            if watched.contains_key(database) || cluster.is_retired() {
                continue;
            }
            watched.insert(database.clone(), cluster.clone());
            for at in 0..cluster.hosts.len() {
                tokio::spawn(watch(
                    control.clone(),
                    derivation.clone(),
                    database.clone(),
                    cluster.clone(),
                    at,
                ));
            }
        }
    }
}

/// Asks one server, again and again.
async fn watch(
    control: Control,
    derivation: Arc<Derivation>,
    database: Arc<str>,
    cluster: Arc<Cluster>,
    at: usize,
) {
    let mut side = None;
    let mut known = true;
    let mut functions: Option<Instant> = None;
    while !cluster.is_retired() {
        let asked = Instant::now();
        let asked_to_look = cluster.asked_to_look();
        tokio::pin!(asked_to_look);
        // Who asks to look during the question may have seen what happened behind it.
        asked_to_look.as_mut().enable();
        let said = ask(&control, &derivation, &database, &cluster, at, &mut side).await;
        let said = match said {
            Some(Ok(report)) => Ok(report),
            Some(Err(error)) => Err(error),
            None => {
                // No pool to ask as; the next client makes one.
                crate::timer::sleep(TICK).await;
                continue;
            }
        };
        let host = cluster.hosts.get(at).map(ToString::to_string);
        let host = host.unwrap_or_default();
        match (&said, known) {
            (Err(error), true) => {
                tracing::warn!(%database, server = host, %error, "a server of the cluster does not answer");
            }
            (Ok(_), false) => tracing::info!(%database, server = host, "the server answers again"),
            _ => {}
        }
        let is_back = said.is_ok() && !known;
        known = said.is_ok();
        if cluster.heard(at, said) {
            let primary = cluster.primary().map(|host| host.to_string());
            match primary {
                Some(primary) => tracing::warn!(%database, primary, "the primary of the cluster"),
                None => tracing::warn!(%database, "the cluster has no primary"),
            }
            control.primary_changed(&database);
        } else if is_back && cluster.view().primary == Some(at) {
            // Logins that failed meanwhile need not wait for their turn.
            control.primary_changed(&database);
        }
        let stale = functions.is_none_or(|asked| asked.elapsed() >= FUNCTIONS);
        if known && stale && cluster.view().primary == Some(at) {
            functions = Some(Instant::now());
            learn_functions(&cluster, &mut side).await;
        }
        let interval = control
            .process()
            .config
            .load()
            .settings
            .cluster_check_interval;
        let next = asked + interval.max(SHORTEST);
        crate::timer::sleep(SPACING.min(interval.max(SHORTEST))).await;
        let rest = next.saturating_duration_since(Instant::now());
        let _ = timeout(rest, asked_to_look).await;
    }
    if let Some(side) = side {
        side.terminate().await;
    }
}

/// One question to one server; `None` if there is nobody to ask as.
async fn ask(
    control: &Control,
    derivation: &Derivation,
    database: &Arc<str>,
    cluster: &Cluster,
    at: usize,
    side: &mut Option<Side>,
) -> Option<Result<Report, Box<str>>> {
    let late = || format!("no answer within {} ms", PATIENCE.as_millis());
    let mut open = match side.take() {
        Some(open) => open,
        None => {
            let key = some_pool(control, database)?;
            let mut spec = control.side_spec(&key).await?.connect;
            spec.host = cluster.hosts.get(at)?.clone();
            match timeout(PATIENCE, Side::connect(&spec, derivation, "pgweir watcher")).await {
                Ok(Ok(open)) => open,
                Ok(Err(error)) => return Some(Err(error.to_string().into())),
                Err(_) => return Some(Err(late().into())),
            }
        }
    };
    let asked = Instant::now();
    match timeout(PATIENCE, open.ask(WHO)).await {
        Ok(Ok(rows)) => {
            *side = Some(open);
            let latency = asked.elapsed();
            let no_sense = || SideError::Server("its answer makes no sense".to_owned()).to_string();
            Some(report(&rows, asked, latency).ok_or_else(|| no_sense().into()))
        }
        // A primary that is being promoted or demoted right now may answer with an error.
        Ok(Err(error)) => Some(Err(error.to_string().into())),
        Err(_) => Some(Err(late().into())),
    }
}

/// Asks the primary which functions of the database do not write. What was known before holds if it does not say.
async fn learn_functions(cluster: &Cluster, side: &mut Option<Side>) {
    let Some(open) = side else { return };
    match timeout(PATIENCE, open.ask(functions::QUESTION)).await {
        Ok(Ok(rows)) => {
            let found = Functions::read(&rows);
            if found != **cluster.functions.load() {
                cluster.functions.store(Arc::new(found));
            }
        }
        // It may be in the middle of its answer.
        _ => *side = None,
    }
}

fn some_pool(control: &Control, database: &Arc<str>) -> Option<PoolKey> {
    let placement = &control.process().placement;
    (placement.iter())
        .map(|entry| entry.key().clone())
        .find(|key| key.database == *database)
}

fn report(rows: &Rows, asked: Instant, latency: Duration) -> Option<Report> {
    let [row] = &rows[..] else { return None };
    let [recovery, system, timeline, position] = &row[..] else {
        return None;
    };
    let number = |value: &Option<String>| value.as_deref()?.parse().ok();
    Some(Report {
        asked,
        latency,
        in_recovery: recovery.as_deref()? == "t",
        system: number(system)?,
        timeline: timeline.as_deref()?.parse().ok()?,
        // Nothing replayed yet.
        position: number(position).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_odd_ones_refused() {
        let now = Instant::now();
        let read = |row: &[Option<&str>]| {
            let row = row.iter().map(|value| value.map(str::to_owned)).collect();
            report(&vec![row], now, Duration::ZERO)
        };
        let good = [
            Some("t"),
            Some("7300000000000000001"),
            Some("3"),
            Some("50331648"),
        ];
        let report = read(&good).expect("a report");
        assert!(report.in_recovery);
        assert_eq!((report.timeline, report.position), (3, 50_331_648));
        assert_eq!(report.system, 7_300_000_000_000_000_001);
        let unknown = read(&[Some("t"), Some("1"), Some("3"), None]).expect("a report");
        assert_eq!(unknown.position, 0);
        for odd in [
            &[None, Some("1"), Some("3"), Some("4")][..],
            &[Some("f"), Some("x"), Some("3"), Some("4")],
            &[Some("f"), Some("1"), Some("-3"), Some("4")],
            &[Some("f"), Some("1"), Some("3")],
        ] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
    }
}
