//! How reads are shared out among replicas: weights, zones, roles, sizes of pools.

use std::collections::BTreeMap;

use pgweir::demo::cluster::Cluster;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::support::pgweir::Setup;
use crate::support::postgres::Version;
use crate::support::site::{Site, WHERE, ask, connect, eventually_async, runtime, site_of, within};
use crate::support::wait::eventually;

/// How many of `reads` reads, one after the other, each server got.
fn given(site: &Site, reads: usize) -> BTreeMap<String, usize> {
    runtime().block_on(async {
        let client = connect(&site.pgweir).await;
        let mut given = BTreeMap::new();
        for _ in 0..reads {
            *given.entry(ask(&client, WHERE).await).or_default() += 1;
        }
        given
    })
}

#[test]
fn weights_are_kept_and_can_be_changed_while_it_runs() {
    for version in Version::ALL {
        let more = [("balance", "round-robin".into())];
        let words = ["", "weight=3", "weight=1"];
        let Some(mut site) = site_of(version, &words, &more, Setup::new()) else {
            continue;
        };
        site.settle(2);
        let of = |heavy: usize, light: usize| {
            BTreeMap::from([(site.replica(0), heavy), (site.replica(1), light)])
        };
        let (three_to_one, equal) = (of(30, 10), of(20, 20));
        let only_one = BTreeMap::from([(site.replica(0), 40)]);
        assert_eq!(given(&site, 40), three_to_one);
        let timeline = site.console("SHOW CLUSTER");
        site.reword(&["", "", ""]);
        // Nothing was forgotten: there is no moment without a replica.
        assert_eq!(given(&site, 40), equal, "{timeline}");
        site.reword(&["", "", "weight=0"]);
        assert_eq!(given(&site, 40), only_one);
        let named = format!("/* pgweir: route=127.0.0.1:{} */ {WHERE}", site.replica(1));
        let asked = runtime().block_on(async { ask(&connect(&site.pgweir).await, &named).await });
        assert_eq!(asked, site.replica(1));
    }
}

#[test]
fn reads_stay_in_their_zone_while_they_can() {
    let words = ["", "zone=b", "zone=a"];
    let setup = Setup::new().set("zone", "a");
    let Some(mut site) = site_of(Version::V15, &words, &[], setup) else {
        return;
    };
    site.settle(2);
    let near = BTreeMap::from([(site.replica(1), 20)]);
    let far = BTreeMap::from([(site.replica(0), 20)]);
    assert_eq!(given(&site, 20), near);
    let shown = site.console("SHOW CLUSTER");
    assert!(
        shown.lines().any(|line| line.ends_with("|1|a|reads")),
        "{shown}"
    );
    let told = site.console(&format!(
        "EXPLAIN ROUTE app '{}'",
        WHERE.replace('\'', "''")
    ));
    assert!(told.contains("of another zone"), "{told}");
    site.replicas.pop().expect("two").kill();
    eventually("the other zone has all", || {
        (given(&site, 20) == far).then_some(())
    });
}

#[test]
fn a_server_is_only_what_it_may_be() {
    let words = ["", "role=replica", ""];
    let Some(site) = site_of(Version::V15, &words, &[], Setup::new()) else {
        return;
    };
    site.settle(2);
    let name = |at: usize| format!("127.0.0.1:{}", site.replica(at));
    let refused = site.try_console(&format!("SWITCHOVER app TO {}", name(0)));
    assert!(refused.contains("must not be the primary"), "{refused}");
    // Promoted past pgweir, it gets nothing, and the primary stays who it is.
    (site.replicas[0].psql("postgres", "SELECT pg_promote()")).expect("a promotion");
    let fenced = format!("{}|fenced|", name(0));
    eventually("the one that may not is fenced", || {
        site.console("SHOW CLUSTER").contains(&fenced).then_some(())
    });
    site.pgweir.psql(
        &site.postgres,
        "t_trust",
        "app",
        "INSERT INTO item VALUES (1, 1)",
    );
    assert_eq!(
        site.postgres.psql("postgres", "SELECT count(*) FROM item"),
        "1"
    );
}

#[test]
fn pools_of_replicas_have_their_own_size() {
    let more = [("pool_size", 5.into()), ("replica_pool_size", 2.into())];
    let words = ["", "pool_size=1"];
    let Some(mut site) = site_of(Version::V15, &words, &more, Setup::new()) else {
        return;
    };
    site.settle(1);
    let at_once = |site: &Site| {
        runtime().block_on(async {
            let mut clients = Vec::new();
            for _ in 0..6 {
                clients.push(connect(&site.pgweir).await);
            }
            let asking: Vec<_> = (clients.into_iter())
                .map(|client| {
                    tokio::spawn(async move {
                        ask(&client, "SELECT count(*) FROM generate_series(1, 1000000)").await
                    })
                })
                .collect();
            for one in asking {
                one.await.expect("an answer");
            }
        });
        let server = format!("127.0.0.1:{}", site.replica(0));
        let shown = site.console("SHOW SERVERS");
        shown
            .lines()
            .filter(|line| line.contains(&site.replica(0)) || line.contains(&server))
            .count()
    };
    assert_eq!(at_once(&site), 1);
    site.reword(&["", ""]);
    assert_eq!(at_once(&site), 2);
}

