//! What the sequence engine needs to know about a statement.

/// The command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Command {
    /// SELECT, VALUES, TABLE.
    Select,
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// MERGE.
    Merge,
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END, PREPARE TRANSACTION.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    /// SAVEPOINT, RELEASE, ROLLBACK TO.
    Savepoint,
    /// SET, RESET, SHOW, DISCARD, DEALLOCATE.
    Session,
    /// COPY.
    Copy,
    /// FETCH, MOVE, DECLARE, CLOSE.
    Cursor,
    /// CREATE, ALTER, DROP, TRUNCATE, GRANT and the like.
    Ddl,
    /// Anything else.
    #[default]
    Other,
}

/// Whether rows are locked, and what happens if they already are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowLock {
    /// They are not.
    #[default]
    None,
    /// It waits.
    Wait,
    /// NOWAIT.
    NoWait,
    /// SKIP LOCKED.
    SkipLocked,
}

/// A star in the outermost list of columns, over a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Star {
    /// There is none.
    #[default]
    None,
    /// `*`.
    All,
    /// `t.*`.
    Of,
}

/// A column of the result, as far as the text names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its name in the result; empty if the text does not tell.
    pub name: Box<str>,
    /// The table's column it is, if it is one.
    pub column: Box<str>,
    /// The table that column is of, if known.
    pub table: Box<str>,
}

/// See the module. All names are as the parser folded them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The command.
    pub command: Command,
    /// Tables it reads, sorted, without common table expressions.
    pub reads: Vec<Box<str>>,
    /// Tables it writes, sorted.
    pub writes: Vec<Box<str>>,
    /// It makes, changes or drops roles, or what they may do.
    pub roles: bool,
    /// All its tables belong to the system.
    pub introspection: bool,
    /// The outermost SELECT has a LIMIT.
    pub limited: bool,
    /// It has an OFFSET or a range condition together with ORDER BY and LIMIT: it walks.
    pub walks: bool,
    /// Columns of the outermost block compared by `=` with one value (a literal or a parameter),
    /// `table.column` or `column`.
    pub keys: Vec<Box<str>>,
    /// Those of [`Self::keys`] that are compared themselves, not in a function or an expression:
    /// an index of the column serves them.
    pub bare_keys: Vec<Box<str>>,
    /// Those of [`Self::keys`] that are compared with a parameter, and its number, from 1.
    pub key_params: Vec<(Box<str>, u16)>,
    /// Literals in the outermost LIMIT and OFFSET, which are the last literals of the block.
    pub paging_literals: u8,
    /// Numbers of the parameters there.
    pub paging_params: Vec<u16>,
    /// It has a range condition together with ORDER BY and LIMIT.
    pub ranges: bool,
    /// Some condition compares a column with a list of two and more values, or `= ANY(…)`.
    pub lists: bool,
    /// It has a WHERE.
    pub restricted: bool,
    /// Row locks of a SELECT.
    pub lock: RowLock,
    /// It calls a function whose result may change by itself.
    pub volatile: bool,
    /// Rows of VALUES of an INSERT; 0 if it has none.
    pub value_rows: u32,
    /// It is `SELECT count(*) FROM table` without WHERE and GROUP BY: the table.
    pub counts_all: Option<Box<str>>,
    /// What the result's columns are; empty if a star hides them.
    pub outputs: Vec<Output>,
    /// It has a star over a table.
    pub star: Star,
    /// The table behind it.
    pub star_of: Option<Box<str>>,
    /// Tables that a schema change locks against readers or writers until the transaction ends.
    pub locks: Vec<Box<str>>,
    /// Tables it creates, and whether for the session only.
    pub creates: Vec<(Box<str>, bool)>,
    /// It sets `lock_timeout`: whether to something other than zero.
    pub lock_timeout: Option<Change<bool>>,
    /// It sets `lint.ignore`, a parameter of ours that every server accepts: names of rules.
    pub ignore: Option<Change<Box<str>>>,
    /// It takes a session's state back: DISCARD ALL, RESET ALL, DEALLOCATE ALL.
    pub resets_session: bool,
}

impl Facts {
    /// Tables of which it locks rows: those that it writes to, and with FOR UPDATE and its like those
    /// that it reads.
    pub fn rows_locked(&self) -> impl Iterator<Item = &Box<str>> {
        let read = match self.lock {
            RowLock::None => &[][..],
            _ => &self.reads,
        };
        self.writes.iter().chain(read)
    }
}

/// What becomes of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// Set for the session.
    Session(T),
    /// Set for the transaction.
    Local(T),
    /// Back to its default.
    Reset,
}
