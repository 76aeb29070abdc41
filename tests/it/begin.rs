//! `defer_begin`: a BEGIN that goes where the first statement of its transaction goes.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::support::message::{self, Message, from_server};
use crate::support::peer::{FakeServer, Heard, Peer};
use crate::support::pgweir::{Pgweir, Setup, succeed};
use crate::support::postgres::Version;
use crate::support::site::{Site, WHERE, ask, connect, eventually_async, runtime, site, within};
use crate::support::wait::{eventually, patient};

fn deferring(version: Version, replicas: usize) -> Option<Site> {
    let site = site(version, replicas, &[("defer_begin", true.into())])?;
    site.settle(replicas);
    Some(site)
}

/// Type and, for ReadyForQuery, status of each message.
fn shape(messages: &[Message]) -> String {
    (messages.iter())
        .map(|message| match message.tag {
            b'Z' => char::from(message.body[0]).to_string(),
            tag => char::from(tag).to_string(),
        })
        .collect()
}

#[test]
fn the_first_statement_says_where_a_transaction_goes() {
    for version in Version::ALL {
        let Some(site) = deferring(version, 2) else {
            continue;
        };
        let primary = site.primary();
        let replicas: BTreeSet<String> = (0..2).map(|at| site.replica(at)).collect();
        runtime().block_on(async {
            let client = connect(&site.pgweir).await;
            let run = |text: &'static str| {
                let client = &client;
                async move { within(client.batch_execute(text)).await }
            };
            for begin in [
                "BEGIN",
                "START TRANSACTION;",
                "begin isolation level repeatable read",
            ] {
                run(begin).await.expect("begins");
                let first = ask(&client, WHERE).await;
                assert!(replicas.contains(&first), "{begin}: {first}");
                for text in [WHERE, "SHOW port"] {
                    assert_eq!(ask(&client, text).await, first, "one server for all");
                }
                run("COMMIT").await.expect("ends");
            }
            // What does not read takes the primary, with the BEGIN before it.
            for first in [
                "INSERT INTO item VALUES (1, 1) ON CONFLICT DO NOTHING",
                "SAVEPOINT a",
                "SET LOCAL work_mem = '1MB'",
                "LOCK item",
                "SELECT 1 FROM item FOR UPDATE",
                "BEGIN",
            ] {
                run("BEGIN").await.expect("begins");
                run(first)
                    .await
                    .unwrap_or_else(|error| panic!("{first}: {error}"));
                assert_eq!(ask(&client, WHERE).await, primary, "{first}");
                run("ROLLBACK").await.expect("ends");
                eventually_async(|| async { replicas.contains(&ask(&client, WHERE).await) }).await;
            }
            // So does a BEGIN that says so, or that has to.
            for begin in [
                "BEGIN READ WRITE",
                "BEGIN ISOLATION LEVEL SERIALIZABLE",
                "/* pgweir: route=primary */ BEGIN",
            ] {
                run(begin).await.expect("begins");
                assert_eq!(ask(&client, WHERE).await, primary, "{begin}");
                run("COMMIT").await.expect("ends");
                eventually_async(|| async { replicas.contains(&ask(&client, WHERE).await) }).await;
            }
            // What was written is seen, wherever it is read.
            for round in 1..=30 {
                run("BEGIN").await.expect("begins");
                run("INSERT INTO item VALUES (2, 1) ON CONFLICT (id) DO UPDATE SET v = item.v + 1")
                    .await
                    .expect("writes");
                run("COMMIT").await.expect("ends");
                run("BEGIN").await.expect("begins");
                let seen = ask(&client, "SELECT v FROM item WHERE id = 2").await;
                assert_eq!(seen, round.to_string(), "its own write");
                run("COMMIT").await.expect("ends");
            }
        });
        let said = site.console("EXPLAIN ROUTE app 'BEGIN'");
        assert!(said.contains("goes to|nowhere yet"), "{said}");
    }
}

