//! The log as programs that read PgBouncer's take it apart.

use regex::Regex;

use super::{client, first, ini};
use crate::support::message;
use crate::support::peer::Peer;
use crate::support::pgweir::Pgweir;
use crate::support::scene;
use crate::support::wait::eventually;

/// Every line: time, process, level, message.
const LINE: &str = r"^(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3}) UTC \[(\d+)\] (LOG|WARNING|ERROR|FATAL|DEBUG|NOISE) (.+)$";
/// What is about a connection, as pgBadger takes it apart: which, database, user, address, text.
const CONNECTION: &str = r"^([CS]-0x[0-9a-f]+): ([^/]*)/([^@]*)@([^ ]+|unix\(\d+\)):(\d+) (.+)$";
/// The statistics line, with what was added since 1.21 as optional.
const STATS: &str = r"^stats: (\d+) xacts/s, (\d+) queries/s, (?:(\d+) client parses/s, (\d+) server parses/s, (\d+) binds/s, )?in (\d+) B/s, out (\d+) B/s, xact (\d+) us, query (\d+) us, wait (\d+) us$";

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

/// Texts about connections that match `text`.
fn about(log: &str, letter: char, text: &str) -> usize {
    let (line, connection, text) = (pattern(LINE), pattern(CONNECTION), pattern(text));
    log.lines()
        .filter_map(|one| line.captures(one)?.get(4).map(|m| m.as_str().to_owned()))
        .filter(|message| {
            connection
                .captures(message)
                .is_some_and(|parts| parts[1].starts_with(letter) && text.is_match(&parts[6]))
        })
        .count()
}

#[test]
fn lines_that_watchers_of_pgbouncer_read() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let pgweir = Pgweir::start_ini(
        &ini(
            postgres,
            &database,
            "pool_mode=transaction",
            "logfile = {dir}/pgb.log\nstats_period = 1\nquery_timeout = 0.2\nserver_idle_timeout = 0.3",
        ),
        &["-q"],
    );
    let path = pgweir.dir().join("pgb.log");
    let log = || std::fs::read_to_string(&path).expect("a log");
    let mut peer = client(&pgweir);
    assert_eq!(peer.value("SELECT 1"), "1");
    peer.send(&[message::terminate()]);
    peer.expect_end();
    let mut slow = client(&pgweir);
    slow.send(&[message::query("SELECT pg_sleep(60)")]);
    scene::the_error(&slow.expect_end());
    let mut last = client(&pgweir);
    assert_eq!(last.value("SELECT 2"), "2");
    drop(last);
    for (user, database) in [("t_trust", "nodb"), ("nobody", "app")] {
        let mut peer = Peer::connect(pgweir.address());
        let parameters = [("user", user), ("database", database)];
        peer.send_raw(&message::startup(0x0003_0000, &parameters));
        peer.expect_end();
    }
    pgweir.psql(postgres, "postgres", "pgbouncer", "SHOW VERSION");
    for (letter, text) in [
        (
            'C',
            r"^login attempt: db=app user=t_trust tls=no replication=no$",
        ),
        ('C', r"^login attempt: db=pgbouncer user=postgres "),
        ('C', r"^closing because: client close request \(age=\d+s\)$"),
        (
            'C',
            r"^closing because: client unexpected eof \(age=\d+s\)$",
        ),
        ('C', r"^closing because: query timeout \(age=\d+s\)$"),
        ('C', r"^pooler error: query timeout"),
        ('C', r"^closing because: no such database: nodb \(age=0s\)$"),
        ('C', r"^pooler error: no such database: nodb"),
        ('C', r#"^pooler error: .*authentication failed"#),
        ('S', r"^new connection to server"),
        ('S', r"^closing because: server idle timeout \(age=\d+s\)$"),
        (
            'S',
            r"^closing because: client disconnect while server was not ready \(age=\d+s\)$",
        ),
    ] {
        eventually(text, || (about(&log(), letter, text) > 0).then_some(()));
    }
    let stats = pattern(STATS);
    eventually("a line of statistics", || {
        let log = log();
        let mut texts = log.lines().filter_map(|line| line.split_once("] LOG "));
        texts.any(|(_, text)| stats.is_match(text)).then_some(())
    });

    // Rotation: the file is moved away, a signal, a new file.
    let old = pgweir.dir().join("pgb.log.1");
    std::fs::rename(&path, &old).expect("moved away");
    pgweir.signal("HUP");
    eventually("a new file", || path.exists().then_some(()));
    drop(client(&pgweir));
    eventually("the new file's first client", || {
        (about(&log(), 'C', "^login attempt: ") > 0).then_some(())
    });
    let all = std::fs::read_to_string(&old).expect("the old log") + &log();
    assert!(all.contains("LOG got SIGHUP, re-reading config\n"), "{all}");
    assert!(all.contains("LOG process up: PgBouncer 1."), "{all}");
    assert!(all.contains("LOG listening on 127.0.0.1:"), "{all}");
    assert!(all.contains("LOG listening on unix:/"), "{all}");
    let line = pattern(LINE);
    for one in all.lines() {
        assert!(line.is_match(one), "{one}");
    }
    assert_eq!(pgweir.log(), "", "-q left something on standard error");
}

/// `log_connections = 0` and its brothers.
#[test]
fn lines_that_nobody_wants() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let pgweir = Pgweir::start_ini(
        &ini(
            postgres,
            &database,
            "",
            "log_connections = 0\nlog_disconnections = 0\nlog_pooler_errors = 0\nlog_stats = 0\n\
             stats_period = 1\nserver_idle_timeout = 0.2",
        ),
        &[],
    );
    let mut peer = client(&pgweir);
    assert_eq!(peer.value("SELECT 1"), "1");
    drop(peer);
    assert!(scene::try_login(pgweir.address()).is_ok());
    let mut peer = Peer::connect(pgweir.address());
    let parameters = [("user", "t_trust"), ("database", "nodb")];
    peer.send_raw(&message::startup(0x0003_0000, &parameters));
    peer.expect_end();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let log = pgweir.log();
    for text in [
        "login attempt",
        "closing because",
        "pooler error",
        "new connection",
        "stats:",
    ] {
        assert!(!log.contains(text), "{text}: {log}");
    }
}
