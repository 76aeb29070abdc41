//! What the rules say of themselves: one, a table of all, and the page docs/rules.md.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, TableComponent, presets};

use crate::lint::registry;
use crate::lint::rule::{Kind, Rule};
use crate::lint::thresholds;

/// An aligned table with lines above and below its header only.
pub(super) fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(header.to_vec());
    // Without the intersections too, the lines between rows would leave their dots behind.
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    table
}

fn switch(rule: &Rule) -> &'static str {
    match rule.on {
        true => "on",
        false if rule.kinds.iter().any(|kind| kind.on == Some(true)) => "in part",
        false => "off",
    }
}

/// What a kind is, and whether it differs from its rule in being on.
fn described(rule: &Rule, kind: &Kind) -> String {
    match kind.on {
        Some(on) if on != rule.on => format!("{} ({})", kind.doc, if on { "on" } else { "off" }),
        _ => kind.doc.to_owned(),
    }
}

/// All rules, a line each.
#[must_use]
pub fn table(rules: &[&Rule]) -> String {
    let mut table = plain(&[
        "rule", "code", "class", "severity", "default", "enforce", "title",
    ]);
    for rule in rules {
        let code = code(rule);
        table.add_row([
            rule.id,
            &code,
            rule.class.as_str(),
            rule.severity.as_str(),
            switch(rule),
            rule.enforce.as_str(),
            rule.title,
        ]);
    }
    format!("{table}\n\npgweir explain RULE tells more.\n")
}

fn code(rule: &Rule) -> String {
    rule.sqlstate().iter().map(|&b| char::from(b)).collect()
}

/// The documentation's paragraphs, each on one line.
#[must_use]
pub fn paragraphs(rule: &Rule) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in rule.doc {
        let line = line.trim();
        match found.last_mut() {
            Some(last) if !line.is_empty() => {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.push_str(line);
            }
            _ => found.push(String::new()),
        }
    }
    found.retain(|paragraph| !paragraph.is_empty());
    found
}

/// Everything about one rule, for a terminal.
#[must_use]
pub fn rule(rule: &Rule) -> String {
    // Writing to a string cannot fail.
    let mut out = String::new();
    let _ = writeln!(out, "{}: {}\n", rule.id, rule.title);
    let facts = [
        ("class", rule.class.as_str().to_owned()),
        ("severity", rule.severity.as_str().to_owned()),
        ("default", switch(rule).to_owned()),
        ("enforce", rule.enforce.as_str().to_owned()),
        ("code", code(rule)),
    ];
    for (name, value) in facts {
        let _ = writeln!(out, "  {name:<9} {value}");
    }
    for paragraph in paragraphs(rule) {
        let _ = write!(out, "\n{}", wrapped(&paragraph, 80));
    }
    let _ = write!(
        out,
        "\nInstead: {}",
        wrapped(rule.remedy, 71)
            .replace('\n', "\n         ")
            .trim_end()
    );
    out.push('\n');
    section(
        &mut out,
        "Kinds",
        rule.kinds
            .iter()
            .map(|kind| (kind.name.to_owned(), described(rule, kind))),
    );
    let numbers: Vec<_> = thresholds::table().filter(|row| row.0 == rule.id).collect();
    section(
        &mut out,
        "Numbers",
        (numbers.iter())
            .map(|(_, name, default, _, doc)| (format!("{name} = {default}"), doc.clone())),
    );
    if !rule.examples.is_empty() {
        out.push_str("\nExamples:\n");
        for example in rule.examples {
            let _ = writeln!(out, "  bad   {}", example.bad.replace('\n', "\n        "));
            if !example.good.is_empty() {
                let _ = writeln!(out, "  good  {}", example.good.replace('\n', "\n        "));
            }
        }
    }
    if !rule.sources.is_empty() {
        out.push_str("\nRead more:\n");
        for source in rule.sources {
            let _ = writeln!(out, "  {source}");
        }
    }
    out
}

fn section(out: &mut String, title: &str, rows: impl Iterator<Item = (String, String)>) {
    let rows: Vec<_> = rows.collect();
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    if !rows.is_empty() {
        let _ = writeln!(out, "\n{title}:");
    }
    for (name, doc) in rows {
        let _ = writeln!(out, "  {name:<width$}  {doc}");
    }
}

/// Lines of at most `width` characters, broken at blanks.
fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let len = word.chars().count();
        if used > 0 && used + 1 + len > width {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += len;
    }
    out.push('\n');
    out
}

/// The page docs/rules.md.
#[must_use]
pub fn page() -> String {
    let rules = registry::all();
    let mut out = String::from(
        "# Rules\n\nThe anti-patterns that pgweir knows. `pgweir explain RULE` prints one of them, \
         `pgweir lint FILE` looks for them in a file. A rule that is off by default is on in \
         `pgweir lint --rules RULE`.\n\nA comment in a statement silences rules for it, except those of the class \
         security: `/* lint:ignore=RULE,RULE reason='why' */`, `-- lint:ignore=*`, or as a tag of sqlcommenter, \
         `/*lint_ignore='RULE%2CRULE'*/`. `SET lint.ignore = 'RULE, RULE'` does it for a session, `SET LOCAL` for a \
         transaction; it needs no entry on the server.\n\n| rule | code | class | severity | default | enforce | title |\n|---|---|---|---|---|---|---|\n",
    );
    for rule in rules {
        let _ = writeln!(
            out,
            "| [`{id}`](#{id}) | {} | {} | {} | {} | {} | {} |",
            code(rule),
            rule.class.as_str(),
            rule.severity.as_str(),
            switch(rule),
            rule.enforce.as_str(),
            rule.title.replace('|', "\\|"),
            id = rule.id,
        );
    }
    for rule in rules {
        entry(&mut out, rule);
    }
    out
}

fn entry(out: &mut String, rule: &Rule) {
    let _ = writeln!(out, "\n## {}\n\n**{}.**", rule.id, rule.title);
    for paragraph in paragraphs(rule) {
        let _ = writeln!(out, "\n{paragraph}");
    }
    let _ = writeln!(out, "\n*Instead:* {}", rule.remedy);
    if !rule.kinds.is_empty() {
        out.push_str("\n| kind | what |\n|---|---|\n");
        for kind in rule.kinds {
            let _ = writeln!(
                out,
                "| `{}` | {} |",
                kind.name,
                described(rule, kind).replace('|', "\\|")
            );
        }
    }
    let mut numbers = thresholds::table()
        .filter(|row| row.0 == rule.id)
        .peekable();
    if numbers.peek().is_some() {
        out.push_str("\n| number | default | what |\n|---|---:|---|\n");
    }
    for (_, name, default, _, doc) in numbers {
        let _ = writeln!(out, "| `{name}` | {default} | {doc} |");
    }
    for example in rule.examples {
        let _ = write!(out, "\n```sql\n-- bad\n{}\n", example.bad);
        if !example.good.is_empty() {
            let _ = write!(out, "-- good\n{}\n", example.good);
        }
        out.push_str("```\n");
    }
    if !rule.sources.is_empty() {
        let links: Vec<_> = rule
            .sources
            .iter()
            .map(|source| format!("<{source}>"))
            .collect();
        let _ = writeln!(out, "\nRead more: {}", links.join(", "));
    }
}

/// Numbers to the right, from the second column on.
pub(super) fn align_numbers(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
