//! What `pgweir lint --fix` changes by itself.
//!
//! Only what leaves the database as the statement would have left it: how a lock is taken is changed,
//! never which rows or columns there are. Each change is checked: the new statement has to parse and to
//! have neither the finding nor another one that was not there before; else it is not made.

use crate::lint::hit::Hit;
use crate::lint::judge;
use crate::lint::rule::{Rule, Severity};
use crate::lint::thresholds::Thresholds;
use crate::sql::{self, Kind, Lexing};

use super::script::Finding;

/// A part of a file and what to put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// First byte.
    pub start: usize,
    /// The byte behind the last.
    pub end: usize,
    /// The statement in its place.
    pub text: String,
    /// The rule it is for.
    pub rule: &'static str,
}

/// What can be changed in a file about these findings, in order. One statement is changed for one
/// finding only; run again for the next.
#[must_use]
pub fn fixes(text: &str, findings: &[Finding]) -> Vec<Fix> {
    // CONCURRENTLY works in no transaction, and whoever writes BEGIN wants all or nothing.
    let transaction = sql::script(text.as_bytes(), sql::Cut::Outermost)
        .iter()
        .any(|piece| {
            let statement = text.get(piece.first..piece.end).unwrap_or_default();
            sql::analyse(statement.as_bytes(), Lexing::default()).kind == Kind::Begin
        });
    let mut fixes: Vec<Fix> = Vec::new();
    for finding in findings.iter().filter(|_| !transaction) {
        let (start, end) = (
            finding.statement.start as usize,
            finding.statement.end as usize,
        );
        let Some(statement) = text.get(start..end) else {
            continue;
        };
        // Its semicolon stays where it is.
        let statement = statement.trim_end().trim_end_matches(';').trim_end();
        let end = start + statement.len();
        if fixes.last().is_some_and(|last| start < last.end) {
            continue;
        }
        let changed = match finding.hit.rule.id {
            "index-not-concurrent" => concurrently(statement),
            "constraint-without-not-valid" => not_valid(statement),
            _ => None,
        };
        if let Some(changed) =
            changed.filter(|changed| better(statement, changed, finding.hit.rule))
        {
            fixes.push(Fix {
                start,
                end,
                text: changed,
                rule: finding.hit.rule.id,
            });
        }
    }
    fixes.sort_by_key(|fix| fix.start);
    fixes
}

/// The file with all changes made.
#[must_use]
pub fn apply(text: &str, fixes: &[Fix]) -> String {
    let mut out = String::with_capacity(text.len() + 32 * fixes.len());
    let mut at = 0;
    for fix in fixes {
        out.push_str(text.get(at..fix.start).unwrap_or_default());
        out.push_str(&fix.text);
        at = fix.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// What a text of one or more statements hits; `None` if it is not read.
fn hits(text: &str) -> Option<Vec<Hit>> {
    let mut all = Vec::new();
    for piece in sql::script(text.as_bytes(), sql::Cut::Outermost) {
        let own = text.get(piece.start..piece.end)?;
        let reading = sql::read(own.as_bytes(), Lexing::default());
        let profile = judge::profile(own, &reading, &Thresholds::default()).ok()?;
        all.extend(judge::hits(&profile, own.as_bytes(), &reading, &[]));
    }
    Some(all)
}

fn better(before: &str, after: &str, rule: &'static Rule) -> bool {
    let (Some(before), Some(after)) = (hits(before), hits(after)) else {
        return false;
    };
    let known = |hit: &Hit| {
        before
            .iter()
            .any(|old| old.rule == hit.rule && old.kind == hit.kind)
    };
    after
        .iter()
        .all(|hit| *hit.rule != *rule && (known(hit) || hit.severity < Severity::Warn))
}

/// `CREATE INDEX` and its like with CONCURRENTLY behind the word that says what is made.
fn concurrently(statement: &str) -> Option<String> {
    let words = words(statement);
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found.is(word));
    // CREATE [UNIQUE] INDEX, DROP INDEX, REINDEX (INDEX | TABLE | SCHEMA | DATABASE).
    let at = match () {
        () if is(0, "create") && is(1, "unique") && is(2, "index") => 2,
        () if is(0, "create") && is(1, "index") => 1,
        // Of several, or with what depends on them, it cannot be done so.
        () if is(0, "drop") && is(1, "index") => {
            let several = statement.contains(',') || words.iter().any(|word| word.is("cascade"));
            (!several).then_some(1)?
        }
        () if is(0, "reindex") => 1,
        () => return None,
    };
    let end = words.get(at)?.end;
    Some(format!(
        "{} CONCURRENTLY{}",
        statement.get(..end)?,
        statement.get(end..)?
    ))
}

/// A constraint that is added without looking at the rows that are there, and then checked under a lock
/// that stops nobody.
fn not_valid(statement: &str) -> Option<String> {
    let words = words(statement);
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found.is(word));
    if !(is(0, "alter") && is(1, "table")) {
        return None;
    }
    // One change only, of a constraint with a name.
    let add = words.iter().position(|word| word.is("add"))?;
    if !is(add + 1, "constraint") || words.iter().filter(|word| word.is("add")).count() > 1 {
        return None;
    }
    let changes_more = ["drop", "alter", "rename"];
    if words
        .get(add..)?
        .iter()
        .any(|word| changes_more.iter().any(|other| word.is(other)))
    {
        return None;
    }
    let name_from = words.get(add + 1)?.end;
    let rest = statement.get(name_from..)?;
    let name = rest.trim_start();
    let len = match name.strip_prefix('"') {
        Some(inner) => inner.find('"')? + 2,
        None => name.find(char::is_whitespace)?,
    };
    let name = name.get(..len)?;
    let table = statement
        .get(words.get(1)?.end..words.get(add)?.start)?
        .trim();
    Some(format!(
        "{} NOT VALID;\nALTER TABLE {table} VALIDATE CONSTRAINT {name}",
        statement.trim_end()
    ))
}

