//! Statements and portals of one session: the part of the extended protocol that needs no socket.
//!
//! Statements have no parameters. Portals live until Sync, which ends their implicit transaction.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::error::ConsoleError;
use super::execute::Answer;
use super::syntax::{self, Statement};
use super::table::{self, Formats};
use crate::wire::startup::take_cstr;
use crate::wire::tag::{backend, frontend};
use crate::wire::{FrameError, limits, read, write};

/// Named statements that a session may have.
pub const STATEMENTS: usize = 256;
/// Portals that a session may have; each can hold a whole result.
pub const PORTALS: usize = 8;

/// A statement with its place in a result.
#[derive(Debug)]
struct Portal {
    statement: Statement,
    formats: Formats,
    /// The result and how many of its rows were sent, once it has been run.
    run: Option<(Answer, usize)>,
}

/// Statements and portals by name.
#[derive(Debug, Default)]
pub struct Session {
    statements: BTreeMap<String, Statement>,
    portals: BTreeMap<String, Portal>,
}

/// Why a message was not carried out.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// An error; everything up to the next Sync is skipped.
    Error(ConsoleError),
    /// The message makes no sense; the connection ends.
    Frame(FrameError),
}

impl From<ConsoleError> for Refused {
    fn from(error: ConsoleError) -> Self {
        Refused::Error(error)
    }
}

impl From<FrameError> for Refused {
    fn from(error: FrameError) -> Self {
        Refused::Frame(error)
    }
}

/// An Execute.
#[derive(Debug)]
pub struct Execute {
    portal: String,
    limit: usize,
}

