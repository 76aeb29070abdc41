//! The header that a proxy or load balancer puts in front of a connection to tell whose it is:
//! versions 1 (text) and 2 (binary) of the PROXY protocol.
//!
//! Bytes in, a verdict out. Nothing is guessed: whoever calls knows that there must be a header.
//!
//! Source: HAProxy, "The PROXY protocol", versions 1 & 2 (`proxy-protocol.txt`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header of version 1, its end of line included, in bytes.
const LONGEST_LINE: usize = 107;

/// How version 1 begins.
const WORD: &[u8] = b"PROXY ";

/// How version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a header of version 2 before what its length counts.
const FIXED: usize = 16;

/// Most bytes behind the fixed part of version 2: addresses and what else the proxy wants to tell.
/// The protocol's own limit is 64 kB; what proxies send is a few hundred bytes.
pub const LONGEST_REST: usize = 4_096;

/// A header that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Where the client is; `None` if the proxy speaks for itself (a health check) or does not know
    /// an internet address.
    pub client: Option<SocketAddr>,
    /// Bytes that the header takes; what is behind them is the client's.
    pub len: usize,
}

/// Why bytes are no header. The connection cannot be used: nobody knows whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Something else came.
    #[error("connection does not begin with a PROXY protocol header")]
    Missing,
    /// It begins like one.
    #[error("malformed PROXY protocol header: {0}")]
    Malformed(&'static str),
    /// More than [`LONGEST_REST`] bytes.
    #[error("PROXY protocol header of {0} bytes; the limit is {LONGEST_REST}")]
    TooLong(usize),
}

/// Reads the header at the front of `received`; `None` if more bytes are needed to tell.
///
/// Errors: [`ProxyError`], as soon as it is certain.
pub fn parse(received: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    if begins(received, WORD) {
        version_1(received)
    } else if begins(received, SIGNATURE) {
        version_2(received)
    } else {
        Err(ProxyError::Missing)
    }
}

/// Whether `received` is `beginning` and more, or may become that.
fn begins(received: &[u8], beginning: &[u8]) -> bool {
    received.iter().zip(beginning).all(|(a, b)| a == b)
}

fn version_1(received: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    const END: &[u8] = b"\r\n";
    let window = received.get(..LONGEST_LINE).unwrap_or(received);
    let Some(end) = window.windows(END.len()).position(|two| two == END) else {
        return match window.len() < LONGEST_LINE {
            true => Ok(None),
            false => Err(ProxyError::Malformed("no end of the line in 107 bytes")),
        };
    };
    let line = window.get(WORD.len()..end).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Malformed("not ASCII"))?;
    let client = match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["UNKNOWN", ..] => None,
        ["TCP4", from, to, from_port, to_port] => {
            let (from, _) = (of::<Ipv4Addr>(from)?, of::<Ipv4Addr>(to)?);
            Some((IpAddr::V4(from), port(from_port, to_port)?))
        }
        ["TCP6", from, to, from_port, to_port] => {
            let (from, _) = (of::<Ipv6Addr>(from)?, of::<Ipv6Addr>(to)?);
            Some((IpAddr::V6(from), port(from_port, to_port)?))
        }
        ["TCP4" | "TCP6", ..] => {
            return Err(ProxyError::Malformed(
                "two addresses and two ports expected",
            ));
        }
        _ => {
            return Err(ProxyError::Malformed("neither TCP4, TCP6 nor UNKNOWN"));
        }
    };
    Ok(Some(ProxyHeader {
        client: client.map(SocketAddr::from),
        len: end + END.len(),
    }))
}

fn of<A: std::str::FromStr>(text: &str) -> Result<A, ProxyError> {
    (text.parse()).map_err(|_| ProxyError::Malformed("an address that is none"))
}

/// The client's port; the other one is checked too.
fn port(from: &str, to: &str) -> Result<u16, ProxyError> {
    let read = |text: &str| {
        let canonical =
            text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        (text.parse::<u16>().ok().filter(|_| canonical))
            .ok_or(ProxyError::Malformed("a port that is none"))
    };
    read(to)?;
    read(from)
}

fn version_2(received: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    let Some(fixed) = received.first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *fixed;
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest > LONGEST_REST {
        return Err(ProxyError::TooLong(rest));
    }
    let local = match command {
        0x20 => true,
        0x21 => false,
        0x22..=0x2f => return Err(ProxyError::Malformed("neither LOCAL nor PROXY")),
        _ => return Err(ProxyError::Malformed("another version than 2")),
    };
    // What stands there for addresses: their kind, and the bytes they need.
    let needed = match family {
        _ if local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(ProxyError::Malformed("not a stream of a known family")),
    };
    if rest < needed {
        return Err(ProxyError::Malformed("too short for its addresses"));
    }
    let Some(rest) = received.get(FIXED..FIXED + rest) else {
        return Ok(None);
    };
    // Both addresses come first, then both ports; what is behind them is skipped.
    let client = match (local, family) {
        (false, 0x11) => take::<4>(rest, 0).map(IpAddr::from).zip(take::<2>(rest, 8)),
        (false, 0x21) => take::<16>(rest, 0)
            .map(IpAddr::from)
            .zip(take::<2>(rest, 32)),
        _ => None,
    };
    Ok(Some(ProxyHeader {
        client: client.map(|(ip, port)| SocketAddr::new(ip, u16::from_be_bytes(port))),
        len: FIXED + rest.len(),
    }))
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

#[cfg(test)]
mod tests;
