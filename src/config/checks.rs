//! Checks that concern more than one key, or the files that keys name.

use std::path::Path;
use std::sync::Arc;

use super::compile::{LONGEST_USERS_FILE, Places, read_text};
use super::document::{Document, Place, Section};
use super::effective::CONSOLE_NAMES;
use super::hba;
use super::{
    AuthType, ChannelBinding, Config, ConfigError, Database, PoolMode, ProxyProtocol,
    SYSLOG_FACILITIES, Secret, Settings, SslMode, TlsSettings,
};
use crate::config::userlist;

mod login_files;

/// Longest name of a database; more PostgreSQL cuts off.
///
/// Source: PostgreSQL documentation, "Identifiers and Key Words".
const LONGEST_NAME: usize = 63;

/// Why `name` cannot be the name of a database section.
pub(super) fn database_name(name: &str) -> Option<String> {
    if name.is_empty() || name.contains('\0') {
        return Some("is not the name of a database".into());
    }
    if CONSOLE_NAMES.contains(&name) {
        return Some("is the name of the console; choose another".into());
    }
    (name.len() > LONGEST_NAME)
        .then(|| format!("is longer than {LONGEST_NAME} bytes, which PostgreSQL would cut off"))
}

/// The levels of the log.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

struct Check<'c> {
    places: &'c Places,
    document: &'c Document,
    errors: &'c mut Vec<ConfigError>,
}

impl Check<'_> {
    fn fault(&mut self, section: &Section, key: &str, message: impl Into<String>) {
        let place = self.places.of(section, key);
        self.errors
            .push(self.document.error_at(place, section.path(key), message));
    }

    /// Mistakes in a file that a key names.
    fn lines(&mut self, key: &str, path: &Path, faults: Vec<hba::Fault>) {
        for fault in faults {
            let mut error = (self.document).error_at(Place::default(), key, fault.message);
            error.file = path.display().to_string();
            error.line = fault.line;
            self.errors.push(error);
        }
    }

    fn process(&mut self, key: &str, message: impl Into<String>) {
        self.fault(&Section::Process, key, message);
    }
}

/// Looks at everything that one key alone does not tell, and reads the users file.
pub(super) fn check(
    config: &mut Config,
    places: &Places,
    document: &Document,
    errors: &mut Vec<ConfigError>,
) {
    let mut check = Check {
        places,
        document,
        errors,
    };
    listeners(config, &mut check);
    tls(config, &mut check);
    logins(config, &mut check);
    sizes(config, &mut check);
    log_level(config, &mut check);
    otlp(config, &mut check);
    syslog(config, &mut check);
    mirrors(config, &mut check);
    users_file(config, &mut check);
    login_files::check(config, &mut check);
}

fn otlp(config: &Config, check: &mut Check<'_>) {
    let settings = &config.settings;
    let signals = ["metrics", "traces", "logs"];
    for signal in &settings.otlp_signals {
        if !signals.contains(&signal.as_str()) {
            check.process(
                "otlp_signals",
                format!("is metrics, traces or logs, not {signal:?}"),
            );
        }
    }
    let endpoint = &settings.otlp_endpoint;
    let plain = endpoint.strip_prefix("http://");
    let Some(rest) = plain.or_else(|| endpoint.strip_prefix("https://")) else {
        if !endpoint.is_empty() {
            check.process("otlp_endpoint", "begins with http:// or https://");
        }
        return;
    };
    if rest.starts_with(['/', ':']) || rest.is_empty() || rest.contains(['?', '#', '@', ' ']) {
        let told = "is an address such as http://127.0.0.1:4318; what else there is to say goes into otlp_headers";
        check.process("otlp_endpoint", told);
    } else if plain.is_none() && settings.otlp_ca_file.is_none() {
        check.process("otlp_endpoint", "https needs otlp_ca_file");
    }
}

