//! A text without its secrets.

use super::MAX_SCANNED;
use super::fact::Lexing;
use super::lexer::{Kind, Lexer};

/// `text` as it was written, but without comments, every string as `'…'` and every number as `0`.
/// At most `most` bytes, cut between tokens. Of a text that is broken (a quote that does not end)
/// everything behind the break is one string, or nothing.
#[must_use]
pub fn redacted(text: &[u8], lexing: Lexing, most: usize) -> String {
    let text = text.get(..MAX_SCANNED).unwrap_or(text);
    let mut lexer = Lexer::new(text, lexing.standard_conforming_strings);
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(token) = lexer.next() {
        let begin = out.len();
        // White space becomes one blank; what else is between tokens is comments.
        if token.start > at && !out.is_empty() {
            out.push(b' ');
        }
        match token.kind {
            Kind::Text => out.extend("'…'".bytes()),
            Kind::Number => out.push(b'0'),
            _ => out.extend(text.get(token.start..token.end).unwrap_or_default()),
        }
        if out.len() > most {
            out.truncate(begin);
            break;
        }
        at = token.end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        redacted(text.as_bytes(), Lexing::default(), 4096)
    }

    #[test]
    fn constants_and_comments_go_and_names_stay() {
        for (text, is) in [
            (
                "SELECT \"A\" FROM t -- secret\n WHERE b = 'x' AND c = 12.5e3 AND d = $1",
                "SELECT \"A\" FROM t WHERE b = '…' AND c = 0 AND d = $1",
            ),
            (
                "SELECT /* s */ $q$secret$q$, E'\\'s', U&'s', B'01', x'ff'",
                "SELECT '…', '…', '…', '…', '…'",
            ),
            (
                "CREATE ROLE a PASSWORD 'secret'",
                "CREATE ROLE a PASSWORD '…'",
            ),
            ("SELECT 'secret", "SELECT '…'"),
            ("SELECT $q$secret", "SELECT '…'"),
            ("", ""),
            ("SELECT 1 -- 'secret", "SELECT 0"),
            (
                "SELECT a FROM t WHERE b IN (1,2,'c')",
                "SELECT a FROM t WHERE b IN (0,0,'…')",
            ),
        ] {
            assert_eq!(shown(text), is, "{text}");
        }
        assert_eq!(
            redacted(b"SELECT abc, def", Lexing::default(), 10),
            "SELECT abc"
        );
    }

    proptest! {
        #[test]
        fn no_constant_is_left(secret in "[a-z]{8}", digits in 100_000_000u64..1_000_000_000) {
            let names = secret.replace(|c: char| c.is_ascii_lowercase(), "n");
            for text in [
                format!("SELECT {names} FROM t WHERE a = '{secret}' AND b > {digits}"),
                format!("INSERT INTO t VALUES ('{secret}', {digits}), ($x${secret}$x$, -{digits})"),
                format!("SELECT 1 /* {secret} {digits} */ -- {secret}"),
                format!("ALTER USER u PASSWORD E'{secret}\\'' VALID UNTIL '{digits}'"),
            ] {
                let shown = shown(&text);
                prop_assert!(!shown.contains(&secret) && !shown.contains(&digits.to_string()), "{}", shown);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), most in 0usize..100) {
            let shown = redacted(&bytes, Lexing::default(), most);
            // Bytes that are no UTF-8 take three each.
            prop_assert!(shown.len() <= 3 * most);
        }
    }
}
