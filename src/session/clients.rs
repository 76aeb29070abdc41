//! Who is connected: what others may see of a client and how they can reach it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Instant, SystemTime};

use crate::config::cluster::Target;
use crate::net::PeerAddr;
use crate::server::conn::ServerShared;

/// What a client is doing, in PgBouncer's words for SHOW CLIENTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Has a server.
    Active,
    /// Has none and wants none.
    Idle,
    /// Waits for a server.
    Waiting,
}

impl ClientState {
    /// The word in SHOW CLIENTS.
    pub fn as_str(self) -> &'static str {
        match self {
            ClientState::Active => "active",
            ClientState::Idle => "idle",
            ClientState::Waiting => "waiting",
        }
    }
}

/// Something that a client's own task has to act on. Bits, so that several can be pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub u32);

impl Signal {
    /// Its query is to be cancelled.
    pub const CANCEL: Self = Self(1);
    /// KILL of an operator.
    pub const KILL: Self = Self(2);
    /// The process ends: leave now.
    pub const SHUTDOWN: Self = Self(4);
    /// Leave at the next moment without a transaction.
    pub const DRAIN: Self = Self(8);
    /// `query_timeout` has passed.
    pub const QUERY_TIMEOUT: Self = Self(16);
    /// `query_wait_timeout` has passed.
    pub const WAIT_TIMEOUT: Self = Self(32);
    /// `idle_transaction_timeout` has passed.
    pub const IDLE_TRANSACTION_TIMEOUT: Self = Self(64);
    /// `transaction_timeout` has passed.
    pub const TRANSACTION_TIMEOUT: Self = Self(128);
    /// `client_idle_timeout` has passed.
    pub const IDLE_TIMEOUT: Self = Self(256);
    /// `query_wait_notify` has passed.
    pub const WAIT_NOTIFY: Self = Self(512);
    /// `client_login_timeout` has passed while it waits for the first server of its pool.
    pub const LOGIN_TIMEOUT: Self = Self(1024);
    /// The database is gone or belongs to other settings now.
    pub const RELOADED: Self = Self(2048);
    /// Something else is done about rules.
    pub const POLICY: Self = Self(4096);
    /// Its server is not the primary of its cluster any more.
    pub const FENCED: Self = Self(8192);
    /// Its server has to go, and `server_fast_close` is set.
    pub const SERVER_GOES: Self = Self(16384);
}

/// A client, as others see it. Its own task keeps it up to date.
pub struct ClientShared {
    /// Number, unique in the process.
    pub id: u64,
    /// Login name.
    pub user: Arc<str>,
    /// Database as it asked for it.
    pub database: Arc<str>,
    /// Where it comes from.
    pub addr: PeerAddr,
    /// The port it came through; 0 for a unix socket.
    pub local_port: u16,
    /// What clients of that port are for, if it says.
    pub target: Option<Target>,
    /// Encryption, as SHOW prints it; empty for none.
    pub tls: Box<str>,
    /// When it connected.
    pub connected: SystemTime,
    /// What it does.
    pub state: Cell<ClientState>,
    /// Since when it does that.
    pub since: Cell<Instant>,
    /// When its running query began.
    pub query_since: Cell<Option<Instant>>,
    /// When its open transaction began.
    pub xact_since: Cell<Option<Instant>>,
    /// Whether the notice about waiting was sent.
    pub notified: Cell<bool>,
    /// Whether it is not logged in completely yet.
    pub logging_in: Cell<bool>,
    /// When it last asked for something.
    pub requested: Cell<Instant>,
    /// The server it has.
    pub server: RefCell<Option<Rc<ServerShared>>>,
    /// What it replicates: none, physical or logical.
    pub replication: Cell<&'static str>,
    /// Why it keeps its server beyond the transaction: bits of `session::pin`.
    pub pins: Cell<u8>,
    /// Since when its last words are being written.
    pub closing: Cell<Option<Instant>>,
    /// Prepared statements it has.
    pub prepared: Cell<u32>,
    /// Its `application_name`.
    pub application_name: RefCell<Box<str>>,
    signals: Cell<u32>,
    waker: RefCell<Option<Waker>>,
}

