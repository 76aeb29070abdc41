mod conflicts;

use super::*;
use crate::lint::inspect::inspect;
use crate::lint::known::Known;
use crate::lint::observe::Values;
use crate::lint::rule::Severity;

fn run(
    engine: &mut Engine,
    sql: &str,
    value: u64,
    at_ms: u64,
    rows: u64,
    block: Block,
) -> Vec<&'static str> {
    let mut found = Vec::new();
    let run = Execution {
        known: Arc::new(Known {
            shape: sql.len() as u64,
            profile: Arc::new(
                inspect(sql, &[], &crate::lint::thresholds::Thresholds::default())
                    .unwrap_or_default(),
            ),
            value_rows: 1,
            ..Known::default()
        }),
        values: Values {
            all: value,
            ..Values::default()
        },
        rows,
        block,
        batch: at_ms as u32,
        ..Execution::default()
    };
    let seen = Observation {
        conn: 1,
        subject: Arc::default(),
        sent_us: at_ms * 1000,
        done_us: at_ms * 1000 + 1000,
        event: Event::Executed(run),
    };
    engine.observe(&seen, &mut found);
    (found.iter())
        .filter(|one| one.hit.rule.kind_on(one.hit.kind) != Some(false))
        .map(|one| one.hit.rule.id)
        .collect()
}

fn lookups(rows: u64, step_ms: u64) -> Vec<&'static str> {
    let mut engine = Engine::default();
    let mut found = run(
        &mut engine,
        "SELECT id FROM posts LIMIT 20",
        0,
        0,
        rows,
        Block::None,
    );
    for n in 1..20 {
        let sql = "SELECT name FROM users WHERE id = $1";
        found.extend(run(&mut engine, sql, n, n * step_ms, 1, Block::None));
    }
    found
}

#[test]
fn lookups_after_their_parent_are_found_once() {
    assert_eq!(lookups(20, 3), ["n-plus-one"]);
    assert!(lookups(1, 3).is_empty(), "one row has no loop");
    assert!(lookups(20, 1000).is_empty(), "a person is no loop");
}

#[test]
fn silence_in_a_transaction_is_found() {
    let mut engine = Engine::default();
    run(&mut engine, "BEGIN", 0, 0, 0, Block::Open);
    let mut found = Vec::new();
    engine.tick(4_000_000, &mut found);
    assert!(found.is_empty());
    engine.tick(9_000_000, &mut found);
    assert_eq!(found[0].hit.rule.id, "idle-in-transaction");
    run(&mut engine, "COMMIT", 0, 9_500, 0, Block::None);
    found.clear();
    engine.tick(900_000_000, &mut found);
    assert!(found.is_empty());
}

#[test]
fn single_row_inserts_are_found() {
    let mut engine = Engine::default();
    let found: Vec<_> = (1..30)
        .flat_map(|n| {
            run(
                &mut engine,
                "INSERT INTO t (a) VALUES ($1)",
                n,
                n * 3,
                1,
                Block::None,
            )
        })
        .collect();
    assert_eq!(found, ["row-by-row-insert"]);
}

/// What a series of executions of one connection proves: text, values, milliseconds, rows.
fn series(steps: &[(&str, &[u64], u64, u64)]) -> Vec<Detection> {
    series_in(Engine::default(), steps)
}

fn series_in(engine: Engine, steps: &[(&str, &[u64], u64, u64)]) -> Vec<Detection> {
    series_left(engine, steps).1
}

