//! The firewall: which statements an application is known to send, and what becomes of others.
//!
//! A [`Profile`] knows statements by the [`identity`] of their shape: the text without literals and
//! comments, with every name in it. What changes a statement's meaning changes its shape, so a
//! condition that was put in or left out, a UNION behind it or a second statement make it another one.
//! Only how long lists are, and how many rows VALUES has, the shape does not tell; a known statement
//! may have as many as it was seen with, rounded up to a power of two.
//!
//! ```text
//! learn ──(learn_for is over)──► detect ──(the operator)──► protect
//! notes what comes               reports what is new        refuses what is new
//! ```
//!
//! Pure: no clock, no file; [`crate::audit::wall`] keeps profiles for sessions.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::facts::Command;
use super::hit::Hit;
use super::profile::Profile as Analysis;
use super::rule::Check;
use crate::rule;

/// Most statements that a profile knows.
pub const MOST_ENTRIES: usize = 20_000;
/// Longest text of a statement that is kept for people, in bytes.
const LONGEST_QUERY: usize = 1024;
/// Unknown statements that are remembered, so that they can be allowed.
const MOST_UNKNOWN: usize = 500;
/// Lists and VALUES of fewer elements are all alike.
const SHORT: u32 = 8;

rule! {
    /// A statement that the firewall's profile does not know came from an application that sends
    /// the same statements all day. It may be new code, or somebody who sends statements of their own
    /// through the application.
    ///
    /// `[[lint.firewall]]` says for whom; see docs/firewall.md.
    pub static FIREWALL = {
        id: "firewall",
        title: "Statement that the firewall does not know",
        number: 0,
        class: Security,
        severity: Critical,
        enforce: Block,
        on: true,
        kinds: [
            ("unknown-shape", "no statement of this shape was learned"),
            ("stretched", "a list is longer, or there are more rows, than was learned"),
            ("unread", "too long to be compared"),
        ],
        examples: [],
        remedy: "If it is a statement of yours, allow its shape on the console: ALLOW '<profile>' '<shape>'.",
        sources: ["https://owasp.org/www-community/attacks/SQL_Injection"],
        check: Check::Catalogue,
    }
}

/// SQLSTATE of a statement that the firewall refuses.
pub const REFUSED: [u8; 5] = *b"QL900";

/// What a profile does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    #[default]
    Off,
    /// It notes what comes.
    Learn,
    /// It reports what it does not know.
    Detect,
    /// It refuses what it does not know.
    Protect,
}

impl Mode {
    /// All of them, by their names.
    pub const ALL: [(&'static str, Mode); 4] = [
        ("off", Mode::Off),
        ("learn", Mode::Learn),
        ("detect", Mode::Detect),
        ("protect", Mode::Protect),
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let mut all = Mode::ALL.into_iter();
        all.find(|(_, mode)| *mode == self)
            .map_or("off", |(name, _)| name)
    }

    /// The mode of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Mode> {
        let mut all = Mode::ALL.into_iter();
        all.find(|(known, _)| *known == name).map(|(_, mode)| mode)
    }
}

/// The number by which a shape is known: half of its SHA-256. The fingerprint of statistics does not
/// do: whoever sends statements could make one that has the fingerprint of another. The sign of a
/// number is part of its value and does not count.
#[must_use]
pub fn identity(shape: &[u8]) -> u128 {
    let digest = ring::digest::digest(&ring::digest::SHA256, &unsigned(shape));
    let half = digest.as_ref().first_chunk::<16>();
    half.map_or(0, |half| u128::from_be_bytes(*half))
}

