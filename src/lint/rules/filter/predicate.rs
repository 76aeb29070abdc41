//! Rules about single predicates that an index cannot serve.

use pg_raw_parse::raw::A_Expr_Kind;
use pg_raw_parse::raw::BoolExprType;
use pg_raw_parse::{ConstValue, Node, nodes};

use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::profile::Test;
use crate::lint::rule::{Check, Severity};
use crate::lint::tree::{self, Block, Clause};
use crate::rule;

rule! {
    /// A comparison of something computed from a column: a plain index on the column cannot be used, so
    /// every row is read and computed.
    ///
    /// Counted are functions, casts, arithmetic, || and COALESCE over a column of a table in WHERE and
    /// ON, compared with something that has no column.
    ///
    /// Not reported: the same on the constant's side, JSON operators, NOT LIKE and NOT IN, columns of
    /// subqueries, HAVING. An index on the very expression serves it; the text does not tell whether
    /// there is one, so it is a suspicion.
    pub(super) static NON_SARGABLE_PREDICATE = {
        id: "non-sargable-predicate",
        title: "Predicate on a computed column",
        number: 15,
        class: Shape,
        severity: Warn,
        enforce: Block,
        on: true,
        kinds: [
            ("function", "function call over a column"),
            ("cast", "cast of a column"),
            ("arithmetic", "arithmetic over a column"),
            ("concat", "concatenation with a column"),
            ("coalesce", "COALESCE over a column"),
        ],
        examples: [
            (
                "SELECT id FROM users WHERE lower(email) = $1",
                "SELECT id FROM users WHERE email = lower($1)"
            ),
        ],
        remedy: "Rewrite as a range on the bare column, or create an index on the expression.",
        sources: ["https://use-the-index-luke.com/sql/where-clause/functions"],
        check: Check::Tree(non_sargable),
    }
}

rule! {
    /// A LIKE pattern that begins with a wildcard cannot use a B-tree index: every row is compared.
    ///
    /// Patterns count as constants, as bound values, and as `'%' || x` and concat('%', …).
    ///
    /// Not reported: NOT LIKE, patterns that begin with a letter, an escaped wildcard, LIKE in the list
    /// of columns. A trigram index serves such patterns; whether there is one the text does not tell.
    pub(super) static LEADING_WILDCARD_LIKE = {
        id: "leading-wildcard-like",
        title: "LIKE pattern that begins with a wildcard",
        number: 32,
        class: Shape,
        severity: Warn,
        enforce: AtBind,
        on: true,
        examples: [
            (
                "SELECT id FROM users WHERE email LIKE '%example.com'",
                "SELECT id FROM users WHERE email LIKE 'example%'"
            ),
        ],
        remedy: "Use a pg_trgm GIN index, full-text search, or a reversed-string index for suffixes.",
        sources: ["https://use-the-index-luke.com/sql/where-clause/searching-for-ranges/like-performance-tuning"],
        check: Check::Tree(leading_wildcard),
    }
}

rule! {
    /// A list of a hundred or more values is long to parse and plan, and every length is another
    /// statement for caches. A thousand are critical; an array parameter counts from ten thousand
    /// elements.
    ///
    /// With a list in the text each number of values is a statement of its own: none of them is
    /// prepared twice, and statistics of statements fill with them.
    ///
    /// Not reported: rows of VALUES, subqueries and arrays as parameters.
    pub(super) static LARGE_IN_LIST = {
        id: "large-in-list",
        title: "Long IN list",
        number: 33,
        class: Shape,
        severity: Warn,
        enforce: AtBind,
        on: true,
        examples: [],
        remedy: "Use = ANY($1) with an array parameter, JOIN unnest($1), or a temporary table.",
        sources: [],
        check: Check::Tree(large_in_list),
    }
}

fn predicates<'t>(block: &Block<'t>) -> Vec<&'t nodes::A_Expr> {
    let mut found = Vec::new();
    let mut waiting: Vec<Node<'t>> = block
        .clause(Clause::Where)
        .chain(block.clause(Clause::On))
        .collect();
    while let Some(node) = waiting.pop() {
        match node {
            Node::BoolExpr(expr) if expr.boolop != BoolExprType::NOT_EXPR => {
                waiting.extend(expr.args().iter())
            }
            Node::A_Expr(expr) => found.push(expr),
            _ => {}
        }
    }
    found
}

