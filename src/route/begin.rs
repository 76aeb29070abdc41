//! A BEGIN that waits for the first statement of its transaction, which says where both go.
//!
//! Only texts that are beyond doubt count here: plain words, without a comment. What is not known here goes
//! where it always went.

use crate::config::PoolMode;
use crate::config::cluster::{ClusterPolicy, PrimaryReads, Target};

/// Longest text that is looked at, in bytes; so much is kept of a BEGIN at most.
const LONGEST: usize = 256;

/// What else decides whether a BEGIN waits.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// How the client's transactions are pooled.
    pub mode: PoolMode,
    /// Servers of the cluster.
    pub servers: usize,
    /// What the session is for.
    pub target: Target,
    /// The session says itself where it wants to run.
    pub hinted: bool,
    /// Its transactions only read, or are serializable, unless they say otherwise.
    pub otherwise: bool,
}

/// Whether a BEGIN of that moment may wait for the first statement.
#[must_use]
pub fn may_wait(policy: &ClusterPolicy, moment: &Moment) -> bool {
    policy.defer_begin
        && policy.primary_reads != PrimaryReads::Only
        && moment.mode == PoolMode::Transaction
        && moment.target == Target::Any
        && moment.servers > 1
        && !moment.hinted
        && !moment.otherwise
}

/// The command tag of a text that only begins a transaction which may write and needs no server at once.
#[must_use]
pub fn begins(text: &[u8]) -> Option<&'static [u8]> {
    let mut words = Words::of(text)?;
    let tag: &[u8] = match words.next()? {
        word if is(word, b"begin") => {
            words.skip_one_of(&[&b"work"[..], b"transaction"]);
            b"BEGIN"
        }
        word if is(word, b"start") && is(words.next()?, b"transaction") => b"START TRANSACTION",
        _ => return None,
    };
    let Some(next) = words.next() else {
        return Some(tag);
    };
    if !is(next, b"isolation") || !is(words.next()?, b"level") {
        return None;
    }
    let level = (words.next()?, words.next()?);
    let known = [
        (&b"read"[..], &b"committed"[..]),
        (b"read", b"uncommitted"),
        (b"repeatable", b"read"),
    ];
    let known = (known.iter()).any(|(first, second)| is(level.0, first) && is(level.1, second));
    (known && words.next().is_none()).then_some(tag)
}

/// The command tag of a text that only ends a transaction.
#[must_use]
pub fn ends(text: &[u8]) -> Option<&'static [u8]> {
    let mut words = Words::of(text)?;
    let tag: &[u8] = match words.next()? {
        word if is(word, b"commit") || is(word, b"end") => b"COMMIT",
        word if is(word, b"rollback") || is(word, b"abort") => b"ROLLBACK",
        _ => return None,
    };
    words.skip_one_of(&[&b"work"[..], b"transaction"]);
    words.next().is_none().then_some(tag)
}

/// Under what is remembered that a transaction which began with a statement of this shape wrote later. The
/// statement alone is remembered under its shape.
#[must_use]
pub fn wrote_later(shape: u64) -> u64 {
    match shape {
        0 => 0,
        shape => (shape.rotate_left(32) ^ 0x5bd1_e995_9e37_79b9).max(1),
    }
}

fn is(word: &[u8], known: &[u8]) -> bool {
    word.eq_ignore_ascii_case(known)
}

