use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::client::server_name;
use super::*;
use crate::config::{ChannelBinding, TlsSettings, TlsVersions};
use crate::net::Stream;

/// Certificate files for tests, made anew for each.
pub(crate) struct Files {
    dir: TempDir,
}

impl Files {
    pub(crate) fn new() -> Files {
        Files {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `NAME.crt` and `NAME.key`: its own authority, as `openssl req -x509` makes it.
    pub(crate) fn self_signed(&self, name: &str, sans: &[&str], cn: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let cert = ca_params(sans, cn).self_signed(&key).unwrap();
        (
            self.write(&format!("{name}.crt"), &cert.pem()),
            self.write(&format!("{name}.key"), &key.serialize_pem()),
        )
    }

    /// An authority and a certificate from it: (authority, certificate, key).
    pub(crate) fn issued(
        &self,
        name: &str,
        sans: &[&str],
        cn: &str,
    ) -> (PathBuf, PathBuf, PathBuf) {
        let ca_key = KeyPair::generate().unwrap();
        let ca_params = ca_params(&[], &format!("{name} authority"));
        let ca = ca_params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca_params, ca_key);
        let key = KeyPair::generate().unwrap();
        let mut params = params(sans, cn);
        params.is_ca = IsCa::ExplicitNoCa;
        let cert = params.signed_by(&key, &issuer).unwrap();
        (
            self.write(&format!("{name}-ca.crt"), &ca.pem()),
            self.write(&format!("{name}.crt"), &cert.pem()),
            self.write(&format!("{name}.key"), &key.serialize_pem()),
        )
    }
}

fn params(sans: &[&str], cn: &str) -> CertificateParams {
    let sans: Vec<String> = sans.iter().map(|s| (*s).to_owned()).collect();
    let mut params = CertificateParams::new(sans).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cn);
    params
}

