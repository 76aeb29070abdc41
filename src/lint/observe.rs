//! What the sequence engine is told, by live traffic and by recorded cases alike.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use foldhash::quality::FixedState;

use super::comment::{Silence, Traceparent};
use super::hit::Hit;
use super::known::{Known, Quiet, Suppressed};

/// Whose traffic it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Database as the client asked for it.
    pub database: Box<str>,
    /// Login name.
    pub user: Box<str>,
    /// `application_name`.
    pub app: Box<str>,
    /// Address without the port; empty for a unix socket.
    pub client: Box<str>,
    /// See [`Subject::owner`].
    pub number: Number,
}

/// A number that is computed when somebody asks for it first; all are equal, and a copy is computed anew.
#[derive(Debug, Default)]
pub struct Number(OnceLock<u64>);

impl Clone for Number {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Number {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Subject {
    /// A number for its database and user: what several connections have in common is counted under it.
    #[must_use]
    pub fn owner(&self) -> u64 {
        let number = || FixedState::default().hash_one((&self.database, &self.user));
        *self.number.0.get_or_init(number)
    }

    /// Whether it is one of PostgreSQL's own tools, which people use with rights of their own.
    #[must_use]
    pub fn is_tool(&self) -> bool {
        matches!(
            &*self.app,
            "pg_dump" | "pg_restore" | "pg_basebackup" | "psql"
        )
    }

    /// Whether it comes from this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(&*self.client, "" | "::1") || self.client.starts_with("127.")
    }
}

/// Whether the client's server connection is in a transaction block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Block {
    /// ReadyForQuery `I`.
    #[default]
    None,
    /// ReadyForQuery `T`.
    Open,
    /// ReadyForQuery `E`.
    Failed,
}

/// The values of one execution: literals of the text and bound parameters. Hashes only, salted by
/// whoever makes them, so that no value is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// All of them together.
    pub all: u64,
    /// Each of the first ones, literals first; see [`Values::len`].
    pub each: [u64; Values::MOST],
    /// How many of [`Self::each`] there are.
    pub len: u8,
}

impl Values {
    /// Values that are kept one by one.
    pub const MOST: usize = 8;
}

/// A result column's values, hashed as [`Values`] are, for finding out where later values came from.
#[derive(Clone, Debug, Default)]
pub struct ResultColumn {
    /// Its name.
    pub name: Box<str>,
    /// Hashes of its values, at most 256.
    pub values: Vec<u64>,
}

/// One execution of a text: a simple Query, or an Execute.
#[derive(Clone, Debug, Default)]
pub struct Execution {
    /// The text, or that of the Parse it executes.
    pub known: Arc<Known>,
    /// Hash of the text with its literals and comments.
    pub raw: u64,
    /// Hash of the text with its literals, without comments.
    pub stripped: u64,
    /// Whether it came by the simple protocol (or is the first execution of its own Parse).
    pub parsed_now: bool,
    /// Bound parameters that it has.
    pub params: u16,
    /// Its values.
    pub values: Values,
    /// Rows that came back or were changed, all statements of the text together.
    pub rows: u64,
    /// Bytes that came back.
    pub bytes: u64,
    /// SQLSTATE, if it failed.
    pub error: Option<[u8; 5]>,
    /// What else the server said of the error, where a rule asks for it.
    pub trouble: Option<Trouble>,
    /// The server's process; 0 if it is not known.
    pub backend: u32,
    /// After it.
    pub block: Block,
    /// Requests sent before one Sync share this number; a simple Query has its own.
    pub batch: u32,
    /// The row limit of Execute; 0 for none.
    pub fetch: u32,
    /// Microseconds it waited for a server.
    pub wait_us: u64,
    /// The server it ran on and why there, if somebody asks for that.
    pub server: Option<(Arc<str>, &'static str)>,
    /// The trace or request that it belongs to, hashed; 0 for none.
    pub trace: u64,
    /// What the session silenced, if it silenced anything.
    pub quiet: Option<Box<Quiet>>,
    /// Values of the result, if the engine asked for them by [`super::engine::Engine::armed`].
    pub result: Vec<ResultColumn>,
}

impl std::ops::Deref for Execution {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

impl Execution {
    /// What `traceparent` in the text's comment says. What was prepared once belongs to no request by that.
    #[must_use]
    pub fn traced(&self) -> Option<&Arc<Traceparent>> {
        self.known.said.traced.as_ref().filter(|_| self.parsed_now)
    }

    /// Rules that its comments and its session ask to keep silent about.
    #[must_use]
    pub fn silence(&self) -> Option<&Arc<Silence>> {
        match &self.quiet {
            Some(quiet) => Some(&quiet.silence),
            None => self.known.said.silence.as_ref(),
        }
    }

    /// Hits of the text that they keep silent.
    #[must_use]
    pub fn suppressed(&self) -> Option<&Suppressed> {
        match &self.quiet {
            Some(quiet) => quiet.suppressed.as_deref(),
            None => self.known.said.suppressed.as_deref(),
        }
    }
}

/// What a server says of some errors besides their SQLSTATE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A deadlock, between these processes.
    Deadlock(Box<[u32]>),
    /// Replay on a replica had to go on.
    Recovery,
}

/// What happened. Nearly all are executions, and one is made for each statement: they lie in the batch
/// itself, not behind a pointer that one thread would have to allocate and another to free.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Event {
    /// A client logged in.
    Connected {
        /// Whether its connection is encrypted, or local.
        secure: bool,
        /// Whether the server says that it is a superuser.
        superuser: bool,
    },
    /// Somebody could not log in; nothing but the address may be known of them.
    LoginFailed {
        /// Why, as the log has it. Never a secret.
        reason: Box<str>,
    },
    /// A client left.
    Disconnected,
    /// An operator gave a command over HTTP.
    Commanded {
        /// The command.
        command: Box<str>,
        /// What it was about, as it was asked.
        asked: Box<str>,
        /// Why it was not carried out; empty if it was.
        refused: Box<str>,
    },
    /// A text was refused before it reached a server.
    Refused {
        /// The text.
        text: Arc<[u8]>,
        /// Its shape.
        shape: u64,
    },
    /// A text was executed, or failed.
    Executed(Execution),
}

/// Something happened to a client. Observations come in the order of [`Self::done_us`], nearly.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The client connection's number.
    pub conn: u64,
    /// Whose it is.
    pub subject: Arc<Subject>,
    /// Microseconds, from any fixed moment: when the request was sent to the server.
    pub sent_us: u64,
    /// When it was answered.
    pub done_us: u64,
    /// What happened.
    pub event: Event,
}

/// What the engine found.
#[derive(Clone, Debug)]
pub struct Detection {
    /// The rule, with evidence.
    pub hit: Hit,
    /// Whose.
    pub subject: Arc<Subject>,
    /// The connection concerned.
    pub conn: u64,
    /// Shape of the statement concerned; 0 for none.
    pub shape: u64,
    /// Its text.
    pub text: Arc<[u8]>,
    /// Rules that the statement's comments ask to keep silent about.
    pub silence: Option<Arc<Silence>>,
    /// Shape of the parent, for `n-plus-one`; 0 for none.
    pub parent: u64,
    /// The parent's text.
    pub parent_text: Arc<[u8]>,
    /// Whether it says the same again, with what came since: then the numbers below are only that.
    pub again: bool,
    /// Executions behind it, so far.
    pub count: u64,
    /// Round trips that it cost.
    pub round_trips: u64,
    /// Microseconds the server took for them.
    pub server_us: u64,
    /// Microseconds in between.
    pub gap_us: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}
