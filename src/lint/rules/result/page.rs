//! LIMIT and OFFSET.

use pg_raw_parse::Node;

use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::profile::Test;
use crate::lint::rule::{Check, Severity};
use crate::lint::tree::{self, Block, Clause, Role, Wrapper};
use crate::rule;

use super::reads;

rule! {
    /// OFFSET n makes the server read n rows, perhaps sort them, and throw them away. Page 1000
    /// costs a thousand times what page 1 costs, and rows that come in between make pages overlap.
    ///
    /// Prisma and Hibernate send an OFFSET with every query, usually 0: the value decides, in the
    /// text or bound, from 1000 on.
    pub(super) static DEEP_OFFSET = {
        id: "deep-offset",
        title: "Deep OFFSET pagination",
        number: 6,
        class: Shape,
        severity: Warn,
        enforce: AtBind,
        on: true,
        examples: [
            (
                "SELECT id FROM users ORDER BY id LIMIT 10 OFFSET 1000000",
                "SELECT id FROM users WHERE id > $1 ORDER BY id LIMIT 10"
            ),
        ],
        remedy: "Page by key: WHERE (sort_key, id) < ($1, $2) ORDER BY sort_key DESC, id DESC LIMIT n.",
        sources: ["https://use-the-index-luke.com/no-offset"],
        check: Check::Tree(deep_offset),
    }
}

fn deep_offset(cx: &mut Cx<'_, '_>) {
    let deep = i64::try_from(cx.thresholds.offset).unwrap_or(i64::MAX);
    for block in &cx.tree.blocks {
        for offset in block.clause(Clause::Offset) {
            let span = cx.span(offset);
            cx.when(
                offset,
                Test::AtLeast(deep),
                Hit::new(
                    &DEEP_OFFSET,
                    "",
                    format!(
                        "OFFSET {deep} or more: PostgreSQL reads and discards all those rows first."
                    ),
                )
                .at(span),
            );
        }
    }
}

rule! {
    /// Without ORDER BY, a LIMIT above 1 or an OFFSET returns whichever rows the plan meets first.
    /// Another plan, a VACUUM or a parallel scan returns others, and pages overlap or leave rows
    /// out. DISTINCT ON without ORDER BY keeps any row of each group.
    ///
    /// Not reported: LIMIT 1, the LIMIT 21 of Django's get(), a key that is looked up, ungrouped
    /// aggregates, FOR UPDATE (a queue takes what it gets), limits in subqueries.
    pub(super) static NONDETERMINISTIC_ORDER = {
        id: "nondeterministic-order",
        title: "LIMIT or DISTINCT ON without ORDER BY",
        number: 46,
        class: Shape,
        severity: Info,
        enforce: Block,
        on: true,
        kinds: [
            ("limit", "LIMIT without ORDER BY"),
            ("offset", "OFFSET without ORDER BY: pages overlap"),
            ("distinct-on", "DISTINCT ON without ORDER BY"),
        ],
        examples: [
            ("SELECT id, title FROM articles LIMIT 20", "SELECT id, title FROM articles ORDER BY id LIMIT 20"),
            (
                "SELECT DISTINCT ON (user_id) user_id, total FROM orders",
                "SELECT DISTINCT ON (user_id) user_id, total FROM orders ORDER BY user_id, created_at DESC"
            ),
        ],
        remedy: "Add an ORDER BY that ends with a unique key.",
        sources: ["https://www.postgresql.org/docs/current/queries-limit.html"],
        check: Check::Tree(nondeterministic_order),
    }
}

fn nondeterministic_order(cx: &mut Cx<'_, '_>) {
    limits(cx);
    distinct_on(cx);
}

