//! One query with the same values, again and again: quickly in one request, or evenly for ever.

use std::sync::Arc;

use super::super::facts::{Command, RowLock};
use super::super::hit::Hit;
use super::super::observe::{Detection, Execution, Observation};
use super::super::profile::Profile;
use super::super::rules::sequence;
use super::super::thresholds::Thresholds;
use super::{SECOND, detection, exempt};

const MOST: usize = 64;
/// Names of written tables that are kept.
const WRITTEN: usize = 16;

/// Queries of a scope by text and values.
#[derive(Default)]
pub(super) struct Repeats {
    known: Vec<Repeat>,
    /// Front halves of their keys, in the same places: looked through with every statement, so
    /// nothing else is between them, and four of them fit where one instruction compares.
    tags: Vec<u32>,
    /// The place of the oldest, once all are taken.
    oldest: usize,
    /// Tables that were written to lately, oldest first.
    written: Vec<Box<str>>,
}

struct Repeat {
    /// Its text and values.
    key: u64,
    profile: Arc<Profile>,
    near: Steps,
    /// The same without regard to writes and requests.
    far: Steps,
    /// Said in this request.
    told: bool,
    polls: bool,
    /// The scope had written to its table before it began.
    own: bool,
}

/// Times between starts.
#[derive(Clone, Copy, Default)]
struct Steps {
    n: u64,
    first: u64,
    last: u64,
    done: u64,
    mean: f64,
    squares: f64,
}

impl Steps {
    fn add(&mut self, seen: &Observation) {
        if self.n == 0 {
            *self = Steps {
                first: seen.sent_us,
                ..Steps::default()
            };
        } else {
            let step = seen.sent_us.saturating_sub(self.last) as f64;
            let delta = step - self.mean;
            self.mean += delta / self.n as f64;
            self.squares += delta * (step - self.mean);
        }
        self.n += 1;
        self.last = seen.sent_us;
        self.done = seen.done_us;
    }

    /// Whether the steps are as even as a timer's.
    fn even(&self) -> bool {
        let steps = self.n.saturating_sub(1).max(1) as f64;
        self.mean >= 50_000.0 && (self.squares / steps).sqrt() < self.mean / 2.0
    }
}

fn tag(key: u64) -> u32 {
    (key >> 32) as u32
}

/// The first place of a tag. Eight are compared without a branch in between, which the compiler makes
/// a few wide instructions of: most statements are not known, and then all are looked at.
fn position(tags: &[u32], tag: u32) -> Option<usize> {
    let (eights, rest) = tags.as_chunks::<8>();
    for (at, eight) in eights.iter().enumerate() {
        if eight.iter().fold(false, |any, known| any | (*known == tag)) {
            let within = eight.iter().position(|known| *known == tag)?;
            return Some(at * 8 + within);
        }
    }
    let within = rest.iter().position(|known| *known == tag)?;
    Some(eights.len() * 8 + within)
}

impl Repeats {
    pub(super) fn memory(&self) -> usize {
        let names = self.written.iter().map(|name| name.len());
        self.known.capacity() * size_of::<Repeat>()
            + self.tags.capacity() * size_of::<u32>()
            + self.written.capacity() * size_of::<Box<str>>()
            + names.sum::<usize>()
    }

    fn wrote(&mut self, table: &str) {
        if self.written.iter().any(|known| **known == *table) {
            return;
        }
        if self.written.len() >= WRITTEN {
            self.written.remove(0);
        }
        self.written.push(table.into());
    }

    /// Another request begins.
    pub(super) fn cut(&mut self) {
        self.written.clear();
        for one in &mut self.known {
            (one.near, one.told) = (Steps::default(), false);
        }
    }

    /// Makes a place for a query, the oldest one's if all are taken.
    fn begin(&mut self, key: u64, profile: &Arc<Profile>, own: bool) -> usize {
        let one = Repeat {
            key,
            profile: Arc::clone(profile),
            near: Steps::default(),
            far: Steps::default(),
            told: false,
            polls: false,
            own,
        };
        let (at, full) = (self.oldest, self.tags.len() >= MOST);
        match (self.known.get_mut(at), self.tags.get_mut(at)) {
            (Some(place), Some(known)) if full => {
                (*place, *known) = (one, tag(key));
                self.oldest = (at + 1) % MOST;
                at
            }
            _ => {
                self.known.push(one);
                self.tags.push(tag(key));
                self.tags.len() - 1
            }
        }
    }

