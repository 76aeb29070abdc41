//! Rules about what a statement asks of a shared session.

use pg_raw_parse::raw::{CURSOR_OPT_HOLD, OnCommitAction, VariableSetKind};
use pg_raw_parse::{ConstValue, Node, nodes};

use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::rule::{Check, Rule, Severity};
use crate::lint::tree;
use crate::rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[&SESSION_STATE_IN_POOL];

rule! {
    /// LISTEN, session-level advisory locks, temporary tables, cursors WITH HOLD and SET live in
    /// one server connection. Under transaction pooling the client's next transaction may run on
    /// another one, and the next client gets what was left behind.
    ///
    /// pgweir keeps a client on its server while such a state lives, and replays what it SET on
    /// each server it gets; other poolers do neither, and a server that is kept serves nobody else.
    /// SET is therefore reported as info only.
    ///
    /// Not reported: SET LOCAL, SET TRANSACTION, parameters that servers report (client_encoding,
    /// TimeZone, DateStyle, …), ordinary cursors, NOTIFY.
    pub static SESSION_STATE_IN_POOL = {
        id: "session-state-in-pool",
        title: "Session state under transaction pooling",
        number: 45,
        class: Shape,
        severity: Warn,
        enforce: Block,
        on: true,
        kinds: [
            ("listen", "LISTEN"),
            ("advisory-lock", "a lock that outlives the transaction"),
            ("temporary-table", "a temporary table, view or sequence that outlives the transaction"),
            ("hold-cursor", "DECLARE … WITH HOLD"),
            ("set", "SET of a parameter"),
        ],
        examples: [
            ("LISTEN events", "NOTIFY events"),
            ("SELECT pg_advisory_lock(42)", "SELECT pg_advisory_xact_lock(42)"),
            ("CREATE TEMP TABLE t (a int)", "CREATE TEMP TABLE t (a int) ON COMMIT DROP"),
            ("SET statement_timeout = '5s'", "SET LOCAL statement_timeout = '5s'"),
        ],
        remedy: "Use the form that ends with the transaction (…_xact_lock, SET LOCAL, ON COMMIT DROP), or a session pool.",
        sources: ["https://www.pgbouncer.org/features.html"],
        check: Check::Tree(session_state_in_pool),
    }
}

/// Parameters that servers report, which poolers therefore follow; in lower case.
const REPORTED: [&str; 12] = [
    "application_name",
    "client_encoding",
    "datestyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "intervalstyle",
    "scram_iterations",
    "search_path",
    "session_authorization",
    "standard_conforming_strings",
    "timezone",
];

fn session_state_in_pool(cx: &mut Cx<'_, '_>) {
    match cx.tree.statement {
        Node::ListenStmt(_) => found(cx, "listen", "LISTEN"),
        Node::DeclareCursorStmt(cursor) if cursor.options & CURSOR_OPT_HOLD as i32 != 0 => {
            found(cx, "hold-cursor", "DECLARE … WITH HOLD");
        }
        Node::CreateStmt(create) => temporary(cx, create.relation(), create.oncommit),
        Node::CreateTableAsStmt(create) => into(cx, create.into()),
        Node::SelectStmt(select) => into(cx, select.into_clause()),
        Node::CreateSeqStmt(create) if create.sequence().is_some_and(tree::is_temporary) => {
            found(cx, "temporary-table", "A temporary sequence");
        }
        Node::ViewStmt(create) if create.view().is_some_and(tree::is_temporary) => {
            found(cx, "temporary-table", "A temporary view");
        }
        Node::VariableSetStmt(set) => {
            let sets = matches!(
                set.kind,
                VariableSetKind::VAR_SET_VALUE | VariableSetKind::VAR_SET_CURRENT
            );
            if sets && !set.is_local {
                parameter(cx, set.name().unwrap_or_default());
            }
        }
        _ => {}
    }
    let tree = cx.tree;
    for block in &tree.blocks {
        for (_, node) in &block.exprs {
            let mut calls = Vec::new();
            tree::walk(*node, |inner| {
                if let Node::FuncCall(call) = inner {
                    calls.push(call);
                }
                true
            });
            for call in calls {
                called(cx, call);
            }
        }
    }
}

fn called(cx: &mut Cx<'_, '_>, call: &nodes::FuncCall) {
    match tree::function(call) {
        Some(
            "pg_advisory_lock"
            | "pg_advisory_lock_shared"
            | "pg_try_advisory_lock"
            | "pg_try_advisory_lock_shared",
        ) => found(cx, "advisory-lock", "A session-level advisory lock"),
        Some("set_config") => {
            let args = call.args();
            let (Some(name), Some(local)) = (args.get(0), args.get(2)) else {
                return;
            };
            if matches!(cx.constant(local), Some(Some(ConstValue::Boolean(false))))
                && let Some(name) = cx.string(name)
            {
                parameter(cx, &name);
            }
        }
        _ => {}
    }
}

fn into(cx: &mut Cx<'_, '_>, into: Option<&nodes::IntoClause>) {
    if let Some(into) = into {
        temporary(cx, into.rel(), into.on_commit);
    }
}

fn temporary(
    cx: &mut Cx<'_, '_>,
    table: Option<&nodes::RangeVar>,
    on_commit: OnCommitAction::Type,
) {
    if table.is_some_and(tree::is_temporary) && on_commit != OnCommitAction::ONCOMMIT_DROP {
        found(cx, "temporary-table", "A temporary table");
    }
}

fn parameter(cx: &mut Cx<'_, '_>, name: &str) {
    let name = name.to_ascii_lowercase();
    if REPORTED.contains(&name.as_str())
        || name.starts_with("transaction_")
        || name == "lint.ignore"
    {
        return;
    }
    let message = format!("SET {name} lives in a server session that others get too.");
    let hit = Hit::new(&SESSION_STATE_IN_POOL, "set", message);
    cx.hit(hit.severity(Severity::Info).object(name));
}

fn found(cx: &mut Cx<'_, '_>, kind: &'static str, what: &str) {
    let message = format!("{what} lives in a server session that the next client will get.");
    cx.hit(Hit::new(&SESSION_STATE_IN_POOL, kind, message));
}
