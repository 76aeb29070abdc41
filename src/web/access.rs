//! Who may see the API.
//!
//! On a loopback address everybody on the machine may look, as they may at `/metrics`. A page of a
//! stranger in somebody's browser on the machine must not: it can send requests there, under a name
//! of its own that it lets lead to 127.0.0.1. So the request must name a loopback address or
//! `localhost`. A proxy on the machine speaks for others, who are anywhere.

use std::net::IpAddr;

use hyper::header::{HOST, HeaderMap};

/// Headers that proxies add.
const OF_PROXIES: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Whether a `Host` is this machine: `localhost`, or a loopback address, with any port.
fn names_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether a request that came in on a loopback address (`local`) or elsewhere may look.
///
/// # Errors
/// Why not, and what to do, for people.
pub fn may_look(local: bool, headers: &HeaderMap) -> Result<(), &'static str> {
    if !local {
        return Err(
            "the page and the API are served on a loopback address only; http_listen is none",
        );
    }
    if OF_PROXIES.iter().any(|name| headers.contains_key(*name)) {
        return Err("the page and the API are not served through a proxy");
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    };
    match names_loopback(host) {
        true => Ok(()),
        false => Err(
            "the page and the API are served to http://localhost and loopback addresses only, and this request names another host",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn looked(local: bool, all: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_static(value));
        }
        may_look(local, &headers).is_ok()
    }

    #[test]
    fn only_requests_to_this_machine_may_look() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:6433",
            "127.9.9.9",
            "[::1]:6433",
            "[::1]",
        ] {
            assert!(looked(true, &[("host", host)]), "{host}");
            assert!(!looked(false, &[("host", host)]), "{host}");
            let proxied = [("host", host), ("x-forwarded-for", "192.0.2.1")];
            assert!(!looked(true, &proxied), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:80",
            "127.0.0.1.evil.example",
            "192.0.2.1",
            "[::2]",
            "[::1",
            "::1",
        ] {
            assert!(!looked(true, &[("host", host)]), "{host}");
        }
        assert!(!looked(true, &[]));
        assert!(!looked(
            true,
            &[("host", "localhost"), ("host", "evil.example")]
        ));
    }
}
