//! What the operator asked for, checked and ready to use.
//!
//! Every value here is valid by construction: [`compile`] is the only way to make a [`Config`]
//! from a file and it reports all mistakes of a file at once, each with its line and key. Nothing
//! in the program reads configuration through a global; a part gets the `Arc<Config>` it works
//! with, and a reload hands out a new one.
//!
//! Names, units and defaults are PgBouncer's where it has the setting; where pgweir's own file
//! differs on purpose the reference says why.

mod audit;
pub mod cluster;
pub mod compile;
pub mod diff;
pub mod document;
pub mod effective;
pub mod errors;
pub mod field;
pub mod file;
pub mod import;
pub mod ini;
pub mod live;
pub mod reference;
pub mod suggest;
pub mod units;
pub mod userlist;
pub mod zero;

mod checks;
pub mod hba;
pub mod ldap;
mod lint;
pub mod lookup;
pub mod member;
mod origin;

pub use audit::AuditOverride;
pub use errors::{ConfigError, ConfigErrors};
pub use lint::{FirewallSettings, RuleAction, RuleNumber, RuleSettings};
pub use member::Member;
pub use origin::Origin;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

/// Facilities of the system's log and their numbers.
///
/// Source: RFC 3164, section 4.1.1.
pub const SYSLOG_FACILITIES: [(&str, u8); 12] = [
    ("user", 1),
    ("daemon", 3),
    ("auth", 4),
    ("authpriv", 10),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// A password or other secret as the operator wrote it. Zeroed when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Shows the secret. Only authentication code has a reason to call this.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// When a server connection is given back to its pool.
///
/// Source: PgBouncer, `pool_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// When the client disconnects.
    Session,
    /// When the transaction ends.
    Transaction,
    /// After each statement; transactions of several statements are refused.
    Statement,
}

impl PoolMode {
    /// The word used in files and in SHOW.
    pub fn as_str(self) -> &'static str {
        match self {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
            PoolMode::Statement => "statement",
        }
    }
}

/// How clients prove who they are.
///
/// Source: PgBouncer, `auth_type`; PostgreSQL documentation, "Authentication Methods".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    /// Any user name is accepted without a password, known or not; the login name is used for
    /// the server unless the database forces a user.
    Any,
    /// No password, but the user must be known.
    Trust,
    /// Password in clear text (use TLS).
    Plain,
    /// MD5 challenge; uses SCRAM by itself for a user whose stored secret is a SCRAM verifier.
    Md5,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// TLS client certificate whose common name is the user name.
    Cert,
    /// The operating system's user of a unix socket's other end must be the user name.
    Peer,
    /// A password in clear text, which an LDAP server checks.
    Ldap,
    /// A password in clear text, which PAM checks.
    Pam,
    /// As the first line of `auth_hba_file` says that fits the client.
    Hba,
}

impl AuthType {
    /// The word used in files and in SHOW.
    pub fn as_str(self) -> &'static str {
        match self {
            AuthType::Any => "any",
            AuthType::Trust => "trust",
            AuthType::Plain => "plain",
            AuthType::Md5 => "md5",
            AuthType::ScramSha256 => "scram-sha-256",
            AuthType::Cert => "cert",
            AuthType::Peer => "peer",
            AuthType::Ldap => "ldap",
            AuthType::Pam => "pam",
            AuthType::Hba => "hba",
        }
    }
}

/// How much TLS is wanted on a leg.
///
/// Source: libpq, `sslmode`; PgBouncer, `client_tls_sslmode`, `server_tls_sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Towards clients: if they ask. Towards servers: as `prefer`.
    Allow,
    /// If the other side can.
    Prefer,
    /// Always; certificates are not verified.
    Require,
    /// Always, and the certificate must come from a trusted authority.
    VerifyCa,
    /// As `verify-ca`; towards servers the host name must match too.
    VerifyFull,
}

impl SslMode {
    /// The word used in files and in SHOW.
    pub fn as_str(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Allow => "allow",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }
}

/// Whether logins by SCRAM are bound to the TLS session they run in, so that nobody who sits between
/// with a certificate of their own can pass them on.
///
/// Source: libpq, `channel_binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If the other side can.
    Prefer,
    /// A password is proven like this or not at all.
    Require,
}

