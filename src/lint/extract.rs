//! From the tree of a statement to the [`Facts`] about it.

use pg_raw_parse::raw::{A_Expr_Kind, LockWaitPolicy};
use pg_raw_parse::{Node, nodes};

use super::facts::{Command, Facts, Output, RowLock, Star};
use super::rules::result::behind_star;
use super::tree::{self, Block, Clause, Source, Tree, Verb, Wrapper};

mod utility;

pub(super) use utility::is_no_time;

/// What the sequence engine needs to know about the statement.
#[must_use]
pub fn facts(tree: &Tree<'_>) -> Facts {
    let mut facts = Facts {
        introspection: tree.is_introspection(),
        ..Facts::default()
    };
    tables(tree, &mut facts);
    utility::fill(tree, &mut facts);
    if tree.wrapper == Wrapper::None {
        if let Some(block) = tree.blocks.first() {
            query(tree, block, &mut facts);
        }
    } else if matches!(tree.wrapper, Wrapper::Explain { .. } | Wrapper::Prepare) {
        // The query is not what the client gets or waits for here.
        facts.reads.clear();
        facts.writes.clear();
    }
    facts
}

fn tables(tree: &Tree<'_>, facts: &mut Facts) {
    for table in tree.blocks.iter().flat_map(|block| &block.relations) {
        let Some(name) = table.table().map(tree::table_name) else {
            continue;
        };
        let list = match table.target {
            true => &mut facts.writes,
            false => &mut facts.reads,
        };
        list.push(name.into());
    }
    for list in [&mut facts.reads, &mut facts.writes] {
        list.sort_unstable();
        list.dedup();
    }
}

fn query(tree: &Tree<'_>, block: &Block<'_>, facts: &mut Facts) {
    facts.command = match block.verb {
        Verb::Select(_) => Command::Select,
        Verb::Insert(_) => Command::Insert,
        Verb::Update(_) => Command::Update,
        Verb::Delete(_) => Command::Delete,
        Verb::Merge(_) => Command::Merge,
    };
    facts.restricted = block.clause(Clause::Where).next().is_some();
    if let Some(select) = block.select() {
        facts.limited = !matches!(select.limit_count(), Node::None | Node::A_Const(_))
            || tree::constant(select.limit_count()).is_some_and(|limit| limit.is_some());
    }
    conditions(tree, block, facts);
    for block in &tree.blocks {
        if let Some(select) = block.select() {
            for lock in select.locking_clause().iter() {
                facts.lock = match lock.wait_policy {
                    LockWaitPolicy::LockWaitSkip => RowLock::SkipLocked,
                    LockWaitPolicy::LockWaitError => RowLock::NoWait,
                    _ => RowLock::Wait,
                };
            }
        }
        for (_, node) in &block.exprs {
            facts.volatile |= tree::any(*node, is_volatile);
        }
        // A function in FROM may do anything: generate_series and unnest do not.
    }
    if let Verb::Insert(insert) = block.verb
        && let Node::SelectStmt(source) = insert.select_stmt()
    {
        facts.value_rows = u32::try_from(source.values_lists().len()).unwrap_or(u32::MAX);
    }
    facts.counts_all = counts_all(block);
    facts.outputs = outputs(block);
    if facts.command == Command::Select {
        star(tree, facts);
    }
}

fn star(tree: &Tree<'_>, facts: &mut Facts) {
    for (at, block) in tree.outermost() {
        let stars = || (block.clause(Clause::Target)).filter_map(tree::star);
        let star = match stars().next() {
            None => continue,
            Some(_) if stars().any(|of| of.is_none()) => Star::All,
            Some(_) => Star::Of,
        };
        if let Some(table) = behind_star(tree, at) {
            (facts.star, facts.star_of) = (star, Some(table.into()));
            return;
        }
    }
}

fn conditions(tree: &Tree<'_>, block: &Block<'_>, facts: &mut Facts) {
    let mut ranges = false;
    let mut blocks = vec![block];
    if block.is_set_operation() {
        blocks = tree.outermost().map(|(_, block)| block).collect();
    }
    for block in blocks {
        for node in block.conjuncts() {
            // A key may be one of `A OR B`; that is no plain lookup, and not taken for one.
            if let Node::A_Expr(expr) = node {
                ranges |= expr.kind == A_Expr_Kind::AEXPR_OP
                    && matches!(tree::operator(expr), "<" | ">" | "<=" | ">=");
                if let Some((key, bare)) = key(expr) {
                    for side in [expr.lexpr(), expr.rexpr()] {
                        let side = match side {
                            Node::NodeList(list) => list.iter().next().unwrap_or(Node::None),
                            other => other,
                        };
                        if let Node::ParamRef(param) = tree::without_casts(side)
                            && let Ok(number) = u16::try_from(param.number)
                        {
                            facts.key_params.push((key.clone(), number));
                        }
                    }
                    if bare {
                        facts.bare_keys.push(key.clone());
                    }
                    facts.keys.push(key);
                }
            }
        }
    }
    for block in &tree.blocks {
        for (clause, node) in &block.exprs {
            if matches!(clause, Clause::Where | Clause::On) {
                facts.lists |= tree::any(*node, is_list);
            }
        }
    }
    if let Some(select) = block.select() {
        let limited = !matches!(select.limit_count(), Node::None);
        let ordered = !select.sort_clause().is_empty();
        let skips = !matches!(select.limit_offset(), Node::None);
        facts.ranges = ranges && limited && ordered;
        facts.walks = skips || facts.ranges;
        for node in [select.limit_count(), select.limit_offset()] {
            match tree::without_casts(node) {
                Node::A_Const(literal) if literal.val().is_some() => facts.paging_literals += 1,
                Node::ParamRef(param) => facts.paging_params.extend(u16::try_from(param.number)),
                _ => {}
            }
        }
    }
}

