//! Every key of PgBouncer and what becomes of it here: the table in `docs/pgbouncer.md`.
//!
//! Source: PgBouncer 1.26 documentation, "Configuration File"; SHOW CONFIG of a running one.

use std::fmt::Write as _;

use super::super::document::Section;
use super::{accepted, find};

/// `[pgbouncer]`.
pub const PROCESS: &[&str] = &[
    "admin_users",
    "application_name_add_host",
    "auth_dbname",
    "auth_file",
    "auth_hba_file",
    "auth_ident_file",
    "auth_ldap_options",
    "auth_query",
    "auth_type",
    "auth_user",
    "autodb_idle_timeout",
    "cancel_wait_timeout",
    "client_idle_timeout",
    "client_login_timeout",
    "client_tls13_ciphers",
    "client_tls_ca_file",
    "client_tls_cert_file",
    "client_tls_ciphers",
    "client_tls_dheparams",
    "client_tls_ecdhcurve",
    "client_tls_key_file",
    "client_tls_protocols",
    "client_tls_sslmode",
    "conffile",
    "default_pool_size",
    "disable_pqexec",
    "dns_max_ttl",
    "dns_nxdomain_ttl",
    "dns_zone_check_period",
    "idle_transaction_timeout",
    "ignore_startup_parameters",
    "job_name",
    "listen_addr",
    "listen_backlog",
    "listen_port",
    "log_connections",
    "log_disconnections",
    "log_pooler_errors",
    "log_stats",
    "logfile",
    "login_notify_message",
    "max_client_conn",
    "max_db_client_connections",
    "max_db_connections",
    "max_packet_size",
    "max_prepared_statements",
    "max_user_client_connections",
    "max_user_connections",
    "min_pool_size",
    "peer_id",
    "pidfile",
    "pkt_buf",
    "pool_idle_timeout",
    "pool_mode",
    "query_timeout",
    "query_wait_notify",
    "query_wait_timeout",
    "reserve_pool_size",
    "reserve_pool_timeout",
    "resolv_conf",
    "sbuf_loopcnt",
    "scram_iterations",
    "server_check_delay",
    "server_check_query",
    "server_connect_timeout",
    "server_fast_close",
    "server_idle_timeout",
    "server_lifetime",
    "server_login_retry",
    "server_reset_query",
    "server_reset_query_always",
    "server_round_robin",
    "server_tls13_ciphers",
    "server_tls_ca_file",
    "server_tls_cert_file",
    "server_tls_ciphers",
    "server_tls_key_file",
    "server_tls_protocols",
    "server_tls_sslmode",
    "service_name",
    "so_reuseport",
    "stats_period",
    "stats_users",
    "suspend_timeout",
    "syslog",
    "syslog_facility",
    "syslog_ident",
    "tcp_defer_accept",
    "tcp_keepalive",
    "tcp_keepcnt",
    "tcp_keepidle",
    "tcp_keepintvl",
    "tcp_socket_buffer",
    "tcp_user_timeout",
    "track_extra_parameters",
    "transaction_timeout",
    "unix_socket_dir",
    "unix_socket_group",
    "unix_socket_mode",
    "user",
    "verbose",
];

/// `[databases]`.
pub const DATABASE: &[&str] = &[
    "application_name",
    "auth_dbname",
    "auth_query",
    "auth_user",
    "client_encoding",
    "connect_query",
    "datestyle",
    "dbname",
    "host",
    "load_balance_hosts",
    "max_db_client_connections",
    "max_db_connections",
    "min_pool_size",
    "password",
    "pool_mode",
    "pool_size",
    "port",
    "query_wait_timeout",
    "reserve_pool",
    "reserve_pool_size",
    "server_lifetime",
    "timezone",
    "user",
];

/// `[users]`.
pub const USER: &[&str] = &[
    "client_idle_timeout",
    "idle_transaction_timeout",
    "max_user_client_connections",
    "max_user_connections",
    "pool_mode",
    "pool_size",
    "query_timeout",
    "query_wait_timeout",
    "reserve_pool_size",
    "transaction_timeout",
];

/// `[peers]`.
pub const PEER: &[&str] = &["host", "pool_size", "port"];

