//! Which of several servers that may have a read gets it.
//!
//! Servers of the zone of this process go before others. Among them each has a share of the reads by its
//! weight, and one that was gone begins with a tenth of it: its caches are cold, and everybody would
//! ask at once for what it does not have in memory.

use std::time::Instant;

use super::topology::{Server, View};
use crate::config::cluster::{Balance, ClusterPolicy};
use crate::config::member::MOST_SERVERS;

/// A set of servers of a cluster, by their places; a cluster has at most [`MOST_SERVERS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Servers(u64);

impl Servers {
    /// Those of a view that fulfil a condition.
    pub fn of(view: &View, mut fits: impl FnMut(usize, &Server) -> bool) -> Self {
        let servers = view.servers.iter().enumerate().take(MOST_SERVERS);
        Self(servers.fold(0, |set, (at, server)| {
            set | u64::from(fits(at, server)) << at
        }))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(self, at: usize) -> bool {
        at < MOST_SERVERS && self.0 >> at & 1 == 1
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// With this one.
    #[must_use]
    pub fn with(self, at: usize) -> Self {
        match at < MOST_SERVERS {
            true => Self(self.0 | 1 << at),
            false => self,
        }
    }

    fn without(self, at: usize) -> Self {
        Self(self.0 & !(1 << (at % MOST_SERVERS)))
    }

    /// Their places, the lowest first.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let at = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(at)
        })
    }
}

/// A whole share for a weight of 1.
const WHOLE: u64 = 1000;

/// A server's share of the reads now: thousandths of its weight.
#[must_use]
pub fn share(server: &Server, policy: &ClusterPolicy, now: Instant) -> u64 {
    let part = match server.back_since {
        Some(since) if !policy.slow_start.is_zero() => {
            let passed = now.saturating_duration_since(since).as_micros();
            let whole = policy.slow_start.as_micros();
            let part = passed.saturating_mul(u128::from(WHOLE)) / whole;
            u64::try_from(part)
                .unwrap_or(WHOLE)
                .clamp(WHOLE / 10, WHOLE)
        }
        _ => WHOLE,
    };
    u64::from(server.share.weight) * part
}

/// Whether it was gone and does not have its whole share again.
#[must_use]
pub fn is_warming(server: &Server, policy: &ClusterPolicy, now: Instant) -> bool {
    (server.back_since)
        .is_some_and(|since| now.saturating_duration_since(since) < policy.slow_start)
}

/// Those of the zone of this process, or all if there are none.
#[must_use]
pub fn near(view: &View, among: Servers) -> Servers {
    let near = among.and(Servers::of(view, |_, server| server.share.near));
    if near.is_empty() { among } else { near }
}

/// Chooses one of `among`. `load` says how much a server has to do; `chance` is a number by chance, or
/// which turn it is if they have turns. `None` if there is none.
///
/// Of two replicas taken by chance the one with less to do is taken, which spreads load as well as looking at
/// all of them does and never sends everybody to the same one at once.
///
/// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing".
pub fn pick(
    view: &View,
    among: Servers,
    policy: &ClusterPolicy,
    now: Instant,
    load: impl Fn(usize) -> u32,
    chance: u64,
) -> Option<usize> {
    let among = near(view, among);
    let of = |at: usize| (view.servers.get(at)).map_or(0, |server| share(server, policy, now));
    let one = among.iter().next()?;
    if among.without(one).is_empty() {
        return Some(one);
    }
    let total = |set: Servers| set.iter().map(of).sum::<u64>();
    let at_point = |set: Servers, mut point: u64| {
        let mut all = set.iter();
        all.find(|&at| {
            let share = of(at);
            let found = point < share;
            point = point.saturating_sub(share);
            found
        })
    };
    let whole = total(among);
    if whole == 0 {
        return Some(one);
    }
    match policy.balance {
        Balance::RoundRobin => at_point(among, chance.wrapping_mul(WHOLE) % whole),
        Balance::Random => at_point(among, chance % whole),
        Balance::LeastLoaded => {
            let first = at_point(among, chance % whole)?;
            let others = among.without(first);
            let rest = total(others);
            let second = (rest > 0)
                .then(|| at_point(others, (chance >> 32) % rest))
                .flatten();
            Some(match second {
                Some(second) if has_less((load(second), of(second)), (load(first), of(first))) => {
                    second
                }
                _ => first,
            })
        }
    }
}

