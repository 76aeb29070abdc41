//! The end of the process as a sequence of named phases.
//!
//! ```text
//! Running ──SIGTERM──► WaitForClients ──┐
//!    │                                  ├──(nobody left, deadline, second signal)──► Stopped
//!    └─────SIGINT────► WaitForServers ──┘
//! ```
//!
//! Source: PgBouncer, SHUTDOWN with its two waits.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

/// How far the process is with its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Before the listeners are open.
    Starting = 0,
    /// Serving.
    Running = 1,
    /// No new clients; those that are there are served until they leave.
    WaitForClients = 2,
    /// No new clients, no new transactions; what runs may finish.
    WaitForServers = 3,
    /// Everything is being closed.
    Stopped = 4,
}

impl Phase {
    /// The word in SHOW STATE, `/ready` and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::WaitForClients => "wait_for_clients",
            Phase::WaitForServers => "wait_for_servers",
            Phase::Stopped => "stopped",
        }
    }
}

/// The phase, readable from every thread. It only moves forward.
#[derive(Debug, Default)]
pub struct PhaseCell {
    phase: AtomicU8,
    changed: Notify,
}

impl PhaseCell {
    /// The phase now.
    pub fn get(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Running,
            2 => Phase::WaitForClients,
            3 => Phase::WaitForServers,
            _ => Phase::Stopped,
        }
    }

    /// Moves on to `phase`; `false` if it was reached before.
    pub fn advance(&self, phase: Phase) -> bool {
        let moved = self.phase.fetch_max(phase as u8, Ordering::AcqRel) < phase as u8;
        if moved {
            self.changed.notify_waiters();
        }
        moved
    }

    /// Waits until `phase` is reached.
    ///
    /// Cancel safe.
    pub async fn reached(&self, phase: Phase) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no move is missed.
            changed.as_mut().enable();
            if self.get() >= phase {
                return;
            }
            changed.await;
        }
    }

    /// Whether new clients are turned away.
    pub fn shutting_down(&self) -> bool {
        self.get() >= Phase::WaitForClients
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_phase_is_told_of_it_or_a_later_one() {
        let cell = Arc::new(PhaseCell::default());
        let waiting = tokio::spawn({
            let cell = cell.clone();
            async move { cell.reached(Phase::WaitForClients).await }
        });
        assert!(cell.advance(Phase::Running));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert!(cell.advance(Phase::WaitForServers));
        waiting.await.expect("no panic");
        assert!(
            !cell.advance(Phase::WaitForClients),
            "it only moves forward"
        );
        cell.reached(Phase::Running).await;
    }
}
