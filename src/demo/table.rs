//! The demo's result as an aligned table.

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};

use super::failover::Outcome as Changed;
use super::load::Outcome;
use super::shop::Told;

/// One line per run, numbers to the right.
pub(super) fn render(rows: &[Outcome]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_header([
            "workload",
            "clients",
            "server connections",
            "transactions",
            "per second",
            "p50 ms",
            "p99 ms",
        ]);
    for row in rows {
        table.add_row([
            row.name.to_owned(),
            row.clients.to_string(),
            row.servers
                .map_or_else(|| "?".to_owned(), |n| n.to_string()),
            row.transactions.to_string(),
            format!("{:.0}", row.tps),
            milliseconds(row.p50),
            milliseconds(row.p99),
        ]);
    }
    // Without the intersections too, the lines between rows would leave their dots behind.
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// One block per finding: what, how often, where, and what to do instead.
pub(super) fn findings(all: &[Told]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["found", "times", "in", "instead"]);
    // A terminal has its own width; into a file it may be wide.
    if table.width().is_none() {
        table.set_width(150);
    }
    for one in all {
        let place = match one.parent.is_empty() {
            true => one.query.clone(),
            false => format!("{}\nafter {}", one.query, one.parent),
        };
        table.add_row([
            format!("{} {}\n{}", one.severity, one.rule, one.message),
            one.count.clone(),
            place,
            one.instead.clone(),
        ]);
    }
    table.set_style(TableComponent::MiddleIntersections, '─');
    if let Some(times) = table.column_mut(1) {
        times.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Who ran what before and after the primary changed, and what clients saw of it.
pub(super) fn failover(outcome: &Changed) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(["server", "before", "transactions", "after", "transactions"]);
    for one in &outcome.servers {
        table.add_row([
            one.name.clone(),
            one.before.0.clone(),
            one.before.1.to_string(),
            one.after.0.clone(),
            one.after.1.to_string(),
        ]);
    }
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    for at in [2, 4] {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut runs = Table::new();
    runs.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "clients",
        "transactions",
        "failed",
        "per second, second by second",
    ]);
    for run in &outcome.runs {
        let seconds: Vec<String> = run.seconds.iter().map(|tps| format!("{tps:.0}")).collect();
        runs.add_row([
            run.name.to_owned(),
            run.done.to_string(),
            run.failed.to_string(),
            seconds.join("  "),
        ]);
    }
    runs.remove_style(TableComponent::HorizontalLines);
    runs.remove_style(TableComponent::MiddleIntersections);
    for at in [1, 2] {
        if let Some(column) = runs.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n{runs}\n{}", outcome.said)
}

fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:02}", microseconds / 1000, microseconds % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_a_line() {
        let served = crate::demo::failover::Served {
            name: "127.0.0.1:5001".to_owned(),
            before: ("primary".to_owned(), 42),
            after: ("fenced".to_owned(), 0),
        };
        let run = crate::demo::failover::Run {
            name: "4 clients",
            done: 4711,
            failed: 3,
            seconds: vec![100.4, 7.0],
        };
        let text = failover(&Changed {
            servers: vec![served.clone(), served],
            runs: vec![run],
            said: "it is done".to_owned(),
        });
        // Three lines frame each header, one ends each table.
        assert_eq!(text.lines().count(), 6 + 5 + 1, "{text}");
        for part in [
            "5001",
            "primary",
            "42",
            "fenced",
            "it is done",
            "4711",
            " 3 ",
            "100  7",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn every_run_is_a_line() {
        let row = Outcome {
            name: "read",
            clients: 20,
            servers: Some(8),
            transactions: 4000,
            tps: 1000.4,
            p50: 1503,
            p99: 20_060,
        };
        let text = render(&[row.clone(), row]).to_string();
        // Three lines frame the header, one ends the table.
        assert_eq!(text.lines().count(), 6, "{text}");
        for part in ["read", "20", "8", "1000", "1.50", "20.06"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
