//! Statements that hit a rule, and their neighbours that do not.

use super::RULES;
use crate::lint::inspect::inspect;
use crate::lint::judge::hits;
use crate::sql::{self, Lexing};

/// Rule, and kind if it has any, of what this family says about a text.
fn found(text: &str) -> Vec<String> {
    let reading = sql::read(text.as_bytes(), Lexing::default());
    let profile = inspect(text, &reading.literals, &Default::default()).expect("the text parses");
    let mut found: Vec<String> = hits(&profile, text.as_bytes(), &reading, &[])
        .iter()
        .filter(|hit| RULES.contains(&hit.rule))
        .map(|hit| match hit.kind {
            "" => hit.rule.id.to_owned(),
            kind => format!("{}/{kind}", hit.rule.id),
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

fn check(text: &str, wanted: &[&str]) {
    assert_eq!(found(text), wanted, "{text}");
}

#[test]
fn stars_are_followed_to_tables() {
    let star = &["select-star"];
    check("TABLE users", star);
    check("SELECT x.* , 1 FROM (SELECT id FROM t) x", &[]);
    check(
        "SELECT * FROM (SELECT t.*, row_number() OVER () AS n FROM t) x WHERE n < 10",
        star,
    );
    check("WITH t AS (SELECT * FROM t) SELECT * FROM t", star);
    check("WITH t AS (SELECT id FROM t) SELECT * FROM t", &[]);
    check(
        "WITH RECURSIVE r AS (SELECT * FROM t WHERE id = 1 UNION ALL SELECT t.* FROM t JOIN r ON t.parent = r.id) SELECT * FROM r",
        star,
    );
    check("SELECT id FROM a UNION ALL SELECT * FROM b", star);
    check("DECLARE c CURSOR FOR SELECT * FROM t", star);
    check("SELECT * FROM generate_series(1, 3)", &[]);
    check("SELECT * FROM (VALUES (1)) v", &[]);
    check("SELECT count(*) FROM t", &[]);
    check("SELECT EXISTS (SELECT * FROM t WHERE id = 1)", &[]);
    check("SELECT t.* FROM t WHERE id = 1", &[]);
    check("CREATE TABLE a AS SELECT * FROM b", &[]);
    check("SELECT * INTO a FROM b", &[]);
    check(
        "WITH x AS (DELETE FROM t WHERE a RETURNING *) SELECT * FROM x",
        &[],
    );
}

#[test]
fn offsets_and_limits_are_judged_by_value() {
    check(
        "SELECT id FROM t ORDER BY id LIMIT 5 OFFSET 1000",
        &["deep-offset"],
    );
    check(
        "SELECT id FROM t ORDER BY id LIMIT 5 OFFSET '5000'::bigint",
        &["deep-offset"],
    );
    check("SELECT id FROM t ORDER BY id LIMIT 5 OFFSET 999", &[]);
    check(
        "SELECT id FROM t LIMIT 5",
        &["nondeterministic-order/limit"],
    );
    check(
        "SELECT id FROM t FETCH FIRST 5 ROWS ONLY",
        &["nondeterministic-order/limit"],
    );
    check(
        "SELECT a FROM t UNION ALL SELECT a FROM u LIMIT 5",
        &["nondeterministic-order/limit"],
    );
    check(
        "SELECT id FROM t LIMIT 1 OFFSET 3",
        &["nondeterministic-order/offset"],
    );
    check("SELECT id FROM t LIMIT 1 OFFSET 0", &[]);
    check("SELECT id FROM t LIMIT ALL", &[]);
    check("SELECT id FROM t LIMIT 21", &[]);
    check("SELECT a FROM t WHERE (t.id = 7 AND 1=1) LIMIT 5", &[]);
    check("SELECT count(*) FROM t LIMIT 5", &[]);
    check("SELECT id FROM jobs LIMIT 5 FOR UPDATE SKIP LOCKED", &[]);
    check(
        "SELECT id FROM (SELECT id FROM t ORDER BY id) s LIMIT 5",
        &[],
    );
    check("SELECT n FROM generate_series(1, 9) n LIMIT 5", &[]);
    check(
        "SELECT count(*) OVER () AS n, id FROM t LIMIT 5",
        &["nondeterministic-order/limit"],
    );
    check(
        "SELECT DISTINCT ON (a) a, b FROM t",
        &["nondeterministic-order/distinct-on"],
    );
    check("SELECT DISTINCT ON (a) a FROM t", &[]);
    check("SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b", &[]);
}

#[test]
fn sorting_by_chance_needs_a_table() {
    let random = &["order-by-random"];
    check(
        "SELECT id FROM t ORDER BY md5(random()::text) LIMIT 1",
        random,
    );
    check(
        "SELECT DISTINCT id, random() AS k FROM t ORDER BY k LIMIT 3",
        random,
    );
    check(
        "SELECT id FROM (SELECT id FROM t WHERE a) s ORDER BY random() LIMIT 3",
        random,
    );
    check(
        "SELECT id FROM (SELECT id FROM t ORDER BY id LIMIT 50) s ORDER BY random()",
        &[],
    );
    check(
        "SELECT id FROM t TABLESAMPLE SYSTEM (1) ORDER BY random() LIMIT 3",
        &[],
    );
    check(
        "SELECT n FROM generate_series(1, 9) n ORDER BY random()",
        &[],
    );
    check("SELECT id, random() FROM t ORDER BY id", &[]);
}

#[test]
fn counts_are_compared_with_nothing() {
    let count = &["count-for-existence"];
    check("SELECT 0 < count(*) FROM t WHERE a = 1", count);
    check("SELECT count(id) < 1 FROM t WHERE a = 1", count);
    check(
        "SELECT CASE WHEN count(*) = 0 THEN 'no' ELSE 'yes' END FROM t",
        count,
    );
    check(
        "SELECT u.id FROM u WHERE 1 <= (SELECT count(*) FROM o WHERE o.u = u.id)",
        count,
    );
    check(
        "SELECT u.id FROM u WHERE (SELECT count(*) FROM o WHERE o.u = u.id) > 1",
        &[],
    );
    check("SELECT count(*) > 1 FROM t", &[]);
    check("SELECT a, count(*) > 0 FROM t GROUP BY a", &[]);
    check("SELECT a FROM t GROUP BY a HAVING count(*) > 0", &[]);
    check("SELECT count(*) > 0, sum(a) FROM t", &[]);
    check("SELECT count(*) > 0 FROM (SELECT 1 FROM t LIMIT 1) s", &[]);
}

#[test]
fn duplicates_are_told_apart() {
    let distinct = &["distinct-hides-join"];
    check("SELECT DISTINCT a.* FROM a JOIN b ON b.a = a.id", distinct);
    check(
        "SELECT DISTINCT lower(a.x) FROM a, b WHERE b.a = a.id",
        distinct,
    );
    check("SELECT DISTINCT a.id, b.x FROM a JOIN b ON b.a = a.id", &[]);
    check(
        "SELECT DISTINCT ON (a.id) a.id FROM a JOIN b ON b.a = a.id",
        &[],
    );
    check(
        "SELECT DISTINCT 1 AS one FROM a JOIN b ON b.a = a.id LIMIT 1",
        &[],
    );
    check(
        "SELECT DISTINCT count(b.id), a.id FROM a JOIN b ON b.a = a.id GROUP BY a.id",
        &[],
    );
    let disjoint = &["union-without-all/disjoint"];
    check(
        "SELECT t.*, 'a' FROM t UNION SELECT u.*, 'b' FROM u",
        disjoint,
    );
    check(
        "SELECT 1, x FROM t UNION SELECT 2, x FROM u UNION SELECT 3, x FROM v",
        disjoint,
    );
    check(
        "SELECT 1, x FROM t UNION SELECT 2, x FROM u UNION SELECT 1, x FROM v",
        &["union-without-all/plain"],
    );
    check(
        "SELECT x FROM t UNION SELECT x FROM u",
        &["union-without-all/plain"],
    );
    check("SELECT x FROM t EXCEPT SELECT x FROM u", &[]);
    check(
        "WITH RECURSIVE r AS (SELECT id FROM t WHERE a UNION SELECT t.id FROM t JOIN r ON t.p = r.id) SELECT id FROM r",
        &[],
    );
}

#[test]
fn columns_and_joins_are_counted() {
    check("INSERT INTO t SELECT a FROM s", &["insert-without-columns"]);
    check("INSERT INTO t (a) VALUES (1)", &[]);
    check("INSERT INTO t DEFAULT VALUES", &[]);
    let joins = |n: usize| {
        let tables: Vec<String> = (0..n).map(|i| format!("t{i}")).collect();
        format!("SELECT t0.a FROM {}", tables.join(" NATURAL JOIN "))
    };
    check(&joins(8), &[]);
    check(&joins(9), &["too-many-joins"]);
}
