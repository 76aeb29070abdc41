//! What one execution proves by itself.

use super::super::facts::{Command, Facts, RowLock, Star};
use super::super::hit::Hit;
use super::super::observe::{Detection, Execution, Observation};
use super::super::registry;
use super::super::rule::{Confidence, Rule, Severity};
use super::super::rules::runtime;
use super::super::sensitive::Sensitive;
use super::super::thresholds::Thresholds;
use super::{detection, exempt, sensitive};

/// Columns of a result, and bytes of a row, that are too many for all of them to be needed.
const WIDE: (usize, u64) = (20, 2048);

/// Appends what it proves to `found`.
pub(super) fn look(
    seen: &Observation,
    run: &Execution,
    (thresholds, sensitive): (&Thresholds, &Sensitive),
    found: &mut Vec<Detection>,
) {
    let Some(facts) = run.profile.facts.first() else {
        return;
    };
    let took = seen.done_us.saturating_sub(seen.sent_us);
    let mut tell = |hit: Hit| found.push(detection(hit, &seen.subject, seen.conn, run, 1, took));
    match run.error.as_ref() {
        Some(b"55P03") if facts.lock != RowLock::NoWait => {
            let text = format!("It did not get a lock within {} ms.", took / 1000);
            tell(Hit::new(&runtime::CONTENTION, "", text).evidence("waited_ms", took / 1000));
        }
        Some(b"25P02") => {
            let text = "The client went on in a failed transaction.";
            tell(Hit::new(&runtime::RECURRING, "", text).evidence("sqlstate", "25P02"));
        }
        _ => {}
    }
    if run.error.is_some() || exempt(&seen.subject) {
        return;
    }
    if let Some(hit) = sensitive::read(run, facts, sensitive) {
        tell(hit);
    }
    if facts.star != Star::None
        && run.rows > 0
        && let Some(hit) = wide(run, facts)
    {
        let mut one = detection(hit, &seen.subject, seen.conn, run, 1, took);
        // The text alone was a hit, and counted.
        one.again = facts.star == Star::All;
        found.push(one);
    }
    let mut tell = |hit: Hit| found.push(detection(hit, &seen.subject, seen.conn, run, 1, took));
    let measured = |rule: &'static Rule, critical: bool, text: String| {
        let hit = Hit::new(rule, "", text)
            .evidence("ms", took / 1000)
            .evidence("wait_ms", run.wait_us / 1000)
            .evidence("rows", run.rows)
            .evidence("bytes", run.bytes);
        match critical {
            true => hit.severity(Severity::Critical),
            false => hit,
        }
    };
    let ms = took / 1000;
    let whole = facts.command == Command::Select && !facts.limited && run.fetch == 0;
    let large = whole && run.rows >= thresholds.rows;
    if is_query(facts) && ms >= thresholds.slow_ms {
        let critical = ms >= thresholds.slow_ms.saturating_mul(10);
        let mut hit = measured(&runtime::SLOW, critical, format!("It took {ms} ms."));
        if large {
            hit.suggestion.text =
                format!("It returned {} rows: see unbounded-result.", run.rows).into();
        }
        tell(hit);
    }
    if let Some(table) = facts
        .counts_all
        .as_ref()
        .filter(|_| ms >= thresholds.count_ms)
    {
        let text = format!("Full count of {table} took {ms} ms.");
        tell(measured(&runtime::COUNT, false, text).object(table.clone()));
    }
    if large {
        let critical = run.rows >= thresholds.rows.saturating_mul(10);
        let text = format!(
            "{} rows ({} KiB) returned without a limit.",
            run.rows,
            run.bytes / 1024
        );
        tell(measured(&runtime::UNBOUNDED, critical, text));
    }
}

/// A star whose result is wide: then somebody pays for columns that nobody reads.
fn wide(run: &Execution, facts: &Facts) -> Option<Hit> {
    let columns = run.result_columns().map_or(0, |columns| columns.len());
    let bytes = run.bytes / run.rows.max(1);
    if columns < WIDE.0 && bytes < WIDE.1 {
        return None;
    }
    let rule = registry::find("select-star")?;
    let (kind, name) = match facts.star {
        Star::Of => ("qualified", "t.*"),
        _ => ("", "SELECT *"),
    };
    let tables = facts.reads.join(", ");
    let text = match columns {
        0 => format!("{name} returns {bytes} bytes per row of {tables}."),
        _ => format!("{name} returns {columns} columns ({bytes} bytes per row) of {tables}."),
    };
    let mut hit = Hit::new(rule, kind, text)
        .severity(Severity::Warn)
        .confidence(Confidence::Confirmed)
        .evidence("row_bytes", bytes);
    if columns > 0 {
        hit = hit.evidence("columns", columns as u64);
    }
    // The finding of the text is about its table, and this is the same.
    hit.object = facts.star_of.clone();
    Some(hit)
}

pub(super) fn is_query(facts: &Facts) -> bool {
    matches!(
        facts.command,
        Command::Select | Command::Insert | Command::Update | Command::Delete | Command::Merge
    )
}