impl ChannelBinding {
    /// The word used in files and in SHOW.
    pub fn as_str(self) -> &'static str {
        match self {
            ChannelBinding::Disable => "disable",
            ChannelBinding::Prefer => "prefer",
            ChannelBinding::Require => "require",
        }
    }
}

/// Whether connections begin with a header that tells where the client is.
///
/// Source: HAProxy, "The PROXY protocol".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Never.
    Off,
    /// Those that come from where [`Settings::proxy_protocol_from`] says.
    On,
    /// The same, and nobody comes from elsewhere over TCP.
    Required,
}

impl ProxyProtocol {
    /// The word used in files and in SHOW.
    pub fn as_str(self) -> &'static str {
        match self {
            ProxyProtocol::Off => "off",
            ProxyProtocol::On => "on",
            ProxyProtocol::Required => "required",
        }
    }
}

/// Versions of TLS; those before 1.2 do not exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    Secure,
    /// 1.2.
    Only12,
    /// 1.3.
    Only13,
}

impl TlsVersions {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TlsVersions::Secure => "secure",
            TlsVersions::Only12 => "tlsv1.2",
            TlsVersions::Only13 => "tlsv1.3",
        }
    }
}

/// TLS settings of one leg; see [`SslMode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whether SCRAM is bound to the session.
    pub binding: ChannelBinding,
    /// What is demanded.
    pub mode: SslMode,
    /// Trusted authorities (PEM), if verification needs them.
    pub ca_file: Option<PathBuf>,
    /// Own certificate chain (PEM).
    pub cert_file: Option<PathBuf>,
    /// Key of the own certificate (PEM).
    pub key_file: Option<PathBuf>,
    /// TLS versions to offer.
    pub versions: TlsVersions,
}

/// Where PostgreSQL listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name or address and a port.
    Tcp {
        /// Host name or numeric address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A unix socket: directory and port, as libpq builds it (`DIR/.s.PGSQL.PORT`).
    Unix {
        /// Directory of the socket, or `@name` for the abstract name space.
        dir: String,
        /// Port, part of the socket's name.
        port: u16,
    },
}

impl Host {
    /// What `host` was in the configuration.
    pub fn host(&self) -> &str {
        match self {
            Host::Tcp { host, .. } => host,
            Host::Unix { dir, .. } => dir,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Host::Tcp { port, .. } | Host::Unix { port, .. } => *port,
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Host::Tcp { host, port } => write!(f, "{host}:{port}"),
            Host::Unix { dir, port } => write!(f, "{dir}/.s.PGSQL.{port}"),
        }
    }
}

