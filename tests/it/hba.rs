//! Who may log in from where and how.

use crate::support::certs::certs;
use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{PASSWORD, Postgres, Version, each_postgres};
use crate::support::wait::eventually;

/// What psql says, over TCP or the unix socket in `host`, and whether it succeeded.
fn psql(
    pgweir: &Pgweir,
    postgres: &Postgres,
    host: Option<&str>,
    user: &str,
    database: &str,
) -> (bool, String) {
    let mut psql = pgweir.client(postgres, "psql", user);
    psql.env("PGPASSWORD", PASSWORD);
    if let Some(host) = host {
        psql.args(["-h", host]);
    }
    psql.args(["-AtqX", "-d", database, "-c", "SELECT current_user"]);
    let output = psql.output().expect("running psql");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (
        output.status.success(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

#[test]
fn the_file_says_who_gets_in_and_a_bad_one_changes_nothing() {
    for postgres in each_postgres() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        // Whoever runs the tests may be anybody.
        let me = String::from_utf8(
            std::process::Command::new("id")
                .arg("-un")
                .output()
                .expect("id")
                .stdout,
        )
        .expect("a name");
        std::fs::write(path("ident"), format!("mine {} t_plain\n", me.trim())).expect("written");
        std::fs::write(path("staff"), "t_scram\n").expect("written");
        let lines = "local app t_plain peer map=mine\n\
                     host app t_md5 127.0.0.0/8 reject\n\
                     host app @staff samehost scram-sha-256\n\
                     host app t_trust 127.0.0.1/32 trust\n\
                     host app /^t_pl 127.0.0.1/32 md5\n";
        std::fs::write(path("hba"), lines).expect("written");
        let database = postgres.database();
        let setup = Setup::new()
            .set("auth_type", "hba")
            .set("auth_hba_file", path("hba").display().to_string())
            .set("auth_ident_file", path("ident").display().to_string())
            .set("unix_socket_dir", directory.path().display().to_string())
            .database("app", postgres, &database)
            .database("other", postgres, &database);
        let pgweir = setup.clone().start();
        let unix = directory.path().display().to_string();
        let ask = |host: Option<&str>, user: &str, database: &str| {
            psql(&pgweir, postgres, host, user, database)
        };
        for user in ["t_scram", "t_trust", "t_plain"] {
            assert_eq!(ask(None, user, "app"), (true, user.to_owned()));
        }
        assert_eq!(
            ask(Some(&unix), "t_plain", "app"),
            (true, "t_plain".to_owned()),
            "by its map"
        );
        let (succeeded, told) = ask(None, "t_md5", "app");
        assert!(!succeeded && told.contains("login rejected"), "{told}");
        for (host, user, database) in [
            (None, "t_trust", "other"),
            (Some(&*unix), "t_trust", "app"),
            (None, "nobody", "app"),
        ] {
            let (succeeded, told) = ask(host, user, database);
            assert!(
                !succeeded && told.contains("no authentication method is found"),
                "{user} {told}"
            );
        }
        // A mistake in the file leaves the old one in force.
        std::fs::write(
            path("hba"),
            "host app t_md5 127.0.0.0/8 rejct\nhost all all all trust\n",
        )
        .expect("written");
        pgweir.signal("HUP");
        let log = eventually("the mistake in the log", || {
            let log = pgweir.log();
            log.contains("rejct").then_some(log)
        });
        assert!(
            log.contains("hba:1: auth_hba_file: method \"rejct\" is not known"),
            "{log}"
        );
        assert!(!ask(None, "t_md5", "app").0);
        std::fs::write(path("hba"), "host all t_md5 all md5\n").expect("written");
        pgweir.signal("HUP");
        eventually("the new file", || {
            ask(None, "t_md5", "other").0.then_some(())
        });
        assert!(!ask(None, "t_trust", "app").0);
    }
}

#[test]
fn a_line_can_want_a_certificate_beside_the_password() {
    for postgres in each_postgres().filter(|postgres| postgres.cluster.binaries().tls) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("hba");
        let lines = "hostssl app t_plain samenet scram-sha-256 clientcert=verify-ca\n\
                     hostssl app t_cert,t_scram samenet scram-sha-256 clientcert=verify-full\n\
                     hostssl other t_cert 127.0.0.1/32 cert\n";
        std::fs::write(&file, lines).expect("written");
        let database = postgres.database();
        let path = |file: &std::path::Path| file.display().to_string();
        let setup = Setup::new()
            .set("auth_type", "hba")
            .set("auth_hba_file", path(&file))
            .set("client_tls_sslmode", "allow")
            .set("client_tls_cert_file", path(&certs().server.cert))
            .set("client_tls_key_file", path(&certs().server.key))
            .database("app", postgres, &database)
            .database("other", postgres, &database)
            .database_set("app", "user", "postgres")
            .database_set("other", "user", "postgres");
        let pgweir = (setup.clone())
            .set("client_tls_ca_file", path(&certs().ca))
            .start();
        let ask = |user: &str, database: &str, password: &str, certificate: bool| {
            let mut psql = pgweir.client(postgres, "psql", user);
            psql.env("PGPASSWORD", password)
                .env("PGSSLMODE", "require")
                .env("PGSSLROOTCERT", "/nonexistent")
                .env("PGSSLCERT", "/nonexistent");
            if certificate {
                psql.env("PGSSLCERT", &certs().client.cert)
                    .env("PGSSLKEY", &certs().client.key);
            }
            psql.args(["-AtqX", "-d", database, "-c", "SELECT 'in'"]);
            let output = psql.output().expect("running psql");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            text(&output.stdout) + &text(&output.stderr)
        };
        // The certificate is t_cert's.
        for (user, database, password, certificate, told) in [
            ("t_plain", "app", PASSWORD, true, "in"),
            (
                "t_plain",
                "app",
                "wrong",
                true,
                "password authentication failed",
            ),
            (
                "t_plain",
                "app",
                PASSWORD,
                false,
                "requires a valid client certificate",
            ),
            ("t_cert", "app", PASSWORD, true, "in"),
            (
                "t_cert",
                "app",
                "wrong",
                true,
                "password authentication failed",
            ),
            (
                "t_scram",
                "app",
                PASSWORD,
                true,
                "certificate authentication failed",
            ),
            ("t_cert", "other", "", true, "in"),
            (
                "t_cert",
                "other",
                "",
                false,
                "certificate authentication failed",
            ),
        ] {
            let said = ask(user, database, password, certificate);
            assert!(
                said.contains(told),
                "{user} {database} {certificate}: {said}"
            );
        }
        // Without authorities there is nothing to check a certificate with.
        let output = setup.run_to_end();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        for line in 1..=3 {
            let told = format!("hba:{line}: auth_hba_file: client certificates need something");
            assert!(log.contains(&told), "{log}");
        }
    }
}

/// The server is asked, at each login that comes to such a line and for no other.
#[test]
fn a_line_can_mean_the_members_of_a_role() {
    for version in Version::ALL {
        let Some(postgres) = Postgres::own(version) else {
            continue;
        };
        let sql = |text: &str| postgres.psql("postgres", text);
        sql(
            "CREATE ROLE asker LOGIN PASSWORD 'p'; CREATE ROLE \"Sales\"; CREATE ROLE north; CREATE ROLE banned;
             CREATE ROLE app; GRANT \"Sales\" TO north;
             CREATE ROLE ann LOGIN PASSWORD 'p' NOINHERIT IN ROLE north; CREATE ROLE bob LOGIN PASSWORD 'p';
             CREATE ROLE eve LOGIN PASSWORD 'p' IN ROLE banned, north; CREATE ROLE root LOGIN PASSWORD 'p' SUPERUSER;
             CREATE ROLE joe LOGIN PASSWORD 'p' IN ROLE app",
        );
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("hba");
        let lines = "host app root 127.0.0.1/32 trust\n\
                     host app,other +banned all reject\n\
                     host app +\"Sales\" all trust\n\
                     host samerole all all trust\n";
        std::fs::write(&file, lines).expect("written");
        let mut setup = Setup::new()
            .set("auth_type", "hba")
            .set("auth_hba_file", file.display().to_string())
            .set("admin_users", "root")
            .secret("asker", "p")
            .database("app", &postgres, "postgres")
            .database_set("app", "auth_user", "asker")
            .database("other", &postgres, "postgres")
            .database_set("other", "auth_user", "asker");
        for user in ["ann", "bob", "eve", "root", "joe"] {
            setup = setup.secret(user, "p");
        }
        let pgweir = setup.start();
        let ask = |user: &str, database: &str| psql(&pgweir, &postgres, None, user, database);
        let is_in = |user: &str| (true, user.to_owned());
        let asking = || {
            sql(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgweir auth_query'",
            )
        };
        assert_eq!(ask("root", "app"), is_in("root"), "{version:?}");
        assert_eq!(asking().trim(), "0", "a line that fits by name asks nobody");
        assert_eq!(ask("ann", "app"), is_in("ann"), "by way of another role");
        assert_ne!(asking().trim(), "0");
        assert_eq!(
            ask("joe", "app"),
            is_in("joe"),
            "the role called as the database"
        );
        let outside = "no authentication method is found";
        for (user, database, told) in [
            ("bob", "app", outside),
            ("eve", "app", "login rejected"),
            ("ann", "other", outside),
            ("root", "other", outside),
            ("nobody", "app", outside),
            // Nobody is asked about users of the console.
            ("root", "pgbouncer", "asking for roles failed"),
        ] {
            let (succeeded, said) = ask(user, database);
            assert!(
                !succeeded && said.contains(told),
                "{user} {database}: {said}"
            );
        }
        // What was changed counts at the next login.
        sql("REVOKE north FROM ann; GRANT \"Sales\" TO bob");
        let (succeeded, said) = ask("ann", "app");
        assert!(!succeeded && said.contains(outside), "{said}");
        assert_eq!(ask("bob", "app"), is_in("bob"));
        // Who cannot be judged comes to no later line.
        std::fs::write(&file, format!("{lines}host app all all trust\n")).expect("written");
        pgweir.signal("HUP");
        eventually("the new file", || ask("ann", "app").0.then_some(()));
        sql("ALTER ROLE asker NOLOGIN");
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'asker'");
        let (succeeded, said) = ask("ann", "app");
        assert!(
            !succeeded && said.contains("asking for roles failed"),
            "{said}"
        );
        assert!(ask("root", "app").0);
    }
}

#[test]
fn a_line_with_a_role_needs_somebody_to_ask() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("hba");
    let refused = |lines: &str, setup: &Setup| {
        std::fs::write(&file, lines).expect("written");
        let output = (setup.clone())
            .set("auth_type", "hba")
            .set("auth_hba_file", file.display().to_string())
            .run_to_end();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let setup = Setup::new()
        .database_at("app", 1)
        .database_set("app", "auth_user", "asker")
        .database_at("pay", 1);
    for (lines, line, database) in [
        ("host app +a all md5\nhost all +a all md5\n", 2, "pay"),
        ("host /^p +a all md5\n", 1, "pay"),
        ("\nhost samerole all all md5\n", 2, "pay"),
    ] {
        let told = format!(
            "hba:{line}: auth_hba_file: who is a member of a role is asked of the server as auth_user, which is not set for database \"{database}\""
        );
        let log = refused(lines, &setup);
        assert!(log.contains(&told), "{lines}: {log}");
    }
    let any = setup.database_at("*", 1);
    let log = refused("host else +a all md5\n", &any);
    assert!(log.contains("for database \"else\""), "{log}");
}
