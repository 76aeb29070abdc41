//! A rule and the place where it was hit.

use std::borrow::Cow;

use super::rule::{Confidence, Rule, Severity};

/// Bytes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Byte behind the last.
    pub end: u32,
}

/// One number or word of a finding's evidence. Never a value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A count, a size, a time in the unit that its name ends with.
    Number(f64),
    /// A name or a word of ours.
    Text(Box<str>),
    /// Yes or no.
    Flag(bool),
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Value::Number(n as f64)
    }
}
impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Value::Number(n)
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.into())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text.into())
    }
}
impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Flag(flag)
    }
}

/// What to do instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestion {
    /// In words.
    pub text: Box<str>,
    /// As a statement; whoever emits it checks that it parses.
    pub sql: Option<Box<str>>,
    /// As a call of the framework that the statement's comment names.
    pub framework: Option<Box<str>>,
}

/// A rule that one statement hits.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The rule.
    pub rule: &'static Rule,
    /// Its variant; empty if it has one only.
    pub kind: &'static str,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// Where in the text, if at a place.
    pub span: Option<Span>,
    /// The table, index or role concerned; tells findings of one shape apart.
    pub object: Option<Box<str>>,
    /// What is wrong, for people. Holds no literal of the text.
    pub message: Box<str>,
    /// Numbers and names behind it.
    pub evidence: Vec<(Cow<'static, str>, Value)>,
    /// Of a sequence: when its first statements were sent, since the first, and how long the server
    /// took, in microseconds.
    pub times: Box<[(u32, u32)]>,
    /// What to do.
    pub suggestion: Suggestion,
    /// Which statement of the text, from 0.
    pub statement: u16,
}

impl Hit {
    /// A hit with everything else at its default: the rule's severity and remedy, likely.
    #[must_use]
    pub fn new(rule: &'static Rule, kind: &'static str, message: impl Into<Box<str>>) -> Self {
        debug_assert!(
            kind.is_empty() || rule.kinds.iter().any(|known| known.name == kind),
            "{} has no kind {kind}",
            rule.id
        );
        Hit {
            rule,
            kind,
            severity: rule.severity,
            confidence: Confidence::Likely,
            span: None,
            object: None,
            message: message.into(),
            evidence: Vec::new(),
            times: Box::default(),
            suggestion: Suggestion {
                text: rule.remedy.into(),
                ..Suggestion::default()
            },
            statement: 0,
        }
    }

    /// With this severity.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// With this confidence.
    #[must_use]
    pub fn confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// At this place.
    #[must_use]
    pub fn at(mut self, span: Option<Span>) -> Self {
        self.span = span;
        self
    }

    /// About this table, index or role.
    #[must_use]
    pub fn object(mut self, object: impl Into<Box<str>>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// With one more piece of evidence.
    #[must_use]
    pub fn evidence(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.evidence.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// With a statement to write instead.
    #[must_use]
    pub fn suggest_sql(mut self, sql: impl Into<Box<str>>) -> Self {
        self.suggestion.sql = Some(sql.into());
        self
    }
}
