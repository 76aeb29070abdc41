//! Our login to servers against the real thing, without the rest of pgweir.

use std::sync::Arc;
use std::time::Duration;

use pgweir::auth::{ScramKeys, StoredSecret};
use pgweir::config::document::Dialect;
use pgweir::config::reference::default_settings;
use pgweir::config::{ChannelBinding, Host, Secret, SslMode, TlsSettings, TlsVersions};
use pgweir::derivation::Derivation;
use pgweir::error::ClientFacing;
use pgweir::server::connect::{ConnectSpec, Connected, Credentials, connect};
use pgweir::tls::ServerLeg;

use crate::support::certs::{Identity, certs};
use crate::support::postgres::{PASSWORD, Postgres, each_postgres};

fn spec(postgres: &Postgres, user: &str, credentials: Credentials) -> ConnectSpec {
    ConnectSpec {
        host: Host::Tcp {
            host: "127.0.0.1".to_owned(),
            port: postgres.port(),
        },
        tls: None,
        user: user.to_owned(),
        database: "postgres".to_owned(),
        credentials,
        params: vec![("application_name".to_owned(), "weir".to_owned())],
        timeout: Duration::from_secs(30),
        settings: default_settings(Dialect::Toml).expect("good defaults"),
    }
}

fn password(text: &str) -> Credentials {
    Credentials {
        password: Some(Secret::new(text)),
        ..Credentials::default()
    }
}

fn leg(mode: SslMode, identity: Option<&Identity>) -> Option<Arc<ServerLeg>> {
    let settings = TlsSettings {
        mode,
        ca_file: Some(certs().ca.clone()),
        cert_file: identity.map(|i| i.cert.clone()),
        key_file: identity.map(|i| i.key.clone()),
        versions: TlsVersions::Secure,
        binding: ChannelBinding::Prefer,
    };
    Some(Arc::new(ServerLeg::build(&settings).expect("good files")))
}

fn check(postgres: &Postgres, connected: &Connected) {
    let value = |name: &str| {
        let mut params = connected.params.iter();
        params.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    };
    let version = value("server_version").expect("a version");
    assert!(version.starts_with(&postgres.major().to_string()));
    assert_eq!(value("application_name"), Some("weir"));
    // Longer keys came with protocol 3.2 in PostgreSQL 18.
    let (minor, key) = if postgres.major() >= 18 {
        (2, 32)
    } else {
        (0, 4)
    };
    assert_eq!((connected.minor, connected.key.len()), (minor, key));
    assert_ne!(connected.pid, 0);
}

#[tokio::test]
async fn passwords_of_every_method() {
    let derivation = Derivation::new().expect("randomness");
    for postgres in each_postgres() {
        for user in ["t_trust", "t_plain", "t_md5", "t_scram"] {
            let good = connect(&spec(postgres, user, password(PASSWORD)), &derivation).await;
            check(postgres, &good.unwrap_or_else(|e| panic!("{user}: {e}")));
            let bad = connect(&spec(postgres, user, password("wrong")), &derivation).await;
            match bad {
                Ok(_) => assert_eq!(user, "t_trust"),
                Err(error) => assert_eq!(error.sqlstate().as_str(), "28P01", "{user}"),
            }
        }
    }
}

#[tokio::test]
async fn stored_secrets_of_the_server_itself() {
    let derivation = Derivation::new().expect("randomness");
    for postgres in each_postgres() {
        let rolpassword = |user: &str| {
            let sql = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'");
            StoredSecret::parse(postgres.psql("postgres", &sql).trim())
        };
        let hash = Credentials {
            stored: Some(rolpassword("t_md5")),
            ..Credentials::default()
        };
        let connected = connect(&spec(postgres, "t_md5", hash), &derivation).await;
        check(postgres, &connected.expect("the hash is good for MD5"));

        let StoredSecret::Scram(verifier) = rolpassword("t_scram") else {
            panic!("a SCRAM verifier");
        };
        let keys = ScramKeys::derive(PASSWORD, verifier.salt(), verifier.iterations());
        assert!(verifier.accepts(&keys), "our SASLprep is PostgreSQL's");
        let keys = Credentials {
            scram_keys: Some(keys),
            ..Credentials::default()
        };
        let connected = connect(&spec(postgres, "t_scram", keys), &derivation).await;
        check(postgres, &connected.expect("the keys are good for SCRAM"));
    }
}

#[tokio::test]
async fn tls_and_client_certificates() {
    let derivation = Derivation::new().expect("randomness");
    for postgres in each_postgres().filter(|p| p.cluster.binaries().tls) {
        let mut over_tls = spec(postgres, "t_tls", password(PASSWORD));
        assert!(connect(&over_tls, &derivation).await.is_err(), "plain text");
        over_tls.tls = leg(SslMode::VerifyFull, None);
        let connected = connect(&over_tls, &derivation).await.expect("TLS");
        assert!(connected.tls);
        check(postgres, &connected);

        let mut by_certificate = spec(postgres, "t_cert", Credentials::default());
        by_certificate.tls = leg(SslMode::VerifyCa, Some(&certs().client));
        let connected = connect(&by_certificate, &derivation).await;
        check(postgres, &connected.expect("the certificate"));
    }
}
