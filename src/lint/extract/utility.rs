//! Facts about statements that are no queries.

use pg_raw_parse::raw::{
    AlterTableType, DiscardMode, ObjectType, TransactionStmtKind, VariableSetKind,
};
use pg_raw_parse::{ConstValue, Node, nodes};

use crate::lint::facts::{Change, Command, Facts};
use crate::lint::tree::{self, Clause, Tree, Wrapper};

/// Fills in what the statement says; queries are left alone but for `set_config`.
pub(super) fn fill(tree: &Tree<'_>, facts: &mut Facts) {
    facts.command = match tree.statement {
        Node::TransactionStmt(transaction) => match transaction.kind {
            TransactionStmtKind::TRANS_STMT_BEGIN | TransactionStmtKind::TRANS_STMT_START => {
                Command::Begin
            }
            TransactionStmtKind::TRANS_STMT_COMMIT | TransactionStmtKind::TRANS_STMT_PREPARE => {
                Command::Commit
            }
            TransactionStmtKind::TRANS_STMT_ROLLBACK => Command::Rollback,
            TransactionStmtKind::TRANS_STMT_SAVEPOINT
            | TransactionStmtKind::TRANS_STMT_RELEASE
            | TransactionStmtKind::TRANS_STMT_ROLLBACK_TO => Command::Savepoint,
            _ => Command::Other,
        },
        Node::VariableSetStmt(set) => {
            variable(set, facts);
            Command::Session
        }
        Node::DiscardStmt(discard) => {
            facts.resets_session = discard.target == DiscardMode::DISCARD_ALL;
            if facts.resets_session {
                facts.lock_timeout = Some(Change::Reset);
                facts.ignore = Some(Change::Reset);
            }
            Command::Session
        }
        Node::DeallocateStmt(deallocate) => {
            facts.resets_session = deallocate.isall;
            Command::Session
        }
        Node::VariableShowStmt(_) => Command::Session,
        Node::CopyStmt(copy) => {
            if let Some(table) = copy.relation() {
                let list = match copy.is_from {
                    true => &mut facts.writes,
                    false => &mut facts.reads,
                };
                list.push(tree::table_name(table).into());
            }
            Command::Copy
        }
        Node::FetchStmt(_) | Node::DeclareCursorStmt(_) | Node::ClosePortalStmt(_) => {
            Command::Cursor
        }
        Node::ExplainStmt(_)
        | Node::PrepareStmt(_)
        | Node::ExecuteStmt(_)
        | Node::DoStmt(_)
        | Node::CallStmt(_)
        | Node::ListenStmt(_)
        | Node::UnlistenStmt(_)
        | Node::NotifyStmt(_)
        | Node::CheckPointStmt(_) => Command::Other,
        Node::LockStmt(lock) => {
            // SHARE and above block writers; below that nobody who matters.
            const SHARE: i32 = 5;
            for table in lock.relations().iter() {
                if let Node::RangeVar(table) = table
                    && lock.mode >= SHARE
                {
                    facts.locks.push(tree::table_name(table).into());
                }
            }
            facts.lock = match lock.nowait {
                true => crate::lint::facts::RowLock::NoWait,
                false => crate::lint::facts::RowLock::Wait,
            };
            Command::Other
        }
        _ if tree.wrapper == Wrapper::None && !tree.blocks.is_empty() => Command::Other,
        statement => {
            facts.roles = changes_roles(statement);
            schema_change(tree.statement, facts);
            Command::Ddl
        }
    };
    if tree.wrapper == Wrapper::None {
        for block in &tree.blocks {
            for target in block.clause(Clause::Target) {
                if let Node::FuncCall(call) = target {
                    set_config(call, facts);
                }
            }
        }
    }
}

/// Whether it makes, changes or drops roles, or what they may do.
fn changes_roles(statement: Node<'_>) -> bool {
    matches!(
        statement,
        Node::CreateRoleStmt(_)
            | Node::AlterRoleStmt(_)
            | Node::AlterRoleSetStmt(_)
            | Node::DropRoleStmt(_)
            | Node::GrantRoleStmt(_)
            | Node::GrantStmt(_)
            | Node::AlterDefaultPrivilegesStmt(_)
            | Node::ReassignOwnedStmt(_)
            | Node::DropOwnedStmt(_)
            | Node::AlterOwnerStmt(_)
            | Node::CreatePolicyStmt(_)
            | Node::AlterPolicyStmt(_)
    )
}

fn variable(set: &nodes::VariableSetStmt, facts: &mut Facts) {
    if set.kind == VariableSetKind::VAR_RESET_ALL {
        facts.resets_session = true;
        facts.lock_timeout = Some(Change::Reset);
        facts.ignore = Some(Change::Reset);
    }
    let value = match set.kind {
        VariableSetKind::VAR_SET_VALUE => set.args().iter().next(),
        _ => None,
    };
    changes(set.name(), value, set.is_local, facts);
}

fn set_config(call: &nodes::FuncCall, facts: &mut Facts) {
    let args: Vec<_> = call.args().iter().collect();
    let [name, value, local] = args.as_slice() else {
        return;
    };
    if tree::function(call) != Some("set_config") {
        return;
    }
    let name = match tree::constant(*name) {
        Some(Some(ConstValue::String(name))) => Some(name),
        _ => None,
    };
    let session = matches!(
        tree::constant(*local),
        Some(Some(ConstValue::Boolean(false)))
    );
    changes(name, Some(*value), !session, facts);
}

