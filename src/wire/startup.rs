//! The packets that have no tag: StartupMessage and what may come in its place.

use super::limits;

/// `80877103`: may we speak TLS?
pub const SSL_REQUEST: u32 = 80_877_103;
/// `80877104`: may we speak GSSAPI?
pub const GSSENC_REQUEST: u32 = 80_877_104;
/// `80877102`: cancel the query of another connection.
pub const CANCEL_REQUEST: u32 = 80_877_102;
/// Newest minor version of protocol 3 that is spoken here.
pub const NEWEST_MINOR: u16 = 2;

/// Names and values of a StartupMessage, in order.
pub type Params<'a> = Vec<(&'a [u8], &'a [u8])>;

/// A packet of the startup phase; strings are as they came, of unknown encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartupPacket<'a> {
    /// SSLRequest.
    Ssl,
    /// GSSENCRequest.
    GssEnc,
    /// CancelRequest with the key that BackendKeyData gave.
    Cancel {
        /// Process id of the key.
        pid: u32,
        /// Secret, 4 to 256 bytes.
        key: &'a [u8],
    },
    /// StartupMessage of protocol 3.
    Startup {
        /// Minor version asked for.
        minor: u16,
        /// Names and values in order.
        params: Params<'a>,
    },
}

/// Why a packet of the startup phase is refused. The connection is closed; the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// The length field is out of range.
    #[error("invalid length of startup packet: {0}")]
    Length(u32),
    /// Protocol 2 and older.
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2")]
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// The body does not have the right form.
    #[error("invalid startup packet layout: {0}")]
    Layout(&'static str),
}

/// Size of the packet at the front of `buf`, length field included; `None` while fewer than four
/// bytes are there.
///
/// # Errors
///
/// [`StartupError::Length`] below 8 or above [`limits::STARTUP`] bytes.
pub fn packet_len(buf: &[u8]) -> Result<Option<usize>, StartupError> {
    let &[a, b, c, d, ..] = buf else {
        return Ok(None);
    };
    let len = u32::from_be_bytes([a, b, c, d]);
    if !(8..=limits::STARTUP + 4).contains(&len) {
        return Err(StartupError::Length(len));
    }
    Ok(Some(len as usize))
}

/// Reads one whole packet, as long as [`packet_len`] said.
///
/// # Errors
///
/// Any [`StartupError`].
///
/// Source: PostgreSQL, `ProcessStartupPacket`.
pub fn parse(packet: &[u8]) -> Result<StartupPacket<'_>, StartupError> {
    let (Some(code), Some(rest)) = (packet.get(4..8), packet.get(8..)) else {
        return Err(StartupError::Layout("too short"));
    };
    let code = u32::from_be_bytes([code[0], code[1], code[2], code[3]]);
    match code {
        SSL_REQUEST if rest.is_empty() => Ok(StartupPacket::Ssl),
        GSSENC_REQUEST if rest.is_empty() => Ok(StartupPacket::GssEnc),
        SSL_REQUEST | GSSENC_REQUEST => Err(StartupError::Layout("encryption request too long")),
        CANCEL_REQUEST => {
            let (Some(pid), Some(key)) = (rest.get(..4), rest.get(4..)) else {
                return Err(StartupError::Layout("cancel request too short"));
            };
            if !(4..=256).contains(&key.len()) {
                return Err(StartupError::Layout("cancel key must have 4 to 256 bytes"));
            }
            let pid = u32::from_be_bytes([pid[0], pid[1], pid[2], pid[3]]);
            Ok(StartupPacket::Cancel { pid, key })
        }
        _ => {
            let (major, minor) = ((code >> 16) as u16, code as u16);
            if major != 3 {
                return Err(StartupError::Version { major, minor });
            }
            Ok(StartupPacket::Startup {
                minor,
                params: parse_params(rest)?,
            })
        }
    }
}

fn parse_params(mut rest: &[u8]) -> Result<Params<'_>, StartupError> {
    let mut params = Vec::new();
    loop {
        let name = take_cstr(&mut rest).ok_or(StartupError::Layout("no terminator"))?;
        if name.is_empty() {
            break;
        }
        let value = take_cstr(&mut rest).ok_or(StartupError::Layout("name without a value"))?;
        params.push((name, value));
    }
    if !rest.is_empty() {
        return Err(StartupError::Layout("expected terminator as last byte"));
    }
    Ok(params)
}

/// Takes the bytes before the next NUL off the front of `rest`, and the NUL.
#[inline]
pub(crate) fn take_cstr<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    // Names are mostly empty.
    if let [0, tail @ ..] = *rest {
        *rest = tail;
        return Some(&[]);
    }
    let end = memchr::memchr(0, rest)?;
    let (text, tail) = rest.split_at(end);
    *rest = &tail[1..];
    Some(text)
}

/// Appends a StartupMessage for protocol `3.minor`.
pub fn write_startup(out: &mut Vec<u8>, minor: u16, params: &[(&str, &str)]) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(3u16.to_be_bytes());
    out.extend(minor.to_be_bytes());
    for (name, value) in params {
        out.extend(name.as_bytes());
        out.push(0);
        out.extend(value.as_bytes());
        out.push(0);
    }
    out.push(0);
    let len = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

/// Appends a request that is only a code: [`SSL_REQUEST`] or [`GSSENC_REQUEST`].
pub fn write_code(out: &mut Vec<u8>, code: u32) {
    out.extend(8u32.to_be_bytes());
    out.extend(code.to_be_bytes());
}

/// Appends a CancelRequest.
pub fn write_cancel(out: &mut Vec<u8>, pid: u32, key: &[u8]) {
    out.extend((12 + key.len() as u32).to_be_bytes());
    out.extend(CANCEL_REQUEST.to_be_bytes());
    out.extend(pid.to_be_bytes());
    out.extend(key);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn startup_round_trip() {
        let mut out = Vec::new();
        write_startup(&mut out, 2, &[("user", "u"), ("database", "")]);
        assert_eq!(packet_len(&out), Ok(Some(out.len())));
        assert_eq!(
            parse(&out),
            Ok(StartupPacket::Startup {
                minor: 2,
                params: vec![(b"user", b"u"), (b"database", b"")],
            })
        );
    }

    #[test]
    fn odd_packets_are_refused() {
        for len in [0, 4, 7, 10_005, u32::MAX, 0x8000_0000] {
            assert!(packet_len(&len.to_be_bytes()).is_err(), "{len}");
        }
        let with = |code: u32, rest: &[u8]| {
            let mut p = (8 + rest.len() as u32).to_be_bytes().to_vec();
            p.extend(code.to_be_bytes());
            p.extend(rest);
            parse(&p).map(|_| ())
        };
        assert!(with(SSL_REQUEST, b"x").is_err());
        assert!(with(0x0002_0000, b"\0").is_err());
        assert!(with(0x0003_0000, b"").is_err());
        assert!(with(0x0003_0000, b"user\0").is_err());
        assert!(with(0x0003_0000, b"user\0a\0\0x").is_err());
        assert!(with(0x0003_0000, b"user\0a\0").is_err());
        assert!(with(CANCEL_REQUEST, b"\0\0\0\x01abc").is_err());
        assert!(with(CANCEL_REQUEST, &[1; 4 + 257]).is_err());
        assert!(with(CANCEL_REQUEST, &[1; 4 + 256]).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = packet_len(&bytes);
            let _ = parse(&bytes);
        }
    }
}
