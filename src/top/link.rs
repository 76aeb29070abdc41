//! The connection to the console: a login, then one question after the other.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Answer;
use super::target::Target;
use crate::config::document::Dialect;
use crate::config::{SslMode, reference};
use crate::derivation::Derivation;
use crate::net::Stream;
use crate::server::connect::{self, ConnectError, ConnectSpec, Credentials};
use crate::timer::timeout;
use crate::tls::{ServerLeg, TlsError};
use crate::wire::header::take_frame;
use crate::wire::tag::{backend, frontend};
use crate::wire::{FrameError, read, write};

/// Longest answer in bytes; SHOW CLIENTS of 100,000 clients is half of it.
const LONGEST: usize = 64 << 20;
/// Longest message of an answer in bytes.
const LONGEST_MESSAGE: u32 = 4 << 20;
/// Longest time of a login or an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The authorities cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The console refused; the connection is usable.
    #[error("{0}")]
    Refused(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// What came is no answer.
    #[error("the answer makes no sense: {0}")]
    Protocol(#[from] FrameError),
    /// The answer is too long.
    #[error("the answer is longer than 64 MiB")]
    TooLong,
    /// No answer in time.
    #[error("no answer within 10 seconds")]
    Late,
    /// The program cannot do this here.
    #[error("{0}")]
    Unavailable(String),
}

impl LinkError {
    /// Whether there was no password to answer with.
    pub fn wants_password(&self) -> bool {
        matches!(self, LinkError::Connect(ConnectError::NoCredentials { .. }))
    }
}

/// See the module.
pub struct Link {
    stream: Stream,
}

impl Link {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn open(target: &Target, derivation: &Derivation) -> Result<Self, LinkError> {
        let settings =
            reference::default_settings(Dialect::Toml).map_err(LinkError::Unavailable)?;
        let tls = match target.tls.mode {
            SslMode::Disable => None,
            _ => Some(Arc::new(ServerLeg::build(&target.tls)?)),
        };
        let spec = ConnectSpec {
            host: target.host.clone(),
            tls,
            user: target.user.clone(),
            database: target.database.clone(),
            credentials: Credentials {
                password: target.password.clone(),
                ..Credentials::default()
            },
            params: vec![("application_name".to_owned(), "pgweir top".to_owned())],
            timeout: Duration::ZERO,
            settings,
        };
        let connected = timeout(PATIENCE, connect::connect(&spec, derivation)).await;
        Ok(Self {
            stream: connected.map_err(|_| LinkError::Late)??.stream,
        })
    }

    /// Asks one question.
    ///
    /// # Errors
    /// [`LinkError`]; the connection is usable after [`LinkError::Refused`] only.
    pub async fn ask(&mut self, text: &str) -> Result<Answer, LinkError> {
        timeout(PATIENCE, self.exchange(text))
            .await
            .unwrap_or(Err(LinkError::Late))
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        let mut bye = Vec::new();
        write::empty(&mut bye, frontend::TERMINATE);
        // Who does not take it finds out by itself.
        let _ = timeout(Duration::from_millis(500), self.stream.write_all(&bye)).await;
    }

    async fn exchange(&mut self, text: &str) -> Result<Answer, LinkError> {
        let mut out = Vec::new();
        write::query(&mut out, text.as_bytes());
        self.stream.write_all(&out).await?;
        let (mut answer, mut refused) = (Answer::default(), None);
        let (mut received, mut total) = (Vec::new(), 0);
        let mut bytes = vec![0; 64 << 10];
        loop {
            let mut at = 0;
            while let Some((header, body)) =
                take_frame(received.get(at..).unwrap_or_default(), LONGEST_MESSAGE)?
            {
                if header.tag == backend::READY_FOR_QUERY {
                    return match refused {
                        Some(text) => Err(LinkError::Refused(text)),
                        None => Ok(answer),
                    };
                }
                message(header.tag, body, &mut answer, &mut refused)?;
                at += header.frame_len();
            }
            received.drain(..at);
            match self.stream.read_some(&mut bytes).await? {
                0 => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                count => {
                    total += count;
                    if total > LONGEST {
                        return Err(LinkError::TooLong);
                    }
                    received.extend(bytes.get(..count).unwrap_or_default());
                }
            }
        }
    }
}

/// Takes one message of an answer.
fn message(
    tag: u8,
    body: &[u8],
    answer: &mut Answer,
    refused: &mut Option<String>,
) -> Result<(), FrameError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match tag {
        backend::ROW_DESCRIPTION => {
            let columns = read::row_description(body).ok_or(FrameError::Malformed {
                tag,
                what: "columns do not fit",
            })?;
            answer.columns = columns.into_iter().map(|(name, _)| text(name)).collect();
        }
        backend::DATA_ROW => {
            let values = read::data_row(body)?.into_iter();
            answer
                .rows
                .push(values.map(|value| value.map(text)).collect());
        }
        backend::ERROR => {
            let why = read::error_field(body, b'M').unwrap_or(b"no reason given");
            *refused = Some(text(why));
        }
        tag if !backend::known(tag) => return Err(FrameError::UnknownTag { tag }),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_put_together() {
        let (mut answer, mut refused) = (Answer::default(), None);
        let columns = [
            0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let mut take = |tag, body: &[u8]| message(tag, body, &mut answer, &mut refused);
        take(backend::ROW_DESCRIPTION, &columns).expect("columns");
        take(backend::DATA_ROW, b"\0\x01\0\0\0\x01x").expect("a row");
        take(backend::DATA_ROW, b"\0\x01\xff\xff\xff\xff").expect("a row");
        take(backend::NOTICE, b"\0").expect("passed over");
        take(backend::ERROR, b"Mno\0\0").expect("an error");
        take(backend::ROW_DESCRIPTION, b"\0\x05").expect_err("broken");
        take(b'?', b"").expect_err("unknown");
        assert_eq!(answer.columns, ["a"]);
        assert_eq!(answer.rows, [vec![Some("x".to_owned())], vec![None]]);
        assert_eq!(refused.as_deref(), Some("no"));
    }
}
