//! TLS on both legs: key material, the acceptor for clients and the connector for servers.
//!
//! Everything derived from the configuration is one immutable [`TlsBundle`]; [`TlsContext`] holds
//! the current one. A login takes the bundle once and keeps it, so that the certificate it served
//! and the hash it uses for channel binding belong together even if a reload happens meanwhile.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::{Config, SslMode};

pub mod client;
pub mod material;
pub mod server;
#[cfg(test)]
pub(crate) mod tests;

pub use client::ServerLeg;
pub use material::TlsError;
pub use server::ClientLeg;

/// The application protocol that PostgreSQL registered for ALPN.
pub const ALPN: &[u8] = b"postgresql";

/// TLS of both legs as one configuration asks for it.
#[derive(Debug)]
pub struct TlsBundle {
    /// Towards clients; `None` with `client_tls_sslmode = disable`.
    pub clients: Option<ClientLeg>,
    /// Towards servers; `None` with `server_tls_sslmode = disable`.
    pub servers: Option<Arc<ServerLeg>>,
    /// Towards LDAP servers; `None` without `auth_ldap_ca_file`.
    pub directory: Option<Arc<rustls::ClientConfig>>,
    /// Towards Patroni; `None` without `patroni_ca_file`.
    pub patroni: Option<Arc<rustls::ClientConfig>>,
    /// Towards OpenTelemetry's collector; `None` without `otlp_ca_file`.
    pub otlp: Option<Arc<rustls::ClientConfig>>,
}

impl TlsBundle {
    /// Reads and checks every file that `config` names.
    ///
    /// Errors: the first file that cannot be read or used; the operator's to mend.
    pub fn build(config: &Config) -> Result<TlsBundle, TlsError> {
        let clients = match config.settings.client_tls.mode {
            SslMode::Disable => None,
            _ => Some(ClientLeg::build(&config.settings.client_tls)?),
        };
        let servers = match config.settings.server_tls.mode {
            SslMode::Disable => None,
            _ => Some(Arc::new(ServerLeg::build(&config.settings.server_tls)?)),
        };
        let directory = match &config.settings.auth_ldap_ca_file {
            Some(path) => Some(client::trusting(path)?),
            None => None,
        };
        let patroni = match &config.settings.patroni_ca_file {
            Some(path) => Some(client::trusting(path)?),
            None => None,
        };
        let otlp = match &config.settings.otlp_ca_file {
            Some(path) => Some(client::trusting(path)?),
            None => None,
        };
        Ok(TlsBundle {
            otlp,
            clients,
            servers,
            directory,
            patroni,
        })
    }
}

/// The bundle in force. Shared by all threads; reading it takes no lock.
#[derive(Debug)]
pub struct TlsContext {
    current: ArcSwap<TlsBundle>,
}

impl TlsContext {
    /// Starts with `bundle`.
    pub fn new(bundle: TlsBundle) -> TlsContext {
        TlsContext {
            current: ArcSwap::from_pointee(bundle),
        }
    }

    /// The bundle in force now.
    pub fn load(&self) -> Arc<TlsBundle> {
        self.current.load_full()
    }

    /// Puts `bundle` in force for logins that begin from now on. Build it first with
    /// [`TlsBundle::build`], so that a bad file leaves the old one in place.
    pub fn install(&self, bundle: TlsBundle) {
        self.current.store(Arc::new(bundle));
    }
}
