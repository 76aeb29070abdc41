//! Cuts SQL text into tokens by the rules of PostgreSQL's scanner.
//!
//! Works on bytes: every byte of 128 and above counts as a letter, as in PostgreSQL, so any
//! ASCII-compatible encoding works. Never allocates, never fails: what the server would reject
//! (an unterminated string, junk after a number) is marked in [`Lexer::broken`] and lexing goes
//! on. Source: PostgreSQL manual, "Lexical Structure"; behaviour of `scan.l` of version 18.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An unquoted identifier or keyword.
    Word,
    /// `"identifier"`.
    Quoted,
    /// `U&"identifier"`, which may hide any name behind escapes.
    EscapedName,
    /// Any string: plain, `E''`, `N''`, `U&''`, `B''`, `X''`, dollar-quoted. Strings that continue
    /// on the next line of an `E''` are one token.
    Text,
    /// A number.
    Number,
    /// `$1`.
    Param,
    /// An operator of symbols, including `=>`.
    Operator,
    /// `::`.
    Cast,
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `[`.
    OpenSquare,
    /// `]`.
    CloseSquare,
    /// `,`.
    Comma,
    /// `;`.
    Semicolon,
    /// `.`.
    Dot,
    /// `:` and anything else.
    Other,
}

/// A token and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A lexer over one text; see [`Lexer::next`].
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    conforming: bool,
    /// True once something was seen that the server's scanner rejects.
    pub(super) broken: bool,
    /// True once a `U&` token was seen.
    pub(super) escaped: bool,
}

const SPACE: u8 = 1;
const LETTER: u8 = 2;
const DIGIT: u8 = 4;
const SYMBOL: u8 = 8;
const DOLLAR: u8 = 16;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        table[i] = match b {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 128..=255 => LETTER,
            b'0'..=b'9' => DIGIT,
            b'$' => DOLLAR,
            b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' | b'~' | b'!' | b'@' | b'#' | b'%'
            | b'^' | b'&' | b'|' | b'`' | b'?' => SYMBOL,
            _ => 0,
        };
        i += 1;
    }
    table
}

