//! One finding: what is kept of it, and how it is shown. It holds no literal of any statement.

use std::time::{Duration, SystemTime};

use ring::digest::{Context, SHA256};
use serde_json::{Value as Json, json};

use super::findings::Seen;
use super::sample::Sample;
use crate::calendar;
use crate::lint::hit::{Hit, Value};
use crate::lint::observe::Subject;
use crate::lint::rule::{Action, Rule};
use crate::sql::{self, Lexing};

/// Longest normalised text that is kept, in bytes.
const LONGEST_TEXT: usize = 4096;
/// Longest time between two log lines about a finding that goes on.
const AGAIN: Duration = Duration::from_secs(3600);
/// Without a hit for so long a finding counts as resolved.
const FORGIVEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// Requests that a finding remembers.
pub(super) const MOST_SCOPES: usize = 256;

/// What it cost, as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Round trips.
    pub round_trips: u64,
    /// Microseconds of servers.
    pub server_us: u64,
    /// Microseconds between the statements of a sequence.
    pub gap_us: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of rows.
    pub bytes: u64,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Its name: the same for the same thing, also after a restart.
    pub id: Box<str>,
    /// The last hit.
    pub hit: Hit,
    /// Whose it was last.
    pub subject: Subject,
    /// What is done about it.
    pub action: Action,
    /// Shape of the statement.
    pub shape: u64,
    /// The shape for people.
    pub query: Box<str>,
    /// The parent of a sequence, for people; empty for none.
    pub parent: Box<str>,
    /// Shape of the parent; 0 for none.
    pub parent_shape: u64,
    /// A statement of that shape, as it was written.
    pub sample: Sample,
    /// Requests that it was seen in, each once, at most [`MOST_SCOPES`].
    pub(super) scopes: Vec<u64>,
    /// How many there were in processes before this one: their numbers mean nothing here.
    pub(super) scopes_before: usize,
    /// Why a comment keeps the rule silent, if the last hit was silenced so.
    pub suppressed: Option<Box<str>>,
    /// Hits that refused their statement.
    pub blocked: u64,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: SystemTime,
    /// When last.
    pub last: SystemTime,
    /// What it cost.
    pub cost: Cost,
    /// Somebody knows of it: until when, and why it stays.
    pub acknowledged: Option<(SystemTime, Box<str>)>,
    /// When it is logged again, by its count.
    pub(super) next_log: u64,
    /// When it was logged last.
    pub(super) logged: SystemTime,
}

fn readable(text: &[u8]) -> Box<str> {
    let mut query = sql::normalised(text, Lexing::default());
    query.truncate(LONGEST_TEXT);
    String::from_utf8_lossy(&query).into()
}

impl Finding {
    pub(super) fn new(seen: &Seen<'_>, now: SystemTime) -> Self {
        let mut hit = seen.hit.clone();
        // What does not parse is no advice.
        if let Some(sql) = &hit.suggestion.sql
            && pg_raw_parse::parse(sql).is_err()
        {
            hit.suggestion.sql = None;
        }
        let sample = Sample::new(seen.text, hit.span);
        if hit.rule.id == "n-plus-one" && hit.suggestion.framework.is_none() {
            hit.suggestion.framework = sample.eager_loading();
        }
        Finding {
            id: seen.id(),
            hit,
            subject: seen.subject.clone(),
            action: seen.action,
            shape: seen.shape,
            query: readable(seen.text),
            parent: readable(seen.parent.1),
            parent_shape: seen.parent.0,
            sample,
            scopes: Vec::new(),
            scopes_before: 0,
            suppressed: None,
            blocked: 0,
            count: 0,
            first: now,
            last: now,
            cost: Cost::default(),
            acknowledged: None,
            next_log: 1,
            logged: now,
        }
    }

    /// Counts a hit. `true` if a line is due.
    pub(super) fn add(&mut self, seen: &Seen<'_>, now: SystemTime) -> bool {
        // Its beginning may have been forgotten to make room.
        self.count = (self.count + seen.count).max(1);
        self.last = now;
        self.action = seen.action;
        self.blocked += u64::from(seen.action == Action::Block);
        self.suppressed = seen.suppressed.map(Box::from);
        if self.scopes() < MOST_SCOPES && !self.scopes.contains(&seen.scope) {
            self.scopes.push(seen.scope);
        }
        let cost = &mut self.cost;
        cost.round_trips += seen.cost.round_trips;
        cost.server_us += seen.cost.server_us;
        cost.gap_us += seen.cost.gap_us;
        cost.rows += seen.cost.rows;
        cost.bytes += seen.cost.bytes;
        let worse =
            seen.hit.severity > self.hit.severity || seen.hit.confidence > self.hit.confidence;
        // What goes on is told with its last numbers.
        if worse || (seen.count == 0 && seen.hit.severity == self.hit.severity) {
            let known = std::mem::take(&mut self.hit.suggestion);
            self.hit = seen.hit.clone();
            self.hit.suggestion.sql = known.sql;
            self.hit.suggestion.framework = known.framework;
        }
        let counted = self.count >= self.next_log;
        while self.count >= self.next_log {
            self.next_log = self.next_log.saturating_mul(10);
        }
        if matches!(self.status(now), "acknowledged" | "suppressed") {
            return false;
        }
        counted || worse || now.duration_since(self.logged).unwrap_or_default() >= AGAIN
    }