    /// Where a query is.
    fn find(&self, key: u64) -> Option<usize> {
        let mut from = 0;
        while let Some(at) = position(self.tags.get(from..)?, tag(key)) {
            let at = from + at;
            if self.known.get(at)?.key == key {
                return Some(at);
            }
            from = at + 1;
        }
        None
    }

    /// A table was written to: what was read of it may be another answer now.
    fn written_to(&mut self, table: &str) {
        for one in &mut self.known {
            let read = one.profile.facts.first().map(|read| &read.reads);
            if read.is_some_and(|read| read.iter().any(|read| **read == *table)) {
                one.near = Steps::default();
            }
        }
        self.wrote(table);
    }

    /// Takes an execution. `true` if another query was forgotten for it.
    pub(super) fn add(
        &mut self,
        seen: &Observation,
        run: &Execution,
        thresholds: &Thresholds,
        found: &mut Vec<Detection>,
    ) -> bool {
        // An error asks for a retry; a write may change the answer.
        if run.error.is_some() || run.profile.opaque > 0 {
            for one in &mut self.known {
                (one.near, one.told) = (Steps::default(), false);
            }
            return false;
        }
        for table in run.profile.facts.iter().flat_map(|facts| &facts.writes) {
            self.written_to(table);
        }
        let [facts] = run.profile.facts.as_slice() else {
            return false;
        };
        let counts = facts.command == Command::Select
            && !facts.reads.is_empty()
            && !facts.introspection
            && run.fetch == 0;
        if !counts || exempt(&seen.subject) {
            return false;
        }
        // The text's hash may be made of the shape's and must not cancel it out.
        let key = (run.stripped ^ run.shape.rotate_left(32))
            .rotate_left(23)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ run.values.all;
        let known = self.find(key);
        let evicted = known.is_none() && self.tags.len() >= MOST;
        let at = known.unwrap_or_else(|| {
            let own = facts.reads.iter().any(|table| self.written.contains(table));
            self.begin(key, &run.profile, own)
        });
        let Some(one) = self.known.get_mut(at) else {
            return evicted;
        };
        if seen.sent_us.saturating_sub(one.near.done) > SECOND {
            one.near = Steps::default();
        }
        if seen.sent_us.saturating_sub(one.far.last) > 60 * SECOND {
            (one.far, one.polls) = (Steps::default(), false);
            one.own = facts.reads.iter().any(|table| self.written.contains(table));
        }
        one.near.add(seen);
        one.far.add(seen);
        if one.told || one.polls {
            return evicted;
        }
        let pure = !facts.volatile && facts.lock == RowLock::None;
        if pure && one.near.n >= thresholds.repeats && !one.near.even() {
            one.told = true;
            let n = one.near.n;
            let text = format!("One query ran {n} times with the same parameters in one request.");
            let hit = Hit::new(&sequence::REPEATED, "", text).evidence("executions", n);
            found.push(detection(hit, &seen.subject, seen.conn, run, n, 0));
            return evicted;
        }
        let far = one.far;
        let long = seen.sent_us.saturating_sub(far.first) >= 5 * SECOND;
        if far.n >= thresholds.polls && long && far.even() && far.mean <= 30e6 {
            one.polls = true;
            let kind = match facts.lock {
                RowLock::SkipLocked => "queue-poll",
                _ if one.own => "read-your-write",
                _ => "",
            };
            let ms = (far.mean / 1000.0).round();
            let text = format!("One query is repeated every {ms} ms with the same parameters.");
            let hit = Hit::new(&sequence::POLLING, kind, text)
                .evidence("executions", far.n)
                .evidence("interval_ms", ms);
            found.push(detection(hit, &seen.subject, seen.conn, run, far.n, 0));
        }
        evicted
    }
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn a_tag_is_found_where_it_is_first() {
        for len in 0..40 {
            let tags: Vec<u32> = (0..len).collect();
            for tag in 0..len + 1 {
                let at = tags.iter().position(|known| *known == tag);
                assert_eq!(position(&tags, tag), at);
            }
        }
        assert_eq!(position(&[5, 1, 1], 1), Some(1));
    }
}
