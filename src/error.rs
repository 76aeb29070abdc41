//! Whose fault an error is and what a client may see of it.
//!
//! Every module has its own error type; those that may reach a client implement
//! [`ClientFacing`]. There is no implementation for a catch-all type, because that is how inner
//! details and secrets leak.

use std::borrow::Cow;

/// A five-character SQLSTATE.
///
/// Source: PostgreSQL documentation, "PostgreSQL Error Codes".
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    /// The peer broke the protocol.
    pub const PROTOCOL_VIOLATION: Self = Self(*b"08P01");
    /// The server connection was lost.
    pub const CONNECTION_FAILURE: Self = Self(*b"08006");
    /// The server could not be reached.
    pub const CANNOT_CONNECT: Self = Self(*b"08001");
    /// Something we do not do.
    pub const FEATURE_NOT_SUPPORTED: Self = Self(*b"0A000");
    /// Bad value of a parameter.
    pub const INVALID_PARAMETER_VALUE: Self = Self(*b"22023");
    /// Transaction is aborted.
    pub const IN_FAILED_TRANSACTION: Self = Self(*b"25P02");
    /// Idle in transaction for too long.
    pub const IDLE_IN_TRANSACTION_TIMEOUT: Self = Self(*b"25P03");
    /// Transaction took too long.
    pub const TRANSACTION_TIMEOUT: Self = Self(*b"25P04");
    /// Prepared statement does not exist.
    pub const INVALID_STATEMENT_NAME: Self = Self(*b"26000");
    /// Login is refused.
    pub const INVALID_AUTHORIZATION: Self = Self(*b"28000");
    /// Wrong password, or no such user: the two look alike.
    pub const INVALID_PASSWORD: Self = Self(*b"28P01");
    /// No such database.
    pub const INVALID_CATALOG: Self = Self(*b"3D000");
    /// Not allowed.
    pub const INSUFFICIENT_PRIVILEGE: Self = Self(*b"42501");
    /// The command is not understood.
    pub const SYNTAX_ERROR: Self = Self(*b"42601");
    /// A setting of that name does not exist.
    pub const UNDEFINED_OBJECT: Self = Self(*b"42704");
    /// Memory for one client is used up.
    pub const OUT_OF_MEMORY: Self = Self(*b"53200");
    /// A limit on connections is reached.
    pub const TOO_MANY_CONNECTIONS: Self = Self(*b"53300");
    /// A limit of the program is reached.
    pub const PROGRAM_LIMIT: Self = Self(*b"54000");
    /// The object is not in the state the command needs.
    pub const NOT_IN_STATE: Self = Self(*b"55000");
    /// A command was cancelled, by the client or by a timeout.
    pub const QUERY_CANCELED: Self = Self(*b"57014");
    /// The pooler is going down, or an operator ended the connection.
    pub const ADMIN_SHUTDOWN: Self = Self(*b"57P01");
    /// The pooler or the server cannot take connections now.
    pub const CANNOT_CONNECT_NOW: Self = Self(*b"57P03");
    /// A client was idle for too long.
    pub const IDLE_SESSION_TIMEOUT: Self = Self(*b"57P05");
    /// The configuration could not be loaded.
    pub const CONFIG_FILE_ERROR: Self = Self(*b"F0000");
    /// A bug of ours.
    pub const INTERNAL_ERROR: Self = Self(*b"XX000");

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }
}

impl std::fmt::Debug for SqlState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for SqlState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose mistake an error is; a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The application or its driver.
    Client,
    /// PostgreSQL or the network to it.
    Server,
    /// pgweir, its limits included.
    Pooler,
    /// Whoever runs pgweir: configuration, commands.
    Operator,
}

impl Fault {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Client => "client",
            Fault::Server => "server",
            Fault::Pooler => "pooler",
            Fault::Operator => "operator",
        }
    }
}

/// An error that a client may see.
pub trait ClientFacing {
    /// SQLSTATE of the ErrorResponse.
    fn sqlstate(&self) -> SqlState;
    /// Text of the ErrorResponse: what happened and, where that helps, what to do.
    fn client_message(&self) -> Cow<'_, str>;
    /// Whose mistake it is.
    fn fault(&self) -> Fault;
}
