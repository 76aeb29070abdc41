//! What the client's messages mean.

use std::sync::Arc;
use std::task::Context as TaskContext;

use super::begin::Opening;
use super::gather::Gather;
use super::{Asked, Session, Stage, Stop, send};
use crate::config::PoolMode;
use crate::error::{Fault, SqlState};
use crate::pool::is_ascii_safe;
use crate::server::inflight::{Entry, Kind, Reply};
use crate::server::statements::{Effect, Refusal};
use crate::session::clients::ClientState;
use crate::session::watch::Watched;
use crate::session::watch::annotate::annotated;
use crate::sql::{self, Analysis, Flags, Lexing};
use crate::wire::tag::{backend, frontend};
use crate::wire::write::{self, Severity};
use crate::wire::{FrameError, Header, TxStatus, limits, read};

/// What became of a message.
pub(super) enum Step {
    /// It is dealt with; the next one follows.
    Done,
    /// Its rest has to come in first.
    Incomplete,
    /// It has to wait: for a server, or for a query of ours.
    Wait,
}

/// A message, as far as it is there.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) header: Header,
    /// Where it begins in the chunk.
    pub(super) at: usize,
    /// Its body, perhaps only the front of it.
    pub(super) body: &'a [u8],
}

impl Frame<'_> {
    pub(super) fn is_whole(&self) -> bool {
        self.body.len() == self.header.body_len as usize
    }

    /// Where what is there of it ends in the chunk.
    pub(super) fn end(&self) -> usize {
        self.at + Header::LEN + self.body.len()
    }
}

impl Session {
    /// Handles the client's bytes and sends on what goes to the server, in one write. Returns how
    /// many are dealt with; the rest has to wait or is the front of a message.
    pub(super) fn client_said(
        &mut self,
        cx: &mut TaskContext<'_>,
        input: &[u8],
        built: &mut Vec<u8>,
        dropped: &mut Vec<Effect>,
    ) -> Result<usize, Stop> {
        let mut gather = Gather::new(input, built);
        let mut at = 0;
        let walked = self.walk_client(cx, input, &mut at, &mut gather);
        for effect in dropped.drain(..) {
            self.undo(effect);
        }
        if let Some(lease) = &mut self.lease
            && !gather.is_empty()
        {
            let server = &mut **lease;
            send(&mut server.stream, &mut server.unsent, gather.bytes(), cx)
                .map_err(Stop::ServerIo)?;
        }
        walked?;
        self.settle_late_data(&input[at..])?;
        Ok(at)
    }

    /// The rest of a message that nothing is owed for has passed (COPY data behind a failed COPY)
    /// and the server had nothing to say about it: it can go now.
    #[inline]
    fn settle_late_data(&mut self, rest: &[u8]) -> Result<(), Stop> {
        let over = self.late_data
            && self.body_left == 0
            && rest.is_empty()
            && self.lease.as_ref().is_some_and(|lease| {
                lease.ledger.is_empty() && lease.partial.is_empty() && lease.body_left == 0
            });
        if over {
            self.late_data = false;
            return self.all_answered();
        }
        Ok(())
    }

