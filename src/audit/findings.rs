//! What the rules found, deduplicated: one finding for each rule, kind, database, shape, parent or
//! object, and application.
//!
//! The table is bounded; when it is full the finding that was seen the longest time ago makes room,
//! which is counted. A finding holds no literal of any statement.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

pub use super::finding::Cost;
use super::finding::{Finding, Identity};
use super::tally::Tally;
use crate::lint::hit::Hit;
use crate::lint::observe::{Detection, Subject};
use crate::lint::rule::{Action, Confidence, Severity};

/// Longest reason of an acknowledgement, in characters.
const LONGEST_REASON: usize = 500;
/// Lines about one rule, and about all, in a minute.
const LINES: (u32, u32) = (10, 100);

/// A hit to record.
pub struct Seen<'a> {
    /// The hit.
    pub hit: &'a Hit,
    /// Whose.
    pub subject: &'a Subject,
    /// What is done about it.
    pub action: Action,
    /// Shape of the statement.
    pub shape: u64,
    /// A text of that shape.
    pub text: &'a [u8],
    /// Shape and text of the parent, if it has one.
    pub parent: (u64, &'a [u8]),
    /// The request it was seen in: a trace, or a connection.
    pub scope: u64,
    /// A comment keeps the rule silent about this statement, for this reason.
    pub suppressed: Option<&'a str>,
    /// How often; 0 if the last time goes on.
    pub count: u64,
    /// What it cost.
    pub cost: Cost,
}

impl<'a> Seen<'a> {
    /// What the engine detected.
    #[must_use]
    pub fn detection(found: &'a Detection, action: Action) -> Self {
        Seen {
            hit: &found.hit,
            subject: &found.subject,
            action,
            shape: found.shape,
            text: &found.text,
            parent: (found.parent, &found.parent_text),
            scope: found.conn,
            suppressed: None,
            count: u64::from(!found.again),
            cost: Cost {
                round_trips: found.round_trips,
                server_us: found.server_us,
                gap_us: found.gap_us,
                rows: found.rows,
                bytes: found.bytes,
            },
        }
    }
}

impl Seen<'_> {
    /// The name of its finding.
    #[must_use]
    pub fn id(&self) -> Box<str> {
        let of = Identity {
            database: &self.subject.database,
            app: &self.subject.app,
            object: self.hit.object.as_deref(),
            shape: self.shape,
            parent: self.parent.0,
        };
        super::finding::id(self.hit.rule, self.hit.kind, &of)
    }
}

/// See the module.
pub struct Findings {
    map: HashMap<u64, Finding, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    max: usize,
    /// What was counted, for metrics.
    pub tally: Tally,
    evicted: u64,
    blocked: u64,
    /// Log lines of this minute: its beginning, all, and by rule.
    lines: (SystemTime, u32, HashMap<u8, u32>),
    /// Lines that were held back.
    held_back: u64,
    /// Grows with everything that changes.
    revision: u64,
    /// What it was when somebody gave a command.
    commanded: u64,
}

