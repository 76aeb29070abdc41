//! Where a client may come from.

use std::net::IpAddr;

/// A network that this machine is in: its own address there and the mask.
pub type Network = (IpAddr, IpAddr);

/// Addresses of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Addresses {
    /// Any.
    All,
    /// Those of this machine.
    SameHost,
    /// Those of the networks that this machine is in.
    SameNet,
    /// Those that begin with so many bits of this one.
    Net(IpAddr, u32),
}

/// Reads `ADDRESS/BITS`, an address alone or with a mask, `all`, `samehost` and `samenet`.
pub(in crate::config) fn read(text: &str, mask: Option<IpAddr>) -> Result<Addresses, String> {
    match text {
        "all" => return Ok(Addresses::All),
        "samehost" => return Ok(Addresses::SameHost),
        "samenet" => return Ok(Addresses::SameNet),
        _ => {}
    }
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(format!(
            "{text:?} is no address; names of hosts are not supported, since whoever answers for a name decides who gets in"
        ));
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match (bits, mask) {
        (Some(bits), None) => (bits.parse().ok())
            .filter(|&bits| bits <= most)
            .ok_or_else(|| format!("/{bits} is no number of bits up to {most}"))?,
        (None, Some(mask)) => of_mask(address, mask)?,
        (None, None) => most,
        (Some(_), Some(_)) => return Err("has both /BITS and a mask".to_owned()),
    };
    let line = Addresses::Net(address, bits);
    match line.hold(address, None, Vec::new) && cut(address, bits) == value(address) {
        true => Ok(line),
        false => Err(format!(
            "{text} has bits beyond its network; write the network's own address"
        )),
    }
}

fn of_mask(address: IpAddr, mask: IpAddr) -> Result<u32, String> {
    if address.is_ipv4() != mask.is_ipv4() {
        return Err(format!("mask {mask} is of another kind than {address}"));
    }
    let width = if mask.is_ipv4() { 32 } else { 128 };
    let bits = (value(mask) << (128 - width)).leading_ones().min(width);
    match cut(mask, bits) == value(mask) {
        true => Ok(bits),
        false => Err(format!("mask {mask} has holes")),
    }
}

fn value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The first `bits` of an address, the rest zero.
fn cut(address: IpAddr, bits: u32) -> u128 {
    let width = if address.is_ipv4() { 32 } else { 128 };
    let rest = width - bits.min(width);
    (value(address).checked_shr(rest).unwrap_or(0))
        .checked_shl(rest)
        .unwrap_or(0)
}

impl Addresses {
    /// Whether an address is one of these; `to` is the one that it connected to, and `networks` tells
    /// those of this machine.
    pub(in crate::config) fn hold(
        self,
        from: IpAddr,
        to: Option<IpAddr>,
        networks: fn() -> Vec<Network>,
    ) -> bool {
        let from = plain(from);
        match self {
            Addresses::All => true,
            Addresses::SameHost => from.is_loopback() || to.map(plain) == Some(from),
            Addresses::SameNet => networks().into_iter().any(|(own, mask)| {
                own.is_ipv4() == from.is_ipv4()
                    && mask.is_ipv4() == from.is_ipv4()
                    && value(own) & value(mask) == value(from) & value(mask)
            }),
            Addresses::Net(net, bits) => {
                let net = plain_net(net, bits);
                net.0.is_ipv4() == from.is_ipv4() && cut(from, net.1) == cut(net.0, net.1)
            }
        }
    }
}

/// A socket for both kinds shows addresses of IPv4 as `::ffff:…`.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn plain_net(net: IpAddr, bits: u32) -> (IpAddr, u32) {
    match net {
        IpAddr::V6(six) if bits >= 96 => match six.to_ipv4_mapped() {
            Some(four) => (IpAddr::V4(four), bits - 96),
            None => (net, bits),
        },
        _ => (net, bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_is_in_them() {
        for (line, mask, inside, outside) in [
            ("10.0.0.0/8", None, "10.255.1.2", "11.0.0.1"),
            ("10.1.0.0", Some("255.255.0.0"), "10.1.9.9", "10.2.0.0"),
            ("127.0.0.1", None, "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", None, "8.8.8.8", "::1"),
            ("::/0", None, "2001:db8::1", "8.8.8.8"),
            ("2001:db8::/32", None, "2001:db8:1::", "2001:db9::"),
            ("::ffff:10.0.0.0/104", None, "10.9.9.9", "11.0.0.0"),
            ("10.0.0.0/8", None, "::ffff:10.3.3.3", "::ffff:11.0.0.0"),
        ] {
            let mask = mask.map(|mask| mask.parse().expect("an address"));
            let read = read(line, mask).unwrap_or_else(|why| panic!("{line}: {why}"));
            let of = |text: &str| read.hold(text.parse().expect("an address"), None, Vec::new);
            assert_eq!((of(inside), of(outside)), (true, false), "{line}");
        }
        let same = read("samehost", None).expect("known");
        let hold = |from: &str, to: &str| {
            same.hold(from.parse().expect("an address"), to.parse().ok(), Vec::new)
        };
        assert!(hold("10.0.0.5", "10.0.0.5") && hold("127.0.0.1", "10.0.0.5"));
        assert!(!hold("10.0.0.6", "10.0.0.5"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for (line, mask) in [
            ("10.0.0.1/8", None),
            ("10.0.0.0/33", None),
            ("10.0.0.0/x", None),
            ("db.example.com", None),
            (".example.com", None),
            ("10.0.0.0", Some("255.0.255.0")),
            ("10.0.0.0", Some("ffff::")),
            ("10.0.0.0/8", Some("255.0.0.0")),
        ] {
            let mask = mask.map(|mask| mask.parse().expect("an address"));
            assert!(read(line, mask).is_err(), "{line}");
        }
    }
}