fn listeners(config: &Config, check: &mut Check<'_>) {
    let settings = &config.settings;
    if settings.listen_addr.is_empty() && settings.unix_socket_dir.is_empty() {
        check.process(
            "listen_addr",
            "there is nothing to listen on; set listen_addr or unix_socket_dir",
        );
    }
    let mut seen = Vec::new();
    for target in settings.targets() {
        match target {
            Ok((port, _)) if seen.contains(&port) => {
                check.process("listen_targets", format!("port {port} is there twice"));
            }
            Ok((port, _)) => seen.push(port),
            Err(why) => check.process("listen_targets", why),
        }
    }
    if let Some(http) = settings.http_listen
        && settings.ports().contains(&http.port())
        && settings
            .listen_addr
            .iter()
            .any(|a| *a == http.ip() || a.is_unspecified() || http.ip().is_unspecified())
    {
        check.process(
            "http_listen",
            format!(
                "uses port {}, where clients connect; choose another",
                http.port()
            ),
        );
    }
    if settings.http_tls && settings.client_tls.mode == SslMode::Disable {
        check.process(
            "http_tls",
            "needs a certificate; set client_tls_sslmode, client_tls_cert_file and client_tls_key_file",
        );
    }
    if let Some(http) = settings.http_listen
        && settings.http_login
        && !settings.http_tls
        && !http.ip().is_loopback()
    {
        check.process(
            "http_login",
            format!("would have passwords sent to {http} in clear text; set http_tls, or a loopback address"),
        );
    }
}

fn mirrors(config: &Config, check: &mut Check<'_>) {
    for (name, database) in &config.databases {
        let section = Section::Database(name.to_string());
        let Some(mirror) = &database.mirror else {
            for (key, set) in [
                ("mirror_statements", database.mirror_statements.is_some()),
                ("mirror_share", database.mirror_share.is_some()),
            ] {
                if set {
                    check.fault(&section, key, "needs mirror");
                }
            }
            continue;
        };
        let known = config.databases.get(mirror.as_str());
        let wrong = match known {
            _ if **mirror == **name => Some("is the database itself".to_owned()),
            None => Some(format!("{mirror:?} is no entry of [databases]")),
            // What it runs would come around again and again.
            Some(other) if other.mirror.is_some() => {
                Some(format!("{mirror:?} has a mirror itself"))
            }
            Some(_) if config.pool_mode(database, "") == PoolMode::Session => {
                Some("needs transaction or statement pooling".to_owned())
            }
            Some(_) => None,
        };
        if let Some(wrong) = wrong {
            check.fault(&section, "mirror", wrong);
        }
    }
}

fn tls(config: &Config, check: &mut Check<'_>) {
    let client = &config.settings.client_tls;
    if client.mode != SslMode::Disable {
        for (key, file) in [
            ("client_tls_key_file", &client.key_file),
            ("client_tls_cert_file", &client.cert_file),
        ] {
            if file.is_none() {
                let message = format!(
                    "must be set when client_tls_sslmode is {}",
                    client.mode.as_str()
                );
                check.process(key, message);
            }
        }
        leg("client", client, check);
    }
    for (side, tls) in [("client", client), ("server", &config.settings.server_tls)] {
        if tls.binding == ChannelBinding::Require && tls.mode == SslMode::Disable {
            check.process(
                &format!("{side}_channel_binding"),
                format!("require needs TLS; set {side}_tls_sslmode"),
            );
        }
    }
    let server = &config.settings.server_tls;
    if server.mode != SslMode::Disable {
        if server.key_file.is_some() != server.cert_file.is_some() {
            let (set, missing) = if server.key_file.is_some() {
                ("server_tls_key_file", "server_tls_cert_file")
            } else {
                ("server_tls_cert_file", "server_tls_key_file")
            };
            check.process(set, format!("needs {missing} too"));
        }
        leg("server", server, check);
    }
}

fn leg(side: &str, tls: &TlsSettings, check: &mut Check<'_>) {
    let verifies = matches!(tls.mode, SslMode::VerifyCa | SslMode::VerifyFull);
    if verifies && tls.ca_file.is_none() {
        let mode = tls.mode.as_str();
        check.process(
            &format!("{side}_tls_ca_file"),
            format!("must be set when {side}_tls_sslmode is {mode}"),
        );
    }
    for (key, file) in [
        ("ca_file", &tls.ca_file),
        ("cert_file", &tls.cert_file),
        ("key_file", &tls.key_file),
    ] {
        if let Some(path) = file
            && let Err(why) = readable(path)
        {
            let message = format!("{}: {why}", path.display());
            check.process(&format!("{side}_tls_{key}"), message);
        }
    }
}

