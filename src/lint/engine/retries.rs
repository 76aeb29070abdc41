//! Serialization failures, and whether the transaction was tried again.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::HashMap;
use foldhash::quality::FixedState;

use super::super::hit::Hit;
use super::super::observe::{Detection, Execution, Observation, Subject, Trouble};
use super::super::rule::{Confidence, Severity};
use super::super::rules::runtime;
use super::{SECOND, detection};

/// Transactions, by their first statement, that are remembered.
const MOST: usize = 1000;
/// Whoever tries again does it by then.
const PATIENCE: u64 = 5 * SECOND;
/// Failures are counted together with the beginnings of so long.
const HOUR: u64 = 3600 * SECOND;
/// Beginnings from which on a share of them means something, and the share: one in so many.
const OFTEN: (u64, u64) = (20, 20);

/// A user's application, and the shape of a transaction's first statement.
type Key = (u64, u64);

struct Failed {
    /// When it failed first, and last.
    first: u64,
    last: u64,
    failures: u64,
    /// Transactions of the same beginning since the first failure, that one included.
    begun: u64,
    /// The last one, until somebody tries again or does not.
    open: Option<Box<(Arc<Subject>, u64, Execution)>>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Retries {
    known: HashMap<Key, Failed>,
    /// Transactions that were forgotten to make room.
    pub(super) evicted: u64,
}

fn key(subject: &Subject, first: u64) -> Key {
    let owner = (&subject.database, &subject.user, &subject.app);
    (FixedState::default().hash_one(owner), first)
}

fn hit(one: &Failed, retried: Option<bool>) -> Hit {
    let often = one.begun >= OFTEN.0 && one.failures.saturating_mul(OFTEN.1) >= one.begun;
    let text = match retried {
        None => "Serialization failure.".to_owned(),
        Some(true) => "Serialization failure; the transaction was tried again.".to_owned(),
        Some(false) => "Serialization failure; the transaction was not tried again.".to_owned(),
    };
    let mut hit = Hit::new(&runtime::SERIALIZATION, "", text)
        .evidence("failures", one.failures)
        .evidence("transactions", one.begun);
    if let Some(retried) = retried {
        hit = hit
            .evidence("retried", retried)
            .confidence(Confidence::Confirmed);
    }
    match often || retried == Some(false) {
        true => hit.severity(Severity::Warn),
        false => hit,
    }
}

impl Retries {
    /// A statement failed with 40001, in a transaction that began with the shape `first`.
    pub(super) fn failed(
        &mut self,
        seen: &Observation,
        run: &Execution,
        first: u64,
        found: &mut Vec<Detection>,
    ) {
        if run.trouble == Some(Trouble::Recovery) {
            let text = "A replica gave the query up so that it could go on replaying.";
            let mut hit = Hit::new(&runtime::SERIALIZATION, "recovery-conflict", text);
            hit.suggestion.text = "Set hot_standby_feedback, allow a larger \
                max_standby_streaming_delay, or run it on the primary; and retry."
                .into();
            found.push(detection(hit, &seen.subject, seen.conn, run, 1, 0));
            return;
        }
        let key = key(&seen.subject, first);
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            self.evicted += self.known.len() as u64;
            self.known.clear();
        }
        let now = seen.done_us;
        let one = self.known.entry(key).or_insert_with(|| Failed {
            first: now,
            last: now,
            failures: 0,
            begun: 1,
            open: None,
        });
        one.last = now;
        one.failures += 1;
        one.open = Some(Box::new((
            Arc::clone(&seen.subject),
            seen.conn,
            run.clone(),
        )));
        found.push(detection(
            hit(one, None),
            &seen.subject,
            seen.conn,
            run,
            1,
            0,
        ));
    }

    /// A transaction begins with a statement of this shape.
    pub(super) fn begins(&mut self, seen: &Observation, first: u64, found: &mut Vec<Detection>) {
        if self.known.is_empty() {
            return;
        }
        if let Some(one) = self.known.get_mut(&key(&seen.subject, first)) {
            one.begun += 1;
            if seen.sent_us <= one.last + PATIENCE {
                one.tell(true, found);
            }
        }
    }

    /// Whoever has not tried again by now will not.
    pub(super) fn tick(&mut self, now: u64, found: &mut Vec<Detection>) {
        self.known.retain(|_, one| {
            if now > one.last + PATIENCE {
                one.tell(false, found);
            }
            now < one.first + HOUR
        });
    }
}

impl Failed {
    /// Says the same again, with what is known now.
    fn tell(&mut self, retried: bool, found: &mut Vec<Detection>) {
        if let Some(open) = self.open.take() {
            let (subject, conn, run) = &*open;
            let mut one = detection(hit(self, Some(retried)), subject, *conn, run, 1, 0);
            (one.again, one.round_trips, one.rows, one.bytes) = (true, 0, 0, 0);
            found.push(one);
        }
    }
}
