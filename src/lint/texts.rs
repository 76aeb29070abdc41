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
mod tests;
