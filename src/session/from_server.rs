//! What the server's messages mean.

use std::task::Context as TaskContext;

use super::begin::Opening;
use super::gather::Gather;
use super::machine::{self, Moment, Next};
use super::{Refused, Session, Stage, Stop, send};
use crate::config::PoolMode;
use crate::error::{Fault, SqlState};
use crate::server::inflight::{Entry, Kind, Reply, Verdict};
use crate::server::statements::{Effect, push_wire_name};
use crate::wire::tag::{backend, frontend};
use crate::wire::write::{self, Severity};
use crate::wire::{Header, TxStatus, limits, read};

impl Session {
    /// Handles the server's bytes and sends on what goes to the client, in one write. The front of
    /// a message that has to be seen whole is kept with the server.
    pub(super) fn server_said(
        &mut self,
        cx: &mut TaskContext<'_>,
        input: &[u8],
        built: &mut Vec<u8>,
        dropped: &mut Vec<Effect>,
    ) -> Result<(), Stop> {
        let mut gather = Gather::new(input, built);
        let walked = self.walk_server(input, &mut gather, dropped);
        if !gather.is_empty() {
            send(&mut self.stream, &mut self.output, gather.bytes(), cx).map_err(Stop::ClientIo)?;
        }
        let at = walked?;
        if let Some(lease) = &mut self.lease {
            lease.partial.extend_from_slice(&input[at..]);
            let over = match self.stage {
                // Whoever said goodbye sends no Sync any more.
                Stage::Leaving => lease.ledger.owes_nothing(),
                _ => lease.ledger.is_empty(),
            };
            let quiet = lease.partial.is_empty() && lease.body_left == 0;
            if over && quiet {
                self.all_answered()?;
            } else if quiet
                && lease.ledger.only_prepared()
                && lease.status == TxStatus::Idle
                && self.stage == Stage::Ready
                && self.body_left == 0
                && self.tracks()
            {
                self.close_batch();
            }
        }
        Ok(())
    }

    /// The client has prepared something, asked for the answer with Flush and thinks about it; some
    /// drivers prepare long before they execute. Outside a transaction it need not keep a server
    /// meanwhile.
    fn close_batch(&mut self) {
        if let Some(lease) = &mut self.lease {
            write::empty(&mut lease.unsent, frontend::SYNC);
            self.owe(Entry {
                kind: Kind::Sync,
                reply: Reply::Swallow,
                statement: 0,
                effect: None,
            });
            self.me.query_since.set(None);
        }
    }

