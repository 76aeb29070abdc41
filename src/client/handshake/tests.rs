use proptest::prelude::*;

use super::*;
use crate::wire::startup::{GSSENC_REQUEST, SSL_REQUEST, write_cancel, write_code, write_startup};

const TLS: Transport = Transport {
    unix: false,
    can_tls: true,
    must_tls: false,
};
const PLAIN: Transport = Transport {
    can_tls: false,
    ..TLS
};
const MUST: Transport = Transport {
    must_tls: true,
    ..TLS
};
const UNIX: Transport = Transport { unix: true, ..MUST };

fn code(code: u32) -> Vec<u8> {
    let mut out = Vec::new();
    write_code(&mut out, code);
    out
}

fn startup(minor: u16, params: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    write_startup(&mut out, minor, params);
    out
}

fn begin_ignoring(
    minor: u16,
    params: &[(&str, &str)],
    ignored: &[String],
) -> Result<Request, LoginError> {
    let mut bytes = startup(minor, params);
    match Handshake::new(PLAIN, ignored).advance(&mut bytes)? {
        Step::Begin(request) => {
            assert!(bytes.is_empty());
            Ok(*request)
        }
        other => panic!("{other:?}"),
    }
}

fn begin(minor: u16, params: &[(&str, &str)]) -> Result<Request, LoginError> {
    begin_ignoring(minor, params, &[])
}

#[test]
fn ssl_is_answered_once() {
    for (transport, expected) in [
        (TLS, Step::AcceptTls),
        (PLAIN, Step::Decline),
        (UNIX, Step::Decline),
    ] {
        let mut machine = Handshake::new(transport, &[]);
        assert_eq!(machine.advance(&mut code(SSL_REQUEST)).unwrap(), expected);
        assert!(machine.advance(&mut code(SSL_REQUEST)).is_err());
    }
    let mut machine = Handshake::new(TLS, &[]);
    assert_eq!(
        machine.advance(&mut code(GSSENC_REQUEST)).unwrap(),
        Step::Decline
    );
    assert_eq!(
        machine.advance(&mut code(SSL_REQUEST)).unwrap(),
        Step::AcceptTls
    );
    machine.now_encrypted();
    assert!(machine.advance(&mut code(GSSENC_REQUEST)).is_err());
    assert!(machine.advance(&mut code(SSL_REQUEST)).is_err());
    let mut machine = Handshake::new(TLS, &[]);
    assert_eq!(
        machine.advance(&mut code(GSSENC_REQUEST)).unwrap(),
        Step::Decline
    );
    assert!(machine.advance(&mut code(GSSENC_REQUEST)).is_err());
}

#[test]
fn bytes_behind_an_encryption_request_are_fatal() {
    for transport in [TLS, PLAIN, UNIX] {
        for (request, name) in [(SSL_REQUEST, "SSL"), (GSSENC_REQUEST, "GSSAPI encryption")] {
            let mut bytes = code(request);
            bytes.extend(startup(0, &[("user", "u")]));
            let error = Handshake::new(transport, &[])
                .advance(&mut bytes)
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("received unencrypted data after {name} request")
            );
        }
    }
}

#[test]
fn direct_tls_only_at_the_start_and_only_where_tls_is_spoken() {
    let hello = vec![0x16, 3, 1, 0, 200];
    let advance = |t| Handshake::new(t, &[]).advance(&mut hello.clone());
    assert_eq!(advance(TLS).unwrap(), Step::DirectTls);
    assert!(advance(PLAIN).is_err());
    assert!(advance(UNIX).is_err());
    let mut machine = Handshake::new(TLS, &[]);
    machine.advance(&mut code(GSSENC_REQUEST)).unwrap();
    assert!(machine.advance(&mut hello.clone()).is_err());
    let mut machine = Handshake::new(TLS, &[]);
    machine.advance(&mut hello.clone()).unwrap();
    machine.now_encrypted();
    assert!(machine.advance(&mut hello.clone()).is_err());
    assert!(machine.advance(&mut code(SSL_REQUEST)).is_err());
}

#[test]
fn tls_is_required_over_tcp_only() {
    let mut bytes = startup(0, &[("user", "u")]);
    assert!(matches!(
        Handshake::new(MUST, &[]).advance(&mut bytes.clone()),
        Err(LoginError::SslRequired)
    ));
    assert!(matches!(
        Handshake::new(UNIX, &[]).advance(&mut bytes.clone()),
        Ok(Step::Begin(_))
    ));
    let mut machine = Handshake::new(MUST, &[]);
    machine.advance(&mut code(SSL_REQUEST)).unwrap();
    machine.now_encrypted();
    assert!(matches!(machine.advance(&mut bytes), Ok(Step::Begin(_))));
    // A cancel request carries nothing that TLS would protect from its sender.
    let mut cancel = Vec::new();
    write_cancel(&mut cancel, 7, &[1, 2, 3, 4]);
    assert_eq!(
        Handshake::new(MUST, &[]).advance(&mut cancel).unwrap(),
        Step::Cancel {
            pid: 7,
            key: vec![1, 2, 3, 4]
        }
    );
}

