//! How many cancel requests are being passed on to other processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;

/// What SHOW PEER_POOLS tells of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounts {
    /// Requests that have been passed on and whose end is awaited.
    pub active: u32,
    /// Requests that wait for a place.
    pub waiting: u32,
    /// Connections being made.
    pub login: u32,
}

#[derive(Debug, Default)]
struct Counters {
    taken: AtomicU32,
    waiting: AtomicU32,
    login: AtomicU32,
}

/// The peers that requests have been passed on to, by their number.
#[derive(Debug, Default)]
pub struct PeerPools(DashMap<u16, Arc<Counters>>);

/// A step of a request; counts from its making to its drop.
#[derive(Debug)]
pub struct Step {
    counters: Arc<Counters>,
    pick: fn(&Counters) -> &AtomicU32,
}

impl Step {
    fn begin(counters: &Arc<Counters>, pick: fn(&Counters) -> &AtomicU32) -> Self {
        pick(counters).fetch_add(1, Ordering::AcqRel);
        Self {
            counters: counters.clone(),
            pick,
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        (self.pick)(&self.counters).fetch_sub(1, Ordering::AcqRel);
    }
}

impl PeerPools {
    fn counters(&self, peer: u16) -> Arc<Counters> {
        self.0.entry(peer).or_default().clone()
    }

    /// A request waits for its place.
    pub fn wait(&self, peer: u16) -> Step {
        Step::begin(&self.counters(peer), |counters| &counters.waiting)
    }

    /// A connection is being made.
    pub fn log_in(&self, peer: u16) -> Step {
        Step::begin(&self.counters(peer), |counters| &counters.login)
    }

    /// A place among the requests to this peer, if fewer than `limit` are taken.
    pub fn take(&self, peer: u16, limit: u32) -> Option<Step> {
        let counters = self.counters(peer);
        let more = |taken| (taken < limit).then_some(taken + 1);
        counters
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, more)
            .ok()?;
        Some(Step {
            counters,
            pick: |counters| &counters.taken,
        })
    }

    /// What is under way to a peer.
    pub fn counts(&self, peer: u16) -> PeerCounts {
        let Some(counters) = self.0.get(&peer) else {
            return PeerCounts::default();
        };
        let get = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        let login = get(&counters.login);
        PeerCounts {
            active: get(&counters.taken).saturating_sub(login),
            waiting: get(&counters.waiting),
            login,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let pools = PeerPools::default();
        assert_eq!(pools.counts(3), PeerCounts::default());
        let one = pools.take(3, 2).expect("free");
        let two = pools.take(3, 2).expect("free");
        assert!(pools.take(3, 2).is_none());
        assert!(pools.take(4, 1).is_some(), "another peer");
        let waiting = pools.wait(3);
        let login = pools.log_in(3);
        let counts = pools.counts(3);
        assert_eq!((counts.active, counts.waiting, counts.login), (1, 1, 1));
        drop((one, two, waiting, login));
        assert_eq!(pools.counts(3), PeerCounts::default());
        assert!(pools.take(3, 2).is_some());
    }
}
