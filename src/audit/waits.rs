//! Who waits for whose lock on a server, as of the last look at it, and how long those waited who were seen to.

use std::collections::HashMap;

/// A session that has the lock, or stands before the one that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Process id of its backend; 0 for a prepared transaction, which has none.
    pub pid: u32,
    /// Number of the client whose server it is; 0 if it did not come through here.
    pub client: u64,
    /// Login name of the client, else the role on the server; empty if unknown.
    pub user: Box<str>,
    /// Its `application_name`.
    pub app: Box<str>,
    /// What it does, in the server's words; empty if unknown.
    pub state: Box<str>,
    /// For how long, in milliseconds.
    pub state_ms: Option<u64>,
    /// How long its transaction has been open, in milliseconds.
    pub xact_ms: Option<u64>,
    /// Its statement, or its last one, without literals; empty if the server does not tell.
    pub query: Box<str>,
}

/// A client's statement that waits for a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Database as the client asked for it.
    pub database: Box<str>,
    /// Login name.
    pub user: Box<str>,
    /// `application_name`.
    pub app: Box<str>,
    /// Address without the port; empty for a unix socket.
    pub addr: Box<str>,
    /// Number of the client.
    pub client: u64,
    /// Process id of its backend.
    pub pid: u32,
    /// How long it has waited for this lock, in milliseconds.
    pub waited_ms: u64,
    /// What the lock is on, in the server's words: `relation`, `transactionid`, `tuple`, …
    pub lock: Box<str>,
    /// Its mode, in the server's words.
    pub mode: Box<str>,
    /// The table; empty if it is about none, or nobody knows which.
    pub relation: Box<str>,
    /// The statement without literals.
    pub query: Box<str>,
    /// Who is in its way; of several the one that does not wait itself.
    pub blocker: Option<Holder>,
    /// Whom everybody before it waits for, if its blocker waits too.
    pub root: Option<Holder>,
}

/// Clients of which it is kept how long their statement waited.
const MOST_WAITED: usize = 1000;
/// How long that is kept after it was seen last, in microseconds: reports of what has ended come later.
const KEPT_US: u64 = 30_000_000;

/// How long a client's statement was seen waiting.
#[derive(Clone, Copy, Debug)]
struct Waited {
    us: u64,
    /// When that was seen last, in the observer's microseconds.
    last_us: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// Who waited at the last look, the longest first.
    pub now: Vec<Waiting>,
    /// How often a server was asked.
    pub looks: u64,
    /// How often one could not be asked.
    pub failures: u64,
    waited: HashMap<u64, Waited>,
}

impl Waits {
    /// At `now_us` the statement of this client had waited for another `more_us`; `first` if it was not
    /// seen waiting before.
    pub fn note(&mut self, client: u64, first: bool, more_us: u64, now_us: u64) {
        if self.waited.len() >= MOST_WAITED && !self.waited.contains_key(&client) {
            return;
        }
        let waited = self.waited.entry(client).or_insert(Waited {
            us: 0,
            last_us: now_us,
        });
        if first {
            waited.us = 0;
        }
        waited.us = waited.us.saturating_add(more_us);
        waited.last_us = now_us;
    }

    /// Forgets what was seen so long ago that nobody will ask for it.
    pub fn forget(&mut self, now_us: u64) {
        (self.waited).retain(|_, waited| now_us.saturating_sub(waited.last_us) < KEPT_US);
    }

    /// How long the statement of a client that ran from `sent_us` to `done_us` was seen waiting, in
    /// microseconds; `None` if it was not.
    #[must_use]
    pub fn of(&self, client: u64, sent_us: u64, done_us: u64) -> Option<u64> {
        let waited = self.waited.get(&client)?;
        let during = (sent_us..=done_us).contains(&waited.last_us);
        during.then(|| waited.us.min(done_us.saturating_sub(sent_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_the_waiting_that_was_seen_while_it_ran() {
        let second = 1_000_000;
        let mut waits = Waits::default();
        assert_eq!(waits.of(7, 0, second), None);
        waits.note(7, true, second, 11 * second);
        waits.note(7, false, second, 12 * second);
        assert_eq!(waits.of(7, 10 * second, 13 * second), Some(2 * second));
        // The statements before and behind it did not wait, nor did another client's.
        assert_eq!(waits.of(7, 5 * second, 10 * second), None);
        assert_eq!(waits.of(7, 13 * second, 14 * second), None);
        assert_eq!(waits.of(8, 10 * second, 13 * second), None);
        // Never longer than it took.
        assert_eq!(waits.of(7, 11 * second + 1, 12 * second), Some(second - 1));
        // The next one begins anew.
        waits.note(7, true, second, 20 * second);
        assert_eq!(waits.of(7, 19 * second, 21 * second), Some(second));
        waits.forget(20 * second + KEPT_US);
        assert_eq!(waits.of(7, 19 * second, 21 * second), None);
        for client in 0..2 * MOST_WAITED as u64 {
            waits.note(client, true, 1, 1);
        }
        assert_eq!(waits.waited.len(), MOST_WAITED);
    }
}
