//! Findings as the lines of a file, and back: what is known after a restart.
//!
//! The first line says what the file is, of which version, and how many lines follow, so that a file
//! that was cut off shows. Behind it stands one JSON object per line: changes of SET RULE, then
//! findings, the worst first. Nothing is in it that SHOW FINDING would not show.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value as Json, json};

use super::finding::{Cost, Finding, Identity, MOST_SCOPES, id};
use super::sample::{Place, Sample};
use crate::config::RuleAction;
use crate::lint::hit::{Hit, Span, Suggestion, Value};
use crate::lint::observe::Subject;
use crate::lint::registry;
use crate::lint::rule::{Action, Confidence, Severity};

/// What the first line calls the file.
const NAME: &str = "pgweir findings";
/// How the lines are to be read.
const VERSION: u64 = 1;
/// The end of the year 9999, in microseconds since 1970.
const LATEST: u64 = 253_402_300_799_000_000;
/// Changes of SET RULE in a file.
const MOST_RULES: usize = 1000;

/// What a file holds.
#[derive(Debug, Default)]
pub struct Kept {
    /// Findings, the worst first.
    pub findings: Vec<Finding>,
    /// What SET RULE had changed.
    pub rules: Vec<RuleAction>,
    /// Findings of rules or kinds that this pgweir does not have.
    pub unknown: usize,
}

/// The text of a file of at most `most` bytes, and how many findings it has no room for: those that
/// are the least bad.
#[must_use]
pub fn write(findings: &[&Finding], rules: &[RuleAction], most: usize) -> (String, usize) {
    let room = most.saturating_sub(200);
    let (mut body, mut lines) = (String::new(), 0);
    for rule in rules.iter().take(MOST_RULES) {
        add(&mut body, &rule_line(rule));
        lines += 1;
    }
    let mut written = 0;
    for finding in findings {
        let before = body.len();
        add(&mut body, &finding_line(finding));
        if body.len() > room {
            body.truncate(before);
            break;
        }
        written += 1;
    }
    let head = json!({"file": NAME, "v": VERSION, "lines": lines + written});
    (format!("{head}\n{body}"), findings.len() - written)
}

fn add(text: &mut String, line: &Json) {
    text.push_str(&line.to_string());
    text.push('\n');
}

/// What a text holds.
///
/// # Errors
/// The line, from 1, and what is wrong with it.
pub fn read(text: &str) -> Result<Kept, (usize, String)> {
    let mut lines = text.lines();
    let wanted = head(lines.next().unwrap_or_default()).map_err(|what| (1, what))?;
    let mut kept = Kept::default();
    let mut found = 0;
    for (at, line) in lines.enumerate() {
        let place = |what: String| (at + 2, what);
        let fields = Fields::of(line).map_err(place)?;
        match fields.0.contains_key("set_rule") {
            true => kept.rules.push(rule(&fields).map_err(place)?),
            false => match finding(&fields).map_err(place)? {
                Some(finding) => kept.findings.push(finding),
                None => kept.unknown += 1,
            },
        }
        found += 1;
    }
    match found == wanted {
        true => Ok(kept),
        false => Err((
            found as usize + 1,
            format!("the first line says that {wanted} lines follow, there are {found}"),
        )),
    }
}

/// How many lines follow the first one.
fn head(line: &str) -> Result<u64, String> {
    let strange = || "this is no file of findings".to_owned();
    let fields = Fields::of(line).map_err(|_| strange())?;
    if fields.text("file").ok() != Some(NAME) {
        return Err(strange());
    }
    match fields.count("v")? {
        VERSION => fields.count("lines"),
        other => Err(format!(
            "it is of version {other}, this pgweir reads version {VERSION}"
        )),
    }
}

fn rule_line(one: &RuleAction) -> Json {
    json!({
        "set_rule": one.rule, "kind": one.kind, "action": one.action,
        "db": one.database, "user": one.user, "app": one.app,
    })
}

fn rule(fields: &Fields) -> Result<RuleAction, String> {
    let name = |key: &str| Ok::<_, String>(fields.maybe(key)?.map(str::to_owned));
    Ok(RuleAction {
        rule: fields.text("set_rule")?.to_owned(),
        kind: fields.text("kind")?.to_owned(),
        action: fields.text("action")?.to_owned(),
        database: name("db")?,
        user: name("user")?,
        app: name("app")?,
        ..RuleAction::default()
    })
}

