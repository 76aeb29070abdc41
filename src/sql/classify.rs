//! What words tell: the conservative facts that need no parser.
//!
//! Used for texts that are too long for the parser or that it does not accept, and for what
//! expressions inside utility statements and `DO` bodies may do. Facts here are guesses on the
//! safe side: too many rather than too few.

use super::fact::{Flags, Kind};
use super::words::Keyword;
use std::ops::{BitOr, BitOrAssign};

/// Words that matter wherever they stand in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Words(u32);

impl Words {
    pub(super) const SET_CONFIG: Words = Words(1);
    pub(super) const ADVISORY_LOCK: Words = Words(1 << 1);
    pub(super) const ADVISORY_UNLOCK: Words = Words(1 << 2);
    pub(super) const PG_SETTINGS: Words = Words(1 << 3);
    pub(super) const PG_TEMP: Words = Words(1 << 4);
    pub(super) const TEMP: Words = Words(1 << 5);
    pub(super) const INTO: Words = Words(1 << 6);
    pub(super) const HOLD: Words = Words(1 << 7);
    pub(super) const EXECUTE: Words = Words(1 << 8);
    pub(super) const CHAIN: Words = Words(1 << 9);
    pub(super) const LISTEN: Words = Words(1 << 10);
    pub(super) const LOAD: Words = Words(1 << 11);
    pub(super) const PREPARE: Words = Words(1 << 12);
    pub(super) const DISCARD: Words = Words(1 << 13);
    pub(super) const ROLE: Words = Words(1 << 14);

    pub(super) const fn intersects(self, other: Words) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn contains(self, other: Words) -> bool {
        self.0 & other.0 == other.0
    }

    /// The facts that follow from function names alone, wherever they are called.
    pub(super) fn calls(self) -> Flags {
        let mut flags = Flags::NONE;
        if self.intersects(Words::SET_CONFIG) {
            flags |= Flags::SETS_UNKNOWN | Flags::CALLS_FUNCTION;
        }
        if self.intersects(Words::ADVISORY_LOCK) {
            flags |= Flags::ADVISORY_LOCK | Flags::CALLS_FUNCTION;
        }
        if self.intersects(Words::ADVISORY_UNLOCK) {
            flags |= Flags::RELEASES | Flags::CALLS_FUNCTION;
        }
        flags
    }

    fn temporary(self) -> bool {
        self.intersects(Words(Words::TEMP.0 | Words::PG_TEMP.0))
    }
}

impl BitOr for Words {
    type Output = Words;
    fn bitor(self, other: Words) -> Words {
        Words(self.0 | other.0)
    }
}

impl BitOrAssign for Words {
    fn bitor_assign(&mut self, other: Words) {
        self.0 |= other.0;
    }
}

/// What the lower-case `word` tells.
#[inline]
pub(super) fn telling_word(word: &[u8]) -> Words {
    match word {
        [b'p', b'g', b'_', ..] => catalogue_word(word),
        b"set_config" => Words::SET_CONFIG,
        b"temp" | b"temporary" => Words::TEMP,
        b"into" => Words::INTO,
        b"hold" => Words::HOLD,
        b"execute" => Words::EXECUTE,
        b"chain" => Words::CHAIN,
        b"listen" => Words::LISTEN,
        b"load" => Words::LOAD,
        b"prepare" => Words::PREPARE,
        b"discard" => Words::DISCARD,
        b"role" | b"authorization" => Words::ROLE,
        _ => Words::default(),
    }
}

fn catalogue_word(word: &[u8]) -> Words {
    match word {
        b"pg_settings" => Words::PG_SETTINGS,
        b"pg_advisory_lock"
        | b"pg_advisory_lock_shared"
        | b"pg_try_advisory_lock"
        | b"pg_try_advisory_lock_shared" => Words::ADVISORY_LOCK,
        b"pg_advisory_unlock" | b"pg_advisory_unlock_shared" | b"pg_advisory_unlock_all" => {
            Words::ADVISORY_UNLOCK
        }
        b"pg_temp" => Words::PG_TEMP,
        _ if word.starts_with(b"pg_temp_") => Words::PG_TEMP,
        _ => Words::default(),
    }
}

