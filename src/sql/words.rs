//! The words that the lexer's pass must recognise, and a filter that keeps all others cheap.

/// What a word means for nesting, lists and layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing.
    None,
    /// Counts as an operator.
    Operator,
    /// `IN`: a list may follow.
    In,
    /// `ARRAY`: a list may follow.
    Array,
    /// `VALUES`: rows follow.
    Values,
    /// A bracket behind it belongs to an expression, not to a call.
    Clause,
    /// `CASE`.
    Case,
    /// `END`.
    End,
    /// `BEGIN`.
    Begin,
    /// `ATOMIC`.
    Atomic,
}

static ROLES: &[(&[u8], Role)] = &[
    (b"in", Role::In),
    (b"array", Role::Array),
    (b"values", Role::Values),
    (b"case", Role::Case),
    (b"end", Role::End),
    (b"begin", Role::Begin),
    (b"atomic", Role::Atomic),
    (b"and", Role::Operator),
    (b"or", Role::Operator),
    (b"not", Role::Operator),
    (b"is", Role::Operator),
    (b"like", Role::Operator),
    (b"ilike", Role::Operator),
    (b"similar", Role::Operator),
    (b"between", Role::Operator),
    (b"collate", Role::Operator),
    (b"at", Role::Operator),
    (b"join", Role::Operator),
    (b"union", Role::Operator),
    (b"intersect", Role::Operator),
    (b"except", Role::Operator),
    (b"select", Role::Clause),
    (b"from", Role::Clause),
    (b"where", Role::Clause),
    (b"as", Role::Clause),
    (b"on", Role::Clause),
    (b"with", Role::Clause),
    (b"by", Role::Clause),
    (b"exists", Role::Clause),
    (b"all", Role::Clause),
    (b"any", Role::Clause),
    (b"over", Role::Clause),
    (b"then", Role::Clause),
    (b"else", Role::Clause),
    (b"when", Role::Clause),
];

/// The words of [`super::classify::telling_word`] that do not start with `pg_`.
const TELLING: &[&[u8]] = &[
    b"set_config",
    b"temp",
    b"temporary",
    b"into",
    b"hold",
    b"execute",
    b"chain",
    b"listen",
    b"load",
    b"prepare",
    b"discard",
    b"role",
    b"authorization",
];

/// For each first byte the lengths (as bits) that interesting words have.
static LENGTHS: [u32; 256] = lengths();

/// For each length (as index) the places in [`ROLES`] where words of that length are.
static BY_LENGTH: [u64; 10] = by_length();

const fn lengths() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < ROLES.len() {
        let word = ROLES[i].0;
        table[word[0] as usize] |= 1 << word.len();
        i += 1;
    }
    i = 0;
    while i < TELLING.len() {
        table[TELLING[i][0] as usize] |= 1 << TELLING[i].len();
        i += 1;
    }
    // Everything with `pg_` in front.
    table[b'p' as usize] = u32::MAX;
    table
}

const fn by_length() -> [u64; 10] {
    let mut table = [0; 10];
    let mut i = 0;
    while i < ROLES.len() {
        table[ROLES[i].0.len()] |= 1 << i;
        i += 1;
    }
    table
}

/// False for most words that neither [`role`] nor [`super::classify::telling_word`] knows, true
/// for all that one of them knows. `word` is in lower case.
#[inline]
pub(super) fn may_matter(word: &[u8]) -> bool {
    let Some(&first) = word.first() else {
        return false;
    };
    let length = word.len().min(31);
    LENGTHS[first as usize] & (1 << length) != 0
}

/// The role of the lower-case `word`.
#[inline]
pub(super) fn role(word: &[u8]) -> Role {
    let mut candidates = BY_LENGTH.get(word.len()).copied().unwrap_or(0);
    while candidates != 0 {
        let at = candidates.trailing_zeros() as usize;
        if let Some((known, role)) = ROLES.get(at)
            && known.first() == word.first()
            && *known == word
        {
            return *role;
        }
        candidates &= candidates - 1;
    }
    Role::None
}

