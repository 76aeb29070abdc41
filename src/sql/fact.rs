//! The facts: what this module tells the rest of the program about a text.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of facts about a text.
///
/// Facts of all statements of the text are joined, except [`Flags::READ_ONLY`], which holds only
/// if it holds for every statement.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(u64);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Flags = Flags(1 << $bit);)*
            const NAMES: &'static [(&'static str, Flags)] = &[$((stringify!($name), Flags::$name)),*];
        }
    };
}

flags! {
    /// Sets or resets a session parameter that outlives the transaction: `SET`, `RESET`,
    /// `set_config('x', …, false)`, `SET SESSION CHARACTERISTICS`; the names are in
    /// [`Analysis::params`]. Includes `SET ROLE` and `SET SESSION AUTHORIZATION` (parameters
    /// `role` and `session_authorization`). Not `SET LOCAL`, not `SET TRANSACTION`.
    SETS_PARAM = 0;
    /// May change session parameters in ways that the text does not show: `set_config` with a
    /// name that is no constant, `DO`, `CALL`, `EXECUTE`, `LOAD`, an update of `pg_settings`.
    SETS_UNKNOWN = 1;
    /// `RESET ALL`.
    RESET_ALL = 2;
    /// `DISCARD ALL`.
    DISCARD_ALL = 3;
    /// `DEALLOCATE ALL` (also `DISCARD ALL`, which implies it).
    DEALLOCATE_ALL = 4;
    /// `DISCARD TEMP`.
    DISCARD_TEMP = 5;
    /// `SET ROLE` and `SET SESSION AUTHORIZATION`, also through `set_config`; not the forms that
    /// go back to the original role, and not `SET LOCAL`.
    ROLE = 6;
    /// Creates something in the session's temporary schema that outlives the transaction, or puts
    /// that schema in front of the search path.
    TEMP = 7;
    /// `LISTEN`.
    LISTEN = 8;
    /// `DECLARE … CURSOR WITH HOLD`.
    HOLD_CURSOR = 9;
    /// `PREPARE name AS …`: a prepared statement made by SQL.
    SQL_PREPARE = 10;
    /// `LOAD`: a library in the server process, which never goes away.
    LOAD = 11;
    /// Takes a session-level advisory lock.
    ADVISORY_LOCK = 12;
    /// May end one of the states above: `UNLISTEN`, `DROP`, `DISCARD`, `CLOSE`, `DEALLOCATE`,
    /// `pg_advisory_unlock…`, `RESET`, `SET … TO DEFAULT`, `SET ROLE NONE`, `ROLLBACK`,
    /// `ROLLBACK TO`, `ABORT`.
    RELEASES = 13;
    /// `BEGIN`, `START TRANSACTION`, and `COMMIT AND CHAIN` / `ROLLBACK AND CHAIN`.
    BEGIN = 14;
    /// `COMMIT`, `END`, `PREPARE TRANSACTION`: the transaction block ends.
    COMMIT = 15;
    /// `ROLLBACK`, `ABORT` of the whole transaction.
    ROLLBACK = 16;
    /// `SAVEPOINT`, `RELEASE`, `ROLLBACK TO`.
    SAVEPOINT = 17;
    /// `COPY` in any direction.
    COPY = 18;
    /// Every statement only reads and calls no function outside the known read-only ones of
    /// `pg_catalog`. Transaction control, `SET` and cursors are not reads.
    READ_ONLY = 19;
    /// Calls a function that is not one of the known read-only built-ins.
    CALLS_FUNCTION = 20;
    /// Calls a function of which nothing is known: it may do anything to the session, such as take
    /// a lock, make a temporary table or set a parameter, and the text does not show it.
    CALLS_UNKNOWN = 24;
    /// Every statement would only read if the functions in [`Analysis::functions`] did, of which the text does
    /// not tell. There is at least one.
    READS_IF = 27;
    /// More than one statement.
    MULTI = 21;
    /// No statement at all: only white space, comments and semicolons.
    EMPTY = 22;
    /// `BEGIN` that says `READ ONLY`, and not `SERIALIZABLE`.
    BEGINS_READING = 25;
    /// `BEGIN` that says `READ WRITE` or `SERIALIZABLE`.
    BEGINS_WRITING = 26;
    /// A limit was exceeded, or the parser did not accept the text. The other flags are then the
    /// lexer's guess from leading keywords; assume that the text may do anything.
    UNANALYSED = 23;
}

impl Flags {
    /// No fact at all.
    pub const NONE: Flags = Flags(0);

