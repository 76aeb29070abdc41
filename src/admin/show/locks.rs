//! SHOW LOCKS.

use super::View;
use crate::admin::table::Kind::{Numeric, Text};
use crate::admin::table::{Column, Row};
use crate::audit::waits::{Holder, Waiting};

/// Columns of SHOW LOCKS.
pub const LOCKS: &[Column] = &[
    ("database", Text),
    ("user", Text),
    ("application_name", Text),
    ("client", Numeric),
    ("pid", Numeric),
    ("waiting_ms", Numeric),
    ("lock", Text),
    ("mode", Text),
    ("relation", Text),
    ("query", Text),
    ("blocker_pid", Numeric),
    ("blocker_client", Numeric),
    ("blocker_user", Text),
    ("blocker_application", Text),
    ("blocker_state", Text),
    ("blocker_state_ms", Numeric),
    ("blocker_transaction_ms", Numeric),
    ("blocker_query", Text),
    ("head_pid", Numeric),
];

/// Rows of SHOW LOCKS.
pub fn locks(view: &View<'_>) -> Vec<Row> {
    view.process.waits.lock().now.iter().map(row).collect()
}

fn row(waiting: &Waiting) -> Row {
    let blocker = waiting.blocker.as_ref();
    let text = |of: fn(&Holder) -> &str| String::from(blocker.map(of).unwrap_or_default());
    vec![
        waiting.database.to_string().into(),
        waiting.user.to_string().into(),
        waiting.app.to_string().into(),
        waiting.client.into(),
        waiting.pid.into(),
        waiting.waited_ms.into(),
        waiting.lock.to_string().into(),
        waiting.mode.to_string().into(),
        waiting.relation.to_string().into(),
        waiting.query.to_string().into(),
        blocker.map(|blocker| u64::from(blocker.pid)).into(),
        (blocker.map(|blocker| blocker.client))
            .filter(|client| *client != 0)
            .into(),
        text(|blocker| &blocker.user).into(),
        text(|blocker| &blocker.app).into(),
        text(|blocker| &blocker.state).into(),
        blocker.and_then(|blocker| blocker.state_ms).into(),
        blocker.and_then(|blocker| blocker.xact_ms).into(),
        text(|blocker| &blocker.query).into(),
        (waiting.root.as_ref().or(blocker))
            .map(|head| u64::from(head.pid))
            .into(),
    ]
}
