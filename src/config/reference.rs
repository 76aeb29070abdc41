//! Every key there is, once.
//!
//! A [`Key`] is one row: name, default, kind, whether a reload applies it, what it does, and where
//! its value is kept. Both file formats are read with these rows, SHOW CONFIG is made from them,
//! and so are `pgweir config-reference` and `conf/pgweir.toml`; no key can be missing in one of
//! them.

mod accepted;
mod network;
mod operations;
mod peers;
pub mod pgbouncer;
mod pooling;
mod render;
mod scoped;

pub use accepted::{ACCEPTED, Accepted, accepted};
pub use render::{markdown, toml};

use std::net::IpAddr;

use super::document::{Dialect, Raw, Section};
use super::field::{Field, Reading};
use super::{
    AuthType, ChannelBinding, Config, Database, PoolMode, ProxyProtocol, Settings, SslMode,
    TlsSettings, TlsVersions, User,
};

/// A database while its keys are being read: `host` and `port` are separate keys and make
/// [`Database::hosts`] together at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseDraft {
    /// The hosts as written; empty for the default.
    pub host: Vec<String>,
    /// The servers of a cluster as written.
    pub servers: Vec<String>,
    /// Where Patroni is asked, as written.
    pub patroni: Vec<String>,
    /// The port of every host.
    pub port: u16,
    /// All other keys.
    pub database: Database,
}

/// A peer while its keys are being read: `host` and `port` make [`super::Peer::host`] together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerDraft {
    /// The host as written.
    pub host: Option<String>,
    /// Its port.
    pub port: u16,
    /// See [`super::Peer::pool_size`].
    pub pool_size: Option<u32>,
}

/// The section of a key with its kind and place.
pub enum Slot {
    /// `[pgweir]`, in an ini `[pgbouncer]`.
    Process(Field<Settings>),
    /// `[databases.NAME]`.
    Database(Field<DatabaseDraft>),
    /// `[users.NAME]`.
    User(Field<User>),
    /// `[peers.N]`.
    Peer(Field<PeerDraft>),
}

/// One key.
pub struct Key {
    /// Its name, PgBouncer's if it has the setting.
    pub name: &'static str,
    /// Another name that PgBouncer knows it by.
    pub alias: Option<&'static str>,
    /// Default, written as in an ini; empty for "not set".
    pub default: &'static str,
    /// Default of pgweir's own file where that differs, and why it does.
    pub toml_default: Option<(&'static str, &'static str)>,
    /// Whether a reload applies it; otherwise a restart does.
    pub reloadable: bool,
    /// Whether PgBouncer has the key.
    pub in_pgbouncer: bool,
    /// What it does, one paragraph.
    pub doc: &'static str,
    /// Section, kind and place.
    pub slot: Slot,
}

impl Key {
    const fn new(name: &'static str, default: &'static str, slot: Slot, doc: &'static str) -> Self {
        Self {
            name,
            alias: None,
            default,
            toml_default: None,
            reloadable: true,
            in_pgbouncer: true,
            doc,
            slot,
        }
    }

    const fn process(
        name: &'static str,
        default: &'static str,
        field: Field<Settings>,
        doc: &'static str,
    ) -> Self {
        Self::new(name, default, Slot::Process(field), doc)
    }

    const fn needs_restart(mut self) -> Self {
        self.reloadable = false;
        self
    }

    const fn ours(mut self) -> Self {
        self.in_pgbouncer = false;
        self
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    const fn toml(mut self, default: &'static str, why: &'static str) -> Self {
        self.toml_default = Some((default, why));
        self
    }

    /// Whether its value is not shown, since it may be a secret.
    pub fn is_hidden(&self) -> bool {
        match &self.slot {
            Slot::Process(field) => matches!(field, Field::Hidden(_)),
            Slot::Database(field) => matches!(field, Field::Hidden(_)),
            Slot::User(field) => matches!(field, Field::Hidden(_)),
            Slot::Peer(field) => matches!(field, Field::Hidden(_)),
        }
    }

    /// The default in a file of `dialect`.
    pub fn default_in(&self, dialect: Dialect) -> &'static str {
        match (dialect, self.toml_default) {
            (Dialect::Toml, Some((default, _))) => default,
            _ => self.default,
        }
    }