fn limits(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    if matches!(tree.wrapper, Wrapper::View | Wrapper::TableAs) {
        return;
    }
    let Some(block) = tree.blocks.first() else {
        return;
    };
    let Some(select) = block.select() else {
        return;
    };
    let limit = select.limit_count();
    if reads::is_absent(limit) || !select.sort_clause().is_empty() {
        return;
    }
    let mut object = None;
    for arm in reads::arms(tree, 0) {
        let arm_block = &tree.blocks[arm];
        let claims = (arm_block.select()).is_some_and(|s| !s.locking_clause().is_empty());
        if claims || is_lookup(cx, arm_block) || is_single_row(arm_block) {
            return;
        }
        object = object.or_else(|| {
            (arm_block.relations.iter())
                .filter(|relation| !relation.sampled)
                .find_map(|relation| reads::base_table(tree, arm, relation))
        });
    }
    if !select.locking_clause().is_empty() {
        return;
    }
    let Some(table) = object.map(|base| base.name) else {
        return;
    };
    let span = cx.span(limit);
    cx.when(
        limit,
        Test::OpenLimit,
        Hit::new(
            &NONDETERMINISTIC_ORDER,
            "limit",
            format!("Without ORDER BY it is not defined which rows of {table} are returned."),
        )
        .object(table.clone())
        .at(span),
    );
    let offset = select.limit_offset();
    if !matches!(offset, Node::None) {
        let span = cx.span(offset);
        cx.when(
            offset,
            Test::AtLeast(1),
            Hit::new(
                &NONDETERMINISTIC_ORDER,
                "offset",
                format!(
                    "Without ORDER BY it is not defined which rows of {table} are returned; pages overlap."
                ),
            )
            .severity(Severity::Warn)
            .object(table)
            .at(span),
        );
    }
}

/// Whether a condition asks for one key.
fn is_lookup(cx: &Cx<'_, '_>, block: &Block<'_>) -> bool {
    let key = |node| {
        tree::column(tree::without_casts(node)).is_some_and(|column| {
            matches!(
                column.name.to_ascii_lowercase().as_str(),
                "id" | "pk" | "uuid"
            )
        })
    };
    let value = |node| {
        matches!(
            tree::without_casts(node),
            Node::ParamRef(_) | Node::SubLink(_)
        ) || cx.is_constant(node)
    };
    block.conjuncts().into_iter().any(|node| match node {
        Node::A_Expr(expr) if tree::is_plain_operator(expr) && tree::operator(expr) == "=" => {
            let (left, right) = (expr.lexpr(), expr.rexpr());
            (key(left) && value(right)) || (key(right) && value(left))
        }
        _ => false,
    })
}

/// Whether aggregates without GROUP BY make one row of it.
fn is_single_row(block: &Block<'_>) -> bool {
    block.clause(Clause::GroupBy).next().is_none()
        && (block.clause(Clause::Target).any(reads::has_aggregate)
            || block.clause(Clause::Having).next().is_some())
}

fn distinct_on(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    for (at, block) in tree.blocks.iter().enumerate() {
        let Some(select) = block.select() else {
            continue;
        };
        let keys: Vec<_> = block.clause(Clause::DistinctOn).collect();
        let Some(&first) = keys.first() else {
            continue;
        };
        if !select.sort_clause().is_empty() || block.role == Role::Expression {
            continue;
        }
        // If nothing but the keys is returned, any row of a group is as good as another.
        let only_keys = block.clause(Clause::Target).all(|target| {
            tree::column(target)
                .is_some_and(|column| keys.iter().any(|key| is_same(*key, column.name)))
        });
        if only_keys || is_lookup(cx, block) {
            continue;
        }
        let base =
            (block.relations.iter()).find_map(|relation| reads::base_table(tree, at, relation));
        let Some(base) = base else { continue };
        let span = cx.span(first);
        cx.hit(
            Hit::new(
                &NONDETERMINISTIC_ORDER,
                "distinct-on",
                format!(
                    "DISTINCT ON without ORDER BY keeps any row of {} for each key.",
                    base.name
                ),
            )
            .object(base.name)
            .at(span),
        );
    }
}

fn is_same(key: Node<'_>, name: &str) -> bool {
    tree::column(key).is_some_and(|column| column.name == name)
}
