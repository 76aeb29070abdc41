//! Anti-patterns on live traffic: what is found, what the client is told, what is refused.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::message;
use crate::support::peer::Peer;
use crate::support::pgweir::{Pgweir, Setup, clean_environment, succeed};
use crate::support::postgres::{PASSWORD, Postgres, each_postgres, run_dir};
use crate::support::wait::eventually;

fn start(postgres: &Postgres, mode: &str, key: &str, rules: &str) -> (Pgweir, String) {
    let database = postgres.database();
    let pgweir = Setup::new()
        .set("pool_mode", mode)
        .set("admin_users", "t_trust")
        .set(key, rules)
        .database("app", postgres, &database)
        .start();
    (pgweir, database)
}

/// What psql prints of several commands, each a query of its own, errors included.
fn psql(pgweir: &Pgweir, postgres: &Postgres, commands: &[&str]) -> String {
    let mut psql = pgweir.client(postgres, "psql", "t_trust");
    psql.args(["-AtX", "-v", "VERBOSITY=verbose", "-d", "app"]);
    for command in commands {
        psql.args(["-c", command]);
    }
    let output = psql.output().expect("running psql");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn findings(pgweir: &Pgweir, postgres: &Postgres) -> String {
    pgweir.psql(postgres, "t_trust", "pgweir", "SHOW FINDINGS")
}

#[test]
fn what_a_comment_silences_is_counted_with_its_reason() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", "lint_off", "");
        let purge = "DELETE FROM t /* lint:ignore=missing-where reason='nightly purge' */";
        psql(&pgweir, postgres, &["CREATE TABLE t (a int)", purge, purge]);
        let ours = || {
            let all = pgweir.psql(
                postgres,
                "t_trust",
                "pgweir",
                "SHOW FINDINGS missing-where app",
            );
            let line = all.lines().find(|line| line.contains("|delete|2|"))?;
            Some(line.split('|').next()?.to_owned())
        };
        let id = eventually("the finding", ours);
        let shown = pgweir.psql(
            postgres,
            "t_trust",
            "pgweir",
            &format!("SHOW FINDING '{id}'"),
        );
        for wanted in [
            "status|suppressed",
            "suppression.reason|nightly purge",
            "sample|DELETE FROM t",
            "scopes|1",
            "suppress_with|/* lint:ignore=missing-where reason='…' */",
        ] {
            assert!(
                shown.lines().any(|line| line == wanted),
                "{wanted} in\n{shown}"
            );
        }
        assert!(!pgweir.log().contains("missing-where:"), "{}", pgweir.log());
        let none = pgweir.psql(
            postgres,
            "t_trust",
            "pgweir",
            "SHOW FINDINGS 'missing-where' 'else'",
        );
        assert_eq!(none, "");
    }
}

/// Nothing that a statement says about somebody leaves the pooler: not by the console, not by the
/// log, not by the metrics.
#[test]
fn no_constant_is_shown_anywhere() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let trail = run_dir().join(format!("leak{}.jsonl", postgres.major()));
        let pgweir = Setup::new()
            .set("admin_users", "t_trust")
            .set("audit_file", trail.display().to_string())
            .set("audit_policy", "all")
            .set("log_slow_query", "1us")
            .set(
                "lint_notice",
                "missing-where,password-in-ddl,plaintext-password",
            )
            .database("app", postgres, &database)
            .start();
        let secret = "hunter2xyzzy";
        let role = format!("leak_{}", postgres.major());
        let texts = [
            "CREATE TABLE users (id int, password text, ssn text)".to_owned(),
            format!("INSERT INTO users VALUES (1, '{secret}', '{secret}')"),
            format!("SELECT id FROM users WHERE password = '{secret}'"),
            format!("UPDATE users SET password = $q${secret}$q$"),
            format!("DELETE FROM users -- {secret}"),
            format!("CREATE ROLE {role} PASSWORD '{secret}'"),
            format!("ALTER ROLE {role} PASSWORD E'{secret}\\''"),
            format!("SELECT '{secret}' || 1 / 0 /* {secret} */"),
            format!("SELECT * FROM users WHERE lower(ssn) = '{secret}' OR '1' = '1'"),
            format!(
                "SELECT password, ssn FROM users, generate_series(1, 200) WHERE '{secret}' <> ''"
            ),
            format!("SELECT '{secret}"),
            format!("COPY users FROM PROGRAM 'echo {secret}'"),
            format!("DROP ROLE {role}"),
        ];
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        psql(&pgweir, postgres, &texts);
        eventually("the findings", || {
            let all = findings(&pgweir, postgres);
            ["password-in-ddl", "plaintext-password", "missing-where"]
                .iter()
                .all(|rule| all.contains(rule))
                .then_some(())
        });
        pgweir.psql(postgres, "t_trust", "pgweir", "ADVISE app");
        let mut shown = String::new();
        for word in [
            "FINDINGS",
            "STATEMENTS",
            "RULES",
            "CLIENTS",
            "ADVISOR",
            "LINT STATS",
        ] {
            shown += &pgweir.psql(postgres, "t_trust", "pgweir", &format!("SHOW {word}"));
        }
        for line in findings(&pgweir, postgres).lines() {
            if let Some((id, _)) = line.split_once('|').filter(|(id, _)| id.contains('-')) {
                let one = format!("SHOW FINDING '{id}'");
                shown += &pgweir.psql(postgres, "t_trust", "pgweir", &one);
            }
        }
        for line in shown.lines() {
            assert!(!line.contains(secret), "the console: {line}");
        }
        for line in pgweir.log().lines() {
            assert!(!line.contains(secret), "the log: {line}");
        }
        let written = eventually("the trail", || {
            let text = std::fs::read_to_string(&trail).ok()?;
            text.contains("drop role").then_some(text)
        });
        for line in written.lines() {
            assert!(!line.contains(secret), "the trail: {line}");
        }
    }
}

