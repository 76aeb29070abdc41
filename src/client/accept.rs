//! Drives a new connection through startup, TLS and authentication.
//!
//! The decisions are made by [`Handshake`] and [`Challenge`](super::challenge::Challenge); here are
//! the socket, the clock and the slow checks.

use super::challenge::{self, Candidate, Check, EndPoint, Opening, Proof, Random, Terms, Turn};
use super::error::LoginError;
use super::handshake::{Handshake, Replication, Request, Step, Transport};
use super::line::{Line, cut_short};
use super::proxied::Incoming;
use super::secrets::{Found, Secrets};
use super::way::{Way, asks_for_secrets, check_certificate, check_peer, way_in};
use crate::auth::{ScramKeys, vault};
use crate::config::{ChannelBinding, Config, Secret, SslMode};
use crate::derivation::Derivation;
use crate::net::Stream;
use crate::timer::timeout;
use crate::tls::{self, TlsContext};

#[cfg(test)]
mod tests;

/// Names of the console, which exist in every configuration.
pub const CONSOLES: [&str; 2] = ["pgweir", "pgbouncer"];

/// What became of a new connection.
#[derive(Debug)]
pub enum Accepted {
    /// A client who is who it says, for a database that exists.
    Login(Box<Login>),
    /// Someone wants a query cancelled. Nothing is answered.
    Cancel {
        /// The connection. Keep it until the request has been dealt with: its end tells the client
        /// that its next query will not be hit.
        stream: Stream,
        /// Process id of the key.
        pid: u32,
        /// The secret, 4 to 256 bytes.
        key: Vec<u8>,
    },
    /// The client went away by itself; nothing to report.
    Closed,
}