/// The engine afterwards, and what it found.
fn series_left(mut engine: Engine, steps: &[(&str, &[u64], u64, u64)]) -> (Engine, Vec<Detection>) {
    let hashing = crate::lint::hashing::Hashing::seeded(1);
    let mut found = Vec::new();
    for (at, (sql, values, ms, rows)) in steps.iter().enumerate() {
        let run = Execution {
            known: Arc::new(Known {
                text: Arc::from(sql.as_bytes()),
                shape: hashing.bytes(sql.as_bytes()),
                profile: Arc::new(
                    inspect(sql, &[], &crate::lint::thresholds::Thresholds::default())
                        .unwrap_or_default(),
                ),
                ..Known::default()
            }),
            stripped: hashing.bytes(sql.as_bytes()),
            params: values.len() as u16,
            values: hashing.values(values.iter().copied()),
            rows: *rows,
            batch: at as u32,
            ..Execution::default()
        };
        let seen = Observation {
            conn: 1,
            subject: Arc::default(),
            sent_us: ms * 1000,
            done_us: ms * 1000 + 1000,
            event: Event::Executed(run),
        };
        engine.tick(seen.sent_us, &mut found);
        engine.observe(&seen, &mut found);
    }
    engine.tick(u64::MAX / 2, &mut found);
    (engine, found)
}

#[test]
fn a_loop_has_its_nearest_parent_and_its_last_numbers() {
    let parent = "SELECT id, author_id FROM posts LIMIT 20";
    let child = "SELECT name FROM users WHERE id = $1 LIMIT $2";
    let values: Vec<[u64; 2]> = (0..20).map(|n| [n + 100, 1]).collect();
    let mut steps: Vec<(&str, &[u64], u64, u64)> = vec![
        ("SELECT k, v FROM settings", &[], 0, 90),
        (parent, &[], 5, 20),
    ];
    let mut at = 8;
    for values in &values {
        steps.push((child, values, at, 1));
        at += 3;
    }
    let found = series(&steps);
    let last = found.last().expect("a finding");
    assert_eq!((last.count, &*last.parent_text), (20, parent.as_bytes()));
    let sql = last.hit.suggestion.sql.as_deref();
    assert_eq!(sql, Some("SELECT name FROM users WHERE id = ANY($1)"));
    assert_eq!(last.hit.times.len(), 20);
    assert_eq!(last.hit.times[..2], [(0, 1_000), (3_000, 1_000)]);
    assert!(found.iter().all(|one| one.hit.rule.id == "n-plus-one"));
}

#[test]
fn pages_are_no_loop() {
    let page = "SELECT name FROM users WHERE org_id = $1 ORDER BY id LIMIT $2 OFFSET $3";
    let values: Vec<[u64; 3]> = (0..20).map(|n| [7, 10, n * 10]).collect();
    let mut steps: Vec<(&str, &[u64], u64, u64)> = vec![("SELECT id FROM orgs", &[], 0, 20)];
    steps.extend((values.iter().zip(1..)).map(|(values, n)| (page, &values[..], n * 5, 10)));
    assert!(series(&steps).is_empty());
}

#[test]
fn even_repetition_is_polling_and_quick_repetition_is_not() {
    let sql = "SELECT state FROM jobs WHERE id = $1";
    let ids = |step: u64| -> Vec<&'static str> {
        let steps: Vec<(&str, &[u64], u64, u64)> =
            (0..30).map(|n| (sql, &[5][..], n * step, 1)).collect();
        series(&steps).iter().map(|one| one.hit.rule.id).collect()
    };
    assert_eq!(ids(4), ["repeated-identical-query"]);
    assert_eq!(ids(500), ["polling-query"]);
    assert_eq!(ids(20_000), ["polling-query"]);
    assert!(ids(40_000).is_empty());
}

#[test]
fn a_write_to_the_table_excuses_reading_again() {
    let read = "SELECT n FROM counters WHERE id = $1";
    let write = |table| format!("UPDATE {table} SET n = n + 1 WHERE id = 1");
    for (table, expected) in [("counters", 0), ("others", 1)] {
        let write = write(table);
        let steps: Vec<(&str, &[u64], u64, u64)> = (0..16)
            .map(|n| match n % 2 {
                0 => (read, &[5][..], n * 4, 1),
                _ => (&*write, &[][..], n * 4, 1),
            })
            .collect();
        let repeats = series(&steps);
        let repeats = repeats
            .iter()
            .filter(|one| one.hit.rule.number == 7)
            .count();
        assert_eq!(repeats, expected, "{table}");
    }
}