fn finding_line(of: &Finding) -> Json {
    let (hit, sample) = (&of.hit, &of.sample);
    let evidence: Vec<Json> = (hit.evidence.iter())
        .map(|(name, value)| match value {
            Value::Number(n) => json!([name, n]),
            Value::Text(text) => json!([name, text]),
            Value::Flag(flag) => json!([name, flag]),
        })
        .collect();
    json!({
        "id": of.id,
        "rule": hit.rule.id, "kind": hit.kind,
        "severity": hit.severity.as_str(), "confidence": hit.confidence.as_str(),
        "hit_span": hit.span.map(|span| [span.start, span.end]),
        "object": hit.object, "message": hit.message, "evidence": evidence, "times": hit.times,
        "remedy": hit.suggestion.text, "sql": hit.suggestion.sql,
        "framework": hit.suggestion.framework, "statement": hit.statement,
        "db": of.subject.database, "user": of.subject.user,
        "app": of.subject.app, "client": of.subject.client,
        "action": of.action.as_str(),
        "shape": format!("{:016x}", of.shape), "parent_shape": format!("{:016x}", of.parent_shape),
        "query": of.query, "parent": of.parent,
        "sample": {
            "text": sample.text,
            "span": sample.span.as_ref().map(|at| json!([at.start, at.end, at.line, at.col, at.text])),
            "objects": sample.objects, "tags": sample.tags, "trace_id": sample.trace_id,
        },
        "scopes": of.scopes(), "suppressed": of.suppressed, "blocked": of.blocked,
        "count": of.count, "next_log": of.next_log,
        "first": micros(of.first), "last": micros(of.last), "logged": micros(of.logged),
        "cost": {
            "round_trips": of.cost.round_trips, "server_us": of.cost.server_us,
            "gap_us": of.cost.gap_us, "rows": of.cost.rows, "bytes": of.cost.bytes,
        },
        "acknowledged": of.acknowledged.as_ref().map(|(until, why)| json!([micros(*until), why])),
    })
}

/// A finding; `None` if it is one of a rule or kind that is not there.
fn finding(fields: &Fields) -> Result<Option<Finding>, String> {
    let Some(rule) = registry::find(fields.text("rule")?) else {
        return Ok(None);
    };
    let kind = match fields.text("kind")? {
        "" => "",
        name => match rule.kinds.iter().find(|kind| kind.name == name) {
            Some(kind) => kind.name,
            None => return Ok(None),
        },
    };
    let hit = Hit {
        rule,
        kind,
        severity: fields.word("severity", &SEVERITIES, |s| s.as_str())?,
        confidence: fields.word("confidence", &CONFIDENCES, |c| c.as_str())?,
        span: fields.each("hit_span", |of| {
            small(of).map(|[start, end]| Span { start, end })
        })?,
        object: fields.maybe("object")?.map(Box::from),
        message: fields.text("message")?.into(),
        evidence: fields.list("evidence", evidence)?,
        times: (fields.list("times", |of| small(of).map(|[a, b]| (a, b)))?).into(),
        suggestion: Suggestion {
            text: fields.text("remedy")?.into(),
            sql: fields.maybe("sql")?.map(Box::from),
            framework: fields.maybe("framework")?.map(Box::from),
        },
        statement: u16::try_from(fields.count("statement")?).map_err(|_| bad("statement"))?,
    };
    let subject = Subject {
        database: fields.text("db")?.into(),
        user: fields.text("user")?.into(),
        app: fields.text("app")?.into(),
        client: fields.text("client")?.into(),
        ..Subject::default()
    };
    let (shape, parent_shape) = (fields.shape("shape")?, fields.shape("parent_shape")?);
    let identity = Identity {
        database: &subject.database,
        app: &subject.app,
        object: hit.object.as_deref(),
        shape,
        parent: parent_shape,
    };
    Ok(Some(Finding {
        id: id(rule, kind, &identity),
        hit,
        subject,
        action: fields.word("action", &Action::ALL, |action| action.as_str())?,
        shape,
        query: fields.text("query")?.into(),
        parent: fields.text("parent")?.into(),
        parent_shape,
        sample: sample(&fields.inner("sample")?)?,
        scopes: Vec::new(),
        scopes_before: (fields.count("scopes")? as usize).min(MOST_SCOPES),
        suppressed: fields.maybe("suppressed")?.map(Box::from),
        blocked: fields.count("blocked")?,
        count: fields.count("count")?,
        first: fields.moment("first")?,
        last: fields.moment("last")?,
        cost: cost(&fields.inner("cost")?)?,
        acknowledged: fields.each("acknowledged", |of| {
            let [until, why] = pair(of)?;
            Some((moment(until.as_u64()?)?, why.as_str()?.into()))
        })?,
        next_log: fields.count("next_log")?.max(1),
        logged: fields.moment("logged")?,
    }))
}

fn sample(fields: &Fields) -> Result<Sample, String> {
    Ok(Sample {
        text: fields.text("text")?.into(),
        span: fields.each("span", place)?,
        objects: fields.list("objects", |of| {
            let [table, columns] = pair(of)?;
            let columns = columns
                .as_array()?
                .iter()
                .map(|name| Some(name.as_str()?.into()));
            Some((table.as_str()?.into(), columns.collect::<Option<_>>()?))
        })?,
        tags: fields.list("tags", |of| {
            let [key, value] = pair(of)?;
            Some((key.as_str()?.into(), value.as_str()?.into()))
        })?,
        trace_id: fields.maybe("trace_id")?.map(Box::from),
    })
}

