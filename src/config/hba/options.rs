//! What may stand behind the method of a line.

use super::words::Word;
use super::{Kind, Method};
use crate::config::AuthType;

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
    for word in words {
        let option = word?.text;
        match option.split_once('=') {
            Some(("map", name))
                if matches!(method, Method::Auth(AuthType::Peer | AuthType::Cert)) =>
            {
                options.map = Some(name.to_owned());
            }
            Some(("map", _)) => return Err("map works with peer and cert only".to_owned()),
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
                    "option {option:?} is not known; there are map=NAME and clientcert=verify-ca or verify-full"
                ));
            }
        }
    }
    Ok(options)
}