#[test]
fn a_transaction_that_reads_first_and_writes_later_is_the_primarys_the_next_time() {
    for version in Version::ALL {
        let Some(site) = deferring(version, 1) else {
            continue;
        };
        let (primary, replica) = (site.primary(), site.replica(0));
        let mut client = Peer::login(site.pgweir.address(), "t_trust", "app");
        let read = "SELECT current_setting('port'), count(*) FROM item";
        assert_eq!(shape(&client.query("BEGIN")), "CT");
        assert_eq!(client.value(read), replica);
        let refused = client.query("INSERT INTO item VALUES (1, 1)");
        assert_eq!(shape(&refused), "EE");
        assert_eq!(refused[0].report().sqlstate(), "25006");
        assert_eq!(shape(&client.query("COMMIT")), "CI");
        assert_eq!(client.value(read), replica, "the read alone");
        assert_eq!(shape(&client.query("BEGIN")), "CT");
        assert_eq!(client.value(read), primary, "learned");
        assert_eq!(shape(&client.query("INSERT INTO item VALUES (1, 1)")), "CT");
        assert_eq!(shape(&client.query("COMMIT")), "CI");
        // A first statement that a replica refuses is asked of the primary, and nobody sees it.
        site.postgres.psql(
            "postgres",
            "CREATE FUNCTION f() RETURNS text STABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('s'); RETURN \
             current_setting('port'); END $$; CREATE SEQUENCE s; CREATE VIEW w AS SELECT f()",
        );
        let arrived = || {
            let there = site.replicas[0].psql(
                "postgres",
                "SELECT count(*) FROM pg_class WHERE relname = 'w'",
            );
            (there.ok()?.trim() == "1").then_some(())
        };
        eventually("the view on the replica", arrived);
        for _ in 0..2 {
            assert_eq!(shape(&client.query("BEGIN")), "CT");
            assert_eq!(client.value("SELECT f FROM w"), primary);
            assert_eq!(shape(&client.query("INSERT INTO item VALUES (2, 2)")), "CT");
            assert_eq!(shape(&client.query("ROLLBACK")), "CI");
        }
    }
}

#[test]
fn nothing_takes_a_server_before_the_first_statement() {
    let Some(site) = deferring(Version::V18, 1) else {
        return;
    };
    let used = || {
        let pools = site.console("SHOW SERVERS");
        pools
            .lines()
            .filter(|line| line.contains("|active|"))
            .count()
    };
    let mut client = Peer::login(site.pgweir.address(), "t_trust", "app");
    for (begin, tag) in [
        ("BEGIN", "BEGIN"),
        ("START TRANSACTION", "START TRANSACTION"),
    ] {
        for end in ["COMMIT", "ROLLBACK", "END", "ABORT"] {
            let begun = client.query(begin);
            assert_eq!(begun[0], from_server::complete(tag));
            assert_eq!(shape(&begun), "CT");
            assert_eq!(used(), 0);
            let shown = site.console("SHOW CLIENTS");
            let mut mine = shown.lines().filter(|line| line.contains("|app|"));
            assert!(mine.any(|line| line.contains("|active|")), "{shown}");
            client.send(&[message::sync()]);
            assert_eq!(shape(&client.until_ready(1)), "T");
            let said = if matches!(end, "COMMIT" | "END") {
                "COMMIT"
            } else {
                "ROLLBACK"
            };
            let ended = client.query(end);
            assert_eq!(ended[0], from_server::complete(said), "{end}");
            assert_eq!(shape(&ended), "CI");
        }
    }
    // A second BEGIN is the server's to warn of.
    client.query("BEGIN");
    let again = client.query("BEGIN");
    assert_eq!(shape(&again), "NCT");
    assert_eq!(again[0].report().sqlstate(), "25001");
    assert_eq!(shape(&client.query("ROLLBACK")), "CI");
    // A pipeline keeps its order.
    let texts = [
        "BEGIN",
        "INSERT INTO item VALUES (9, 1)",
        "SELECT v FROM item WHERE id = 9",
        "COMMIT",
        "SELECT 1",
    ];
    let all: Vec<Message> = texts.iter().map(|text| message::query(text)).collect();
    client.send(&all);
    assert_eq!(shape(&client.until_ready(5)), "CTCTTDCTCITDCI");
    // BEGIN and a read in one batch of the extended protocol, as some drivers send them.
    let replica = site.replica(0);
    eventually("a read on the replica", || {
        client.send(&[
            message::parse("", "BEGIN"),
            message::bind("", "", &[]),
            message::execute("", 0),
            message::parse("", WHERE),
            message::bind("", "", &[]),
            message::execute("", 0),
            message::sync(),
        ]);
        let answer = client.until_ready(1);
        assert_eq!(shape(&answer), "12C12DCT");
        assert_eq!(shape(&client.query("COMMIT")), "CI");
        (answer[5].columns()[0].as_deref() == Some(&*replica)).then_some(())
    });
    // The extended protocol behind a deferred one.
    client.query("BEGIN");
    client.send(&[
        message::parse("a", WHERE),
        message::bind("", "a", &[]),
        message::describe_portal(""),
        message::execute("", 0),
        message::sync(),
    ]);
    let answer = client.until_ready(1);
    assert_eq!(shape(&answer), "12TDCT");
    assert_eq!(answer[3].columns()[0].as_deref(), Some(&*replica));
    // An end in the extended protocol is answered as ever.
    client.send(&[
        message::parse("", "COMMIT"),
        message::bind("", "", &[]),
        message::execute("", 0),
        message::sync(),
    ]);
    assert_eq!(shape(&client.until_ready(1)), "12CI");
    drop(client);
}

