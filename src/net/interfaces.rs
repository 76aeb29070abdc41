//! The networks that this machine is in.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// Address and mask of each interface of this machine. Empty if the system does not tell; that is
/// logged.
pub fn networks() -> Vec<(IpAddr, IpAddr)> {
    let all = match getifaddrs() {
        Ok(all) => all,
        Err(error) => {
            tracing::warn!(%error, "cannot look up the interfaces of this machine; nobody comes from samenet");
            return Vec::new();
        }
    };
    all.filter_map(|one| Some((ip(&one.address?)?, ip(&one.netmask?)?)))
        .collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(four), _) => Some(IpAddr::V4(four.ip())),
        (None, Some(six)) => Some(IpAddr::V6(six.ip())),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn loopback_is_one_of_them() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mask = IpAddr::V4(Ipv4Addr::new(255, 0, 0, 0));
        let all = super::networks();
        assert!(all.contains(&(loopback, mask)), "{all:?}");
    }
}
