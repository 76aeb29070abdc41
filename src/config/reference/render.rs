//! The reference as a TOML file with comments and as Markdown.

use std::fmt::Write as _;

use super::super::document::Dialect;
use super::{Key, Slot, keys};

/// Column at which comments are broken.
const WIDTH: usize = 96;

/// The text of `conf/pgweir.toml`: every key with its default, commented out, below what it does.
/// As it is, it is a complete configuration with only defaults that forwards every database to
/// 127.0.0.1:5432.
pub fn toml() -> String {
    let mut out = String::new();
    comment(
        &mut out,
        "pgweir's configuration: every key with its default. Generated from the reference by `pgweir config-reference --toml`. A key that is commented out has the value shown. Check a file with `pgweir check FILE`; SIGHUP or RELOAD on the console applies changes, except to keys marked \"restart\".",
    );
    out.push_str("#\n");
    comment(
        &mut out,
        "Durations: a number of seconds, or text with us, ms, s, min, h or d. Sizes: a number of bytes, or text with kB, MB or GB. Names, units and defaults are PgBouncer's; where a default differs the reason stands below it.",
    );
    out.push_str("#\n");
    comment(
        &mut out,
        "Without auth_type and auth_file the login follows the environment: with PGPASSWORD set, one user (PGUSER, else USER) with that password, which is also used towards the server; otherwise every user is let in from this machine and the server decides.",
    );
    out.push_str("\n[pgweir]\n");
    for key in keys().filter(|key| matches!(key.slot, Slot::Process(_))) {
        entry(&mut out, key, "#");
    }
    out.push_str("\n# Any database that has no section of its own.\n");
    out.push_str("[databases.\"*\"]\nhost = \"127.0.0.1\"\nport = 5432\n");
    out.push_str("\n# One database: the name that clients use.\n#[databases.NAME]\n");
    for key in keys().filter(|key| matches!(key.slot, Slot::Database(_))) {
        entry(&mut out, key, "#");
    }
    out.push_str("\n# Overrides for one user: the login name.\n#[users.NAME]\n");
    for key in keys().filter(|key| matches!(key.slot, Slot::User(_))) {
        entry(&mut out, key, "#");
    }
    out
}

/// The reference as a Markdown page: one heading per section, one per key.
pub fn markdown() -> String {
    let mut out = String::from("# Configuration reference\n");
    let mut section = "";
    for key in keys() {
        if key.section() != section {
            section = key.section();
            let _ = write!(out, "\n## `[{section}]`\n");
        }
        let _ = write!(out, "\n### `{}`\n\n{}\n\n", key.name, key.doc);
        let _ = writeln!(out, "- Type: {}", key.kind());
        let _ = writeln!(out, "- Default: {}", shown(key.default_in(Dialect::Toml)));
        if let Some((_, why)) = key.toml_default {
            let _ = writeln!(
                out,
                "- Default in a `pgbouncer.ini`: {}. Why it differs: {why}.",
                shown(key.default)
            );
        }
        let _ = writeln!(out, "- Applied by: {}", applied(key));
        let origin = match (key.in_pgbouncer, key.alias) {
            (true, Some(alias)) => format!("`{}`, also `{alias}`", key.name),
            (true, None) => format!("`{}`", key.name),
            (false, _) => "no such key".to_owned(),
        };
        let _ = writeln!(out, "- PgBouncer: {origin}");
    }
    out
}

fn shown(default: &str) -> String {
    if default.is_empty() {
        "not set".into()
    } else {
        format!("`{default}`")
    }
}

fn applied(key: &Key) -> &'static str {
    if key.reloadable { "reload" } else { "restart" }
}

fn entry(out: &mut String, key: &Key, mark: &str) {
    out.push('\n');
    comment(out, key.doc);
    let mut facts = key.kind();
    if !key.reloadable {
        facts.push_str("; restart");
    }
    if let Some((_, why)) = key.toml_default {
        let pgbouncer = match (key.default, key.in_pgbouncer) {
            ("", true) => "PgBouncer: not set",
            ("", false) => "With a pgbouncer.ini: not set",
            (default, _) => &format!("PgBouncer: {default}"),
        };
        let _ = write!(facts, ". {pgbouncer}; {why}");
    }
    comment(out, &format!("({facts}.)"));
    let _ = writeln!(out, "{mark}{} = {}", key.name, toml_value(key));
}

fn toml_value(key: &Key) -> String {
    let default = key.default_in(Dialect::Toml);
    let (bare, boolean, table) = match &key.slot {
        Slot::Process(field) => (
            field.is_bare_in_toml(default),
            matches!(field, super::Field::Bool(_)),
            false,
        ),
        Slot::Database(field) => (
            field.is_bare_in_toml(default),
            false,
            matches!(field, super::Field::Params(_)),
        ),
        Slot::User(field) => (field.is_bare_in_toml(default), false, false),
    };
    match default {
        _ if table => "{}".into(),
        "1" if boolean => "true".into(),
        "0" if boolean => "false".into(),
        // No default: the section decides nothing, so there is no value to show.
        "" if !matches!(key.slot, Slot::Process(_)) => "…".into(),
        value if bare => value.into(),
        value => toml::Value::from(value).to_string(),
    }
}

fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}
