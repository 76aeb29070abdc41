//! Limits, timeouts and the order in which clients are served.

use std::time::{Duration, Instant};

use crate::support::message;
use crate::support::peer::{FakeServer, Heard, Peer};
use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{Postgres, each_postgres};
use crate::support::scene::{self, Watch, error_in, tags, the_error, values};
use crate::support::wait::eventually;

/// What a login that is refused says.
fn refusal(pgweir: &Pgweir, user: &str, database: &str) -> (String, String) {
    let mut peer = Peer::connect(pgweir.address());
    let parameters = [("user", user), ("database", database)];
    peer.send_raw(&message::startup(0x0003_0000, &parameters));
    let error = the_error(&peer.expect_end());
    assert_eq!(error.field('V'), "FATAL");
    (error.sqlstate().to_owned(), error.message().to_owned())
}

/// Whether a login works now.
fn admits(pgweir: &Pgweir, user: &str, database: &str) -> bool {
    let mut peer = Peer::connect(pgweir.address());
    let parameters = [("user", user), ("database", database)];
    peer.send_raw(&message::startup(0x0003_0000, &parameters));
    peer.next().tag == b'R'
}

/// The error with which a connection ends.
fn last_words(peer: &mut Peer) -> (String, String) {
    let error = the_error(&peer.expect_end());
    assert_eq!(error.field('V'), "FATAL");
    (error.sqlstate().to_owned(), error.message().to_owned())
}

fn first() -> Option<&'static Postgres> {
    each_postgres().next()
}

#[test]
fn client_limits_refuse_and_recover() {
    let Some(postgres) = first() else { return };
    for (key, scope) in [
        ("max_client_conn", "all"),
        ("max_db_client_connections", "database"),
        ("max_user_client_connections", "user"),
    ] {
        let (setup, database) = scene::setup(postgres, "transaction", 2);
        let pgweir = setup
            .database("other", postgres, &database)
            .set(key, 3)
            .start();
        let mut clients: Vec<Peer> = (0..3).map(|_| scene::client(&pgweir)).collect();
        let (sqlstate, text) = refusal(&pgweir, "t_trust", "app");
        assert_eq!(sqlstate, "53300", "{key}");
        assert!(text.contains(key), "{text}");
        assert_eq!(admits(&pgweir, "t_trust", "other"), scope == "database");
        assert_eq!(admits(&pgweir, "t_md5", "app"), scope == "user");
        assert_eq!(clients[2].value("SELECT 1"), "1");
        clients.pop();
        eventually("there is a place again", || {
            admits(&pgweir, "t_trust", "app").then_some(())
        });
    }
}

#[test]
fn a_pool_never_exceeds_its_size() {
    for postgres in each_postgres() {
        for (mode, pool_size) in [("transaction", 3), ("statement", 2)] {
            let (pgweir, database) = scene::start(postgres, mode, pool_size);
            let mut watch = Watch::new(postgres, &database);
            let mut clients: Vec<Peer> = (0..12).map(|_| scene::client(&pgweir)).collect();
            for _ in 0..3 {
                for peer in &mut clients {
                    peer.send(&[message::query("SELECT pg_sleep(0.02), 'x'")]);
                }
                assert!(watch.count("true") <= pool_size as usize);
                for peer in &mut clients {
                    assert_eq!(tags(&peer.until_ready(1)), "TDCZ");
                }
            }
            assert_eq!(watch.count("true"), pool_size as usize);
        }
    }
}

#[test]
fn the_reserve_opens_when_waiting_takes_too_long() {
    for postgres in each_postgres() {
        let (setup, database) = scene::setup(postgres, "transaction", 1);
        let pgweir = setup
            .set("reserve_pool_size", 1)
            .set("reserve_pool_timeout", "100ms")
            .start();
        let mut holder = scene::client(&pgweir);
        holder.query("BEGIN");
        let mut second = scene::client(&pgweir);
        assert_eq!(second.value("SELECT 'reserve'"), "reserve");
        let mut watch = Watch::new(postgres, &database);
        assert_eq!(watch.count("true"), 2);
        // And no further.
        second.query("BEGIN");
        let mut third = scene::client(&pgweir);
        third.send(&[message::query("SELECT 'third'")]);
        third.expect_silence(Duration::from_millis(300));
        assert_eq!(watch.count("true"), 2);
        holder.query("COMMIT");
        assert_eq!(values(&third.until_ready(1)), ["third"]);
    }
}