#[test]
fn findings_are_shown_and_statements_counted() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", "lint_off", "");
        psql(
            &pgweir,
            postgres,
            &["CREATE TABLE t (a int)", "DELETE FROM t", "DELETE FROM t"],
        );
        eventually("the finding", || {
            let shown = findings(&pgweir, postgres);
            shown
                .contains("This DELETE touches every row of t.")
                .then_some(())
        });
        let statements = pgweir.psql(postgres, "t_trust", "pgweir", "SHOW STATEMENTS");
        assert!(statements.contains("delete from t"), "{statements}");
        assert!(pgweir.log().contains("missing-where"), "{}", pgweir.log());
    }
}

#[test]
fn a_refused_statement_does_nothing_and_fails_its_transaction() {
    for postgres in each_postgres() {
        for mode in ["session", "transaction", "statement"] {
            let (pgweir, database) = start(postgres, mode, "lint_block", "missing-where:delete");
            let told = psql(
                &pgweir,
                postgres,
                &[
                    "CREATE TABLE t (a int)",
                    "INSERT INTO t VALUES (1)",
                    "DELETE FROM t",
                    "SELECT 'on'",
                ],
            );
            assert!(
                told.contains("QL002: statement refused by rule missing-where"),
                "{told}"
            );
            assert!(told.contains("HINT:") && told.contains("on"), "{told}");
            assert_eq!(postgres.psql(&database, "SELECT count(*) FROM t"), "1");
            if mode == "statement" {
                continue;
            }
            let told = psql(
                &pgweir,
                postgres,
                &[
                    "BEGIN",
                    "INSERT INTO t VALUES (2)",
                    "DELETE FROM t",
                    "SELECT 'lost'",
                    "COMMIT",
                ],
            );
            assert!(told.contains("25P02") && !told.contains("lost\n"), "{told}");
            assert_eq!(postgres.psql(&database, "SELECT count(*) FROM t"), "1");
        }
    }
}

#[test]
fn a_refused_parse_makes_no_statement() {
    for postgres in each_postgres() {
        let (pgweir, database) = start(postgres, "transaction", "lint_block", "missing-where");
        psql(
            &pgweir,
            postgres,
            &["CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)"],
        );
        let script = pgweir.dir().join("delete.sql");
        std::fs::write(&script, "DELETE FROM t;\n").expect("writable");
        for protocol in ["extended", "prepared"] {
            let mut pgbench = pgweir.client(postgres, "pgbench", "t_trust");
            pgbench
                .args(["-n", "-t", "2", "-M", protocol, "-f"])
                .arg(&script)
                .arg("app");
            let output = pgbench.output().expect("running pgbench");
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(
                text.contains("refused by rule missing-where"),
                "{protocol}: {text}"
            );
            assert_eq!(postgres.psql(&database, "SELECT count(*) FROM t"), "1");
        }
    }
}

/// Different queries about one thing have the same values, and are no repetition.
#[test]
fn one_value_in_several_queries_is_no_repetition() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", "lint_off", "");
        let mut client = Peer::login(pgweir.address(), "t_trust", "app");
        client.query("CREATE TABLE post (id int, a int, b int, c int, d int, e int, f int)");
        for column in ["a", "b", "c", "d", "e", "f"] {
            client.query(&format!("SELECT {column} FROM post WHERE id = 5"));
            client.query(&format!("SELECT max({column}) FROM post"));
        }
        // Behind it on the same way: when it is there, all before was looked at.
        client.query("DELETE FROM post");
        eventually("the last finding", || {
            findings(&pgweir, postgres)
                .contains("|missing-where|")
                .then_some(())
        });
        let shown = findings(&pgweir, postgres);
        assert!(!shown.contains("|repeated-identical-query|"), "{shown}");
        for _ in 0..6 {
            client.query("SELECT a FROM post WHERE id = 5");
        }
        eventually("a repetition", || {
            let shown = findings(&pgweir, postgres);
            shown.contains("|repeated-identical-query|").then_some(())
        });
    }
}

