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

    /// The bucket of a time in microseconds: its place in [`Self::counts`].
    #[must_use]
    pub fn bucket(micros: u64) -> usize {
        bucket(micros)
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

    /// What came since `before`, an earlier copy. Where that has more, as it has after a pool was
    /// forgotten, nothing came.
    #[must_use]
    pub fn since(&self, before: &Histogram) -> Histogram {
        let mut counts = self.counts;
        for (count, was) in counts.iter_mut().zip(before.counts) {
            *count = count.saturating_sub(was);
        }
        Histogram {
            counts,
            sum_us: self.sum_us.saturating_sub(before.sum_us),
        }
    }

    /// The time in microseconds that this share of all, from 0 to 1, did not take longer than; `None`
    /// if there are none. Between the bounds of a bucket times count as evenly spread, as in
    /// Prometheus's `histogram_quantile`, and what is beyond the last bound is taken for that bound.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let all = self.count();
        if all == 0 {
            return None;
        }
        let wanted = share.clamp(0.0, 1.0) * all as f64;
        let (mut below, mut low) = (0, 0);
        for (bound, count) in BOUNDS.iter().zip(self.counts) {
            if count > 0 && (below + count) as f64 >= wanted {
                let part = (wanted - below as f64).max(0.0) / count as f64;
                return Some(low + ((bound - low) as f64 * part).round() as u64);
            }
            below += count;
            low = *bound;
        }
        Some(low)
    }

    /// Median, 95 % and 99 %; `None` if there are no times.
    #[must_use]
    pub fn spread(&self) -> Option<Spread> {
        let micros = |share| Some(u32::try_from(self.quantile(share)?).unwrap_or(u32::MAX));
        Some(Spread {
            p50: micros(0.5)?,
            p95: micros(0.95)?,
            p99: micros(0.99)?,
        })
    }
}

/// Three [quantiles](Histogram::quantile), in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The median.
    pub p50: u32,
    /// 95 % took no longer.
    pub p95: u32,
    /// 99 % took no longer.
    pub p99: u32,
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
    fn quantiles_are_within_their_buckets() {
        let mut times = Histogram::default();
        assert_eq!((times.quantile(0.5), times.spread()), (None, None));
        for micros in 1..=100 {
            times.note(micros);
        }
        // All are in the first bucket, evenly.
        assert_eq!(times.quantile(0.5), Some(50));
        assert_eq!(times.quantile(0.0), Some(0));
        assert_eq!(times.quantile(1.0), Some(100));
        for _ in 0..6 {
            times.note(3_000);
        }
        let spread = times.spread().expect("times");
        assert_eq!((spread.p50, spread.p95), (53, 2_792));
        // The true one is 3000; its bucket is from 2500 to 5000.
        assert!((2_500..=5_000).contains(&spread.p99), "{spread:?}");
        let mut slow = Histogram::default();
        slow.note(u64::MAX);
        assert_eq!(slow.quantile(0.5), Some(100_000_000));
        slow.note(7_000);
        assert_eq!(slow.quantile(0.25), Some(7_500));
    }

    #[test]
    fn what_came_since_a_copy() {
        let mut times = Histogram::default();
        times.note(7);
        let before = times;
        times.note(700);
        let mut one = Histogram::default();
        one.note(700);
        assert_eq!(times.since(&before), one);
        assert_eq!(before.since(&times), Histogram::default());
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
