//! The firewall: learns from real clients, then refuses what they never sent.

use std::process::Stdio;

use crate::support::pgweir::{Pgweir, Setup, succeed};
use crate::support::postgres::{Postgres, each_postgres, run_dir};
use crate::support::wait::eventually;

const SCHEMA: &str = "CREATE TABLE users (id int PRIMARY KEY, name text, pw text);
INSERT INTO users SELECT g, 'n' || g, 'p' FROM generate_series(1, 20) g";

fn setup(postgres: &Postgres, database: &str, mode: &str) -> Setup {
    let file = run_dir().join(format!("{}-{database}.firewall", postgres.major()));
    let profile = format!(
        "[[firewall]]\nname = \"web\"\ndatabase = \"app\"\nmode = \"{mode}\"\nfile = \"{}\"\n",
        file.display()
    );
    Setup::new()
        .set("admin_users", "postgres")
        .database("app", postgres, database)
        .lint(&profile)
}

/// What psql prints and what it complains of.
fn told(pgweir: &Pgweir, postgres: &Postgres, texts: &[&str]) -> (String, String) {
    let mut psql = pgweir.client(postgres, "psql", "t_trust");
    psql.args(["-d", "app", "-Atq", "-v", "VERBOSITY=verbose"]);
    for text in texts {
        psql.args(["-c", text]);
    }
    let output = psql.stdin(Stdio::null()).output().expect("running psql");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(output.stdout), text(output.stderr))
}

fn learn(pgweir: &Pgweir, postgres: &Postgres) {
    for text in [
        "SELECT id FROM users WHERE name = 'n1' AND pw = 'p'",
        "SELECT name FROM users WHERE id IN (1, 2)",
        "INSERT INTO users VALUES (100, 'a', 'b')",
    ] {
        let (_, wrong) = told(pgweir, postgres, &[text]);
        assert_eq!(wrong, "", "{text}");
    }
}

#[test]
fn what_was_learned_passes_and_the_rest_is_refused() {
    for postgres in each_postgres() {
        let database = postgres.database();
        postgres.psql(&database, SCHEMA);
        let pgweir = setup(postgres, &database, "learn").start();
        learn(&pgweir, postgres);
        pgweir.psql(
            postgres,
            "postgres",
            "pgweir",
            "SET FIREWALL 'web' 'protect'",
        );

        let known = "SELECT id FROM users WHERE name = 'n7' AND pw = 'p' -- 17";
        assert_eq!(told(&pgweir, postgres, &[known]).0, "7\n");
        for text in [
            "SELECT id FROM users WHERE name = '' OR '1' = '1' -- ' AND pw = 'p'",
            "SELECT id FROM users WHERE name = 'n1' AND pw = 'p' UNION SELECT oid::int FROM pg_authid",
            "SELECT id FROM users",
            "SELECT id FROM users WHERE name = 'n1' AND pw = 'p'; DELETE FROM users",
            "SELECT name FROM users WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9)",
            "DROP TABLE users",
        ] {
            let (rows, wrong) = told(&pgweir, postgres, &[text]);
            assert!(wrong.contains("QL900"), "{text}: {wrong}");
            assert_eq!(rows, "", "{text}");
        }
        assert_eq!(postgres.psql(&database, "SELECT count(*) FROM users"), "21");

        // In a transaction the server's fails too.
        let insert = "INSERT INTO users VALUES (101, 'c', 'd')";
        let (_, wrong) = told(
            &pgweir,
            postgres,
            &["BEGIN", insert, "DELETE FROM users", insert, "COMMIT"],
        );
        assert!(
            wrong.contains("QL900") && wrong.contains("25P02"),
            "{wrong}"
        );
        assert_eq!(postgres.psql(&database, "SELECT count(*) FROM users"), "21");

        // What is a statement of the application after all can be allowed.
        let all = "SELECT id FROM users";
        let unknown = pgweir.psql(postgres, "postgres", "pgweir", "SHOW FIREWALL_UNKNOWN");
        let line = unknown
            .lines()
            .find(|line| line.ends_with("|select id from users"));
        let shape = line
            .expect("the statement")
            .split('|')
            .nth(1)
            .expect("a shape");
        let allow = format!("ALLOW 'web' '{shape}'");
        pgweir.psql(postgres, "postgres", "pgweir", &allow);
        assert_eq!(told(&pgweir, postgres, &[all]).0.lines().count(), 21);

        // It is all told, with what was refused.
        eventually("findings", || {
            let found = pgweir.psql(postgres, "postgres", "pgweir", "SHOW FINDINGS");
            let refused = found
                .lines()
                .filter(|line| line.contains("|firewall|") && line.contains("|block|"));
            (refused.count() >= 5).then_some(())
        });
        let counted = pgweir.psql(postgres, "postgres", "pgweir", "SHOW FIREWALL");
        assert!(counted.starts_with("web|app|*|*|protect|4|"), "{counted}");
    }
}

