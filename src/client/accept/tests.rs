use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::super::secrets::{Found, Secrets};
use super::*;
use crate::auth::{md5, sasl, scram_client};
use crate::config::document::Dialect;
use crate::config::reference::default_settings;
use crate::config::{AuthType, Database, Host, Settings, TlsSettings};
use crate::error::SqlState;
use crate::tls::TlsBundle;
use crate::tls::tests::settings as tls_settings;
use crate::wire::startup::{CANCEL_REQUEST, SSL_REQUEST, write_code, write_startup};
use crate::wire::{Header, read, write};

mod abuse;
mod encrypted;

const VERIFIER_PASSWORD: &str = "verified";

fn no_tls() -> TlsSettings {
    tls_settings(SslMode::Disable, None, None, None)
}

fn settings(auth_type: AuthType) -> Settings {
    Settings {
        auth_type,
        scram_iterations: 64,
        client_login_timeout: Duration::from_secs(20),
        client_tls: no_tls(),
        server_tls: no_tls(),
        ignore_startup_parameters: Vec::new(),
        ..default_settings(Dialect::Toml).unwrap()
    }
}

/// `plain`, `hashed` (MD5 of "secret") and `stored` (SCRAM) may log in to `db`.
fn config(auth_type: AuthType) -> Config {
    let database = Database {
        name: "db".to_owned(),
        hosts: vec![Host::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 5432,
        }],
        ..Database::default()
    };
    let hashed = md5::hex_md5(&[b"secret", b"hashed"]);
    let secrets = [
        ("plain", "secret".to_owned()),
        (
            "hashed",
            format!("md5{}", std::str::from_utf8(hashed.as_slice()).unwrap()),
        ),
        ("stored", verifier_text()),
        ("empty", String::new()),
    ];
    Config {
        path: None,
        dialect: crate::config::document::Dialect::Toml,
        accepted: std::collections::BTreeMap::new(),
        notes: Vec::new(),
        settings: settings(auth_type),
        databases: BTreeMap::from([("db".to_owned(), Arc::new(database))]),
        fallback: None,
        users: BTreeMap::new(),
        hba: Arc::default(),
        ldap: None,
        ident: Arc::default(),
        peers: BTreeMap::new(),
        audit: Vec::new(),
        lint: crate::config::RuleSettings::default(),
        secrets: secrets
            .into_iter()
            .map(|(name, text)| (name.to_owned(), Secret::new(text)))
            .collect(),
    }
}

/// A verifier for [`VERIFIER_PASSWORD`].
fn verifier_text() -> String {
    use crate::auth::scram;
    let keys = ScramKeys::derive(VERIFIER_PASSWORD, b"0123456789abcdef", 80);
    format!(
        "SCRAM-SHA-256$80:{}${}:{}",
        scram::encode(b"0123456789abcdef"),
        scram::encode(&scram::sha256(&keys.client_key)),
        scram::encode(&keys.server_key),
    )
}

fn bundle(config: &Config) -> TlsContext {
    TlsContext::new(TlsBundle::build(config).unwrap())
}

/// The other end of a connection, as a client sees it.
struct Peer<S> {
    io: S,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Peer<S> {
    async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    async fn startup(&mut self, user: &str, database: &str) {
        let mut out = Vec::new();
        write_startup(&mut out, 0, &[("user", user), ("database", database)]);
        self.send(&out).await;
    }

    async fn password(&mut self, body: &[u8]) {
        let mut out = Vec::new();
        write::message(&mut out, b'p', |out| out.extend(body));
        self.send(&out).await;
    }

    async fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut header = [0; 5];
        self.io.read_exact(&mut header).await.unwrap();
        let header = Header::parse(&header, 1 << 20).unwrap().unwrap();
        let mut body = vec![0; header.body_len as usize];
        self.io.read_exact(&mut body).await.unwrap();
        (header.tag, body)
    }

    /// An authentication request: its code and data.
    async fn request(&mut self) -> (u32, Vec<u8>) {
        let (tag, body) = self.receive().await;
        assert_eq!(tag, b'R', "{}", String::from_utf8_lossy(&body));
        (
            u32::from_be_bytes(body[..4].try_into().unwrap()),
            body[4..].to_vec(),
        )
    }