    fn walk_client(
        &mut self,
        cx: &mut TaskContext<'_>,
        input: &[u8],
        at: &mut usize,
        gather: &mut Gather<'_>,
    ) -> Result<(), Stop> {
        let max_packet = max_packet_size(self);
        while *at < input.len() {
            if self.body_left > 0 {
                let n = (input.len() - *at).min(self.body_left as usize);
                if self.body_forward && self.lease.is_some() {
                    gather.keep(*at, *at + n);
                }
                *at += n;
                self.body_left -= n as u32;
                continue;
            }
            let Some(header) = Header::parse(&input[*at..], u32::MAX - 4)? else {
                return Ok(());
            };
            let tag = header.tag;
            match limits::client_body(tag, max_packet) {
                None => return Err(FrameError::UnknownTag { tag }.into()),
                Some(limit) if header.body_len > limit => {
                    let (len, limit) = (header.body_len.saturating_add(4), limit.saturating_add(4));
                    return Err(FrameError::LengthOverLimit { tag, len, limit }.into());
                }
                Some(_) => {}
            }
            let start = *at + Header::LEN;
            let end = start
                .saturating_add(header.body_len as usize)
                .min(input.len());
            let frame = Frame {
                header,
                at: *at,
                body: &input[start..end],
            };
            match self.message(cx, frame, gather)? {
                Step::Done => *at = frame.end(),
                Step::Incomplete | Step::Wait => return Ok(()),
            }
            if self.stage != Stage::Ready {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Handles one message.
    fn message(
        &mut self,
        cx: &mut TaskContext<'_>,
        frame: Frame<'_>,
        gather: &mut Gather<'_>,
    ) -> Result<Step, Stop> {
        let tag = frame.header.tag;
        if self.skipping && tag != frontend::SYNC && tag != frontend::TERMINATE {
            return Ok(self.drop_message(frame));
        }
        // A server is taken for a message that can be sent on, not for the front of one.
        let inspected = matches!(
            tag,
            frontend::QUERY | frontend::PARSE | frontend::DESCRIBE | frontend::CLOSE
        );
        let short = frame.header.body_len <= limits::INSPECT;
        if inspected && !frame.is_whole() && (short || frame.body.is_empty()) {
            return Ok(Step::Incomplete);
        }
        if tag == frontend::QUERY && self.pool.refuses_simple() {
            return Err(Stop::fatal(
                SqlState::PROTOCOL_VIOLATION,
                "PQexec disallowed",
                Fault::Client,
            ));
        }
        if self.lease.is_none() {
            match tag {
                frontend::TERMINATE => return Err(Stop::ClientGone),
                // PostgreSQL ignores these outside COPY; there is nothing to flush either.
                frontend::COPY_DATA
                | frontend::COPY_DONE
                | frontend::COPY_FAIL
                | frontend::FLUSH => return Ok(self.drop_message(frame)),
                frontend::SYNC => {
                    self.skipping = false;
                    let status = self.status();
                    write::ready_for_query(&mut self.output, status);
                    return Ok(Step::Done);
                }
                frontend::QUERY
                    if self.tracks() && self.query_without_server(frame, gather.input())? =>
                {
                    return Ok(Step::Done);
                }
                frontend::CLOSE if self.tracks() => {
                    let target = read::target(tag, frame.body)?;
                    if target.kind == b'S' && !target.name.is_empty() {
                        self.forget_name(target.name);
                        write::empty(&mut self.output, backend::CLOSE_COMPLETE);
                        return Ok(Step::Done);
                    }
                }
                frontend::PARSE
                    if self.tracks() && frame.is_whole() && self.parse_without_server(frame)? =>
                {
                    return Ok(Step::Done);
                }
                _ => {}
            }
            self.me.requested.set(self.now());
            // Each round leaves one replica out, and the primary ends them.
            loop {
                let Some(pool) = self.destination(frame, gather.input(), cx) else {
                    return Ok(Step::Wait);
                };
                match self.checkout(&pool, cx)? {
                    Asked::Attached => break,
                    Asked::Waits => return Ok(Step::Wait),
                    Asked::Elsewhere => {}
                }
            }
        }
        if self.visit.counts && (self.put_failure(gather) || !self.may_visit(tag)) {
            return Ok(Step::Wait);
        }
        if self.name_is_in_doubt(frame)? {
            self.visit.held = true;
            return Ok(Step::Wait);
        }
        self.attached_message(frame, gather)
    }

    /// Handles one message of a client that has a server.
    fn attached_message(
        &mut self,
        frame: Frame<'_>,
        gather: &mut Gather<'_>,
    ) -> Result<Step, Stop> {
        self.keep_batch(frame, gather.input());
        self.mirror_message(frame, gather.input());
        self.put_replay(gather);
        self.put_begin(gather);
        self.close_stale(gather);
        let tag = frame.header.tag;
        match tag {
            frontend::QUERY => self.query(frame, gather)?,
            frontend::PARSE => self.parse(frame, gather)?,
            frontend::BIND => return self.bind(frame, gather),
            frontend::DESCRIBE => self.describe(frame, gather)?,
            frontend::CLOSE => self.close(frame, gather)?,
            frontend::EXECUTE => self.execute(frame, gather),
            frontend::FUNCTION_CALL => {
                if let Some(refusal) = self.watch_unread() {
                    self.refuse_whole(refusal, frame, gather);
                    return Ok(Step::Done);
                }
                // In session mode a question would cost the client its unnamed statement.
                if self.tracks() {
                    self.flags = self.flags.union(Flags::SETS_UNKNOWN);
                }
                self.pass(frame, gather, Some(Kind::Function));
            }
            frontend::SYNC => {
                self.watch_sync();
                self.pass(frame, gather, Some(Kind::Sync));
            }
            frontend::FLUSH => self.pass(frame, gather, None),
            frontend::COPY_DATA => self.pass(frame, gather, Some(Kind::CopyData)),
            frontend::COPY_DONE | frontend::COPY_FAIL => {
                self.pass(frame, gather, Some(Kind::CopyEnd));
            }
            frontend::TERMINATE => {
                let busy = self
                    .lease
                    .as_ref()
                    .is_some_and(|lease| !lease.ledger.owes_nothing());
                if !busy {
                    return Err(Stop::ClientGone);
                }
                // What it asked for before is still carried out, as PostgreSQL does.
                self.stage = Stage::Leaving;
            }
            tag => return Err(FrameError::UnknownTag { tag }.into()),
        }
        Ok(Step::Done)
    }

    /// Keeps a batch of prepared statements until its first reply; see [`Self::heal`].
    #[inline]
    fn keep_batch(&mut self, frame: Frame<'_>, input: &[u8]) {
        if !self.tracks() {
            return;
        }
        let Some(lease) = &mut self.lease else { return };
        let tag = frame.header.tag;
        if lease.ledger.is_empty() {
            let idle = lease.status == TxStatus::Idle;
            // With a BEGIN in front, the server's transaction has failed when a plan is found to be useless.
            let heals = tag == frontend::BIND && self.visit.opening == Opening::No;
            lease.batch.begin(idle && (heals || self.visit.replica));
        }
        if lease.batch.is_kept() {
            let message = frame.is_whole().then(|| &input[frame.at..frame.end()]);
            let fits = match tag {
                frontend::COPY_DATA => false,
                frontend::QUERY => self.visit.replica,
                // A name would be taken already.
                frontend::PARSE => self.visit.replica && frame.body.first() == Some(&0),
                _ => true,
            };
            lease.batch.add(message.filter(|_| fits));
        }
    }

    /// Drops what is there of a message, and the rest as it comes.
    fn drop_message(&mut self, frame: Frame<'_>) -> Step {
        self.body_left = frame.header.body_len - frame.body.len() as u32;
        self.body_forward = false;
        Step::Done
    }

    /// Passes a message on as it comes and records what is owed for it.
    pub(super) fn pass(&mut self, frame: Frame<'_>, gather: &mut Gather<'_>, kind: Option<Kind>) {
        gather.keep(frame.at, frame.end());
        self.rest_follows(frame);
        if let Some(kind) = kind {
            self.owe(Entry {
                kind,
                reply: Reply::Forward,
                statement: 0,
                effect: None,
            });
        }
    }

    /// The part of the body that is not there yet passes when it comes.
    pub(super) fn rest_follows(&mut self, frame: Frame<'_>) {
        self.body_left = frame.header.body_len - frame.body.len() as u32;
        self.body_forward = true;
    }

    /// Records what is owed for a request.
    #[inline]
    pub(super) fn owe(&mut self, entry: Entry<Effect>) {
        let now = self.now();
        let Some(lease) = &mut self.lease else { return };
        if self.me.query_since.get().is_none() {
            self.me.query_since.set(Some(now));
        }
        if let Some(effect) = lease.ledger.sent(entry) {
            self.undo(effect);
        } else {
            self.answer_synthetic();
        }
    }

    /// Whether texts and names are looked at: in session mode everything the client does stays on
    /// its own server.
    #[inline]
    pub(super) fn tracks(&self) -> bool {
        self.mode != PoolMode::Session
    }

    /// What a text does, from the worker's cache.
    pub(super) fn analyse(&self, text: &[u8]) -> Arc<Analysis> {
        let lexing = self.lexing();
        self.context
            .analyses
            .borrow_mut()
            .analyse(text, lexing)
            .analysis
    }

    /// How the session's texts are to be read.
    pub(super) fn lexing(&self) -> Lexing {
        match self.vars.is_empty() {
            true => self.pool.lexing(),
            false => lexing(|name| self.vars.get(name), self.pool.lexing()),
        }
    }

    fn query(&mut self, frame: Frame<'_>, gather: &mut Gather<'_>) -> Result<(), Stop> {
        if self.visit.transaction
            && frame.is_whole()
            && let Some(refusal) = self.visit_refuses(read::query(frame.body)?)
        {
            self.refuse_whole(refusal, frame, gather);
            return Ok(());
        }
        let watched = match frame.is_whole() {
            true => self.watch_query(read::query(frame.body)?),
            false => (self.watch_unread()).map_or_else(|| Ok(Watched::default()), Err),
        };
        let watched = match watched {
            Ok(watched) => watched,
            Err(refusal) => {
                self.refuse_whole(refusal, frame, gather);
                return Ok(());
            }
        };
        if !self.tracks() {
            if frame.is_whole() && !self.startup.is_empty() {
                self.watch_resets(read::query(frame.body)?);
            }
            match &watched.comment {
                Some(comment) if frame.is_whole() => {
                    let text = annotated(read::query(frame.body)?, comment);
                    write::query(gather.put(), &text);
                    self.owe(Entry {
                        kind: Kind::Query,
                        reply: Reply::Forward,
                        statement: 0,
                        effect: None,
                    });
                }
                _ => self.pass(frame, gather, Some(Kind::Query)),
            }
            return Ok(());
        }
        let text = match frame.is_whole() {
            true => Some(read::query(frame.body)?),
            false => None,
        };
        // A simple Query destroys the unnamed statement, unless it is skipped.
        let mut query = Entry {
            kind: Kind::Query,
            reply: Reply::Forward,
            statement: 0,
            effect: self.unnamed_destroyed(),
        };
        let safe = self.pool.lexing().ascii_safe_encoding;
        let renamed = match text {
            None => {
                self.flags = self.flags.union(Flags::UNANALYSED);
                self.visit_noted(Flags::UNANALYSED);
                None
            }
            Some(text) if safe && (watched.plain || sql::is_plain(text)) => None,
            Some(text) => {
                let analysis = self.analyse(text);
                self.note(&analysis);
                let name = analysis.deallocate.as_ref();
                let renamed = name.and_then(|name| self.deallocate(name, gather));
                if let (Some(name), true) = (name, renamed.is_some()) {
                    query.effect = self.deallocates(name, query.effect);
                }
                renamed
            }
        };
        let renamed = renamed.or_else(|| Some(annotated(text?, watched.comment.as_ref()?)));
        if let Some(renamed) = renamed {
            write::query(gather.put(), &renamed);
        } else {
            gather.keep(frame.at, frame.end());
            self.rest_follows(frame);
        }
        self.owe(query);
        Ok(())
    }

    /// Refuses a request that the server answers with ReadyForQuery by itself: it is made to fail at
    /// something else, with a Sync behind.
    fn refuse_whole(&mut self, refusal: Refusal, frame: Frame<'_>, gather: &mut Gather<'_>) {
        self.refuse_with(refusal, gather);
        write::empty(gather.put(), frontend::SYNC);
        self.owe(Entry {
            kind: Kind::Sync,
            reply: Reply::Forward,
            statement: 0,
            effect: None,
        });
        self.drop_message(frame);
    }

    /// The client waited for a server and cancelled: what it waited with is refused.
    pub(super) fn refuse_waiting(&mut self) {
        write::error(
            &mut self.output,
            Severity::Error,
            SqlState::QUERY_CANCELED,
            "canceling statement due to user request",
        );
        let status = self.fail_deferred();
        let held = std::mem::take(&mut self.input);
        let first = Header::parse(&held, u32::MAX - 4).ok().flatten();
        self.input = held;
        match first {
            Some(header) if matches!(header.tag, frontend::QUERY | frontend::FUNCTION_CALL) => {
                write::ready_for_query(&mut self.output, status);
                let there = header.frame_len().min(self.input.len());
                self.body_left = (header.frame_len() - there) as u32;
                self.body_forward = false;
                self.input.drain(..there);
            }
            _ => self.skipping = true,
        }
        match status {
            TxStatus::Idle => self.me.state.set(ClientState::Idle),
            _ => self.stay_in_deferred(),
        }
    }
}

fn max_packet_size(session: &Session) -> u32 {
    session.pool.max_packet_size()
}

/// How a session's texts are to be read, given its explicit settings and its server's defaults.
fn lexing<'a>(explicit: impl Fn(&str) -> Option<&'a str>, default: Lexing) -> Lexing {
    Lexing {
        standard_conforming_strings: explicit("standard_conforming_strings")
            .map_or(default.standard_conforming_strings, |value| value != "off"),
        ascii_safe_encoding: explicit("client_encoding")
            .map_or(default.ascii_safe_encoding, is_ascii_safe),
    }
}