/// What a comment silences is counted for sequences as for statements, and nobody is told.
#[test]
fn a_comment_silences_a_loop() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", "lint_notice", "n-plus-one");
        let mut client = Peer::login(pgweir.address(), "t_trust", "app");
        client.query("CREATE TABLE post (id int, author_id int)");
        client.query("INSERT INTO post SELECT n, n FROM generate_series(1, 8) n");
        client.query("SELECT id, author_id FROM post ORDER BY id");
        for id in 1..=8 {
            client.query(&format!(
                "SELECT author_id FROM post WHERE id = {id} /* lint:ignore=n-plus-one reason='eight at most' */"
            ));
        }
        let id = eventually("the finding", || {
            let shown = findings(&pgweir, postgres);
            let line = shown.lines().find(|line| line.contains("|n-plus-one|"))?;
            Some(line.split('|').next()?.to_owned())
        });
        let sql = format!("SHOW FINDING '{id}'");
        let shown = pgweir.psql(postgres, "t_trust", "pgweir", &sql);
        for wanted in ["status|suppressed", "suppression.reason|eight at most"] {
            assert!(
                shown.lines().any(|line| line == wanted),
                "{wanted} in\n{shown}"
            );
        }
        let answer = client.query("SELECT 1");
        assert!(answer.iter().all(|message| message.tag != b'N'));
        assert!(!pgweir.log().contains("n-plus-one:"), "{}", pgweir.log());
    }
}

#[test]
fn a_client_is_told_once_if_that_is_wanted() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", "lint_notice", "missing-where");
        let told = psql(
            &pgweir,
            postgres,
            &[
                "CREATE TABLE t (a int)",
                "DELETE FROM t",
                "DELETE FROM t",
                "UPDATE t SET a = 1",
            ],
        );
        assert_eq!(told.matches("WARNING:").count(), 2, "{told}");
        assert!(
            told.contains("QL002") && told.contains("DELETE 0"),
            "{told}"
        );
    }
}

/// Sequences are judged on a thread of their own: the client hears of it with the next reply.
#[test]
fn a_client_is_told_once_of_a_loop_if_that_is_wanted() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", "lint_notice", "n-plus-one");
        let mut client = Peer::login(pgweir.address(), "t_trust", "app");
        client.query("CREATE TABLE post (id int, author_id int)");
        client.query("INSERT INTO post SELECT n, n FROM generate_series(1, 8) n");
        let page = |client: &mut Peer| -> String {
            let mut told = String::new();
            let mut ask = |sql: &str| {
                for message in client.query(sql) {
                    if message.tag == b'N' {
                        told += &String::from_utf8_lossy(&message.body);
                    }
                }
            };
            ask("SELECT id, author_id FROM post ORDER BY id");
            for id in 1..=8 {
                ask(&format!("SELECT author_id FROM post WHERE id = {id}"));
            }
            told
        };
        let mut told = page(&mut client);
        if told.is_empty() {
            told = eventually("the notice", || {
                let answer = client.query("COPY post (id) TO STDOUT");
                let at = answer.iter().position(|message| message.tag == b'N')?;
                // Neither before nor among the rows of the COPY.
                let end = answer.iter().position(|message| message.tag == b'c')?;
                assert!(end < at, "{end} {at}");
                Some(String::from_utf8_lossy(&answer[at].body).into_owned())
            });
        }
        for wanted in ["WARNING", "QL001", "executions of one lookup", "n-plus-one"] {
            assert!(told.contains(wanted), "{wanted} in {told}");
        }
        let hits = |wanted: usize| {
            eventually("the finding", || {
                let shown = findings(&pgweir, postgres);
                (shown.matches(&format!("|n-plus-one||{wanted}|")).count() == 1).then_some(())
            });
        };
        hits(1);
        // The pause makes it another request.
        std::thread::sleep(std::time::Duration::from_millis(2100));
        assert_eq!(page(&mut client), "");
        hits(2);
        assert_eq!(page(&mut client), "", "once for each finding");
    }
}

