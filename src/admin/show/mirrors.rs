//! SHOW MIRRORS.

use super::View;
use crate::admin::table::Kind::{Numeric, Text};
use crate::admin::table::{Column, Row};

/// Columns of SHOW MIRRORS.
pub const MIRRORS: &[Column] = &[
    ("database", Text),
    ("mirror", Text),
    ("same", Numeric),
    ("rows_differ", Numeric),
    ("errors_differ", Numeric),
    ("failed", Numeric),
    ("dropped", Numeric),
    ("passed_over", Numeric),
    ("waiting_bytes", Numeric),
    ("avg_us", Numeric),
    ("mirror_avg_us", Numeric),
    ("last", Text),
];

/// Rows of SHOW MIRRORS.
pub fn mirrors(view: &View<'_>) -> Vec<Row> {
    let config = view.process.config.load();
    let mut all: Vec<_> = (view.process.mirrors.iter())
        .map(|entry| (entry.key().clone(), entry.value().report()))
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    (all.into_iter())
        .map(|(database, report)| {
            let mirror = config
                .database(&database)
                .and_then(|entry| entry.mirror.clone());
            vec![
                database.to_string().into(),
                mirror.into(),
                report.same.into(),
                report.rows_differ.into(),
                report.errors_differ.into(),
                report.failed.into(),
                report.dropped.into(),
                report.passed_over.into(),
                report.waiting.into(),
                report.first_us.into(),
                report.second_us.into(),
                report.last.into(),
            ]
        })
        .collect()
}