/// A word outside quotes, comments and brackets.
struct Found<'t> {
    text: &'t str,
    start: usize,
    end: usize,
}

impl Found<'_> {
    fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }
}

fn words(text: &str) -> Vec<Found<'_>> {
    let comments = sql::comments(text.as_bytes(), Lexing::default());
    let bytes = text.as_bytes();
    let (mut out, mut at, mut depth) = (Vec::new(), 0, 0_u32);
    while let Some(&byte) = bytes.get(at) {
        if let Some(comment) = comments.iter().find(|comment| comment.0 as usize == at) {
            at = (comment.1 as usize).max(at + 1);
            continue;
        }
        match byte {
            b'\'' | b'"' => {
                let rest = bytes.get(at + 1..).unwrap_or_default();
                at += memchr::memchr(byte, rest).map_or(bytes.len(), |end| end + 2);
                continue;
            }
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let rest = bytes.get(at..).unwrap_or_default();
                let len = rest
                    .iter()
                    .position(|b| !(b.is_ascii_alphanumeric() || *b == b'_' || *b >= 128));
                let end = at + len.unwrap_or(rest.len());
                if depth == 0 {
                    out.push(Found {
                        text: text.get(at..end).unwrap_or_default(),
                        start: at,
                        end,
                    });
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::registry;
    use crate::offline::script;

    fn fixed(text: &str) -> String {
        let linted = script::lint(text, registry::all());
        apply(text, &fixes(text, &linted.findings))
    }

    #[test]
    fn locks_are_taken_otherwise_and_nothing_else_changes() {
        for (before, after) in [
            (
                "CREATE INDEX i ON t (a);",
                "CREATE INDEX CONCURRENTLY i ON t (a);",
            ),
            (
                "-- a comment\ncreate unique index if not exists i on t (lower(a)) where b; -- behind\n",
                "-- a comment\ncreate unique index CONCURRENTLY if not exists i on t (lower(a)) where b; -- behind\n",
            ),
            (
                "DROP INDEX /* index */ s.i;",
                "DROP INDEX CONCURRENTLY /* index */ s.i;",
            ),
            ("REINDEX TABLE t;", "REINDEX TABLE CONCURRENTLY t;"),
            (
                "ALTER TABLE s.t ADD CONSTRAINT c CHECK (a > 0);\nSELECT 1;",
                "ALTER TABLE s.t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;\nALTER TABLE s.t VALIDATE CONSTRAINT c;\nSELECT 1;",
            ),
            (
                "ALTER TABLE t ADD CONSTRAINT \"my c\" FOREIGN KEY (a) REFERENCES u (id);",
                "ALTER TABLE t ADD CONSTRAINT \"my c\" FOREIGN KEY (a) REFERENCES u (id) NOT VALID;\nALTER TABLE t VALIDATE CONSTRAINT \"my c\";",
            ),
        ] {
            assert_eq!(fixed(before), after);
            assert_eq!(fixed(after), after, "nothing is left to change");
        }
    }

    #[test]
    fn what_is_not_certain_stays() {
        for text in [
            "BEGIN;\nCREATE INDEX i ON t (a);\nCOMMIT;",
            "DROP INDEX a, b;",
            "DROP INDEX a CASCADE;",
            "ALTER TABLE t ADD CHECK (a > 0);",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0), ADD COLUMN b int;",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0), DROP COLUMN b;",
            "SELECT a FROM t WHERE b = NULL;",
            "DELETE FROM t;",
            "CREATE INDEX i ON t (a",
        ] {
            assert_eq!(fixed(text), text);
        }
    }
}
