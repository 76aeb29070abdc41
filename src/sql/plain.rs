//! The cheapest look at a text: most of what applications send plainly does nothing to a session.

/// A byte that means nothing here.
const NOTHING: u8 = 0;
/// A byte with which a word that matters may begin.
const PERHAPS: u8 = 1;
/// A byte that somebody else has to look at: a function may be called, another statement may
/// follow, a name may be anything, a string may be escaped, a comment may hide a hint.
const STOP: u8 = 2;

const fn classes() -> [u8; 256] {
    let mut classes = [NOTHING; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'(' | b';' | b'"' | b'\\' | b'/' | b'$' | 0 | 128..=255 => STOP,
            b'i' | b'I' | b'p' | b'P' | b'-' => PERHAPS,
            _ => NOTHING,
        };
        byte += 1;
    }
    classes
}

static CLASSES: [u8; 256] = classes();

/// Whether `text` is one SELECT, UPDATE or DELETE that calls nothing, creates nothing and so leaves
/// nothing behind in the session: the answer [`super::analyse`] would give, at a few instructions
/// per byte. `false` means "not plainly so".
///
/// It holds whatever `standard_conforming_strings` is, since no backslash is accepted, and needs a
/// client encoding in which bytes below 128 are ASCII.
#[must_use]
pub fn is_plain(text: &[u8]) -> bool {
    let mut text = text.trim_ascii();
    while let [rest @ .., b';'] = text {
        text = rest.trim_ascii_end();
    }
    if text.len() > 4096 {
        return false;
    }
    let Some(first) = text.get(..7) else {
        return false;
    };
    let selects = first.eq_ignore_ascii_case(b"select ");
    if !selects
        && !first.eq_ignore_ascii_case(b"update ")
        && !first.eq_ignore_ascii_case(b"delete ")
    {
        return false;
    }
    is_nothing_at_a_glance(text) || is_nothing(text)
}

/// Bytes that are looked at in one step, as many as a vector register has.
const STEP: usize = 16;

/// What `is_nothing` says, but `false` for some for which it says `true`: looks at sixteen bytes at once,
/// for all but the first two of `text`, with which only its first word may begin.
fn is_nothing_at_a_glance(text: &[u8]) -> bool {
    // The last byte of a step is two behind its first one's place.
    let Some(last) = text.len().checked_sub(STEP + 2) else {
        return false;
    };
    let mut strange = [0; STEP];
    let mut at = 0;
    loop {
        at = at.min(last);
        if !glance(&text[at..], &mut strange) {
            return false;
        }
        if at == last {
            break;
        }
        at += STEP;
    }
    strange == [0; STEP]
}

/// Notes for each of the first sixteen places whether a word that matters may begin there, or two
/// behind it is a byte that somebody else has to look at. `false` if there are fewer.
#[inline]
fn glance(text: &[u8], strange: &mut [u8; STEP]) -> bool {
    let (Some(first), Some(second), Some(third)) = (
        text.first_chunk::<STEP>(),
        text.get(1..).and_then(|rest| rest.first_chunk::<STEP>()),
        text.get(2..).and_then(|rest| rest.first_chunk::<STEP>()),
    ) else {
        return false;
    };
    for at in 0..STEP {
        // Small letters; what else becomes one is looked at once more.
        let (a, b, c) = (first[at] | 32, second[at] | 32, third[at]);
        let word = (a == b'i') & (b == b'n') & (c | 32 == b't')
            | (a == b'p') & (b == b'g') & (c == b'_')
            | (second[at] == b'-') & (c == b'-');
        let stop = (c == b'(')
            | (c == b';')
            | (c == b'"')
            | (c == b'\\')
            | (c == b'/')
            | (c == b'$')
            | (c == 0)
            | (c >= 128);
        strange[at] |= u8::from(word | stop);
    }
    true
}

