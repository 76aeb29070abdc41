//! Which server of a cluster runs what a client asks for.
//!
//! A client whose statements may run on a replica is told from others when it has no server: what
//! it asks for up to the next Sync is looked at, and if all of it only reads, a replica gets it.
//! Everything else goes to the primary: transaction blocks, what may write or leave something in
//! the session, what could not be analysed, what has not come in completely, and everything in
//! session pooling.

use std::rc::Rc;
use std::time::Instant;

use super::Session;
use super::from_client::Frame;
use crate::config::PoolMode;
use crate::config::cluster::ReadYourWrites;
use crate::pool::Pool;
use crate::route::choice::{self, Reason, Route};
use crate::sql::Flags;
use crate::wire::tag::frontend;
use crate::wire::{Header, read};

/// Messages of one batch that are looked at; a longer one goes to the primary.
const MOST_MESSAGES: u16 = 4096;

/// What is known of the requests that the client's present server was taken for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Visit {
    /// The database is a cluster: what is sent to which server matters.
    pub(super) counts: bool,
    /// Messages of it that are still to be handled.
    pub(super) left: u16,
    /// Something was sent there that may write.
    writes: bool,
    /// Why that server.
    pub(super) reason: Option<Reason>,
    /// The server is a replica.
    pub(super) replica: bool,
    /// What came behind it waits until the replica has answered.
    pub(super) held: bool,
    /// Shape of what was sent there, if it was one statement; else 0.
    pub(super) shape: u64,
    /// The replica refused it: it is sent to the primary when the replica is through with it.
    pub(super) retry: bool,
    /// Why the next request goes to the primary, whatever it is.
    pub(super) home: Option<Reason>,
}

impl Session {
    /// The pool that is asked for a server for the batch that begins with `frame`, and notes what is
    /// known of the batch. In a database that is no cluster this is the client's pool.
    pub(super) fn destination(&mut self, frame: Frame<'_>, input: &[u8]) -> Rc<Pool> {
        let Some(cluster) = self.pool.cluster() else {
            return self.pool.clone();
        };
        let Some(policy) = self.pool.database().cluster() else {
            return self.pool.clone();
        };
        let went_wrong = std::mem::take(&mut self.visit).home;
        self.visit.counts = true;
        let reads = match self.mode {
            PoolMode::Session => None,
            _ => self.reads_only(frame, input),
        };
        let Some((messages, shape)) = reads else {
            self.told(Reason::Writes);
            return self.pool.clone();
        };
        if cluster.refusals.knows(shape) || went_wrong == Some(Reason::Refused) {
            // It may write, whatever its text says.
            self.told(Reason::Refused);
            return self.pool.clone();
        }
        (self.visit.left, self.visit.shape) = (messages, shape);
        if let Some(reason) = went_wrong {
            self.told(reason);
            return self.pool.clone();
        }
        let written = match policy.read_your_writes {
            ReadYourWrites::Off => None,
            ReadYourWrites::Session => self.wrote,
            ReadYourWrites::Database => self.wrote.max(cluster.written()),
        };
        let view = cluster.view();
        let load = |at: usize| {
            let pool = match view.primary == Some(at) {
                true => Some(self.pool.clone()),
                false => self.pool.replica(at),
            };
            pool.map_or(u32::MAX, |pool| pool.load())
        };
        let dice = self.context.dice();
        let route = choice::read(&view, policy, written, Instant::now(), load, dice);
        match route {
            Route::Primary(reason) => self.told(reason),
            Route::Replica(at) => {
                if let Some(pool) = self.pool.replica(at) {
                    self.visit.replica = true;
                    self.told(Reason::Replica);
                    return pool;
                }
            }
        }
        self.pool.clone()
    }

    fn told(&mut self, reason: Reason) {
        self.visit.reason = Some(reason);
        tracing::trace!(client = self.me.id, reason = reason.as_str(), "route");
    }

