//! Keys of PgBouncer that a `pgbouncer.ini` may have and that have nothing to do here.
//!
//! A file that PgBouncer runs with must run pgweir too, and an operator must not believe that
//! something is in force that is not. So such a key is read, its value is checked as PgBouncer
//! checks it, and unless the value asks for nothing a warning says at start, at RELOAD and in
//! `pgweir check` why it does nothing.

/// One such key of `[pgbouncer]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its name.
    pub name: &'static str,
    /// PgBouncer's default.
    pub default: &'static str,
    /// What PgBouncer takes.
    takes: Takes,
    /// Why it does nothing, the end of a sentence that begins with the key.
    pub why: &'static str,
}

/// What values PgBouncer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Anything.
    Text,
    /// A whole number from this one up.
    Whole(i64),
    /// Seconds, also parts of them.
    Seconds,
}

const CIPHERS: &str = "has no effect: only suites with forward secrecy and authenticated encryption exist here (AES-GCM and ChaCha20-Poly1305, in TLS 1.2 with ECDHE), so there is nothing weaker to leave out";

/// Source: PgBouncer, "Configuration File".
pub const ACCEPTED: &[Accepted] = &[
    row("client_tls13_ciphers", "", Takes::Text, CIPHERS),
    row("client_tls_ciphers", "default", Takes::Text, CIPHERS),
    row(
        "client_tls_dheparams",
        "auto",
        Takes::Text,
        "has no effect: key exchange is by elliptic curves only, so no Diffie-Hellman parameters are needed",
    ),
    row(
        "client_tls_ecdhcurve",
        "auto",
        Takes::Text,
        "has no effect: X25519, P-256 and P-384 are offered and the client chooses",
    ),
    row(
        "conffile",
        "",
        Takes::Text,
        "has no effect in a file: the file that was named at start is read again; SET conffile on the console names another",
    ),
    row(
        "dns_nxdomain_ttl",
        "15",
        Takes::Seconds,
        "has no effect: a name that is not found is looked up again with the next connection that needs it, which server_login_retry paces",
    ),
    row(
        "dns_zone_check_period",
        "0",
        Takes::Seconds,
        "has no effect: names are looked up again after dns_max_ttl, not when their zone's serial changes; lower dns_max_ttl instead",
    ),
    row(
        "job_name",
        "pgbouncer",
        Takes::Text,
        "has no effect: it names a service of Windows, where pgweir does not run",
    ),
    row(
        "pkt_buf",
        "4096",
        Takes::Whole(1),
        "has no effect: an idle client has no buffer, and the others share one per thread",
    ),
    row(
        "resolv_conf",
        "",
        Takes::Text,
        "has no effect: names are looked up by the system, with the system's resolv.conf and hosts",
    ),
    row(
        "sbuf_loopcnt",
        "5",
        Takes::Whole(0),
        "has no effect: how long one connection may keep the others waiting is bounded by itself",
    ),
    row("server_tls13_ciphers", "", Takes::Text, CIPHERS),
    row("server_tls_ciphers", "default", Takes::Text, CIPHERS),
    row(
        "service_name",
        "pgbouncer",
        Takes::Text,
        "has no effect: it names a service of Windows, where pgweir does not run",
    ),
    row(
        "suspend_timeout",
        "10",
        Takes::Seconds,
        "has no effect: it belongs to SUSPEND and to -R, which PgBouncer itself has given up in 1.26",
    ),
    row(
        "tcp_defer_accept",
        "1",
        Takes::Whole(0),
        "has no effect: a connection that has sent nothing yet costs little more than its socket, and client_login_timeout ends it",
    ),
    row(
        "track_extra_parameters",
        "IntervalStyle",
        Takes::Text,
        "has no effect: every parameter that a client sets is tracked, whether named here or not",
    ),
];

const fn row(
    name: &'static str,
    default: &'static str,
    takes: Takes,
    why: &'static str,
) -> Accepted {
    Accepted {
        name,
        default,
        takes,
        why,
    }
}

/// The row of a key.
pub fn accepted(name: &str) -> Option<&'static Accepted> {
    ACCEPTED.iter().find(|row| row.name == name)
}

impl Accepted {
    /// Checks a value as PgBouncer would, and tells whether a warning is due.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn check(&self, value: &str) -> Result<bool, String> {
        let number = |valid: bool, what: &str| match valid {
            true => Ok(()),
            false => Err(format!("{value:?} is not {what}")),
        };
        match self.takes {
            Takes::Text => {}
            Takes::Whole(min) => {
                let whole = value.parse::<i64>().ok().filter(|n| *n >= min);
                number(
                    whole.is_some(),
                    &format!("a whole number of at least {min}"),
                )?;
            }
            Takes::Seconds => {
                let seconds = value.parse::<f64>().ok();
                let valid = seconds.is_some_and(|n| n.is_finite() && n >= 0.0);
                number(valid, "a number of seconds")?;
            }
        }
        Ok(value != self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::Section;
    use crate::config::reference::find;

    #[test]
    fn no_key_is_both_accepted_and_something_else() {
        assert!(ACCEPTED.is_sorted_by_key(|row| row.name));
        for row in ACCEPTED {
            assert!(find(&Section::Process, row.name).is_none(), "{}", row.name);
            assert!(row.why.starts_with("has no effect"), "{}", row.name);
            assert_eq!(row.check(row.default), Ok(false), "{}", row.name);
        }
    }

    #[test]
    fn values_are_checked_as_pgbouncer_does() {
        let check = |name: &str, value| accepted(name).expect("known").check(value);
        assert_eq!(check("pkt_buf", "8192"), Ok(true));
        assert!(check("pkt_buf", "8k").is_err());
        assert!(check("pkt_buf", "0").is_err());
        assert_eq!(check("suspend_timeout", "2.5"), Ok(true));
        assert!(check("suspend_timeout", "inf").is_err());
        assert!(check("suspend_timeout", "-1").is_err());
        assert_eq!(check("client_tls_ciphers", "HIGH:!aNULL"), Ok(true));
        assert!(accepted("colour").is_none());
    }
}
