//! A client's connection while it logs in.

use std::time::Duration;

use crate::timer::timeout;
use zeroize::Zeroizing;

use super::challenge::Challenge;
use super::error::LoginError;
use crate::error::ClientFacing;
use crate::net::Stream;
use crate::tls;
use crate::wire::header::Header;
use crate::wire::write::{self, Severity};

/// Bytes asked of the socket at a time.
const CHUNK: usize = 4_096;

/// Longest time to tell a client why it is refused.
const FAREWELL: Duration = Duration::from_millis(500);

/// The client hung up in the middle of a message.
pub(super) fn cut_short() -> LoginError {
    LoginError::Io(std::io::ErrorKind::UnexpectedEof.into())
}

/// The connection and what was received but not used. Passwords pass through the buffer, so it is
/// zeroed at the end.
pub(super) struct Line {
    /// `None` once the stream was handed on, or lost in a failed TLS handshake.
    pub(super) stream: Option<Stream>,
    pub(super) received: Zeroizing<Vec<u8>>,
}

impl Line {
    pub(super) fn new(stream: Stream) -> Line {
        Line {
            stream: Some(stream),
            received: Zeroizing::new(Vec::new()),
        }
    }

    fn stream(&mut self) -> Result<&mut Stream, LoginError> {
        self.stream
            .as_mut()
            .ok_or_else(|| LoginError::Io(std::io::ErrorKind::NotConnected.into()))
    }

    /// Reads a chunk; `false` at the end of the stream.
    pub(super) async fn read(&mut self) -> Result<bool, LoginError> {
        let mut chunk = Zeroizing::new(vec![0; CHUNK]);
        let n = self.stream()?.read_some(&mut chunk).await?;
        let new = chunk.get(..n).unwrap_or_default();
        if self.received.capacity() - self.received.len() < n {
            // By hand, so that no copy of a password is left behind in memory that was given back.
            let mut larger = Vec::with_capacity((self.received.len() + n).next_power_of_two());
            larger.extend_from_slice(&self.received);
            self.received = Zeroizing::new(larger);
        }
        self.received.extend_from_slice(new);
        Ok(n > 0)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), LoginError> {
        self.stream()?
            .write_all(bytes)
            .await
            .map_err(LoginError::Io)
    }

    /// Waits for a whole message; `None` if the client hung up between messages.
    pub(super) async fn message(
        &mut self,
        waiting: &Challenge,
    ) -> Result<Option<(Header, Zeroizing<Vec<u8>>)>, LoginError> {
        loop {
            if let Some(&tag) = self.received.first() {
                waiting.check_tag(tag)?;
            }
            if let Some(header) = Header::parse(&self.received, waiting.max_body())? {
                let whole = header.frame_len();
                if let Some(body) = self.received.get(Header::LEN..whole) {
                    let body = Zeroizing::new(body.to_vec());
                    let rest = self.received.get(whole..).unwrap_or_default().to_vec();
                    self.received = Zeroizing::new(rest);
                    return Ok(Some((header, body)));
                }
            }
            let at_boundary = self.received.is_empty();
            if !self.read().await? {
                return if at_boundary {
                    Ok(None)
                } else {
                    Err(cut_short())
                };
            }
        }
    }

    /// Becomes TLS. What was received and not used is the beginning of the handshake.
    pub(super) async fn encrypt(&mut self, leg: Option<&tls::ClientLeg>) -> Result<(), LoginError> {
        let (Some(leg), Some(stream)) = (leg, self.stream.take()) else {
            return Err(LoginError::Protocol("TLS is not available".into()));
        };
        let received = std::mem::take(&mut *self.received);
        let stream = stream
            .accept_tls(leg.config.clone(), received)
            .await
            .map_err(LoginError::Tls)?;
        self.stream = Some(stream);
        Ok(())
    }

    pub(super) fn alpn(&self) -> Option<Vec<u8>> {
        self.stream.as_ref()?.tls_info()?.alpn
    }

    /// Tells the client why, and closes. A short wait for the client to hang up first keeps the
    /// system from throwing the message away together with bytes that nobody read.
    pub(super) async fn refuse(&mut self, error: &LoginError) {
        let Some(mut stream) = self.stream.take().filter(|_| error.can_be_told()) else {
            return;
        };
        let mut out = Vec::new();
        write::error(
            &mut out,
            Severity::Fatal,
            error.sqlstate(),
            &error.client_message(),
        );
        let farewell = async {
            stream.write_all(&out).await?;
            stream.shutdown().await?;
            let mut sink = vec![0; CHUNK];
            for _ in 0..16 {
                if stream.read_some(&mut sink).await? == 0 {
                    break;
                }
            }
            Ok::<(), std::io::Error>(())
        };
        // Nothing to do if it does not arrive: the connection ends either way.
        let _ = timeout(FAREWELL, farewell).await;
    }
}
