//! Why a client could not log in.

use std::borrow::Cow;
use std::io;

use crate::auth::scram::ScramError;
use crate::error::{ClientFacing, Fault, SqlState};
use crate::wire::FrameError;
use crate::wire::proxy::ProxyError;
use crate::wire::startup::StartupError;

/// Why a login failed. The client has been told, unless the connection itself was the trouble, and
/// the connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The connection broke.
    #[error("connection to the client was lost during login: {0}")]
    Io(#[from] io::Error),
    /// The TLS handshake failed; the client got an alert.
    #[error("TLS handshake with the client failed: {0}")]
    Tls(io::Error),
    /// A proxy did not tell whose connection it is.
    #[error(transparent)]
    Proxy(ProxyError),
    /// A proxy did not tell in time.
    #[error("no PROXY protocol header came within 5 seconds")]
    HeaderLate,
    /// The connection does not come through a proxy.
    #[error("connections must come through a proxy of proxy_protocol_from")]
    NotProxied,
    /// A packet of the startup phase is malformed.
    #[error(transparent)]
    Startup(#[from] StartupError),
    /// A later message is malformed or too long.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The client broke the order or form of messages.
    #[error("{0}")]
    Protocol(Cow<'static, str>),
    /// A SCRAM message is malformed or wants what we do not do.
    #[error(transparent)]
    Scram(ScramError),
    /// Bytes followed an encryption request: someone may have put them there.
    #[error("received unencrypted data after {0} request")]
    UnencryptedData(&'static str),
    /// Clients must use TLS here.
    #[error("SSL required")]
    SslRequired,
    /// The StartupMessage names no user.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// A parameter of the StartupMessage has a bad value.
    #[error("{0}")]
    BadParameter(String),
    /// Wrong password or unknown user.
    #[error("password authentication failed for user \"{user}\"")]
    WrongPassword {
        /// Name the client gave.
        user: String,
    },
    /// `client_channel_binding = require`, and the client's way in has none.
    #[error("channel binding required: connect with TLS and SCRAM-SHA-256-PLUS")]
    BindingRequired,
    /// Another method than a password failed.
    #[error("{method} authentication failed for user \"{user}\"")]
    Refused {
        /// The method's word.
        method: &'static str,
        /// Name the client gave.
        user: String,
    },
    /// The client is who it says, but the database does not exist.
    #[error("no such database: {0}")]
    NoSuchDatabase(String),
    /// `auth_hba_file` lets nobody in like this.
    #[error("login rejected")]
    Rejected,
    /// The line of `auth_hba_file` that fits wants a certificate.
    #[error("connection requires a valid client certificate")]
    NoCertificate,
    /// No line of `auth_hba_file` fits.
    #[error("no authentication method is found")]
    NoMethod,
    /// The server could not be asked for the user's secret.
    #[error("{0}")]
    Lookup(String),
    /// `client_login_timeout` passed.
    #[error("login took longer than client_login_timeout")]
    Timeout,
    /// The process is ending or the system gives no randomness.
    #[error("cannot authenticate now: {0}")]
    Unavailable(String),
}

impl LoginError {
    /// Whether there is anyone to send an ErrorResponse to.
    pub(super) fn can_be_told(&self) -> bool {
        !matches!(self, LoginError::Io(_) | LoginError::Tls(_))
    }
}

impl ClientFacing for LoginError {
    fn sqlstate(&self) -> SqlState {
        match self {
            LoginError::Io(_) | LoginError::Tls(_) => SqlState::CONNECTION_FAILURE,
            LoginError::Startup(StartupError::Version { .. }) => SqlState::FEATURE_NOT_SUPPORTED,
            LoginError::Scram(ScramError::Binding(_)) => SqlState::INVALID_AUTHORIZATION,
            LoginError::Scram(ScramError::Unsupported(_)) => SqlState::FEATURE_NOT_SUPPORTED,
            LoginError::Startup(_)
            | LoginError::Frame(_)
            | LoginError::Protocol(_)
            | LoginError::Scram(_)
            | LoginError::Proxy(_)
            | LoginError::HeaderLate
            | LoginError::UnencryptedData(_) => SqlState::PROTOCOL_VIOLATION,
            LoginError::SslRequired
            | LoginError::NotProxied
            | LoginError::NoUser
            | LoginError::Rejected
            | LoginError::NoMethod
            | LoginError::NoCertificate
            | LoginError::BindingRequired
            | LoginError::Refused { .. } => SqlState::INVALID_AUTHORIZATION,
            LoginError::BadParameter(_) => SqlState::INVALID_PARAMETER_VALUE,
            LoginError::WrongPassword { .. } => SqlState::INVALID_PASSWORD,
            LoginError::NoSuchDatabase(_) => SqlState::INVALID_CATALOG,
            LoginError::Timeout => SqlState::QUERY_CANCELED,
            LoginError::Unavailable(_) | LoginError::Lookup(_) => SqlState::CANNOT_CONNECT_NOW,
        }
    }

    fn client_message(&self) -> Cow<'_, str> {
        match self {
            // Inner reasons are for the log.
            LoginError::Unavailable(_) => Cow::Borrowed("cannot authenticate now, try again"),
            other => Cow::Owned(other.to_string()),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            LoginError::Unavailable(_) => Fault::Pooler,
            LoginError::Lookup(_) => Fault::Server,
            _ => Fault::Client,
        }
    }
}
