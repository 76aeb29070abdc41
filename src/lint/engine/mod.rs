//! The sequence engine: what can only be seen over several statements.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::HashMap;
use foldhash::quality::FixedState;

use super::facts::{Command, Facts, RowLock};
use super::hit::Hit;
use super::observe::{Block, Detection, Event, Execution, Observation, Subject};
use super::registry;
use super::rule::Severity;
use super::rules::runtime;
use super::thresholds::Thresholds;
use transaction::Transaction;

pub use evicted::Evicted;

mod evicted;
mod lineage;
mod loops;
mod minute;
mod parents;
mod repeats;
mod runs;
mod sensitive;
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
    evicted: Evicted,
    lineage: lineage::Lineage,
    /// From how much on rules speak; may be changed at any time.
    pub thresholds: Thresholds,
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
                let local = matches!(&*seen.subject.client, "" | "::1")
                    || seen.subject.client.starts_with("127.");
                if ((!secure && !local) || *superuser)
                    && !exempt(&seen.subject)
                    && let Some(rule) = registry::find("insecure-connection")
                {
                    let text = match superuser {
                        true => "A client connects as superuser.",
                        false => "A client connects without TLS.",
                    };
                    let none = Execution::default();
                    let hit = Hit::new(rule, "", text);
                    found.push(detection(hit, &seen.subject, seen.conn, &none, 1, 0));
                }
            }
            Event::Refused { .. } | Event::LoginFailed { .. } => {}
            Event::Disconnected => {
                self.minute.disconnected(seen, &self.thresholds, found);
                self.open.remove(&seen.conn);
                self.pending.remove(&(seen.conn, 0));
                if let Some(mut scope) = self.scopes.remove(&(seen.conn, 0)) {
                    scope.settle(u64::MAX, &self.thresholds, found);
                }
            }
            Event::Executed(run) => {
                single(seen, run, &self.thresholds, found);
                self.minute.executed(seen, run, &self.thresholds, found);
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
                    self.open.remove(&seen.conn);
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
        evicted.windows = self.minute.evicted;
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
    matches!(
        &*subject.app,
        "pg_dump" | "pg_restore" | "pg_basebackup" | "psql"
    )
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
        silence: run.silence.clone(),
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

/// What one execution proves by itself.
fn single(
    seen: &Observation,
    run: &Execution,
    thresholds: &Thresholds,
    found: &mut Vec<Detection>,
) {
    let Some(facts) = run.profile.facts.first() else {
        return;
    };
    let took = seen.done_us.saturating_sub(seen.sent_us);
    let tell = |found: &mut Vec<Detection>, rule, critical: bool, text: String| {
        let mut hit = Hit::new(rule, "", text);
        if critical {
            hit.severity = Severity::Critical;
        }
        found.push(detection(hit, &seen.subject, seen.conn, run, 1, took));
    };
    match run.error.as_ref() {
        Some(b"40P01") => tell(found, &runtime::DEADLOCK, false, "Deadlock.".into()),
        Some(b"40001") => tell(
            found,
            &runtime::SERIALIZATION,
            false,
            "Serialization failure.".into(),
        ),
        Some(b"55P03") if facts.lock != RowLock::NoWait => {
            tell(
                found,
                &runtime::CONTENTION,
                false,
                "It did not get a lock.".into(),
            );
        }
        Some(b"25P02") => tell(
            found,
            &runtime::RECURRING,
            false,
            "The client went on in a failed transaction.".into(),
        ),
        _ => {}
    }
    if run.error.is_some() || exempt(&seen.subject) {
        return;
    }
    if let Some(hit) = sensitive::read(run, facts) {
        found.push(detection(hit, &seen.subject, seen.conn, run, 1, took));
    }
    let ms = took / 1000;
    if is_query(facts) && ms >= thresholds.slow_ms {
        tell(
            found,
            &runtime::SLOW,
            ms >= thresholds.slow_ms.saturating_mul(10),
            format!("It took {ms} ms."),
        );
    }
    if let Some(table) = facts
        .counts_all
        .as_ref()
        .filter(|_| ms >= thresholds.count_ms)
    {
        let text = format!("Full count of {table} took {ms} ms.");
        tell(found, &runtime::COUNT, false, text);
    }
    let whole = facts.command == Command::Select && !facts.limited && run.fetch == 0;
    if whole && run.rows >= thresholds.rows {
        let text = format!("{} rows returned without a limit.", run.rows);
        tell(
            found,
            &runtime::UNBOUNDED,
            run.rows >= thresholds.rows.saturating_mul(10),
            text,
        );
    }
}

fn is_query(facts: &Facts) -> bool {
    matches!(
        facts.command,
        Command::Select | Command::Insert | Command::Update | Command::Delete | Command::Merge
    )
}

#[cfg(test)]
mod tests;
