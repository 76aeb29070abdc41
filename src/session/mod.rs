//! A client and the servers it uses.
//!
//! A [`Session`] is one task. It owns the client's socket and, while attached, the server
//! connection itself. A round trip is: read client, decide, write server, read server, walk
//! headers, write client, all within one task; both directions are polled in one turn, so neither
//! side can block the other.
//!
//! Start reading at `Session::turn`; what a client's messages mean is in `from_client`, what a
//! server's messages mean in `from_server`.

mod batch;
mod begin;
pub mod cancel;
pub mod clients;
pub mod context;
mod failover;
mod from_client;
mod from_server;
pub mod gather;
mod heed;
mod hold;
mod lineage;
pub mod machine;
mod mirror;
mod parameters;
pub mod peers;
pub mod pin;
mod prepared;
mod retry;
mod route;
mod stop;
mod target;
pub mod timeouts;
pub mod watch;
mod welcome;

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use crate::config::PoolMode;
use crate::error::SqlState;
use crate::net::Stream;
use crate::pool::Pool;
use crate::pool::lease::{Lease, Seat};
use crate::server::params::ParamSet;
use crate::server::permit::Permit;
use crate::server::statements::{Statement, Unnamed};
use crate::session::clients::{ClientShared, Registered, Signal};
use crate::sql::Flags;
use crate::wire::TxStatus;
use crate::wire::write::{self, Severity};
use cancel::CancelKey;
use context::{Buffers, CHUNK, Context};
use pin::{Answer, Pins, Question};
use stop::Stop;

/// Requests whose replies may be owed at once. Beyond that the client waits; a server holds back
/// replies of a few kilobytes only, so it answers meanwhile.
const OWED: usize = 64 * 1024;

/// Chunks handled in one poll before others get their turn.
const CHUNKS_PER_POLL: usize = 4;

/// What a session needs to begin: a client that has proved who it is.
pub struct Start {
    /// Its connection.
    pub stream: Stream,
    /// Bytes it sent after its last authentication message.
    pub leftover: Vec<u8>,
    /// What others see of it.
    pub shared: Rc<ClientShared>,
    /// Its entry among the clients of the worker.
    pub registered: Registered,
    /// Its places under the limits.
    pub permits: Vec<Permit>,
    /// Its key for cancel requests.
    pub key: CancelKey,
    /// The pool it uses.
    pub pool: Rc<Pool>,
    /// Parameters of its StartupMessage and of the database's entry.
    pub params: Vec<(String, String)>,
    /// Bytes to send before AuthenticationOk.
    pub prelude: Vec<u8>,
}

/// See the module.
pub struct Session {
    context: Rc<Context>,
    pool: Rc<Pool>,
    me: Rc<ClientShared>,
    stream: Stream,
    lease: Option<Lease>,
    seat: Option<Rc<Seat>>,
    /// Clusters: what its present server was taken for, and when it last wrote.
    visit: route::Visit,
    /// What a second database is to run too, if there is one.
    mirrored: Option<Box<mirror::Kept>>,
    wrote: Option<Instant>,
    mode: PoolMode,
    stage: Stage,
    /// Bytes of the client that could not be handled yet.
    input: Vec<u8>,
    /// Bytes of the client's current message that are still to come and are not looked at.
    body_left: u32,
    /// Whether they go to the server.
    body_forward: bool,
    /// The server was through with everything while a message of the client was still on its way.
    late_data: bool,
    /// Everything up to Sync is ignored, after an error of ours in the extended protocol.
    skipping: bool,
    /// The batch failed because a plan became useless and is about to be played again.
    healing: bool,
    /// Bytes the client has not taken yet.
    output: Vec<u8>,
    /// Parameters the client wants.
    vars: Rc<ParamSet>,
    /// Parameters it started with; what RESET returns to.
    startup: Rc<ParamSet>,
    /// Whether a text of the transaction may change parameters, if only until its end.
    may_set: bool,
    /// What the texts of the transaction may have done.
    flags: Flags,
    pins: Pins,
    /// A text may have set parameters whose names no list of the server shows: what its server has
    /// of them is taken back before the next client's first request.
    hides_settings: bool,
    unnamed: Option<Rc<Unnamed>>,
    /// What the rules are told; `None` if they are off.
    watch: Option<Box<watch::Watch>>,
    /// What few sessions have.
    rare: Rare,
    _guards: Box<(Registered, Vec<Permit>, CancelKey)>,
}

/// What came of asking a pool for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The client has one.
    Attached,
    /// It waits in line.
    Waits,
    /// It was a replica's pool and has none: another server is to be chosen.
    Elsewhere,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waits for a server to learn what servers say, and whether they accept its parameters.
    Login,
    /// Serves queries.
    Ready,
    /// A query of ours runs; the client's next messages wait until it is over.
    Asking,
    /// The client said goodbye while its last requests were still running.
    Leaving,
    /// The last words are being written.
    Closing,
}