#[test]
fn a_reload_changes_what_is_done_for_clients_that_are_there() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let setup = Setup::new().database("app", postgres, &database);
        let pgweir = setup
            .clone()
            .lint("rules.missing-where = \"block\"\n[[override]]\nuser = \"t_plain\"\nrules = { missing-where = \"log\" }")
            .start();
        let mut blocked = Peer::login(pgweir.address(), "t_trust", "app");
        let mut exempt = Peer::login(pgweir.address(), "t_plain", "app");
        let tags = |peer: &mut Peer| -> String {
            let answer = peer.query("UPDATE missing SET a = 1");
            let error = answer.iter().find(|message| message.tag == b'E');
            let body = error
                .map(|message| message.body.clone())
                .unwrap_or_default();
            let text = String::from_utf8_lossy(&body).into_owned();
            if text.contains("QL002") {
                "refused"
            } else {
                "passed"
            }
            .to_owned()
        };
        assert_eq!(tags(&mut blocked), "refused");
        assert_eq!(tags(&mut exempt), "passed");
        pgweir.rewrite(&setup.lint("rules.missing-where = \"log\"\n[[override]]\nuser = \"t_plain\"\nrules = { missing-where = \"block\" }"));
        let mut console = Peer::login(pgweir.address(), "postgres", "pgweir");
        console.query("RELOAD");
        eventually("the new policy", || {
            (tags(&mut blocked) == "passed" && tags(&mut exempt) == "refused").then_some(())
        });
    }
}

#[test]
fn findings_are_looked_at_and_rules_changed_on_the_console() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let pgweir = Setup::new()
            .set("stats_users", "t_plain")
            .database("app", postgres, &database)
            .start();
        let mut client = Peer::login(pgweir.address(), "t_trust", "app");
        let console = |sql: &str| pgweir.psql(postgres, "postgres", "pgweir", sql);
        client.query("CREATE TABLE t (secret text)");
        client.query("DELETE FROM t RETURNING 'hush'");
        let id = eventually("the finding", || {
            let shown = console("SHOW FINDINGS");
            let line = shown
                .lines()
                .find(|line| line.contains("|missing-where|"))?;
            Some(line.split('|').next()?.to_owned())
        });
        let shown = console(&format!("SHOW FINDING '{id}'"));
        for wanted in [
            "rule|missing-where",
            "status|open",
            "count|1",
            "cost.round_trips|1",
        ] {
            assert!(
                shown.lines().any(|line| line == wanted),
                "{wanted} in\n{shown}"
            );
        }
        assert!(!shown.contains("hush"), "{shown}");
        console(&format!("ACK '{id}' FOR '1h' REASON 'a purge'"));
        let shown = console(&format!("SHOW FINDING '{id}'"));
        assert!(
            shown.contains("status|acknowledged") && shown.contains("reason|a purge"),
            "{shown}"
        );

        let refused = |client: &mut Peer| {
            let answer = client.query("DELETE FROM t");
            answer.iter().any(|message| message.tag == b'E')
        };
        assert!(!refused(&mut client));
        console("SET RULE 'missing-where:delete' ACTION 'block' FOR DATABASE 'app'");
        eventually("the rule to refuse", || refused(&mut client).then_some(()));
        let rules = console("SHOW RULES");
        assert!(
            rules
                .lines()
                .any(|line| line.starts_with("missing-where|") && line.ends_with("|1")),
            "{rules}"
        );
        console("RELOAD");
        eventually("the rule to let pass", || {
            (!refused(&mut client)).then_some(())
        });

        let stats = console("SHOW LINT STATS");
        assert!(stats.contains("statements_blocked|"), "{stats}");
        console("RESET FINDINGS");
        let mut stats = Peer::login(pgweir.address(), "t_plain", "pgweir");
        for sql in [
            "RESET FINDINGS",
            "SET RULE 'missing-where' ACTION 'off'",
            "ACK 'x'",
        ] {
            let answer = stats.query(sql);
            assert!(answer.iter().any(|message| message.tag == b'E'), "{sql}");
        }
        let mut admin = Peer::login(pgweir.address(), "postgres", "pgweir");
        for sql in [
            "SHOW FINDING 'none'",
            "ACK 'none'",
            "SET RULE 'none' ACTION 'log'",
            "SET RULE 'n-plus-one' ACTION 'block'",
        ] {
            let answer = admin.query(sql);
            assert!(answer.iter().any(|message| message.tag == b'E'), "{sql}");
        }
    }
}

#[test]
fn a_rule_that_does_not_exist_is_refused_at_the_start() {
    let output = Setup::new()
        .set("lint_block", "missing-wear, n-plus-one")
        .database_at("app", 1)
        .run_to_end();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("there is no rule \"missing-wear\""), "{text}");
    assert!(
        text.contains("n-plus-one is known only after the fact"),
        "{text}"
    );
}

