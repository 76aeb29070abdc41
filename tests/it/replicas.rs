//! A primary with two streaming replicas behind one name.

use std::time::{Duration, Instant};

use crate::support::message::{self, Message};
use crate::support::peer::Peer;
use crate::support::postgres::Version;
use crate::support::scene::{tags, the_error, values};
use crate::support::site::{
    Site, WHERE, ask, connect, eventually_async, first, runtime, site, within,
};
use crate::support::wait::eventually;
use tokio_postgres::SimpleQueryMessage;

#[test]
fn reads_go_to_replicas_and_everything_else_to_the_primary() {
    for version in Version::ALL {
        let Some(site) = site(version, 2, &[]) else {
            continue;
        };
        site.settle(2);
        let primary = site.primary();
        runtime().block_on(async {
            let client = connect(&site.pgweir).await;
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..40 {
                seen.insert(ask(&client, WHERE).await);
            }
            let replicas: std::collections::BTreeSet<String> =
                site.replicas.iter().map(|one| one.port().to_string()).collect();
            assert_eq!(seen, replicas, "PostgreSQL {version:?}");
            // The extended protocol, by name and without one.
            let statement = client.prepare(WHERE).await.expect("prepares");
            for _ in 0..10 {
                let row = client.query_one(&statement, &[]).await.expect("a row");
                assert!(replicas.contains(row.get::<_, &str>(0)));
            }
            // Asked without a write before it, which would send it to the primary by itself.
            assert_eq!(ask(&client, "SHOW port").await, primary);
            // What may write, lock or leave something goes to the primary, with all that is in the
            // same text.
            for text in [
                "BEGIN; SELECT current_setting('port'); COMMIT",
                "SELECT current_setting('port'), pg_backend_pid()",
                "SELECT current_setting('port'), nextval('s')",
                "SELECT current_setting('port') FROM item FOR UPDATE",
                "WITH x AS (INSERT INTO item VALUES (1, 1) ON CONFLICT DO NOTHING) SELECT current_setting('port')",
                "SHOW port",
                "SELECT current_setting('port'); DELETE FROM item",
                "SELECT current_setting('port'), pg_is_in_recovery()",
            ] {
                if text.contains("nextval") {
                    site.postgres.psql("postgres", "CREATE SEQUENCE s");
                }
                if text.contains("FOR UPDATE") {
                    site.postgres.psql("postgres", "INSERT INTO item VALUES (7, 7)");
                }
                assert_eq!(ask(&client, text).await, primary, "{text}");
            }
            // A transaction stays where it began.
            client.batch_execute("BEGIN").await.expect("begins");
            assert_eq!(ask(&client, WHERE).await, primary);
            client.batch_execute("COMMIT").await.expect("commits");
        });
        // The audit trail tells where each went, and why.
        let ran = |wanted: &str| site.ran(wanted).into_iter().next();
        let (server, route) = eventually("a read", || ran("select current_setting(?)"));
        assert_ne!(server, format!("127.0.0.1:{primary}"));
        assert_eq!(route, "replica");
        let write = eventually("a write", || ran("show port"));
        assert_eq!(write, (format!("127.0.0.1:{primary}"), "writes".to_owned()));
    }
}

#[test]
fn a_pipeline_of_reads_and_writes_keeps_its_order() {
    let Some(site) = site(Version::V15, 1, &[]) else {
        return;
    };
    site.settle(1);
    runtime().block_on(async {
        let client = connect(&site.pgweir).await;
        let read = client
            .prepare("SELECT count(*) FROM item")
            .await
            .expect("prepares");
        let write = client
            .prepare("INSERT INTO item VALUES ($1, 1)")
            .await
            .expect("prepares");
        for round in 0..200i64 {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&round];
            let (before, wrote, after) = tokio::join!(
                client.query_one(&read, &[]),
                client.execute(&write, &values),
                client.query_one(&read, &[]),
            );
            assert_eq!(wrote.expect("writes"), 1);
            assert_eq!(before.expect("reads").get::<_, i64>(0), round);
            assert_eq!(after.expect("reads").get::<_, i64>(0), round + 1);
        }
    });
}

