//! A bounded table from bytes to facts.
//!
//! Entries live in numbered slots; a hash table maps to slot numbers, and a clock hand walks over
//! the slots to find one that was not used since it last came by. The bytes of a key are always
//! compared, so a collision of hashes can never give one text the facts of another. The hash has
//! a seed of its own per table, so nobody outside can make texts collide.

use super::fact::Analysis;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;

/// What an entry costs besides its key: slot, table, counters of the `Arc`s, the facts.
pub(super) const OVERHEAD: usize =
    size_of::<Slot>() + size_of::<Analysis>() + 2 * 2 * size_of::<usize>() + 8;

#[derive(Debug)]
struct Slot {
    hash: u64,
    key: Arc<[u8]>,
    facts: Arc<Analysis>,
    cost: usize,
    used: bool,
}

/// See the module's text. `max_entries` and `max_bytes` are never exceeded, not even for a moment
/// visible to the caller.
#[derive(Debug)]
pub(super) struct Store {
    seed: RandomState,
    table: HashTable<u32>,
    slots: Vec<Slot>,
    hand: usize,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

impl Store {
    /// An empty table; allocates nothing until the first entry.
    pub(super) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Store {
            seed: RandomState::default(),
            table: HashTable::new(),
            slots: Vec::new(),
            hand: 0,
            bytes: 0,
            max_entries: max_entries.min(u32::MAX as usize),
            max_bytes,
        }
    }

    /// The hash of a key in this table.
    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.seed.hash_one(key)
    }

    /// Entries held.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes held, [`OVERHEAD`] included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entry of `key`; marks it as used.
    #[inline]
    pub(super) fn get(&mut self, hash: u64, key: &[u8]) -> Option<(&Arc<[u8]>, &Arc<Analysis>)> {
        let slots = &self.slots;
        let found = *self.table.find(hash, |&at| {
            slots
                .get(at as usize)
                .is_some_and(|slot| slot.hash == hash && *slot.key == *key)
        })?;
        let slot = self.slots.get_mut(found as usize)?;
        slot.used = true;
        Some((&slot.key, &slot.facts))
    }

    /// Adds an entry, which must not be there yet, and evicts others until the bounds hold.
    /// Returns the table's own copy of the key, or `None` if the entry is larger than the table.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        key: &[u8],
        facts: &Arc<Analysis>,
    ) -> Option<Arc<[u8]>> {
        let params: usize = facts
            .params
            .iter()
            .map(|p| size_of_val(p) + p.name.len())
            .sum();
        let functions: usize = (facts.functions.iter())
            .map(|name| size_of_val(name) + name.len())
            .sum();
        let cost = key.len() + OVERHEAD + params + functions;
        if self.max_entries == 0 || cost > self.max_bytes {
            return None;
        }
        while self.slots.len() >= self.max_entries || self.bytes + cost > self.max_bytes {
            self.evict();
        }
        let at = u32::try_from(self.slots.len()).ok()?;
        let key: Arc<[u8]> = key.into();
        self.slots.push(Slot {
            hash,
            key: key.clone(),
            facts: facts.clone(),
            cost,
            used: false,
        });
        self.bytes += cost;
        let slots = &self.slots;
        self.table.insert_unique(hash, at, |&at| {
            slots.get(at as usize).map_or(0, |slot| slot.hash)
        });
        Some(key)
    }

    /// Removes the first entry under the hand that was not used since the hand's last visit.
    /// Ends after two rounds at most, and does nothing if there is no entry.
    fn evict(&mut self) {
        let victim = loop {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            match self.slots.get_mut(self.hand) {
                None => return,
                Some(slot) if slot.used => {
                    slot.used = false;
                    self.hand += 1;
                }
                Some(_) => break self.hand,
            }
        };
        self.unlink(victim, victim);
        let last = self.slots.len() - 1;
        if victim != last {
            // The last slot moves into the gap: tell the table.
            self.relink(last, victim);
        }
        let gone = self.slots.swap_remove(victim);
        self.bytes = self.bytes.saturating_sub(gone.cost);
        // The entry that moved here has been looked at or is young: go on behind it.
        self.hand = victim + 1;
    }

    fn unlink(&mut self, slot: usize, at: usize) {
        let hash = self.slots.get(slot).map_or(0, |slot| slot.hash);
        if let Ok(entry) = self.table.find_entry(hash, |&found| found as usize == at) {
            entry.remove();
        }
    }

    fn relink(&mut self, from: usize, to: usize) {
        let hash = self.slots.get(from).map_or(0, |slot| slot.hash);
        if let Some(entry) = self.table.find_mut(hash, |&found| found as usize == from) {
            *entry = to as u32;
        }
    }
}
