//! TLS towards servers.

use std::path::PathBuf;

use super::*;
use crate::tls::ClientLeg;
use crate::tls::tests::Files;

struct Certificates {
    files: Files,
    clients: ClientLeg,
    cert: PathBuf,
}

/// A server with a self-signed certificate for 127.0.0.1, as `openssl req -x509` makes it.
fn certificates() -> Certificates {
    let files = Files::new();
    let (cert, key) = files.self_signed("own", &["127.0.0.1"], "own");
    let server = tls_settings(SslMode::Require, None, Some(&cert), Some(&key));
    Certificates {
        clients: ClientLeg::build(&server).unwrap(),
        cert,
        files,
    }
}

fn leg(mode: SslMode, ca: Option<&PathBuf>) -> Option<Arc<ServerLeg>> {
    let leg = ServerLeg::build(&tls_settings(mode, ca, None, None)).unwrap();
    Some(Arc::new(leg))
}

/// Takes the SSLRequest, says `S` and shakes hands; `false` if the client did not like it.
async fn encrypt(peer: &mut Peer, clients: &ClientLeg) -> bool {
    let packet = peer.packet().await;
    assert_eq!(startup::parse(&packet).unwrap(), StartupPacket::Ssl);
    peer.send(b"S").await;
    let (spare, _) = tokio::net::UnixStream::pair().unwrap();
    let plain = std::mem::replace(&mut peer.io, Stream::from_unix(spare));
    match plain.accept_tls(clients.config.clone(), Vec::new()).await {
        Ok(stream) => {
            peer.io = stream;
            true
        }
        Err(_) => false,
    }
}

