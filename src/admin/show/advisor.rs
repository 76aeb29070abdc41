//! SHOW ADVISOR.

use super::View;
use crate::admin::table::Kind::{Numeric, Text};
use crate::admin::table::{Column, Row};
use crate::calendar;

/// Columns of SHOW ADVISOR.
pub const ADVISOR: &[Column] = &[
    ("database", Text),
    ("last_look", Text),
    ("indexes", Numeric),
    ("foreign_keys", Numeric),
    ("plans", Numeric),
    ("not_planned", Numeric),
    ("findings", Numeric),
    ("error", Text),
];

/// Rows of SHOW ADVISOR.
pub fn advisor(view: &View<'_>) -> Vec<Row> {
    (view.advice.iter())
        .map(|(database, advice)| {
            let at = advice.at.map(calendar::utc_seconds).unwrap_or_default();
            vec![
                database.clone().into(),
                at.into(),
                advice.indexes.into(),
                advice.foreign_keys.into(),
                advice.plans.into(),
                advice.not_planned.into(),
                advice.findings.into(),
                advice.error.clone().unwrap_or_default().into(),
            ]
        })
        .collect()
}