fn readable(path: &Path) -> Result<(), String> {
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    match file.metadata() {
        Ok(meta) if meta.is_dir() => Err("is a directory".into()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

fn logins(config: &Config, check: &mut Check<'_>) {
    let settings = &config.settings;
    let verifies = matches!(
        settings.client_tls.mode,
        SslMode::VerifyCa | SslMode::VerifyFull
    );
    if settings.auth_type == AuthType::Cert && !verifies {
        check.process(
            "auth_type",
            "cert needs client certificates; set client_tls_sslmode to verify-ca or verify-full",
        );
    }
    if settings.proxy_protocol != ProxyProtocol::Off && settings.proxy_protocol_from.is_empty() {
        check.process(
            "proxy_protocol",
            "needs the addresses of the proxies in proxy_protocol_from",
        );
    }
    if settings.auth_type == AuthType::Ldap && settings.auth_ldap_options.is_none() {
        check.process("auth_type", "ldap needs auth_ldap_options");
    }
    if settings.auth_type == AuthType::Pam
        && let Err(why) = pam_helper(settings)
    {
        check.process("auth_type", why);
    }
    if settings.auth_type == AuthType::Hba && settings.auth_hba_file.is_none() {
        check.process("auth_type", "hba needs auth_hba_file");
    }
    if settings.auth_type == AuthType::Peer && settings.unix_socket_dir.is_empty() {
        check.process(
            "auth_type",
            "peer works over a unix socket only; set unix_socket_dir",
        );
    }
}

fn sizes(config: &Config, check: &mut Check<'_>) {
    let settings = &config.settings;
    if settings.min_pool_size > settings.default_pool_size {
        let message = format!(
            "{} is more than default_pool_size, {}",
            settings.min_pool_size, settings.default_pool_size
        );
        check.process("min_pool_size", message);
    }
    let all: Vec<Arc<Database>> = config
        .databases
        .values()
        .chain(&config.fallback)
        .cloned()
        .collect();
    for database in all {
        let Some(min) = database.min_pool_size else {
            let size = database.pool_size.unwrap_or(settings.default_pool_size);
            // Only a smaller pool_size of the database can break the global minimum.
            if database.pool_size.is_some() && settings.min_pool_size > size {
                let message = format!(
                    "{size} is less than the global min_pool_size, {}",
                    settings.min_pool_size
                );
                check.fault(
                    &Section::Database(database.name.clone()),
                    "pool_size",
                    message,
                );
            }
            continue;
        };
        let size = database.pool_size.unwrap_or(settings.default_pool_size);
        if min > size {
            let message = format!("{min} is more than the size of the pool, {size}");
            check.fault(
                &Section::Database(database.name.clone()),
                "min_pool_size",
                message,
            );
        }
    }
}

fn log_level(config: &Config, check: &mut Check<'_>) {
    let filter = &config.settings.log_level;
    // A lone word that is no level would be taken for the name of a module.
    let word = filter.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if word && !LEVELS.contains(&filter.to_ascii_lowercase().as_str()) {
        let message = format!("{filter:?} is not a level; one of {}", LEVELS.join(", "));
        check.process("log_level", message);
    } else if let Err(why) = filter.parse::<tracing_subscriber::EnvFilter>() {
        check.process("log_level", format!("{filter:?} is not a filter: {why}"));
    }
}

fn syslog(config: &Config, check: &mut Check<'_>) {
    let facility = &config.settings.syslog_facility;
    let known = SYSLOG_FACILITIES.map(|(name, _)| name);
    if !known.contains(&facility.as_str()) {
        let message = format!("{facility:?} is not known; one of {}", known.join(", "));
        check.process("syslog_facility", message);
    }
}

fn users_file(config: &mut Config, check: &mut Check<'_>) {
    let Some(path) = config.settings.auth_file.clone() else {
        return;
    };
    let text = match read_text(&path, LONGEST_USERS_FILE) {
        Ok(text) => text,
        Err(why) => {
            check.process("auth_file", format!("{}: {why}", path.display()));
            return;
        }
    };
    let (entries, faults) = userlist::parse(&text);
    for fault in faults {
        let mut error = check
            .document
            .error_at(Place::default(), "auth_file", fault.message);
        error.file = path.display().to_string();
        error.line = fault.line;
        check.errors.push(error);
    }
    for entry in entries {
        config
            .secrets
            .insert(entry.user, Secret::new(entry.secret.as_str()));
    }
}

/// The program that asks PAM, which must be there.
fn pam_helper(settings: &Settings) -> Result<(), String> {
    let path = settings.pam_helper();
    match path.is_file() {
        true => Ok(()),
        false => Err(format!(
            "pam needs the program that asks PAM, and {} is not there; make pam builds it, and auth_pam_helper says where it is",
            path.display()
        )),
    }
}
