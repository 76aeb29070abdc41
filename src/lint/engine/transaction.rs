//! Transaction blocks that are open.

use std::sync::Arc;

use super::super::comment::Silence;
use super::super::facts::{Command, Facts};
use super::super::hit::Hit;
use super::super::known::{Known, Said};
use super::super::observe::{Block, Detection, Execution, Observation, Subject};
use super::super::registry;
use super::super::rule::{Rule, Severity};
use super::super::rules::sequence;
use super::super::thresholds::Thresholds;
use super::{SECOND, detection, exempt};
use crate::sql::{self, Lexing};

/// A transaction block that is open.
pub(super) struct Transaction {
    pub(super) subject: Arc<Subject>,
    text: Arc<[u8]>,
    shape: u64,
    /// Shape of the first statement that is none of BEGIN and its like; 0 before it.
    pub(super) first: u64,
    /// The server's process.
    pub(super) backend: u32,
    pub(super) start: u64,
    pub(super) last: u64,
    trips: u64,
    /// Of these, what a loop found by another rule is made of.
    pub(super) explained: u64,
    ddl: u64,
    batch: u32,
    created: Vec<Box<str>>,
    locked: Option<(Box<str>, u64)>,
    told: [bool; 5],
    /// Tables of which rows were locked, in the order of that; a few are kept.
    pub(super) written: Vec<Box<str>>,
    /// Its first statements.
    steps: [Option<Arc<[u8]>>; STEPS],
    taken: usize,
    failed: bool,
    /// The last statement of the client.
    latest: Arc<[u8]>,
    /// What the first statement with such a comment asks to keep silent about.
    silence: Option<Arc<Silence>>,
}

/// Statements that are kept, and bytes of each that are shown.
const STEPS: usize = 6;
const STEP: usize = 200;
/// Bytes of the last statement that are shown.
const LATEST: usize = 500;

/// Whether somebody types the statements: then pauses are thinking.
fn is_person(subject: &Subject) -> bool {
    let app = &*subject.app;
    app == "psql" || app.starts_with("pgAdmin") || app.starts_with("DBeaver")
}

/// Names of written tables that are kept.
const WRITTEN: usize = 16;

impl Transaction {
    pub(super) fn new(seen: &Observation, run: &Execution) -> Self {
        Transaction {
            subject: Arc::clone(&seen.subject),
            text: Arc::clone(&run.text),
            shape: run.shape,
            first: 0,
            backend: run.backend,
            start: seen.sent_us,
            last: seen.done_us,
            trips: 0,
            explained: 0,
            ddl: 0,
            batch: u32::MAX,
            created: Vec::new(),
            locked: None,
            told: [false; 5],
            written: Vec::new(),
            steps: Default::default(),
            taken: 0,
            failed: false,
            latest: Arc::clone(&run.text),
            silence: None,
        }
    }

    pub(super) fn take(&mut self, seen: &Observation, run: &Execution) {
        self.last = seen.done_us;
        self.failed = run.block == Block::Failed;
        self.latest = Arc::clone(&run.text);
        if self.silence.is_none() {
            self.silence = run.silence().cloned();
        }
        let Some(facts) = run.profile.facts.first() else {
            return;
        };
        let control = matches!(
            facts.command,
            Command::Begin | Command::Commit | Command::Rollback | Command::Savepoint
        );
        if !control && facts.command != Command::Cursor && run.fetch == 0 && run.batch != self.batch
        {
            self.trips += 1;
            self.ddl += u64::from(facts.command == Command::Ddl);
            self.batch = run.batch;
        }
        if !control {
            if self.first == 0 {
                self.first = run.shape;
            }
            if let Some(place) = self.steps.get_mut(self.taken) {
                *place = Some(Arc::clone(&run.text));
            }
            self.taken += 1;
        }
        if run.error.is_none() {
            for table in (run.profile.facts.iter()).flat_map(Facts::rows_locked) {
                if self.written.len() < WRITTEN && !self.written.contains(table) {
                    self.written.push(table.clone());
                }
            }
            self.created
                .extend(facts.creates.iter().map(|(name, _)| name.clone()));
            let lock = (facts.locks.iter()).find(|table| !self.created.contains(table));
            if facts.command == Command::Ddl && self.locked.is_none() {
                self.locked = lock.map(|table| (table.clone(), seen.done_us));
            }
        }
    }