/// State that most sessions never have, made when it is needed.
#[derive(Default)]
struct Rare(Option<Box<RareState>>);

#[derive(Default)]
struct RareState {
    /// Named statements.
    statements: HashMap<Box<[u8]>, Named, foldhash::fast::RandomState>,
    /// The last names that were closed, or whose Parse failed, while something was under way that may
    /// still name them in its answer, and what they meant.
    former: Vec<(u32, Box<[u8]>)>,
    /// How many requests under way close a name whose Parse has not been answered.
    closing: u32,
    /// Parameters the transaction may have changed, and whether by RESET.
    touched: Vec<(Box<str>, bool)>,
    question: Question,
    answer: Answer,
    /// A cancel request was on its way to the server when it was asked: it may hit the question.
    cancel_under_way: bool,
    /// What the server said against a query of ours.
    refusal: Option<Refused>,
    /// Whether a DEALLOCATE ALL is under way.
    doubting: bool,
    /// The statement that a DEALLOCATE under way names.
    deallocating: Option<Box<[u8]>>,
    login: Option<Box<welcome::Login>>,
    /// A BEGIN that was answered and that no server has carried out.
    deferred: Option<begin::Deferred>,
}

/// A statement under a name of the client.
struct Named {
    statement: Arc<Statement>,
    /// Its Parse has not been answered yet.
    pending: bool,
    /// A DEALLOCATE ALL after its Parse has not been answered yet.
    doubted: bool,
}

/// An error of the server about a query of ours.
struct Refused {
    state: SqlState,
    text: String,
}

impl Rare {
    fn get(&self) -> Option<&RareState> {
        self.0.as_deref()
    }

    fn get_mut(&mut self) -> &mut RareState {
        self.0.get_or_insert_default()
    }
}

/// Serves a client until it leaves.
///
/// # Cancel safety
///
/// Dropping the future closes the client's connection; its server goes back to the pool if it is
/// clean and is closed (its query cancelled) otherwise.
pub async fn run(context: Rc<Context>, start: Start) {
    let mut session = Session::new(context, start);
    poll_fn(|cx| session.poll(cx)).await;
}

