//! Proving who someone is, as values: bytes in, bytes and verdicts out.
//!
//! No sockets, no clock, no randomness: nonces and salts are arguments, so that every exchange can
//! be replayed in a test. Slow work (PBKDF2) is a plain function, [`scram::ScramKeys::derive`],
//! which callers run off the workers and remember in a [`Vault`].
//!
//! Source: PostgreSQL documentation, "Password Authentication"; RFC 5802, RFC 7677.

pub mod cleartext;
pub mod md5;
pub mod sasl;
pub mod scram;
pub mod scram_client;
pub mod scram_server;
pub mod secret;
pub mod vault;

#[cfg(test)]
mod tests;

pub use scram::{ScramKeys, ScramVerifier};
pub use secret::StoredSecret;
pub use vault::Vault;

use subtle::ConstantTimeEq;

/// Compares without telling by the time taken where two texts differ, nor how long they are.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    let hash = |text| ring::digest::digest(&ring::digest::SHA256, text);
    hash(a).as_ref().ct_eq(hash(b).as_ref()).into()
}