fn non_sargable(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    for (at, block) in tree.blocks.iter().enumerate() {
        for expr in predicates(block) {
            let (left, right) = (expr.lexpr(), expr.rexpr());
            let op = tree::operator(expr);
            let sides = match expr.kind {
                A_Expr_Kind::AEXPR_OP
                    if matches!(op, "=" | "<" | ">" | "<=" | ">=" | "~~" | "~~*") =>
                {
                    vec![(left, right), (right, left)]
                }
                A_Expr_Kind::AEXPR_IN | A_Expr_Kind::AEXPR_OP_ANY if op == "=" => {
                    vec![(left, right)]
                }
                A_Expr_Kind::AEXPR_LIKE | A_Expr_Kind::AEXPR_ILIKE if !op.starts_with('!') => {
                    vec![(left, right)]
                }
                A_Expr_Kind::AEXPR_BETWEEN | A_Expr_Kind::AEXPR_BETWEEN_SYM => vec![(left, right)],
                _ => continue,
            };
            for (side, other) in sides {
                let Some(kind) = computed(side) else { continue };
                if tree::mentions_column(other) {
                    continue;
                }
                let mut columns = Vec::new();
                tree::walk(side, |n| {
                    columns.extend(tree::column(n));
                    true
                });
                let Some(column) = columns.first() else {
                    continue;
                };
                let base = columns.iter().all(|c| match c.table {
                    Some(table) => tree
                        .resolve(at, table)
                        .is_some_and(|(b, r)| tree.blocks[b].relations[r].table().is_some()),
                    None => {
                        !block.relations.is_empty()
                            && block.relations.iter().all(|r| r.table().is_some())
                    }
                });
                if base {
                    let name = column.name;
                    let message = format!(
                        "`{}` on column {name}: a plain index on {name} cannot be used.",
                        cx.show(side)
                    );
                    let span = cx.span(side);
                    cx.hit(
                        Hit::new(&NON_SARGABLE_PREDICATE, kind, message)
                            .object(name)
                            .at(span),
                    );
                }
            }
        }
    }
}

/// What computes the value of an expression over a column.
fn computed(node: Node<'_>) -> Option<&'static str> {
    // What JSON operators yield is no column that a plain index could be on.
    if tree::any(node, |n| {
        matches!(n, Node::SubLink(_))
            || matches!(n, Node::A_Expr(e) if matches!(tree::operator(e), "->" | "->>" | "#>" | "#>>" | "<->"))
    }) {
        return None;
    }
    match node {
        Node::FuncCall(call) if call.over().is_none() => Some("function"),
        Node::MinMaxExpr(_) => Some("function"),
        Node::CoalesceExpr(_) => Some("coalesce"),
        Node::TypeCast(cast) => {
            if let Some(kind) = computed(tree::without_casts(node)) {
                return Some(kind);
            }
            let part: Node<'_> = cast.type_name()?.names().iter().next_back()?.into();
            let name = part.as_str()?;
            (matches!(tree::without_casts(node), Node::ColumnRef(_))
                && matches!(
                    name,
                    "date"
                        | "time"
                        | "timetz"
                        | "text"
                        | "varchar"
                        | "bpchar"
                        | "int2"
                        | "int4"
                        | "int8"
                        | "numeric"
                        | "timestamp"
                        | "timestamptz"
                        | "float4"
                        | "float8"
                ))
            .then_some("cast")
        }
        Node::A_Expr(expr) if tree::is_plain_operator(expr) => match tree::operator(expr) {
            "+" | "-" | "*" | "/" | "%" | "^" => Some("arithmetic"),
            "||" => Some("concat"),
            _ => None,
        },
        _ => None,
    }
}

fn leading_wildcard(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    for block in &tree.blocks {
        for expr in predicates(block) {
            let op = tree::operator(expr);
            if !matches!(op, "~~" | "~~*") || !tree::mentions_column(expr.lexpr()) {
                continue;
            }
            let patterns: Vec<Node<'_>> = match tree::without_casts(expr.rexpr()) {
                Node::A_ArrayExpr(array) => array.elements().iter().collect(),
                other => vec![other],
            };
            let word = if op == "~~" { "LIKE" } else { "ILIKE" };
            let shown = cx.show(expr.lexpr());
            let span = cx.span(expr.lexpr());
            for pattern in patterns {
                let message = format!(
                    "`{shown} {word}` with a pattern that begins with a wildcard cannot use a B-tree."
                );
                cx.when(
                    beginning(pattern),
                    Test::LeadingWildcard,
                    Hit::new(&LEADING_WILDCARD_LIKE, "", message).at(span),
                );
            }
        }
    }
}

