//! What a session tells the rules: each text that is executed, its values, its outcome.
//!
//! Requests are noted when they are sent and completed in the order of their replies, as in the
//! ledger; a ReadyForQuery hands all that is complete over to the worker's [`Reports`]. Nothing
//! here decides what is relayed, except that a text may be refused before it is sent.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::Session;
use super::gather::Gather;
use super::lineage::Capture;
use crate::audit::observer::{Observer, Report};
use crate::error::SqlState;
use crate::lint::hit::Hit;
use crate::lint::judge;
use crate::lint::observe::{Block, Event, Execution, Observation, Subject, Values};
use crate::lint::policy::Effective;
use crate::lint::rule::{Action, Confidence};
use crate::lint::session::SessionView;
use crate::lint::texts::{Looked, Texts};
use crate::lint::value::Param;
use crate::net::PeerAddr;
use crate::server::statements::Refusal;
use crate::wire::{TxStatus, read, write};

/// Reports that are handed over together, at most.
const BATCH: usize = 256;
/// Names and portals that are remembered for a client; what is beyond is not reported.
const MOST_NAMES: usize = 4096;
/// Requests of one client that are noted at once; what is beyond is not reported.
const MOST_PENDING: usize = 4096;
/// Rules and shapes that a client was told of and that are remembered.
const MOST_NOTICED: usize = 256;
/// Parameters of a Bind that are looked at.
const MOST_PARAMS: usize = 1024;

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

/// A text with its values.
struct Bound {
    looked: Rc<Looked>,
    values: Values,
    params: u16,
    /// Its hits, if they are not those of the text alone.
    hits: Option<Arc<[Hit]>>,
    /// Its Parse came just before.
    parsed_now: bool,
    /// Its result was asked for in the binary format.
    binary: bool,
}

/// A request that was sent.
struct Pending {
    bound: Bound,
    sent: Instant,
    batch: u32,
    fetch: u32,
    simple: bool,
    rows: u64,
    bytes: u64,
    error: Option<[u8; 5]>,
    /// The first values of its result, if the engine wants them.
    capture: Option<Box<Capture>>,
}

/// What a session remembers for the rules.
pub(super) struct Watch {
    subject: Arc<Subject>,
    view: SessionView,
    unnamed: Option<Rc<Looked>>,
    /// The unnamed statement was parsed and not bound yet.
    fresh: bool,
    named: HashMap<Box<[u8]>, Rc<Looked>, foldhash::fast::RandomState>,
    portal: Option<Bound>,
    portals: HashMap<Box<[u8]>, Bound, foldhash::fast::RandomState>,
    pending: VecDeque<Pending>,
    done: Vec<(Pending, Instant)>,
    batch: u32,
    wait_us: u64,
    /// What is done about hits of this client.
    effective: Arc<Effective>,
    /// Rules and shapes that the client was told of.
    noticed: Vec<(u8, u64)>,
}

impl Watch {
    fn new(subject: Arc<Subject>, effective: Arc<Effective>) -> Box<Self> {
        Box::new(Self {
            subject,
            view: SessionView::default(),
            unnamed: None,
            fresh: false,
            named: HashMap::default(),
            portal: None,
            portals: HashMap::default(),
            pending: VecDeque::new(),
            done: Vec::new(),
            batch: 0,
            wait_us: 0,
            effective,
            noticed: Vec::new(),
        })
    }

    /// The hits of a text that stand in this session; `None` if they are those of the text alone.
    fn judge(&mut self, looked: &Looked) -> Option<Arc<[Hit]>> {
        if !self.view.concerns(&looked.profile) {
            return None;
        }
        let mut hits = looked.hits.to_vec();
        self.view.revise(&looked.profile, &mut hits);
        Some(hits.into())
    }

    /// What the client is told if these hits refuse its statement.
    fn refusal(&self, hits: &[Hit]) -> Option<Refusal> {
        if self.effective.max() < Action::Block {
            return None;
        }
        let hit = hits.iter().find(|hit| {
            hit.rule.enforce.may_block()
                && self.effective.action(hit.rule, hit.kind) == Action::Block
        })?;
        Some(Refusal {
            state: SqlState(hit.rule.sqlstate()),
            text: format!("statement refused by rule {}: {}", hit.rule.id, hit.message),
            hint: hit.suggestion.text.to_string(),
        })
    }

    fn send(&mut self, bound: Bound, now: Instant, fetch: u32, simple: bool, observer: &Observer) {
        if self.pending.len() >= MOST_PENDING {
            return;
        }
        let wanted = observer.wants_result(bound.looked.shape);
        let capture = wanted.then(|| Capture::new(bound.binary));
        self.pending.push_back(Pending {
            capture,
            bound,
            sent: now,
            batch: self.batch,
            fetch,
            simple,
            rows: 0,
            bytes: 0,
            error: None,
        });
    }