    fn walk_server(
        &mut self,
        input: &[u8],
        gather: &mut Gather<'_>,
        dropped: &mut Vec<Effect>,
    ) -> Result<usize, Stop> {
        let mut at = 0;
        while at < input.len() {
            let Some(lease) = &mut self.lease else {
                return Ok(input.len());
            };
            if lease.body_left > 0 {
                let n = (input.len() - at).min(lease.body_left as usize);
                if lease.body_forward {
                    gather.keep(at, at + n);
                }
                at += n;
                lease.body_left -= n as u32;
                if lease.body_left == 0 {
                    self.put_synthetic(gather);
                }
                continue;
            }
            let header = Header::parse(&input[at..], u32::MAX - 4).map_err(broke)?;
            let Some(header) = header else { break };
            let (tag, len) = (header.tag, header.frame_len());
            let there = (input.len() - at).min(len);
            let body = &input[at + Header::LEN..at + there];
            let whole = there == len;
            let forward = match tag {
                backend::READY_FOR_QUERY
                | backend::COMMAND_COMPLETE
                | backend::PARAMETER_STATUS
                | backend::ERROR
                    if !whole =>
                {
                    if header.body_len > limits::SERVER_INSPECT {
                        return Err(Stop::ServerFrame(format!(
                            "{} of {len} bytes",
                            crate::wire::tag::show(tag)
                        )));
                    }
                    break;
                }
                backend::DATA_ROW if self.stage == Stage::Asking => {
                    if whole {
                        self.answer_row(body)?;
                    } else if header.body_len <= limits::SERVER_INSPECT {
                        break;
                    } else {
                        self.rare.get_mut().answer.too_much();
                    }
                    self.account(tag, dropped)?
                }
                backend::NOTICE => lease.ledger.asynchronous_is_forwarded(),
                // Also while a query of ours runs: notifications are nobody's answer.
                backend::NOTIFICATION => {
                    self.stage != Stage::Login
                        && (!self.tracks()
                            || self.pins.listens()
                            || self.flags.contains(crate::sql::Flags::LISTEN))
                }
                backend::PARAMETER_STATUS => {
                    let forward = lease.ledger.asynchronous_is_forwarded();
                    let (name, value) = read::parameter_status(body).map_err(broke)?;
                    self.parameter_reported(name, value, forward);
                    forward
                }
                backend::COMMAND_COMPLETE => {
                    let command = read::command_tag(body).map_err(broke)?;
                    self.command_completed(command);
                    let forward = self.account(tag, dropped)?;
                    if !forward {
                        self.opening_completed(command);
                    } else {
                        self.put_notices(gather);
                        self.watch_completed(command);
                        self.mirror_completed(command);
                    }
                    forward
                }
                backend::ERROR => {
                    let forward = self.error(header, body, gather, dropped)?;
                    if forward {
                        self.put_notices(gather);
                        self.watch_failed(body);
                        self.mirror_failed(body);
                    }
                    forward
                }
                backend::DATA_ROW | backend::ROW_DESCRIPTION => {
                    let waits = !whole && header.body_len <= limits::SERVER_INSPECT;
                    if waits && self.captures() {
                        break;
                    }
                    let forward = self.account(tag, dropped)?;
                    if forward && tag == backend::DATA_ROW {
                        self.watch_row(len, body);
                    } else if forward {
                        self.watch_described(body);
                    }
                    forward
                }
                backend::PORTAL_SUSPENDED | backend::EMPTY_QUERY => {
                    let forward = self.account(tag, dropped)?;
                    if forward {
                        self.watch_suspended();
                    }
                    forward
                }
                backend::READY_FOR_QUERY => {
                    lease.status = read::ready_for_query(body).map_err(broke)?;
                    let mut forward = self.account(tag, dropped)?;
                    if self.healing && forward {
                        self.heal();
                        forward = false;
                    } else if self.visit.retry && forward {
                        self.retry_at_home();
                        forward = false;
                    } else if self.visit.opening == Opening::Refused && forward {
                        // The client is in a transaction, of which the server knows nothing.
                        self.ready(true, TxStatus::Failed)?;
                        write::ready_for_query(gather.put(), TxStatus::Failed);
                        forward = false;
                    } else {
                        let status = self.status();
                        self.ready(forward, status)?;
                        if self.visit.opening != Opening::No {
                            self.opening_ready(forward, status)?;
                        }
                    }
                    forward
                }
                tag if backend::known(tag) => self.account(tag, dropped)?,
                tag => {
                    return Err(Stop::ServerFrame(format!(
                        "unknown message type {}",
                        crate::wire::tag::show(tag)
                    )));
                }
            };
            let mut end = at + there;
            if forward && !self.hold_reply(tag, whole.then(|| &input[at..end])) {
                self.put_held(gather);
                // One row and no more is the most frequent result: that is seen at once.
                if input.get(end) == Some(&tag)
                    && whole
                    && matches!(tag, backend::DATA_ROW | backend::COPY_DATA)
                {
                    end += self.rows_behind(tag, &input[end..]);
                }
                gather.keep(at, end);
            }
            at = end;
            if let Some(lease) = &mut self.lease {
                lease.body_left = (len - there) as u32;
                lease.body_forward = forward;
            }
            self.put_synthetic(gather);
        }
        Ok(at)
    }

    /// How many bytes of rows come behind one that passes: they belong to the same request, which a row does not
    /// end, and pass too.
    #[inline(never)]
    fn rows_behind(&mut self, tag: u8, input: &[u8]) -> usize {
        if self.captures() {
            return 0;
        }
        let bytes = Header::run(input, tag);
        if tag == backend::DATA_ROW {
            self.watch_row(bytes, &[]);
        }
        bytes
    }

    /// Matches a message with what is owed. `true` if it is the client's.
    #[inline]
    fn account(&mut self, tag: u8, dropped: &mut Vec<Effect>) -> Result<bool, Stop> {
        let Some(lease) = &mut self.lease else {
            return Ok(false);
        };
        if let Some(reply) = lease.ledger.plain_reply(tag) {
            return Ok(reply == Reply::Forward);
        }
        self.account_for(tag, dropped)
    }

    /// The same for a message that may concern our books.
    fn account_for(&mut self, tag: u8, dropped: &mut Vec<Effect>) -> Result<bool, Stop> {
        let Some(lease) = &mut self.lease else {
            return Ok(false);
        };
        let verdict = lease
            .ledger
            .reply(tag, dropped)
            .map_err(|error| Stop::ServerFrame(error.to_string()))?;
        match verdict {
            Verdict::Stay(reply) => Ok(reply == Reply::Forward),
            Verdict::Done(entry) | Verdict::Failed(entry) => {
                if let Some(effect) = entry.effect {
                    self.confirm(effect);
                }
                Ok(entry.reply == Reply::Forward)
            }
        }
    }