impl Session {
    fn new(context: Rc<Context>, start: Start) -> Self {
        let mut rare = Rare::default();
        rare.get_mut().login = Some(Box::new(welcome::Login {
            params: start.params,
            prelude: start.prelude,
            lost: 0,
        }));
        Self {
            mode: start.pool.settings().mode,
            pool: start.pool,
            me: start.shared,
            stream: start.stream,
            lease: None,
            seat: None,
            visit: route::Visit::default(),
            mirrored: None,
            wrote: None,
            stage: Stage::Login,
            input: start.leftover,
            body_left: 0,
            body_forward: false,
            late_data: false,
            skipping: false,
            healing: false,
            output: Vec::new(),
            vars: Rc::default(),
            startup: Rc::default(),
            may_set: false,
            flags: Flags::NONE,
            pins: Pins::default(),
            hides_settings: false,
            unnamed: None,
            watch: None,
            rare,
            _guards: Box::new((start.registered, start.permits, start.key)),
            context,
        }
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let context = self.context.clone();
        let mut buffers = context.take_buffers();
        buffers.client_dry = false;
        buffers.server_dry = 0;
        self.me.listen(cx.waker());
        context.pools.clock().tick();
        let polled = loop {
            match self.turn(cx, &mut buffers) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(stop) => {
                    buffers.built.clear();
                    buffers.dropped.clear();
                    let Some(stop) = self.lost_in_login(stop) else {
                        continue;
                    };
                    if self.stop(stop) {
                        break Poll::Ready(());
                    }
                }
            }
        };
        context.return_buffers(buffers);
        polled
    }

    /// Ends the session for this reason: lets the server go and prepares the last words. `true` if
    /// there is nothing left to write.
    fn stop(&mut self, stop: Stop) -> bool {
        if self.stage == Stage::Closing {
            return true;
        }
        let settings = &self.context.process.config.load().settings;
        let me = &self.me;
        if settings.log_disconnections {
            let age = me.connected.elapsed().unwrap_or_default().as_secs();
            tracing::info!(client = me.id, user = %me.user, database = %me.database, addr = %me.addr, "closing because: {stop} (age={age}s)");
        }
        if settings.log_pooler_errors
            && let Some((_, text)) = stop.words()
        {
            tracing::warn!(client = me.id, user = %me.user, database = %me.database, addr = %me.addr, fault = stop.fault().as_str(), "pooler error: {text}");
        }
        if let Some(seat) = self.seat.take() {
            seat.give_up();
        }
        // Half a message is with the client: words of ours would be taken for the rest of it.
        let torn =
            (self.lease.as_ref()).is_some_and(|lease| lease.body_left > 0 && lease.body_forward);
        if let Some(mut lease) = self.leave_server()
            && matches!(
                stop,
                Stop::ServerIo(_) | Stop::ServerFrame(_) | Stop::ServerSaidWhy
            )
        {
            lease.broken = true;
            lease.close();
        }
        if let Some((state, text)) = stop.words() {
            self.pool.stats.update(|totals| totals.errors += 1);
            if !torn {
                write::error(&mut self.output, Severity::Fatal, state, &text);
            }
        }
        self.input = Vec::new();
        self.stage = Stage::Closing;
        self.me.closing.set(Some(self.now()));
        matches!(stop, Stop::ClientGone | Stop::ClientEof | Stop::ClientIo(_))
    }

    /// Does everything that can be done now. Ready means that the session ends.
    fn turn(&mut self, cx: &mut TaskContext<'_>, buffers: &mut Buffers) -> Poll<Stop> {
        match self.try_turn(cx, buffers) {
            Ok(()) => Poll::Pending,
            Err(stop) => Poll::Ready(stop),
        }
    }

    fn try_turn(&mut self, cx: &mut TaskContext<'_>, buffers: &mut Buffers) -> Result<(), Stop> {
        for _ in 0..CHUNKS_PER_POLL {
            if self.me.signalled() {
                self.heed_signals(cx)?;
            }
            let mut moved = self.look_at_seat(cx)?;
            let client_free = self.flush_client(cx)?;
            if self.stage == Stage::Closing {
                return if client_free {
                    Err(Stop::ClientGone)
                } else {
                    Ok(())
                };
            }
            if self.stage == Stage::Login && self.lease.is_none() && self.seat.is_none() {
                self.begin_login(cx)?;
                moved = true;
            }
            let server_free = self.flush_server(cx)?;
            if client_free && self.lease.is_some() {
                moved |= self.read_server(cx, buffers)?;
            }
            // A client that does not take its answers is not asked for more questions.
            if server_free && client_free {
                moved |= self.read_client(cx, buffers)?;
                if self.lease.is_none() {
                    // If it is given to this client again, somebody else listened in between.
                    buffers.server_dry = 0;
                }
            }
            if !moved {
                return Ok(());
            }
        }
        // Others first; this one goes on in the next round.
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Writes what the client has not taken yet. `true` if nothing is left.
    fn flush_client(&mut self, cx: &mut TaskContext<'_>) -> Result<bool, Stop> {
        flush(&mut self.stream, &mut self.output, cx).map_err(Stop::ClientIo)
    }

    /// Writes what the server has not taken yet. `true` if nothing is left.
    fn flush_server(&mut self, cx: &mut TaskContext<'_>) -> Result<bool, Stop> {
        let Some(lease) = &mut self.lease else {
            return Ok(true);
        };
        let server = &mut **lease;
        flush(&mut server.stream, &mut server.unsent, cx).map_err(Stop::ServerIo)
    }

    /// Reads one chunk of the server and handles it. `true` if there was one.
    fn read_server(
        &mut self,
        cx: &mut TaskContext<'_>,
        buffers: &mut Buffers,
    ) -> Result<bool, Stop> {
        let Some(lease) = &mut self.lease else {
            return Ok(false);
        };
        let held = lease.partial.len();
        if held + CHUNK / 4 > buffers.input.len() {
            buffers.input.resize(held + CHUNK, 0);
        }
        if buffers.server_dry == lease.shared.id {
            return Ok(false);
        }
        let Poll::Ready(read) = lease.stream.poll_read(cx, &mut buffers.input[held..]) else {
            buffers.server_dry = lease.shared.id;
            return Ok(false);
        };
        let n = read.map_err(Stop::ServerIo)?;
        if n == 0 {
            let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(if lease.said_why {
                Stop::ServerSaidWhy
            } else {
                Stop::ServerIo(eof)
            });
        }
        if held > 0 {
            buffers.input[..held].copy_from_slice(&lease.partial);
            lease.partial.clear();
        }
        self.pool.stats.update(|totals| totals.sent += n as u64);
        let Buffers {
            input,
            built,
            dropped,
            ..
        } = buffers;
        self.server_said(cx, &input[..held + n], built, dropped)?;
        built.clear();
        Ok(true)
    }

    /// Reads one chunk of the client, or takes what waits from before, and handles it. `true` if
    /// something was done.
    fn read_client(
        &mut self,
        cx: &mut TaskContext<'_>,
        buffers: &mut Buffers,
    ) -> Result<bool, Stop> {
        let flooded = (self.lease.as_ref()).is_some_and(|lease| lease.ledger.len() > OWED);
        if self.context.reports.is_full() && self.stage != Stage::Leaving {
            // Woken when there is room.
            return Ok(false);
        }
        let may_handle = self.stage == Stage::Ready
            && self.seat.is_none()
            && !self.healing
            && !flooded
            && !self.visit.held;
        let Buffers {
            input,
            built,
            dropped,
            client_dry,
            ..
        } = buffers;
        if self.stage == Stage::Leaving {
            // Nothing it says counts any more, but when it hangs up nobody waits for the result.
            let Poll::Ready(read) = self.stream.poll_read(cx, input) else {
                return Ok(false);
            };
            self.came_in(read)?;
            return Ok(true);
        }
        if self.input.is_empty() {
            if *client_dry {
                return Ok(false);
            }
            let Poll::Ready(read) = self.stream.poll_read(cx, input) else {
                *client_dry = true;
                return Ok(false);
            };
            let n = self.came_in(read)?;
            let used = if may_handle {
                self.client_said(cx, &input[..n], built, dropped)?
            } else {
                0
            };
            built.clear();
            self.input.extend_from_slice(&input[used..n]);
            return Ok(true);
        }
        // Something waits: for its rest, or for a server.
        let mut moved = false;
        if may_handle {
            let held = std::mem::take(&mut self.input);
            let used = self.client_said(cx, &held, built, dropped)?;
            built.clear();
            debug_assert!(self.input.is_empty(), "only this function fills it");
            self.input = held;
            self.input.drain(..used);
            moved = used > 0;
            if self.input.is_empty() {
                self.input = Vec::new();
                return Ok(true);
            }
            if moved {
                return Ok(true);
            }
        }
        // A message whose rest is missing is read in whole; beyond that, what waits is bounded.
        if !may_handle && self.input.len() >= CHUNK {
            return Ok(moved);
        }
        let Poll::Ready(read) = self.stream.poll_read(cx, input) else {
            return Ok(moved);
        };
        let n = self.came_in(read)?;
        self.input.extend_from_slice(&input[..n]);
        Ok(true)
    }

    fn came_in(&mut self, read: io::Result<usize>) -> Result<usize, Stop> {
        match read.map_err(Stop::ClientIo)? {
            0 => Err(Stop::ClientEof),
            n => {
                self.pool.stats.update(|totals| totals.received += n as u64);
                Ok(n)
            }
        }
    }

    /// The time of this poll.
    #[inline]
    fn now(&self) -> Instant {
        self.context.pools.clock().now()
    }

    fn status(&self) -> TxStatus {
        match &self.lease {
            Some(lease) => lease.status,
            None => self.deferred_status(),
        }
    }
}

