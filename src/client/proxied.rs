//! Connections that come through a proxy or load balancer, which tells whose they are.
//!
//! A header is believed only from where `proxy_protocol_from` says, and there it must be: the protocol
//! forbids to guess, since a client could then write one itself.

use std::time::Duration;

use zeroize::Zeroizing;

use super::error::LoginError;
use super::line::{Line, cut_short};
use crate::config::{Config, Origin, ProxyProtocol};
use crate::net::{PeerAddr, Stream};
use crate::timer::timeout;
use crate::wire::proxy;

/// Longest wait for a header. A proxy sends it as the first thing it does.
const PATIENCE: Duration = Duration::from_secs(5);

/// A new connection of which it is known whose it is, and what the client has sent already.
pub struct Incoming {
    /// The connection.
    pub stream: Stream,
    /// Bytes that came behind the header.
    pub(super) received: Zeroizing<Vec<u8>>,
}

impl From<Stream> for Incoming {
    /// A connection without a header.
    fn from(stream: Stream) -> Incoming {
        Incoming {
            stream,
            received: Zeroizing::new(Vec::new()),
        }
    }
}

/// What a new connection must begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Header,
    /// What the client says.
    Nothing,
    /// Nothing helps.
    Refusal,
}

/// Takes the header off a new connection, if `proxy_protocol` wants one from where it comes. From then
/// on the connection says that it comes from where the header says.
///
/// `None`: the other side hung up without a word, as health checks do. Errors: no header or a bad one, or
/// a connection from elsewhere with `required`; it is closed then.
pub async fn incoming(stream: Stream, config: &Config) -> Result<Option<Incoming>, LoginError> {
    let settings = &config.settings;
    let due = due(
        settings.proxy_protocol,
        &settings.proxy_protocol_from,
        stream.peer(),
    );
    let mut line = Line::new(stream);
    let result = match due {
        Due::Nothing => Ok(true),
        Due::Refusal => Err(LoginError::NotProxied),
        Due::Header => {
            let header = timeout(PATIENCE, header(&mut line));
            header.await.unwrap_or(Err(LoginError::HeaderLate))
        }
    };
    match result {
        Ok(true) => Ok(line.stream.take().map(|stream| Incoming {
            stream,
            received: std::mem::take(&mut line.received),
        })),
        Ok(false) => Ok(None),
        Err(error) => {
            line.refuse(&error).await;
            Err(error)
        }
    }
}

fn due(wanted: ProxyProtocol, from: &[Origin], peer: PeerAddr) -> Due {
    let ip = match peer {
        PeerAddr::Tcp(addr) => Some(addr.ip()),
        PeerAddr::Unix => None,
        PeerAddr::Gone if wanted == ProxyProtocol::Off => return Due::Nothing,
        PeerAddr::Gone => return Due::Refusal,
    };
    match wanted {
        ProxyProtocol::Off => Due::Nothing,
        _ if from.iter().any(|origin| origin.holds(ip)) => Due::Header,
        // Whoever is on this machine and may use the socket needs no proxy.
        ProxyProtocol::Required if ip.is_some() => Due::Refusal,
        ProxyProtocol::On | ProxyProtocol::Required => Due::Nothing,
    }
}

/// Reads the header; `false` if nothing came at all.
async fn header(line: &mut Line) -> Result<bool, LoginError> {
    loop {
        if let Some(header) = proxy::parse(&line.received).map_err(LoginError::Proxy)? {
            line.received.drain(..header.len);
            if let Some(stream) = &mut line.stream {
                stream.comes_through(header.client);
            }
            return Ok(true);
        }
        let silent = line.received.is_empty();
        if !line.read().await? {
            return match silent {
                true => Ok(false),
                false => Err(cut_short()),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_trusted_may_tell() {
        let from: Vec<Origin> = ["10.0.0.0/8", "2001:db8::/32", "unix"]
            .map(|text| Origin::parse(text).expect("an origin"))
            .into();
        let tcp = |text: &str| PeerAddr::Tcp(text.parse().expect("an address"));
        use Due::{Header, Nothing, Refusal};
        for (peer, off, on, required) in [
            (tcp("10.9.8.7:1"), Nothing, Header, Header),
            (tcp("[::ffff:10.9.8.7]:1"), Nothing, Header, Header),
            (tcp("[2001:db8::9]:1"), Nothing, Header, Header),
            (tcp("127.0.0.1:1"), Nothing, Nothing, Refusal),
            (tcp("[2001:db9::9]:1"), Nothing, Nothing, Refusal),
            (PeerAddr::Unix, Nothing, Header, Header),
            (PeerAddr::Gone, Nothing, Refusal, Refusal),
        ] {
            assert_eq!(due(ProxyProtocol::Off, &from, peer), off, "{peer}");
            assert_eq!(due(ProxyProtocol::On, &from, peer), on, "{peer}");
            assert_eq!(
                due(ProxyProtocol::Required, &from, peer),
                required,
                "{peer}"
            );
        }
        let tcp_only = &from[..2];
        for wanted in [ProxyProtocol::On, ProxyProtocol::Required] {
            assert_eq!(due(wanted, tcp_only, PeerAddr::Unix), Nothing);
        }
    }
}