/// The words anywhere in `bytes`, whatever the quoting: for program text such as a `DO` body.
pub(super) fn words_anywhere(bytes: &[u8]) -> Words {
    let mut found = Words::default();
    for word in bytes.split(|b| !(b.is_ascii_alphanumeric() || *b == b'_' || *b >= 128)) {
        // The longest telling word has 28 letters; a temporary schema's name is told by its start.
        let mut lower = [0u8; 32];
        let head = word.get(..word.len().min(lower.len())).unwrap_or_default();
        if let Some(slot) = lower.get_mut(..head.len()) {
            slot.copy_from_slice(head);
            slot.make_ascii_lowercase();
            found |= telling_word(slot);
        }
    }
    found
}

/// What program text may do to the session, by the words in it.
pub(super) fn program(bytes: &[u8]) -> Flags {
    let words = words_anywhere(bytes);
    let mut flags = words.calls() | Flags::SETS_UNKNOWN | Flags::CALLS_FUNCTION;
    for (word, flag) in [
        (Words::TEMP, Flags::TEMP),
        (Words::PG_TEMP, Flags::TEMP),
        (Words::LISTEN, Flags::LISTEN),
        (Words::LOAD, Flags::LOAD),
        (Words::HOLD, Flags::HOLD_CURSOR),
        (Words::PREPARE, Flags::SQL_PREPARE),
        (Words::ROLE, Flags::ROLE),
    ] {
        if words.intersects(word) {
            flags |= flag;
        }
    }
    flags
}

/// The lexer's verdict on one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByKeywords {
    pub(super) flags: Flags,
    pub(super) kind: Kind,
    /// Plain DML: nothing in it but what the flags say.
    pub(super) plain: bool,
}

/// Facts about a statement by its first three words and the telling words in it.
pub(super) fn by_keywords(lead: [Keyword; 3], words: Words) -> ByKeywords {
    use Keyword as K;
    let [first, second, third] = lead;
    let mut flags = words.calls();
    let mut plain = false;
    let kind = match first {
        K::Select | K::Values | K::Table | K::With => {
            if words.intersects(Words::INTO) && words.temporary() {
                flags |= Flags::TEMP;
            }
            plain = true;
            // Which command follows a `WITH` only the parser can tell.
            if first == K::With {
                Kind::Other
            } else {
                Kind::Select
            }
        }
        K::Insert => {
            plain = true;
            Kind::Insert
        }
        K::Update => {
            plain = true;
            Kind::Update
        }
        K::Delete => {
            plain = true;
            Kind::Delete
        }
        K::Merge => {
            plain = true;
            Kind::Merge
        }
        K::Begin | K::Start => {
            flags |= Flags::BEGIN;
            Kind::Begin
        }
        K::Commit | K::End => {
            if second == K::Prepared {
                Kind::TwoPhase
            } else {
                flags |= Flags::COMMIT;
                Kind::Commit
            }
        }
        K::Rollback | K::Abort => {
            let to = second == K::To || third == K::To;
            if second == K::Prepared {
                Kind::TwoPhase
            } else if to {
                flags |= Flags::SAVEPOINT | Flags::RELEASES;
                Kind::Savepoint
            } else {
                flags |= Flags::ROLLBACK | Flags::RELEASES;
                Kind::Rollback
            }
        }
        K::Savepoint | K::Release => {
            flags |= Flags::SAVEPOINT;
            Kind::Savepoint
        }
        K::Prepare if second == K::Transaction => {
            flags |= Flags::COMMIT;
            Kind::TwoPhase
        }
        K::Set => {
            flags |= set(second, third, words);
            Kind::Set
        }
        K::Reset => {
            flags |= Flags::RELEASES;
            flags |= if second == K::All {
                Flags::RESET_ALL
            } else {
                Flags::SETS_UNKNOWN
            };
            Kind::Reset
        }
        _ => {
            let (kind, more) = utility(first, second, third, words);
            flags |= more;
            kind
        }
    };
    if plain {
        flags |= Flags::CALLS_FUNCTION | Flags::CALLS_UNKNOWN;
        let updates = first == K::Update || first == K::With;
        if updates && words.intersects(Words::PG_SETTINGS) {
            flags |= Flags::SETS_UNKNOWN;
        }
        plain = !words.intersects(
            Words::SET_CONFIG | Words::ADVISORY_LOCK | Words::ADVISORY_UNLOCK | Words::PG_SETTINGS,
        );
    }
    if words.intersects(Words::CHAIN) && flags.intersects(Flags::COMMIT | Flags::ROLLBACK) {
        flags |= Flags::BEGIN;
    }
    ByKeywords { flags, kind, plain }
}

