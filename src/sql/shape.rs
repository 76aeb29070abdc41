//! One pass over a text: its shape, and what the lexer alone can tell.
//!
//! The **shape** is the text in a normal form that forgets what does not matter for statistics
//! and (with the exceptions below) for facts: comments and white space are dropped, unquoted words
//! are in lower case, literals are `?`, lists of literals and parameters in `IN (…)` and
//! `ARRAY[…]` are `...`, equal rows of `VALUES` appear once. The form is unambiguous: two texts
//! with equal shapes have equal tokens apart from the literals, because operators that contain a
//! question mark have it doubled and names in quotes keep their quotes.
//!
//! Facts may be shared by all texts of a shape only if [`Survey::by_shape`] says so: never where a
//! literal decides (`set_config('name', …)`), never for utilities, never for several statements.

use super::MAX_PARSED;
use super::classify::{self, Words};
use super::fact::Lexing;
use super::lexer::{Kind as Tok, Lexer, Token};
use super::survey::Survey;
use super::words::{self, Keyword, Role};

/// Names that PostgreSQL truncates start here (`NAMEDATALEN`).
const LONG_NAME: usize = 64;

/// Reads `text` once; `shape` is cleared and receives the normal form, at most about
/// [`MAX_PARSED`] bytes of it.
pub(super) fn survey(text: &[u8], lexing: Lexing, shape: &mut Vec<u8>) -> Survey {
    shape.clear();
    let mut pass = Pass::new(text, shape);
    let mut lexer = Lexer::new(text, lexing.standard_conforming_strings);
    while let Some(token) = lexer.next() {
        pass.token(token);
    }
    pass.end_statement();
    let mut found = pass.found;
    found.broken = lexer.broken;
    found.escaped = lexer.escaped;
    found.plain &= !lexer.escaped && found.statements > 0;
    found
}

/// A list of which only one element may be kept.
#[derive(Clone, Copy)]
enum List {
    None,
    /// Inside `IN (` or `ARRAY[` at this depth, elements start at this place in the shape.
    Pure {
        depth: u32,
        start: usize,
        /// Literals before it, and elements of it so far.
        literals: usize,
        elements: u32,
    },
    /// Behind `VALUES` at this depth.
    Rows {
        depth: u32,
        first: (usize, usize),
        row: usize,
        cut: usize,
        /// Literals before the row.
        literals: usize,
    },
}

struct Pass<'a> {
    text: &'a [u8],
    shape: &'a mut Vec<u8>,
    found: Survey,
    prev: Option<Tok>,
    /// The previous token was a word after which a bracket opens a list or an expression.
    prev_word: Lead,
    depth: u32,
    cases: u32,
    list: List,
    /// Leading words of the statement, and how many tokens it has so far.
    lead: [Keyword; 3],
    tokens: u32,
    /// Like `tokens`, without opening brackets at the start: `(SELECT …) UNION …` is a `SELECT`.
    leading: usize,
    stmt_words: Words,
    /// Open blocks of a `BEGIN ATOMIC` function body, whose semicolons end no statement.
    atomic: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Lead {
    Other,
    In,
    Array,
    Values,
    Spaced,
    Begin,
}

impl<'a> Pass<'a> {
    fn new(text: &'a [u8], shape: &'a mut Vec<u8>) -> Self {
        Pass {
            text,
            shape,
            found: Survey {
                plain: true,
                ..Survey::default()
            },
            prev: None,
            prev_word: Lead::Other,
            depth: 0,
            cases: 0,
            list: List::None,
            lead: [Keyword::None; 3],
            tokens: 0,
            leading: 0,
            stmt_words: Words::default(),
            atomic: 0,
        }
    }

