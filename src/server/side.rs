//! A connection of the pooler's own to a server, outside any pool: one question after the other, by
//! itself or within one transaction that reads only and ends with ROLLBACK.

use std::time::Duration;

use crate::timer::timeout;

use crate::derivation::Derivation;
use crate::net::{PeerAddr, Stream};
use crate::server::connect::{self, ConnectError, ConnectSpec};
use crate::wire::header::take_frame;
use crate::wire::tag::{backend, frontend};
use crate::wire::{FrameError, read, write};

/// Longest answer in bytes.
const LONGEST: usize = 16 << 20;
/// Longest message of an answer in bytes.
const LONGEST_MESSAGE: u32 = 4 << 20;
/// Parameters that a statement can have.
const MOST_PARAMETERS: usize = 65_535;
/// Longest time an answer takes; the server gives up earlier by itself.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum SideError {
    /// No connection.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The server refused; the transaction has failed, the connection is usable.
    #[error("{0}")]
    Server(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// The server sent what is no answer.
    #[error("the server's answer makes no sense: {0}")]
    Protocol(#[from] FrameError),
    /// The server's answer is too long.
    #[error("the server's answer is longer than 16 MB")]
    TooLong,
    /// The server did not answer in time.
    #[error("no answer within 15 seconds")]
    Late,
}

/// Values as text, by row and column.
pub type Rows = Vec<Vec<Option<String>>>;

/// See the module.
pub struct Side {
    stream: Stream,
}

impl Side {
    /// Connects.
    ///
    /// # Errors
    /// [`SideError`].
    pub async fn connect(
        spec: &ConnectSpec,
        derivation: &Derivation,
        application_name: &str,
    ) -> Result<Self, SideError> {
        let connected = connect::connect(spec, derivation).await?;
        let mut side = Self {
            stream: connected.stream,
        };
        let name = format!("SET application_name = '{application_name}'");
        side.ask(&name).await?;
        Ok(side)
    }

    /// Connects and begins the transaction. What is asked there may take as long as
    /// `statement_timeout` says, and waits for locks a tenth of a second.
    ///
    /// # Errors
    /// [`SideError`].
    pub async fn open(
        spec: &ConnectSpec,
        derivation: &Derivation,
        statement_timeout: &str,
    ) -> Result<Self, SideError> {
        let connected = connect::connect(spec, derivation).await?;
        let mut side = Self {
            stream: connected.stream,
        };
        side.ask("BEGIN TRANSACTION READ ONLY").await?;
        for setting in [
            format!("statement_timeout = '{statement_timeout}'"),
            "lock_timeout = '100ms'".to_owned(),
            "plan_cache_mode = 'force_generic_plan'".to_owned(),
            "application_name = 'pgweir advisor'".to_owned(),
        ] {
            side.ask(&format!("SET LOCAL {setting}")).await?;
        }
        Ok(side)
    }

    /// Where the server is.
    #[must_use]
    pub fn place(&self) -> PeerAddr {
        self.stream.peer()
    }

    /// Sends one statement, and only one: the server refuses a text of several.
    ///
    /// # Errors
    /// [`SideError`]. After [`SideError::Server`] the transaction has failed; go back to a savepoint.
    pub async fn ask(&mut self, text: &str) -> Result<Rows, SideError> {
        timeout(PATIENCE, self.exchange(text))
            .await
            .unwrap_or(Err(SideError::Late))
    }

    /// Sends one statement with one parameter, as text.
    ///
    /// # Errors
    /// [`SideError`].
    pub async fn ask_about(&mut self, text: &str, value: &str) -> Result<Rows, SideError> {
        timeout(PATIENCE, self.exchange_with(text, Some(value)))
            .await
            .unwrap_or(Err(SideError::Late))
    }

    /// The answer to `EXPLAIN (FORMAT JSON, VERBOSE)` of a statement, with a generic plan if it has
    /// parameters. Nothing of it is executed, and the transaction stays as it was.
    ///
    /// # Errors
    /// [`SideError`]; after [`SideError::Server`], the statement cannot be planned here, the next
    /// may.
    pub async fn plan(&mut self, text: &str) -> Result<Option<String>, SideError> {
        self.ask("SAVEPOINT pgweir").await?;
        let planned = self.prepare_and_plan(text).await;
        if !matches!(planned, Ok(_) | Err(SideError::Server(_))) {
            return planned;
        }
        self.ask("ROLLBACK TO SAVEPOINT pgweir").await?;
        // It outlives the transaction, and another pooler may be in between. There is none if it
        // could not be prepared.
        match self.ask("DEALLOCATE pgweir_advisor").await {
            Err(SideError::Server(_)) => {
                self.ask("ROLLBACK TO SAVEPOINT pgweir").await?;
            }
            other => {
                other?;
            }
        }
        planned
    }

    /// As EXPLAIN's GENERIC_PLAN, which is younger than some servers.
    async fn prepare_and_plan(&mut self, text: &str) -> Result<Option<String>, SideError> {
        self.ask(&format!("PREPARE pgweir_advisor AS {text}"))
            .await?;
        let count = self
            .ask("SELECT pg_catalog.cardinality(parameter_types) FROM pg_catalog.pg_prepared_statements WHERE name = 'pgweir_advisor'")
            .await?;
        let count: usize = (count.first())
            .and_then(|row| row.first()?.as_deref()?.parse().ok())
            .unwrap_or(0);
        let values = match count {
            0 => String::new(),
            count => format!(" ({})", vec!["NULL"; count.min(MOST_PARAMETERS)].join(", ")),
        };
        let explain = format!("EXPLAIN (FORMAT JSON, VERBOSE) EXECUTE pgweir_advisor{values}");
        let answer = self.ask(&explain).await?;
        Ok(answer
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next()?))
    }

    /// Ends the transaction and the connection.
    pub async fn close(mut self) {
        // Whatever is not sent any more the server finds out by itself.
        if self.ask("ROLLBACK").await.is_ok() {
            self.terminate().await;
        }
    }

    /// Says goodbye.
    pub async fn terminate(mut self) {
        let mut bye = Vec::new();
        write::empty(&mut bye, frontend::TERMINATE);
        let _ = timeout(PATIENCE, self.stream.write_all(&bye)).await;
    }

    async fn exchange(&mut self, text: &str) -> Result<Rows, SideError> {
        self.exchange_with(text, None).await
    }

    async fn exchange_with(&mut self, text: &str, value: Option<&str>) -> Result<Rows, SideError> {
        let mut out = Vec::new();
        write::message(&mut out, frontend::PARSE, |out| {
            out.push(0);
            out.extend(text.bytes().filter(|&b| b != 0));
            // The end of the text, and no types.
            out.extend([0, 0, 0]);
        });
        // The unnamed portal of the unnamed statement, no formats, the value, text back.
        write::message(&mut out, frontend::BIND, |out| {
            out.extend([0; 4]);
            match value {
                None => out.extend([0; 2]),
                Some(value) => {
                    out.extend([0, 1]);
                    out.extend(u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
                    out.extend(value.as_bytes());
                }
            }
            out.extend([0; 2]);
        });
        write::message(&mut out, frontend::EXECUTE, |out| out.extend([0; 5]));
        write::empty(&mut out, frontend::SYNC);
        self.stream.write_all(&out).await?;
        let (mut rows, mut failure) = (Rows::new(), None);
        let (mut received, mut total) = (Vec::new(), 0);
        loop {
            let mut at = 0;
            while let Some((header, body)) =
                take_frame(received.get(at..).unwrap_or_default(), LONGEST_MESSAGE)?
            {
                match header.tag {
                    backend::DATA_ROW => {
                        let values = read::data_row(body)?;
                        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                        rows.push(values.into_iter().map(|value| value.map(text)).collect());
                    }
                    backend::ERROR => {
                        let text = read::error_field(body, b'M').unwrap_or(b"(no message)");
                        failure = Some(String::from_utf8_lossy(text).into_owned());
                    }
                    backend::READY_FOR_QUERY => {
                        read::ready_for_query(body)?;
                        return match failure {
                            Some(text) => Err(SideError::Server(text)),
                            None => Ok(rows),
                        };
                    }
                    tag if !backend::known(tag) => {
                        return Err(FrameError::UnknownTag { tag }.into());
                    }
                    _ => {}
                }
                at += header.frame_len();
            }
            received.drain(..at);
            let mut bytes = [0; 8192];
            match self.stream.read_some(&mut bytes).await? {
                0 => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                n => {
                    total += n;
                    if total > LONGEST {
                        return Err(SideError::TooLong);
                    }
                    received.extend(bytes.get(..n).unwrap_or_default());
                }
            }
        }
    }
}
