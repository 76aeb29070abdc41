//! The view as text, for pipes and files: the head, then screens, once.

use std::fmt::Write as _;

use super::format::{Unit, number};
use super::screens::{Cell, Column, Line, Screen};
use super::totals::Totals;

/// Widest cell of a text that is not the last of its line.
const WIDEST: usize = 32;

/// The head in one line.
pub fn head(totals: &Totals) -> String {
    let rate = |value: Option<f64>| value.map_or("-".to_owned(), |v| number(v, Unit::Rate));
    let time = |value: Option<f64>| value.map_or("-".to_owned(), |v| number(v, Unit::Micros));
    let mut line = format!(
        "tx/s {}  queries/s {} of {}  errors/s {}  clients {}  waiting {}",
        rate(totals.transactions),
        rate(totals.queries),
        time(totals.query_us),
        rate(totals.errors),
        totals.clients,
        totals.waiting,
    );
    // Writing to a String cannot fail.
    if totals.waiting > 0 {
        let _ = write!(line, " (longest {})", time(Some(totals.longest_us)));
    }
    let _ = write!(line, "  servers {} of {} busy", totals.busy, totals.servers);
    if let Some(paused) = &totals.paused {
        let _ = write!(line, "  PAUSED: {paused}");
    }
    if !totals.phase.is_empty() {
        let _ = write!(line, "  {}", totals.phase);
    }
    line
}

/// A cell as text.
pub fn cell(column: &Column, cell: &Cell) -> String {
    match (cell, column.unit) {
        (Cell::Text(text), _) => text.clone(),
        (Cell::Number(value), Some(unit)) => number(*value, unit),
        (Cell::Number(value), None) => value.to_string(),
        (Cell::Nothing, Some(_)) => "-".to_owned(),
        (Cell::Nothing, None) => String::new(),
    }
}

/// A screen: titles and at most `most` lines; with those beyond it counted.
pub fn table(screen: &Screen, lines: &[Line], most: usize) -> String {
    let shown = lines.get(..most).unwrap_or(lines);
    let texts = |line: &Line| -> Vec<String> {
        let cells = screen.columns.iter().zip(&line.cells);
        cells.map(|(column, value)| cell(column, value)).collect()
    };
    let rows: Vec<Vec<String>> = shown.iter().map(texts).collect();
    let last = screen.columns.len().saturating_sub(1);
    let width = |at: usize, column: &Column| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        let widest = cells.map(|text| text.chars().count()).max().unwrap_or(0);
        widest.min(WIDEST).max(column.title.len())
    };
    let widths: Vec<usize> = (screen.columns.iter().enumerate())
        .map(|(at, column)| width(at, column))
        .collect();
    let mut out = String::new();
    let titles: Vec<String> = (screen.columns.iter())
        .map(|column| column.title.to_owned())
        .collect();
    for row in std::iter::once(&titles).chain(&rows) {
        let mut written = String::new();
        for (at, ((text, column), &width)) in
            row.iter().zip(screen.columns).zip(&widths).enumerate()
        {
            if at > 0 {
                written.push_str("  ");
            }
            let text = match at == last {
                true => text.clone(),
                false => cut(text, width),
            };
            let _ = match column.unit {
                Some(_) => write!(written, "{text:>width$}"),
                None => write!(written, "{text:width$}"),
            };
        }
        out.push_str(written.trim_end());
        out.push('\n');
    }
    if lines.len() > shown.len() {
        let _ = writeln!(out, "… {} more", lines.len() - shown.len());
    }
    out
}

/// The beginning of a text that is too long.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain(std::iter::once('…')).collect()
}
