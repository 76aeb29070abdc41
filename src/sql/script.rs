//! Where the statements of a script begin and end, as psql cuts it.

use super::comments::{block_end, line_end};
use super::lexer::{Kind, Lexer, Token};

/// The byte order mark in UTF-8.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// One statement of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins, with the comments in front of it.
    pub start: usize,
    /// Its first token.
    pub first: usize,
    /// Behind its last token, or behind the semicolon and a comment that follows on the same line.
    pub end: usize,
}

/// How a script is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// As psql does: not within brackets, nor within `BEGIN ATOMIC … END`.
    Outermost,
    /// At every semicolon, for a text whose brackets cannot be trusted.
    Everywhere,
}

/// The statements of a file as psql reads it. Meta-commands (`\connect`, `\gexec`) and the data behind
/// `COPY … FROM STDIN` belong to no statement.
#[must_use]
pub fn script(text: &[u8], cut: Cut) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut open = Open::default();
    // psql passes over a byte order mark at the beginning of a file.
    let mut base = if text.starts_with(BOM) { BOM.len() } else { 0 };
    let mut start = base;
    let mut lexer = Lexer::new(text.get(base..).unwrap_or_default(), true);
    while let Some(token) = lexer.next() {
        let token = Token {
            start: base + token.start,
            end: base + token.end,
            ..token
        };
        let word = text.get(token.start..token.end).unwrap_or_default();
        if token.kind == Kind::Other && word == b"\\" {
            let rest = line_end(text, token.start);
            if let Some(first) = open.first {
                let end = open.end;
                found.push(Piece { start, first, end });
            }
            open = Open::default();
            (base, start) = (rest, rest);
            lexer = Lexer::new(text.get(base..).unwrap_or_default(), true);
            continue;
        }
        let ends = token.kind == Kind::Semicolon && (cut == Cut::Everywhere || open.outermost());
        if !ends {
            open.take(token, word);
            continue;
        }
        // The data of a COPY begin with the next line, also within a comment.
        let line = match open.copies {
            true => text.get(..line_end(text, token.end)).unwrap_or(text),
            false => text,
        };
        let end = tail(line, token.end);
        if let Some(first) = open.first {
            found.push(Piece { start, first, end });
        }
        start = end;
        if open.copies {
            start = data_end(text, token.end);
        }
        if open.copies || end != token.end {
            base = start;
            lexer = Lexer::new(text.get(base..).unwrap_or_default(), true);
        }
        open = Open::default();
    }
    if let Some(first) = open.first {
        let end = open.end;
        found.push(Piece { start, first, end });
    }
    found
}

/// A text with psql's variables as what they stand for: the colon of `:name`, `:'name'` and `:"name"`
/// becomes a blank, so that all places stay. `None` if there are none.
#[must_use]
pub fn without_variables(text: &str) -> Option<String> {
    let mut lexer = Lexer::new(text.as_bytes(), true);
    let mut out: Option<Vec<u8>> = None;
    let mut colon = None;
    while let Some(token) = lexer.next() {
        let first = text.as_bytes().get(token.start);
        let names = matches!(token.kind, Kind::Word | Kind::Quoted)
            || token.kind == Kind::Text && first == Some(&b'\'');
        if names && colon == Some(token.start) {
            let bytes = out.get_or_insert_with(|| text.as_bytes().to_vec());
            if let Some(byte) = bytes.get_mut(token.start - 1) {
                *byte = b' ';
            }
        }
        colon = (first == Some(&b':') && token.kind == Kind::Other).then_some(token.end);
    }
    String::from_utf8(out?).ok()
}

/// What is known of the statement that has begun.
#[derive(Default)]
struct Open {
    first: Option<usize>,
    end: usize,
    brackets: u32,
    /// Blocks of a function's body: `BEGIN ATOMIC`, and `CASE` within one.
    blocks: u32,
    begins: bool,
    copy: bool,
    from: bool,
    /// It is `COPY … FROM STDIN`.
    copies: bool,
}

impl Open {
    fn outermost(&self) -> bool {
        self.brackets == 0 && self.blocks == 0
    }