fn name(bytes: &[u8]) -> Result<String, ConsoleError> {
    if bytes.len() > limits::NAME {
        return Err(ConsoleError::TooMany("bytes in a name", limits::NAME));
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn protocol(what: impl Into<Cow<'static, str>>) -> ConsoleError {
    ConsoleError::Protocol(what.into())
}

impl Session {
    /// Parse.
    ///
    /// # Errors
    ///
    /// As [`syntax::parse`], and when the name is taken or too many are.
    pub fn parse(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        let parse = read::parse(body)?;
        let name = name(parse.name)?;
        if !name.is_empty() {
            if self.statements.contains_key(&name) {
                return Err(ConsoleError::StatementExists(name).into());
            }
            if self.statements.len() >= STATEMENTS {
                return Err(ConsoleError::TooMany("prepared statements", STATEMENTS).into());
            }
        }
        let statement = syntax::parse(&String::from_utf8_lossy(parse.text))?;
        self.statements.insert(name, statement);
        write::empty(out, backend::PARSE_COMPLETE);
        Ok(())
    }

    fn statement(&self, name: &str) -> Result<&Statement, ConsoleError> {
        self.statements
            .get(name)
            .ok_or_else(|| ConsoleError::NoStatement(name.to_owned()))
    }

    /// Bind.
    ///
    /// # Errors
    ///
    /// Unknown statement, taken name, parameters, or formats that do not fit the columns.
    pub fn bind(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        let bind = Bind::read(body).ok_or(FrameError::Malformed {
            tag: frontend::BIND,
            what: "lengths do not fit",
        })?;
        let (portal, statement) = (name(bind.portal)?, name(bind.statement)?);
        let statement = self.statement(&statement)?.clone();
        if bind.params > 0 {
            return Err(protocol(format!(
                "bind message supplies {} parameters, but statements of the console have none",
                bind.params
            ))
            .into());
        }
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return Err(ConsoleError::PortalExists(portal).into());
        }
        if self.portals.len() >= PORTALS && !self.portals.contains_key(&portal) {
            return Err(ConsoleError::TooMany("portals", PORTALS).into());
        }
        let columns = statement.columns().map_or(0, <[_]>::len);
        let formats = match bind.formats {
            Some(formats) => Formats::new(formats, columns),
            None => return Err(protocol("unknown format code of a result").into()),
        };
        let formats = formats.ok_or_else(|| {
            protocol("bind message has another number of result formats than there are columns")
        })?;
        let run = None;
        self.portals.insert(
            portal,
            Portal {
                statement,
                formats,
                run,
            },
        );
        write::empty(out, backend::BIND_COMPLETE);
        Ok(())
    }

    /// Describe.
    ///
    /// # Errors
    ///
    /// Unknown statement or portal.
    pub fn describe(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        let target = read::target(frontend::DESCRIBE, body)?;
        let name = name(target.name)?;
        let all_text = Formats::default();
        let (statement, formats) = match target.kind {
            b'S' => {
                let statement = self.statement(&name)?;
                write::message(out, backend::PARAMETER_DESCRIPTION, |out| {
                    out.extend([0, 0]);
                });
                (statement, &all_text)
            }
            b'P' => {
                let portal = self.portals.get(&name);
                let portal = portal.ok_or(ConsoleError::NoPortal(name))?;
                (&portal.statement, &portal.formats)
            }
            _ => return Err(protocol("describe of neither a statement nor a portal").into()),
        };
        match statement.columns() {
            Some(columns) => table::describe(out, columns, formats),
            None => write::empty(out, backend::NO_DATA),
        }
        Ok(())
    }

    /// Close.
    ///
    /// # Errors
    ///
    /// Only of form: what is not there is closed.
    pub fn close(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        let target = read::target(frontend::CLOSE, body)?;
        let name = name(target.name)?;
        match target.kind {
            b'S' => {
                self.statements.remove(&name);
            }
            b'P' => {
                self.portals.remove(&name);
            }
            _ => return Err(protocol("close of neither a statement nor a portal").into()),
        }
        write::empty(out, backend::CLOSE_COMPLETE);
        Ok(())
    }

    /// Execute, as far as it goes without running anything: the statement that has to be run
    /// before [`rows`](Self::rows), if it has not been yet.
    ///
    /// # Errors
    ///
    /// Unknown portal.
    pub fn execute(&self, body: &[u8]) -> Result<(Execute, Option<Statement>), Refused> {
        let bad = |what| FrameError::Malformed {
            tag: frontend::EXECUTE,
            what,
        };
        let mut rest = body;
        let portal = take_cstr(&mut rest).ok_or(bad("no terminator"))?;
        let limit: [u8; 4] = rest.try_into().map_err(|_| bad("no row limit"))?;
        let portal = name(portal)?;
        let Some(known) = self.portals.get(&portal) else {
            return Err(ConsoleError::NoPortal(portal).into());
        };
        let to_run = known.run.is_none().then(|| known.statement.clone());
        let limit = match i32::from_be_bytes(limit) {
            ..=0 => usize::MAX,
            limit => limit as usize,
        };
        Ok((Execute { portal, limit }, to_run))
    }

    /// Keeps the result of what [`execute`](Self::execute) wanted run.
    pub fn ran(&mut self, execute: &Execute, answer: Answer) {
        if let Some(portal) = self.portals.get_mut(&execute.portal) {
            portal.run = Some((answer, 0));
        }
    }

    /// Appends the rows that the Execute may see and what ends them.
    pub fn rows(&mut self, execute: &Execute, out: &mut Vec<u8>) {
        let Some(portal) = self.portals.get_mut(&execute.portal) else {
            return;
        };
        let Some((answer, sent)) = &mut portal.run else {
            return;
        };
        let columns = portal.statement.columns().unwrap_or_default();
        let end = sent.saturating_add(execute.limit).min(answer.rows.len());
        for row in answer.rows.get(*sent..end).unwrap_or_default() {
            table::row(out, columns, &portal.formats, row);
        }
        *sent = end;
        if end < answer.rows.len() {
            write::empty(out, backend::PORTAL_SUSPENDED);
        } else {
            complete(out, &portal.statement, answer);
        }
    }

    /// Sync: portals end.
    pub fn sync(&mut self) {
        self.portals.clear();
    }

    /// A simple Query: unnamed statement and portals end.
    pub fn simple(&mut self) {
        self.statements.remove("");
        self.portals.clear();
    }
}

/// Appends what ends a result.
pub fn complete(out: &mut Vec<u8>, statement: &Statement, answer: &Answer) {
    match statement {
        Statement::Empty => write::empty(out, backend::EMPTY_QUERY),
        Statement::Command(..) => write::command_complete(out, &answer.tag),
    }
}

/// What of a Bind matters here.
struct Bind<'a> {
    portal: &'a [u8],
    statement: &'a [u8],
    params: u16,
    /// Whether each result is wanted in binary; `None` if a code is neither 0 nor 1.
    formats: Option<Vec<bool>>,
}

impl<'a> Bind<'a> {
    /// `None` if the lengths do not fit.
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut rest = body;
        let portal = take_cstr(&mut rest)?;
        let statement = take_cstr(&mut rest)?;
        let formats = number(&mut rest)?;
        take(&mut rest, usize::from(formats) * 2)?;
        let params = number(&mut rest)?;
        for _ in 0..params {
            let length = take(&mut rest, 4)?;
            let length = i32::from_be_bytes(length.try_into().ok()?);
            if length != -1 {
                take(&mut rest, usize::try_from(length).ok()?)?;
            }
        }
        let results = number(&mut rest)?;
        let codes = take(&mut rest, usize::from(results) * 2)?;
        let formats = codes
            .chunks_exact(2)
            .map(|code| match code {
                [0, 0] => Some(false),
                [0, 1] => Some(true),
                _ => None,
            })
            .collect();
        rest.is_empty().then_some(Self {
            portal,
            statement,
            params,
            formats,
        })
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u16> {
    take(rest, 2)?.try_into().ok().map(u16::from_be_bytes)
}