    fn token(&mut self, token: Token) {
        let bytes = self.text.get(token.start..token.end).unwrap_or_default();
        if token.kind == Tok::Semicolon && self.depth == 0 && self.atomic == 0 {
            self.end_statement();
            return;
        }
        // A semicolon is written only once something follows it, so that a trailing one is lost.
        if self.tokens == 0 && self.found.statements > 0 {
            self.shape.push(b';');
            self.prev = Some(Tok::Semicolon);
        }
        let start = self.shape.len();
        let mut prev_word = Lead::Other;
        match token.kind {
            Tok::Word => prev_word = self.word(bytes),
            Tok::Quoted | Tok::EscapedName => {
                self.space(token.kind);
                self.shape.extend_from_slice(bytes);
                self.name(bytes);
                let inner = bytes
                    .get(1..bytes.len().saturating_sub(1))
                    .unwrap_or_default();
                self.stmt_words |= classify::telling_word(&inner.to_ascii_lowercase());
            }
            Tok::Text | Tok::Number => {
                self.literal(token);
                self.fold_sign(token.kind);
                self.space(token.kind);
                self.shape.push(b'?');
            }
            Tok::Param => {
                self.space(token.kind);
                match self.list {
                    List::Rows { .. } => self.shape.push(b'$'),
                    _ => self.shape.extend_from_slice(bytes),
                }
            }
            Tok::Operator => {
                self.space(token.kind);
                for &b in bytes {
                    self.shape.push(b);
                    if b == b'?' {
                        self.shape.push(b);
                    }
                }
                self.operator(bytes);
            }
            Tok::Cast => {
                self.found.operators += 1;
                self.shape.extend_from_slice(bytes);
            }
            Tok::Open | Tok::OpenSquare => self.open(token.kind, bytes),
            Tok::Close | Tok::CloseSquare => self.close(token.kind, bytes),
            Tok::Comma => {
                if let List::Rows {
                    depth,
                    ref mut cut,
                    first,
                    ..
                } = self.list
                    && depth == self.depth
                    && first.1 > 0
                {
                    *cut = self.shape.len();
                }
                self.space(token.kind);
                self.shape.extend_from_slice(bytes);
            }
            Tok::Semicolon | Tok::Dot | Tok::Other => {
                self.space(token.kind);
                self.shape.extend_from_slice(bytes);
            }
        }
        self.watch_list(token.kind, prev_word);
        if self.shape.len() > MAX_PARSED {
            self.shape.truncate(start.min(MAX_PARSED));
            self.list = List::None;
        }
        self.prev = Some(token.kind);
        self.prev_word = prev_word;
        self.tokens = self.tokens.saturating_add(1);
        if self.leading > 0 || token.kind != Tok::Open {
            self.leading += 1;
        }
    }

    fn word(&mut self, bytes: &[u8]) -> Lead {
        self.space(Tok::Word);
        self.name(bytes);
        let start = self.shape.len();
        self.shape.extend_from_slice(bytes);
        let lower = self.shape.get_mut(start..).unwrap_or_default();
        lower.make_ascii_lowercase();
        let lower = &*lower;
        if let Some(slot) = self.lead.get_mut(self.leading) {
            *slot = words::keyword(lower);
        }
        if !words::may_matter(lower) {
            return Lead::Other;
        }
        self.stmt_words |= classify::telling_word(lower);
        let role = words::role(lower);
        match role {
            Role::Operator => {
                self.found.operators += 1;
                Lead::Spaced
            }
            Role::In => {
                self.found.operators += 1;
                Lead::In
            }
            Role::Array => Lead::Array,
            Role::Values => Lead::Values,
            Role::Clause => Lead::Spaced,
            Role::Case => {
                self.cases += 1;
                if self.atomic > 0 {
                    self.atomic += 1;
                }
                self.deepen();
                Lead::Other
            }
            Role::End => {
                self.cases = self.cases.saturating_sub(1);
                self.atomic = self.atomic.saturating_sub(1);
                Lead::Other
            }
            Role::Begin => Lead::Begin,
            Role::Atomic => {
                let body = self.prev_word == Lead::Begin
                    && self.lead[0] == Keyword::Create
                    && self.atomic == 0;
                if body {
                    self.atomic = 1;
                }
                Lead::Other
            }
            Role::None => Lead::Other,
        }
    }

    /// Notes where a literal stands. Those that the shape drops are taken out again, so that the
    /// places are those of the shape's question marks, in order.
    fn literal(&mut self, token: Token) {
        self.found
            .literals
            .push((token.start as u32, token.end as u32));
    }

    fn name(&mut self, bytes: &[u8]) {
        if bytes.len() >= LONG_NAME && !bytes.is_ascii() {
            self.found.long_name = true;
        }
    }

    fn deepen(&mut self) {
        self.found.depth = self.found.depth.max(self.depth + self.cases);
    }

    fn operator(&mut self, bytes: &[u8]) {
        // The sign of an element in a list is part of the number and nests nothing.
        let sign = matches!(bytes, b"-" | b"+")
            && matches!(self.prev, Some(Tok::Open | Tok::Comma | Tok::OpenSquare));
        if !sign {
            self.found.operators += 1;
        }
    }

    /// Takes a sign back out of the shape if it belongs to the number that follows.
    fn fold_sign(&mut self, kind: Tok) {
        if kind != Tok::Number || self.prev != Some(Tok::Operator) {
            return;
        }
        for sign in [
            &b"(-"[..],
            b"(+",
            b", -",
            b", +",
            b"[-",
            b"[+",
            b"= -",
            b"= +",
        ] {
            if self.shape.ends_with(sign) {
                self.shape.pop();
                if self.shape.last() == Some(&b' ') {
                    self.shape.pop();
                }
                self.prev = match sign.first() {
                    Some(b'(') => Some(Tok::Open),
                    Some(b'[') => Some(Tok::OpenSquare),
                    Some(b',') => Some(Tok::Comma),
                    _ => Some(Tok::Operator),
                };
                return;
            }
        }
    }

