//! Rules about conditions that NULL makes something else than they look.

use pg_raw_parse::raw::{
    A_Expr_Kind, BoolExprType, ConstrType, NullTestType, SetOperation, SubLinkType,
};
use pg_raw_parse::{Node, nodes};

use super::fold::fold;
use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::rule::Check;
use crate::lint::tree::{self, Clause, Verb};
use crate::rule;

rule! {
    /// NOT IN (SELECT …) is never true once the subquery yields one NULL, and it cannot be planned as
    /// an anti-join.
    ///
    /// So it may return nothing one day because of one row, and it is slow as soon as the subquery's
    /// result does not fit into memory.
    ///
    /// Not reported: subqueries that provably yield no NULL (a condition IS NOT NULL, COALESCE with a
    /// constant, count), lists of constants, NOT EXISTS.
    pub(super) static NOT_IN_SUBQUERY = {
        id: "not-in-subquery",
        title: "NOT IN over a subquery",
        number: 10,
        class: Shape,
        severity: Warn,
        enforce: Block,
        on: true,
        examples: [
            (
                "SELECT id FROM users WHERE id NOT IN (SELECT user_id FROM bans)",
                "SELECT u.id FROM users u WHERE NOT EXISTS (SELECT 1 FROM bans b WHERE b.user_id = u.id)"
            ),
        ],
        remedy: "Use NOT EXISTS (SELECT 1 … WHERE …).",
        sources: ["https://wiki.postgresql.org/wiki/Don%27t_Do_This#Don.27t_use_NOT_IN"],
        check: Check::Tree(not_in),
    }
}

rule! {
    /// `($1 IS NULL OR col = $1)` and `col = COALESCE($1, col)` make a filter optional: one plan has
    /// to serve every combination of filters, and a generic plan cannot use the index.
    pub(super) static OPTIONAL_FILTER_OR = {
        id: "optional-filter-or",
        title: "Optional filter written with OR",
        number: 35,
        class: Shape,
        severity: Warn,
        enforce: Block,
        on: true,
        examples: [
            (
                "SELECT id FROM orders WHERE ($1::int IS NULL OR customer_id = $1)",
                "SELECT id FROM orders WHERE customer_id = $1"
            ),
        ],
        remedy: "Build the WHERE from the filters that are set, or set plan_cache_mode = force_custom_plan.",
        sources: ["https://use-the-index-luke.com/sql/where-clause/obfuscation/smart-logic"],
        check: Check::Tree(optional_filter),
    }
}

rule! {
    /// A comparison with NULL is never true: `col = NULL` finds nothing, `col <> NULL` neither, and one
    /// NULL in a NOT IN list empties the result.
    ///
    /// It is hardly ever meant and never fails, so it shows as missing rows. In an UPDATE or DELETE
    /// (kind write) nothing is changed.
    ///
    /// Not reported: assignments (SET col = NULL), defaults, IS NULL, IS DISTINCT FROM, and the
    /// one-element lists that some mappers make. A bound value that is NULL is not judged.
    pub(super) static NULL_COMPARISON = {
        id: "null-comparison",
        title: "Comparison with NULL",
        number: 36,
        class: Shape,
        severity: Critical,
        enforce: Block,
        on: true,
        kinds: [
            ("write", "in an UPDATE or DELETE, which does nothing then"),
        ],
        examples: [
            (
                "SELECT id FROM users WHERE deleted_at = NULL",
                "SELECT id FROM users WHERE deleted_at IS NULL"
            ),
        ],
        remedy: "Use IS NULL, IS NOT NULL or IS NOT DISTINCT FROM.",
        sources: [],
        check: Check::Tree(null_comparison),
    }
}

