//! Why a session ends, and what its client is told of it.

use std::io;

use crate::error::{Fault, SqlState};
use crate::wire::FrameError;

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    /// The client said goodbye, or everything that it is told was written.
    #[error("client close request")]
    ClientGone,
    /// The client closed its connection without a word.
    #[error("client unexpected eof")]
    ClientEof,
    /// Reading from or writing to the client failed.
    #[error("client connection failed: {0}")]
    ClientIo(io::Error),
    /// The client does not keep to the protocol.
    #[error("{0}")]
    ClientFrame(#[from] FrameError),
    /// The server connection ended in the middle.
    #[error("server connection lost: {0}")]
    ServerIo(io::Error),
    /// The server does not keep to the protocol.
    #[error("server broke the protocol: {0}")]
    ServerFrame(String),
    /// The server said why it ends; the client has that already.
    #[error("server closed the connection")]
    ServerSaidWhy,
    /// Any other reason, as the client is told.
    #[error("{text}")]
    Fatal {
        /// SQLSTATE.
        state: SqlState,
        /// Text.
        text: String,
        /// Whose mistake.
        fault: Fault,
    },
}

impl Stop {
    pub(super) fn fatal(state: SqlState, text: impl Into<String>, fault: Fault) -> Self {
        Stop::Fatal {
            state,
            text: text.into(),
            fault,
        }
    }

    /// What the client is told, if anything.
    pub(super) fn words(&self) -> Option<(SqlState, String)> {
        match self {
            Stop::ClientGone | Stop::ClientEof | Stop::ClientIo(_) | Stop::ServerSaidWhy => None,
            Stop::ClientFrame(error) => Some((SqlState::PROTOCOL_VIOLATION, error.to_string())),
            Stop::ServerIo(_) => Some((
                SqlState::CONNECTION_FAILURE,
                "server conn crashed?".to_owned(),
            )),
            Stop::ServerFrame(_) => Some((SqlState::CONNECTION_FAILURE, self.to_string())),
            Stop::Fatal { state, text, .. } => Some((*state, text.clone())),
        }
    }

    pub(super) fn fault(&self) -> Fault {
        match self {
            Stop::ClientGone | Stop::ClientEof | Stop::ClientIo(_) | Stop::ClientFrame(_) => {
                Fault::Client
            }
            Stop::ServerIo(_) | Stop::ServerFrame(_) | Stop::ServerSaidWhy => Fault::Server,
            Stop::Fatal { fault, .. } => *fault,
        }
    }
}
