//! Opens connections to PostgreSQL: name, socket, TLS, login. And delivers cancel requests.
//!
//! What the messages mean is decided by [`ServerLogin`]; here are the sockets and the clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::conn::ServerShared;
pub use super::error::ConnectError;
pub use super::login::Credentials;
use super::login::{self, Binding, Keys, ServerLogin, Turn};
use crate::auth::vault;
use crate::config::{ChannelBinding, Host, Settings, SslMode};
use crate::derivation::Derivation;
use crate::error::SqlState;
use crate::net::sockopt::TcpOptions;
use crate::net::{PeerAddr, Stream};
use crate::timer::timeout;
use crate::tls::ServerLeg;
use crate::tls::client::server_name;
use crate::tls::material::end_point_hash;
use crate::wire::header::take_frame;
use crate::wire::startup::{self, NEWEST_MINOR, SSL_REQUEST};
use crate::wire::{Header, limits};

#[cfg(test)]
mod tests;

/// Bytes asked of the socket at a time.
const CHUNK: usize = 8_192;

/// A connection to be made.
pub struct ConnectSpec {
    /// The host as it is configured.
    pub host: Host,
    /// TLS; `None` for `server_tls_sslmode = disable`. Not used over unix sockets.
    pub tls: Option<Arc<ServerLeg>>,
    /// Log in as.
    pub user: String,
    /// Database.
    pub database: String,
    /// Proofs.
    pub credentials: Credentials,
    /// Further parameters of the StartupMessage, `options` and `replication` included.
    pub params: Vec<(String, String)>,
    /// Longest time for all of it; zero: no limit.
    pub timeout: Duration,
    /// Where the options of TCP sockets come from.
    pub settings: Settings,
}

/// A server that is logged in and idle.
#[derive(Debug)]
pub struct Connected {
    /// The connection; nothing was received beyond the first ReadyForQuery.
    pub stream: Stream,
    /// Process id of the cancel key; 0 without a key.
    pub pid: u32,
    /// Cancel key, 4 to 256 bytes; empty if the server gives none.
    pub key: Vec<u8>,
    /// Parameters that the server reported.
    pub params: Vec<(String, String)>,
    /// Minor version of protocol 3 that is spoken.
    pub minor: u16,
    /// The address in use, for cancel requests and SHOW.
    pub addr: PeerAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Connects and logs in. Every address of a name is tried, each with its share of the time.
///
/// A server that does not know version negotiation is asked again for protocol 3.0. With `prefer`
/// and `allow`, a server that declines TLS is spoken to in plain text; one whose handshake fails is
/// not. Dropping the future closes the connection.
///
/// Errors: [`ConnectError`].
///
/// Source: libpq, `sslmode`; PgBouncer, `server_connect_timeout`.
pub async fn connect(
    spec: &ConnectSpec,
    derivation: &Derivation,
) -> Result<Connected, ConnectError> {
    limited(spec.timeout, &spec.host, async {
        match attempt(spec, derivation, NEWEST_MINOR).await {
            Err((error, true)) if refuses_version(&error) => attempt(spec, derivation, 0)
                .await
                .map_err(|(error, _)| error),
            other => other.map_err(|(error, _)| error),
        }
    })
    .await
}

/// Sends a cancel request for the query that `server` runs, to the very address it is connected to,
/// and waits until the server hangs up, so that the request has been dealt with.
///
/// If the connection is encrypted the request is, too, or fails. `limit` of zero is no limit. A
/// server that gave no key gets no request.
///
/// Errors: [`ConnectError`]; whether the query was cancelled is never known.
pub async fn send_cancel(server: &ServerShared, limit: Duration) -> Result<(), ConnectError> {
    if server.key.is_empty() {
        return Err(ConnectError::NoCancelKey);
    }
    limited(limit, &server.host, async {
        let target = Target {
            host: &server.host,
            tcp: TcpOptions::default(),
        };
        let mut stream = match server.addr {
            PeerAddr::Tcp(addr) => target.dial_tcp(addr).await?,
            PeerAddr::Unix | PeerAddr::Gone => target.dial(Duration::ZERO).await?,
        };
        if !server.tls.is_empty() {
            let leg = server.leg.as_deref().ok_or(ConnectError::TlsRefused)?;
            stream = match ask_for_tls(stream, &server.host, leg).await? {
                Asked::Encrypted(stream) => stream,
                Asked::Declined(_) => return Err(ConnectError::TlsRefused),
            };
        }
        ask_to_cancel(stream, server.pid, &server.key).await
    })
    .await
}

/// Passes a client's cancel request on to another process that may know its key; `connected` is
/// called when that process has been reached. Returns when it is through with the request.
///
/// # Errors
/// It could not be reached, or was not through within `limit`.
pub async fn pass_cancel(
    host: &Host,
    pid: u32,
    key: &[u8],
    limit: Duration,
    connected: impl FnOnce(),
) -> Result<(), ConnectError> {
    limited(limit, host, async {
        let target = Target {
            host,
            tcp: TcpOptions::default(),
        };
        let stream = target.dial(Duration::ZERO).await?;
        connected();
        ask_to_cancel(stream, pid, key).await
    })
    .await
}

/// Sends a CancelRequest and waits for the other side's end of the connection: then it has been
/// dealt with.
async fn ask_to_cancel(mut stream: Stream, pid: u32, key: &[u8]) -> Result<(), ConnectError> {
    let mut out = Vec::new();
    startup::write_cancel(&mut out, pid, key);
    stream.write_all(&out).await?;
    let mut sink = [0; 256];
    loop {
        match stream.read_some(&mut sink).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(e) => return Err(ConnectError::Io(e)),
        }
    }
}