/// Whether `one` has less to do for its share than `other`: load and share.
#[must_use]
pub fn has_less(one: (u32, u64), other: (u32, u64)) -> bool {
    // What the read itself adds counts, so that of two idle ones the heavier is taken.
    let after = |load: u32| u64::from(load).saturating_add(1);
    after(one.0).saturating_mul(other.1) < after(other.0).saturating_mul(one.1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::route::topology::{Share, Standing};

    fn replica(weight: u32, near: bool) -> Server {
        Server {
            standing: Standing::Replica,
            share: Share { weight, near },
            ..Server::default()
        }
    }

    fn view(servers: Vec<Server>) -> View {
        View {
            servers,
            primary: None,
            epoch: 1,
        }
    }

    fn policy(balance: Balance) -> ClusterPolicy {
        ClusterPolicy {
            balance,
            ..ClusterPolicy::default()
        }
    }

    /// How often each got a read of `reads`, none of which ever ends.
    fn given(view: &View, policy: &ClusterPolicy, now: Instant, reads: u64) -> Vec<u32> {
        let all = Servers::of(view, |_, _| true);
        let mut load = vec![0u32; view.servers.len()];
        let mut dice = 88_172_645_463_325_252u64;
        for turn in 0..reads {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let chance = match policy.balance {
                Balance::RoundRobin => turn,
                _ => dice,
            };
            let at = pick(view, all, policy, now, |at| load[at], chance).expect("one");
            load[at] += 1;
        }
        load
    }

    #[test]
    fn each_has_its_share() {
        let now = Instant::now();
        let view = view(vec![replica(1, true), replica(3, true), replica(0, true)]);
        let off = |given: Vec<u32>| {
            assert_eq!(given[2], 0, "{given:?}");
            given[1].abs_diff(3000).max(given[0].abs_diff(1000))
        };
        assert_eq!(
            off(given(&view, &policy(Balance::RoundRobin), now, 4000)),
            0
        );
        assert!(off(given(&view, &policy(Balance::LeastLoaded), now, 4000)) <= 10);
        assert!(off(given(&view, &policy(Balance::Random), now, 4000)) <= 150);
    }

    #[test]
    fn the_zone_goes_first() {
        let now = Instant::now();
        let far = view(vec![replica(1, false), replica(1, true), replica(1, true)]);
        for balance in [Balance::LeastLoaded, Balance::RoundRobin, Balance::Random] {
            let got = given(&far, &policy(balance), now, 100);
            assert_eq!((got[0], got[1] + got[2]), (0, 100), "{balance:?}");
        }
        let nobody = view(vec![replica(1, false), replica(1, false)]);
        assert_eq!(
            given(&nobody, &policy(Balance::RoundRobin), now, 10),
            [5, 5]
        );
    }

    #[test]
    fn who_comes_back_begins_slowly() {
        let start = Instant::now();
        let policy = policy(Balance::LeastLoaded);
        let mut view = view(vec![replica(1, true), replica(1, true)]);
        view.servers[1].back_since = Some(start);
        let share = |seconds: u64| {
            let got = given(&view, &policy, start + Duration::from_secs(seconds), 1100);
            got[1]
        };
        assert!((95..=105).contains(&share(0)), "{}", share(0));
        assert!((360..=372).contains(&share(5)), "{}", share(5));
        assert!((545..=555).contains(&share(10)), "{}", share(10));
    }

    #[test]
    fn the_busy_one_is_spared() {
        let now = Instant::now();
        let view = view(vec![replica(1, true), replica(1, true), replica(1, true)]);
        let all = Servers::of(&view, |_, _| true);
        let policy = policy(Balance::LeastLoaded);
        for chance in (0..3000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            let at = pick(
                &view,
                all,
                &policy,
                now,
                |at| u32::from(at == 1) * 100,
                chance,
            );
            assert_ne!(at, Some(1));
        }
        assert_eq!(
            pick(&view, Servers::default(), &policy, now, |_| 0, 7),
            None
        );
    }

    #[test]
    fn a_set_has_what_was_put_in() {
        let view = view(vec![Server::default(); 64]);
        let set = Servers::of(&view, |at, _| at == 0 || at == 63);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63]);
        assert!(set.has(63) && !set.has(62) && !set.has(64));
        assert_eq!(set.without(63).iter().collect::<Vec<_>>(), [0]);
    }
}