#[test]
fn a_database_limit_holds_over_users_and_idle_servers_make_way() {
    for postgres in each_postgres() {
        let (setup, database) = scene::setup(postgres, "transaction", 5);
        let pgweir = setup.set("max_db_connections", 2).start();
        let mut watch = Watch::new(postgres, &database);
        let mut a = scene::client(&pgweir);
        let mut b = scene::client(&pgweir);
        for peer in [&mut a, &mut b] {
            peer.query("BEGIN");
        }
        for peer in [&mut a, &mut b] {
            peer.query("COMMIT");
        }
        assert_eq!(watch.count("usename = 't_trust'"), 2);
        // Both are idle: one is closed for the other user.
        let mut other = Peer::login(pgweir.address(), "postgres", "app");
        other.query("BEGIN");
        assert_eq!(other.value("SELECT current_user"), "postgres");
        watch.until(2, "true");
        assert_eq!(watch.count("usename = 't_trust'"), 1);
        // None is idle: a client of the first user waits until the other is done.
        a.query("BEGIN");
        b.send(&[message::query("SELECT 'b'")]);
        b.expect_silence(Duration::from_millis(100));
        assert_eq!(watch.count("true"), 2);
        other.query("COMMIT");
        assert_eq!(values(&b.until_ready(1)), ["b"]);
        assert!(watch.count("true") <= 2);
    }
}

#[test]
fn a_user_limit_holds_over_databases() {
    for postgres in each_postgres() {
        let (setup, database) = scene::setup(postgres, "transaction", 5);
        let second = postgres.database();
        let pgweir = setup
            .database("second", postgres, &second)
            .user_set("t_trust", "max_user_connections", 1)
            .start();
        let mut a = scene::client(&pgweir);
        a.query("BEGIN");
        let mut b = Peer::login(pgweir.address(), "t_md5", "second");
        assert_eq!(b.value("SELECT current_user"), "t_md5");
        let mut c = scene::client(&pgweir);
        c.send(&[message::query("SELECT 'c'")]);
        c.expect_silence(Duration::from_millis(100));
        let mut watch = Watch::new(postgres, &database);
        assert_eq!(watch.count("usename = 't_trust'"), 1);
        a.query("COMMIT");
        assert_eq!(values(&c.until_ready(1)), ["c"]);
        // In the other database the idle server of the first makes way.
        let mut d = Peer::login(pgweir.address(), "t_trust", "second");
        assert_eq!(d.value("SELECT current_database()"), second);
        watch.until(0, "usename = 't_trust'");
    }
}

#[test]
fn a_minimum_is_kept_open_while_the_pool_is_in_use() {
    for postgres in each_postgres() {
        let (setup, database) = scene::setup(postgres, "transaction", 5);
        let pgweir = setup
            .set("min_pool_size", 3)
            .set("server_idle_timeout", "200ms")
            .start();
        let mut watch = Watch::new(postgres, &database);
        let mut peer = scene::client(&pgweir);
        assert_eq!(peer.value("SELECT 1"), "1");
        watch.until(3, "true");
        // Lost ones are replaced.
        let sql = format!(
            "SELECT string_agg(pid::text, ',') FROM pg_stat_activity WHERE datname = '{database}'"
        );
        let old = postgres.psql("postgres", &sql);
        watch.terminate("true");
        watch.until(0, &format!("pid IN ({old})"));
        watch.until(3, "state = 'idle'");
        assert_eq!(peer.value("SELECT 2"), "2");
    }
}

#[test]
fn waiting_too_long_ends_with_an_error_that_says_so() {
    for postgres in each_postgres() {
        let (setup, _) = scene::setup(postgres, "transaction", 1);
        let pgweir = setup.set("query_wait_timeout", "300ms").start();
        let mut holder = scene::client(&pgweir);
        let mut waiter = scene::client(&pgweir);
        holder.query("BEGIN");
        waiter.send(&[message::query("SELECT 1")]);
        let (sqlstate, text) = last_words(&mut waiter);
        assert_eq!(
            (sqlstate.as_str(), text.as_str()),
            ("53300", "query_wait_timeout")
        );
        // Saturation is not failure: the holder goes on, and so does the next.
        assert_eq!(holder.value("SELECT 'held'"), "held");
        holder.query("COMMIT");
        assert_eq!(scene::client(&pgweir).value("SELECT 2"), "2");
    }
}

