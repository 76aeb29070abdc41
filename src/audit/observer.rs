//! The way from the workers to whoever looks at what they saw.
//!
//! Workers collect [`Report`]s and hand them over in batches; one thread runs the sequence engine
//! over them and records what it and the rules found. Nothing of this delays a query: if the thread
//! cannot keep up, batches are dropped and counted.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::inbox::Inboxes;
use crate::lint::engine::{Engine, Evicted};
use crate::lint::hit::Hit;
use crate::lint::observe::{Detection, Observation};

/// Batches that may wait.
const QUEUE: usize = 256;
/// Reports that are handed over together, as a rule.
pub const BATCH: usize = 256;
/// How long the last batch of a worker waits for room.
const LAST: Duration = Duration::from_secs(2);
/// How often the engine is told that time passes.
const TICK: Duration = Duration::from_millis(250);

/// Something that a worker saw, with the rules it hit by itself.
#[derive(Clone, Debug)]
pub struct Report {
    /// What.
    pub seen: Observation,
    /// The rules that the statement hits.
    pub hits: Option<Arc<[Hit]>>,
}

/// Where workers hand over what they saw.
pub struct Observer {
    sender: SyncSender<Vec<Report>>,
    /// The other end, until somebody looks at what is reported.
    receiver: Mutex<Option<Receiver<Vec<Report>>>>,
    dropped: AtomicU64,
    /// What the engine forgot, and bytes that it keeps.
    evicted: Mutex<Evicted>,
    memory: AtomicU64,
    /// Lines that the audit trail could not write.
    unwritten: AtomicU64,
    /// Shapes whose result values the engine wants, and whether there are any.
    armed: ArcSwap<HashSet<u64>>,
    any_armed: AtomicBool,
    /// What clients are to be told of what was found.
    pub inboxes: Arc<Inboxes>,
    closed: AtomicBool,
    started: Instant,
}

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer {
    /// Nobody looks yet.
    #[must_use]
    pub fn new() -> Self {
        let (sender, receiver) = mpsc::sync_channel(QUEUE);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
            dropped: AtomicU64::new(0),
            evicted: Mutex::default(),
            memory: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
            armed: ArcSwap::default(),
            any_armed: AtomicBool::new(false),
            inboxes: Arc::default(),
            closed: AtomicBool::new(false),
            started: Instant::now(),
        }
    }

    /// Hands a batch over; an empty one with room takes its place. If there is no room it is lost, and
    /// counted; with `keep` it stays where it is. `false` if it did.
    pub fn hand_over(&self, batch: &mut Vec<Report>, keep: bool) -> bool {
        if batch.is_empty() {
            return true;
        }
        let full = std::mem::replace(batch, Vec::with_capacity(batch.len().min(BATCH)));
        match self.sender.try_send(full) {
            Ok(()) => true,
            Err(TrySendError::Full(full)) if keep => {
                *batch = full;
                false
            }
            Err(TrySendError::Full(lost) | TrySendError::Disconnected(lost)) => {
                self.dropped.fetch_add(lost.len() as u64, Ordering::Relaxed);
                true
            }
        }
    }

    /// So many reports were lost on the way here.
    pub fn lose(&self, reports: u64) {
        self.dropped.fetch_add(reports, Ordering::Relaxed);
    }

    /// Hands over the last batch, and waits a while for room if there is none: nobody's query
    /// waits any more, but a disk that hangs must not keep the process from ending.
    pub fn hand_over_last(&self, batch: &mut Vec<Report>) {
        let mut last = std::mem::take(batch);
        let until = Instant::now() + LAST;
        while !last.is_empty() {
            last = match self.sender.try_send(last) {
                Ok(()) => return,
                Err(TrySendError::Full(last)) if Instant::now() < until => last,
                Err(TrySendError::Full(lost) | TrySendError::Disconnected(lost)) => {
                    self.dropped.fetch_add(lost.len() as u64, Ordering::Relaxed);
                    return;
                }
            };
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Nothing is handed over any more: [`run`] ends when it has seen everything.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // An empty batch wakes it; a full queue does too.
        let _ = self.sender.try_send(Vec::new());
    }

    /// Whether the engine wants the result values of statements of this shape.
    #[inline]
    pub fn wants_result(&self, shape: u64) -> bool {
        self.any_armed.load(Ordering::Relaxed) && self.armed.load().contains(&shape)
    }

    /// Says whose result values the engine wants from now on.
    fn arm(&self, shapes: HashSet<u64>) {
        self.any_armed.store(!shapes.is_empty(), Ordering::Relaxed);
        self.armed.store(Arc::new(shapes));
    }

    /// Reports that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Says how many lines the audit trail could not write so far.
    pub fn tell_unwritten(&self, lines: u64) {
        self.unwritten.store(lines, Ordering::Relaxed);
    }

    /// Lines that the audit trail could not write.
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// What the engine forgot to make room, and bytes that it keeps, roughly.
    pub fn engine(&self) -> (Evicted, u64) {
        let evicted = *self.evicted.lock();
        (evicted, self.memory.load(Ordering::Relaxed))
    }

    /// A moment, in the engine's microseconds.
    pub fn micros(&self, moment: Instant) -> u64 {
        moment.saturating_duration_since(self.started).as_micros() as u64
    }
}

/// What is done with what was found.
pub trait Sink {
    /// A batch of what was seen, with the rules that single statements hit.
    fn seen(&mut self, batch: &[Report]);
    /// Something that the engine found.
    fn detected(&mut self, found: &Detection);
    /// Called now and then with what the engine holds: its memory in bytes and what it evicted.
    fn tick(&mut self, engine: &mut Engine);
    /// Called once, after everything else.
    fn end(&mut self);
}

/// Runs the engine until [`Observer::close`], and then to the end of what was handed over. Returns at
/// once if somebody does already.
pub fn run(observer: &Observer, sink: &mut impl Sink) {
    let Some(reports) = observer.receiver.lock().take() else {
        return;
    };
    let mut engine = Engine::default();
    sink.tick(&mut engine);
    let mut found = Vec::new();
    let mut next = Instant::now() + TICK;
    loop {
        let closed = observer.closed.load(Ordering::Acquire);
        let wait = match closed {
            true => Duration::ZERO,
            false => next.saturating_duration_since(Instant::now()),
        };
        match reports.recv_timeout(wait) {
            Ok(batch) => {
                sink.seen(&batch);
                for report in &batch {
                    engine.observe(&report.seen, &mut found);
                    for detection in found.drain(..) {
                        sink.detected(&detection);
                    }
                }
                if engine.armed_changed() {
                    observer.arm(engine.armed_shapes().clone());
                }
            }
            Err(RecvTimeoutError::Timeout) if !closed => {}
            Err(_) => {
                engine.tick(observer.micros(Instant::now()), &mut found);
                for detection in found.drain(..) {
                    sink.detected(&detection);
                }
                return sink.end();
            }
        }
        if Instant::now() >= next {
            next = Instant::now() + TICK;
            engine.tick(observer.micros(Instant::now()), &mut found);
            for detection in found.drain(..) {
                sink.detected(&detection);
            }
            sink.tick(&mut engine);
            *observer.evicted.lock() = engine.evicted();
            (observer.memory).store(engine.memory() as u64, Ordering::Relaxed);
        }
    }
}
