//! Rules about which rows a statement touches.

pub(in crate::lint::rules) mod fold;
mod join;
mod null;
mod predicate;

use pg_raw_parse::raw::LockClauseStrength;
use pg_raw_parse::{Node, nodes};

use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::rule::{Check, Rule, Severity};
use crate::lint::tree::{self, Block, Clause, Verb};
use crate::rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[
    &MISSING_WHERE,
    &null::NOT_IN_SUBQUERY,
    &join::CARTESIAN_JOIN,
    &predicate::NON_SARGABLE_PREDICATE,
    &predicate::LEADING_WILDCARD_LIKE,
    &predicate::LARGE_IN_LIST,
    &null::OPTIONAL_FILTER_OR,
    &null::NULL_COMPARISON,
];

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
    let tree = cx.tree;
    for block in &tree.blocks {
        let (bare, trivial, verb) = match block.verb {
            Verb::Update(_) => ("update", "update-trivial", "UPDATE"),
            Verb::Delete(_) => ("delete", "delete-trivial", "DELETE"),
            Verb::Select(select) => {
                row_lock(cx, block, select);
                continue;
            }
            _ => continue,
        };
        let Some(target) = block.relations.first().and_then(|r| r.table()) else {
            continue;
        };
        if tree::is_temporary(target) {
            continue;
        }
        let kind = match block.clause(Clause::Where).next() {
            None => bare,
            Some(condition) if fold::fold(cx, condition) == Some(true) => trivial,
            Some(_) => continue,
        };
        let table = tree::table_name(target);
        let span = cx.token(target.location);
        let message = format!("This {verb} touches every row of {table}.");
        cx.hit(
            Hit::new(&MISSING_WHERE, kind, message)
                .object(table)
                .at(span),
        );
    }
}

fn row_lock(cx: &mut Cx<'_, '_>, block: &Block<'_>, select: &nodes::SelectStmt) {
    let locks = select.locking_clause().iter().any(|clause| {
        let clause: Node<'_> = clause.into();
        matches!(clause, Node::LockingClause(lock) if matches!(
            lock.strength,
            LockClauseStrength::LCS_FORUPDATE | LockClauseStrength::LCS_FORNOKEYUPDATE
        ))
    });
    let limited = !matches!(select.limit_count(), Node::None);
    if !locks || limited || block.clause(Clause::Where).next().is_some() {
        return;
    }
    let Some(table) = block.tables().find(|table| !tree::is_temporary(table)) else {
        return;
    };
    let name = tree::table_name(table);
    let span = cx.token(table.location);
    let message = format!("This SELECT locks every row of {name}.");
    cx.hit(
        Hit::new(&MISSING_WHERE, "select-for-update", message)
            .severity(Severity::Warn)
            .object(name)
            .at(span),
    );
}