    /// An ErrorResponse: what was skipped because of it is undone, words about our names are put
    /// into the client's. `true` if it passes as it came.
    fn error(
        &mut self,
        header: Header,
        body: &[u8],
        gather: &mut Gather<'_>,
        dropped: &mut Vec<Effect>,
    ) -> Result<bool, Stop> {
        let Some(lease) = &mut self.lease else {
            return Ok(false);
        };
        let severity = read::error_field(body, b'V').or(read::error_field(body, b'S'));
        if matches!(severity, Some(b"FATAL" | b"PANIC")) {
            // The last thing this server says; it may come at any time.
            lease.said_why = true;
            lease.broken = true;
            let ours = !lease.ledger.asynchronous_is_forwarded();
            if ours && self.stage != Stage::Ready {
                self.refused(body);
            }
            return Ok(self.stage != Stage::Login);
        }
        if self.visit.counts && read::error_field(body, b'C') == Some(b"25006") {
            self.refused_to_write();
        }
        let Some(lease) = &mut self.lease else {
            return Ok(false);
        };
        if lease.ledger.is_empty() {
            return Err(Stop::ServerFrame("an error nobody asked for".to_owned()));
        }
        let verdict = lease
            .ledger
            .reply(header.tag, dropped)
            .map_err(|error| Stop::ServerFrame(error.to_string()))?;
        let status = lease.status;
        for effect in dropped.drain(..) {
            self.undo(effect);
        }
        match verdict {
            Verdict::Failed(_) if self.visit.opening == Opening::Sent => {
                self.opening_refused()?;
                Ok(true)
            }
            // It was to fail.
            Verdict::Failed(_) if self.visit.opening == Opening::Failing => Ok(false),
            Verdict::Stay(Reply::Swallow) => {
                self.refused(body);
                Ok(false)
            }
            Verdict::Stay(Reply::Forward) | Verdict::Done(_) => Ok(!self.replica_refuses(body)),
            Verdict::Failed(entry)
                if entry.reply == Reply::Forward && self.replica_refuses(body) =>
            {
                if let Some(effect) = entry.effect {
                    self.undo(effect);
                }
                Ok(false)
            }
            Verdict::Failed(entry) => {
                match entry.effect {
                    Some(Effect::FailAs(refusal)) if !refusal.yields_to(body) => {
                        let hint = (b'H', refusal.hint.as_str());
                        let more = match refusal.hint.is_empty() {
                            true => &[][..],
                            false => &[hint],
                        };
                        let (state, text) = (refusal.state, refusal.text.as_str());
                        self.put_held(gather);
                        write::error_with(gather.put(), Severity::Error, state, text, more);
                        self.watch_refused();
                        return Ok(false);
                    }
                    Some(Effect::Unnamed(_)) => {
                        // PostgreSQL drops the old one before it looks at the new one.
                        self.unnamed = None;
                        if let Some(lease) = &mut self.lease {
                            lease.unnamed = None;
                        }
                    }
                    Some(effect) => {
                        if let (Kind::Parse, Reply::Swallow, Some(lease)) =
                            (entry.kind, entry.reply, &self.lease)
                            && status != TxStatus::Failed
                        {
                            // We had answered the client's Parse ourselves: its name is free. (A
                            // failed transaction refuses everything, whatever it is.)
                            lease.prepared.refused(entry.statement);
                        }
                        if entry.kind == Kind::Parse
                            && let (
                                Effect::Parse {
                                    name: Some(name), ..
                                },
                                true,
                            ) = (&effect, entry.statement != 0)
                        {
                            let done = self.put_renamed(entry.statement, Some(name), body, gather);
                            self.undo(effect);
                            return Ok(!done);
                        }
                        self.undo(effect);
                    }
                    None => {}
                }
                if entry.statement != 0 {
                    if self.is_stale(entry.statement, body) {
                        return Ok(false);
                    }
                    return Ok(!self.put_renamed(entry.statement, None, body, gather));
                }
                Ok(true)
            }
        }
    }

