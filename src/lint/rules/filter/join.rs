//! Relations of one FROM that nothing links.

use pg_raw_parse::{ConstValue, Node};

use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::rule::Check;
use crate::lint::tree::{self, Clause, Source, Verb};
use crate::rule;

rule! {
    /// Two relations of one FROM that no condition links: every row of the one is paired with every
    /// row of the other.
    ///
    /// Not reported: CROSS JOIN and ON TRUE, which say so; relations of one row; set-returning
    /// functions and LATERAL; conditions whose columns do not say which relation they are of.
    pub(super) static CARTESIAN_JOIN = {
        id: "cartesian-join",
        title: "Relations that no condition links",
        number: 14,
        class: Shape,
        severity: Warn,
        enforce: Block,
        on: true,
        examples: [
            (
                "SELECT o.id, c.name FROM orders o, customers c WHERE o.status = $1",
                "SELECT o.id, c.name FROM orders o, customers c WHERE c.id = o.customer_id"
            ),
        ],
        remedy: "Add the join condition, or say CROSS JOIN.",
        sources: [],
        check: Check::Tree(cartesian),
    }
}

fn cartesian(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    for at in 0..tree.blocks.len() {
        let block = &tree.blocks[at];
        let count = block.relations.len();
        if count < 2 || matches!(block.verb, Verb::Merge(_) | Verb::Insert(_)) {
            continue;
        }
        // The alias of a join hides its relations.
        if block.joins.iter().any(|join| join.node.alias().is_some()) {
            continue;
        }
        let mut group: Vec<usize> = (0..count).collect();
        let mut link = |members: &[usize]| {
            let Some(&first) = members.first() else {
                return;
            };
            for &member in members {
                let (from, to) = (group[member], group[first]);
                for entry in &mut group {
                    if *entry == from {
                        *entry = to;
                    }
                }
            }
        };
        for join in &block.joins {
            let quals = join.node.quals();
            let always = matches!(quals, Node::None)
                || matches!(cx.constant(quals), Some(Some(ConstValue::Boolean(true))));
            if always {
                link(&(join.left.0..join.right.1).collect::<Vec<_>>());
            }
        }
        // Subqueries that mention relations of this block.
        let mut inner = Vec::new();
        for (index, other) in tree.blocks.iter().enumerate() {
            let mut up = other.parent;
            while let Some(parent) = up.filter(|&parent| parent != at) {
                up = tree.blocks[parent].parent;
            }
            if up.is_none() {
                continue;
            }
            for (_, expr) in &other.exprs {
                tree::walk(*expr, |node| {
                    if let Some(table) = tree::column(node).and_then(|c| c.table)
                        && let Some((b, r)) = tree.resolve(index, table)
                        && b == at
                    {
                        inner.push(r);
                    }
                    true
                });
            }
        }
        link(&inner);
        let mut unknown = false;
        for part in block.conjuncts() {
            let (mut members, mut columns, mut bare, mut subquery) = (Vec::new(), 0, false, false);
            tree::walk(part, |node| {
                subquery |= matches!(node, Node::SubLink(_));
                if let Some(column) = tree::column(node) {
                    columns += 1;
                    match block
                        .relations
                        .iter()
                        .position(|r| r.name == column.table.unwrap_or(column.name))
                    {
                        Some(found) => members.push(found),
                        None => bare |= column.table.is_none(),
                    }
                }
                true
            });
            unknown |= bare && (columns >= 2 || subquery);
            if subquery {
                members.extend(&inner);
            }
            link(&members);
        }
        if unknown {
            continue;
        }
        let many: Vec<usize> = (0..count)
            .filter(|&r| {
                let relation = &block.relations[r];
                match relation.source {
                    Source::Table(_) | Source::Cte(None) => true,
                    Source::Cte(Some(query)) => !one_row(cx, query),
                    Source::Subquery(query) => !relation.lateral && !one_row(cx, query),
                    Source::Function | Source::TableFunction => false,
                }
            })
            .collect();
        let Some(&first) = many.first() else { continue };
        if let Some(&second) = many.iter().find(|&&r| group[r] != group[first]) {
            let (a, b) = (block.relations[first].name, block.relations[second].name);
            let span = cx.token(block.relations[second].location);
            let message = format!("{a} and {b} are not linked: rows multiply.");
            cx.hit(Hit::new(&CARTESIAN_JOIN, "", message).object(b).at(span));
        }
    }
}

/// Whether a query yields one row, or is a list of VALUES.
fn one_row(cx: &mut Cx<'_, '_>, query: usize) -> bool {
    let tree = cx.tree;
    let Some(block) = tree.blocks.get(query) else {
        return false;
    };
    let Some(select) = block.select() else {
        return false;
    };
    if block.is_set_operation() {
        return false;
    }
    if block.relations.is_empty() || cx.int(select.limit_count()) == Some(1) {
        return true;
    }
    block.clause(Clause::GroupBy).next().is_none()
        && block.clause(Clause::Target).any(|target| {
            tree::any(target, |node| matches!(node, Node::FuncCall(call) if call.over().is_none() && (call.agg_star || matches!(tree::function(call),
                Some("count" | "sum" | "min" | "max" | "avg" | "array_agg" | "string_agg" | "json_agg" | "jsonb_agg" | "json_object_agg" | "jsonb_object_agg" | "bool_and" | "bool_or" | "every" | "percentile_cont" | "percentile_disc" | "stddev" | "variance")))))
        })
}