    /// The request in front is through.
    fn complete(&mut self, now: Instant) {
        if let Some(pending) = self.pending.pop_front()
            && self.done.len() < MOST_PENDING
        {
            self.done.push((pending, now));
        }
    }
}

/// Rows that a command tag tells of.
fn rows(command: &[u8]) -> u64 {
    let digits = command.rsplit(|&b| b == b' ').next().unwrap_or_default();
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

impl Session {
    /// The client is logged in: its statements are looked at from now on.
    pub(super) fn begin_watch(&mut self) {
        if !self.context.process.lints() {
            return;
        }
        let app = self.me.application_name.borrow();
        let subject = Arc::new(Subject {
            database: (*self.me.database).into(),
            user: (*self.me.user).into(),
            app: app.clone(),
            client: match self.me.addr {
                PeerAddr::Tcp(addr) => addr.ip().to_string().into(),
                PeerAddr::Unix | PeerAddr::Gone => Box::default(),
            },
        });
        drop(app);
        let effective = self.context.process.effective(&subject);
        self.watch = Some(Watch::new(subject, effective));
        let secure = match self.me.addr {
            PeerAddr::Tcp(addr) => addr.ip().is_loopback() || !self.me.tls.is_empty(),
            PeerAddr::Unix | PeerAddr::Gone => true,
        };
        self.report_event(Event::Connected {
            secure,
            superuser: false,
        });
    }

    /// The client's `application_name` is another one now.
    pub(super) fn rename_watch(&mut self, app: &str) {
        if let Some(watch) = &mut self.watch {
            let mut subject = (*watch.subject).clone();
            subject.app = app.into();
            watch.effective = self.context.process.effective(&subject);
            watch.subject = Arc::new(subject);
        }
    }

    /// Something else is done about rules now.
    pub(super) fn renew_policy(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.effective = self.context.process.effective(&watch.subject);
        }
    }

    fn report_event(&self, event: Event) {
        let Some(watch) = &self.watch else { return };
        let reports = &self.context.reports;
        let now = reports.observer.micros(self.now());
        reports.push(Report {
            seen: Observation {
                conn: self.me.id,
                subject: watch.subject.clone(),
                sent_us: now,
                done_us: now,
                event,
            },
            hits: None,
        });
    }

    /// The client is gone.
    pub(super) fn end_watch(&mut self) {
        self.report_event(Event::Disconnected);
        self.watch = None;
    }

    fn look(&self, text: &[u8]) -> Rc<Looked> {
        let lexing = self.lexing();
        self.context.reports.texts.borrow_mut().look(text, lexing)
    }

    /// A simple Query is about to be sent.
    pub(super) fn watch_query(&mut self, text: &[u8]) -> Option<Refusal> {
        self.watch.as_ref()?;
        let looked = self.look(text);
        let now = self.now();
        let watch = self.watch.as_mut()?;
        let hits = watch.judge(&looked);
        if let Some(refusal) = watch.refusal(hits.as_deref().unwrap_or(&looked.hits)) {
            self.report_refusal(&looked, hits);
            return Some(refusal);
        }
        let bound = Bound {
            values: looked.literals,
            looked,
            params: 0,
            hits,
            parsed_now: true,
            binary: false,
        };
        watch.batch = watch.batch.wrapping_add(1);
        watch.unnamed = None;
        watch.send(bound, now, 0, true, &self.context.reports.observer);
        None
    }

    /// Whether the rules refuse a text, whatever its values.
    pub(super) fn would_refuse(&self, text: &[u8]) -> bool {
        (self.watch.as_ref()).is_some_and(|watch| watch.refusal(&self.look(text).hits).is_some())
    }

    /// A Parse is about to be sent or answered.
    pub(super) fn watch_parse(&mut self, name: &[u8], text: &[u8]) -> Option<Refusal> {
        self.watch.as_ref()?;
        let looked = self.look(text);
        let watch = self.watch.as_mut()?;
        // What depends on the session's state is decided at Bind.
        if let Some(refusal) = watch.refusal(&looked.hits) {
            self.report_refusal(&looked, None);
            return Some(refusal);
        }
        if name.is_empty() {
            watch.unnamed = Some(looked);
            watch.fresh = true;
        } else if watch.named.len() < MOST_NAMES || watch.named.contains_key(name) {
            watch.named.insert(name.into(), looked);
        }
        None
    }

    /// A Bind is about to be sent. `rest` is its body behind the names, if all of it is there.
    pub(super) fn watch_bind(
        &mut self,
        portal: &[u8],
        statement: &[u8],
        rest: Option<&[u8]>,
    ) -> Option<Refusal> {
        let watch = self.watch.as_mut()?;
        let (looked, parsed_now) = match statement {
            b"" => (watch.unnamed.clone(), std::mem::take(&mut watch.fresh)),
            name => (watch.named.get(name).cloned(), false),
        };
        let Some(looked) = looked else {
            watch.portal = None;
            return None;
        };
        let (params, binary) = rest
            .and_then(|rest| read::bind_params(rest, MOST_PARAMS))
            .unwrap_or_default();
        let mut values = looked.literals;
        if !params.is_empty() {
            let texts = self.context.reports.texts.borrow();
            let hashing = texts.hashing();
            for &(bytes, binary) in &params {
                hashing.add(&mut values, hashing.param(Param { bytes, binary }));
            }
        }
        let mut hits = watch.judge(&looked);
        if looked.binds {
            let params: Vec<Param<'_>> = (params.iter())
                .map(|&(bytes, binary)| Param { bytes, binary })
                .collect();
            let bound: Vec<Hit> = judge::bound_hits(&looked.profile, &params)
                .cloned()
                .collect();
            if !bound.is_empty() {
                let known = hits.as_deref().unwrap_or(&looked.hits);
                hits = Some(known.iter().cloned().chain(bound).collect());
            }
        }
        if let Some(refusal) = hits.as_deref().and_then(|hits| watch.refusal(hits)) {
            self.report_refusal(&looked, hits);
            return Some(refusal);
        }
        let bound = Bound {
            looked,
            values,
            params: params.len() as u16,
            hits,
            parsed_now,
            binary,
        };
        if portal.is_empty() {
            watch.portal = Some(bound);
        } else if watch.portals.len() < MOST_NAMES {
            watch.portals.insert(portal.into(), bound);
        }
        None
    }

    /// Reports a statement that never reaches a server.
    fn report_refusal(&self, looked: &Rc<Looked>, hits: Option<Arc<[Hit]>>) {
        let Some(watch) = &self.watch else { return };
        let reports = &self.context.reports;
        let now = reports.observer.micros(self.now());
        let hits = hits.unwrap_or_else(|| looked.hits.clone());
        reports.push(Report {
            seen: Observation {
                conn: self.me.id,
                subject: watch.subject.clone(),
                sent_us: now,
                done_us: now,
                event: Event::Refused {
                    text: looked.sample.clone(),
                    shape: looked.shape,
                },
            },
            hits: Some(hits),
        });
    }

    /// An Execute is about to be sent.
    pub(super) fn watch_execute(&mut self, body: &[u8]) {
        let now = self.now();
        let Some(watch) = &mut self.watch else { return };
        let Some((portal, fetch)) = read::execute(body) else {
            return;
        };
        let bound = match portal {
            b"" => watch.portal.as_ref(),
            name => watch.portals.get(name),
        };
        let Some(bound) = bound else { return };
        let bound = Bound {
            looked: bound.looked.clone(),
            values: bound.values,
            params: bound.params,
            hits: bound.hits.clone(),
            parsed_now: bound.parsed_now,
            binary: bound.binary,
        };
        watch.send(bound, now, fetch, false, &self.context.reports.observer);
    }

    /// A Sync is about to be sent.
    pub(super) fn watch_sync(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.batch = watch.batch.wrapping_add(1);
        }
    }

    /// The server completed a command of the client's.
    #[inline]
    pub(super) fn watch_completed(&mut self, command: &[u8]) {
        let now = self.now();
        let Some(watch) = &mut self.watch else { return };
        let Some(front) = watch.pending.front_mut() else {
            return;
        };
        front.rows += rows(command);
        // A simple Query may hold several commands; it is through at its ReadyForQuery.
        if !front.simple {
            watch.complete(now);
        }
    }

    /// A portal gave as many rows as it was asked for, or a text was empty.
    pub(super) fn watch_suspended(&mut self) {
        let now = self.now();
        let Some(watch) = &mut self.watch else { return };
        if let Some(front) = watch.pending.front_mut()
            && !front.simple
        {
            front.rows += u64::from(front.fetch);
            watch.complete(now);
        }
    }

    /// Whether the rows that come are looked at, so that they have to be seen whole.
    #[inline]
    pub(super) fn captures(&self) -> bool {
        (self.watch.as_ref())
            .and_then(|watch| watch.pending.front()?.capture.as_ref())
            .is_some_and(|capture| capture.wants_more())
    }

    /// A row of the client's of so many bytes. `body` is what is there of it.
    #[inline]
    pub(super) fn watch_row(&mut self, bytes: usize, body: &[u8]) {
        if let Some(watch) = &mut self.watch
            && let Some(front) = watch.pending.front_mut()
        {
            front.bytes += bytes as u64;
            if let Some(capture) = &mut front.capture
                && capture.wants_more()
            {
                capture.row(body, self.context.reports.texts.borrow().hashing());
            }
        }
    }

    /// The columns of a result of the client's.
    pub(super) fn watch_described(&mut self, body: &[u8]) {
        if let Some(watch) = &mut self.watch
            && let Some(front) = watch.pending.front_mut()
            && let Some(capture) = &mut front.capture
        {
            capture.described(body);
        }
    }

    /// The client's request failed: what it sent before the next Sync is skipped.
    pub(super) fn watch_failed(&mut self, state: Option<&[u8]>) {
        let now = self.now();
        let Some(watch) = &mut self.watch else { return };
        let Some(front) = watch.pending.front_mut() else {
            return;
        };
        front.error = Some(
            state
                .and_then(|state| state.try_into().ok())
                .unwrap_or(*b"XX000"),
        );
        if front.simple {
            return;
        }
        let batch = front.batch;
        watch.complete(now);
        while watch
            .pending
            .front()
            .is_some_and(|next| next.batch == batch && !next.simple)
        {
            watch.pending.pop_front();
        }
    }

    /// The batch is about to be played again: it will be noted anew.
    pub(super) fn watch_healed(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.pending.clear();
            watch.done.clear();
        }
    }

    /// A ReadyForQuery of the client's: hands over what is complete.
    #[inline]
    pub(super) fn watch_ready(&mut self, status: TxStatus, quiet: bool) {
        let now = self.now();
        let Some(watch) = &mut self.watch else { return };
        if watch.pending.front().is_some_and(|front| front.simple) {
            watch.complete(now);
        }
        if quiet {
            // Whatever is left was skipped.
            watch.pending.clear();
        }
        watch.view.committed(status != TxStatus::Idle);
        if watch.done.is_empty() {
            return;
        }
        if status == TxStatus::Idle {
            // Portals end with the transaction.
            watch.portal = None;
            watch.portals.clear();
        }
        let block = match status {
            TxStatus::Idle => Block::None,
            TxStatus::InTransaction => Block::Open,
            TxStatus::Failed => Block::Failed,
        };
        let (conn, wait_us) = (self.me.id, std::mem::take(&mut watch.wait_us));
        let reports = &self.context.reports;
        for (pending, done) in watch.done.drain(..) {
            reports.push(report(
                conn,
                &watch.subject,
                pending,
                done,
                block,
                wait_us,
                &reports.observer,
            ));
        }
    }

    /// The client waited so long for a server.
    pub(super) fn watch_waited(&mut self, waited: std::time::Duration) {
        if let Some(watch) = &mut self.watch {
            watch.wait_us = waited.as_micros() as u64;
        }
    }

    /// A request of the client's was refused in the place of a server.
    pub(super) fn watch_refused(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        // What was refused was never noted; what follows it up to Sync is skipped.
        let batch = watch.pending.front().map(|next| next.batch);
        while watch
            .pending
            .front()
            .is_some_and(|next| Some(next.batch) == batch && !next.simple)
        {
            watch.pending.pop_front();
        }
    }

    /// Tells the client what the rules say of the request whose reply is about to pass, where it
    /// asked for that: once for each rule and shape.
    pub(super) fn put_notices(&mut self, gather: &mut Gather<'_>) {
        let Some(watch) = &mut self.watch else { return };
        if watch.effective.max() < Action::Notice {
            return;
        }
        let Some(front) = watch.pending.front() else {
            return;
        };
        let bound = &front.bound;
        let hits = bound.hits.as_deref().unwrap_or(&bound.looked.hits);
        for hit in hits {
            let notice = watch.effective.action(hit.rule, hit.kind) == Action::Notice;
            let key = (hit.rule.number, bound.looked.shape);
            if !notice || hit.confidence < Confidence::Likely || watch.noticed.contains(&key) {
                continue;
            }
            if watch.noticed.len() >= MOST_NOTICED {
                watch.noticed.clear();
            }
            watch.noticed.push(key);
            let more = [(b'H', &*hit.suggestion.text), (b'R', hit.rule.id)];
            let state = SqlState(hit.rule.sqlstate());
            write::warning_with(gather.put(), state, &hit.message, &more);
        }
    }
}

fn report(
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
    let hits = hits.or_else(|| (!looked.hits.is_empty()).then(|| looked.hits.clone()));
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
                raw: looked.raw,
                stripped: looked.shape ^ looked.literals.all,
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
    }
}
