//! What clients are told: logins that fail, limits, commands of the console.

use super::{Pair, outcome, same};
use crate::support::message;
use crate::support::peer::{Heard, Peer};
use crate::support::pgweir::client;
use crate::support::postgres::PASSWORD;
use crate::support::scene;
use crate::support::wait::patient;

/// The first message that tells why the connection ends.
fn last_words(peer: &mut Peer) -> (String, String) {
    let mut messages = Vec::new();
    while let Heard::Message(message) = peer.hear(patient(std::time::Duration::from_secs(15))) {
        messages.push(message);
    }
    outcome(&messages)
}

/// How psql is turned away; empty if it is not.
fn psql(pair: &Pair, user: &str, database: &str, password: &str) -> [(String, String); 2] {
    pair.addresses().map(|address| {
        let mut command = client(pair.postgres, "psql", user, address.port());
        let output = command
            .env("PGPASSWORD", password)
            .args(["-AtqX", "-v", "VERBOSITY=verbose", "-c", "SHOW VERSION"])
            .args(["-d", database])
            .output()
            .expect("psql");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.success() {
            true => (String::new(), String::new()),
            false => {
                let (_, reason) = told.split_once("FATAL:  ").unwrap_or(("", &told));
                (String::new(), reason.trim_end().to_owned())
            }
        }
    })
}

#[test]
fn logins_that_fail() {
    for method in ["trust", "plain", "md5", "scram-sha-256"] {
        let Some(pair) = Pair::start("") else { return };
        for mut console in pair.consoles("postgres") {
            let answer = console.query(&format!("SET auth_type = '{method}'"));
            assert_eq!(outcome(&answer).0, "", "{answer:?}");
        }
        for (user, database, password) in [
            ("nobody", "app", PASSWORD),
            ("nobody", "nodb", PASSWORD),
            ("t_scram", "nodb", PASSWORD),
            ("t_scram", "pgbouncer", PASSWORD),
            ("postgres", "pgbouncer", PASSWORD),
            ("t_scram", "app", "wrong"),
            ("t_scram", "nodb", "wrong"),
        ] {
            let both = psql(&pair, user, database, password);
            let what = format!("{method}: {user} of {database} with {password}");
            let differ = match (method, &*both[0].1) {
                ("trust", _) | (_, "password authentication failed") => None,
                // PgBouncer names the mechanism, PostgreSQL does not.
                (_, "SASL authentication failed") => Some((
                    "SASL authentication failed",
                    "password authentication failed for user",
                )),
                _ => None,
            };
            same(&what, both, "", differ);
        }
    }
}

