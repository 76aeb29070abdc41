//! MD5 challenge and response, both sides.
//!
//! Weak by today's measure (SCRAM is better in every way) but old drivers and servers have nothing
//! else.

use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::StoredSecret;

/// Response in the form sent on the wire: `md5` and 32 hex digits, without the final NUL.
pub type Response = Zeroizing<[u8; 35]>;

/// The answer to a server's challenge `salt` for `user`; `None` for a SCRAM verifier, from which no
/// MD5 response can be made.
pub fn respond(secret: &StoredSecret, user: &str, salt: [u8; 4]) -> Option<Response> {
    let inner = match secret {
        StoredSecret::Plain(password) => hex_md5(&[password.expose().as_bytes(), user.as_bytes()]),
        StoredSecret::Md5(hash) => Zeroizing::new(*hash.hex()),
        StoredSecret::Scram(_) => return None,
    };
    let outer = hex_md5(&[inner.as_slice(), &salt]);
    let mut response = Zeroizing::new(*b"md5................................");
    response
        .iter_mut()
        .skip(3)
        .zip(outer.iter())
        .for_each(|(to, from)| *to = *from);
    Some(response)
}

/// Whether a client's response (without NUL) proves that it knows `secret`.
///
/// `None` stands for an unknown user: the same work is done and the answer is `false`.
pub fn verify(secret: Option<&StoredSecret>, user: &str, salt: [u8; 4], response: &[u8]) -> bool {
    let mock = StoredSecret::Plain(crate::config::Secret::new("mock"));
    let usable = secret.is_some_and(|s| !s.is_empty());
    let expected = respond(secret.unwrap_or(&mock), user, salt);
    match expected {
        Some(expected) => super::same(expected.as_slice(), response) && usable,
        None => false,
    }
}

/// Lower-case hex digits of the MD5 of the parts.
pub(crate) fn hex_md5(parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update(part);
    }
    let hash = hasher.finalize();
    let mut hex = Zeroizing::new([0; 32]);
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
    for (to, byte) in hex.chunks_exact_mut(2).zip(hash) {
        if let [high, low] = to {
            (*high, *low) = (digit(byte >> 4), digit(byte & 15));
        }
    }
    hex
}
