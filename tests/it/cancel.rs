//! Cancel requests, and clients that vanish instead of cancelling.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::message::{self, Message};
use crate::support::peer::{Heard, Peer};
use crate::support::pgweir::Setup;
use crate::support::postgres::{PASSWORD, each_postgres};
use crate::support::scene::{self, Watch, error_in, tags, the_error};
use crate::support::wait::{eventually, patient};

const MODES: [&str; 3] = ["session", "transaction", "statement"];

/// Sends a cancel request and waits until it is dealt with, as libpq does.
fn cancel(address: SocketAddr, pid: u32, key: &[u8]) {
    let mut peer = Peer::connect(address);
    peer.send_raw(&message::cancel(pid, key));
    assert_eq!(peer.expect_end(), []);
}

fn cancel_peer(address: SocketAddr, peer: &Peer) {
    let (pid, key) = peer.key();
    cancel(address, pid, key);
}

#[test]
fn a_running_query_is_cancelled_and_its_neighbours_are_not() {
    for postgres in each_postgres() {
        for mode in MODES {
            let (pgweir, database) = scene::start(postgres, mode, 3);
            let mut watch = Watch::new(postgres, &database);
            let mut bystander = scene::client(&pgweir);
            bystander.send(&[message::query("SELECT pg_sleep(1), 'bystander'")]);
            let mut peer = scene::client(&pgweir);
            peer.send(&[message::query("SELECT pg_sleep(600)")]);
            watch.until(1, "state = 'active' AND query LIKE '%600%'");
            cancel_peer(pgweir.address(), &peer);
            let error = the_error(&peer.until_ready(1));
            assert_eq!(error.sqlstate(), "57014", "{mode}");
            assert_eq!(
                error.message(),
                "canceling statement due to user request",
                "{mode}"
            );
            assert_eq!(peer.value("SELECT 'still there'"), "still there");
            assert_eq!(tags(&bystander.until_ready(1)), "TDCZ", "{mode}");
        }
    }
}

#[test]
fn a_pipeline_is_cancelled_up_to_its_sync() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "transaction", 2);
        let mut watch = Watch::new(postgres, &database);
        let mut peer = scene::client(&pgweir);
        let mut batch = Vec::new();
        for sql in ["SELECT 'one'", "SELECT pg_sleep(600)", "SELECT 'three'"] {
            batch.extend([
                message::parse("", sql),
                message::bind("", "", &[]),
                message::execute("", 0),
            ]);
        }
        batch.push(message::sync());
        peer.send(&batch);
        watch.until(1, "state = 'active' AND query LIKE '%600%'");
        cancel_peer(pgweir.address(), &peer);
        let messages = peer.until_ready(1);
        assert_eq!(tags(&messages), "12DC12EZ", "{messages:?}");
        assert_eq!(the_error(&messages).sqlstate(), "57014");
        assert_eq!(peer.value("SELECT 'still there'"), "still there");
    }
}

/// The requests of a client that waits for a server.
fn waiting_requests() -> [(Vec<Message>, &'static str); 2] {
    let extended = vec![
        message::parse("", "SELECT 'never'"),
        message::bind("", "", &[]),
        message::execute("", 0),
        message::sync(),
    ];
    [
        (vec![message::query("SELECT 'never'")], "EZ"),
        (extended, "EZ"),
    ]
}

#[test]
fn a_client_that_waits_for_a_server_can_cancel_and_goes_on() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 1);
        let mut holder = scene::client(&pgweir);
        let mut waiter = scene::client(&pgweir);
        for (request, answer) in waiting_requests() {
            holder.query("BEGIN");
            waiter.send(&request);
            // It has no effect before the client waits.
            let error = eventually("the wait is cancelled", || {
                cancel_peer(pgweir.address(), &waiter);
                match waiter.hear(Duration::from_millis(100)) {
                    Heard::Message(message) => Some(message),
                    _ => None,
                }
            });
            let mut messages = vec![error];
            messages.extend(waiter.until_ready(1));
            assert_eq!(tags(&messages), answer);
            assert_eq!(the_error(&messages).sqlstate(), "57014");
            assert_eq!(messages.last().map(|m| m.body.clone()), Some(vec![b'I']));
            // The place in the queue is given up: it is not served twice.
            assert_eq!(holder.value("SELECT 'mine'"), "mine");
            holder.query("COMMIT");
            assert_eq!(waiter.value("SELECT 'served'"), "served");
        }
    }
}

