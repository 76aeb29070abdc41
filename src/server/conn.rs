//! A server connection between its login and its end.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Instant, SystemTime};

use super::inflight::Ledger;
use super::params::ParamSet;
use super::statements::{Effect, Prepared, Unnamed};
use crate::config::Host;
use crate::net::{PeerAddr, Stream};
use crate::tls::ServerLeg;
use crate::wire::tag::{backend, frontend};
use crate::wire::{Header, TxStatus, limits, read, write};

/// What a server connection is doing, in PgBouncer's words for SHOW SERVERS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// A client has it.
    Active,
    /// Nobody has it.
    Idle,
    /// Nobody has had it for so long that it is checked before the next client gets it. Only seen
    /// in copies: time makes it so.
    Used,
    /// Being checked or reset.
    Tested,
    /// Waits until a cancel request for it has been delivered.
    BeingCanceled,
}

impl ServerState {
    /// The word in SHOW SERVERS.
    pub fn as_str(self) -> &'static str {
        match self {
            ServerState::Active => "active",
            ServerState::Idle => "idle",
            ServerState::Used => "used",
            ServerState::Tested => "tested",
            ServerState::BeingCanceled => "being_canceled",
        }
    }
}

/// What others may know of a server connection while a session owns it: who it is (to cancel its
/// query) and what it does (for SHOW).
#[derive(Debug)]
pub struct ServerShared {
    /// Number, unique in the process.
    pub id: u64,
    /// Process id of the backend; 0 if the server did not say.
    pub pid: u32,
    /// Secret for cancel requests.
    pub key: Box<[u8]>,
    /// Configured address.
    pub host: Host,
    /// The same as text, for whoever keeps it.
    pub name: Arc<str>,
    /// Address it is connected to, for SHOW and for cancel requests.
    pub addr: PeerAddr,
    /// TLS settings it was opened with, for cancel requests.
    pub leg: Option<Arc<ServerLeg>>,
    /// Encryption, as SHOW prints it; empty for none.
    pub tls: String,
    /// When it was opened, on the calendar.
    pub connected: SystemTime,
    /// The same for intervals.
    pub opened: Instant,
    /// When it has reached `server_lifetime`.
    pub expires: Cell<Instant>,
    /// When it was last given to a client.
    pub requested: Cell<Instant>,
    /// What it does.
    pub state: Cell<ServerState>,
    /// Number of the client that has it; 0 for none.
    pub client: Cell<u64>,
    /// To be closed when it comes back (RECONNECT, changed configuration).
    pub close_needed: Cell<bool>,
    /// Cancel requests on their way to it.
    pub cancels: Cell<u32>,
    /// Who is told when `cancels` falls to zero.
    pub cancel_waker: RefCell<Option<Waker>>,
    /// Prepared statements it knows.
    pub prepared: Cell<u32>,
}

impl ServerShared {
    /// Address and port in one, for the log.
    pub fn place(&self) -> String {
        match self.addr {
            PeerAddr::Tcp(addr) => addr.to_string(),
            PeerAddr::Unix | PeerAddr::Gone => format!("unix:{}", self.host.port()),
        }
    }

    /// Address and port as SHOW prints them.
    pub fn address(&self) -> (String, u16) {
        match self.addr {
            PeerAddr::Tcp(addr) => (addr.ip().to_string(), addr.port()),
            PeerAddr::Unix | PeerAddr::Gone => ("unix".to_owned(), self.host.port()),
        }
    }
}

/// The batch a client is sending, kept while it could still be played again unseen: it began
/// outside a transaction with a Bind of a shared statement or reads from a replica, and no reply to it
/// was passed on.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    kept: bool,
    /// Replies that were held back.
    held: Vec<u8>,
}

impl Batch {
    /// Longest batch that is kept, in bytes.
    const LIMIT: usize = 16 * 1024;

    /// A batch begins.
    #[inline]
    pub fn begin(&mut self, keep: bool) {
        self.bytes.clear();
        self.held.clear();
        self.kept = keep;
    }

    /// A message of it, as it came; `None` if it is not there as a whole.
    #[inline]
    pub fn add(&mut self, message: Option<&[u8]>) {
        match message {
            Some(message) if self.kept && self.bytes.len() + message.len() <= Self::LIMIT => {
                self.bytes.extend_from_slice(message);
            }
            _ => self.kept = false,
        }
    }

    /// Holds back a reply; `false` if it is too long for that.
    pub fn hold(&mut self, reply: &[u8]) -> bool {
        let fits = self.held.len() + reply.len() <= Self::LIMIT;
        if fits {
            self.held.extend_from_slice(reply);
        }
        fits
    }

    /// What was held back, for whoever passes it on.
    #[inline]
    pub fn held(&mut self) -> &mut Vec<u8> {
        &mut self.held
    }

    /// It cannot be played again any more.
    #[inline]
    pub fn passed_on(&mut self) {
        self.kept = false;
    }

    /// Whether it can be played again.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// Takes it, to be played again.
    pub fn take(&mut self) -> Vec<u8> {
        self.kept = false;
        self.held.clear();
        std::mem::take(&mut self.bytes)
    }
}

