//! Removing duplicates: DISTINCT and UNION.

use pg_raw_parse::raw::SetOperation;
use pg_raw_parse::{ConstValue, Node};

use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::rule::{Check, Confidence};
use crate::lint::tree::{self, Block, Clause, Role, Source, Tree};
use crate::rule;

use super::reads;

rule! {
    /// A DISTINCT over a join of which one table gives no column to the result is there to undo
    /// what that join did: it multiplied the rows. The server builds them all, then sorts or hashes
    /// them away. EXISTS asks whether there is a match and makes no duplicates.
    ///
    /// Only reported if every output column says which table it is of.
    pub(super) static DISTINCT_HIDES_JOIN = {
        id: "distinct-hides-join",
        title: "DISTINCT hiding a fan-out join",
        number: 47,
        class: Shape,
        severity: Info,
        enforce: Block,
        on: true,
        examples: [
            (
                "SELECT DISTINCT u.id FROM users u JOIN orders o ON o.user_id = u.id WHERE o.status = 'paid'",
                "SELECT u.id FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id AND o.status = 'paid')"
            ),
        ],
        remedy: "Replace the join by EXISTS.",
        sources: ["https://github.com/jarulraj/sqlcheck"],
        check: Check::Tree(distinct_hides_join),
    }
}

fn distinct_hides_join(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    for (at, block) in tree.blocks.iter().enumerate() {
        let Some(select) = block.select() else {
            continue;
        };
        let plain = !select.distinct_clause().is_empty()
            && block.clause(Clause::DistinctOn).next().is_none();
        if !plain
            || block.relations.len() < 2
            || !select.group_clause().is_empty()
            || !matches!(select.having_clause(), Node::None)
        {
            continue;
        }
        let Some(shown) = shown(block) else { continue };
        let hidden = (block.relations.iter()).find_map(|relation| {
            if shown.contains(&relation.name) {
                return None;
            }
            match relation.source {
                Source::Table(_) => reads::base_table(tree, at, relation),
                _ => None,
            }
        });
        let Some(base) = hidden else { continue };
        let span = cx.token(base.location);
        cx.hit(
            Hit::new(
                &DISTINCT_HIDES_JOIN,
                "",
                format!(
                    "DISTINCT removes duplicates that joining {} created.",
                    base.name
                ),
            )
            .confidence(Confidence::Suspected)
            .object(base.name)
            .at(span),
        );
    }
}

/// The relations that the output columns name; `None` if that cannot be told or if it is not the
/// columns alone that decide which rows there are.
fn shown<'t>(block: &Block<'t>) -> Option<Vec<&'t str>> {
    let mut names = Vec::new();
    let mut clear = true;
    for target in block.clause(Clause::Target) {
        tree::walk(target, |inner| {
            match inner {
                Node::ColumnRef(_) => {
                    let table = match tree::star(inner) {
                        Some(table) => table,
                        None => tree::column(inner).and_then(|column| column.table),
                    };
                    match table {
                        Some(table) => names.push(table),
                        None => clear = false,
                    }
                }
                Node::SubLink(_) => clear = false,
                Node::FuncCall(call) if call.over().is_some() || reads::is_aggregate(call) => {
                    clear = false;
                }
                _ => {}
            }
            clear
        });
    }
    (clear && !names.is_empty()).then_some(names)
}

rule! {
    /// UNION sorts or hashes the rows of all arms to remove duplicates. If there can be none, or if
    /// they do not matter, UNION ALL gives the same rows at once and streams them.
    ///
    /// Kind disjoint: some column holds a different constant in every arm, so no row of one arm is
    /// in another. Kind plain is every other UNION; duplicates may well be meant to go, which is
    /// why it is off unless it is configured.
    ///
    /// Not reported: the UNION that stops a recursive query from running in circles.
    pub(super) static UNION_WITHOUT_ALL = {
        id: "union-without-all",
        title: "UNION where UNION ALL would do",
        number: 60,
        class: Shape,
        severity: Info,
        enforce: Block,
        on: false,
        kinds: [
            ("disjoint", "UNION of arms that have no row in common", on: true),
            ("plain", "UNION that may or may not remove anything"),
        ],
        examples: [
            (
                "SELECT id, 'order' AS kind FROM orders UNION SELECT id, 'invoice' AS kind FROM invoices",
                "SELECT id, 'order' AS kind FROM orders UNION ALL SELECT id, 'invoice' AS kind FROM invoices"
            ),
        ],
        remedy: "Use UNION ALL.",
        sources: ["https://www.postgresql.org/docs/current/queries-union.html"],
        check: Check::Tree(union_without_all),
    }
}