#[test]
fn refused_statements_and_failed_logins_are_in_the_trail() {
    for postgres in each_postgres() {
        let directory = tempfile::tempdir().expect("a directory");
        let trail = directory.path().join("audit.jsonl");
        let database = postgres.database();
        let mut pgweir = Setup::new()
            .set("audit_file", trail.display().to_string())
            .set("lint_block", "missing-where")
            .database("app", postgres, &database)
            .start();
        psql(&pgweir, postgres, &["DELETE FROM t RETURNING 'hush'"]);
        let mut nobody = pgweir.client(postgres, "psql", "t_trust");
        let output = nobody.args(["-d", "nowhere", "-c", "SELECT 1"]).output();
        assert!(!output.expect("running psql").status.success());
        pgweir.signal("QUIT");
        assert!(pgweir.wait().success());
        let text = std::fs::read_to_string(&trail).expect("the trail");
        let line = |event: &str| -> serde_json::Value {
            let wanted = format!("\"event\":\"{event}\"");
            let line = text.lines().find(|line| line.contains(&wanted));
            let line = line.unwrap_or_else(|| panic!("{event} in\n{text}"));
            serde_json::from_str(line).expect("JSON")
        };
        assert_eq!(line("refused")["findings"][0], "missing-where:delete");
        let failed = line("login_failed");
        assert!(
            failed["reason"]
                .as_str()
                .is_some_and(|why| why.contains("nowhere")),
            "{failed}"
        );
        assert_eq!(failed["client"], "127.0.0.1");
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn slow_queries_are_logged_with_waiting_and_running_apart() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let pgweir = Setup::new()
            .set("default_pool_size", 1)
            .set("lint", false)
            .set("log_slow_query", "300ms")
            .database("app", postgres, &database)
            .start();
        let mut one = Peer::login(pgweir.address(), "t_trust", "app");
        let mut two = Peer::login(pgweir.address(), "t_trust", "app");
        one.query("SELECT 'quick'");
        one.send(&[message::query("SELECT 'hush' FROM pg_sleep(0.8)")]);
        std::thread::sleep(std::time::Duration::from_millis(200));
        two.query("SELECT 5 AS waited FROM pg_sleep(0.2)");
        let line = |part: &str| {
            eventually(part, || {
                let log = pgweir.log();
                let line = log
                    .lines()
                    .find(|line| line.contains("slow query") && line.contains(part));
                line.map(str::to_owned)
            })
        };
        let number = |line: &str, name: &str| -> f64 {
            let rest = line.split(&format!("{name}=")).nth(1).expect("the field");
            let digits = rest.split(' ').next().expect("a word");
            digits.parse().expect("a number")
        };
        let slept = line("pg_sleep");
        assert!(
            number(&slept, "server_ms") >= 750.0 && number(&slept, "wait_ms") < 300.0,
            "{slept}"
        );
        let waited = line("as waited");
        assert!(
            number(&waited, "wait_ms") >= 300.0
                && (150.0..450.0).contains(&number(&waited, "server_ms")),
            "{waited}"
        );
        let log = pgweir.log();
        assert!(
            !log.contains("hush") && !log.contains("select ?\n"),
            "{log}"
        );
    }
}

#[test]
fn what_clients_did_last_is_in_the_trail() {
    for postgres in each_postgres() {
        let directory = tempfile::tempdir().expect("a directory");
        let trail = directory.path().join("audit.jsonl");
        let database = postgres.database();
        let mut pgweir = Setup::new()
            .set("audit_file", trail.display().to_string())
            .set("audit_policy", "all")
            .database("app", postgres, &database)
            .start();
        let mut client = Peer::login(pgweir.address(), "t_trust", "app");
        for n in 0..500 {
            client.query(&format!("SELECT {n} AS n{n}"));
        }
        pgweir.signal("QUIT");
        assert!(pgweir.wait().success());
        let text = std::fs::read_to_string(&trail).expect("the trail");
        for n in [0, 498, 499] {
            assert!(text.contains(&format!("as n{n}\"")), "statement {n}");
        }
    }
}

