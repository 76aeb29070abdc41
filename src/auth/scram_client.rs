//! SCRAM-SHA-256 where we are the client: we prove ourselves to a server, and it to us.
//!
//! ```text
//! start(nonce) ──► AwaitFirst ── server_first ──► Challenge ── answer(keys) ──► AwaitFinal ── finish
//! ```
//!
//! The keys come from a password (derive them with the challenge's salt and iterations) or from a
//! client that logged in to us with the same verifier.
//!
//! Source: RFC 5802; PostgreSQL, `fe-auth-scram.c`.

use subtle::ConstantTimeEq;

use super::scram::{
    Attributes, END_POINT_HEADER, Key, ScramError, ScramKeys, decode, decode_key, encode,
    end_point_attribute, hmac_sha256, is_nonce, parse_iterations, sha256, xor,
};

/// Longest nonce of a server, ours in front included, in bytes.
pub const MAX_NONCE: usize = 8_192;

/// Longest salt of a server, in bytes.
pub const MAX_SALT: usize = 4_096;

/// What we know of channel binding when the exchange begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// We cannot bind, or do not want to.
    Impossible,
    /// We could; the server did not offer it. If somebody took the offer away, the server finds out.
    NotOffered,
    /// Bind to the certificate with this hash.
    EndPoint(Vec<u8>),
}

/// Waits for the server's first message.
pub struct AwaitFirst {
    /// What the final message repeats of the binding.
    binding: Vec<u8>,
    bare: String,
    nonce: String,
}

/// What the server wants proven.
pub struct Challenge {
    /// Salt for the derivation.
    pub salt: Vec<u8>,
    /// Iterations of the derivation, 1 to [`MAX_ITERATIONS`](super::scram::MAX_ITERATIONS).
    pub iterations: u32,
    binding: Vec<u8>,
    signed: Vec<u8>,
    nonce: Vec<u8>,
}

/// Waits for the server's own proof.
pub struct AwaitFinal {
    signature: Key,
}

/// Begins an exchange; `nonce` must be random and printable without commas. Returns the first
/// message, without a user name, which PostgreSQL ignores.
pub fn start(nonce: String, binding: &Binding) -> (AwaitFirst, String) {
    start_as("", nonce, binding)
}

/// [`start`] with a user name, as other servers than PostgreSQL would want it.
pub(super) fn start_as(user: &str, nonce: String, binding: &Binding) -> (AwaitFirst, String) {
    let (header, binding) = match binding {
        Binding::Impossible => ("n,,", b"biws".to_vec()),
        Binding::NotOffered => ("y,,", b"eSws".to_vec()),
        Binding::EndPoint(hash) => (END_POINT_HEADER, end_point_attribute(hash)),
    };
    let bare = format!("n={user},r={nonce}");
    let first = format!("{header}{bare}");
    let waiting = AwaitFirst {
        binding,
        bare,
        nonce,
    };
    (waiting, first)
}

impl AwaitFirst {
    /// Reads the server's first message.
    ///
    /// Errors: [`ScramError::Malformed`]; [`ScramError::Nonce`] if the server's nonce does not
    /// continue ours; [`ScramError::Iterations`] above the limit.
    pub fn server_first(self, message: &[u8]) -> Result<Challenge, ScramError> {
        let mut attributes = Attributes::new(message)?;
        let nonce = attributes.expect(b'r')?;
        if !is_nonce(nonce) || nonce.len() > MAX_NONCE {
            return Err(ScramError::Malformed("bad nonce"));
        }
        if !nonce.starts_with(self.nonce.as_bytes()) || nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce);
        }
        let salt = decode(attributes.expect(b's')?)
            .filter(|salt| (1..=MAX_SALT).contains(&salt.len()))
            .ok_or(ScramError::Malformed("bad salt"))?;
        let iterations = parse_iterations(attributes.expect(b'i')?)?;
        attributes.skip_extensions()?;

        let mut signed = self.bare.into_bytes();
        signed.push(b',');
        signed.extend(message);
        signed.push(b',');
        Ok(Challenge {
            salt,
            iterations,
            binding: self.binding,
            signed,
            nonce: nonce.to_vec(),
        })
    }
}

impl Challenge {
    /// Makes the final message.
    pub fn answer(self, keys: &ScramKeys) -> (AwaitFinal, Vec<u8>) {
        let mut message = b"c=".to_vec();
        message.extend(&self.binding);
        message.extend(b",r=");
        message.extend(&self.nonce);
        let sign = |key: &[u8]| hmac_sha256(key, &[&self.signed, &message]);
        let stored_key = sha256(&keys.client_key);
        let proof = xor(&keys.client_key, &sign(&stored_key));
        let signature = sign(&keys.server_key);
        message.extend(b",p=");
        message.extend(encode(&proof).as_bytes());
        (AwaitFinal { signature }, message)
    }
}

impl AwaitFinal {
    /// Checks the server's last message.
    ///
    /// Errors: [`ScramError::WrongServer`] if it does not know the password;
    /// [`ScramError::Server`] if it refused; [`ScramError::Malformed`].
    pub fn finish(self, message: &[u8]) -> Result<(), ScramError> {
        let mut attributes = Attributes::new(message)?;
        match attributes.any()? {
            (b'e', reason) => {
                let reason: String = String::from_utf8_lossy(reason).chars().take(200).collect();
                Err(ScramError::Server(reason))
            }
            (b'v', signature) => {
                attributes.skip_extensions()?;
                let signature =
                    decode_key(signature).ok_or(ScramError::Malformed("bad server signature"))?;
                if bool::from(signature.ct_eq(&self.signature)) {
                    Ok(())
                } else {
                    Err(ScramError::WrongServer)
                }
            }
            _ => Err(ScramError::Malformed("server signature expected")),
        }
    }
}
