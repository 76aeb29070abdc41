//! How long things took, by fixed steps: what a Prometheus histogram is made of.

/// Upper ends of the buckets in microseconds, each included: 1, 2.5 and 5 per decade from 100 µs to
/// 100 s. What took longer is in one more bucket.
pub const BOUNDS: [u64; 19] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
];

/// The same in seconds, as the exposition formats want numbers written.
pub const BOUNDS_TEXT: [&str; 19] = [
    "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
    "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "25.0", "50.0", "100.0",
];

/// Buckets, the last one included.
pub const BUCKETS: usize = BOUNDS.len() + 1;

/// For each power of two the first bound that is not below it. No two bounds are between a power of
/// two and the next, so that one comparison tells the rest.
const FIRST: [u8; 64] = first();

const fn first() -> [u8; 64] {
    let mut first = [0; 64];
    let mut power = 0;
    while power < 64 {
        let mut at = 0;
        while at < BOUNDS.len() && BOUNDS[at] < 1 << power {
            at += 1;
        }
        first[power] = at as u8;
        power += 1;
    }
    first
}

/// The bucket of a time in microseconds.
#[inline]
fn bucket(micros: u64) -> usize {
    let power = 63 - (micros | 1).leading_zeros() as usize;
    let at = usize::from(FIRST[power % 64]);
    at + usize::from(BOUNDS.get(at).is_some_and(|bound| micros > *bound))
}

/// Times since it was made. Written by one worker, plainly; readers get a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Times in each bucket, those in lower ones not included.
    counts: [u64; BUCKETS],
    /// All times together, in microseconds.
    sum_us: u64,
}

impl Histogram {
    /// Notes a time in microseconds.
    #[inline]
    pub fn note(&mut self, micros: u64) {
        if let Some(count) = self.counts.get_mut(bucket(micros)) {
            *count += 1;
        }
        self.sum_us = self.sum_us.wrapping_add(micros);
    }

    /// Adds another one's times.
    pub fn add(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_us = self.sum_us.wrapping_add(other.sum_us);
    }

    /// Times in each bucket, those in lower ones not included.
    #[must_use]
    pub fn counts(&self) -> &[u64; BUCKETS] {
        &self.counts
    }

    /// All times together, in microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_above_the_bound_before_and_not_above_its_own() {
        let slow = |micros: u64| BOUNDS.iter().filter(|bound| micros > **bound).count();
        for bound in BOUNDS {
            for micros in [bound - 1, bound, bound + 1] {
                assert_eq!(bucket(micros), slow(micros), "{micros}");
            }
        }
        for power in 0..64 {
            for micros in [(1_u64 << power) - 1, 1 << power, (1 << power) + 1] {
                assert_eq!(bucket(micros), slow(micros), "{micros}");
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_texts_are_the_bounds() {
        for (micros, text) in BOUNDS.iter().zip(BOUNDS_TEXT) {
            let seconds: f64 = text.parse().expect("a number");
            assert_eq!((seconds * 1e6).round() as u64, *micros);
            assert!(text.contains('.'), "{text}");
        }
    }

    #[test]
    fn sums() {
        let mut one = Histogram::default();
        for micros in [0, 100, 101, 3_000_000, u64::from(u32::MAX)] {
            one.note(micros);
        }
        assert_eq!(
            (one.count(), one.sum_us()),
            (5, 3_000_201 + u64::from(u32::MAX))
        );
        let mut two = one;
        two.add(&one);
        assert_eq!((two.count(), two.sum_us()), (10, 2 * one.sum_us()));
        assert_eq!((two.counts()[0], two.counts()[1]), (4, 2));
        assert_eq!(two.counts()[BUCKETS - 1], 2);
    }
}
