//! TLS towards clients: we are the server.

use std::sync::Arc;

use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::material::{self, Roots, TlsError};
use crate::config::{ChannelBinding, SslMode, TlsSettings};

/// What a login needs to accept TLS.
#[derive(Debug)]
pub struct ClientLeg {
    /// What is demanded of clients; never [`SslMode::Disable`].
    pub mode: SslMode,
    /// For [`Stream::accept_tls`](crate::net::Stream::accept_tls).
    pub config: Arc<rustls::ServerConfig>,
    /// Whether logins are bound to the session.
    pub binding: ChannelBinding,
    /// `tls-server-end-point` hash of the certificate that `config` serves; `None` if its
    /// algorithm has none. With [`ChannelBinding::Require`] there is one.
    pub end_point_hash: Option<Vec<u8>>,
}

impl ClientLeg {
    /// Reads certificate, key and authorities of `settings`.
    ///
    /// A certificate that a client shows is verified whenever `ca_file` is set, and demanded with
    /// `verify-ca` and `verify-full`. No session tickets: libpq does not resume. ALPN is
    /// `postgresql` for clients that offer any.
    ///
    /// Errors: as [`TlsError`].
    ///
    /// Source: PgBouncer, `client_tls_sslmode`; PostgreSQL documentation, "Secure TCP/IP
    /// Connections with SSL".
    pub fn build(settings: &TlsSettings) -> Result<ClientLeg, TlsError> {
        let missing = |setting| TlsError::Missing {
            setting,
            leg: "client",
            mode: settings.mode.as_str(),
        };
        let cert_file = settings
            .cert_file
            .as_deref()
            .ok_or_else(|| missing("client_tls_cert_file"))?;
        let key_file = settings
            .key_file
            .as_deref()
            .ok_or_else(|| missing("client_tls_key_file"))?;
        let required = settings.mode >= SslMode::VerifyCa;
        if required && settings.ca_file.is_none() {
            return Err(missing("client_tls_ca_file"));
        }
        let identity = material::read_identity(cert_file, key_file)?;
        let end_point_hash = identity.cert.first().and_then(material::end_point_hash);

        if end_point_hash.is_none() && settings.binding == ChannelBinding::Require {
            return Err(TlsError::Unusable {
                what: "a certificate for client_channel_binding = require",
                path: cert_file.to_owned(),
                reason: "there is no channel binding for the algorithm it is signed with; use ECDSA or RSA"
                    .to_owned(),
            });
        }

        let builder = rustls::ServerConfig::builder_with_provider(material::provider())
            .with_protocol_versions(material::versions(settings.versions))
            .map_err(|e| TlsError::Library(e.to_string()))?;
        let builder = match settings.ca_file.as_deref() {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Roots::read(path)?;
                let chain = WebPkiClientVerifier::builder_with_provider(
                    roots.store.clone(),
                    material::provider(),
                )
                .build()
                .map_err(|e| TlsError::Library(e.to_string()))?;
                builder.with_client_cert_verifier(Arc::new(Verifier {
                    roots,
                    chain,
                    required,
                }))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        config.alpn_protocols = vec![super::ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(ClientLeg {
            mode: settings.mode,
            binding: settings.binding,
            config: Arc::new(config),
            end_point_hash,
        })
    }
}

/// Accepts a chain to a trusted authority, or a self-signed certificate that is trusted itself.
#[derive(Debug)]
struct Verifier {
    roots: Roots,
    chain: Arc<dyn ClientCertVerifier>,
    required: bool,
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.roots.trusts_directly(end_entity, now)? {
            return Ok(ClientCertVerified::assertion());
        }
        self.chain
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
