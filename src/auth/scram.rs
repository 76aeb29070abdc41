//! SCRAM-SHA-256: keys, verifiers, and the grammar both sides share.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Size of every key, in bytes.
pub const KEY_LEN: usize = 32;

/// A key or hash.
pub type Key = [u8; KEY_LEN];

/// Most iterations that a stored verifier or a server may ask for. More would let one bad peer
/// burn seconds of CPU per login.
///
/// Source: PgBouncer 1.26, CVE-2026-6669.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Why an exchange failed. The connection cannot be used any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// The peer's message breaks the grammar.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// The peer wants something we do not do.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The two sides do not agree about the TLS session: somebody may sit between them.
    #[error("{0}")]
    Binding(&'static str),
    /// The peer's nonce is not built on ours.
    #[error("invalid SCRAM response: nonce does not match")]
    Nonce,
    /// The server wants more iterations than [`MAX_ITERATIONS`].
    #[error("server asks for {0} SCRAM iterations, the limit is {MAX_ITERATIONS}")]
    Iterations(u64),
    /// The client does not know the password, or the user does not exist.
    #[error("password does not match")]
    WrongProof,
    /// The server does not know the password: it may be an impostor.
    #[error("incorrect server signature")]
    WrongServer,
    /// The server ended the exchange.
    #[error("server reported a SCRAM error: {0}")]
    Server(String),
}

/// The keys that prove a password, to the server and to the client. With them one can log in.
///
/// Zeroed when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ScramKeys {
    /// Proves the client.
    pub client_key: Key,
    /// Proves the server.
    pub server_key: Key,
}

impl ScramKeys {
    /// Derives the keys of a password. Slow on purpose, in proportion to `iterations` (about
    /// 0.2 µs each): run it off the workers. Zero iterations count as one.
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
        let prepared = saslprep(password);
        let mut salted = Zeroizing::new([0; KEY_LEN]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN),
            salt,
            prepared.as_bytes(),
            salted.as_mut_slice(),
        );
        ScramKeys {
            client_key: hmac_sha256(salted.as_slice(), &[b"Client Key"]),
            server_key: hmac_sha256(salted.as_slice(), &[b"Server Key"]),
        }
    }

    /// What a server would store to recognise these keys.
    pub fn verifier(&self, salt: &[u8], iterations: u32) -> ScramVerifier {
        ScramVerifier {
            iterations,
            salt: salt.to_vec(),
            stored_key: sha256(&self.client_key),
            server_key: self.server_key,
        }
    }
}

/// What a server stores about a password. One cannot log in elsewhere with it.
///
/// Zeroed when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ScramVerifier {
    iterations: u32,
    salt: Vec<u8>,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
}

impl ScramVerifier {
    /// Reads `SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`; `None` if it has another form or
    /// more than [`MAX_ITERATIONS`].
    ///
    /// Source: PostgreSQL, `parse_scram_secret`.
    pub fn parse(text: &str) -> Option<ScramVerifier> {
        let (parameters, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        Some(ScramVerifier {
            iterations: parse_iterations(iterations.as_bytes()).ok()?,
            salt: BASE64.decode(salt).ok().filter(|salt| !salt.is_empty())?,
            stored_key: decode_key(stored_key.as_bytes())?,
            server_key: decode_key(server_key.as_bytes())?,
        })
    }

    /// Iterations of the password's derivation.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Salt of the password's derivation.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Whether `keys` are those this verifier was made from.
    pub fn accepts(&self, keys: &ScramKeys) -> bool {
        self.accepts_client_key(&keys.client_key)
            && bool::from(self.server_key.ct_eq(&keys.server_key))
    }

    pub(super) fn accepts_client_key(&self, key: &Key) -> bool {
        sha256(key).ct_eq(&self.stored_key).into()
    }
}

/// Prepares a password as PostgreSQL does: ASCII and whatever SASLprep refuses stay as they are.
///
/// Source: PostgreSQL, `pg_saslprep` and its callers; RFC 4013.
fn saslprep(password: &str) -> Zeroizing<String> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => Zeroizing::new(prepared.into_owned()),
        _ => Zeroizing::new(password.to_owned()),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Key {
    fixed(digest::digest(&digest::SHA256, bytes).as_ref())
}

pub(super) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    fixed(context.sign().as_ref())
}

/// SHA-256 makes 32 bytes; the copy has no way to panic all the same.
fn fixed(bytes: &[u8]) -> Key {
    let mut key = [0; KEY_LEN];
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    key
}