    /// The final ErrorResponse: SQLSTATE and text; the connection must end behind it.
    async fn error(&mut self) -> (String, String) {
        let (tag, body) = self.receive().await;
        assert_eq!(tag, b'E');
        assert_eq!(read::error_field(&body, b'V'), Some(&b"FATAL"[..]));
        let field = |f| String::from_utf8(read::error_field(&body, f).unwrap().to_vec()).unwrap();
        self.end().await;
        (field(b'C'), field(b'M'))
    }

    async fn end(&mut self) {
        let mut rest = Vec::new();
        self.io.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "{rest:?}");
        // As a real client does; the other end waits a moment for it.
        let _ = self.io.shutdown().await;
    }

    /// The client's side of SCRAM up to and including its final message.
    async fn scram(&mut self, password: &str) {
        let (code, list) = self.request().await;
        assert_eq!(code, 10);
        assert!(sasl::offers(&list, sasl::SCRAM_SHA_256));
        let (waiting, first) =
            scram_client::start("nonce".to_owned(), &scram_client::Binding::Impossible);
        self.password(&sasl::write_initial(sasl::SCRAM_SHA_256, first.as_bytes()))
            .await;
        let (code, data) = self.request().await;
        assert_eq!(code, 11);
        let challenge = waiting.server_first(&data).unwrap();
        let keys = ScramKeys::derive(password, &challenge.salt, challenge.iterations);
        let (_, answer) = challenge.answer(&keys);
        self.password(&answer).await;
    }
}

/// A server that knows two users of database `asked`.
struct Asked;

impl Secrets for Asked {
    async fn secret(&self, _: &Config, database: &str, user: &str) -> Found {
        match (database, user) {
            ("asked", "remote") => Found::Secret(Secret::new(verifier_text())),
            ("asked", "hash") => Found::Secret(Secret::new(format!("md5{}", "0".repeat(32)))),
            ("asked", "broken") => Found::Failed("auth_query failed".to_owned()),
            ("asked", "second") => {
                Found::Nobody(Some(Secret::new("md500000000000000000000000000000000")))
            }
            ("asked", _) => Found::Nobody(None),
            _ => Found::NotAsked,
        }
    }

    async fn roles(&self, _: &Config, _: &str, user: &str) -> Result<Vec<String>, String> {
        match user {
            "broken" => Err("asking for roles failed".to_owned()),
            user => Ok(vec![user.to_owned(), format!("{user}s")]),
        }
    }
}

#[tokio::test]
async fn roles_are_asked_for_before_a_line_is_chosen() {
    use crate::config::hba::Hba;
    let text = "local db plain trust\nlocal db +storeds reject\nlocal db +brokens trust\nlocal db all trust\n";
    let hba = Hba::parse(text, &mut |name| Err(name.to_owned())).unwrap();
    let mut config = config(AuthType::Hba);
    config.hba = Arc::new(hba);
    for user in ["plain", "empty"] {
        let (result, ()) = run(&config, async |p| p.startup(user, "db").await).await;
        assert_eq!(login(result).user, user);
    }
    for (user, sqlstate, told) in [
        ("stored", "28000", "login rejected"),
        // Not let in by the last line because nobody knows whether the second one fits.
        ("broken", "57P03", "asking for roles failed"),
    ] {
        let (_, error) = run(&config, async |p| {
            p.startup(user, "db").await;
            p.error().await
        })
        .await;
        assert_eq!(error, (sqlstate.to_owned(), told.to_owned()));
    }
}

/// Runs `script` as the client of one login over a unix socket pair.
async fn run<T>(
    config: &Config,
    script: impl AsyncFnOnce(&mut Peer<UnixStream>) -> T,
) -> (Result<Accepted, LoginError>, T) {
    let (near, far) = UnixStream::pair().unwrap();
    let (tls, derivation) = (bundle(config), Derivation::new().unwrap());
    let mut peer = Peer { io: far };
    tokio::join!(
        accept(Stream::from_unix(near), config, &tls, &derivation, &Asked),
        script(&mut peer)
    )
}

