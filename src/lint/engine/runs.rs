//! Runs of one shape in one scope.

use std::sync::Arc;

use super::super::facts::{Command, Facts, RowLock};
use super::super::hit::Hit;
use super::super::observe::{Block, Detection, Execution, Observation, Subject, Values};
use super::super::rule::{Rule, Severity};
use super::super::rules::sequence;
use super::super::thresholds::Thresholds;
use super::evicted::Fresh;
use super::lineage::Lineage;
use super::parents::{Choice, Parents};
use super::{SECOND, detection, exempt, loops};

/// Runs of one scope that are kept.
const MOST: usize = 64;
/// Different values that are told apart exactly.
const EXACT: usize = 64;
/// What belongs to one trace is cut after so much silence, and after so many statements: a whole
/// batch job may have one.
const TRACE_IDLE: u64 = 10 * SECOND;
const TRACE_STATEMENTS: u64 = 2000;
/// Different keys that make a loop of lookups that belongs to no query.
const LOOSE: u64 = 10;
/// Executions whose values are kept one by one.
const SAMPLES: usize = 16;

/// Executions whose times are kept one by one, to be drawn.
const DRAWN: usize = 32;

/// What one request did.
#[derive(Default)]
pub(super) struct Scope {
    last: u64,
    /// Since it began or was cut.
    statements: u64,
    parents: Parents,
    runs: Vec<Run>,
    repeats: super::repeats::Repeats,
    /// Transactions that began, to tell whether each write had its own.
    begun: u64,
    /// What it forgot to make room since somebody counted.
    pub(super) evicted: Fresh,
}

/// Executions of one shape, each sent soon after the answer to the one before.
pub(super) struct Run {
    pub(super) shape: u64,
    rule: &'static Rule,
    values: Vec<u64>,
    /// Values of the first executions.
    pub(super) samples: Vec<Values>,
    /// When the first executions were sent, since the first, and how long they took.
    times: Vec<(u32, u32)>,
    pub(super) params: u16,
    pub(super) n: u64,
    pub(super) distinct: u64,
    pub(super) first: u64,
    last: u64,
    batch: u32,
    pub(super) rows: u64,
    pub(super) server_us: u64,
    pub(super) gap_us: u64,
    pub(super) max_gap: u64,
    in_block: u64,
    own_block: u64,
    begun: u64,
    told: Option<Box<Told>>,
    critical: bool,
    /// Reported as a loop without a parent.
    loose: bool,
}

/// What a run was reported as.
struct Told {
    subject: Arc<Subject>,
    conn: u64,
    run: Execution,
    choice: Option<Choice>,
    /// Executions, and microseconds of servers and between, and rows, of which was told.
    at: u64,
    server_us: u64,
    gap_us: u64,
    rows: u64,
}

impl Scope {
    /// When something happened in it last.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Whether something happened in it lately.
    pub(super) fn is_fresh(&self, now: u64) -> bool {
        self.last + 10 * SECOND >= now
    }

    /// Bytes it takes, without texts and profiles, which others share.
    pub(super) fn memory(&self) -> usize {
        let runs = self.runs.iter().map(|run| {
            run.values.capacity() * size_of::<u64>()
                + run.samples.capacity() * size_of::<Values>()
                + run.times.capacity() * size_of::<(u32, u32)>()
                + run.told.as_ref().map_or(0, |_| size_of::<Told>())
        });
        size_of::<Self>()
            + self.runs.capacity() * size_of::<Run>()
            + runs.sum::<usize>()
            + self.parents.memory()
            + self.repeats.memory()
    }

