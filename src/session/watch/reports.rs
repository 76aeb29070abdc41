//! What the sessions of a worker saw, on its way to the rules' thread.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use super::Bound;
use super::sent::Request;
use crate::audit::observer::{BATCH, Observer, Report};
use crate::lint::observe::{Block, Event, Execution, Observation, Subject};
use crate::lint::texts::Texts;

/// What the sessions of a worker saw, until it is handed over.
pub struct Reports {
    /// Texts that were looked at.
    pub texts: RefCell<Texts>,
    /// Where reports go.
    pub observer: Arc<Observer>,
    batch: RefCell<Vec<Report>>,
    /// Nothing may be lost.
    keep: bool,
    /// When the last request was sent, and when it was through.
    moments: (Moment, Moment),
    /// There is no room: no client is read until there is.
    full: Cell<bool>,
}

impl Reports {
    /// Nothing yet. With `keep` nothing is lost: see [`Self::is_full`].
    #[must_use]
    pub fn new(observer: Arc<Observer>, texts: Texts, keep: bool) -> Self {
        Self {
            texts: RefCell::new(texts),
            moments: Default::default(),
            observer,
            batch: RefCell::default(),
            keep,
            full: Cell::new(false),
        }
    }

    /// Adds one; a full batch is handed over.
    #[inline]
    pub fn push(&self, report: Report) {
        let mut batch = self.batch.borrow_mut();
        batch.push(report);
        // While there is no room the tick tries again.
        if batch.len() >= BATCH && !self.full.get() {
            self.full
                .set(!self.observer.hand_over(&mut batch, self.keep));
        }
    }

    /// Hands over what there is. `true` if there was no room before and there is now.
    pub fn flush(&self) -> bool {
        let done = self
            .observer
            .hand_over(&mut self.batch.borrow_mut(), self.keep);
        self.full.replace(!done) && done
    }

    /// Whether reports wait for room that must not be lost: then no client is read, so that what
    /// waits is bounded by what clients had sent already.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.full.get()
    }
}

impl Reports {
    /// Hands over what there is left when the worker ends.
    pub fn end(&self) {
        self.observer.hand_over_last(&mut self.batch.borrow_mut());
    }
}

/// What all requests have in common that one ReadyForQuery completes.
pub(super) struct Outcome {
    /// The client's number.
    pub(super) conn: u64,
    pub(super) block: Block,
    /// The server's process; 0 if there is none any more.
    pub(super) backend: u32,
    /// Microseconds that the first of them waited for a server.
    pub(super) wait_us: u64,
    /// The server and why that one, if somebody asks.
    pub(super) server: Option<(Arc<str>, &'static str)>,
}

impl Reports {
    /// The report of a request that is through.
    #[inline]
    pub(super) fn of(&self, subject: &Arc<Subject>, request: Request, outcome: &Outcome) -> Report {
        let Bound {
            looked,
            values,
            params,
            hits,
            quiet,
            parsed_now,
            binary: _,
        } = request.bound;
        let stripped = looked.shape ^ looked.literals.all;
        let hits = hits.or_else(|| looked.shared_hits());
        Report {
            seen: Observation {
                conn: outcome.conn,
                subject: subject.clone(),
                sent_us: self.moments.0.micros(request.sent, &self.observer),
                done_us: self.moments.1.micros(request.done, &self.observer),
                event: Event::Executed(Execution {
                    known: looked.known(),
                    trace: if parsed_now { looked.said.trace } else { 0 },
                    raw: match looked.commented {
                        true => looked.raw,
                        false => stripped,
                    },
                    stripped,
                    parsed_now,
                    params,
                    values,
                    rows: request.rows,
                    bytes: request.bytes,
                    error: request.error,
                    trouble: request.trouble,
                    backend: outcome.backend,
                    block: outcome.block,
                    batch: request.batch,
                    fetch: request.fetch,
                    wait_us: outcome.wait_us,
                    result: request
                        .capture
                        .map(|capture| {
                            capture.finish(looked.result_columns().map(|columns| &**columns))
                        })
                        .unwrap_or_default(),
                    quiet,
                    server: outcome.server.clone(),
                }),
            },
            hits,
        }
    }
}

/// A moment, in the engine's microseconds: those of a batch are one, and computed once.
#[derive(Default)]
struct Moment(Cell<Option<(Instant, u64)>>);

impl Moment {
    #[inline]
    fn micros(&self, moment: Instant, observer: &Observer) -> u64 {
        match self.0.get() {
            Some((last, micros)) if last == moment => micros,
            _ => {
                let micros = observer.micros(moment);
                self.0.set(Some((moment, micros)));
                micros
            }
        }
    }
}
