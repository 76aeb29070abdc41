//! Logins over TLS and the ways around it.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
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
