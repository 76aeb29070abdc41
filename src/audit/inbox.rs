//! What a client is to be told of what was found about it later, on another thread than its own.
//!
//! Only clients for whom some rule has the action `notice` have an inbox. Whoever finds something
//! puts a [`Letter`] into it; the session reads it when the reply to its next statement passes. Both
//! what waits and what is remembered are bounded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::lint::hit::Hit;

/// Letters of one client that wait; what comes beyond is told when it is found again.
const MOST_WAITING: usize = 16;
/// Findings that one client is told of; of more it hears nothing.
const MOST_TOLD: usize = 256;

/// What a client is told about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The rule's name.
    pub rule: &'static str,
    /// The rule's SQLSTATE.
    pub state: [u8; 5],
    /// What was found.
    pub message: Box<str>,
    /// What to do instead.
    pub hint: Box<str>,
}

impl Letter {
    /// A letter about a hit.
    #[must_use]
    pub fn about(hit: &Hit) -> Self {
        Letter {
            rule: hit.rule.id,
            state: hit.rule.sqlstate(),
            message: (*hit.message).into(),
            hint: (*hit.suggestion.text).into(),
        }
    }
}

#[derive(Default)]
struct Letters {
    waiting: Vec<Letter>,
    /// Names of the findings that the client was told of, the ones that wait included.
    told: Vec<Box<str>>,
}

#[derive(Default)]
struct Inbox {
    any: AtomicBool,
    letters: Mutex<Letters>,
}

/// The inboxes of all clients that have one, by the client's number.
#[derive(Default)]
pub struct Inboxes(Mutex<HashMap<u64, Arc<Inbox>>>);

impl Inboxes {
    /// Opens a client's inbox; it is closed when what is returned is dropped.
    #[must_use]
    pub fn open(self: &Arc<Self>, client: u64) -> Reader {
        let inbox = Arc::<Inbox>::default();
        self.0.lock().insert(client, Arc::clone(&inbox));
        Reader {
            inbox,
            client,
            all: Arc::clone(self),
        }
    }

    /// Puts a letter about the finding of this name into a client's inbox, unless the client is gone,
    /// was told of it, or has too much to read. `true` if it will read it.
    pub fn put(&self, client: u64, finding: &str, letter: impl FnOnce() -> Letter) -> bool {
        let Some(inbox) = self.0.lock().get(&client).cloned() else {
            return false;
        };
        let mut letters = inbox.letters.lock();
        if letters.waiting.len() >= MOST_WAITING
            || letters.told.len() >= MOST_TOLD
            || letters.told.iter().any(|told| **told == *finding)
        {
            return false;
        }
        letters.told.push(finding.into());
        letters.waiting.push(letter());
        inbox.any.store(true, Ordering::Release);
        true
    }

    /// Whether a client has an inbox.
    #[must_use]
    pub fn has(&self, client: u64) -> bool {
        self.0.lock().contains_key(&client)
    }
}

/// A client's own end of its inbox.
pub struct Reader {
    inbox: Arc<Inbox>,
    client: u64,
    all: Arc<Inboxes>,
}

impl Reader {
    /// What waits, each letter once. Costs the look at one flag if there is nothing.
    #[inline]
    pub fn take(&self) -> Vec<Letter> {
        if !self.inbox.any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut letters = self.inbox.letters.lock();
        self.inbox.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut letters.waiting)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(text: &str) -> Letter {
        Letter {
            rule: "n-plus-one",
            state: *b"QL001",
            message: text.into(),
            hint: "".into(),
        }
    }

    #[test]
    fn a_finding_is_told_once_and_to_its_client_only() {
        let all = Arc::<Inboxes>::default();
        let (one, two) = (all.open(1), all.open(2));
        assert!(all.put(1, "a", || letter("first")));
        assert!(!all.put(1, "a", || letter("again")), "it waits");
        assert_eq!(one.take(), [letter("first")]);
        assert!(!all.put(1, "a", || letter("again")), "it was read");
        assert_eq!(one.take(), []);
        assert_eq!(two.take(), []);
        assert!(all.put(2, "a", || letter("another client's")));
        assert_eq!(two.take().len(), 1);
    }

    #[test]
    fn an_inbox_ends_with_its_client() {
        let all = Arc::<Inboxes>::default();
        let reader = all.open(1);
        assert!(all.has(1));
        drop(reader);
        assert!(!all.has(1));
        assert!(!all.put(1, "a", || letter("nobody")));
    }

    #[test]
    fn what_waits_and_what_is_remembered_are_bounded() {
        let all = Arc::<Inboxes>::default();
        let reader = all.open(1);
        let put = |n: usize| all.put(1, &n.to_string(), || letter("x"));
        assert_eq!((0..100).filter(|n| put(*n)).count(), MOST_WAITING);
        assert_eq!(reader.take().len(), MOST_WAITING);
        assert!(put(50), "what had no room is told when it is found again");
        let told = (1000..3000).filter(|n| {
            let there = put(*n);
            reader.take();
            there
        });
        assert_eq!(told.count(), MOST_TOLD - MOST_WAITING - 1);
    }
}