#[tokio::test]
async fn a_trusted_self_signed_certificate_passes_verify_full() {
    let own = certificates();
    let (stranger, _) = own.files.self_signed("stranger", &["127.0.0.1"], "own");
    for (tls, good) in [
        (leg(SslMode::VerifyFull, Some(&own.cert)), true),
        (leg(SslMode::VerifyCa, Some(&own.cert)), true),
        (leg(SslMode::VerifyFull, Some(&stranger)), false),
        (leg(SslMode::Require, None), true),
        (leg(SslMode::Prefer, None), true),
    ] {
        let result = run(
            |spec| spec.tls = tls,
            async |peer| {
                if encrypt(peer, &own.clients).await {
                    peer.startup().await;
                    peer.welcome().await;
                }
            },
        )
        .await;
        match result {
            Ok(connected) => assert!(good && connected.tls),
            Err(error) => assert!(!good && matches!(error, ConnectError::Tls(_)), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_declined_request_counts_by_mode() {
    for (mode, good) in [
        (SslMode::Allow, true),
        (SslMode::Prefer, true),
        (SslMode::Require, false),
    ] {
        let result = run(
            |spec| spec.tls = leg(mode, None),
            async |peer| {
                peer.packet().await;
                peer.send(b"N").await;
                if good {
                    peer.startup().await;
                    peer.welcome().await;
                } else {
                    assert_eq!(peer.fill().await, 0, "nothing in plain text");
                }
            },
        )
        .await;
        match result {
            Ok(connected) => assert!(good && !connected.tls),
            Err(error) => assert!(
                !good && matches!(error, ConnectError::TlsRefused),
                "{error}"
            ),
        }
    }
}

/// The mirror image of CVE-2021-3935, and other answers to SSLRequest.
#[tokio::test]
async fn odd_answers_to_an_encryption_request() {
    let error = fatal("53300", "too many connections");
    for mode in [SslMode::Prefer, SslMode::Require] {
        let of_error = match mode {
            SslMode::Prefer => "too many connections",
            _ => "invalid response",
        };
        for (answer, text) in [
            (&b"SE\0\0\0\x05\0"[..], "unencrypted data"),
            (b"NR\0\0\0\x08\0\0\0\0", "unencrypted data"),
            (b"X", "invalid response"),
            (b"R", "invalid response"),
            (error.as_slice(), of_error),
        ] {
            let result = run(
                |spec| spec.tls = leg(mode, None),
                async |peer| {
                    peer.packet().await;
                    peer.send(answer).await;
                    peer.fill().await;
                },
            )
            .await;
            let error = result.unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}

#[tokio::test]
async fn cancel_is_encrypted_as_the_connection_is() {
    let own = certificates();
    let server = Listening::new().await;
    let target = shared(
        &server,
        leg(SslMode::VerifyFull, Some(&own.cert)),
        "TLSv1.3/x",
    );
    let limit = Duration::from_secs(20);
    let serve = async {
        let mut peer = server.accept().await;
        assert!(encrypt(&mut peer, &own.clients).await);
        let packet = peer.packet().await;
        assert!(matches!(
            startup::parse(&packet).unwrap(),
            StartupPacket::Cancel { pid: 77, .. }
        ));
    };
    let (result, ()) = tokio::join!(send_cancel(&target, limit), serve);
    result.unwrap();
    // Rather no cancel than one in plain text.
    let serve = async {
        let mut peer = server.accept().await;
        peer.packet().await;
        peer.send(b"N").await;
        assert_eq!(peer.fill().await, 0);
    };
    let (result, ()) = tokio::join!(send_cancel(&target, limit), serve);
    assert!(
        matches!(result, Err(ConnectError::TlsRefused)),
        "{result:?}"
    );
}

#[tokio::test]
async fn our_login_is_bound_to_the_certificate_as_the_policy_says() {
    use crate::auth::scram_server::Binding as Theirs;
    let own = certificates();
    let hash = own.clients.end_point_hash.clone().unwrap();
    let both: &[u8] = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    let plain: &[u8] = b"SCRAM-SHA-256\0\0";
    let bound = Theirs::EndPoint(&hash);
    // Offered, how the server sees it, whether the login works.
    for (policy, offer, theirs, works) in [
        (ChannelBinding::Prefer, both, bound, true),
        (ChannelBinding::Require, both, bound, true),
        (ChannelBinding::Disable, both, Theirs::Declined, true),
        (ChannelBinding::Prefer, plain, Theirs::Impossible, true),
        // The server did offer it; somebody between took it off the list.
        (ChannelBinding::Prefer, plain, Theirs::Declined, false),
        (ChannelBinding::Require, plain, Theirs::Impossible, false),
        // Somebody between shows a certificate of its own.
        (
            ChannelBinding::Prefer,
            both,
            Theirs::EndPoint(&[3; 32]),
            false,
        ),
    ] {
        let mut settings = tls_settings(SslMode::Require, None, None, None);
        settings.binding = policy;
        let leg = Some(Arc::new(ServerLeg::build(&settings).unwrap()));
        let keys = ScramKeys::derive("secret", b"salt", 70);
        let verifier = keys.verifier(b"salt", 70);
        let result = run(
            |spec| {
                spec.tls = leg;
                spec.credentials = password("secret");
            },
            async |peer| {
                assert!(encrypt(peer, &own.clients).await);
                peer.startup().await;
                peer.request(10, offer).await;
                if policy == ChannelBinding::Require && !works {
                    assert_eq!(peer.fill().await, 0);
                    return;
                }
                let body = peer.password().await;
                let initial = sasl::parse_initial(&body).unwrap();
                let Ok(first) = ClientFirst::parse(initial.data.unwrap(), theirs) else {
                    return;
                };
                let (waiting, message) = first.challenge(b"salt", 70, "servernonce");
                peer.request(11, message.as_bytes()).await;
                let answer = peer.password().await;
                if let Ok(proven) = waiting.finish(&answer, Some(&verifier)) {
                    peer.request(12, proven.server_final.as_bytes()).await;
                    peer.welcome().await;
                }
            },
        )
        .await;
        assert_eq!(result.is_ok(), works, "{policy:?} {theirs:?}: {result:?}");
    }
    // A server that asks for nothing, or for the password itself, proves nothing.
    for code in [0u32, 3] {
        let mut settings = tls_settings(SslMode::Require, None, None, None);
        settings.binding = ChannelBinding::Require;
        let leg = Some(Arc::new(ServerLeg::build(&settings).unwrap()));
        let result = run(
            |spec| {
                spec.tls = leg;
                spec.credentials = password("secret");
            },
            async |peer| {
                assert!(encrypt(peer, &own.clients).await);
                peer.startup().await;
                peer.request(code, &[]).await;
                assert_eq!(peer.fill().await, 0, "no password");
            },
        )
        .await;
        assert!(matches!(result, Err(ConnectError::Unbound)), "{result:?}");
    }
}
