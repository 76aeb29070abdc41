//! A server while a client has it, and the place of a client that waits for one.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::Waker;

use super::Pool;
use super::state::Ticket;
use crate::server::conn::Server;

/// Why no server can be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The last logins to the server failed; this is what it said.
    #[error("server login has been failing, cached error: {message}")]
    Failing {
        /// SQLSTATE of the server's error, or of ours.
        state: crate::error::SqlState,
        /// The error.
        message: Rc<str>,
    },
}

impl crate::error::ClientFacing for CheckoutError {
    fn sqlstate(&self) -> crate::error::SqlState {
        match self {
            CheckoutError::Failing { state, .. } => *state,
        }
    }

    fn client_message(&self) -> std::borrow::Cow<'_, str> {
        match self {
            CheckoutError::Failing { message, .. } => (&**message).into(),
        }
    }

    fn fault(&self) -> crate::error::Fault {
        crate::error::Fault::Server
    }
}

/// What a waiting client gets in the end.
pub type Grant = Result<Lease, CheckoutError>;

/// The place where a waiting client finds its [`Grant`]. If the client is gone by then, the lease
/// is dropped here, which gives the server to the next.
pub struct Seat {
    pub(super) ticket: Cell<Option<Ticket>>,
    grant: RefCell<Option<Grant>>,
    waker: Waker,
    pool: Weak<Pool>,
}

impl Seat {
    pub(super) fn new(waker: Waker, pool: &Rc<Pool>) -> Rc<Self> {
        Rc::new(Self {
            pool: Rc::downgrade(pool),
            ticket: Cell::new(None),
            grant: RefCell::new(None),
            waker,
        })
    }

    /// The client does not wait any more.
    pub fn give_up(self: &Rc<Self>) {
        if let Some(pool) = self.pool.upgrade() {
            pool.abandon(self);
        }
    }

    /// The grant, once it is there.
    pub fn take(&self) -> Option<Grant> {
        self.grant.borrow_mut().take()
    }

    pub(super) fn give(&self, grant: Grant) {
        self.ticket.set(None);
        *self.grant.borrow_mut() = Some(grant);
        self.waker.wake_by_ref();
    }
}

/// A server that its holder may use. Dropping it is always safe: a clean server goes back to its
/// pool, any other is closed and its places are freed; a query still running on it is cancelled.
pub struct Lease {
    server: Option<Box<Server>>,
    pool: Rc<Pool>,
}

impl Lease {
    pub(super) fn new(server: Box<Server>, pool: Rc<Pool>) -> Self {
        Self {
            server: Some(server),
            pool,
        }
    }

    /// The pool it is from.
    pub fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// The server goes back after nothing ran on it but settings of ours, which are known: there is nothing to
    /// reset, and what `connect_query` has set stays for who comes first.
    pub fn give_back(mut self) {
        if let Some(server) = self.server.take() {
            self.pool.clone().checkin(server, false);
        }
    }

    /// Takes the server out for good; the pool is told that it is lost.
    pub fn close(mut self) {
        if let Some(server) = self.server.take() {
            self.pool.lost(server);
        }
    }
}

impl std::ops::Deref for Lease {
    type Target = Server;
    fn deref(&self) -> &Server {
        match &self.server {
            Some(server) => server,
            None => unreachable!("a lease holds its server until it is dropped or closed"),
        }
    }
}

impl std::ops::DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Server {
        match &mut self.server {
            Some(server) => server,
            None => unreachable!("a lease holds its server until it is dropped or closed"),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.pool.clone().checkin(server, true);
        }
    }
}