fn ca_params(sans: &[&str], cn: &str) -> CertificateParams {
    let mut params = params(sans, cn);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// Settings of one leg.
pub(crate) fn settings(
    mode: SslMode,
    ca: Option<&PathBuf>,
    cert: Option<&PathBuf>,
    key: Option<&PathBuf>,
) -> TlsSettings {
    TlsSettings {
        mode,
        ca_file: ca.cloned(),
        cert_file: cert.cloned(),
        key_file: key.cloned(),
        versions: TlsVersions::Secure,
        binding: ChannelBinding::Prefer,
    }
}

/// Shakes hands over a socket pair; both ends, or the two errors' texts.
pub(crate) async fn shake(
    clients: &ClientLeg,
    servers: &ServerLeg,
    host: &str,
) -> Result<(Stream, Stream), String> {
    let (a, b) = tokio::net::UnixStream::pair().unwrap();
    let name = server_name(host, IpAddr::V4(Ipv4Addr::LOCALHOST), servers.mode)
        .ok_or_else(|| "no name".to_owned())?;
    let (accepted, connected) = tokio::join!(
        Stream::from_unix(a).accept_tls(clients.config.clone(), Vec::new()),
        Stream::from_unix(b).connect_tls(servers.config.clone(), name),
    );
    let accepted = accepted.map_err(|e| e.to_string());
    let mut connected = connected.map_err(|e| e.to_string())?;
    // With TLS 1.3 a client learns only afterwards that its certificate was refused.
    let mut accepted = match accepted {
        Ok(stream) => stream,
        Err(e) => return Err(e),
    };
    accepted.write_all(b"x").await.map_err(|e| e.to_string())?;
    let mut buf = [0; 4];
    assert_eq!(
        connected
            .read_some(&mut buf)
            .await
            .map_err(|e| e.to_string())?,
        1
    );
    Ok((accepted, connected))
}

async fn try_name(sans: &[&str], cn: &str, mode: SslMode, host: &str) -> Result<(), String> {
    let files = Files::new();
    let (ca, cert, key) = files.issued("s", sans, cn);
    let clients =
        ClientLeg::build(&settings(SslMode::Require, None, Some(&cert), Some(&key))).unwrap();
    let servers = ServerLeg::build(&settings(mode, Some(&ca), None, None)).unwrap();
    shake(&clients, &servers, host).await.map(|_| ())
}

#[tokio::test]
async fn verify_full_checks_names_as_libpq_does() {
    let full = SslMode::VerifyFull;
    assert!(
        try_name(&["db.example"], "x", full, "db.example")
            .await
            .is_ok()
    );
    assert!(
        try_name(&["db.example"], "x", full, "db.example.")
            .await
            .is_ok()
    );
    assert!(
        try_name(&["DB.example"], "x", full, "db.EXAMPLE")
            .await
            .is_ok()
    );
    assert!(
        try_name(&["*.test.example"], "x", full, "db.test.example")
            .await
            .is_ok()
    );
    assert!(
        try_name(&["*.test.example"], "x", full, "a.db.test.example")
            .await
            .is_err()
    );
    assert!(
        try_name(&["127.0.0.1"], "x", full, "127.0.0.1")
            .await
            .is_ok()
    );
    assert!(
        try_name(&["127.0.0.2"], "x", full, "127.0.0.1")
            .await
            .is_err()
    );
    assert!(
        try_name(&["db.example"], "x", full, "other.example")
            .await
            .is_err()
    );
    // The common name counts only without alternative names.
    assert!(
        try_name(&[], "db.example", full, "db.example")
            .await
            .is_ok()
    );
    assert!(
        try_name(&[], "*.test.example", full, "db.test.example")
            .await
            .is_ok()
    );
    assert!(
        try_name(&[], "*.test.example", full, "a.db.test.example")
            .await
            .is_err()
    );
    assert!(try_name(&[], "127.0.0.1", full, "127.0.0.1").await.is_ok());
    assert!(
        try_name(&["a.example"], "db.example", full, "db.example")
            .await
            .is_err()
    );
    // Weaker modes do not look at names.
    assert!(
        try_name(&["a.example"], "x", SslMode::VerifyCa, "db.example")
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_trusted_self_signed_authority_is_good_as_a_leaf() {
    let files = Files::new();
    let (cert, key) = files.self_signed("own", &["db.example"], "own");
    let (other, _) = files.self_signed("other", &["db.example"], "own");
    let clients =
        ClientLeg::build(&settings(SslMode::Require, None, Some(&cert), Some(&key))).unwrap();
    let leg = |mode, ca| ServerLeg::build(&settings(mode, Some(ca), None, None)).unwrap();

    let full = leg(SslMode::VerifyFull, &cert);
    assert!(shake(&clients, &full, "db.example").await.is_ok());
    assert!(shake(&clients, &full, "elsewhere.example").await.is_err());
    assert!(
        shake(
            &clients,
            &leg(SslMode::VerifyCa, &cert),
            "elsewhere.example"
        )
        .await
        .is_ok()
    );
    assert!(
        shake(&clients, &leg(SslMode::VerifyCa, &other), "db.example")
            .await
            .is_err()
    );
    let blind = ServerLeg::build(&settings(SslMode::Require, None, None, None)).unwrap();
    assert!(shake(&clients, &blind, "elsewhere.example").await.is_ok());
}

#[tokio::test]
async fn an_expired_trusted_leaf_is_refused() {
    let files = Files::new();
    let key = KeyPair::generate().unwrap();
    let mut old = ca_params(&["db.example"], "old");
    old.not_before = rcgen::date_time_ymd(2000, 1, 1);
    old.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let cert = files.write("old.crt", &old.self_signed(&key).unwrap().pem());
    let key = files.write("old.key", &key.serialize_pem());
    let clients =
        ClientLeg::build(&settings(SslMode::Require, None, Some(&cert), Some(&key))).unwrap();
    let servers =
        ServerLeg::build(&settings(SslMode::VerifyFull, Some(&cert), None, None)).unwrap();
    let error = shake(&clients, &servers, "db.example").await.unwrap_err();
    assert!(error.to_lowercase().contains("expired"), "{error}");
}

#[tokio::test]
async fn client_certificates_are_demanded_by_mode_and_always_verified() {
    let files = Files::new();
    let (cert, key) = files.self_signed("own", &["db.example"], "own");
    let (ca, alice, alice_key) = files.issued("alice", &[], "alice");
    let (_, mallory, mallory_key) = files.issued("mallory", &[], "alice");
    let clients =
        |mode| ClientLeg::build(&settings(mode, Some(&ca), Some(&cert), Some(&key))).unwrap();
    let with = |cert, key| ServerLeg::build(&settings(SslMode::Require, None, cert, key)).unwrap();
    let (allow, verify) = (clients(SslMode::Allow), clients(SslMode::VerifyFull));
    let (none, good, bad) = (
        with(None, None),
        with(Some(&alice), Some(&alice_key)),
        with(Some(&mallory), Some(&mallory_key)),
    );
    let (server, _) = shake(&verify, &good, "x").await.unwrap();
    let info = server.tls_info().unwrap();
    assert_eq!(info.peer_common_name.as_deref(), Some("alice"));
    assert_eq!(info.version, "TLSv1.3");
    assert_eq!(info.alpn.as_deref(), Some(ALPN));
    assert!(shake(&verify, &none, "x").await.is_err());
    assert!(shake(&verify, &bad, "x").await.is_err());
    assert!(shake(&allow, &none, "x").await.is_ok());
    assert!(shake(&allow, &bad, "x").await.is_err());
}

#[test]
fn bad_files_are_named() {
    let files = Files::new();
    let (cert, key) = files.self_signed("own", &["a"], "own");
    let (_, other_key) = files.self_signed("other", &["a"], "other");
    let empty = files.write("empty.pem", "nothing here\n");
    let absent = PathBuf::from("/nonexistent/x.crt");
    let build = |cert: &PathBuf, key: &PathBuf| {
        ClientLeg::build(&settings(SslMode::Require, None, Some(cert), Some(key)))
            .unwrap_err()
            .to_string()
    };
    assert!(build(&absent, &key).contains("/nonexistent/x.crt"));
    assert!(build(&empty, &key).contains("no certificate found"));
    assert!(build(&cert, &empty).contains("no unencrypted private key"));
    assert!(build(&cert, &other_key).contains("does not belong to the certificate"));
    let missing = ClientLeg::build(&settings(SslMode::VerifyCa, None, Some(&cert), Some(&key)));
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("client_tls_ca_file must be set")
    );
    let missing = ServerLeg::build(&settings(SslMode::VerifyFull, None, None, None));
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("server_tls_ca_file must be set")
    );
}

#[test]
fn the_end_point_hash_follows_the_signature() {
    let files = Files::new();
    let (cert, key) = files.self_signed("own", &["a"], "own");
    let leg = ClientLeg::build(&settings(SslMode::Require, None, Some(&cert), Some(&key))).unwrap();
    let der = material::read_certificates(&cert).unwrap();
    let expected = ring::digest::digest(&ring::digest::SHA256, &der[0]);
    assert_eq!(leg.end_point_hash.as_deref(), Some(expected.as_ref()));

    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let cert = params(&["a"], "a").self_signed(&key).unwrap();
    let expected = ring::digest::digest(&ring::digest::SHA384, cert.der());
    assert_eq!(
        material::end_point_hash(cert.der()).as_deref(),
        Some(expected.as_ref())
    );

    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let cert = params(&["a"], "a").self_signed(&key).unwrap();
    assert_eq!(material::end_point_hash(cert.der()), None);
}

#[tokio::test]
async fn a_tls_session_survives_the_move_to_another_thread() {
    let files = Files::new();
    let (cert, key) = files.self_signed("own", &["db.example"], "own");
    let clients = Arc::new(
        ClientLeg::build(&settings(SslMode::Require, None, Some(&cert), Some(&key))).unwrap(),
    );
    let servers = ServerLeg::build(&settings(SslMode::Require, None, None, None)).unwrap();
    let (server, mut client) = shake(&clients, &servers, "db.example").await.unwrap();
    let parked = server.detach().unwrap();
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let mut server = parked.attach().unwrap();
            let mut buf = [0; 16];
            let n = server.read_some(&mut buf).await.unwrap();
            server.write_all(&buf[..n]).await.unwrap();
            assert!(!server.needs_flush());
            server.shutdown().await.unwrap();
        });
    });
    client.write_all(b"over there").await.unwrap();
    let mut buf = [0; 16];
    let n = client.read_some(&mut buf).await.unwrap();
    assert_eq!(&buf[..n], b"over there");
    assert_eq!(client.read_some(&mut buf).await.unwrap(), 0);
    worker.join().unwrap();
}
