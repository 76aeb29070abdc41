//! What the lexer alone found out about a text.

use super::classify::Words;
use super::fact::{Analysis, Flags, Kind};
use super::{MAX_DEPTH, MAX_OPERATORS};

/// What one pass of the lexer found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Statements that have at least one token.
    pub(super) statements: u32,
    /// Deepest nesting of brackets and `CASE`.
    pub(super) depth: u32,
    /// Operators, symbols and words.
    pub(super) operators: u32,
    /// The server's scanner will reject this.
    pub(super) broken: bool,
    /// A name hides behind Unicode escapes.
    pub(super) escaped: bool,
    /// A name of 64 bytes or more that is not ASCII: it will be cut, perhaps inside a character.
    pub(super) long_name: bool,
    /// Every statement is plain DML without a word that could change the session.
    pub(super) plain: bool,
    /// Telling words of the whole text.
    pub(super) words: Words,
    /// Facts by leading keywords; see [`classify::by_keywords`].
    pub(super) flags: Flags,
    /// The first statement's command by its first word.
    pub(super) kind: Option<Kind>,
    /// The first statement starts with `WITH`.
    pub(super) with: bool,
    /// Where the literals stand that are question marks in the shape, in its order: first byte and
    /// the byte behind the last.
    pub(super) literals: Vec<(u32, u32)>,
    /// Elements of the longest list that the shape shortens.
    pub(super) longest_list: u32,
    /// Rows of VALUES, all lists of them together.
    pub(super) rows: u32,
}

impl Survey {
    /// True if the parser may see the text as far as nesting and operators go.
    pub(super) fn within_limits(&self) -> bool {
        self.depth <= MAX_DEPTH && self.operators <= MAX_OPERATORS
    }

    /// True if the parser may see the text at all, as far as the lexer can tell.
    pub(super) fn may_parse(&self) -> bool {
        self.within_limits() && (!self.long_name || (self.plain && !self.broken))
    }

    /// True if the text's facts depend on its shape alone.
    pub(super) fn by_shape(&self) -> bool {
        self.statements == 1
            && self.plain
            && !self.broken
            && !self.escaped
            && !self.long_name
            && self.within_limits()
            && (self.with
                || matches!(
                    self.kind,
                    Some(Kind::Select | Kind::Insert | Kind::Update | Kind::Delete | Kind::Merge)
                ))
    }

    /// The first statement's command as far as its first word tells.
    pub(super) fn kind(&self) -> Kind {
        match self.kind {
            Some(kind) => kind,
            None => Kind::Empty,
        }
    }

    /// The lexer's own verdict, with `extra` added.
    pub(super) fn verdict(&self, extra: Flags, fingerprint: u64) -> Analysis {
        let mut flags = self.flags | extra;
        if self.statements > 1 {
            flags |= Flags::MULTI;
        }
        if self.statements == 0 {
            flags |= Flags::EMPTY;
        }
        let kind = if extra.contains(Flags::UNANALYSED) && self.broken {
            Kind::Unknown
        } else {
            self.kind()
        };
        Analysis {
            flags,
            statements: u16::try_from(self.statements).unwrap_or(u16::MAX),
            kind,
            params: Box::default(),
            deallocate: None,
            fingerprint,
            functions: Box::default(),
        }
    }
}