#[test]
fn the_audit_trail_can_be_verified() {
    for postgres in each_postgres() {
        let directory = tempfile::tempdir().expect("a directory");
        let trail = directory.path().join("audit.jsonl");
        let database = postgres.database();
        let pgweir = Setup::new()
            .set("audit_file", trail.display().to_string())
            .set("audit_policy", "all")
            .database("app", postgres, &database)
            .start();
        psql(&pgweir, postgres, &["SELECT 'a secret'", "SELECT 1/0"]);
        let text = eventually("the trail", || {
            let text = std::fs::read_to_string(&trail).ok()?;
            text.contains("22012").then_some(text)
        });
        assert!(!text.contains("a secret"), "{text}");
        assert!(text.contains("select ? / ?"), "{text}");
        let files = [trail.clone()];
        assert!(pgweir::audit::trail::verify(&files, None).is_ok());
        let cut: Vec<&str> = text
            .lines()
            .enumerate()
            .filter(|(n, _)| *n != 1)
            .map(|(_, l)| l)
            .collect();
        let other = directory.path().join("cut.jsonl");
        std::fs::write(&other, cut.join("\n")).expect("writable");
        assert!(pgweir::audit::trail::verify(&[other], None).is_err());
    }
}

/// A page of an application that loads its authors one by one.
fn application(framework: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".cache/venv/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run make setup",
        python.display()
    );
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", "lint_off", "");
        let mut command = Command::new(&python);
        clean_environment(&mut command);
        command
            .arg(root.join("tests/drivers/orm_app.py"))
            .arg(framework)
            .env("DRIVER_HOST", "127.0.0.1")
            .env("DRIVER_PORT", pgweir.port().to_string())
            .env("DRIVER_DATABASE", "app")
            .env("DRIVER_USER", "t_trust")
            .env("DRIVER_PASSWORD", PASSWORD)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        println!("{}", succeed(&mut command));
        let finding = eventually("the finding", || {
            let shown = findings(&pgweir, postgres);
            // The suggested statement has several lines.
            (shown.contains("n-plus-one") && shown.contains("confirmed")).then_some(shown)
        });
        for part in PARTS {
            assert!(finding.contains(part), "{part} is missing: {finding}");
        }
        assert!(finding.contains(&format!("{framework}-blog")), "{finding}");
    }
}

/// What the finding says whatever the framework.
const PARTS: [&str; 5] = [
    "confirmed",
    "order by",
    "post.author_id\"",
    "= ANY($1)",
    "\"parent_rows\":12",
];

#[test]
fn an_application_with_django_loads_rows_one_by_one() {
    application("django");
}

#[test]
fn an_application_with_sqlalchemy_loads_rows_one_by_one() {
    application("sqlalchemy");
}

#[test]
fn the_server_sees_which_rules_a_statement_hits() {
    for (postgres, mode) in each_postgres().zip(["transaction", "session"]) {
        let database = postgres.database();
        let pgweir = Setup::new()
            .set("pool_mode", mode)
            .set("lint_annotate", "select-star")
            .database("app", postgres, &database)
            .start();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let config = format!(
                "host=127.0.0.1 port={} user=t_trust dbname=app",
                pgweir.port()
            );
            let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls)
                .await
                .expect("a login");
            tokio::spawn(connection);
            let view = "CREATE VIEW mine AS SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()";
            client.batch_execute(view).await.expect("a view");
            let text = "SELECT * FROM mine -- all of it";
            let expected = format!("{text}\n/*lint='select-star'*/");
            for message in client.simple_query(text).await.expect("a row") {
                if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                    assert_eq!(row.get("query"), Some(expected.as_str()), "simple, {mode}");
                }
            }
            // Named, and used again: one statement on the server.
            let statement = client.prepare(text).await.expect("prepared");
            for _ in 0..3 {
                let row = client.query_one(&statement, &[]).await.expect("a row");
                assert_eq!(row.get::<_, &str>("query"), expected, "named, {mode}");
            }
            let rows = client.query_typed(text, &[]).await.expect("rows");
            assert_eq!(rows[0].get::<_, &str>("query"), expected, "unnamed, {mode}");
            let plain = "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()";
            let row = client.query_one(plain, &[]).await.expect("a row");
            assert_eq!(row.get::<_, &str>(0), plain);
        });
    }
}