fn union_without_all(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    for (at, block) in tree.blocks.iter().enumerate() {
        // A chain is one finding: its topmost UNION speaks for those below.
        let below = (block.arm_of).is_some_and(|of| removes_duplicates(&tree.blocks[of]));
        if !removes_duplicates(block) || below || stops_cycles(tree, at) {
            continue;
        }
        let hit = if are_disjoint(cx, &union_arms(tree, at)) {
            Hit::new(
                &UNION_WITHOUT_ALL,
                "disjoint",
                "UNION sorts or hashes to remove duplicates that cannot exist between its arms.",
            )
        } else {
            Hit::new(
                &UNION_WITHOUT_ALL,
                "plain",
                "UNION sorts or hashes to remove duplicates.",
            )
            .confidence(Confidence::Suspected)
        };
        cx.hit(hit);
    }
}

fn removes_duplicates(block: &Block<'_>) -> bool {
    (block.select()).is_some_and(|s| s.op == SetOperation::SETOP_UNION && !s.all)
}

/// Whether the block is a recursive common table expression that names itself.
fn stops_cycles(tree: &Tree<'_>, at: usize) -> bool {
    tree.blocks[at].role == Role::Cte
        && (tree.blocks[at].parent).is_some_and(|parent| {
            (tree.blocks[parent].ctes.iter()).any(|&(_, of, recursive)| of == at && recursive)
        })
        && (tree
            .blocks
            .iter()
            .flat_map(|block| block.relations.iter().map(move |r| (block, r))))
        .any(|(block, relation)| {
            matches!(relation.source, Source::Cte(Some(of)) if of == at)
                && is_inside(tree, block, at)
        })
}

fn is_inside(tree: &Tree<'_>, block: &Block<'_>, of: usize) -> bool {
    let mut parent = block.parent;
    while let Some(index) = parent {
        if index == of {
            return true;
        }
        parent = tree.blocks[index].parent;
    }
    false
}

/// The arms of a chain of UNION; an INTERSECT or EXCEPT in it is an arm.
fn union_arms(tree: &Tree<'_>, at: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut waiting = vec![at];
    while let Some(index) = waiting.pop() {
        let is_union = (tree.blocks[index].select())
            .is_some_and(|select| select.op == SetOperation::SETOP_UNION);
        if is_union {
            waiting.extend(
                (tree.blocks.iter().enumerate())
                    // The two arms follow their operation: long chains stay cheap.
                    .skip(index + 1)
                    .filter(|(_, block)| block.arm_of == Some(index))
                    .take(2)
                    .map(|(arm, _)| arm),
            );
        } else {
            found.push(index);
        }
    }
    found
}

/// Whether some column holds a different constant in every arm. Columns are counted from the first
/// up to a star, and from the last back to one.
fn are_disjoint(cx: &mut Cx<'_, '_>, arms: &[usize]) -> bool {
    let lists: Vec<Vec<Node<'_>>> = (arms.iter())
        .map(|arm| cx.tree.blocks[*arm].clause(Clause::Target).collect())
        .collect();
    let is_star = |node: &Node<'_>| tree::star(*node).is_some();
    let front = (lists.iter())
        .map(|list| list.iter().take_while(|n| !is_star(n)).count())
        .min()
        .unwrap_or(0);
    let back = (lists.iter())
        .map(|list| list.iter().rev().take_while(|n| !is_star(n)).count())
        .min()
        .unwrap_or(0);
    let mut columns: Vec<Vec<Node<'_>>> = Vec::new();
    columns.extend((0..front).map(|i| lists.iter().map(|list| list[i]).collect()));
    columns.extend((0..back).map(|i| lists.iter().map(|list| list[list.len() - 1 - i]).collect()));
    columns.into_iter().any(|column| {
        // Literals are read only where every arm has one.
        if !column.iter().all(|node| cx.is_constant(*node)) {
            return false;
        }
        let mut values: Vec<String> = (column.iter())
            .map(|node| match cx.constant(*node).flatten() {
                None => "null".to_owned(),
                Some(ConstValue::Integer(n)) => format!("={n}"),
                Some(ConstValue::Float(text) | ConstValue::String(text)) => format!("={text}"),
                Some(ConstValue::Boolean(flag)) => format!("={flag}"),
                Some(other) => format!("{other:?}"),
            })
            .collect();
        values.sort_unstable();
        values.windows(2).all(|pair| pair[0] != pair[1])
    })
}