    fn open(&mut self, kind: Tok, bytes: &[u8]) {
        let spaced = match self.prev {
            Some(Tok::Word) => self.prev_word != Lead::Other && self.prev_word != Lead::Array,
            Some(Tok::Operator | Tok::Comma | Tok::Semicolon | Tok::Text | Tok::Number) => true,
            _ => false,
        };
        if spaced && kind == Tok::Open {
            self.shape.push(b' ');
        }
        let place = self.shape.len();
        self.shape.extend_from_slice(bytes);
        if let List::Rows {
            depth,
            ref mut row,
            ref mut literals,
            ..
        } = self.list
            && depth == self.depth
            && kind == Tok::Open
        {
            *row = place;
            *literals = self.found.literals.len();
        }
        self.depth += 1;
        self.deepen();
        let pure = (self.prev_word == Lead::In && kind == Tok::Open)
            || (self.prev_word == Lead::Array && kind == Tok::OpenSquare);
        // A list inside a row of VALUES is left alone: the row is compared as a whole.
        if pure && !matches!(self.list, List::Rows { .. }) {
            self.list = List::Pure {
                depth: self.depth,
                start: self.shape.len(),
                literals: self.found.literals.len(),
                elements: 0,
            };
        }
    }

    fn close(&mut self, kind: Tok, bytes: &[u8]) {
        if let List::Pure {
            depth,
            start,
            literals,
            elements,
        } = self.list
            && depth == self.depth
        {
            if self.shape.len() > start {
                self.shape.truncate(start);
                self.shape.extend_from_slice(b"...");
                self.found.literals.truncate(literals);
                self.found.longest_list = self.found.longest_list.max(elements);
            }
            self.list = List::None;
        }
        self.shape.extend_from_slice(bytes);
        self.depth = self.depth.saturating_sub(1);
        if let List::Rows {
            depth,
            ref mut first,
            row,
            cut,
            literals,
        } = self.list
            && depth == self.depth
            && kind == Tok::Close
        {
            self.found.rows = self.found.rows.saturating_add(1);
            if first.1 == 0 {
                *first = (row, self.shape.len());
            } else if cut > 0 && self.shape.get(first.0..first.1) == self.shape.get(row..) {
                self.shape.truncate(cut);
                self.found.literals.truncate(literals);
            }
        }
    }

    /// Ends a list as soon as something shows up that may not be dropped.
    fn watch_list(&mut self, kind: Tok, word: Lead) {
        if let List::Pure {
            ref mut elements, ..
        } = self.list
            && matches!(kind, Tok::Text | Tok::Number | Tok::Param)
        {
            *elements += 1;
        }
        match self.list {
            List::Pure { depth, .. } => {
                let harmless = match kind {
                    Tok::Text | Tok::Number | Tok::Param | Tok::Comma => true,
                    Tok::Open | Tok::OpenSquare => depth == self.depth,
                    _ => false,
                };
                // A sign is folded into its number; any other operator would stay behind.
                let sign = kind == Tok::Operator
                    && matches!(self.prev, Some(Tok::Open | Tok::Comma | Tok::OpenSquare))
                    && matches!(self.shape.last(), Some(b'-' | b'+'));
                if !harmless && !sign {
                    self.list = List::None;
                }
            }
            List::Rows { depth, .. } => {
                let between = depth == self.depth;
                let goes_on = matches!(kind, Tok::Open | Tok::Close | Tok::Comma);
                if (between && !goes_on) || depth > self.depth {
                    self.list = List::None;
                }
            }
            List::None => {}
        }
        if word == Lead::Values && !matches!(self.list, List::Rows { .. }) {
            self.list = List::Rows {
                depth: self.depth,
                first: (0, 0),
                row: 0,
                cut: 0,
                literals: self.found.literals.len(),
            };
        }
    }

    /// One space where the two tokens need or deserve one.
    #[inline]
    fn space(&mut self, kind: Tok) {
        let tight = match self.prev {
            None | Some(Tok::Open | Tok::OpenSquare | Tok::Dot | Tok::Cast) => true,
            Some(_) => matches!(kind, Tok::Comma | Tok::Dot | Tok::Semicolon),
        };
        if !tight {
            self.shape.push(b' ');
        }
    }

    fn end_statement(&mut self) {
        if self.tokens > 0 {
            let verdict = classify::by_keywords(self.lead, self.stmt_words);
            if self.found.statements == 0 {
                self.found.kind = Some(verdict.kind);
                self.found.with = self.lead[0] == Keyword::With;
            }
            self.found.statements = self.found.statements.saturating_add(1);
            self.found.flags |= verdict.flags;
            self.found.plain &= verdict.plain;
            self.found.words |= self.stmt_words;
        }
        self.tokens = 0;
        self.leading = 0;
        self.lead = [Keyword::None; 3];
        self.stmt_words = Words::default();
        self.depth = 0;
        self.cases = 0;
        self.atomic = 0;
        self.list = List::None;
        self.prev_word = Lead::Other;
    }
}
