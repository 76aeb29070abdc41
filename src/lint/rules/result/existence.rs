//! Counting where one row would do.

use pg_raw_parse::raw::SubLinkType;
use pg_raw_parse::{Node, nodes};

use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::profile::Test;
use crate::lint::rule::Check;
use crate::lint::tree::{self, Clause};
use crate::rule;

use super::reads;

rule! {
    /// A count that is compared with 0 (or `>= 1`, `< 1`) visits every row that matches, although
    /// the first decides. EXISTS stops there.
    ///
    /// Not reported: other thresholds, flags for each group, counts next to other aggregates, and
    /// counts that are only returned.
    pub(super) static COUNT_FOR_EXISTENCE = {
        id: "count-for-existence",
        title: "count(*) used as an existence test",
        number: 37,
        class: Shape,
        severity: Info,
        enforce: Block,
        on: true,
        examples: [
            (
                "SELECT count(*) > 0 FROM users WHERE email = $1",
                "SELECT EXISTS (SELECT 1 FROM users WHERE email = $1)"
            ),
            (
                "SELECT u.id FROM users u WHERE (SELECT count(*) FROM orders o WHERE o.user_id = u.id) = 0",
                "SELECT u.id FROM users u WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id)"
            ),
        ],
        remedy: "Use EXISTS (SELECT 1 …).",
        sources: ["https://www.postgresql.org/docs/current/functions-subquery.html#FUNCTIONS-SUBQUERY-EXISTS"],
        check: Check::Tree(count_for_existence),
    }
}

fn count_for_existence(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    for (at, block) in tree.blocks.iter().enumerate() {
        let grouped = block.clause(Clause::GroupBy).next().is_some();
        // Whether the list holds more counts than those that are compared, or other aggregates: then
        // all rows are needed anyway.
        let mut compared = Vec::new();
        let mut aggregates = 0;
        for (clause, node) in &block.exprs {
            tree::walk(*node, |inner| {
                match inner {
                    Node::A_Expr(expr) => {
                        if let Some((what, test, value)) = comparison(expr) {
                            compared.push((*clause, what, test, value, inner));
                        }
                    }
                    Node::FuncCall(call) if reads::is_aggregate(call) => {
                        aggregates += usize::from(*clause == Clause::Target);
                    }
                    _ => {}
                }
                true
            });
        }
        let counts = (compared.iter())
            .filter(|(clause, what, ..)| *clause == Clause::Target && matches!(what, Counted::Here))
            .count();
        // One value tested in two ways appears twice in the list.
        let alone = aggregates <= counts;
        for (clause, what, test, value, node) in compared {
            let table = match what {
                Counted::Here if clause == Clause::Target && !grouped && alone => {
                    reads::unlimited_table(tree, at)
                }
                Counted::Here => None,
                Counted::Below(select) => (tree.blocks.iter())
                    .position(|b| b.select().is_some_and(|s| std::ptr::eq(s, select)))
                    .and_then(|below| reads::unlimited_table(tree, below)),
            };
            let Some(table) = table else { continue };
            let span = cx.span(node);
            cx.when(
                value,
                test,
                Hit::new(
                    &COUNT_FOR_EXISTENCE,
                    "",
                    format!(
                        "This counts all matching rows of {table} to learn whether there is one."
                    ),
                )
                .object(table)
                .at(span),
            );
        }
    }
}

/// Whose rows are counted.
#[derive(Clone, Copy)]
enum Counted<'t> {
    /// Those of the block around it.
    Here,
    /// Those of this scalar subquery.
    Below(&'t nodes::SelectStmt),
}

/// A count on one side of a comparison that asks whether there is a row, if the value on the other
/// side meets the test.
fn comparison<'t>(expr: &'t nodes::A_Expr) -> Option<(Counted<'t>, Test, Node<'t>)> {
    if !tree::is_plain_operator(expr) {
        return None;
    }
    let operator = tree::operator(expr);
    let (counted, value, operator) = match counted(expr.lexpr()) {
        Some(counted) => (counted, expr.rexpr(), operator),
        None => {
            let turned = match operator {
                "<" => ">",
                ">" => "<",
                "<=" => ">=",
                ">=" => "<=",
                same => same,
            };
            (counted(expr.rexpr())?, expr.lexpr(), turned)
        }
    };
    let test = match operator {
        ">" | "=" | "<>" | "<=" => Test::Exactly(0),
        ">=" | "<" => Test::Exactly(1),
        _ => return None,
    };
    Some((counted, test, value))
}

fn counted<'t>(node: Node<'t>) -> Option<Counted<'t>> {
    match tree::without_casts(node) {
        Node::FuncCall(call) if is_count(call) => Some(Counted::Here),
        Node::SubLink(link) if link.sub_link_type == SubLinkType::EXPR_SUBLINK => {
            let Node::SelectStmt(select) = link.subselect() else {
                return None;
            };
            let mut targets = select.target_list().iter();
            let target = targets.next()?.val();
            let plain = targets.next().is_none()
                && select.group_clause().is_empty()
                && matches!(select.having_clause(), Node::None);
            match tree::without_casts(target) {
                Node::FuncCall(call) if plain && is_count(call) => Some(Counted::Below(select)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_count(call: &nodes::FuncCall) -> bool {
    tree::function(call) == Some("count")
        && call.over().is_none()
        && matches!(call.agg_filter(), Node::None)
}
