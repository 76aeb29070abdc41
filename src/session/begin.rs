//! A BEGIN that pgweir answers itself, so that the first statement of the transaction says which server both go to.
//!
//! ```text
//!  BEGIN answered ──► kept, no server ──► first statement takes a server ──► BEGIN in front of it, in one write
//!        │                                                                       │ its answers are swallowed
//!        └── COMMIT, ROLLBACK: answered too, nothing was sent                    ▼
//!                                                        first ReadyForQuery: an ordinary transaction
//! ```
//!
//! The BEGIN goes out as Parse, Bind and Execute without a Sync: if it fails, PostgreSQL skips what is behind it, so
//! that no statement of a transaction ever runs outside of it. The client gets the error for its first statement,
//! and its transaction has failed, as it would have with any other error in it. What it sends behind its first
//! request waits for that answer.

use std::time::Instant;

use super::from_client::Frame;
use super::gather::Gather;
use super::route::ENDS;
use super::{Session, Stop};
use crate::config::cluster::ClusterPolicy;
use crate::error::{Fault, SqlState};
use crate::pool::cluster::Cluster;
use crate::route::begin::{self, Moment};
use crate::route::choice::Reason;
use crate::route::hint::Hint;
use crate::server::inflight::{Entry, Kind, Reply};
use crate::session::clients::ClientState;
use crate::session::watch::annotate::annotated;
use crate::wire::tag::frontend;
use crate::wire::write::{self, Severity};
use crate::wire::{TxStatus, read};

/// A BEGIN that was answered and that no server has carried out for good.
pub(super) struct Deferred {
    /// Its text. Bounded: see [`begin::begins`].
    text: Box<[u8]>,
    /// When it was answered.
    since: Instant,
    /// The transaction has failed before a server had it.
    failed: bool,
}

/// How far a deferred BEGIN is with the server that the client has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Opening {
    /// There is none.
    #[default]
    No,
    /// It is to be sent in front of the next message.
    Due,
    /// It was sent.
    Sent,
    /// The server has carried it out; the first request is not answered yet.
    Begun,
    /// The server refused it.
    Refused,
    /// The transaction has failed already: the server's is made to fail too.
    Failing,
}

impl Session {
    fn deferred(&self) -> Option<&Deferred> {
        self.rare.get()?.deferred.as_ref()
    }

    /// Whether its client is in a transaction that no server knows of.
    #[inline]
    pub(super) fn is_deferred(&self) -> bool {
        self.deferred().is_some()
    }

    /// The same, and the transaction has failed.
    pub(super) fn has_failed_deferred(&self) -> bool {
        self.deferred().is_some_and(|deferred| deferred.failed)
    }

    /// When the transaction began that no server knows of.
    pub(super) fn deferred_since(&self) -> Option<Instant> {
        self.deferred().map(|deferred| deferred.since)
    }

    /// What a client without a server is told of its transaction.
    pub(super) fn deferred_status(&self) -> TxStatus {
        match self.deferred() {
            None => TxStatus::Idle,
            Some(deferred) if deferred.failed => TxStatus::Failed,
            Some(_) => TxStatus::InTransaction,
        }
    }

    fn forget_deferred(&mut self) {
        if let Some(rare) = &mut self.rare.0 {
            rare.deferred = None;
        }
    }

    /// A request of a transaction that no server knows of has failed. What its client is told of the transaction.
    pub(super) fn fail_deferred(&mut self) -> TxStatus {
        if let Some(rare) = &mut self.rare.0
            && let Some(deferred) = &mut rare.deferred
        {
            deferred.failed = true;
        }
        self.deferred_status()
    }

    /// Its client has a transaction and no server: others see it as active.
    pub(super) fn stay_in_deferred(&self) {
        if let Some(since) = self.deferred_since() {
            self.me.enter(ClientState::Active, self.now());
            self.me.xact_since.set(Some(since));
        }
    }

    /// Whether a plain BEGIN of this session may wait for the first statement.
    pub(super) fn may_defer(&self, cluster: &Cluster, policy: &ClusterPolicy) -> bool {
        if !policy.defer_begin || self.is_deferred() {
            return false;
        }
        let is = |name: &str, value: &str| {
            (self.vars.get(name)).is_some_and(|set| set.eq_ignore_ascii_case(value))
        };
        begin::may_wait(
            policy,
            &Moment {
                mode: self.mode,
                servers: cluster.hosts.len(),
                target: self.target(policy),
                hinted: self.hint_of_session() != Hint::Auto,
                otherwise: is("default_transaction_read_only", "on")
                    || is("default_transaction_isolation", "serializable"),
            },
        )
    }