impl Findings {
    /// Keeps at most `max` findings.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Findings {
            map: HashMap::default(),
            hasher: foldhash::fast::RandomState::default(),
            max: max.max(1),
            tally: Tally::default(),
            evicted: 0,
            blocked: 0,
            lines: (SystemTime::UNIX_EPOCH, 0, HashMap::new()),
            held_back: 0,
            revision: 0,
            commanded: 0,
        }
    }

    /// Records a hit. The finding, if a line about it is due: at the 1st, 10th, 100th… time, when
    /// it became worse or surer, and once an hour.
    pub fn record(&mut self, seen: &Seen<'_>, now: SystemTime) -> Option<&Finding> {
        self.tally.add(seen);
        self.revision += 1;
        let key = self.key(seen.hit, seen.subject, seen.shape, seen.parent.0);
        self.blocked += u64::from(seen.action == Action::Block);
        if !self.map.contains_key(&key) {
            if self.map.len() >= self.max {
                self.evict();
            }
            self.map.insert(key, Finding::new(seen, now));
        }
        let finding = self.map.get_mut(&key)?;
        if !(finding.add(seen, now)) {
            return None;
        }
        let (since, all, by_rule) = &mut self.lines;
        if now.duration_since(*since).unwrap_or_default() >= Duration::from_secs(60) {
            (*since, *all) = (now, 0);
            by_rule.clear();
        }
        let of_rule = by_rule.entry(finding.hit.rule.number).or_default();
        if *of_rule >= LINES.0 || *all >= LINES.1 {
            self.held_back += 1;
            return None;
        }
        *of_rule += 1;
        *all += 1;
        finding.logged = now;
        Some(finding)
    }

    /// Under which a finding is kept in this process.
    fn key(&self, hit: &Hit, subject: &Subject, shape: u64, parent: u64) -> u64 {
        use std::hash::BuildHasher;
        self.hasher.hash_one((
            hit.rule.number,
            hit.kind,
            &subject.database,
            &subject.app,
            shape,
            parent,
            &hit.object,
        ))
    }

    /// Takes up a finding of a process before this one. `false` if there is no room.
    pub fn restore(&mut self, finding: Finding) -> bool {
        if self.map.len() >= self.max {
            return false;
        }
        let (shape, parent) = (finding.shape, finding.parent_shape);
        let key = self.key(&finding.hit, &finding.subject, shape, parent);
        self.map.insert(key, finding);
        true
    }

    /// A number that grows with everything that changes, and what it was after the last ACK or RESET.
    #[must_use]
    pub fn revision(&self) -> (u64, u64) {
        (self.revision, self.commanded)
    }

    /// A command changed something.
    fn command(&mut self) {
        self.revision += 1;
        self.commanded = self.revision;
    }

    /// Forgets the tenth that was seen the longest time ago.
    fn evict(&mut self) {
        let mut seen: Vec<SystemTime> = self.map.values().map(|f| f.last).collect();
        let at = seen.len() / 10;
        let (_, oldest, _) = seen.select_nth_unstable(at);
        let (oldest, before) = (*oldest, self.map.len());
        self.map.retain(|_, finding| finding.last > oldest);
        self.evicted += (before - self.map.len()) as u64;
    }

    /// All findings, the worst and most frequent first.
    #[must_use]
    pub fn all(&self) -> Vec<&Finding> {
        let mut all: Vec<&Finding> = self.map.values().collect();
        all.sort_by(|a, b| {
            let rank = |f: &Finding| (f.hit.severity, f.cost.round_trips, f.count);
            rank(b).cmp(&rank(a)).then_with(|| a.id.cmp(&b.id))
        });
        all
    }

    /// The finding of this name.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Finding> {
        self.map.values().find(|finding| *finding.id == *id)
    }

    /// Somebody knows of a finding: nothing is logged about it until then. `false` if there is no
    /// such finding.
    pub fn acknowledge(&mut self, id: &str, until: SystemTime, reason: &str) -> bool {
        let found = self.map.values_mut().find(|finding| *finding.id == *id);
        let Some(finding) = found else {
            return false;
        };
        let reason = reason.chars().take(LONGEST_REASON).collect::<String>();
        finding.acknowledged = Some((until, reason.into()));
        self.command();
        true
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.map.clear();
        self.command();
    }

    /// Findings that made room, hits that refused a statement, log lines held back.
    #[must_use]
    pub fn counters(&self) -> (u64, u64, u64) {
        (self.evicted, self.blocked, self.held_back)
    }
}

/// Whether a hit is recorded of an application at all, and how bad it is there: what dumps and
/// restores do is meant, and whoever types into psql looks at what comes back.
#[must_use]
pub fn judged(hit: &Hit, app: &str) -> Option<Severity> {
    use crate::lint::rule::Class;
    match app {
        "pg_dump" | "pg_dumpall" | "pg_restore" | "pg_basebackup"
            if hit.rule.class != Class::Security =>
        {
            None
        }
        "psql" if hit.rule.class == Class::Shape => Some(Severity::Info),
        _ => Some(hit.severity),
    }
}

/// Records a hit and writes the log line about its finding, if one is due.
pub fn announce(findings: &parking_lot::Mutex<Findings>, seen: &Seen<'_>) {
    let mut findings = findings.lock();
    let Some(finding) = findings.record(seen, SystemTime::now()) else {
        return;
    };
    let json = finding.json();
    let (rule, message) = (finding.hit.rule.id, &finding.hit.message);
    match finding.hit.severity {
        Severity::Info => tracing::info!(target: "finding", %json, "{rule}: {message}"),
        _ => tracing::warn!(target: "finding", %json, "{rule}: {message}"),
    }
}