#[test]
fn pgbench_reads_on_the_replica_between_begin_and_commit() {
    let Some(site) = deferring(Version::V18, 1) else {
        return;
    };
    let script = site.trail.path().join("reads.sql");
    std::fs::write(
        &script,
        "BEGIN;\nSELECT v FROM item WHERE id = 1;\nSELECT count(*) FROM item;\nCOMMIT;\n",
    )
    .expect("a script");
    for mode in ["simple", "extended", "prepared"] {
        let mut pgbench = site.pgweir.client(&site.postgres, "pgbench", "t_trust");
        pgbench.args(["-n", "-c", "4", "-t", "50", "-M", mode, "-f"]);
        let said = succeed(pgbench.arg(&script).arg("app"));
        assert!(said.contains("number of failed transactions: 0"), "{said}");
    }
    let replica = format!("127.0.0.1:{}", site.replica(0));
    let there = eventually("the audit trail", || {
        let ran = site.ran("select count(*) from item");
        (ran.len() >= 600).then_some(ran)
    });
    let far = there
        .iter()
        .filter(|(server, _)| *server == replica)
        .count();
    assert!(far >= 200, "{far} of {} on the replica", there.len());
}

#[test]
fn time_limits_and_other_databases_are_as_they_were() {
    let Some(mut site) = deferring(Version::V18, 1) else {
        return;
    };
    site.alias("plain", &[]);
    site.settle_alias("plain", 1);
    let mut plain = Peer::login(site.pgweir.address(), "t_trust", "plain");
    plain.query("BEGIN");
    assert_eq!(plain.value(WHERE), site.primary(), "off by default");
    let mut client = Peer::login(site.pgweir.address(), "t_trust", "app");
    client.query("BEGIN");
    site.console("SET idle_transaction_timeout = 1");
    let end = client.expect_end();
    assert_eq!(end[0].report().sqlstate(), "25P03");
}

/// Somebody else has the primary's only server.
#[test]
fn a_first_statement_that_waits_can_be_canceled_and_left() {
    let settings = [("defer_begin", true.into()), ("pool_size", 1.into())];
    let Some(site) = site(Version::V18, 1, &settings) else {
        return;
    };
    site.settle(1);
    let waiting = || {
        let pools = site.console("SHOW POOLS");
        let mut mine = pools.lines().filter(|line| line.starts_with("app|"));
        mine.any(|line| line.split('|').nth(3) == Some("1"))
    };
    let clients = || {
        let shown = site.console("SHOW CLIENTS");
        shown.lines().filter(|line| line.contains("|app|")).count()
    };
    runtime().block_on(async {
        let holder = connect(&site.pgweir).await;
        let (write, begin) = ("INSERT INTO item VALUES (31, 1)", "BEGIN");
        holder.batch_execute(begin).await.expect("begins");
        holder.batch_execute(write).await.expect("writes");
        let client = connect(&site.pgweir).await;
        client.batch_execute(begin).await.expect("begins");
        let token = client.cancel_token();
        let (canceled, ()) = tokio::join!(
            within(client.batch_execute("INSERT INTO item VALUES (32, 1)")),
            async {
                eventually_async(|| async { waiting() }).await;
                let sent = token.cancel_query(tokio_postgres::NoTls).await;
                sent.expect("is taken");
            }
        );
        let state = |error: tokio_postgres::Error| error.code().map(|code| code.code().to_owned());
        let canceled = canceled.expect_err("canceled");
        assert_eq!(state(canceled).as_deref(), Some("57014"));
        // Its transaction has failed, and says so to a read, which the replica could run.
        let read = within(client.batch_execute(WHERE)).await;
        assert_eq!(state(read.expect_err("failed")).as_deref(), Some("25P02"));
        // What only a server can answer is answered by one whose transaction was made to fail.
        holder.batch_execute("ROLLBACK").await.expect("ends");
        let read = within(client.query_typed(WHERE, &[])).await;
        assert_eq!(state(read.expect_err("failed")).as_deref(), Some("25P02"));
        let ended = within(client.batch_execute("/* over */ ROLLBACK")).await;
        ended.expect("ends");
        let replica = site.replica(0);
        eventually_async(|| async { ask(&client, WHERE).await == replica }).await;
        // One that leaves in between leaves nothing.
        client.batch_execute(begin).await.expect("begins");
        assert_eq!(clients(), 2);
        drop(client);
        eventually_async(|| async { clients() == 1 }).await;
        let written = "SELECT count(*) FROM item WHERE id IN (31, 32)";
        assert_eq!(ask(&holder, written).await, "0");
    });
}