    /// Takes an execution; returns how many round trips it explained.
    pub(super) fn add(
        &mut self,
        seen: &Observation,
        run: &Execution,
        (thresholds, lineage): (&Thresholds, &mut Lineage),
        found: &mut Vec<Detection>,
    ) -> u64 {
        let Some(facts) = run.profile.facts.first() else {
            return 0;
        };
        let pause = seen.sent_us.saturating_sub(self.last);
        let cut = match run.trace {
            0 => {
                pause > 2 * SECOND
                    || facts.resets_session
                    || is_probe(run, facts, pause, thresholds)
            }
            _ => pause > TRACE_IDLE || self.statements >= TRACE_STATEMENTS,
        };
        if cut {
            self.settle(u64::MAX, thresholds, found);
            self.parents = Parents::default();
            self.runs.clear();
            self.repeats.cut();
            self.statements = 0;
        }
        self.statements += 1;
        self.last = seen.done_us;
        self.begun += u64::from(facts.command == Command::Begin);
        self.evicted.repeats += u32::from(self.repeats.add(seen, run, thresholds, found));
        let rule = match facts.command {
            Command::Select => Some(&sequence::N_PLUS_ONE),
            Command::Insert if one_row(run, facts) => Some(&sequence::ROW_INSERT),
            Command::Update | Command::Delete if facts.restricted => Some(&sequence::ROW_WRITE),
            _ => None,
        };
        let select = facts.command == Command::Select;
        let counts = run.error.is_none() && !facts.introspection && !exempt(&seen.subject);
        let mut explained = 0;
        if let Some(rule) = rule
            && counts
            && (!select || is_child(run, facts))
        {
            explained = self.step(rule, (seen, run, facts), (thresholds, lineage), found);
        }
        if select && counts && run.rows >= 2 && facts.lock != RowLock::SkipLocked {
            let evicted = self.parents.add(seen, run, !run.result.is_empty());
            self.evicted.parents += u32::from(evicted);
        }
        explained
    }

    fn step(
        &mut self,
        rule: &'static Rule,
        (seen, run, facts): (&Observation, &Execution, &Facts),
        (thresholds, lineage): (&Thresholds, &mut Lineage),
        found: &mut Vec<Detection>,
    ) -> u64 {
        let at = match self.runs.iter().position(|known| known.shape == run.shape) {
            Some(at) => at,
            None => {
                if self.runs.len() >= MOST {
                    self.runs.remove(0).settle(found);
                    self.evicted.runs += 1;
                }
                self.runs.push(Run::new(rule, seen, run));
                self.runs.len() - 1
            }
        };
        let begun = self.begun;
        let Some(known) = self.runs.get_mut(at) else {
            return 0;
        };
        let pause = seen.sent_us.saturating_sub(known.last);
        let several = !std::ptr::eq(rule, &sequence::N_PLUS_ONE) && run.rows > 1;
        if known.n > 0
            && (pause > gap(thresholds) || (several && rule.number == sequence::ROW_WRITE.number))
        {
            known.settle(found);
            known.again(seen, run);
        }
        if several && rule.number == sequence::ROW_WRITE.number {
            return 0;
        }
        if known.n > 0 && known.batch == run.batch {
            return 0;
        }
        known.take(seen, run, facts, begun);
        if known.told.is_some() {
            if !known.critical && known.is_critical() {
                known.tell(found);
            }
            return 1;
        }
        let select = rule.number == sequence::N_PLUS_ONE.number;
        let enough = match rule.number {
            n if n == sequence::N_PLUS_ONE.number => thresholds.children,
            n if n == sequence::ROW_INSERT.number => thresholds.inserts,
            _ => thresholds.writes,
        };
        if known.distinct < enough {
            return 0;
        }
        let mut choice = None;
        if select {
            if known.rows / known.n >= 100 || !varies(known, facts) {
                return 0;
            }
            choice = self.parents.choose(known, run.trace != 0, lineage);
            let Some(choice) = &choice else {
                if known.distinct >= LOOSE && !known.loose {
                    known.loose = true;
                    found.push(known.lookup_loop(seen, run));
                }
                return 0;
            };
            if choice.arm {
                lineage.arm(choice.shape);
            }
        }
        known.told = Some(Box::new(Told {
            subject: Arc::clone(&seen.subject),
            conn: seen.conn,
            run: run.clone(),
            choice,
            at: 0,
            server_us: 0,
            gap_us: 0,
            rows: 0,
        }));
        known.tell(found);
        known.n
    }

