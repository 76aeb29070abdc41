//! psql and pgbench through pgweir: if these fail, look here first.

use std::time::Duration;

use crate::support::message;
use crate::support::peer::Peer;
use crate::support::pgweir::{Pgweir, Setup, client, succeed};
use crate::support::postgres::{PASSWORD, Postgres, each_postgres};
use crate::support::wait::eventually;

const MODES: [&str; 2] = ["session", "transaction"];

/// pgweir in front of a fresh database, as `app`.
fn start(postgres: &Postgres, mode: &str, pool_size: u32) -> (Pgweir, String) {
    let database = postgres.database();
    let pgweir = Setup::new()
        .set("pool_mode", mode)
        .set("default_pool_size", i64::from(pool_size))
        .database("app", postgres, &database)
        .start();
    (pgweir, database)
}

#[test]
fn psql_gets_answers_and_errors() {
    for postgres in each_postgres() {
        for mode in ["session", "transaction", "statement"] {
            let (pgweir, _) = start(postgres, mode, 2);
            let psql = |sql: &str| pgweir.psql(postgres, "t_trust", "app", sql);
            assert_eq!(psql("SELECT 6 * 7"), "42");
            assert_eq!(psql("CREATE TABLE t AS SELECT 1 AS x"), "");
            assert_eq!(psql("SELECT x FROM t"), "1");
            let mut failing = pgweir.client(postgres, "psql", "t_trust");
            failing.args([
                "-AtX",
                "-v",
                "VERBOSITY=verbose",
                "-d",
                "app",
                "-c",
                "SELECT 1/0",
            ]);
            let output = failing.output().expect("running psql");
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(text.contains("22012: division by zero"), "{mode}: {text}");
        }
    }
}

#[test]
fn every_kind_of_server_password_is_known() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let setup = Setup::new().database("app", postgres, &database);
        let pgweir = setup.start();
        for user in ["t_trust", "t_plain", "t_md5", "t_scram"] {
            let name = pgweir.psql(postgres, user, "app", "SELECT current_user");
            assert_eq!(name, user);
        }
    }
}

#[test]
fn clients_prove_themselves_with_scram() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let pgweir = Setup::new()
            .set("auth_type", "scram-sha-256")
            .database("app", postgres, &database)
            .start();
        let answer = pgweir.psql(postgres, "t_scram", "app", "SELECT 1");
        assert_eq!(answer, "1");
        for (user, password) in [("t_scram", "wrong"), ("nobody_knows", PASSWORD)] {
            let mut psql = pgweir.client(postgres, "psql", user);
            psql.env("PGPASSWORD", password);
            psql.args(["-X", "-d", "app", "-c", "SELECT 1"]);
            let output = psql.output().expect("running psql");
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{user} came in");
            let reason = format!("password authentication failed for user \"{user}\"");
            assert!(text.contains(&reason), "{text}");
        }
    }
}

#[test]
fn pgbench_runs_in_every_protocol_with_more_clients_than_servers() {
    for postgres in each_postgres() {
        let (pgweir, database) = start(postgres, "transaction", 3);
        let pgbench = |arguments: &[&str]| {
            let mut command = pgweir.client(postgres, "pgbench", "t_scram");
            succeed(command.args(arguments).arg("app"))
        };
        pgbench(&["-i", "-q"]);
        for protocol in ["simple", "extended", "prepared"] {
            let report = pgbench(&["-n", "-c", "12", "-t", "20", "-M", protocol]);
            assert!(report.contains("240/240"), "{protocol}: {report}");
        }
        let report = pgbench(&["-n", "-S", "-C", "-c", "4", "-t", "10"]);
        assert!(report.contains("40/40"), "{report}");
        let count = "SELECT count(*) FROM pgbench_history";
        assert_eq!(postgres.psql(&database, count), "720");
        let sessions = format!(
            "SELECT count(*) <= 3 FROM pg_stat_activity \
             WHERE datname = '{database}' AND usename = 't_scram'"
        );
        assert_eq!(postgres.psql("postgres", &sessions), "t");
    }
}

#[test]
fn pgbench_pipelines() {
    for postgres in each_postgres() {
        for mode in MODES {
            let (pgweir, _) = start(postgres, mode, 4);
            let script = pgweir.dir().join("pipeline.sql");
            let mut text = "\\startpipeline\n".to_owned();
            text.push_str(&"SELECT 1;\n".repeat(100));
            text.push_str("\\endpipeline\n");
            std::fs::write(&script, text).expect("writing a script");
            let mut command = pgweir.client(postgres, "pgbench", "t_trust");
            command.args(["-n", "-c", "4", "-t", "10", "-M", "prepared", "-f"]);
            let report = succeed(command.arg(&script).arg("app"));
            assert!(report.contains("40/40"), "{mode}: {report}");
        }
    }
}

