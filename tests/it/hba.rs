//! Who may log in from where and how.

use crate::support::certs::certs;
use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{PASSWORD, Postgres, each_postgres};
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
