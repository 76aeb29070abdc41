//! Requests that were sent, in the order of their replies: those that are through, and behind them those that are not.

use std::collections::VecDeque;
use std::time::Instant;

use super::Bound;
use crate::lint::observe::Trouble;
use crate::session::lineage::Capture;

/// Requests of one client that are noted at once, of those that are through and of those that are not; what is
/// beyond is not reported.
const MOST: usize = 4096;

/// A request that was sent.
pub(super) struct Request {
    pub(super) bound: Bound,
    pub(super) sent: Instant,
    /// When it was through; until then when it was sent.
    pub(super) done: Instant,
    pub(super) batch: u32,
    pub(super) fetch: u32,
    pub(super) simple: bool,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) error: Option<[u8; 5]>,
    pub(super) trouble: Option<Trouble>,
    /// The first values of its result, if the engine wants them.
    pub(super) capture: Option<Box<Capture>>,
}

/// See the module. What is through stays where it is until it is taken: requests are large, and to move them is
/// most of what noting one costs.
#[derive(Default)]
pub(super) struct Sent {
    all: VecDeque<Request>,
    /// How many of them are through.
    through: usize,
}

impl Sent {
    /// The request whose reply comes next.
    #[inline]
    pub(super) fn next(&self) -> Option<&Request> {
        self.all.get(self.through)
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn next_mut(&mut self) -> Option<&mut Request> {
        self.all.get_mut(self.through)
    }

    /// Whether there is no room for another one.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.all.len() - self.through >= MOST
    }

    /// One more, behind all others. The caller asks [`Self::is_full`] first.
    #[inline]
    pub(super) fn push(&mut self, request: Request) {
        self.all.push_back(request);
    }

    /// The next one is through.
    #[inline]
    pub(super) fn complete(&mut self, now: Instant) {
        if self.through >= MOST {
            self.all.remove(self.through);
        } else if let Some(request) = self.all.get_mut(self.through) {
            request.done = now;
            self.through += 1;
        }
    }

    /// Takes out what is left of a batch that the server skips.
    pub(super) fn skip(&mut self, batch: u32) {
        while (self.next()).is_some_and(|next| next.batch == batch && !next.simple) {
            self.all.remove(self.through);
        }
    }

    /// Nothing more comes for those that are not through.
    pub(super) fn forget_rest(&mut self) {
        self.all.truncate(self.through);
    }

    /// None of them was sent.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether some are through.
    pub(super) fn has_done(&self) -> bool {
        self.through > 0
    }

    /// Takes those that are through.
    pub(super) fn done(&mut self) -> impl Iterator<Item = Request> + '_ {
        self.all.drain(..std::mem::take(&mut self.through))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::hashing::Hashing;
    use crate::lint::texts::Texts;
    use crate::sql::Lexing;
    use proptest::prelude::*;

    fn request(bound: &Bound, number: u64, batch: u32) -> Request {
        let now = Instant::now();
        Request {
            bound: bound.clone(),
            sent: now,
            done: now,
            batch,
            fetch: 0,
            simple: false,
            rows: number,
            bytes: 0,
            error: None,
            trouble: None,
            capture: None,
        }
    }

    fn bound() -> Bound {
        let mut texts = Texts::new(1 << 16, Hashing::seeded(1));
        let looked = texts.look(b"SELECT 1", Lexing::default());
        Bound {
            values: looked.literals,
            looked,
            params: 0,
            hits: None,
            quiet: None,
            parsed_now: true,
            binary: false,
        }
    }

    proptest! {
        /// Two queues, one behind the other, do the same.
        #[test]
        fn it_is_two_queues(steps in proptest::collection::vec(0..8u8, 0..200)) {
            let (bound, now) = (bound(), Instant::now());
            let mut sent = Sent::default();
            let (mut waiting, mut done) = (VecDeque::new(), Vec::new());
            for (number, step) in steps.into_iter().enumerate() {
                let (number, batch) = (number as u64, number as u32 / 8);
                match step {
                    0..=3 => {
                        sent.push(request(&bound, number, batch));
                        waiting.push_back((number, batch));
                    }
                    4 | 5 => {
                        sent.complete(now);
                        done.extend(waiting.pop_front().map(|(number, _)| number));
                    }
                    6 => {
                        let skipped = waiting.front().map_or(0, |(_, batch)| *batch);
                        sent.skip(skipped);
                        while waiting.front().is_some_and(|(_, batch)| *batch == skipped) {
                            waiting.pop_front();
                        }
                    }
                    _ => {
                        prop_assert_eq!(sent.has_done(), !done.is_empty());
                        let took: Vec<u64> = sent.done().map(|one| one.rows).collect();
                        prop_assert_eq!(took, std::mem::take(&mut done));
                        if number % 3 == 0 {
                            sent.forget_rest();
                            waiting.clear();
                        }
                    }
                }
                let next = sent.next().map(|next| next.rows);
                prop_assert_eq!(next, waiting.front().map(|(number, _)| *number));
            }
        }
    }

    #[test]
    fn it_is_bounded() {
        let (bound, now) = (bound(), Instant::now());
        let mut sent = Sent::default();
        for number in 0..2 * MOST as u64 + 2 {
            assert_eq!(sent.is_full(), number >= 2 * MOST as u64, "{number}");
            sent.push(request(&bound, number, 0));
            if number < MOST as u64 {
                sent.complete(now);
            }
        }
        sent.complete(now);
        assert_eq!(sent.next().map(|next| next.rows), Some(MOST as u64 + 1));
        assert_eq!(sent.done().count(), MOST);
    }
}
