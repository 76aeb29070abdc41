//! One byte stream to a peer: TCP or unix socket, plain or TLS, in either TLS role.
//!
//! A plain stream is a small enum with a direct call to the socket; only the TLS session lives
//! behind a pointer. A stream belongs to the reactor of the thread that made it. To hand it to
//! another worker it is [detached](Stream::detach) (the socket leaves the reactor, the TLS session
//! stays as it is) and [attached](Detached::attach) there.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

mod socket;
#[cfg(test)]
mod tests;

use socket::{Parked, Socket};

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddr {
    /// Address and port of a TCP peer.
    Tcp(SocketAddr),
    /// A unix socket; its other end has no address, see [`Stream::peer_cred`].
    Unix,
    /// A TCP peer that went away before its address could be read.
    Gone,
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddr::Tcp(addr) => addr.fmt(f),
            PeerAddr::Unix => f.write_str("unix"),
            PeerAddr::Gone => f.write_str("unknown"),
        }
    }
}

/// The operating system's view of a unix socket's other end at the time it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Process id, where the system tells it.
    pub pid: Option<i32>,
}

/// What SHOW and the `cert` method want to know about a TLS session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// Protocol version as OpenSSL names it: `TLSv1.3`.
    pub version: &'static str,
    /// Cipher suite by its IANA name.
    pub cipher: String,
    /// Common name of the peer's certificate, if it showed one with exactly one common name.
    pub peer_common_name: Option<String>,
    /// The application protocol both sides agreed on.
    pub alpn: Option<Vec<u8>>,
}

/// A connected byte stream. See the module's documentation.
pub struct Stream {
    kind: Kind,
    /// The other end is a proxy's; where the client is, if it told.
    proxied: Option<Box<Option<SocketAddr>>>,
}

enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<Socket>>),
}

/// A [`Stream`] outside of every reactor, ready to be sent to another thread.
///
/// Dropping it closes the socket.
pub struct Detached {
    kind: DetachedKind,
    proxied: Option<Box<Option<SocketAddr>>>,
}

enum DetachedKind {
    Plain(Parked),
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// A plain stream over `socket`.
    pub fn from_tcp(socket: TcpStream) -> Stream {
        Stream {
            kind: Kind::Tcp(socket),
            proxied: None,
        }
    }

    /// A plain stream over `socket`.
    pub fn from_unix(socket: UnixStream) -> Stream {
        Stream {
            kind: Kind::Unix(socket),
            proxied: None,
        }
    }

