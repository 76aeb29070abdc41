//! What a worker remembers about texts for the rules: by exact text, and by shape.
//!
//! A text is parsed once per shape. A text whose bytes are those of a known one except for its literals
//! costs a glance ([`skeleton`]). A text that differs from a known one only in literals, comments
//! and white space costs a pass of the lexer, and of the rules only those that asked for the value
//! of a literal look again ([`Profile::checks`]); only if one of them looked in a way that no check
//! describes ([`Profile::sensitive`]) is the text parsed anew.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use super::comment;
use super::firewall;
use super::hashing::Hashing;
use super::hit::Hit;
use super::inspect::Skipped;
use super::judge;
use super::known::{Known, Said, Suppressed};
use super::observe::Values;
use super::profile::{From, Profile};
use super::session::Silencing;
use super::thresholds::Thresholds;
use crate::sql::skeleton::{self, Holes, Skeleton};
use crate::sql::{self, Lexing, Reading};

/// Longest text that is kept by exact text.
const MAX_STORED: usize = 8 * 1024;
/// What an entry costs beyond its text, roughly, in bytes.
const OVERHEAD: usize = 400;
/// Bits of the doorkeeper.
const DOOR_BITS: usize = 16 * 1024;

/// How many templates are tried before the literals of a text are looked for.
const RECENT: usize = 64;
/// Bytes of a text that say which.
const FRONT: usize = 24;

/// A text, looked at.
#[derive(Debug)]
pub struct Looked {
    /// The text, if it is kept; empty for one that is not.
    kept: Box<[u8]>,
    /// Hash of the text.
    pub raw: u64,
    /// Hashes of its literals.
    pub literals: Values,
    /// The rules that the text hits, as far as bound values and the session do not decide.
    hits: Option<Arc<[Hit]>>,
    known: Arc<Known>,
}

impl std::ops::Deref for Looked {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

impl Looked {
    /// What is known of it whatever its literals.
    #[must_use]
    pub fn known(&self) -> Arc<Known> {
        self.known.clone()
    }

    /// The rules that the text hits, as far as bound values and the session do not decide.
    #[must_use]
    pub fn hits(&self) -> &[Hit] {
        self.hits.as_deref().unwrap_or_default()
    }

    /// The same to keep; `None` for none.
    #[must_use]
    pub fn shared_hits(&self) -> Option<Arc<[Hit]>> {
        self.hits.clone()
    }

    /// Whether it is this text. `false` for one that was not kept.
    #[must_use]
    pub fn is(&self, text: &[u8]) -> bool {
        !self.kept.is_empty() && *self.kept == *text
    }
}

/// A text of which others are known by their holes.
struct Template {
    skeleton: Skeleton,
    /// Which of its holes are question marks in the shape.
    kept: Box<[u16]>,
    looked: Rc<Looked>,
    /// Some check looks at a literal.
    checks: bool,
}

fn shared(hits: Vec<Hit>) -> Option<Arc<[Hit]>> {
    (!hits.is_empty()).then(|| hits.into())
}

#[derive(Clone)]
struct Shape {
    profile: Arc<Profile>,
    sample: Arc<[u8]>,
    columns: Option<Arc<[Box<str>]>>,
}

/// Names of the columns of a text's result.
fn columns(profile: &Profile) -> Option<Arc<[Box<str>]>> {
    let [facts] = &profile.facts[..] else {
        return None;
    };
    let names = facts.outputs.iter().map(|output| match &*output.column {
        "" => output.name.clone(),
        column => column.into(),
    });
    (!facts.outputs.is_empty()).then(|| names.collect())
}

/// What a [`Texts`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextStats {
    /// Texts that were known.
    pub hits: u64,
    /// Texts of a known shape.
    pub shape_hits: u64,
    /// Texts that were parsed.
    pub parses: u64,
    /// Texts that the parser did not accept.
    pub not_parsed: u64,
    /// Texts that were too long to be parsed.
    pub too_large: u64,
    /// Texts with a statement of which nothing can be said: DO, CALL, EXECUTE.
    pub opaque: u64,
    /// Times that a table was emptied because it was full.
    pub emptied: u64,
}

impl TextStats {
    /// Adds another's.
    pub fn add(&mut self, more: &Self) {
        self.hits += more.hits;
        self.shape_hits += more.shape_hits;
        self.parses += more.parses;
        self.not_parsed += more.not_parsed;
        self.too_large += more.too_large;
        self.opaque += more.opaque;
        self.emptied += more.emptied;
    }
}