/// The words of a text that has nothing else, but semicolons at its end.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn of(text: &'a [u8]) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let mut rest = trimmed(text);
        while let [front @ .., b';'] = rest {
            rest = trimmed(front);
        }
        (rest.iter())
            .all(|byte| byte.is_ascii_alphabetic() || is_space(*byte))
            .then_some(Self(rest))
    }

    fn skip_one_of(&mut self, any: &[&[u8]]) {
        let before = self.0;
        if !(self.next()).is_some_and(|word| any.iter().any(|known| is(word, known))) {
            self.0 = before;
        }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let begin = self.0.iter().position(|byte| !is_space(*byte))?;
        let rest = &self.0[begin..];
        let end = rest.iter().position(|byte| is_space(*byte));
        let (word, rest) = rest.split_at(end.unwrap_or(rest.len()));
        self.0 = rest;
        Some(word)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_no_server_waits() {
        for (text, tag) in [
            ("BEGIN", Some("BEGIN")),
            (" begin work ;; ", Some("BEGIN")),
            ("Begin Transaction", Some("BEGIN")),
            ("START\n\tTRANSACTION;", Some("START TRANSACTION")),
            ("BEGIN ISOLATION LEVEL READ COMMITTED", Some("BEGIN")),
            ("BEGIN WORK ISOLATION LEVEL read uncommitted", Some("BEGIN")),
            (
                "START TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                Some("START TRANSACTION"),
            ),
            ("BEGIN ISOLATION LEVEL SERIALIZABLE", None),
            ("BEGIN ISOLATION LEVEL REPEATABLE", None),
            ("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE", None),
            ("BEGIN READ ONLY", None),
            ("BEGIN READ WRITE", None),
            ("BEGIN DEFERRABLE", None),
            ("BEGIN NOT DEFERRABLE", None),
            ("BEGIN; SELECT 1", None),
            ("BEGIN; BEGIN", None),
            ("BEGIN WORK TRANSACTION", None),
            ("START WORK", None),
            ("START", None),
            ("/* pgweir: route=primary */ BEGIN", None),
            ("BEGIN -- x", None),
            (";", None),
            ("", None),
            ("SELECT", None),
            ("COMMIT", None),
        ] {
            let found = begins(text.as_bytes());
            assert_eq!(found, tag.map(str::as_bytes), "{text}");
        }
        let long = format!("BEGIN{}", " ".repeat(LONGEST));
        assert_eq!(begins(long.as_bytes()), None);
    }

    #[test]
    fn only_a_plain_end_needs_no_server() {
        for (text, tag) in [
            ("COMMIT", Some("COMMIT")),
            ("end transaction;", Some("COMMIT")),
            ("ROLLBACK WORK", Some("ROLLBACK")),
            ("abort", Some("ROLLBACK")),
            ("COMMIT AND CHAIN", None),
            ("COMMIT PREPARED 'x'", None),
            ("ROLLBACK TO a", None),
            ("ROLLBACK TO SAVEPOINT a", None),
            ("COMMIT; SELECT 1", None),
            ("PREPARE TRANSACTION 'x'", None),
            ("BEGIN", None),
        ] {
            let found = ends(text.as_bytes());
            assert_eq!(found, tag.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn one_thing_is_enough_for_it_not_to_wait() {
        let policy = ClusterPolicy {
            defer_begin: true,
            ..ClusterPolicy::default()
        };
        let moment = Moment {
            mode: PoolMode::Transaction,
            servers: 2,
            target: Target::Any,
            hinted: false,
            otherwise: false,
        };
        assert!(may_wait(&policy, &moment));
        assert!(!may_wait(&ClusterPolicy::default(), &moment), "off");
        let only = ClusterPolicy {
            primary_reads: PrimaryReads::Only,
            ..policy
        };
        assert!(!may_wait(&only, &moment));
        for (what, other) in [
            (
                "session",
                Moment {
                    mode: PoolMode::Session,
                    ..moment
                },
            ),
            (
                "statement",
                Moment {
                    mode: PoolMode::Statement,
                    ..moment
                },
            ),
            (
                "one server",
                Moment {
                    servers: 1,
                    ..moment
                },
            ),
            (
                "target",
                Moment {
                    target: Target::Standby,
                    ..moment
                },
            ),
            (
                "hint",
                Moment {
                    hinted: true,
                    ..moment
                },
            ),
            (
                "default",
                Moment {
                    otherwise: true,
                    ..moment
                },
            ),
        ] {
            assert!(!may_wait(&policy, &other), "{what}");
        }
    }

    #[test]
    fn a_statement_and_a_transaction_that_begins_with_it_are_remembered_apart() {
        assert_eq!(wrote_later(0), 0, "no shape");
        for shape in [1, 7, u64::MAX] {
            assert_ne!(wrote_later(shape), shape);
            assert_ne!(wrote_later(shape), 0);
        }
    }
}
