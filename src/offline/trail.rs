//! `pgweir replay`: the statements of an audit trail through the rules that judge live traffic.
//!
//! A trail holds no values. Each `?` of a statement becomes a parameter, of which nothing is known
//! but that its values may differ: what a sequence rule concludes from values is a suspicion here, and
//! rules that look at a value say nothing.

use std::collections::HashMap;
use std::io::BufRead;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value as Json;

use super::Chosen;
use crate::audit::finding::{Cost, Finding};
use crate::audit::findings::{Findings, Seen, judged};
use crate::calendar;
use crate::lint::engine::Engine;
use crate::lint::hashing::Hashing;
use crate::lint::hit::Hit;
use crate::lint::observe::{Block, Detection, Event, Execution, Observation, Subject, Values};
use crate::lint::rule::{Action, Class, Confidence};
use crate::lint::session::SessionView;
use crate::lint::texts::Texts;
use crate::sql::Lexing;

/// Findings that are told apart.
const MOST_FINDINGS: usize = 10_000;
/// Connections that are remembered; when there are more, all are forgotten.
const MOST_CONNECTIONS: usize = 100_000;
/// Statements whose text is remembered; when there are more, all are forgotten.
const MOST_STATEMENTS: usize = 20_000;
/// Bytes for what is known of texts.
const TEXTS: usize = 32 << 20;
/// Time passes for the engine in steps of this, at most so many at once.
const TICK_US: u64 = 1_000_000;
const MOST_TICKS: u64 = 120;

/// What came of one or several files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines.
    pub lines: u64,
    /// Statements among them.
    pub statements: u64,
    /// Lines that are no lines of a trail.
    pub unread: u64,
    /// Lines that the trail itself says are missing.
    pub missing: u64,
    /// Statements of which a sample left others out.
    pub sampled: u64,
}

struct Conn {
    subject: Arc<Subject>,
    session: SessionView,
}

/// Plays files, one after the other.
pub struct Player {
    rules: Chosen,
    texts: Texts,
    hashing: Hashing,
    engine: Engine,
    findings: Findings,
    conns: HashMap<u64, Conn>,
    /// A statement with parameters in the place of its `?`, and how many.
    statements: HashMap<Box<str>, (Rc<str>, u16)>,
    now_us: u64,
    /// Values that nobody knows.
    fresh: u64,
    requests: u32,
    /// What was seen so far.
    pub tally: Tally,
}

impl Player {
    /// Looks for these rules.
    #[must_use]
    pub fn new(rules: Chosen) -> Self {
        // Results must not depend on chance.
        let hashing = Hashing::seeded(0);
        Self {
            rules,
            texts: Texts::new(TEXTS, hashing.clone()),
            hashing,
            engine: Engine::default(),
            findings: Findings::new(MOST_FINDINGS),
            conns: HashMap::new(),
            statements: HashMap::new(),
            now_us: 0,
            fresh: 0,
            requests: 0,
            tally: Tally::default(),
        }
    }