/// A shape without the signs of its numbers: `a = - ?` is `a = ?`, but `a - ?` stays.
fn unsigned(shape: &[u8]) -> Cow<'_, [u8]> {
    if !shape.iter().any(|byte| matches!(byte, b'-' | b'+')) {
        return Cow::Borrowed(shape);
    }
    let mut out = Vec::with_capacity(shape.len());
    for (at, &byte) in shape.iter().enumerate() {
        let signs = matches!(byte, b'-' | b'+')
            && shape
                .get(at + 1..)
                .unwrap_or_default()
                .trim_ascii_start()
                .first()
                == Some(&b'?');
        if signs && begins_value(out.trim_ascii_end()) {
            continue;
        }
        // The blank behind a sign goes with it.
        let after_sign = byte == b' ' && out.last() == Some(&b' ') && at > 0;
        if !after_sign {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

/// Whether a value begins behind this, so that a sign there is no operator between two values.
fn begins_value(before: &[u8]) -> bool {
    const WORDS: [&[u8]; 14] = [
        b"select",
        b"where",
        b"and",
        b"or",
        b"not",
        b"between",
        b"limit",
        b"offset",
        b"then",
        b"else",
        b"when",
        b"return",
        b"returning",
        b"set",
    ];
    let word = (before.iter().rev())
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count();
    match before.last() {
        Some(b'=' | b'<' | b'>' | b'(' | b',' | b'[' | b'*' | b'/' | b'%') => true,
        _ => WORDS.contains(
            &before
                .get(before.len() - word..)
                .unwrap_or_default()
                .to_ascii_lowercase()
                .as_slice(),
        ),
    }
}

/// What of an execution is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// [`identity`] of its shape.
    pub shape: u128,
    /// Elements of its longest list.
    pub longest_list: u32,
    /// Its rows of VALUES.
    pub rows: u32,
    /// All of the text was looked at.
    pub whole: bool,
    /// It only controls a transaction: always allowed.
    pub control: bool,
    /// It may be learned without being asked: one statement that the parser knows, no schema change,
    /// and nothing that hides what it does.
    pub learnable: bool,
}

impl Statement {
    /// Of a text with this analysis.
    #[must_use]
    pub fn new(
        analysis: &Analysis,
        shape: u128,
        longest_list: u32,
        rows: u32,
        whole: bool,
    ) -> Self {
        use Command::{Begin, Commit, Ddl, Other, Rollback, Savepoint};
        let control = [Begin, Commit, Rollback, Savepoint];
        Self {
            shape,
            longest_list,
            rows,
            whole,
            // A text without a statement does nothing either.
            control: (analysis.facts.iter()).all(|facts| control.contains(&facts.command)),
            // What the parser could not read is one statement of another kind.
            learnable: match &analysis.facts[..] {
                [one] => analysis.opaque == 0 && !matches!(one.command, Ddl | Other),
                _ => false,
            },
        }
    }
}

/// What the firewall thinks of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Pass,
    /// Nothing like it was learned.
    Unknown,
    /// A known one with longer lists or more rows.
    Stretched,
    /// Too long to be compared.
    Unread,
}

impl Verdict {
    /// The finding about it, if it is one.
    #[must_use]
    pub fn hit(self, profile: &str, shape: u128) -> Option<Hit> {
        let (kind, what) = match self {
            Verdict::Pass => return None,
            Verdict::Unknown => ("unknown-shape", "knows no statement of this shape"),
            Verdict::Stretched => ("stretched", "knows this statement with shorter lists only"),
            Verdict::Unread => ("unread", "cannot compare a statement of this length"),
        };
        let message = format!("The firewall's profile {profile} {what}.");
        let hit = Hit::new(&FIREWALL, kind, message)
            .object(profile.to_owned())
            .evidence("shape", format!("{shape:032x}").as_str());
        Some(hit)
    }
}

/// A statement that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its shape, for people.
    pub query: Box<str>,
    /// Elements that its longest list may have.
    pub list: u32,
    /// Rows of VALUES that it may have.
    pub rows: u32,
    /// Seconds since 1970 of its first coming.
    pub first: u64,
    /// How often it came.
    pub count: u64,
}