/// One entry of `[databases]`: a name clients connect to and what stands behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// Name that clients use; `*` for the fallback entry.
    pub name: String,
    /// Database on the server; `None` is the name the client asked for.
    pub dbname: Option<String>,
    /// Servers, in order; never empty.
    pub hosts: Vec<Host>,
    /// The same as a primary and its replicas, with what is said of each; empty if they are equals.
    pub members: Vec<Member>,
    /// Another entry of `[databases]` that runs what this one runs.
    pub mirror: Option<String>,
    /// What of it; `None` is what reads.
    pub mirror_statements: Option<&'static str>,
    /// Of how many shapes in a hundred; `None` is of all.
    pub mirror_share: Option<u32>,
    /// Where Patroni is asked for the servers: URLs of its `/cluster`.
    pub patroni: Vec<Arc<str>>,
    /// [`Self::members`] as the file has them, before Patroni was asked.
    pub seeds: Vec<Member>,
    /// See [`cluster::PrimaryReads`].
    pub primary_reads: Option<&'static str>,
    /// See [`cluster::ReadYourWrites`].
    pub read_your_writes: Option<&'static str>,
    /// Where transactions go that begin READ ONLY.
    pub read_only_transactions: Option<&'static str>,
    /// See [`cluster::ClusterPolicy::defer_begin`].
    pub defer_begin: bool,
    /// See [`cluster::ClusterPolicy::max_lag`].
    pub max_replica_lag: Option<Duration>,
    /// See [`cluster::ClusterPolicy::wait`].
    pub replica_wait: Option<Duration>,
    /// See [`cluster::Target`].
    pub target_session_attrs: Option<&'static str>,
    /// See [`cluster::Balance`].
    pub balance: Option<&'static str>,
    /// See [`cluster::ClusterPolicy::slow_start`].
    pub slow_start: Option<Duration>,
    /// Connections of one pool to a replica; `None` is as many as to the primary.
    pub replica_pool_size: Option<u32>,
    /// All server connections are made as this user, whoever the client is.
    pub user: Option<String>,
    /// Password for `user` (or for the client's user, if `user` is unset).
    pub password: Option<Secret>,
    /// Who asks for secrets; `None` is the global setting. See [`lookup`].
    pub auth_user: Option<String>,
    /// What is asked; `None` is the global setting.
    pub auth_query: Option<String>,
    /// Where it is asked; `None` is the global setting.
    pub auth_dbname: Option<String>,
    /// Server connections per pool; `None` is `default_pool_size`.
    pub pool_size: Option<u32>,
    /// Server connections kept open; `None` is the global setting.
    pub min_pool_size: Option<u32>,
    /// Extra connections when waiting takes too long; `None` is the global setting.
    pub reserve_pool_size: Option<u32>,
    /// Pool mode; `None` is the global setting.
    pub pool_mode: Option<PoolMode>,
    /// Server connections of all pools of this database; 0 is no limit; `None` is the global setting.
    pub max_db_connections: Option<u32>,
    /// Client connections to this database; 0 is no limit; `None` is the global setting.
    pub max_db_client_connections: Option<u32>,
    /// Age at which a server connection is closed; `None` is the global setting.
    pub server_lifetime: Option<Duration>,
    /// How long a query may wait for a server; `None` is the global setting.
    pub query_wait_timeout: Option<Duration>,
    /// Run once on each new server connection.
    pub connect_query: Option<String>,
    /// Which of [`Self::hosts`] a new connection goes to, `round-robin` or `disable`; `None` is the
    /// first. See [`Database::stays_on_host`].
    pub load_balance_hosts: Option<&'static str>,
    /// Session parameters every client of this database starts with (`client_encoding`,
    /// `datestyle`, `timezone`, `application_name`, …) unless it sets its own.
    pub params: Vec<(String, String)>,
}

/// One entry of `[users]`: overrides for one login name. `None` is the database's or the global
/// setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Server connections per pool of this user.
    pub pool_size: Option<u32>,
    /// Extra connections when waiting takes too long.
    pub reserve_pool_size: Option<u32>,
    /// Pool mode.
    pub pool_mode: Option<PoolMode>,
    /// Server connections of all pools of this user; 0 is no limit.
    pub max_user_connections: Option<u32>,
    /// Client connections of this user; 0 is no limit.
    pub max_user_client_connections: Option<u32>,
    /// See [`Settings::query_timeout`].
    pub query_timeout: Option<Duration>,
    /// See [`Settings::query_wait_timeout`].
    pub query_wait_timeout: Option<Duration>,
    /// See [`Settings::idle_transaction_timeout`].
    pub idle_transaction_timeout: Option<Duration>,
    /// See [`Settings::transaction_timeout`].
    pub transaction_timeout: Option<Duration>,
    /// See [`Settings::client_idle_timeout`].
    pub client_idle_timeout: Option<Duration>,
}

/// One entry of `[peers]`: another process on the same port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it alone listens.
    pub host: Host,
    /// Cancel requests that are passed on to it at once; `None` is `default_pool_size`.
    pub pool_size: Option<u32>,
}

