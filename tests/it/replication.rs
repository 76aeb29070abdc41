//! Replication through pgweir, with PostgreSQL's own programs.

use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{Postgres, Version};
use crate::support::wait::eventually;

fn run(pgweir: &Pgweir, postgres: &Postgres, program: &str, arguments: &[&str]) -> String {
    let mut command = pgweir.client(postgres, program, "t_trust");
    command.args(arguments);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {text}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &text
}

#[test]
fn backups_and_streams_go_through() {
    for version in Version::ALL {
        let Some(postgres) = Postgres::own(version) else {
            continue;
        };
        postgres.psql(
            "postgres",
            "CREATE TABLE t (a int); ALTER ROLE t_trust REPLICATION",
        );
        let socket = postgres.psql("postgres", "SHOW unix_socket_directories");
        let socket = socket.trim().to_owned();
        let pgweir = Setup::new()
            .set("pool_mode", "transaction")
            .set("admin_users", "t_trust")
            .database("app", &postgres, "postgres")
            .database("replication", &postgres, "postgres")
            // There the server lets replication in.
            .database_set("app", "host", socket.as_str())
            .database_set("replication", "host", socket.as_str())
            .start();
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        // A whole copy of the server, with the log that was written meanwhile by a second connection.
        run(
            &pgweir,
            &postgres,
            "pg_basebackup",
            &["-D", &path("copy"), "-X", "stream", "-c", "fast"],
        );
        assert!(
            directory.path().join("copy/PG_VERSION").exists(),
            "{version:?}"
        );
        // SQL and commands of a walsender on one connection.
        let said = run(
            &pgweir,
            &postgres,
            "psql",
            &[
                "-AtqX",
                "replication=database dbname=app",
                "-c",
                "IDENTIFY_SYSTEM",
            ],
        );
        assert!(said.contains('|'), "{said}");
        let said = run(
            &pgweir,
            &postgres,
            "psql",
            &[
                "-AtqX",
                "replication=database dbname=app",
                "-c",
                "SELECT 40 + 2",
            ],
        );
        assert!(said.contains("42"), "{said}");
        // A stream of changes, while it is shown and then killed.
        if postgres.psql("postgres", "SHOW wal_level").trim() == "logical" {
            run(
                &pgweir,
                &postgres,
                "pg_recvlogical",
                &[
                    "-d",
                    "app",
                    "--slot",
                    "s",
                    "--create-slot",
                    "-P",
                    "test_decoding",
                ],
            );
        }
        let mut stream = pgweir.client(&postgres, "pg_receivewal", "t_trust");
        std::fs::create_dir(path("wal")).expect("a directory");
        let mut stream = stream
            .args(["-D", &path("wal"), "-n"])
            .spawn()
            .expect("pg_receivewal");
        let clients = || pgweir.psql(&postgres, "t_trust", "pgweir", "SHOW CLIENTS");
        let line = eventually("the stream among the clients", || {
            let all = clients();
            let line = all.lines().find(|line| line.contains("|physical|"))?;
            Some(line.to_owned())
        });
        postgres.psql("postgres", "INSERT INTO t SELECT generate_series(1, 1000)");
        eventually("bytes of the log", || {
            let mut files = std::fs::read_dir(path("wal")).ok()?;
            files.next().map(|_| ())
        });
        let id = line.split('|').nth(20).expect("the id").to_owned();
        pgweir.psql(&postgres, "t_trust", "pgweir", &format!("KILL_CLIENT {id}"));
        let status = stream.wait().expect("pg_receivewal ends");
        assert!(!status.success());
        eventually("no walsender", || {
            let left = postgres.psql("postgres", "SELECT count(*) FROM pg_stat_replication");
            (left.trim() == "0").then_some(())
        });
        assert!(!clients().contains("|physical|"));
    }
}

#[test]
fn limits_count_it_and_refuse_it() {
    let Some(postgres) = Postgres::own(Version::ALL[0]) else {
        return;
    };
    let pgweir = Setup::new()
        .set("max_db_connections", 1)
        .database("app", &postgres, "postgres")
        .start();
    let mut first = pgweir.client(&postgres, "psql", "t_trust");
    let mut first = first
        .args([
            "-AtqX",
            "replication=database dbname=app",
            "-c",
            "SELECT pg_sleep(30)",
        ])
        .spawn()
        .expect("psql");
    eventually("the first", || {
        let running = postgres.psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()");
        (running.trim() == "1").then_some(())
    });
    let mut second = pgweir.client(&postgres, "psql", "t_trust");
    let output = second
        .args(["-AtqX", "replication=database dbname=app", "-c", "SELECT 1"])
        .output()
        .expect("psql");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("server connections exceeded (max_db_connections)"),
        "{told}"
    );
    // Ctrl-C in psql is a cancel request, which has to reach the server.
    // The process is this test's own.
    let pid = first.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .expect("kill")
            .success()
    );
    let status = first.wait().expect("psql ends");
    assert!(!status.success());
    eventually("the place is free", || {
        let mut again = pgweir.client(&postgres, "psql", "t_trust");
        let output = again
            .args(["-AtqX", "replication=database dbname=app", "-c", "SELECT 1"])
            .output()
            .expect("psql");
        output.status.success().then_some(())
    });
}
