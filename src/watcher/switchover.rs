//! A planned switchover: the writes of a cluster move to a replica, and nothing is lost.
//!
//! Everything that can be looked at beforehand is, while clients still work. Then no transaction is begun
//! any more; those under way have their time to end; the replica has its time to replay what the primary
//! wrote last; then it is promoted. Up to the promotion every step that fails, or takes too long, puts
//! everything back as it was. A promotion of which nobody knows whether it happened leaves the database
//! paused: to go on with the old primary might lose what is written there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::config::Host;
use crate::control::{Control, Switched, SwitchoverAsked};
use crate::derivation::Derivation;
use crate::pool::cluster::{Cluster, Switching};
use crate::pool::key::PoolKey;
use crate::route::switchover::target;
use crate::route::topology::end_of_records;
use crate::server::side::{Side, SideError};
use crate::timer::timeout;

/// Longest wait for transactions to end; half of `query_wait_timeout` if that is shorter, so that no
/// client that waits meanwhile gives up.
const TRANSACTIONS: Duration = Duration::from_secs(30);
/// Longest wait for the replica to replay what is left.
const REPLAY: Duration = Duration::from_secs(10);
/// Longest wait for the promotion: half of it is PostgreSQL's.
const PROMOTION: Duration = Duration::from_secs(20);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(10);
/// Users that are tried.
const MOST_USERS: usize = 16;

/// What a replica is asked before anything happens.
const READY: &str = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_is_wal_replay_paused(), \
    pg_catalog.has_function_privilege('pg_catalog.pg_promote(boolean, integer)', 'EXECUTE')";

/// Carries out what is asked until nobody can ask any more.
pub async fn run(
    control: Control,
    derivation: Arc<Derivation>,
    mut asked: mpsc::Receiver<SwitchoverAsked>,
) {
    while let Some(asked) = asked.recv().await {
        let (control, derivation) = (control.clone(), derivation.clone());
        // Goes on if whoever asked does not wait for the end: half a switchover helps nobody.
        tokio::spawn(async move {
            let database = asked.database.clone();
            let outcome = switch(&control, &derivation, &database, asked.to.as_deref()).await;
            match &outcome {
                Ok(done) => {
                    tracing::warn!(%database, from = done.from, to = done.to, paused = ?done.paused, "switchover done")
                }
                Err(error) => tracing::error!(%database, error, "switchover failed"),
            }
            let _ = asked.answer.send(outcome);
        });
    }
}

async fn switch(
    control: &Control,
    derivation: &Derivation,
    database: &str,
    to: Option<&str>,
) -> Result<Switched, String> {
    let clusters = &control.process().clusters;
    let cluster = clusters.get(database).map(|entry| entry.value().clone());
    let cluster =
        cluster.ok_or_else(
            || match control.process().config.load().database(database) {
                Some(entry) if entry.is_cluster() => {
                    format!("nobody has used {database} yet, and its servers are not known")
                }
                _ => format!("{database} has no list of servers (servers = [...])"),
            },
        )?;
    let name = |at: usize| {
        cluster
            .hosts
            .get(at)
            .map(Host::to_string)
            .unwrap_or_default()
    };
    let wanted = to.map(|to| {
        let found = (0..cluster.hosts.len()).find(|&at| name(at).eq_ignore_ascii_case(to));
        found.ok_or_else(|| {
            let all: Vec<String> = (0..cluster.hosts.len()).map(name).collect();
            format!(
                "{to} is none of the servers of {database}: {}",
                all.join(", ")
            )
        })
    });
    let view = cluster.view();
    let new = target(&view, wanted.transpose()?, |at| cluster.is_barred(at), name)?;
    let old = view
        .primary
        .ok_or("no server says that it is the primary now")?;
    let (from, to) = (name(old), name(new));
    let marked = Switching::begin(&cluster, new).ok_or("another switchover is under way")?;
    {
        let holds = control.process().holds.read();
        if holds.all || holds.paused.contains(database) {
            return Err(format!("{database} is paused; RESUME it first"));
        }
    }
    let (mut primary, mut replica) =
        sessions(control, derivation, database, &cluster, old, new).await?;

    marked.step("waits for transactions to end");
    let began = Instant::now();
    let mut held = Held {
        control,
        database,
        keep: false,
    };
    wait_for_transactions(control, database).await?;
    marked.step("waits for the replica to replay everything");
    let position = replayed(&mut primary, &mut replica, &to).await?;

    marked.step("promotes the replica");
    tracing::warn!(
        database,
        from,
        to,
        position,
        "switchover: promoting the replica"
    );
    let promise = format!(
        "SELECT pg_catalog.pg_promote(true, {})",
        PROMOTION.as_secs() / 2
    );
    match replica.ask(&promise).await {
        Ok(_) => {}
        Err(SideError::Server(refused)) => {
            return Err(format!(
                "{to} refused to be promoted: {refused}; {from} is still the primary"
            ));
        }
        // It may have been heard.
        Err(error) => {
            tracing::warn!(database, to, %error, "switchover: no answer to the promotion")
        }
    }
    // From here on nobody may write to the old one.
    held.keep = true;
    let known = async {
        while cluster.view().primary != Some(new) {
            cluster.look_now();
            crate::timer::sleep(PAUSE).await;
        }
    };
    if timeout(PROMOTION, known).await.is_err() {
        return Err(format!(
            "{to} was told to become the primary and does not say that it is; {database} stays paused: look \
             at both servers (SHOW CLUSTER), then RESUME {database}"
        ));
    }
    held.keep = false;
    drop(held);
    let paused = began.elapsed();
    drop(marked);
    primary.terminate().await;
    replica.terminate().await;
    Ok(Switched {
        from,
        to,
        position: lsn(position),
        paused,
    })
}

