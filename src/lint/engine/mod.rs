//! The sequence engine: what can only be seen over several statements.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::facts::{Command, Facts, RowLock};
use super::hit::Hit;
use super::observe::{Block, Detection, Event, Execution, Observation, Subject};
use super::registry;
use super::rule::{Rule, Severity};
use super::rules::{runtime, sequence};

mod minute;
mod runs;
mod sensitive;

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

/// See the module.
#[derive(Default)]
pub struct Engine {
    limits: Limits,
    scopes: HashMap<(Box<str>, u64), runs::Scope>,
    open: HashMap<u64, Transaction>,
    minute: minute::Minute,
    evicted: u64,
    /// Shapes whose result values are wanted, and whether they changed since somebody asked.
    armed: HashSet<u64>,
    armed_changed: bool,
}

/// A transaction block that is open.
struct Transaction {
    subject: Arc<Subject>,
    text: Arc<[u8]>,
    shape: u64,
    start: u64,
    last: u64,
    trips: u64,
    batch: u32,
    created: Vec<Box<str>>,
    locked: Option<(Box<str>, u64)>,
    told: [bool; 4],
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
            Event::Refused { .. } => {}
            Event::Disconnected => {
                self.minute.disconnected(seen, found);
                self.open.remove(&seen.conn);
                self.scopes.remove(&(Box::default(), seen.conn));
            }
            Event::Executed(run) => {
                single(seen, run, found);
                self.minute.executed(seen, run, found);
                self.transaction(seen, run);
                if self.scopes.len() >= self.limits.scopes {
                    self.evicted += self.scopes.len() as u64;
                    self.scopes.clear();
                }
                let key = match run.trace {
                    0 => (Box::default(), seen.conn),
                    trace => (seen.subject.database.clone(), trace),
                };
                self.scopes.entry(key).or_default().add(seen, run, found);
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
            open.advance(*conn, now_us, true, found);
        }
    }

    /// Whether result values of statements of this shape are wanted, see
    /// [`super::observe::Execution::result`].
    #[must_use]
    pub fn armed(&self, shape: u64) -> bool {
        self.armed.contains(&shape)
    }

    /// Whether the armed shapes changed since the last call.
    pub fn armed_changed(&mut self) -> bool {
        std::mem::take(&mut self.armed_changed)
    }

    /// Shapes that are armed.
    #[must_use]
    pub fn armed_shapes(&self) -> &HashSet<u64> {
        &self.armed
    }

    /// Scopes that were forgotten to make room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Bytes kept, roughly.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.scopes.len() * 4096 + self.open.len() * size_of::<Transaction>()
    }

    fn advance(&mut self, conn: u64, now: u64, found: &mut Vec<Detection>) {
        if let Some(open) = self.open.get_mut(&conn) {
            open.advance(conn, now, open.last <= now, found);
        }
    }

    fn transaction(&mut self, seen: &Observation, run: &Execution) {
        let facts = run.profile.facts.first();
        if run.block == Block::None && !self.open.contains_key(&seen.conn) {
            return;
        }
        if self.open.len() >= self.limits.scopes && !self.open.contains_key(&seen.conn) {
            self.evicted += 1;
            return;
        }
        let open = (self.open.entry(seen.conn)).or_insert_with(|| Transaction {
            subject: Arc::clone(&seen.subject),
            text: Arc::clone(&run.text),
            shape: run.shape,
            start: seen.sent_us,
            last: seen.done_us,
            trips: 0,
            batch: u32::MAX,
            created: Vec::new(),
            locked: None,
            told: [false; 4],
        });
        open.last = seen.done_us;
        let Some(facts) = facts else { return };
        let control = matches!(
            facts.command,
            Command::Begin | Command::Commit | Command::Rollback | Command::Savepoint
        );
        if !control && facts.command != Command::Cursor && run.batch != open.batch {
            open.trips += 1;
            open.batch = run.batch;
        }
        if run.error.is_none() {
            open.created
                .extend(facts.creates.iter().map(|(name, _)| name.clone()));
            let lock = (facts.locks.iter()).find(|table| !open.created.contains(table));
            if facts.command == Command::Ddl && open.locked.is_none() {
                open.locked = lock.map(|table| (table.clone(), seen.done_us));
            }
        }
    }
}

impl Transaction {
    fn advance(&mut self, conn: u64, now: u64, idle: bool, found: &mut Vec<Detection>) {
        if exempt(&self.subject) {
            return;
        }
        let silent = now.saturating_sub(self.last) / SECOND;
        if idle && silent >= 5 {
            let text = format!("Transaction has been idle for {silent} s.");
            self.tell(0, &sequence::IDLE, silent >= 60, text, conn, found);
        }
        let age = now.saturating_sub(self.start) / SECOND;
        if age >= 60 {
            let text = format!("Transaction open for {age} s.");
            self.tell(1, &sequence::LONG, age >= 600, text, conn, found);
        }
        if self.trips >= 50 {
            let text = format!("{} round trips in one transaction.", self.trips);
            self.tell(2, &sequence::CHATTY, false, text, conn, found);
        }
        if let Some((table, since)) = &self.locked
            && now.saturating_sub(*since) >= SECOND
            && let Some(rule) = registry::find("ddl-lock-held")
        {
            let held = now.saturating_sub(*since) / SECOND;
            let text = format!("A strong lock on {table} has been held for {held} s.");
            self.tell(3, rule, true, text, conn, found);
        }
    }

