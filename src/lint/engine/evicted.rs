//! What was forgotten to make room, by kind: nothing of it goes silently.

/// How much was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Requests: all that was known of them.
    pub scopes: u64,
    /// Open transactions that were not looked at.
    pub transactions: u64,
    /// Runs of one statement, of the requests that had most of them.
    pub runs: u64,
    /// Queries that could have been a loop's parent.
    pub parents: u64,
    /// Queries that could have been repeated.
    pub repeats: u64,
    /// What was counted over a minute: texts, comments, errors, connections.
    pub windows: u64,
}

/// What one request forgot and nobody counted yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fresh {
    pub(super) runs: u32,
    pub(super) parents: u32,
    pub(super) repeats: u32,
}

impl Evicted {
    /// Counts what a request forgot, once.
    pub(super) fn take(&mut self, fresh: &mut Fresh) {
        let fresh = std::mem::take(fresh);
        self.runs += u64::from(fresh.runs);
        self.parents += u64::from(fresh.parents);
        self.repeats += u64::from(fresh.repeats);
    }

    /// Each number with what it counts, for people.
    #[must_use]
    pub fn each(self) -> [(&'static str, u64); 6] {
        [
            ("scope", self.scopes),
            ("transaction", self.transactions),
            ("run", self.runs),
            ("parent", self.parents),
            ("repeat", self.repeats),
            ("window", self.windows),
        ]
    }
}
