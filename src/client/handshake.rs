//! The startup phase of a client: from the first byte to a StartupMessage that is understood.
//!
//! A plain machine: it is shown the bytes received so far and says what to do. It only goes
//! forward, and each kind of request is honoured once:
//!
//! ```text
//!          ┌─ GSSENCRequest (once, plain only) ── Decline ─┐
//!  start ──┼─ SSLRequest (once, plain only) ── Decline ────┼─► again
//!          │                                └─ AcceptTls ──┘   (then encrypted)
//!          ├─ 0x16 (at the very start) ── DirectTls ─► again   (then encrypted)
//!          ├─ CancelRequest ── Cancel ─► end
//!          └─ StartupMessage ── Begin ─► end
//! ```
//!
//! Source: PostgreSQL, `ProcessSSLStartup`, `ProcessStartupPacket`.

use super::error::LoginError;
use super::startup_options;
use crate::wire::startup::{self, NEWEST_MINOR, StartupPacket};
use crate::wire::{tag, write};

#[cfg(test)]
mod tests;

/// What is known about the connection and what is demanded of it.
#[derive(Clone, Copy, Debug)]
pub struct Transport {
    /// A unix socket: TLS is neither offered nor required.
    pub unix: bool,
    /// TLS can be spoken.
    pub can_tls: bool,
    /// TLS must be spoken (TCP only).
    pub must_tls: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Handshake<'a> {
    transport: Transport,
    ignored: &'a [String],
    encrypted: bool,
    ssl_seen: bool,
    gss_seen: bool,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Read more bytes.
    Read,
    /// Send `N`; then go on.
    Decline,
    /// Send `S` and shake hands as a TLS server; then go on.
    AcceptTls,
    /// Shake hands as a TLS server with the bytes received; the client must have negotiated the
    /// application protocol; then go on.
    DirectTls,
    /// Deliver a cancel request; nothing is answered.
    Cancel {
        /// Process id of the key.
        pid: u32,
        /// The secret.
        key: Vec<u8>,
    },
    /// Authenticate the client. The StartupMessage was taken off the front of the buffer.
    Begin(Box<Request>),
}

/// A kind of replication connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// Of a whole server; no database is meant.
    Physical,
    /// Of the database that the client names.
    Logical,
}

impl Replication {
    /// The value of the startup parameter that asks for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Replication::Physical => "true",
            Replication::Logical => "database",
        }
    }
}

/// What a StartupMessage asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// User name, never empty.
    pub user: String,
    /// Database name; the user's if none was given.
    pub database: String,
    /// Session parameters of `options` and of the message itself, names as given, each once.
    pub params: Vec<(String, String)>,
    /// The kind of replication connection, if it asks for one.
    pub replication: Option<Replication>,
    /// Minor version of protocol 3 to be spoken.
    pub minor: u16,
    /// NegotiateProtocolVersion, if there is something to negotiate; else empty. To be sent before
    /// the first authentication message.
    pub negotiation: Vec<u8>,
}

