//! The session of the console: a socket around `extended::Session` and
//! [`execute`].

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::error::ConsoleError;
use super::execute::{Answer, Env, execute};
use super::extended::{Refused, Session, complete};
use super::operator::{self, Operator};
use super::sessions::{Call, Entered, Identity};
use super::syntax::{self, Statement};
use super::table::{self, Formats};
use super::{Rights, Shared};
use crate::control::Control;
use crate::error::{ClientFacing, SqlState};
use crate::net::{PeerAddr, Stream};
use crate::wire::tag::frontend;
use crate::wire::write::{self, Severity};
use crate::wire::{FrameError, Header, TxStatus, limits, read};

/// Longest message, in bytes of its body; also about what is read ahead while a command runs.
pub const MESSAGE: u32 = 65_536;

/// Bytes that are collected before they are sent.
const BATCH: usize = 65_536;

/// Bytes asked of the socket at a time.
const CHUNK: usize = 4_096;

/// A client that has proved who it is and has not been told yet.
#[derive(Debug)]
pub struct Welcome {
    /// To be sent in front of AuthenticationOk.
    pub prelude: Vec<u8>,
    /// What it may do.
    pub rights: Rights,
    /// Process id and secret of its cancel key. A request with them is passed on with
    /// [`Sessions::call`](super::sessions::Sessions::call).
    pub key: (u32, Box<[u8]>),
    /// Its number, from [`Process::next_id`](crate::pool::process::Process::next_id).
    pub id: u64,
    /// Login name.
    pub user: String,
    /// Database asked for.
    pub database: String,
    /// Its `application_name`.
    pub application_name: String,
}

/// How a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The client said goodbye or hung up.
    #[error("client left")]
    Left,
    /// KILL_CLIENT.
    #[error("closed by KILL_CLIENT")]
    Killed,
    /// The client does not speak the protocol. It has been told.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What ParameterStatus says after login.
