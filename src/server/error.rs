//! Why a connection to a server could not be made.

use std::borrow::Cow;
use std::io;

use crate::auth::scram::ScramError;
use crate::error::{ClientFacing, Fault, SqlState};
use crate::wire::FrameError;

/// Why connecting or logging in failed. The connection, if there was one, is closed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot look up host \"{host}\": {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's reason.
        source: io::Error,
    },
    /// No address of the host takes connections; the last one's reason.
    #[error("cannot connect to {target}: {source}")]
    Dial {
        /// The host, and the last address tried.
        target: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Connecting and logging in took longer than allowed.
    #[error("connecting to {0} took longer than server_connect_timeout")]
    Timeout(String),
    /// The connection broke.
    #[error("connection to the server was lost during login: {0}")]
    Io(#[from] io::Error),
    /// The server hung up.
    #[error("server closed the connection during login")]
    Closed,
    /// The TLS handshake failed, because of the certificate for example.
    #[error("TLS handshake with the server failed: {0}")]
    Tls(io::Error),
    /// TLS is demanded and the server does not speak it.
    #[error("server does not support TLS, but server_tls_sslmode demands it")]
    TlsRefused,
    /// The server, or someone in between, broke the protocol.
    #[error("{0}")]
    Protocol(Cow<'static, str>),
    /// A message is malformed or too long.
    #[error("server sent an invalid message during login: {0}")]
    Frame(#[from] FrameError),
    /// The SCRAM exchange failed on our side.
    #[error("SCRAM authentication to the server failed: {0}")]
    Scram(ScramError),
    /// The server wants a proof that we have no means for.
    #[error("server asks for {method} authentication of user \"{user}\", but {missing}")]
    NoCredentials {
        /// What the server asks for.
        method: &'static str,
        /// Who should log in.
        user: String,
        /// What is missing.
        missing: &'static str,
    },
    /// The server wants a method that we do not speak.
    #[error("server asks for an unsupported authentication method ({0})")]
    Unsupported(String),
    /// `server_channel_binding = require`, and the server does without.
    #[error(
        "server does not prove itself by SCRAM with channel binding, but server_channel_binding demands it"
    )]
    Unbound,
    /// The server refused the login.
    #[error("server login failed: {severity} {sqlstate}: {message}")]
    Server {
        /// `FATAL` or what the server said.
        severity: String,
        /// Its code, or [`SqlState::INTERNAL_ERROR`] if it sent none that is one.
        sqlstate: SqlState,
        /// Its text.
        message: String,
        /// The body of its ErrorResponse as it came; possibly malformed.
        raw: Vec<u8>,
    },
    /// No server of the cluster is known to be the primary.
    #[error("no server of the cluster says that it is the primary")]
    NoPrimary,
    /// The server was promoted or demoted since it was asked last.
    #[error("the server is not what it was: it has been promoted or demoted")]
    OtherRole,
    /// The server gave no key to cancel with.
    #[error("server gave no cancel key")]
    NoCancelKey,
    /// A name holds a zero byte, which the protocol cannot carry.
    #[error("{0} contains a zero byte")]
    BadName(&'static str),
    /// The process is ending or the system gives no randomness.
    #[error("cannot authenticate now: {0}")]
    Unavailable(String),
}

impl ConnectError {
    /// Whether it speaks against the server as a whole, not against who wanted to log in, and not of
    /// having no room just now.
    pub fn is_the_servers(&self) -> bool {
        match self {
            ConnectError::Server { sqlstate, .. } => {
                // Class 57: it starts, ends or crashed. Others are about names, passwords and limits.
                sqlstate.0.starts_with(b"57") || sqlstate.0.starts_with(b"XX")
            }
            ConnectError::Resolve { .. }
            | ConnectError::Dial { .. }
            | ConnectError::Timeout(_)
            | ConnectError::Io(_)
            | ConnectError::Closed
            | ConnectError::Tls(_)
            | ConnectError::TlsRefused
            | ConnectError::Protocol(_)
            | ConnectError::Frame(_) => true,
            _ => false,
        }
    }

    /// Whether the server itself refused with this code.
    pub fn is_server(&self, code: SqlState) -> bool {
        matches!(self, ConnectError::Server { sqlstate, .. } if *sqlstate == code)
    }
}

impl ClientFacing for ConnectError {
    fn sqlstate(&self) -> SqlState {
        match self {
            ConnectError::Server { sqlstate, .. } => *sqlstate,
            ConnectError::Io(_) | ConnectError::Closed => SqlState::CONNECTION_FAILURE,
            // Waiting helps: there will be a primary, or another one.
            ConnectError::Unavailable(_) | ConnectError::NoPrimary | ConnectError::OtherRole => {
                SqlState::CANNOT_CONNECT_NOW
            }
            _ => SqlState::CANNOT_CONNECT,
        }
    }

    /// Addresses, file names and the like stay in the log; the server's own words are passed on.
    fn client_message(&self) -> Cow<'_, str> {
        match self {
            ConnectError::Server { message, .. } => Cow::Borrowed(message),
            ConnectError::Resolve { .. } => Cow::Borrowed("cannot look up the server's host name"),
            ConnectError::Dial { .. } => Cow::Borrowed("cannot connect to the server"),
            ConnectError::Timeout(_) => Cow::Borrowed("connecting to the server took too long"),
            ConnectError::Io(_) | ConnectError::Closed => {
                Cow::Borrowed("server closed the connection during login")
            }
            ConnectError::Tls(_) | ConnectError::TlsRefused => {
                Cow::Borrowed("cannot speak TLS with the server")
            }
            ConnectError::Protocol(_) | ConnectError::Frame(_) => {
                Cow::Borrowed("server broke the protocol during login")
            }
            ConnectError::Scram(_)
            | ConnectError::NoCredentials { .. }
            | ConnectError::Unsupported(_)
            | ConnectError::Unbound
            | ConnectError::BadName(_) => Cow::Borrowed("cannot authenticate to the server"),
            ConnectError::NoPrimary | ConnectError::OtherRole => {
                Cow::Borrowed("no server says that it is the primary")
            }
            ConnectError::NoCancelKey => Cow::Borrowed("server gave no cancel key"),
            ConnectError::Unavailable(_) => Cow::Borrowed("cannot connect now, try again"),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            ConnectError::NoCredentials { .. } | ConnectError::BadName(_) => Fault::Operator,
            ConnectError::Unavailable(_) => Fault::Pooler,
            _ => Fault::Server,
        }
    }
}
