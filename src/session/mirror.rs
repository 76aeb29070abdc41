//! What a session keeps of its client's present transaction so that a second database can run it too.
//!
//! Statements that the client has prepared under names are written out, since only its own server knows those
//! names. A transaction that cannot be played again as it was is passed over: one with COPY, with named portals,
//! with something that stays in the session, or one that is too long.

use super::Session;
use super::from_client::Frame;
use crate::pool::mirror::Unit;
use crate::server::replay::Outcome;
use crate::sql::{Analysis, Flags};
use crate::wire::tag::frontend;
use crate::wire::{TxStatus, read, write};

/// Longest transaction that is kept, in bytes.
const LONGEST: usize = 256 << 10;

/// What a transaction must not do.
const STAYS: Flags = Flags::LISTEN
    .union(Flags::TEMP)
    .union(Flags::HOLD_CURSOR)
    .union(Flags::SQL_PREPARE)
    .union(Flags::LOAD)
    .union(Flags::ADVISORY_LOCK)
    .union(Flags::ROLE)
    .union(Flags::COPY)
    .union(Flags::SETS_PARAM)
    .union(Flags::SETS_UNKNOWN)
    .union(Flags::UNANALYSED);

/// What a transaction that only reads may do besides reading.
const AROUND_READS: Flags = Flags::BEGIN
    .union(Flags::COMMIT)
    .union(Flags::ROLLBACK)
    .union(Flags::EMPTY);

/// A transaction so far.
#[derive(Debug, Default)]
pub(super) struct Kept {
    requests: Vec<u8>,
    answers: u32,
    outcome: Outcome,
    shape: Option<u64>,
    /// It cannot be played again.
    unfit: bool,
    /// Something in it does more than read.
    writes: bool,
    /// The unnamed statement is one that was parsed in it.
    parsed: bool,
}

impl Kept {
    fn note(&mut self, known: &Analysis) {
        self.unfit |= known.flags.intersects(STAYS);
        self.writes |=
            !known.flags.contains(Flags::READ_ONLY) && !known.flags.intersects(AROUND_READS);
        self.shape.get_or_insert(known.fingerprint);
    }
}

impl Session {
    /// A message goes to the server.
    #[inline]
    pub(super) fn mirror_message(&mut self, frame: Frame<'_>, input: &[u8]) {
        if self.mirrored.is_none() && !self.pool.mirrors() {
            return;
        }
        let mut kept = self.mirrored.take().unwrap_or_default();
        if !kept.unfit && self.keep_message(&mut kept, frame, input).is_none() {
            kept.unfit = true;
        }
        if kept.unfit || kept.requests.len() > LONGEST {
            (kept.unfit, kept.requests) = (true, Vec::new());
        }
        self.mirrored = Some(kept);
    }

    /// `None` if it cannot be played again.
    fn keep_message(&self, kept: &mut Kept, frame: Frame<'_>, input: &[u8]) -> Option<()> {
        if !self.tracks() || !frame.is_whole() {
            return None;
        }
        let whole = input.get(frame.at..frame.end())?;
        match frame.header.tag {
            frontend::QUERY => {
                kept.note(&self.analyse(read::query(frame.body).ok()?));
                kept.parsed = false;
                kept.answers += 1;
                kept.requests.extend(whole);
            }
            frontend::PARSE => {
                let parse = read::parse(frame.body).ok()?;
                // Named ones are written out when they are used.
                if parse.name.is_empty() {
                    kept.note(&self.analyse(parse.text));
                    kept.parsed = true;
                    kept.requests.extend(whole);
                }
            }
            frontend::BIND => {
                let bind = read::bind_names(frame.body)?;
                if !bind.portal.is_empty() {
                    return None;
                }
                match bind.statement {
                    [] if kept.parsed => {}
                    [] => return None,
                    name => {
                        let known = self.named(name)?;
                        kept.note(&known.analysis);
                        kept.parsed = false;
                        write::parse(&mut kept.requests, b"", &known.definition);
                    }
                }
                let rest = frame.body.get(bind.len..)?;
                write::message(&mut kept.requests, frontend::BIND, |out| {
                    out.extend([0, 0]);
                    out.extend(rest);
                });
            }
            frontend::EXECUTE => {
                if frame.body.first() != Some(&0) {
                    return None;
                }
                kept.requests.extend(whole);
            }
            frontend::SYNC => {
                kept.answers += 1;
                kept.requests.extend(whole);
            }
            // They change nothing for what follows.
            frontend::DESCRIBE | frontend::CLOSE | frontend::FLUSH | frontend::TERMINATE => {}
            _ => return None,
        }
        Some(())
    }

    /// A statement of the client was carried out.
    #[inline]
    pub(super) fn mirror_completed(&mut self, tag: &[u8]) {
        if let Some(kept) = &mut self.mirrored {
            kept.outcome.completed(tag);
        }
    }

    /// A statement of the client failed.
    #[inline]
    pub(super) fn mirror_failed(&mut self, body: &[u8]) {
        if let Some(kept) = &mut self.mirrored {
            kept.outcome.failed(body);
        }
    }

    /// The server has answered a request, in so many microseconds. At the end of a transaction it is handed over.
    #[inline]
    pub(super) fn mirror_ready(&mut self, status: TxStatus, quiet: bool, micros: Option<u64>) {
        let Some(kept) = &mut self.mirrored else {
            return;
        };
        kept.outcome.micros += micros.unwrap_or_default();
        if status != TxStatus::Idle || !quiet {
            return;
        }
        let Some(kept) = self.mirrored.take() else {
            return;
        };
        let Some(mirror) = self.pool.mirror() else {
            return;
        };
        let shape = kept.shape.unwrap_or_default();
        if (mirror.reads_only && kept.writes) || !mirror.takes(shape) {
            return;
        }
        if kept.unfit {
            return mirror.passed_over();
        }
        if kept.answers == 0 || kept.shape.is_none() {
            return;
        }
        mirror.push(Unit {
            requests: kept.requests,
            answers: kept.answers,
            outcome: kept.outcome,
            vars: self.vars.clone(),
            shape,
            client: self.me.id,
        });
    }

    /// Its transaction began before what is kept of it, and cannot be played again.
    pub(super) fn mirror_passes_over(&mut self) {
        if self.pool.mirrors() {
            self.mirrored.get_or_insert_default().unfit = true;
        }
    }

    /// What was sent is played again to the client's own server, and comes by here once more.
    pub(super) fn mirror_anew(&mut self) {
        self.mirrored = None;
    }
}
