//! Requests that are played to a server as a whole, of whose answers only the outcome is wanted.

use std::io;
use std::time::Instant;

use super::conn::{RunError, Server};
use crate::wire::tag::backend;
use crate::wire::{FrameError, Header, limits, read};

/// What came of requests: the same is counted for those that a client sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows returned or changed, of all statements.
    pub rows: u64,
    /// SQLSTATE of the first error.
    pub error: Option<[u8; 5]>,
    /// How long the server took for it, in microseconds.
    pub micros: u64,
}

impl Outcome {
    /// A statement was carried out; `tag` is its command tag.
    pub fn completed(&mut self, tag: &[u8]) {
        self.rows = self.rows.saturating_add(rows(tag));
    }

    /// A statement failed; `body` is the ErrorResponse's.
    pub fn failed(&mut self, body: &[u8]) {
        let code = read::error_field(body, b'C').and_then(|code| code.try_into().ok());
        self.error = self.error.or(Some(code.unwrap_or(*b"XX000")));
    }
}

/// The number at the end of a command tag.
fn rows(tag: &[u8]) -> u64 {
    let digits = tag.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_default()
}

impl Server {
    /// Sends `requests`, which the server ends with so many ReadyForQuery, and waits for them. Rows are
    /// counted as the command tags say, and dropped as they come.
    ///
    /// # Errors
    ///
    /// Why the connection cannot be used any more. An error of the server is part of the outcome.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a server dropped in the middle is not clean and must be closed.
    pub async fn replay(&mut self, requests: &[u8], answers: u32) -> Result<Outcome, RunError> {
        self.broken = true;
        self.unnamed = None;
        let begun = Instant::now();
        let mut outcome = Outcome::default();
        self.stream.write_all(requests).await?;
        let (mut input, mut left, mut skip) = (Vec::new(), answers, 0usize);
        while left > 0 {
            let mut at = skip.min(input.len());
            skip -= at;
            while skip == 0
                && left > 0
                && let Some(header) = Header::parse(&input[at..], u32::MAX - 4)?
            {
                let len = header.frame_len();
                let wanted = matches!(
                    header.tag,
                    backend::ERROR | backend::COMMAND_COMPLETE | backend::READY_FOR_QUERY
                );
                let there = input[at..].len();
                if wanted && there < len {
                    if header.body_len > limits::SERVER_INSPECT {
                        return Err(RunError::TooLong);
                    }
                    break;
                }
                let end = at + len.min(there);
                let body = input.get(at + Header::LEN..end).unwrap_or_default();
                match header.tag {
                    backend::ERROR => outcome.failed(body),
                    backend::COMMAND_COMPLETE => outcome.completed(read::command_tag(body)?),
                    backend::READY_FOR_QUERY => {
                        self.status = read::ready_for_query(body)?;
                        left -= 1;
                    }
                    // It wants data, and nobody will send any.
                    b'G' | b'W' => return Err(FrameError::UnknownTag { tag: header.tag }.into()),
                    tag if !backend::known(tag) => {
                        return Err(FrameError::UnknownTag { tag }.into());
                    }
                    _ => {}
                }
                skip = len.saturating_sub(there);
                at = end;
            }
            input.drain(..at);
            if left == 0 {
                break;
            }
            let mut bytes = [0; 8192];
            match self.stream.read_some(&mut bytes).await? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                n => input.extend(&bytes[..n]),
            }
        }
        self.broken = !input.is_empty();
        outcome.micros = begun.elapsed().as_micros() as u64;
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_the_tag_ends_with() {
        for (tag, is) in [
            (&b"SELECT 5"[..], 5),
            (b"INSERT 0 3", 3),
            (b"BEGIN", 0),
            (b"", 0),
            (b"UPDATE 18446744073709551616", 0),
        ] {
            assert_eq!(rows(tag), is, "{}", String::from_utf8_lossy(tag));
        }
        let mut outcome = Outcome::default();
        outcome.completed(b"SELECT 5");
        outcome.failed(b"SERROR\0C42P01\0Mno\0\0");
        outcome.failed(b"SERROR\0C23505\0Mno\0\0");
        assert_eq!((outcome.rows, outcome.error), (5, Some(*b"42P01")));
        let mut odd = Outcome::default();
        odd.failed(b"");
        assert_eq!(odd.error, Some(*b"XX000"));
    }
}