impl<'a> Handshake<'a> {
    /// Starts; parameters in `ignored` will be left out of [`Request::params`].
    pub fn new(transport: Transport, ignored: &'a [String]) -> Handshake<'a> {
        Handshake {
            transport,
            ignored,
            encrypted: false,
            ssl_seen: false,
            gss_seen: false,
        }
    }

    /// The TLS handshake that was asked for is done.
    pub fn now_encrypted(&mut self) {
        self.encrypted = true;
    }

    /// Looks at what was received and not yet used, and takes off `received` what it uses.
    ///
    /// Errors: any [`LoginError`] of the startup phase; the connection must be closed then.
    pub fn advance(&mut self, received: &mut Vec<u8>) -> Result<Step, LoginError> {
        let fresh = !(self.encrypted || self.ssl_seen || self.gss_seen);
        if fresh
            && self.transport.can_tls
            && !self.transport.unix
            && received.first() == Some(&0x16)
        {
            self.ssl_seen = true;
            return Ok(Step::DirectTls);
        }
        let Some(len) = startup::packet_len(received)? else {
            return Ok(Step::Read);
        };
        let Some(packet) = received.get(..len) else {
            return Ok(Step::Read);
        };
        let more = received.len() > len;
        let step = match startup::parse(packet)? {
            StartupPacket::Ssl => {
                if self.encrypted || std::mem::replace(&mut self.ssl_seen, true) {
                    return Err(LoginError::Protocol("unexpected SSLRequest".into()));
                }
                if more {
                    return Err(LoginError::UnencryptedData("SSL"));
                }
                if self.transport.can_tls && !self.transport.unix {
                    Step::AcceptTls
                } else {
                    Step::Decline
                }
            }
            StartupPacket::GssEnc => {
                if self.encrypted || std::mem::replace(&mut self.gss_seen, true) {
                    return Err(LoginError::Protocol("unexpected GSSENCRequest".into()));
                }
                if more {
                    return Err(LoginError::UnencryptedData("GSSAPI encryption"));
                }
                Step::Decline
            }
            StartupPacket::Cancel { pid, key } => Step::Cancel {
                pid,
                key: key.to_vec(),
            },
            StartupPacket::Startup { minor, params } => {
                if self.transport.must_tls && !self.transport.unix && !self.encrypted {
                    return Err(LoginError::SslRequired);
                }
                Step::Begin(Box::new(request(minor, &params, self.ignored)?))
            }
        };
        received.drain(..len);
        Ok(step)
    }
}

fn request(minor: u16, raw: &[(&[u8], &[u8])], ignored: &[String]) -> Result<Request, LoginError> {
    let is_ignored = |name: &str| ignored.iter().any(|i| i.eq_ignore_ascii_case(name));
    let (mut user, mut database, mut options, mut replication) = (None, None, None, None);
    let mut own = Vec::new();
    let mut unknown = Vec::new();
    for &(name, value) in raw {
        match name {
            b"user" => user = Some(value),
            b"database" => database = Some(value),
            b"options" => options = Some(text(value)),
            b"replication" => replication = parse_replication(value)?,
            name if name.starts_with(b"_pq_.") => unknown.push(name),
            // Encodings are not known yet; what is not UTF-8 can only be shown approximately.
            name => own.push((text(name), text(value))),
        }
    }
    let user = user.filter(|u| !u.is_empty()).ok_or(LoginError::NoUser)?;
    let user = exact(user, "user name")?;
    let database = match database.filter(|d| !d.is_empty()) {
        Some(database) => exact(database, "database name")?,
        None => user.clone(),
    };

    let mut params: Vec<(String, String)> = Vec::new();
    let from_options = match options {
        Some(options) => startup_options::parse(&options, is_ignored("options"))
            .map_err(|e| LoginError::BadParameter(e.to_string()))?,
        None => Vec::new(),
    };
    // As in PostgreSQL the message's own parameters win over those in `options`.
    for (name, value) in from_options.into_iter().chain(own) {
        if is_ignored(&name) {
            continue;
        }
        match params
            .iter_mut()
            .find(|(n, _)| n.eq_ignore_ascii_case(&name))
        {
            Some(known) => *known = (name, value),
            None => params.push((name, value)),
        }
    }

    let spoken = minor.min(NEWEST_MINOR);
    let mut negotiation = Vec::new();
    if minor > spoken || !unknown.is_empty() {
        write_negotiation(&mut negotiation, spoken, &unknown);
    }
    Ok(Request {
        user,
        database,
        params,
        replication,
        minor: spoken,
        negotiation,
    })
}

fn write_negotiation(out: &mut Vec<u8>, minor: u16, unknown: &[&[u8]]) {
    write::message(out, tag::backend::NEGOTIATE_VERSION, |out| {
        out.extend(3u16.to_be_bytes());
        out.extend(minor.to_be_bytes());
        out.extend((unknown.len() as u32).to_be_bytes());
        for name in unknown {
            out.extend(*name);
            out.push(0);
        }
    });
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Names that decide about rights are never approximated.
fn exact(bytes: &[u8], what: &str) -> Result<String, LoginError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| LoginError::BadParameter(format!("{what} is not valid UTF-8")))
}

/// `database`, or a boolean as PostgreSQL reads it.
fn parse_replication(value: &[u8]) -> Result<Option<Replication>, LoginError> {
    let word = text(value).to_ascii_lowercase();
    let is = |full: &str, least: usize| word.len() >= least && full.starts_with(word.as_str());
    if word == "database" {
        Ok(Some(Replication::Logical))
    } else if is("true", 1) || is("yes", 1) || is("on", 2) || word == "1" {
        Ok(Some(Replication::Physical))
    } else if is("false", 1) || is("no", 1) || is("off", 2) || word == "0" {
        Ok(None)
    } else {
        let shown: String = word.chars().take(64).collect();
        Err(LoginError::BadParameter(format!(
            "invalid value for parameter \"replication\": \"{shown}\"; valid values are: \"false\", 0, \"true\", 1, \"database\""
        )))
    }
}
