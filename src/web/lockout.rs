//! Failed logins to the page: after a few of them, an address waits longer and longer until a password
//! is looked at again.
//!
//! Counted are the failures of each name at each address, which a success of that name ends, and those
//! of the address as a whole, which none ends: whoever has a password of their own may not guess others
//! between.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Failures of one name at one address that cost nothing but the time of the answer.
const FREE: u32 = 5;
/// Failures of all names at one address.
const FREE_IN_ALL: u32 = 20;
/// Longest wait.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
/// After this time without a failure it begins anew.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);
/// Most that is remembered; the oldest goes first.
const MOST: usize = 4_096;

/// An address, and a name or all of them.
type Key = (IpAddr, Option<Box<str>>);

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
    until: Instant,
}

/// See the module.
#[derive(Default)]
pub(super) struct Lockout {
    known: HashMap<Key, Failures>,
}

impl Lockout {
    /// Whether a password may be looked at now.
    ///
    /// # Errors
    /// For how long not.
    pub(super) fn may(&self, addr: IpAddr, user: &str, now: Instant) -> Result<(), Duration> {
        let wait = |key: &Key| {
            let until = self.known.get(key)?.until;
            Some(until.saturating_duration_since(now))
        };
        let waits = keys(addr, user);
        let longest = waits.iter().filter_map(wait).max().unwrap_or_default();
        match longest.is_zero() {
            true => Ok(()),
            false => Err(longest),
        }
    }

    /// A login failed. Returns how long the next one has to wait.
    pub(super) fn failed(&mut self, addr: IpAddr, user: &str, now: Instant) -> Duration {
        let mut longest = Duration::ZERO;
        for key in keys(addr, user) {
            let free = match key.1 {
                Some(_) => FREE,
                None => FREE_IN_ALL,
            };
            if self.known.len() >= MOST && !self.known.contains_key(&key) {
                let oldest = self.known.iter().min_by_key(|(_, failures)| failures.last);
                if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                    self.known.remove(&oldest);
                }
            }
            let failures = self.known.entry(key).or_insert(Failures {
                count: 0,
                last: now,
                until: now,
            });
            if now.saturating_duration_since(failures.last) >= FORGOTTEN {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
            if let Some(beyond) = failures.count.checked_sub(free) {
                let wait = Duration::from_secs(1 << beyond.min(10)).min(LONGEST);
                failures.until = now + wait;
                longest = longest.max(wait);
            }
        }
        longest
    }

    /// A login succeeded.
    pub(super) fn succeeded(&mut self, addr: IpAddr, user: &str) {
        let [one, _] = keys(addr, user);
        self.known.remove(&one);
    }
}

/// Of the name at the address, and of the address.
fn keys(addr: IpAddr, user: &str) -> [Key; 2] {
    let network = match addr {
        IpAddr::V4(_) => addr,
        // Whoever has one address has all of its network.
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        },
    };
    [(network, Some(user.into())), (network, None)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn waits_grow_and_end_with_a_success() {
        let (mut lockout, start) = (Lockout::default(), Instant::now());
        let (here, there) = (addr("192.0.2.1"), addr("192.0.2.2"));
        for _ in 1..FREE {
            assert_eq!(lockout.failed(here, "ann", start), Duration::ZERO);
        }
        assert_eq!(lockout.may(here, "ann", start), Ok(()));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(lockout.failed(here, "ann", start), wait);
            assert_eq!(lockout.may(here, "ann", start), Err(wait));
        }
        let later = start + Duration::from_secs(59);
        assert_eq!(lockout.may(here, "ann", later), Err(Duration::from_secs(1)));
        assert_eq!(lockout.may(here, "ann", start + LONGEST), Ok(()));
        assert_eq!(lockout.may(here, "bob", start), Ok(()), "another name");
        assert_eq!(lockout.may(there, "ann", start), Ok(()), "another address");
        lockout.succeeded(here, "ann");
        assert_eq!(lockout.may(here, "ann", start), Ok(()));
        assert_eq!(lockout.failed(here, "ann", start), Duration::ZERO);
    }

    #[test]
    fn a_password_of_ones_own_does_not_help_to_guess_others() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        let here = addr("192.0.2.1");
        for n in 1..FREE_IN_ALL {
            assert_eq!(lockout.failed(here, &format!("u{n}"), now), Duration::ZERO);
            lockout.succeeded(here, "me");
        }
        assert_eq!(lockout.failed(here, "admin", now), Duration::from_secs(1));
        assert!(lockout.may(here, "another", now).is_err());
        let later = now + FORGOTTEN;
        assert_eq!(lockout.failed(here, "admin", later), Duration::ZERO);
    }

    #[test]
    fn a_network_is_one_address_and_memory_is_bounded() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for n in 0..FREE {
            lockout.failed(addr(&format!("2001:db8::{n}")), "ann", now);
        }
        assert!(lockout.may(addr("2001:db8::ffff"), "ann", now).is_err());
        assert!(lockout.may(addr("2001:db8:0:1::1"), "ann", now).is_ok());
        for n in 0..20_000_u32 {
            let from = IpAddr::V4(std::net::Ipv4Addr::from_bits(n));
            lockout.failed(from, "ann", now + Duration::from_millis(n.into()));
        }
        assert!(lockout.known.len() <= MOST);
    }
}
