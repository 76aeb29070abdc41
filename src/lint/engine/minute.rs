//! What is counted over the last minute, whoever's connection it came by.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::HashMap;
use foldhash::quality::FixedState;

use super::super::comment;
use super::super::facts::Command;
use super::super::hit::Hit;
use super::super::observe::{Block, Detection, Execution, Observation, Subject};
use super::super::rule::Severity;
use super::super::rules::{runtime, sequence};
use super::super::thresholds::Thresholds;
use super::{SECOND, detection, exempt, hot, is_query};
use crate::sql::Lexing;

const MINUTE: u64 = 60 * SECOND;
/// Windows of one kind that are kept; when there are more, all are forgotten.
const MOST: usize = 10_000;

/// The latest different things of a window, and when each was seen last.
#[derive(Default)]
struct Window {
    seen: Vec<(u64, u64)>,
    told: bool,
}

impl Window {
    /// Whether `enough` different things were seen within `span`, for the first time.
    fn add(&mut self, thing: u64, now: u64, enough: u64, span: u64) -> bool {
        if self.told {
            return false;
        }
        if let Some(known) = self.seen.iter_mut().find(|known| known.1 == thing) {
            known.0 = known.0.max(now);
            return false;
        }
        self.seen.retain(|known| known.0 + span >= now);
        self.seen.push((now, thing));
        self.told = self.seen.len() as u64 >= enough;
        if self.told {
            self.seen = Vec::new();
        }
        self.told
    }
}

/// Texts that differ in comments, and the first of them.
type Tagged = (Window, Arc<[u8]>);

struct Client {
    since: u64,
    statements: u32,
}

/// See the module.
#[derive(Default)]
pub(super) struct Minute {
    texts: HashMap<(u64, u64), Window>,
    comments: HashMap<(u64, u64), Tagged>,
    errors: HashMap<(u64, u64, [u8; 5]), Window>,
    /// Errors in a transaction block that a savepoint may still make good.
    failed: HashMap<u64, (Arc<Subject>, Execution, u64)>,
    clients: HashMap<u64, Client>,
    lifetimes: HashMap<u64, Window>,
    errors_seen: u64,
    hot: hot::Hot,
    /// Windows that were forgotten to make room.
    pub(super) evicted: u64,
}

fn bounded<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: &K, evicted: &mut u64) {
    if map.len() >= MOST && !map.contains_key(key) {
        *evicted += map.len() as u64;
        map.clear();
    }
}

impl Minute {
    pub(super) fn connected(&mut self, seen: &Observation) {
        bounded(&mut self.clients, &seen.conn, &mut self.evicted);
        let client = Client {
            since: seen.done_us,
            statements: 0,
        };
        self.clients.insert(seen.conn, client);
    }

    pub(super) fn disconnected(
        &mut self,
        seen: &Observation,
        thresholds: &Thresholds,
        found: &mut Vec<Detection>,
    ) {
        self.settle(seen.conn, None, thresholds, found);
        let Some(client) = self.clients.remove(&seen.conn) else {
            return;
        };
        let lived = seen.done_us.saturating_sub(client.since);
        if lived >= SECOND || client.statements > 3 || exempt(&seen.subject) {
            return;
        }
        let key = FixedState::default().hash_one((&seen.subject.client, seen.subject.owner()));
        bounded(&mut self.lifetimes, &key, &mut self.evicted);
        let window = self.lifetimes.entry(key).or_default();
        let enough = thresholds.connections;
        if window.add(seen.conn, client.since, enough, 10 * SECOND) {
            let text = format!("{enough} connections in 10 s lived for less than a second each.");
            let hit = Hit::new(&sequence::CHURN, "", text)
                .evidence("connections", enough)
                .evidence("client", &*seen.subject.client);
            let none = Execution::default();
            found.push(detection(hit, &seen.subject, seen.conn, &none, enough, 0));
        }
    }

