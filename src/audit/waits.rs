//! Who waits for whose lock on a server, as of the last look at it.

/// A session that has the lock, or stands before the one that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Process id of its backend; 0 for a prepared transaction, which has none.
    pub pid: u32,
    /// Number of the client whose server it is; 0 if it did not come through here.
    pub client: u64,
    /// Login name of the client, else the role on the server; empty if unknown.
    pub user: Box<str>,
    /// Its `application_name`.
    pub app: Box<str>,
    /// What it does, in the server's words; empty if unknown.
    pub state: Box<str>,
    /// For how long, in milliseconds.
    pub state_ms: Option<u64>,
    /// How long its transaction has been open, in milliseconds.
    pub xact_ms: Option<u64>,
    /// Its statement, or its last one, without literals; empty if the server does not tell.
    pub query: Box<str>,
}

/// A client's statement that waits for a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Database as the client asked for it.
    pub database: Box<str>,
    /// Login name.
    pub user: Box<str>,
    /// `application_name`.
    pub app: Box<str>,
    /// Address without the port; empty for a unix socket.
    pub addr: Box<str>,
    /// Number of the client.
    pub client: u64,
    /// Process id of its backend.
    pub pid: u32,
    /// How long it has waited for this lock, in milliseconds.
    pub waited_ms: u64,
    /// What the lock is on, in the server's words: `relation`, `transactionid`, `tuple`, …
    pub lock: Box<str>,
    /// Its mode, in the server's words.
    pub mode: Box<str>,
    /// The table; empty if it is about none, or nobody knows which.
    pub relation: Box<str>,
    /// The statement without literals.
    pub query: Box<str>,
    /// Who is in its way; of several the one that does not wait itself.
    pub blocker: Option<Holder>,
    /// Whom everybody before it waits for, if its blocker waits too.
    pub root: Option<Holder>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// Who waited at the last look, the longest first.
    pub now: Vec<Waiting>,
    /// How often a server was asked.
    pub looks: u64,
    /// How often one could not be asked.
    pub failures: u64,
}
