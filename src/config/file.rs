//! pgweir's own file: TOML to a [`Document`].
//!
//! ```toml
//! [pgweir]
//! pool_mode = "transaction"
//!
//! [databases.app]
//! host = "db1.example"
//!
//! [users.reports]
//! query_timeout = "5min"
//! ```

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::document::{Dialect, Document, Entry, Place, Raw, Section};
use super::suggest::nearest;
use super::{audit, lint};

/// The sections of the file.
const SECTIONS: [&str; 6] = ["pgweir", "databases", "users", "peers", "lint", "audit"];

/// Reads TOML. Mistakes of form are recorded in the document with all that could be read besides.
pub fn parse(file: &str, text: &str) -> Document {
    let mut document = Document::new(Dialect::Toml, file);
    let lines = Lines::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = error.span().map(|span| lines.place(span.start));
        // The parser's messages name tokens, never values, so no password can be in one.
        document.fault(
            place.unwrap_or_default(),
            "",
            format!("not valid TOML: {}", error.message()),
        );
    }
    for (name, value) in in_order(root.get_ref()) {
        let place = lines.place(name.span().start);
        let name: &str = name.get_ref();
        if !SECTIONS.contains(&name) {
            document.fault(place, name, unknown_section(name));
            continue;
        }
        let DeValue::Table(table) = value.get_ref() else {
            document.fault(
                place,
                name,
                format!("is a section; write [{}]", section_form(name)),
            );
            continue;
        };
        if name == "pgweir" {
            entries(&mut document, &lines, &Section::Process, table);
            continue;
        }
        if matches!(name, "lint" | "audit") {
            named_entries(&mut document, &lines, name, table);
            continue;
        }
        for (item, value) in in_order(table) {
            let place = lines.place(item.span().start);
            let item_name = item.get_ref().to_string();
            let section = match name {
                "databases" => Section::Database(item_name.clone()),
                "peers" => Section::Peer(item_name.clone()),
                _ => Section::User(item_name.clone()),
            };
            match value.get_ref() {
                DeValue::Table(table) => {
                    document.declared.push((section.clone(), place));
                    entries(&mut document, &lines, &section, table);
                }
                _ => document.fault(
                    place,
                    section.path(""),
                    format!(
                        "is a section; write [{name}.NAME] and the keys below, or {item_name:?} = {{ … }}"
                    ),
                ),
            }
        }
    }
    document
}

fn unknown_section(name: &str) -> String {
    if name == "pgbouncer" {
        return "is called [pgweir] in a TOML file".into();
    }
    if let Some(near) = nearest(name, SECTIONS) {
        return format!("unknown section; did you mean [{}]?", section_form(near));
    }
    if super::reference::find(&Section::Process, name).is_some() {
        return "belongs into a section; write [pgweir] above it".into();
    }
    "unknown section; there are [pgweir], [databases.NAME], [users.NAME], [peers.N], [lint] and [audit]".into()
}

fn section_form(name: &str) -> &'static str {
    match name {
        "databases" => "databases.NAME",
        "users" => "users.NAME",
        "peers" => "peers.N",
        "lint" => "lint",
        "audit" => "audit",
        _ => "pgweir",
    }
}

fn entries(document: &mut Document, lines: &Lines<'_>, section: &Section, table: &DeTable<'_>) {
    for (key, value) in in_order(table) {
        document.entries.push(Entry {
            section: section.clone(),
            key: key.get_ref().to_string(),
            value: raw(lines, value),
            place: lines.place(key.span().start),
        });
    }
}

/// `[lint]` and `[audit]`: their plain keys are keys of `[pgweir]` under shorter names.
fn named_entries(document: &mut Document, lines: &Lines<'_>, section: &str, table: &DeTable<'_>) {
    for (key, value) in in_order(table) {
        let name: &str = key.get_ref();
        let entry = Entry {
            section: Section::Process,
            key: name.to_owned(),
            value: raw(lines, value),
            place: lines.place(key.span().start),
        };
        match (section, name) {
            ("lint", "rules" | "override" | "firewall") => document.lint.push(entry),
            ("audit", "override") => document.audit.push(entry),
            _ => {
                let key = match section {
                    "lint" => lint::alias(name),
                    _ => audit::alias(name),
                };
                document.entries.push(Entry { key, ..entry });
            }
        }
    }
}

fn raw(lines: &Lines<'_>, value: &Spanned<DeValue<'_>>) -> Raw {
    match value.get_ref() {
        DeValue::String(text) => Raw::Text(Zeroizing::new(text.to_string())),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) => Raw::Int {
                value,
                octal: number.radix() == 8,
            },
            Err(_) => Raw::Other("a number beyond 64 bits"),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(value) => Raw::Float(value),
            Err(_) => Raw::Other("a number that cannot be read"),
        },
        DeValue::Boolean(value) => Raw::Bool(*value),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(items) => Raw::List(items.iter().map(|item| raw(lines, item)).collect()),
        DeValue::Table(table) => Raw::Table(
            in_order(table)
                .into_iter()
                .map(|(key, value)| {
                    let place = lines.place(key.span().start);
                    (key.get_ref().to_string(), raw(lines, value), place)
                })
                .collect(),
        ),
    }
}

/// The entries of a table in the order of the file; the parser sorts them by name.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(
    &'t Spanned<std::borrow::Cow<'i, str>>,
    &'t Spanned<DeValue<'i>>,
)> {
    let mut all: Vec<_> = table.iter().collect();
    all.sort_by_key(|(key, _)| key.span().start);
    all
}

/// Finds line and column of a byte.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(ends).collect(),
        }
    }

    fn place(&self, byte: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = line
            .checked_sub(1)
            .and_then(|index| self.starts.get(index))
            .copied()
            .unwrap_or(0);
        let before = self.text.get(start..byte).map_or(0, |t| t.chars().count());
        Place {
            file: 0,
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: Some(u32::try_from(before + 1).unwrap_or(u32::MAX)),
        }
    }
}

#[cfg(test)]
mod tests;
