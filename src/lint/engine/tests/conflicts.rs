//! Transactions that get in each other's way, queries that everybody asks, and wide results.

use super::*;
use crate::lint::known::Known;
use crate::lint::observe::Trouble;
use crate::lint::thresholds::Thresholds;

/// Statements of several connections, in order.
#[derive(Default)]
struct Play {
    engine: Engine,
    found: Vec<Detection>,
}

struct Said<'a> {
    conn: u64,
    sql: &'a str,
    at_ms: u64,
    block: Block,
    error: Option<(&'a [u8; 5], Option<Trouble>)>,
    rows: u64,
    bytes: u64,
    columns: usize,
}

fn said(conn: u64, sql: &str, at_ms: u64, block: Block) -> Said<'_> {
    Said {
        conn,
        sql,
        at_ms,
        block,
        error: None,
        rows: 1,
        bytes: 0,
        columns: 0,
    }
}

impl Play {
    fn say(&mut self, said: &Said<'_>) {
        let hashing = crate::lint::hashing::Hashing::seeded(1);
        let hash = hashing.bytes(said.sql.as_bytes());
        let columns = (0..said.columns).map(|n| format!("c{n}").into()).collect();
        let run = Execution {
            known: Arc::new(Known {
                text: Arc::from(said.sql.as_bytes()),
                shape: hash,
                profile: Arc::new(
                    inspect(said.sql, &[], &Thresholds::default()).unwrap_or_default(),
                ),
                named: (said.columns > 0).then_some(columns),
                ..Known::default()
            }),
            stripped: hash,
            raw: hash,
            rows: said.rows,
            bytes: said.bytes,
            block: said.block,
            batch: said.at_ms as u32,
            backend: 100 + said.conn as u32,
            error: said.error.as_ref().map(|(state, _)| **state),
            trouble: said.error.as_ref().and_then(|(_, more)| more.clone()),
            ..Execution::default()
        };
        let subject = Subject {
            database: "shop".into(),
            user: match said.conn {
                ..10 => format!("user{}", said.conn).into(),
                _ => "web".into(),
            },
            ..Subject::default()
        };
        let seen = Observation {
            conn: said.conn,
            subject: Arc::new(subject),
            sent_us: said.at_ms * 1000,
            done_us: said.at_ms * 1000 + 500,
            event: Event::Executed(run),
        };
        self.engine.observe(&seen, &mut self.found);
    }

    fn say_all(&mut self, all: &[(u64, &str, u64, Block)]) {
        for (conn, sql, at_ms, block) in all {
            self.say(&said(*conn, sql, *at_ms, *block));
        }
    }

    fn one(&self, rule: &str) -> &Detection {
        let mut of = self.found.iter().filter(|one| one.hit.rule.id == rule);
        of.next_back().unwrap_or_else(|| panic!("no {rule}"))
    }
}

fn evidence(one: &Detection, name: &str) -> String {
    (one.hit.evidence.iter().find(|(known, _)| *known == name))
        .map_or_else(|| "-".to_owned(), |(_, value)| format!("{value:?}"))
}

const A: &str = "UPDATE a SET x = 1 WHERE id = 1";
const B: &str = "UPDATE b SET x = 1 WHERE id = 1";

/// Two clients lock two rows crosswise; the first of them loses. `open` says whether the second is
/// still in its transaction when that is heard of.
fn deadlock(open: bool) -> Play {
    let mut play = Play::default();
    play.say_all(&[
        (1, "BEGIN", 0, Block::Open),
        (2, "BEGIN", 1, Block::Open),
        (1, A, 2, Block::Open),
        (2, B, 3, Block::Open),
    ]);
    if !open {
        play.say_all(&[
            (2, A, 1_100, Block::Open),
            (2, "COMMIT", 1_101, Block::None),
        ]);
    }
    let pids = Trouble::Deadlock([101, 102].into());
    play.say(&Said {
        error: Some((b"40P01", Some(pids))),
        ..said(1, B, 1_102, Block::Failed)
    });
    play
}

#[test]
fn a_deadlock_names_both_sides() {
    let play = deadlock(true);
    let one = play.one("deadlock");
    assert_eq!(
        evidence(one, "transaction"),
        "Text(\"update a set x = ? where id = ?\")"
    );
    assert_eq!(
        evidence(one, "other_transaction"),
        "Text(\"update b set x = ? where id = ?\")"
    );
    assert_eq!(evidence(one, "other"), "Text(\"user2\")");
    assert!(
        one.hit.message.contains("locks a, b in this order"),
        "{}",
        one.hit.message
    );
}

#[test]
fn the_winner_of_a_deadlock_may_be_through_already() {
    let play = deadlock(false);
    let one = play.one("deadlock");
    assert_eq!(evidence(one, "other"), "Text(\"user2\")");
    assert!(
        one.hit
            .message
            .contains("one takes a before b, the other b before a"),
        "{}",
        one.hit.message
    );
}

#[test]
fn a_deadlock_with_somebody_from_elsewhere_says_so() {
    let mut play = Play::default();
    play.say_all(&[(1, "BEGIN", 0, Block::Open), (1, A, 2, Block::Open)]);
    let pids = Trouble::Deadlock([101, 999].into());
    play.say(&Said {
        error: Some((b"40P01", Some(pids))),
        ..said(1, B, 1_100, Block::Failed)
    });
    let other = evidence(play.one("deadlock"), "other");
    assert!(other.contains("came this way"), "{other}");
}

