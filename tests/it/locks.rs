//! Who waits for whose lock, seen while it waits.

use std::time::Duration;

use crate::support::message;
use crate::support::peer::Peer;
use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{Postgres, each_postgres};
use crate::support::scene::{self, Watch};
use crate::support::wait::eventually;

const TABLE: &str = "CREATE TABLE account (id int PRIMARY KEY, v int);
    INSERT INTO account VALUES (1, 0), (2, 0);";

/// pgweir in front of a fresh database with two accounts, where so many milliseconds are a long wait.
fn start(postgres: &Postgres, min_ms: u32, more: impl Fn(Setup) -> Setup) -> (Pgweir, String) {
    let database = postgres.database();
    postgres.psql(&database, TABLE);
    let setup = Setup::new()
        .set("pool_mode", "transaction")
        .set("admin_users", "t_trust")
        .lint(&format!(
            "rules.lock-contention.min_ms = {min_ms}\nrules.slow-query.min_ms = {min_ms}"
        ))
        .database("app", postgres, &database);
    (more(setup).start(), database)
}

fn login(pgweir: &Pgweir, application_name: &str) -> Peer {
    named(pgweir.address(), "app", application_name)
}

fn named(address: std::net::SocketAddr, database: &str, application_name: &str) -> Peer {
    let parameters = [
        ("user", "t_trust"),
        ("database", database),
        ("application_name", application_name),
    ];
    Peer::login_with(address, &parameters)
}

fn console(pgweir: &Pgweir, postgres: &Postgres, command: &str) -> String {
    pgweir.psql(postgres, "t_trust", "pgweir", command)
}

fn looks(pgweir: &Pgweir, postgres: &Postgres) -> u64 {
    let stats = console(pgweir, postgres, "SHOW LINT STATS");
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("lock_looks|"));
    line.expect("a line").parse().expect("a number")
}

/// Everything about the one finding, when it is there.
fn finding(pgweir: &Pgweir, postgres: &Postgres) -> String {
    let id = eventually("a finding", || {
        let all = console(pgweir, postgres, "SHOW FINDINGS lock-contention app");
        let line = all.lines().find(|line| line.contains("|waited|"))?;
        Some(line.split('|').next()?.to_owned())
    });
    console(pgweir, postgres, &format!("SHOW FINDING '{id}'"))
}

fn has(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
}

/// Sends what will have to wait.
fn wait(peer: &mut Peer, sql: &str) {
    peer.send(&[message::query(sql)]);
}

#[test]
fn a_client_that_waits_for_another_is_found_with_both_sides() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, 300, |setup| setup);
        let (mut first, mut second) = (login(&pgweir, "night"), login(&pgweir, "till"));
        first.query("BEGIN");
        first.query("UPDATE account SET v = 1987654321 WHERE id = 1");
        wait(
            &mut second,
            "UPDATE account SET v = 1987654322 WHERE id = 1",
        );
        let told = finding(&pgweir, postgres);
        has(
            &told,
            &[
                "rule|lock-contention",
                "app|till",
                "query|update account set v = ? where id = ?",
                "object|public.account",
                "count|1\n",
                "evidence.lock|transactionid",
                "evidence.mode|ShareLock",
                "evidence.blocker_state|idle in transaction",
                "evidence.blocker_statement|update account set v = ? where id = ?",
                "(t_trust, night)",
            ],
        );
        assert!(!told.contains("198765432"), "{told}");
        assert!(!pgweir.log().contains("198765432"), "{}", pgweir.log());
        // It goes on, and is still one.
        let before = looks(&pgweir, postgres);
        eventually("two more looks", || {
            (looks(&pgweir, postgres) >= before + 2).then_some(())
        });
        has(&finding(&pgweir, postgres), &["count|1\n"]);
        let shown = console(&pgweir, postgres, "SHOW LOCKS");
        let columns: Vec<&str> = shown.trim().split('|').collect();
        assert_eq!(columns[..3], ["app", "t_trust", "till"], "{shown}");
        assert_eq!(
            columns[6..10],
            [
                "transactionid",
                "ShareLock",
                "public.account",
                "update account set v = ? where id = ?",
            ]
        );
        assert_eq!(columns[12..15], ["t_trust", "night", "idle in transaction"]);
        assert_eq!(columns[10], columns[18], "{shown}");
        first.query("COMMIT");
        second.until_ready(1);
        eventually("nobody waits any more", || {
            let shown = console(&pgweir, postgres, "SHOW LOCKS");
            shown.trim().is_empty().then_some(())
        });
    }
}

#[test]
fn a_stranger_in_the_way_is_named_too() {
    for postgres in each_postgres() {
        let (pgweir, database) = start(postgres, 300, |setup| setup);
        let mut stranger = named(scene::address(postgres), &database, "migration");
        stranger.query("BEGIN");
        stranger.query("ALTER TABLE account ADD COLUMN w int DEFAULT 1987654321");
        let mut one = login(&pgweir, "till");
        wait(&mut one, "SELECT v FROM account WHERE id = 1987654322");
        let told = finding(&pgweir, postgres);
        has(
            &told,
            &[
                "object|public.account",
                "evidence.lock|relation",
                "evidence.mode|AccessShareLock",
                "did not come through here (t_trust, migration)",
                "evidence.blocker_state|idle in transaction",
                "evidence.blocker_statement|alter table account add column w int default ?",
            ],
        );
        assert!(!told.contains("198765432"), "{told}");
        stranger.query("ROLLBACK");
        one.until_ready(1);
    }
}

