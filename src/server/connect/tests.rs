use std::net::Ipv4Addr;

use tokio::net::{TcpListener, UnixListener};

use super::*;
use crate::auth::scram_server::{Binding, ClientFirst};
use crate::auth::{ScramKeys, StoredSecret, md5, sasl};
use crate::config::Secret;
use crate::config::document::Dialect;
use crate::config::reference::default_settings;
use crate::error::ClientFacing;
use crate::server::conn::ServerState;
use crate::tls::tests::settings as tls_settings;
use crate::wire::startup::StartupPacket;
use crate::wire::{TxStatus, write};

mod encrypted;
mod hostile;

/// A scripted server on a loopback port.
struct Listening {
    listener: TcpListener,
}

impl Listening {
    async fn new() -> Listening {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Listening { listener }
    }

    fn host(&self) -> Host {
        let addr = self.listener.local_addr().unwrap();
        Host::Tcp {
            host: addr.ip().to_string(),
            port: addr.port(),
        }
    }

    async fn accept(&self) -> Peer {
        Peer {
            io: Stream::from_tcp(self.listener.accept().await.unwrap().0),
            received: Vec::new(),
        }
    }
}

/// The server's end of a connection.
struct Peer {
    io: Stream,
    received: Vec<u8>,
}

impl Peer {
    async fn fill(&mut self) -> usize {
        let mut chunk = [0; 4096];
        let n = self.io.read_some(&mut chunk).await.unwrap_or(0);
        self.received.extend(&chunk[..n]);
        n
    }

    async fn packet(&mut self) -> Vec<u8> {
        loop {
            if let Some(len) = startup::packet_len(&self.received).unwrap()
                && self.received.len() >= len
            {
                return self.received.drain(..len).collect();
            }
            assert_ne!(self.fill().await, 0, "the client hung up");
        }
    }

    /// Takes the StartupMessage; minor version and parameters.
    async fn startup(&mut self) -> (u16, Vec<(String, String)>) {
        let packet = self.packet().await;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match startup::parse(&packet).unwrap() {
            StartupPacket::Startup { minor, params } => (
                minor,
                params.iter().map(|(n, v)| (text(n), text(v))).collect(),
            ),
            other => panic!("{other:?}"),
        }
    }

