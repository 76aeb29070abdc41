//! Running without a configuration, and logins when a TOML file says nothing about them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::compile::Places;
use super::document::{Dialect, Document, Section};
use super::{
    AuthType, Config, ConfigError, ConfigErrors, Database, Host, RuleSettings, Secret, Settings,
    reference,
};

/// Where Debian and others put PostgreSQL's unix socket.
const SOCKET_DIR: &str = "/var/run/postgresql";

impl Config {
    /// The configuration when there is no file: the defaults of a TOML file (127.0.0.1:6432 and a
    /// unix socket in /tmp), every database forwarded to PGHOST and PGPORT (default: the unix
    /// socket in /var/run/postgresql if that directory exists, else 127.0.0.1; 5432).
    ///
    /// With PGPASSWORD set the only user is PGUSER, else USER, who must know that password and is
    /// an administrator of the console; the password is also used towards the server. Otherwise
    /// every user is let in and the server decides.
    ///
    /// # Errors
    /// A variable of the environment that cannot be used; the operator's to mend.
    pub fn zero(env: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
        zero(&env, Path::new(SOCKET_DIR).is_dir())
    }
}

fn zero(
    env: &dyn Fn(&str) -> Option<String>,
    has_socket_dir: bool,
) -> Result<Config, ConfigErrors> {
    let settings = reference::default_settings(Dialect::Toml)
        .map_err(|why| ConfigErrors::of_file("pgweir", why))?;
    let mut errors = Vec::new();
    let set = |name: &str| env(name).filter(|value| !value.is_empty());

    let port = match set("PGPORT").as_deref().map(str::parse::<u16>) {
        None => 5432,
        Some(Ok(port)) if port > 0 => port,
        Some(_) => {
            errors.push(fault("PGPORT", "is not a port, 1 to 65535"));
            5432
        }
    };
    let host = set("PGHOST").unwrap_or_else(|| {
        let default = if has_socket_dir {
            SOCKET_DIR
        } else {
            "127.0.0.1"
        };
        default.to_owned()
    });
    let hosts: Vec<Host> = host
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| Host::parse(name.to_owned(), port))
        .collect();
    if hosts.is_empty() {
        errors.push(fault("PGHOST", "names no host"));
    }
    let mut config = Config {
        path: None,
        dialect: Dialect::Toml,
        settings,
        databases: BTreeMap::new(),
        fallback: Some(Arc::new(fallback(hosts))),
        users: BTreeMap::new(),
        peers: BTreeMap::new(),
        secrets: BTreeMap::new(),
        lint: RuleSettings::default(),
        accepted: BTreeMap::new(),
        notes: Vec::new(),
        hba: Arc::default(),
        ldap: None,
        ident: Arc::default(),
        audit: Vec::new(),
    };
    match login(env) {
        Ok(Some((user, password))) => {
            config.settings.auth_type = AuthType::ScramSha256;
            config.settings.admin_users = vec![user.clone()];
            config.secrets.insert(user, password);
        }
        Ok(None) => config.settings.auth_type = AuthType::Any,
        Err(error) => errors.push(error),
    }
    if errors.is_empty() {
        Ok(config)
    } else {
        Err(ConfigErrors(errors))
    }
}

fn fallback(hosts: Vec<Host>) -> Database {
    Database {
        name: "*".into(),
        hosts,
        ..Database::default()
    }
}

fn fault(key: &str, message: &str) -> ConfigError {
    ConfigError {
        file: "environment".into(),
        line: 0,
        column: None,
        key: key.into(),
        message: message.into(),
    }
}

/// The user and password of the environment, if it has a password.
///
/// Source: PostgreSQL documentation, "Environment Variables" of libpq.
fn login(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<(String, Secret)>, ConfigError> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let Some(password) = set("PGPASSWORD") else {
        return Ok(None);
    };
    match set("PGUSER").or_else(|| set("USER")) {
        Some(user) => Ok(Some((user, Secret::new(password)))),
        None => Err(fault(
            "PGUSER",
            "must be set with PGPASSWORD, because USER is not set either",
        )),
    }
}