/// What is better about keys of the process that pgweir has, and why.
const BETTER: &[(&str, &str)] = &[
    (
        "auth_hba_file",
        "a line that cannot be read refuses the file instead of being left out; `+role` and `samerole` (asked of the server), `/pattern`, `samehost`, `samenet`, `clientcert` and `pam` are PostgreSQL's",
    ),
    (
        "cancel_wait_timeout",
        "a cancel request goes to the very address of its server, with TLS if the server connection has TLS; with a list of hosts PgBouncer sends it to any of them, and always in clear text",
    ),
    (
        "client_idle_timeout",
        "an override in `[users]` touches that user only; in PgBouncer it disconnects everybody else's idle clients if the global value is 0",
    ),
    (
        "client_tls_protocols",
        "`all` and `legacy` are refused, as TLS before 1.2 does not exist here",
    ),
    (
        "default_pool_size",
        "0, which means no limit in PgBouncer, is refused",
    ),
    ("disable_pqexec", "a reload applies it"),
    (
        "ignore_startup_parameters",
        "seldom needed: parameters that PgBouncer does not know are tracked and given to the server instead of refused",
    ),
    (
        "max_db_client_connections",
        "0 in an entry of `[databases]` lifts the limit for it; in PgBouncer it means the general limit",
    ),
    (
        "max_db_connections",
        "0 in an entry of `[databases]` lifts the limit for it; in PgBouncer it means the general limit",
    ),
    (
        "max_prepared_statements",
        "statement names that are taken or not there are PostgreSQL's errors 42P05 and 26000, not the end of the connection; a failed Parse leaves its name free",
    ),
    (
        "max_user_client_connections",
        "0 in `[users]` lifts the limit for that user; in PgBouncer it means the general limit",
    ),
    (
        "max_user_connections",
        "0 in `[users]` lifts the limit for that user; in PgBouncer it means the general limit",
    ),
    (
        "min_pool_size",
        "more than the pool's size is refused instead of cut",
    ),
    (
        "pidfile",
        "the file is locked while pgweir runs: one that a dead process left is no obstacle",
    ),
    (
        "query_wait_timeout",
        "an override in `[users]` also counts where all other values are 0",
    ),
    (
        "server_lifetime",
        "lifetimes differ by up to a tenth, so that connections opened together do not end together",
    ),
    (
        "server_login_retry",
        "the pause begins with 250 ms and doubles up to this, so that a short failure is a short outage",
    ),
    (
        "server_tls_protocols",
        "`all` and `legacy` are refused, as TLS before 1.2 does not exist here",
    ),
    (
        "unix_socket_mode",
        "SHOW CONFIG shows it in octal, as it is written",
    ),
];

/// How a key of PgBouncer is treated.
fn treatment(section: &Section, name: &str) -> Result<String, String> {
    let process = *section == Section::Process;
    if find(section, name).is_some() {
        let better = BETTER.iter().find(|(key, _)| process && *key == name);
        return Ok(match better {
            Some((_, why)) => format!("better: {why}"),
            None => "same".to_owned(),
        });
    }
    if let Some(key) = accepted(name).filter(|_| process) {
        return Ok(format!("not applicable: {}", key.why));
    }
    Err(format!("{}: nothing is known about it", section.path(name)))
}

/// The table in Markdown.
///
/// # Errors
/// A key of PgBouncer of which nothing is known; a test holds that there is none.
pub fn table() -> Result<String, String> {
    let mut out = String::from("| section | key | here |\n|---|---|---|\n");
    for (title, section, keys) in [
        ("pgbouncer", Section::Process, PROCESS),
        ("databases", Section::Database("x".into()), DATABASE),
        ("users", Section::User("x".into()), USER),
        ("peers", Section::Peer("1".into()), PEER),
    ] {
        for name in keys {
            let here = treatment(&section, name)?;
            // Writing to a String cannot fail.
            let _ = writeln!(out, "| `[{title}]` | `{name}` | {here} |");
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reference::{ACCEPTED, Slot, keys};

    const BEGIN: &str = "<!-- keys: generated -->\n";
    const END: &str = "<!-- end of keys -->";

    /// `PGWEIR_WRITE_DOCS=1` writes the table.
    #[test]
    fn the_page_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pgbouncer.md");
        let page = std::fs::read_to_string(path).expect("the page");
        let (before, rest) = page.split_once(BEGIN).expect("where the table begins");
        let (found, after) = rest.split_once(END).expect("where the table ends");
        let table = table().unwrap_or_else(|why| panic!("{why}"));
        if std::env::var_os("PGWEIR_WRITE_DOCS").is_some() {
            let page = format!("{before}{BEGIN}{table}{END}{after}");
            std::fs::write(path, page).expect("written");
            return;
        }
        assert!(
            found == table,
            "docs/pgbouncer.md is out of date: run this test with PGWEIR_WRITE_DOCS=1"
        );
    }

    /// No key is forgotten on either side.
    #[test]
    fn the_lists_are_complete() {
        for list in [PROCESS, DATABASE, USER, PEER] {
            assert!(list.is_sorted(), "{list:?}");
        }
        for row in ACCEPTED {
            assert!(PROCESS.contains(&row.name), "{}", row.name);
        }
        for (key, _) in BETTER {
            assert!(find(&Section::Process, key).is_some(), "{key}");
        }
        for key in keys().filter(|key| key.in_pgbouncer) {
            let list = match key.slot {
                Slot::Process(_) => PROCESS,
                Slot::Database(_) => DATABASE,
                Slot::User(_) => USER,
                Slot::Peer(_) => PEER,
            };
            assert!(
                list.contains(&key.name),
                "{}: is it really a key of PgBouncer?",
                key.name
            );
        }
        let colour = treatment(&Section::Process, "colour");
        assert!(colour.is_err(), "{colour:?}");
    }
}
