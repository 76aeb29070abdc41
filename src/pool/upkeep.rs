//! Checks, resets, ageing and everything an operator can do to a pool.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::names;
use super::process::Level;
use super::{Pool, PoolSettings};
use crate::config::{Config, Database, PoolMode};
use crate::server::conn::{Server, ServerState};
use crate::server::connect;
use crate::server::params::ParamSet;
use crate::shutdown::Phase;

impl Pool {
    /// Whether an idle server can still be used, found out without waiting.
    pub(super) fn fit_for_use(&self, server: &mut Server, now: Instant) -> bool {
        server.idle_and_well()
            && !server.shared.close_needed.get()
            && (self.is_single_use() || !self.too_old(server, now))
    }

    /// `server_lifetime = 0`: a connection is closed after its first use.
    fn is_single_use(&self) -> bool {
        self.settings.borrow().lifetime.is_zero()
    }

    /// Whether a server that comes back is kept.
    pub(super) fn may_stay(&self, server: &Server, now: Instant) -> bool {
        !server.shared.close_needed.get()
            && !self.too_old(server, now)
            && !self.paused.get()
            && self.process.phase.get() < Phase::WaitForServers
    }

    /// Why a server is of no use, in PgBouncer's words.
    pub(super) fn reason(&self, server: &Server, now: Instant) -> &'static str {
        if server.shared.close_needed.get() {
            "database configuration changed"
        } else if server.broken || server.said_why {
            "server conn crashed?"
        } else if !server.is_clean() {
            "client disconnect while server was not ready"
        } else if self.too_old(server, now) {
            "server lifetime over"
        } else if self.paused.get() {
            "pause mode"
        } else if self.process.phase.get() >= Phase::WaitForServers {
            "pooler is shutting down"
        } else {
            "idle server got dirty"
        }
    }

    fn too_old(&self, server: &Server, now: Instant) -> bool {
        now >= server.shared.expires.get()
    }

    /// When a connection has reached its age. Lifetimes differ by up to a tenth, so that
    /// connections opened together do not end together.
    pub(super) fn end_of_life(&self, id: u64, opened: Instant) -> Instant {
        let lifetime = self.settings.borrow().lifetime;
        let jitter = (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as u32;
        opened + (lifetime - lifetime / 10 * jitter / 1024)
    }

    pub(super) fn needs_check(&self, server: &Server, now: Instant) -> bool {
        let config = self.config.borrow();
        config.settings.server_check_query.is_some()
            && now.saturating_duration_since(server.used) >= config.settings.server_check_delay
    }

    /// Runs the check query on a server that was put aside.
    pub(super) fn check(self: Rc<Self>, server: Box<Server>) {
        let query = self.config.borrow().settings.server_check_query.clone();
        self.run_aside(server, query.unwrap_or_default(), "server_check_query");
    }

    pub(super) fn needs_reset(&self) -> bool {
        let settings = &self.config.borrow().settings;
        !settings.server_reset_query.is_empty()
            && (self.settings.borrow().mode == PoolMode::Session
                || settings.server_reset_query_always)
    }

    /// Runs the reset query on a server that was put aside.
    pub(super) fn reset(self: Rc<Self>, mut server: Box<Server>) {
        let query = match std::mem::take(&mut server.soiled) {
            true if !self.needs_reset() => "DISCARD ALL".to_owned(),
            _ => self.config.borrow().settings.server_reset_query.clone(),
        };
        // What the query resets is the operator's choice; only DISCARD ALL is known to leave
        // nothing, so after any other the parameters we set are taken back as well.
        let mut query = query;
        if query
            .trim()
            .trim_end_matches(';')
            .eq_ignore_ascii_case("discard all")
        {
            server.applied = Rc::default();
            server.prepared.deallocated_all();
        } else if let Some(sql) = server.applied.sql_to(&ParamSet::default()) {
            query = format!("{};{sql}", query.trim_end_matches(';'));
            server.applied = Rc::default();
        }
        self.run_aside(server, query, "server_reset_query");
    }

    fn run_aside(self: Rc<Self>, mut server: Box<Server>, query: String, what: &'static str) {
        server.shared.state.set(ServerState::Tested);
        let limit = self.config.borrow().settings.server_connect_timeout;
        tokio::task::spawn_local(async move {
            let aside = Aside::new(&self);
            let done = crate::timer::timeout(limit, server.run(&query)).await;
            match done {
                Ok(Ok(())) if server.is_clean() => {
                    aside.over();
                    self.come_back(server);
                }
                Ok(Err(error)) => {
                    tracing::warn!(pool = %self.key, %error, "{what} failed, closing the server");
                }
                Ok(Ok(())) => {
                    tracing::warn!(pool = %self.key, "{what} left the server in a transaction");
                }
                Err(_) => tracing::warn!(pool = %self.key, "{what} took too long"),
            }
        });
    }

    fn come_back(self: &Rc<Self>, server: Box<Server>) {
        let now = self.clock.tick();
        if !self.may_stay(&server, now) {
            self.state.borrow_mut().aside_lost();
            let why = self.reason(&server, now);
            self.close(server, why);
            self.pump();
            return;
        }
        let mut server = server;
        server.used = now;
        server.shared.state.set(ServerState::Idle);
        let served = self.state.borrow_mut().back(server, self.paused.get(), now);
        self.give(served, now);
    }

    /// Keeps a server from everybody until cancel requests for it have been delivered, so that
    /// they cannot hit the next client's query.
    pub(super) fn wait_for_cancels(self: Rc<Self>, server: Box<Server>) {
        tokio::task::spawn_local(async move {
            let aside = Aside::new(&self);
            let shared = server.shared.clone();
            std::future::poll_fn(|cx| {
                if shared.cancels.get() == 0 {
                    return Poll::Ready(());
                }
                *shared.cancel_waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            let mut server = server;
            if server.idle_and_well() {
                aside.over();
                if server.soiled || self.needs_reset() {
                    self.reset(server);
                } else {
                    self.come_back(server);
                }
            }
        });
    }

    /// Cancels what runs on a server that nobody wants any more, then closes it. Its places stay
    /// taken until then, since the backend exists until then.
    pub(super) fn cancel_and_close(&self, server: Box<Server>) {
        let limit = self.config.borrow().settings.cancel_wait_timeout;
        tokio::task::spawn_local(async move {
            let shared = server.shared.clone();
            if let Err(error) = connect::send_cancel(&shared, limit).await {
                tracing::debug!(%error, server = shared.id, "cancel of an abandoned query failed");
            }
            server.terminate();
        });
    }

    /// Periodic upkeep: closes what is dead, too old or idle for too long, opens what is missing.
    pub(super) fn tick(self: &Rc<Self>, now: Instant) {
        let (idle_timeout, minimum) = {
            let config = self.config.borrow();
            (
                config.settings.server_idle_timeout,
                self.settings.borrow().limits.min,
            )
        };
        let total = self.state.borrow().total();
        let mut surplus = total.saturating_sub(minimum);
        let mut one_of_age = true;
        let closing = self.state.borrow_mut().take_idle(|idle| {
            let server = &mut idle.server;
            if !server.idle_and_well() || server.shared.close_needed.get() {
                return true;
            }
            if !self.is_single_use() && self.too_old(server, now) {
                // One at a time: a pool is never emptied at once.
                return std::mem::take(&mut one_of_age);
            }
            let too_long = idle_timeout > Duration::ZERO
                && now.saturating_duration_since(idle.since) >= idle_timeout;
            if too_long && surplus > 0 {
                surplus -= 1;
                return true;
            }
            false
        });
        let closed = !closing.is_empty();
        for server in closing {
            let why = match self.reason(&server, now) {
                // It is well: only its time is over.
                "idle server got dirty" if server.is_clean() => "server idle timeout",
                why => why,
            };
            self.close(server, why);
        }
        if closed && let Some(siblings) = self.siblings.upgrade() {
            siblings.places_freed(&self.key);
        }
        self.pump();
    }

    /// Closes the server that has been idle longest, for another pool under the same limit.
    pub(super) fn evict_one(&self) -> bool {
        let mut first = true;
        let taken = self
            .state
            .borrow_mut()
            .take_idle(|_| std::mem::take(&mut first));
        let any = !taken.is_empty();
        for server in taken {
            self.close(server, "evicted");
        }
        any
    }

    /// Since when its longest idle server is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.state
            .borrow()
            .idle_servers()
            .next()
            .map(|idle| idle.since)
    }

    /// Whether it counts under `name` at `level`.
    pub(super) fn is_under(&self, level: Level, name: &str) -> bool {
        match level {
            Level::DatabaseServers | Level::DatabaseClients => &*self.key.database == name,
            Level::UserServers | Level::UserClients => &*self.key.user == name,
        }
    }

    /// PAUSE: no more servers are given out, idle ones are closed.
    pub fn pause(self: &Rc<Self>) {
        self.paused.set(true);
        self.close_idle();
    }

    /// Whether a PAUSE is complete: nobody has a server.
    pub fn is_quiet(&self) -> bool {
        self.state.borrow().total() == 0
    }

    /// RESUME.
    pub fn resume(self: &Rc<Self>) {
        self.paused.set(false);
        *self.failure.borrow_mut() = None;
        let now = self.clock.tick();
        let served = self.state.borrow_mut().resume();
        for one in served {
            self.give(Some(one), now);
        }
        self.pump();
    }

    /// RECONNECT: every server is closed as soon as it comes back.
    pub fn reconnect(self: &Rc<Self>) {
        for server in self.servers.borrow().values() {
            server.close_needed.set(true);
        }
        self.epoch.set(self.epoch.get() + 1);
        *self.failure.borrow_mut() = None;
        self.close_idle();
        self.pump();
    }

    /// Another server of its cluster is the primary: connections to others end as soon as they come
    /// back. Gives the clients that have one from the pool of the primary: what they write now would be
    /// lost.
    pub fn primary_changed(self: &Rc<Self>) -> Vec<u64> {
        let mut stranded = Vec::new();
        let primary = (self.cluster()).and_then(|cluster| cluster.primary());
        for server in self.servers.borrow().values() {
            let is_primary = primary.as_ref() == Some(&server.host);
            // The pool of the primary wants nobody else, the pool of a replica not the primary.
            if is_primary != self.key.replica.is_none() {
                server.close_needed.set(true);
                if self.key.replica.is_none() && server.client.get() != 0 {
                    stranded.push(server.client.get());
                }
            }
        }
        *self.failure.borrow_mut() = None;
        self.close_unwanted("another server is the primary");
        self.pump();
        stranded
    }

    fn close_idle(&self) {
        let closing = self.state.borrow_mut().take_idle(|_| true);
        let now = self.clock.now();
        for server in closing {
            let why = self.reason(&server, now);
            self.close(server, why);
        }
    }

    /// How many of its servers still have to be closed since RECONNECT.
    pub fn close_needed(&self) -> usize {
        self.servers
            .borrow()
            .values()
            .filter(|server| server.close_needed.get())
            .count()
    }

    /// Takes a new configuration over; with `recycle` its servers are closed when they come back.
    pub fn reload(self: &Rc<Self>, config: Arc<Config>, database: Arc<Database>, recycle: bool) {
        let settings = PoolSettings::resolve(&config, &database, &self.key);
        self.replicas.borrow_mut().clear();
        *self.cluster.borrow_mut() = self.process.cluster(&self.key.database, &database);
        *self.settings.borrow_mut() = Rc::new(settings);
        self.set_ends_of_life();
        if database.is_cluster() {
            // Servers that are none of the cluster's any more.
            let servers = self.servers.borrow();
            let strangers =
                (servers.values()).filter(|server| !database.hosts.contains(&server.host));
            strangers.for_each(|server| server.close_needed.set(true));
        }
        self.mirrors.set(database.mirror.is_some());
        *self.mirror.borrow_mut() = None;
        *self.database.borrow_mut() = database;
        self.limits.set(super::MessageLimits::of(&config));
        *self.config.borrow_mut() = config;
        if recycle {
            self.accepted.borrow_mut().clear();
            self.reconnect();
        } else {
            self.close_unwanted("not a server of the cluster any more");
            self.pump();
        }
    }

    /// The host names that its connections were made with.
    pub(super) fn names(&self) -> Vec<String> {
        let servers = self.servers.borrow();
        let names = servers
            .values()
            .filter_map(|server| names::name(&server.host));
        names.map(str::to_owned).collect()
    }

    /// Closes connections to addresses that a name does not have any more, when they are free.
    pub(super) fn leave_addresses(&self, name: &str, found: &[std::net::IpAddr]) {
        for server in self.servers.borrow().values() {
            if names::is_left_behind(&server.host, &server.addr, name, found) {
                server.close_needed.set(true);
            }
        }
        self.close_unwanted("its host name has another address");
    }

    /// Closes what is idle and must go.
    fn close_unwanted(&self, why: &str) {
        let closing =
            (self.state.borrow_mut()).take_idle(|idle| idle.server.shared.close_needed.get());
        for server in closing {
            self.close(server, why);
        }
    }

    fn set_ends_of_life(&self) {
        let set = |server: &crate::server::conn::ServerShared| {
            server
                .expires
                .set(self.end_of_life(server.id, server.opened));
        };
        self.servers
            .borrow()
            .values()
            .for_each(|server| set(server));
    }

    /// Whether nobody uses it and nobody has for `idle`.
    pub(super) fn is_unused(&self, now: Instant, idle: Duration) -> bool {
        self.clients() == 0
            && self.count() == 0
            && now.saturating_duration_since(self.last_client.get()) >= idle
    }
}

/// A server is put aside. Tells the state that it is gone, unless [`Aside::over`] says otherwise.
struct Aside<'a> {
    pool: &'a Rc<Pool>,
    lost: bool,
}

impl<'a> Aside<'a> {
    fn new(pool: &'a Rc<Pool>) -> Self {
        Self { pool, lost: true }
    }

    /// It is fine; what becomes of it is decided elsewhere.
    fn over(mut self) {
        self.lost = false;
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        if self.lost {
            self.pool.state.borrow_mut().aside_lost();
            self.pool.stats.update(|totals| totals.closed += 1);
            self.pool.pump();
        }
    }
}

/// Marks a cancel request on its way to a server; the drop marks its end and wakes who waits.
pub struct CancelUnderWay(Rc<crate::server::conn::ServerShared>);

impl CancelUnderWay {
    /// The request is about to be sent.
    pub fn begin(server: &Rc<crate::server::conn::ServerShared>) -> Self {
        server.cancels.set(server.cancels.get() + 1);
        Self(server.clone())
    }
}

impl Drop for CancelUnderWay {
    fn drop(&mut self) {
        self.0.cancels.set(self.0.cancels.get().saturating_sub(1));
        if self.0.cancels.get() == 0
            && let Some(waker) = self.0.cancel_waker.borrow_mut().take()
        {
            waker.wake();
        }
    }
}
