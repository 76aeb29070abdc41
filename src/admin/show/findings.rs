//! SHOW FINDINGS and SHOW RULES.

use std::time::SystemTime;

use super::View;
use crate::admin::table::Kind::{Numeric, Text};
use crate::admin::table::{Column, Row};
use crate::audit::finding::Finding;
use crate::audit::findings::Findings;
use crate::calendar;
use crate::lint::observe::Subject;
use crate::lint::registry;

/// Columns of SHOW FINDINGS.
pub const FINDINGS: &[Column] = &[
    ("id", Text),
    ("severity", Text),
    ("confidence", Text),
    ("rule", Text),
    ("kind", Text),
    ("count", Numeric),
    ("database", Text),
    ("app", Text),
    ("action", Text),
    ("round_trips", Numeric),
    ("server_us", Numeric),
    ("rows", Numeric),
    ("first_seen", Text),
    ("last_seen", Text),
    ("message", Text),
    ("evidence", Text),
    ("query", Text),
    ("parent_query", Text),
    ("suggestion", Text),
    ("suggested_sql", Text),
    ("status", Text),
];

/// Columns of SHOW FINDING.
pub const FINDING: &[Column] = &[("field", Text), ("value", Text)];

/// Rows of SHOW FINDING: what its line in the log has, a row each.
pub fn finding(finding: &Finding) -> Vec<Row> {
    let mut rows = Vec::new();
    fields("", &finding.json(), &mut rows);
    rows
}

fn fields(name: &str, value: &serde_json::Value, rows: &mut Vec<Row>) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match name {
                    "" => fields(key, value, rows),
                    name => fields(&format!("{name}.{key}"), value, rows),
                }
            }
        }
        Value::Null => {}
        Value::String(text) => rows.push(vec![name.to_owned().into(), text.clone().into()]),
        other => rows.push(vec![name.to_owned().into(), other.to_string().into()]),
    }
}

/// Rows of SHOW FINDINGS.
pub fn findings(view: &View<'_>) -> Vec<Row> {
    rows(&view.process.findings.lock(), &[])
}

/// Rows of SHOW FINDINGS of these rules and databases only; of everything without any.
pub fn rows(findings: &Findings, names: &[String]) -> Vec<Row> {
    let now = SystemTime::now();
    let fits = |finding: &&Finding| {
        names.iter().all(|name| match registry::find(name) {
            Some(rule) => finding.hit.rule.id == rule.id,
            None => finding.hit.rule.id == *name || *finding.subject.database == **name,
        })
    };
    (findings.all().into_iter().filter(fits))
        .map(|finding| {
            let hit = &finding.hit;
            let sql = hit.suggestion.sql.as_deref().unwrap_or_default();
            vec![
                finding.id.to_string().into(),
                hit.severity.as_str().into(),
                hit.confidence.as_str().into(),
                hit.rule.id.into(),
                hit.kind.into(),
                finding.count.into(),
                finding.subject.database.to_string().into(),
                finding.subject.app.to_string().into(),
                finding.action.as_str().into(),
                finding.cost.round_trips.into(),
                finding.cost.server_us.into(),
                finding.cost.rows.into(),
                calendar::utc_seconds(finding.first).into(),
                calendar::utc_seconds(finding.last).into(),
                hit.message.to_string().into(),
                finding.json()["evidence"].to_string().into(),
                finding.query.to_string().into(),
                finding.parent.to_string().into(),
                hit.suggestion.text.to_string().into(),
                sql.to_owned().into(),
                finding.status(now).into(),
            ]
        })
        .collect()
}

/// Rows of SHOW LINT STATS.
pub fn stats(view: &View<'_>) -> Vec<Row> {
    let texts = &view.snapshot.texts;
    let observer = &view.process.observer;
    let (engine, memory) = observer.engine();
    let findings = view.process.findings.lock();
    let (evicted, blocked, held_back) = findings.counters();
    let (looks, failures) = {
        let waits = view.process.waits.lock();
        (waits.looks, waits.failures)
    };
    let numbers = [
        ("texts_known", texts.hits),
        ("shapes_known", texts.shape_hits),
        ("texts_parsed", texts.parses),
        ("texts_not_accepted", texts.not_parsed),
        ("texts_too_large", texts.too_large),
        ("texts_opaque", texts.opaque),
        ("text_tables_emptied", texts.emptied),
        ("reports_dropped", observer.dropped()),
        ("audit_lines_lost", observer.unwritten()),
        ("scopes_evicted", engine.scopes),
        ("transactions_evicted", engine.transactions),
        ("runs_evicted", engine.runs),
        ("parents_evicted", engine.parents),
        ("repeats_evicted", engine.repeats),
        ("windows_evicted", engine.windows),
        ("scope_bytes", memory),
        ("findings", findings.all().len() as u64),
        ("findings_evicted", evicted),
        ("statements_blocked", blocked),
        ("log_lines_held_back", held_back),
        ("lock_looks", looks),
        ("lock_looks_failed", failures),
    ];
    (numbers.into_iter())
        .map(|(name, value)| vec![name.into(), value.into()])
        .collect()
}

/// Columns of SHOW RULES.
pub const RULES: &[Column] = &[
    ("rule", Text),
    ("class", Text),
    ("severity", Text),
    ("action", Text),
    ("enforce", Text),
    ("sqlstate", Text),
    ("title", Text),
    ("overrides", Numeric),
];

/// Rows of SHOW RULES.
pub fn rules(view: &View<'_>) -> Vec<Row> {
    let policy = view.process.policy.load();
    let effective = policy.for_subject(&Subject::default());
    (registry::all().iter())
        .map(|rule| {
            vec![
                rule.id.into(),
                rule.class.as_str().into(),
                rule.severity.as_str().into(),
                effective.action(rule, "").as_str().into(),
                rule.enforce.as_str().into(),
                String::from_utf8_lossy(&rule.sqlstate())
                    .into_owned()
                    .into(),
                rule.title.into(),
                (policy.overrides(rule) as u64).into(),
            ]
        })
        .collect()
}
