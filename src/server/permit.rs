//! Places under a limit, as values one holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many of something exist in the whole process. Shared by all workers, so that a limit on it
/// is exact.
#[derive(Debug, Default)]
pub struct Counter(AtomicU32);

impl Counter {
    /// How many there are.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes a place if fewer than `limit` are taken; 0 is no limit.
    pub fn take(self: &Arc<Self>, limit: u32) -> Option<Permit> {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |taken| {
                (limit == 0 || taken < limit).then_some(taken + 1)
            })
            .ok()
            .map(|_| Permit(self.clone()))
    }
}

/// One place. Dropping it, in whatever way, gives it back: "never more than the limit" holds on
/// every path, panics included.
#[derive(Debug)]
pub struct Permit(Arc<Counter>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let counter = Arc::new(Counter::default());
        let held: Vec<_> = std::iter::from_fn(|| counter.take(3)).collect();
        assert_eq!((held.len(), counter.get()), (3, 3));
        drop(held);
        assert_eq!(counter.get(), 0);
        let panicked = std::panic::catch_unwind({
            let counter = counter.clone();
            move || {
                let _place = counter.take(1);
                panic!("on purpose");
            }
        });
        assert!(panicked.is_err());
        assert_eq!(counter.get(), 0);
    }
}
