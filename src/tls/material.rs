//! Certificates and keys: read from PEM files, checked, and looked into.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use x509_parser::oid_registry as oid;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::TlsVersions;

/// Why TLS cannot be set up. The operator's to mend; nothing changes until it is.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A setting that another one needs is missing.
    #[error("{setting} must be set when {leg}_tls_sslmode is {mode}")]
    Missing {
        /// The setting's name.
        setting: &'static str,
        /// `client` or `server`.
        leg: &'static str,
        /// The mode's word.
        mode: &'static str,
    },
    /// A file cannot be read or is not PEM.
    #[error("cannot read {what} from {}: {reason}", path.display())]
    Read {
        /// What should be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file holds something that cannot be used.
    #[error("cannot use {what} in {}: {reason}", path.display())]
    Unusable {
        /// What is in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The TLS library refuses the combination.
    #[error("cannot set up TLS: {0}")]
    Library(String),
}

/// The cryptography in use: `ring`, named explicitly so that no process-wide default is needed.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Reads a certificate chain, leaf first.
///
/// Errors: unreadable, not PEM, or no certificate in it.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |reason: String| TlsError::Read {
        what: "certificates",
        path: path.to_owned(),
        reason,
    };
    let bytes = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    let chain = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| failed(e.to_string()))?;
    if chain.is_empty() {
        return Err(failed("no certificate found in PEM format".to_owned()));
    }
    Ok(chain)
}

/// Reads a chain and its private key and checks that they belong together.
///
/// Errors: either file unreadable, a key of an unsupported kind, or a key of another certificate.
pub fn read_identity(cert_file: &Path, key_file: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = read_certificates(cert_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|e| TlsError::Read {
        what: "a private key",
        path: key_file.to_owned(),
        reason: match e {
            rustls_pki_types::pem::Error::NoItemsFound => {
                "no unencrypted private key found in PEM format".to_owned()
            }
            other => other.to_string(),
        },
    })?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|e| TlsError::Unusable {
        what: "the private key",
        path: key_file.to_owned(),
        reason: match e {
            rustls::Error::InconsistentKeys(_) => {
                format!(
                    "it does not belong to the certificate in {}",
                    cert_file.display()
                )
            }
            other => other.to_string(),
        },
    })
}

/// Trusted authorities of one leg.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) store: Arc<RootCertStore>,
    /// The same certificates as they came, to recognise a self-signed leaf that is trusted itself.
    exact: Vec<CertificateDer<'static>>,
}

impl Roots {
    pub(super) fn read(path: &Path) -> Result<Roots, TlsError> {
        let exact = read_certificates(path)?;
        let mut store = RootCertStore::empty();
        for cert in &exact {
            store.add(cert.clone()).map_err(|e| TlsError::Unusable {
                what: "a trusted certificate",
                path: path.to_owned(),
                reason: e.to_string(),
            })?;
        }
        Ok(Roots {
            store: Arc::new(store),
            exact,
        })
    }

    /// Whether `leaf` itself is one of the trusted certificates, and valid at `now`.
    ///
    /// `openssl req -x509` makes a certificate that is its own authority. OpenSSL, and with it
    /// libpq, accepts one that is configured as trusted; webpki refuses an authority as a leaf.
    pub(super) fn trusts_directly(
        &self,
        leaf: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<bool, rustls::Error> {
        if !self.exact.iter().any(|root| root.as_ref() == leaf.as_ref()) {
            return Ok(false);
        }
        let (_, cert) = X509Certificate::from_der(leaf.as_ref())
            .map_err(|_| rustls::CertificateError::BadEncoding)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = cert.validity();
        if now < validity.not_before.timestamp() {
            return Err(rustls::CertificateError::NotValidYet.into());
        }
        if now > validity.not_after.timestamp() {
            return Err(rustls::CertificateError::Expired.into());
        }
        Ok(true)
    }
}

/// The common name of a certificate's subject, if there is exactly one and it is text without NUL.
pub fn common_name(cert: &CertificateDer<'_>) -> Option<String> {
    let (_, cert) = X509Certificate::from_der(cert.as_ref()).ok()?;
    let mut names = cert.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    if names.next().is_some() || name.contains('\0') || name.is_empty() {
        return None;
    }
    Some(name.to_owned())
}

/// Hash of a certificate for the channel binding `tls-server-end-point`; `None` where the
/// certificate's signature algorithm does not define one (Ed25519).
///
/// Source: RFC 5929, section 4.1.
pub fn end_point_hash(cert: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(cert.as_ref()).ok()?;
    let algorithm = &parsed.signature_algorithm;
    let signature = &algorithm.algorithm;
    let hash = if *signature == oid::OID_PKCS1_MD5WITHRSAENC
        || *signature == oid::OID_PKCS1_SHA1WITHRSA
        || *signature == oid::OID_PKCS1_SHA256WITHRSA
        || *signature == oid::OID_SIG_ECDSA_WITH_SHA256
    {
        &digest::SHA256
    } else if *signature == oid::OID_PKCS1_SHA384WITHRSA
        || *signature == oid::OID_SIG_ECDSA_WITH_SHA384
    {
        &digest::SHA384
    } else if *signature == oid::OID_PKCS1_SHA512WITHRSA
        || *signature == oid::OID_SIG_ECDSA_WITH_SHA512
    {
        &digest::SHA512
    } else if *signature == oid::OID_PKCS1_RSASSAPSS {
        use x509_parser::signature_algorithm::SignatureAlgorithm;
        let Ok(SignatureAlgorithm::RSASSA_PSS(params)) = SignatureAlgorithm::try_from(algorithm)
        else {
            return None;
        };
        let hash = params.hash_algorithm_oid();
        if *hash == oid::OID_NIST_HASH_SHA384 {
            &digest::SHA384
        } else if *hash == oid::OID_NIST_HASH_SHA512 {
            &digest::SHA512
        } else if *hash == oid::OID_NIST_HASH_SHA256 || *hash == oid::OID_HASH_SHA1 {
            &digest::SHA256
        } else {
            return None;
        }
    } else {
        return None;
    };
    Some(digest::digest(hash, cert.as_ref()).as_ref().to_vec())
}

/// TLS versions to offer.
pub(super) fn versions(
    allowed: TlsVersions,
) -> &'static [&'static rustls::SupportedProtocolVersion] {
    const ONLY_TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    const ONLY_TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match allowed {
        TlsVersions::Secure => rustls::ALL_VERSIONS,
        TlsVersions::Only12 => ONLY_TLS12,
        TlsVersions::Only13 => ONLY_TLS13,
    }
}