#[test]
fn what_clients_are_told() {
    let Some(pair) = Pair::start("pool_mode = transaction") else {
        return;
    };
    let mut consoles = pair.consoles("postgres");
    let mut tell = |command: &str| {
        for console in &mut consoles {
            let answer = console.query(command);
            assert_eq!(outcome(&answer).0, "", "{command}: {answer:?}");
        }
    };
    let refused = || {
        pair.addresses().map(|address| {
            let mut peer = Peer::connect(address);
            let parameters = [("user", "t_trust"), ("database", "app")];
            peer.send_raw(&message::startup(0x0003_0000, &parameters));
            last_words(&mut peer)
        })
    };
    tell("DISABLE app");
    same("a disabled database", refused(), "57P03", None);
    tell("ENABLE app");

    let ends = |queries: &[&str]| {
        pair.clients().map(|mut peer| {
            if let Some((last, before)) = queries.split_last() {
                for query in before {
                    peer.query(query);
                }
                peer.send(&[message::query(last)]);
            }
            last_words(&mut peer)
        })
    };
    tell("SET query_timeout = 1");
    same(
        "query_timeout",
        ends(&["SELECT pg_sleep(600)"]),
        "57014",
        None,
    );
    tell("SET query_timeout = 0");
    tell("SET idle_transaction_timeout = 1");
    same("idle_transaction_timeout", ends(&["BEGIN"]), "25P03", None);
    tell("SET idle_transaction_timeout = 0");
    tell("SET client_idle_timeout = 1");
    same("client_idle_timeout", ends(&[]), "57P05", None);
    tell("SET client_idle_timeout = 0");

    let mut waiting = pair.clients();
    for peer in &mut waiting {
        assert_eq!(peer.value("SELECT 1"), "1");
    }
    tell("SET query_wait_timeout = 1");
    tell("PAUSE app");
    let told = waiting.map(|mut peer| {
        peer.send(&[message::query("SELECT 1")]);
        last_words(&mut peer)
    });
    same("query_wait_timeout", told, "53300", None);
    tell("RESUME app");
    tell("SET query_wait_timeout = 120");

    let mut killed = pair.clients();
    for peer in &mut killed {
        assert_eq!(peer.value("SELECT 1"), "1");
    }
    tell("KILL app");
    // The database is still there.
    let differ = Some(("database removed", "admin forced disconnect"));
    let told = killed.map(|mut peer| last_words(&mut peer));
    same("KILL", told, "57P01", differ);
    tell("RESUME app");

    tell("SET pool_mode = statement");
    let told = ends(&["BEGIN"]);
    let text = "transaction blocks not allowed in statement pooling mode";
    same("statement mode", told, "08P01", Some((text, text)));
    tell("SET pool_mode = transaction");

    // The server's own words come through, whatever they are.
    let mut busy = pair.clients();
    for peer in &mut busy {
        peer.query("BEGIN");
    }
    let mut direct = Peer::login(scene::address(pair.postgres), "t_trust", "postgres");
    direct.query(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = '{}' AND state = 'idle in transaction'",
        pair.database
    ));
    let told = busy.map(|mut peer| last_words(&mut peer));
    same("pg_terminate_backend", told, "57P01", None);
}

/// A session that ends with these bytes, and our SQLSTATE; the texts are PostgreSQL's.
#[test]
fn startup_packets_that_are_wrong() {
    let Some(pair) = Pair::start("") else { return };
    let with = |parameters: &[(&str, &str)]| {
        let mut all = vec![("user", "t_trust"), ("database", "app")];
        all.extend(parameters);
        message::startup(0x0003_0000, &all)
    };
    let rows: [(&str, Vec<u8>, &str, &str, &str); 5] = [
        (
            "no user",
            message::startup(0x0003_0000, &[("database", "app")]),
            "28000",
            "no username supplied",
            "no PostgreSQL user name specified in startup packet",
        ),
        (
            "protocol 2",
            message::startup(0x0002_0000, &[("user", "t_trust")]),
            "0A000",
            "old V2 protocol not supported",
            "unsupported frontend protocol 2.0",
        ),
        (
            "a parameter that is none",
            with(&[("frobnicate", "1")]),
            "42704",
            "unsupported startup parameter: frobnicate",
            "unrecognized configuration parameter \"frobnicate\"",
        ),
        (
            "options that are none",
            with(&[("options", "-c frobnicate=1")]),
            "42704",
            "unsupported startup parameter",
            "unrecognized configuration parameter \"frobnicate\"",
        ),
        (
            "a database that is not there",
            message::startup(0x0003_0000, &[("user", "t_trust")]),
            "3D000",
            "no such database: t_trust",
            "no such database: t_trust",
        ),
    ];
    for (what, bytes, sqlstate, theirs, ours) in rows {
        let told = pair.addresses().map(|address| {
            let mut peer = Peer::connect(address);
            peer.send_raw(&bytes);
            last_words(&mut peer)
        });
        for (told, text) in told.iter().zip([theirs, ours]) {
            assert!(told.1.starts_with(text), "{what}: {told:?}");
        }
        assert_eq!(told[1].0, sqlstate, "{what}");
    }
}
