//! Passwords that an LDAP server checks.
//!
//! The exchange waits for sockets like everything else on a worker, never for longer than
//! [`PATIENCE`] per server, and no more than [`AT_ONCE`] at a time, so that a slow directory holds up
//! nobody but those who log in with it.
//!
//! Source: PostgreSQL, `CheckLDAPAuth`; RFC 4511, RFC 4513.

use std::sync::Arc;
use std::time::Duration;

use ldap3::{LdapConnAsync, LdapConnSettings, LdapError, SearchEntry, SearchOptions};
use tokio::sync::Semaphore;

use crate::config::Secret;
use crate::config::ldap::{Encryption, Ldap, Scope, USER, Way};
use crate::timer::timeout;

/// Exchanges with LDAP servers that may be under way in the process; others wait for their turn.
pub const AT_ONCE: usize = 32;

/// Longest exchange with one server.
pub const PATIENCE: Duration = Duration::from_secs(10);

static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Success, and the two answers that are no mistake of anybody's (RFC 4511, appendix A).
const SUCCESS: u32 = 0;
const SIZE_LIMIT: u32 = 4;
const INVALID_CREDENTIALS: u32 = 49;

/// An LDAP server that checks passwords.
#[derive(Clone)]
pub struct Directory {
    /// Where it is and what it is asked.
    pub settings: Arc<Ldap>,
    /// Whom TLS trusts; `None` for the system's authorities.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// The password could not be checked; the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[error("LDAP server {server}: {reason}")]
pub struct Failed {
    /// Its URL.
    server: String,
    /// What happened.
    reason: String,
}

impl Directory {
    /// Whether `password` is that of `user`. The servers are asked in turn until one answers.
    ///
    /// A user whom the directory does not know takes as many steps as one with a wrong password.
    /// Cancel safe.
    ///
    /// Errors: [`Failed`], of the last server.
    pub async fn verify(&self, user: &str, password: &Secret) -> Result<bool, Failed> {
        // To LDAP a name with an empty password is nobody in particular, which always succeeds.
        if password.expose().is_empty() || user.is_empty() {
            return Ok(false);
        }
        let failed = |server: &str, reason: String| Failed {
            server: server.to_owned(),
            reason,
        };
        let mut last = failed("", "there is none".to_owned());
        let Ok(_permit) = PERMITS.acquire().await else {
            return Err(last);
        };
        for server in &self.settings.servers {
            let url = url(&self.settings, server);
            match timeout(PATIENCE, self.ask(&url, user, password)).await {
                Ok(Ok(verdict)) => return Ok(verdict),
                Ok(Err(error)) => last = failed(&url, error.to_string()),
                Err(_) => last = failed(&url, format!("no answer in {PATIENCE:?}")),
            }
            tracing::warn!("{last}");
        }
        Err(last)
    }

    async fn ask(&self, url: &str, user: &str, password: &Secret) -> Result<bool, LdapError> {
        let mut settings =
            LdapConnSettings::new().set_starttls(self.settings.encryption == Encryption::StartTls);
        if let Some(tls) = &self.tls {
            settings = settings.set_config(tls.clone());
        }
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, url).await?;
        let exchange = exchange(&mut ldap, &self.settings.way, user, password);
        // Both in this task: whoever drops it ends the connection.
        tokio::select! {
            biased;
            verdict = exchange => verdict,
            ended = connection.drive() => {
                ended?;
                Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
            }
        }
    }
}

