//! Users whose secrets are asked of the server.

use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{PASSWORD, Postgres, Version, each_postgres};
use crate::support::wait::eventually;

/// What psql says as this user, and whether it succeeded.
fn psql(
    pgweir: &Pgweir,
    postgres: &Postgres,
    user: &str,
    password: &str,
    text: &str,
) -> (bool, String) {
    let mut psql = pgweir.client(postgres, "psql", user);
    psql.env("PGPASSWORD", password);
    psql.args(["-AtqX", "-d", "app", "-c", text]);
    let output = psql.output().expect("running psql");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout).trim().to_owned() + text(&output.stderr).trim(),
    )
}

#[test]
fn secrets_are_asked_of_the_server_at_each_login() {
    for version in Version::ALL {
        let Some(postgres) = Postgres::own(version) else {
            continue;
        };
        let sql = |text: &str| postgres.psql("postgres", text);
        sql("CREATE ROLE asker LOGIN PASSWORD 'asks'");
        sql(
            "CREATE FUNCTION lookup(INOUT name text, OUT secret text) LANGUAGE sql SECURITY DEFINER AS 'SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())'",
        );
        sql("REVOKE ALL ON FUNCTION lookup FROM public; GRANT EXECUTE ON FUNCTION lookup TO asker");
        sql(
            "CREATE ROLE ann LOGIN PASSWORD 'one'; CREATE ROLE old LOGIN PASSWORD 'one' VALID UNTIL '2020-01-01'; CREATE ROLE bare LOGIN",
        );
        sql("SET password_encryption = md5; CREATE ROLE hashed LOGIN PASSWORD 'one'");
        let setup = Setup::new()
            .set("auth_type", "scram-sha-256")
            .set("auth_user", "asker")
            .set(
                "auth_query",
                "SELECT name, secret FROM lookup($1) WHERE name IS NOT NULL",
            )
            .secret("asker", "asks")
            .database("app", &postgres, "postgres");
        let pgweir = setup.clone().start();
        let who = "SELECT current_user";
        let ask = |user: &str, password: &str| psql(&pgweir, &postgres, user, password, who);
        assert_eq!(ask("ann", "one"), (true, "ann".to_owned()), "{version:?}");
        for (user, password) in [
            ("ann", "two"),
            ("old", "one"),
            ("bare", ""),
            ("nobody", "one"),
        ] {
            let (succeeded, told) = ask(user, password);
            assert!(!succeeded, "{user}");
            assert!(
                told.contains("password authentication failed")
                    || told.contains("no password supplied"),
                "{user}: {told}"
            );
        }
        // A password that was changed counts for the next login, also towards the server, once its
        // connections with the old one are gone.
        sql("ALTER ROLE ann PASSWORD 'two'");
        assert!(!ask("ann", "one").0);
        assert_eq!(ask("ann", "two"), (true, "ann".to_owned()));
        postgres.psql(
            "postgres",
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'ann'",
        );
        eventually("a new connection with the new secret", || {
            ask("ann", "two").0.then_some(())
        });
        // The connections that ask come back after they were cut, and are few.
        sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'pgweir auth_query'",
        );
        assert_eq!(ask("ann", "two"), (true, "ann".to_owned()));
        let count = sql(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgweir auth_query'",
        );
        assert!(matches!(count.trim(), "1" | "2"), "{count}");
        // What is not an answer is the operator's to see, not the client's.
        pgweir.rewrite(&setup.set("auth_query", "SELECT $1::text"));
        pgweir.signal("HUP");
        let told = eventually("the new query", || {
            let (_, told) = ask("ann", "two");
            told.contains("bouncer config error").then_some(told)
        });
        assert!(!told.contains("columns"), "{told}");
        assert!(pgweir.log().contains("gives 1 columns"), "{}", pgweir.log());
    }
}

#[test]
fn an_md5_hash_serves_on_both_sides_and_the_console_asks_nobody() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let database = postgres.database();
    let pgweir = Setup::new()
        .forget("t_md5")
        .set("auth_type", "md5")
        .set("auth_user", "t_trust")
        .set("admin_users", "t_md5")
        .database("app", postgres, &database)
        .start();
    let who = "SELECT current_user";
    let asked = psql(&pgweir, postgres, "t_md5", PASSWORD, who);
    assert_eq!(asked, (true, "t_md5".to_owned()), "by the default query");
    assert!(!psql(&pgweir, postgres, "t_md5", "wrong", who).0);
    let mut console = pgweir.client(postgres, "psql", "t_md5");
    console.env("PGPASSWORD", PASSWORD);
    let output = console
        .args(["-d", "pgweir", "-c", "SHOW POOLS"])
        .output()
        .expect("psql");
    assert!(
        !output.status.success(),
        "a user of the database is none of the console"
    );
}
