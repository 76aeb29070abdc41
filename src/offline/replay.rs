//! Plays a case to the code that judges live traffic.

use std::collections::HashMap;
use std::sync::Arc;

use crate::lint::comment::{self, Comments};
use crate::lint::engine::Engine;
use crate::lint::hashing::Hashing;
use crate::lint::hit::Hit;
use crate::lint::judge;
use crate::lint::known::{Known, Said};
use crate::lint::observe::{Block, Event, Execution, Observation, ResultColumn, Subject};
use crate::lint::profile::Profile;
use crate::lint::session::SessionView;
use crate::lint::thresholds::Thresholds;
use crate::lint::value::Param;
use crate::sql::{self, Kind, Lexing, Reading};

use super::case::{Arrival, Case, Step};

/// Time passes for the engine in steps of this.
const TICK_US: u64 = 1_000_000;
/// At most so many ticks between two statements, whatever their times say.
const MOST_TICKS: u64 = 100_000;
/// Ticks behind the last statement if no transaction is open: what waits for nothing happening.
const LAST_TICKS: u64 = 3;
/// Values of a result column that are looked at.
const MOST_VALUES: usize = 256;

/// What is known of a text.
struct Text {
    profile: Arc<Profile>,
    reading: Reading,
    comments: Comments,
    bytes: Arc<[u8]>,
    kind: Kind,
    raw: u64,
    stripped: u64,
}

/// What is known of a connection.
#[derive(Default)]
struct Conn {
    session: SessionView,
    block: Block,
    subject: Arc<Subject>,
    /// Texts it has sent.
    sent: Vec<Arc<[u8]>>,
}

struct Replay {
    engine: Engine,
    hashing: Hashing,
    texts: HashMap<String, Text>,
    conns: HashMap<u64, Conn>,
    hits: Vec<Hit>,
    now_us: u64,
    requests: u32,
}

/// Every hit of a case, each said once. Inline comments silence as they do on live traffic.
#[must_use]
pub fn run(case: &Case) -> Vec<Hit> {
    let mut replay = Replay {
        engine: Engine::default(),
        // Results must not depend on chance.
        hashing: Hashing::seeded(0),
        texts: HashMap::new(),
        conns: HashMap::new(),
        hits: Vec::new(),
        now_us: 0,
        requests: 0,
    };
    let steps = answered(&case.steps);
    if let Some((_, first)) = steps.first() {
        replay.now_us = first.sent_us;
    }
    for &(done_us, step) in &steps {
        replay.tick(step.sent_us);
        replay.step(step, done_us);
    }
    if let Some(&(end, _)) = steps.last() {
        let open = replay.conns.values().any(|conn| conn.block != Block::None);
        // A case that ends within a transaction says nothing of how long it stayed open.
        let ticks = if open { 0 } else { LAST_TICKS };
        replay.tick(end.saturating_add(ticks * TICK_US));
    }
    replay.hits
}

/// The steps in the order of their answers, which is when the engine hears of them, and these times.
/// On one connection answers keep the order of requests, in a pipeline too.
fn answered(steps: &[Step]) -> Vec<(u64, &Step)> {
    let mut last: HashMap<u64, u64> = HashMap::new();
    let mut timed: Vec<_> = (steps.iter())
        .map(|step| {
            let done = step.sent_us.saturating_add(step.took_us);
            let last = last.entry(step.conn).or_default();
            *last = done.max(*last);
            (*last, step)
        })
        .collect();
    timed.sort_by_key(|&(done, _)| done);
    timed
}

impl Replay {
    /// Time passes until `to_us`.
    fn tick(&mut self, to_us: u64) {
        let mut found = Vec::new();
        let ticks = to_us.saturating_sub(self.now_us) / TICK_US;
        for _ in 0..ticks.min(MOST_TICKS) {
            self.now_us += TICK_US;
            self.engine.tick(self.now_us, &mut found);
        }
        if to_us > self.now_us {
            self.now_us = to_us;
            self.engine.tick(to_us, &mut found);
        }
        self.detected(found);
    }

    fn step(&mut self, step: &Step, done_us: u64) {
        let conn = self.conns.entry(step.conn).or_default();
        let subject = subject(step, &conn.subject);
        if subject != *conn.subject {
            conn.subject = Arc::new(subject);
        }
        let event = match step.event {
            Some(Arrival::Connect { secure, superuser }) => {
                conn.session = SessionView::default();
                Event::Connected { secure, superuser }
            }
            Some(Arrival::Disconnect) => Event::Disconnected,
            None => Event::Executed(self.execution(step)),
        };
        let subject = (self.conns.get(&step.conn))
            .map(|conn| conn.subject.clone())
            .unwrap_or_default();
        if step.event == Some(Arrival::Disconnect) {
            self.conns.remove(&step.conn);
        }
        let seen = Observation {
            conn: step.conn,
            subject,
            sent_us: step.sent_us,
            done_us,
            event,
        };
        let mut found = Vec::new();
        self.engine.observe(&seen, &mut found);
        self.detected(found);
    }

