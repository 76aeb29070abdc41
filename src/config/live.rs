//! One setting changed while everything else stays: SET on the console.

use std::path::PathBuf;

use super::compile::{Places, base_of};
use super::document::{Dialect, Document, Raw, Section};
use super::field::Reading;
use super::reference::{self, Slot};
use super::suggest::nearest;
use super::{Config, checks};

/// The key that names the file a reload reads.
const FILE: &str = "conffile";

/// Why a setting cannot be changed so. The operator's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is no such setting.
    #[error("{key}: unknown key{}", .near.map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
    Unknown {
        /// The key.
        key: String,
        /// One with a similar name.
        near: Option<&'static str>,
    },
    /// Only a restart changes it.
    #[error("{0} takes a restart; change the configuration file")]
    Restart(&'static str),
    /// It is a key of PgBouncer that has nothing to do here.
    #[error("{0} {1}")]
    Inert(&'static str, &'static str),
    /// The value is wrong, or does not go with the others.
    #[error("{0}")]
    Invalid(String),
}

impl Config {
    /// This configuration with another value for one setting of the process, checked as if it
    /// stood in the file. `conffile` is the file that the next reload reads.
    ///
    /// The value is written as in the file; in the language of TOML files durations and sizes may
    /// have units. Reads the users file if that is what changes.
    ///
    /// # Errors
    /// Why not; see [`SettingError`].
    pub fn with_setting(&self, name: &str, value: &str) -> Result<Config, SettingError> {
        let mut config = self.clone();
        if name == FILE {
            config.path = Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty());
            return Ok(config);
        }
        if let Some(key) = reference::accepted(name) {
            return Err(SettingError::Inert(key.name, key.why));
        }
        let Some(key) = reference::find(&Section::Process, name) else {
            let all = reference::keys().filter(|key| matches!(key.slot, Slot::Process(_)));
            return Err(SettingError::Unknown {
                key: name.to_owned(),
                near: nearest(name, all.map(|key| key.name)),
            });
        };
        if !key.reloadable {
            return Err(SettingError::Restart(key.name));
        }
        let Slot::Process(field) = &key.slot else {
            return Ok(config);
        };
        let base = base_of(self.dialect, self.path.as_deref());
        let how = Reading {
            dialect: self.dialect,
            whole_seconds: false,
            base: &base,
        };
        let value = || value.to_owned().into();
        let mut read = field.read(&mut config.settings, &Raw::Bare(value()), how);
        if read.is_err() && self.dialect == Dialect::Toml {
            // With a unit.
            read = field
                .read(&mut config.settings, &Raw::Text(value()), how)
                .or(read);
        }
        read.map_err(|why| SettingError::Invalid(format!("{}: {why}", key.name)))?;
        if key.name == "auth_file" {
            config.secrets.clear();
        }
        let (document, places) = (Document::new(self.dialect, "SET"), Places::default());
        let mut errors = Vec::new();
        checks::check(&mut config, &places, &document, &mut errors);
        // What was wrong before is no reason against this change.
        let mut before = Vec::new();
        checks::check(&mut self.clone(), &places, &document, &mut before);
        errors.retain(|error| !before.contains(error));
        match errors.is_empty() {
            true => Ok(config),
            false => {
                let all: Vec<String> = errors
                    .iter()
                    .map(|error| format!("{}: {}", error.key, error.message))
                    .collect();
                Err(SettingError::Invalid(all.join("; ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigErrors, PoolMode, compile, ini};

    fn ini(text: &str) -> Result<Config, ConfigErrors> {
        let document = ini::parse("p.ini", text, &mut |_| Err("is not there".into()));
        compile::compile(document, Some(std::path::Path::new("p.ini")), &|_| None)
    }

    fn refused(config: &Config, key: &str, value: &str) -> String {
        config
            .with_setting(key, value)
            .expect_err("refused")
            .to_string()
    }

    #[test]
    fn the_same_checks_as_in_a_file() {
        let config = ini("[databases]\na = host=h\n[pgbouncer]\nauth_type = trust\n")
            .unwrap_or_else(|errors| panic!("{errors}"));
        let set = |key: &str, value: &str| config.with_setting(key, value).expect("valid");
        assert_eq!(
            set("query_timeout", "1.5")
                .settings
                .query_timeout
                .as_millis(),
            1500
        );
        let changed = set("pool_mode", "transaction");
        assert_eq!(changed.settings.pool_mode, PoolMode::Transaction);
        let back = changed.with_setting("pool_mode", "session").expect("valid");
        assert_eq!(back, config);
        assert_eq!(set("conffile", "/x.ini").path, Some("/x.ini".into()));
        for (key, value, says) in [
            (
                "query_timeout",
                "5min",
                "query_timeout: \"5min\" has a unit",
            ),
            (
                "default_pool_size",
                "0",
                "default_pool_size: 0 is too small",
            ),
            ("pool_mode", "transactoin", "did you mean \"transaction\"?"),
            (
                "pol_mode",
                "session",
                "pol_mode: unknown key; did you mean pool_mode?",
            ),
            ("listen_port", "5", "listen_port takes a restart"),
            ("pkt_buf", "5", "pkt_buf has no effect: "),
            (
                "min_pool_size",
                "30",
                "30 is more than default_pool_size, 20",
            ),
            ("auth_file", "/no/such", "/no/such: cannot be opened"),
            ("host", "h", "host: unknown key"),
        ] {
            let told = refused(&config, key, value);
            assert!(told.contains(says), "{told}");
        }
    }

    #[test]
    fn with_units_where_the_file_has_them() {
        let config = Config::from_toml("[databases.a]\n").expect("valid");
        let changed = config.with_setting("query_timeout", "5min").expect("valid");
        assert_eq!(changed.settings.query_timeout.as_secs(), 300);
        let changed = config.with_setting("query_timeout", "5").expect("valid");
        assert_eq!(changed.settings.query_timeout.as_secs(), 5);
        assert!(refused(&config, "query_timeout", "soon").contains("is not a length of time"));
    }

    #[test]
    fn another_users_file_replaces_the_users() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str, user: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("\"{user}\" \"secret\"\n")).expect("written");
            path.display().to_string()
        };
        let (one, two) = (file("one", "a"), file("two", "b"));
        let config = ini(&format!("[pgbouncer]\nauth_file = {one}\n")).expect("valid");
        let changed = config.with_setting("auth_file", &two).expect("valid");
        assert!(changed.secrets.contains_key("b") && !changed.secrets.contains_key("a"));
    }
}