/// A server connection with all that is known of its state.
pub struct Server {
    /// The socket.
    pub stream: Stream,
    /// What others may see.
    pub shared: Rc<ServerShared>,
    /// Replies owed.
    pub ledger: Ledger<Effect>,
    /// Shared statements it has.
    pub prepared: Prepared,
    /// Shared statements whose plan became useless (the result type changed): closed before the
    /// next use.
    pub stale: Vec<u32>,
    /// The client's current batch as it came, to be played again if it fails because a plan became
    /// useless; see [`Batch`].
    pub batch: Batch,
    /// The unnamed statement it has.
    pub unnamed: Option<Rc<Unnamed>>,
    /// Explicit session parameters it has.
    pub applied: Rc<ParamSet>,
    /// Status of its last ReadyForQuery.
    pub status: TxStatus,
    /// Front of a message whose rest has not arrived.
    pub partial: Vec<u8>,
    /// Bytes of the current message's body that are still to come and pass unread.
    pub body_left: u32,
    /// Whether they go to the client.
    pub body_forward: bool,
    /// Bytes it has not taken yet.
    pub unsent: Vec<u8>,
    /// Its client left while state of its own may have been on it: it is reset before anybody else
    /// gets it, in every pool mode.
    pub soiled: bool,
    /// It sent a FATAL error: its end is announced.
    pub said_why: bool,
    /// It said or did something after which it cannot be used.
    pub broken: bool,
    /// When it was last used by a client.
    pub used: Instant,
    /// Dropped with the connection: its places under all limits, its entry in lists.
    pub held: Box<dyn std::any::Any>,
}

impl Server {
    /// Whether it can be given to another client: nothing owed, nothing half sent or half read, no
    /// transaction.
    pub fn is_clean(&self) -> bool {
        !self.broken
            && self.status == TxStatus::Idle
            && self.ledger.is_empty()
            && self.partial.is_empty()
            && self.body_left == 0
            && self.unsent.is_empty()
    }

    /// Whether a query may be running on it.
    pub fn is_busy(&self) -> bool {
        !self.broken && !self.ledger.is_empty()
    }

    /// Looks whether an idle server is still well, without waiting and, if nothing has arrived,
    /// without a system call. `false`: it closed, or said something an idle server has no reason
    /// to say; close it.
    ///
    /// ParameterStatus and NotificationResponse are harmless (a reload of the server's settings; a
    /// NOTIFY for a LISTEN that is gone); anything else is not.
    pub fn idle_and_well(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let mut bytes = [0; 128];
        loop {
            match self.stream.poll_read(&mut context, &mut bytes) {
                Poll::Pending => return self.partial.len() <= 64 * 1024,
                Poll::Ready(Ok(0) | Err(_)) => return false,
                Poll::Ready(Ok(n)) => self.partial.extend(&bytes[..n]),
            }
            loop {
                let Ok(header) = Header::parse(&self.partial, limits::SERVER_INSPECT) else {
                    return false;
                };
                let Some(header) = header else { break };
                if !matches!(
                    header.tag,
                    backend::PARAMETER_STATUS | backend::NOTIFICATION
                ) {
                    return false;
                }
                if self.partial.len() < header.frame_len() {
                    break;
                }
                self.partial.drain(..header.frame_len());
            }
        }
    }

    /// Sends one simple Query of ours and waits for its end; rows and notices are dropped.
    ///
    /// # Errors
    ///
    /// The server's own message, or why the connection cannot be used any more. After an error of
    /// the server the connection is usable if [`Self::is_clean`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a server dropped in the middle is not clean and must be closed.
    pub async fn run(&mut self, text: &str) -> Result<(), RunError> {
        let mut out = Vec::new();
        write::query(&mut out, text.as_bytes());
        self.broken = true;
        self.unnamed = None;
        self.stream.write_all(&out).await?;
        let mut failure = None;
        let mut input = Vec::new();
        loop {
            let mut at = 0;
            while let Some(header) = Header::parse(&input[at..], u32::MAX)? {
                let Some(body) = input[at..].get(Header::LEN..header.frame_len()) else {
                    if header.body_len > limits::SERVER_INSPECT {
                        return Err(RunError::TooLong);
                    }
                    break;
                };
                match header.tag {
                    backend::ERROR => {
                        let text = read::error_field(body, b'M').unwrap_or(b"(no message)");
                        failure = Some(String::from_utf8_lossy(text).into_owned());
                    }
                    backend::READY_FOR_QUERY => {
                        self.status = read::ready_for_query(body)?;
                        self.broken = input.len() != at + header.frame_len();
                        return match failure {
                            Some(text) => Err(RunError::Server(text)),
                            None => Ok(()),
                        };
                    }
                    tag if !backend::known(tag) => {
                        return Err(crate::wire::FrameError::UnknownTag { tag }.into());
                    }
                    _ => {}
                }
                at += header.frame_len();
            }
            input.drain(..at);
            let mut bytes = [0; 4096];
            match self.stream.read_some(&mut bytes).await? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                n => input.extend(&bytes[..n]),
            }
        }
    }

    /// Says goodbye as far as that is possible without waiting, and closes.
    pub fn terminate(mut self) {
        if self.unsent.is_empty() && self.ledger.is_empty() {
            let mut bye = Vec::new();
            write::empty(&mut bye, frontend::TERMINATE);
            let mut context = Context::from_waker(Waker::noop());
            // It is closed next, whether this reaches it or not.
            let _ = self.stream.poll_write(&mut context, &bye);
            let _ = self.stream.poll_flush(&mut context);
        }
    }
}

/// Why a query of ours did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The server refused it.
    #[error("{0}")]
    Server(String),
    /// The connection broke.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    /// The server does not keep to the protocol.
    #[error("{0}")]
    Frame(#[from] crate::wire::FrameError),
    /// A reply is longer than anything this query should return.
    #[error("a reply is too long")]
    TooLong,
}