#[test]
fn a_list_outlives_the_process_and_detecting_refuses_nothing() {
    for postgres in each_postgres() {
        let database = postgres.database();
        postgres.psql(&database, SCHEMA);
        let mut pgweir = setup(postgres, &database, "learn").start();
        learn(&pgweir, postgres);
        pgweir.signal("INT");
        pgweir.wait();
        let pgweir = setup(postgres, &database, "detect").start();
        let known = "SELECT id FROM users WHERE name = 'n3' AND pw = 'p'";
        assert_eq!(told(&pgweir, postgres, &[known]).0, "3\n");
        let other = "SELECT count(*) FROM users WHERE pw = 'p'";
        let (rows, wrong) = told(&pgweir, postgres, &[other]);
        assert_eq!((&*rows, &*wrong), ("20\n", ""));
        eventually("the finding", || {
            let found = pgweir.psql(postgres, "postgres", "pgweir", "SHOW FINDINGS");
            let ours: Vec<&str> = found
                .lines()
                .filter(|line| line.contains("|firewall|"))
                .collect();
            let one =
                ours.len() == 1 && ours[0].contains("|unknown-shape|") && ours[0].contains("|log|");
            one.then_some(())
        });
    }
}

#[test]
fn prepared_statements_are_refused_too() {
    for postgres in each_postgres() {
        let database = postgres.database();
        postgres.psql(&database, SCHEMA);
        let pgweir = setup(postgres, &database, "learn").start();
        let text = format!(
            "host=127.0.0.1 port={} user=t_trust dbname=app",
            pgweir.port()
        );
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls)
                .await
                .expect("a login");
            tokio::spawn(connection);
            let known = client
                .prepare("SELECT name FROM users WHERE id = $1")
                .await
                .expect("prepares");
            client.query_one(&known, &[&1]).await.expect("a row");
            // Prepared while it learned, never run.
            let never = client
                .prepare("SELECT pw FROM users WHERE id = $1")
                .await
                .expect("prepares");
            tokio::task::block_in_place(|| {
                pgweir.psql(
                    postgres,
                    "postgres",
                    "pgweir",
                    "SET FIREWALL 'web' 'protect'",
                );
            });
            let name: String = client.query_one(&known, &[&2]).await.expect("a row").get(0);
            assert_eq!(name, "n2");
            let code =
                |error: tokio_postgres::Error| error.code().map(|code| code.code().to_owned());
            let refused = client.query_one(&never, &[&1]).await.expect_err("refused");
            assert_eq!(code(refused).as_deref(), Some("QL900"));
            let refused = client.prepare("DELETE FROM users WHERE id = $1").await;
            assert_eq!(
                code(refused.expect_err("refused")).as_deref(),
                Some("QL900")
            );
            // The connection goes on.
            client.query_one(&known, &[&3]).await.expect("a row");
        });
    }
}

/// pgbench knows what it sent, in all its protocols.
#[test]
fn a_learned_workload_runs_under_protection() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let pgweir = setup(postgres, &database, "learn").start();
        let bench = |args: &[&str]| {
            let mut pgbench = pgweir.client(postgres, "pgbench", "t_trust");
            succeed(pgbench.args(args).arg("app"));
        };
        bench(&["-i", "-q"]);
        for protocol in ["simple", "extended", "prepared"] {
            // Often enough for numbers of both signs: in texts these are two shapes.
            bench(&["-n", "-t", "60", "-M", protocol]);
        }
        pgweir.psql(
            postgres,
            "postgres",
            "pgweir",
            "SET FIREWALL 'web' 'protect'",
        );
        for protocol in ["simple", "extended", "prepared"] {
            bench(&["-n", "-t", "20", "-c", "4", "-M", protocol]);
        }
    }
}
