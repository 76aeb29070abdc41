//! Which server of a cluster runs what a client asks for.
//!
//! A client whose statements may run on a replica is told from others when it has no server: what
//! it asks for up to the next Sync is looked at, and if all of it only reads, a replica gets it.
//! Everything else goes to the primary: transaction blocks, what may write or leave something in
//! the session, what could not be analysed, what has not come in completely, and everything in
//! session pooling.

use std::rc::Rc;
use std::task::Context as TaskContext;
use std::time::Instant;

use memchr::memmem;

use super::Session;
use super::batch::Batch;
use super::begin::Opening;
use super::from_client::Frame;
use crate::config::PoolMode;
use crate::config::cluster::{Balance, ClusterPolicy, ReadYourWrites, Target};
use crate::error::SqlState;
use crate::pool::Pool;
use crate::pool::cluster::Cluster;
use crate::route::balance::Servers;
use crate::route::begin;
use crate::route::choice::{self, Reason, Route, Wanted};
use crate::route::explain;
use crate::server::statements::Refusal;
use crate::session::clients::ClientState;
use crate::sql::Flags;
use crate::wire::tag::frontend;

/// What may end a transaction.
pub(super) const ENDS: Flags = Flags::COMMIT
    .union(Flags::ROLLBACK)
    .union(Flags::UNANALYSED);

/// What is known of the requests that the client's present server was taken for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Visit {
    /// The database is a cluster: what is sent to which server matters.
    pub(super) counts: bool,
    /// Messages of it that are still to be handled.
    pub(super) left: u16,
    /// Something was sent there that may write.
    writes: bool,
    /// Why that server.
    pub(super) reason: Option<Reason>,
    /// The server is a replica.
    pub(super) replica: bool,
    /// It has a transaction there that only reads, which may go on.
    pub(super) transaction: bool,
    /// What was sent may end that transaction, and a batch of it is complete: what follows has to wait.
    ends: bool,
    complete: bool,
    /// What the client sent next waits until its server has answered everything.
    pub(super) held: bool,
    /// Shape of what was sent there, if it was one statement; else 0.
    pub(super) shape: u64,
    /// The replica refused it: it is sent to the primary when the replica is through with it.
    pub(super) retry: bool,
    /// Why the next request goes to the primary, whatever it is.
    pub(super) home: Option<Reason>,
    /// Which replica was asked for a server, and those that had none for this request.
    pub(super) at: u8,
    pub(super) failed: Servers,
    /// It waits for a replica that may have it; the last news of the cluster when it did so.
    pub(super) waits: Option<u32>,
    /// The session is for replicas as a whole, and this is one: nothing of it is for the primary.
    pub(super) standby: bool,
    /// The transaction on a replica began plainly, with a statement of that shape (0 for none): it may turn out
    /// to write.
    pub(super) begun: bool,
    pub(super) first: u64,
    /// A BEGIN of ours that goes in front, and what the client has sent behind it.
    pub(super) opening: Opening,
    pub(super) requested: bool,
    pub(super) simple: bool,
}

impl Session {
    /// The pool that is asked for a server for the batch that begins with `frame`, and notes what is
    /// known of the batch. In a database that is no cluster this is the client's pool. `None` if the batch
    /// has to wait for a replica.
    pub(super) fn destination(
        &mut self,
        frame: Frame<'_>,
        input: &[u8],
        cx: &TaskContext<'_>,
    ) -> Option<Rc<Pool>> {
        match self.pool.cluster().zip(self.pool.database().cluster()) {
            Some((cluster, policy)) => self.choose(&cluster, &policy, frame, input, cx),
            None => Some(self.pool.clone()),
        }
    }

