//! Logins over TLS and the ways around it.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::error::ClientFacing;
use crate::tls::tests::Files;
use crate::tls::{ServerLeg, client::server_name};

fn encrypted(files: &Files, auth_type: AuthType, mode: SslMode) -> Config {
    let (cert, key) = files.self_signed("own", &["db.example"], "own");
    let mut config = config(auth_type);
    config.settings.client_tls = tls_settings(mode, None, Some(&cert), Some(&key));
    config
}

fn leg() -> ServerLeg {
    ServerLeg::build(&tls_settings(SslMode::Require, None, None, None)).unwrap()
}

async fn shake(p: Peer<TcpStream>, leg: &ServerLeg) -> std::io::Result<Stream> {
    let name = server_name("db.example", IpAddr::V4(Ipv4Addr::LOCALHOST), leg.mode).unwrap();
    Stream::from_tcp(p.io)
        .connect_tls(leg.config.clone(), name)
        .await
}

async fn ask_for_tls(p: &mut Peer<TcpStream>) -> u8 {
    let mut out = Vec::new();
    write_code(&mut out, SSL_REQUEST);
    p.send(&out).await;
    p.io.read_u8().await.unwrap()
}

fn startup(user: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_startup(&mut out, 0, &[("user", user), ("database", "db")]);
    out
}

#[tokio::test]
async fn tls_by_request_and_directly() {
    let files = Files::new();
    let config = encrypted(&files, AuthType::Any, SslMode::Require);
    for direct in [false, true] {
        let (result, _stream) = run_tcp(&config, async |mut p| {
            if !direct {
                assert_eq!(ask_for_tls(&mut p).await, b'S');
            }
            let mut stream = shake(p, &leg()).await.unwrap();
            stream.write_all(&startup("u")).await.unwrap();
            stream
        })
        .await;
        let login = login(result);
        assert!(login.stream.is_tls());
        assert_eq!(login.stream.tls_info().unwrap().version, "TLSv1.3");
    }
}

#[tokio::test]
async fn direct_tls_needs_alpn() {
    let files = Files::new();
    let config = encrypted(&files, AuthType::Any, SslMode::Require);
    let mut silent = (*leg().config).clone();
    silent.alpn_protocols.clear();
    let mut other = silent.clone();
    other.alpn_protocols = vec![b"http/1.1".to_vec()];
    let with = |config: rustls::ClientConfig| ServerLeg {
        mode: SslMode::Require,
        binding: ChannelBinding::Prefer,
        config: Arc::new(config),
    };
    let (result, answer) = run_tcp(&config, async |p| {
        let mut stream = shake(p, &with(silent)).await.unwrap();
        let mut buf = [0; 512];
        let n = stream.read_some(&mut buf).await.unwrap();
        buf[..n].to_vec()
    })
    .await;
    assert!(matches!(result, Err(LoginError::Protocol(_))), "{result:?}");
    assert_eq!(answer[0], b'E');
    let (result, ok) = run_tcp(&config, async |p| shake(p, &with(other)).await.is_ok()).await;
    assert!(matches!(result, Err(LoginError::Tls(_))) && !ok);
}

/// CVE-2021-3935: plain text slipped in before the handshake.
#[tokio::test]
async fn nothing_plain_slips_in_before_tls() {
    let files = Files::new();
    for mode in [SslMode::Disable, SslMode::Prefer, SslMode::Require] {
        let config = encrypted(&files, AuthType::Any, mode);
        let (result, error) = run_tcp(&config, async |mut p| {
            let mut out = Vec::new();
            write_code(&mut out, SSL_REQUEST);
            out.extend(startup("u"));
            p.send(&out).await;
            p.error().await
        })
        .await;
        assert!(matches!(result, Err(LoginError::UnencryptedData(_))));
        assert_eq!(error.1, "received unencrypted data after SSL request");
    }
}