/// The part of a pattern that its text begins with.
fn beginning(mut node: Node<'_>) -> Node<'_> {
    loop {
        node = match tree::without_casts(node) {
            Node::A_Expr(expr) if tree::operator(expr) == "||" => expr.lexpr(),
            Node::FuncCall(call)
                if matches!(
                    tree::function(call),
                    Some("concat" | "like_escape" | "lower" | "upper")
                ) =>
            {
                call.args().iter().next().unwrap_or(Node::None)
            }
            other => return other,
        };
    }
}

fn large_in_list(cx: &mut Cx<'_, '_>) {
    let long = u32::try_from(cx.thresholds.list).unwrap_or(u32::MAX);
    let very_long = long.saturating_mul(10);
    let tree = cx.tree;
    for (_, root) in tree.blocks.iter().flat_map(|block| &block.exprs) {
        let mut found = Vec::new();
        tree::walk(*root, |node| {
            if let Node::A_Expr(expr) = node {
                found.push(expr);
            }
            true
        });
        for expr in found {
            let list = tree::without_casts(expr.rexpr());
            let elements: Vec<Node<'_>> = match (expr.kind, list) {
                (A_Expr_Kind::AEXPR_IN, Node::NodeList(list)) => list.iter().collect(),
                (
                    A_Expr_Kind::AEXPR_OP_ANY | A_Expr_Kind::AEXPR_OP_ALL,
                    Node::A_ArrayExpr(array),
                ) => array.elements().iter().collect(),
                // An array that overlaps or holds is a list of keys; one next to `<->` is a point.
                (A_Expr_Kind::AEXPR_OP, Node::A_ArrayExpr(array))
                    if matches!(tree::operator(expr), "&&" | "@>" | "<@") =>
                {
                    array.elements().iter().collect()
                }
                (A_Expr_Kind::AEXPR_OP_ANY, Node::ParamRef(_) | Node::A_Const(_)) => {
                    let span = cx.span(expr.lexpr());
                    let most = u32::try_from(cx.thresholds.array).unwrap_or(u32::MAX);
                    let hit = Hit::new(
                        &LARGE_IN_LIST,
                        "",
                        format!(
                            "The array has {most} elements or more: send them to a temporary table."
                        ),
                    )
                    .at(span);
                    cx.when(list, Test::ElementsAtLeast(most), hit);
                    continue;
                }
                _ => continue,
            };
            let span = cx.span(expr.lexpr());
            let hit = |severity| {
                let least = if severity == Severity::Critical {
                    very_long
                } else {
                    long
                };
                let message = format!(
                    "IN list of {least} values or more: long to parse and plan, and every length is another statement for caches."
                );
                Hit::new(&LARGE_IN_LIST, "", message)
                    .severity(severity)
                    .at(span)
            };
            // A list of nothing but values has the same shape whatever its length.
            let values = (elements.iter()).all(|node| {
                matches!(node, Node::ParamRef(_))
                    || matches!(tree::constant(*node), Some(Some(value)) if !matches!(value, ConstValue::Boolean(_)))
                        && matches!(node, Node::A_Const(_))
            });
            let count = u32::try_from(elements.len()).unwrap_or(u32::MAX);
            for (severity, least, below) in [
                (Severity::Warn, long, very_long),
                (Severity::Critical, very_long, u32::MAX),
            ] {
                if values {
                    cx.when_list(Test::ListWithin(least, below), hit(severity));
                } else if (least..below).contains(&count) {
                    cx.hit(hit(severity).evidence("elements", u64::from(count)));
                }
            }
        }
    }
}