/// Writes as much of `pending` as the peer takes. `true` if nothing is left, ciphertext included.
#[inline]
fn flush(stream: &mut Stream, pending: &mut Vec<u8>, cx: &mut TaskContext<'_>) -> io::Result<bool> {
    while !pending.is_empty() {
        match stream.poll_write(cx, pending) {
            Poll::Pending => return Ok(false),
            Poll::Ready(n) => {
                let n = n?;
                if n == pending.len() {
                    *pending = Vec::new();
                } else {
                    pending.drain(..n);
                }
            }
        }
    }
    if stream.needs_flush() && stream.poll_flush(cx)?.is_pending() {
        return Ok(false);
    }
    Ok(true)
}

/// Writes `bytes`, keeping what the peer does not take now.
#[inline]
fn send(
    stream: &mut Stream,
    pending: &mut Vec<u8>,
    bytes: &[u8],
    cx: &mut TaskContext<'_>,
) -> io::Result<()> {
    let mut rest = bytes;
    while pending.is_empty() && !rest.is_empty() {
        match stream.poll_write(cx, rest) {
            Poll::Pending => break,
            Poll::Ready(n) => rest = &rest[n?..],
        }
    }
    if !rest.is_empty() {
        pending.extend_from_slice(rest);
    } else if stream.needs_flush() {
        // What stays unsent is looked at again in the next turn.
        let _ = stream.poll_flush(cx)?;
    }
    Ok(())
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            seat.give_up();
        }
        self.end_watch();
        drop(self.leave_server());
        self.pool.client_left();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An idle client's task holds this and nothing else.
    #[test]
    fn the_steady_future_is_small() {
        fn size<F>(_: impl FnOnce(Rc<Context>, Start) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size_of::<Session>() <= 512, "{}", size_of::<Session>());
        let future = size(|context, start| {
            let mut session = Session::new(context, start);
            poll_fn(move |cx| session.poll(cx))
        });
        assert!(future <= 512, "{future}");
    }
}