/// A primary that answers who it is, and does with everything else what `act` says.
fn primary(act: fn(&mut Peer, &Message, &Sender<String>)) -> (Pgweir, Receiver<String>) {
    let (listener, nobody) = (FakeServer::listen(), FakeServer::listen());
    let servers = [listener.port(), nobody.port()].map(|port| format!("127.0.0.1:{port}"));
    drop(nobody);
    let (sender, heard) = channel();
    std::thread::spawn(move || {
        for pid in 1..50 {
            let mut server = listener.accept_login(pid);
            let sender = sender.clone();
            std::thread::spawn(move || {
                let limit = patient(std::time::Duration::from_secs(60));
                // What the watcher asks is answered at its Sync; the rest is the test's.
                let mut watcher: Option<Vec<Message>> = None;
                while let Heard::Message(message) = server.hear(limit) {
                    let text = String::from_utf8_lossy(&message.body).into_owned();
                    if message.tag == b'P' && text.contains("pg_control_system") {
                        let row = from_server::row(&["f", "7", "1", "1000"]);
                        watcher = Some(vec![row, from_server::complete("SELECT 1")]);
                    } else if message.tag == b'P' && text.contains("pg_proc") {
                        watcher = Some(vec![from_server::complete("SELECT 0")]);
                    } else if message.tag == b'P' && text.contains("pgweir watcher") {
                        watcher = Some(vec![from_server::complete("SET")]);
                    } else if watcher.is_none() {
                        act(&mut server, &message, &sender);
                    } else if message.tag == b'S'
                        && let Some(answer) = watcher.take()
                    {
                        server.send(&[b'1', b'2'].map(|tag| Message::new(tag, [].as_slice())));
                        server.send(&answer);
                        server.send(&[from_server::ready(b'I')]);
                    }
                }
            });
        }
    });
    let pgweir = Setup::new()
        .set("pool_mode", "transaction")
        .set("admin_users", "t_trust")
        .set("cluster_check_interval", "100ms")
        .database_set("app", "servers", servers.to_vec())
        .database_set("app", "defer_begin", true)
        .start();
    (pgweir, heard)
}

#[test]
fn a_begin_that_the_server_refuses_fails_the_first_statement_and_nothing_runs_outside() {
    let (pgweir, heard) = primary(|server, message, sender| {
        let tag = char::from(message.tag);
        let text = String::from_utf8_lossy(&message.body);
        let _ = sender.send(format!("{tag}:{}", text.trim_matches('\0')));
        match message.tag {
            // What is behind it is skipped up to the Sync.
            b'P' if text.contains("BEGIN") => server.send(&[from_server::report(
                b'E',
                "ERROR",
                "25P02",
                "no transaction today",
            )]),
            b'S' => server.send(&[from_server::ready(b'I')]),
            _ => {}
        }
    });
    let mut client = Peer::login(pgweir.address(), "t_trust", "app");
    client.send(&[
        message::query("BEGIN"),
        message::query("INSERT INTO t VALUES (1)"),
        message::query("INSERT INTO t VALUES (2)"),
        message::query("ROLLBACK"),
    ]);
    assert_eq!(shape(&client.until_ready(1)), "CT");
    let failed = client.until_ready(1);
    assert_eq!(shape(&failed), "EE", "the transaction has failed");
    assert_eq!(failed[0].report().message(), "no transaction today");
    let until = |what: &str| loop {
        let limit = patient(std::time::Duration::from_secs(10));
        let said = heard.recv_timeout(limit).expect("a message");
        if said.starts_with(what) {
            return said;
        }
    };
    assert!(until("P:").ends_with("BEGIN"));
    assert_eq!(until("Q:"), "Q:INSERT INTO t VALUES (1)");
    // The second one finds that, and the client ends its transaction.
    let second = client.until_ready(1);
    assert_eq!(shape(&second), "EE");
    assert_eq!(second[0].report().sqlstate(), "25P02");
    assert_eq!(shape(&client.until_ready(1)), "CI");
    while let Ok(said) = heard.try_recv() {
        assert!(!said.contains("VALUES (2)"), "{said}");
    }
    // With nothing behind it, the client ends its transaction itself.
    let mut client = Peer::login(pgweir.address(), "t_trust", "app");
    client.query("BEGIN");
    assert_eq!(shape(&client.query("INSERT INTO t VALUES (3)")), "EE");
    let ended = client.query("COMMIT");
    assert_eq!(ended[0], from_server::complete("ROLLBACK"));
    assert_eq!(shape(&ended), "CI");
    // In the extended protocol its own Sync is answered.
    client.query("BEGIN");
    client.send(&[
        message::parse("", "INSERT INTO t VALUES (4)"),
        message::bind("", "", &[]),
        message::execute("", 0),
        message::sync(),
    ]);
    assert_eq!(shape(&client.until_ready(1)), "EE");
    // What only a server can answer needs one whose transaction has failed; this one has none to give.
    client.send(&[message::parse("", "SELECT 5"), message::sync()]);
    let end = client.expect_end();
    assert_eq!(end[0].report().sqlstate(), "08006");
}