#[test]
fn a_saturated_pool_does_not_delay_a_cancel() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "transaction", 1);
        let mut watch = Watch::new(postgres, &database);
        let mut peer = scene::client(&pgweir);
        peer.send(&[message::query("SELECT pg_sleep(600)")]);
        watch.until(1, "state = 'active' AND query LIKE '%600%'");
        let mut waiters: Vec<Peer> = (0..5).map(|_| scene::client(&pgweir)).collect();
        for waiter in &mut waiters {
            waiter.send(&[message::query("SELECT 'waited'")]);
        }
        cancel_peer(pgweir.address(), &peer);
        assert_eq!(the_error(&peer.until_ready(1)).sqlstate(), "57014");
        for waiter in &mut waiters {
            assert_eq!(tags(&waiter.until_ready(1)), "TDCZ");
        }
    }
}

#[test]
fn a_storm_of_cancels_hits_nobody_else() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 2);
        let address = pgweir.address();
        let stop = AtomicBool::new(false);
        let mut victim = scene::client(&pgweir);
        let (pid, key) = victim.key();
        let key = key.to_vec();
        let end = Instant::now() + patient(Duration::from_millis(1500));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        cancel(address, pid, &key);
                    }
                });
            }
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let messages = victim.query("SELECT 'victim', pg_sleep(0.001)");
                    match error_in(&messages) {
                        Some(error) => assert_eq!(error.sqlstate(), "57014"),
                        None => assert_eq!(scene::values(&messages), ["victim"]),
                    }
                }
            });
            let others: Vec<_> = (0..4)
                .map(|n| {
                    scope.spawn(move || {
                        let mut peer = Peer::login(address, "t_trust", "app");
                        let mut served = 0;
                        while Instant::now() < end {
                            let messages = peer.query(&format!("SELECT 'client {n}'"));
                            assert_eq!(error_in(&messages), None);
                            assert_eq!(scene::values(&messages), [format!("client {n}")]);
                            served += 1;
                        }
                        served
                    })
                })
                .collect();
            let served: Vec<_> = others.into_iter().map(|thread| thread.join()).collect();
            stop.store(true, Ordering::Relaxed);
            for served in served {
                assert!(served.expect("no client is hit") > 0);
            }
        });
    }
}

#[test]
fn a_wrong_key_cancels_nothing() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "transaction", 2);
        let mut watch = Watch::new(postgres, &database);
        let mut peer = scene::client(&pgweir);
        peer.send(&[message::query("SELECT pg_sleep(600)")]);
        watch.until(1, "state = 'active' AND query LIKE '%600%'");
        let (pid, key) = peer.key();
        let right = key.to_vec();
        let mut wrong = right.clone();
        wrong[3] ^= 1;
        let address = pgweir.address();
        cancel(address, pid, &wrong);
        cancel(address, pid ^ 1, &right);
        cancel(address, pid, &[right.clone(), vec![0]].concat());
        cancel(address, pid, &[0; 256]);
        // Each was dealt with before the next: had one been obeyed, this would see it.
        assert_eq!(watch.count("state = 'active' AND query LIKE '%600%'"), 1);
        cancel(address, pid, &right);
        assert_eq!(the_error(&peer.until_ready(1)).sqlstate(), "57014");
    }
}

/// The key of a client that has left means nothing, also if others work on its server.
#[test]
fn a_key_dies_with_its_client() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "transaction", 1);
        let mut watch = Watch::new(postgres, &database);
        let mut first = scene::client(&pgweir);
        assert_eq!(first.value("SELECT 1"), "1");
        let (pid, key) = first.key();
        let key = key.to_vec();
        first.send(&[message::terminate()]);
        assert_eq!(first.expect_end(), []);
        let mut second = scene::client(&pgweir);
        second.send(&[message::query("SELECT pg_sleep(600)")]);
        watch.until(1, "state = 'active' AND query LIKE '%600%'");
        cancel(pgweir.address(), pid, &key);
        assert_eq!(watch.count("state = 'active' AND query LIKE '%600%'"), 1);
        cancel_peer(pgweir.address(), &second);
        assert_eq!(the_error(&second.until_ready(1)).sqlstate(), "57014");
    }
}

