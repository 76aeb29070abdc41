//! The audit trail of a running pgweir.

use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{Postgres, each_postgres};
use crate::support::wait::eventually;

fn lines(path: &std::path::Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = |line| serde_json::from_str(line).ok();
    text.lines().filter_map(line).collect()
}

/// The queries of the trail's statements by this user, in order.
fn queries(path: &std::path::Path, user: &str) -> Vec<String> {
    (lines(path).iter())
        .filter(|line| line["user"] == user && line["event"] == "statement")
        .filter_map(|line| line["query"].as_str().map(str::to_owned))
        .collect()
}

fn run(pgweir: &Pgweir, postgres: &Postgres, user: &str, text: &str) {
    let mut psql = pgweir.client(postgres, "psql", user);
    psql.args(["-AtqX", "-d", "app", "-c", text]);
    assert!(psql.output().expect("running psql").status.success());
}

#[test]
fn whose_statements_are_written_is_said_by_database_and_user_and_reloaded() {
    for postgres in each_postgres() {
        let directory = tempfile::tempdir().expect("a directory");
        let trail = directory.path().join("audit.jsonl");
        let database = postgres.database();
        let setup = Setup::new()
            .set("admin_users", "t_trust")
            .database("app", postgres, &database);
        let file = format!("file = {:?}\n", trail.display().to_string());
        let pgweir = setup
            .clone()
            .audit(&format!("{file}policy = \"roles, failed-logins\"\n[[override]]\nuser = \"t_plain\"\npolicy = \"all\""))
            .start();
        let server = format!("127.0.0.1:{}", postgres.port());
        for user in ["t_trust", "t_plain"] {
            run(&pgweir, postgres, user, "SELECT 1");
            run(
                &pgweir,
                postgres,
                user,
                "BEGIN; CREATE ROLE t_gone; ROLLBACK",
            );
        }
        let roles = "begin; create role t_gone; rollback";
        eventually("the trail", || {
            (queries(&trail, "t_plain").len() == 2).then_some(())
        });
        assert_eq!(queries(&trail, "t_plain"), ["select ?", roles]);
        assert_eq!(queries(&trail, "t_trust"), [roles]);
        let logins = |user: &str| {
            let all = lines(&trail);
            let of = |line: &&serde_json::Value| line["event"] == "login" && line["user"] == user;
            all.iter().filter(of).count()
        };
        assert_eq!((logins("t_plain"), logins("t_trust")), (2, 0));
        let all = lines(&trail);
        assert!(
            all.iter()
                .filter(|line| line["event"] == "statement")
                .all(|line| line["server"] == *server)
        );
        // Now of nobody but one, and one of two of that.
        pgweir.rewrite(&setup.audit(&format!(
            "{file}policy = \"off\"\n[[override]]\ndatabase = \"app\"\nuser = \"t_trust\"\npolicy = \"all\"\nsample = 2"
        )));
        pgweir.psql(postgres, "t_trust", "pgweir", "RELOAD");
        for user in ["t_trust", "t_plain"] {
            for _ in 0..4 {
                run(&pgweir, postgres, user, "SELECT 2");
            }
        }
        eventually("a sample", || {
            (queries(&trail, "t_trust").len() == 3).then_some(())
        });
        assert_eq!(queries(&trail, "t_plain").len(), 2);
        let wrong = Setup::new().audit(&format!(
            "{file}[[override]]\nuser = \"x\"\npolicy = \"most\""
        ));
        pgweir.rewrite(&wrong);
        let mut reload = pgweir.client(postgres, "psql", "t_trust");
        let told = reload
            .args(["-d", "pgweir", "-c", "RELOAD"])
            .output()
            .expect("psql");
        assert!(!told.status.success());
        assert!(
            pgweir.log().contains("policy: \"most\" is none of off"),
            "{}",
            pgweir.log()
        );
    }
}