    /// Its statements without their values, for people.
    pub(super) fn steps(&self) -> String {
        let mut out = String::new();
        for step in self.steps.iter().flatten() {
            let mut text = sql::normalised(step, Lexing::default());
            text.truncate(STEP);
            if !out.is_empty() {
                out.push_str("; ");
            }
            out.push_str(&String::from_utf8_lossy(&text));
        }
        if self.taken > STEPS {
            out.push_str("; …");
        }
        out
    }

    /// Tables of which it locked rows, in order, for people.
    pub(super) fn tables(&self) -> String {
        self.written.join(", ")
    }

    /// A hit about it.
    pub(super) fn detection(&self, hit: Hit, conn: u64) -> Detection {
        let run = Execution {
            known: Arc::new(Known {
                text: Arc::clone(&self.text),
                shape: self.shape,
                said: Said {
                    silence: self.silence.clone(),
                    ..Said::default()
                },
                ..Known::default()
            }),
            ..Execution::default()
        };
        detection(hit, &self.subject, conn, &run, self.trips, 0)
    }

    /// Bytes it takes, without texts, which others share.
    pub(super) fn memory(&self) -> usize {
        let names = (self.written.iter().chain(&self.created)).map(|name| name.len());
        size_of::<Self>()
            + (self.written.capacity() + self.created.capacity()) * size_of::<Box<str>>()
            + names.sum::<usize>()
    }

    pub(super) fn advance(
        &mut self,
        conn: u64,
        now: u64,
        idle: bool,
        thresholds: &Thresholds,
        found: &mut Vec<Detection>,
    ) {
        let person = is_person(&self.subject);
        if exempt(&self.subject) && !person {
            return;
        }
        let silent = now.saturating_sub(self.last) / SECOND;
        if idle && silent >= thresholds.idle_s {
            let text = format!("Transaction has been idle for {silent} s.");
            self.tell(
                0,
                &sequence::IDLE,
                silent >= thresholds.idle_s.saturating_mul(12),
                text,
                conn,
                found,
            );
        }
        if exempt(&self.subject) {
            return;
        }
        let age = now.saturating_sub(self.start) / SECOND;
        if age >= thresholds.long_s {
            let text = format!("Transaction open for {age} s.");
            self.tell(
                1,
                &sequence::LONG,
                age >= thresholds.long_s.saturating_mul(10),
                text,
                conn,
                found,
            );
        }
        // Changing a schema takes many statements, and loops have rules of their own.
        if self.trips >= thresholds.trips
            && self.explained * 2 < self.trips
            && self.ddl * 10 < self.trips * 3
        {
            let text = format!("{} round trips in one transaction.", self.trips);
            let many = self.trips >= thresholds.trips.saturating_mul(4);
            self.tell(
                if many { 4 } else { 2 },
                &sequence::CHATTY,
                false,
                text,
                conn,
                found,
            );
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
        let mut hit = Hit::new(rule, "", text).evidence("round_trips", self.trips);
        if !self.written.is_empty() {
            hit = hit.evidence("tables_written", self.written.join(", "));
        }
        if self.failed {
            hit = hit.evidence("status", "failed");
        }
        if critical {
            hit.severity = Severity::Critical;
        }
        if slot == 4 {
            hit.severity = Severity::Warn;
        }
        if slot == 0 {
            // Without its values: who looks for the place in the code knows it by its words.
            let mut latest = sql::normalised(&self.latest, Lexing::default());
            latest.truncate(LATEST);
            hit = hit.evidence("last_statement", &*String::from_utf8_lossy(&latest));
            if is_person(&self.subject) {
                hit.severity = Severity::Info;
            }
        }
        found.push(self.detection(hit, conn));
    }
}