/// As [`run`], over TCP.
async fn run_tcp<T>(
    config: &Config,
    script: impl AsyncFnOnce(Peer<TcpStream>) -> T,
) -> (Result<Accepted, LoginError>, T) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let near = listener.accept().await.unwrap().0;
    let (tls, derivation) = (bundle(config), Derivation::new().unwrap());
    tokio::join!(
        accept(Stream::from_tcp(near), config, &tls, &derivation, &Asked),
        script(Peer { io: far })
    )
}

fn login(result: Result<Accepted, LoginError>) -> Login {
    match result {
        Ok(Accepted::Login(login)) => *login,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn any_takes_everyone_and_trust_the_known() {
    let (result, ()) = run(&config(AuthType::Any), async |p| {
        p.startup("who", "db").await
    })
    .await;
    let login_ = login(result);
    assert_eq!(
        (login_.user.as_str(), login_.database.as_str()),
        ("who", "db")
    );
    assert!(login_.prelude.is_empty() && login_.leftover.is_empty());
    let trust = config(AuthType::Trust);
    let (result, ()) = run(&trust, async |p| p.startup("stored", "db").await).await;
    login(result);
    let (result, error) = run(&trust, async |p| {
        p.startup("who", "db").await;
        p.error().await
    })
    .await;
    assert!(matches!(result, Err(LoginError::Refused { .. })));
    assert_eq!(error.0, "28000");
}

#[tokio::test]
async fn who_is_in_no_file_is_asked_for() {
    let mut config = config(AuthType::ScramSha256);
    let database = config.databases["db"].clone();
    config.databases.insert("asked".to_owned(), database);
    let (result, ()) = run(&config, async |p| {
        p.startup("remote", "asked").await;
        p.scram(VERIFIER_PASSWORD).await;
    })
    .await;
    let login_ = login(result);
    assert!(login_.scram_keys.is_some() && login_.stored.is_some());
    for (user, database) in [("remote", "db"), ("nobody", "asked"), ("remote", "asked")] {
        let (result, error) = run(&config, async |p| {
            p.startup(user, database).await;
            p.scram("wrong").await;
            p.error().await
        })
        .await;
        assert!(
            matches!(result, Err(LoginError::WrongPassword { .. })),
            "{user}"
        );
        assert_eq!(error.0, "28P01", "{user} {database}");
    }
    let (_, error) = run(&config, async |p| {
        p.startup("broken", "asked").await;
        p.error().await
    })
    .await;
    assert_eq!(error, ("57P03".to_owned(), "auth_query failed".to_owned()));
    // A user who does not exist is asked for the same as one who does.
    config.settings.auth_type = AuthType::Md5;
    for (user, code) in [("nobody", 10), ("remote", 10), ("hash", 5), ("second", 5)] {
        let (_, asked) = run(&config, async |p| {
            p.startup(user, "asked").await;
            let asked = p.request().await.0;
            p.io.shutdown().await.unwrap();
            asked
        })
        .await;
        assert_eq!(asked, code, "{user}");
    }
    config.settings.auth_type = AuthType::Trust;
    let (result, ()) = run(&config, async |p| p.startup("remote", "asked").await).await;
    login(result);
    let (result, _) = run(&config, async |p| {
        p.startup("nobody", "asked").await;
        p.error().await
    })
    .await;
    assert!(matches!(result, Err(LoginError::Refused { .. })));
}

#[tokio::test]
async fn cleartext_logs_every_kind_of_secret_in() {
    let config = config(AuthType::Plain);
    let attempt = async |user: &str, password: &str| {
        let body = format!("{password}\0");
        run(&config, async |p| {
            p.startup(user, "db").await;
            assert_eq!(p.request().await.0, 3);
            p.password(body.as_bytes()).await;
        })
        .await
        .0
    };
    for (user, password) in [
        ("plain", "secret"),
        ("hashed", "secret"),
        ("stored", VERIFIER_PASSWORD),
    ] {
        let login = login(attempt(user, password).await);
        assert_eq!(login.password.unwrap().expose(), password);
        assert!(login.prelude.is_empty());
    }
    for (user, password) in [
        ("plain", "wrong"),
        ("plain", ""),
        ("hashed", "wrong"),
        ("stored", "wrong"),
        ("stored", ""),
        ("empty", ""),
        ("nobody", "secret"),
        ("nobody", ""),
    ] {
        assert!(
            matches!(
                attempt(user, password).await,
                Err(LoginError::WrongPassword { .. })
            ),
            "{user} {password}"
        );
    }
}

#[tokio::test]
async fn md5_uses_scram_for_verifiers() {
    let config = config(AuthType::Md5);
    for (user, password, good) in [
        ("plain", "secret", true),
        ("hashed", "secret", true),
        ("hashed", "wrong", false),
        ("empty", "", false),
        ("nobody", "secret", false),
    ] {
        let (result, ()) = run(&config, async |p| {
            p.startup(user, "db").await;
            let (code, salt) = p.request().await;
            assert_eq!(code, 5);
            let salt = salt.try_into().unwrap();
            let plain = crate::auth::StoredSecret::Plain(Secret::new(password));
            let mut body = md5::respond(&plain, user, salt).unwrap().to_vec();
            body.push(0);
            p.password(&body).await;
        })
        .await;
        assert_eq!(matches!(result, Ok(Accepted::Login(_))), good, "{user}");
    }
    let (result, ()) = run(&config, async |p| {
        p.startup("stored", "db").await;
        p.scram(VERIFIER_PASSWORD).await;
    })
    .await;
    assert!(login(result).scram_keys.is_some());
}

#[tokio::test]
async fn scram_yields_keys_for_verifiers_only() {
    let config = config(AuthType::ScramSha256);
    let (result, ()) = run(&config, async |p| {
        p.startup("stored", "db").await;
        p.scram(VERIFIER_PASSWORD).await;
        p.send(b"Q\0\0\0\x05\0").await;
    })
    .await;
    let mut stored = login(result);
    let expected = ScramKeys::derive(VERIFIER_PASSWORD, b"0123456789abcdef", 80);
    assert_eq!(stored.scram_keys.unwrap().client_key, expected.client_key);
    assert!(stored.prelude.starts_with(b"R\0\0\0\x36\0\0\0\x0cv="));
    assert_eq!(stored.prelude.len(), 0x37);
    // The query came with the proof or waits in the socket.
    while stored.leftover.len() < 6 {
        let mut buf = [0; 16];
        let n = stored.stream.read_some(&mut buf).await.unwrap();
        assert!(n > 0);
        stored.leftover.extend(&buf[..n]);
    }
    assert_eq!(stored.leftover, b"Q\0\0\0\x05\0");

    let (result, ()) = run(&config, async |p| {
        p.startup("plain", "db").await;
        p.scram("secret").await;
    })
    .await;
    assert!(login(result).scram_keys.is_none());
}

#[tokio::test]
async fn unknown_users_and_databases_look_like_wrong_passwords() {
    let config = config(AuthType::ScramSha256);
    for (user, database) in [
        ("plain", "db"),
        ("stored", "db"),
        ("stored", "nosuch"),
        ("hashed", "db"),
        ("empty", "db"),
        ("nobody", "db"),
        ("nobody", "nosuch"),
        ("nobody", "pgbouncer"),
    ] {
        let (result, error) = run(&config, async |p| {
            p.startup(user, database).await;
            p.scram("wrong").await;
            p.error().await
        })
        .await;
        assert!(matches!(result, Err(LoginError::WrongPassword { .. })));
        let text = format!("password authentication failed for user \"{user}\"");
        assert_eq!(error, ("28P01".to_owned(), text));
    }
    let (_, error) = run(&config, async |p| {
        p.startup("stored", "nosuch").await;
        p.scram(VERIFIER_PASSWORD).await;
        p.error().await
    })
    .await;
    assert_eq!(
        error,
        ("3D000".to_owned(), "no such database: nosuch".to_owned())
    );
    for console in CONSOLES {
        let (result, ()) = run(&config, async |p| {
            p.startup("stored", console).await;
            p.scram(VERIFIER_PASSWORD).await;
        })
        .await;
        login(result);
    }
}

#[tokio::test]
async fn negotiation_comes_before_the_first_request() {
    let mut first = Vec::new();
    write_startup(
        &mut first,
        9999,
        &[("user", "plain"), ("database", "db"), ("_pq_.x", "")],
    );
    let (_, tags) = run(&config(AuthType::Plain), async |p| {
        p.send(&first).await;
        let tags = [p.receive().await.0, p.receive().await.0];
        p.io.shutdown().await.unwrap();
        tags
    })
    .await;
    assert_eq!(&tags, b"vR");
    let (result, ()) = run(&config(AuthType::Any), async |p| p.send(&first).await).await;
    let login = login(result);
    assert_eq!((login.minor, login.prelude.first()), (2, Some(&b'v')));
}

#[tokio::test]
async fn peers_are_known_by_their_uid() {
    // SAFETY: getuid takes nothing and cannot fail.
    let uid = unsafe { libc::getuid() };
    let name = crate::net::account::user_name(uid).unwrap().unwrap();
    let config = config(AuthType::Peer);
    let (result, ()) = run(&config, async |p| p.startup(&name, "db").await).await;
    login(result);
    let (result, error) = run(&config, async |p| {
        p.startup("somebody-else", "db").await;
        p.error().await
    })
    .await;
    assert!(matches!(
        result,
        Err(LoginError::Refused { method: "peer", .. })
    ));
    assert_eq!(error.0, "28000");
}

#[tokio::test]
async fn cancel_requests_and_silence() {
    let config = config(AuthType::Any);
    let mut cancel = 16u32.to_be_bytes().to_vec();
    cancel.extend(CANCEL_REQUEST.to_be_bytes());
    cancel.extend([0, 0, 0, 9, 1, 2, 3, 4]);
    let (result, ()) = run(&config, async |p| {
        p.send(&cancel).await;
    })
    .await;
    let Ok(Accepted::Cancel { stream, pid, key }) = result else {
        panic!("{result:?}");
    };
    assert_eq!((pid, key), (9, vec![1, 2, 3, 4]));
    assert!(stream.is_unix());

    let (result, ()) = run(&config, async |p| p.io.shutdown().await.unwrap()).await;
    assert!(matches!(result, Ok(Accepted::Closed)));
    let (result, ()) = run(&config, async |p| {
        p.send(b"\0\0").await;
        p.io.shutdown().await.unwrap();
    })
    .await;
    assert!(matches!(result, Err(LoginError::Io(_))));
    // psql hangs up to ask for a password.
    let (result, ()) = run(&super::tests::config(AuthType::Plain), async |p| {
        p.startup("plain", "db").await;
        p.request().await;
        p.send(b"X\0\0\0\x04").await;
    })
    .await;
    assert!(matches!(result, Ok(Accepted::Closed)));
}

#[tokio::test]
async fn the_whole_login_has_a_deadline() {
    let mut config = config(AuthType::Plain);
    config.settings.client_login_timeout = Duration::from_millis(50);
    let (result, error) = run(&config, async |p| {
        p.startup("plain", "db").await;
        p.request().await;
        p.error().await
    })
    .await;
    assert!(matches!(result, Err(LoginError::Timeout)));
    assert_eq!(error.0, SqlState::QUERY_CANCELED.as_str());
}

/// An independent driver logs in with each method.
#[tokio::test]
async fn a_real_driver_logs_in() {
    for (auth_type, user, password) in [
        (AuthType::Plain, "stored", VERIFIER_PASSWORD),
        (AuthType::Md5, "hashed", "secret"),
        (AuthType::Md5, "stored", VERIFIER_PASSWORD),
        (AuthType::ScramSha256, "plain", "secret"),
        (AuthType::ScramSha256, "stored", VERIFIER_PASSWORD),
    ] {
        let (near, far) = UnixStream::pair().unwrap();
        let config = config(auth_type);
        let (tls, derivation) = (bundle(&config), Derivation::new().unwrap());
        let mut driver = tokio_postgres::Config::new();
        driver.user(user).password(password).dbname("db");
        let serve = async {
            let mut login =
                login(accept(Stream::from_unix(near), &config, &tls, &derivation, &Asked).await);
            let mut out = std::mem::take(&mut login.prelude);
            write::authentication_ok(&mut out);
            write::ready_for_query(&mut out, crate::wire::TxStatus::Idle);
            login.stream.write_all(&out).await.unwrap();
            login
        };
        let (login, client) = tokio::join!(serve, driver.connect_raw(far, tokio_postgres::NoTls));
        assert!(client.is_ok(), "{:?}", client.err());
        assert_eq!(login.user, user);
    }
}
