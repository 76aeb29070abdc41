//! `pgweir top` against a running pgweir: one look as text, and the connection when it is lost.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use pgweir::config::{ChannelBinding, Host, Secret, SslMode, TlsSettings, TlsVersions};
use pgweir::derivation::Derivation;
use pgweir::top::link::LinkError;
use pgweir::top::target::Target;
use pgweir::top::watch::Watch;

use crate::support::pgweir::{Pgweir, Setup, clean_environment};
use crate::support::postgres::{PASSWORD, each_postgres};
use crate::support::wait::eventually;

fn top(pgweir: &Pgweir, password: &str, arguments: &[&str]) -> Output {
    let file = pgweir.dir().join("pgpass");
    let line = format!("127.0.0.1:{}:pgweir:postgres:{password}\n", pgweir.port());
    std::fs::write(&file, line).expect("written");
    let owner = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&file, owner).expect("set");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    clean_environment(&mut command);
    command
        .args(["top", "-U", "postgres", "-n", "0.2", "-p"])
        .arg(pgweir.port().to_string())
        .args(arguments)
        .env("PGPASSFILE", file)
        .output()
        .expect("running pgweir top")
}

#[test]
fn one_look_shows_who_waits_what_runs_and_what_is_wrong() {
    for postgres in each_postgres() {
        let database = postgres.database();
        postgres.psql(
            &database,
            "CREATE TABLE word (t text); GRANT ALL ON word TO PUBLIC",
        );
        let pgweir = Setup::new()
            .set("auth_type", "scram-sha-256")
            .set("pool_mode", "transaction")
            .database("app", postgres, &database)
            .start();
        // A server that is in use, a statement that fails, and one that a rule finds.
        let mut sleeper = pgweir.client(postgres, "psql", "t_plain");
        let mut sleeper = sleeper
            .args(["-d", "app", "-c", "SELECT pg_sleep(600)"])
            .spawn()
            .expect("running psql");
        for text in [
            "SELECT t FROM word WHERE t LIKE '%x'",
            "SELECT * FROM nowhere",
        ] {
            let mut psql = pgweir.client(postgres, "psql", "t_plain");
            psql.args(["-d", "app", "-c", text])
                .output()
                .expect("running psql");
        }
        let text = eventually("everything is shown", || {
            let output = top(&pgweir, PASSWORD, &["--once"]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{output:?}");
            let all = ["leading-wildcard-like", "from nowhere", "servers 1 of "];
            all.iter().all(|one| text.contains(one)).then_some(text)
        });
        assert!(text.starts_with("tx/s "), "{text}");
        for title in [
            "\npools\n",
            "\nservers\n",
            "\nstatements\n",
            "\nfindings\n",
            "\nclients\n",
        ] {
            assert!(text.contains(title), "{title} in {text}");
        }
        assert!(
            !text.contains("\nreplicas\n"),
            "there is no cluster: {text}"
        );
        let only = top(
            &pgweir,
            PASSWORD,
            &["-b", "-s", "findings", "-f", "wildcard"],
        );
        let only = String::from_utf8_lossy(&only.stdout).into_owned();
        let lines: Vec<&str> = only.lines().collect();
        assert_eq!(lines[2], "findings", "{only}");
        assert!(
            lines.len() == 5 && lines[4].contains("leading-wildcard-like"),
            "{only}"
        );

        let refused = top(&pgweir, "wrong", &["--once"]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && refused.stdout.is_empty());
        assert!(told.contains("password authentication failed"), "{told}");
        let nothing = top(&pgweir, "", &["--once"]);
        let told = String::from_utf8_lossy(&nothing.stderr).into_owned();
        assert!(told.contains("set PGPASSWORD"), "{told}");
        sleeper.kill().expect("killed");
        sleeper.wait().expect("gone");
    }
}

const INI: &str = "[databases]\napp = host=127.0.0.1 port=1\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {dir}\nauth_type = trust\nauth_file = {dir}/userlist.txt\nadmin_users = postgres\n";

#[test]
fn a_connection_that_is_lost_is_made_anew() {
    let mut pgweir = Pgweir::start_ini(INI, &[]);
    let port = pgweir.port();
    let target = Target {
        host: Host::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
        },
        user: "postgres".to_owned(),
        database: "pgbouncer".to_owned(),
        password: Some(Secret::new(PASSWORD)),
        tls: TlsSettings {
            binding: ChannelBinding::Prefer,
            mode: SslMode::Prefer,
            ca_file: None,
            cert_file: None,
            key_file: None,
            versions: TlsVersions::Secure,
        },
    };
    let mut watch = Watch::new(target, Derivation::new().expect("randomness"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut look = |plan| runtime.block_on(watch.look(0, plan));
    let first = look(Some("SHOW PLAN '0000000000000001'")).expect("a look");
    assert!(first.plan.is_none(), "nobody has asked for it");
    assert!(
        first
            .screen
            .1
            .columns
            .iter()
            .any(|name| name == "cl_waiting")
    );
    pgweir.signal("QUIT");
    pgweir.wait();
    let error = look(None).expect_err("it has ended");
    assert!(!matches!(error, LinkError::Refused(_)), "{error}");
    let error = look(None).expect_err("it has ended");
    assert!(matches!(error, LinkError::Connect(_)), "{error}");
    let _again = Pgweir::start_ini_on(INI, &[], Some(port));
    look(None).expect("it is there again");
}
