//! The files and options that say who may log in how.

use std::path::Path;
use std::sync::Arc;

use super::super::compile::{LONGEST_USERS_FILE, read_text};
use super::super::hba::ident::Ident;
use super::super::hba::{self, Hba, Line, Method};
use super::super::{AuthType, Config, SslMode};
use super::{Check, pam_helper};

/// Reads `auth_ldap_options`, `auth_ident_file` and `auth_hba_file`.
pub(super) fn check(config: &mut Config, check: &mut Check<'_>) {
    config.ldap = None;
    if let Some(options) = &config.settings.auth_ldap_options {
        match hba::ldap_options(options.expose()) {
            Ok(ldap) => config.ldap = Some(Arc::new(ldap)),
            Err(why) => check.process("auth_ldap_options", why),
        }
    }
    if let Some(path) = config.settings.auth_ident_file.clone() {
        match read_text(&path, LONGEST_USERS_FILE) {
            Ok(text) => match Ident::parse(&text) {
                Ok(ident) => config.ident = Arc::new(ident),
                Err(faults) => check.lines("auth_ident_file", &path, faults),
            },
            Err(why) => check.process("auth_ident_file", format!("{}: {why}", path.display())),
        }
    }
    let Some(path) = config.settings.auth_hba_file.clone() else {
        return;
    };
    let text = match read_text(&path, LONGEST_USERS_FILE) {
        Ok(text) => text,
        Err(why) => {
            check.process("auth_hba_file", format!("{}: {why}", path.display()));
            return;
        }
    };
    // Files that it names are beside it.
    let beside = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut names = |name: &str| {
        let path = beside.join(name);
        let text = read_text(&path, LONGEST_USERS_FILE);
        text.map(|text| text.to_string())
            .map_err(|why| format!("{}: {why}", path.display()))
    };
    let hba = match Hba::parse(&text, &mut names) {
        Ok(hba) => hba,
        Err(faults) => return check.lines("auth_hba_file", &path, faults),
    };
    // Certificates that clients show are verified in every mode if there is something to do it with.
    let client = &config.settings.client_tls;
    let verifies = client.mode != SslMode::Disable && client.ca_file.is_some();
    let mut faults = Vec::new();
    for line in hba.lines() {
        let message = match (&line.map, line.method) {
            (Some(map), _) if !config.ident.has(map) => {
                format!("there is no map {map:?} in auth_ident_file")
            }
            (_, Method::Auth(AuthType::Pam)) => match pam_helper(&config.settings) {
                Ok(()) => continue,
                Err(why) => why,
            },
            (_, method)
                if !verifies
                    && (method == Method::Auth(AuthType::Cert) || line.client_cert.is_some()) =>
            {
                "client certificates need something to check them with; set client_tls_sslmode and client_tls_ca_file"
                    .to_owned()
            }
            _ if line.asks_for_roles() => match nobody_to_ask(config, line) {
                Some(why) => why,
                None => continue,
            },
            _ => continue,
        };
        faults.push(hba::Fault {
            line: line.number,
            message,
        });
    }
    check.lines("auth_hba_file", &path, faults);
    for (line, note) in &hba.notes {
        config
            .notes
            .push(format!("{}:{line}: {note}", path.display()));
    }
    config.hba = Arc::new(hba);
}

/// Why a line that depends on roles cannot be used. The console is left out, since a line for all
/// databases need not be meant for it: who gets there to such a line is turned away.
fn nobody_to_ask(config: &Config, line: &Line) -> Option<String> {
    let known = config.databases.keys().map(String::as_str);
    let others = line
        .named()
        .chain(["*"])
        .filter(|_| config.fallback.is_some());
    let unasked = known
        .chain(others)
        .find(|name| line.may_mean(name) && config.auth_lookup(name).is_none())?;
    Some(format!(
        "who is a member of a role is asked of the server as auth_user, which is not set for database {unasked:?}"
    ))
}