#[test]
fn copy_goes_both_ways() {
    for postgres in each_postgres() {
        for mode in MODES {
            let (pgweir, _) = start(postgres, mode, 2);
            let rows: String = (0..20_000).map(|i| format!("{i}\trow {i}\n")).collect();
            let file = pgweir.dir().join("rows");
            std::fs::write(&file, &rows).expect("writing rows");
            pgweir.psql(
                postgres,
                "t_trust",
                "app",
                "CREATE TABLE t (id int, name text)",
            );
            let path = file.display();
            pgweir.psql(
                postgres,
                "t_trust",
                "app",
                &format!("\\copy t FROM '{path}'"),
            );
            let out = pgweir.dir().join("out");
            let back = format!(
                "\\copy (SELECT * FROM t ORDER BY id) TO '{}'",
                out.display()
            );
            pgweir.psql(postgres, "t_trust", "app", &back);
            assert!(std::fs::read_to_string(&out).expect("reading rows") == rows);
        }
    }
}

#[test]
fn large_values_pass_unchanged() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", 2);
        let sql = "SELECT md5(repeat('0123456789abcdef', 4000000))";
        let expected = postgres.psql("postgres", sql);
        let mut peer = Peer::login(pgweir.address(), "t_trust", "app");
        let value = peer.value("SELECT repeat('0123456789abcdef', 4000000)");
        assert_eq!(value.len(), 64_000_000);
        assert!(value == "0123456789abcdef".repeat(4_000_000));
        // And towards the server.
        peer.send(&[
            message::parse("", "SELECT md5($1)"),
            message::bind("", "", &[Some(&value)]),
            message::execute("", 0),
            message::sync(),
        ]);
        let messages = peer.expect_tags("12DCZ");
        assert_eq!(messages[2].columns(), [Some(expected)]);
    }
}

#[test]
fn a_cancel_request_reaches_the_right_query() {
    for postgres in each_postgres() {
        for mode in MODES {
            let (pgweir, _) = start(postgres, mode, 3);
            let mut bystander = Peer::login(pgweir.address(), "t_trust", "app");
            bystander.send(&[message::query("SELECT pg_sleep(2), 'undisturbed'")]);
            let mut peer = Peer::login(pgweir.address(), "t_trust", "app");
            peer.send(&[message::query("SELECT pg_sleep(60)")]);
            // It must be running, or there is nothing to cancel.
            std::thread::sleep(Duration::from_millis(500));
            let (pid, key) = peer.key();
            let mut canceller = Peer::connect(pgweir.address());
            canceller.send_raw(&message::cancel(pid, key));
            assert_eq!(canceller.expect_end(), []);
            let answer = peer.until_ready(1);
            let error = answer.iter().find(|m| m.tag == b'E').expect("an error");
            assert_eq!(error.report().sqlstate(), "57014", "{mode}");
            assert_eq!(peer.value("SELECT 'still there'"), "still there");
            let answer = bystander.until_ready(1);
            assert!(answer.iter().all(|m| m.tag != b'E'), "{answer:?}");
        }
    }
}

#[test]
fn a_client_that_leaves_in_a_transaction_leaves_nothing() {
    for postgres in each_postgres() {
        for mode in MODES {
            let (pgweir, database) = start(postgres, mode, 1);
            postgres.psql(&database, "CREATE TABLE t (x int)");
            let mut peer = Peer::login(pgweir.address(), "t_trust", "app");
            peer.query("BEGIN");
            peer.query("INSERT INTO t VALUES (1)");
            drop(peer);
            let mut next = Peer::login(pgweir.address(), "t_trust", "app");
            assert_eq!(next.value("SELECT count(*) FROM t"), "0");
            let answer = next.query("SELECT 1");
            assert_eq!(
                answer.last().map(|m| m.body.as_slice()),
                Some(b"I".as_slice())
            );
        }
    }
}

#[test]
fn a_thousand_abandoned_logins_leave_no_trace() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let (pgweir, _) = start(postgres, "transaction", 2);
    let startup = message::startup(0x0003_0000, &[("user", "t_trust"), ("database", "app")]);
    for n in 0..1000 {
        let mut peer = Peer::connect(pgweir.address());
        peer.send_raw(&startup[..n % (startup.len() + 1)]);
    }
    let clients = || {
        let mut psql = client(postgres, "psql", "postgres", pgweir.port());
        psql.args(["-AtX", "-d", "pgweir", "-c", "SHOW CLIENTS"]);
        succeed(&mut psql).lines().count()
    };
    // The one that asks.
    eventually("only the console's client is left", || {
        (clients() == 1).then_some(())
    });
}

#[test]
fn the_console_answers_psql() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", 2);
        let console = |sql: &str| pgweir.psql(postgres, "postgres", "pgweir", sql);
        pgweir.psql(postgres, "t_trust", "app", "SELECT 1");
        assert!(console("SHOW VERSION").to_lowercase().contains("pgweir"));
        assert!(
            console("SHOW POOLS")
                .lines()
                .any(|line| line.starts_with("app|t_trust|"))
        );
        assert!(
            console("SHOW DATABASES")
                .lines()
                .any(|line| line.starts_with("app|"))
        );
    }
}

#[test]
fn sigterm_ends_an_idle_pgweir_with_success() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let (mut pgweir, _) = start(postgres, "transaction", 2);
    pgweir.psql(postgres, "t_trust", "app", "SELECT 1");
    pgweir.signal("TERM");
    let status = pgweir.wait();
    assert!(status.success(), "{status}\n{}", pgweir.log());
}