    /// Plays a file.
    ///
    /// # Errors
    /// It cannot be read to its end; what was read has been played.
    pub fn play(&mut self, file: &mut dyn BufRead) -> std::io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if file.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            self.tally.lines += 1;
            let known = serde_json::from_slice(&line).ok();
            if known.and_then(|line: Json| self.line(&line)).is_none() {
                self.tally.unread += 1;
            }
        }
    }

    /// All findings, those that cost most first.
    #[must_use]
    pub fn end(&mut self) -> Vec<Finding> {
        let end = self.now_us.saturating_add(3 * TICK_US);
        self.pass(end);
        let mut all: Vec<Finding> = self.findings.all().into_iter().cloned().collect();
        // What nothing was measured of keeps the order of severity.
        all.sort_by_key(|one| std::cmp::Reverse((one.hit.severity, one.cost.server_us)));
        all
    }

    /// One line; `None` if it is none of a trail.
    fn line(&mut self, line: &Json) -> Option<()> {
        let text = |name: &str| line[name].as_str();
        let at = calendar::parse_rfc3339(text("at")?)?;
        let done_us =
            u64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_micros()).ok()?;
        let number = |name: &str| line[name].as_u64().unwrap_or_default();
        let event = match text("event")? {
            "statement" => None,
            "login" => Some(Event::Connected {
                secure: line["secure"].as_bool().unwrap_or(true),
                superuser: false,
            }),
            "logout" => Some(Event::Disconnected),
            // Numbers of connections begin anew.
            "opened" => {
                self.conns.clear();
                return Some(());
            }
            "lost" => {
                self.tally.missing += number("lines");
                return Some(());
            }
            "refused" | "login_failed" | "command" | "torn" => return Some(()),
            _ => return None,
        };
        let conn = line["conn"].as_u64()?;
        let subject = Subject {
            database: text("db")?.into(),
            user: text("user")?.into(),
            app: text("app").unwrap_or_default().into(),
            client: text("client").unwrap_or_default().into(),
            ..Subject::default()
        };
        let sent_us = done_us.saturating_sub(number("server_us"));
        self.pass(sent_us);
        let subject = self.subject(conn, subject);
        let executed = event.is_none();
        let event = match event {
            Some(event) => event,
            None => self.executed(conn, line)?,
        };
        if matches!(event, Event::Disconnected) {
            self.conns.remove(&conn);
        }
        let seen = Observation {
            conn,
            subject,
            sent_us,
            done_us,
            event,
        };
        if executed {
            self.tally.statements += 1;
            self.tally.sampled += u64::from(number("sample") > 1);
            self.hits(&seen);
        }
        let mut found = Vec::new();
        self.engine.observe(&seen, &mut found);
        self.detected(&found);
        Some(())
    }

    fn subject(&mut self, conn: u64, subject: Subject) -> Arc<Subject> {
        if self.conns.len() >= MOST_CONNECTIONS && !self.conns.contains_key(&conn) {
            self.conns.clear();
        }
        let known = self.conns.entry(conn).or_insert_with(|| Conn {
            subject: Arc::new(Subject::default()),
            session: SessionView::default(),
        });
        if *known.subject != subject {
            known.subject = Arc::new(subject);
        }
        known.subject.clone()
    }

    fn executed(&mut self, conn: u64, line: &Json) -> Option<Event> {
        let query = line["query"].as_str()?;
        let (text, params) = self.statement(query);
        let looked = self.texts.look(text.as_bytes(), Lexing::default());
        let number = |name: &str| line[name].as_u64().unwrap_or_default();
        let block = match line["tx"].as_str() {
            Some("open") => Block::Open,
            Some("failed") => Block::Failed,
            _ => Block::None,
        };
        let mut values = looked.literals;
        for _ in 0..params {
            self.fresh += 1;
            self.hashing.add(&mut values, self.fresh);
        }
        if let Some(known) = self.conns.get_mut(&conn) {
            known.session.committed(block != Block::None);
        }
        self.requests = self.requests.wrapping_add(1);
        Some(Event::Executed(Execution {
            trouble: None,
            backend: 0,
            known: looked.known(),
            raw: looked.shape ^ looked.literals.all,
            stripped: looked.shape ^ looked.literals.all,
            parsed_now: false,
            params,
            values: Values { ..values },
            rows: number("rows"),
            bytes: number("bytes"),
            error: line["sqlstate"]
                .as_str()
                .and_then(|state| state.as_bytes().try_into().ok()),
            block,
            batch: self.requests,
            fetch: 0,
            wait_us: number("wait_us"),
            trace: 0,
            quiet: None,
            server: None,
            result: Vec::new(),
        }))
    }

    fn statement(&mut self, query: &str) -> (Rc<str>, u16) {
        if let Some((text, params)) = self.statements.get(query) {
            return (text.clone(), *params);
        }
        if self.statements.len() >= MOST_STATEMENTS {
            self.statements.clear();
        }
        let (text, params) = parametrised(query);
        let text: Rc<str> = text.into();
        self.statements.insert(query.into(), (text.clone(), params));
        (text, params)
    }

    /// What the statement hits by itself.
    fn hits(&mut self, seen: &Observation) {
        let Event::Executed(run) = &seen.event else {
            return;
        };
        let mut hits = run.profile.hits.clone();
        if let Some(conn) = self.conns.get_mut(&seen.conn) {
            conn.session.revise(&run.profile, &mut hits);
        }
        let cost = Cost {
            round_trips: 1,
            server_us: seen.done_us.saturating_sub(seen.sent_us),
            gap_us: 0,
            rows: run.rows,
            bytes: run.bytes,
        };
        for hit in hits {
            let one = Seen {
                hit: &hit,
                subject: &seen.subject,
                action: Action::Log,
                shape: run.shape,
                text: &run.text,
                parent: (0, b""),
                scope: seen.conn,
                suppressed: None,
                count: 1,
                cost,
            };
            self.record(&one, seen.done_us);
        }
    }

    fn detected(&mut self, found: &[Detection]) {
        for detection in found {
            let mut seen = Seen::detection(detection, Action::Log);
            let mut hit: Hit = detection.hit.clone();
            // Whether the values differed is not known, if there were any.
            if hit.rule.class == Class::Sequence && detection.text.contains(&b'$') {
                hit.confidence = Confidence::Suspected;
            }
            seen.hit = &hit;
            self.record(&seen, self.now_us);
        }
    }

    fn record(&mut self, seen: &Seen<'_>, at_us: u64) {
        if self.rules.wants(seen.hit) && judged(seen.hit, &seen.subject.app).is_some() {
            let at = SystemTime::UNIX_EPOCH + Duration::from_micros(at_us);
            self.findings.record(seen, at);
        }
    }

    /// Time passes until `to_us`.
    fn pass(&mut self, to_us: u64) {
        let mut found = Vec::new();
        if self.now_us > 0 {
            for _ in 0..(to_us.saturating_sub(self.now_us) / TICK_US).min(MOST_TICKS) {
                self.now_us += TICK_US;
                self.engine.tick(self.now_us, &mut found);
            }
        }
        self.now_us = self.now_us.max(to_us);
        self.detected(&found);
    }
}

