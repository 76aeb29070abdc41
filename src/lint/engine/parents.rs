//! Queries that may have fed a loop of lookups.

use std::sync::Arc;

use super::super::observe::{Execution, Observation, ResultColumn};
use super::super::profile::Profile;
use super::SECOND;
use super::lineage::{self, Lineage};
use super::runs::Run;

const MOST: usize = 32;
/// How long before the first lookup a parent may have ended.
const BEFORE: u64 = 2 * SECOND;

struct Parent {
    shape: u64,
    text: Arc<[u8]>,
    profile: Arc<Profile>,
    /// End and rows of the latest executions, newest last.
    latest: [(u64, u64); 4],
    executions: u64,
    rows: u64,
    result: Vec<ResultColumn>,
}

/// Queries of a scope that returned two rows and more, one entry per shape.
#[derive(Default)]
pub(super) struct Parents {
    known: Vec<Parent>,
}

/// The parent of a run.
#[derive(Clone)]
pub(super) struct Choice {
    pub(super) shape: u64,
    pub(super) text: Arc<[u8]>,
    pub(super) rows: u64,
    pub(super) nested: bool,
    pub(super) confirmed: bool,
    pub(super) column: Option<Box<str>>,
    pub(super) share: Option<f64>,
    /// Its values are worth looking at next time.
    pub(super) arm: bool,
}

impl Parents {
    pub(super) fn memory(&self) -> usize {
        let results = self.known.iter().map(|parent| {
            let columns = parent.result.iter();
            columns
                .map(|column| size_of::<ResultColumn>() + column.values.len() * size_of::<u64>())
                .sum::<usize>()
        });
        self.known.capacity() * size_of::<Parent>() + results.sum::<usize>()
    }

    /// Takes an execution. `true` if another query was forgotten for it.
    pub(super) fn add(&mut self, seen: &Observation, run: &Execution, result: bool) -> bool {
        let entry = (seen.done_us, run.rows);
        let Some(at) = (self.known.iter()).position(|known| known.shape == run.shape) else {
            let full = self.known.len() >= MOST;
            if full {
                self.known.remove(0);
            }
            self.known.push(Parent {
                shape: run.shape,
                text: Arc::clone(&run.text),
                profile: Arc::clone(&run.profile),
                latest: [(0, 0), (0, 0), (0, 0), entry],
                executions: 1,
                rows: run.rows,
                result: run.result.clone(),
            });
            return full;
        };
        let known = &mut self.known[at];
        if seen.sent_us.saturating_sub(known.latest[3].0) > BEFORE {
            (known.executions, known.rows) = (0, 0);
        }
        known.latest.rotate_left(1);
        known.latest[3] = entry;
        known.executions += 1;
        known.rows += run.rows;
        if result {
            known.result.clone_from(&run.result);
        }
        false
    }

    /// The parent of the run: by its values, else the nearest one with as many rows, else one that
    /// ran in a loop itself.
    pub(super) fn choose(&self, run: &Run, traced: bool, lineage: &mut Lineage) -> Option<Choice> {
        let n = run.distinct;
        let candidates = || self.known.iter().filter(|known| known.shape != run.shape);
        for parent in candidates().filter(|parent| !parent.result.is_empty()) {
            let found = lineage::column(run, &parent.result);
            let column = found.map(|(name, _)| parent.column(name));
            lineage.judged(parent.shape, run.shape, column.clone());
            if let Some((_, share)) = found {
                let (rows, nested) = match parent.before(run.first) {
                    Some((_, rows)) if n <= rows.saturating_mul(2) => (rows, false),
                    _ => (parent.rows, true),
                };
                return Some(Choice {
                    share: Some(share),
                    ..parent.choice(rows, nested, column)
                });
            }
        }
        let mut best: Option<(bool, u64, u64, &Parent)> = None;
        let mut newest = 0;
        for parent in candidates() {
            let Some((end, rows)) = parent.before(run.first) else {
                continue;
            };
            newest = newest.max(end);
            if rows.saturating_mul(2) < n {
                continue;
            }
            let fits = n <= rows && rows * 5 <= n * 6;
            if best.is_none_or(|best| (best.0, best.1) < (fits, end)) {
                best = Some((fits, end, rows, parent));
            }
        }
        let mut choice = match best {
            Some((_, end, rows, parent)) => {
                let mut choice = parent.choice(rows, false, None);
                choice.confirmed = traced && end == newest;
                choice
            }
            None => {
                let parent = candidates()
                    .filter(|parent| parent.executions >= 2 && parent.rows >= n)
                    .filter(|parent| parent.latest[3].0 + BEFORE >= run.first)
                    .max_by_key(|parent| parent.latest[3].0)?;
                parent.choice(parent.rows, true, None)
            }
        };
        match lineage.verdicts.get(&(choice.shape, run.shape)) {
            Some(Some(column)) => {
                choice.confirmed = true;
                choice.column = Some(column.clone());
            }
            Some(None) => {}
            None => choice.arm = true,
        }
        Some(choice)
    }
}

impl Parent {
    /// End and rows of the last execution that ended before `first`, not long ago.
    fn before(&self, first: u64) -> Option<(u64, u64)> {
        (self.latest.iter().rev().copied())
            .find(|&(end, rows)| rows > 0 && end <= first)
            .filter(|&(end, _)| end + BEFORE >= first)
    }

    fn choice(&self, rows: u64, nested: bool, column: Option<Box<str>>) -> Choice {
        Choice {
            shape: self.shape,
            text: Arc::clone(&self.text),
            rows,
            nested,
            confirmed: column.is_some(),
            column,
            share: None,
            arm: false,
        }
    }

    /// `table.column` of a column of the result.
    fn column(&self, name: &str) -> Box<str> {
        let facts = self.profile.facts.first();
        let output = facts.and_then(|facts| {
            (facts.outputs.iter()).find(|output| *output.name == *name && !output.table.is_empty())
        });
        match (output, facts.map(|facts| facts.reads.as_slice())) {
            (Some(output), _) => format!("{}.{}", output.table, output.column).into(),
            (None, Some([table])) => format!("{table}.{name}").into(),
            _ => name.into(),
        }
    }
}