    /// The body of the next message, which must be a password message.
    async fn password(&mut self) -> Vec<u8> {
        loop {
            if let Some((header, body)) = take_frame(&self.received, 1 << 20).unwrap() {
                assert_eq!(header.tag, b'p');
                let body = body.to_vec();
                self.received.drain(..header.frame_len());
                return body;
            }
            assert_ne!(self.fill().await, 0, "the client hung up");
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    async fn request(&mut self, code: u32, data: &[u8]) {
        let mut out = Vec::new();
        write::message(&mut out, b'R', |out| {
            out.extend(code.to_be_bytes());
            out.extend(data);
        });
        self.send(&out).await;
    }

    async fn welcome(&mut self) {
        self.send(&welcome()).await;
    }

    /// The server's side of SCRAM for `password`, up to and including AuthenticationSASLFinal.
    async fn scram(&mut self, keys: &ScramKeys) {
        self.request(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
            .await;
        let body = self.password().await;
        let initial = sasl::parse_initial(&body).unwrap();
        assert_eq!(initial.mechanism, sasl::SCRAM_SHA_256);
        let first = ClientFirst::parse(initial.data.unwrap(), Binding::Impossible).unwrap();
        let (waiting, message) = first.challenge(b"salt", 70, "servernonce");
        self.request(11, message.as_bytes()).await;
        let answer = self.password().await;
        match waiting.finish(&answer, Some(&keys.verifier(b"salt", 70))) {
            Ok(proven) => self.request(12, proven.server_final.as_bytes()).await,
            Err(_) => self.send(&fatal("28P01", "wrong password")).await,
        }
    }
}

/// Ok, two parameters, a notice, a key, ReadyForQuery.
fn welcome() -> Vec<u8> {
    let mut out = Vec::new();
    write::authentication_ok(&mut out);
    write::parameter_status(&mut out, b"server_version", b"18.1");
    write::parameter_status(&mut out, b"TimeZone", b"UTC");
    write::parameter_status(&mut out, b"TimeZone", b"GMT");
    write::notice(&mut out, SqlState::NOT_IN_STATE, "hello");
    write::backend_key_data(&mut out, 77, &[9; 32]);
    write::ready_for_query(&mut out, TxStatus::Idle);
    out
}

fn fatal(code: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::message(&mut out, b'E', |out| {
        out.extend(format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0").as_bytes());
    });
    out
}

fn spec(host: Host) -> ConnectSpec {
    ConnectSpec {
        host,
        tls: None,
        user: "alice".to_owned(),
        database: "db".to_owned(),
        credentials: Credentials::default(),
        params: Vec::new(),
        timeout: Duration::from_secs(20),
        settings: default_settings(Dialect::Toml).unwrap(),
    }
}

fn password(text: &str) -> Credentials {
    Credentials {
        password: Some(Secret::new(text)),
        ..Credentials::default()
    }
}

/// Connects to a server that follows `script`, once for each connection made.
async fn run(
    change: impl FnOnce(&mut ConnectSpec),
    script: impl AsyncFn(&mut Peer),
) -> Result<Connected, ConnectError> {
    let server = Listening::new().await;
    let mut spec = spec(server.host());
    change(&mut spec);
    let derivation = Derivation::new().unwrap();
    let serve = async {
        loop {
            let mut peer = server.accept().await;
            script(&mut peer).await;
        }
    };
    tokio::select! {
        result = connect(&spec, &derivation) => result,
        () = serve => unreachable!(),
    }
}

#[tokio::test]
async fn trust_and_what_a_welcome_tells() {
    let params = vec![
        ("application_name".to_owned(), "x".to_owned()),
        ("user".to_owned(), "mallory".to_owned()),
        ("options".to_owned(), "-c a=b".to_owned()),
    ];
    let connected = run(
        |spec| spec.params = params,
        async |peer| {
            let (minor, params) = peer.startup().await;
            assert_eq!(minor, 2);
            let expected = [
                ("user", "alice"),
                ("database", "db"),
                ("application_name", "x"),
                ("options", "-c a=b"),
            ];
            assert_eq!(params, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
            peer.welcome().await;
        },
    )
    .await
    .unwrap();
    assert_eq!((connected.pid, connected.key.len()), (77, 32));
    assert_eq!((connected.minor, connected.tls), (2, false));
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    assert_eq!(
        connected.params,
        [pair("server_version", "18.1"), pair("TimeZone", "GMT")]
    );
    assert!(matches!(connected.addr, PeerAddr::Tcp(_)));
}

#[tokio::test]
async fn versions_are_negotiated_down() {
    for (body, minor) in [
        (&b"\0\x03\0\0\0\0\0\0"[..], 0),
        (b"\0\x03\0\x01\0\0\0\0", 1),
        (b"\0\0\0\0\0\0\0\x01_pq_.x\0", 0),
    ] {
        let connected = run(
            |_| {},
            async |peer| {
                peer.startup().await;
                let mut out = Vec::new();
                write::message(&mut out, b'v', |out| out.extend(body));
                peer.send(&out).await;
                peer.welcome().await;
            },
        )
        .await
        .unwrap();
        assert_eq!(connected.minor, minor);
    }
    // A server that cannot negotiate is asked again, more modestly.
    let connected = run(
        |_| {},
        async |peer| {
            if peer.startup().await.0 == 0 {
                peer.welcome().await;
            } else {
                peer.send(&fatal("0A000", "unsupported frontend protocol 3.2"))
                    .await;
            }
        },
    )
    .await
    .unwrap();
    assert_eq!(connected.minor, 0);
    let error = run(
        |_| {},
        async |peer| {
            peer.startup().await;
            let mut out = Vec::new();
            write::message(&mut out, b'v', |out| out.extend(b"\0\x03\0\x03\0\0\0\0"));
            peer.send(&out).await;
            peer.fill().await;
        },
    )
    .await
    .unwrap_err();
    assert!(matches!(error, ConnectError::Protocol(_)), "{error}");
}

#[tokio::test]
async fn every_method_with_every_credential() {
    let keys = ScramKeys::derive("secret", b"salt", 70);
    let hash = format!(
        "md5{}",
        std::str::from_utf8(md5::hex_md5(&[b"secret", b"alice"]).as_slice()).unwrap()
    );
    let stored = |text: &str| Credentials {
        stored: Some(StoredSecret::parse(text)),
        ..Credentials::default()
    };
    let known = Credentials {
        scram_keys: Some(keys.clone()),
        ..Credentials::default()
    };
    let all = [
        (password("secret"), [true, true, true]),
        (stored("secret"), [true, true, true]),
        (stored(&hash), [false, true, false]),
        (known, [false, false, true]),
        (Credentials::default(), [false, false, false]),
        (password(""), [false, false, false]),
        (password("wrong"), [false, false, false]),
    ];
    for (at, (credentials, good)) in all.into_iter().enumerate() {
        for (method, good) in good.into_iter().enumerate() {
            let (keys, credentials) = (&keys, credentials.clone());
            let result = run(
                |spec| spec.credentials = credentials,
                async |peer| {
                    peer.startup().await;
                    let matches = match method {
                        0 => {
                            peer.request(3, &[]).await;
                            peer.fill().await > 0 && peer.password().await == b"secret\0"
                        }
                        1 => {
                            peer.request(5, b"abcd").await;
                            let secret = StoredSecret::parse("secret");
                            let expected = md5::respond(&secret, "alice", *b"abcd").unwrap();
                            peer.fill().await > 0
                                && peer.password().await.strip_suffix(&[0])
                                    == Some(expected.as_slice())
                        }
                        _ => {
                            if good {
                                peer.scram(keys).await;
                            } else {
                                peer.request(10, b"SCRAM-SHA-256\0\0").await;
                                peer.fill().await;
                            }
                            good
                        }
                    };
                    if matches {
                        peer.welcome().await;
                    } else {
                        let _ = peer.io.write_all(&fatal("28P01", "no")).await;
                    }
                },
            )
            .await;
            assert_eq!(
                result.is_ok(),
                good,
                "credential {at} method {method}: {result:?}"
            );
        }
    }
}

#[tokio::test]
async fn unix_sockets_and_servers_without_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap().to_owned();
    let listener = UnixListener::bind(format!("{dir}/.s.PGSQL.5")).unwrap();
    let serve = async {
        let io = Stream::from_unix(listener.accept().await.unwrap().0);
        let mut peer = Peer {
            io,
            received: Vec::new(),
        };
        peer.startup().await;
        let mut out = Vec::new();
        write::authentication_ok(&mut out);
        write::ready_for_query(&mut out, TxStatus::Idle);
        peer.send(&out).await;
    };
    let mut spec = spec(Host::Unix { dir, port: 5 });
    // Never TLS over a unix socket, whatever is demanded.
    let required = tls_settings(SslMode::Require, None, None, None);
    spec.tls = Some(Arc::new(ServerLeg::build(&required).unwrap()));
    let derivation = Derivation::new().unwrap();
    let (connected, ()) = tokio::join!(connect(&spec, &derivation), serve);
    let connected = connected.unwrap();
    assert_eq!((connected.pid, connected.key.len()), (0, 0));
    assert_eq!(connected.addr, PeerAddr::Unix);
}

#[tokio::test]
async fn errors_of_the_server_are_passed_on() {
    let error = run(
        |_| {},
        async |peer| {
            peer.startup().await;
            peer.send(&fatal("3D000", "database \"db\" does not exist"))
                .await;
        },
    )
    .await
    .unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::INVALID_CATALOG);
    assert_eq!(error.client_message(), "database \"db\" does not exist");
    match error {
        ConnectError::Server { severity, raw, .. } => {
            assert_eq!(severity, "FATAL");
            assert!(raw.ends_with(b"\0\0"));
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn dead_ends_have_their_own_errors() {
    let nobody = Listening::new().await.host();
    let derivation = Derivation::new().unwrap();
    let error = connect(&spec(nobody), &derivation).await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial { .. }), "{error}");
    let error = run(
        |spec| spec.timeout = Duration::from_millis(50),
        async |peer| {
            peer.startup().await;
            peer.fill().await;
        },
    )
    .await
    .unwrap_err();
    assert!(matches!(error, ConnectError::Timeout(_)), "{error}");
    let error = run(|spec| spec.user = "a\0b".to_owned(), async |_| {}).await;
    assert!(matches!(error, Err(ConnectError::BadName(_))));
    let error = run(
        |_| {},
        async |peer| {
            peer.startup().await;
            peer.io.shutdown().await.unwrap();
        },
    )
    .await;
    assert!(matches!(error, Err(ConnectError::Closed)), "{error:?}");
}

fn shared(server: &Listening, leg: Option<Arc<ServerLeg>>, tls: &str) -> ServerShared {
    ServerShared {
        opened: std::time::Instant::now(),
        expires: std::time::Instant::now().into(),
        id: 1,
        pid: 77,
        key: Box::from([1, 2, 3, 4, 5]),
        name: server.host().to_string().into(),
        host: server.host(),
        addr: PeerAddr::Tcp(server.listener.local_addr().unwrap()),
        leg,
        tls: tls.to_owned(),
        connected: std::time::SystemTime::now(),
        requested: std::time::Instant::now().into(),
        state: ServerState::Active.into(),
        client: 0.into(),
        close_needed: false.into(),
        cancels: 0.into(),
        cancel_waker: None.into(),
        prepared: 0.into(),
    }
}

#[tokio::test]
async fn cancel_waits_until_the_server_hangs_up() {
    let server = Listening::new().await;
    let target = shared(&server, None, "");
    let hung_up = std::cell::Cell::new(false);
    let serve = async {
        let mut peer = server.accept().await;
        let packet = peer.packet().await;
        assert_eq!(
            startup::parse(&packet).unwrap(),
            StartupPacket::Cancel {
                pid: 77,
                key: &[1, 2, 3, 4, 5]
            }
        );
        tokio::time::sleep(Duration::from_millis(30)).await;
        hung_up.set(true);
    };
    let cancel = async {
        send_cancel(&target, Duration::from_secs(20)).await.unwrap();
        assert!(hung_up.get());
    };
    tokio::join!(cancel, serve);

    let silent = async {
        let error = send_cancel(&target, Duration::from_millis(50)).await;
        assert!(matches!(error, Err(ConnectError::Timeout(_))));
    };
    let (_peer, ()) = tokio::join!(server.accept(), silent);
}
