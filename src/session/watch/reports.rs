//! What the sessions of a worker saw, on its way to the rules' thread.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use super::{Bound, Pending};
use crate::audit::observer::{Observer, Report};
use crate::lint::observe::{Block, Event, Execution, Observation, Subject};
use crate::lint::texts::Texts;

/// Reports that are handed over together, at most.
const BATCH: usize = 256;

/// What the sessions of a worker saw, until it is handed over.
pub struct Reports {
    /// Texts that were looked at.
    pub texts: RefCell<Texts>,
    /// Where reports go.
    pub observer: Arc<Observer>,
    batch: RefCell<Vec<Report>>,
}

impl Reports {
    /// Nothing yet.
    #[must_use]
    pub fn new(observer: Arc<Observer>, texts: Texts) -> Self {
        Self {
            texts: RefCell::new(texts),
            observer,
            batch: RefCell::default(),
        }
    }

    /// Adds one; a full batch is handed over.
    pub fn push(&self, report: Report) {
        let mut batch = self.batch.borrow_mut();
        batch.push(report);
        if batch.len() >= BATCH {
            self.observer.hand_over(&mut batch);
        }
    }

    /// Hands over what there is.
    pub fn flush(&self) {
        self.observer.hand_over(&mut self.batch.borrow_mut());
    }
}

impl Reports {
    /// Hands over what there is left when the worker ends.
    pub fn end(&self) {
        self.observer.hand_over_last(&mut self.batch.borrow_mut());
    }
}

/// The report of a request that is through.
pub(super) fn report(
    conn: u64,
    subject: &Arc<Subject>,
    pending: Pending,
    done: Instant,
    block: Block,
    wait_us: u64,
    observer: &Observer,
) -> Report {
    let Bound {
        looked,
        values,
        params,
        hits,
        parsed_now,
        binary: _,
    } = pending.bound;
    let columns = looked.columns.clone();
    let suppressed = looked.suppressed.clone();
    let stripped = looked.shape ^ looked.literals.all;
    let hits = hits.or_else(|| looked.shared_hits());
    Report {
        seen: Observation {
            conn,
            subject: subject.clone(),
            sent_us: observer.micros(pending.sent),
            done_us: observer.micros(done),
            event: Event::Executed(Box::new(Execution {
                text: looked.sample.clone(),
                shape: looked.shape,
                profile: looked.profile.clone(),
                raw: match looked.commented {
                    true => looked.raw,
                    false => stripped,
                },
                stripped,
                parsed_now,
                params,
                values,
                value_rows: looked.rows,
                longest_list: looked.longest_list,
                rows: pending.rows,
                bytes: pending.bytes,
                error: pending.error,
                block,
                batch: pending.batch,
                fetch: pending.fetch,
                wait_us,
                trace: if parsed_now { looked.trace } else { 0 },
                result: pending
                    .capture
                    .map(|capture| capture.finish(columns.as_deref()))
                    .unwrap_or_default(),
                columns,
            })),
        },
        hits,
        suppressed,
    }
}