/// A database that is paused. Goes on when this is dropped, unless it is to keep.
struct Held<'a> {
    control: &'a Control,
    database: &'a str,
    keep: bool,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.keep {
            self.control.resume(Some(self.database));
        }
    }
}

async fn wait_for_transactions(control: &Control, database: &str) -> Result<(), String> {
    let config = control.process().config.load_full();
    let patience = config
        .database(database)
        .map(|entry| config.query_wait_timeout(&entry, ""))
        .filter(|limit| !limit.is_zero())
        .map_or(TRANSACTIONS, |limit| TRANSACTIONS.min(limit / 2));
    if timeout(patience, control.pause(Some(database)))
        .await
        .is_ok()
    {
        return Ok(());
    }
    let snapshot = control.snapshot().await;
    let left = snapshot
        .servers
        .iter()
        .filter(|server| &*server.key.database == database);
    let left = left.filter(|server| server.client != 0).count();
    Err(format!(
        "{left} server connections of {database} are still in use after {} ms (SHOW SERVERS tells whose); \
         everything is as it was",
        patience.as_millis()
    ))
}

/// Waits until the replica has replayed what the primary has written; gives up to where.
async fn replayed(primary: &mut Side, replica: &mut Side, to: &str) -> Result<u64, String> {
    let question =
        "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')";
    let written = number(primary, question).await.map_err(|error| {
        format!("the primary does not say how far it has written: {error}; everything is as it was")
    })?;
    let last = end_of_records(written);
    let question = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0')";
    let until = Instant::now() + REPLAY;
    loop {
        let there = number(replica, question).await.map_err(|error| {
            format!("{to} does not say how far it has replayed: {error}; everything is as it was")
        })?;
        if there >= last {
            return Ok(last);
        }
        if Instant::now() >= until {
            return Err(format!(
                "{to} lacks {} bytes of the write-ahead log after {} s; everything is as it was",
                last - there,
                REPLAY.as_secs()
            ));
        }
        crate::timer::sleep(PAUSE).await;
    }
}

async fn number(side: &mut Side, question: &str) -> Result<u64, String> {
    let rows = side
        .ask(question)
        .await
        .map_err(|error| error.to_string())?;
    let value = rows
        .first()
        .and_then(|row| row.first()?.as_deref()?.parse().ok());
    value.ok_or_else(|| "the answer is no number".to_owned())
}

fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff)
}

/// Connections to the primary and to the replica, as a user of the database who may promote.
async fn sessions(
    control: &Control,
    derivation: &Derivation,
    database: &str,
    cluster: &Cluster,
    old: usize,
    new: usize,
) -> Result<(Side, Side), String> {
    let keys = (control.process().placement.iter())
        .map(|entry| entry.key().clone())
        .filter(|key| &*key.database == database);
    let mut keys: Vec<PoolKey> = keys.collect();
    keys.sort();
    let mut users = Vec::new();
    for key in keys.iter().take(MOST_USERS) {
        let Some(spec) = control.side_spec(key).await else {
            continue;
        };
        let mut connect = spec.connect;
        let mut open = async |at: usize| {
            let host = cluster.hosts.get(at).ok_or("the server is gone")?;
            connect.host.clone_from(host);
            let side = Side::connect(&connect, derivation, "pgweir switchover");
            match timeout(CONNECT, side).await {
                Ok(side) => side.map_err(|error| format!("{host}: {error}")),
                Err(_) => Err(format!("{host}: no answer within {} s", CONNECT.as_secs())),
            }
        };
        let mut replica = open(new).await?;
        let rows = replica
            .ask(READY)
            .await
            .map_err(|error| error.to_string())?;
        let said = |at: usize| rows.first().and_then(|row| row.get(at)?.as_deref()) == Some("t");
        if !said(0) {
            return Err("the replica is not in recovery".to_owned());
        }
        if said(1) {
            return Err(
                "replay is paused on the replica; there, SELECT pg_wal_replay_resume()".to_owned(),
            );
        }
        if said(2) {
            return Ok((open(old).await?, replica));
        }
        replica.terminate().await;
        users.push(key.user.to_string());
    }
    Err(format!(
        "no user that pgweir has a pool of may promote a server (seen: {}); on the primary, in this database: \
         GRANT EXECUTE ON FUNCTION pg_catalog.pg_promote(boolean, integer) TO {}; or PAUSE {database}, SELECT \
         pg_promote() on the replica as a superuser, RESUME {database}",
        users.join(", "),
        users.first().map_or("...", String::as_str)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_written_as_postgresql_writes_them() {
        assert_eq!(lsn(0), "0/0");
        assert_eq!(lsn(0x16_0ABC_DEF0), "16/ABCDEF0");
    }
}