#[test]
fn crossing_orders_predict_a_deadlock() {
    let mut play = Play::default();
    for n in 0..6 {
        let (first, second) = if n % 2 == 0 { (A, B) } else { (B, A) };
        let at = n * 100;
        let told = play.found.iter().any(|one| one.hit.kind == "predicted");
        assert!(!told, "told too soon");
        play.say_all(&[
            (1, "BEGIN", at, Block::Open),
            (1, first, at + 1, Block::Open),
            (1, second, at + 2, Block::Open),
            (1, "COMMIT", at + 3, Block::None),
        ]);
    }
    assert_eq!(play.one("deadlock").hit.kind, "predicted");
    // Who always keeps one order is not told of.
    let mut play = Play::default();
    for n in 0..20 {
        play.say_all(&[
            (1, "BEGIN", n * 100, Block::Open),
            (1, A, n * 100 + 1, Block::Open),
            (1, B, n * 100 + 2, Block::Open),
            (1, "COMMIT", n * 100 + 3, Block::None),
        ]);
    }
    assert!(play.found.is_empty(), "{:?}", play.found);
}

/// A transaction that fails with 40001, and what its client does then.
fn failed(then: &[(u64, &str, u64, Block)]) -> Play {
    let mut play = Play::default();
    play.say_all(&[(1, "BEGIN", 0, Block::Open), (1, A, 1, Block::Open)]);
    play.say(&Said {
        error: Some((b"40001", None)),
        ..said(1, B, 2, Block::Failed)
    });
    play.say_all(&[(1, "ROLLBACK", 3, Block::None)]);
    play.say_all(then);
    play.engine.tick(20_000_000, &mut play.found);
    play
}

#[test]
fn a_retry_after_a_serialization_failure_is_seen() {
    let play = failed(&[
        (1, "BEGIN", 50, Block::Open),
        (1, A, 51, Block::Open),
        (1, "COMMIT", 60, Block::None),
    ]);
    let one = play.one("serialization-failure");
    assert_eq!(
        (evidence(one, "retried").as_str(), one.hit.severity),
        ("Flag(true)", Severity::Info)
    );
    assert!(one.again, "it is the same failure");
    let play = failed(&[
        (1, "BEGIN", 50, Block::Open),
        (1, B, 51, Block::Open),
        (1, "COMMIT", 60, Block::None),
    ]);
    let one = play.one("serialization-failure");
    assert_eq!(
        (evidence(one, "retried").as_str(), one.hit.severity),
        ("Flag(false)", Severity::Warn)
    );
}

#[test]
fn a_recovery_conflict_is_no_fault_of_the_transaction() {
    let mut play = Play::default();
    play.say(&Said {
        error: Some((b"40001", Some(Trouble::Recovery))),
        ..said(1, "SELECT x FROM a", 2, Block::None)
    });
    play.engine.tick(20_000_000, &mut play.found);
    assert_eq!(play.found.len(), 1);
    assert_eq!(
        play.one("serialization-failure").hit.kind,
        "recovery-conflict"
    );
}

/// How often it is called a candidate for a cache, when connections of one user take turns.
fn candidates(conns: u64, step_ms: u64, rows: impl Fn(u64) -> u64) -> usize {
    let mut play = Play::default();
    for n in 0..200 {
        play.say(&Said {
            rows: rows(n),
            ..said(
                10 + n % conns,
                "SELECT rate FROM rates WHERE code = 'EUR'",
                n * step_ms,
                Block::None,
            )
        });
    }
    let of = |one: &&Detection| one.hit.kind == "cache-candidate";
    play.found.iter().filter(of).count()
}

#[test]
fn what_everybody_asks_is_for_a_cache() {
    assert_eq!(candidates(40, 290, |_| 1), 1);
    let changes = |n| if n == 50 { 2 } else { 1 };
    assert_eq!(candidates(40, 290, changes), 1, "counted anew from there");
    assert_eq!(candidates(40, 290, |n| n / 60), 0, "the answer changes");
    assert_eq!(candidates(40, 700, |_| 1), 0, "85 a minute are not enough");
    assert_eq!(candidates(1, 290, |_| 1), 0, "one alone repeats or polls");
}

#[test]
fn a_star_is_worse_if_its_result_is_wide() {
    let wide = |sql: &str, columns: usize, bytes: u64| {
        let mut play = Play::default();
        play.say(&Said {
            columns,
            bytes,
            rows: 10,
            ..said(1, sql, 0, Block::None)
        });
        play.found
            .iter()
            .map(|one| (one.hit.kind, one.hit.severity, one.again))
            .collect::<Vec<_>>()
    };
    let star = "SELECT * FROM t WHERE id = 1";
    let of = "SELECT t.* FROM t WHERE id = 1";
    assert_eq!(wide(star, 5, 400), []);
    assert_eq!(wide(of, 5, 400), []);
    assert_eq!(wide(star, 20, 400), [("", Severity::Warn, true)]);
    assert_eq!(wide(of, 20, 400), [("qualified", Severity::Warn, false)]);
    assert_eq!(wide(of, 0, 20_480), [("qualified", Severity::Warn, false)]);
    assert_eq!(wide("SELECT id FROM t", 30, 99_999), []);
    assert_eq!(
        wide("SELECT f.* FROM generate_series(1, 9) f", 30, 99_999),
        []
    );
}
