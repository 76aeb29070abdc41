//! A read that its replica refuses is asked of the primary, once, and the client need not know.
//!
//! A replica cannot run everything that reads as far as the text tells: a view or a function may
//! write (25006), a table may be unlogged or the isolation serializable (0A000), a function may be
//! about the log that a primary writes (55000); and it gives up a query that keeps it from replaying
//! (40001). Nothing was done then, and as long as the client has seen no reply of the batch, it can
//! be played again elsewhere. So what comes back before the first row is held back for that moment.

use super::begin::Opening;
use super::gather::Gather;
use super::{Session, Stage};
use crate::server::inflight::{Entry, Kind, Reply};
use crate::wire::tag::backend;
use crate::wire::{TxStatus, read, write};

/// Whether a replica says with this error that it cannot run what it was asked, and if so, whether
/// that holds for the next time too.
fn refuses(error: &[u8]) -> Option<bool> {
    match read::error_field(error, b'C')? {
        // A plan that became useless is made anew there; see `heal`.
        b"0A000" if read::error_field(error, b'R') == Some(b"RevalidateCachedQuery") => None,
        b"25006" | b"0A000" | b"55000" => Some(true),
        b"40001" => Some(false),
        _ => None,
    }
}

#[cold]
fn put_all(held: &mut Vec<u8>, gather: &mut Gather<'_>) {
    gather.put().extend_from_slice(held);
    held.clear();
}

impl Session {
    /// Whether the batch it sends or sent could still be played again on the primary.
    #[inline]
    fn may_retry(&self) -> bool {
        self.visit.replica
            && !self.visit.retry
            && self.pins.is_empty()
            && (self.lease.as_ref())
                .is_some_and(|lease| lease.batch.is_kept() && lease.status == TxStatus::Idle)
    }

    /// Holds back a reply that tells nothing of the outcome. `true` if it does.
    #[inline]
    pub(super) fn hold_reply(&mut self, tag: u8, message: Option<&[u8]>) -> bool {
        let prelude = matches!(
            tag,
            backend::PARSE_COMPLETE
                | backend::BIND_COMPLETE
                | backend::PARAMETER_DESCRIPTION
                | backend::ROW_DESCRIPTION
                | backend::NO_DATA
        );
        if !prelude || !self.may_retry() {
            return false;
        }
        match (&mut self.lease, message) {
            (Some(lease), Some(message)) => lease.batch.hold(message),
            _ => false,
        }
    }

    /// A reply passes: what was held back goes before it, and there is no way back.
    #[inline]
    pub(super) fn put_held(&mut self, gather: &mut Gather<'_>) {
        let Some(lease) = &mut self.lease else { return };
        lease.batch.passed_on();
        if !lease.batch.held().is_empty() {
            put_all(lease.batch.held(), gather);
        }
    }

    /// A reply of our own, whose turn has come while nothing of the server's is at hand.
    pub(super) fn put_own_reply(&mut self, tag: u8) {
        // Five bytes: the tag and the length.
        if self.hold_reply(tag, Some(&[tag, 0, 0, 0, 4])) {
            return;
        }
        if let Some(lease) = &mut self.lease {
            lease.batch.passed_on();
            self.output.append(lease.batch.held());
        }
        write::empty(&mut self.output, tag);
    }

    /// The server says an error to the client's batch. `true` if the primary will be asked instead.
    pub(super) fn replica_refuses(&mut self, body: &[u8]) -> bool {
        let told = self.visit.transaction && !self.visit.begun;
        if !self.visit.replica || told || self.stage != Stage::Ready {
            return false;
        }
        let Some(for_good) = refuses(body) else {
            return false;
        };
        // What comes later in a transaction is for its own server, whose snapshot it has; the next one that
        // begins so goes elsewhere.
        if self.visit.transaction && self.visit.opening != Opening::Begun {
            if for_good {
                self.wrote_later();
            }
            return false;
        }
        if let Some(cluster) = self.pool.cluster()
            && for_good
        {
            cluster.refusals.remember(self.visit.shape);
        }
        if !self.may_retry() || self.body_left > 0 {
            return false;
        }
        tracing::debug!(
            client = self.me.id,
            sqlstate = %String::from_utf8_lossy(read::error_field(body, b'C').unwrap_or_default()),
            "a replica refused a read; the primary is asked"
        );
        if let Some(cluster) = self.pool.cluster() {
            cluster.refusals.count();
        }
        self.visit.retry = true;
        true
    }

    /// The replica that refused is through with the batch: it is played again, to the primary. A transaction that
    /// was begun for it there ends first.
    pub(super) fn retry_at_home(&mut self) {
        self.watch_healed();
        self.mirror_anew();
        if let Some(lease) = &mut self.lease {
            let mut again = lease.batch.take();
            again.append(&mut self.input);
            self.input = again;
        }
        let status = self.status();
        // What it sends next is the primary's.
        self.visit.held = status != TxStatus::Idle;
        if self.visit.held {
            self.mirror_passes_over();
            if let Some(lease) = &mut self.lease {
                write::query(&mut lease.unsent, b"ROLLBACK");
            }
            self.owe(Entry {
                kind: Kind::Query,
                reply: Reply::Swallow,
                statement: 0,
                effect: None,
            });
        }
    }
}
