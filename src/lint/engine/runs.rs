//! Runs of one shape in one scope.

use super::super::facts::{Command, RowLock};
use super::super::hit::Hit;
use super::super::observe::{Detection, Execution, Observation};
use super::super::rules::sequence;
use super::{detection, exempt};

/// What one request did.
#[derive(Default)]
pub(super) struct Scope {
    last: u64,
    parents: Vec<(u64, u64, u64)>,
    runs: Vec<Run>,
    /// Shape, values, times, start of the first, end of the last.
    same: Vec<(u64, u64, u64, u64, u64)>,
}

struct Run {
    shape: u64,
    values: Vec<u64>,
    n: u64,
    first: u64,
    last: u64,
    batch: u32,
    rows: u64,
    told: bool,
}

impl Scope {
    pub(super) fn add(&mut self, seen: &Observation, run: &Execution, found: &mut Vec<Detection>) {
        let Some(facts) = run.profile.facts.first() else {
            return;
        };
        if seen.sent_us.saturating_sub(self.last) > 2_000_000 || facts.resets_session {
            self.parents.clear();
            self.runs.clear();
            self.same.clear();
        }
        self.last = seen.done_us;
        self.repeat(seen, run, found);
        let rule = match facts.command {
            Command::Select => &sequence::N_PLUS_ONE,
            Command::Insert if run.value_rows.max(facts.value_rows) == 1 => &sequence::ROW_INSERT,
            Command::Update | Command::Delete if facts.restricted && run.rows <= 1 => {
                &sequence::ROW_WRITE
            }
            _ => return,
        };
        let select = facts.command == Command::Select;
        let child = !facts.keys.is_empty()
            && !facts.lists
            && !facts.walks
            && !facts.reads.is_empty()
            && facts.lock == RowLock::None
            && run.fetch == 0;
        if run.error.is_none()
            && !exempt(&seen.subject)
            && !facts.introspection
            && (child || !select)
        {
            self.step(rule, select, seen, run, found);
        }
        if select && run.rows >= 2 && run.error.is_none() {
            if self.parents.len() >= 32 {
                self.parents.remove(0);
            }
            self.parents.push((run.shape, run.rows, seen.done_us));
        }
    }

    fn repeat(&mut self, seen: &Observation, run: &Execution, found: &mut Vec<Detection>) {
        let facts = &run.profile.facts;
        // A write may change the answer, an error asks for a retry: both excuse what follows.
        if run.error.is_some() || facts.iter().any(|one| !one.writes.is_empty()) {
            self.same.clear();
            return;
        }
        let [facts] = facts.as_slice() else { return };
        let counts = facts.command == Command::Select
            && !facts.reads.is_empty()
            && !facts.volatile
            && !facts.introspection
            && facts.lock == RowLock::None
            && run.fetch == 0;
        if !counts || exempt(&seen.subject) {
            return;
        }
        let (shape, all) = (run.shape, run.values.all);
        let Some(at) = (self.same.iter()).position(|one| one.0 == shape && one.1 == all) else {
            if self.same.len() >= 64 {
                self.same.remove(0);
            }
            self.same.push((shape, all, 1, seen.sent_us, seen.done_us));
            return;
        };
        let one = &mut self.same[at];
        if seen.sent_us.saturating_sub(one.4) > 1_000_000 {
            (one.2, one.3) = (0, seen.sent_us);
        }
        one.2 += 1;
        one.4 = seen.done_us;
        // Slower repetition is polling.
        let quick = seen.sent_us.saturating_sub(one.3) < 50_000 * one.2;
        if one.2 == 5 && quick {
            let text = "One query ran 5 times with the same parameters in one request.";
            let hit = Hit::new(&sequence::REPEATED, "", text);
            found.push(detection(hit, &seen.subject, seen.conn, run, 5, 0));
        }
    }

    fn step(
        &mut self,
        rule: &'static crate::lint::rule::Rule,
        select: bool,
        seen: &Observation,
        run: &Execution,
        found: &mut Vec<Detection>,
    ) {
        let at = self.runs.iter().position(|known| known.shape == run.shape);
        let at = at.unwrap_or_else(|| {
            if self.runs.len() >= 64 {
                self.runs.remove(0);
            }
            self.runs.push(Run::new(seen, run));
            self.runs.len() - 1
        });
        let Some(known) = self.runs.get_mut(at) else {
            return;
        };
        if known.n > 0 && seen.sent_us.saturating_sub(known.last) > 250_000 {
            *known = Run::new(seen, run);
        }
        if known.n > 0 && known.batch == run.batch {
            return;
        }
        known.n += 1;
        known.batch = run.batch;
        known.last = seen.done_us;
        known.rows += run.rows;
        if known.values.len() < 64 && !known.values.contains(&run.values.all) {
            known.values.push(run.values.all);
        }
        let distinct = known.values.len() as u64;
        if known.told || distinct < if select { 5 } else { 10 } {
            return;
        }
        let text = if select {
            if known.rows / known.n >= 100 {
                return;
            }
            let before = |parent: &&(u64, u64, u64)| {
                parent.0 != run.shape && parent.2 + 2_000_000 >= known.first
            };
            let rows: u64 = (self.parents.iter().filter(before))
                .map(|parent| parent.1)
                .sum();
            if distinct > rows.saturating_mul(2) {
                return;
            }
            format!(
                "{distinct} executions of one lookup followed a query that returned {rows} rows."
            )
        } else {
            format!("{distinct} single-row writes, one after the other.")
        };
        known.told = true;
        let hit = Hit::new(rule, "", text);
        found.push(detection(hit, &seen.subject, seen.conn, run, known.n, 0));
    }
}

impl Run {
    fn new(seen: &Observation, run: &Execution) -> Self {
        Run {
            shape: run.shape,
            values: Vec::new(),
            n: 0,
            first: seen.sent_us,
            last: seen.done_us,
            batch: u32::MAX,
            rows: 0,
            told: false,
        }
    }
}
