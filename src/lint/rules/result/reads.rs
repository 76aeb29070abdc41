//! What a block reads: base tables, directly or through what it selects from.

use pg_raw_parse::{Node, nodes};

use crate::lint::tree::{self, Block, Relation, Source, Tree};

/// The table of the database that a relation is. A common table expression that is not recursive
/// does not see itself: its name inside it means the table.
pub(super) fn base_table(tree: &Tree<'_>, at: usize, relation: &Relation<'_>) -> Option<Base> {
    match relation.source {
        Source::Table(table) if !tree::is_system(table) => Some(Base {
            name: tree::table_name(table),
            location: table.location,
        }),
        Source::Cte(Some(cte)) if hides_table(tree, at, cte) => Some(Base {
            name: relation.name.to_owned(),
            location: relation.location,
        }),
        _ => None,
    }
}

/// See [`base_table`].
pub(super) struct Base {
    /// Its name as written.
    pub name: String,
    /// Byte in the text, or -1.
    pub location: i32,
}

/// Whether the block `at` is inside of the common table expression `cte`, which is not recursive.
fn hides_table(tree: &Tree<'_>, at: usize, cte: usize) -> bool {
    let mut block = Some(at);
    while let Some(index) = block {
        if index == cte {
            let recursive = (tree.blocks[cte].parent).is_some_and(|parent| {
                (tree.blocks[parent].ctes.iter()).any(|&(_, of, recursive)| of == cte && recursive)
            });
            return !recursive;
        }
        block = tree.blocks[index].parent;
    }
    false
}

/// The blocks whose rows a block gives: itself, or the arms of a set operation.
pub(super) fn arms(tree: &Tree<'_>, at: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut waiting = vec![at];
    while let Some(index) = waiting.pop() {
        let before = waiting.len();
        if tree.blocks.get(index).is_some_and(Block::is_set_operation) {
            waiting.extend(
                (tree.blocks.iter().enumerate())
                    // The two arms follow their operation: long chains stay cheap.
                    .skip(index + 1)
                    .filter(|(_, block)| block.arm_of == Some(index))
                    .take(2)
                    .map(|(arm, _)| arm),
            );
            waiting[before..].reverse();
        } else {
            found.push(index);
        }
    }
    found
}

/// A base table of which a block reads as many rows as there are: not sampled, and not through a
/// subquery that has a LIMIT.
pub(super) fn unlimited_table(tree: &Tree<'_>, at: usize) -> Option<String> {
    let mut seen = vec![at];
    let mut next = 0;
    while let Some(&index) = seen.get(next) {
        next += 1;
        let Some(block) = tree.blocks.get(index) else {
            continue;
        };
        for relation in &block.relations {
            if relation.sampled {
                continue;
            }
            if let Some(base) = base_table(tree, index, relation) {
                return Some(base.name);
            }
            let (Source::Subquery(below) | Source::Cte(Some(below))) = relation.source else {
                continue;
            };
            let limited = (tree.blocks.get(below))
                .is_some_and(|b| b.select().is_some_and(|s| !is_absent(s.limit_count())));
            if limited {
                continue;
            }
            for arm in arms(tree, below) {
                if !seen.contains(&arm) {
                    seen.push(arm);
                }
            }
        }
    }
    None
}

/// Whether there is no LIMIT, or one that says ALL.
pub(super) fn is_absent(limit: Node<'_>) -> bool {
    match limit {
        Node::None => true,
        Node::A_Const(literal) => literal.val().is_none(),
        _ => false,
    }
}

/// Whether `call` is an aggregate, as far as its text shows: not a window function.
pub(super) fn is_aggregate(call: &nodes::FuncCall) -> bool {
    if call.over().is_some() {
        return false;
    }
    call.agg_star
        || call.agg_distinct
        || call.agg_within_group
        || !call.agg_order().is_empty()
        || !matches!(call.agg_filter(), Node::None)
        || tree::function(call).is_some_and(|name| {
            matches!(
                name,
                "count"
                    | "sum"
                    | "avg"
                    | "min"
                    | "max"
                    | "array_agg"
                    | "string_agg"
                    | "json_agg"
                    | "jsonb_agg"
                    | "json_object_agg"
                    | "jsonb_object_agg"
                    | "xmlagg"
                    | "bool_and"
                    | "bool_or"
                    | "every"
                    | "any_value"
                    | "bit_and"
                    | "bit_or"
                    | "bit_xor"
                    | "stddev"
                    | "stddev_pop"
                    | "stddev_samp"
                    | "variance"
                    | "var_pop"
                    | "var_samp"
                    | "corr"
                    | "range_agg"
                    | "st_extent"
                    | "st_collect"
            )
        })
}

/// Whether an expression holds an aggregate of its own block.
pub(super) fn has_aggregate(node: Node<'_>) -> bool {
    let mut found = false;
    tree::walk(node, |inner| {
        found |= matches!(inner, Node::FuncCall(call) if is_aggregate(call));
        !found
    });
    found
}