/// Decides the login of a TOML file that sets neither `auth_type` nor `auth_file`, as
/// [`Config::zero`] does. Letting everybody in is refused where the file gives more than the
/// server's own rules would: clients from other machines, or a stored password.
pub(super) fn open_login(
    config: &mut Config,
    places: &Places,
    document: &Document,
    env: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<ConfigError>,
) {
    let process = Section::Process;
    let decided = places.has(&process, "auth_type") || places.has(&process, "auth_file");
    if document.dialect != Dialect::Toml || decided {
        return;
    }
    match login(env) {
        Err(error) => errors.push(error),
        Ok(Some((user, password))) => {
            config.secrets.insert(user, password);
        }
        Ok(None) => match beyond_the_server(config, &config.settings) {
            None => config.settings.auth_type = AuthType::Any,
            Some((section, key, why)) => errors.push(document.error_at(
                places.of(&section, key),
                process.path("auth_type"),
                format!("must be set with auth_file, because {why}"),
            )),
        },
    }
}

fn beyond_the_server(
    config: &Config,
    settings: &Settings,
) -> Option<(Section, &'static str, String)> {
    if let Some(address) = settings.listen_addr.iter().find(|a| !a.is_loopback()) {
        let why = format!("listen_addr {address} lets clients in from other machines");
        return Some((Section::Process, "listen_addr", why));
    }
    let mut all = config.databases.values().chain(&config.fallback);
    let stored = all.find(|database| database.password.is_some())?;
    let section = Section::Database(stored.name.clone());
    let why = format!(
        "{} has a password that clients would use without one",
        section.path("")
    );
    Some((section, "password", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(vars: &[(&str, &str)], dir: bool) -> Result<Config, ConfigErrors> {
        let vars: BTreeMap<String, String> = vars
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        zero(&|name| vars.get(name).cloned(), dir)
    }

    #[test]
    fn without_a_password_the_server_decides() {
        let config = with(&[], false).expect("valid");
        assert_eq!(config.settings.auth_type, AuthType::Any);
        assert!(config.secrets.is_empty());
        assert_eq!(config.settings.listen_port, 6432);
        assert_eq!(config.settings.unix_socket_dir, "/tmp");
        let database = config.database("x").expect("fallback");
        assert_eq!(database.hosts, [Host::parse("127.0.0.1".into(), 5432)]);
        let local = with(&[], true)
            .expect("valid")
            .database("x")
            .expect("fallback");
        assert_eq!(
            local.hosts,
            [Host::Unix {
                dir: SOCKET_DIR.into(),
                port: 5432
            }]
        );
    }

    #[test]
    fn a_password_makes_one_user() {
        let vars = [
            ("PGHOST", "a,/run/b"),
            ("PGPORT", "6000"),
            ("USER", "me"),
            ("PGPASSWORD", "pw"),
        ];
        let config = with(&vars, true).expect("valid");
        assert_eq!(config.settings.auth_type, AuthType::ScramSha256);
        assert_eq!(config.secrets["me"].expose(), "pw");
        assert_eq!(config.settings.admin_users, ["me"]);
        let hosts: Vec<String> = config
            .database("x")
            .expect("fallback")
            .hosts
            .iter()
            .map(Host::to_string)
            .collect();
        assert_eq!(hosts, ["a:6000", "/run/b/.s.PGSQL.6000"]);
        let named = with(
            &[("PGUSER", "app"), ("USER", "me"), ("PGPASSWORD", "pw")],
            true,
        );
        assert!(named.expect("valid").secrets.contains_key("app"));
    }

    #[test]
    fn reports_all_variables() {
        let errors = with(
            &[("PGPORT", "x"), ("PGPASSWORD", "hidden"), ("PGHOST", ",")],
            true,
        )
        .expect_err("three mistakes");
        assert_eq!(errors.0.len(), 3);
        let shown = errors.to_string();
        assert!(
            shown.contains("environment: PGPORT: is not a port"),
            "{shown}"
        );
        assert!(!shown.contains("hidden"));
    }
}
