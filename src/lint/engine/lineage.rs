//! Where values came from: which column of which result the keys of later lookups were found in.

use std::collections::{HashMap, HashSet};

use super::super::observe::ResultColumn;
use super::runs::Run;

/// Shapes that are armed, and verdicts that are remembered, at most.
const MOST: usize = 4096;

/// What is looked at, and what is known already.
#[derive(Default)]
pub(super) struct Lineage {
    /// Shapes whose result values are wanted.
    pub(super) armed: HashSet<u64>,
    /// Whether they changed since somebody asked.
    pub(super) changed: bool,
    /// Of parent and child: the column, if there is one.
    pub(super) verdicts: HashMap<(u64, u64), Option<Box<str>>>,
}

impl Lineage {
    /// From now on the result values of this shape are wanted.
    pub(super) fn arm(&mut self, shape: u64) {
        if shape != 0 && self.armed.len() < MOST {
            self.changed |= self.armed.insert(shape);
        }
    }

    /// The values were looked at.
    pub(super) fn judged(&mut self, parent: u64, child: u64, column: Option<Box<str>>) {
        self.changed |= self.armed.remove(&parent);
        if self.verdicts.len() >= MOST {
            self.verdicts.clear();
        }
        self.verdicts.insert((parent, child), column);
    }
}

/// The column that holds at least four fifths of the values that vary, and their share.
pub(super) fn column<'a>(run: &Run, result: &'a [ResultColumn]) -> Option<(&'a str, f64)> {
    let first = run.samples.first()?;
    let mut best: Option<(&str, f64)> = None;
    for at in 0..usize::from(first.len) {
        let values: HashSet<u64> = (run.samples.iter())
            .filter(|sample| usize::from(sample.len) > at)
            .map(|sample| sample.each[at])
            .collect();
        // One that stays the same is no key of the loop.
        if values.len() < 2 {
            continue;
        }
        for column in result {
            let hits = values.iter().filter(|value| column.values.contains(value));
            let share = hits.count() as f64 / values.len() as f64;
            if share >= 0.8 && best.is_none_or(|best| best.1 < share) {
                best = Some((&column.name, share));
            }
        }
    }
    best
}