    /// The section as the reference shows it.
    pub fn section(&self) -> &'static str {
        match self.slot {
            Slot::Process(_) => "pgweir",
            Slot::Database(_) => "databases.NAME",
            Slot::User(_) => "users.NAME",
            Slot::Peer(_) => "peers.N",
        }
    }

    /// Type and unit.
    pub fn kind(&self) -> String {
        match &self.slot {
            Slot::Process(field) => field.kind(),
            Slot::Database(field) => field.kind(),
            Slot::User(field) => field.kind(),
            Slot::Peer(field) => field.kind(),
        }
    }

    /// Whether the key belongs to the kind of section that `section` is.
    pub fn is_in(&self, section: &Section) -> bool {
        matches!(
            (&self.slot, section),
            (Slot::Process(_), Section::Process)
                | (Slot::Database(_), Section::Database(_))
                | (Slot::User(_), Section::User(_))
                | (Slot::Peer(_), Section::Peer(_))
        )
    }
}

/// The table, by subject.
const TABLE: [&[Key]; 6] = [
    network::KEYS,
    pooling::KEYS,
    operations::KEYS,
    scoped::DATABASE,
    scoped::USER,
    peers::PEER,
];

/// All keys, in the order of the reference: process, databases, users, peers.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    TABLE.iter().flat_map(|part| part.iter())
}

/// The key called `name` in a section like `section`.
pub fn find(section: &Section, name: &str) -> Option<&'static Key> {
    keys().find(|key| key.is_in(section) && (key.name == name || key.alias == Some(name)))
}

/// Process settings with every key at its default.
///
/// # Errors
/// A default of the table cannot be read; a test holds that this does not happen.
pub fn default_settings(dialect: Dialect) -> Result<Settings, String> {
    let mut settings = unset();
    let how = Reading {
        dialect,
        whole_seconds: false,
        base: std::path::Path::new(""),
    };
    for key in keys() {
        if let Slot::Process(field) = &key.slot {
            let raw = Raw::Bare(key.default_in(dialect).to_owned().into());
            field
                .read(&mut settings, &raw, how)
                .map_err(|why| format!("default of {}: {why}", key.name))?;
        }
    }
    Ok(settings)
}

/// One row of SHOW CONFIG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowRow {
    /// The key.
    pub key: &'static str,
    /// The value in force.
    pub value: String,
    /// The default in the language of the file in force.
    pub default: &'static str,
    /// Whether a reload changes it.
    pub changeable: bool,
    /// What both count: `s`, `ms` or `bytes`.
    pub unit: Option<&'static str>,
}

/// The rows of SHOW CONFIG, by name: all process settings, and with a `pgbouncer.ini` also those
/// that have nothing to do here. No secrets are among them.
pub fn show_config(config: &Config) -> Vec<ShowRow> {
    let dialect = config.dialect;
    let mut settings = config.settings.clone();
    let mut rows: Vec<ShowRow> = keys()
        .filter_map(|key| match &key.slot {
            Slot::Process(field) => Some(ShowRow {
                key: key.name,
                value: field.show(&mut settings),
                default: key.default_in(dialect),
                changeable: key.reloadable,
                unit: field.unit(),
            }),
            _ => None,
        })
        .collect();
    if dialect == Dialect::Ini {
        rows.extend(ACCEPTED.iter().map(|key| {
            let is_file = key.name == "conffile";
            let file = || config.path.as_ref().map(|path| path.display().to_string());
            let set = match is_file {
                true => file(),
                false => config.accepted.get(key.name).cloned(),
            };
            ShowRow {
                key: key.name,
                value: set.unwrap_or_else(|| key.default.to_owned()),
                default: key.default,
                changeable: is_file,
                unit: None,
            }
        }));
    }
    rows.sort_by_key(|row| row.key);
    rows
}