#[test]
fn who_waits_is_told_once() {
    let Some(postgres) = first() else { return };
    let (setup, _) = scene::setup(postgres, "transaction", 1);
    let pgweir = setup.set("query_wait_notify", "100ms").start();
    let mut holder = scene::client(&pgweir);
    let mut waiter = scene::client(&pgweir);
    holder.query("BEGIN");
    waiter.send(&[message::query("SELECT 'served'")]);
    let notice = waiter.expect(b'N').report();
    assert_eq!(notice.field('V'), "NOTICE");
    assert_eq!(waiter.hear(Duration::from_millis(300)), Heard::Silence);
    holder.query("COMMIT");
    assert_eq!(values(&waiter.until_ready(1)), ["served"]);
}

#[test]
fn timeouts_of_queries_and_transactions_end_the_client_and_its_query() {
    for postgres in each_postgres() {
        for (key, before, last, sqlstate) in [
            (
                "query_timeout",
                vec![],
                Some("SELECT pg_sleep(600)"),
                "57014",
            ),
            ("transaction_timeout", vec!["BEGIN"], None, "25P04"),
            (
                "transaction_timeout",
                vec!["BEGIN"],
                Some("SELECT pg_sleep(600)"),
                "25P04",
            ),
            ("idle_transaction_timeout", vec!["BEGIN"], None, "25P03"),
            ("client_idle_timeout", vec!["SELECT 1"], None, "57P05"),
        ] {
            let (setup, database) = scene::setup(postgres, "transaction", 1);
            let pgweir = setup.set(key, "400ms").start();
            let mut watch = Watch::new(postgres, &database);
            let mut peer = scene::client(&pgweir);
            for sql in before {
                assert_eq!(error_in(&peer.query(sql)), None);
            }
            if let Some(sql) = last {
                peer.send(&[message::query(sql)]);
            }
            assert_eq!(last_words(&mut peer).0, sqlstate, "{key}");
            watch.until(0, "state <> 'idle'");
            assert_eq!(
                scene::client(&pgweir).value("SELECT 'next'"),
                "next",
                "{key}"
            );
        }
    }
}

#[test]
fn a_login_that_takes_too_long_is_ended() {
    let Some(postgres) = first() else { return };
    let (setup, _) = scene::setup(postgres, "transaction", 1);
    let pgweir = setup
        .set("client_login_timeout", "300ms")
        .set("auth_type", "scram-sha-256")
        .start();
    let startup = message::startup(0x0003_0000, &[("user", "t_trust"), ("database", "app")]);
    for sent in [&startup[..0], &startup[..5], &startup[..]] {
        let mut peer = Peer::connect(pgweir.address());
        peer.send_raw(sent);
        peer.expect_end();
    }
}

/// The login limit also covers a login that waits for a server.
#[test]
fn a_login_that_waits_for_a_dead_server_is_ended() {
    let server = FakeServer::listen();
    let pgweir = Setup::new()
        .set("client_login_timeout", "300ms")
        .database_at("app", server.port())
        .start();
    let mut peer = Peer::connect(pgweir.address());
    let parameters = [("user", "t_trust"), ("database", "app")];
    peer.send_raw(&message::startup(0x0003_0000, &parameters));
    let _silent = server.accept();
    let error = the_error(&peer.expect_end());
    assert!(
        error.message().contains("client_login_timeout"),
        "{error:?}"
    );
}

#[test]
fn servers_that_are_idle_or_old_are_closed() {
    for postgres in each_postgres() {
        for (key, value) in [
            ("server_idle_timeout", "200ms"),
            ("server_lifetime", "300ms"),
        ] {
            let (setup, database) = scene::setup(postgres, "transaction", 2);
            let pgweir = setup.set(key, value).start();
            let mut watch = Watch::new(postgres, &database);
            let mut peer = scene::client(&pgweir);
            let pid = peer.value("SELECT pg_backend_pid()");
            watch.until(0, "true");
            assert_ne!(peer.value("SELECT pg_backend_pid()"), pid, "{key}");
            // Not while it is in use.
            peer.query("BEGIN");
            let pid = peer.value("SELECT pg_backend_pid()");
            peer.value("SELECT pg_sleep(0.5)");
            assert_eq!(peer.value("SELECT pg_backend_pid()"), pid, "{key}");
        }
    }
}

