//! SQL text in, facts out.
//!
//! A pooler needs to know of every text a client sends: does it leave something behind in the
//! session (a parameter, a temporary table, a lock), does it control a transaction, may it run on
//! a replica. This module answers that from the text alone. It is pure: no sockets, no clock, no
//! runtime; the same text always gives the same facts.
//!
//! Four levels, cheapest first:
//!
//! | level | where | cost |
//! |---|---|---|
//! | statement the caller already knows | the caller keeps the [`Known`] | nothing |
//! | exact text | [`Cache`], compared byte by byte | tens of ns |
//! | shape: the text without its literals | `shape`, then the cache | about 5 ns per byte |
//! | PostgreSQL's own grammar | `parse` | 1 to 30 µs |
//!
//! **How sure an answer is.** Facts are over-approximations: a flag such as
//! [`Flags::SETS_PARAM`] may be set though the statement later fails, never the other way round,
//! with two exceptions that no text can show: what user functions, triggers and rules do, and what
//! a text marked [`Flags::UNANALYSED`] does. [`Flags::READ_ONLY`] is the one flag that promises
//! something, and is therefore under-approximated.
//!
//! Source: the PostgreSQL manual, chapters "Lexical Structure" and "SQL Commands".

mod cache;
mod classify;
mod comments;
mod fact;
mod fingerprint;
mod functions;
mod lexer;
mod parse;
mod plain;
mod redacted;
mod script;
mod shape;
pub mod skeleton;
mod store;
mod survey;
#[cfg(test)]
mod tests;
mod words;

pub use cache::{Cache, CacheStats, Known};
pub use comments::comments;
pub use fact::{Analysis, Flags, Kind, Lexing, ParamChange, ParamOp};
pub use fingerprint::{Reading, normalised, read};
pub use plain::is_plain;
pub use redacted::redacted;
pub use script::{Cut, Piece, script, without_variables};

use survey::Survey;

/// Longest text, in bytes, that is given to the parser.
pub const MAX_PARSED: usize = 64 * 1024;
/// Longest text, in bytes, that is looked at completely (by the lexer alone above [`MAX_PARSED`]).
pub const MAX_SCANNED: usize = 1024 * 1024;
/// Deepest nesting of brackets and `CASE` that is given to the parser.
pub const MAX_DEPTH: u32 = 200;
/// Most operators (symbols, `AND`, `UNION` and the like) in a text that is given to the parser.
pub const MAX_OPERATORS: u32 = 2_000;

/// Finds out what a text does, without any cache.
///
/// `text` is the client's bytes without the terminating NUL, in any client encoding. All guards
/// against long, deep and malformed texts apply; the call never panics and takes time linear in
/// the text up to [`MAX_SCANNED`], constant above.
#[must_use]
pub fn analyse(text: &[u8], lexing: Lexing) -> Analysis {
    let mut shape = Vec::new();
    let (survey, exact) = look(text, lexing, &mut shape);
    conclude(text, &survey, exact, &shape)
}

/// One pass of the lexer over `text`; writes its shape to `shape`. The flag tells whether lexer
/// and parser can be trusted with this text under these lexing rules.
fn look(text: &[u8], lexing: Lexing, shape: &mut Vec<u8>) -> (Survey, bool) {
    let exact = lexing.is_plain_for(text);
    let seen = if text.len() > MAX_SCANNED {
        text.get(..MAX_PARSED).unwrap_or(text)
    } else {
        text
    };
    (shape::survey(seen, lexing, shape), exact)
}

/// The second half of [`analyse`]: guards, parser or lexer's verdict.
fn conclude(text: &[u8], survey: &Survey, exact: bool, shape: &[u8]) -> Analysis {
    let fingerprint = fingerprint::hash(shape);
    let trusted = exact && survey.within_limits() && text.len() <= MAX_SCANNED;
    if trusted && survey.statements == 0 && !survey.broken {
        return Analysis {
            flags: Flags::EMPTY,
            statements: 0,
            kind: Kind::Empty,
            params: Box::default(),
            deallocate: None,
            fingerprint,
            functions: Box::default(),
        };
    }
    if trusted && text.len() <= MAX_PARSED && !survey.long_name {
        // The vendored scanner does not follow the server everywhere (comments between the parts
        // of a continued string). Where it sees other statements than we do, neither is believed.
        if let Some(parsed) = parse::parse(text, survey)
            && parsed.statements() == survey.statements as usize
        {
            return parsed.into_analysis(survey, fingerprint);
        }
    } else if trusted && survey.plain && !survey.broken {
        return survey.verdict(Flags::NONE, fingerprint);
    }
    survey.verdict(Flags::UNANALYSED, fingerprint)
}
