//! How a client is to prove who it is, and proofs that come with the connection itself: a
//! certificate, or the operating system's word.

use std::net::IpAddr;
use std::sync::Arc;

use super::error::LoginError;
use super::handshake::{Replication, Request};
use super::line::{Line, cut_short};
use super::secrets::Secrets;
use crate::config::hba::{Asking, ClientCert, Method, Search};
use crate::config::ldap::Ldap;
use crate::config::{AuthType, Config, Secret};
use crate::ldap::Directory;
use crate::net::{PeerAddr, Stream, interfaces};
use crate::pam::Pam;
use crate::tls::TlsBundle;

/// Whether the way of the login depends on secrets.
pub(super) fn asks_for_secrets(auth: AuthType) -> bool {
    !matches!(
        auth,
        AuthType::Any | AuthType::Cert | AuthType::Peer | AuthType::Ldap | AuthType::Pam
    )
}

/// How a client proves who it is.
pub(super) struct Way {
    /// The method.
    pub(super) auth: AuthType,
    /// The map of names to use.
    map: Option<String>,
    /// Who checks passwords, for methods ldap and pam.
    judge: Option<Judge>,
    /// The client's address, for PAM.
    from: Option<IpAddr>,
}

/// Somebody else who checks passwords.
enum Judge {
    Ldap(Directory),
    Pam(Pam),
}

/// What the configuration wants of this client; `bundle` has what TLS to an LDAP server trusts, and
/// `secrets` knows who is a member of which roles.
pub(super) async fn way_in(
    line: &Line,
    request: &Request,
    config: &Config,
    bundle: &TlsBundle,
    secrets: &impl Secrets,
) -> Result<Way, LoginError> {
    let judge = |auth, ldap: &Option<Arc<Ldap>>, service: Option<&String>| match auth {
        AuthType::Ldap => ldap.clone().map(|settings| {
            let tls = bundle.directory.clone();
            Judge::Ldap(Directory { settings, tls })
        }),
        AuthType::Pam => Some(Judge::Pam(Pam {
            helper: config.settings.pam_helper(),
            service: service.unwrap_or(&config.settings.auth_pam_service).clone(),
        })),
        _ => None,
    };
    let stream = line.stream.as_ref().ok_or_else(cut_short)?;
    let from = match stream.peer() {
        PeerAddr::Tcp(addr) => Some(addr.ip()),
        PeerAddr::Unix => None,
        PeerAddr::Gone => return Err(cut_short()),
    };
    if config.settings.auth_type != AuthType::Hba {
        return Ok(Way {
            auth: config.settings.auth_type,
            map: None,
            judge: judge(config.settings.auth_type, &config.ldap, None),
            from,
        });
    }
    let asking = Asking {
        from,
        to: stream.local().map(|addr| addr.ip()),
        networks: interfaces::networks,
        tls: stream.is_tls(),
        database: &request.database,
        user: &request.user,
        physical: request.replication == Some(Replication::Physical),
        roles: None,
    };
    let mut search = config.hba.find(&asking);
    let roles;
    if let Search::Roles(_) = search {
        // Nobody is let in, or turned away, by a later line because this one could not be judged.
        roles = (secrets
            .roles(config, &request.database, &request.user)
            .await)
            .map_err(LoginError::Lookup)?;
        search = config.hba.find(&Asking {
            roles: Some(&roles),
            ..asking
        });
    }
    let Search::Line(found) = search else {
        return Err(LoginError::NoMethod);
    };
    if let Some(wanted) = found.client_cert {
        beside(line, &request.user, wanted)?;
    }
    match found.method {
        Method::Reject => Err(LoginError::Rejected),
        Method::Auth(auth) => Ok(Way {
            auth,
            map: found.map.clone(),
            judge: judge(auth, &found.ldap, found.pam_service.as_ref()),
            from,
        }),
    }
}

/// The certificate that a line wants beside its method. Looked at before any password, so that nobody
/// without it can try passwords.
fn beside(line: &Line, user: &str, wanted: ClientCert) -> Result<(), LoginError> {
    let shown = (line.stream.as_ref()).is_some_and(|stream| stream.peer_certificate().is_some());
    if !shown {
        return Err(LoginError::NoCertificate);
    }
    match wanted {
        ClientCert::VerifyFull if common_name(line).as_deref() != Some(user) => {
            Err(LoginError::Refused {
                method: "certificate",
                user: user.to_owned(),
            })
        }
        ClientCert::VerifyFull | ClientCert::VerifyCa => Ok(()),
    }
}

fn common_name(line: &Line) -> Option<String> {
    line.stream.as_ref()?.tls_info()?.peer_common_name
}

impl Way {
    /// Whether whoever checks passwords takes this one; the error is for the log.
    pub(super) async fn ask(&self, user: &str, given: &Secret) -> Result<bool, String> {
        match &self.judge {
            Some(Judge::Ldap(directory)) => {
                (directory.verify(user, given).await).map_err(|error| error.to_string())
            }
            Some(Judge::Pam(pam)) => {
                (pam.verify(user, given, self.from).await).map_err(|error| error.to_string())
            }
            None => Err("nobody is set who checks passwords".to_owned()),
        }
    }

    /// Whether whoever is called `name` elsewhere may be `user` here.
    fn allows(&self, config: &Config, name: &str, user: &str) -> bool {
        match &self.map {
            Some(map) => config.ident.allows(map, name, user),
            None => name == user,
        }
    }
}

/// The certificate was verified by the TLS handshake; its common name must be the user's, exactly,
/// or lead to it by the map.
pub(super) fn check_certificate(
    line: &Line,
    user: &str,
    way: &Way,
    config: &Config,
) -> Result<(), LoginError> {
    if common_name(line).is_some_and(|name| way.allows(config, &name, user)) {
        return Ok(());
    }
    Err(LoginError::Refused {
        method: "certificate",
        user: user.to_owned(),
    })
}

/// The operating system says who is at the other end of the socket; that must be the user, or lead to
/// it by the map.
pub(super) async fn check_peer(
    line: &Line,
    user: &str,
    way: &Way,
    config: &Config,
) -> Result<(), LoginError> {
    let cred = line.stream.as_ref().and_then(Stream::peer_cred);
    if let Some(cred) = cred {
        let name = tokio::task::spawn_blocking(move || crate::net::account::user_name(cred.uid))
            .await
            .map_err(|e| LoginError::Unavailable(e.to_string()))?
            .map_err(|e| LoginError::Unavailable(format!("looking up user {}: {e}", cred.uid)))?;
        if name.is_some_and(|name| way.allows(config, &name, user)) {
            return Ok(());
        }
    }
    Err(LoginError::Refused {
        method: "peer",
        user: user.to_owned(),
    })
}
