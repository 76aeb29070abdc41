//! The console in front of a worker that shows made-up rows.

mod extended;
mod language;
mod sessions;
mod tables;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::command::{COMMANDS, help, markdown};
use super::error::ConsoleError;
use super::show::{SHOWS, View};
use super::syntax::{Argument, Client, Statement, parse};
use super::table::{Kind, Value};
use super::*;
use crate::audit::findings::{Cost, Seen};
use crate::config::{Config, PoolMode};
use crate::control::{ClientRow, Command, Control, Snapshot};
use crate::lint::firewall;
use crate::lint::hit::Hit;
use crate::lint::known::Known;
use crate::lint::observe::{Event, Execution, Observation, Subject};
use crate::lint::rule::Action;
use crate::lint::rules::filter::MISSING_WHERE;
use crate::net::Stream;
use crate::pool::key::PoolKey;
use crate::pool::process::Process;
use crate::pool::snapshot::{PoolRow, ServerRow};
use crate::pool::stats::{Times, Totals};
use crate::server::conn::ServerState;
use crate::session::clients::ClientState;
use crate::shutdown::Phase;
use crate::tls::{TlsBundle, TlsContext};
use crate::wire::header::take_frame;
use crate::wire::{read, write};

const CONFIG: &str = r#"
[databases.app]
host = "h1"
user = "svc"
pool_size = 7
[databases.two]
dbname = "other"
[users.boss]
pool_size = 3
pool_mode = "session"
[peers.2]
host = "/run/two"
[[lint.firewall]]
name = "web"
mode = "learn"
"#;

pub(crate) fn process() -> Arc<Process> {
    let config = Config::from_toml(CONFIG).expect("valid");
    let tls = TlsContext::new(TlsBundle::build(&config).expect("no files"));
    let process = Process::new(Arc::new(config), tls);
    process.wall.load().guards[0].with(|profile| {
        let one = |shape, learnable| firewall::Statement {
            shape,
            longest_list: 0,
            rows: 0,
            whole: true,
            control: false,
            learnable,
        };
        profile.see(one(1, true), 1, String::new);
        profile.mode = firewall::Mode::Detect;
        profile.see(one(2, true), 1, String::new);
    });
    process.usage.lock().record(&Observation {
        conn: 1,
        subject: Arc::new(Subject::default()),
        sent_us: 1,
        done_us: 2,
        event: Event::Executed(Execution {
            known: Arc::new(Known {
                text: Arc::from(&b"SELECT 1"[..]),
                shape: 1,
                ..Known::default()
            }),
            ..Execution::default()
        }),
    });
    let hit = Hit::new(
        &MISSING_WHERE,
        "delete",
        "This DELETE touches every row of t.",
    );
    let seen = Seen {
        hit: &hit,
        subject: &Subject::default(),
        action: Action::Log,
        shape: 1,
        text: b"DELETE FROM t",
        parent: (0, b""),
        scope: 0,
        suppressed: None,
        count: 1,
        cost: Cost::default(),
    };
    process.findings.lock().record(&seen, SystemTime::now());
    Arc::new(process)
}

pub(crate) fn snapshot() -> Snapshot {
    let key = PoolKey::new("app", "svc");
    let pool = PoolRow {
        key: key.clone(),
        mode: PoolMode::Transaction,
        size: 7,
        sv_active: 1,
        sv_idle: 2,
        sv_used: 0,
        sv_being_canceled: 0,
        sv_active_cancel: 0,
        sv_tested: 0,
        sv_login: 1,
        clients: 5,
        cl_waiting: 2,
        maxwait_us: 2_000_003,
        paused: false,
        totals: Totals {
            queries: 40,
            received: 5_000_000_000,
            ..Totals::default()
        },
        times: Times::default(),
    };
    let client = ClientRow {
        id: 0x1_0000_0005,
        user: "alice".into(),
        database: "app".into(),
        state: ClientState::Active,
        addr: "192.0.2.1".into(),
        port: 4321,
        local_port: 6432,
        connected: SystemTime::UNIX_EPOCH,
        requested: SystemTime::UNIX_EPOCH + Duration::from_secs(61),
        wait_us: 1_000_002,
        server: 9,
        tls: String::new(),
        application_name: "psql".into(),
        prepared: 3,
        replication: "none",
        pins: "listen".into(),
    };
    let server = ServerRow {
        key,
        id: 9,
        state: ServerState::Active,
        addr: "192.0.2.9".into(),
        port: 5432,
        connected: SystemTime::UNIX_EPOCH,
        requested: SystemTime::UNIX_EPOCH,
        close_needed: true,
        client: client.id,
        pid: 77,
        tls: "TLSv1.3/x".into(),
        prepared: 1,
    };
    Snapshot {
        // Two workers have a part of the pool each.
        pools: vec![pool.clone(), pool],
        servers: vec![server],
        clients: vec![client],
        ..Snapshot::default()
    }
}

