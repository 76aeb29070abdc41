//! Lints a file: its statements one by one, with one session's state over all of them.

use std::borrow::Cow;

use crate::lint::comment;
use crate::lint::hit::{Hit, Span};
use crate::lint::inspect::Skipped;
use crate::lint::judge;
use crate::lint::rule::{Confidence, Rule};
use crate::lint::session::SessionView;
use crate::lint::thresholds::Thresholds;
use crate::sql::{self, Cut, Lexing, Piece};

/// A hit and where it is in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The hit; its span counts from the statement's start.
    pub hit: Hit,
    /// Bytes of the file: the hit's place, or the statement's first token.
    pub span: Span,
    /// Bytes of the file that its statement takes.
    pub statement: Span,
}

/// A statement of which nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its first byte in the file.
    pub at: usize,
    /// Why.
    pub reason: Skipped,
}

/// What came of a file.
#[derive(Clone, Debug, Default)]
pub struct Linted {
    /// In the order of their places.
    pub findings: Vec<Finding>,
    /// Statements that were passed over.
    pub skipped: Vec<Unread>,
}

/// Looks at each statement of a file for `rules`.
///
/// A statement that the parser rejects hides no other: if its brackets do not match, so that it
/// swallowed what follows, it is cut again at every semicolon.
#[must_use]
pub fn lint(text: &str, rules: &[&'static Rule]) -> Linted {
    let mut linted = Linted::default();
    let mut session = SessionView::default();
    for piece in sql::script(text.as_bytes(), Cut::Outermost) {
        let Err(reason) = statement(text, piece, rules, &mut session, &mut linted.findings) else {
            continue;
        };
        let inner = text.get(piece.first..piece.end).unwrap_or_default();
        let parts = sql::script(inner.as_bytes(), Cut::Everywhere);
        if parts.len() < 2 {
            let at = piece.first;
            linted.skipped.push(Unread { at, reason });
            continue;
        }
        for part in parts {
            let part = Piece {
                start: part.start + piece.first,
                first: part.first + piece.first,
                end: part.end + piece.first,
            };
            if let Err(reason) = statement(text, part, rules, &mut session, &mut linted.findings) {
                let at = part.first;
                linted.skipped.push(Unread { at, reason });
            }
        }
    }
    linted.findings.sort_by_key(|finding| finding.span);
    linted
}

fn statement(
    text: &str,
    piece: Piece,
    rules: &[&'static Rule],
    session: &mut SessionView,
    findings: &mut Vec<Finding>,
) -> Result<(), Skipped> {
    // The lexer cuts at ASCII characters only, so this is always there.
    let mut own = Cow::Borrowed(text.get(piece.start..piece.end).unwrap_or_default());
    let mut reading = sql::read(own.as_bytes(), Lexing::default());
    let profile = match judge::profile(&own, &reading, &Thresholds::default()) {
        Ok(profile) => profile,
        // It may be meant for psql.
        Err(reason) => {
            own = Cow::Owned(sql::without_variables(&own).ok_or(reason)?);
            reading = sql::read(own.as_bytes(), Lexing::default());
            judge::profile(&own, &reading, &Thresholds::default())?
        }
    };
    let bytes = own.as_bytes();
    let comments = comment::read(bytes, Lexing::default());
    let mut hits = judge::hits(&profile, bytes, &reading, &[]);
    session.revise(&profile, &mut hits);
    let silence = session.silence();
    hits.retain(|hit| {
        let silent = silence.is_some_and(|silence| silence.covers(hit.rule));
        rules.contains(&hit.rule) && !comments.ignores(hit.rule) && !silent
    });
    hits.sort_by_key(|hit| std::cmp::Reverse((hit.severity, hit.confidence >= Confidence::Likely)));
    let absolute = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let whole = Span {
        start: absolute(piece.first),
        end: absolute(piece.end),
    };
    findings.extend(hits.into_iter().map(|hit| {
        let span = match hit.span {
            Some(span) => Span {
                start: absolute(piece.start + span.start as usize),
                end: absolute(piece.start + span.end as usize),
            },
            None => whole,
        };
        Finding {
            hit,
            span,
            statement: whole,
        }
    }));
    Ok(())
}
