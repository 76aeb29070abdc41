//! SHOW STATEMENTS.

use super::View;
use crate::admin::table::Kind::{Numeric, Text};
use crate::admin::table::{Column, Row};
use crate::audit::statements::Planned;

/// Columns of SHOW STATEMENTS.
pub const STATEMENTS: &[Column] = &[
    ("database", Text),
    ("user", Text),
    ("calls", Numeric),
    ("errors", Numeric),
    ("rows", Numeric),
    ("bytes", Numeric),
    ("server_us", Numeric),
    ("server_p50_us", Numeric),
    ("server_p95_us", Numeric),
    ("server_max_us", Numeric),
    ("wait_us", Numeric),
    ("wait_p95_us", Numeric),
    ("shape", Text),
    ("query", Text),
    ("plan", Text),
];

/// Rows of SHOW STATEMENTS.
pub fn statements(view: &View<'_>) -> Vec<Row> {
    (view.process.usage.lock().rows().into_iter())
        .map(|row| {
            vec![
                row.database.to_string().into(),
                row.user.to_string().into(),
                row.calls.into(),
                row.errors.into(),
                row.rows.into(),
                row.bytes.into(),
                row.server_us.into(),
                row.server_p50_us.into(),
                row.server_p95_us.into(),
                row.server_max_us.into(),
                row.wait_us.into(),
                row.wait_p95_us.into(),
                format!("{:016x}", row.shape).into(),
                row.query.into_string().into(),
                row.plan.into_string().into(),
            ]
        })
        .collect()
}

/// Columns of SHOW PLAN.
pub const PLAN: &[Column] = &[("database", Text), ("user", Text), ("plan", Text)];

/// Rows of SHOW PLAN: a line each.
pub fn plan(plans: &[Planned<'_>]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (database, user, lines) in plans {
        for line in *lines {
            rows.push(vec![
                (*database).to_owned().into(),
                (*user).to_owned().into(),
                line.to_string().into(),
            ]);
        }
    }
    rows
}
