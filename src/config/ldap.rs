//! How an LDAP server is to check passwords: the options of `auth_ldap_options` and of lines of
//! `auth_hba_file`.
//!
//! Source: PostgreSQL manual, "LDAP Authentication"; PgBouncer, `auth_ldap_options`; RFC 4516 (URLs).

use super::Secret;

/// What stands for the user's name in a filter.
pub const USER: &str = "$username";

/// An LDAP server and what to ask it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ldap {
    /// Names or addresses, at least one; tried in this order.
    pub servers: Vec<String>,
    /// The port of all of them.
    pub port: u16,
    /// How the connection is encrypted.
    pub encryption: Encryption,
    /// What the user's entry is.
    pub way: Way,
}

/// How connections to LDAP servers are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    Plain,
    /// Asked for on the plain port.
    StartTls,
    /// From the first byte on.
    Ldaps,
}

/// How the entry of a user is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Its name is the user's, with this in front and behind.
    Bind {
        /// In front.
        prefix: String,
        /// Behind.
        suffix: String,
    },
    /// By a search.
    Search {
        /// Where.
        base: String,
        /// How deep.
        scope: Scope,
        /// As whom; empty for nobody.
        bind_dn: String,
        /// Whose password it is.
        bind_password: Secret,
        /// What for, with [`USER`] for the user's name.
        filter: String,
    },
}

/// How deep a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The entry itself.
    Base,
    /// Those directly below.
    One,
    /// It and everything below.
    Sub,
}

/// Options while they are being read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    servers: Vec<String>,
    port: Option<u16>,
    ldaps: bool,
    start_tls: bool,
    prefix: Option<String>,
    suffix: Option<String>,
    base: Option<String>,
    scope: Option<Scope>,
    bind_dn: Option<String>,
    bind_password: Option<Secret>,
    attribute: Option<String>,
    filter: Option<String>,
}