/// The settings of the whole process. A [`Duration`] of zero switches a timeout off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Worker threads; 0 chooses (1 up to 2 cores, else half the cores, at least 2).
    pub workers: u32,
    /// Addresses to listen on; empty: unix socket only.
    pub listen_addr: Vec<IpAddr>,
    /// Port, also part of the unix socket's name.
    pub listen_port: u16,
    /// `listen_targets`; see [`Settings::target_of`].
    pub listen_targets: Vec<String>,
    /// Length of the kernel's queue of connections not yet accepted.
    pub listen_backlog: u32,
    /// Other processes may listen on the same port.
    pub so_reuseport: bool,
    /// Number among those processes; 0: there are none.
    pub peer_id: u32,
    /// Directory of the unix socket; empty: none.
    pub unix_socket_dir: String,
    /// Mode of the unix socket.
    pub unix_socket_mode: u32,
    /// Group of the unix socket, by name or number; empty: that of the process.
    pub unix_socket_group: String,
    /// Where `/metrics`, `/live` and `/ready` are served; `None`: nowhere.
    pub http_listen: Option<std::net::SocketAddr>,
    /// Whether connections begin with a header that tells where the client is.
    pub proxy_protocol: ProxyProtocol,
    /// Who is believed such a header.
    pub proxy_protocol_from: Vec<Origin>,
    /// Whoever looks at the page and the API logs in.
    pub http_login: bool,
    /// HTTP is served with TLS.
    pub http_tls: bool,
    /// How clients prove who they are.
    pub auth_type: AuthType,
    /// The users file, if any.
    pub auth_file: Option<PathBuf>,
    /// `auth_hba_file`.
    pub auth_hba_file: Option<PathBuf>,
    /// `auth_ident_file`.
    pub auth_ident_file: Option<PathBuf>,
    /// `auth_ldap_options`, which may hold a password.
    pub auth_ldap_options: Option<Secret>,
    /// Under which name PAM is asked.
    pub auth_pam_service: String,
    /// The program that asks PAM; `None`: the one beside pgweir.
    pub auth_pam_helper: Option<PathBuf>,
    /// Where OpenTelemetry's collector is; empty for none.
    pub otlp_endpoint: String,
    /// What it is sent.
    pub otlp_signals: Vec<String>,
    /// What is said in the head of each request to it.
    pub otlp_headers: Option<Secret>,
    /// How many of a thousand traces it is sent.
    pub otlp_traces_per_thousand: u32,
    /// Between two times that it is sent metrics.
    pub otlp_metrics_interval: Duration,
    /// Authorities (PEM) that its certificate must come from.
    pub otlp_ca_file: Option<PathBuf>,
    /// Authorities (PEM) that certificates of Patroni's REST API must come from.
    pub patroni_ca_file: Option<PathBuf>,
    /// Authorities (PEM) that certificates of LDAP servers must come from.
    pub auth_ldap_ca_file: Option<PathBuf>,
    /// `auth_user`.
    pub auth_user: Option<String>,
    /// `auth_query`.
    pub auth_query: String,
    /// `auth_dbname`.
    pub auth_dbname: Option<String>,
    /// Users with every right on the console.
    pub admin_users: Vec<String>,
    /// Users who may only SHOW on the console.
    pub stats_users: Vec<String>,
    /// TLS towards clients.
    pub client_tls: TlsSettings,
    /// TLS towards servers.
    pub server_tls: TlsSettings,
    /// Default pool mode.
    pub pool_mode: PoolMode,
    /// Server connections per pool.
    pub default_pool_size: u32,
    /// Server connections kept open per pool.
    pub min_pool_size: u32,
    /// Extra connections when waiting takes longer than `reserve_pool_timeout`.
    pub reserve_pool_size: u32,
    /// See `reserve_pool_size`.
    pub reserve_pool_timeout: Duration,
    /// Logins to servers that one pool may have under way at once.
    pub max_parallel_connects: u32,
    /// Client connections of the process, those logging in included.
    pub max_client_conn: u32,
    /// Server connections per database; 0: no limit.
    pub max_db_connections: u32,
    /// Client connections per database; 0: no limit.
    pub max_db_client_connections: u32,
    /// Server connections per user; 0: no limit.
    pub max_user_connections: u32,
    /// Client connections per user; 0: no limit.
    pub max_user_client_connections: u32,
    /// Prepared statements remembered per server connection in transaction and statement mode;
    /// 0 leaves them alone.
    pub max_prepared_statements: u32,
    /// Bytes of prepared statements' texts kept by the process.
    pub prepared_statements_memory: u64,
    /// Longest message that is accepted from a client after login, in bytes.
    pub max_packet_size: u32,
    /// Parameters of a StartupMessage that are dropped silently.
    pub ignore_startup_parameters: Vec<String>,
    /// SCRAM iterations for secrets stored in clear text.
    pub scram_iterations: u32,
    /// Sent to the server when a client of a session pool leaves; empty: nothing.
    pub server_reset_query: String,
    /// Also in transaction and statement mode.
    pub server_reset_query_always: bool,
    /// Ask the server after a transaction that called a function of which nothing is known what it
    /// left behind.
    pub check_unknown_functions: bool,
    /// Sent to a server that was idle for `server_check_delay` before it is used; `None`: no
    /// check; empty text: an empty query.
    pub server_check_query: Option<String>,
    /// See `server_check_query`.
    pub server_check_delay: Duration,
    /// Age at which a server connection is closed. Unlike elsewhere zero is not "off": as in
    /// PgBouncer the connection is then closed after its first use.
    pub server_lifetime: Duration,
    /// Idle time after which a server connection is closed.
    pub server_idle_timeout: Duration,
    /// Longest connect and login to a server.
    pub server_connect_timeout: Duration,
    /// Pause after a failed login to a server.
    pub server_login_retry: Duration,
    /// Choose idle servers in turn rather than the last used one.
    pub server_round_robin: bool,
    /// Session mode: close clients together with servers that must go (RECONNECT).
    pub server_fast_close: bool,
    /// Longest login of a client.
    pub client_login_timeout: Duration,
    /// Longest time a client may be idle outside a transaction.
    pub client_idle_timeout: Duration,
    /// Longest query.
    pub query_timeout: Duration,
    /// Longest wait for a server.
    pub query_wait_timeout: Duration,
    /// After this wait the client gets a NOTICE, once.
    pub query_wait_notify: Duration,
    /// Longest time idle in a transaction.
    pub idle_transaction_timeout: Duration,
    /// Longest transaction.
    pub transaction_timeout: Duration,
    /// Longest delivery of a cancel request.
    pub cancel_wait_timeout: Duration,
    /// After SIGTERM clients that are still there are told to leave when this has passed.
    pub shutdown_timeout: Duration,
    /// Unused databases made from `*` are forgotten after this time.
    pub autodb_idle_timeout: Duration,
    /// Period of averages and of the statistics log line.
    pub stats_period: Duration,
    /// A pool without clients and servers is forgotten after this time.
    pub pool_idle_timeout: Duration,
    /// Queries of the simple protocol are refused.
    pub disable_pqexec: bool,
    /// A notice for each client that has logged in; empty: none.
    pub login_notify_message: String,
    /// How often a name is looked up again.
    pub dns_max_ttl: Duration,
    /// Bytes that the kernel buffers for a TCP socket in each direction; 0: the system's default.
    pub tcp_socket_buffer: u32,
    /// TCP keepalive on both legs.
    pub tcp_keepalive: bool,
    /// Probes before a peer is given up; 0: the system's default.
    pub tcp_keepcnt: u32,
    /// Idle time before the first probe; zero: the system's default.
    pub tcp_keepidle: Duration,
    /// Time between probes; zero: the system's default.
    pub tcp_keepintvl: Duration,
    /// Unacknowledged data is given up after this time; zero: the system's default.
    pub tcp_user_timeout: Duration,
    /// Append `- host:port` of the client to `application_name`.
    pub application_name_add_host: bool,
    /// Log each login.
    pub log_connections: bool,
    /// Log when a client leaves.
    pub log_disconnections: bool,
    /// Log errors that the pooler itself sends to clients.
    pub log_pooler_errors: bool,
    /// Look for anti-patterns in what clients send.
    pub lint: bool,
    /// What is done about rules that nothing names.
    pub lint_default_action: String,
    /// `default`, or `strict`.
    pub lint_profile: String,
    /// What cannot be analysed is refused where a rule refuses statements.
    pub lint_fail_closed: bool,
    /// Longest text that the rules parse, in bytes.
    pub lint_max_statement_bytes: u32,
    /// Comments may silence rules about security too.
    pub lint_inline_suppress_security: bool,
    /// Rules that are off, as `rule` or `rule:kind`.
    pub lint_off: Vec<String>,
    /// Rules of which clients are told by a notice.
    pub lint_notice: Vec<String>,
    /// `lint_sensitive_columns`.
    pub lint_sensitive_columns: Vec<String>,
    /// `lint_annotate`.
    pub lint_annotate: Vec<String>,
    /// Rules whose statements are refused.
    pub lint_block: Vec<String>,
    /// Comments may silence rules, those about security excepted.
    pub lint_inline_suppress: bool,
    /// Where this process stands; see [`Member::zone`].
    pub zone: String,
    /// How often the servers of clusters are asked who they are.
    pub cluster_check_interval: Duration,
    /// Look at catalogues and plans through a connection of our own.
    pub advisor: bool,
    /// How often.
    pub advisor_interval: Duration,
    /// Where findings are kept over a restart; none: nowhere.
    pub findings_file: Option<PathBuf>,
    /// The audit trail's file; none: there is no trail.
    pub audit_file: Option<PathBuf>,
    /// What is written to it: `all`, `writes`, `ddl`.
    pub audit_policy: String,
    /// `audit_sample`.
    pub audit_sample: u32,
    /// `audit_on_full`.
    pub audit_on_full: String,
    /// `audit_key_file`.
    pub audit_key_file: Option<PathBuf>,
    /// Size at which a new file of the trail is begun; 0: none.
    pub audit_max_size: u64,
    /// Age at which a new file of the trail is begun; zero: none.
    pub audit_max_age: Duration,
    /// Log statements that took so long, waiting included; zero: none.
    pub log_slow_query: Duration,
    /// Log a line of statistics each period.
    pub log_stats: bool,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a `tracing` filter.
    pub log_level: String,
    /// One JSON object per line instead of text.
    pub log_json: bool,
    /// Most lines with the same message from the same place in ten seconds; 0: no limit.
    pub log_repeats: u32,
    /// How much more to log than `log_level` says: 1 is debug, 2 trace.
    pub verbose: u32,
    /// Log to the system's log too.
    pub syslog: bool,
    /// Under which facility.
    pub syslog_facility: String,
    /// Under which name.
    pub syslog_ident: String,
    /// Become this user of the system at start; empty: stay who we are.
    pub user: String,
    /// Log to this file; `None`: standard error.
    pub logfile: Option<PathBuf>,
    /// Write the process id here.
    pub pidfile: Option<PathBuf>,
}