    /// A Query of a client that has no server: a BEGIN that may wait, or the end of one that waits, is
    /// answered here. `false` if it needs a server.
    pub(super) fn query_without_server(
        &mut self,
        frame: Frame<'_>,
        input: &[u8],
    ) -> Result<bool, Stop> {
        if !frame.is_whole() {
            return Ok(false);
        }
        let text = read::query(frame.body)?;
        let tag = match self.is_deferred() {
            true => begin::ends(text),
            false => begin::begins(text).filter(|_| {
                let known = self.pool.cluster().zip(self.pool.database().cluster());
                known.is_some_and(|(cluster, policy)| self.may_defer(&cluster, &policy))
            }),
        };
        let Some(tag) = tag else {
            return Ok(self.has_failed_deferred() && self.says_that_it_has_failed(text));
        };
        let now = self.now();
        self.me.requested.set(now);
        self.me.query_since.set(Some(now));
        let watched = match self.watch_query(text) {
            Ok(watched) => watched,
            Err(refusal) => {
                self.watch_refused();
                let hint = (b'H', refusal.hint.as_str());
                let more = match refusal.hint.is_empty() {
                    true => &[][..],
                    false => &[hint],
                };
                let (state, text) = (refusal.state, refusal.text.as_str());
                write::error_with(&mut self.output, Severity::Error, state, text, more);
                let status = self.fail_deferred();
                self.answered_here(status);
                return Ok(true);
            }
        };
        self.mirror_message(frame, input);
        // As with any simple Query, the unnamed statement is gone.
        let _ = self.unnamed_destroyed();
        let (said, status) = match self.deferred().map(|deferred| deferred.failed) {
            None => {
                let text = match &watched.comment {
                    Some(comment) => annotated(text, comment),
                    None => text.to_vec(),
                };
                self.told(Reason::Deferred);
                self.me.xact_since.set(Some(now));
                self.rare.get_mut().deferred = Some(Deferred {
                    text: text.into(),
                    since: now,
                    failed: false,
                });
                (tag, TxStatus::InTransaction)
            }
            Some(failed) => {
                self.forget_deferred();
                let said = if failed { b"ROLLBACK" } else { tag };
                (said, TxStatus::Idle)
            }
        };
        write::command_complete(&mut self.output, &String::from_utf8_lossy(said));
        self.watch_completed(said);
        self.mirror_completed(said);
        self.answered_here(status);
        Ok(true)
    }

    /// Its transaction failed before a server had it: what cannot end it is answered as PostgreSQL does, without
    /// waiting for a server that would say the same. `false` if only a server can tell what it is.
    fn says_that_it_has_failed(&mut self, text: &[u8]) -> bool {
        let flags = self.analyse(text).flags;
        if flags.intersects(ENDS) {
            return false;
        }
        let said =
            "current transaction is aborted, commands ignored until end of transaction block";
        write::error_with(
            &mut self.output,
            Severity::Error,
            SqlState::IN_FAILED_TRANSACTION,
            said,
            &[],
        );
        self.answered_here(TxStatus::Failed);
        true
    }

    /// A request was answered without a server.
    fn answered_here(&mut self, status: TxStatus) {
        write::ready_for_query(&mut self.output, status);
        self.count_ready(status, true);
        let now = self.now();
        match status {
            TxStatus::Idle => {
                self.me.enter(ClientState::Idle, now);
                self.transaction_over();
            }
            _ => self.me.enter(ClientState::Active, now),
        }
        self.visit = super::route::Visit::default();
    }

    /// Puts the BEGIN in front of the first message that its server gets.
    pub(super) fn put_begin(&mut self, gather: &mut Gather<'_>) {
        if self.visit.opening != Opening::Due {
            return;
        }
        let Some(deferred) = self.rare.get().and_then(|rare| rare.deferred.as_ref()) else {
            self.visit.opening = Opening::No;
            return;
        };
        let out = gather.put();
        let mut definition = deferred.text.to_vec();
        // The end of the text, and no types of parameters.
        definition.extend([0; 3]);
        write::parse(out, b"", &definition);
        // Names of portal and statement, then formats, parameters and formats of results: none.
        write::message(out, frontend::BIND, |out| out.extend([0; 8]));
        // The portal's name, and no limit.
        write::message(out, frontend::EXECUTE, |out| out.extend([0; 5]));
        if let Some(lease) = &mut self.lease {
            lease.unnamed = None;
        }
        self.visit.opening = Opening::Sent;
        for kind in [Kind::Parse, Kind::Bind, Kind::Execute] {
            self.owe_ours(kind);
        }
    }

