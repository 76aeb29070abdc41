//! Where the comments of a text stand.

use super::MAX_SCANNED;
use super::fact::Lexing;
use super::lexer::Lexer;

/// The comments of a text: first byte and the byte behind the last, marks included. A text without
/// the marks of a comment costs one fast search for them.
#[must_use]
pub fn comments(text: &[u8], lexing: Lexing) -> Vec<(u32, u32)> {
    let text = text.get(..MAX_SCANNED).unwrap_or(text);
    let marked = memchr::memchr2_iter(b'-', b'/', text).any(|at| {
        let second = if text[at] == b'-' { b'-' } else { b'*' };
        text.get(at + 1) == Some(&second)
    });
    let mut found = Vec::new();
    if !marked {
        return found;
    }
    let mut lexer = Lexer::new(text, lexing.standard_conforming_strings);
    let mut at = 0;
    loop {
        let token = lexer.next();
        gap(text, at, token.map_or(text.len(), |t| t.start), &mut found);
        match token {
            Some(token) => at = token.end,
            None => return found,
        }
    }
}

/// The comments between two tokens.
fn gap(text: &[u8], mut at: usize, end: usize, found: &mut Vec<(u32, u32)>) {
    while at < end {
        let close = match text.get(at..at + 2) {
            Some(b"--") => line_end(text, at).min(end),
            Some(b"/*") => block_end(text, at).min(end),
            _ => {
                at += 1;
                continue;
            }
        };
        found.push((at as u32, close as u32));
        at = close;
    }
}

/// The first line break from `at` on, or the text's end.
pub(super) fn line_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    memchr::memchr2(b'\n', b'\r', rest).map_or(text.len(), |len| at + len)
}

/// Behind the block comment that begins at `at`. Comments nest.
pub(super) fn block_end(text: &[u8], at: usize) -> usize {
    let (mut at, mut depth) = (at + 2, 1_usize);
    while at < text.len() {
        match text.get(at..at + 2) {
            Some(b"*/") => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            Some(b"/*") => {
                depth += 1;
                at += 2;
            }
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        comments(text.as_bytes(), Lexing::default())
            .into_iter()
            .map(|(start, end)| &text[start as usize..end as usize])
            .collect()
    }

    #[test]
    fn comments_are_where_the_lexer_sees_none_of_its_tokens() {
        assert_eq!(found("SELECT 1"), [""; 0]);
        assert_eq!(
            found("/* a */ SELECT -- b\n 1 --c"),
            ["/* a */", "-- b", "--c"]
        );
        assert_eq!(
            found("SELECT /* a /* b */ c */ 1/*d*//*e*/"),
            ["/* a /* b */ c */", "/*d*/", "/*e*/"]
        );
        assert_eq!(found("SELECT 1 /* open"), ["/* open"]);
        assert_eq!(found("SELECT a - -1, b / *"), [""; 0]);
    }

    #[test]
    fn strings_hold_no_comments() {
        for text in [
            "SELECT '/* a */', '--'",
            r"SELECT E'it\'s /* a */'",
            "SELECT $$ -- a $$, $x$ /* $$ */ $x$",
            r#"SELECT "/* a */" FROM t"#,
            "SELECT U&'/* a */'",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
        // Only with conforming strings is the backslash a letter.
        assert_eq!(found(r"SELECT 'a\' /* b */"), ["/* b */"]);
    }

    proptest::proptest! {
        #[test]
        fn places_are_apart_and_between_characters(
            parts in proptest::collection::vec(proptest::sample::select(PARTS.to_vec()), 0..30),
        ) {
            let text = parts.concat();
            let mut last = 0;
            for (start, end) in comments(text.as_bytes(), Lexing::default()) {
                assert!(last <= start && start < end, "{text:?}");
                assert!(text.get(start as usize..end as usize).is_some(), "{text:?}");
                last = end;
            }
        }
    }

    const PARTS: [&str; 12] = [
        "--", "/*", "*/", "-", "/", "\n", "'", "\"", "$$", "E'", "é", "a",
    ];
}