async fn limited<T>(
    limit: Duration,
    host: &Host,
    work: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    if limit.is_zero() {
        return work.await;
    }
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(ConnectError::Timeout(host.to_string())))
}

/// Whether the server may only have choked on the version.
fn refuses_version(error: &ConnectError) -> bool {
    error.is_server(SqlState::FEATURE_NOT_SUPPORTED)
        || error.is_server(SqlState::PROTOCOL_VIOLATION)
        || error.is_server(SqlState::INTERNAL_ERROR)
}

/// One connection and login. An error comes with whether it was the server's very first answer.
async fn attempt(
    spec: &ConnectSpec,
    derivation: &Derivation,
    minor: u16,
) -> Result<Connected, (ConnectError, bool)> {
    let fail = |error| (error, false);
    let nonce = vault::nonce().map_err(|e| fail(ConnectError::Unavailable(e.to_string())))?;
    let message = login::startup_message(minor, &spec.user, &spec.database, &spec.params);
    let message = message.map_err(fail)?;
    let mut stream = open(spec).await.map_err(fail)?;
    let addr = stream.peer();
    let (user, credentials) = (spec.user.clone(), spec.credentials.clone());
    let mut machine = ServerLogin::new(user, credentials, minor, nonce, binding(spec, &stream));
    let welcome = match drive(&mut stream, &mut machine, message, derivation).await {
        Ok(welcome) => welcome,
        Err(error) => return Err((error, machine.is_fresh())),
    };
    Ok(Connected {
        tls: stream.is_tls(),
        stream,
        pid: welcome.pid,
        key: welcome.key,
        params: welcome.params,
        minor: welcome.minor,
        addr,
    })
}

/// What a login over `stream` can be bound to.
fn binding(spec: &ConnectSpec, stream: &Stream) -> Binding {
    let policy = match &spec.tls {
        Some(leg) if !stream.is_unix() => leg.binding,
        _ => ChannelBinding::Disable,
    };
    Binding {
        policy,
        end_point: stream
            .peer_certificate()
            .filter(|_| policy != ChannelBinding::Disable)
            .and_then(end_point_hash),
    }
}

async fn drive(
    stream: &mut Stream,
    machine: &mut ServerLogin,
    startup: Vec<u8>,
    derivation: &Derivation,
) -> Result<login::Welcome, ConnectError> {
    stream.write_all(&startup).await?;
    let mut received = Vec::new();
    loop {
        let Some((header, body)) = take_frame(&received, limits::SERVER_LOGIN)? else {
            read_more(stream, &mut received).await?;
            continue;
        };
        let whole = header.frame_len();
        match machine.receive(header.tag, body)? {
            Turn::Read => {}
            Turn::Send(bytes) => stream.write_all(&bytes).await?,
            Turn::Keys(source, challenge) => {
                let keys = match source {
                    Keys::Known(keys) => keys,
                    Keys::Derive(password) => derivation
                        .keys(&password, &challenge.salt, challenge.iterations)
                        .await
                        .map_err(|e| ConnectError::Unavailable(e.to_string()))?,
                };
                let answer = machine.answer(challenge, &keys);
                stream.write_all(&answer).await?;
            }
            Turn::Ready(welcome) if received.len() == whole => return Ok(welcome),
            Turn::Ready(_) => {
                return Err(ConnectError::Protocol(
                    "server sent data after its first ReadyForQuery".into(),
                ));
            }
        }
        received.drain(..whole);
    }
}

async fn read_more(stream: &mut Stream, received: &mut Vec<u8>) -> Result<(), ConnectError> {
    let at = received.len();
    received.resize(at + CHUNK, 0);
    let n = stream
        .read_some(received.get_mut(at..).unwrap_or_default())
        .await?;
    received.truncate(at + n);
    if n == 0 {
        return Err(ConnectError::Closed);
    }
    Ok(())
}

