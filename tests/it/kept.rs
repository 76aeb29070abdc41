//! Findings that outlive a restart: `findings_file`.

use std::path::Path;

use crate::support::peer::Peer;
use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{Postgres, each_postgres};
use crate::support::wait::eventually;

fn setup(postgres: &Postgres, file: &Path) -> Setup {
    Setup::new()
        .set("findings_file", file.display().to_string())
        .database("app", postgres, &postgres.database())
}

fn console(pgweir: &Pgweir, postgres: &Postgres, sql: &str) -> String {
    pgweir.psql(postgres, "postgres", "pgweir", sql)
}

/// A query, and one more for each of its rows.
fn loops(pgweir: &Pgweir) {
    let mut client = Peer::login(pgweir.address(), "t_trust", "app");
    client.query("CREATE TABLE IF NOT EXISTS post (id int, author_id int)");
    client.query("TRUNCATE post");
    client.query("INSERT INTO post SELECT n, n + 314159 FROM generate_series(1, 8) n");
    client.query("SELECT id, author_id FROM post ORDER BY id");
    for id in 314_160..=314_167 {
        client.query(&format!("SELECT id FROM post WHERE author_id = {id}"));
    }
}

/// The line of the loop in SHOW FINDINGS, once it was counted so often: its columns. It is there before
/// the loop has ended, and then has fewer of the rows.
fn found(pgweir: &Pgweir, postgres: &Postgres, times: usize) -> Vec<String> {
    eventually("the finding", || {
        let shown = console(pgweir, postgres, "SHOW FINDINGS 'n-plus-one'");
        let line = shown.lines().next()?;
        let columns: Vec<String> = line.split('|').map(str::to_owned).collect();
        let whole = columns[5] == times.to_string() && columns[11] == (8 * times).to_string();
        whole.then_some(columns)
    })
}

fn stop(mut pgweir: Pgweir) {
    pgweir.signal("TERM");
    assert!(pgweir.wait().success());
}

#[test]
fn findings_outlive_a_restart() {
    for postgres in each_postgres() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("findings.jsonl");
        let setup = setup(postgres, &file);
        let pgweir = setup.start();
        loops(&pgweir);
        let before = found(&pgweir, postgres, 1);
        let id = &before[0];
        console(
            &pgweir,
            postgres,
            &format!("ACK '{id}' FOR '1h' REASON 'a known loop'"),
        );
        console(
            &pgweir,
            postgres,
            "SET RULE 'missing-where:delete' ACTION 'block'",
        );
        stop(pgweir);
        let text = std::fs::read_to_string(&file).expect("the file");
        assert!(text.contains(&**id) && text.contains("a known loop"));
        assert!(!text.contains("31416"), "a literal in\n{text}");

        let pgweir = setup.start();
        let after = found(&pgweir, postgres, 1);
        assert_eq!(after[..after.len() - 1], before[..before.len() - 1]);
        assert_eq!(after.last().map(String::as_str), Some("acknowledged"));
        loops(&pgweir);
        let again = found(&pgweir, postgres, 2);
        assert_eq!(again[0], *id);
        assert_eq!(again[12], before[12], "first_seen");
        let refused = |sql: &str| {
            let mut client = Peer::login(pgweir.address(), "t_trust", "app");
            client.query(sql).iter().any(|message| message.tag == b'E')
        };
        assert!(refused("DELETE FROM post"), "SET RULE holds on");
        console(&pgweir, postgres, "RELOAD");
        eventually("the file without the rule", || {
            let text = std::fs::read_to_string(&file).ok()?;
            (!text.contains("set_rule")).then_some(())
        });
        assert!(!refused("DELETE FROM post"));

        console(&pgweir, postgres, "RESET FINDINGS");
        eventually("the empty file", || {
            let text = std::fs::read_to_string(&file).ok()?;
            (!text.contains(&**id)).then_some(())
        });
        stop(pgweir);
        let pgweir = setup.start();
        assert_eq!(console(&pgweir, postgres, "SHOW FINDINGS 'n-plus-one'"), "");
    }
}

#[test]
fn a_damaged_file_of_findings_is_told_and_put_aside() {
    let postgres = each_postgres().next().expect("a PostgreSQL");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("findings.jsonl");
    let damaged = "{\"file\":\"pgweir findings\",\"lines\":1,\"v\":1}\n{\"rule\":\n";
    std::fs::write(&file, damaged).expect("written");
    let pgweir = setup(postgres, &file).start();
    loops(&pgweir);
    found(&pgweir, postgres, 1);
    let aside = dir.path().join("findings.jsonl.bad");
    assert_eq!(std::fs::read_to_string(&aside).expect("there"), damaged);
    let log = pgweir.log();
    for wanted in [
        format!("{}:2: it is no JSON object", file.display()),
        aside.display().to_string(),
    ] {
        assert!(log.contains(&wanted), "{wanted} in\n{log}");
    }
    stop(pgweir);
    assert!(
        std::fs::read_to_string(&file)
            .expect("the file")
            .contains("n-plus-one")
    );
}