impl Settings {
    /// Whether lines of the log go to OpenTelemetry's collector.
    pub fn exports_log(&self) -> bool {
        let wanted = self.otlp_signals.iter().any(|signal| signal == "logs");
        wanted && !self.otlp_endpoint.is_empty()
    }

    /// How many of a thousand traces are sent to a collector; `None` if there is none that wants any.
    pub fn traces_per_thousand(&self) -> Option<u32> {
        let wanted = self.otlp_signals.iter().any(|signal| signal == "traces");
        (wanted && !self.otlp_endpoint.is_empty()).then_some(self.otlp_traces_per_thousand)
    }

    /// The program that asks PAM.
    pub fn pam_helper(&self) -> PathBuf {
        self.auth_pam_helper.clone().unwrap_or_else(|| {
            let own = std::env::current_exe().unwrap_or_default();
            own.with_file_name("pgweir-pam")
        })
    }
}

/// Everything a running pgweir follows. Cheap to share: one `Arc` per reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// File it came from; `None` for the zero-configuration default.
    pub path: Option<PathBuf>,
    /// The language it was written in; TOML if there is no file.
    pub dialect: document::Dialect,
    /// Process-wide settings.
    pub settings: Settings,
    /// Databases by the name clients use, without the fallback.
    pub databases: BTreeMap<String, Arc<Database>>,
    /// The `*` entry.
    pub fallback: Option<Arc<Database>>,
    /// Overrides by login name.
    pub users: BTreeMap<String, User>,
    /// Processes on the same port by their `peer_id`, perhaps this one among them.
    pub peers: BTreeMap<u16, Peer>,
    /// Users and secrets of `auth_file`: stored secret by name, as text.
    pub secrets: BTreeMap<String, Secret>,
    /// Who may log in from where and how, for `auth_type = hba`.
    pub hba: Arc<hba::Hba>,
    /// Who checks passwords, for `auth_type = ldap`.
    pub ldap: Option<Arc<ldap::Ldap>>,
    /// Which names elsewhere are which users.
    pub ident: Arc<hba::ident::Ident>,
    /// What is said about single rules, in the order of the file.
    pub lint: RuleSettings,
    /// Keys of a `pgbouncer.ini` that have nothing to do here, as written;
    /// see [`reference::ACCEPTED`].
    pub accepted: BTreeMap<&'static str, String>,
    /// What the operator should know about lines of the file, place first.
    pub notes: Vec<String>,
    /// Whose statements are written to the audit trail otherwise than `audit_policy` says; the last that
    /// fits counts.
    pub audit: Vec<AuditOverride>,
}