/// A parameter gets a value, or without one its default back.
fn changes(name: Option<&str>, value: Option<Node<'_>>, local: bool, facts: &mut Facts) {
    let change = |value| match local {
        true => Change::Local(value),
        false => Change::Session(value),
    };
    match name {
        Some(name) if name.eq_ignore_ascii_case("lock_timeout") => {
            let on = value.map(|value| !is_zero(value));
            facts.lock_timeout = Some(match on {
                Some(on) if local => Change::Local(on),
                Some(on) => Change::Session(on),
                None => Change::Reset,
            });
        }
        Some(name) if name.eq_ignore_ascii_case("lint.ignore") => {
            facts.ignore = Some(match value.map(tree::constant) {
                Some(Some(Some(ConstValue::String(rules)))) => change(rules.into()),
                // What cannot be read silences nothing.
                Some(_) => change(Box::default()),
                None => Change::Reset,
            });
        }
        _ => {}
    }
}

fn is_zero(value: Node<'_>) -> bool {
    match tree::constant(value) {
        Some(Some(ConstValue::String(text))) => is_no_time(text),
        Some(Some(number)) => number.numeric_value::<i64>() == Some(0),
        _ => false,
    }
}

/// Whether a time limit as text, with or without its unit, is none: zero.
pub(in crate::lint) fn is_no_time(text: &str) -> bool {
    let number = text
        .trim()
        .trim_end_matches(|c: char| c.is_ascii_alphabetic());
    number.trim().parse::<f64>().is_ok_and(|n| n == 0.0)
}

fn schema_change(statement: Node<'_>, facts: &mut Facts) {
    let lock = |table: Option<&nodes::RangeVar>, facts: &mut Facts| {
        if let Some(table) = table.filter(|table| !tree::is_temporary(table)) {
            facts.locks.push(tree::table_name(table).into());
        }
    };
    match statement {
        Node::CreateStmt(create) => created(create.relation(), facts),
        Node::CreateTableAsStmt(create) => {
            created(create.into().and_then(nodes::IntoClause::rel), facts);
        }
        Node::SelectStmt(select) => {
            created(select.into_clause().and_then(nodes::IntoClause::rel), facts);
        }
        Node::AlterTableStmt(alter) => {
            let weak = alter.cmds().iter().all(|command| {
                let Node::AlterTableCmd(command) = command else {
                    return false;
                };
                match command.subtype {
                    AlterTableType::AT_ValidateConstraint
                    | AlterTableType::AT_SetStatistics
                    | AlterTableType::AT_AttachPartition => true,
                    AlterTableType::AT_DetachPartition => {
                        matches!(command.def(), Node::PartitionCmd(part) if part.concurrent)
                    }
                    _ => false,
                }
            });
            if !weak {
                lock(alter.relation(), facts);
            }
        }
        Node::RenameStmt(rename) => lock(rename.relation(), facts),
        Node::AlterObjectSchemaStmt(alter) => lock(alter.relation(), facts),
        Node::TruncateStmt(truncate) => {
            for table in truncate.relations().iter() {
                if let Node::RangeVar(table) = table {
                    facts.writes.push(tree::table_name(table).into());
                    lock(Some(table), facts);
                }
            }
        }
        Node::IndexStmt(index) if !index.concurrent => lock(index.relation(), facts),
        Node::CreateTrigStmt(trigger) => lock(trigger.relation(), facts),
        Node::RuleStmt(rule) => lock(rule.relation(), facts),
        Node::ClusterStmt(cluster) => lock(cluster.relation(), facts),
        Node::RefreshMatViewStmt(view) if !view.concurrent => lock(view.relation(), facts),
        Node::ReindexStmt(reindex) => {
            let concurrent = (reindex.params().iter()).any(|option| {
                option.defname() == Some("concurrently") && !tree::is_off(option.arg())
            });
            if !concurrent {
                lock(reindex.relation(), facts);
            }
        }
        Node::VacuumStmt(vacuum) => {
            let full = (vacuum.options().iter())
                .any(|option| option.defname() == Some("full") && !tree::is_off(option.arg()));
            for table in vacuum.rels().iter().filter(|_| full) {
                lock(table.relation(), facts);
            }
        }
        Node::DropStmt(drop) if !drop.concurrent => {
            let kinds = [
                ObjectType::OBJECT_TABLE,
                ObjectType::OBJECT_INDEX,
                ObjectType::OBJECT_VIEW,
                ObjectType::OBJECT_MATVIEW,
                ObjectType::OBJECT_TRIGGER,
            ];
            if !kinds.contains(&drop.remove_type) {
                return;
            }
            for object in drop.objects().iter() {
                let Node::NodeList(parts) = object else {
                    continue;
                };
                let mut names: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
                if drop.remove_type == ObjectType::OBJECT_TRIGGER {
                    names.pop();
                }
                facts.locks.push(names.join(".").into());
            }
        }
        _ => {}
    }
}

fn created(table: Option<&nodes::RangeVar>, facts: &mut Facts) {
    if let Some(table) = table {
        let name = tree::table_name(table).into();
        facts.creates.push((name, tree::is_temporary(table)));
    }
}