#[test]
fn nothing_is_lost_where_nothing_may_be_lost() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let trail = directory.path().join("audit.jsonl");
    let key = directory.path().join("key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef\n").expect("written");
    let database = postgres.database();
    let mut pgweir = Setup::new()
        .database("app", postgres, &database)
        .audit(&format!(
            "file = {:?}\npolicy = \"all\"\non_full = \"block\"\nkey_file = {:?}\nmax_size = 0",
            trail.display().to_string(),
            key.display().to_string()
        ))
        .start();
    let script = directory.path().join("script.sql");
    std::fs::write(&script, "SELECT 1;\n").expect("written");
    let mut load = pgweir.client(postgres, "pgbench", "t_trust");
    load.args(["-n", "-c", "8", "-t", "1500", "-f"])
        .arg(&script)
        .arg("app");
    let output = load.output().expect("running pgbench");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    pgweir.signal("QUIT");
    assert!(pgweir.wait().success());
    assert_eq!(queries(&trail, "t_trust").len(), 8 * 1500);
    assert!(lines(&trail).iter().all(|line| line["event"] != "lost"));
    let mut verify = std::process::Command::new(env!("CARGO_BIN_EXE_pgweir"));
    let told = verify
        .args(["audit", "verify"])
        .arg(&trail)
        .output()
        .expect("running");
    assert!(!told.status.success(), "without the key");
    let mut verify = std::process::Command::new(env!("CARGO_BIN_EXE_pgweir"));
    verify
        .args(["audit", "verify", "--key-file"])
        .arg(&key)
        .arg(&trail);
    let told = verify.output().expect("running");
    assert!(
        told.status.success(),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
}

#[test]
fn commands_of_operators_are_written_down_and_who_may_give_none() {
    for postgres in each_postgres() {
        let directory = tempfile::tempdir().expect("a directory");
        let trail = directory.path().join("audit.jsonl");
        let database = postgres.database();
        let mut pgweir = Setup::new()
            .set("admin_users", "t_trust")
            .set("stats_users", "t_plain")
            .database("app", postgres, &database)
            .audit(&format!(
                "file = {:?}\npolicy = \"failed-logins\"",
                trail.display().to_string()
            ))
            .start();
        let console = |pgweir: &Pgweir, user: &str, text: &str| {
            let mut psql = pgweir.client(postgres, "psql", user);
            psql.args(["-AtqX", "-d", "pgweir", "-c", text]);
            psql.output().expect("running psql").status.success()
        };
        assert!(console(&pgweir, "t_trust", "SHOW POOLS"));
        assert!(console(&pgweir, "t_trust", "SET stats_period = 30"));
        assert!(!console(
            &pgweir,
            "t_trust",
            "SET auth_ldap_options = 'ldapbindpasswd=hush nonsense'"
        ));
        assert!(console(&pgweir, "t_trust", "PAUSE app"));
        assert!(console(&pgweir, "t_trust", "RESUME app"));
        assert!(!console(&pgweir, "t_trust", "KILL_CLIENT 99999"));
        assert!(!console(&pgweir, "t_plain", "PAUSE"));
        assert!(!console(&pgweir, "t_md5", "SHOW POOLS"), "no operator");
        console(&pgweir, "t_trust", "SHUTDOWN");
        pgweir.wait();
        let all = lines(&trail);
        let told: Vec<String> = (all.iter())
            .filter(|line| line["event"] == "command")
            .map(|line| {
                assert_eq!(
                    (&line["client"], &line["db"]),
                    (&"127.0.0.1".into(), &"pgweir".into())
                );
                assert_eq!(line["app"], "psql");
                let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
                let failed = !text("reason").is_empty();
                format!(
                    "{} {} {} {failed}",
                    text("user"),
                    text("command"),
                    text("asked")
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                r#"t_trust set {"key":"stats_period","value":"30"} false"#,
                r#"t_trust set {"key":"auth_ldap_options","value":"******"} true"#,
                r#"t_trust pause {"database":"app"} false"#,
                r#"t_trust resume {"database":"app"} false"#,
                r#"t_trust kill_client {"client":99999} true"#,
                r#"t_plain pause {} true"#,
                r#"t_trust shutdown {"phase":"stopped"} false"#,
            ]
        );
        let stranger = |line: &&serde_json::Value| {
            line["event"] == "login_failed" && line["user"] == "t_md5" && line["db"] == "pgweir"
        };
        assert_eq!(all.iter().filter(stranger).count(), 1, "{all:?}");
        let text = std::fs::read_to_string(&trail).expect("a trail");
        assert!(!text.contains("hush"), "{text}");
    }
}