/// The column that one value is asked of, and whether it stands there by itself.
fn key(expr: &nodes::A_Expr) -> Option<(Box<str>, bool)> {
    let one_of_list = expr.kind == A_Expr_Kind::AEXPR_IN
        && matches!(expr.rexpr(), Node::NodeList(list) if list.len() == 1);
    let not_distinct = expr.kind == A_Expr_Kind::AEXPR_NOT_DISTINCT;
    let equal = expr.kind == A_Expr_Kind::AEXPR_OP && tree::operator(expr) == "=";
    if !(equal || not_distinct || (one_of_list && tree::operator(expr) == "=")) {
        return None;
    }
    let right = match expr.rexpr() {
        Node::NodeList(list) => list.iter().next()?,
        other => other,
    };
    let (left, right) = (
        tree::without_casts(expr.lexpr()),
        tree::without_casts(right),
    );
    let is_value = |node| matches!(node, Node::ParamRef(_) | Node::A_Const(_));
    let side = match (is_value(left), is_value(right)) {
        (false, true) => left,
        (true, false) => right,
        _ => return None,
    };
    let column = first_column(side)?;
    let name = match column.table {
        Some(table) => format!("{table}.{}", column.name).into(),
        None => column.name.into(),
    };
    Some((name, tree::column(side).is_some()))
}

/// The column of `node`, or of a function of it: `lower(email)`.
fn first_column(node: Node<'_>) -> Option<tree::Column<'_>> {
    let mut found = None;
    tree::walk(node, |inner| {
        found = found.or(tree::column(inner));
        true
    });
    found
}

fn is_list(node: Node<'_>) -> bool {
    let Node::A_Expr(expr) = node else {
        return false;
    };
    match expr.kind {
        A_Expr_Kind::AEXPR_IN => matches!(expr.rexpr(), Node::NodeList(list) if list.len() >= 2),
        A_Expr_Kind::AEXPR_OP_ANY | A_Expr_Kind::AEXPR_OP_ALL => true,
        _ => false,
    }
}

fn is_volatile(node: Node<'_>) -> bool {
    let Node::FuncCall(call) = node else {
        return false;
    };
    tree::function(call).is_none_or(|name| {
        name.starts_with("pg_advisory")
            || name.starts_with("pg_try_advisory")
            || name.starts_with("uuid_generate")
            || matches!(
                name,
                "nextval"
                    | "setval"
                    | "currval"
                    | "lastval"
                    | "random"
                    | "random_normal"
                    | "clock_timestamp"
                    | "timeofday"
                    | "gen_random_uuid"
                    | "gen_random_bytes"
                    | "uuidv4"
                    | "uuidv7"
                    | "pg_sleep"
                    | "pg_sleep_for"
                    | "pg_sleep_until"
                    | "set_config"
                    | "txid_current"
                    | "pg_notify"
                    | "dblink"
            )
    })
}

fn counts_all(block: &Block<'_>) -> Option<Box<str>> {
    let select = block.select()?;
    let bare = matches!(select.where_clause(), Node::None)
        && matches!(select.having_clause(), Node::None)
        && select.group_clause().is_empty();
    let [relation] = block.relations.as_slice() else {
        return None;
    };
    let target = select.target_list().iter().next()?;
    let Node::FuncCall(call) = tree::without_casts(target.val()) else {
        return None;
    };
    let whole = call.agg_star
        || call
            .args()
            .iter()
            .all(|arg| tree::constant(arg).is_some_and(|arg| arg.is_some()));
    let counts = bare
        && whole
        && select.target_list().len() == 1
        && tree::function(call) == Some("count")
        && call.over().is_none()
        && matches!(call.agg_filter(), Node::None);
    let table = relation.table().filter(|table| !tree::is_system(table))?;
    (counts && !relation.sampled).then(|| tree::table_name(table).into())
}

fn outputs(block: &Block<'_>) -> Vec<Output> {
    let targets: Vec<_> = match block.verb {
        Verb::Select(select) => select.target_list().iter().collect(),
        _ => return Vec::new(),
    };
    let mut found = Vec::with_capacity(targets.len());
    for target in targets {
        if tree::star(target.val()).is_some() {
            return Vec::new();
        }
        let column = tree::column(target.val());
        let relation = match column.and_then(|column| column.table) {
            Some(name) => block.relations.iter().find(|r| r.name == name),
            None if block.relations.len() == 1 => block.relations.first(),
            None => None,
        };
        let table = relation.and_then(|relation| match relation.source {
            Source::Table(table) => Some(tree::table_name(table)),
            _ => None,
        });
        let column = column.map(|column| column.name).unwrap_or_default();
        found.push(Output {
            name: target.name().unwrap_or(column).into(),
            column: column.into(),
            table: table.unwrap_or_default().into(),
        });
    }
    found
}