fn cost(fields: &Fields) -> Result<Cost, String> {
    Ok(Cost {
        round_trips: fields.count("round_trips")?,
        server_us: fields.count("server_us")?,
        gap_us: fields.count("gap_us")?,
        rows: fields.count("rows")?,
        bytes: fields.count("bytes")?,
    })
}

const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warn, Severity::Critical];
const CONFIDENCES: [Confidence; 3] = [
    Confidence::Suspected,
    Confidence::Likely,
    Confidence::Confirmed,
];

fn pair(of: &Json) -> Option<&[Json; 2]> {
    of.as_array()?.as_slice().try_into().ok()
}

fn small(of: &Json) -> Option<[u32; 2]> {
    let [a, b] = pair(of)?;
    let number = |n: &Json| u32::try_from(n.as_u64()?).ok();
    Some([number(a)?, number(b)?])
}

fn evidence(of: &Json) -> Option<(Cow<'static, str>, Value)> {
    let [name, value] = pair(of)?;
    let value = match value {
        // What is no number is written so.
        Json::Null => Value::Number(f64::NAN),
        Json::Number(n) => Value::Number(n.as_f64()?),
        Json::String(text) => Value::Text(text.as_str().into()),
        Json::Bool(flag) => Value::Flag(*flag),
        _ => return None,
    };
    Some((Cow::Owned(name.as_str()?.to_owned()), value))
}

fn place(of: &Json) -> Option<Place> {
    let [start, end, line, col, text] = of.as_array()?.as_slice() else {
        return None;
    };
    let number = |n: &Json| u32::try_from(n.as_u64()?).ok();
    Some(Place {
        start: number(start)?,
        end: number(end)?,
        line: number(line)?,
        col: number(col)?,
        text: text.as_str()?.into(),
    })
}

/// Microseconds since 1970.
fn micros(of: SystemTime) -> u64 {
    let since = of.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros().min(u128::from(LATEST)) as u64)
}

fn moment(micros: u64) -> Option<SystemTime> {
    (micros <= LATEST)
        .then(|| SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros)))
        .flatten()
}

fn bad(key: &str) -> String {
    format!("`{key}` is missing or is not what it has to be")
}

/// The members of one line.
struct Fields(Map<String, Json>);

impl Fields {
    fn of(line: &str) -> Result<Self, String> {
        match serde_json::from_str(line) {
            Ok(Json::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err("it is no JSON object".to_owned()),
            Err(error) => Err(format!("it is no JSON object: {error}")),
        }
    }

    fn inner(&self, key: &str) -> Result<Self, String> {
        let found = self.0.get(key).and_then(Json::as_object);
        found.cloned().map(Self).ok_or_else(|| bad(key))
    }

    fn text(&self, key: &str) -> Result<&str, String> {
        let found = self.0.get(key).and_then(Json::as_str);
        found.ok_or_else(|| bad(key))
    }

    /// A text or null.
    fn maybe(&self, key: &str) -> Result<Option<&str>, String> {
        match self.0.get(key) {
            Some(Json::Null) => Ok(None),
            _ => self.text(key).map(Some),
        }
    }

    fn count(&self, key: &str) -> Result<u64, String> {
        let found = self.0.get(key).and_then(Json::as_u64);
        found.ok_or_else(|| bad(key))
    }

    fn shape(&self, key: &str) -> Result<u64, String> {
        u64::from_str_radix(self.text(key)?, 16).map_err(|_| bad(key))
    }

    fn moment(&self, key: &str) -> Result<SystemTime, String> {
        moment(self.count(key)?).ok_or_else(|| bad(key))
    }

    /// One of a few words.
    fn word<T: Copy>(
        &self,
        key: &str,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Result<T, String> {
        let word = self.text(key)?;
        let found = all.iter().copied().find(|one| name(*one) == word);
        found.ok_or_else(|| bad(key))
    }

    /// Something or null.
    fn each<T>(&self, key: &str, read: impl Fn(&Json) -> Option<T>) -> Result<Option<T>, String> {
        match self.0.get(key) {
            Some(Json::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| bad(key)),
            None => Err(bad(key)),
        }
    }

    fn list<T>(&self, key: &str, read: impl Fn(&Json) -> Option<T>) -> Result<Vec<T>, String> {
        let all = self.0.get(key).and_then(Json::as_array);
        let read = all.and_then(|all| all.iter().map(read).collect());
        read.ok_or_else(|| bad(key))
    }
}

#[cfg(test)]
mod tests;
