//! What is known of a text whatever its literals: made once, shared by all who execute or look at one.

use std::sync::{Arc, OnceLock};

use super::comment::{Silence, Traceparent};
use super::hit::Hit;
use super::profile::Profile;
use crate::wire::read;

/// What texts that differ in their literals only have in common.
///
/// Whoever sees an execution gets it behind one pointer, since workers and the thread of the rules would
/// otherwise take turns at the count of each of its parts.
#[derive(Debug, Default)]
pub struct Known {
    /// The first text of the shape, as the client sent it.
    pub text: Arc<[u8]>,
    /// Its shape: the same for all texts that differ in literals, comments and white space only; 0 if unknown.
    pub shape: u64,
    /// What the rules know of the shape. Hits in it are the caller's to report, not the engine's.
    pub profile: Arc<Profile>,
    /// Elements of its longest list.
    pub longest_list: u32,
    /// Its rows of VALUES.
    pub value_rows: u32,
    /// [`super::firewall::identity`] of its shape, if a firewall asks for it; else 0.
    pub identity: u128,
    /// All of it was read: its shape has all of it.
    pub whole: bool,
    /// Some check needs bound values.
    pub binds: bool,
    /// It has comments.
    pub commented: bool,
    /// [`crate::sql::is_plain`].
    pub plain: bool,
    /// What its result's columns are, if the text tells: the table's names for them where they have
    /// one, so that an alias hides nothing.
    pub named: Option<Arc<[Box<str>]>>,
    /// The same as the server has it, if the text does not tell.
    pub described: OnceLock<Arc<[Box<str>]>>,
    /// What its comments say.
    pub said: Said,
}

/// What comments of a text say.
#[derive(Debug, Default)]
pub struct Said {
    /// Trace or request id, hashed; 0 for none.
    pub trace: u64,
    /// What `traceparent` says.
    pub traced: Option<Arc<Traceparent>>,
    /// Rules that they ask to keep silent about.
    pub silence: Option<Arc<Silence>>,
    /// Hits that they ask to keep silent about, and why.
    pub suppressed: Option<Arc<Suppressed>>,
}

impl Known {
    /// What the server says the result's columns are, for a text that does not tell (a star does
    /// not). The first time counts: a schema that changes is not followed.
    pub fn described(&self, body: &[u8]) {
        if self.named.is_some() || self.described.get().is_some() {
            return;
        }
        if let Some(fields) = read::row_description(body) {
            let name = |(name, _): (&[u8], bool)| String::from_utf8_lossy(name).into();
            // Only the worker whose text it is sets it.
            let _ = self.described.set(fields.into_iter().map(name).collect());
        }
    }

    /// Names of the result's columns, from the text or else from the server.
    #[must_use]
    pub fn result_columns(&self) -> Option<&Arc<[Box<str>]>> {
        self.named.as_ref().or_else(|| self.described.get())
    }
}

/// Hits that nothing is done about, because a comment asks for that.
#[derive(Clone, Debug, PartialEq)]
pub struct Suppressed {
    /// The hits.
    pub hits: Vec<Hit>,
    /// The reason that the comment gives; empty for none.
    pub reason: Box<str>,
}

/// What a session that set `lint.ignore` wants to hear nothing of, together with what the text's own
/// comments say.
#[derive(Clone, Debug)]
pub struct Quiet {
    /// Hits that are counted as silenced.
    pub suppressed: Option<Arc<Suppressed>>,
    /// For what only several statements show.
    pub silence: Arc<Silence>,
}