    /// "cached plan must not change result type", or the server has lost the statement: its copy is
    /// useless from now on. It is closed there, so that the next use prepares it anew. `true` if
    /// the whole batch will be played again, so that the client need not know.
    fn is_stale(&mut self, id: u32, body: &[u8]) -> bool {
        let said = (
            read::error_field(body, b'C').unwrap_or_default(),
            read::error_field(body, b'R').unwrap_or_default(),
        );
        // The second and third: a function has run a DEALLOCATE that no text shows. The routine
        // tells them from errors that functions raise.
        let stale = [
            (&b"0A000"[..], &b"RevalidateCachedQuery"[..]),
            (b"26000", b"FetchPreparedStatement"),
            (b"42P05", b"StorePreparedStatement"),
        ]
        .contains(&said);
        let Some(lease) = &mut self.lease else {
            return false;
        };
        if !stale {
            return false;
        }
        lease.stale.push(id);
        let only_sync_owed = lease.ledger.len() == 1
            && lease
                .ledger
                .front()
                .is_some_and(|entry| entry.kind == Kind::Sync);
        let apart = self.visit.opening == Opening::No;
        self.healing = lease.batch.is_kept() && only_sync_owed && self.body_left == 0 && apart;
        self.healing
    }

    /// Plays the batch again. Nothing of it was carried out: it failed at its first Bind, outside
    /// a transaction.
    fn heal(&mut self) {
        self.healing = false;
        self.watch_healed();
        self.mirror_anew();
        if let Some(lease) = &mut self.lease {
            let mut again = lease.batch.take();
            again.append(&mut self.input);
            self.input = again;
        }
    }

    /// Passes an error on with the client's name of a statement in place of ours. `false` if ours
    /// does not occur.
    fn put_renamed(
        &mut self,
        id: u32,
        name: Option<&[u8]>,
        body: &[u8],
        gather: &mut Gather<'_>,
    ) -> bool {
        let mut wire = Vec::with_capacity(24);
        push_wire_name(&mut wire, id);
        let Some(at) = body.windows(wire.len()).position(|part| part == wire) else {
            return false;
        };
        let Some(name) = name.or_else(|| self.name_of(id)).map(<[u8]>::to_vec) else {
            return false;
        };
        self.put_held(gather);
        write::message(gather.put(), backend::ERROR, |out| {
            out.extend(&body[..at]);
            out.extend(&name);
            out.extend(&body[at + wire.len()..]);
        });
        true
    }

    /// A query of ours failed.
    fn refused(&mut self, body: &[u8]) {
        let text = |field| {
            let text = read::error_field(body, field).unwrap_or(b"(no message)");
            String::from_utf8_lossy(text).into_owned()
        };
        let state = read::error_field(body, b'C')
            .and_then(|code| code.try_into().ok())
            .map_or(SqlState::INTERNAL_ERROR, SqlState);
        self.rare.get_mut().refusal = Some(Refused {
            state,
            text: text(b'M'),
        });
    }

    fn command_completed(&mut self, command: &[u8]) {
        if !self.tracks() {
            return;
        }
        match command {
            b"DEALLOCATE ALL" | b"DISCARD ALL" => self.deallocated_all(),
            b"DEALLOCATE" => self.deallocated(),
            _ => {}
        }
    }

    /// The answer of ours whose turn it is, if it is one's turn: not while a message of the
    /// server is on its way through.
    #[inline]
    fn next_synthetic(&mut self) -> Option<Entry<Effect>> {
        let lease = (self.lease.as_mut())
            .filter(|lease| lease.ledger.synthetic_may_be_next() && lease.body_left == 0)?;
        lease.ledger.take_synthetic()
    }

    /// Answers of ours whose turn has come, behind a message of the server.
    #[inline]
    fn put_synthetic(&mut self, gather: &mut Gather<'_>) {
        if (self.lease.as_ref()).is_some_and(|lease| lease.ledger.synthetic_may_be_next()) {
            self.put_synthetics(gather);
        }
    }

    #[cold]
    fn put_synthetics(&mut self, gather: &mut Gather<'_>) {
        while let Some(entry) = self.next_synthetic() {
            if let Kind::Synthetic(tag) = entry.kind {
                // Five bytes: the tag and the length.
                if !self.hold_reply(tag, Some(&[tag, 0, 0, 0, 4])) {
                    self.put_held(gather);
                    write::empty(gather.put(), tag);
                }
            }
            if let Some(effect) = entry.effect {
                self.confirm(effect);
            }
        }
    }

    /// Answers of ours whose turn is now because nothing is owed before them.
    #[inline]
    pub(super) fn answer_synthetic(&mut self) {
        if (self.lease.as_ref()).is_some_and(|lease| lease.ledger.synthetic_may_be_next()) {
            self.answer_synthetics();
        }
    }