/// See the module.
pub struct Texts {
    exact: HashMap<u64, Rc<Looked>, foldhash::fast::RandomState>,
    templates: HashMap<u64, Template, foldhash::fast::RandomState>,
    shapes: HashMap<u64, Shape, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    hashing: Hashing,
    /// Templates that were of use last, by the front of the texts.
    recent: Box<[u64; RECENT]>,
    /// Where the literals of the text at hand are.
    holes: Holes,
    door: Box<[u64; DOOR_BITS / 64]>,
    door_set: u32,
    bytes: usize,
    max_bytes: usize,
    identify: bool,
    /// Whether comments may silence rules.
    pub inline_suppress: bool,
    /// Whether comments may silence rules about security that they name.
    pub suppress_security: bool,
    thresholds: Thresholds,
    /// Counters.
    pub stats: TextStats,
}

impl Texts {
    /// Remembers texts and shapes in about `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: usize, hashing: Hashing) -> Self {
        Texts {
            exact: HashMap::default(),
            templates: HashMap::default(),
            recent: Box::new([0; RECENT]),
            holes: Holes::default(),
            shapes: HashMap::default(),
            hasher: foldhash::fast::RandomState::default(),
            hashing,
            door: Box::new([0; DOOR_BITS / 64]),
            door_set: 0,
            bytes: 0,
            max_bytes,
            identify: false,
            inline_suppress: true,
            suppress_security: false,
            thresholds: Thresholds::default(),
            stats: TextStats::default(),
        }
    }

    /// Judges by these numbers from now on. If they are others than before, what is known of texts
    /// is forgotten; a statement that a client has prepared already keeps what was found then.
    pub fn judge_by(&mut self, thresholds: &Thresholds) {
        if self.thresholds != *thresholds {
            self.thresholds = *thresholds;
            self.forget();
        }
    }

    /// What sessions may silence by `SET lint.ignore`.
    #[must_use]
    pub fn may_silence(&self) -> Silencing {
        match (self.inline_suppress, self.suppress_security) {
            (false, _) => Silencing::Nothing,
            (true, false) => Silencing::Rules,
            (true, true) => Silencing::Security,
        }
    }

    /// Whether a firewall asks for the identity of shapes, which costs more than all else of a text.
    pub fn identify(&mut self, identify: bool) {
        if identify && !self.identify {
            self.forget();
        }
        self.identify = identify;
    }

    /// How values are hashed.
    #[must_use]
    pub fn hashing(&self) -> &Hashing {
        &self.hashing
    }

    /// What is known of a text.
    pub fn look(&mut self, text: &[u8], lexing: Lexing) -> Rc<Looked> {
        let raw = self.hasher.hash_one(text);
        if let Some(known) = self.exact.get(&raw)
            && *known.kept == *text
        {
            self.stats.hits += 1;
            return known.clone();
        }
        self.other_values(text, raw, lexing)
    }

    /// A text that is not known as it is: perhaps one is that differs in its literals only.
    #[inline(never)]
    fn other_values(&mut self, text: &[u8], raw: u64, lexing: Lexing) -> Rc<Looked> {
        let mut holes = std::mem::take(&mut self.holes);
        let may_have = text.len() <= MAX_STORED && lexing == Lexing::default();
        let looked = match may_have {
            true => self.as_before(text, raw, &mut holes),
            false => None,
        };
        let looked = looked.unwrap_or_else(|| {
            let found = may_have && holes.find(text).is_some() && !holes.places().is_empty();
            let hash = found.then(|| skeleton::hash(text, &holes, &self.hasher));
            let found = hash.map(|hash| (hash, &holes));
            match found.and_then(|found| self.of_template(text, raw, found)) {
                Some(known) => known,
                None => self.anew(text, raw, lexing, found),
            }
        });
        self.holes = holes;
        looked
    }

    /// Which of the recent templates a text may be of.
    fn slot(&self, text: &[u8]) -> usize {
        let front = text.get(..FRONT).unwrap_or(text);
        self.hasher.hash_one(front) as usize % RECENT
    }

    /// A text of the template that the last one with this front was of.
    fn as_before(&mut self, text: &[u8], raw: u64, holes: &mut Holes) -> Option<Rc<Looked>> {
        let hash = *self.recent.get(self.slot(text))?;
        let template = self.templates.get(&hash)?;
        match template.skeleton.is_around(text, holes) {
            true => self.filled(text, raw, hash, holes),
            false => None,
        }
    }

    /// A text of a known template.
    fn of_template(
        &mut self,
        text: &[u8],
        raw: u64,
        (hash, holes): (u64, &Holes),
    ) -> Option<Rc<Looked>> {
        if !(self.templates.get(&hash)?.skeleton).fits(text, holes) {
            return None;
        }
        let slot = self.slot(text);
        if let Some(recent) = self.recent.get_mut(slot) {
            *recent = hash;
        }
        self.filled(text, raw, hash, holes)
    }

    /// The template with the literals of a text that it fits.
    fn filled(&mut self, text: &[u8], raw: u64, hash: u64, holes: &Holes) -> Option<Rc<Looked>> {
        let template = self.templates.get(&hash)?;
        let known = &template.looked.known;
        let literals = template
            .kept
            .iter()
            .filter_map(|&at| holes.places().get(usize::from(at)));
        let read = Reading {
            literals: match template.checks {
                true => literals.clone().copied().collect(),
                false => Vec::new(),
            },
            longest_list: known.longest_list,
            ..Reading::default()
        };
        let values = literals.filter_map(|hole| text.get(hole.0 as usize..hole.1 as usize));
        let mut literals = self
            .hashing
            .values(values.map(|value| self.hashing.literal(value)));
        if known.longest_list > 0 || known.value_rows > 1 {
            literals.all ^= raw;
        }
        let hits = match template.checks {
            true => shared(judge::hits(&known.profile, text, &read, &[])),
            false => template.looked.hits.clone(),
        };
        self.stats.shape_hits += 1;
        let known = Arc::clone(known);
        let keep = self.seen_before(raw);
        if keep {
            self.make_room(text.len() + OVERHEAD);
        }
        let looked = Rc::new(Looked {
            kept: if keep { text.into() } else { Box::default() },
            raw,
            literals,
            hits,
            known,
        });
        if keep {
            self.exact.insert(raw, looked.clone());
        }
        Some(looked)
    }

    /// Makes a template of a text, once another one with its holes has been seen.
    fn remember(
        &mut self,
        text: &[u8],
        reading: &Reading,
        looked: &Rc<Looked>,
        (hash, holes): (u64, &Holes),
    ) {
        if looked.profile.sensitive || looked.said.suppressed.is_some() || !self.seen_before(hash) {
            return;
        }
        let kept: Option<Box<[u16]>> = (reading.literals.iter())
            .map(|one| Some(holes.places().iter().position(|hole| hole == one)? as u16))
            .collect();
        let (Some(kept), Some(skeleton)) = (kept, Skeleton::new(text, holes)) else {
            return;
        };
        self.make_room(skeleton.memory() + OVERHEAD);
        let checks = (looked.profile.checks.iter()).any(|c| matches!(c.from, From::Literal(_)));
        let template = Template {
            skeleton,
            kept,
            looked: Rc::clone(looked),
            checks,
        };
        self.templates.insert(hash, template);
    }

    #[inline(never)]
    fn anew(
        &mut self,
        text: &[u8],
        raw: u64,
        lexing: Lexing,
        holes: Option<(u64, &Holes)>,
    ) -> Rc<Looked> {
        let reading = sql::read(text, lexing);
        let key = self.hasher.hash_one(&reading.shape);
        let comments = comment::read(text, lexing);
        let known = self.shapes.get(&key).cloned();
        let shape = match known {
            Some(shape) if !shape.profile.sensitive => {
                self.stats.shape_hits += 1;
                shape
            }
            known => {
                let profile = self.parse(text, &reading);
                let columns = columns(&profile);
                let profile = Arc::new(profile);
                match known {
                    Some(known) => Shape { profile, ..known },
                    None => {
                        let sample: Arc<[u8]> = text.get(..MAX_STORED).unwrap_or(text).into();
                        self.make_room(sample.len() + OVERHEAD);
                        let shape = Shape {
                            profile,
                            sample,
                            columns,
                        };
                        // A text that is too long says nothing of shorter ones of its shape.
                        if text.len() <= self.thresholds.statement_bytes {
                            self.shapes.insert(key, shape.clone());
                        }
                        shape
                    }
                }
            }
        };
        let Shape {
            profile,
            sample,
            columns,
        } = shape;
        let mut hits = judge::hits(&profile, text, &reading, &[]);
        let silence = match self.inline_suppress {
            true => comment::Silence::of(&comments, self.suppress_security),
            false => None,
        };
        let suppressed: Vec<Hit> = match &silence {
            None => Vec::new(),
            Some(silence) => hits
                .extract_if(.., |hit| silence.covers(hit.rule))
                .collect(),
        };
        let trace = comments
            .request()
            .map_or(0, |id| self.hashing.bytes(id.as_bytes()));
        let literals = self.hashing.literals(text, &reading, raw);
        let keep = text.len() <= MAX_STORED && self.seen_before(raw);
        let known = Known {
            shape: reading.fingerprint,
            identity: match self.identify {
                true => firewall::identity(&reading.shape),
                false => 0,
            },
            binds: (profile.checks.iter()).any(|c| matches!(c.from, From::Param(_))),
            commented: comments.present,
            plain: sql::is_plain(text),
            profile,
            text: sample,
            longest_list: reading.longest_list,
            value_rows: reading.rows,
            whole: text.len() <= sql::MAX_SCANNED,
            named: columns,
            described: OnceLock::new(),
            said: Said {
                trace,
                traced: comments.traceparent().map(Arc::new),
                silence: silence.map(Arc::new),
                suppressed: (!suppressed.is_empty()).then(|| {
                    Arc::new(Suppressed {
                        hits: suppressed,
                        reason: comments.reason.clone().unwrap_or_default(),
                    })
                }),
            },
        };
        let looked = Rc::new(Looked {
            kept: if keep { text.into() } else { Box::default() },
            raw,
            literals,
            hits: shared(hits),
            known: Arc::new(known),
        });
        if keep {
            self.make_room(text.len() + OVERHEAD);
            self.exact.insert(raw, looked.clone());
        }
        if let Some(holes) = holes
            && comments.ignore.is_empty()
        {
            self.remember(text, &reading, &looked, holes);
        }
        looked
    }

    /// What the rules know of a text; nothing, if the parser must not or cannot read it.
    fn parse(&mut self, text: &[u8], reading: &Reading) -> Profile {
        self.stats.parses += 1;
        let known = match std::str::from_utf8(text) {
            Ok(text) => judge::profile(text, reading, &self.thresholds),
            Err(_) => Err(Skipped::Syntax),
        };
        self.stats.opaque += u64::from(known.as_ref().is_ok_and(|known| known.opaque > 0));
        known.unwrap_or_else(|skipped| {
            match skipped {
                Skipped::Syntax => self.stats.not_parsed += 1,
                Skipped::TooLarge => self.stats.too_large += 1,
            }
            Profile::unknown()
        })
    }

    fn forget(&mut self) {
        self.exact.clear();
        self.templates.clear();
        self.shapes.clear();
        self.bytes = 0;
    }

    /// Empties the tables when they are full: what is in use comes back at once.
    fn make_room(&mut self, bytes: usize) {
        if self.bytes + bytes > self.max_bytes {
            self.forget();
            self.stats.emptied += 1;
        }
        self.bytes += bytes;
    }

    /// Texts with literals never come again; only what comes twice is worth keeping.
    fn seen_before(&mut self, hash: u64) -> bool {
        let bit = (hash >> 17) as usize % DOOR_BITS;
        let mask = 1 << (bit % 64);
        let word = &mut self.door[bit / 64];
        if *word & mask != 0 {
            return true;
        }
        *word |= mask;
        self.door_set += 1;
        if self.door_set >= 1024 {
            self.door.fill(0);
            self.door_set = 0;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::facts::Change;
    use crate::lint::rule::Severity;

    fn texts() -> Texts {
        Texts::new(1 << 20, Hashing::seeded(1))
    }

    fn rules(looked: &Looked) -> Vec<&'static str> {
        looked.hits().iter().map(|hit| hit.rule.id).collect()
    }

    #[test]
    fn a_shape_is_parsed_once() {
        let mut texts = texts();
        for n in 0..10 {
            let text = format!("DELETE FROM t /* {n} */ RETURNING a + {n}");
            let looked = texts.look(text.as_bytes(), Lexing::default());
            assert_eq!(rules(&looked), ["missing-where"]);
        }
        assert_eq!((texts.stats.parses, texts.stats.shape_hits), (1, 9));
        let text = b"DELETE FROM t RETURNING a + 77";
        for _ in 0..3 {
            texts.look(text, Lexing::default());
        }
        assert_eq!(texts.stats.hits, 1, "kept at its second coming");
    }

    #[test]
    fn values_of_parameters_are_those_of_their_text() {
        let mut texts = texts();
        for (text, on) in [("'2s'", true), ("'0'", false), ("'5s'", true)] {
            let text = format!("SET lock_timeout = {text}");
            let looked = texts.look(text.as_bytes(), Lexing::default());
            let change = &looked.profile.facts[0].lock_timeout;
            assert_eq!(*change, Some(Change::Session(on)), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_hides_no_other_of_its_shape() {
        let mut texts = texts();
        let long = format!("DELETE FROM t RETURNING '{}'", "x".repeat(sql::MAX_PARSED));
        let looked = texts.look(long.as_bytes(), Lexing::default());
        assert!(looked.profile.unread);
        let short = b"DELETE FROM t RETURNING 'x'";
        for _ in 0..2 {
            assert_eq!(
                rules(&texts.look(short, Lexing::default())),
                ["missing-where"]
            );
        }
    }

    #[test]
    fn other_numbers_judge_known_texts_anew() {
        let mut texts = texts();
        let cases = [
            (
                "deep-offset",
                "min_offset",
                "SELECT a FROM t ORDER BY a OFFSET 50",
            ),
            (
                "large-in-list",
                "min_elements",
                "SELECT a FROM t WHERE b IN (1, 2, 3)",
            ),
            (
                "too-many-joins",
                "min_relations",
                "SELECT a.x FROM a JOIN b ON b.a = a.x",
            ),
        ];
        for (rule, name, text) in cases {
            for _ in 0..3 {
                let looked = texts.look(text.as_bytes(), Lexing::default());
                assert_eq!(rules(&looked), [""; 0], "{rule} by default");
            }
            let mut thresholds = Thresholds::default();
            assert_eq!(thresholds.set(rule, name, 2), Ok(()));
            texts.judge_by(&thresholds);
            let looked = texts.look(text.as_bytes(), Lexing::default());
            assert_eq!(rules(&looked), [rule]);
            if rule == "too-many-joins" {
                let message = &looked.hits()[0].message;
                assert!(message.contains("beyond 1 the planner"), "{message}");
            }
            texts.judge_by(&Thresholds::default());
        }
        let parses = texts.stats.parses;
        texts.judge_by(&Thresholds::default());
        texts.look(cases[0].2.as_bytes(), Lexing::default());
        texts.judge_by(&Thresholds::default());
        texts.look(cases[0].2.as_bytes(), Lexing::default());
        assert_eq!(
            texts.stats.parses,
            parses + 1,
            "the same numbers forget nothing"
        );
    }

    #[test]
    fn values_and_shapes_tell_executions_apart() {
        let mut texts = texts();
        let mut look = |text: &str| texts.look(text.as_bytes(), Lexing::default());
        let (one, two) = (
            look("SELECT a FROM t WHERE b = 1"),
            look("select a from t where b = '1'"),
        );
        assert_eq!((one.shape, one.literals), (two.shape, two.literals));
        let other = look("SELECT a FROM t WHERE b = 2");
        assert_eq!(one.shape, other.shape);
        assert_ne!(one.literals, other.literals);
        let (short, long) = (
            look("SELECT a FROM t WHERE b IN (1, 2)"),
            look("SELECT a FROM t WHERE b IN (1, 2, 3)"),
        );
        assert_eq!(short.shape, long.shape);
        assert_ne!(short.literals.all, long.literals.all);
        assert_eq!((short.longest_list, long.longest_list), (2, 3));
    }

    #[test]
    fn each_text_has_its_own_trace() {
        let mut texts = texts();
        for _ in 0..3 {
            for trace in 1..4_u128 {
                let text = format!(
                    "SELECT a FROM t /*traceparent='00-{trace:032x}-00f067aa0ba902b7-01'*/"
                );
                let looked = texts.look(text.as_bytes(), Lexing::default());
                let traced = looked.said.traced.as_ref().expect("a trace");
                assert_eq!((traced.trace, traced.sampled), (trace, true));
            }
        }
        let plain = texts.look(b"SELECT a FROM t", Lexing::default());
        assert!(plain.said.traced.is_none() && plain.said.trace == 0);
    }

    #[test]
    fn the_length_of_a_list_is_each_texts_own() {
        let mut texts = texts();
        let mut found = |elements: usize| {
            let text = format!(
                "SELECT a FROM t WHERE b IN ({})",
                vec!["1"; elements].join(",")
            );
            let looked = texts.look(text.as_bytes(), Lexing::default());
            let mut hits = looked
                .hits()
                .iter()
                .filter(|hit| hit.rule.id == "large-in-list");
            (hits.next().map(|hit| hit.severity), hits.count())
        };
        assert_eq!(found(100), (Some(Severity::Warn), 0));
        assert_eq!(found(2), (None, 0));
        assert_eq!(found(1000), (Some(Severity::Critical), 0));
        assert_eq!(texts.stats.parses, 1);
    }

    #[test]
    fn a_comment_silences_a_rule_and_that_is_remembered() {
        let mut texts = texts();
        let looked = texts.look(
            b"/* lint:ignore=missing-where reason='purge' */ DELETE FROM t",
            Lexing::default(),
        );
        assert!(looked.hits().is_empty());
        let suppressed = looked.said.suppressed.as_ref().expect("one");
        assert_eq!((suppressed.hits.len(), &*suppressed.reason), (1, "purge"));
        texts.inline_suppress = false;
        let looked = texts.look(b"DELETE FROM t -- lint:ignore=*", Lexing::default());
        assert_eq!(rules(&looked), ["missing-where"]);
    }

    #[test]
    fn a_text_with_other_literals_is_what_it_would_be_alone() {
        let cases = [
            "SELECT a FROM t WHERE b = {} AND c = '{}'",
            "SELECT a FROM t ORDER BY a LIMIT 10 OFFSET {}",
            "SELECT a FROM t WHERE b IN ({}, 2, 3) /* x='y' */",
            "INSERT INTO t VALUES ({}, 'a{}'), (3, 'b')",
            "SELECT a FROM t WHERE b LIKE '{}%'",
            "SELECT \"a\".\"b\" FROM \"a\" WHERE \"a\".\"id\" = -{}",
            "DELETE FROM t RETURNING a + {}",
            "SELECT a FROM t WHERE b LIKE '{}'",
        ];
        let values = ["1", "0", "77", "123456789", "5000", "2", "9999999"];
        let mut texts = texts();
        for round in 0..4 {
            for case in cases {
                for value in values {
                    let value = format!("{round}{value}");
                    let text = case.replace("{}", &value);
                    let known = texts.look(text.as_bytes(), Lexing::default());
                    let mut alone = Texts::new(1 << 20, Hashing::seeded(1));
                    alone.hasher = texts.hasher.clone();
                    let alone = alone.look(text.as_bytes(), Lexing::default());
                    assert_eq!(
                        (known.raw, known.literals),
                        (alone.raw, alone.literals),
                        "{text}"
                    );
                    // Places are those of the sample.
                    let found = |looked: &Looked| -> Vec<_> {
                        let hits = looked.hits().iter();
                        hits.map(|hit| (hit.rule.id, hit.kind, hit.severity))
                            .collect()
                    };
                    assert_eq!(found(&known), found(&alone), "{text}");
                    assert_eq!((known.shape, known.plain), (alone.shape, alone.plain));
                    assert_eq!(
                        (known.longest_list, known.value_rows),
                        (alone.longest_list, alone.value_rows)
                    );
                }
            }
        }
        assert_eq!(
            texts.templates.len(),
            cases.len() - 1,
            "one for both patterns"
        );
        let odd = Lexing {
            standard_conforming_strings: false,
            ..Lexing::default()
        };
        let text = b"SELECT a FROM t WHERE b LIKE '2'";
        let (one, other) = (
            texts.look(text, Lexing::default()),
            texts.look(b"SELECT a FROM t WHERE b LIKE '3'", odd),
        );
        assert!(
            !Arc::ptr_eq(&one.known, &other.known),
            "other rules, another look"
        );
    }

    #[test]
    fn memory_is_bounded_and_odd_texts_are_harmless() {
        let mut texts = Texts::new(20_000, Hashing::seeded(1));
        for n in 0..2000 {
            texts.look(format!("SELECT a{n} FROM t").as_bytes(), Lexing::default());
            assert!(texts.bytes <= 20_000);
        }
        assert!(texts.stats.emptied > 0);
        for odd in [&b""[..], b"\xff\xfe", b"SELECT '", b"/* ", b"((((", b";;;"] {
            assert!(texts.look(odd, Lexing::default()).hits().is_empty());
        }
    }
}