#[test]
fn a_read_waits_for_what_its_client_wrote() {
    for version in Version::ALL {
        let more = [("replica_wait", "10s".into())];
        let Some(site) = site_of(version, &["", ""], &more, Setup::new()) else {
            continue;
        };
        site.settle(1);
        runtime().block_on(async {
            let client = connect(&site.pgweir).await;
            ask(&client, "INSERT INTO item VALUES (1, 0)").await;
            for n in 1..=20 {
                ask(&client, &format!("UPDATE item SET v = {n} WHERE id = 1")).await;
                let read = "SELECT v || ' ' || current_setting('port') FROM item WHERE id = 1";
                let wanted = format!("{n} {}", site.replica(0));
                assert_eq!(ask(&client, read).await, wanted);
            }
        });
        // What does not come in time is read from the primary.
        let short = [("replica_wait", "50ms".into())];
        let Some(site) = site_of(version, &["", ""], &short, Setup::new()) else {
            continue;
        };
        site.settle(1);
        pause(&site.replicas[0]);
        runtime().block_on(async {
            let client = connect(&site.pgweir).await;
            ask(&client, "INSERT INTO item VALUES (1, 7)").await;
            let read = "SELECT v || ' ' || current_setting('port') FROM item WHERE id = 1";
            assert_eq!(ask(&client, read).await, format!("7 {}", site.primary()));
        });
    }
}

fn pause(replica: &Cluster) {
    let paused = replica.psql("postgres", "SELECT pg_wal_replay_pause()");
    paused.expect("replay is paused");
    eventually("replay is paused", || {
        let state = replica.psql("postgres", "SELECT pg_get_wal_replay_pause_state()");
        (state.is_ok_and(|state| state == "paused")).then_some(())
    });
}

#[test]
fn the_primary_never_reads_if_it_must_not() {
    for version in Version::ALL {
        let more = [
            ("primary_reads", "never".into()),
            ("query_wait_timeout", "3s".into()),
        ];
        let Some(mut site) = site_of(version, &["", ""], &more, Setup::new()) else {
            continue;
        };
        site.settle(1);
        runtime().block_on(async {
            let (client, other) = (connect(&site.pgweir).await, connect(&site.pgweir).await);
            assert_eq!(ask(&client, WHERE).await, site.replica(0));
            pause(&site.replicas[0]);
            ask(&client, "INSERT INTO item VALUES (1, 7)").await;
            // It waits for the replica, while others read what is there.
            let reading = tokio::spawn(async move { ask(&client, "SELECT v FROM item").await });
            for _ in 0..10 {
                assert_eq!(ask(&other, WHERE).await, site.replica(0));
            }
            assert!(!reading.is_finished());
            let resumed = site.replicas[0].psql("postgres", "SELECT pg_wal_replay_resume()");
            resumed.expect("replay goes on");
            assert_eq!(within(reading).await.expect("a read"), "7");
            // A client may still name the primary.
            let named = format!("/* pgweir: route=primary */ {WHERE}");
            assert_eq!(ask(&other, &named).await, site.primary());
        });
        site.replicas[0].kill();
        runtime().block_on(async {
            let (client, other) = (connect(&site.pgweir).await, connect(&site.pgweir).await);
            eventually_async(async || site.console("SHOW CLUSTER").contains("|down|")).await;
            // Who waits can be cancelled, and goes on.
            let token = other.cancel_token();
            let waits = tokio::spawn(async move { (other.simple_query(WHERE).await, other) });
            eventually_async(async || site.console("SHOW CLIENTS").contains("|waiting|")).await;
            within(token.cancel_query(NoTls))
                .await
                .expect("a cancel request");
            let (cancelled, other) = within(waits).await.expect("an answer");
            let cancelled = cancelled.expect_err("cancelled");
            assert_eq!(
                cancelled.code(),
                Some(&SqlState::QUERY_CANCELED),
                "{cancelled}"
            );
            ask(&other, "INSERT INTO item VALUES (2, 2)").await;
            let refused = within(client.simple_query(WHERE))
                .await
                .expect_err("a timeout");
            let text = refused
                .as_db_error()
                .map(|error| error.message().to_owned());
            assert_eq!(text.as_deref(), Some("query_wait_timeout"), "{refused}");
        });
    }
}