    #[cold]
    fn answer_synthetics(&mut self) {
        while let Some(entry) = self.next_synthetic() {
            if let Kind::Synthetic(tag) = entry.kind {
                self.put_own_reply(tag);
            }
            if let Some(effect) = entry.effect {
                self.confirm(effect);
            }
        }
    }

    /// A ReadyForQuery came; `forward` tells whose it is, `status` what the client is told.
    fn ready(&mut self, forward: bool, status: TxStatus) -> Result<(), Stop> {
        let quiet = match &self.lease {
            Some(lease) => lease.ledger.is_empty(),
            None => return Ok(()),
        };
        if !forward {
            return match self.stage {
                // Looked at when everything has been read: see `all_answered`.
                Stage::Login | Stage::Asking => Ok(()),
                _ => self.parameters_replayed(),
            };
        }
        self.count_ready(status, quiet);
        if self.mode == PoolMode::Statement
            && status != TxStatus::Idle
            && self.stage == Stage::Ready
        {
            // In place of this ReadyForQuery, so that what began the transaction is what fails.
            return Err(refused_transaction());
        }
        self.me.since.set(self.now());
        Ok(())
    }

    /// The client is told that it may go on; `quiet` if nothing else is owed to it.
    pub(super) fn count_ready(&mut self, status: TxStatus, quiet: bool) {
        let now = self.now();
        if status != TxStatus::Idle && self.me.xact_since.get().is_none() {
            self.me.xact_since.set(Some(now));
        }
        let since = self.me.query_since.get();
        let began = self.me.xact_since.get();
        let took =
            |since: std::time::Instant| now.saturating_duration_since(since).as_micros() as u64;
        let query = since.filter(|_| quiet).map(took);
        let xact = match (began, query) {
            _ if status != TxStatus::Idle => None,
            // Most transactions are one query.
            (began, Some(micros)) if began == since => Some(micros),
            (began, _) => began.map(took),
        };
        self.pool.stats.update(|totals| {
            totals.queries += u64::from(quiet);
            totals.query_us += query.unwrap_or(0);
            totals.xacts += u64::from(status == TxStatus::Idle);
            totals.xact_us += xact.unwrap_or(0);
        });
        self.pool.stats.time(|times| {
            if let Some(micros) = query {
                times.query.note(micros);
            }
            if let Some(micros) = xact {
                times.xact.note(micros);
            }
        });
        if quiet {
            self.me.query_since.set(None);
        }
        self.watch_ready(status, quiet);
        self.mirror_ready(status, quiet, query);
        if status == TxStatus::Idle {
            self.me.xact_since.set(None);
        }
    }

    /// The server has answered everything.
    pub(super) fn all_answered(&mut self) -> Result<(), Stop> {
        match self.stage {
            Stage::Leaving => return Err(Stop::ClientGone),
            Stage::Login => return self.parameters_tried(),
            Stage::Asking => self.answered()?,
            Stage::Closing => return Ok(()),
            Stage::Ready => {}
        }
        let status = self.status();
        self.trust_all();
        if self.body_left > 0 {
            self.late_data = true;
            return Ok(());
        }
        let question = match status {
            TxStatus::Idle => self.question(),
            _ => None,
        };
        let next = machine::after_ready(Moment {
            status,
            mode: self.mode,
            pinned: !self.pins.is_empty(),
            doubt: question.is_some(),
        });
        match (next, question) {
            (Next::Ask, Some((question, sql))) => {
                self.ask(question, &sql);
                Ok(())
            }
            (Next::Stay | Next::Ask, _) => {
                self.visit_goes_on();
                Ok(())
            }
            (Next::RefuseTransaction, _) => Err(refused_transaction()),
            (Next::Detach, _) => {
                self.transaction_over();
                self.detach(self.now());
                Ok(())
            }
        }
    }

    /// Forgets what was noted about the transaction.
    pub(super) fn transaction_over(&mut self) {
        self.flags = crate::sql::Flags::NONE;
        self.may_set = false;
        if self.rare.get().is_some_and(|rare| !rare.touched.is_empty()) {
            self.rare.get_mut().touched.clear();
        }
    }
}

#[cold]
fn refused_transaction() -> Stop {
    Stop::fatal(
        SqlState::PROTOCOL_VIOLATION,
        "transaction blocks not allowed in statement pooling mode",
        Fault::Client,
    )
}

fn broke(error: crate::wire::FrameError) -> Stop {
    Stop::ServerFrame(error.to_string())
}
