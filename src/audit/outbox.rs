//! What waits to be sent to somebody who may be slow or gone: bounded in bytes, and what finds no room
//! is counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// See the module.
#[derive(Debug)]
pub struct Outbox<T> {
    waiting: Mutex<(VecDeque<(T, usize)>, usize)>,
    most: usize,
    dropped: AtomicU64,
}

impl<T> Outbox<T> {
    /// An empty one for so many bytes.
    pub fn new(most: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            most,
            dropped: AtomicU64::new(0),
        }
    }

    /// Puts something in that takes so many bytes, or counts it as dropped.
    pub fn put(&self, item: T, bytes: usize) {
        let mut waiting = self.waiting.lock();
        if waiting.1.saturating_add(bytes) > self.most {
            drop(waiting);
            self.lose(1);
            return;
        }
        waiting.1 += bytes;
        waiting.0.push_back((item, bytes));
    }

    /// Takes out what came first, at most so many.
    pub fn take(&self, most: usize) -> Vec<T> {
        let mut waiting = self.waiting.lock();
        let count = waiting.0.len().min(most);
        let taken: Vec<(T, usize)> = waiting.0.drain(..count).collect();
        waiting.1 -= taken.iter().map(|(_, bytes)| bytes).sum::<usize>();
        drop(waiting);
        taken.into_iter().map(|(item, _)| item).collect()
    }

    /// So many were lost after they had been taken out.
    pub fn lose(&self, items: u64) {
        self.dropped.fetch_add(items, Ordering::Relaxed);
    }

    /// How many were lost, here or on the way.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted() {
        let outbox = Outbox::new(10);
        for (item, bytes) in [(1, 4), (2, 6), (3, 1), (4, usize::MAX)] {
            outbox.put(item, bytes);
        }
        assert_eq!(outbox.dropped(), 2);
        assert_eq!(outbox.take(1), [1]);
        outbox.put(5, 4);
        assert_eq!(outbox.take(9), [2, 5]);
        assert!(outbox.take(9).is_empty());
        outbox.put(6, 10);
        outbox.lose(3);
        assert_eq!((outbox.take(9), outbox.dropped()), (vec![6], 5));
    }
}
