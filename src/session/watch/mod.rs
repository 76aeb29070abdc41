//! What a session tells the rules: each text that is executed, its values, its outcome.
//!
//! Requests are noted when they are sent and completed in the order of their replies, as in the
//! ledger; a ReadyForQuery hands all that is complete over to the worker's [`Reports`]. Nothing
//! here decides what is relayed, except that a text may be refused before it is sent.

pub(super) mod annotate;
mod replies;
mod reports;
mod requests;
mod sent;

pub use reports::Reports;

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use sent::{Request, Sent};

use super::Session;
use super::lineage::Capture;
use crate::audit::inbox;
use crate::audit::observer::{Observer, Report};
use crate::audit::wall::{self, Guard};
use crate::error::SqlState;
use crate::lint::firewall::{self, Mode, Statement};
use crate::lint::hit::Hit;
use crate::lint::known::{Quiet, Suppressed};
use crate::lint::observe::{Event, Observation, Subject, Values};
use crate::lint::policy::Effective;
use crate::lint::rule::Action;
use crate::lint::rules::security;
use crate::lint::session::SessionView;
use crate::lint::texts::Looked;
use crate::net::PeerAddr;
use crate::server::params::ParamSet;
use crate::server::statements::Refusal;
use crate::sql::{self, Lexing};

/// What is to be known of a text before it is sent.
#[derive(Default)]
pub(super) struct Watched {
    /// It is known to be plain ([`sql::is_plain`]).
    pub(super) plain: bool,
    /// A comment to send behind it.
    pub(super) comment: Option<String>,
}

/// SQLSTATE of a text that is refused because nothing is known of it.
const UNREAD: [u8; 5] = *b"QL901";

/// Names and portals that are remembered for a client; what is beyond is not reported.
const MOST_NAMES: usize = 4096;

/// A text with its values.
#[derive(Clone)]
struct Bound {
    looked: Rc<Looked>,
    values: Values,
    params: u16,
    /// Its hits, if they are not those of the text alone.
    hits: Option<Arc<[Hit]>>,
    /// What the session silenced.
    quiet: Option<Box<Quiet>>,
    /// Its Parse came just before.
    parsed_now: bool,
    /// Its result was asked for in the binary format.
    binary: bool,
}

/// The last text that was parsed without a name.
struct Parsed {
    looked: Rc<Looked>,
    /// How it was read.
    lexing: Lexing,
    /// Nothing is said to such a text and nothing done to it, whatever the session silences or not.
    passes: bool,
}

/// What a session remembers for the rules.
pub(super) struct Watch {
    subject: Arc<Subject>,
    view: SessionView,
    unnamed: Option<Rc<Looked>>,
    last_parsed: Option<Parsed>,
    /// How texts are read, for these parameters and this default of the pool's.
    lexing: Option<(Rc<ParamSet>, Lexing, Lexing)>,
    /// The unnamed statement was parsed and not bound yet.
    fresh: bool,
    named: HashMap<Box<[u8]>, Rc<Looked>, foldhash::fast::RandomState>,
    portal: Option<Bound>,
    portals: HashMap<Box<[u8]>, Bound, foldhash::fast::RandomState>,
    sent: Sent,
    batch: u32,
    wait_us: u64,
    /// What is done about hits of this client.
    effective: Arc<Effective>,
    /// The firewall's profile for it.
    guard: Option<Arc<Guard>>,
    /// Rules and shapes that the client was told of.
    noticed: Vec<(u8, u64)>,
    /// What it is to be told of what was found later, if it is to be told anything.
    inbox: Option<inbox::Reader>,
}

impl Watch {
    fn new(subject: Arc<Subject>, effective: Arc<Effective>, view: SessionView) -> Box<Self> {
        Box::new(Self {
            subject,
            view,
            unnamed: None,
            last_parsed: None,
            lexing: None,
            fresh: false,
            named: HashMap::default(),
            portal: None,
            portals: HashMap::default(),
            sent: Sent::default(),
            batch: 0,
            wait_us: 0,
            effective,
            guard: None,
            noticed: Vec::new(),
            inbox: None,
        })
    }

    /// The hits of a text that stand in this session, `None` if they are those of the text alone; and
    /// what the session silenced.
    fn judge(&mut self, looked: &Looked) -> (Option<Arc<[Hit]>>, Option<Box<Quiet>>) {
        let concerns = self.view.concerns(&looked.profile);
        if !concerns && self.view.silence().is_none() {
            return (None, None);
        }
        let mut hits = looked.hits().to_vec();
        if concerns {
            self.view.revise(&looked.profile, &mut hits);
        }
        let Some(silence) = self.view.silence() else {
            return (Some(hits.into()), None);
        };
        let silenced = hits.extract_if(.., |hit| silence.covers(hit.rule));
        let of_comments = looked.said.suppressed.iter().flat_map(|known| &known.hits);
        let silenced: Vec<Hit> = silenced.chain(of_comments.cloned()).collect();
        let suppressed = (!silenced.is_empty()).then(|| {
            let reason = looked.said.suppressed.as_ref().map(|known| &known.reason);
            Arc::new(Suppressed {
                hits: silenced,
                reason: reason.unwrap_or(&silence.reason).clone(),
            })
        });
        let quiet = Box::new(Quiet {
            suppressed,
            silence: match &looked.said.silence {
                Some(own) => Arc::new(own.with(silence)),
                None => silence.clone(),
            },
        });
        (Some(hits.into()), Some(quiet))
    }