#[test]
fn the_operator_says_from_how_much_on() {
    let sql = "SELECT state FROM jobs WHERE id = $1";
    let steps: Vec<(&str, &[u64], u64, u64)> = (0..7).map(|n| (sql, &[5][..], n * 4, 1)).collect();
    let found = |executions| {
        let mut engine = Engine::default();
        (engine.thresholds)
            .set("repeated-identical-query", "min_executions", executions)
            .expect("known");
        series_in(engine, &steps).len()
    };
    assert_eq!((found(7), found(8)), (1, 0));
}

#[test]
fn other_queries_with_the_same_values_are_no_repetition() {
    let mut engine = Engine::default();
    let mut found = Vec::new();
    // As sessions make them: the text's hash is the shape's with its literals'.
    let mut ask = |shape: u64, at: u64| {
        let profile = inspect("SELECT a FROM t WHERE id = 5", &[], &Thresholds::default());
        let seen = Observation {
            conn: 1,
            subject: Arc::default(),
            sent_us: at * at * 2000,
            done_us: at * at * 2000 + 500,
            event: Event::Executed(Execution {
                known: Arc::new(Known {
                    shape,
                    profile: Arc::new(profile.expect("valid")),
                    ..Known::default()
                }),
                stripped: shape ^ 5,
                values: Values {
                    all: 5,
                    ..Values::default()
                },
                batch: at as u32,
                ..Execution::default()
            }),
        };
        engine.observe(&seen, &mut found);
        found.len()
    };
    assert_eq!((1..9).map(|n| ask(n * 0x1234_5678, n)).max(), Some(0));
    assert_eq!((9..14).map(|n| ask(7, n)).max(), Some(1));
}

#[test]
fn what_is_forgotten_is_counted() {
    let texts = |what: &str| -> Vec<String> {
        (0..70)
            .map(|n| format!("SELECT a FROM {what}{n} WHERE id = $1"))
            .collect()
    };
    let evicted = |what: &str, rows| {
        let (texts, values) = (texts(what), (0..70).map(|n| [n]).collect::<Vec<[u64; 1]>>());
        let steps: Vec<(&str, &[u64], u64, u64)> = (texts.iter().zip(&values))
            .map(|(text, value)| (text.as_str(), &value[..], value[0] * 3, rows))
            .collect();
        series_left(Engine::default(), &steps).0.evicted()
    };
    let one = evicted("t", 1);
    assert_eq!((one.runs, one.parents, one.repeats), (6, 0, 6));
    let many = evicted("t", 5);
    assert_eq!((many.runs, many.parents, many.repeats), (6, 38, 6));
    assert_eq!((many.scopes, many.transactions, many.windows), (0, 0, 0));

    let mut engine = Engine::new(Limits { scopes: 4 });
    for conn in 0..9 {
        let seen = Observation {
            conn,
            subject: Arc::default(),
            sent_us: conn * 1000,
            done_us: conn * 1000 + 1,
            event: Event::Executed(Execution {
                block: Block::Open,
                ..Execution::default()
            }),
        };
        engine.observe(&seen, &mut Vec::new());
    }
    let evicted = engine.evicted();
    assert_eq!(evicted.transactions, 5);
    assert!(evicted.scopes > 0);
}