/// Counters of a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Statements that it did not know.
    pub unknown: u64,
    /// Known ones that were stretched.
    pub stretched: u64,
    /// Statements that were refused.
    pub refused: u64,
    /// Statements that there was no room to learn.
    pub no_room: u64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// What it does.
    pub mode: Mode,
    /// Since when it learns, in seconds since 1970; 0: it has not begun.
    pub since: u64,
    /// How long it learns, in seconds; 0: until it is told otherwise.
    pub learn_for: u64,
    /// Counters.
    pub counts: Counts,
    entries: HashMap<u128, Entry, foldhash::fast::RandomState>,
    unknown: VecDeque<(u128, Entry)>,
    dirty: bool,
}

fn class(elements: u32) -> u32 {
    elements.max(SHORT).next_power_of_two()
}

impl Profile {
    /// Looks at a statement that came at `now`, in seconds since 1970. `query` is its shape for
    /// people, asked for if the statement is new.
    pub fn see(&mut self, one: Statement, now: u64, query: impl FnOnce() -> String) -> Verdict {
        if self.since == 0 {
            self.since = now;
            self.dirty = true;
        }
        if self.mode == Mode::Learn
            && self.learn_for > 0
            && now >= self.since.saturating_add(self.learn_for)
        {
            self.mode = Mode::Detect;
        }
        if self.mode == Mode::Off || one.control {
            return Verdict::Pass;
        }
        if !one.whole {
            return match self.mode {
                Mode::Learn => Verdict::Pass,
                _ => self.refuse(Verdict::Unread),
            };
        }
        if let Some(entry) = self.entries.get_mut(&one.shape) {
            let fits = one.longest_list <= entry.list && one.rows <= entry.rows;
            if fits || self.mode == Mode::Learn {
                entry.count += 1;
                if !fits {
                    entry.list = entry.list.max(class(one.longest_list));
                    entry.rows = entry.rows.max(class(one.rows));
                    self.dirty = true;
                }
                return Verdict::Pass;
            }
            let (list, rows) = (entry.list, entry.rows);
            let longer = Entry {
                list: list.max(class(one.longest_list)),
                rows: rows.max(class(one.rows)),
                ..entry.clone()
            };
            self.remember(one.shape, longer);
            return self.refuse(Verdict::Stretched);
        }
        let entry = |query: String| Entry {
            query: clip(&query).into(),
            list: class(one.longest_list),
            rows: class(one.rows),
            first: now,
            count: 1,
        };
        if self.mode == Mode::Learn {
            if !one.learnable {
                return Verdict::Pass;
            }
            if self.entries.len() >= MOST_ENTRIES {
                self.counts.no_room += 1;
                return Verdict::Pass;
            }
            self.entries.insert(one.shape, entry(query()));
            self.dirty = true;
            return Verdict::Pass;
        }
        let known = self.unknown.iter().find(|(shape, _)| *shape == one.shape);
        let entry = match known {
            Some((_, known)) => Entry {
                list: known.list.max(class(one.longest_list)),
                rows: known.rows.max(class(one.rows)),
                count: known.count + 1,
                ..known.clone()
            },
            None => entry(query()),
        };
        self.remember(one.shape, entry);
        self.refuse(Verdict::Unknown)
    }

    /// Keeps what was not known, the latest last, so that it can be allowed.
    fn remember(&mut self, shape: u128, entry: Entry) {
        self.unknown.retain(|(known, _)| *known != shape);
        if self.unknown.len() >= MOST_UNKNOWN {
            self.unknown.pop_front();
        }
        self.unknown.push_back((shape, entry));
    }

