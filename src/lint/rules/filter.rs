//! Rules about which rows a statement touches.

use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::rule::{Check, Rule, Severity};
use crate::lint::tree::{self, Clause, Verb};
use crate::rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[&MISSING_WHERE];

rule! {
    /// An UPDATE or DELETE that has no WHERE, or one that is always true, changes every row of the
    /// table; a SELECT … FOR UPDATE without WHERE and LIMIT locks every row.
    ///
    /// It is the most expensive typo there is: the rows are gone at COMMIT, and until then every
    /// other writer of the table waits.
    ///
    /// Not reported: temporary tables, WHERE CURRENT OF, ON CONFLICT DO UPDATE, MERGE.
    pub static MISSING_WHERE = {
        id: "missing-where",
        title: "UPDATE / DELETE / row lock without a restriction",
        number: 2,
        class: Shape,
        severity: Critical,
        enforce: Block,
        on: true,
        kinds: [
            ("update", "UPDATE without WHERE"),
            ("delete", "DELETE without WHERE"),
            ("update-trivial", "UPDATE whose WHERE is always true"),
            ("delete-trivial", "DELETE whose WHERE is always true"),
            ("select-for-update", "row lock on every row"),
        ],
        examples: [
            ("DELETE FROM sessions", "DELETE FROM sessions WHERE expires_at < now()"),
            ("UPDATE products SET price = 0 WHERE true", "UPDATE products SET price = 0 WHERE id = 7"),
        ],
        remedy: "Add a WHERE; for a full purge use TRUNCATE in maintenance or delete in batches of a few thousand by key.",
        sources: ["https://github.com/eradman/pg-safeupdate"],
        check: Check::Tree(missing_where),
    }
}

fn missing_where(cx: &mut Cx<'_, '_>) {
    for block in &cx.tree.blocks {
        let (kind, verb) = match block.verb {
            Verb::Update(_) => ("update", "UPDATE"),
            Verb::Delete(_) => ("delete", "DELETE"),
            _ => continue,
        };
        let Some(target) = block.relations.first().and_then(|r| r.table()) else {
            continue;
        };
        if block.clause(Clause::Where).next().is_none() && !tree::is_temporary(target) {
            let table = tree::table_name(target);
            let span = cx.token(target.location);
            cx.hit(
                Hit::new(
                    &MISSING_WHERE,
                    kind,
                    format!("This {verb} touches every row of {table}."),
                )
                .severity(Severity::Critical)
                .object(table)
                .at(span),
            );
        }
    }
}
