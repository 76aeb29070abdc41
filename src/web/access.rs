//! Who may see the page and the API, and who may act.
//!
//! On a loopback address everybody on the machine may look, as they may at `/metrics`, unless
//! `http_login` says otherwise. A page of a stranger in somebody's browser on the machine must not: it
//! can send requests there, under a name of its own that it lets lead to 127.0.0.1. So such a request
//! must name a loopback address or `localhost`. A proxy on the machine speaks for others, who are
//! anywhere.
//!
//! Users of the console log in with their password there (HTTP Basic): those of `stats_users` may look,
//! those of `admin_users` may also act.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use zeroize::Zeroizing;

use super::api::Refused;
use crate::admin::Rights;
use crate::config::{Secret, Settings};

/// Headers that proxies add.
const OF_PROXIES: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// The header that a request to act must have, with any value: no form and no page of a stranger can
/// send it without being asked for leave first, which nobody gives.
pub const MARK: &str = "x-pgweir";

/// Longest name of a user, in bytes.
const LONGEST_NAME: usize = 128;

/// Who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// The name of somebody who has logged in.
    pub user: Option<String>,
    /// What they may do.
    pub rights: Rights,
}

impl Visitor {
    /// Somebody on the machine.
    pub const ANYBODY: Self = Self {
        user: None,
        rights: Rights::Stats,
    };

    /// The word for what they may do.
    pub fn role(&self) -> &'static str {
        match self.rights {
            Rights::Stats => "viewer",
            Rights::Admin => "operator",
        }
    }
}