    fn refuse(&mut self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Stretched => self.counts.stretched += 1,
            _ => self.counts.unknown += 1,
        }
        self.counts.refused += u64::from(self.mode == Mode::Protect);
        verdict
    }

    /// Allows a statement that was seen and not known, or was longer than known. `false` if none of this shape was.
    pub fn allow(&mut self, shape: u128) -> bool {
        let Some(at) = self.unknown.iter().position(|(known, _)| *known == shape) else {
            return false;
        };
        if self.entries.len() >= MOST_ENTRIES && !self.entries.contains_key(&shape) {
            return false;
        }
        if let Some((shape, entry)) = self.unknown.remove(at) {
            self.entries.insert(shape, entry);
            self.dirty = true;
        }
        true
    }

    /// What it knows, those that came most often first.
    #[must_use]
    pub fn entries(&self) -> Vec<(u128, &Entry)> {
        let mut all: Vec<_> = (self.entries.iter())
            .map(|(shape, e)| (*shape, e))
            .collect();
        all.sort_by_key(|(shape, entry)| (std::cmp::Reverse(entry.count), *shape));
        all
    }

    /// What it saw and does not know, the last one first.
    pub fn unknown(&self) -> impl Iterator<Item = (u128, &Entry)> {
        self.unknown
            .iter()
            .rev()
            .map(|(shape, entry)| (*shape, entry))
    }

    /// Its file, if that has changed since the last time.
    pub fn take_changed(&mut self) -> Option<String> {
        std::mem::take(&mut self.dirty).then(|| self.write())
    }

    /// The file could not be written.
    pub fn not_written(&mut self) {
        self.dirty = true;
    }

    /// Its file: a line for the profile, then one for each statement, in the order of shapes, so
    /// that two files can be compared.
    #[must_use]
    pub fn write(&self) -> String {
        let mut out = json!({"firewall": 2, "since": self.since}).to_string();
        out.push('\n');
        let mut shapes: Vec<_> = self.entries.iter().collect();
        shapes.sort_by_key(|(shape, _)| **shape);
        for (shape, entry) in shapes {
            let line = json!({
                "shape": format!("{shape:032x}"),
                "list": entry.list,
                "rows": entry.rows,
                "first": entry.first,
                "count": entry.count,
                "query": entry.query,
            });
            out.push_str(&line.to_string());
            out.push('\n');
        }
        out
    }

    /// Takes what a file says.
    ///
    /// # Errors
    /// The line, from 1, and what is wrong with it. Nothing has changed then.
    pub fn read(&mut self, text: &str) -> Result<(), (usize, String)> {
        if text.is_empty() {
            // Taken for a list without statements it would have everything refused.
            return Err((
                1,
                "the file is empty; remove it to begin a new list".to_owned(),
            ));
        }
        let mut entries = HashMap::default();
        let mut since = 0;
        for (at, line) in text.lines().enumerate() {
            let wrong = |what: &str| (at + 1, what.to_owned());
            let value: Value = serde_json::from_str(line).map_err(|e| wrong(&e.to_string()))?;
            let number = |key: &str| value.get(key).and_then(Value::as_u64);
            if at == 0 {
                if number("firewall") != Some(2) {
                    return Err(wrong("is not the beginning of a firewall's list"));
                }
                since = number("since").ok_or(wrong("since is no number"))?;
                continue;
            }
            let small = |key: &str| number(key).and_then(|n| u32::try_from(n).ok());
            let shape = (value.get("shape").and_then(Value::as_str))
                .filter(|shape| shape.len() == 32)
                .and_then(|shape| u128::from_str_radix(shape, 16).ok())
                .ok_or(wrong("shape is not 32 hexadecimal digits"))?;
            let entry = Entry {
                query: (value.get("query").and_then(Value::as_str))
                    .ok_or(wrong("query is no text"))?
                    .into(),
                list: small("list").ok_or(wrong("list is no number"))?,
                rows: small("rows").ok_or(wrong("rows is no number"))?,
                first: number("first").ok_or(wrong("first is no number"))?,
                count: number("count").ok_or(wrong("count is no number"))?,
            };
            if entries.len() >= MOST_ENTRIES {
                return Err(wrong("is one statement too many; a list has 20000 at most"));
            }
            if entries.insert(shape, entry).is_some() {
                return Err(wrong("shape is there twice"));
            }
        }
        self.entries = entries;
        self.since = since;
        self.dirty = false;
        Ok(())
    }
}

fn clip(query: &str) -> &str {
    let end = (0..=LONGEST_QUERY.min(query.len()))
        .rev()
        .find(|&end| query.is_char_boundary(end));
    query.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