    /// Hits without those that the session silenced.
    fn heard<'h>(&self, hits: &'h [Hit]) -> Cow<'h, [Hit]> {
        match self.view.silence() {
            Some(silence) => {
                let heard = hits.iter().filter(|hit| !silence.covers(hit.rule));
                Cow::Owned(heard.cloned().collect())
            }
            None => Cow::Borrowed(hits),
        }
    }

    /// What the firewall says to a text: what it adds to the hits, and whether it refuses.
    fn guarded(&self, looked: &Looked) -> Option<(Hit, Option<Refusal>)> {
        let guard = self.guard.as_ref()?;
        let (list, rows, shape) = (looked.longest_list, looked.value_rows, looked.identity);
        // A text that was prepared before there was a firewall has no identity.
        let whole = looked.whole && shape != 0;
        let statement = Statement::new(&looked.profile, shape, list, rows, whole);
        let query = || {
            let query = sql::normalised(&looked.text, Lexing::default());
            String::from_utf8_lossy(&query).into_owned()
        };
        asked(guard, statement, query)
    }

    /// The hit of these that refuses, if one does.
    fn refusing<'h>(&self, hits: &'h [Hit]) -> Option<&'h Hit> {
        if self.effective.max() < Action::Block {
            return None;
        }
        let silence = self.view.silence();
        hits.iter().find(|hit| {
            !silence.is_some_and(|silence| silence.covers(hit.rule))
                && hit.rule.enforce.may_block()
                && self.effective.action(hit.rule, hit.kind) == Action::Block
        })
    }

    /// What the client is told if these hits refuse its statement.
    fn refusal(&self, hits: &[Hit]) -> Option<Refusal> {
        Some(refused("statement", self.refusing(hits)?))
    }

    /// Whether such a text is sent as it came, whatever its hits.
    fn passes(&self, looked: &Looked) -> bool {
        self.effective.max() < Action::Annotate && self.unread(looked).is_none()
    }

    /// What the client is told if its text is refused because nothing is known of it.
    fn unread(&self, looked: &Looked) -> Option<Refusal> {
        (looked.profile.unread && self.effective.refuses_unread()).then(|| Refusal {
            state: SqlState(UNREAD),
            text: "statement refused: it cannot be analysed (lint_fail_closed)".to_owned(),
            hint: "The parser does not accept it, or it is longer than lint_max_statement_bytes."
                .to_owned(),
        })
    }

    fn send(&mut self, bound: Bound, now: Instant, fetch: u32, simple: bool, observer: &Observer) {
        if self.sent.is_full() {
            observer.lose(1);
            return;
        }
        let wanted = observer.wants_result(bound.looked.shape);
        let capture = wanted.then(|| Capture::new(bound.binary));
        self.sent.push(Request {
            capture,
            bound,
            sent: now,
            done: now,
            batch: self.batch,
            fetch,
            simple,
            rows: 0,
            bytes: 0,
            error: None,
            trouble: None,
        });
    }
}

fn refused(what: &str, hit: &Hit) -> Refusal {
    Refusal {
        state: SqlState(hit.rule.sqlstate()),
        text: format!("{what} refused by rule {}: {}", hit.rule.id, hit.message),
        hint: hit.suggestion.text.to_string(),
    }
}

/// What a profile of the firewall says to a statement, if it has anything against it, and whether that
/// refuses it.
fn asked(
    guard: &Guard,
    statement: Statement,
    query: impl FnOnce() -> String,
) -> Option<(Hit, Option<Refusal>)> {
    let (verdict, mode) = guard.with(|profile| {
        let verdict = profile.see(statement, wall::now(), query);
        (verdict, profile.mode)
    });
    let hit = verdict.hit(&guard.name, statement.shape)?;
    let refusal = (mode == Mode::Protect).then(|| Refusal {
        state: SqlState(firewall::REFUSED),
        text: format!("statement refused: {}", hit.message),
        hint: hit.suggestion.text.to_string(),
    });
    Some((hit, refusal))
}

/// The hits of a text, or those of `hits` instead, and one more.
fn joined(looked: &Looked, hits: Option<&[Hit]>, more: Hit) -> Arc<[Hit]> {
    let known = hits.unwrap_or(looked.hits());
    known.iter().cloned().chain([more]).collect()
}

