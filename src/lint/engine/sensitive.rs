//! Many rows with columns that nobody should collect.

use super::super::facts::Facts;
use super::super::hit::Hit;
use super::super::observe::Execution;
use super::super::registry;
use super::super::sensitive::Sensitive;

const ENOUGH: u64 = 100;

/// The hit of `bulk-sensitive-read`.
pub(super) fn read(run: &Execution, facts: &Facts, sensitive: &Sensitive) -> Option<Hit> {
    if run.rows < ENOUGH {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    let tables = || facts.reads.iter().map(|table| &**table);
    let sent = run
        .result_columns()
        .into_iter()
        .flat_map(|columns| columns.iter());
    for name in sent {
        if !names.contains(&&**name) && sensitive.covers(tables(), name) {
            names.push(name);
        }
    }
    // An alias does not hide a column: the text tells what it is, and often of which table.
    for output in &facts.outputs {
        let own = [&*output.table];
        let covered = match &*output.table {
            "" => sensitive.covers(tables(), &output.column),
            _ => sensitive.covers(own, &output.column),
        };
        if covered && !output.column.is_empty() && !names.contains(&&*output.column) {
            names.push(&output.column);
        }
    }
    if names.is_empty() {
        return None;
    }
    let rule = registry::find("bulk-sensitive-read")?;
    let columns = names.join(", ");
    let text = format!("{} rows with {columns} were sent.", run.rows);
    let hit = Hit::new(rule, "", text)
        .evidence("rows", run.rows)
        .evidence("columns", columns);
    Some(hit)
}