    /// `open`, `acknowledged`, `suppressed` by a comment in the statement, or `resolved` after seven days
    /// without a hit.
    #[must_use]
    pub fn status(&self, now: SystemTime) -> &'static str {
        match &self.acknowledged {
            Some((until, _)) if *until > now => "acknowledged",
            _ if now.duration_since(self.last).unwrap_or_default() >= FORGIVEN => "resolved",
            _ if self.suppressed.is_some() => "suppressed",
            _ => "open",
        }
    }

    /// Requests that it was seen in, at most [`MOST_SCOPES`].
    pub(super) fn scopes(&self) -> usize {
        self.scopes_before + self.scopes.len()
    }

    /// One JSON object.
    #[must_use]
    pub fn json(&self) -> Json {
        let evidence: serde_json::Map<String, Json> = (self.hit.evidence.iter())
            .map(|(name, value)| (name.to_string(), self::json(value)))
            .collect();
        json!({
            "v": 1,
            "id": self.id,
            "rule": self.hit.rule.id,
            "kind": self.hit.kind,
            "class": self.hit.rule.class.as_str(),
            "severity": self.hit.severity.as_str(),
            "confidence": self.hit.confidence.as_str(),
            "status": self.status(SystemTime::now()),
            "reason": self.acknowledged.as_ref().map(|(_, reason)| reason),
            "action": self.action.as_str(),
            "db": self.subject.database,
            "user": self.subject.user,
            "app": self.subject.app,
            "client": self.subject.client,
            "shape": format!("{:016x}", self.shape),
            "query": self.query,
            "sample": self.sample.text,
            "span": self.sample.span.as_ref().map(|span| json!({
                "start": span.start, "end": span.end, "line": span.line, "col": span.col, "text": span.text,
            })),
            "objects": self.sample.objects.iter().map(|(table, columns)| json!({
                "table": table, "columns": columns,
            })).collect::<Vec<_>>(),
            "tags": self.sample.tags.iter().cloned().map(|(key, value)| (String::from(key), Json::from(String::from(value)))).collect::<serde_json::Map<_, _>>(),
            "trace_id": self.sample.trace_id,
            "parent_query": self.parent,
            "object": self.hit.object,
            "count": self.count,
            "scopes": self.scopes(),
            "first_seen": calendar::rfc3339(self.first),
            "last_seen": calendar::rfc3339(self.last),
            "cost": {
                "round_trips": self.cost.round_trips,
                "server_ms": self.cost.server_us as f64 / 1e3,
                "client_gap_ms": self.cost.gap_us as f64 / 1e3,
                "rows": self.cost.rows,
                "bytes": self.cost.bytes,
                "blocked": self.blocked,
            },
            "evidence": evidence,
            "timeline": self.hit.times,
            "message": self.hit.message,
            "suggestion": {
                "text": self.hit.suggestion.text,
                "sql": self.hit.suggestion.sql,
                "framework": self.hit.suggestion.framework,
            },
            "doc": format!("/rules/{}", self.hit.rule.id),
            "suppression": match &self.suppressed {
                Some(reason) => json!({"by": "comment", "reason": reason}),
                None => Json::Null,
            },
            "suppress_with": self.sample.suppress_with(self.hit.rule),
        })
    }
}

/// A piece of evidence as JSON.
fn json(value: &Value) -> Json {
    match value {
        Value::Number(n) if n.fract() == 0.0 && n.abs() < 9e15 => json!(*n as i64),
        Value::Number(n) => json!(n),
        Value::Text(text) => json!(text),
        Value::Flag(flag) => json!(flag),
    }
}

/// What tells findings apart, besides the rule and its kind.
pub(super) struct Identity<'a> {
    /// Database.
    pub database: &'a str,
    /// Application.
    pub app: &'a str,
    /// Table, index or role.
    pub object: Option<&'a str>,
    /// Shape of the statement.
    pub shape: u64,
    /// Shape of the parent; 0 for none.
    pub parent: u64,
}

/// The same for the same thing in every process: the rule and twelve digits.
pub(super) fn id(rule: &Rule, kind: &str, of: &Identity<'_>) -> Box<str> {
    let mut context = Context::new(&SHA256);
    let object = of.object.unwrap_or_default();
    for part in [rule.id, kind, of.database, of.app, object] {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    context.update(&of.shape.to_be_bytes());
    context.update(&of.parent.to_be_bytes());
    let digest = context.finish();
    let digits: String = (digest.as_ref().iter().take(6))
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}-{digits}", rule.id).into()
}
