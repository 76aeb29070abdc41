//! A finding as JSON. Values are never in it: messages and evidence hold none.

use serde_json::{Map, Value as Json, json};

use crate::lint::hit::{Hit, Value};

/// The evidence as an object.
#[must_use]
pub fn evidence(hit: &Hit) -> Json {
    let mut object = Map::new();
    for (name, value) in &hit.evidence {
        let value = match value {
            Value::Number(n) => number(*n),
            Value::Text(text) => json!(text),
            Value::Flag(flag) => json!(flag),
        };
        object.insert(name.to_string(), value);
    }
    Json::Object(object)
}

/// Whole numbers without a fraction.
fn number(n: f64) -> Json {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if n.fract() == 0.0 && n.abs() <= EXACT {
        return json!(n as i64);
    }
    json!(n)
}

/// What all forms say of a hit.
#[must_use]
pub fn object(hit: &Hit) -> Map<String, Json> {
    let mut object = Map::new();
    let span = hit
        .span
        .map(|span| json!({"start": span.start, "end": span.end}));
    for (name, value) in [
        ("rule", json!(hit.rule.id)),
        ("kind", json!(hit.kind)),
        ("severity", json!(hit.severity.as_str())),
        ("confidence", json!(hit.confidence.as_str())),
        ("span", json!(span)),
        ("evidence", evidence(hit)),
        ("message", json!(hit.message)),
    ] {
        object.insert(name.to_owned(), value);
    }
    object
}

/// The line of a case: which rules were found, and how.
#[must_use]
pub fn case_line(id: &str, hits: &[Hit]) -> Json {
    let mut rules: Vec<_> = hits.iter().map(|hit| hit.rule.id).collect();
    rules.sort_unstable();
    rules.dedup();
    let findings: Vec<_> = hits.iter().map(|hit| Json::Object(object(hit))).collect();
    json!({"id": id, "rules": rules, "findings": findings})
}
