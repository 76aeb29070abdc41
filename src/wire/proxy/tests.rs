use proptest::prelude::*;

use super::*;

fn client(text: &str) -> Option<SocketAddr> {
    Some(text.parse().expect("an address"))
}

/// A header of version 2.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).expect("short").to_be_bytes());
    header.extend(rest);
    header
}

/// Addresses of version 2, TLVs behind them.
fn four() -> Vec<u8> {
    let mut rest = vec![203, 0, 113, 7, 192, 0, 2, 1];
    rest.extend(40_001u16.to_be_bytes());
    rest.extend(6_432u16.to_be_bytes());
    // PP2_TYPE_NOOP of three bytes.
    rest.extend([4, 0, 3, 1, 2, 3]);
    rest
}

#[test]
fn lines_of_version_1() {
    for (line, from) in [
        (
            "PROXY TCP4 203.0.113.7 192.0.2.1 40001 6432\r\n",
            client("203.0.113.7:40001"),
        ),
        (
            "PROXY TCP6 2001:db8::7 ::1 65535 0\r\n",
            client("[2001:db8::7]:65535"),
        ),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff:f:f:f \u{7f} whatever\r\n", None),
    ] {
        let header = ProxyHeader {
            client: from,
            len: line.len(),
        };
        let more = [line.as_bytes(), b"\0\0\0\x08"].concat();
        assert_eq!(parse(&more), Ok(Some(header)), "{line}");
    }
    for bad in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 40001\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 40001 6432 \r\n",
        "PROXY TCP4  203.0.113.7 192.0.2.1 40001 6432\r\n",
        "PROXY TCP4 203.0.113.07 192.0.2.1 40001 6432\r\n",
        "PROXY TCP4 ::1 192.0.2.1 40001 6432\r\n",
        "PROXY TCP6 203.0.113.7 ::1 40001 6432\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2 40001 6432\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 65536 6432\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 040 6432\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 +40 6432\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 40 -1\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1  6432\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 40 6432\n\r\n",
        "PROXY tcp4 203.0.113.7 192.0.2.1 40 6432\r\n",
        "PROXY UDP4 203.0.113.7 192.0.2.1 40 6432\r\n",
        "PROXY UNKNOWNX\r\n",
    ] {
        assert!(
            matches!(parse(bad.as_bytes()), Err(ProxyError::Malformed(_))),
            "{bad}"
        );
    }
    let long = |len: usize| format!("PROXY UNKNOWN{}\r\n", " ".repeat(len - 15));
    assert!(matches!(parse(long(107).as_bytes()), Ok(Some(_))));
    assert!(parse(long(108).as_bytes()).is_err());
}

#[test]
fn headers_of_version_2() {
    let mut six = [0x20; 16].to_vec();
    six.extend([1; 16]);
    six.extend(7u16.to_be_bytes());
    six.extend(6_432u16.to_be_bytes());
    for (header, from) in [
        (binary(0x21, 0x11, &four()), client("203.0.113.7:40001")),
        (
            binary(0x21, 0x21, &six),
            client("[2020:2020:2020:2020:2020:2020:2020:2020]:7"),
        ),
        (binary(0x21, 0x31, &[0; 216]), None),
        (binary(0x21, 0x00, &[]), None),
        (binary(0x21, 0x00, &[9; 40]), None),
        // A health check: whatever stands there is skipped.
        (binary(0x20, 0x00, &[]), None),
        (binary(0x20, 0x11, &four()), None),
        (binary(0x20, 0xff, &[]), None),
        (binary(0x21, 0x00, &[0; LONGEST_REST]), None),
    ] {
        let found = ProxyHeader {
            client: from,
            len: header.len(),
        };
        assert_eq!(parse(&[&header[..], b"more"].concat()), Ok(Some(found)));
    }
    for (command, family, rest) in [
        (0x11, 0x11, four()),
        (0x31, 0x11, four()),
        (0x22, 0x11, four()),
        (0x21, 0x12, four()),
        (0x21, 0x41, four()),
        (0x21, 0x11, four()[..11].to_vec()),
        (0x21, 0x21, vec![0; 35]),
        (0x21, 0x31, vec![0; 215]),
    ] {
        assert!(
            matches!(
                parse(&binary(command, family, &rest)),
                Err(ProxyError::Malformed(_))
            ),
            "{command:x} {family:x}"
        );
    }
    // Told by the length alone, before the bytes come.
    let mut huge = SIGNATURE.to_vec();
    huge.extend([0x21, 0x11, 0xff, 0xff]);
    assert_eq!(parse(&huge), Err(ProxyError::TooLong(0xffff)));
}

#[test]
fn anything_else_is_told_at_its_first_byte() {
    for other in [
        &b"\0"[..],
        b"\x16\x03",
        b"Q",
        b"GET / HTTP/1.1",
        b"PROXI",
        b"\r\n\r\nX",
        b"proxy ",
    ] {
        assert_eq!(parse(other), Err(ProxyError::Missing), "{other:?}");
    }
}

proptest! {
    /// However the bytes are cut, the verdict is the same, and only the end brings it.
    #[test]
    fn a_header_in_pieces_is_waited_for(v2 in any::<bool>(), tail in proptest::collection::vec(any::<u8>(), 0..30)) {
        let header = match v2 {
            true => binary(0x21, 0x11, &four()),
            false => b"PROXY TCP4 203.0.113.7 192.0.2.1 40001 6432\r\n".to_vec(),
        };
        let whole = [&header[..], &tail].concat();
        for len in 0..header.len() {
            prop_assert_eq!(parse(&whole[..len]), Ok(None));
        }
        for len in header.len()..=whole.len() {
            let found = parse(&whole[..len]).unwrap().unwrap();
            prop_assert_eq!(found.len, header.len());
            prop_assert_eq!(found.client, client("203.0.113.7:40001"));
        }
    }

    /// No bytes panic, are waited for without end, or count beyond what there is.
    #[test]
    fn any_bytes(v2 in any::<bool>(), noise in proptest::collection::vec(any::<u8>(), 0..6_000)) {
        let front = if v2 { SIGNATURE } else { WORD };
        for bytes in [noise.clone(), [front, &noise].concat()] {
            match parse(&bytes) {
                Ok(Some(header)) => prop_assert!(header.len <= bytes.len()),
                Ok(None) => prop_assert!(bytes.len() < FIXED + LONGEST_REST),
                Err(_) => {}
            }
        }
    }

    #[test]
    fn what_a_proxy_writes_is_read(ip in any::<IpAddr>(), port in any::<u16>()) {
        let (word, family, to) = match ip {
            IpAddr::V4(_) => ("TCP4", 0x11, "192.0.2.1"),
            IpAddr::V6(_) => ("TCP6", 0x21, "2001:db8::1"),
        };
        let line = format!("PROXY {word} {ip} {to} {port} 6432\r\n");
        let told = parse(line.as_bytes()).unwrap().unwrap();
        prop_assert_eq!(told.client, Some(SocketAddr::new(ip, port)));
        let mut rest = match ip {
            IpAddr::V4(ip) => [ip.octets().to_vec(), vec![1; 4]].concat(),
            IpAddr::V6(ip) => [ip.octets().to_vec(), vec![1; 16]].concat(),
        };
        rest.extend(port.to_be_bytes());
        rest.extend([0, 1]);
        let told = parse(&binary(0x21, family, &rest)).unwrap().unwrap();
        prop_assert_eq!(told.client, Some(SocketAddr::new(ip, port)));
    }
}