/// The server tells the processes only; whose they are, and what they had locked before, is known here.
#[test]
fn a_deadlock_names_both_clients_and_their_statements() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", "lint_off", "");
        psql(
            &pgweir,
            postgres,
            &[
                "CREATE TABLE till (id int PRIMARY KEY, a int)",
                "CREATE TABLE stock (id int PRIMARY KEY, a int)",
                "INSERT INTO till VALUES (1, 0)",
                "INSERT INTO stock VALUES (1, 0)",
            ],
        );
        let clients = [("till", "stock"), ("stock", "till")].map(|(first, second)| {
            let update = |table: &str| format!("UPDATE {table} SET a = a + 770077 WHERE id = 1");
            let mut psql = pgweir.client(postgres, "psql", "t_trust");
            psql.args(["-AtX", "-d", "app", "-c", "BEGIN", "-c", &update(first)]);
            psql.args([
                "-c",
                "SELECT pg_sleep(0.7)",
                "-c",
                &update(second),
                "-c",
                "COMMIT",
            ]);
            psql.stdout(Stdio::null()).stderr(Stdio::null());
            psql.spawn().expect("running psql")
        });
        for mut client in clients {
            client.wait().expect("psql ends");
        }
        let id = eventually("the finding", || {
            let all = pgweir.psql(postgres, "t_trust", "pgweir", "SHOW FINDINGS deadlock app");
            Some(all.lines().next()?.split('|').next()?.to_owned())
        });
        let show = format!("SHOW FINDING '{id}'");
        let shown = pgweir.psql(postgres, "t_trust", "pgweir", &show);
        let evidence = |name: &str| {
            let line = shown.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} in\n{shown}"))
        };
        let (ours, theirs) = (
            evidence("evidence.transaction|"),
            evidence("evidence.other_transaction|"),
        );
        for statements in [ours, theirs] {
            assert!(statements.contains("set a = a + ?"), "{statements}");
        }
        assert_ne!(ours, theirs);
        assert!(
            evidence("evidence.other|").starts_with("t_trust psql"),
            "{shown}"
        );
        let message = evidence("message|");
        assert!(
            message.contains("before") || message.contains("locks"),
            "{message}"
        );
        assert!(!shown.contains("770077"), "{shown}");
    }
}

/// What a star returns is known from the server's answer: it names columns that the text does not.
#[test]
fn a_star_is_judged_by_what_comes_back() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", "lint_off", "");
        let columns: Vec<String> = (0..20).map(|n| format!("c{n} int")).collect();
        let wide = format!("CREATE TABLE wide (id int, {})", columns.join(", "));
        let people = "CREATE TABLE people (id int, password_digest text)";
        let script = [
            &wide,
            people,
            "INSERT INTO wide (id) SELECT generate_series(1, 5)",
            "INSERT INTO people SELECT n, 'x' FROM generate_series(1, 200) n",
            "SET application_name = 'shop'",
            "SELECT w.* FROM wide w",
            "SELECT * FROM people ORDER BY id",
        ];
        psql(&pgweir, postgres, &script);
        eventually("the findings", || {
            let all = findings(&pgweir, postgres);
            let has = |rule: &str, kind: &str| {
                (all.lines()).any(|line| line.contains(rule) && line.contains(kind))
            };
            (has("select-star", "|qualified|") && has("bulk-sensitive-read", "")).then_some(())
        });
    }
}

/// Which columns are sensitive somebody knows better than their names, and may say so while pgweir runs.
#[test]
fn sensitive_columns_are_named_in_the_configuration() {
    for postgres in each_postgres() {
        let patterns = "*_tax_id, people.Diagnosis, !pin_hash";
        let (pgweir, _) = start(postgres, "transaction", "lint_sensitive_columns", patterns);
        let rows = |table: &str| {
            let tables = "(id int, us_tax_id text, diagnosis text, pin_hash text, salary int)";
            let rows = "SELECT n, 'x', 'x', 'x', 1 FROM generate_series(1, 150) n";
            format!("CREATE TABLE {table} {tables}; INSERT INTO {table} {rows}")
        };
        let asked = |columns: &str, table: &str| {
            let own = "SET application_name = 'shop'";
            psql(
                &pgweir,
                postgres,
                &[own, &format!("SELECT {columns} FROM {table}")],
            );
        };
        psql(&pgweir, postgres, &[&rows("people"), &rows("pets")]);
        asked("diagnosis AS d, pin_hash, salary", "pets");
        asked("diagnosis AS d, salary", "people");
        asked("*", "pets");
        let found = || {
            let all = pgweir.psql(
                postgres,
                "t_trust",
                "pgweir",
                "SHOW FINDINGS bulk-sensitive-read app",
            );
            let mut found: Vec<String> = (all.lines())
                .filter_map(|line| line.split(" rows with ").nth(1)?.split(" were").next())
                .map(str::to_owned)
                .collect();
            found.sort();
            found
        };
        let all = |wanted: &[&str]| {
            eventually(&format!("{wanted:?}"), || (found() == wanted).then_some(()));
        };
        all(&["diagnosis", "us_tax_id"]);
        let console = |text: &str| pgweir.psql(postgres, "t_trust", "pgweir", text);
        console("SET lint_sensitive_columns = 'salary'");
        // The thread that looks takes the new list with its next tick.
        eventually("the salary", || {
            asked("salary, id", "people");
            found().contains(&"salary".to_owned()).then_some(())
        });
        let mut refused = pgweir.client(postgres, "psql", "t_trust");
        refused.args([
            "-AtX",
            "-d",
            "pgweir",
            "-c",
            "SET lint_sensitive_columns = '*'",
        ]);
        let output = refused.output().expect("running psql");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("this is every column"), "{told}");
    }
}