impl Session {
    /// The client is about to be logged in: its statements are looked at from now on. `superuser` as
    /// the server says. `Some` if it must not be.
    pub(super) fn begin_watch(&mut self, superuser: bool) -> Option<Refusal> {
        if !self.context.process.lints() {
            return None;
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
            ..Subject::default()
        });
        drop(app);
        let effective = self.context.process.effective(&subject);
        let may = self.context.reports.texts.borrow().may_silence();
        let view = SessionView::starting(|name| self.startup.get(name), may);
        self.watch = Some(Watch::new(subject, effective, view));
        self.renew_inbox();
        self.renew_guard();
        self.renew_thresholds();
        let secure = match self.me.addr {
            PeerAddr::Tcp(addr) => addr.ip().is_loopback() || !self.me.tls.is_empty(),
            PeerAddr::Unix | PeerAddr::Gone => true,
        };
        let watch = self.watch.as_ref()?;
        let hits = security::insecure(&watch.subject, secure, superuser);
        let refusal = watch.refusing(&hits).map(|hit| refused("login", hit));
        self.report_event(Event::Connected { secure, superuser }, None);
        refusal
    }

    /// The client's `application_name` is another one now.
    pub(super) fn rename_watch(&mut self, app: &str) {
        if let Some(watch) = &mut self.watch {
            let mut subject = (*watch.subject).clone();
            subject.app = app.into();
            watch.effective = self.context.process.effective(&subject);
            watch.subject = Arc::new(subject);
            watch.last_parsed = None;
        }
        self.renew_inbox();
    }

    /// Something else is done about rules now.
    pub(super) fn renew_policy(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.effective = self.context.process.effective(&watch.subject);
            watch.last_parsed = None;
        }
        self.renew_inbox();
        self.renew_guard();
        self.renew_thresholds();
    }

    /// Whether the client is told of what is found later. Once it was it keeps its inbox, which
    /// knows of what.
    fn renew_inbox(&mut self) {
        if let Some(watch) = &mut self.watch
            && watch.inbox.is_none()
            && watch.effective.max() >= Action::Notice
        {
            let inboxes = &self.context.reports.observer.inboxes;
            watch.inbox = Some(inboxes.open(self.me.id));
        }
    }

    /// Which profile of the firewall is the client's.
    fn renew_guard(&mut self) {
        let wall = self.context.process.wall.load();
        let guarded = !wall.guards.is_empty();
        (self.context.reports.texts.borrow_mut()).identify(guarded);
        let address = match self.me.addr {
            PeerAddr::Tcp(addr) => Some(addr.ip()),
            PeerAddr::Unix | PeerAddr::Gone => None,
        };
        if let Some(watch) = &mut self.watch {
            let subject = &watch.subject;
            watch.guard = wall.of_client(&subject.database, &subject.user, address);
        }
    }

    /// What the firewall says to a request that cannot be compared with what it knows: one that is
    /// too long to be looked at, or a call of a function by its number.
    pub(super) fn watch_unread(&mut self) -> Option<Refusal> {
        let watch = self.watch.as_ref()?;
        let guard = watch.guard.as_ref()?;
        let statement = Statement {
            shape: 0,
            longest_list: 0,
            rows: 0,
            whole: false,
            control: false,
            learnable: false,
        };
        let (hit, refusal) = asked(guard, statement, String::new)?;
        let refused = Event::Refused {
            text: Arc::from(&b""[..]),
            shape: 0,
        };
        if refusal.is_some() {
            self.report_event(refused, Some(Arc::from([hit])));
        }
        refusal
    }

    /// The worker's texts are judged by the numbers in force: whichever client notices first.
    fn renew_thresholds(&self) {
        let thresholds = self.context.process.policy.load().thresholds;
        (self.context.reports.texts.borrow_mut()).judge_by(&thresholds);
    }

    /// Reports what is no execution of a text.
    fn report_event(&self, event: Event, hits: Option<Arc<[Hit]>>) {
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
            hits,
        });
    }

    /// Reports a statement that never reaches a server.
    fn report_refusal(&self, looked: &Looked, hits: Option<Arc<[Hit]>>) {
        let refused = Event::Refused {
            text: looked.text.clone(),
            shape: looked.shape,
        };
        let hits = hits.or_else(|| looked.shared_hits());
        self.report_event(refused, hits);
    }

    /// The client is gone.
    pub(super) fn end_watch(&mut self) {
        self.report_event(Event::Disconnected, None);
        self.watch = None;
    }

    /// The client waited so long for a server.
    pub(super) fn watch_waited(&mut self, waited: std::time::Duration) {
        if let Some(watch) = &mut self.watch {
            watch.wait_us = waited.as_micros() as u64;
        }
    }
}
