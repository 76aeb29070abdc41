//! SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS.
//!
//! What is counted is one list, `COUNTED`; the four results are cut from it.

use super::{CONSOLE, View, databases};
use crate::admin::Shared;
use crate::admin::averages::{Average, ByDatabase};
use crate::admin::table::Kind::{Numeric, Text};
use crate::admin::table::{Column, Row, Value};
use crate::control::Snapshot;
use crate::pool::stats::Totals;

/// One thing that is counted.
struct Counted {
    /// Behind `total_` and `avg_` in SHOW TOTALS.
    in_totals: &'static str,
    total: fn(&Totals) -> u64,
    average: fn(&Average) -> u64,
}

const COUNTED: [Counted; 12] = [
    Counted {
        in_totals: "server_assignment_count",
        total: |t| t.assignments,
        average: |a| a.assignments,
    },
    Counted {
        in_totals: "xact_count",
        total: |t| t.xacts,
        average: |a| a.xacts,
    },
    Counted {
        in_totals: "query_count",
        total: |t| t.queries,
        average: |a| a.queries,
    },
    Counted {
        in_totals: "client_bytes",
        total: |t| t.received,
        average: |a| a.received,
    },
    Counted {
        in_totals: "server_bytes",
        total: |t| t.sent,
        average: |a| a.sent,
    },
    Counted {
        in_totals: "xact_time",
        total: |t| t.xact_us,
        average: |a| a.xact_us,
    },
    Counted {
        in_totals: "query_time",
        total: |t| t.query_us,
        average: |a| a.query_us,
    },
    Counted {
        in_totals: "wait_time",
        total: |t| t.wait_us,
        average: |a| a.wait_us,
    },
    Counted {
        in_totals: "ps_client_parse_count",
        total: |t| t.client_parses,
        average: |a| a.client_parses,
    },
    Counted {
        in_totals: "ps_server_parse_count",
        total: |t| t.server_parses,
        average: |a| a.server_parses,
    },
    Counted {
        in_totals: "ps_bind_count",
        total: |t| t.binds,
        average: |a| a.binds,
    },
    Counted {
        in_totals: "client_login_count",
        total: |t| t.logins,
        average: |a| a.logins,
    },
];

/// Columns of SHOW STATS.
pub const STATS: &[Column] = &[
    ("database", Text),
    ("total_server_assignment_count", Numeric),
    ("total_xact_count", Numeric),
    ("total_query_count", Numeric),
    ("total_received", Numeric),
    ("total_sent", Numeric),
    ("total_xact_time", Numeric),
    ("total_query_time", Numeric),
    ("total_wait_time", Numeric),
    ("total_client_parse_count", Numeric),
    ("total_server_parse_count", Numeric),
    ("total_bind_count", Numeric),
    ("total_client_login_count", Numeric),
    ("avg_server_assignment_count", Numeric),
    ("avg_xact_count", Numeric),
    ("avg_query_count", Numeric),
    ("avg_recv", Numeric),
    ("avg_sent", Numeric),
    ("avg_xact_time", Numeric),
    ("avg_query_time", Numeric),
    ("avg_wait_time", Numeric),
    ("avg_client_parse_count", Numeric),
    ("avg_server_parse_count", Numeric),
    ("avg_bind_count", Numeric),
    ("avg_client_login_count", Numeric),
];

/// Columns of SHOW STATS_TOTALS.
pub const TOTALS: &[Column] = &[
    ("database", Text),
    ("server_assignment_count", Numeric),
    ("xact_count", Numeric),
    ("query_count", Numeric),
    ("bytes_received", Numeric),
    ("bytes_sent", Numeric),
    ("xact_time", Numeric),
    ("query_time", Numeric),
    ("wait_time", Numeric),
    ("client_parse_count", Numeric),
    ("server_parse_count", Numeric),
    ("bind_count", Numeric),
    ("client_login_count", Numeric),
];

/// Columns of SHOW STATS_AVERAGES; that only some begin with `avg_` is PgBouncer's habit.
pub const AVERAGES: &[Column] = &[
    ("database", Text),
    ("server_assignment_count", Numeric),
    ("xact_count", Numeric),
    ("query_count", Numeric),
    ("bytes_received", Numeric),
    ("bytes_sent", Numeric),
    ("xact_time", Numeric),
    ("query_time", Numeric),
    ("wait_time", Numeric),
    ("avg_client_parse_count", Numeric),
    ("avg_server_parse_count", Numeric),
    ("avg_bind_count", Numeric),
    ("avg_client_login_count", Numeric),
];

/// Totals of each database that has a pool, and of the console.
pub fn by_database(snapshot: &Snapshot, console: &Shared) -> ByDatabase {
    let mut all = ByDatabase::new();
    for pool in &snapshot.pools {
        all.entry(pool.key.database.to_string())
            .or_default()
            .add(&pool.totals);
    }
    all.insert(CONSOLE.to_owned(), console.sessions.totals());
    all
}

/// As [`by_database`], with zeros for databases that have no pool yet.
fn every_database(view: &View<'_>) -> ByDatabase {
    let mut all = by_database(view.snapshot, view.console);
    for name in databases::names(view) {
        all.entry(name).or_default();
    }
    all
}

fn rows(view: &View<'_>, with_totals: bool, with_averages: bool) -> Vec<Row> {
    every_database(view)
        .into_iter()
        .map(|(database, totals)| {
            let average = view.console.averages.of(&database);
            let mut row: Row = vec![database.into()];
            if with_totals {
                row.extend(COUNTED.iter().map(|c| Value::from((c.total)(&totals))));
            }
            if with_averages {
                row.extend(COUNTED.iter().map(|c| Value::from((c.average)(&average))));
            }
            row
        })
        .collect()
}

/// Rows of SHOW STATS, by database.
pub fn stats(view: &View<'_>) -> Vec<Row> {
    rows(view, true, true)
}

/// Rows of SHOW STATS_TOTALS, by database.
pub fn totals(view: &View<'_>) -> Vec<Row> {
    rows(view, true, false)
}

/// Rows of SHOW STATS_AVERAGES, by database.
pub fn averages(view: &View<'_>) -> Vec<Row> {
    rows(view, false, true)
}

/// Rows of SHOW TOTALS; the last, errors of ours that clients got, is ours too.
pub fn grand_totals(view: &View<'_>) -> Vec<Row> {
    let mut sum = Totals::default();
    for totals in by_database(view.snapshot, view.console).values() {
        sum.add(totals);
    }
    let average = view.console.averages.of_all();
    let totals = COUNTED.iter().map(|counted| {
        let name = format!("total_{}", counted.in_totals);
        vec![name.into(), Value::from((counted.total)(&sum))]
    });
    let averages = COUNTED.iter().map(|counted| {
        let name = format!("avg_{}", counted.in_totals);
        vec![name.into(), Value::from((counted.average)(&average))]
    });
    let errors = vec!["total_client_error_count".into(), Value::from(sum.errors)];
    totals.chain(averages).chain([errors]).collect()
}