#[test]
fn a_lifetime_of_zero_closes_after_one_use() {
    for postgres in each_postgres() {
        let (setup, _) = scene::setup(postgres, "transaction", 1);
        let pgweir = setup.set("server_lifetime", 0).start();
        let mut peer = scene::client(&pgweir);
        let mut pids: Vec<String> = (0..4)
            .map(|_| peer.value("SELECT pg_backend_pid()"))
            .collect();
        pids.sort();
        pids.dedup();
        assert_eq!(pids.len(), 4, "{pids:?}");
    }
}

/// Logs a server of pgweir in and answers its queries with nothing; gives their texts until it
/// has seen `last`.
fn queries_until(server: &FakeServer, last: &str) -> (Peer, Vec<String>) {
    let mut peer = server.accept_login(7);
    let seen = answer_until(&mut peer, last);
    (peer, seen)
}

fn answer_until(peer: &mut Peer, last: &str) -> Vec<String> {
    use message::from_server::{complete, ready};
    let mut seen = Vec::new();
    loop {
        let query = peer.expect(b'Q');
        let text = String::from_utf8_lossy(&query.body[..query.body.len() - 1]).into_owned();
        let answer = match text.is_empty() {
            true => message::Message::new(b'I', []),
            false => complete("SELECT 0"),
        };
        peer.send(&[answer, ready(b'I')]);
        let done = text == last;
        seen.push(text);
        if done {
            return seen;
        }
    }
}

/// Has a client send two queries through a pgweir made from `setup` and gives all that its server
/// was asked, up to the second.
fn asked(setup: Setup) -> (Pgweir, Peer, Vec<String>) {
    let server = FakeServer::listen();
    let pgweir = setup
        .set("default_pool_size", 1)
        .database_at("app", server.port())
        .start();
    let address = pgweir.address();
    let client = std::thread::spawn(move || {
        let mut peer = Peer::login(address, "t_trust", "app");
        for n in 1..=2 {
            assert_eq!(tags(&peer.query(&format!("SELECT {n}"))), "CZ");
            // A client that asks while the reset is running gets the server straight from it,
            // which needs no check: let the reset end first.
            std::thread::sleep(std::time::Duration::from_millis(150));
        }
    });
    let (peer, seen) = queries_until(&server, "SELECT 2");
    client.join().expect("the client");
    (pgweir, peer, seen)
}

#[test]
fn queries_of_pgweirs_own_are_sent_when_they_should_be() {
    let (_pgweir, _, seen) = asked(
        Setup::new()
            .set("server_check_query", "SELECT 'check'")
            .set("server_check_delay", 0)
            .database_set("app", "connect_query", "SELECT 'connect'"),
    );
    let (first, rest) = seen.split_at(1);
    assert_eq!(first, ["SELECT 'connect'"]);
    let often = ["SELECT 'check'", "SELECT 1", "SELECT 'check'", "SELECT 2"];
    assert_eq!(rest, often);

    let (_pgweir, _, seen) = asked(
        Setup::new()
            .set("server_check_query", "SELECT 'check'")
            .set("server_check_delay", "1h"),
    );
    assert_eq!(seen, ["SELECT 1", "SELECT 2"]);

    let (_pgweir, mut peer, seen) = asked(
        Setup::new()
            .set("server_reset_query", "SELECT 'reset'")
            .set("server_reset_query_always", true),
    );
    let reset = "SELECT 'reset'";
    assert_eq!(seen, ["SELECT 1", reset, "SELECT 2"]);
    assert_eq!(answer_until(&mut peer, reset), [reset]);
}

#[test]
fn a_server_that_fails_its_check_is_replaced() {
    for postgres in each_postgres() {
        let (setup, database) = scene::setup(postgres, "transaction", 1);
        let pgweir = setup
            .set("server_check_query", "SELECT 1 / count(*) FROM healthy")
            .set("server_check_delay", 0)
            .start();
        postgres.psql(&database, "CREATE TABLE healthy AS SELECT 1");
        let mut peer = scene::client(&pgweir);
        let pid = peer.value("SELECT pg_backend_pid()");
        assert_eq!(peer.value("SELECT pg_backend_pid()"), pid);
        postgres.psql(&database, "DELETE FROM healthy");
        assert_ne!(peer.value("SELECT pg_backend_pid()"), pid);
    }
}

