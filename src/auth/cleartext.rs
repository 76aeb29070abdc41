//! Passwords that the client shows.

use super::md5::hex_md5;
use super::{ScramKeys, StoredSecret};

/// Whether `given` is the password of `user`. An empty password never is.
///
/// Against a SCRAM verifier this derives keys (about a millisecond for 4096 iterations): run it off
/// the workers then.
pub fn verify(secret: &StoredSecret, user: &str, given: &str) -> bool {
    if given.is_empty() {
        return false;
    }
    match secret {
        StoredSecret::Plain(password) => {
            super::same(password.expose().as_bytes(), given.as_bytes()) && !secret.is_empty()
        }
        StoredSecret::Md5(hash) => {
            let of_given = hex_md5(&[given.as_bytes(), user.as_bytes()]);
            super::same(hash.hex(), of_given.as_slice())
        }
        StoredSecret::Scram(verifier) => {
            let keys = ScramKeys::derive(given, verifier.salt(), verifier.iterations());
            verifier.accepts(&keys)
        }
    }
}