    /// Reads what is there into `buf`; `Ok(0)` is the end of the stream (or an empty `buf`).
    ///
    /// A plain stream makes exactly one system call. A TLS peer that hangs up without a
    /// `close_notify` also ends the stream with `Ok(0)`: PostgreSQL's messages carry their own
    /// lengths, so a cut is noticed one layer up.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut target = ReadBuf::new(buf);
        match &mut self.kind {
            Kind::Tcp(socket) => ready!(Pin::new(socket).poll_read(cx, &mut target))?,
            Kind::Unix(socket) => ready!(Pin::new(socket).poll_read(cx, &mut target))?,
            Kind::Tls(session) => return poll_read_tls(session, cx, buf),
        }
        Poll::Ready(Ok(target.filled().len()))
    }

    /// Writes a part of `buf`, at least one byte unless `buf` is empty.
    ///
    /// With TLS the bytes taken are encrypted and sent as far as the socket takes them; the rest
    /// waits in the session, see [`needs_flush`](Self::needs_flush).
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Kind::Unix(socket) => Pin::new(socket).poll_write(cx, buf),
            Kind::Tls(session) => Pin::new(&mut **session).poll_write(cx, buf),
        }
    }

    /// Sends what TLS still holds. A plain stream has nothing to flush.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Tcp(_) | Kind::Unix(_) => Poll::Ready(Ok(())),
            Kind::Tls(session) => Pin::new(&mut **session).poll_flush(cx),
        }
    }

    /// Whether encrypted bytes wait for the socket. Always `false` for a plain stream.
    pub fn needs_flush(&self) -> bool {
        match &self.kind {
            Kind::Tcp(_) | Kind::Unix(_) => false,
            Kind::Tls(session) => session.get_ref().1.wants_write(),
        }
    }

    /// Ends our direction: `close_notify` for TLS, then the socket's write side.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Kind::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Kind::Tls(session) => Pin::new(&mut **session).poll_shutdown(cx),
        }
    }

    /// Waits for bytes; see [`poll_read`](Self::poll_read). Cancel safe.
    pub async fn read_some(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buf)).await
    }

    /// Writes all of `buf` and flushes. Not cancel safe: a dropped call may have written a part.
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let n = poll_fn(|cx| self.poll_write(cx, buf)).await?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            buf = buf.get(n..).unwrap_or_default();
        }
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Waits for [`poll_shutdown`](Self::poll_shutdown).
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_shutdown(cx)).await
    }

    /// Becomes the server of a TLS session on this plain stream.
    ///
    /// `already_read` are the handshake's first bytes, if some were read to tell TLS from the
    /// PostgreSQL protocol. On an error the alert has been sent as far as possible and the
    /// connection is gone. The caller bounds the time.
    pub async fn accept_tls(
        self,
        config: Arc<rustls::ServerConfig>,
        already_read: Vec<u8>,
    ) -> io::Result<Stream> {
        let (socket, proxied) = self.into_socket(already_read)?;
        let session = TlsAcceptor::from(config).accept(socket).await?;
        Ok(Stream {
            kind: Kind::Tls(Box::new(TlsStream::Server(session))),
            proxied,
        })
    }

    /// Becomes the client of a TLS session on this plain stream.
    ///
    /// Errors as in [`accept_tls`](Self::accept_tls).
    pub async fn connect_tls(
        self,
        config: Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Stream> {
        let (socket, proxied) = self.into_socket(Vec::new())?;
        let session = TlsConnector::from(config).connect(name, socket).await?;
        Ok(Stream {
            kind: Kind::Tls(Box::new(TlsStream::Client(session))),
            proxied,
        })
    }

    /// The socket, and where a proxy says that the other end is.
    fn into_socket(
        self,
        already_read: Vec<u8>,
    ) -> io::Result<(Socket, Option<Box<Option<SocketAddr>>>)> {
        let socket = match self.kind {
            Kind::Tcp(socket) => Socket::tcp(socket, already_read),
            Kind::Unix(socket) => Socket::unix(socket, already_read),
            Kind::Tls(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the stream is encrypted already",
                ));
            }
        };
        Ok((socket, self.proxied))
    }

    /// The other end is a trusted proxy. From now on the client is where it says, if it says, and the
    /// credentials of the proxy are not the client's.
    pub fn comes_through(&mut self, client: Option<SocketAddr>) {
        self.proxied = Some(Box::new(client));
    }

    /// Takes the stream out of this thread's reactor. Bytes that the TLS session holds stay in it.
    ///
    /// Errors: the system refused to deregister; the connection is closed then.
    pub fn detach(self) -> io::Result<Detached> {
        let kind = match self.kind {
            Kind::Tcp(socket) => DetachedKind::Plain(Parked::Tcp(socket.into_std()?)),
            Kind::Unix(socket) => DetachedKind::Plain(Parked::Unix(socket.into_std()?)),
            Kind::Tls(mut session) => {
                session.get_mut().0.park()?;
                DetachedKind::Tls(session)
            }
        };
        let proxied = self.proxied;
        Ok(Detached { kind, proxied })
    }

    /// The other end's address: as a proxy told, or asked from the system.
    pub fn peer(&self) -> PeerAddr {
        if let Some(Some(client)) = self.proxied.as_deref() {
            return PeerAddr::Tcp(*client);
        }
        match &self.kind {
            Kind::Tcp(socket) => socket.peer_addr().map_or(PeerAddr::Gone, PeerAddr::Tcp),
            Kind::Unix(_) => PeerAddr::Unix,
            Kind::Tls(session) => session.get_ref().0.peer(),
        }
    }

    /// The address that the other end connected to; `None` for a unix socket.
    pub fn local(&self) -> Option<std::net::SocketAddr> {
        match &self.kind {
            Kind::Tcp(socket) => socket.local_addr().ok(),
            Kind::Unix(_) => None,
            Kind::Tls(session) => session.get_ref().0.local(),
        }
    }

    /// Whether this is a unix socket, and not a proxy's that tells of somebody else.
    pub fn is_unix(&self) -> bool {
        matches!(self.peer(), PeerAddr::Unix)
    }

    /// Whether the bytes are encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.kind, Kind::Tls(_))
    }

    /// Facts about the TLS session; `None` for a plain stream.
    pub fn tls_info(&self) -> Option<TlsInfo> {
        let Kind::Tls(session) = &self.kind else {
            return None;
        };
        let state = session.get_ref().1;
        let version = match state.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "unknown",
        };
        let cipher = state
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("unknown")
            .to_owned();
        Some(TlsInfo {
            version,
            cipher,
            peer_common_name: state
                .peer_certificates()
                .and_then(<[CertificateDer<'_>]>::first)
                .and_then(crate::tls::material::common_name),
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
        })
    }

    /// The peer's leaf certificate (DER), if there is one.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        match &self.kind {
            Kind::Tls(session) => session.get_ref().1.peer_certificates()?.first(),
            Kind::Tcp(_) | Kind::Unix(_) => None,
        }
    }

    /// Who connected to our unix socket; `None` for TCP, for the client of a proxy, or when the system
    /// does not tell.
    pub fn peer_cred(&self) -> Option<PeerCredentials> {
        let (Kind::Unix(socket), None) = (&self.kind, &self.proxied) else {
            return None;
        };
        let cred = socket.peer_cred().ok()?;
        Some(PeerCredentials {
            uid: cred.uid(),
            gid: cred.gid(),
            pid: cred.pid(),
        })
    }

    /// Sets TCP options on the socket; nothing for a unix socket.
    pub fn apply_options(&self, options: &super::sockopt::TcpOptions) -> io::Result<()> {
        match &self.kind {
            Kind::Tcp(socket) => super::sockopt::apply_tcp(socket, options),
            Kind::Unix(_) => Ok(()),
            Kind::Tls(session) => session.get_ref().0.apply_options(options),
        }
    }
}

