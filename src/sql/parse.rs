//! PostgreSQL's own grammar: the only module that touches the parser.
//!
//! What the parser library needs from us, and gets here or in [`Survey::within_limits`]:
//!
//! * It takes valid UTF-8 without NUL. Other text is read as if it were LATIN1, which changes no
//!   token, because every byte of 128 and above is a letter; names are converted back.
//! * Its tree walker panics on utility statements: only queries are walked, utilities are decided
//!   by their node ([`utility`]). It recurses: the tree is walked with a list of our own
//!   ([`query`]), so that depth costs no stack.
//! * Its accessors panic on strings that are no UTF-8, which escapes in `E''` can produce: every
//!   call runs under `catch_unwind`, and a panic makes the text unanalysed.

mod query;
mod utility;

use super::classify::Words;
use super::fact::{Analysis, Flags, Kind, ParamChange, ParamOp};
use super::survey::Survey;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the parser found in a text.
#[derive(Debug)]
pub(super) struct Parsed {
    flags: Flags,
    kind: Option<Kind>,
    statements: usize,
    params: Vec<ParamChange>,
    deallocate: Option<Box<[u8]>>,
    functions: Vec<Box<str>>,
}

/// The names that `SET TRANSACTION` and its relatives set: they end with the transaction.
const TRANSACTION_PARAMS: [&str; 3] = [
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
];

/// Parses `text` and collects its facts. `None` if the parser does not accept it.
///
/// The caller has checked the limits; `survey` is of the same text.
pub(super) fn parse(text: &[u8], survey: &Survey) -> Option<Parsed> {
    let converted: String;
    let (sql, latin) = match std::str::from_utf8(text) {
        Ok(sql) => (sql, false),
        Err(_) => {
            converted = text.iter().map(|&b| char::from(b)).collect();
            (converted.as_str(), true)
        }
    };
    // Nothing of ours is shared with the closure but the inputs, so no broken state can leak.
    let result = catch_unwind(AssertUnwindSafe(|| collect(sql, survey)));
    let mut parsed = result.ok().flatten()?;
    if latin && let Some(name) = &parsed.deallocate {
        parsed.deallocate = back_to_latin(name);
    }
    Some(parsed)
}

fn back_to_latin(name: &[u8]) -> Option<Box<[u8]>> {
    let name = std::str::from_utf8(name).ok()?;
    name.chars().map(|c| u8::try_from(c).ok()).collect()
}

fn collect(sql: &str, survey: &Survey) -> Option<Parsed> {
    let tree = pg_raw_parse::parse(sql).ok()?;
    let mut facts = Facts::new(survey.words);
    let mut statements = 0;
    let mut kind = None;
    let mut all_read = true;
    for statement in tree.stmts() {
        let verdict = facts.statement(statement);
        all_read &= verdict.reads;
        if statements == 0 {
            kind = verdict.kind;
        }
        statements += 1;
    }
    let mut flags = facts.flags;
    if all_read && statements > 0 {
        if !flags.contains(Flags::CALLS_FUNCTION) {
            flags |= Flags::READ_ONLY;
        } else if !facts.acts && !facts.functions.is_empty() {
            flags |= Flags::READS_IF;
        }
    }
    if !flags.contains(Flags::READS_IF) {
        facts.functions = Vec::new();
    }
    if statements > 1 {
        flags |= Flags::MULTI;
        facts.deallocate = None;
    }
    if statements == 0 {
        flags |= Flags::EMPTY;
    }
    Some(Parsed {
        flags,
        kind,
        statements,
        params: facts.params,
        deallocate: facts.deallocate,
        functions: facts.functions,
    })
}

impl Parsed {
    /// The public form. The command of a utility statement is taken from its first word.
    pub(super) fn into_analysis(self, survey: &Survey, fingerprint: u64) -> Analysis {
        let kind = match (self.kind, survey.kind()) {
            _ if self.statements == 0 => Kind::Empty,
            (Some(kind), _) => kind,
            (None, Kind::Unknown) => Kind::Other,
            (None, kind) => kind,
        };
        Analysis {
            flags: self.flags,
            statements: u16::try_from(self.statements).unwrap_or(u16::MAX),
            kind,
            params: self.params.into_boxed_slice(),
            deallocate: self.deallocate,
            fingerprint,
            functions: self.functions.into_boxed_slice(),
        }
    }

    /// Number of statements that the parser saw.
    pub(super) fn statements(&self) -> usize {
        self.statements
    }
}

/// One statement's answer.
struct Verdict {
    /// It only reads (the functions it calls are judged apart).
    reads: bool,
    /// Its command, where the first word of the text does not tell.
    kind: Option<Kind>,
}

impl Verdict {
    const UTILITY: Verdict = Verdict {
        reads: false,
        kind: None,
    };
}

/// What has been collected so far.
struct Facts {
    flags: Flags,
    params: Vec<ParamChange>,
    deallocate: Option<Box<[u8]>>,
    /// Telling words of the whole text.
    words: Words,
    /// Functions of which nothing is known, each once.
    functions: Vec<Box<str>>,
    /// Something is called of which it is known that it does not only read, or of which too much is unknown.
    acts: bool,
}

impl Facts {
    fn new(words: Words) -> Self {
        Facts {
            flags: Flags::NONE,
            params: Vec::new(),
            deallocate: None,
            words,
            functions: Vec::new(),
            acts: false,
        }
    }

    /// Notes that the session parameter `name` changes. `releases` tells whether the new value is
    /// one that ends a state, such as the role `none`.
    fn param(&mut self, name: &str, op: ParamOp, releases: bool) {
        let name = name.to_ascii_lowercase();
        if TRANSACTION_PARAMS.contains(&name.as_str()) {
            return;
        }
        let releases = releases || op == ParamOp::Reset;
        if releases {
            self.flags |= Flags::RELEASES;
        } else if name == "role" || name == "session_authorization" {
            self.flags |= Flags::ROLE;
        }
        self.flags |= Flags::SETS_PARAM;
        self.params.push(ParamChange {
            name: name.into_boxed_str(),
            op,
        });
    }
}

/// True if `schema` is the session's temporary schema.
fn is_temporary_schema(schema: Option<&str>) -> bool {
    schema.is_some_and(|s| s == "pg_temp" || s.starts_with("pg_temp_"))
}
