//! What only the state of a session tells about a statement.
//!
//! The place where the judgement of a session's state is asked for, one value per session: a file, or
//! a connection of a case.

use crate::lint::hit::Hit;
use crate::lint::profile::Profile;

/// A session that has just begun.
#[derive(Debug, Default)]
pub(super) struct Session {}

impl Session {
    /// The statement is sent: what the session's state says about it, and what it does to the state.
    pub(super) fn sent(&mut self, _profile: &Profile) -> Vec<Hit> {
        Vec::new()
    }
}