/// A client who is logged in but has not been told: the session sends [`prelude`](Self::prelude),
/// AuthenticationOk and the rest of the welcome in one write.
pub struct Login {
    /// The connection.
    pub stream: Stream,
    /// Who it is.
    pub user: String,
    /// Database asked for.
    pub database: String,
    /// Session parameters, from `options` and the StartupMessage: names as given, each once (the
    /// last wins), without those in `ignore_startup_parameters`.
    pub params: Vec<(String, String)>,
    /// The kind of replication connection, if it asks for one.
    pub replication: Option<Replication>,
    /// Minor version of protocol 3: 0 to 2.
    pub minor: u16,
    /// To be sent in front of AuthenticationOk: NegotiateProtocolVersion, AuthenticationSASLFinal.
    pub prelude: Vec<u8>,
    /// For a server that has the same SCRAM verifier.
    pub scram_keys: Option<ScramKeys>,
    /// The password, if the client showed it in clear.
    pub password: Option<Secret>,
    /// The user's stored secret, if a server was asked for it.
    pub stored: Option<Secret>,
    /// Bytes that were received after the last message of the login.
    pub leftover: Vec<u8>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("stream", &self.stream)
            .field("user", &self.user)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// Takes a new connection through its login, within `client_login_timeout`.
///
/// Dropping the future closes the connection. Errors: a [`LoginError`]; the client has been told as
/// far as possible and the connection is closed. An unknown user, and a user of an unknown
/// database, goes through a full exchange first.
///
/// Source: PgBouncer, `client_login_timeout`, `auth_type`, `client_tls_sslmode`.
pub async fn accept(
    incoming: impl Into<Incoming>,
    config: &Config,
    tls: &TlsContext,
    derivation: &Derivation,
    secrets: &impl Secrets,
) -> Result<Accepted, LoginError> {
    let Incoming { stream, received } = incoming.into();
    let mut line = Line::new(stream);
    line.received = received;
    let limit = config.settings.client_login_timeout;
    let result = if limit.is_zero() {
        converse(&mut line, config, tls, derivation, secrets).await
    } else {
        let conversation = converse(&mut line, config, tls, derivation, secrets);
        timeout(limit, conversation)
            .await
            .unwrap_or(Err(LoginError::Timeout))
    };
    if let Err(error) = &result {
        line.refuse(error).await;
    }
    result
}

async fn converse(
    line: &mut Line,
    config: &Config,
    tls: &TlsContext,
    derivation: &Derivation,
    secrets: &impl Secrets,
) -> Result<Accepted, LoginError> {
    // The same to the end, so that what is served and what is bound to belong together.
    let bundle = tls.load();
    let leg = bundle.clients.as_ref();
    let request = match startup(line, config, leg).await? {
        Started::Request(request) => *request,
        Started::Other(accepted) => return Ok(accepted),
    };
    let way = way_in(line, &request, config, &bundle, secrets).await?;
    let terms = Terms {
        auth: way.auth,
        scram_iterations: config.settings.scram_iterations,
        end_point: end_point(line, config, leg),
    };
    let found = match config.secrets.contains_key(&request.user) {
        true => Found::NotAsked,
        false if !asks_for_secrets(way.auth) => Found::NotAsked,
        false => (secrets.secret(config, &request.database, &request.user)).await,
    };
    let Some(proof) = authenticate(line, &request, &way, terms, config, derivation, &found).await?
    else {
        return Ok(Accepted::Closed);
    };
    if !exists(config, &request.database) {
        return Err(LoginError::NoSuchDatabase(request.database));
    }
    let Some(stream) = line.stream.take() else {
        return Ok(Accepted::Closed);
    };
    let stored = match found {
        Found::Secret(secret) => Some(secret),
        _ => None,
    };
    Ok(Accepted::Login(Box::new(Login {
        stored,
        stream,
        user: request.user,
        database: request.database,
        params: request.params,
        replication: request.replication,
        minor: request.minor,
        prelude: proof.last_words,
        scram_keys: proof.keys,
        password: proof.password,
        leftover: std::mem::take(&mut line.received),
    })))
}

/// What a login by SCRAM can be bound to on this connection.
fn end_point(line: &Line, config: &Config, leg: Option<&tls::ClientLeg>) -> EndPoint {
    let binding = config.settings.client_tls.binding;
    let is = |of: fn(&Stream) -> bool| line.stream.as_ref().is_some_and(of);
    EndPoint {
        hash: leg
            .filter(|_| is(Stream::is_tls) && binding != ChannelBinding::Disable)
            .and_then(|leg| leg.end_point_hash.clone()),
        required: binding == ChannelBinding::Require && !is(Stream::is_unix),
    }
}

fn exists(config: &Config, database: &str) -> bool {
    config.fallback.is_some()
        || config.databases.contains_key(database)
        || CONSOLES.contains(&database)
}

enum Started {
    Request(Box<Request>),
    Other(Accepted),
}

async fn startup(
    line: &mut Line,
    config: &Config,
    leg: Option<&tls::ClientLeg>,
) -> Result<Started, LoginError> {
    let transport = Transport {
        unix: line.stream.as_ref().is_some_and(Stream::is_unix),
        can_tls: leg.is_some(),
        must_tls: leg.is_some_and(|leg| leg.mode >= SslMode::Require),
    };
    let mut machine = Handshake::new(transport, &config.settings.ignore_startup_parameters);
    loop {
        match machine.advance(&mut line.received)? {
            Step::Read => {
                let at_boundary = line.received.is_empty();
                if !line.read().await? {
                    return if at_boundary {
                        Ok(Started::Other(Accepted::Closed))
                    } else {
                        Err(cut_short())
                    };
                }
            }
            Step::Decline => line.write(b"N").await?,
            Step::AcceptTls => {
                line.write(b"S").await?;
                line.encrypt(leg).await?;
                machine.now_encrypted();
            }
            Step::DirectTls => {
                line.encrypt(leg).await?;
                machine.now_encrypted();
                if line.alpn().as_deref() != Some(tls::ALPN) {
                    return Err(LoginError::Protocol(
                        "received direct SSL connection request without ALPN protocol negotiation extension"
                            .into(),
                    ));
                }
            }
            Step::Cancel { pid, key } => {
                let stream = line.stream.take().ok_or_else(cut_short)?;
                return Ok(Started::Other(Accepted::Cancel { stream, pid, key }));
            }
            Step::Begin(request) => return Ok(Started::Request(request)),
        }
    }
}

/// `None` if the client gave up.
async fn authenticate(
    line: &mut Line,
    request: &Request,
    way: &Way,
    terms: Terms,
    config: &Config,
    derivation: &Derivation,
    found: &Found,
) -> Result<Option<Proof>, LoginError> {
    if let Found::Failed(why) = found {
        return Err(LoginError::Lookup(why.clone()));
    }
    let user = request.user.as_str();
    let no_random = |e: vault::NoRandomness| LoginError::Unavailable(e.to_string());
    let random = Random {
        md5_salt: vault::random().map_err(no_random)?,
        nonce: vault::nonce().map_err(no_random)?,
    };
    let opening = challenge::open(
        terms,
        user,
        config.secrets.contains_key(user) || matches!(found, Found::Secret(_)),
        Candidate::look_up(config, user, found),
        derivation.vault(),
        random,
    )?;
    // Whatever is negotiated must be known before the first request.
    let mut out = request.negotiation.clone();
    match &opening {
        Opening::Certificate => check_certificate(line, user, way, config)?,
        Opening::Peer => check_peer(line, user, way, config).await?,
        Opening::Accept | Opening::Ask(..) => {}
    }
    let Opening::Ask(first, mut waiting) = opening else {
        return Ok(Some(Proof {
            last_words: out,
            ..Proof::default()
        }));
    };
    out.extend(first);
    loop {
        line.write(&out).await?;
        let Some((header, body)) = line.message(&waiting).await? else {
            return Ok(None);
        };
        match waiting.receive(header.tag, &body)? {
            Turn::Send(bytes, next) => (out, waiting) = (bytes, next),
            Turn::Check(check) => return run(check, way, derivation).await.map(Some),
            Turn::Proven(proof) => return Ok(Some(proof)),
            Turn::Closed => return Ok(None),
        }
    }
}

async fn run(check: Check, way: &Way, derivation: &Derivation) -> Result<Proof, LoginError> {
    let unavailable = |e: crate::derivation::Interrupted| LoginError::Unavailable(e.to_string());
    match check {
        Check::Scram(check) => {
            let keys = derivation
                .keys(&check.password, &check.salt, check.iterations)
                .await
                .map_err(unavailable)?;
            check.conclude(&keys)
        }
        Check::Elsewhere {
            method,
            user,
            given,
        } => match way.ask(&user, &given).await {
            Ok(true) => Ok(Proof {
                password: Some(given),
                ..Proof::default()
            }),
            Ok(false) => Err(LoginError::Refused { method, user }),
            Err(why) => Err(LoginError::Unavailable(why)),
        },
        Check::Cleartext {
            user,
            secret,
            given,
            genuine,
        } => {
            let matches = derivation
                .verify_cleartext(&secret, &user, &given)
                .await
                .map_err(unavailable)?;
            if !(matches && genuine) {
                return Err(LoginError::WrongPassword { user });
            }
            Ok(Proof {
                password: Some(given),
                ..Proof::default()
            })
        }
    }
}
