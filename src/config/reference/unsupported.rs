//! Keys of PgBouncer that pgweir does not have.

use super::super::document::Section;

/// A key of PgBouncer without an equivalent here: its name, and the value with which leaving it
/// away changes nothing, because that is what pgweir does anyhow.
type Row = (&'static str, Option<&'static str>);

/// Source: PgBouncer, "Configuration File". Keys whose value only switches something off, or names
/// the only thing that pgweir does, are accepted with that value.
const PROCESS: &[Row] = &[
    ("auth_dbname", None),
    ("auth_hba_file", None),
    ("auth_ident_file", None),
    ("auth_ldap_options", None),
    ("auth_query", None),
    ("auth_user", None),
    ("client_tls13_ciphers", None),
    ("client_tls_ciphers", Some("default")),
    ("client_tls_dheparams", Some("auto")),
    ("client_tls_ecdhcurve", Some("auto")),
    ("conffile", None),
    ("disable_pqexec", Some("0")),
    ("dns_nxdomain_ttl", None),
    ("dns_zone_check_period", Some("0")),
    ("job_name", None),
    ("login_notify_message", None),
    ("peer_id", Some("0")),
    ("pkt_buf", None),
    ("pool_idle_timeout", Some("0")),
    ("resolv_conf", None),
    ("sbuf_loopcnt", None),
    ("server_tls13_ciphers", None),
    ("server_tls_ciphers", Some("default")),
    ("service_name", None),
    ("so_reuseport", Some("0")),
    ("suspend_timeout", None),
    ("syslog", Some("0")),
    ("syslog_facility", None),
    ("syslog_ident", None),
    ("tcp_defer_accept", Some("0")),
    ("tcp_socket_buffer", Some("0")),
    ("track_extra_parameters", None),
    ("unix_socket_group", None),
    ("user", None),
    ("verbose", Some("0")),
];

const DATABASE: &[Row] = &[
    ("auth_dbname", None),
    ("auth_query", None),
    ("auth_user", None),
    ("load_balance_hosts", None),
];

/// What is to be said about a key of PgBouncer that has no row: `None` if PgBouncer does not know
/// it either, else the value (of an ini) that is accepted because it asks for nothing.
pub fn unsupported(section: &Section, name: &str) -> Option<Option<&'static str>> {
    let rows = match section {
        Section::Process => PROCESS,
        Section::Database(_) => DATABASE,
        Section::User(_) => return None,
    };
    rows.iter()
        .find(|(known, _)| *known == name)
        .map(|(_, harmless)| *harmless)
}