impl Draft {
    /// Takes an option; `false` if it is none of LDAP's.
    ///
    /// # Errors
    /// What is wrong with its value.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let text = || Some(value.to_owned());
        match name {
            "ldapserver" => self.servers = value.split_whitespace().map(str::to_owned).collect(),
            "ldapport" => self.port = Some(port(value)?),
            "ldapscheme" => {
                self.ldaps = match value {
                    "ldap" => false,
                    "ldaps" => true,
                    other => return Err(format!("ldapscheme={other} is neither ldap nor ldaps")),
                }
            }
            "ldaptls" => {
                self.start_tls = match value {
                    "1" => true,
                    "0" => false,
                    other => return Err(format!("ldaptls={other} is neither 0 nor 1")),
                }
            }
            "ldapprefix" => self.prefix = text(),
            "ldapsuffix" => self.suffix = text(),
            "ldapbasedn" => self.base = text(),
            "ldapbinddn" => self.bind_dn = text(),
            "ldapbindpasswd" => self.bind_password = Some(Secret::new(value)),
            "ldapsearchattribute" => self.attribute = text(),
            "ldapsearchfilter" => self.filter = text(),
            "ldapurl" => self.url(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `ldap://HOST[:PORT]/BASE[?ATTRIBUTE[?SCOPE[?FILTER]]]`
    fn url(&mut self, url: &str) -> Result<(), String> {
        let bad = |why: &str| {
            format!("ldapurl: {why}; it is ldap://HOST:PORT/BASE?ATTRIBUTE?SCOPE?FILTER")
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("no scheme"))?;
        self.ldaps = match scheme {
            "ldap" => false,
            "ldaps" => true,
            _ => return Err(bad("the scheme is neither ldap nor ldaps")),
        };
        let (host, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let after_host = host.rfind(']').map_or(0, |end| end + 1);
        let (name, number) = match host.get(after_host..).and_then(|rest| rest.rfind(':')) {
            Some(colon) => host.split_at(after_host + colon),
            None => (host, ""),
        };
        self.servers = vec![
            name.trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
        ];
        if let Some(number) = number.strip_prefix(':') {
            self.port = Some(port(number)?);
        }
        let decode = |text: &str| decoded(text).ok_or_else(|| bad("a %-sequence is malformed"));
        let mut parts = rest.split('?');
        self.base = Some(decode(parts.next().unwrap_or_default())?);
        let mut part = || parts.next().filter(|part| !part.is_empty());
        self.attribute = part().map(decode).transpose()?;
        // The entry itself is what a URL means without a scope.
        self.scope = Some(match part() {
            None | Some("base") => Scope::Base,
            Some("one") => Scope::One,
            Some("sub") => Scope::Sub,
            Some(_) => return Err(bad("the scope is none of base, one and sub")),
        });
        self.filter = part().map(decode).transpose()?;
        if part().is_some() {
            return Err(bad("extensions are not supported"));
        }
        Ok(())
    }

    /// Puts the options together.
    ///
    /// # Errors
    /// What is missing, or does not go together.
    pub(super) fn finish(self) -> Result<Ldap, String> {
        let servers = self.servers;
        if servers.iter().all(String::is_empty) {
            return Err("ldap needs ldapserver".to_owned());
        }
        if let Some(bad) = servers.iter().find(|name| !is_host(name)) {
            return Err(format!(
                "ldapserver: {bad:?} is no host; its port is ldapport"
            ));
        }
        let encryption = match (self.ldaps, self.start_tls) {
            (true, true) => {
                return Err("ldaptls=1 and ldapscheme=ldaps do not go together".to_owned());
            }
            (true, false) => Encryption::Ldaps,
            (false, true) => Encryption::StartTls,
            (false, false) => Encryption::Plain,
        };
        let searches = self.bind_dn.is_some()
            || self.bind_password.is_some()
            || self.attribute.is_some()
            || self.filter.is_some();
        let way = match (self.base, self.prefix.is_some() || self.suffix.is_some()) {
            (Some(_), true) => {
                return Err("ldapprefix and ldapsuffix do not go together with a search".to_owned());
            }
            (None, _) if searches => return Err("a search needs ldapbasedn".to_owned()),
            (None, false) => {
                return Err("ldap needs ldapprefix or ldapsuffix, or ldapbasedn".to_owned());
            }
            (None, true) => Way::Bind {
                prefix: self.prefix.unwrap_or_default(),
                suffix: self.suffix.unwrap_or_default(),
            },
            (Some(base), false) => Way::Search {
                base,
                scope: self.scope.unwrap_or(Scope::Sub),
                bind_dn: self.bind_dn.unwrap_or_default(),
                bind_password: self.bind_password.unwrap_or_else(|| Secret::new("")),
                filter: filter(self.attribute, self.filter)?,
            },
        };
        Ok(Ldap {
            servers,
            port: self.port.unwrap_or(match encryption {
                Encryption::Ldaps => 636,
                Encryption::Plain | Encryption::StartTls => 389,
            }),
            encryption,
            way,
        })
    }
}

fn filter(attribute: Option<String>, filter: Option<String>) -> Result<String, String> {
    match (attribute, filter) {
        (Some(_), Some(_)) => {
            Err("ldapsearchattribute and ldapsearchfilter do not go together".to_owned())
        }
        (None, Some(filter)) if !filter.contains(USER) => Err(format!(
            "the filter does not name the user; write {USER} in it"
        )),
        (None, Some(filter)) => match ldap3::parse_filter(filter.replace(USER, "x")) {
            Ok(_) => Ok(filter),
            Err(_) => Err(format!("{filter:?} is no LDAP filter")),
        },
        (attribute, None) => {
            let attribute = attribute.unwrap_or_else(|| "uid".to_owned());
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b';');
            match !attribute.is_empty() && attribute.bytes().all(plain) {
                true => Ok(format!("({attribute}={USER})")),
                false => Err(format!("{attribute:?} is no attribute")),
            }
        }
    }
}

fn port(text: &str) -> Result<u16, String> {
    (text.parse().ok().filter(|&port| port != 0)).ok_or_else(|| format!("{text:?} is no port"))
}

fn is_host(name: &str) -> bool {
    name.parse::<std::net::IpAddr>().is_ok()
        || !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// The text that a URL means.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        out.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(out)
        .ok()
        .filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<Ldap, String> {
        let mut draft = Draft::default();
        for (name, value) in options {
            assert!(draft.set(name, value)?, "{name}");
        }
        draft.finish()
    }

    #[test]
    fn a_name_with_something_around_it() {
        let ldap = read(&[
            ("ldapserver", "one.example two.example"),
            ("ldapprefix", "uid="),
            ("ldapsuffix", ",ou=people"),
        ]);
        let way = Way::Bind {
            prefix: "uid=".to_owned(),
            suffix: ",ou=people".to_owned(),
        };
        let wanted = Ldap {
            servers: vec!["one.example".to_owned(), "two.example".to_owned()],
            port: 389,
            encryption: Encryption::Plain,
            way,
        };
        assert_eq!(ldap, Ok(wanted));
        let tls = [
            ("ldapserver", "::1"),
            ("ldapsuffix", "@corp"),
            ("ldaptls", "1"),
        ];
        assert_eq!(read(&tls).unwrap().encryption, Encryption::StartTls);
    }

    #[test]
    fn searches_by_options_and_by_url() {
        let by_options = read(&[
            ("ldapserver", "dir.example"),
            ("ldapscheme", "ldaps"),
            ("ldapport", "6360"),
            ("ldapbasedn", "dc=a b"),
            ("ldapsearchfilter", "(|(uid=$username)(mail=$username))"),
        ])
        .unwrap();
        let url = "ldaps://dir.example:6360/dc=a%20b??sub?(|(uid=$username)(mail=$username))";
        assert_eq!(read(&[("ldapurl", url)]), Ok(by_options));
        let of = |ldap: Ldap| match ldap.way {
            Way::Search { scope, filter, .. } => (scope, filter),
            Way::Bind { .. } => panic!("a search"),
        };
        let (scope, filter) = of(read(&[("ldapurl", "ldap://[::1]/dc=x?cn?one")]).unwrap());
        assert_eq!((scope, filter.as_str()), (Scope::One, "(cn=$username)"));
        let (scope, filter) = of(read(&[("ldapurl", "ldap://h/dc=x")]).unwrap());
        assert_eq!((scope, filter.as_str()), (Scope::Base, "(uid=$username)"));
        let ldap = read(&[("ldapserver", "h"), ("ldapbasedn", "dc=x")]).unwrap();
        assert_eq!(of(ldap).0, Scope::Sub);
    }

    #[test]
    fn what_is_missing_or_contradicts_itself_is_told() {
        let server = ("ldapserver", "h");
        for options in [
            &[("ldapsuffix", "x")][..],
            &[server],
            &[("ldapserver", ""), ("ldapsuffix", "x")],
            &[("ldapserver", "h:389"), ("ldapsuffix", "x")],
            &[("ldapserver", "ldap://h"), ("ldapsuffix", "x")],
            &[server, ("ldapsuffix", "x"), ("ldapport", "0")],
            &[server, ("ldapsuffix", "x"), ("ldapport", "65536")],
            &[server, ("ldapsuffix", "x"), ("ldaptls", "yes")],
            &[server, ("ldapsuffix", "x"), ("ldapscheme", "ldapi")],
            &[
                server,
                ("ldapsuffix", "x"),
                ("ldaptls", "1"),
                ("ldapscheme", "ldaps"),
            ],
            &[server, ("ldapsuffix", "x"), ("ldapbasedn", "y")],
            &[server, ("ldapsuffix", "x"), ("ldapsearchattribute", "y")],
            &[server, ("ldapbinddn", "x")],
            &[server, ("ldapbasedn", "x"), ("ldapsearchattribute", "a)(b")],
            &[
                server,
                ("ldapbasedn", "x"),
                ("ldapsearchfilter", "(uid=me)"),
            ],
            &[
                server,
                ("ldapbasedn", "x"),
                ("ldapsearchfilter", "(&(uid=$username)"),
            ],
            &[
                server,
                ("ldapbasedn", "x"),
                ("ldapsearchattribute", "a"),
                ("ldapsearchfilter", "($username)"),
            ],
            &[("ldapurl", "h/dc=x")],
            &[("ldapurl", "ldapi://h/dc=x")],
            &[("ldapurl", "ldap://h:x/dc=x")],
            &[("ldapurl", "ldap:///dc=x")],
            &[("ldapurl", "ldap://h/dc=%4")],
            &[("ldapurl", "ldap://h/dc=%zz")],
            &[("ldapurl", "ldap://h/dc=x??tree")],
            &[("ldapurl", "ldap://h/dc=x??sub?(a=$username)?ext")],
        ] {
            assert!(read(options).is_err(), "{options:?}");
        }
        assert_eq!(Draft::default().set("map", "x"), Ok(false));
    }

    #[test]
    fn passwords_are_not_shown() {
        let ldap = read(&[
            ("ldapserver", "h"),
            ("ldapbasedn", "x"),
            ("ldapbinddn", "cn=me"),
            ("ldapbindpasswd", "secret-word"),
        ]);
        assert!(!format!("{ldap:?}").contains("secret-word"));
    }
}
