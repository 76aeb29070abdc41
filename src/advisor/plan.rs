//! What EXPLAIN said: as lines for people, and the sequential scan that an index would spare.

use std::collections::HashMap;

use serde_json::Value;

use crate::lint::facts::Facts;
use crate::lint::hit::Hit;
use crate::lint::rules::catalogue::SEQ_SCAN_LARGE_TABLE;
use crate::sql::{self, Lexing};

/// Deepest plan that is looked at.
const DEEPEST: usize = 64;
/// Most lines of a plan that are kept, and their longest, in bytes.
const LINES: usize = 100;
/// See [`LINES`].
const LONGEST: usize = 300;
/// From this share of a table on, reading all of it may well be right.
const KEPT: f64 = 0.1;

/// Rows of the large tables, by schema and name.
pub type Large = HashMap<(String, String), f64>;

/// The plan's root in the answer to `EXPLAIN (FORMAT JSON)`.
#[must_use]
pub fn root(answer: &str) -> Option<Value> {
    let mut answer: Value = serde_json::from_str(answer).ok()?;
    Some(answer.get_mut(0)?.get_mut("Plan")?.take())
}

/// The plan, a line for each node, without any literal of the statement.
#[must_use]
pub fn lines(root: &Value) -> Vec<Box<str>> {
    let mut lines = Vec::new();
    node(root, 0, &mut lines);
    lines
}

fn text<'a>(node: &'a Value, key: &str) -> &'a str {
    node.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(node: &Value, key: &str) -> f64 {
    node.get(key).and_then(Value::as_f64).unwrap_or_default()
}

fn node(plan: &Value, depth: usize, lines: &mut Vec<Box<str>>) {
    if depth > DEEPEST || lines.len() >= LINES {
        return;
    }
    let mut line = "  ".repeat(depth);
    line.push_str(text(plan, "Node Type"));
    for (key, word) in [("Index Name", "using"), ("Relation Name", "on")] {
        let name = text(plan, key);
        if !name.is_empty() {
            line.push_str(&format!(" {word} {name}"));
        }
    }
    line.push_str(&format!(
        " (cost={:.2}..{:.2} rows={:.0})",
        number(plan, "Startup Cost"),
        number(plan, "Total Cost"),
        number(plan, "Plan Rows")
    ));
    for key in [
        "Index Cond",
        "Hash Cond",
        "Merge Cond",
        "Join Filter",
        "Filter",
    ] {
        let condition = text(plan, key);
        if !condition.is_empty() {
            let shape = sql::normalised(condition.as_bytes(), Lexing::default());
            line.push_str(&format!(" {key}: {}", String::from_utf8_lossy(&shape)));
        }
    }
    let end = (0..=LONGEST.min(line.len()))
        .rev()
        .find(|&end| line.is_char_boundary(end));
    line.truncate(end.unwrap_or_default());
    lines.push(line.into());
    for child in plan
        .get("Plans")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        node(child, depth + 1, lines);
    }
}

/// A sequential scan that reads much and keeps little.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Schema of the table.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Its rows.
    pub rows: f64,
    /// Rows that the scan keeps, as estimated or as counted, whichever is more.
    pub kept: f64,
}

/// The worst such scan of a plan. `mean_rows` is what the statement returned or changed on average.
#[must_use]
pub fn scan(root: &Value, large: &Large, mean_rows: f64) -> Option<Scan> {
    let mut found = Vec::new();
    scans(root, 1.0, 0, large, mean_rows, &mut found);
    found.into_iter().max_by(|a, b| a.rows.total_cmp(&b.rows))
}

fn scans(
    plan: &Value,
    share: f64,
    depth: usize,
    large: &Large,
    mean_rows: f64,
    found: &mut Vec<Scan>,
) {
    if depth > DEEPEST {
        return;
    }
    // Below a Gather estimates are one process's; the leader helps a little.
    let workers = number(plan, "Workers Planned");
    let share = match workers >= 1.0 {
        true => workers + (1.0 - 0.3 * workers).max(0.0),
        false => share,
    };
    let name = (
        text(plan, "Schema").to_owned(),
        text(plan, "Relation Name").to_owned(),
    );
    if text(plan, "Node Type") == "Seq Scan"
        && !text(plan, "Filter").is_empty()
        && let Some(&rows) = large.get(&name)
    {
        let parallel = plan.get("Parallel Aware") == Some(&Value::Bool(true));
        let estimated = number(plan, "Plan Rows") * if parallel { share } else { 1.0 };
        let kept = estimated.max(mean_rows);
        if kept < rows * KEPT {
            let (schema, table) = name;
            found.push(Scan {
                schema,
                table,
                rows,
                kept,
            });
        }
    }
    for child in plan
        .get("Plans")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        scans(child, share, depth + 1, large, mean_rows, found);
    }
}