/// Writes and at once reads; how many of the reads were stale.
async fn stale(site: &Site, rounds: i64, id: i64) -> u32 {
    let client = connect(&site.pgweir).await;
    client
        .batch_execute(&format!("INSERT INTO item VALUES ({id}, 0)"))
        .await
        .expect("inserts");
    let mut stale = 0;
    let write = format!("UPDATE item SET v = v + 1 WHERE id = {id}");
    let read = format!("SELECT v FROM item WHERE id = {id}");
    for round in 1..=rounds {
        client.batch_execute(&write).await.expect("updates");
        let seen = ask(&client, &read).await;
        stale += u32::from(seen.parse::<i64>() != Ok(round));
    }
    stale
}

#[test]
fn a_client_never_reads_what_was_before_its_own_write() {
    for version in Version::ALL {
        let Some(site) = site(version, 2, &[]) else {
            continue;
        };
        site.settle(2);
        // One replica is behind by a while, the other one stands still.
        site.replicas[0]
            .psql(
                "postgres",
                "ALTER SYSTEM SET recovery_min_apply_delay = '300ms'",
            )
            .expect("sets");
        site.replicas[0]
            .psql("postgres", "SELECT pg_reload_conf()")
            .expect("reloads");
        site.replicas[1]
            .psql("postgres", "SELECT pg_wal_replay_pause()")
            .expect("pauses");
        runtime().block_on(async {
            assert_eq!(stale(&site, 3000, 1).await, 0, "PostgreSQL {version:?}");
        });
    }
}

/// Rounds of the test below, all clients together.
fn rounds() -> u64 {
    let asked = std::env::var("PGWEIR_STALENESS_ROUNDS").ok();
    asked.map_or(4000, |rounds| rounds.parse().expect("a number"))
}

/// Many clients write, wait for less or more than the replica is behind, and read. Some of the reads are
/// the primary's and some the replica's, and none is old.
#[test]
fn reads_are_never_older_than_their_clients_writes_wherever_they_go() {
    const CLIENTS: u64 = 200;
    for version in Version::ALL {
        let Some(site) = site(version, 1, &[]) else {
            continue;
        };
        site.settle(1);
        let delay = "ALTER SYSTEM SET recovery_min_apply_delay = '15ms'";
        for text in [delay, "SELECT pg_reload_conf()"] {
            site.replicas[0].psql("postgres", text).expect("sets");
        }
        let replica = site.replicas[0].port().to_string();
        runtime().block_on(async {
            let mut clients = tokio::task::JoinSet::new();
            for id in 0..CLIENTS {
                let (client, replica) = (connect(&site.pgweir).await, replica.clone());
                let mut dice = 88_172_645_463_325_252u64 + id;
                clients.spawn(async move {
                    let insert = format!("INSERT INTO item VALUES ({id}, 0)");
                    client.batch_execute(&insert).await.expect("inserts");
                    let write = format!("UPDATE item SET v = v + 1 WHERE id = {id}");
                    let read =
                        format!("SELECT v, current_setting('port') FROM item WHERE id = {id}");
                    let (mut stale, mut far) = (0u64, 0u64);
                    for round in 1..=rounds() / CLIENTS {
                        client.batch_execute(&write).await.expect("updates");
                        dice ^= dice << 13;
                        dice ^= dice >> 7;
                        dice ^= dice << 17;
                        // A replica is asked ten times a second how far it is.
                        tokio::time::sleep(Duration::from_millis(dice % 700)).await;
                        let rows = client.simple_query(&read).await.expect("reads");
                        let row = rows.iter().find_map(|message| match message {
                            SimpleQueryMessage::Row(row) => Some(row),
                            _ => None,
                        });
                        let row = row.expect("a row");
                        stale += u64::from(row.get(0) != Some(&*round.to_string()));
                        far += u64::from(row.get(1) == Some(&*replica));
                    }
                    (stale, far)
                });
            }
            let (mut stale, mut far) = (0, 0);
            while let Some(one) = clients.join_next().await {
                let (old, there) = one.expect("a client");
                (stale, far) = (stale + old, far + there);
            }
            let all = rounds();
            println!(
                "PostgreSQL {version:?}: {all} rounds, {far} read on the replica, {stale} stale"
            );
            assert_eq!(stale, 0, "PostgreSQL {version:?}");
            assert!(far > all / 20 && far < all, "{far} of {all} on the replica");
        });
    }
}

