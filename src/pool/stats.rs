//! Counters and times of a pool, written by its worker only.

use std::cell::RefCell;

use super::histogram::Histogram;

/// Totals since the pool was made. Times in microseconds. Each worker writes its own pools'
/// cells, plainly; readers get a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Servers given to clients.
    pub assignments: u64,
    /// Transactions.
    pub xacts: u64,
    /// Queries: requests until the server was ready with nothing owed.
    pub queries: u64,
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
    /// Time in transactions.
    pub xact_us: u64,
    /// Time in queries.
    pub query_us: u64,
    /// Time clients waited for a server.
    pub wait_us: u64,
    /// Parse messages of clients for named statements.
    pub client_parses: u64,
    /// Parse messages sent to servers for them.
    pub server_parses: u64,
    /// Bind messages for them.
    pub binds: u64,
    /// Logins of clients.
    pub logins: u64,
    /// Server connections opened.
    pub opened: u64,
    /// Server connections closed.
    pub closed: u64,
    /// Logins to servers that failed.
    pub failed: u64,
    /// Errors of ours sent to clients.
    pub errors: u64,
    /// Waits that ended with `query_wait_timeout`.
    pub wait_timeouts: u64,
}

impl Totals {
    /// Adds another pool's totals.
    pub fn add(&mut self, other: &Totals) {
        self.assignments += other.assignments;
        self.xacts += other.xacts;
        self.queries += other.queries;
        self.received += other.received;
        self.sent += other.sent;
        self.xact_us += other.xact_us;
        self.query_us += other.query_us;
        self.wait_us += other.wait_us;
        self.client_parses += other.client_parses;
        self.server_parses += other.server_parses;
        self.binds += other.binds;
        self.logins += other.logins;
        self.opened += other.opened;
        self.closed += other.closed;
        self.failed += other.failed;
        self.errors += other.errors;
        self.wait_timeouts += other.wait_timeouts;
    }
}

/// How long things took since the pool was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Queries.
    pub query: Histogram,
    /// Transactions.
    pub xact: Histogram,
    /// Waits of clients for a server, those that ended without one and those of no time included.
    pub wait: Histogram,
    /// Connections to servers, from the first packet until the login was over.
    pub connect: Histogram,
}

impl Times {
    /// Adds another pool's times.
    pub fn add(&mut self, other: &Times) {
        self.query.add(&other.query);
        self.xact.add(&other.xact);
        self.wait.add(&other.wait);
        self.connect.add(&other.connect);
    }

    /// What came since `before`, an earlier copy.
    #[must_use]
    pub fn since(&self, before: &Times) -> Times {
        Times {
            query: self.query.since(&before.query),
            xact: self.xact.since(&before.xact),
            wait: self.wait.since(&before.wait),
            connect: self.connect.since(&before.connect),
        }
    }
}

/// The totals and times of one pool, changed in place.
#[derive(Debug, Default)]
pub struct Stats {
    totals: RefCell<Totals>,
    times: RefCell<Times>,
}

impl Stats {
    /// Changes the totals.
    #[inline]
    pub fn update(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.totals.borrow_mut());
    }

    /// Changes the times.
    #[inline]
    pub fn time(&self, change: impl FnOnce(&mut Times)) {
        change(&mut self.times.borrow_mut());
    }

    /// A copy of the totals.
    pub fn get(&self) -> Totals {
        *self.totals.borrow()
    }

    /// A copy of the times.
    pub fn times(&self) -> Times {
        *self.times.borrow()
    }
}
