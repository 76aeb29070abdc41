//! A second database that runs what the first one ran, to see whether it does it as well: before an upgrade or a
//! move.
//!
//! Sessions hand over transactions when their client has been answered ([`Mirror::push`]); nobody waits for what
//! becomes of them here, and what does not fit into the queue is dropped and counted. A client's transactions are
//! played in their order, those of several clients side by side.

pub mod stats;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::lease::{CheckoutError, Lease, Seat};
use super::{CheckoutNow, Pool};
use crate::server::conn::RunError;
use crate::server::params::ParamSet;
use crate::server::replay::Outcome;
use crate::timer::timeout;
use stats::MirrorStats;

/// Transactions that are played side by side for one pool.
const LANES: usize = 4;
/// Bytes that wait for one pool.
const LONGEST_QUEUE: usize = 8 << 20;
/// How long one transaction may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A transaction, as it is played again.
pub struct Unit {
    /// The client's messages, with nothing in them that only its own server knows.
    pub requests: Vec<u8>,
    /// How many of them end with ReadyForQuery.
    pub answers: u32,
    /// What came of them.
    pub outcome: Outcome,
    /// The session's parameters.
    pub vars: Rc<ParamSet>,
    /// Shape of its first statement.
    pub shape: u64,
    /// Number of the client.
    pub client: u64,
}

/// What of a pool's traffic is played again, and where.
pub struct Mirror {
    pool: Rc<Pool>,
    stats: Arc<MirrorStats>,
    /// Only what reads.
    pub reads_only: bool,
    share: u32,
    lanes: [Lane; LANES],
    waiting: Cell<usize>,
}

#[derive(Default)]
struct Lane {
    queue: RefCell<VecDeque<Unit>>,
    /// Somebody works on it.
    busy: Cell<bool>,
}

/// Why a transaction could not be played.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("no connection to be had: {0}")]
    Checkout(#[from] CheckoutError),
    #[error("{0}")]
    Run(#[from] RunError),
    #[error("it took longer than {} s", PATIENCE.as_secs())]
    Late,
}

impl Mirror {
    /// Plays to `pool`, of `share` percent of all shapes.
    pub(super) fn new(
        pool: Rc<Pool>,
        stats: Arc<MirrorStats>,
        reads_only: bool,
        share: u32,
    ) -> Rc<Self> {
        Rc::new(Self {
            pool,
            stats,
            reads_only,
            share,
            lanes: Default::default(),
            waiting: Cell::new(0),
        })
    }

    /// Whether transactions that begin with a statement of this shape are played again.
    pub fn takes(&self, shape: u64) -> bool {
        shape % 100 < u64::from(self.share)
    }

    /// Something could not be played again as it was: too long, or bound to its own server.
    pub fn passed_over(&self) {
        self.stats.count(|counts| &counts.passed_over);
    }

    /// Takes a transaction over. Never waits.
    pub fn push(self: &Rc<Self>, unit: Unit) {
        let size = unit.requests.len();
        if self.waiting.get() + size > LONGEST_QUEUE {
            self.stats.count(|counts| &counts.dropped);
            return;
        }
        let lane = (unit.client % LANES as u64) as usize;
        let Some(place) = self.lanes.get(lane) else {
            return;
        };
        self.waiting.set(self.waiting.get() + size);
        self.stats.waits(size as i64);
        place.queue.borrow_mut().push_back(unit);
        if !place.busy.replace(true) {
            let mirror = self.clone();
            tokio::task::spawn_local(async move { mirror.work(lane).await });
        }
    }

    async fn work(self: Rc<Self>, lane: usize) {
        let Some(place) = self.lanes.get(lane) else {
            return;
        };
        loop {
            let next = place.queue.borrow_mut().pop_front();
            let Some(unit) = next else { break };
            let size = unit.requests.len();
            self.waiting.set(self.waiting.get().saturating_sub(size));
            self.stats.waits(-(size as i64));
            let played = timeout(PATIENCE, self.play(&unit)).await;
            match played.unwrap_or(Err(Failed::Late)) {
                Ok(outcome) => {
                    self.stats
                        .compare(&self.pool.key, unit.shape, &unit.outcome, &outcome)
                }
                Err(error) => self.stats.failed(&self.pool.key, &error.to_string()),
            }
        }
        place.busy.set(false);
    }

    async fn play(&self, unit: &Unit) -> Result<Outcome, Failed> {
        let mut lease = lease(&self.pool).await?;
        if let Some(sql) = lease.applied.sql_to(&unit.vars) {
            lease.run(&sql).await?;
            lease.applied = unit.vars.clone();
        }
        Ok(lease.replay(&unit.requests, unit.answers).await?)
    }
}

/// A server of the pool, waited for in line with its clients.
async fn lease(pool: &Rc<Pool>) -> Result<Lease, CheckoutError> {
    /// Gives the seat up if nobody waits in it any more.
    struct Waiting(Option<Rc<Seat>>);
    impl Drop for Waiting {
        fn drop(&mut self) {
            if let Some(seat) = self.0.take() {
                seat.give_up();
            }
        }
    }
    let mut waiting = Waiting(None);
    poll_fn(|cx| match &waiting.0 {
        None => match pool.checkout(pool.clock.tick(), cx.waker()) {
            Ok(CheckoutNow::Ready(lease)) => Poll::Ready(Ok(lease)),
            Ok(CheckoutNow::Queued(seat)) => {
                waiting.0 = Some(seat);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        },
        Some(seat) => match seat.take() {
            Some(grant) => {
                waiting.0 = None;
                Poll::Ready(grant)
            }
            None => Poll::Pending,
        },
    })
    .await
}