    fn take(&mut self, token: Token, word: &[u8]) {
        let is =
            |other: &str| token.kind == Kind::Word && word.eq_ignore_ascii_case(other.as_bytes());
        if self.first.is_none() && token.kind != Kind::Semicolon {
            self.first = Some(token.start);
            self.copy = is("copy");
        }
        self.end = token.end;
        match token.kind {
            Kind::Open => self.brackets += 1,
            Kind::Close => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        if is("atomic") && self.begins || self.blocks > 0 && is("case") {
            self.blocks += 1;
        } else if is("end") {
            self.blocks = self.blocks.saturating_sub(1);
        }
        self.begins = is("begin");
        self.copies |= self.copy && self.from && is("stdin");
        self.from = is("from");
    }
}

/// Behind a comment that follows on the line of a semicolon: it is about the statement that ended.
fn tail(text: &[u8], semicolon: usize) -> usize {
    let mut at = semicolon;
    while matches!(text.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    match text.get(at..at + 2) {
        Some(b"--") => line_end(text, at),
        Some(b"/*") => {
            let end = block_end(text, at);
            let blank = |&&b: &&u8| matches!(b, b' ' | b'\t' | b'\r');
            let behind = end
                + text
                    .get(end..)
                    .unwrap_or_default()
                    .iter()
                    .take_while(blank)
                    .count();
            // In front of another statement it is about that one.
            match text.get(behind) {
                None | Some(b'\n') => end,
                Some(_) => semicolon,
            }
        }
        _ => semicolon,
    }
}

/// Behind the line `\.` that ends the data of a COPY; behind the line of the COPY if there is none.
fn data_end(text: &[u8], from: usize) -> usize {
    let mut at = line_end(text, from);
    let data = at;
    while at < text.len() {
        let end = line_end(text, at + 1);
        if text.get(at + 1..end) == Some(b"\\.") {
            return end;
        }
        at = end;
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        pieces(text, Cut::Outermost)
    }

    fn pieces(text: &str, cut: Cut) -> Vec<&str> {
        script(text.as_bytes(), cut)
            .into_iter()
            .map(|piece| text[piece.start..piece.end].trim())
            .collect()
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_everything() {
        assert_eq!(cut(""), [""; 0]);
        assert_eq!(cut(";;-- nothing\n"), [""; 0]);
        assert_eq!(
            cut("SELECT 1; SELECT ';' ;SELECT $$;$$"),
            ["SELECT 1;", "SELECT ';' ;", "SELECT $$;$$"]
        );
        assert_eq!(
            cut("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3"),
            [
                "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);",
                "SELECT 3"
            ]
        );
        let function = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;";
        assert_eq!(cut(&format!("{function} SELECT 1")), [function, "SELECT 1"]);
        assert_eq!(
            cut("BEGIN; SELECT 1; END; SELECT 2"),
            ["BEGIN;", "SELECT 1;", "END;", "SELECT 2"]
        );
    }

    #[test]
    fn broken_brackets_can_be_disregarded() {
        let text = "SELECT (1; DELETE FROM t";
        assert_eq!(cut(text), [text]);
        assert_eq!(
            pieces(text, Cut::Everywhere),
            ["SELECT (1;", "DELETE FROM t"]
        );
    }

    #[test]
    fn comments_go_with_the_statement_that_they_are_about() {
        assert_eq!(
            cut(
                "-- first\nSELECT 1; -- also first\n-- second\nSELECT 2; /* third */ SELECT 3; /* too */\nSELECT 4"
            ),
            [
                "-- first\nSELECT 1; -- also first",
                "-- second\nSELECT 2;",
                "/* third */ SELECT 3; /* too */",
                "SELECT 4"
            ]
        );
    }

    #[test]
    fn what_is_for_psql_is_passed_over() {
        assert_eq!(
            cut("\\connect shop; \\echo it's\nSELECT 1 \\gset x\n\\copy t from 'x'\nSELECT 2;"),
            ["SELECT 1", "SELECT 2;"]
        );
        assert_eq!(
            cut("COPY t (a) FROM stdin; -- data\n1\tit's\n2\t(\n\\.\n\nDELETE FROM t;"),
            ["COPY t (a) FROM stdin; -- data", "DELETE FROM t;"]
        );
        assert_eq!(
            cut("COPY t FROM STDIN; /* more\n1 */\n\\.\nSELECT 1;"),
            ["COPY t FROM STDIN; /* more", "SELECT 1;"]
        );
        assert_eq!(
            cut("COPY t FROM '/x';\nSELECT 1;"),
            ["COPY t FROM '/x';", "SELECT 1;"]
        );
    }

    #[test]
    fn variables_of_psql_are_uncovered() {
        let found = |text| without_variables(text);
        assert_eq!(
            found(r#"SELECT :a, :'b', :"c"::int FROM :t"#).as_deref(),
            Some(r#"SELECT  a,  'b',  "c"::int FROM  t"#)
        );
        for text in [
            "SELECT a::int, ':b', $$:c$$",
            "SELECT a := 1, b : c",
            ":",
            "",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_name() {
        assert_eq!(cut("\u{feff}SELECT 1;"), ["SELECT 1;"]);
        assert_eq!(cut("\u{feff}"), [""; 0]);
    }

    proptest::proptest! {
        #[test]
        fn pieces_are_apart_and_in_order(
            parts in proptest::collection::vec(proptest::sample::select(PARTS.to_vec()), 0..40),
        ) {
            let text = parts.concat();
            for how in [Cut::Outermost, Cut::Everywhere] {
                let mut last = 0;
                for piece in script(text.as_bytes(), how) {
                    assert!(last <= piece.start && piece.start <= piece.first, "{text:?}");
                    assert!(piece.first < piece.end && text.get(piece.start..piece.end).is_some(), "{text:?}");
                    last = piece.end;
                }
            }
        }
    }

    const PARTS: [&str; 24] = [
        "SELECT",
        " ",
        "\n",
        "\r\n",
        ";",
        "(",
        ")",
        "'",
        "\"",
        "$$",
        "$a$",
        "--",
        "/*",
        "*/",
        "\\",
        "\\.",
        "E'",
        "COPY t FROM STDIN",
        "BEGIN ATOMIC",
        "CASE",
        "END",
        "é",
        "1",
        "\u{feff}",
    ];

    #[test]
    fn the_first_token_is_behind_the_comments() {
        let text = "/* a */ SELECT 1";
        assert_eq!(script(text.as_bytes(), Cut::Outermost)[0].first, 8);
    }
}
