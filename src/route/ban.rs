//! A replica that fails is left alone for a while.
//!
//! The first time for a second, then twice as long each time it fails again, up to a minute; one that did
//! well for a minute begins anew. When the time is over it gets a tenth of its share of the reads
//! (see [`balance::share`](super::balance::share)): they try whether it works again, and if one of them finds
//! that it does not, all others are spared.

use std::time::{Duration, Instant};

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(60);
/// After so much time without a failure the next one is the first again.
const FORGIVEN: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// It gets nothing before this moment.
    pub until: Instant,
    /// How long this ban is, or was.
    pub pause: Duration,
    /// Why.
    pub reason: Box<str>,
}

impl Ban {
    /// The ban after a failure at `now`. While one lasts, further failures (of attempts that were under way)
    /// do not make it longer.
    #[must_use]
    pub fn after(before: Option<Ban>, now: Instant, reason: &str) -> Ban {
        let pause = match before {
            Some(ban) if ban.lasts(now) => return ban,
            Some(ban) if now.saturating_duration_since(ban.until) < FORGIVEN => {
                ban.pause.saturating_mul(2).min(LONGEST)
            }
            _ => FIRST,
        };
        Ban {
            until: now + pause,
            pause,
            reason: reason.into(),
        }
    }

    /// Whether it is in force.
    #[must_use]
    pub fn lasts(&self, now: Instant) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_it_fails_and_are_forgiven() {
        let start = Instant::now();
        let (mut now, mut ban, mut pauses) = (start, None, Vec::new());
        for _ in 0..8 {
            let next = Ban::after(ban.take(), now, "gone");
            // What was under way fails too.
            assert_eq!(Ban::after(Some(next.clone()), now, "also gone"), next);
            assert!(next.lasts(now) && !next.lasts(next.until));
            pauses.push(next.pause.as_secs());
            now = next.until;
            ban = Some(next);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        let later = now + FORGIVEN;
        assert_eq!(Ban::after(ban, later, "gone").pause, FIRST);
    }
}