/// A word at the start of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    /// No word, or one that is not in this list.
    None,
    Abort,
    All,
    Alter,
    Analyze,
    Begin,
    Call,
    Characteristics,
    Close,
    Comment,
    Commit,
    Constraints,
    Copy,
    Create,
    Deallocate,
    Declare,
    Delete,
    Discard,
    Do,
    Drop,
    End,
    Execute,
    Explain,
    Fetch,
    Grant,
    Insert,
    Listen,
    Load,
    Local,
    Lock,
    Merge,
    Move,
    Notify,
    Prepare,
    Prepared,
    Release,
    Reset,
    Revoke,
    Rollback,
    Savepoint,
    Select,
    Session,
    Set,
    Show,
    Start,
    Table,
    Temp,
    To,
    Transaction,
    Truncate,
    Unlisten,
    Update,
    Vacuum,
    Values,
    With,
    Work,
    Role,
    Authorization,
}

/// The keyword that the lower-case `word` is.
pub(super) fn keyword(word: &[u8]) -> Keyword {
    use Keyword as K;
    match word {
        b"abort" => K::Abort,
        b"all" => K::All,
        b"alter" => K::Alter,
        b"analyze" | b"analyse" => K::Analyze,
        b"authorization" => K::Authorization,
        b"begin" => K::Begin,
        b"call" => K::Call,
        b"characteristics" => K::Characteristics,
        b"close" => K::Close,
        b"comment" => K::Comment,
        b"commit" => K::Commit,
        b"constraints" => K::Constraints,
        b"copy" => K::Copy,
        b"create" => K::Create,
        b"deallocate" => K::Deallocate,
        b"declare" => K::Declare,
        b"delete" => K::Delete,
        b"discard" => K::Discard,
        b"do" => K::Do,
        b"drop" => K::Drop,
        b"end" => K::End,
        b"execute" => K::Execute,
        b"explain" => K::Explain,
        b"fetch" => K::Fetch,
        b"grant" => K::Grant,
        b"insert" => K::Insert,
        b"listen" => K::Listen,
        b"load" => K::Load,
        b"local" => K::Local,
        b"lock" => K::Lock,
        b"merge" => K::Merge,
        b"move" => K::Move,
        b"notify" => K::Notify,
        b"prepare" => K::Prepare,
        b"prepared" => K::Prepared,
        b"release" => K::Release,
        b"reset" => K::Reset,
        b"revoke" => K::Revoke,
        b"role" => K::Role,
        b"rollback" => K::Rollback,
        b"savepoint" => K::Savepoint,
        b"select" => K::Select,
        b"session" => K::Session,
        b"set" => K::Set,
        b"show" => K::Show,
        b"start" => K::Start,
        b"table" => K::Table,
        b"temp" | b"temporary" => K::Temp,
        b"to" => K::To,
        b"transaction" => K::Transaction,
        b"truncate" => K::Truncate,
        b"unlisten" => K::Unlisten,
        b"update" => K::Update,
        b"vacuum" => K::Vacuum,
        b"values" => K::Values,
        b"with" => K::With,
        b"work" => K::Work,
        _ => K::None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::classify::{Words, telling_word};
    use super::*;

    #[test]
    fn the_filter_lets_every_known_word_through() {
        for (word, expected) in ROLES {
            assert!(may_matter(word));
            assert_eq!(role(word), *expected);
        }
        for word in TELLING {
            assert!(may_matter(word));
            assert_ne!(telling_word(word), Words::default());
        }
        for word in [
            &b"pg_temp"[..],
            b"pg_temp_12",
            b"pg_settings",
            b"pg_try_advisory_lock_shared",
        ] {
            assert!(may_matter(word));
            assert_ne!(telling_word(word), Words::default());
        }
        assert!(!may_matter(b"customer_id") && !may_matter(b""));
        assert_eq!(role(b"customers"), Role::None);
    }
}
