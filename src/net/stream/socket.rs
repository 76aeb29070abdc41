//! The socket under a TLS session: live in a reactor, or parked while it changes threads.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::PeerAddr;
use crate::net::sockopt::TcpOptions;

/// A socket outside of every reactor.
pub(super) enum Parked {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// What tokio-rustls reads and writes.
pub(super) struct Socket {
    state: State,
    /// Bytes read before TLS took over; served first, then empty for good.
    prefix: Vec<u8>,
}

enum State {
    Tcp(TcpStream),
    Unix(UnixStream),
    Parked(Parked),
    /// Registration failed half-way; every use answers "not connected".
    Lost,
}

impl Socket {
    pub(super) fn tcp(socket: TcpStream, prefix: Vec<u8>) -> Socket {
        Socket {
            state: State::Tcp(socket),
            prefix,
        }
    }

    pub(super) fn unix(socket: UnixStream, prefix: Vec<u8>) -> Socket {
        Socket {
            state: State::Unix(socket),
            prefix,
        }
    }

    /// Leaves the reactor.
    pub(super) fn park(&mut self) -> io::Result<()> {
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Tcp(socket) => State::Parked(Parked::Tcp(socket.into_std()?)),
            State::Unix(socket) => State::Parked(Parked::Unix(socket.into_std()?)),
            other => other,
        };
        Ok(())
    }

    /// Enters the reactor of the calling thread.
    pub(super) fn unpark(&mut self) -> io::Result<()> {
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Parked(Parked::Tcp(socket)) => State::Tcp(TcpStream::from_std(socket)?),
            State::Parked(Parked::Unix(socket)) => State::Unix(UnixStream::from_std(socket)?),
            other => other,
        };
        Ok(())
    }

    pub(super) fn peer(&self) -> PeerAddr {
        match &self.state {
            State::Tcp(socket) => socket.peer_addr().map_or(PeerAddr::Gone, PeerAddr::Tcp),
            State::Parked(Parked::Tcp(socket)) => {
                socket.peer_addr().map_or(PeerAddr::Gone, PeerAddr::Tcp)
            }
            State::Unix(_) | State::Parked(Parked::Unix(_)) => PeerAddr::Unix,
            State::Lost => PeerAddr::Gone,
        }
    }

    pub(super) fn local(&self) -> Option<std::net::SocketAddr> {
        let addr = match &self.state {
            State::Tcp(socket) => socket.local_addr(),
            State::Parked(Parked::Tcp(socket)) => socket.local_addr(),
            _ => return None,
        };
        addr.ok()
    }

    pub(super) fn apply_options(&self, options: &TcpOptions) -> io::Result<()> {
        match &self.state {
            State::Tcp(socket) => crate::net::sockopt::apply_tcp(socket, options),
            State::Parked(Parked::Tcp(socket)) => crate::net::sockopt::apply_tcp(socket, options),
            _ => Ok(()),
        }
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let n = self.prefix.len().min(buf.remaining());
            buf.put_slice(self.prefix.get(..n).unwrap_or_default());
            self.prefix.drain(..n);
            if self.prefix.is_empty() {
                self.prefix = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        match &mut self.state {
            State::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            State::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
            State::Parked(_) | State::Lost => Poll::Ready(Err(not_attached())),
        }
    }

    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.state {
            State::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            State::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            State::Parked(_) | State::Lost => Poll::Ready(Err(not_attached())),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            State::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            State::Parked(_) | State::Lost => Poll::Ready(Err(not_attached())),
        }
    }
}

fn not_attached() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "the socket is not registered with this thread",
    )
}