    /// Reports anew, with their last numbers, runs that ended before `now`.
    pub(super) fn settle(
        &mut self,
        now: u64,
        thresholds: &Thresholds,
        found: &mut Vec<Detection>,
    ) -> bool {
        let mut open = false;
        for run in &mut self.runs {
            if run.told.is_some() && now.saturating_sub(run.last) > gap(thresholds) {
                run.settle(found);
            }
            open |= run.told.is_some();
        }
        open
    }
}

/// Whether a pool asks if a connection that it is about to hand out is alive.
fn is_probe(run: &Execution, facts: &Facts, pause: u64, thresholds: &Thresholds) -> bool {
    facts.command == Command::Select
        && facts.reads.is_empty()
        && run.params == 0
        && run.profile.facts.len() == 1
        && pause > gap(thresholds)
        && run.text.len() <= 64
}

/// The longest pause within a run, in microseconds.
fn gap(thresholds: &Thresholds) -> u64 {
    thresholds.gap_ms * 1000
}

fn one_row(run: &Execution, facts: &Facts) -> bool {
    // The shape is the same for any number of rows, so the facts may be another text's.
    match run.value_rows {
        0 => facts.value_rows == 1,
        rows => rows == 1,
    }
}

fn is_child(run: &Execution, facts: &Facts) -> bool {
    !facts.keys.is_empty()
        && !facts.lists
        && !facts.ranges
        && run.longest_list < 2
        && !facts.reads.is_empty()
        && facts.lock == RowLock::None
        && run.fetch == 0
}

/// The values without those of LIMIT and OFFSET.
fn key(run: &Execution, facts: &Facts) -> u64 {
    let len = usize::from(run.values.len);
    let paged = facts.paging_literals > 0 || !facts.paging_params.is_empty();
    if !paged || len == 0 || len >= Values::MOST {
        return run.values.all;
    }
    let literals = len.saturating_sub(usize::from(run.params));
    let first = literals.saturating_sub(usize::from(facts.paging_literals));
    (run.values.each.iter().take(len).enumerate())
        .filter(|(at, _)| {
            let paging = match at.checked_sub(literals) {
                None => *at >= first,
                Some(param) => facts.paging_params.contains(&(param as u16 + 1)),
            };
            !paging
        })
        .fold(0, |sum: u64, (_, value)| {
            sum.rotate_left(7).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ value
        })
}

/// Whether a value that a column is asked of varies, as far as can be told.
fn varies(run: &Run, facts: &Facts) -> bool {
    let Some(first) = run.samples.first() else {
        return true;
    };
    let len = usize::from(first.len);
    if len == 0 || len >= Values::MOST || facts.key_params.is_empty() {
        return true;
    }
    let literals = len.saturating_sub(usize::from(run.params));
    let differs =
        |at: usize| (run.samples.iter()).any(|sample| sample.each.get(at) != first.each.get(at));
    (0..literals).any(differs)
        || (facts.key_params.iter())
            .any(|(_, number)| differs(literals + usize::from(*number).saturating_sub(1)))
}

impl Run {
    fn new(rule: &'static Rule, seen: &Observation, run: &Execution) -> Self {
        Run {
            shape: run.shape,
            rule,
            values: Vec::new(),
            samples: Vec::new(),
            times: Vec::new(),
            params: run.params,
            n: 0,
            distinct: 0,
            first: seen.sent_us,
            last: seen.done_us,
            batch: u32::MAX,
            rows: 0,
            server_us: 0,
            gap_us: 0,
            max_gap: 0,
            in_block: 0,
            own_block: 0,
            begun: 0,
            told: None,
            critical: false,
            loose: false,
        }
    }

    /// From the start, in the memory it has.
    fn again(&mut self, seen: &Observation, run: &Execution) {
        let (mut values, mut samples, mut times) = (
            std::mem::take(&mut self.values),
            std::mem::take(&mut self.samples),
            std::mem::take(&mut self.times),
        );
        values.clear();
        samples.clear();
        times.clear();
        *self = Run {
            values,
            samples,
            times,
            ..Run::new(self.rule, seen, run)
        };
    }

