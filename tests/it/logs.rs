//! The log of a running pgweir: repeats, and the level that changes while it runs.

use std::time::{Duration, Instant};

use regex::Regex;

use crate::support::pgweir::{Setup, succeed};
use crate::support::postgres::each_postgres;
use crate::support::wait::eventually;

#[test]
fn what_repeats_itself_is_told_in_one_line() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let mut pgweir = Setup::new()
        .set("auth_type", "scram-sha-256")
        .set("log_repeats", 1)
        .database_at("app", 1)
        .start();
    // Two of them in one period; a slow machine may need more.
    let (mut tried, mut last) = (0, None::<Instant>);
    eventually("two logins fail in five seconds", || {
        let began = Instant::now();
        let mut psql = pgweir.client(postgres, "psql", "t_plain");
        psql.args(["-d", "app", "-c", "SELECT 1"])
            .env("PGPASSWORD", format!("wrong{tried}"));
        let output = psql.output().expect("running psql");
        assert!(!output.status.success());
        tried += 1;
        let before = last.replace(began);
        before.filter(|before| before.elapsed() < Duration::from_secs(5))
    });
    pgweir.signal("TERM");
    pgweir.wait();
    let log = pgweir.log();
    let of = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    let failed = of("closing because: password authentication failed");
    let more =
        Regex::new(r"failed for user .*\((\d+) more like this in \d+ s\)").expect("a pattern");
    let told = more.captures_iter(&log);
    let told: Vec<usize> = told.map(|one| one[1].parse().expect("a number")).collect();
    assert!(!told.is_empty(), "{log}");
    assert_eq!(
        failed - told.len() + told.iter().sum::<usize>(),
        tried,
        "{log}"
    );
    assert_eq!(of("wrong"), 0, "no password is logged: {log}");
}

#[test]
fn the_level_changes_at_once_and_for_one_module() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let pgweir = Setup::new().database_at("app", 1).start();
    let set = |value: &str| {
        let mut psql = pgweir.client(postgres, "psql", "postgres");
        psql.args(["-d", "pgweir", "-c", &format!("SET log_level = '{value}'")]);
        psql
    };
    let logins = || pgweir.log().matches("login attempt").count();
    succeed(&mut set("info,pgweir::client=warn,pgweir::worker=warn"));
    let before = logins();
    succeed(&mut set("info,pgweir::client=warn,pgweir::worker=warn"));
    // What another module says of the same command is there.
    eventually("the command is logged", || {
        (pgweir.log().matches("SET command issued").count() == 2).then_some(())
    });
    assert_eq!(logins(), before);
    let refused = set("info,pgweir::client=loud")
        .output()
        .expect("running psql");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && told.contains("log_level"),
        "{told}"
    );
    succeed(&mut set("info"));
    succeed(&mut set("info"));
    eventually("logins are logged again", || {
        (logins() > before).then_some(())
    });
}