    /// True if every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if at least one flag of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// True if no flag is set (not to be confused with [`Flags::EMPTY`]).
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These flags and those of `other`; `|` in constants.
    #[must_use]
    pub const fn union(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These flags without those of `other`.
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        self.union(other)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        *self = self.union(other);
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (name, flag) in Self::NAMES {
            if self.contains(*flag) {
                if !first {
                    f.write_str("|")?;
                }
                first = false;
                f.write_str(name)?;
            }
        }
        if first { f.write_str("NONE") } else { Ok(()) }
    }
}

/// The command of the first statement of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `SELECT`, `VALUES`, `TABLE`, `WITH … SELECT`, `SELECT INTO`.
    Select,
    /// `INSERT`.
    Insert,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
    /// `MERGE`.
    Merge,
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `SAVEPOINT`, `RELEASE`, `ROLLBACK TO`.
    Savepoint,
    /// `PREPARE TRANSACTION`, `COMMIT PREPARED`, `ROLLBACK PREPARED`.
    TwoPhase,
    /// `SET` in all its forms.
    Set,
    /// `RESET`.
    Reset,
    /// `SHOW`.
    Show,
    /// `COPY`.
    Copy,
    /// `PREPARE name AS`.
    Prepare,
    /// `EXECUTE`.
    Execute,
    /// `DEALLOCATE`.
    Deallocate,
    /// `LISTEN`.
    Listen,
    /// `UNLISTEN`.
    Unlisten,
    /// `NOTIFY`.
    Notify,
    /// `DECLARE … CURSOR`.
    Declare,
    /// `FETCH`, `MOVE`.
    Fetch,
    /// `CLOSE`.
    Close,
    /// `DISCARD`.
    Discard,
    /// `EXPLAIN`.
    Explain,
    /// `CREATE` of anything.
    Create,
    /// `ALTER` of anything.
    Alter,
    /// `DROP` of anything.
    Drop,
    /// `TRUNCATE`.
    Truncate,
    /// `LOCK`.
    Lock,
    /// `VACUUM`, `ANALYZE`.
    Vacuum,
    /// `GRANT`, `REVOKE`.
    Grant,
    /// `CALL`.
    Call,
    /// `DO`.
    Do,
    /// `LOAD`.
    Load,
    /// Any other command.
    Other,
    /// No statement.
    Empty,
    /// The first word is no command that we know.
    Unknown,
}

/// Whether a parameter gets a value or goes back to its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamOp {
    /// `SET name = value`, `set_config(name, …)`.
    Set,
    /// `RESET name`, `SET name TO DEFAULT`.
    Reset,
}

/// One change of a session parameter, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParamChange {
    /// The parameter's name in lower case, for example `search_path` or `timezone`.
    pub name: Box<str>,
    /// What happens to it.
    pub op: ParamOp,
}

/// What is known about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// The facts, joined over all statements.
    pub flags: Flags,
    /// Number of statements that are not empty; saturates at 65 535.
    pub statements: u16,
    /// The first statement's command.
    pub kind: Kind,
    /// The session parameters that change, in order; the same name may occur several times.
    pub params: Box<[ParamChange]>,
    /// The statement's name if the text is one single `DEALLOCATE [PREPARE] name`, as the server
    /// will look it up: folded or unquoted, in the bytes of the client's encoding. `None` if the
    /// name reaches 63 bytes, where the server truncates by its own encoding.
    pub deallocate: Option<Box<[u8]>>,
    /// A number that is the same for all texts that differ only in literals, comments, white
    /// space, case of unquoted words and length of `IN`/`VALUES` lists. Stable across processes
    /// of one version of this program.
    pub fingerprint: u64,
    /// With [`Flags::READS_IF`]: the functions of which nothing is known, `name` or `schema.name` as the server will
    /// look them up; otherwise empty.
    pub functions: Box<[Box<str>]>,
}

/// What changes how a text has to be cut into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lexing {
    /// The session's `standard_conforming_strings`: if off, a backslash escapes in plain strings.
    pub standard_conforming_strings: bool,
    /// False for client encodings in which a byte below 128 may be the second half of a character
    /// (SJIS, BIG5, GBK, GB18030, UHC, JOHAB).
    pub ascii_safe_encoding: bool,
}

impl Default for Lexing {
    /// What every modern session has: conforming strings and a safe encoding.
    fn default() -> Self {
        Lexing {
            standard_conforming_strings: true,
            ascii_safe_encoding: true,
        }
    }
}

impl Lexing {
    /// True if `text` means the same under these rules as under the default ones.
    #[inline]
    pub(super) fn is_plain_for(self, text: &[u8]) -> bool {
        (self.standard_conforming_strings || !text.contains(&b'\\'))
            && (self.ascii_safe_encoding || text.is_ascii())
    }
}