    /// Judges the text and its values, and says how it went.
    fn execution(&mut self, step: &Step) -> Execution {
        if !self.texts.contains_key(&step.sql) {
            let text = Text::read(&step.sql, &self.hashing);
            self.texts.insert(step.sql.clone(), text);
        }
        let (text, conn) = (
            &self.texts[&step.sql],
            self.conns.entry(step.conn).or_default(),
        );
        let params: Vec<Param<'_>> = (step.params.iter())
            .map(|value| Param {
                bytes: value.as_ref().map(String::as_bytes),
                binary: false,
            })
            .collect();
        let mut hits = judge::hits(&text.profile, &text.bytes, &text.reading, &params);
        conn.session.revise(&text.profile, &mut hits);
        let silence = conn.session.silence().cloned();
        let silent = |hit: &Hit| silence.as_ref().is_some_and(|s| s.covers(hit.rule));
        hits.retain(|hit| !text.comments.ignores(hit.rule) && !silent(hit));
        for hit in hits {
            add(&mut self.hits, hit);
        }
        let again = conn.sent.iter().any(|sent| **sent == *text.bytes);
        if !again {
            conn.sent.push(text.bytes.clone());
        }
        conn.block = block(step, text.kind, conn.block);
        conn.session.committed(conn.block != Block::None);
        self.requests += 1;
        let mut values = self.hashing.literals(&text.bytes, &text.reading, text.raw);
        for &param in &params {
            self.hashing.add(&mut values, self.hashing.param(param));
        }
        let request = text.comments.request();
        let names = |names: &Vec<String>| names.iter().map(|name| name.as_str().into()).collect();
        let silence = match comment::Silence::of(&text.comments, false) {
            Some(own) => Some(Arc::new(match &silence {
                Some(silence) => own.with(silence),
                None => own,
            })),
            None => silence,
        };
        let known = Known {
            text: text.bytes.clone(),
            shape: text.reading.fingerprint,
            profile: text.profile.clone(),
            value_rows: text.reading.rows,
            longest_list: text.reading.longest_list,
            named: step.columns.as_ref().map(names),
            said: Said {
                silence,
                ..Said::default()
            },
            ..Known::default()
        };
        Execution {
            known: Arc::new(known),
            raw: text.raw,
            stripped: text.stripped,
            // A text with parameters is prepared once and executed from then on.
            parsed_now: params.is_empty() || !again,
            params: u16::try_from(params.len()).unwrap_or(u16::MAX),
            values,
            rows: step.rows,
            bytes: step.bytes,
            error: step.error,
            trouble: None,
            backend: 0,
            block: conn.block,
            // Numbers of the case and our own must not meet.
            batch: step.pipeline.unwrap_or(self.requests | 1 << 31),
            fetch: step.fetch,
            wait_us: 0,
            trace: request.map_or(0, |id| self.hashing.bytes(id.as_bytes())),
            quiet: None,
            server: None,
            result: step
                .result
                .iter()
                .map(|(name, values)| self.column(name, values))
                .collect(),
        }
    }

    fn column(&self, name: &str, values: &[Option<String>]) -> ResultColumn {
        let hash = |value: &Option<String>| {
            self.hashing.param(Param {
                bytes: value.as_ref().map(String::as_bytes),
                binary: false,
            })
        };
        ResultColumn {
            name: name.into(),
            values: values.iter().take(MOST_VALUES).map(hash).collect(),
        }
    }

    fn detected(&mut self, found: Vec<crate::lint::observe::Detection>) {
        for detection in found {
            let silence = detection.silence.as_ref();
            if !silence.is_some_and(|silence| silence.covers(detection.hit.rule)) {
                add(&mut self.hits, detection.hit);
            }
        }
    }
}