    fn tell(
        &mut self,
        slot: usize,
        rule: &'static Rule,
        critical: bool,
        text: String,
        conn: u64,
        found: &mut Vec<Detection>,
    ) {
        if std::mem::replace(&mut self.told[slot], true) {
            return;
        }
        let mut hit = Hit::new(rule, "", text);
        if critical {
            hit.severity = Severity::Critical;
        }
        let run = Execution {
            text: Arc::clone(&self.text),
            shape: self.shape,
            ..Execution::default()
        };
        found.push(detection(hit, &self.subject, conn, &run, self.trips, 0));
    }
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
        parent: 0,
        parent_text: Arc::from([]),
        count,
        round_trips: count.saturating_sub(1),
        server_us,
        gap_us: 0,
        rows: run.rows,
        bytes: run.bytes,
    }
}

/// What one execution proves by itself.
fn single(seen: &Observation, run: &Execution, found: &mut Vec<Detection>) {
    let Some(facts) = run.profile.facts.first() else {
        return;
    };
    let took = (seen.done_us.saturating_sub(seen.sent_us)).saturating_sub(run.wait_us);
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
    if is_query(facts) && ms >= 1000 {
        tell(
            found,
            &runtime::SLOW,
            ms >= 10_000,
            format!("It took {ms} ms."),
        );
    }
    if let Some(table) = facts.counts_all.as_ref().filter(|_| ms >= 200) {
        let text = format!("Full count of {table} took {ms} ms.");
        tell(found, &runtime::COUNT, false, text);
    }
    let whole = facts.command == Command::Select && !facts.limited && run.fetch == 0;
    if whole && run.rows >= 10_000 {
        let text = format!("{} rows returned without a limit.", run.rows);
        tell(found, &runtime::UNBOUNDED, run.rows >= 100_000, text);
    }
}

fn is_query(facts: &Facts) -> bool {
    matches!(
        facts.command,
        Command::Select | Command::Insert | Command::Update | Command::Delete | Command::Merge
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::inspect::inspect;
    use crate::lint::observe::Values;

    fn run(
        engine: &mut Engine,
        sql: &str,
        value: u64,
        at_ms: u64,
        rows: u64,
        block: Block,
    ) -> Vec<&'static str> {
        let mut found = Vec::new();
        let run = Execution {
            shape: sql.len() as u64,
            profile: Arc::new(inspect(sql, &[]).unwrap_or_default()),
            values: Values {
                all: value,
                ..Values::default()
            },
            value_rows: 1,
            rows,
            block,
            batch: at_ms as u32,
            ..Execution::default()
        };
        let seen = Observation {
            conn: 1,
            subject: Arc::default(),
            sent_us: at_ms * 1000,
            done_us: at_ms * 1000 + 1000,
            event: Event::Executed(Box::new(run)),
        };
        engine.observe(&seen, &mut found);
        found.iter().map(|one| one.hit.rule.id).collect()
    }

    fn lookups(rows: u64, step_ms: u64) -> Vec<&'static str> {
        let mut engine = Engine::default();
        let mut found = run(
            &mut engine,
            "SELECT id FROM posts LIMIT 20",
            0,
            0,
            rows,
            Block::None,
        );
        for n in 1..20 {
            let sql = "SELECT name FROM users WHERE id = $1";
            found.extend(run(&mut engine, sql, n, n * step_ms, 1, Block::None));
        }
        found
    }

    #[test]
    fn lookups_after_their_parent_are_found_once() {
        assert_eq!(lookups(20, 3), ["n-plus-one"]);
        assert!(lookups(1, 3).is_empty(), "one row has no loop");
        assert!(lookups(20, 1000).is_empty(), "a person is no loop");
    }

    #[test]
    fn silence_in_a_transaction_is_found() {
        let mut engine = Engine::default();
        run(&mut engine, "BEGIN", 0, 0, 0, Block::Open);
        let mut found = Vec::new();
        engine.tick(4_000_000, &mut found);
        assert!(found.is_empty());
        engine.tick(9_000_000, &mut found);
        assert_eq!(found[0].hit.rule.id, "idle-in-transaction");
        run(&mut engine, "COMMIT", 0, 9_500, 0, Block::None);
        found.clear();
        engine.tick(900_000_000, &mut found);
        assert!(found.is_empty());
    }

    #[test]
    fn single_row_inserts_are_found() {
        let mut engine = Engine::default();
        let found: Vec<_> = (1..30)
            .flat_map(|n| {
                run(
                    &mut engine,
                    "INSERT INTO t (a) VALUES ($1)",
                    n,
                    n * 3,
                    1,
                    Block::None,
                )
            })
            .collect();
        assert_eq!(found, ["row-by-row-insert"]);
    }
}
