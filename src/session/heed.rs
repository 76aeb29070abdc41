//! What others tell a session: limits that have passed, commands of the console, the end of the process.

use std::task::Context as TaskContext;

use super::{Session, Stage, Stop, failover};
use crate::config::PoolMode;
use crate::error::{Fault, SqlState};
use crate::session::clients::{ClientState, Signal};
use crate::wire::{TxStatus, write};

impl Session {
    /// Acts on what others told this session.
    pub(super) fn heed_signals(&mut self, cx: &mut TaskContext<'_>) -> Result<(), Stop> {
        let fatal = |state, text: &str| Err(Stop::fatal(state, text, Fault::Pooler));
        let me = self.me.clone();
        if self.stage == Stage::Closing {
            // Its last words are on their way; nothing but KILL cuts them short.
            return match me.take(Signal::KILL) {
                true => Err(Stop::ClientGone),
                false => Ok(()),
            };
        }
        if me.take(Signal::KILL) {
            return fatal(SqlState::ADMIN_SHUTDOWN, "admin forced disconnect");
        }
        if me.take(Signal::SHUTDOWN) {
            return fatal(SqlState::ADMIN_SHUTDOWN, "server shutting down");
        }
        if me.take(Signal::LOGIN_TIMEOUT) && self.stage == Stage::Login {
            return fatal(
                SqlState::CANNOT_CONNECT,
                "client_login_timeout (server down)",
            );
        }
        if me.take(Signal::QUERY_TIMEOUT) && me.query_since.get().is_some() {
            return fatal(SqlState::QUERY_CANCELED, "query timeout");
        }
        let waits = me.query_since.get().is_none() && me.xact_since.get().is_some();
        if me.take(Signal::IDLE_TRANSACTION_TIMEOUT) && waits {
            return fatal(
                SqlState::IDLE_IN_TRANSACTION_TIMEOUT,
                "idle transaction timeout",
            );
        }
        if me.take(Signal::TRANSACTION_TIMEOUT) && (self.lease.is_some() || self.is_deferred()) {
            return fatal(SqlState::TRANSACTION_TIMEOUT, "transaction timeout");
        }
        if me.take(Signal::IDLE_TIMEOUT) && me.state.get() == ClientState::Idle {
            return fatal(SqlState::IDLE_SESSION_TIMEOUT, "client_idle_timeout");
        }
        if me.take(Signal::WAIT_TIMEOUT) && self.is_waiting() {
            self.pool.stats.update(|totals| totals.wait_timeouts += 1);
            let waited = self.now().saturating_duration_since(me.since.get());
            (self.pool.stats).time(|times| times.wait.note(waited.as_micros() as u64));
            return fatal(SqlState::TOO_MANY_CONNECTIONS, "query_wait_timeout");
        }
        if me.take(Signal::WAIT_NOTIFY) && self.is_waiting() && self.stage == Stage::Ready {
            write::notice(
                &mut self.output,
                SqlState(*b"00000"),
                "No server connection available in postgres backend, client being queued",
            );
        }
        // Settings of ours run in front of the query: see `parameters_replayed`.
        let replaying =
            self.stage == Stage::Ready && self.lease.is_some() && me.server.borrow().is_none();
        if !replaying
            && me.take(Signal::CANCEL)
            && self.stage == Stage::Ready
            && self.give_up_waiting()
        {
            me.enter(ClientState::Idle, self.now());
            self.refuse_waiting();
            cx.waker().wake_by_ref();
        }
        if me.has(Signal::DRAIN) && self.lease.is_none() && !self.is_waiting() {
            return fatal(SqlState::ADMIN_SHUTDOWN, "server shutting down");
        }
        if me.take(Signal::SERVER_GOES) && self.may_lose_its_server() {
            return fatal(SqlState::ADMIN_SHUTDOWN, "database configuration changed");
        }
        if me.take(Signal::FENCED) && self.is_fenced() {
            return Err(failover::fenced());
        }
        if me.take(Signal::POLICY) {
            self.renew_policy();
        }
        let me = &self.me;
        // The mode stays as it is as long as the client has a server, or a transaction without one.
        if self.lease.is_none() && !self.is_deferred() && me.take(Signal::RELOADED) {
            self.mode = self.pool.settings().mode;
        }
        Ok(())
    }

    /// In session mode, with a server that has to go and no transaction or request under way. Looked
    /// at again, since the signal was given a while ago.
    fn may_lose_its_server(&self) -> bool {
        self.mode == PoolMode::Session
            && self.stage == Stage::Ready
            && self.body_left == 0
            && self.me.query_since.get().is_none()
            && self.lease.as_ref().is_some_and(|lease| {
                lease.shared.close_needed.get()
                    && lease.status == TxStatus::Idle
                    && lease.ledger.is_empty()
            })
    }
}