fn set(second: Keyword, third: Keyword, words: Words) -> Flags {
    use Keyword as K;
    let mut flags = match (second, third) {
        (K::Local | K::Transaction | K::Constraints, _) => return Flags::NONE,
        (K::Role, _) | (K::Session, K::Authorization | K::Role) => {
            Flags::ROLE | Flags::RELEASES | Flags::SETS_UNKNOWN
        }
        // `SET x TO DEFAULT` may be among them.
        _ => Flags::SETS_UNKNOWN | Flags::RELEASES,
    };
    if words.intersects(Words::PG_TEMP) {
        flags |= Flags::TEMP;
    }
    flags
}

fn utility(first: Keyword, second: Keyword, third: Keyword, words: Words) -> (Kind, Flags) {
    use Keyword as K;
    let unknown = Flags::SETS_UNKNOWN | Flags::CALLS_FUNCTION;
    match first {
        K::Show => (Kind::Show, Flags::NONE),
        K::Copy => (Kind::Copy, Flags::COPY | Flags::CALLS_FUNCTION),
        K::Prepare => (Kind::Prepare, Flags::SQL_PREPARE),
        K::Execute => (Kind::Execute, unknown),
        K::Deallocate if second == K::All || third == K::All => {
            (Kind::Deallocate, Flags::DEALLOCATE_ALL | Flags::RELEASES)
        }
        K::Deallocate => (Kind::Deallocate, Flags::RELEASES),
        K::Listen => (Kind::Listen, Flags::LISTEN),
        K::Unlisten => (Kind::Unlisten, Flags::RELEASES),
        K::Notify => (Kind::Notify, Flags::NONE),
        K::Declare if words.intersects(Words::HOLD) => {
            (Kind::Declare, Flags::HOLD_CURSOR | Flags::CALLS_FUNCTION)
        }
        K::Declare => (Kind::Declare, Flags::CALLS_FUNCTION),
        K::Fetch | K::Move => (Kind::Fetch, Flags::NONE),
        K::Close => (Kind::Close, Flags::RELEASES),
        K::Discard => {
            let more = match second {
                K::All => Flags::DISCARD_ALL | Flags::DEALLOCATE_ALL,
                K::Temp => Flags::DISCARD_TEMP,
                _ => Flags::NONE,
            };
            (Kind::Discard, Flags::RELEASES | more)
        }
        K::Explain => {
            let mut flags = Flags::CALLS_FUNCTION;
            if words.intersects(Words::EXECUTE) {
                flags |= Flags::SETS_UNKNOWN;
            }
            if words.temporary() {
                flags |= Flags::TEMP;
            }
            (Kind::Explain, flags)
        }
        K::Create if words.temporary() => (Kind::Create, Flags::TEMP),
        K::Create => (Kind::Create, Flags::NONE),
        K::Alter => (Kind::Alter, Flags::NONE),
        K::Drop => (Kind::Drop, Flags::RELEASES),
        K::Truncate => (Kind::Truncate, Flags::NONE),
        K::Lock => (Kind::Lock, Flags::NONE),
        K::Vacuum | K::Analyze => (Kind::Vacuum, Flags::NONE),
        K::Grant | K::Revoke => (Kind::Grant, Flags::NONE),
        K::Call => (Kind::Call, unknown),
        K::Do => (Kind::Do, unknown),
        K::Load => (Kind::Load, Flags::LOAD | Flags::SETS_UNKNOWN),
        K::None => (Kind::Unknown, Flags::NONE),
        _ => (Kind::Other, Flags::NONE),
    }
}