    fn choose(
        &mut self,
        cluster: &Cluster,
        policy: &ClusterPolicy,
        frame: Frame<'_>,
        input: &[u8],
        cx: &TaskContext<'_>,
    ) -> Option<Rc<Pool>> {
        let before = std::mem::take(&mut self.visit);
        let target = self.target(policy);
        if target != Target::Any {
            return self.aim(target, cluster, policy, &before, cx);
        }
        let went_wrong = before.home;
        self.visit.counts = true;
        self.visit.failed = before.failed;
        let reads = match self.mode {
            PoolMode::Session => None,
            _ if self.has_failed_deferred() => None,
            _ => self.reads_only(cluster, policy, frame, input),
        };
        let deferred = self.is_deferred();
        let reads = reads.filter(|batch| match batch.transaction {
            // A second BEGIN, of which the server has something to say.
            true if deferred => false,
            true => !policy.transactions_stay,
            false => true,
        });
        let Some(Batch {
            messages,
            transaction,
            begun,
            first,
            shape,
            hint,
        }) = reads
        else {
            self.told(Reason::Writes);
            return Some(self.pool.clone());
        };
        let begun = begun || deferred;
        let refuses = |shape| cluster.refusals.knows(shape);
        let wrote = begun && (refuses(first) || refuses(begin::wrote_later(first)));
        if refuses(shape) || wrote || went_wrong == Some(Reason::Refused) {
            // It may write, whatever its text says.
            self.told(Reason::Refused);
            return Some(self.pool.clone());
        }
        (self.visit.left, self.visit.shape) = (messages, shape);
        if let Some(reason) = went_wrong {
            self.told(reason);
            return Some(self.pool.clone());
        }
        let written = match policy.read_your_writes {
            ReadYourWrites::Off => None,
            ReadYourWrites::Session => self.wrote,
            ReadYourWrites::Database => self.wrote.max(cluster.written()),
        };
        let view = cluster.view();
        let load = |at: usize| self.load(view.primary == Some(at), at);
        let chance = self.chance(cluster, policy);
        let asked = explain::asked(&hint, &cluster.hosts);
        let wanted = Wanted {
            written,
            position: self.min_lsn(),
            asked,
            without: before.failed,
        };
        match choice::read(&view, policy, &wanted, Instant::now(), load, chance) {
            Route::Primary(Reason::OwnWrites) if self.may_wait(before.waits, policy) => {
                self.wait_for_replica(cluster, before.waits, cx);
                return None;
            }
            Route::Wait(_) => {
                self.wait_for_replica(cluster, before.waits, cx);
                return None;
            }
            Route::Primary(reason) => {
                if reason == Reason::OwnWrites {
                    cluster.look_soon();
                }
                self.told(reason);
            }
            Route::Replica(at) => {
                if let Some(pool) = self.pool.replica(at) {
                    (self.visit.replica, self.visit.at) = (true, at as u8);
                    self.visit.transaction = transaction || begun;
                    (self.visit.begun, self.visit.first) = (begun, first);
                    self.told(Reason::Replica);
                    return Some(pool);
                }
            }
        }
        Some(self.pool.clone())
    }

    /// How much a server has to do.
    pub(super) fn load(&self, is_primary: bool, at: usize) -> u32 {
        let pool = match is_primary {
            true => Some(self.pool.clone()),
            false => self.pool.replica(at),
        };
        pool.map_or(u32::MAX, |pool| pool.load())
    }

    /// A number by chance for the choice, or whose turn it is.
    pub(super) fn chance(&self, cluster: &Cluster, policy: &ClusterPolicy) -> u64 {
        match policy.balance {
            Balance::RoundRobin => cluster.turn(),
            _ => self.context.dice(),
        }
    }

    /// Whether it waits for what its client wrote to arrive at a replica.
    fn may_wait(&self, waits: Option<u32>, policy: &ClusterPolicy) -> bool {
        let begun = waits.map(|_| self.me.since.get());
        !policy.wait.is_zero()
            && begun.is_none_or(|begun| self.now().saturating_duration_since(begun) < policy.wait)
    }

    /// Its request is looked at again when something is heard of the cluster.
    pub(super) fn wait_for_replica(
        &mut self,
        cluster: &Cluster,
        waits: Option<u32>,
        cx: &TaskContext<'_>,
    ) {
        if waits.is_none() {
            self.me.notified.set(false);
            self.me.enter(ClientState::Waiting, self.now());
            cluster.look_now();
        }
        self.visit = Visit {
            waits: Some(cluster.wake_at_news(waits, cx.waker())),
            ..Visit::default()
        };
    }

    /// Whether it waits for a server, or for a replica that may have its request.
    pub(super) fn is_waiting(&self) -> bool {
        self.seat.is_some() || self.visit.waits.is_some()
    }

    /// It does not wait any more. `true` if it did.
    pub(super) fn give_up_waiting(&mut self) -> bool {
        let seat = self.seat.take();
        let waited = seat.is_some() || self.visit.waits.take().is_some();
        if let Some(seat) = seat {
            // The server may have been granted this very moment: then it goes to the next.
            seat.give_up();
        }
        waited
    }