#[test]
fn versions_are_negotiated() {
    let user = ("user", "u");
    for minor in 0..=2 {
        let request = begin(minor, &[user]).unwrap();
        assert_eq!((request.minor, request.negotiation.len()), (minor, 0));
    }
    let request = begin(9999, &[user, ("_pq_.a", "1"), ("_pq_.b", "")]).unwrap();
    assert_eq!(request.minor, 2);
    assert_eq!(
        request.negotiation,
        b"v\0\0\0\x1a\0\x03\0\x02\0\0\0\x02_pq_.a\0_pq_.b\0"
    );
    assert!(request.params.is_empty());
    let request = begin(0, &[user, ("_pq_.a", "1")]).unwrap();
    assert_eq!(request.minor, 0);
    assert_eq!(
        request.negotiation,
        b"v\0\0\0\x13\0\x03\0\0\0\0\0\x01_pq_.a\0"
    );

    let mut old = vec![0, 0, 0, 8, 0, 2, 0, 0];
    assert!(matches!(
        Handshake::new(PLAIN, &[]).advance(&mut old),
        Err(LoginError::Startup(_))
    ));
}

#[test]
fn names_and_parameters() {
    let request = begin(
        0,
        &[
            ("user", "u"),
            ("application_name", "first"),
            (
                "options",
                r"-c Search_Path=a\ b -c application_name=o --statement-timeout=5",
            ),
            ("APPLICATION_NAME", "last"),
        ],
    )
    .unwrap();
    assert_eq!(
        (request.user.as_str(), request.database.as_str()),
        ("u", "u")
    );
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    assert_eq!(
        request.params,
        [
            pair("Search_Path", "a b"),
            pair("APPLICATION_NAME", "last"),
            pair("statement_timeout", "5"),
        ]
    );
    assert_eq!(
        begin(0, &[("user", "u"), ("database", "")])
            .unwrap()
            .database,
        "u"
    );
    assert_eq!(
        begin(0, &[("user", "u"), ("database", "d")])
            .unwrap()
            .database,
        "d"
    );
    assert!(matches!(begin(0, &[]), Err(LoginError::NoUser)));
    assert!(matches!(begin(0, &[("user", "")]), Err(LoginError::NoUser)));
    for bad in ["-e", "-c=", "-c =", "--=", "-c", "\\"] {
        assert!(
            matches!(
                begin(0, &[("user", "u"), ("options", bad)]),
                Err(LoginError::BadParameter(_))
            ),
            "{bad}"
        );
    }
    let ignored = ["options".to_owned(), "extra_float_digits".to_owned()];
    let request = begin_ignoring(
        0,
        &[
            ("user", "u"),
            ("options", "-e -c a=b -c ="),
            ("Extra_Float_Digits", "3"),
        ],
        &ignored,
    )
    .unwrap();
    assert_eq!(request.params, [pair("a", "b")]);

    let mut bytes = b"\0\0\0\0\0\x03\0\0user\0\xff\0\0".to_vec();
    bytes[3] = bytes.len() as u8;
    assert!(matches!(
        Handshake::new(PLAIN, &[]).advance(&mut bytes),
        Err(LoginError::BadParameter(_))
    ));
}

#[test]
fn replication_is_a_boolean_or_database() {
    let ask = |v: &str| begin(0, &[("user", "u"), ("replication", v)]).map(|r| r.replication);
    for yes in ["true", "on", "1", "yes", "T", "tru", "ye"] {
        assert_eq!(ask(yes).unwrap(), Some(Replication::Physical), "{yes}");
    }
    assert_eq!(ask("Database").unwrap(), Some(Replication::Logical));
    for no in ["false", "off", "0", "no", "f"] {
        assert_eq!(ask(no).unwrap(), None, "{no}");
    }
    for bad in ["", "o", "2", "maybe", "databas"] {
        assert!(ask(bad).is_err(), "{bad}");
    }
}

#[test]
fn anything_else_first_is_refused() {
    for first in [
        &b"p\0\0\0\x08abc\0"[..],
        b"Q\0\0\0\x05\0",
        b"GET / HTTP/1.1\r\n",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
    ] {
        assert!(
            Handshake::new(PLAIN, &[])
                .advance(&mut first.to_vec())
                .is_err(),
            "{first:?}"
        );
    }
    // Long names are fine up to the packet's limit.
    let long = "x".repeat(9_000);
    assert_eq!(begin(0, &[("user", &long)]).unwrap().user, long);
}

proptest! {
    #[test]
    fn any_split_gives_the_same_request(at in any::<prop::sample::Index>()) {
        let whole = startup(2, &[("user", "u"), ("database", "d"), ("a", "b")]);
        let (front, back) = whole.split_at(at.index(whole.len()));
        let mut machine = Handshake::new(PLAIN, &[]);
        let mut received = front.to_vec();
        prop_assert_eq!(machine.advance(&mut received).unwrap(), Step::Read);
        received.extend(back);
        received.extend(b"next");
        let step = machine.advance(&mut received).unwrap();
        prop_assert!(matches!(step, Step::Begin(_)));
        prop_assert_eq!(received, b"next");
    }

    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), body in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = Handshake::new(TLS, &[]).advance(&mut bytes);
        let mut packet = (8 + body.len() as u32).to_be_bytes().to_vec();
        packet.extend([0, 3, 0, 0]);
        packet.extend(body);
        let _ = Handshake::new(TLS, &[]).advance(&mut packet);
    }
}