    /// Its transaction failed before a server had it, and now it needs one: that one's transaction is made to
    /// fail, so that it answers whatever comes as it does. `true` if so: the client's message waits for that.
    pub(super) fn put_failure(&mut self, gather: &mut Gather<'_>) -> bool {
        if self.visit.opening != Opening::Due || !self.has_failed_deferred() {
            return false;
        }
        self.put_replay(gather);
        self.put_begin(gather);
        write::parse(gather.put(), b"", b"pgweir refuses this\0\0\0");
        write::empty(gather.put(), frontend::SYNC);
        self.owe_ours(Kind::Parse);
        self.owe_ours(Kind::Sync);
        self.visit.opening = Opening::Failing;
        self.visit.held = true;
        true
    }

    fn owe_ours(&mut self, kind: Kind) {
        self.owe(Entry {
            kind,
            reply: Reply::Swallow,
            statement: 0,
            effect: None,
        });
    }

    /// Whether a message may go to the server now that the BEGIN goes, or went, to: it waits if it is behind the first
    /// request. What belongs to that one (COPY data) does not.
    pub(super) fn may_open(&mut self, tag: u8) -> bool {
        let request = matches!(
            tag,
            frontend::QUERY
                | frontend::FUNCTION_CALL
                | frontend::PARSE
                | frontend::BIND
                | frontend::DESCRIBE
                | frontend::EXECUTE
                | frontend::CLOSE
        );
        if self.visit.requested && request {
            return false;
        }
        let simple = matches!(tag, frontend::QUERY | frontend::FUNCTION_CALL);
        self.visit.simple |= simple;
        self.visit.requested |= simple || tag == frontend::SYNC;
        true
    }

    /// The server carried something out that we asked.
    pub(super) fn opening_completed(&mut self, command: &[u8]) {
        let begun = matches!(command, b"BEGIN" | b"START TRANSACTION");
        if self.visit.opening == Opening::Sent && begun {
            self.visit.opening = Opening::Begun;
        }
    }

    /// The server refused the BEGIN, and skips what came behind it up to a Sync. The client gets the error.
    ///
    /// # Errors
    /// Part of the client's request is still on its way, and there is no place for a Sync.
    pub(super) fn opening_refused(&mut self) -> Result<(), Stop> {
        self.visit.opening = Opening::Refused;
        self.fail_deferred();
        if !self.visit.simple {
            // The client's own Sync is there, or will be.
            return Ok(());
        }
        if self.body_left > 0 && self.body_forward {
            return Err(Stop::fatal(
                SqlState::CONNECTION_FAILURE,
                "the server refused to begin the transaction",
                Fault::Server,
            ));
        }
        if let Some(lease) = &mut self.lease {
            write::empty(&mut lease.unsent, frontend::SYNC);
        }
        self.owe(Entry {
            kind: Kind::Sync,
            reply: Reply::Forward,
            statement: 0,
            effect: None,
        });
        Ok(())
    }

    /// A ReadyForQuery came; `forward` if it is the client's: from here on its transaction is one like any other.
    ///
    /// # Errors
    /// The server's transaction was to fail, and did not even begin.
    pub(super) fn opening_ready(&mut self, forward: bool, status: TxStatus) -> Result<(), Stop> {
        let over = match self.visit.opening {
            Opening::Begun => forward,
            Opening::Failing => (self.lease.as_ref()).is_some_and(|lease| lease.ledger.is_empty()),
            _ => false,
        };
        if !over {
            return Ok(());
        }
        if self.visit.opening == Opening::Failing && status != TxStatus::Failed {
            return Err(Stop::fatal(
                SqlState::CONNECTION_FAILURE,
                "the server refused to begin the transaction",
                Fault::Server,
            ));
        }
        self.visit.opening = Opening::No;
        self.forget_deferred();
        Ok(())
    }

    /// What its server says of the shapes of a transaction that began with a read: such transactions go to the
    /// primary from now on.
    pub(super) fn wrote_later(&self) {
        if let Some(cluster) = self.pool.cluster()
            && self.visit.begun
        {
            (cluster.refusals).remember(begin::wrote_later(self.visit.first));
        }
    }
}