pub(super) fn xor(a: &Key, b: &Key) -> Key {
    let mut out = *a;
    out.iter_mut().zip(b).for_each(|(to, from)| *to ^= from);
    out
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

pub(super) fn decode_key(text: &[u8]) -> Option<Key> {
    let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
    bytes.as_slice().try_into().ok()
}

/// Digits only, 1 to [`MAX_ITERATIONS`].
pub(super) fn parse_iterations(text: &[u8]) -> Result<u32, ScramError> {
    const MALFORMED: ScramError = ScramError::Malformed("invalid iteration count");
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    let count = text
        .iter()
        .fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    match u32::try_from(count) {
        Ok(0) => Err(MALFORMED),
        Ok(n) if n <= MAX_ITERATIONS => Ok(n),
        _ => Err(ScramError::Iterations(count)),
    }
}

/// The front of a client's first message that wants the exchange bound to the server's certificate,
/// the only kind of binding there is here.
///
/// Source: RFC 5929; PostgreSQL documentation, "SASL Authentication".
pub(super) const END_POINT_HEADER: &str = "p=tls-server-end-point,,";

/// What a client's final message repeats of an exchange that is bound to a certificate's hash.
pub(super) fn end_point_attribute(hash: &[u8]) -> Vec<u8> {
    encode(&[END_POINT_HEADER.as_bytes(), hash].concat()).into_bytes()
}

/// Whether a nonce has only the characters the grammar allows, and at least one.
pub(super) fn is_nonce(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| b.is_ascii_graphic() && b != b',')
}

/// Reads the comma-separated attributes of a message from the front.
pub(super) struct Attributes<'a> {
    whole: &'a [u8],
    /// Where the next attribute begins; past the end when all are read.
    at: usize,
}

impl<'a> Attributes<'a> {
    /// Errors: a NUL in the message, which would let two readers see two messages.
    pub(super) fn new(message: &'a [u8]) -> Result<Self, ScramError> {
        if message.contains(&0) {
            return Err(ScramError::Malformed("zero byte in the message"));
        }
        Ok(Attributes {
            whole: message,
            at: 0,
        })
    }

    /// Name of the next attribute, unread.
    pub(super) fn peek(&self) -> Option<u8> {
        self.whole.get(self.at).copied()
    }

    /// Offset of the next attribute in the message.
    pub(super) fn position(&self) -> usize {
        self.at.min(self.whole.len())
    }

    /// Whether everything was read. A comma at the very end leaves an empty attribute to be read,
    /// which is an error.
    pub(super) fn is_done(&self) -> bool {
        self.at > self.whole.len()
    }

    /// The next attribute's name and value.
    pub(super) fn any(&mut self) -> Result<(u8, &'a [u8]), ScramError> {
        let rest = self
            .whole
            .get(self.at..)
            .ok_or(ScramError::Malformed("attribute expected"))?;
        let end = rest.iter().position(|&b| b == b',').unwrap_or(rest.len());
        match rest.get(..end) {
            Some(&[name, b'=', ref value @ ..]) if name.is_ascii_alphabetic() => {
                self.at += end + 1;
                Ok((name, value))
            }
            _ => Err(ScramError::Malformed("attribute expected")),
        }
    }

    /// The value of the next attribute, which must be `name`.
    pub(super) fn expect(&mut self, name: u8) -> Result<&'a [u8], ScramError> {
        if self.peek() == Some(b'm') && name != b'm' {
            return Err(ScramError::Unsupported(
                "client requires an unsupported SCRAM extension",
            ));
        }
        match self.any()? {
            (found, value) if found == name => Ok(value),
            _ => Err(ScramError::Malformed("attributes missing or out of order")),
        }
    }

    /// Reads optional extensions to the end; they are ignored, but a second copy of an attribute
    /// that has a meaning is not.
    pub(super) fn skip_extensions(&mut self) -> Result<(), ScramError> {
        while !self.is_done() {
            let (name, _) = self.any()?;
            refuse_known(name)?;
        }
        Ok(())
    }
}

/// Errors if `name` has a meaning of its own and so cannot be an extension here.
pub(super) fn refuse_known(name: u8) -> Result<(), ScramError> {
    if name == b'm' {
        return Err(ScramError::Unsupported(
            "client requires an unsupported SCRAM extension",
        ));
    }
    if b"anrcsipve".contains(&name) {
        return Err(ScramError::Malformed("attribute repeated or out of order"));
    }
    Ok(())
}