impl Text {
    fn read(sql: &str, hashing: &Hashing) -> Text {
        let bytes = sql.as_bytes();
        let reading = sql::read(bytes, Lexing::default());
        let profile = judge::profile(sql, &reading, &Thresholds::default())
            .unwrap_or_else(|_| Profile::unknown());
        let (raw, stripped) = hashing.texts(bytes, Lexing::default());
        Text {
            profile: Arc::new(profile),
            comments: comment::read(bytes, Lexing::default()),
            bytes: bytes.into(),
            kind: sql::analyse(bytes, Lexing::default()).kind,
            reading,
            raw,
            stripped,
        }
    }
}

/// The same finding from many executions is one: the last, which knows most.
fn add(hits: &mut Vec<Hit>, hit: Hit) {
    // What is told only where somebody asks for it by name is no verdict on a case.
    if hit.rule.kind_on(hit.kind) == Some(false) {
        return;
    }
    let same = |known: &&mut Hit| {
        known.rule == hit.rule
            && known.kind == hit.kind
            && known.span == hit.span
            && known.object == hit.object
    };
    match hits.iter_mut().find(same) {
        Some(known) => *known = hit,
        None => hits.push(hit),
    }
}

/// The transaction after a statement.
fn block(step: &Step, kind: Kind, before: Block) -> Block {
    match (step.tx, kind) {
        (false, _) | (true, Kind::Commit | Kind::Rollback | Kind::TwoPhase) => Block::None,
        (true, Kind::Savepoint) if step.error.is_none() => Block::Open,
        (true, _) if step.error.is_some() || before == Block::Failed => Block::Failed,
        (true, _) => Block::Open,
    }
}

/// What the step says of its client, the rest as before.
fn subject(step: &Step, before: &Subject) -> Subject {
    let or = |new: &Option<String>, old: &str, default: &str| -> Box<str> {
        let old = if old.is_empty() { default } else { old };
        new.as_deref().unwrap_or(old).into()
    };
    Subject {
        database: or(&step.db, &before.database, "app"),
        user: or(&step.user, &before.user, "app"),
        app: or(&step.app, &before.app, ""),
        client: or(&step.client, &before.client, "127.0.0.1"),
        ..Subject::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::case;

    fn found(line: &str) -> Vec<&'static str> {
        let case = case::read(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
        run(&case).iter().map(|hit| hit.rule.id).collect()
    }

    #[test]
    fn a_statement_is_inspected() {
        assert_eq!(
            found(r#"{"id":"a","sql":"DELETE FROM t"}"#),
            ["missing-where"]
        );
        assert_eq!(
            found(r#"{"id":"a","sql":"/*lint:ignore=missing-where*/ DELETE FROM t"}"#),
            [""; 0]
        );
        assert_eq!(found(r#"{"id":"a","sql":"DELETE FRM t"}"#), [""; 0]);
    }

    #[test]
    fn a_sequence_says_each_thing_once() {
        let one = r#"{"sql":"DELETE FROM t","at_ms":1,"conn":1,"tx":false}"#;
        let far = r#"{"sql":"DELETE FROM u","at_ms":100000000000,"conn":2,"tx":false}"#;
        let line = format!(
            r#"{{"id":"a","statements":[{one},{one},{far},{{"event":"disconnect","conn":1,"at_ms":2}}]}}"#
        );
        assert_eq!(found(&line), ["missing-where", "missing-where"]);
    }

    #[test]
    fn answers_come_in_the_order_of_their_connection() {
        let step = |conn, sent_us, took_us| Step {
            conn,
            sent_us,
            took_us,
            ..Step::default()
        };
        let steps = [step(1, 0, 50), step(1, 0, 1), step(2, 10, 1)];
        let order: Vec<_> = answered(&steps)
            .iter()
            .map(|(done, step)| (*done, step.conn, step.took_us))
            .collect();
        assert_eq!(order, [(11, 2, 1), (50, 1, 50), (50, 1, 1)]);
    }

    #[test]
    fn transactions_open_and_end() {
        let step = |tx, error: Option<[u8; 5]>| Step {
            tx,
            error,
            ..Step::default()
        };
        let failed = Some(*b"23505");
        assert_eq!(
            block(&step(true, None), Kind::Begin, Block::None),
            Block::Open
        );
        assert_eq!(
            block(&step(true, None), Kind::Commit, Block::Open),
            Block::None
        );
        assert_eq!(
            block(&step(true, failed), Kind::Insert, Block::Open),
            Block::Failed
        );
        assert_eq!(
            block(&step(true, None), Kind::Select, Block::Failed),
            Block::Failed
        );
        assert_eq!(
            block(&step(true, None), Kind::Savepoint, Block::Failed),
            Block::Open
        );
        assert_eq!(
            block(&step(false, failed), Kind::Insert, Block::None),
            Block::None
        );
    }
}