async fn exchange(
    ldap: &mut ldap3::Ldap,
    way: &Way,
    user: &str,
    password: &Secret,
) -> Result<bool, LdapError> {
    let (base, scope, bind_dn, bind_password, filter) = match way {
        Way::Bind { prefix, suffix } => {
            return bind(ldap, &name(prefix, user, suffix), password).await;
        }
        Way::Search {
            base,
            scope,
            bind_dn,
            bind_password,
            filter,
        } => (base, scope, bind_dn, bind_password, filter),
    };
    (ldap.simple_bind(bind_dn, bind_password.expose()).await?).success()?;
    let scope = match scope {
        Scope::Base => ldap3::Scope::Base,
        Scope::One => ldap3::Scope::OneLevel,
        Scope::Sub => ldap3::Scope::Subtree,
    };
    // Two are as bad as a thousand. No attributes, only names.
    ldap.with_search_options(SearchOptions::new().sizelimit(2));
    let ldap3::SearchResult(mut entries, result) = ldap
        .search(base, scope, &filter_for(filter, user), ["1.1"])
        .await?;
    if result.rc != SIZE_LIMIT {
        result.success()?;
    }
    entries.retain(|entry| !entry.is_ref() && !entry.is_intermediate());
    let found = entries.pop().filter(|_| entries.is_empty());
    let found = found.map(|entry| SearchEntry::construct(entry).dn);
    // An entry without a name would make anybody of the client.
    match found.filter(|dn| !dn.is_empty()) {
        Some(dn) => bind(ldap, &dn, password).await,
        None => {
            // As long as for a user who is there; there is no such entry.
            let nobody = format!("cn={},{base}", ldap3::dn_escape(user));
            let _ = ldap.simple_bind(&nobody, password.expose()).await?;
            Ok(false)
        }
    }
}

/// Whether the server takes the password for that of `dn`.
async fn bind(ldap: &mut ldap3::Ldap, dn: &str, password: &Secret) -> Result<bool, LdapError> {
    let result = ldap.simple_bind(dn, password.expose()).await?;
    match result.rc {
        SUCCESS => Ok(true),
        INVALID_CREDENTIALS => Ok(false),
        code => {
            let text: String = result.text.chars().take(200).collect();
            tracing::info!(code, "LDAP server refuses the login as {dn:?}: {text:?}");
            Ok(false)
        }
    }
}

/// The user's entry, whatever characters the name has.
fn name(prefix: &str, user: &str, suffix: &str) -> String {
    format!("{prefix}{}{suffix}", ldap3::dn_escape(user))
}

/// The filter for a user, whatever characters the name has.
fn filter_for(filter: &str, user: &str) -> String {
    filter.replace(USER, &ldap3::ldap_escape(user))
}

fn url(settings: &Ldap, server: &str) -> String {
    let scheme = match settings.encryption {
        Encryption::Ldaps => "ldaps",
        Encryption::Plain | Encryption::StartTls => "ldap",
    };
    match server.contains(':') {
        true => format!("{scheme}://[{server}]:{}", settings.port),
        false => format!("{scheme}://{server}:{}", settings.port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(name("uid=", "ann", ",ou=x"), "uid=ann,ou=x");
        assert_eq!(
            name("uid=", "ann,ou=admins", ",ou=x"),
            "uid=ann\\2cou\\3dadmins,ou=x"
        );
        assert_eq!(filter_for("(uid=$username)", "ann"), "(uid=ann)");
        assert_eq!(
            filter_for("(&(a=b)(|(uid=$username)(m=$username)))", "*)(x=\\"),
            "(&(a=b)(|(uid=\\2a\\29\\28x=\\5c)(m=\\2a\\29\\28x=\\5c)))"
        );
    }

    #[tokio::test]
    async fn an_empty_password_is_never_sent() {
        let settings = Arc::new(Ldap {
            // Nobody listens there: asking would fail.
            servers: vec!["127.0.0.1".to_owned()],
            port: 1,
            encryption: Encryption::Plain,
            way: Way::Bind {
                prefix: String::new(),
                suffix: "@x".to_owned(),
            },
        });
        let directory = Directory {
            settings,
            tls: None,
        };
        let empty = Secret::new("");
        assert!(matches!(directory.verify("ann", &empty).await, Ok(false)));
        let error = directory.verify("ann", &Secret::new("p")).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("ldap://127.0.0.1:1"), "{error}");
    }
}
