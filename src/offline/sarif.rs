//! Findings as SARIF, the form that code hosts and editors take.
//!
//! Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".

use serde_json::{Value as Json, json};

use crate::lint::rule::{Confidence, Rule, Severity};

use super::report::{Lines, Source};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The document of one run over these files. All rules are described, found or not.
#[must_use]
pub fn document(sources: &[Source], rules: &[&'static Rule]) -> Json {
    let results: Vec<Json> = sources
        .iter()
        .flat_map(|source| results(source, rules))
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|rule| described(rule)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "note",
        Severity::Warn => "warning",
        Severity::Critical => "error",
    }
}

fn described(rule: &Rule) -> Json {
    let mut object = json!({
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": super::explain::paragraphs(rule).join("\n\n")},
        "help": {"text": rule.remedy},
        "defaultConfiguration": {"level": level(rule.severity), "enabled": rule.on},
        "properties": {"tags": [rule.class.as_str()]},
    });
    if let Some(source) = rule.sources.first() {
        object["helpUri"] = json!(source);
    }
    object
}

fn results(source: &Source, rules: &[&'static Rule]) -> Vec<Json> {
    let lines = Lines::of(&source.text);
    let fixes = super::fix::fixes(&source.text, &source.findings);
    let one = |finding: &super::script::Finding| {
        let hit = &finding.hit;
        let (start, end) = (finding.span.start as usize, finding.span.end as usize);
        let (line, column) = lines.position(start);
        let (end_line, end_column) = lines.position(end);
        let rank = match hit.confidence {
            Confidence::Suspected => 30.0,
            Confidence::Likely => 70.0,
            Confidence::Confirmed => 100.0,
        };
        let mut result = json!({
            "ruleId": hit.rule.id,
            "level": level(hit.severity),
            "rank": rank,
            "message": {"text": format!("{} {}", hit.message, hit.suggestion.text)},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": uri(&source.name)},
                "region": {
                    "startLine": line,
                    "startColumn": column,
                    "endLine": end_line,
                    "endColumn": end_column,
                    "byteOffset": start,
                    "byteLength": end.saturating_sub(start),
                },
            }}],
            "properties": {"kind": hit.kind, "confidence": hit.confidence.as_str()},
        });
        let fix = (fixes.iter())
            .find(|fix| fix.start == finding.statement.start as usize && fix.rule == hit.rule.id);
        if let Some(fix) = fix {
            let (line, column) = lines.position(fix.start);
            let (end_line, end_column) = lines.position(fix.end);
            result["fixes"] = json!([{
                "description": {"text": hit.suggestion.text},
                "artifactChanges": [{
                    "artifactLocation": {"uri": uri(&source.name)},
                    "replacements": [{
                        "deletedRegion": {
                            "startLine": line,
                            "startColumn": column,
                            "endLine": end_line,
                            "endColumn": end_column,
                            "byteOffset": fix.start,
                            "byteLength": fix.end - fix.start,
                        },
                        "insertedContent": {"text": fix.text},
                    }],
                }],
            }]);
        }
        if let Some(index) = rules.iter().position(|rule| rule.id == hit.rule.id) {
            result["ruleIndex"] = json!(index);
        }
        result
    };
    source.findings.iter().map(one).collect()
}

/// A path as a relative or `file:` reference: what a URI cannot hold is escaped.
fn uri(path: &str) -> String {
    let mut out = String::new();
    if path.starts_with('/') {
        out.push_str("file://");
    }
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
