//! Statements that read as far as their text tells, and that a replica refused nevertheless.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Shapes that are remembered of one cluster; with more, the first is forgotten.
const MOST: usize = 1000;

/// See the module. Looked at by every read, so it costs one load as long as there are none.
#[derive(Debug, Default)]
pub struct Refusals {
    any: AtomicBool,
    retried: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    shapes: HashSet<u64, foldhash::fast::RandomState>,
    order: VecDeque<u64>,
}

impl Refusals {
    /// Statements of this shape ([`crate::sql::Analysis::fingerprint`]) go to the primary from now on.
    pub fn remember(&self, shape: u64) {
        if shape == 0 {
            return;
        }
        let mut known = self.known.lock();
        if !known.shapes.insert(shape) {
            return;
        }
        known.order.push_back(shape);
        if known.order.len() > MOST
            && let Some(oldest) = known.order.pop_front()
        {
            known.shapes.remove(&oldest);
        }
        self.any.store(true, Ordering::Release);
    }

    /// Whether a replica refused a statement of this shape.
    #[inline]
    pub fn knows(&self, shape: u64) -> bool {
        self.any.load(Ordering::Acquire) && self.known.lock().shapes.contains(&shape)
    }

    /// A statement was asked of the primary after a replica had refused it.
    pub fn count(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// How many shapes are known, and how many statements were asked again.
    pub fn numbers(&self) -> (usize, u64) {
        let known = self.known.lock().order.len();
        (known, self.retried.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let refusals = Refusals::default();
        assert!(!refusals.knows(1));
        refusals.remember(0);
        assert!(!refusals.knows(0), "no shape");
        for shape in (1..=MOST as u64 + 1).flat_map(|shape| [shape, shape]) {
            refusals.remember(shape);
        }
        assert!(!refusals.knows(1) && refusals.knows(2) && refusals.knows(MOST as u64 + 1));
        assert_eq!(refusals.numbers(), (MOST, 0));
    }
}
