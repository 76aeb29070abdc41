use super::*;
use crate::lint::inspect::inspect;
use crate::lint::observe::Values;

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
        shape: sql.len() as u64,
        profile: Arc::new(inspect(sql, &[]).unwrap_or_default()),
        values: Values {
            all: value,
            ..Values::default()
        },
        value_rows: 1,
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
        event: Event::Executed(Box::new(run)),
    };
    engine.observe(&seen, &mut found);
    found.iter().map(|one| one.hit.rule.id).collect()
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
