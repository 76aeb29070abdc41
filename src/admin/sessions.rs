//! Who is on the console: what SHOW CLIENTS lists of them, and how to reach them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::pool::stats::Totals;

/// One session of the console.
#[derive(Debug)]
pub struct Seen {
    /// Number, from the process's counter: the process id of its cancel key is up to the caller.
    pub id: u64,
    /// Login name.
    pub user: String,
    /// Database as it asked for it.
    pub database: String,
    /// Address; `unix` for a unix socket.
    pub addr: String,
    /// Port.
    pub port: u16,
    /// Encryption; empty for none.
    pub tls: String,
    /// Its `application_name`.
    pub application_name: String,
    /// When it connected.
    pub connected: SystemTime,
    requested: Mutex<SystemTime>,
    kill: AtomicBool,
    cancel: AtomicBool,
    called: Notify,
}

/// What somebody else wants of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// End it.
    Kill,
    /// Give up what it is waiting for.
    Cancel,
}

impl Seen {
    /// When it last asked for something.
    pub fn requested(&self) -> SystemTime {
        *self.requested.lock()
    }

    pub(super) fn asked(&self) {
        *self.requested.lock() = SystemTime::now();
    }

    /// Forgets a cancel request that came when nothing was running.
    pub(super) fn begin(&self) {
        self.cancel.store(false, Ordering::Release);
    }

    /// Waits until somebody calls. Cancel safe: a call is kept until it is taken here.
    pub(super) async fn called(&self) -> Call {
        loop {
            if self.kill.load(Ordering::Acquire) {
                return Call::Kill;
            }
            if self.cancel.swap(false, Ordering::AcqRel) {
                return Call::Cancel;
            }
            self.called.notified().await;
        }
    }
}

/// The sessions of the console, and their totals.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<BTreeMap<u64, Arc<Seen>>>,
    logins: AtomicU64,
    queries: AtomicU64,
    query_us: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

/// Who a session belongs to, when it begins.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Number, unique among clients.
    pub id: u64,
    /// Login name.
    pub user: String,
    /// Database as it asked for it.
    pub database: String,
    /// Address; `unix` for a unix socket.
    pub addr: String,
    /// Port.
    pub port: u16,
    /// Encryption; empty for none.
    pub tls: String,
    /// Its `application_name`.
    pub application_name: String,
}

impl Sessions {
    /// Enters a session until the guard is dropped.
    pub fn enter(self: &Arc<Self>, who: Identity) -> Entered {
        let now = SystemTime::now();
        let seen = Arc::new(Seen {
            id: who.id,
            user: who.user,
            database: who.database,
            addr: who.addr,
            port: who.port,
            tls: who.tls,
            application_name: who.application_name,
            connected: now,
            requested: Mutex::new(now),
            kill: AtomicBool::new(false),
            cancel: AtomicBool::new(false),
            called: Notify::new(),
        });
        self.logins.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(seen.id, seen.clone());
        Entered {
            sessions: self.clone(),
            seen,
        }
    }

    /// All sessions, by number.
    pub fn all(&self) -> Vec<Arc<Seen>> {
        self.open.lock().values().cloned().collect()
    }

    /// Ends a session, or has it give up what it waits for. `false` if there is none.
    pub fn call(&self, id: u64, call: Call) -> bool {
        let Some(seen) = self.open.lock().get(&id).cloned() else {
            return false;
        };
        match call {
            Call::Kill => seen.kill.store(true, Ordering::Release),
            Call::Cancel => seen.cancel.store(true, Ordering::Release),
        }
        seen.called.notify_one();
        true
    }

    /// What they did since the process started, in the terms of a pool.
    pub fn totals(&self) -> Totals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            xacts: get(&self.queries),
            queries: get(&self.queries),
            received: get(&self.received),
            sent: get(&self.sent),
            xact_us: get(&self.query_us),
            query_us: get(&self.query_us),
            logins: get(&self.logins),
            ..Totals::default()
        }
    }

    pub(super) fn ran(&self, micros: u64) {
        self.queries.fetch_add(1, Ordering::Relaxed);
        self.query_us.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn moved(&self, received: usize, sent: usize) {
        self.received.fetch_add(received as u64, Ordering::Relaxed);
        self.sent.fetch_add(sent as u64, Ordering::Relaxed);
    }
}

/// Keeps a session in [`Sessions`] until dropped.
#[derive(Debug)]
pub struct Entered {
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// This one.
    pub seen: Arc<Seen>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.sessions.open.lock().remove(&self.seen.id);
    }
}
