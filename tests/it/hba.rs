//! Who may log in from where and how.

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