#[test]
fn a_cold_burst_is_not_served_one_login_at_a_time() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "transaction", 50);
        let address = pgweir.address();
        let begin = Instant::now();
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..200)
                .map(|n| {
                    scope.spawn(move || {
                        let mut peer = Peer::login(address, "t_trust", "app");
                        let value = peer.value(&format!("SELECT 'client {n}', pg_sleep(0.05)"));
                        assert_eq!(value, format!("client {n}"));
                    })
                })
                .collect();
            for client in clients {
                client.join().expect("a client is served");
            }
        });
        println!("200 clients on 50 servers took {:?}", begin.elapsed());
        let mut watch = Watch::new(postgres, &database);
        let open = watch.count("true");
        assert!((2..=50).contains(&open), "{open} servers");
    }
}

#[test]
fn waiters_are_served_in_their_order() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "transaction", 1);
        postgres.psql(&database, "CREATE TABLE served (n int, at serial)");
        let mut holder = scene::client(&pgweir);
        holder.query("BEGIN");
        let mut waiters = Vec::new();
        for n in 0..20 {
            let mut peer = scene::client(&pgweir);
            peer.send(&[message::query(&format!("INSERT INTO served VALUES ({n})"))]);
            // The holder's answer comes after pgweir has seen what was sent before.
            holder.query("SELECT 1");
            waiters.push(peer);
        }
        holder.query("COMMIT");
        for peer in &mut waiters {
            assert_eq!(tags(&peer.until_ready(1)), "CZ");
        }
        let order = postgres.psql(
            &database,
            "SELECT string_agg(n::text, ',' ORDER BY at) FROM served",
        );
        let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(order, expected.join(","));
    }
}

#[test]
fn statement_mode_refuses_transactions_of_several_statements() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "statement", 1);
        postgres.psql(&database, "CREATE TABLE t (x int)");
        let mut peer = scene::client(&pgweir);
        peer.send(&[message::query("BEGIN")]);
        let (sqlstate, text) = last_words(&mut peer);
        assert_eq!(sqlstate, "08P01");
        assert!(text.contains("transaction blocks not allowed"), "{text}");
        // In one message it is one statement, as for PgBouncer.
        let mut peer = scene::client(&pgweir);
        let answer = peer.query("BEGIN; INSERT INTO t VALUES (1); COMMIT");
        assert_eq!(tags(&answer), "CCCZ");
        let mut watch = Watch::new(postgres, &database);
        watch.until(0, "state LIKE 'idle in%'");
        assert_eq!(peer.value("SELECT count(*) FROM t"), "1");
    }
}

#[test]
fn pool_size_and_mode_of_a_user_win() {
    let Some(postgres) = first() else { return };
    let (setup, database) = scene::setup(postgres, "transaction", 5);
    let pgweir = setup
        .user_set("t_trust", "pool_size", 1)
        .user_set("t_trust", "pool_mode", "session")
        .start();
    let mut a = scene::client(&pgweir);
    a.query("SELECT 1");
    let mut b = Peer::connect(pgweir.address());
    let parameters = [("user", "t_trust"), ("database", "app")];
    b.send_raw(&message::startup(0x0003_0000, &parameters));
    let ok = b.expect(b'R');
    assert_eq!(ok.body, [0; 4]);
    b.finish_login();
    b.send(&[message::query("SELECT 'b'")]);
    b.expect_silence(Duration::from_millis(100));
    let mut watch = Watch::new(postgres, &database);
    assert_eq!(watch.count("true"), 1);
    drop(a);
    assert_eq!(values(&b.until_ready(1)), ["b"]);
}

#[test]
fn forced_users_and_client_passwords_lead_to_the_right_server_user() {
    let Some(postgres) = first() else { return };
    let (setup, _) = scene::setup(postgres, "transaction", 2);
    let pgweir = setup.database_set("app", "user", "postgres").start();
    let mut peer = scene::client(&pgweir);
    assert_eq!(peer.value("SELECT session_user"), "postgres");
    let mut peer = Peer::login(pgweir.address(), "t_md5", "app");
    assert_eq!(peer.value("SELECT session_user"), "postgres");
}

#[test]
fn longest_message_is_the_operators_choice() {
    let Some(postgres) = first() else { return };
    let (setup, _) = scene::setup(postgres, "transaction", 1);
    let pgweir = setup.set("max_packet_size", 10_000).start();
    let mut peer = scene::client(&pgweir);
    let fits = format!("SELECT length('{}')", "x".repeat(9_000));
    assert_eq!(peer.value(&fits), "9000");
    peer.send(&[message::query(&format!(
        "SELECT length('{}')",
        "x".repeat(10_000)
    ))]);
    assert_eq!(last_words(&mut peer).0, "08P01");
    assert_eq!(scene::client(&pgweir).value("SELECT 1"), "1");
}