    /// How many messages the batch has that begins with `frame`, if it is there completely and only
    /// reads; and its statement's shape, if it has only one.
    fn reads_only(&self, frame: Frame<'_>, input: &[u8]) -> Option<(u16, u64)> {
        // No replica can do that.
        let isolation = self.vars.get("default_transaction_isolation");
        if isolation.is_some_and(|level| level.eq_ignore_ascii_case("serializable")) {
            return None;
        }
        let reads = |text: &[u8]| {
            let known = self.analyse(text);
            (known.flags.contains(Flags::READ_ONLY)).then_some(known.fingerprint)
        };
        let (mut shape, mut statements) = (0, 0);
        let mut rest = input.get(frame.at..)?;
        // The batch's own statements, all of which read: the unnamed one, and those with names.
        let (mut unnamed, mut parsed) = (false, Vec::new());
        for messages in 1..=MOST_MESSAGES {
            let header = Header::parse(rest, u32::MAX - 4).ok()??;
            let body = rest.get(Header::LEN..header.frame_len())?;
            match header.tag {
                frontend::QUERY if messages == 1 => {
                    return Some((1, reads(read::query(body).ok()?)?));
                }
                frontend::PARSE => {
                    let parse = read::parse(body).ok()?;
                    // A name that is left alone lives on the server that got it.
                    let lost = !parse.name.is_empty() && !self.renames();
                    if lost {
                        return None;
                    }
                    shape = reads(parse.text)?;
                    match parse.name {
                        [] => unnamed = true,
                        name => parsed.push(name),
                    }
                }
                frontend::BIND => {
                    let bind = read::bind_names(body)?;
                    let known = match bind.statement {
                        [] if unnamed => None,
                        [] => Some(self.unnamed.as_ref().map(|known| known.analysis.clone())?),
                        name => match self.named(name) {
                            Some(known) => Some(known.analysis.clone()),
                            None if parsed.contains(&name) => None,
                            None => return None,
                        },
                    };
                    statements += 1;
                    if let Some(known) = known {
                        if !known.flags.contains(Flags::READ_ONLY) {
                            return None;
                        }
                        shape = known.fingerprint;
                    }
                }
                // What they mean was looked at when it was prepared, and to describe is to read.
                frontend::DESCRIBE | frontend::EXECUTE => {}
                frontend::SYNC => {
                    let shape = if statements == 1 { shape } else { 0 };
                    return Some((messages, shape));
                }
                _ => return None,
            }
            rest = rest.get(header.frame_len()..)?;
        }
        None
    }

    /// No server of the replica can be had. `true` if it was one: the primary gets the request.
    pub(super) fn leave_replica(&mut self) -> bool {
        let replica = self.visit.replica;
        self.visit.replica = false;
        self.visit.home = replica.then_some(Reason::NoReplica);
        replica
    }

    /// A message is about to be handled by the client's present server. `false` if it has to wait:
    /// the server is a replica, and nobody knows what this would do there.
    #[inline]
    pub(super) fn may_visit(&mut self) -> bool {
        match self.visit.left.checked_sub(1) {
            Some(left) => {
                self.visit.left = left;
                true
            }
            None if self.visit.replica && !self.is_quiet() => {
                self.visit.held = true;
                false
            }
            None => {
                self.visit.writes = true;
                true
            }
        }
    }

    /// Whether its server has answered everything.
    fn is_quiet(&self) -> bool {
        (self.lease.as_ref()).is_none_or(|lease| {
            lease.ledger.is_empty() && lease.partial.is_empty() && lease.body_left == 0
        })
    }

    /// The client gives its server back.
    #[inline]
    pub(super) fn visit_over(&mut self) {
        let visit = std::mem::take(&mut self.visit);
        self.visit.home = visit.retry.then_some(Reason::Refused);
        if !visit.writes || visit.replica {
            return;
        }
        if let Some(cluster) = self.pool.cluster() {
            // Not the poll's time: the server may have committed after that was read.
            let now = Instant::now();
            self.wrote = Some(now);
            cluster.wrote(now);
        }
    }
}