#[test]
fn idle_time_names_the_last_statement_and_excuses_who_types() {
    let idle = |app: &str| {
        let mut engine = Engine::default();
        let mut found = Vec::new();
        for (at, sql) in ["BEGIN", "UPDATE t SET a = 'secret' WHERE id = 7"]
            .iter()
            .enumerate()
        {
            let profile = inspect(sql, &[], &Thresholds::default()).expect("valid");
            let seen = Observation {
                conn: 1,
                subject: Arc::new(Subject {
                    app: app.into(),
                    ..Subject::default()
                }),
                sent_us: at as u64 * 1000,
                done_us: at as u64 * 1000 + 1,
                event: Event::Executed(Execution {
                    known: Arc::new(Known {
                        text: Arc::from(sql.as_bytes()),
                        profile: Arc::new(profile),
                        ..Known::default()
                    }),
                    block: Block::Open,
                    ..Execution::default()
                }),
            };
            engine.observe(&seen, &mut found);
        }
        engine.tick(90 * SECOND, &mut found);
        found
    };
    let found = idle("till");
    let rules: Vec<&str> = found.iter().map(|one| one.hit.rule.id).collect();
    assert_eq!(rules, ["idle-in-transaction", "long-transaction"]);
    assert_eq!(found[0].hit.severity, Severity::Critical);
    let evidence = format!("{:?}", found[0].hit.evidence);
    assert!(evidence.contains("update t set a = ?"), "{evidence}");
    assert!(!evidence.contains("secret"), "{evidence}");
    for person in ["psql", "pgAdmin 4 - DB:shop", "DBeaver 24.1"] {
        let found = idle(person);
        assert_eq!(found[0].hit.severity, Severity::Info, "{person}");
    }
    assert_eq!(idle("psql").len(), 1, "nothing else of psql");
    assert!(idle("pg_dump").is_empty());
}

#[test]
fn waiting_for_a_server_is_not_its_time() {
    let slow = |wait_us: u64, server_us: u64| {
        let mut engine = Engine::default();
        let mut found = Vec::new();
        let run = Execution {
            known: Arc::new(Known {
                profile: Arc::new(
                    inspect(
                        "SELECT a FROM t WHERE b = $1",
                        &[],
                        &crate::lint::thresholds::Thresholds::default(),
                    )
                    .unwrap_or_default(),
                ),
                ..Known::default()
            }),
            wait_us,
            ..Execution::default()
        };
        let seen = Observation {
            conn: 1,
            subject: Arc::default(),
            sent_us: 5_000_000,
            done_us: 5_000_000 + server_us,
            event: Event::Executed(run),
        };
        engine.observe(&seen, &mut found);
        found.len()
    };
    assert_eq!(
        slow(2_000_000, 1_000_000),
        1,
        "the request was sent after it had waited"
    );
    assert_eq!(slow(2_000_000, 500_000), 0);
}

#[test]
fn a_scope_takes_a_few_kilobytes() {
    let mut engine = Engine::default();
    let mut found = Vec::new();
    let lookup = Arc::new(
        inspect(
            "SELECT name FROM users WHERE id = $1",
            &[],
            &Default::default(),
        )
        .expect("valid"),
    );
    let list = Arc::new(inspect("SELECT id FROM posts", &[], &Default::default()).expect("valid"));
    for conn in 0..10_000 {
        for n in 0..12 {
            let run = Execution {
                known: Arc::new(Known {
                    shape: u64::from(n > 0) + 1,
                    profile: Arc::clone(if n > 0 { &lookup } else { &list }),
                    ..Known::default()
                }),
                values: Values {
                    all: n,
                    ..Values::default()
                },
                rows: if n > 0 { 1 } else { 20 },
                batch: n as u32,
                ..Execution::default()
            };
            let seen = Observation {
                conn,
                subject: Arc::default(),
                sent_us: n * 2000,
                done_us: n * 2000 + 1000,
                event: Event::Executed(run),
            };
            engine.observe(&seen, &mut found);
        }
    }
    let loops = (found.iter()).filter(|one| one.hit.rule.id == "n-plus-one");
    assert_eq!(loops.count(), 10_000, "each has its loop");
    let each = engine.memory() / 10_000;
    println!("{} bytes for 10,000 scopes", engine.memory());
    assert!((1_000..8_192).contains(&each), "{each} bytes a scope");
}
