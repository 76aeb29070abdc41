//! The harness itself, without pgweir: if these fail, nothing else says anything.

use std::time::Duration;

use crate::support::message::{self, from_server};
use crate::support::peer::{FakeServer, Heard, Peer};
use crate::support::pgweir::{client, succeed};
use crate::support::postgres::{Postgres, Version, each_postgres};
use crate::support::wait::eventually;

fn address(postgres: &Postgres) -> std::net::SocketAddr {
    ([127, 0, 0, 1], postgres.port()).into()
}

#[test]
fn psql_and_pgbench_reach_every_version() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let version = postgres.psql(&database, "SHOW server_version_num");
        assert!(version.starts_with(&postgres.major().to_string()));
        let pgbench = |arguments: &[&str]| {
            let mut command = client(postgres, "pgbench", "t_scram", postgres.port());
            succeed(command.args(arguments).arg(&database))
        };
        pgbench(&["-i", "-q"]);
        let report = pgbench(&["-n", "-S", "-M", "prepared", "-c", "4", "-t", "20"]);
        assert!(report.contains("80/80"), "{report}");
    }
}

#[test]
fn logins_ask_for_what_their_rule_says() {
    for postgres in each_postgres() {
        for (user, code) in [
            ("t_trust", 0u32),
            ("t_plain", 3),
            ("t_md5", 5),
            ("t_scram", 10),
        ] {
            let mut peer = Peer::connect(address(postgres));
            let parameters = [("user", user), ("database", "postgres")];
            peer.send_raw(&message::startup(0x0003_0000, &parameters));
            let request = peer.expect(b'R');
            assert_eq!(request.body[..4], code.to_be_bytes(), "{user}");
        }
    }
}

#[test]
fn a_scripted_client_talks_and_reads_errors() {
    for postgres in each_postgres() {
        let mut peer = Peer::login(address(postgres), "t_trust", "postgres");
        assert!(peer.parameter("server_version").is_some());
        assert_eq!(peer.value("SELECT 6 * 7"), "42");
        let answer = peer.query("SELECT 1/0");
        let error = answer.iter().find(|m| m.tag == b'E').expect("an error");
        assert_eq!(error.report().sqlstate(), "22012");
        assert_eq!(error.report().message(), "division by zero");

        peer.send(&[
            message::parse("", "SELECT $1::int + 1"),
            message::bind("", "", &[Some("41")]),
            message::describe_portal(""),
            message::execute("", 0),
            message::sync(),
        ]);
        let messages = peer.expect_tags("12TDCZ");
        assert_eq!(messages[3].columns(), [Some("42".to_owned())]);

        peer.send(&[message::function_call(1397, "-5")]);
        peer.expect_tags("VZ");
        peer.send(&[message::terminate()]);
        assert_eq!(peer.expect_end(), []);
    }
}

#[test]
fn a_cancel_request_cancels() {
    for postgres in each_postgres() {
        let mut peer = Peer::login(address(postgres), "t_trust", "postgres");
        let (pid, key) = peer.key();
        let packet = message::cancel(pid, key);
        peer.send(&[message::query("SELECT pg_sleep(60)")]);
        // It has no effect before the query has begun.
        let error = eventually("the query is cancelled", || {
            Peer::connect(address(postgres)).send_raw(&packet);
            match peer.hear(Duration::from_millis(200)) {
                Heard::Message(message) if message.tag == b'E' => Some(message),
                _ => None,
            }
        });
        assert_eq!(error.report().sqlstate(), "57014");
    }
}

#[test]
fn a_replica_follows() {
    for postgres in each_postgres() {
        let replica = postgres.replica();
        let database = postgres.database();
        postgres.psql(&database, "CREATE TABLE seen AS SELECT 7 AS n");
        eventually("the replica has the table", || {
            replica
                .psql(&database, "SELECT n FROM seen")
                .is_ok_and(|n| n == "7")
                .then_some(())
        });
        let answer = replica.psql(&database, "SELECT pg_is_in_recovery()");
        assert_eq!(answer.expect("an answer"), "t");
    }
}

#[test]
fn a_cluster_of_ones_own_can_crash_and_come_back() {
    let Some(mut postgres) = Postgres::own(Version::V15) else {
        return;
    };
    let port = postgres.port();
    postgres.cluster.crash();
    assert!(postgres.cluster.psql("postgres", "SELECT 1").is_err());
    postgres.cluster.start().expect("it starts again");
    assert_eq!(postgres.port(), port);
    assert_eq!(postgres.psql("postgres", "SELECT 1"), "1");
}

#[test]
fn a_fake_server_logs_a_client_in() {
    let server = FakeServer::listen();
    let address = ([127, 0, 0, 1], server.port()).into();
    let client = std::thread::spawn(move || {
        let mut peer = Peer::login(address, "t_trust", "x");
        assert_eq!(peer.key(), (77, [1u8, 2, 3, 4].as_slice()));
        peer.value("SELECT 'anything'")
    });
    let mut peer = server.accept_login(77);
    let query = peer.expect(b'Q');
    assert_eq!(query, message::query("SELECT 'anything'"));
    peer.send(&[
        from_server::row_description(&["a"]),
        from_server::row(&["fake"]),
        from_server::complete("SELECT 1"),
        from_server::ready(b'I'),
    ]);
    assert_eq!(client.join().expect("the client"), "fake");
}

#[test]
fn tls_is_spoken_where_it_is_built_in() {
    let certs = crate::support::certs::certs();
    for postgres in each_postgres() {
        if !postgres.cluster.binaries().tls {
            eprintln!(
                "left out: PostgreSQL {} is built without TLS",
                postgres.major()
            );
            continue;
        }
        let mut psql = client(postgres, "psql", "t_cert", postgres.port());
        psql.env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", &certs.ca)
            .env("PGSSLCERT", &certs.client.cert)
            .env("PGSSLKEY", &certs.client.key)
            .args(["-AtX", "-d", "postgres", "-c"])
            .arg("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
        assert_eq!(succeed(&mut psql), "t");
    }
}
