//! What is stored about a user: a password, an MD5 hash, or a SCRAM verifier.

use zeroize::Zeroizing;

use super::scram::ScramVerifier;
use crate::config::Secret;

/// A user's secret in one of the forms of `pg_authid.rolpassword` and of the users file.
///
/// Zeroed when dropped, never printed.
#[derive(Clone)]
pub enum StoredSecret {
    /// The password itself; every method works with it.
    Plain(Secret),
    /// `md5` and 32 hex digits; good for `plain` and `md5`.
    Md5(Md5Hash),
    /// `SCRAM-SHA-256$…`; good for `plain` and SCRAM.
    Scram(ScramVerifier),
}

/// The 32 hex digits of a stored MD5 hash, in lower case.
#[derive(Clone)]
pub struct Md5Hash(Zeroizing<[u8; 32]>);

impl Md5Hash {
    /// The digits.
    pub fn hex(&self) -> &[u8; 32] {
        &self.0
    }
}

impl StoredSecret {
    /// Tells the form of `text` as PostgreSQL does: whatever does not have the exact form of a hash
    /// or verifier is a password.
    ///
    /// Source: PostgreSQL, `get_password_type`.
    pub fn parse(text: &str) -> StoredSecret {
        if let Some(hash) = parse_md5(text) {
            return StoredSecret::Md5(hash);
        }
        match ScramVerifier::parse(text) {
            Some(verifier) => StoredSecret::Scram(verifier),
            None => StoredSecret::Plain(Secret::new(text)),
        }
    }

    /// Whether nobody can log in with it: an empty password never matches.
    pub fn is_empty(&self) -> bool {
        matches!(self, StoredSecret::Plain(secret) if secret.expose().is_empty())
    }
}

fn parse_md5(text: &str) -> Option<Md5Hash> {
    let digits: &[u8; 32] = text.strip_prefix("md5")?.as_bytes().try_into().ok()?;
    // PostgreSQL takes lower-case digits only; anything else is a password that looks odd.
    digits
        .iter()
        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        .then(|| Md5Hash(Zeroizing::new(*digits)))
}
