//! What may stand behind the method of a line.

use std::sync::Arc;

use super::words::{Word, words};
use super::{Kind, Method};
use crate::config::AuthType;
use crate::config::ldap::{Draft, Ldap};

/// What a client's certificate must show beside the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCert {
    /// It comes from an authority that is trusted.
    VerifyCa,
    /// Its common name is the user's too.
    VerifyFull,
}

/// The options of a line.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) map: Option<String>,
    pub(super) client_cert: Option<ClientCert>,
    pub(super) ldap: Option<Arc<Ldap>>,
    pub(super) pam_service: Option<String>,
}

/// Reads the words behind the method.
///
/// Source: PostgreSQL manual, "The pg_hba.conf File", "auth-options".
pub(super) fn read(
    words: impl Iterator<Item = Result<Word, String>>,
    method: Method,
    kind: Kind,
) -> Result<Options, String> {
    let mut options = Options::default();
    let is_ldap = method == Method::Auth(AuthType::Ldap);
    let mut ldap = Draft::default();
    for word in words {
        let option = word?.text;
        match option.split_once('=') {
            Some(("map", name))
                if matches!(method, Method::Auth(AuthType::Peer | AuthType::Cert)) =>
            {
                options.map = Some(name.to_owned());
            }
            Some(("map", _)) => return Err("map works with peer and cert only".to_owned()),
            Some(("pamservice", name))
                if method == Method::Auth(AuthType::Pam) && !name.is_empty() =>
            {
                options.pam_service = Some(name.to_owned());
            }
            Some((name, value)) if is_ldap && ldap.set(name, value)? => {}
            Some(("clientcert", _)) if kind != Kind::HostSsl => {
                return Err("clientcert works with hostssl lines only".to_owned());
            }
            Some(("clientcert", value)) => {
                options.client_cert = Some(match value {
                    "verify-full" => ClientCert::VerifyFull,
                    "verify-ca" if method == Method::Auth(AuthType::Cert) => {
                        return Err("method cert is clientcert=verify-full already".to_owned());
                    }
                    "verify-ca" => ClientCert::VerifyCa,
                    other => {
                        return Err(format!(
                            "clientcert={other} is neither verify-ca nor verify-full"
                        ));
                    }
                });
            }
            _ => {
                return Err(format!(
                    "option {:?} is not known here; there are map=NAME, clientcert=verify-ca or verify-full, pamservice=NAME for pam, and those of ldap",
                    // What follows may be a password.
                    option.split('=').next().unwrap_or_default()
                ));
            }
        }
    }
    if is_ldap {
        options.ldap = Some(Arc::new(ldap.finish()?));
    }
    Ok(options)
}

/// Reads `auth_ldap_options`: what stands behind `ldap` in a line.
///
/// # Errors
/// What is wrong with it.
pub(in crate::config) fn ldap_options(text: &str) -> Result<Ldap, String> {
    let mut draft = Draft::default();
    for (_, fields) in words(text) {
        for field in fields? {
            let [word]: [Word; 1] = (field.try_into())
                .map_err(|_| "a value with a comma belongs in double quotes".to_owned())?;
            let name = word.text.split('=').next().unwrap_or_default();
            let known = match word.text.split_once('=') {
                Some((name, value)) => draft.set(name, value)?,
                None => false,
            };
            if !known {
                return Err(format!(
                    "{name:?} is no option of ldap; they are NAME=VALUE"
                ));
            }
        }
    }
    draft.finish()
}