    pub(super) fn told(&mut self, reason: Reason) {
        self.visit.reason = Some(reason);
        tracing::debug!(client = self.me.id, reason = reason.as_str(), "route");
    }

    /// No server of the replica can be had. `true` if it was one: another one is to be chosen for the
    /// request.
    pub(super) fn leave_replica(&mut self) -> bool {
        let replica = self.visit.replica || self.visit.standby;
        if replica {
            (self.visit.replica, self.visit.standby) = (false, false);
            self.visit.failed = self.visit.failed.with(usize::from(self.visit.at));
        }
        replica
    }

    /// A message is about to be handled by the client's present server. `false` if it has to wait:
    /// the server is a replica, and nobody knows what this would do there.
    #[inline]
    pub(super) fn may_visit(&mut self, tag: u8) -> bool {
        if self.visit.opening != Opening::No && !self.may_open(tag) {
            self.visit.held = true;
            return false;
        }
        if self.visit.transaction {
            return self.may_go_on(tag);
        }
        match self.visit.left.checked_sub(1) {
            Some(left) => {
                self.visit.left = left;
                true
            }
            None if self.visit.replica && !self.is_quiet() => {
                self.visit.held = true;
                false
            }
            None => {
                self.visit.writes = true;
                true
            }
        }
    }

    /// The same within a transaction on a replica: everything may go there up to the batch that may
    /// end it. What is behind that waits for the answer, since it may be another server's.
    fn may_go_on(&mut self, tag: u8) -> bool {
        let over = self.visit.ends && self.visit.complete;
        if over && !self.is_quiet() {
            self.visit.held = true;
            return false;
        }
        self.visit.complete = matches!(tag, frontend::QUERY | frontend::SYNC);
        true
    }

    /// Why a text must not be sent within a transaction on a replica, if so: it would leave something
    /// in the session, which may write and is the primary's for that, or it would lock where nobody
    /// looks.
    pub(super) fn visit_refuses(&self, text: &[u8]) -> Option<Refusal> {
        const LEAVES: Flags = Flags::LISTEN
            .union(Flags::TEMP)
            .union(Flags::HOLD_CURSOR)
            .union(Flags::SQL_PREPARE)
            .union(Flags::LOAD)
            .union(Flags::ADVISORY_LOCK);
        let flags = self.analyse(text).flags;
        let locks =
            flags.contains(Flags::CALLS_FUNCTION) && memmem::find(text, b"advisory").is_some();
        if !locks && !flags.intersects(LEAVES) {
            return None;
        }
        if self.visit.begun {
            self.wrote_later();
            return Some(Refusal {
                state: SqlState::FEATURE_NOT_SUPPORTED,
                text: "cannot do this in a transaction that began with a read, on a replica"
                    .to_owned(),
                hint: "The next one that begins with this read goes to the primary. Begin with BEGIN READ WRITE, \
                       or set defer_begin = false."
                    .to_owned(),
            });
        }
        Some(Refusal {
            state: SqlState::FEATURE_NOT_SUPPORTED,
            text: "cannot do this in a READ ONLY transaction on a replica".to_owned(),
            hint: "Locks of a replica exclude nobody on the primary, and what is left in a session has to be \
                   there for its writes too. Begin with /* pgweir: route=primary */, or set \
                   read_only_transactions = primary."
                .to_owned(),
        })
    }

    /// A text is about to be sent.
    #[inline]
    pub(super) fn visit_noted(&mut self, flags: Flags) {
        self.visit.ends |= self.visit.transaction && flags.intersects(ENDS);
    }

    /// Its server has answered everything, and it keeps it.
    #[inline]
    pub(super) fn visit_goes_on(&mut self) {
        self.visit.held = false;
    }

    /// Whether its server has answered everything.
    fn is_quiet(&self) -> bool {
        (self.lease.as_ref()).is_none_or(|lease| {
            lease.ledger.is_empty() && lease.partial.is_empty() && lease.body_left == 0
        })
    }

    /// The client gives its server back.
    #[inline]
    pub(super) fn visit_over(&mut self) {
        let visit = std::mem::take(&mut self.visit);
        self.visit.home = visit.retry.then_some(Reason::Refused);
        if !visit.writes || visit.replica {
            return;
        }
        if let Some(cluster) = self.pool.cluster() {
            // Not the poll's time: the server may have committed after that was read.
            let now = Instant::now();
            self.wrote = Some(now);
            cluster.wrote(now);
        }
    }
}
