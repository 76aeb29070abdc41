//! Host names that lead elsewhere after a while.
//!
//! A name is looked up for each new connection. Those that are open to an address which the name does not have any
//! more would stay for as long as they live, with a server that was moved away from: names are looked up again
//! after `dns_max_ttl`, and such connections are closed as soon as they are free.
//!
//! Source: PgBouncer, `dns_max_ttl`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::registry::Pools;
use crate::config::Host;
use crate::net::PeerAddr;
use crate::timer::timeout;

/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name that has to be looked up for a connection to `host`, if it is one.
pub(super) fn name(host: &Host) -> Option<&str> {
    match host {
        Host::Tcp { host, .. } if host.parse::<IpAddr>().is_err() => Some(host),
        _ => None,
    }
}

/// Whether a connection to `host` goes to an address that the name does not have any more.
pub(super) fn is_left_behind(
    host: &Host,
    addr: &PeerAddr,
    looked_up: &str,
    found: &[IpAddr],
) -> bool {
    match addr {
        PeerAddr::Tcp(addr) => {
            let now = addr.ip().to_canonical();
            name(host) == Some(looked_up) && !found.iter().any(|one| one.to_canonical() == now)
        }
        PeerAddr::Unix | PeerAddr::Gone => false,
    }
}

impl Pools {
    /// Looks the names of all servers up again if that is due. A name that is not found now changes nothing.
    pub(super) fn look_up_names(self: &Rc<Self>, now: Instant) {
        let ttl = self.process().config.load().settings.dns_max_ttl;
        let last = self.looked_up.get();
        if ttl.is_zero() || now.saturating_duration_since(last) < ttl {
            return;
        }
        self.looked_up.set(now);
        let names: BTreeSet<String> = (self.all().iter()).flat_map(|pool| pool.names()).collect();
        if names.is_empty() {
            return;
        }
        let pools = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            for name in names {
                let looking = tokio::net::lookup_host((name.as_str(), 0));
                let Ok(Ok(found)) = timeout(PATIENCE, looking).await else {
                    continue;
                };
                let found: Vec<IpAddr> = found.map(|addr| addr.ip()).collect();
                let Some(pools) = pools.upgrade() else { return };
                if !found.is_empty() {
                    pools
                        .all()
                        .iter()
                        .for_each(|pool| pool.leave_addresses(&name, &found));
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_another_address_is_left_behind() {
        let host = |host: &str| Host::parse(host.to_owned(), 5432);
        let addr = |text: &str| PeerAddr::Tcp(text.parse().expect("an address"));
        let found: Vec<IpAddr> = ["10.0.0.1", "::1"]
            .map(|ip| ip.parse().expect("an address"))
            .to_vec();
        let left = |to: &str, at: &str| is_left_behind(&host(to), &addr(at), "db", &found);
        assert!(!left("db", "10.0.0.1:5432"));
        assert!(
            !left("db", "[::ffff:10.0.0.1]:5432"),
            "the same in another form"
        );
        assert!(!left("db", "[::1]:5432"));
        assert!(left("db", "10.0.0.2:5432"));
        assert!(!left("other", "10.0.0.2:5432"), "another name");
        assert!(!is_left_behind(
            &host("/tmp"),
            &PeerAddr::Unix,
            "db",
            &found
        ));
        assert_eq!(name(&host("10.0.0.1")), None);
        assert_eq!(name(&host("::1")), None);
        assert_eq!(name(&host("db")), Some("db"));
    }
}