///
/// Source: PgBouncer's console; drivers refuse servers without some of them.
const STATUS: [(&str, &str); 7] = [
    ("client_encoding", "UTF8"),
    ("server_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("TimeZone", "GMT"),
    ("standard_conforming_strings", "on"),
    ("is_superuser", "on"),
    ("integer_datetimes", "on"),
];

/// Serves one client of the console until it leaves. `leftover` is what it sent after the login's
/// last message.
///
/// Dropping the future closes the connection; what a command did stays done. The future is `Send`:
/// it need not run on a worker.
pub async fn run(
    stream: Stream,
    leftover: Vec<u8>,
    welcome: Welcome,
    control: Control,
    console: Arc<Shared>,
) -> Ended {
    let (addr, port) = match stream.peer() {
        PeerAddr::Tcp(addr) => (addr.ip().to_string(), addr.port()),
        PeerAddr::Unix => {
            let port = control.process().config.load().settings.listen_port;
            ("unix".to_owned(), port)
        }
        PeerAddr::Gone => (String::new(), 0),
    };
    let tls = stream.tls_info();
    let entered = console.sessions.enter(Identity {
        id: welcome.id,
        user: welcome.user,
        database: welcome.database,
        addr,
        port,
        tls: tls.map_or(String::new(), |tls| {
            format!("{}/{}", tls.version, tls.cipher)
        }),
        application_name: welcome.application_name,
    });
    let mut line = Line {
        stream,
        received: leftover,
        out: welcome.prelude,
        rights: welcome.rights,
        env: Env { control, console },
        entered,
        session: Session::default(),
        skipping: false,
    };
    let (pid, secret) = welcome.key;
    let out = &mut line.out;
    write::authentication_ok(out);
    let version = format!("{}/pgweir", super::show::process::COMPATIBLE);
    write::parameter_status(out, b"server_version", version.as_bytes());
    for (name, value) in STATUS {
        write::parameter_status(out, name.as_bytes(), value.as_bytes());
    }
    write::backend_key_data(out, pid, &secret);
    write::ready_for_query(out, TxStatus::Idle);
    let ended = match line.serve().await {
        Ok(never) => match never {},
        Err(ended) => ended,
    };
    line.farewell(&ended).await;
    ended
}

/// A session with its socket.
struct Line {
    stream: Stream,
    received: Vec<u8>,
    out: Vec<u8>,
    rights: Rights,
    env: Env,
    entered: Entered,
    session: Session,
    /// An error was reported; everything up to Sync is passed over.
    skipping: bool,
}

/// Reads more; at the end of the stream the client has left. Cancel safe.
async fn receive(stream: &mut Stream, received: &mut Vec<u8>) -> Result<usize, Ended> {
    let mut chunk = [0; CHUNK];
    let count = stream.read_some(&mut chunk).await?;
    received.extend(chunk.iter().take(count));
    match count {
        0 => Err(Ended::Left),
        count => Ok(count),
    }
}

impl Line {
    async fn serve(&mut self) -> Result<std::convert::Infallible, Ended> {
        loop {
            while let Some((header, body)) = self.next_message()? {
                self.message(header.tag, &body).await?;
                if self.out.len() >= BATCH {
                    self.flush().await?;
                }
            }
            self.flush().await?;
            let seen = self.entered.seen.clone();
            let count = tokio::select! {
                count = receive(&mut self.stream, &mut self.received) => count?,
                // Nothing runs that could be cancelled.
                Call::Kill = seen.called() => return Err(Ended::Killed),
            };
            self.entered.sessions.moved(count, 0);
        }
    }

    /// Takes the next whole message off what was received.
    fn next_message(&mut self) -> Result<Option<(Header, Vec<u8>)>, FrameError> {
        let Some(header) = Header::parse(&self.received, u32::MAX)? else {
            return Ok(None);
        };
        let tag = header.tag;
        let limit = limits::client_body(tag, MESSAGE).ok_or(FrameError::UnknownTag { tag })?;
        // Says the same again, with the limit of this type.
        Header::parse(&self.received, limit)?;
        let end = header.frame_len();
        let Some(body) = self.received.get(Header::LEN..end) else {
            return Ok(None);
        };
        let body = body.to_vec();
        self.received.drain(..end);
        Ok(Some((header, body)))
    }

    async fn message(&mut self, tag: u8, body: &[u8]) -> Result<(), Ended> {
        match tag {
            frontend::TERMINATE => return Err(Ended::Left),
            frontend::SYNC => {
                self.skipping = false;
                self.session.sync();
                write::ready_for_query(&mut self.out, TxStatus::Idle);
                return Ok(());
            }
            _ if self.skipping => return Ok(()),
            frontend::QUERY => return self.query(body).await,
            _ => {}
        }
        let out = &mut self.out;
        let done = match tag {
            frontend::PARSE => self.session.parse(body, out),
            frontend::BIND => self.session.bind(body, out),
            frontend::DESCRIBE => self.session.describe(body, out),
            frontend::CLOSE => self.session.close(body, out),
            frontend::EXECUTE => self.execute(body).await?,
            frontend::FLUSH => return self.flush().await,
            frontend::FUNCTION_CALL => {
                let what = "function calls are not supported by the console";
                self.error(&ConsoleError::Unsupported(what.into()));
                write::ready_for_query(&mut self.out, TxStatus::Idle);
                return Ok(());
            }
            // What is left of a COPY that failed; PostgreSQL passes over it too.
            _ => Ok(()),
        };
        match done {
            Ok(()) => Ok(()),
            Err(Refused::Frame(error)) => Err(error.into()),
            Err(Refused::Error(error)) => {
                self.error(&error);
                self.skipping = true;
                Ok(())
            }
        }
    }

    async fn query(&mut self, body: &[u8]) -> Result<(), Ended> {
        let text = String::from_utf8_lossy(read::query(body)?).into_owned();
        self.session.simple();
        let answered = match syntax::parse(&text) {
            Ok(statement) => self.carry_out(&statement).await?.map(|a| (statement, a)),
            Err(error) => Err(error.for_those_with(self.rights)),
        };
        match answered {
            Err(error) => self.error(&error),
            Ok((statement, answer)) => {
                if let Some(columns) = statement.columns() {
                    let formats = Formats::default();
                    table::describe(&mut self.out, columns, &formats);
                    for row in &answer.rows {
                        table::row(&mut self.out, columns, &formats, row);
                        if self.out.len() >= BATCH {
                            self.flush().await?;
                        }
                    }
                }
                complete(&mut self.out, &statement, &answer);
                write::ready_for_query(&mut self.out, TxStatus::Idle);
                return self.then(&answer).await;
            }
        }
        write::ready_for_query(&mut self.out, TxStatus::Idle);
        Ok(())
    }

    async fn execute(&mut self, body: &[u8]) -> Result<Result<(), Refused>, Ended> {
        let (execute, to_run) = match self.session.execute(body) {
            Ok(execute) => execute,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut then = Answer::default();
        if let Some(statement) = to_run {
            match self.carry_out(&statement).await? {
                Err(error) => return Ok(Err(error.into())),
                Ok(answer) => {
                    then.then = answer.then;
                    self.session.ran(&execute, answer);
                }
            }
        }
        self.session.rows(&execute, &mut self.out);
        self.then(&then).await?;
        Ok(Ok(()))
    }

    /// Runs a statement, and meanwhile looks whether the client is still there.
    async fn carry_out(
        &mut self,
        statement: &Statement,
    ) -> Result<Result<Answer, ConsoleError>, Ended> {
        let ended = self.run(statement).await;
        self.write_down(statement, &ended);
        ended
    }

    /// A line in the audit trail about a command that changes something, also if it was refused.
    fn write_down(
        &self,
        statement: &Statement,
        ended: &Result<Result<Answer, ConsoleError>, Ended>,
    ) {
        let Statement::Command(command, argument) = statement else {
            return;
        };
        if statement.needs() < Rights::Admin {
            return;
        }
        let refused = match ended {
            Ok(Ok(_)) => String::new(),
            Ok(Err(error)) => error.to_string(),
            // What was done stays done.
            Err(ended) => format!("not waited for: {ended}"),
        };
        let seen = &self.entered.seen;
        let operator = Operator {
            conn: seen.id,
            user: seen.user.clone(),
            app: seen.application_name.clone(),
            addr: match &*seen.addr {
                "unix" => String::new(),
                addr => addr.to_owned(),
            },
        };
        let process = self.env.control.process();
        operator.commanded(process, command.name, operator::asked(argument), refused);
    }

    async fn run(&mut self, statement: &Statement) -> Result<Result<Answer, ConsoleError>, Ended> {
        let began = Instant::now();
        let seen = self.entered.seen.clone();
        seen.asked();
        seen.begin();
        let mut received = 0;
        let answered = {
            let running = execute(&self.env, self.rights, statement);
            tokio::pin!(running);
            loop {
                let room = self.received.len() < MESSAGE as usize;
                tokio::select! {
                    biased;
                    answer = &mut running => break answer,
                    call = seen.called() => match call {
                        Call::Kill => return Err(Ended::Killed),
                        Call::Cancel => break Err(ConsoleError::Canceled),
                    },
                    count = receive(&mut self.stream, &mut self.received), if room => received += count?,
                }
            }
        };
        self.entered.sessions.moved(received, 0);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.entered.sessions.ran(micros);
        if let Ok(answer) = &answered {
            for text in &answer.notices {
                write::notice(&mut self.out, SqlState(*b"00000"), text);
            }
        }
        Ok(answered)
    }

    /// Does what is to happen to the process, after telling the client.
    async fn then(&mut self, answer: &Answer) -> Result<(), Ended> {
        if let Some(phase) = answer.then {
            // The process ends whether or not this client hears of it.
            let told = self.flush().await;
            self.env.control.shutdown(phase);
            told?;
        }
        Ok(())
    }

    fn error(&mut self, error: &ConsoleError) {
        write::error(
            &mut self.out,
            Severity::Error,
            error.sqlstate(),
            &error.client_message(),
        );
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        if self.out.is_empty() {
            return Ok(());
        }
        let seen = self.entered.seen.clone();
        let out = std::mem::take(&mut self.out);
        let writing = self.stream.write_all(&out);
        tokio::pin!(writing);
        loop {
            tokio::select! {
                biased;
                written = &mut writing => {
                    written?;
                    break;
                }
                call = seen.called() => if call == Call::Kill { return Err(Ended::Killed) },
            }
        }
        self.entered.sessions.moved(0, out.len());
        Ok(())
    }

    /// Tells the client why the session ends, if it can hear it without being waited for.
    async fn farewell(&mut self, ended: &Ended) {
        let (state, text) = match ended {
            Ended::Left | Ended::Io(_) => return,
            Ended::Killed => (
                SqlState::ADMIN_SHUTDOWN,
                "terminating connection due to administrator command".to_owned(),
            ),
            Ended::Frame(error) => (SqlState::PROTOCOL_VIOLATION, error.to_string()),
        };
        let mut out = std::mem::take(&mut self.out);
        write::error(&mut out, Severity::Fatal, state, &text);
        let goodbye = async {
            self.stream.write_all(&out).await?;
            self.stream.shutdown().await
        };
        // A client that does not take it has left.
        let _ = crate::timer::timeout(std::time::Duration::from_millis(500), goodbye).await;
    }
}
