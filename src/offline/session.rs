//! What only the state of a session tells about a statement.
//!
//! The place where the judgement of a session's state is asked for, one value per session: a file, or
//! a connection of a case.

use crate::lint::hit::Hit;
use crate::lint::profile::Profile;
use crate::lint::session::SessionView;

/// A session that has just begun.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) view: SessionView,
}

impl Session {
    /// The statement is sent: what the session's state says about it, and what it does to the state.
    pub(super) fn sent(&mut self, profile: &Profile, hits: &mut Vec<Hit>) {
        let (dropped, added) = self.view.judge(profile);
        hits.retain(|hit| !dropped.iter().any(|&at| profile.hits[at] == *hit));
        hits.extend(added);
    }
}