#[test]
fn whoever_stands_in_a_queue_is_told_what_is_at_its_head() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, 300, |setup| setup);
        let mut first = login(&pgweir, "night");
        first.query("BEGIN");
        first.query("SELECT FROM account WHERE id = 1 FOR UPDATE");
        let (mut second, mut third) = (login(&pgweir, "till"), login(&pgweir, "shop"));
        wait(&mut second, "DELETE FROM account WHERE id = 1");
        finding(&pgweir, postgres);
        // Behind the one that waits for the row's transaction.
        wait(&mut third, "UPDATE account SET v = 1 WHERE id = 1");
        let id = eventually("the second finding", || {
            let all = console(&pgweir, postgres, "SHOW FINDINGS lock-contention app");
            let line = all.lines().find(|line| line.contains("|shop|"))?;
            Some(line.split('|').next()?.to_owned())
        });
        let told = console(&pgweir, postgres, &format!("SHOW FINDING '{id}'"));
        has(
            &told,
            &[
                "evidence.lock|tuple",
                "(t_trust, till)",
                "evidence.root_state|idle in transaction",
                "(t_trust, night)",
                "evidence.root_statement|select from account where id = ? for update",
            ],
        );
        first.query("ROLLBACK");
        second.until_ready(1);
        third.until_ready(1);
    }
}

#[test]
fn other_roles_are_seen_as_far_as_the_server_lets_the_pool_see_them() {
    for postgres in each_postgres() {
        let (pgweir, database) = start(postgres, 300, |setup| setup);
        let parameters = [
            ("user", "postgres"),
            ("database", &*database),
            ("application_name", "root"),
        ];
        let mut stranger = Peer::login_with(scene::address(postgres), &parameters);
        stranger.query("BEGIN");
        stranger.query("LOCK TABLE account");
        let mut one = login(&pgweir, "till");
        wait(&mut one, "DELETE FROM account WHERE id = 1");
        let told = finding(&pgweir, postgres);
        has(&told, &["(postgres, root)", "object|public.account"]);
        stranger.query("ROLLBACK");
        one.until_ready(1);
    }
}

#[test]
fn nobody_is_asked_while_nothing_runs_long() {
    for postgres in each_postgres() {
        let (pgweir, database) = start(postgres, 2000, |setup| setup);
        let mut busy = login(&pgweir, "till");
        // Open for long, but nothing runs in it.
        let mut idle = login(&pgweir, "night");
        idle.query("BEGIN");
        idle.query("UPDATE account SET v = 1 WHERE id = 1");
        let begin = std::time::Instant::now();
        while begin.elapsed() < Duration::from_millis(3500) {
            busy.query("UPDATE account SET v = v + 1 WHERE id = 2");
        }
        assert_eq!(looks(&pgweir, postgres), 0);
        // A statement that runs long is asked about, and does not wait.
        wait(&mut busy, "SELECT pg_sleep(4)");
        eventually("a look", || (looks(&pgweir, postgres) > 0).then_some(()));
        let mut watch = Watch::new(postgres, &database);
        watch.until(1, "application_name = 'pgweir locks'");
        busy.until_ready(1);
        let all = console(&pgweir, postgres, "SHOW FINDINGS lock-contention app");
        assert!(!all.contains("|waited|"), "{all}");
        // Who looked leaves in the end.
        watch.until(0, "application_name = 'pgweir locks'");
        idle.query("COMMIT");
    }
}

#[test]
fn who_wants_no_advisor_has_no_server_asked() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, 300, |setup| setup.set("advisor", false));
        let mut busy = login(&pgweir, "till");
        wait(&mut busy, "SELECT pg_sleep(2.5)");
        busy.until_ready(1);
        assert_eq!(looks(&pgweir, postgres), 0);
    }
}

#[test]
fn a_slow_statement_tells_how_long_it_waited_for_a_lock() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, 300, |setup| setup.set("log_slow_query", "300ms"));
        let (mut first, mut second) = (login(&pgweir, "night"), login(&pgweir, "till"));
        first.query("BEGIN");
        first.query("DELETE FROM account WHERE id = 1");
        wait(&mut second, "UPDATE account SET v = 1 WHERE id = 1");
        finding(&pgweir, postgres);
        first.query("COMMIT");
        second.until_ready(1);
        second.query("SELECT pg_sleep(0.4)");
        let told = |part: &str| {
            let id = eventually(part, || {
                let all = console(&pgweir, postgres, "SHOW FINDINGS slow-query app");
                let line = all.lines().find(|line| line.contains(part))?;
                Some(line.split('|').next()?.to_owned())
            });
            console(&pgweir, postgres, &format!("SHOW FINDING '{id}'"))
        };
        let waited = told("update account");
        has(&waited, &["It waited for a lock for at least "]);
        let ms = |name: &str| -> u64 {
            let name = format!("evidence.{name}|");
            let line = waited.lines().find_map(|line| line.strip_prefix(&*name));
            line.expect("evidence").parse().expect("a number")
        };
        assert!((300..=ms("ms")).contains(&ms("lock_wait_ms")), "{waited}");
        let slept = told("pg_sleep");
        assert!(!slept.contains("lock_wait"), "{slept}");
        let log = pgweir.log();
        let lines = log.lines().filter(|line| line.contains("slow query"));
        let (blamed, others): (Vec<&str>, Vec<&str>) =
            lines.partition(|line| line.contains("lock_wait_ms"));
        assert!(
            blamed.len() == 1 && blamed[0].contains("update account"),
            "{log}"
        );
        assert!(others.iter().any(|line| line.contains("pg_sleep")), "{log}");
    }
}