/// A name and a password that somebody showed.
pub struct Shown {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// What a request shows of itself; `None` if nothing, or nothing that can be read.
///
/// Source: RFC 7617.
pub fn shown(headers: &HeaderMap) -> Option<Shown> {
    let (scheme, rest) = one(headers, AUTHORIZATION.as_str())?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode(rest.trim()).ok()?);
    let (user, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    if user.is_empty() || user.len() > LONGEST_NAME {
        return None;
    }
    Some(Shown {
        user: user.to_owned(),
        password: Secret::new(password),
    })
}

/// What a user of the console may do here. With `auth_type = any` strangers may look at the console;
/// here they may not.
pub fn rights(settings: &Settings, user: &str) -> Option<Rights> {
    let among = |names: &[String]| names.iter().any(|name| name == user);
    match (among(&settings.admin_users), among(&settings.stats_users)) {
        (true, _) => Some(Rights::Admin),
        (_, true) => Some(Rights::Stats),
        _ => None,
    }
}

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

/// Whether the way that a request came is one for this address: `local` if it is a loopback one.
/// Whoever must log in (`login`) may come any way that the operator has made.
///
/// # Errors
/// Why not, and what to do.
pub fn way(local: bool, login: bool, headers: &HeaderMap) -> Result<(), Refused> {
    let refused = |text: &str| Err(Refused(StatusCode::FORBIDDEN, text.to_owned()));
    if login {
        return Ok(());
    }
    if !local {
        return refused(
            "the page and the API are served on a loopback address only, and http_listen is none; http_login = true serves them to users who log in",
        );
    }
    if OF_PROXIES.iter().any(|name| headers.contains_key(*name)) {
        return refused(
            "the page and the API are served through a proxy to users who log in only; set http_login = true",
        );
    }
    match one(headers, HOST.as_str()).is_some_and(names_loopback) {
        true => Ok(()),
        false => refused(
            "the page and the API are served to http://localhost and loopback addresses only, and this request names another host; http_login = true serves them under any name to users who log in",
        ),
    }
}

/// Whether somebody may act with this request: an operator, from our own page or a program of theirs.
///
/// # Errors
/// Why not, and what to do.
pub fn may_act(visitor: &Visitor, headers: &HeaderMap) -> Result<(), Refused> {
    let refused = |status, text: &str| Err(Refused(status, text.to_owned()));
    if !headers.contains_key(MARK) {
        return refused(
            StatusCode::FORBIDDEN,
            "the header X-Pgweir is missing: it shows that no page of a stranger sends this",
        );
    }
    let json = one(headers, CONTENT_TYPE.as_str()).is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    });
    if !json {
        return refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be application/json",
        );
    }
    // Browsers say where the page is from; programs say nothing.
    let host = one(headers, HOST.as_str()).unwrap_or_default();
    let ours = match headers.contains_key(ORIGIN) {
        false => true,
        true => one(headers, ORIGIN.as_str()).is_some_and(|origin| {
            let name = origin
                .strip_prefix("https://")
                .or(origin.strip_prefix("http://"));
            !host.is_empty() && name.is_some_and(|name| name.eq_ignore_ascii_case(host))
        }),
    };
    let site = one(headers, "sec-fetch-site");
    if !ours || site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return refused(
            StatusCode::FORBIDDEN,
            "this was sent by a page of somebody else",
        );
    }
    match (visitor.rights, &visitor.user) {
        (Rights::Admin, Some(_)) => Ok(()),
        (_, None) => refused(
            StatusCode::UNAUTHORIZED,
            "log in as a user of admin_users first, at /login",
        ),
        _ => refused(
            StatusCode::FORBIDDEN,
            "only users of admin_users may do this",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_requests_to_this_machine_may_look_without_a_login() {
        let looked = |local, all: &[_]| way(local, false, &headers(all)).is_ok();
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
            assert!(way(false, true, &headers(&[("host", host)])).is_ok());
        }
        assert!(!looked(true, &[]));
        assert!(!looked(
            true,
            &[("host", "localhost"), ("host", "evil.example")]
        ));
    }

    #[test]
    fn names_and_passwords_are_read() {
        let read = |value| {
            let shown = shown(&headers(&[("authorization", value)]))?;
            Some((shown.user.clone(), shown.password.expose().to_owned()))
        };
        let ann = Some(("ann".to_owned(), "pass:word".to_owned()));
        assert_eq!(read("Basic YW5uOnBhc3M6d29yZA=="), ann);
        assert_eq!(read("basic YW5uOnBhc3M6d29yZA=="), ann);
        for bad in [
            "Basic",
            "Basic !",
            "Bearer YW5uOnBhc3M6d29yZA==",
            "Basic YW5u",
            "Basic OnBhc3M=",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_operators_act_and_only_from_our_own_page() {
        let operator = Visitor {
            user: Some("ann".to_owned()),
            rights: Rights::Admin,
        };
        const GOOD: [(&str, &str); 3] = [
            ("x-pgweir", "1"),
            ("content-type", "application/json; charset=utf-8"),
            ("host", "db:6433"),
        ];
        let with = |visitor: &Visitor, more: &[(&'static str, &'static str)]| {
            may_act(visitor, &headers(&[&GOOD, more].concat()))
                .map_err(|refused| refused.0.as_u16())
        };
        assert_eq!(with(&operator, &[]), Ok(()));
        assert_eq!(
            with(
                &operator,
                &[
                    ("origin", "https://db:6433"),
                    ("sec-fetch-site", "same-origin")
                ]
            ),
            Ok(())
        );
        for bad in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "db:6433"),
            ("origin", ""),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(with(&operator, &[bad]), Err(403), "{bad:?}");
        }
        assert_eq!(
            may_act(&operator, &headers(&GOOD[1..])).map_err(|r| r.0.as_u16()),
            Err(403)
        );
        assert_eq!(
            may_act(&operator, &headers(&[GOOD[0], GOOD[2]])).map_err(|r| r.0.as_u16()),
            Err(415)
        );
        assert_eq!(with(&Visitor::ANYBODY, &[]), Err(401));
        let viewer = Visitor {
            rights: Rights::Stats,
            ..operator
        };
        assert_eq!(with(&viewer, &[]), Err(403));
    }
}