/// A normalised text with `$1`, `$2` … in the place of its literals and shortened lists.
fn parametrised(query: &str) -> (String, u16) {
    let mut out = String::with_capacity(query.len() + 8);
    let mut rest = query;
    // Behind those that it has, of whose values nothing is known either.
    let mut last = highest(query);
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            // A name in quotes may hold anything.
            '"' => rest
                .get(1..)
                .and_then(|inner| inner.find('"'))
                .map_or(rest.len(), |at| at + 2),
            '?' if rest.starts_with("??") => {
                out.push('?');
                rest = rest.get(2..).unwrap_or_default();
                continue;
            }
            '?' | '.' if first == '?' || rest.starts_with("...") => {
                last = last.saturating_add(1);
                out.push_str(&format!("${last}"));
                rest = rest
                    .get(if first == '?' { 1 } else { 3 }..)
                    .unwrap_or_default();
                continue;
            }
            _ => first.len_utf8(),
        };
        let (piece, behind) = rest.split_at(taken.min(rest.len()));
        out.push_str(piece);
        rest = behind;
    }
    (out, last)
}

/// The highest number of a parameter.
fn highest(query: &str) -> u16 {
    let numbers = query.split('$').skip(1).filter_map(|part| {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        part.get(..digits)?.parse().ok()
    });
    numbers.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::registry;

    #[test]
    fn placeholders_become_parameters() {
        for (query, expected) in [
            (
                "select a from t where b = ?",
                ("select a from t where b = $1", 1),
            ),
            (
                "select ? where a in (...) and b = $2",
                ("select $3 where a in ($4) and b = $2", 4),
            ),
            (
                "select \"a?\" from t where b ??| array[...]",
                ("select \"a?\" from t where b ?| array[$1]", 1),
            ),
            ("select t.a", ("select t.a", 0)),
            ("select \"é", ("select \"é", 0)),
        ] {
            let (text, params) = parametrised(query);
            assert_eq!((text.as_str(), params), expected);
        }
    }

    fn play(lines: &[String]) -> (Vec<Finding>, Tally) {
        let mut player = Player::new(Chosen {
            rules: registry::all().to_vec(),
            named: false,
        });
        player
            .play(&mut lines.join("\n").as_bytes())
            .expect("in memory");
        (player.end(), player.tally)
    }

    fn statement(second: u32, milli: u32, query: &str, rows: u64) -> String {
        format!(
            r#"{{"event":"statement","query":"{query}","rows":{rows},"bytes":10,"wait_us":0,"server_us":900,"sqlstate":null,"conn":7,"db":"shop","user":"web","app":"till","client":"10.0.0.5","at":"2026-11-26T10:00:{second:02}.{milli:03}000Z","chain":"x"}}"#
        )
    }

    #[test]
    fn a_loop_of_lookups_is_suspected_and_others_are_found() {
        let mut lines = vec![statement(
            1,
            0,
            "select id, author_id from posts limit ?",
            20,
        )];
        for n in 0..20 {
            lines.push(statement(
                1,
                3 + 2 * n,
                "select name from authors where id = ?",
                1,
            ));
        }
        lines.push(statement(9, 0, "delete from carts", 5));
        lines.push("rubbish".to_owned());
        lines.push(r#"{"event":"lost","lines":4,"at":"2026-11-26T10:00:10.000000Z"}"#.to_owned());
        let (found, tally) = play(&lines);
        assert_eq!(
            (tally.lines, tally.statements, tally.unread, tally.missing),
            (24, 22, 1, 4)
        );
        let of = |rule: &str| found.iter().find(|one| one.hit.rule.id == rule);
        let nested = of("n-plus-one").expect("found");
        assert_eq!(nested.hit.confidence, Confidence::Suspected);
        assert!(nested.parent.contains("from posts"), "{}", nested.parent);
        assert!(of("missing-where").is_some());
        assert!(of("repeated-query").is_none(), "the values may differ");
    }
}
