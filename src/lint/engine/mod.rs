//! The sequence engine: what can only be seen over several statements.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::HashMap;
use foldhash::quality::FixedState;

use super::facts::Command;
use super::hit::Hit;
use super::observe::{Block, Detection, Event, Execution, Observation, Subject};
use super::rules::security;
use super::sensitive::Sensitive;
use super::thresholds::Thresholds;
use single::is_query;
use transaction::Transaction;

pub use evicted::Evicted;

mod deadlocks;
mod evicted;
mod hot;
mod lineage;
mod loops;
mod minute;
mod parents;
mod repeats;
mod retries;
mod runs;
mod sensitive;
mod single;
mod transaction;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Scopes and connections that are remembered.
    pub scopes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { scopes: 20_000 }
    }
}

/// A connection's number and 0, or hashes of a database and a trace id.
type Key = (u64, u64);

/// See the module.
#[derive(Default)]
pub struct Engine {
    limits: Limits,
    scopes: HashMap<Key, runs::Scope>,
    open: HashMap<u64, Transaction>,
    minute: minute::Minute,
    retries: retries::Retries,
    deadlocks: deadlocks::Deadlocks,
    evicted: Evicted,
    lineage: lineage::Lineage,
    /// From how much on rules speak; may be changed at any time.
    pub thresholds: Thresholds,
    /// Which columns nobody should collect; may be changed at any time.
    pub sensitive: Arc<Sensitive>,
    /// Scopes with a run that was reported and may go on.
    pending: foldhash::HashSet<Key>,
}

const SECOND: u64 = 1_000_000;