/// Whether a finding may be told to a client.
#[must_use]
pub fn may_tell(hit: &Hit) -> bool {
    hit.confidence >= Confidence::Likely
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::lint::rules::filter::MISSING_WHERE;

    fn record(findings: &mut Findings, app: &str, text: &str, at: u64) -> Option<Json> {
        let hit = Hit::new(
            &MISSING_WHERE,
            "delete",
            "This DELETE touches every row of t.",
        )
        .object("t")
        .suggest_sql("DELETE FROM");
        let subject = Subject {
            app: app.into(),
            ..Subject::default()
        };
        let seen = Seen {
            hit: &hit,
            subject: &subject,
            action: Action::Log,
            shape: 7,
            text: text.as_bytes(),
            parent: (0, b""),
            scope: 1,
            suppressed: None,
            count: 1,
            cost: Cost::default(),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        findings.record(&seen, now).map(Finding::json)
    }

    #[test]
    fn a_finding_is_logged_at_powers_of_ten_and_each_hour() {
        let mut findings = Findings::new(10);
        let logged: Vec<u64> = (1..=120)
            .filter(|_| record(&mut findings, "till", "DELETE FROM t", 100).is_some())
            .collect();
        assert_eq!(logged, [1, 10, 100]);
        assert!(record(&mut findings, "till", "DELETE FROM t", 3699).is_none());
        let line = record(&mut findings, "till", "DELETE FROM t", 3700).expect("an hour later");
        assert_eq!(line["count"], 122);
    }

    #[test]
    fn a_finding_has_no_literals_and_no_advice_that_does_not_parse() {
        let mut findings = Findings::new(10);
        let text = "DELETE FROM t RETURNING 'secret'";
        let json = record(&mut findings, "till", text, 1).expect("new");
        assert!(!json.to_string().contains("secret"), "{json}");
        assert_eq!(json["suggestion"]["sql"], Json::Null);
        let other = record(&mut Findings::new(10), "till", text, 9).expect("new");
        assert_eq!(json["id"], other["id"]);
        let elsewhere = record(&mut findings, "web", text, 9).expect("new");
        assert_ne!(json["id"], elsewhere["id"]);
    }

    #[test]
    fn nothing_is_logged_about_what_somebody_knows_of() {
        let mut findings = Findings::new(10);
        let json = record(&mut findings, "till", "DELETE FROM t", 1).expect("new");
        let id = json["id"].as_str().expect("text").to_owned();
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert!(findings.acknowledge(&id, until, "a purge"));
        assert!(!findings.acknowledge("another", until, ""));
        let logged = |findings: &mut Findings, at| {
            (0..20)
                .filter(|_| record(findings, "till", "DELETE FROM t", at).is_some())
                .count()
        };
        assert_eq!(logged(&mut findings, 50), 0);
        assert_eq!(logged(&mut findings, 3700), 1, "hourly again");
        let finding = findings.find(&id).expect("there");
        let after = |days: u64| finding.last + Duration::from_secs(days * 86_400);
        assert_eq!(finding.status(after(6)), "open");
        assert_eq!(finding.status(after(7)), "resolved");
    }

    #[test]
    fn a_run_that_goes_on_counts_once() {
        let mut findings = Findings::new(10);
        let subject = Subject::default();
        let mut tell = |count, trips, message: &str| {
            let hit = Hit::new(&MISSING_WHERE, "delete", message);
            let seen = Seen {
                hit: &hit,
                subject: &subject,
                action: Action::Log,
                shape: 7,
                text: b"DELETE FROM t",
                parent: (0, b""),
                scope: 1,
                suppressed: None,
                count,
                cost: Cost {
                    round_trips: trips,
                    ..Cost::default()
                },
            };
            findings.record(&seen, SystemTime::UNIX_EPOCH);
        };
        tell(1, 4, "5 executions");
        tell(0, 15, "20 executions");
        let all = findings.all();
        assert_eq!((all[0].count, all[0].cost.round_trips), (1, 19));
        assert_eq!(&*all[0].hit.message, "20 executions");
    }

    #[test]
    fn the_log_and_the_table_are_bounded() {
        let mut findings = Findings::new(50);
        let logged = (0..200)
            .filter(|n| record(&mut findings, &format!("app{n}"), "DELETE FROM t", *n).is_some())
            .count();
        assert!(logged <= 4 * 10 + 10, "{logged}");
        assert!(findings.all().len() <= 50);
        let (evicted, _, held_back) = findings.counters();
        assert!(evicted >= 150 && held_back > 0);
    }
}