/// Passes connections on to `port` and remembers the first bytes of each.
fn relay(port: u16) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listening");
    let own = listener.local_addr().expect("an address").port();
    let firsts: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let seen = firsts.clone();
    // It ends with the process of the tests.
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else {
                return;
            };
            let mut first = [0; 8];
            if client.read_exact(&mut first).is_err() || server.write_all(&first).is_err() {
                continue;
            }
            seen.lock().expect("no panic").push(first.to_vec());
            for (mut from, mut to) in [
                (client.try_clone(), server.try_clone()),
                (server.try_clone(), client.try_clone()),
            ]
            .into_iter()
            .filter_map(|(from, to)| from.ok().zip(to.ok()))
            {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    (own, firsts)
}

#[test]
fn a_cancel_travels_over_tls_if_the_server_connection_does() {
    for postgres in each_postgres() {
        if !postgres.cluster.binaries().tls {
            eprintln!(
                "left out: PostgreSQL {} is built without TLS",
                postgres.major()
            );
            continue;
        }
        let database = postgres.database();
        let (port, firsts) = relay(postgres.port());
        let pgweir = Setup::new()
            .set("server_tls_sslmode", "require")
            .database_at("app", port)
            .database_set("app", "dbname", database.as_str())
            .database_set("app", "user", "t_tls")
            .database_set("app", "password", PASSWORD)
            .start();
        let mut watch = Watch::new(postgres, &database);
        let mut peer = scene::client(&pgweir);
        peer.send(&[message::query("SELECT pg_sleep(600)")]);
        watch.until(1, "state = 'active' AND query LIKE '%600%'");
        cancel_peer(pgweir.address(), &peer);
        assert_eq!(the_error(&peer.until_ready(1)).sqlstate(), "57014");
        let ssl_request = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f].to_vec();
        let firsts = firsts.lock().expect("no panic");
        assert!(firsts.len() >= 2, "a session and a cancel: {firsts:?}");
        assert!(
            firsts.iter().all(|first| *first == ssl_request),
            "{firsts:?}"
        );
    }
}

#[test]
fn the_query_of_a_client_that_vanished_is_cancelled() {
    for postgres in each_postgres() {
        for mode in MODES {
            let (pgweir, database) = scene::start(postgres, mode, 1);
            let mut watch = Watch::new(postgres, &database);
            let mut peer = scene::client(&pgweir);
            peer.send(&[message::query("SELECT pg_sleep(600)")]);
            watch.until(1, "state = 'active' AND query LIKE '%600%'");
            drop(peer);
            watch.until(0, "state = 'active' AND query LIKE '%600%'");
            assert_eq!(scene::client(&pgweir).value("SELECT 'next'"), "next");
        }
    }
}

#[test]
fn the_transaction_of_a_client_that_vanished_is_rolled_back_first() {
    for postgres in each_postgres() {
        for mode in ["session", "transaction"] {
            let (pgweir, database) = scene::start(postgres, mode, 1);
            postgres.psql(&database, "CREATE TABLE t (x int)");
            // In order: idle in transaction, in a failed one, and with half a message sent.
            for last in [
                message::query("SELECT 1").bytes(),
                message::query("SELECT 1/0").bytes(),
                message::query("INSERT INTO t VALUES (2)").bytes()[..9].to_vec(),
            ] {
                let mut peer = scene::client(&pgweir);
                peer.query("BEGIN");
                peer.query("INSERT INTO t VALUES (1)");
                peer.send_raw(&last);
                drop(peer);
                let mut next = scene::client(&pgweir);
                assert_eq!(next.value("SELECT count(*) FROM t"), "0", "{mode}");
                let status = next.query("SELECT 1").pop().map(|m| m.body);
                assert_eq!(status, Some(vec![b'I']), "{mode}");
            }
        }
    }
}

/// A client that vanishes while it waits gives its place up.
#[test]
fn a_waiting_client_that_vanished_is_not_served() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "transaction", 1);
        postgres.psql(&database, "CREATE TABLE t (x int)");
        let mut holder = scene::client(&pgweir);
        holder.query("BEGIN");
        for _ in 0..5 {
            let mut waiter = scene::client(&pgweir);
            waiter.send(&[message::query("INSERT INTO t VALUES (1)")]);
        }
        let mut last = scene::client(&pgweir);
        last.send(&[message::query("SELECT 'last'")]);
        // The ends of the connections above have been seen when this one gets its answer.
        holder.value("SELECT pg_sleep(0.1)");
        holder.query("COMMIT");
        assert_eq!(scene::values(&last.until_ready(1)), ["last"]);
        assert_eq!(last.value("SELECT count(*) FROM t"), "0");
    }
}
