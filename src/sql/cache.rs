//! What a worker remembers about texts it has seen.

use super::fact::{Analysis, Flags, Lexing};
use super::store::Store;
use super::{conclude, look};
use std::sync::Arc;

/// Longest text, in bytes, that is kept.
const MAX_STORED: usize = 8 * 1024;
/// Bits of the doorkeeper, 2 KiB. At most one new text in sixteen passes for an old one.
const DOOR_BITS: usize = 16 * 1024;
/// After this many first sightings the doorkeeper forgets everything, so that it stays sparse.
const DOOR_RESET: u32 = 1_024;

/// Facts of texts, for one worker thread.
///
/// Two bounded tables: one by exact text, one by shape. The exact one gets three quarters of both
/// bounds, the other the rest. A text is stored when it is seen for the second time, so that
/// texts with literals, which never come again, do not push out those that do.
///
/// Texts whose meaning depends on unusual session settings (see [`Lexing`]) go past both tables:
/// a text in the cache always stands for its meaning under the default rules.
#[derive(Debug)]
pub struct Cache {
    exact: Store,
    shapes: Store,
    door: Box<[u64; DOOR_BITS / 64]>,
    door_set: u32,
    scratch: Vec<u8>,
    hits: u64,
    shape_hits: u64,
    parses: u64,
    unanalysed: u64,
}

/// The answer of [`Cache::analyse`].
#[derive(Clone, Debug)]
pub struct Known {
    /// The facts.
    pub analysis: Arc<Analysis>,
    /// The cache's own copy of the text, if it holds one.
    pub text: Option<Arc<[u8]>>,
}

/// What a [`Cache`] holds and did. Counters start at zero with the cache and never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Entries held now, texts and shapes.
    pub entries: usize,
    /// Bytes held now, texts and shapes with their overhead.
    pub bytes: usize,
    /// Texts answered from the exact table.
    pub hits: u64,
    /// Texts answered by their shape.
    pub shape_hits: u64,
    /// Texts that were analysed anew.
    pub parses: u64,
    /// Texts of which the answer was [`Flags::UNANALYSED`], hits included.
    pub unanalysed: u64,
}

impl Cache {
    /// A cache that holds at most `max_entries` entries and `max_bytes` bytes, overhead included.
    /// Zero of either turns it off; analysing still works.
    #[must_use]
    pub fn new(max_entries: usize, max_bytes: usize) -> Self {
        let shape_entries = max_entries / 4;
        let shape_bytes = max_bytes / 4;
        Cache {
            exact: Store::new(max_entries - shape_entries, max_bytes - shape_bytes),
            shapes: Store::new(shape_entries, shape_bytes),
            door: Box::new([0; DOOR_BITS / 64]),
            door_set: 0,
            scratch: Vec::new(),
            hits: 0,
            shape_hits: 0,
            parses: 0,
            unanalysed: 0,
        }
    }

    /// The facts of `text`, from memory if possible. The same as [`super::analyse`], always.
    ///
    /// A hit on the exact text allocates nothing.
    #[inline]
    pub fn analyse(&mut self, text: &[u8], lexing: Lexing) -> Known {
        if !lexing.is_plain_for(text) {
            return self.anew(text, lexing, None);
        }
        if text.len() > MAX_STORED {
            return self.anew(text, Lexing::default(), None);
        }
        let hash = self.exact.hash(text);
        if let Some((key, facts)) = self.exact.get(hash, text) {
            let known = Known {
                analysis: facts.clone(),
                text: Some(key.clone()),
            };
            self.hits += 1;
            if known.analysis.flags.contains(Flags::UNANALYSED) {
                self.unanalysed += 1;
            }
            return known;
        }
        self.anew(text, Lexing::default(), Some(hash))
    }

    /// Misses of the exact table. `store_as` is the text's hash if it may be stored.
    #[inline(never)]
    fn anew(&mut self, text: &[u8], lexing: Lexing, store_as: Option<u64>) -> Known {
        let mut shape = std::mem::take(&mut self.scratch);
        let (survey, exact) = look(text, lexing, &mut shape);
        let shared = store_as.is_some() && survey.by_shape() && shape.len() <= MAX_STORED;
        let shape_hash = self.shapes.hash(&shape);
        let remembered = if shared {
            self.shapes
                .get(shape_hash, &shape)
                .map(|(_, facts)| facts.clone())
        } else {
            None
        };
        let analysis = if let Some(facts) = remembered {
            self.shape_hits += 1;
            facts
        } else {
            self.parses += 1;
            let facts = Arc::new(conclude(text, &survey, exact, &shape));
            // Should lexer and parser ever disagree about where statements end, nothing is shared.
            if shared && facts.statements == 1 && !facts.flags.contains(Flags::UNANALYSED) {
                self.shapes.insert(shape_hash, &shape, &facts);
            }
            facts
        };
        if analysis.flags.contains(Flags::UNANALYSED) {
            self.unanalysed += 1;
        }
        shape.clear();
        // One long text must not keep its buffer for ever.
        shape.shrink_to(4 * MAX_STORED);
        self.scratch = shape;
        let stored = match store_as {
            Some(hash) if self.seen_before(hash) => self.exact.insert(hash, text, &analysis),
            _ => None,
        };
        Known {
            analysis,
            text: stored,
        }
    }

    /// Asks the doorkeeper whether a text with this hash was seen lately, and tells it about it.
    fn seen_before(&mut self, hash: u64) -> bool {
        // Not the bits that the hash table uses for its groups.
        let bit = (hash >> 17) as usize % DOOR_BITS;
        let Some(word) = self.door.get_mut(bit / 64) else {
            return false;
        };
        let mask = 1 << (bit % 64);
        if *word & mask != 0 {
            return true;
        }
        *word |= mask;
        self.door_set += 1;
        if self.door_set >= DOOR_RESET {
            self.door.fill(0);
            self.door_set = 0;
        }
        false
    }

    /// What the cache holds and did so far.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            entries: self.exact.len() + self.shapes.len(),
            bytes: self.exact.bytes() + self.shapes.bytes(),
            hits: self.hits,
            shape_hits: self.shape_hits,
            parses: self.parses,
            unanalysed: self.unanalysed,
        }
    }
}