/// Settings before the defaults are filled in. Every field has a row, so nothing here survives
/// [`default_settings`]; a test holds that.
fn unset() -> Settings {
    let tls = || TlsSettings {
        binding: ChannelBinding::Disable,
        mode: SslMode::Disable,
        ca_file: None,
        cert_file: None,
        key_file: None,
        versions: TlsVersions::Secure,
    };
    let zero = std::time::Duration::ZERO;
    Settings {
        workers: 0,
        listen_addr: Vec::<IpAddr>::new(),
        listen_port: 0,
        listen_targets: Vec::new(),
        listen_backlog: 0,
        so_reuseport: false,
        peer_id: 0,
        unix_socket_dir: String::new(),
        unix_socket_mode: 0,
        unix_socket_group: String::new(),
        http_listen: None,
        proxy_protocol: ProxyProtocol::Off,
        proxy_protocol_from: Vec::new(),
        http_login: false,
        http_tls: false,
        auth_type: AuthType::ScramSha256,
        auth_file: None,
        auth_hba_file: None,
        auth_ident_file: None,
        auth_ldap_options: None,
        auth_ldap_ca_file: None,
        patroni_ca_file: None,
        otlp_endpoint: String::new(),
        otlp_signals: Vec::new(),
        otlp_headers: None,
        otlp_traces_per_thousand: 0,
        otlp_metrics_interval: zero,
        otlp_ca_file: None,
        auth_pam_service: String::new(),
        auth_pam_helper: None,
        auth_user: None,
        auth_query: String::new(),
        auth_dbname: None,
        admin_users: Vec::new(),
        stats_users: Vec::new(),
        client_tls: tls(),
        server_tls: tls(),
        pool_mode: PoolMode::Session,
        default_pool_size: 0,
        min_pool_size: 0,
        reserve_pool_size: 0,
        reserve_pool_timeout: zero,
        max_parallel_connects: 0,
        max_client_conn: 0,
        max_db_connections: 0,
        max_db_client_connections: 0,
        max_user_connections: 0,
        max_user_client_connections: 0,
        max_prepared_statements: 0,
        prepared_statements_memory: 0,
        max_packet_size: 0,
        ignore_startup_parameters: Vec::new(),
        scram_iterations: 0,
        server_reset_query: String::new(),
        server_reset_query_always: false,
        check_unknown_functions: true,
        server_check_query: None,
        server_check_delay: zero,
        server_lifetime: zero,
        server_idle_timeout: zero,
        server_connect_timeout: zero,
        server_login_retry: zero,
        server_round_robin: false,
        server_fast_close: false,
        client_login_timeout: zero,
        client_idle_timeout: zero,
        query_timeout: zero,
        query_wait_timeout: zero,
        query_wait_notify: zero,
        idle_transaction_timeout: zero,
        transaction_timeout: zero,
        cancel_wait_timeout: zero,
        shutdown_timeout: zero,
        autodb_idle_timeout: zero,
        stats_period: zero,
        pool_idle_timeout: zero,
        disable_pqexec: false,
        login_notify_message: String::new(),
        dns_max_ttl: zero,
        tcp_socket_buffer: 0,
        tcp_keepalive: false,
        tcp_keepcnt: 0,
        tcp_keepidle: zero,
        tcp_keepintvl: zero,
        tcp_user_timeout: zero,
        application_name_add_host: false,
        log_connections: false,
        log_disconnections: false,
        log_pooler_errors: false,
        lint: false,
        lint_default_action: String::new(),
        lint_profile: String::new(),
        lint_fail_closed: false,
        lint_max_statement_bytes: 0,
        lint_inline_suppress_security: false,
        lint_off: Vec::new(),
        lint_notice: Vec::new(),
        lint_annotate: Vec::new(),
        lint_sensitive_columns: Vec::new(),
        lint_block: Vec::new(),
        lint_inline_suppress: false,
        cluster_check_interval: zero,
        zone: String::new(),
        advisor: false,
        advisor_interval: zero,
        findings_file: None,
        audit_file: None,
        audit_policy: String::new(),
        audit_sample: 0,
        audit_on_full: String::new(),
        audit_key_file: None,
        audit_max_size: 0,
        audit_max_age: zero,
        log_slow_query: std::time::Duration::ZERO,
        log_stats: false,
        log_level: String::new(),
        log_json: false,
        log_repeats: 0,
        verbose: 0,
        syslog: false,
        syslog_facility: String::new(),
        syslog_ident: String::new(),
        user: String::new(),
        logfile: None,
        pidfile: None,
    }
}

#[cfg(test)]
mod tests;