#[inline]
fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of `text`. `conforming` is `standard_conforming_strings`.
    pub(super) fn new(text: &'a [u8], conforming: bool) -> Self {
        Lexer {
            text,
            at: 0,
            conforming,
            broken: false,
            escaped: false,
        }
    }

    #[inline]
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    #[inline]
    fn skip_while(&mut self, class: u8) {
        while let Some(&b) = self.text.get(self.at) {
            if !is(b, class) {
                break;
            }
            self.at += 1;
        }
    }

    /// The next token, or `None` at the end of the text.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Token> {
        self.skip_space();
        let start = self.at;
        let &first = self.text.get(start)?;
        let class = CLASS[first as usize];
        let kind = if class & LETTER != 0 {
            self.word_or_prefixed(first)
        } else if class & DIGIT != 0 || (first == b'.' && is(self.peek(1), DIGIT)) {
            self.number();
            Kind::Number
        } else {
            match first {
                b'\'' => {
                    self.at += 1;
                    let escapes = !self.conforming;
                    self.string(escapes);
                    Kind::Text
                }
                b'"' => {
                    self.at += 1;
                    self.quoted(b'"');
                    Kind::Quoted
                }
                b'$' => self.dollar(),
                b':' if self.peek(1) == b':' => {
                    self.at += 2;
                    Kind::Cast
                }
                _ if class & SYMBOL != 0 => {
                    self.operator();
                    Kind::Operator
                }
                _ => {
                    self.at += 1;
                    match first {
                        b'(' => Kind::Open,
                        b')' => Kind::Close,
                        b'[' => Kind::OpenSquare,
                        b']' => Kind::CloseSquare,
                        b',' => Kind::Comma,
                        b';' => Kind::Semicolon,
                        b'.' => Kind::Dot,
                        b':' => Kind::Other,
                        _ => {
                            self.broken = true;
                            Kind::Other
                        }
                    }
                }
            }
        };
        Some(Token {
            kind,
            start,
            end: self.at,
        })
    }

    fn skip_space(&mut self) {
        loop {
            self.skip_while(SPACE);
            match (self.peek(0), self.peek(1)) {
                (b'-', b'-') => self.line_comment(),
                (b'/', b'*') => self.block_comment(),
                _ => return,
            }
        }
    }

    fn line_comment(&mut self) {
        while let Some(&b) = self.text.get(self.at) {
            if b == b'\n' || b == b'\r' {
                break;
            }
            self.at += 1;
        }
    }

    /// Comments nest. The depth is a counter, so nesting costs no stack.
    fn block_comment(&mut self) {
        self.at += 2;
        let mut depth = 1usize;
        while depth > 0 {
            match (self.peek(0), self.peek(1)) {
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                }
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                _ if self.at >= self.text.len() => {
                    self.broken = true;
                    self.at = self.text.len();
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    fn word_or_prefixed(&mut self, first: u8) -> Kind {
        let second = self.peek(1);
        if second == b'\'' {
            match first {
                b'e' | b'E' => {
                    self.at += 2;
                    self.string(true);
                    return Kind::Text;
                }
                b'b' | b'B' | b'x' | b'X' => {
                    self.at += 2;
                    self.string(false);
                    return Kind::Text;
                }
                b'n' | b'N' => {
                    self.at += 2;
                    let escapes = !self.conforming;
                    self.string(escapes);
                    return Kind::Text;
                }
                _ => {}
            }
        } else if second == b'&' && (first == b'u' || first == b'U') {
            match self.peek(2) {
                b'\'' => {
                    self.escaped = true;
                    self.at += 3;
                    self.string(false);
                    return Kind::Text;
                }
                b'"' => {
                    self.escaped = true;
                    self.at += 3;
                    self.quoted(b'"');
                    return Kind::EscapedName;
                }
                _ => {}
            }
        }
        self.skip_while(LETTER | DIGIT | DOLLAR);
        Kind::Word
    }

    /// From behind the opening quote to behind the closing one; doubled quotes are part of it.
    fn quoted(&mut self, quote: u8) {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            match rest.iter().position(|&b| b == quote) {
                None => {
                    self.broken = true;
                    self.at = self.text.len();
                    return;
                }
                Some(i) => {
                    self.at += i + 1;
                    if self.peek(0) != quote {
                        return;
                    }
                    self.at += 1;
                }
            }
        }
    }

    fn string(&mut self, escapes: bool) {
        if !escapes {
            return self.quoted(b'\'');
        }
        loop {
            match self.text.get(self.at) {
                None => {
                    self.broken = true;
                    return;
                }
                Some(b'\\') => self.at = (self.at + 2).min(self.text.len()),
                Some(b'\'') => {
                    self.at += 1;
                    if self.peek(0) == b'\'' {
                        self.at += 1;
                    } else if let Some(next) = self.continuation() {
                        self.at = next;
                    } else {
                        return;
                    }
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// A string goes on if only white space with at least one line break (and `--` comments) lies
    /// between its closing quote and another quote. It keeps its escape rules then, which is why
    /// this matters: seen alone, the second part would be a plain string.
    fn continuation(&self) -> Option<usize> {
        let mut look = self.clone();
        let mut newline = false;
        loop {
            match (look.peek(0), look.peek(1)) {
                (b'\n' | b'\r', _) => {
                    newline = true;
                    look.at += 1;
                }
                (b' ' | b'\t' | 0x0b | 0x0c, _) => look.at += 1,
                (b'-', b'-') => look.line_comment(),
                (b'\'', _) if newline => return Some(look.at + 1),
                _ => return None,
            }
        }
    }

    fn dollar(&mut self) -> Kind {
        if is(self.peek(1), DIGIT) {
            self.at += 1;
            self.skip_while(DIGIT);
            return Kind::Param;
        }
        // The tag is an identifier without dollar signs, or nothing.
        let mut end = self.at + 1;
        if self.text.get(end).is_some_and(|&b| is(b, LETTER)) {
            while self.text.get(end).is_some_and(|&b| is(b, LETTER | DIGIT)) {
                end += 1;
            }
        }
        if self.text.get(end) != Some(&b'$') {
            self.broken = true;
            self.at += 1;
            return Kind::Other;
        }
        let tag = self.text.get(self.at..=end).unwrap_or_default();
        let mut from = end + 1;
        loop {
            let rest = self.text.get(from..).unwrap_or_default();
            match rest.iter().position(|&b| b == b'$') {
                None => {
                    self.broken = true;
                    self.at = self.text.len();
                    return Kind::Text;
                }
                Some(i) => {
                    let here = from + i;
                    if self.text.get(here..here + tag.len()) == Some(tag) {
                        self.at = here + tag.len();
                        return Kind::Text;
                    }
                    from = here + 1;
                }
            }
        }
    }

    fn number(&mut self) {
        let radix_letter = self.peek(1) | 0x20;
        if self.peek(0) == b'0' && matches!(radix_letter, b'x' | b'o' | b'b') {
            self.at += 2;
            while self
                .text
                .get(self.at)
                .is_some_and(|b| b.is_ascii_hexdigit() || *b == b'_')
            {
                self.at += 1;
            }
        } else {
            self.digits();
            // Two dots are no decimal point: `1..2` is a range in PL/pgSQL.
            if self.peek(0) == b'.' && self.peek(1) != b'.' {
                self.at += 1;
                self.digits();
            }
            if self.peek(0) | 0x20 == b'e' {
                let signed = matches!(self.peek(1), b'+' | b'-');
                if is(self.peek(1 + usize::from(signed)), DIGIT) {
                    self.at += 1 + usize::from(signed);
                    self.digits();
                }
            }
        }
        if is(self.peek(0), LETTER) {
            self.broken = true;
        }
    }

    /// Digits, with single underscores between them.
    fn digits(&mut self) {
        loop {
            self.skip_while(DIGIT);
            if self.peek(0) == b'_' && is(self.peek(1), DIGIT) {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    /// An operator ends where a comment starts, and a long one may end in `+` or `-` only if it
    /// also has one of the symbols that standard SQL does not use.
    fn operator(&mut self) {
        let start = self.at;
        self.skip_while(SYMBOL);
        let run = self.text.get(start..self.at).unwrap_or_default();
        let mut len = run.len();
        if let Some(i) = run.windows(2).position(|w| w == b"--" || w == b"/*") {
            // Position 0 cannot be: the comment would have been skipped before.
            len = i.max(1);
        }
        let run = run.get(..len).unwrap_or_default();
        if len > 1
            && matches!(run.last(), Some(b'+' | b'-'))
            && !run.iter().any(|b| b"~!@#^&|`?%".contains(b))
        {
            while len > 1 && matches!(run.get(len - 1), Some(b'+' | b'-')) {
                len -= 1;
            }
        }
        self.at = start + len;
    }
}
