//! One statement behind a finding, as far as it may be shown.

use serde_json::Value as Json;

use crate::lint::comment;
use crate::lint::hit;
use crate::lint::judge;
use crate::lint::rule::{Class, Rule};
use crate::sql::{self, Lexing};

/// Longest text that is kept, in bytes.
const LONGEST: usize = 4096;
/// Longest piece of it that a finding points at, in bytes.
const LONGEST_SPAN: usize = 200;
/// Longest value of a tag, in characters.
const LONGEST_TAG: usize = 100;
/// Tags of comments that say where in the application a statement comes from. No others are kept:
/// people put anything into comments.
const TAGS: [&str; 13] = [
    "action",
    "app",
    "application",
    "controller",
    "db_driver",
    "framework",
    "job",
    "model",
    "namespaced_controller",
    "operation",
    "route",
    "service",
    "source_location",
];

/// A place in the text as the client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub start: u32,
    /// Byte behind the last.
    pub end: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub col: u32,
    /// What stands there, without constants.
    pub text: Box<str>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The statement without constants and comments.
    pub text: Box<str>,
    /// Where in it.
    pub span: Option<Place>,
    /// Tables it names, with those of their columns that it compares with values.
    pub objects: Vec<(Box<str>, Vec<Box<str>>)>,
    /// Tags of its comment that say where in the application it comes from.
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// Trace id of its comment.
    pub trace_id: Option<Box<str>>,
}

impl Sample {
    /// Of a text; empty for none.
    #[must_use]
    pub fn new(text: &[u8], span: Option<hit::Span>) -> Self {
        let lexing = Lexing::default();
        let comments = comment::read(text, lexing);
        let tags = (comments.tags.iter())
            .filter(|(key, _)| TAGS.contains(&&**key))
            .map(|(key, value)| {
                let value: String = value.chars().take(LONGEST_TAG).collect();
                (key.clone(), value.into())
            });
        Self {
            text: sql::redacted(text, lexing, LONGEST).into(),
            span: span.and_then(|span| place(text, span)),
            objects: objects(text),
            tags: tags.collect(),
            trace_id: comments.trace_id().map(Box::from),
        }
    }

    /// The value of a tag.
    fn tag(&self, key: &str) -> Option<&str> {
        let mut all = self.tags.iter();
        all.find(|(name, _)| **name == *key)
            .map(|(_, value)| &**value)
    }

    /// How the framework that the statement comes from loads related rows at once.
    #[must_use]
    pub fn eager_loading(&self) -> Option<Box<str>> {
        let named = [self.tag("framework"), self.tag("db_driver")];
        let named = named.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let named = named.to_lowercase();
        let advice = [
            ("rails", "includes(:association) or preload(:association)"),
            (
                "active_record",
                "includes(:association) or preload(:association)",
            ),
            (
                "django",
                "select_related(\"field\") for one row, prefetch_related(\"field\") for many",
            ),
            ("sqlalchemy", "options(selectinload(Parent.children))"),
            (
                "hibernate",
                "JOIN FETCH in the query, or @BatchSize on the association",
            ),
            (
                "prisma",
                "include: { relation: true }, with relationLoadStrategy: \"join\"",
            ),
            ("sequelize", "include: [Model] in findAll"),
            ("typeorm", "relations: { relation: true } in find"),
        ];
        (advice.iter())
            .find(|(name, _)| named.contains(name))
            .map(|(_, call)| (*call).into())
    }

    /// The comment that keeps a rule silent about the statement; none may for a rule about security.
    #[must_use]
    pub fn suppress_with(&self, rule: &Rule) -> Json {
        match rule.class {
            Class::Security | Class::Catalogue => Json::Null,
            _ => format!("/* lint:ignore={} reason='…' */", rule.id).into(),
        }
    }
}

fn place(text: &[u8], span: hit::Span) -> Option<Place> {
    let before = text.get(..span.start as usize)?;
    let there = text.get(span.start as usize..span.end as usize)?;
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let in_line = String::from_utf8_lossy(before.get(line_start..)?);
    Some(Place {
        start: span.start,
        end: span.end,
        line: u32::try_from(memchr::memchr_iter(b'\n', before).count() + 1).ok()?,
        col: u32::try_from(in_line.chars().count() + 1).ok()?,
        text: sql::redacted(there, Lexing::default(), LONGEST_SPAN).into(),
    })
}

fn objects(text: &[u8]) -> Vec<(Box<str>, Vec<Box<str>>)> {
    let reading = sql::read(text, Lexing::default());
    let profile = (std::str::from_utf8(text).ok())
        .and_then(|text| judge::profile(text, &reading, &Default::default()).ok());
    let mut objects: Vec<(Box<str>, Vec<Box<str>>)> = Vec::new();
    for facts in profile.iter().flat_map(|profile| &profile.facts) {
        let tables: Vec<&Box<str>> = facts.writes.iter().chain(&facts.reads).collect();
        for table in &tables {
            if !objects.iter().any(|(known, _)| known == *table) {
                objects.push(((*table).clone(), Vec::new()));
            }
        }
        for key in &facts.keys {
            let (of, column) = match key.rsplit_once('.') {
                Some((table, column)) => (Some(table), column),
                None => (None, &**key),
            };
            let of = match (of, &tables[..]) {
                (Some(of), _) => of,
                (None, [only]) => only,
                _ => continue,
            };
            let found = objects
                .iter_mut()
                .find(|(table, _)| **table == *of || table.rsplit('.').next() == Some(of));
            if let Some((_, columns)) = found
                && !columns.iter().any(|known| **known == *column)
            {
                columns.push(column.into());
            }
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::hit::Span;

    #[test]
    fn a_statement_is_shown_without_what_is_secret() {
        let text = "SELECT id\n  FROM author WHERE id = 4711 /*controller='posts',framework='rails 7',password='hunter2',traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/";
        let start = text.find("id = 4711").expect("there") as u32;
        let span = Span {
            start,
            end: start + 9,
        };
        let sample = Sample::new(text.as_bytes(), Some(span));
        assert_eq!(&*sample.text, "SELECT id FROM author WHERE id = 0");
        let place = sample.span.clone().expect("a place");
        assert_eq!((place.start, place.line, place.col), (start, 2, 21));
        assert_eq!(&*place.text, "id = 0");
        assert_eq!(sample.objects, [("author".into(), vec!["id".into()])]);
        assert_eq!(sample.tag("controller"), Some("posts"));
        assert_eq!(sample.tag("password"), None);
        let trace = sample.trace_id.as_deref();
        assert_eq!(trace, Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert!(
            sample
                .eager_loading()
                .expect("rails")
                .starts_with("includes")
        );
        assert!(!format!("{sample:?}").contains("hunter2"));
    }

    #[test]
    fn odd_texts_and_places_are_harmless() {
        for text in [&b""[..], b"\xff\xfe", b"SELECT '", b";;"] {
            for (start, end) in [(0, 0), (0, 1), (1, 0), (5, 900)] {
                let sample = Sample::new(text, Some(Span { start, end }));
                assert!(sample.objects.is_empty() && sample.tags.is_empty());
            }
        }
    }
}