/// What is fixed about a client when it is registered.
pub struct Identity {
    /// Number, unique in the process.
    pub id: u64,
    /// Login name.
    pub user: Arc<str>,
    /// Database as it asked for it.
    pub database: Arc<str>,
    /// Where it comes from.
    pub addr: PeerAddr,
    /// The port it came through; 0 for a unix socket.
    pub local_port: u16,
    /// What clients of that port are for, if it says.
    pub target: Option<Target>,
    /// Encryption; empty for none.
    pub tls: Box<str>,
    /// Its `application_name`.
    pub application_name: Box<str>,
}

impl ClientShared {
    /// A client that has just proved who it is.
    pub fn new(identity: Identity) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            id: identity.id,
            user: identity.user,
            database: identity.database,
            addr: identity.addr,
            local_port: identity.local_port,
            target: identity.target,
            tls: identity.tls,
            connected: SystemTime::now(),
            state: Cell::new(ClientState::Idle),
            since: Cell::new(now),
            query_since: Cell::new(None),
            xact_since: Cell::new(None),
            notified: Cell::new(false),
            logging_in: Cell::new(true),
            requested: Cell::new(now),
            server: RefCell::new(None),
            replication: Cell::new("none"),
            pins: Cell::new(0),
            closing: Cell::new(None),
            prepared: Cell::new(0),
            application_name: RefCell::new(identity.application_name),
            signals: Cell::new(0),
            waker: RefCell::new(None),
        })
    }

    /// Remembers whom to wake. Called at the start of each poll; the waker of a task stays the
    /// same, so this is a comparison.
    #[inline]
    pub fn listen(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        match &*known {
            Some(known) if known.will_wake(waker) => {}
            _ => *known = Some(waker.clone()),
        }
    }

    /// Tells the client's task something.
    pub fn signal(&self, signal: Signal) {
        self.signals.set(self.signals.get() | signal.0);
        self.wake();
    }

    /// Has the client's task look around.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Whether anything is pending.
    #[inline]
    pub fn signalled(&self) -> bool {
        self.signals.get() != 0
    }

    /// Takes a signal, if it is pending.
    pub fn take(&self, signal: Signal) -> bool {
        let pending = self.signals.get();
        self.signals.set(pending & !signal.0);
        pending & signal.0 != 0
    }

    /// Whether a signal is pending, which stays so.
    pub fn has(&self, signal: Signal) -> bool {
        self.signals.get() & signal.0 != 0
    }

    /// Enters a state, now.
    #[inline]
    pub fn enter(&self, state: ClientState, now: Instant) {
        self.state.set(state);
        self.since.set(now);
    }
}

/// The clients of one worker.
#[derive(Default)]
pub struct Clients(RefCell<HashMap<u64, Rc<ClientShared>, foldhash::fast::RandomState>>);

impl Clients {
    /// Enters a client; the guard removes it.
    pub fn register(self: &Rc<Self>, client: Rc<ClientShared>) -> Registered {
        self.0.borrow_mut().insert(client.id, client.clone());
        Registered {
            clients: self.clone(),
            id: client.id,
        }
    }

    /// The client with this number.
    pub fn get(&self, id: u64) -> Option<Rc<ClientShared>> {
        self.0.borrow().get(&id).cloned()
    }

    /// Calls `f` for each client.
    pub fn each(&self, mut f: impl FnMut(&Rc<ClientShared>)) {
        for client in self.0.borrow().values() {
            f(client);
        }
    }

    /// Number of clients.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// Keeps a client in [`Clients`] until dropped.
pub struct Registered {
    clients: Rc<Clients>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.clients.0.borrow_mut().remove(&self.id);
    }
}
