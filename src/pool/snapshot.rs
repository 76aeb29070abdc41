//! What SHOW and metrics read: plain copies that may leave the worker.

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

use super::Pool;
use super::key::PoolKey;
use super::stats::{Times, Totals};
use crate::config::PoolMode;
use crate::server::conn::{ServerShared, ServerState};

/// One pool.
#[derive(Clone, Debug)]
pub struct PoolRow {
    /// Identity.
    pub key: PoolKey,
    /// When servers come back.
    pub mode: PoolMode,
    /// Connections it may have.
    pub size: u32,
    /// Servers with a client.
    pub sv_active: u32,
    /// Servers without, and without a check to come.
    pub sv_idle: u32,
    /// Servers without, for so long that they are checked before use.
    pub sv_used: u32,
    /// Servers that wait for a cancel request to be delivered.
    pub sv_being_canceled: u32,
    /// Servers with a cancel request on its way.
    pub sv_active_cancel: u32,
    /// Servers being checked or reset.
    pub sv_tested: u32,
    /// Logins under way.
    pub sv_login: u32,
    /// Clients logged in.
    pub clients: u32,
    /// Clients waiting for a server.
    pub cl_waiting: u32,
    /// How long the first of them has waited, in microseconds.
    pub maxwait_us: u64,
    /// Whether PAUSE holds it.
    pub paused: bool,
    /// Counters.
    pub totals: Totals,
    /// How long things took.
    pub times: Times,
}

impl PoolRow {
    /// Adds another worker's part of the same pool.
    pub fn add(&mut self, part: &PoolRow) {
        self.sv_active += part.sv_active;
        self.sv_idle += part.sv_idle;
        self.sv_used += part.sv_used;
        self.sv_being_canceled += part.sv_being_canceled;
        self.sv_active_cancel += part.sv_active_cancel;
        self.sv_tested += part.sv_tested;
        self.sv_login += part.sv_login;
        self.clients += part.clients;
        self.cl_waiting += part.cl_waiting;
        self.maxwait_us = self.maxwait_us.max(part.maxwait_us);
        self.paused |= part.paused;
        self.totals.add(&part.totals);
        self.times.add(&part.times);
    }
}

/// One server connection.
#[derive(Clone, Debug)]
pub struct ServerRow {
    /// Pool it belongs to.
    pub key: PoolKey,
    /// Number.
    pub id: u64,
    /// What it does.
    pub state: ServerState,
    /// Address of the server.
    pub addr: String,
    /// Its port.
    pub port: u16,
    /// When it was opened.
    pub connected: SystemTime,
    /// When it was last given to a client.
    pub requested: SystemTime,
    /// To be closed when it comes back.
    pub close_needed: bool,
    /// The client that has it; 0 for none.
    pub client: u64,
    /// Process id of the backend.
    pub pid: u32,
    /// Encryption; empty for none.
    pub tls: String,
    /// Prepared statements it knows.
    pub prepared: u32,
}

impl Pool {
    /// The pool as it is now.
    pub fn row(&self, now: Instant) -> PoolRow {
        let state = self.state.borrow();
        let settings = self.settings.borrow();
        let servers = self.servers.borrow();
        let count = |which: &dyn Fn(&ServerShared) -> bool| {
            servers.values().filter(|server| which(server)).count() as u32
        };
        let used = state
            .idle_servers()
            .filter(|idle| self.needs_check(&idle.server, now))
            .count() as u32;
        let being_canceled = count(&|server| server.state.get() == ServerState::BeingCanceled);
        PoolRow {
            key: self.key.clone(),
            mode: settings.mode,
            size: settings.limits.size,
            sv_active: state.active(),
            sv_idle: state.idle() - used,
            sv_used: used,
            sv_being_canceled: being_canceled,
            sv_active_cancel: count(&|server| {
                server.state.get() == ServerState::Active && server.cancels.get() > 0
            }),
            sv_tested: state.aside() - being_canceled.min(state.aside()),
            sv_login: state.opening(),
            clients: self.clients(),
            cl_waiting: state.waiting(),
            maxwait_us: state.head_since().map_or(0, |since| {
                u64::try_from(now.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX)
            }),
            paused: self.paused.get(),
            totals: self.stats.get(),
            times: self.stats.times(),
        }
    }

    /// Calls `f` for each of its servers, except those that are being opened.
    pub fn each_server(&self, f: impl FnMut(&ServerShared)) {
        let servers = self.servers.borrow();
        servers.values().map(|server| &**server).for_each(f);
    }

    /// Its servers as they are now, except those that are being opened.
    pub fn server_rows(&self, now: Instant) -> Vec<ServerRow> {
        let used: BTreeSet<u64> = (self.state.borrow().idle_servers())
            .filter(|idle| self.needs_check(&idle.server, now))
            .map(|idle| idle.server.shared.id)
            .collect();
        let row = |server: &ServerShared| {
            let state = match used.contains(&server.id) {
                true => ServerState::Used,
                false => server.state.get(),
            };
            self.server_row(server, state)
        };
        self.servers
            .borrow()
            .values()
            .map(|server| row(server))
            .collect()
    }

    /// The server that a client has had the longest, if any has one.
    pub fn longest_lent(&self) -> Option<ServerRow> {
        let servers = self.servers.borrow();
        let lent = servers.values().filter(|server| server.client.get() != 0);
        let first = lent.min_by_key(|server| server.requested.get())?;
        Some(self.server_row(first, first.state.get()))
    }

    fn server_row(&self, server: &ServerShared, state: ServerState) -> ServerRow {
        let (addr, port) = server.address();
        ServerRow {
            key: self.key.clone(),
            id: server.id,
            state,
            addr,
            port,
            connected: server.connected,
            requested: SystemTime::now()
                .checked_sub(server.requested.get().elapsed())
                .unwrap_or(server.connected),
            close_needed: server.close_needed.get(),
            client: server.client.get(),
            pid: server.pid,
            tls: server.tls.clone(),
            prepared: server.prepared.get(),
        }
    }
}