impl Engine {
    /// An engine that keeps at most so much.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Engine {
            limits,
            ..Engine::default()
        }
    }

    /// Takes one observation; what it proves is appended to `found`.
    pub fn observe(&mut self, seen: &Observation, found: &mut Vec<Detection>) {
        self.advance(seen.conn, seen.sent_us, found);
        match &seen.event {
            Event::Connected { secure, superuser } => {
                self.minute.connected(seen);
                let none = Execution::default();
                for hit in security::insecure(&seen.subject, *secure, *superuser) {
                    found.push(detection(hit, &seen.subject, seen.conn, &none, 1, 0));
                }
            }
            Event::Refused { .. } | Event::LoginFailed { .. } | Event::Commanded { .. } => {}
            Event::Disconnected => {
                self.minute.disconnected(seen, &self.thresholds, found);
                self.open.remove(&seen.conn);
                self.pending.remove(&(seen.conn, 0));
                if let Some(mut scope) = self.scopes.remove(&(seen.conn, 0)) {
                    scope.settle(u64::MAX, &self.thresholds, found);
                }
            }
            Event::Executed(run) => {
                single::look(seen, run, (&self.thresholds, &self.sensitive), found);
                self.minute.executed(seen, run, &self.thresholds, found);
                self.begins(seen, run, found);
                if run.error.is_some() {
                    self.conflicts(seen, run, found);
                }
                self.transaction(seen, run);
                let key = match run.trace {
                    0 => (seen.conn, 0),
                    trace => (name(&seen.subject.database), trace),
                };
                if self.scopes.len() >= self.limits.scopes && !self.scopes.contains_key(&key) {
                    let before = self.scopes.len();
                    (self.scopes).retain(|_, scope| scope.is_fresh(seen.sent_us));
                    // Nearly full would mean to look through all of them for every new one.
                    if self.scopes.len() > self.limits.scopes / 4 * 3 {
                        // Then the half that was used longest ago goes.
                        let mut used: Vec<u64> = self.scopes.values().map(|s| s.last()).collect();
                        let middle = used.len() / 2;
                        let (_, &mut middle, _) = used.select_nth_unstable(middle);
                        self.scopes.retain(|_, scope| scope.last() > middle);
                    }
                    self.evicted.scopes += (before - self.scopes.len()) as u64;
                }
                let before = found.len();
                let scope = self.scopes.entry(key).or_default();
                let explained = scope.add(seen, run, (&self.thresholds, &mut self.lineage), found);
                self.evicted.take(&mut scope.evicted);
                if found.len() > before {
                    self.pending.insert(key);
                }
                if let Some(open) = self.open.get_mut(&seen.conn) {
                    open.explained += explained;
                }
                self.advance(seen.conn, seen.done_us, found);
                if run.block == Block::None {
                    if let Some(ended) = self.open.remove(&seen.conn) {
                        self.deadlocks.ended(seen.conn, ended, found);
                    }
                } else if let Some(open) = self.open.get_mut(&seen.conn) {
                    open.last = seen.done_us;
                }
            }
        }
    }

    /// Time has passed: what depends on nothing happening is appended to `found`.
    pub fn tick(&mut self, now_us: u64, found: &mut Vec<Detection>) {
        for (conn, open) in &mut self.open {
            open.advance(*conn, now_us, true, &self.thresholds, found);
        }
        self.retries.tick(now_us, found);
        let (scopes, thresholds) = (&mut self.scopes, &self.thresholds);
        self.pending.retain(|key| {
            (scopes.get_mut(key)).is_some_and(|scope| scope.settle(now_us, thresholds, found))
        });
    }

    /// Whether result values of statements of this shape are wanted, see
    /// [`super::observe::Execution::result`].
    #[must_use]
    pub fn armed(&self, shape: u64) -> bool {
        self.lineage.armed.contains(&shape)
    }

    /// Whether the armed shapes changed since the last call.
    pub fn armed_changed(&mut self) -> bool {
        std::mem::take(&mut self.lineage.changed)
    }

    /// Shapes that are armed.
    #[must_use]
    pub fn armed_shapes(&self) -> &HashSet<u64> {
        &self.lineage.armed
    }

    /// What was forgotten to make room.
    #[must_use]
    pub fn evicted(&self) -> Evicted {
        let mut evicted = self.evicted;
        evicted.windows = self.minute.evicted + self.retries.evicted + self.deadlocks.evicted;
        evicted
    }

    /// Bytes kept of scopes and transactions. Texts and profiles are shared with the sessions and not
    /// counted; windows of a minute are not either.
    #[must_use]
    pub fn memory(&self) -> usize {
        let scopes = self.scopes.values().map(runs::Scope::memory);
        let slots = self.scopes.capacity() * size_of::<Key>();
        let open = self.open.values().map(Transaction::memory);
        slots + scopes.sum::<usize>() + open.sum::<usize>()
    }

    fn advance(&mut self, conn: u64, now: u64, found: &mut Vec<Detection>) {
        if let Some(open) = self.open.get_mut(&conn) {
            open.advance(conn, now, open.last <= now, &self.thresholds, found);
        }
    }

    /// Whether a transaction begins with this statement: by itself, or as the first behind BEGIN.
    fn begins(&mut self, seen: &Observation, run: &Execution, found: &mut Vec<Detection>) {
        let control = run.profile.facts.first().is_none_or(|facts| {
            matches!(
                facts.command,
                Command::Begin | Command::Commit | Command::Rollback | Command::Savepoint
            )
        });
        let within = self
            .open
            .get(&seen.conn)
            .is_some_and(|open| open.first != 0);
        if !control && !within {
            self.retries.begins(seen, run.shape, found);
        }
    }

    /// Whose transactions got in each other's way, if that is what the error is about.
    fn conflicts(&mut self, seen: &Observation, run: &Execution, found: &mut Vec<Detection>) {
        let own = self.open.get(&seen.conn);
        match run.error.as_ref() {
            Some(b"40001") => {
                let first = own.map_or(0, |own| own.first);
                let first = if first == 0 { run.shape } else { first };
                self.retries.failed(seen, run, first, found);
            }
            Some(b"40P01") => {
                let mut open = self.open.values();
                self.deadlocks.happened(seen, run, (own, &mut open), found);
            }
            _ => {}
        }
    }

    fn transaction(&mut self, seen: &Observation, run: &Execution) {
        if run.block == Block::None && !self.open.contains_key(&seen.conn) {
            return;
        }
        if self.open.len() >= self.limits.scopes && !self.open.contains_key(&seen.conn) {
            self.evicted.transactions += 1;
            return;
        }
        (self.open.entry(seen.conn))
            .or_insert_with(|| Transaction::new(seen, run))
            .take(seen, run);
    }
}

/// A number for a name.
fn name(name: &str) -> u64 {
    FixedState::default().hash_one(name)
}

fn exempt(subject: &Subject) -> bool {
    subject.is_tool()
}

fn detection(
    hit: Hit,
    subject: &Arc<Subject>,
    conn: u64,
    run: &Execution,
    count: u64,
    server_us: u64,
) -> Detection {
    Detection {
        hit,
        subject: Arc::clone(subject),
        conn,
        shape: run.shape,
        text: Arc::clone(&run.text),
        silence: run.silence().cloned(),
        parent: 0,
        parent_text: Arc::from([]),
        again: false,
        count,
        round_trips: count.saturating_sub(1),
        server_us,
        gap_us: 0,
        rows: run.rows,
        bytes: run.bytes,
    }
}

#[cfg(test)]
mod tests;