fn is_nothing(text: &[u8]) -> bool {
    for (at, &byte) in text.iter().enumerate() {
        match CLASSES[usize::from(byte)] {
            NOTHING => {}
            PERHAPS if !matters(&text[at..]) => {}
            _ => return false,
        }
    }
    true
}

/// Whether a word begins here that matters: SELECT … INTO makes a table, perhaps a temporary one;
/// `pg_settings` can be updated; a comment is not plain. A name that merely begins so is looked at
/// by others, which costs only time.
fn matters(rest: &[u8]) -> bool {
    let begins = |word: &[u8]| {
        rest.get(..word.len())
            .is_some_and(|part| part.eq_ignore_ascii_case(word))
    };
    begins(b"into") || begins(b"pg_") || begins(b"--")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Flags, Lexing, analyse};
    use proptest::prelude::*;

    #[test]
    fn plain_and_not() {
        for text in [
            "SELECT abalance FROM pgbench_accounts WHERE aid = 1;",
            " select * from t where a = 'x' ; ",
            "UPDATE t SET a = 1 WHERE b = 2",
            "delete from t where a < -5::int",
            "select pgbench, print from interval_list where a - b = 3",
        ] {
            assert!(is_plain(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "select",
            "SET a = 1",
            "select set_config('a', 'b', false)",
            "select 1; set a = 1",
            "select * INTO TEMP x from t",
            "update pg_settings set setting = 1",
            "select 'a\\'",
            "select 1 -- x",
            "select 1 /* x */",
            "select $$a$$",
            "select \"f\" from t",
            "insert into t values (1)",
            "with x as (select 1) select 1",
            "select \u{e9}",
        ] {
            assert!(!is_plain(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        /// The glance never finds plain what the slow look does not, wherever the byte is.
        #[test]
        fn a_glance_overlooks_nothing(
            part in prop_oneof![
                Just("into"), Just("INTO"), Just("Pg_"), Just("--"), Just("("), Just(";"), Just("\""), Just("\\"),
                Just("/"), Just("$"), Just("\0"), Just("\u{e9}"), Just("int"), Just("-"), Just("x"),
            ],
            at in 7usize..80,
            len in 7usize..90,
        ) {
            let mut text = b"select ".to_vec();
            text.resize(len.max(at), b'x');
            text.splice(at.min(text.len())..at.min(text.len()), part.bytes());
            prop_assert!(!is_nothing_at_a_glance(&text) || is_nothing(&text));
            if matches!(part, "x" | "-") && text.len() >= 18 {
                prop_assert!(is_nothing_at_a_glance(&text));
            }
        }

        /// What is plain here has no effect on a session by the full analysis either.
        #[test]
        fn agrees_with_the_analysis(
            words in proptest::collection::vec(prop_oneof![
                Just("select"), Just("update"), Just("delete"), Just("from"), Just("t"), Just("into"),
                Just("temp"), Just("set"), Just("a"), Just("="), Just("1"), Just("'x'"), Just(","),
                Just("where"), Just("for"), Just("share"), Just("union"), Just("*"), Just("current_user"),
                Just("limit"), Just("reset"), Just("listen"), Just("prepare"), Just("'"), Just("pg_settings"),
            ], 1..12),
        ) {
            let text = words.join(" ");
            if is_plain(text.as_bytes()) {
                let flags = analyse(text.as_bytes(), Lexing::default()).flags;
                let effects = Flags::SETS_PARAM | Flags::SETS_UNKNOWN | Flags::TEMP | Flags::LISTEN
                    | Flags::ADVISORY_LOCK | Flags::HOLD_CURSOR | Flags::SQL_PREPARE | Flags::ROLE
                    | Flags::LOAD | Flags::MULTI;
                // What does not parse is an error for the server too, and errors leave nothing.
                if !flags.contains(Flags::UNANALYSED) {
                    prop_assert!(!flags.intersects(effects), "{text}: {flags:?}");
                }
            }
        }
    }
}