/// A handle to one worker that shows [`snapshot`], takes every order, and is done with PAUSE when
/// `quiet` is told.
pub(crate) fn control(quiet: Arc<tokio::sync::Notify>) -> Control {
    let (worker, mut mailbox) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(command) = mailbox.recv().await {
            match command {
                Command::Snapshot(answer) => drop(answer.send(snapshot())),
                Command::Counts(answer) | Command::Holders(answer) => {
                    drop(answer.send(snapshot()));
                }
                Command::Pause(_, done) => {
                    let quiet = quiet.clone();
                    tokio::spawn(async move {
                        quiet.notified().await;
                        let _ = done.send(());
                    });
                }
                Command::KillClient(id, answer) => drop(answer.send(id == 0x1_0000_0005)),
                Command::CloseNeeded(_, answer) => drop(answer.send(0)),
                _ => {}
            }
        }
    });
    Control::new(process(), vec![worker], |_| {
        Config::from_toml("[databases.app]\npool_sise = 1\n")
    })
}

struct Peer {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.expect("sent");
    }

    async fn query(&mut self, text: &str) {
        let mut out = Vec::new();
        write::query(&mut out, text.as_bytes());
        self.send(&out).await;
    }

    /// The next message; `None` at the end of the stream.
    async fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((header, body)) = take_frame(&self.received, 1 << 24).expect("a frame") {
                let message = (header.tag, body.to_vec());
                self.received.drain(..header.frame_len());
                return Some(message);
            }
            if self.socket.read_buf(&mut self.received).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Messages up to ReadyForQuery or the end, one word each.
    async fn talk(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some((tag, body)) = self.message().await {
            let field = |code| {
                String::from_utf8_lossy(read::error_field(&body, code).unwrap_or_default())
                    .into_owned()
            };
            words.push(match tag {
                b'E' => format!("E {} {}: {}", field(b'V'), field(b'C'), field(b'M')),
                b'N' => format!("N {}", field(b'M')),
                b'C' => format!(
                    "C {}",
                    String::from_utf8_lossy(read::command_tag(&body).expect("a tag"))
                ),
                b'D' => {
                    let row = read::data_row(&body).expect("a row");
                    let text = |v: Option<&[u8]>| {
                        v.map_or("NULL".to_owned(), |v| {
                            String::from_utf8_lossy(v).into_owned()
                        })
                    };
                    format!(
                        "D {}",
                        row.into_iter().map(text).collect::<Vec<_>>().join("|")
                    )
                }
                b'T' => format!("T {}", u16::from_be_bytes([body[0], body[1]])),
                tag => (tag as char).to_string(),
            });
            if tag == b'Z' {
                break;
            }
        }
        words
    }

    async fn ask(&mut self, text: &str) -> Vec<String> {
        self.query(text).await;
        self.talk().await
    }
}

struct Scene {
    control: Control,
    console: Arc<Shared>,
    quiet: Arc<tokio::sync::Notify>,
}

impl Scene {
    fn new() -> Self {
        let quiet = Arc::new(tokio::sync::Notify::new());
        Self {
            control: control(quiet.clone()),
            console: Arc::default(),
            quiet,
        }
    }

    async fn connect(&self, id: u64, rights: Rights) -> (Peer, tokio::task::JoinHandle<Ended>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let addr = listener.local_addr().expect("an address");
        let socket = TcpStream::connect(addr).await.expect("connected");
        let (accepted, _) = listener.accept().await.expect("accepted");
        let welcome = Welcome {
            prelude: Vec::new(),
            rights,
            key: (7, Box::from(&b"secret"[..])),
            id,
            user: "op".into(),
            database: "pgweir".into(),
            application_name: "test".into(),
        };
        let stream = Stream::from_tcp(accepted);
        let (control, console) = (self.control.clone(), self.console.clone());
        let session = tokio::spawn(run(stream, Vec::new(), welcome, control, console));
        let mut peer = Peer {
            socket,
            received: Vec::new(),
        };
        let mut hello = peer.talk().await;
        hello.retain(|word| word != "S");
        assert_eq!(hello, ["R", "K", "Z"]);
        (peer, session)
    }
}