#[test]
fn without_that_promise_it_does() {
    let off = [("read_your_writes", "off".into())];
    let Some(site) = site(Version::V15, 1, &off) else {
        return;
    };
    site.settle(1);
    site.replicas[0]
        .psql("postgres", "SELECT pg_wal_replay_pause()")
        .expect("pauses");
    runtime().block_on(async {
        assert!(stale(&site, 50, 1).await > 0, "the test above cannot fail");
    });
}

#[test]
fn a_replica_that_falls_behind_gets_no_reads() {
    let lag = [("max_replica_lag", "1s".into())];
    let Some(site) = site(Version::V18, 1, &lag) else {
        return;
    };
    site.settle(1);
    let replica = &site.replicas[0];
    replica
        .psql("postgres", "SELECT pg_wal_replay_pause()")
        .expect("pauses");
    site.postgres
        .psql("postgres", "INSERT INTO item VALUES (1, 1)");
    runtime().block_on(async {
        let client = connect(&site.pgweir).await;
        let until = Instant::now() + Duration::from_secs(20);
        while ask(&client, WHERE).await != site.primary() {
            assert!(Instant::now() < until, "still reads from the replica");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        replica
            .psql("postgres", "SELECT pg_wal_replay_resume()")
            .expect("resumes");
        while ask(&client, WHERE).await == site.primary() {
            assert!(Instant::now() < until, "never reads from the replica again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_promoted_replica_takes_the_writes() {
    for version in Version::ALL {
        let Some(mut site) = site(version, 2, &[]) else {
            continue;
        };
        site.settle(2);
        let old = site.primary();
        runtime().block_on(async {
            let client = connect(&site.pgweir).await;
            let idle = connect(&site.pgweir).await;
            client
                .batch_execute("INSERT INTO item VALUES (1, 1)")
                .await
                .expect("inserts");
            eventually("replay", || {
                let seen = site.replicas[0].psql("postgres", "SELECT count(*) FROM item");
                (seen.expect("reads") == "1").then_some(())
            });
            site.postgres.cluster.crash();
            site.replicas[0]
                .psql("postgres", "SELECT pg_promote()")
                .expect("promotes");
            let promoted = Instant::now();
            // An idle client notices nothing; its write waits for the new primary.
            within(idle.batch_execute("INSERT INTO item VALUES (2, 2)"))
                .await
                .unwrap_or_else(|error| panic!("PostgreSQL {version:?}: {error}"));
            eprintln!(
                "PostgreSQL {version:?}: written {} ms after the promotion",
                promoted.elapsed().as_millis()
            );
            let new = site.replicas[0].port().to_string();
            assert_eq!(ask(&idle, "SHOW port").await, new);
            let rows = site.replicas[0].psql("postgres", "SELECT count(*) FROM item");
            assert_eq!(rows.expect("reads"), "2");
            // The old primary comes back as what it was: nothing is written there.
            site.postgres.cluster.start().expect("starts");
            eventually("a fence", || {
                let all = site
                    .pgweir
                    .psql(&site.postgres, "t_trust", "pgweir", "SHOW CLUSTER");
                let fenced = all
                    .lines()
                    .any(|line| line.contains(&old) && line.contains("|fenced|"));
                fenced.then_some(())
            });
            for id in 10..30 {
                let text = format!("INSERT INTO item VALUES ({id}, 0)");
                idle.batch_execute(&text).await.expect("inserts");
            }
            let there = site.postgres.psql("postgres", "SELECT count(*) FROM item");
            assert_eq!(there, "1", "written to a demoted primary");
        });
    }
}

#[test]
fn a_replica_that_dies_is_not_missed() {
    let Some(mut site) = site(Version::V15, 2, &[]) else {
        return;
    };
    site.settle(2);
    let left = site.replicas[1].port().to_string();
    runtime().block_on(async {
        let client = connect(&site.pgweir).await;
        site.replicas[0].crash();
        let (mut errors, mut seen) = (0, String::new());
        for _ in 0..200 {
            match client.simple_query(WHERE).await {
                Ok(rows) => seen = first(&rows).unwrap_or_default(),
                Err(_) => errors += 1,
            }
        }
        assert_eq!((errors, seen), (0, left));
    });
}

/// What reads as far as its text tells and cannot run on a replica runs on the primary, and nobody is
/// told of the attempt.
#[test]
fn what_a_replica_refuses_is_asked_of_the_primary() {
    for version in Version::ALL {
        let Some(site) = site(version, 1, &[]) else {
            continue;
        };
        site.postgres.psql(
            "postgres",
            "CREATE UNLOGGED TABLE fast (id int, v text); INSERT INTO fast VALUES (1, 'one'), (2, 'two');
             CREATE TABLE visit (n int);
             CREATE FUNCTION seen() RETURNS text LANGUAGE plpgsql AS
                 $$BEGIN INSERT INTO visit VALUES (1); RETURN current_setting('port'); END$$;
             CREATE VIEW counted AS SELECT seen() AS port",
        );
        site.settle(1);
        let primary = site.primary();
        runtime().block_on(async {
            let client = connect(&site.pgweir).await;
            // A view whose function writes, by the simple protocol.
            assert_eq!(ask(&client, "SELECT port FROM counted").await, primary);
            // The shape is known by now; what is not goes to the replica as before.
            assert_eq!(ask(&client, "SELECT port FROM counted").await, primary);
            let visits = "SELECT count(*)::text FROM visit";
            assert_eq!(
                ask(&client, visits).await,
                "2",
                "neither lost nor done twice"
            );
            // What wrote is followed by reads of the primary until the replica has it.
            let replica = site.replicas[0].port().to_string();
            eventually_async(|| async { ask(&client, WHERE).await == replica }).await;
            // Prepared, and without a name; both describe, bind and execute.
            let statement = within(client.prepare("SELECT v FROM fast WHERE id = $1")).await;
            let statement = statement.expect("prepares");
            for id in [1, 2, 1] {
                let row = within(client.query_one(&statement, &[&id]))
                    .await
                    .expect("a row");
                assert_eq!(row.get::<_, &str>(0), ["one", "two"][id as usize - 1]);
            }
            let types = &[(&2i32 as _, tokio_postgres::types::Type::INT4)];
            eventually_async(|| async { ask(&client, WHERE).await == replica }).await;
            for _ in 0..3 {
                let rows = client.query_typed("SELECT v AS x FROM fast WHERE id = $1", types);
                let rows = within(rows).await.expect("rows");
                assert_eq!(rows[0].get::<_, &str>(0), "two");
            }
            // What follows in the same connection is as ever.
            eventually_async(|| async { ask(&client, WHERE).await == replica }).await;
            for text in [
                "select port from counted",
                "select v from fast where id = $1",
                "select v as x from fast where id = $1",
            ] {
                let ran = eventually("its line", || {
                    let ran = site.ran(text);
                    (ran.len() >= 2).then_some(ran)
                });
                let server = format!("127.0.0.1:{primary}");
                let refused = (server, "refused".to_owned());
                assert!(ran.iter().all(|one| *one == refused), "{text}: {ran:?}");
            }
            // A mistake is told as it is, and asked only once.
            let error = within(client.simple_query("SELECT 1/0"))
                .await
                .expect_err("an error");
            assert_eq!(error.code().map(|code| code.code()), Some("22012"));
        });
    }
}

/// An error that pgweir says itself comes where PostgreSQL would say it: behind the replies that were
/// held back in case the replica cannot run the batch.
#[test]
fn what_is_refused_on_a_replica_keeps_its_place() {
    let Some(site) = site(Version::V15, 1, &[]) else {
        return;
    };
    site.settle(1);
    let mut peer = Peer::login(site.pgweir.address(), "t_trust", "app");
    let mut ask = |messages: &[Message]| {
        peer.send(&[messages, &[message::sync()]].concat());
        peer.until_ready(1)
    };
    let prepared = ask(&[message::parse("s", WHERE)]);
    assert_eq!(tags(&prepared), "1Z", "{prepared:?}");
    let bind = message::bind("", "s", &[]);
    let ran = ask(&[bind.clone(), message::execute("", 0)]);
    let replica = site.replicas[0].port().to_string();
    assert_eq!(values(&ran), [replica], "{ran:?}");
    site.console("SET RULE 'select-star' ACTION 'block'");
    let refused = ask(&[
        message::parse("", WHERE),
        message::bind("", "", &[]),
        message::parse("", "SELECT * FROM item"),
    ]);
    assert_eq!(tags(&refused), "12EZ", "{refused:?}");
    assert!(the_error(&refused).sqlstate().starts_with("QL"));
}

/// A client says where a read goes; a write goes where it can.
#[test]
fn a_client_says_where_it_reads() {
    let more = [("primary_reads", "only".into())];
    for version in Version::ALL {
        let Some(site) = site(version, 2, &more) else {
            continue;
        };
        site.settle(2);
        let primary = site.primary();
        let replicas: Vec<String> = site
            .replicas
            .iter()
            .map(|one| one.port().to_string())
            .collect();
        runtime().block_on(async {
            let client = connect(&site.pgweir).await;
            assert_eq!(ask(&client, WHERE).await, primary, "the policy");
            let hinted = |hint: &str| format!("/* pgweir: route={hint} */ {WHERE}");
            for _ in 0..10 {
                let text = hinted("replica");
                assert!(replicas.contains(&ask(&client, &text).await));
                let text = hinted(&format!("127.0.0.1:{}", replicas[1]));
                assert_eq!(ask(&client, &text).await, replicas[1]);
                let statement = within(client.prepare(&text)).await.expect("prepares");
                let row = within(client.query_one(&statement, &[]))
                    .await
                    .expect("a row");
                assert_eq!(row.get::<_, &str>(0), replicas[1]);
            }
            assert_eq!(
                ask(&client, &hinted("127.0.0.1:1")).await,
                primary,
                "nobody"
            );
            let explain = |text: &str| {
                let ask = format!("EXPLAIN ROUTE app '{}'", text.replace('\'', "''"));
                site.pgweir.psql(&site.postgres, "t_trust", "pgweir", &ask)
            };
            let told = explain(WHERE);
            assert!(told.contains("because|primary_reads = only"), "{told}");
            let told = explain(&hinted(&format!("127.0.0.1:{}", replicas[1])));
            let to = format!("goes to|127.0.0.1:{}\n", replicas[1]);
            assert!(told.contains(&to), "{told}");
            let told = explain("DELETE FROM item");
            assert!(told.contains("it is a command that may write"), "{told}");
            let write = "/* pgweir: route=replica */ INSERT INTO item VALUES (9, 9) \
                         ON CONFLICT (id) DO UPDATE SET v = 9 RETURNING current_setting('port')";
            assert_eq!(ask(&client, write).await, primary);
            // For the session, as long as it wants it, and past its transactions.
            let client = connect(&site.pgweir).await;
            client
                .batch_execute("SET pgweir.route = 'replica'")
                .await
                .expect("set");
            assert_eq!(ask(&client, "SHOW pgweir.route").await, "replica");
            // A SET may be a write, so its client waits until a replica is that far.
            eventually_async(|| async { replicas.contains(&ask(&client, WHERE).await) }).await;
            assert_eq!(ask(&client, &hinted("primary")).await, primary);
            client
                .batch_execute("RESET pgweir.route")
                .await
                .expect("reset");
            assert_eq!(ask(&client, WHERE).await, primary);
        });
    }
}

/// What one session has written another can wait for: it is told the place in the log.
#[test]
fn a_session_reads_what_another_wrote() {
    for version in Version::ALL {
        let Some(site) = site(version, 1, &[]) else {
            continue;
        };
        site.settle(1);
        let (primary, replica) = (site.primary(), site.replicas[0].port().to_string());
        runtime().block_on(async {
            let (one, other) = (connect(&site.pgweir).await, connect(&site.pgweir).await);
            let on_replica = || async { ask(&other, WHERE).await == replica };
            // A SET may be a write: set first, and wait until that is over.
            within(other.batch_execute("SET pgweir.min_lsn = '0/0'"))
                .await
                .expect("set");
            eventually_async(on_replica).await;
            (site.replicas[0].psql("postgres", "SELECT pg_wal_replay_pause()")).expect("pauses");
            let paused = "SELECT pg_get_wal_replay_pause_state()";
            eventually("the pause", || {
                let state = site.replicas[0].psql("postgres", paused).ok()?;
                (state == "paused").then_some(())
            });
            within(one.batch_execute("INSERT INTO item VALUES (77, 1)"))
                .await
                .expect("writes");
            let place = ask(&one, "SELECT pg_current_wal_insert_lsn()").await;
            // Without a token nothing tells the other session of the write.
            let seen = "SELECT count(*), current_setting('port') FROM item WHERE id = 77";
            assert_eq!(ask(&other, seen).await, "0");
            let set = format!("SET pgweir.min_lsn = '{place}'");
            within(other.batch_execute(&set)).await.expect("set");
            for _ in 0..20 {
                assert_eq!(ask(&other, seen).await, "1", "the primary has it");
                assert_eq!(ask(&other, WHERE).await, primary);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (site.replicas[0].psql("postgres", "SELECT pg_wal_replay_resume()")).expect("goes on");
            eventually_async(on_replica).await;
            assert_eq!(ask(&other, seen).await, "1", "and the replica by now");
        });
    }
}

/// A transaction that says that it only reads runs on one replica, with all that is in it.
#[test]
fn a_transaction_that_only_reads_goes_to_a_replica() {
    for version in Version::ALL {
        let Some(site) = site(version, 2, &[]) else {
            continue;
        };
        site.settle(2);
        let primary = site.primary();
        let replicas: Vec<String> = site
            .replicas
            .iter()
            .map(|one| one.port().to_string())
            .collect();
        runtime().block_on(async {
            let client = connect(&site.pgweir).await;
            let run = async |text: &str| within(client.batch_execute(text)).await;
            for begin in [
                "BEGIN READ ONLY",
                "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            ] {
                run(begin).await.expect("begins");
                let first = ask(&client, WHERE).await;
                assert!(replicas.contains(&first), "{begin}: {first}");
                for text in [
                    WHERE,
                    "SELECT current_setting('port'), count(*) FROM item",
                    "SHOW port",
                ] {
                    assert_eq!(ask(&client, text).await, first, "one server for all");
                }
                let statement = within(client.prepare(WHERE)).await.expect("prepares");
                let row = within(client.query_one(&statement, &[]))
                    .await
                    .expect("a row");
                assert_eq!(row.get::<_, &str>(0), first);
                run("SAVEPOINT a").await.expect("a savepoint");
                let error = run("INSERT INTO item VALUES (1, 1)")
                    .await
                    .expect_err("reads only");
                assert_eq!(error.code().map(|code| code.code()), Some("25006"));
                run("ROLLBACK TO a").await.expect("back");
                assert_eq!(ask(&client, WHERE).await, first);
                let error = run("SELECT pg_advisory_xact_lock(1)")
                    .await
                    .expect_err("no lock");
                assert_eq!(error.code().map(|code| code.code()), Some("0A000"));
                run("ROLLBACK").await.expect("ends");
            }
            // What follows its end, sent without waiting for it, is another server's.
            for n in 0..20 {
                run("BEGIN READ ONLY").await.expect("begins");
                let insert = format!("INSERT INTO item VALUES ({}, 1)", 1000 + n);
                let (read, end, wrote, seen) = tokio::join!(
                    client.simple_query(WHERE),
                    client.simple_query("COMMIT"),
                    client.simple_query(&insert),
                    client.simple_query("SELECT count(*) FROM item WHERE id >= 1000"),
                );
                assert!(replicas.contains(&first(&read.expect("a row")).expect("a value")));
                end.expect("ends");
                wrote.expect("writes");
                let seen = first(&seen.expect("a row")).expect("a value");
                assert_eq!(seen, (n + 1).to_string(), "its own write");
                eventually_async(|| async { replicas.contains(&ask(&client, WHERE).await) }).await;
            }
            for begin in [
                "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
                "BEGIN READ WRITE",
                "BEGIN",
                "/* pgweir: route=primary */ BEGIN READ ONLY",
                "BEGIN READ ONLY; SELECT 1",
            ] {
                run(begin).await.expect("begins");
                assert_eq!(ask(&client, WHERE).await, primary, "{begin}");
                run("COMMIT").await.expect("ends");
                eventually_async(|| async { replicas.contains(&ask(&client, WHERE).await) }).await;
            }
            run("SET default_transaction_read_only = on")
                .await
                .expect("set");
            eventually_async(|| async { replicas.contains(&ask(&client, WHERE).await) }).await;
            run("BEGIN").await.expect("begins");
            assert!(replicas.contains(&ask(&client, WHERE).await));
            run("COMMIT").await.expect("ends");
        });
        let stays = [("read_only_transactions", "primary".into())];
        let site = self::site(version, 1, &stays).expect("a PostgreSQL");
        site.settle(1);
        runtime().block_on(async {
            let client = connect(&site.pgweir).await;
            client
                .batch_execute("BEGIN READ ONLY")
                .await
                .expect("begins");
            assert_eq!(ask(&client, WHERE).await, site.primary());
        });
    }
}
