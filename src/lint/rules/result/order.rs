//! Sorting by chance.

use pg_raw_parse::{ConstValue, Node, nodes};

use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::rule::Check;
use crate::lint::tree::{self, Block};
use crate::rule;

use super::reads;

rule! {
    /// ORDER BY random() gives every row that the WHERE lets through a random key and sorts them
    /// all, to keep a few. No index can help, and the time grows with the table.
    ///
    /// Not reported: random rows out of a list, of generate_series, of a sample (TABLESAMPLE) or of
    /// a subquery that has a LIMIT.
    pub(super) static ORDER_BY_RANDOM = {
        id: "order-by-random",
        title: "ORDER BY random()",
        number: 34,
        class: Shape,
        severity: Warn,
        enforce: Block,
        on: true,
        examples: [
            ("SELECT id FROM quotes ORDER BY random() LIMIT 1", "SELECT id FROM quotes TABLESAMPLE SYSTEM_ROWS(1)"),
        ],
        remedy: "Use TABLESAMPLE, look for the next key after a random one, or keep a column that is shuffled beforehand.",
        sources: ["https://www.postgresql.org/docs/current/sql-select.html#SQL-FROM"],
        check: Check::Tree(order_by_random),
    }
}

fn order_by_random(cx: &mut Cx<'_, '_>) {
    for (at, block) in cx.tree.blocks.iter().enumerate() {
        let Some(call) = random_sort(cx, block) else {
            continue;
        };
        let Some(table) = reads::unlimited_table(cx.tree, at) else {
            continue;
        };
        let span = cx.token(call.location);
        cx.hit(
            Hit::new(
                &ORDER_BY_RANDOM,
                "",
                format!("This sorts every candidate row of {table} by a random key."),
            )
            .object(table)
            .at(span),
        );
    }
}

/// A random function in what something of the block is sorted by.
fn random_sort<'t>(cx: &mut Cx<'_, 't>, block: &Block<'t>) -> Option<&'t nodes::FuncCall> {
    let mut keys = Vec::new();
    for (_, node) in &block.exprs {
        // ORDER BY itself, and the one in a window or an aggregate.
        tree::walk(*node, |inner| {
            if let Node::SortBy(sort) = inner {
                keys.push(sort.node());
            }
            true
        });
    }
    for key in keys {
        if let Some(call) = random(key) {
            return Some(call);
        }
        if let Some(call) = output(cx, block, key).and_then(random) {
            return Some(call);
        }
    }
    None
}

/// The output column that a sort key names: by its alias or its position. Django sorts so when it
/// wants DISTINCT too.
fn output<'t>(cx: &mut Cx<'_, 't>, block: &Block<'t>, key: Node<'t>) -> Option<Node<'t>> {
    let select = block.select()?;
    // A position is looked at only if it can matter.
    if !(select.target_list().iter()).any(|target| random(target.val()).is_some()) {
        return None;
    }
    if let Node::A_Const(_) = key {
        let Some(Some(ConstValue::Integer(position))) = cx.constant(key) else {
            return None;
        };
        let index = usize::try_from(position).ok()?.checked_sub(1)?;
        return Some(select.target_list().iter().nth(index)?.val());
    }
    let column = tree::column(key).filter(|column| column.table.is_none())?;
    (select.target_list().iter())
        .find(|target| target.name() == Some(column.name))
        .map(|target| target.val())
}

fn random(node: Node<'_>) -> Option<&nodes::FuncCall> {
    let mut found = None;
    tree::walk(node, |inner| {
        if let Node::FuncCall(call) = inner {
            // The functions of uuid-ossp live in any schema.
            let name = (call.funcname().iter().next_back()).and_then(|part| part.as_str());
            if found.is_none()
                && matches!(
                    name,
                    Some("random" | "gen_random_uuid" | "uuid_generate_v4" | "uuidv4")
                )
            {
                found = Some(call);
            }
        }
        found.is_none()
    });
    found
}