fn not_in(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    for (_, expr) in tree.blocks.iter().flat_map(|block| &block.exprs) {
        let mut found = Vec::new();
        tree::walk(*expr, |node| {
            match node {
                Node::BoolExpr(not) if not.boolop == BoolExprType::NOT_EXPR => {
                    if let Some(Node::SubLink(link)) = not.args().iter().next()
                        && link.sub_link_type == SubLinkType::ANY_SUBLINK
                        && matches!(link_operator(link), "" | "=")
                    {
                        found.push(link);
                    }
                }
                Node::SubLink(link)
                    if link.sub_link_type == SubLinkType::ALL_SUBLINK
                        && link_operator(link) == "<>" =>
                {
                    found.push(link);
                }
                _ => {}
            }
            true
        });
        for link in found {
            if !yields_no_null(cx, link.subselect()) {
                let span = cx.span(link.testexpr());
                cx.hit(Hit::new(&NOT_IN_SUBQUERY, "", "If the subquery yields one NULL the result is empty; and NOT IN cannot become an anti-join.").at(span));
            }
        }
    }
}

fn link_operator(link: &nodes::SubLink) -> &str {
    (link.oper_name().iter().next_back())
        .and_then(|part| part.as_str())
        .unwrap_or_default()
}

fn yields_no_null(cx: &mut Cx<'_, '_>, query: Node<'_>) -> bool {
    let mut waiting = vec![query];
    while let Some(query) = waiting.pop() {
        let Node::SelectStmt(select) = query else {
            return false;
        };
        if select.op != SetOperation::SETOP_NONE {
            waiting.extend(
                [select.larg(), select.rarg()]
                    .into_iter()
                    .flatten()
                    .map(Node::SelectStmt),
            );
            continue;
        }
        if select.values_lists().iter().next().is_some()
            || fold(cx, select.where_clause()) == Some(false)
        {
            continue;
        }
        let constant = |node| cx.is_constant(node) && !cx.is_null(node);
        // One NULL in any column of a row is enough.
        let safe = select.target_list().iter().all(|target| {
            let value = target.val();
            match tree::without_casts(value) {
                Node::FuncCall(call) => tree::function(call) == Some("count"),
                Node::CoalesceExpr(coalesce) => coalesce.args().iter().any(constant),
                Node::ColumnRef(_) => is_not_null(select.where_clause(), value),
                other => constant(other),
            }
        });
        if !safe || select.target_list().is_empty() {
            return false;
        }
    }
    true
}

fn is_not_null(condition: Node<'_>, value: Node<'_>) -> bool {
    let Some(wanted) = tree::column(tree::without_casts(value)) else {
        return false;
    };
    let mut parts = Vec::new();
    tree::conjuncts(condition, &mut parts);
    parts.into_iter().any(|part| {
        // Django writes NOT (col IS NULL).
        let (test, expected) = match part {
            Node::BoolExpr(not) if not.boolop == BoolExprType::NOT_EXPR => {
                (not.args().iter().next().unwrap_or(Node::None), NullTestType::IS_NULL)
            }
            other => (other, NullTestType::IS_NOT_NULL),
        };
        matches!(test, Node::NullTest(test) if test.nulltesttype == expected
            && tree::column(test.arg()).is_some_and(|column| column.name == wanted.name
                && (column.table == wanted.table || column.table.is_none() || wanted.table.is_none())))
    })
}

fn param(node: Node<'_>) -> Option<i32> {
    match tree::without_casts(node) {
        Node::ParamRef(param) => Some(param.number),
        _ => None,
    }
}

