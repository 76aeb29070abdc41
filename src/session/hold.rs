//! How a session gets a server and lets it go.

use std::rc::Rc;
use std::task::Context as TaskContext;
use std::time::Instant;

use super::begin::Opening;
use super::{Asked, Session, Stage, Stop};
use crate::config::PoolMode;
use crate::error::ClientFacing;
use crate::pool::lease::Lease;
use crate::pool::{CheckoutNow, Pool};
use crate::session::clients::ClientState;
use crate::sql::Flags;

impl Session {
    /// Asks a pool for a server.
    pub(super) fn checkout(
        &mut self,
        pool: &Rc<Pool>,
        cx: &mut TaskContext<'_>,
    ) -> Result<Asked, Stop> {
        let now = self.now();
        match pool.checkout(now, cx.waker()) {
            Ok(CheckoutNow::Ready(lease)) => {
                self.attach(lease, now)?;
                Ok(Asked::Attached)
            }
            Ok(CheckoutNow::Queued(seat)) => {
                self.seat = Some(seat);
                self.me.notified.set(false);
                self.me.enter(ClientState::Waiting, now);
                Ok(Asked::Waits)
            }
            Err(_) if self.leave_replica() => Ok(Asked::Elsewhere),
            Err(error) => Err(Stop::Fatal {
                state: error.sqlstate(),
                text: error.client_message().into_owned(),
                fault: error.fault(),
            }),
        }
    }

    /// Takes the server that a waiting client was given, if it was. `true` if so.
    pub(super) fn look_at_seat(&mut self, _cx: &mut TaskContext<'_>) -> Result<bool, Stop> {
        let Some(grant) = self.seat.as_ref().and_then(|seat| seat.take()) else {
            return Ok(false);
        };
        self.seat = None;
        let now = self.now();
        let waited = now.saturating_duration_since(self.me.since.get());
        let micros = waited.as_micros() as u64;
        self.pool.stats.update(|totals| totals.wait_us += micros);
        self.pool.stats.time(|times| times.wait.note(micros));
        self.watch_waited(waited);
        match grant {
            Ok(lease) => {
                self.attach(lease, now)?;
                Ok(true)
            }
            Err(_) if self.leave_replica() => {
                // Its request is looked at again, and goes to another server.
                self.me.enter(ClientState::Idle, now);
                Ok(true)
            }
            Err(error) => Err(Stop::Fatal {
                state: error.sqlstate(),
                text: error.client_message().into_owned(),
                fault: error.fault(),
            }),
        }
    }

    /// The server is this client's now. What it lacks of the client's parameters is put in front of
    /// the first request, in the same write.
    ///
    /// # Errors
    /// A rule refuses the login that was waiting for it.
    pub(super) fn attach(&mut self, lease: Lease, now: Instant) -> Result<(), Stop> {
        lease.shared.client.set(self.me.id);
        self.me.server.replace(Some(lease.shared.clone()));
        self.me.enter(ClientState::Active, now);
        let deferred = self.deferred_since();
        if deferred.is_some() {
            (self.visit.opening, self.visit.counts) = (Opening::Due, true);
        }
        self.me.xact_since.set(Some(deferred.unwrap_or(now)));
        self.lease = Some(lease);
        if self.stage == Stage::Login {
            return self.try_parameters();
        }
        Ok(())
    }

    /// Lets the server go.
    pub(super) fn detach(&mut self, now: Instant) {
        // What the server has now is what the client had.
        drop(self.take_leave(now));
    }

    /// The server, which is not this client's any more.
    pub(super) fn take_leave(&mut self, now: Instant) -> Option<Lease> {
        let mut lease = self.lease.take()?;
        self.me.server.replace(None);
        self.me.enter(ClientState::Idle, now);
        lease.ledger.shrink();
        self.visit_over();
        self.stay_in_deferred();
        self.mark_hidden(&mut lease);
        Some(lease)
    }

    /// The client is about to lose its server.
    #[inline]
    pub(super) fn mark_hidden(&mut self, lease: &mut Lease) {
        if std::mem::take(&mut self.hides_settings) {
            let mut applied = (*lease.applied).clone();
            applied.hide_some();
            lease.applied = Rc::new(applied);
        }
    }

    /// The client ends while it has a server: what it may have left there is swept up before
    /// anybody else gets it.
    pub(super) fn leave_server(&mut self) -> Option<Lease> {
        let mut lease = self.lease.take()?;
        self.visit_over();
        self.me.server.replace(None);
        self.mark_hidden(&mut lease);
        // Half a message of the client is there, and nothing may be owed for it (COPY data behind
        // a failed COPY): what comes next would be taken for the rest of it.
        lease.broken |= self.body_left > 0 && self.body_forward && lease.ledger.is_empty();
        lease.soiled |= match self.tracks() {
            true => !self.pins.is_empty() || !self.flags.is_empty(),
            // The pool was one for sessions when it got its server and is not any more.
            false => self.pool.settings().mode != PoolMode::Session,
        };
        // No query takes a library out again.
        if self.pins.has_loaded() || self.flags.contains(Flags::LOAD) {
            lease.shared.close_needed.set(true);
        }
        Some(lease)
    }
}
