//! Findings of files as text for people and as JSON lines.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use crate::lint::rule::Severity;

use super::finding;
use super::script::Finding;

/// A file and what was found in it.
#[derive(Clone, Debug)]
pub struct Source {
    /// As the user called it.
    pub name: String,
    /// Its text.
    pub text: String,
    /// In the order of their places.
    pub findings: Vec<Finding>,
}

/// Longest part of a source line that is shown, in characters.
const WIDTH: usize = 120;

/// Where the lines of a text begin, so that many places are found quickly.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// The lines of this text.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let behind = text.match_indices('\n').map(|(at, _)| at + 1);
        Lines {
            text,
            starts: std::iter::once(first_line(text)).chain(behind).collect(),
        }
    }

    /// Line and column of a byte, both from 1; columns are characters.
    #[must_use]
    pub fn position(&self, at: usize) -> (usize, usize) {
        let at = floor(self.text, at);
        let line = self.starts.partition_point(|&start| start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or_default();
        let column = before.chars().count() + 1;
        (line, column)
    }
}

/// Where the first line begins: behind a byte order mark.
fn first_line(text: &str) -> usize {
    text.len() - text.trim_start_matches('\u{feff}').len()
}

/// The last place at or before `at` where a character begins.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What a finding costs, and how to do better, with the line underlined.
#[must_use]
pub fn text(source: &Source, colour: bool) -> String {
    let mut out = String::new();
    let lines = Lines::of(&source.text);
    for finding in &source.findings {
        let hit = &finding.hit;
        let (line, column) = lines.position(finding.span.start as usize);
        let (on, off) = match (colour, hit.severity) {
            (false, _) => ("", ""),
            (true, Severity::Critical) => ("\x1b[1;31m", "\x1b[0m"),
            (true, Severity::Warn) => ("\x1b[1;33m", "\x1b[0m"),
            (true, Severity::Info) => ("\x1b[1;36m", "\x1b[0m"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{}:{line}:{column}: {on}{}{off} {}: {}",
            source.name,
            hit.severity.as_str(),
            hit.rule.id,
            hit.message
        );
        let _ = writeln!(out, "    {}", hit.suggestion.text);
        for (label, more) in [
            ("instead", &hit.suggestion.sql),
            ("in code", &hit.suggestion.framework),
        ] {
            if let Some(more) = more {
                let _ = writeln!(out, "    {label}: {more}");
            }
        }
        let (shown, marks) = excerpt(&source.text, finding);
        let _ = writeln!(out, "  {line:>5} | {shown}\n        | {on}{marks}{off}");
    }
    out
}

/// The line of a finding and what stands below it; tabs as blanks, a long line shortened.
fn excerpt(text: &str, finding: &Finding) -> (String, String) {
    let start = floor(text, finding.span.start as usize);
    let line_start = text[..start]
        .rfind('\n')
        .map_or(first_line(text).min(start), |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let end = floor(text, (finding.span.end as usize).clamp(start, line_end)).max(start);
    let before = text[line_start..start].chars().count();
    // Blanks at the end of the span are not worth a mark.
    let marked = text[start..end].trim_end().chars().count().max(1);
    let skipped = before.saturating_sub(WIDTH / 2);
    let cut = if skipped > 0 { "…" } else { "" };
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let line = text[line_start..line_end].trim_end();
    let shown: String = line
        .chars()
        .skip(skipped)
        .take(WIDTH)
        .map(visible)
        .collect();
    let room = WIDTH.saturating_sub(before - skipped).max(1);
    let rest = if line.chars().count() > skipped + WIDTH {
        "…"
    } else {
        ""
    };
    let indent = before - skipped + cut.chars().count();
    (
        format!("{cut}{shown}{rest}"),
        format!("{}{}", " ".repeat(indent), "^".repeat(marked.min(room))),
    )
}

/// Findings of an audit trail as a table, with what they cost.
#[must_use]
pub fn played(findings: &[crate::audit::finding::Finding]) -> String {
    use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
    if findings.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["found", "times", "server ms", "in", "instead"]);
    // A terminal has its own width; into a file it may be wide.
    if table.width().is_none() {
        table.set_width(160);
    }
    for one in findings {
        let place = match one.parent.is_empty() {
            true => one.query.to_string(),
            false => format!("{}\nafter {}", one.query, one.parent),
        };
        let hit = &one.hit;
        table.add_row([
            format!(
                "{} {} ({})\n{}",
                hit.severity.as_str(),
                hit.rule.id,
                hit.confidence.as_str(),
                hit.message
            ),
            one.count.to_string(),
            format!("{:.1}", one.cost.server_us as f64 / 1000.0),
            format!(
                "{place}\n{}/{} {}",
                one.subject.database, one.subject.user, one.subject.app
            ),
            hit.suggestion.text.to_string(),
        ]);
    }
    table.remove_style(TableComponent::MiddleIntersections);
    for column in [1, 2] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n")
}

/// One object per line. Spans count bytes of the file.
#[must_use]
pub fn json(source: &Source) -> String {
    let mut out = String::new();
    let lines = Lines::of(&source.text);
    for finding in &source.findings {
        let hit = &finding.hit;
        let (line, column) = lines.position(finding.span.start as usize);
        let mut object = finding::object(hit);
        let bytes = |span: crate::lint::hit::Span| json!({"start": span.start, "end": span.end});
        for (name, value) in [
            ("file", json!(source.name)),
            ("line", json!(line)),
            ("col", json!(column)),
            ("class", json!(hit.rule.class.as_str())),
            ("span", bytes(finding.span)),
            ("statement", bytes(finding.statement)),
            ("object", json!(hit.object)),
            (
                "suggestion",
                json!({
                    "text": hit.suggestion.text,
                    "sql": hit.suggestion.sql,
                    "framework": hit.suggestion.framework,
                }),
            ),
        ] {
            object.insert(name.to_owned(), value);
        }
        let _ = writeln!(out, "{}", Json::Object(object));
    }
    out
}