fn first_column(node: Node<'_>) -> Option<tree::Column<'_>> {
    let mut found = None;
    tree::walk(node, |inner| {
        found = found.or_else(|| tree::column(inner));
        found.is_none()
    });
    found
}

fn optional_filter(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    for (clause, expr) in tree.blocks.iter().flat_map(|block| &block.exprs) {
        if !matches!(clause, Clause::Where | Clause::On | Clause::Having) {
            continue;
        }
        let mut found = Vec::new();
        tree::walk(*expr, |node| {
            match node {
                Node::BoolExpr(or) if or.boolop == BoolExprType::OR_EXPR => {
                    for arm in or.args().iter() {
                        let Node::NullTest(test) = arm else { continue };
                        if test.nulltesttype != NullTestType::IS_NULL {
                            continue;
                        }
                        let Some(number) = param(test.arg()) else {
                            continue;
                        };
                        let other = or.args().iter().find(|other| {
                            tree::mentions_column(*other)
                                && tree::any(
                                    *other,
                                    |n| matches!(n, Node::ParamRef(p) if p.number == number),
                                )
                        });
                        if let Some(column) = other.and_then(first_column) {
                            found.push((column, node));
                        }
                    }
                }
                Node::A_Expr(expr)
                    if tree::is_plain_operator(expr) && tree::operator(expr) == "=" =>
                {
                    for (a, b) in [(expr.lexpr(), expr.rexpr()), (expr.rexpr(), expr.lexpr())] {
                        let Some(column) = tree::column(tree::without_casts(a)) else {
                            continue;
                        };
                        let Node::CoalesceExpr(coalesce) = tree::without_casts(b) else {
                            continue;
                        };
                        let given = coalesce.args().iter().any(|arg| param(arg).is_some());
                        let same = coalesce.args().iter().any(|arg| {
                            tree::column(tree::without_casts(arg))
                                .is_some_and(|c| c.name == column.name)
                        });
                        if given && same {
                            found.push((column, node));
                        }
                    }
                }
                _ => {}
            }
            true
        });
        for (column, node) in found {
            let span = cx.span(node);
            let message = format!(
                "One plan for all filter combinations: a generic plan cannot use the index on {}.",
                column.name
            );
            cx.hit(
                Hit::new(&OPTIONAL_FILTER_OR, "", message)
                    .object(column.name)
                    .at(span),
            );
        }
    }
}

/// The conditions that a definition keeps: CHECK constraints, and the predicate of an index.
fn defined_conditions(statement: Node<'_>) -> Vec<Node<'_>> {
    let mut parts: Vec<Node<'_>> = match statement {
        Node::IndexStmt(index) => return vec![index.where_clause()],
        Node::CreateStmt(create) => create.table_elts().iter().collect(),
        Node::AlterTableStmt(alter) => (alter.cmds().iter())
            .filter_map(|command| match command {
                Node::AlterTableCmd(command) => Some(command.def()),
                _ => None,
            })
            .collect(),
        _ => return Vec::new(),
    };
    let inside: Vec<Node<'_>> = (parts.iter())
        .filter_map(|part| match part {
            Node::ColumnDef(column) => Some(column.constraints().iter()),
            _ => None,
        })
        .flatten()
        .collect();
    parts.extend(inside);
    (parts.into_iter())
        .filter_map(|part| match part {
            Node::Constraint(c) if c.contype == ConstrType::CONSTR_CHECK => Some(c.raw_expr()),
            _ => None,
        })
        .collect()
}

fn null_comparison(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    let conditions = defined_conditions(tree.statement);
    let kind = match tree.blocks.first().map(|block| block.verb) {
        Some(Verb::Update(_) | Verb::Delete(_)) => "write",
        _ => "",
    };
    let exprs = tree.blocks.iter().flat_map(|block| &block.exprs);
    for expr in exprs.map(|(_, expr)| *expr).chain(conditions) {
        let mut found = Vec::new();
        tree::walk(expr, |node| {
            if let Node::A_Expr(expr) = node {
                let hit = match expr.kind {
                    A_Expr_Kind::AEXPR_OP => {
                        matches!(tree::operator(expr), "=" | "<>" | "<" | ">" | "<=" | ">=")
                            && (cx.is_null(expr.lexpr()) || cx.is_null(expr.rexpr()))
                    }
                    A_Expr_Kind::AEXPR_IN => matches!(expr.rexpr(), Node::NodeList(list)
                        if list.len() >= 2 && list.iter().any(|n| cx.is_null(n))),
                    _ => false,
                };
                if hit {
                    found.push(node);
                }
            }
            true
        });
        for node in found {
            let span = cx.span(node);
            let message = format!("`{}` is never true.", cx.show(node));
            cx.hit(Hit::new(&NULL_COMPARISON, kind, message).at(span));
        }
    }
}
