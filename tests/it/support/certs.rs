//! Certificates for one run of the tests: an authority, a server's and a client's.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

use super::postgres::run_dir;

/// Files (PEM) of one certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// The authority's file and what it signed.
#[derive(Debug)]
pub(crate) struct Certs {
    /// The authority's certificate, for `*_tls_ca_file` and `sslrootcert`.
    pub(crate) ca: PathBuf,
    /// For `localhost` and `127.0.0.1`.
    pub(crate) server: Identity,
    /// Of the user `t_cert`.
    pub(crate) client: Identity,
    /// Of an authority that nobody trusts, for `localhost`.
    pub(crate) stranger: Identity,
}

/// The certificates of this process, made at the first call.
pub(crate) fn certs() -> &'static Certs {
    static CERTS: OnceLock<Certs> = OnceLock::new();
    CERTS.get_or_init(|| make(run_dir()))
}

fn make(dir: &Path) -> Certs {
    let (ca_params, ca_key, ca_pem) = authority("pgweir tests");
    let issuer = Issuer::new(ca_params, ca_key);
    let ca = dir.join("ca.crt");
    std::fs::write(&ca, ca_pem).expect("writing a certificate");
    let (other_params, other_key, _) = authority("somebody else");
    let other = Issuer::new(other_params, other_key);
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    Certs {
        server: leaf(dir, "server", "localhost", &names, &issuer),
        client: leaf(dir, "client", "t_cert", &[], &issuer),
        stranger: leaf(dir, "stranger", "localhost", &names, &other),
        ca,
    }
}

fn authority(name: &str) -> (CertificateParams, KeyPair, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names to be wrong");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).expect("a certificate").pem();
    (params, key, pem)
}

fn leaf(
    dir: &Path,
    file: &str,
    common_name: &str,
    names: &[String],
    issuer: &Issuer<'_, KeyPair>,
) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(names.to_vec()).expect("good names");
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let cert = params.signed_by(&key, issuer).expect("a certificate");
    let identity = Identity {
        cert: dir.join(format!("{file}.crt")),
        key: dir.join(format!("{file}.key")),
    };
    std::fs::write(&identity.cert, cert.pem()).expect("writing a certificate");
    std::fs::write(&identity.key, key.serialize_pem()).expect("writing a key");
    // libpq refuses a key that others may read.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&identity.key, private).expect("protecting a key");
    identity
}