impl Detached {
    /// Registers the stream with the reactor of the calling thread.
    ///
    /// Errors: the system refused (out of memory or watches); the connection is closed then.
    /// Panics outside of a tokio runtime, as tokio's sockets do.
    pub fn attach(self) -> io::Result<Stream> {
        let kind = match self.kind {
            DetachedKind::Plain(Parked::Tcp(socket)) => Kind::Tcp(TcpStream::from_std(socket)?),
            DetachedKind::Plain(Parked::Unix(socket)) => Kind::Unix(UnixStream::from_std(socket)?),
            DetachedKind::Tls(mut session) => {
                session.get_mut().0.unpark()?;
                Kind::Tls(session)
            }
        };
        let proxied = self.proxied;
        Ok(Stream { kind, proxied })
    }
}

/// Reads from the TLS session, then tops `buf` up with records that came in the same packet, so
/// that a large result needs fewer turns.
fn poll_read_tls(
    session: &mut TlsStream<Socket>,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    use std::io::Read;

    let mut target = ReadBuf::new(buf);
    match ready!(Pin::new(&mut *session).poll_read(cx, &mut target)) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
        Err(e) => return Poll::Ready(Err(e)),
    }
    let mut filled = target.filled().len();
    if filled == 0 {
        return Poll::Ready(Ok(0));
    }
    while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // An error or the end shows again at the next call, after these bytes were used.
        let more = match session {
            TlsStream::Client(s) => s.get_mut().1.reader().read(rest),
            TlsStream::Server(s) => s.get_mut().1.reader().read(rest),
        };
        match more {
            Ok(n) if n > 0 => filled += n,
            _ => break,
        }
    }
    Poll::Ready(Ok(filled))
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer", &self.peer())
            .field("tls", &self.is_tls())
            .finish()
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached").finish_non_exhaustive()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_shutdown(cx)
    }
}