/// Connects, and speaks TLS as the mode says.
async fn open(spec: &ConnectSpec) -> Result<Stream, ConnectError> {
    let target = Target {
        host: &spec.host,
        tcp: TcpOptions::from(&spec.settings),
    };
    let stream = target.dial(spec.timeout).await?;
    let Some(leg) = spec.tls.as_deref().filter(|_| !stream.is_unix()) else {
        return Ok(stream);
    };
    match ask_for_tls(stream, &spec.host, leg).await? {
        Asked::Encrypted(stream) => Ok(stream),
        Asked::Declined(stream) if leg.mode < SslMode::Require => Ok(stream),
        Asked::Declined(_) => Err(ConnectError::TlsRefused),
    }
}

enum Asked {
    Encrypted(Stream),
    Declined(Stream),
}

async fn ask_for_tls(
    mut stream: Stream,
    host: &Host,
    leg: &ServerLeg,
) -> Result<Asked, ConnectError> {
    let mut request = Vec::new();
    startup::write_code(&mut request, SSL_REQUEST);
    stream.write_all(&request).await?;
    let mut received = Vec::new();
    read_more(&mut stream, &mut received).await?;
    match received.as_slice() {
        b"S" => {}
        b"N" => return Ok(Asked::Declined(stream)),
        [b'S' | b'N', ..] => {
            return Err(ConnectError::Protocol(
                "received unencrypted data after SSL response".into(),
            ));
        }
        // Anyone could have written this, so its text counts only where TLS is not demanded.
        [b'E', ..] if leg.mode < SslMode::Require => {
            return Err(read_error(&mut stream, received).await);
        }
        _ => {
            return Err(ConnectError::Protocol(
                "server sent an invalid response to SSLRequest".into(),
            ));
        }
    }
    let PeerAddr::Tcp(addr) = stream.peer() else {
        return Err(ConnectError::Closed);
    };
    let name = server_name(host.host(), addr.ip(), leg.mode).ok_or_else(|| {
        ConnectError::Tls(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            format!(
                "\"{}\" is no host name that a certificate could have",
                host.host()
            ),
        ))
    })?;
    stream
        .connect_tls(leg.config.clone(), name)
        .await
        .map(Asked::Encrypted)
        .map_err(ConnectError::Tls)
}

/// Reads the rest of an ErrorResponse.
async fn read_error(stream: &mut Stream, mut received: Vec<u8>) -> ConnectError {
    loop {
        match Header::parse(&received, limits::SERVER_LOGIN) {
            Err(error) => return error.into(),
            Ok(Some(header)) => {
                if let Some(body) = received.get(Header::LEN..header.frame_len()) {
                    return login::server_error(body);
                }
            }
            Ok(None) => {}
        }
        if let Err(error) = read_more(stream, &mut received).await {
            return error;
        }
    }
}

/// Where a server is.
struct Target<'a> {
    host: &'a Host,
    tcp: TcpOptions,
}

impl Target<'_> {
    /// A plain connection to the first address that answers.
    async fn dial(&self, limit: Duration) -> Result<Stream, ConnectError> {
        let (host, port) = match self.host {
            Host::Tcp { host, port } => (host, *port),
            Host::Unix { dir, port } => return self.dial_unix(dir, *port).await,
        };
        let resolve = |source| ConnectError::Resolve {
            host: host.clone(),
            source,
        };
        let begin = Instant::now();
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let addrs: Vec<SocketAddr> = found.map_err(resolve)?.collect();
        let mut last = resolve(std::io::ErrorKind::NotFound.into());
        for (at, addr) in addrs.iter().enumerate() {
            let attempt = self.dial_tcp(*addr);
            let result = if limit.is_zero() {
                attempt.await
            } else {
                // The addresses left share the time left; a silent one must not use it all up.
                let left = limit.saturating_sub(begin.elapsed());
                let share = left / u32::try_from(addrs.len() - at).unwrap_or(u32::MAX);
                let late = || Err(self.error(addr, std::io::ErrorKind::TimedOut.into()));
                timeout(share, attempt).await.unwrap_or_else(|_| late())
            };
            match result {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn dial_tcp(&self, addr: SocketAddr) -> Result<Stream, ConnectError> {
        let socket = TcpStream::connect(addr)
            .await
            .map_err(|source| self.error(&addr, source))?;
        let stream = Stream::from_tcp(socket);
        if let Err(error) = stream.apply_options(&self.tcp) {
            tracing::debug!(%error, %addr, "cannot set socket options of a server");
        }
        Ok(stream)
    }

    async fn dial_unix(&self, dir: &str, port: u16) -> Result<Stream, ConnectError> {
        let path = match dir.strip_prefix('@') {
            // A leading zero byte means the abstract name space.
            Some(name) => format!("\0{name}/.s.PGSQL.{port}"),
            None => format!("{dir}/.s.PGSQL.{port}"),
        };
        UnixStream::connect(path)
            .await
            .map(Stream::from_unix)
            .map_err(|source| ConnectError::Dial {
                target: self.host.to_string(),
                source,
            })
    }

    fn error(&self, addr: &SocketAddr, source: std::io::Error) -> ConnectError {
        ConnectError::Dial {
            target: format!("{} ({addr})", self.host),
            source,
        }
    }
}
