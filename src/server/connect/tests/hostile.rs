//! Servers that lie, stall or break the protocol.

use super::*;
use crate::auth::scram::ScramError;

async fn answer(bytes: &[u8]) -> Result<Connected, ConnectError> {
    run(
        |spec| spec.credentials = password("secret"),
        async |peer| {
            peer.startup().await;
            let _ = peer.io.write_all(bytes).await;
            let _ = peer.io.shutdown().await;
            while peer.fill().await > 0 {}
        },
    )
    .await
}

/// Connects with a password to a server that begins SCRAM and goes on with `script`, which gets our
/// first message.
async fn scram(script: impl AsyncFn(&mut Peer, String)) -> Result<Connected, ConnectError> {
    run(
        |spec| spec.credentials = password("secret"),
        async |peer| {
            peer.startup().await;
            peer.request(10, b"SCRAM-SHA-256\0\0").await;
            let body = peer.password().await;
            let data = sasl::parse_initial(&body).unwrap().data.unwrap();
            script(peer, String::from_utf8(data.to_vec()).unwrap()).await;
        },
    )
    .await
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::message(&mut out, tag, |out| out.extend(body));
    out
}

/// CVE-2026-6666: ErrorResponse with any subset of fields, and none.
#[tokio::test]
async fn errors_of_any_form() {
    let fields: [&[u8]; 4] = [b"SFATAL\0", b"VFATAL\0", b"C57P03\0", b"Mwhy\0"];
    for subset in 0..16 {
        for end in [&b"\0"[..], b"", b"C", b"M\xff\xfe"] {
            let mut body = Vec::new();
            for (at, field) in fields.iter().enumerate() {
                if subset & (1 << at) != 0 {
                    body.extend(*field);
                }
            }
            body.extend(end);
            match answer(&message(b'E', &body)).await {
                Err(ConnectError::Server { sqlstate, raw, .. }) => {
                    let expected = if subset & 4 != 0 { "57P03" } else { "XX000" };
                    assert_eq!(sqlstate.as_str(), expected);
                    assert_eq!(raw, body);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    // The error's length is bounded as everything's.
    let long = message(b'E', &vec![b'x'; limits::SERVER_LOGIN as usize + 1]);
    assert!(matches!(answer(&long).await, Err(ConnectError::Frame(_))));
}

#[tokio::test]
async fn malformed_messages_end_the_login() {
    let ok = message(b'R', &[0; 4]);
    let after_ok = |more: &[u8]| [ok.as_slice(), more].concat();
    for bytes in [
        message(b'R', b""),
        message(b'R', b"\0\0"),
        message(b'R', b"\0\0\0\x05abc"),
        message(b'R', b"\0\0\0\x0b"),
        message(b'R', b"\0\0\0\x0c"),
        message(b'R', b"\0\0\0\x63"),
        message(b'Z', b"I"),
        message(b'K', &[0; 8]),
        message(b'S', b"a\0b\0"),
        message(b'v', b"\0"),
        message(b'v', b"\0\x04\0\0\0\0\0\0"),
        message(b'D', b"\0\0"),
        message(b'1', b""),
        message(0, b""),
        b"R\0\0\0\x03".to_vec(),
        b"R\xff\xff\xff\xff".to_vec(),
        b"E\x7f\xff\xff\xff".to_vec(),
        after_ok(&ok),
        after_ok(&message(b'R', b"\0\0\0\x03")),
        after_ok(&message(b'Z', b"T")),
        after_ok(&message(b'Z', b"")),
        after_ok(&message(b'S', b"a")),
        after_ok(&message(b'S', b"a\0b")),
        after_ok(&message(b'K', &[0; 7])),
        after_ok(&message(b'K', &[0; 4 + 257])),
        after_ok(&[message(b'K', &[1; 8]), message(b'K', &[1; 8])].concat()),
        after_ok(&message(b'v', b"\0\x03\0\0\0\0\0\0")),
        after_ok(&[message(b'Z', b"I"), message(b'N', b"\0")].concat()),
        // HTTP servers answer, too.
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
    ] {
        let result = answer(&bytes).await;
        assert!(
            matches!(
                result,
                Err(ConnectError::Protocol(_) | ConnectError::Frame(_))
            ),
            "{bytes:?}: {result:?}"
        );
    }
    for code in [2u8, 6, 7, 9] {
        let result = answer(&message(b'R', &[0, 0, 0, code])).await;
        assert!(
            matches!(result, Err(ConnectError::Unsupported(_))),
            "{result:?}"
        );
    }
    let plus = answer(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0")).await;
    assert!(matches!(plus, Err(ConnectError::Unsupported(_))));
}

#[tokio::test]
async fn floods_are_bounded() {
    let many = message(b'N', b"\0").repeat(5_000);
    let result = answer(&many).await;
    assert!(
        matches!(result, Err(ConnectError::Protocol(_))),
        "{result:?}"
    );
    let mut large = message(b'R', &[0; 4]);
    for n in 0..10 {
        let mut body = format!("p{n}\0").into_bytes();
        body.extend(vec![b'x'; 60_000]);
        body.push(0);
        large.extend(message(b'S', &body));
    }
    let result = answer(&large).await;
    assert!(
        matches!(result, Err(ConnectError::Protocol(_))),
        "{result:?}"
    );
}

/// A server that would have us believe it without its own proof, or with a false one.
#[tokio::test]
async fn a_server_cannot_skip_its_proof() {
    let impostor = |result: Result<Connected, ConnectError>| {
        assert!(
            matches!(&result, Err(ConnectError::Scram(ScramError::WrongServer))),
            "{result:?}"
        );
    };
    impostor(scram(async |peer, _| peer.welcome().await).await);
    for forged in [false, true] {
        let result = scram(async |peer, first| {
            let first = ClientFirst::parse(first.as_bytes(), Binding::Impossible).unwrap();
            let (_, message) = first.challenge(b"salt", 70, "x");
            peer.request(11, message.as_bytes()).await;
            peer.password().await;
            if forged {
                let proof = format!("v={}", crate::auth::scram::encode(&[7; 32]));
                peer.request(12, proof.as_bytes()).await;
            }
            peer.welcome().await;
        });
        impostor(result.await);
    }
}

/// CVE-2026-6669 and CVE-2026-6665: iterations and nonces of a hostile server.
#[tokio::test]
async fn scram_challenges_are_bounded() {
    for tail in [
        "s=AAAA,i=2147483647",
        "s=AAAA,i=1000001",
        "s=AAAA,i=0",
        "s=,i=1",
        "i=1",
    ] {
        let result = scram(async |peer, first| {
            let nonce = first.split("r=").nth(1).unwrap();
            peer.request(11, format!("r={nonce}x,{tail}").as_bytes())
                .await;
            peer.fill().await;
        })
        .await;
        assert!(
            matches!(result, Err(ConnectError::Scram(_))),
            "{tail}: {result:?}"
        );
    }
    for len in [0, 1, 511, 512, 513, 4_096, 8_192, 60_000] {
        let result = scram(async |peer, first| {
            let nonce = first.split("r=").nth(1).unwrap();
            let message = format!("r={nonce}{},s=AAAA,i=1", "x".repeat(len));
            peer.request(11, message.as_bytes()).await;
            peer.fill().await;
            let _ = peer.io.write_all(&fatal("28P01", "as far as this")).await;
        })
        .await;
        let answered = (1..=4_096).contains(&len);
        match result {
            Err(ConnectError::Server { .. }) => assert!(answered, "{len}"),
            Err(ConnectError::Scram(_)) => assert!(!answered, "{len}"),
            other => panic!("{len}: {other:?}"),
        }
    }
}

/// A password is not shown to a server that already has another proof.
#[tokio::test]
async fn a_second_request_is_refused() {
    let result = run(
        |spec| spec.credentials = password("secret"),
        async |peer| {
            peer.startup().await;
            peer.request(5, b"abcd").await;
            peer.password().await;
            peer.request(3, b"").await;
            assert_eq!(peer.fill().await, 0, "nothing is sent");
        },
    )
    .await;
    assert!(
        matches!(result, Err(ConnectError::Protocol(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let connected = run(
        |_| {},
        async |peer| {
            peer.startup().await;
            for byte in welcome() {
                peer.send(&[byte]).await;
                tokio::task::yield_now().await;
            }
        },
    )
    .await
    .unwrap();
    assert_eq!(connected.params.len(), 2);
}