/// `lint_profile = strict` refuses what is hardly ever meant, and nothing else.
#[test]
fn a_strict_profile_refuses_what_is_hardly_ever_meant() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, "transaction", "lint_profile", "strict");
        let said = psql(
            &pgweir,
            postgres,
            &[
                "CREATE TABLE t (id int, a int)",
                "INSERT INTO t VALUES (1, 1)",
                "DELETE FROM t",
                "UPDATE t SET a = 2 WHERE a = NULL",
                "SELECT * FROM t",
                "UPDATE t SET a = 3 WHERE id = 1",
            ],
        );
        for wanted in ["QL002", "QL036", "1|1", "UPDATE 1"] {
            assert!(said.contains(wanted), "{wanted} in\n{said}");
        }
        assert_eq!(said.matches("QL0").count(), 2, "{said}");
    }
}

/// What cannot be looked into passes, unless that is not wanted where statements are refused.
#[test]
fn unread_texts_are_refused_if_that_is_wanted() {
    let postgres = each_postgres().next().expect("a PostgreSQL");
    let database = postgres.database();
    let long = format!("SELECT '{}'", "x".repeat(2000));
    let pgweir = |closed: bool| {
        Setup::new()
            .set("pool_mode", "transaction")
            .set("lint_block", "missing-where")
            .set("lint_max_statement_bytes", "1024")
            .set("lint_fail_closed", closed)
            .database("app", postgres, &database)
            .start()
    };
    let open = psql(&pgweir(false), postgres, &[&long, "SELEC 1"]);
    assert!(open.contains("xxx") && open.contains("42601"), "{open}");
    let closed = psql(&pgweir(true), postgres, &[&long, "SELEC 1", "SELECT 7"]);
    assert_eq!(closed.matches("QL901").count(), 2, "{closed}");
    assert!(closed.contains('7') && !closed.contains("xxx"), "{closed}");
}

/// Whether a client is a superuser is the server's word; with `block` it is not let in.
#[test]
fn programs_do_not_connect_as_superusers_where_that_is_refused() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let pgweir = Setup::new()
            .set("admin_users", "t_trust")
            .set("lint_block", "insecure-connection:superuser")
            .database("app", postgres, &database)
            .start();
        let connect = |user: &str, app: &str| {
            let mut psql = pgweir.client(postgres, "psql", user);
            psql.args(["-AtX", "-d", "app", "-c", "SELECT 7"]);
            let output = psql.env("PGAPPNAME", app).output().expect("running psql");
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        assert!(connect("t_trust", "shop").contains('7'));
        let said = connect("postgres", "shop");
        assert!(
            said.contains(
                "login refused by rule insecure-connection: shop connects as a superuser"
            ),
            "{said}"
        );
        assert!(connect("postgres", "psql").contains('7'));
        eventually("the finding", || {
            let all = findings(&pgweir, postgres);
            all.lines()
                .any(|line| line.contains("insecure-connection") && line.contains("superuser"))
                .then_some(())
        });
    }
}

/// `SET lint.ignore` holds for its session, wherever the pool puts it, and for nobody else.
#[test]
fn a_session_silences_rules() {
    for postgres in each_postgres() {
        for mode in ["session", "transaction"] {
            let (pgweir, _) = start(postgres, mode, "lint_block", "missing-where");
            let said = psql(
                &pgweir,
                postgres,
                &[
                    "CREATE TABLE t (a int)",
                    "SET application_name = 'shop'",
                    "SET lint.ignore = 'missing-where, insert-without-columns'",
                    "SHOW lint.ignore",
                    "INSERT INTO t VALUES (1)",
                    "DELETE FROM t",
                    "RESET lint.ignore",
                    "DELETE FROM t",
                ],
            );
            assert!(said.contains("missing-where, insert"), "{said}");
            assert!(said.contains("DELETE 1"), "{said}");
            assert_eq!(said.matches("QL002").count(), 1, "{said}");
            let said = psql(&pgweir, postgres, &["DELETE FROM t"]);
            assert!(said.contains("QL002"), "{said}");
            eventually("the silenced finding", || {
                let all = pgweir.psql(
                    postgres,
                    "t_trust",
                    "pgweir",
                    "SHOW FINDINGS insert-without-columns",
                );
                let id = all.lines().next()?.split('|').next()?.to_owned();
                let show = format!("SHOW FINDING '{id}'");
                let shown = pgweir.psql(postgres, "t_trust", "pgweir", &show);
                let silenced = shown.contains("status|suppressed")
                    && shown.contains("suppression.reason|SET lint.ignore");
                silenced.then_some(())
            });
        }
    }
}
