//! Which rules a statement hits, in a comment behind it: so that whoever looks at `pg_stat_activity` or
//! at the server's log recognises it.

use crate::lint::hit::Hit;
use crate::lint::policy::Effective;
use crate::lint::rule::Action;
use crate::sql::Lexing;

/// A longer text is sent as it is.
const LONGEST: usize = 64 * 1024;
/// Rules that are named at most.
const MOST: usize = 8;

/// The comment for a text that hits these rules, if one of them asks for it.
///
/// Only hits of a text that was parsed come here, so it ends with a whole token and a comment behind it
/// changes nothing; under other rules of reading strings that is not known, and there is none.
#[must_use]
pub(in crate::session) fn comment(
    effective: &Effective,
    hits: &[Hit],
    text: &[u8],
    lexing: Lexing,
) -> Option<String> {
    if effective.max() < Action::Annotate || text.len() > LONGEST || lexing != Lexing::default() {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    for hit in hits {
        let asked = effective.action(hit.rule, hit.kind) == Action::Annotate;
        if asked && names.len() < MOST && !names.contains(&hit.rule.id) {
            names.push(hit.rule.id);
        }
    }
    (!names.is_empty()).then(|| format!("/*lint='{}'*/", names.join(",")))
}

/// A text with a comment behind it.
#[must_use]
pub(in crate::session) fn annotated(text: &[u8], comment: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + comment.len() + 1);
    out.extend_from_slice(text);
    // A comment of one line would take it in.
    let line = memchr::memmem::find(text, b"--").is_some();
    out.push(if line { b'\n' } else { b' ' });
    out.extend_from_slice(comment.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::lint::hashing::Hashing;
    use crate::lint::observe::Subject;
    use crate::lint::policy::Policy;
    use crate::lint::texts::Texts;

    fn of(text: &str, lexing: Lexing) -> Option<String> {
        let config = "[pgweir]\nlint_annotate = [\"select-star\", \"missing-where:delete\"]\n";
        let policy = Policy::of(&Config::from_toml(config).expect("valid")).expect("valid");
        let effective = policy.for_subject(&Subject::default());
        let looked = Texts::new(1 << 20, Hashing::seeded(1)).look(text.as_bytes(), lexing);
        let comment = comment(&effective, looked.hits(), text.as_bytes(), lexing)?;
        Some(String::from_utf8(annotated(text.as_bytes(), &comment)).expect("text"))
    }

    #[test]
    fn rules_that_ask_for_it_are_named() {
        let plain = Lexing::default();
        for (text, expected) in [
            (
                "SELECT * FROM t",
                Some("SELECT * FROM t /*lint='select-star'*/"),
            ),
            (
                "SELECT * FROM t;",
                Some("SELECT * FROM t; /*lint='select-star'*/"),
            ),
            (
                "SELECT * FROM t -- all",
                Some("SELECT * FROM t -- all\n/*lint='select-star'*/"),
            ),
            (
                "DELETE FROM t; SELECT * FROM u",
                Some("DELETE FROM t; SELECT * FROM u /*lint='missing-where,select-star'*/"),
            ),
            ("UPDATE t SET a = 1", None),
            ("SELECT a FROM t", None),
            ("SELECT * FRM", None),
            ("SELECT 'a", None),
        ] {
            assert_eq!(of(text, plain).as_deref(), expected, "{text}");
        }
        let odd = Lexing {
            standard_conforming_strings: false,
            ..plain
        };
        assert_eq!(of("SELECT * FROM t", odd), None);
        let long = format!("SELECT * FROM t WHERE a = '{}'", "x".repeat(LONGEST));
        assert_eq!(of(&long, plain), None);
    }
}