    pub(super) fn executed(
        &mut self,
        seen: &Observation,
        run: &Execution,
        thresholds: &Thresholds,
        found: &mut Vec<Detection>,
    ) {
        if let Some(client) = self.clients.get_mut(&seen.conn) {
            client.statements += 1;
        }
        let facts = run.profile.facts.first();
        if !self.failed.is_empty() {
            self.settle(
                seen.conn,
                facts.map(|facts| facts.command),
                thresholds,
                found,
            );
        }
        if exempt(&seen.subject) {
            return;
        }
        if let Some(state) = run.error {
            // These have rules of their own.
            if matches!(&state, b"40001" | b"40P01" | b"55P03" | b"57014" | b"25P02") {
                return;
            }
            if run.block == Block::Failed {
                bounded(&mut self.failed, &seen.conn, &mut self.evicted);
                let kept = (Arc::clone(&seen.subject), run.clone(), seen.done_us);
                self.failed.insert(seen.conn, kept);
            } else {
                self.error(
                    seen.conn,
                    (&seen.subject, run, seen.done_us),
                    thresholds,
                    found,
                );
            }
            return;
        }
        let Some(facts) = facts.filter(|facts| is_query(facts) && !facts.introspection) else {
            return;
        };
        let tables = !(facts.reads.is_empty() && facts.writes.is_empty());
        let owner = seen.subject.owner();
        if facts.command == Command::Select {
            (self.hot).add(owner, (seen, run, facts), thresholds.asked, found);
        }
        if run.params == 0 && run.values.len > 0 && tables && run.shape != 0 {
            let key = (owner, run.shape);
            bounded(&mut self.texts, &key, &mut self.evicted);
            let window = self.texts.entry(key).or_default();
            let enough = thresholds.texts;
            if window.add(run.stripped, seen.done_us, enough, MINUTE) {
                let text = format!(
                    "{enough} different texts of one statement in a minute: values are written \
                     into the SQL, and each text is parsed and planned anew."
                );
                let hit = Hit::new(&sequence::LITERALS, "", text).evidence("texts", enough);
                found.push(detection(hit, &seen.subject, seen.conn, run, enough, 0));
            }
        }
        if run.raw != run.stripped && tables {
            self.comment(owner, seen, run, thresholds.comments, found);
        }
    }

    fn comment(
        &mut self,
        owner: u64,
        seen: &Observation,
        run: &Execution,
        enough: u64,
        found: &mut Vec<Detection>,
    ) {
        let key = (owner, run.stripped);
        bounded(&mut self.comments, &key, &mut self.evicted);
        let (window, first) = (self.comments.entry(key))
            .or_insert_with(|| (Window::default(), Arc::clone(&run.text)));
        if !window.add(run.raw, seen.done_us, enough, MINUTE) {
            return;
        }
        let before = comment::read(first, Lexing::default());
        let now = comment::read(&run.text, Lexing::default());
        let name = (now.tags.iter())
            .find(|(name, value)| before.get(name).is_some_and(|old| *old != **value))
            .map(|(name, _)| name.clone());
        let text = match &name {
            Some(name) => format!("The comment's {name} differs each time: no text comes twice."),
            None => "The comment differs each time: no text comes twice.".into(),
        };
        let mut hit = Hit::new(&sequence::COMMENT, "", text).evidence("texts", enough);
        if let Some(name) = name {
            hit = hit.evidence("key", &*name);
        }
        // Without parameters nothing tells whether the driver prepares its statements.
        if run.params == 0 {
            hit = hit.severity(Severity::Info);
        }
        found.push(detection(hit, &seen.subject, seen.conn, run, enough, 0));
    }

    /// The next statement after an error within a transaction, or none: is it made good?
    fn settle(
        &mut self,
        conn: u64,
        next: Option<Command>,
        thresholds: &Thresholds,
        found: &mut Vec<Detection>,
    ) {
        let Some((subject, run, at)) = self.failed.remove(&conn) else {
            return;
        };
        if next != Some(Command::Savepoint) {
            self.error(conn, (&subject, &run, at), thresholds, found);
        }
    }

    fn error(
        &mut self,
        conn: u64,
        (subject, run, at): (&Arc<Subject>, &Execution, u64),
        thresholds: &Thresholds,
        found: &mut Vec<Detection>,
    ) {
        let Some(state) = run.error else { return };
        let key = (subject.owner(), run.shape, state);
        bounded(&mut self.errors, &key, &mut self.evicted);
        self.errors_seen += 1;
        let enough = thresholds.errors;
        let window = self.errors.entry(key).or_default();
        if window.add(self.errors_seen, at, enough, MINUTE) {
            let state = String::from_utf8_lossy(&state).into_owned();
            let text = format!("{enough} × {state} from one statement within a minute.");
            let hit = Hit::new(&runtime::RECURRING, "", text)
                .evidence("sqlstate", state)
                .evidence("errors", enough);
            found.push(detection(hit, subject, conn, run, enough, 0));
        }
    }
}