    fn take(&mut self, seen: &Observation, run: &Execution, facts: &Facts, begun: u64) {
        let took = seen.done_us.saturating_sub(seen.sent_us);
        if self.n > 0 {
            let gap = seen.sent_us.saturating_sub(self.last);
            self.gap_us += gap;
            self.max_gap = self.max_gap.max(gap);
        }
        if self.times.len() < DRAWN {
            let short = |us: u64| u32::try_from(us).unwrap_or(u32::MAX);
            let at = seen.sent_us.saturating_sub(self.first);
            self.times.push((short(at), short(took)));
        }
        self.n += 1;
        self.server_us += took;
        self.batch = run.batch;
        self.last = seen.done_us;
        self.rows += run.rows;
        if run.block != Block::None {
            self.in_block += 1;
            self.own_block += u64::from(begun != self.begun);
            self.begun = begun;
        }
        let value = key(run, facts);
        if self.values.len() >= EXACT {
            self.distinct += u64::from(!self.values.contains(&value));
        } else if !self.values.contains(&value) {
            self.values.push(value);
            self.distinct += 1;
            if self.samples.len() < SAMPLES {
                self.samples.push(run.values);
            }
        }
    }

    fn lookup_loop(&self, seen: &Observation, run: &Execution) -> Detection {
        let n = self.n;
        let text = format!(
            "{n} lookups of different keys, one by one; no query before them gave the keys."
        );
        let hit = Hit::new(&sequence::N_PLUS_ONE, "lookup-loop", text)
            .severity(Severity::Info)
            .evidence("children", n)
            .evidence("distinct", self.distinct)
            .evidence("max_gap_ms", self.max_gap / 1000);
        let mut one = detection(hit, &seen.subject, seen.conn, run, n, self.server_us);
        (one.gap_us, one.rows) = (self.gap_us, self.rows);
        one
    }

    pub(super) fn wasted_us(&self) -> u64 {
        self.server_us + self.gap_us
    }

    fn is_critical(&self) -> bool {
        self.rule.number == sequence::N_PLUS_ONE.number
            && (self.n >= 50 || self.wasted_us() >= SECOND / 2)
    }

    /// The last word about the run, if it grew since the one before.
    fn settle(&mut self, found: &mut Vec<Detection>) {
        if self.told.as_ref().is_some_and(|told| told.at < self.n) {
            self.tell(found);
        }
        self.told = None;
    }

    fn tell(&mut self, found: &mut Vec<Detection>) {
        self.critical = self.is_critical();
        let Some(mut told) = self.told.take() else {
            return;
        };
        let before = std::mem::replace(&mut told.at, self.n);
        let mut hit = match &told.choice {
            Some(choice) => loops::n_plus_one(self, choice, &told.run),
            None => self.writes(),
        };
        if self.critical {
            hit.severity = Severity::Critical;
        }
        hit.times = self.times.as_slice().into();
        let since = |is: u64, was: &mut u64| is.saturating_sub(std::mem::replace(was, is));
        let server_us = since(self.server_us, &mut told.server_us);
        let mut one = detection(hit, &told.subject, told.conn, &told.run, self.n, server_us);
        one.gap_us = since(self.gap_us, &mut told.gap_us);
        one.rows = since(self.rows, &mut told.rows);
        if before > 0 {
            one.again = true;
            one.round_trips = self.n.saturating_sub(before);
        }
        if let Some(choice) = &told.choice {
            one.parent = choice.shape;
            one.parent_text = Arc::clone(&choice.text);
        }
        found.push(one);
        self.told = Some(told);
    }

    fn writes(&self) -> Hit {
        let ms = self.wasted_us() / 1000;
        let insert = self.rule.number == sequence::ROW_INSERT.number;
        let what = if insert { "INSERTs" } else { "writes" };
        let each = if self.in_block < self.n {
            "transaction"
        } else {
            "round trip"
        };
        let text = format!(
            "{} single-row {what} in {ms} ms, each its own {each}.",
            self.n
        );
        let mut hit = Hit::new(self.rule, "", text)
            .evidence("executions", self.n)
            .evidence("distinct", self.distinct)
            .evidence("max_gap_ms", self.max_gap / 1000);
        let block = self.in_block >= self.n;
        if block && (insert || self.own_block >= self.n) {
            hit.severity = Severity::Info;
        }
        hit
    }
}
