//! TLS towards servers: we are the client, with libpq's meaning of `sslmode`.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::material::{self, Roots, TlsError};
use crate::config::{ChannelBinding, SslMode, TlsSettings, TlsVersions};

/// What a login to a server needs to speak TLS.
#[derive(Debug)]
pub struct ServerLeg {
    /// What is demanded; never [`SslMode::Disable`].
    pub mode: SslMode,
    /// Whether our logins are bound to the session.
    pub binding: ChannelBinding,
    /// For [`Stream::connect_tls`](crate::net::Stream::connect_tls).
    pub config: Arc<rustls::ClientConfig>,
}

impl ServerLeg {
    /// Reads authorities and, if set, our own certificate and key.
    ///
    /// `require` and below encrypt without verification; `verify-ca` demands a chain to `ca_file`;
    /// `verify-full` also that the certificate names the host.
    ///
    /// Errors: as [`TlsError`].
    ///
    /// Source: PostgreSQL documentation, libpq, "SSL Support".
    pub fn build(settings: &TlsSettings) -> Result<ServerLeg, TlsError> {
        let missing = |setting| TlsError::Missing {
            setting,
            leg: "server",
            mode: settings.mode.as_str(),
        };
        let provider = material::provider();
        let trust = match (settings.mode, settings.ca_file.as_deref()) {
            (SslMode::VerifyCa | SslMode::VerifyFull, None) => {
                return Err(missing("server_tls_ca_file"));
            }
            (SslMode::VerifyCa, Some(path)) => Trust::Chain(Roots::read(path)?),
            (SslMode::VerifyFull, Some(path)) => Trust::ChainAndName(Roots::read(path)?),
            _ => Trust::Anyone,
        };
        let verifier = Verifier {
            trust,
            algorithms: provider.signature_verification_algorithms,
        };
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(material::versions(settings.versions))
            .map_err(|e| TlsError::Library(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (settings.cert_file.as_deref(), settings.key_file.as_deref()) {
            (Some(cert), Some(key)) => {
                let identity = material::read_identity(cert, key)?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                    identity,
                )))
            }
            (None, None) => builder.with_no_client_auth(),
            (Some(_), None) => return Err(missing("server_tls_key_file")),
            (None, Some(_)) => return Err(missing("server_tls_cert_file")),
        };
        config.alpn_protocols = vec![super::ALPN.to_vec()];
        Ok(ServerLeg {
            mode: settings.mode,
            binding: settings.binding,
            config: Arc::new(config),
        })
    }
}

/// TLS towards a server of another kind, whose certificate must come from an authority in `path` and
/// name the server.
///
/// Errors: as [`TlsError`].
pub(super) fn trusting(path: &Path) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let provider = material::provider();
    let verifier = Verifier {
        trust: Trust::ChainAndName(Roots::read(path)?),
        algorithms: provider.signature_verification_algorithms,
    };
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(material::versions(TlsVersions::Secure))
        .map_err(|e| TlsError::Library(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The name to verify and to send as SNI for a host as it is written in the configuration.
///
/// A host that is no legal DNS name can only be reached without verification of the name; then
/// `address` stands in, which is not sent.
pub fn server_name(host: &str, address: IpAddr, mode: SslMode) -> Option<ServerName<'static>> {
    // A root dot is legal in a host name but never part of a certificate.
    match ServerName::try_from(host.trim_end_matches('.').to_owned()) {
        Ok(name) => Some(name),
        Err(_) if mode < SslMode::VerifyFull => Some(ServerName::IpAddress(address.into())),
        Err(_) => None,
    }
}

#[derive(Debug)]
enum Trust {
    Anyone,
    Chain(Roots),
    ChainAndName(Roots),
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (roots, check_name) = match &self.trust {
            Trust::Anyone => return Ok(ServerCertVerified::assertion()),
            Trust::Chain(roots) => (roots, false),
            Trust::ChainAndName(roots) => (roots, true),
        };
        if !roots.trusts_directly(end_entity, now)? {
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                &roots.store,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if check_name {
            verify_name(end_entity, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Checks that the certificate names `expected`: by its alternative names, or by the common name
/// if it has no alternative name of a kind that could name a host (as libpq does; servers with a
/// home-made certificate often have nothing else).
fn verify_name(cert: &CertificateDer<'_>, expected: &ServerName<'_>) -> Result<(), rustls::Error> {
    let by_alternative_name = verify_server_name(&ParsedCertificate::try_from(cert)?, expected);
    if by_alternative_name.is_ok() || has_host_names(cert) {
        return by_alternative_name;
    }
    let Some(common_name) = material::common_name(cert) else {
        return by_alternative_name;
    };
    let matches = match expected {
        ServerName::DnsName(name) => name_matches(&common_name, name.as_ref()),
        ServerName::IpAddress(ip) => common_name
            .parse::<IpAddr>()
            .is_ok_and(|cn| cn == IpAddr::from(*ip)),
        _ => false,
    };
    if matches { Ok(()) } else { by_alternative_name }
}

fn has_host_names(cert: &CertificateDer<'_>) -> bool {
    let Ok((_, cert)) = X509Certificate::from_der(cert.as_ref()) else {
        return true;
    };
    match cert.subject_alternative_name() {
        Ok(None) => false,
        Ok(Some(names)) => names
            .value
            .general_names
            .iter()
            .any(|name| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_))),
        // More than one such extension, or one that cannot be read: trust no fallback.
        Err(_) => true,
    }
}

/// Compares ASCII names without case; `*.` at the front stands for exactly one label.
fn name_matches(pattern: &str, host: &str) -> bool {
    if let Some(suffix) = pattern.strip_prefix("*.") {
        return host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix));
    }
    pattern.eq_ignore_ascii_case(host)
}