#[tokio::test]
async fn modes_decide_over_tcp_and_not_over_unix_sockets() {
    let files = Files::new();
    let require = encrypted(&files, AuthType::Any, SslMode::Require);
    let (_, error) = run_tcp(&require, async |mut p| {
        p.send(&startup("u")).await;
        p.error().await
    })
    .await;
    assert_eq!(error, ("28000".to_owned(), "SSL required".to_owned()));
    let (result, answer) = run(&require, async |p| {
        let mut out = Vec::new();
        write_code(&mut out, SSL_REQUEST);
        p.send(&out).await;
        let answer = p.io.read_u8().await.unwrap();
        p.startup("u", "db").await;
        answer
    })
    .await;
    login(result);
    assert_eq!(answer, b'N');

    let allow = encrypted(&files, AuthType::Any, SslMode::Allow);
    let (result, _peer) = run_tcp(&allow, async |mut p| {
        p.send(&startup("u")).await;
        p
    })
    .await;
    assert!(!login(result).stream.is_tls());
    let (result, _peer) = run_tcp(&config(AuthType::Any), async |mut p| {
        assert_eq!(ask_for_tls(&mut p).await, b'N');
        p.send(&startup("u")).await;
        p
    })
    .await;
    login(result);
}

#[tokio::test]
async fn certificates_name_the_user_exactly() {
    let files = Files::new();
    let mut config = encrypted(&files, AuthType::Cert, SslMode::VerifyFull);
    let (ca, cert, key) = files.issued("alice", &["bob"], "alice");
    config.settings.client_tls.ca_file = Some(ca);
    let identity = tls_settings(SslMode::Require, None, Some(&cert), Some(&key));
    let leg = ServerLeg::build(&identity).unwrap();
    // Neither case nor an alternative name is good enough.
    for (user, good) in [("alice", true), ("Alice", false), ("bob", false)] {
        let (result, _stream) = run_tcp(&config, async |mut p| {
            assert_eq!(ask_for_tls(&mut p).await, b'S');
            let mut stream = shake(p, &leg).await.unwrap();
            stream.write_all(&startup(user)).await.unwrap();
            stream.shutdown().await.unwrap();
            stream
        })
        .await;
        assert_eq!(matches!(result, Ok(Accepted::Login(_))), good, "{user}");
    }
    // Without TLS there is no certificate.
    config.settings.client_tls.mode = SslMode::Disable;
    let (_, error) = run_tcp(&config, async |mut p| {
        p.send(&startup("alice")).await;
        p.error().await
    })
    .await;
    assert_eq!(error.0, "28000");
}

#[tokio::test]
async fn a_broken_handshake_ends_quietly() {
    let files = Files::new();
    let config = encrypted(&files, AuthType::Any, SslMode::Require);
    let (result, ()) = run_tcp(&config, async |mut p| {
        assert_eq!(ask_for_tls(&mut p).await, b'S');
        p.send(&startup("u")).await;
        let mut rest = Vec::new();
        let _ = p.io.read_to_end(&mut rest).await;
        // At most an alert, never an answer in plain text.
        assert!(rest.first().is_none_or(|&b| b == 0x15), "{rest:?}");
    })
    .await;
    assert!(matches!(result, Err(LoginError::Tls(_))), "{result:?}");
}

