//! Whose statements are written to the audit trail: `[audit]` and `[[audit.override]]`.
//!
//! ```toml
//! [audit]
//! file = "/var/log/pgweir/audit.jsonl"
//! policy = "writes"
//!
//! [[audit.override]]
//! database = "payments"
//! policy = "all"
//!
//! [[audit.override]]
//! user = "metrics"
//! policy = "failed-logins"
//! ```
//!
//! What the words of a policy mean is nothing that this layer knows: they are kept with their places
//! and judged by whoever writes the trail.

use super::document::{Document, Place, Raw};
use super::errors::ConfigError;

/// The policy for whoever both names fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditOverride {
    /// Only this database.
    pub database: Option<String>,
    /// Only this user.
    pub user: Option<String>,
    /// What is written, in the words of `audit_policy`; none: as elsewhere.
    pub policy: Option<String>,
    /// One of how many statements is written; none: as elsewhere.
    pub sample: Option<u32>,
    /// Where that is written, with an empty message.
    pub place: ConfigError,
}

impl AuditOverride {
    /// Whether both say the same, wherever it is written.
    pub fn same(&self, other: &Self) -> bool {
        let without = |one: &Self| Self {
            place: ConfigError::default(),
            ..one.clone()
        };
        without(self) == without(other)
    }
}

/// The keys of `[audit]` that are other names for keys of `[pgweir]`.
pub(super) fn alias(key: &str) -> String {
    format!("audit_{key}")
}

/// Reads all `[[audit.override]]`; mistakes of form are recorded in `errors`.
pub(super) fn read(document: &Document, errors: &mut Vec<ConfigError>) -> Vec<AuditOverride> {
    let mut found = Vec::new();
    for entry in &document.audit {
        let Raw::List(all) = &entry.value else {
            let message = "is a list; write [[audit.override]]";
            errors.push(document.error_at(entry.place, "audit.override", message));
            continue;
        };
        for one in all {
            match one {
                Raw::Table(keys) => found.push(table(document, keys, entry.place, errors)),
                _ => {
                    let message = "is a list of tables; write [[audit.override]]";
                    errors.push(document.error_at(entry.place, "audit.override", message));
                }
            }
        }
    }
    found
}

fn table(
    document: &Document,
    keys: &[(String, Raw, Place)],
    place: Place,
    errors: &mut Vec<ConfigError>,
) -> AuditOverride {
    let first = keys.first().map_or(place, |(_, _, place)| *place);
    let mut found = AuditOverride {
        place: document.error_at(first, "audit.override", ""),
        ..AuditOverride::default()
    };
    for (key, value, place) in keys {
        let told = match (key.as_str(), value) {
            ("database", Raw::Text(name)) => {
                found.database = Some(name.to_string());
                None
            }
            ("user", Raw::Text(name)) => {
                found.user = Some(name.to_string());
                None
            }
            ("policy", Raw::Text(words)) => {
                found.policy = Some(words.to_string());
                None
            }
            ("sample", Raw::Int { value, .. }) => match u32::try_from(*value) {
                Ok(sample) if sample > 0 => {
                    found.sample = Some(sample);
                    None
                }
                _ => Some("one of how many statements is written: a number from 1 on".to_owned()),
            },
            ("database" | "user" | "policy" | "sample", other) => Some(format!(
                "is {}; {} is wanted",
                other.kind(),
                if key == "sample" { "a number" } else { "text" }
            )),
            _ => Some("unknown key; there are database, user, policy and sample".to_owned()),
        };
        if let Some(message) = told {
            errors.push(document.error_at(*place, format!("audit.override.{key}"), message));
        }
    }
    let told = if found.database.is_none() && found.user.is_none() {
        Some("names nobody; give database or user, or use [audit]")
    } else if found.policy.is_none() && found.sample.is_none() {
        Some("says nothing; give policy or sample")
    } else {
        None
    };
    if let Some(message) = told {
        errors.push(document.error_at(first, "audit.override", message));
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn overrides_are_read_in_order() {
        let text = "[audit]\nfile = \"a\"\npolicy = \"ddl\"\n[[audit.override]]\ndatabase = \"d\"\nuser = \"u\"\npolicy = \"all\"\n[[audit.override]]\nuser = \"v\"\nsample = 10\n";
        let config = Config::from_toml(text).expect("valid");
        assert_eq!(config.settings.audit_policy, "ddl");
        assert_eq!(config.settings.audit_file.as_deref(), Some("a".as_ref()));
        let said: Vec<_> = (config.audit.iter())
            .map(|one| {
                (
                    one.database.as_deref(),
                    one.user.as_deref(),
                    one.policy.as_deref(),
                    one.sample,
                    one.place.line,
                )
            })
            .collect();
        assert_eq!(
            said,
            [
                (Some("d"), Some("u"), Some("all"), None, 5),
                (None, Some("v"), None, Some(10), 9)
            ]
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "[audit]\noverride = 5\n";
        let told = Config::from_toml(text).expect_err("a mistake").to_string();
        assert!(
            told.contains("config:2: audit.override: is a list"),
            "{told}"
        );
        let text = "[[audit.override]]\nsample = 0\nuser = 7\ncolour = \"x\"\n[[audit.override]]\nuser = \"u\"\n[audit]\nfil = \"x\"\n";
        let told = Config::from_toml(text).expect_err("mistakes").to_string();
        for wanted in [
            "config:2: audit.override: names nobody",
            "config:2: audit.override.sample: one of how many",
            "config:3: audit.override.user: is a whole number; text is wanted",
            "config:4: audit.override.colour: unknown key",
            "config:6: audit.override: says nothing",
            "config:8: pgweir.audit_fil: unknown key; did you mean audit_file?",
        ] {
            assert!(told.contains(wanted), "{wanted} in\n{told}");
        }
    }
}