/// The finding about a scan of a statement with these facts.
#[must_use]
pub fn hit(scan: &Scan, facts: Option<&Facts>) -> Hit {
    let Scan {
        schema,
        table,
        rows,
        kept,
    } = scan;
    let message = format!(
        "Its plan reads {rows:.0} rows of {schema}.{table} from end to end to keep about {kept:.0}."
    );
    let hit = Hit::new(&SEQ_SCAN_LARGE_TABLE, "", message)
        .object(format!("{schema}.{table}"))
        .evidence("table_rows", *rows)
        .evidence("kept_rows", *kept);
    let columns = facts.map(|facts| columns(facts, table)).unwrap_or_default();
    match columns.is_empty() {
        true => hit,
        false => {
            let list = columns.join(", ");
            let on = format!("{}.{}", quoted(schema), quoted(table));
            hit.evidence("columns", list.as_str())
                .suggest_sql(format!("CREATE INDEX CONCURRENTLY ON {on} ({list})"))
        }
    }
}

/// The columns of a table that the statement compares with one value.
fn columns(facts: &Facts, table: &str) -> Vec<String> {
    let alone = facts.reads.len() + facts.writes.len() == 1;
    let mut columns: Vec<String> = Vec::new();
    for key in &facts.bare_keys {
        let column = match key.rsplit_once('.') {
            Some((of, column)) if of == table => column,
            None if alone => &**key,
            _ => continue,
        };
        let column = quoted(column);
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns
}

/// A name as SQL needs it.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    match name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && name.chars().all(plain)
    {
        // Some of these are words of SQL; the finding checks that its suggestion parses.
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::inspect::inspect;

    fn large() -> Large {
        HashMap::from([(("public".to_owned(), "child".to_owned()), 200_000.0)])
    }

    fn seq_scan(rows: u64, filter: &str) -> String {
        format!(
            r#"{{"Node Type":"Seq Scan","Parallel Aware":false,"Schema":"public","Relation Name":"child","Startup Cost":0,"Total Cost":3700.5,"Plan Rows":{rows},"Filter":"{filter}"}}"#
        )
    }

    fn plan(node: &str) -> Value {
        root(&format!(r#"[{{"Plan":{node}}}]"#)).expect("a plan")
    }

    #[test]
    fn a_scan_that_keeps_little_is_found_wherever_it_is() {
        let below = format!(
            r#"{{"Node Type":"Limit","Plan Rows":1,"Plans":[{}]}}"#,
            seq_scan(10, "(parent_id = $1)")
        );
        for text in [seq_scan(10, "(parent_id = $1)"), below] {
            let found = scan(&plan(&text), &large(), 9.5).expect("a scan");
            assert_eq!((found.rows, found.kept), (200_000.0, 10.0));
        }
    }

    #[test]
    fn what_keeps_much_or_needs_everything_is_none() {
        let odd = plan(&seq_scan(1000, "((id % 2) = 0)"));
        // The planner thinks of few rows; what was counted knows better.
        assert_eq!(scan(&odd, &large(), 100_000.0), None);
        assert_eq!(scan(&plan(&seq_scan(50_000, "x")), &large(), 1.0), None);
        assert_eq!(scan(&plan(&seq_scan(200_000, "")), &large(), 1.0), None);
        let small = plan(&seq_scan(1, "x").replace("child", "tiny"));
        assert_eq!(scan(&small, &large(), 1.0), None);
    }

    #[test]
    fn a_parallel_scan_is_summed_up() {
        let node = format!(
            r#"{{"Node Type":"Gather","Workers Planned":2,"Plans":[{}]}}"#,
            seq_scan(9000, "x").replace("false", "true")
        );
        assert_eq!(scan(&plan(&node), &large(), 1.0), None);
        let node = node.replace("9000", "100");
        let found = scan(&plan(&node), &large(), 1.0).expect("a scan");
        assert!((found.kept - 240.0).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn lines_hold_no_literal() {
        let lines = lines(&plan(&seq_scan(10, "((ssn)::text = '123-45'::text)")));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("Seq Scan on child (cost=0.00..3700.50 rows=10) Filter: "));
        assert!(!lines[0].contains("123"), "{}", lines[0]);
    }

    #[test]
    fn the_columns_compared_make_the_index() {
        let found = scan(&plan(&seq_scan(10, "x")), &large(), 1.0).expect("a scan");
        let suggested = |text: &str| {
            let profile = inspect(text, &[], &Default::default()).expect("parses");
            hit(&found, profile.facts.first()).suggestion.sql
        };
        assert_eq!(
            suggested("SELECT id FROM child WHERE parent_id = $1 AND v = 'x'").as_deref(),
            Some("CREATE INDEX CONCURRENTLY ON public.child (parent_id, v)")
        );
        assert_eq!(suggested("SELECT id FROM child WHERE id % 2 = 0"), None);
    }

    #[test]
    fn odd_answers_are_harmless() {
        for text in ["", "[]", "[{}]", "{}", "[{\"Plan\":7}]"] {
            if let Some(root) = root(text) {
                assert_eq!(scan(&root, &large(), 1.0), None);
                assert!(lines(&root).len() <= 1);
            }
        }
    }
}
