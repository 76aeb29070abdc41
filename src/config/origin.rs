//! Where connections may come from that are trusted with something.

use std::net::IpAddr;

use super::hba::address::{self, Addresses};

/// A network, or the unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// As it is written.
    text: String,
    /// `None` for the unix socket.
    network: Option<Addresses>,
}

impl Origin {
    /// Reads `ADDRESS`, `ADDRESS/BITS` or `unix`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Origin, String> {
        let network = match text {
            "unix" => None,
            _ => match address::read(text, None)? {
                network @ Addresses::Net(..) => Some(network),
                _ => {
                    return Err(format!(
                        "{text:?} is no address; write ADDRESS/BITS or unix"
                    ));
                }
            },
        };
        Ok(Origin {
            text: text.to_owned(),
            network,
        })
    }

    /// Whether a connection from `ip` is one of these; `None` is the unix socket.
    pub fn holds(&self, ip: Option<IpAddr>) -> bool {
        match (self.network, ip) {
            (Some(network), Some(ip)) => network.hold(ip, None, Vec::new),
            (None, None) => true,
            _ => false,
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn networks_and_the_unix_socket() {
        let holds = |text: &str, ip: &str| {
            let origin = Origin::parse(text).expect("an origin");
            assert_eq!(origin.as_str(), text);
            origin.holds(ip.parse().ok())
        };
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("192.0.2.1", "192.0.2.1") && !holds("192.0.2.1", "192.0.2.2"));
        assert!(holds("unix", "") && !holds("unix", "127.0.0.1") && !holds("0.0.0.0/0", ""));
        for bad in [
            "",
            "all",
            "samehost",
            "samenet",
            "10.0.0.1/8",
            "lb.example",
            "unix/1",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }
}