/// A login by SCRAM over TLS: what was offered, and what came of it with the mechanism and binding
/// that the script chooses from the offer and the certificate's hash.
async fn by_scram(
    binding: ChannelBinding,
    choose: impl Fn(&[u8]) -> (&'static [u8], scram_client::Binding),
) -> (Vec<u8>, Result<Accepted, LoginError>) {
    let files = Files::new();
    let mut config = encrypted(&files, AuthType::ScramSha256, SslMode::Require);
    config.settings.client_tls.binding = binding;
    let leg = leg();
    let (result, offer) = run_tcp(&config, async |mut p| {
        assert_eq!(ask_for_tls(&mut p).await, b'S');
        let stream = shake(p, &leg).await.unwrap();
        let certificate = stream.peer_certificate().unwrap();
        let hash = crate::tls::material::end_point_hash(certificate).unwrap();
        let mut p = Shaken(stream);
        p.0.write_all(&startup("stored")).await.unwrap();
        let (mechanism, binding) = choose(&hash);
        let offer = p.request().await;
        let (waiting, first) = scram_client::start("nonce".to_owned(), &binding);
        p.password(&sasl::write_initial(mechanism, first.as_bytes()))
            .await;
        if let Some(data) = p.maybe().await {
            let challenge = waiting.server_first(&data).unwrap();
            let keys = ScramKeys::derive(VERIFIER_PASSWORD, &challenge.salt, challenge.iterations);
            p.password(&challenge.answer(&keys).1).await;
        }
        offer
    })
    .await;
    (offer, result)
}

/// A client behind its handshake.
struct Shaken(Stream);

impl Shaken {
    async fn read(&mut self) -> (u8, Vec<u8>) {
        let mut received = Vec::new();
        loop {
            if let Some((header, body)) =
                crate::wire::header::take_frame(&received, 1 << 20).unwrap()
            {
                return (header.tag, body.to_vec());
            }
            let mut chunk = [0; 512];
            let n = self.0.read_some(&mut chunk).await.unwrap();
            assert_ne!(n, 0);
            received.extend(&chunk[..n]);
        }
    }

    /// The data of an authentication request.
    async fn request(&mut self) -> Vec<u8> {
        self.maybe().await.unwrap()
    }

    /// The same, or `None` if an error came instead.
    async fn maybe(&mut self) -> Option<Vec<u8>> {
        let (tag, body) = self.read().await;
        (tag == b'R').then(|| body[4..].to_vec())
    }

    async fn password(&mut self, body: &[u8]) {
        let mut out = Vec::new();
        write::message(&mut out, b'p', |out| out.extend(body));
        self.0.write_all(&out).await.unwrap();
    }
}

#[tokio::test]
async fn scram_is_bound_to_the_certificate_that_was_shown() {
    use crate::auth::scram::ScramError;
    use scram_client::Binding;
    let (plain, plus) = (sasl::SCRAM_SHA_256, sasl::SCRAM_SHA_256_PLUS);
    let end_point = |hash: &[u8]| (plus, Binding::EndPoint(hash.to_vec()));
    let (offer, result) = by_scram(ChannelBinding::Prefer, end_point).await;
    assert_eq!(offer, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
    assert!(login(result).scram_keys.is_some());
    let (offer, result) = by_scram(ChannelBinding::Require, end_point).await;
    assert_eq!(offer, b"SCRAM-SHA-256-PLUS\0\0");
    login(result);

    // Somebody between with another certificate, or who took the offer off the list.
    let other = |_: &[u8]| (plus, Binding::EndPoint(vec![1; 32]));
    let (_, result) = by_scram(ChannelBinding::Prefer, other).await;
    let error = result.unwrap_err();
    assert!(matches!(error, LoginError::Scram(ScramError::Binding(_))));
    assert_eq!(error.sqlstate(), SqlState::INVALID_AUTHORIZATION);
    let lied_to = |_: &[u8]| (plain, Binding::NotOffered);
    let (_, result) = by_scram(ChannelBinding::Prefer, lied_to).await;
    assert!(matches!(
        result,
        Err(LoginError::Scram(ScramError::Binding(_)))
    ));
    // Who cannot do it may go without, unless it is demanded; and what was not offered is no choice.
    let unable = |_: &[u8]| (plain, Binding::Impossible);
    login(by_scram(ChannelBinding::Prefer, unable).await.1);
    let (_, result) = by_scram(ChannelBinding::Require, unable).await;
    assert!(matches!(result, Err(LoginError::Protocol(_))));
    let (offer, result) = by_scram(ChannelBinding::Disable, lied_to).await;
    assert_eq!(offer, b"SCRAM-SHA-256\0\0");
    login(result);
    let (_, result) = by_scram(ChannelBinding::Disable, end_point).await;
    assert!(matches!(result, Err(LoginError::Protocol(_))));
}
