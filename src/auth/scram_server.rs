//! SCRAM-SHA-256 where we are the server: a client proves itself to us.
//!
//! ```text
//! ClientFirst::parse ── challenge(salt, iterations, nonce) ──► AwaitFinal ── finish ──► Proven
//! ```
//!
//! An unknown user goes the same way with a salt made up by the [`Vault`](super::Vault) and no
//! verifier: every message is checked as for a known user, and the end is
//! [`ScramError::WrongProof`].
//!
//! Source: RFC 5802; PostgreSQL, `auth-scram.c`.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::scram::{
    Attributes, END_POINT_HEADER, ScramError, ScramKeys, ScramVerifier, decode_key, encode,
    end_point_attribute, hmac_sha256, is_nonce, refuse_known, xor,
};

/// What the client and we know of channel binding when its first message comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding<'a> {
    /// The mechanism with channel binding was not offered.
    Impossible,
    /// It was offered, and the client chose the one without.
    Declined,
    /// The client chose it; the hash of the certificate that it was shown.
    EndPoint(&'a [u8]),
}

/// A client's first message, checked.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFirst<'a> {
    /// What the client must repeat in its final message, in base64: `n,,`, `y,,`, or the header that
    /// names the binding and the certificate's hash.
    binding: Vec<u8>,
    bound: bool,
    bare: &'a [u8],
    nonce: &'a [u8],
}

/// Waits for the client's proof.
pub struct AwaitFinal {
    binding: Vec<u8>,
    bound: bool,
    /// client-first-bare, server-first and commas: the front of what both sides sign.
    signed: Vec<u8>,
    nonce: Vec<u8>,
}

/// The client has proven itself.
pub struct Proven {
    /// The client's and our key, good to log in elsewhere with the same verifier.
    pub keys: ScramKeys,
    /// The last message to the client.
    pub server_final: String,
}

impl<'a> ClientFirst<'a> {
    /// Reads the first message.
    ///
    /// The user name in it is ignored, as PostgreSQL does: the one of the StartupMessage counts.
    ///
    /// Errors: [`ScramError::Malformed`]; [`ScramError::Unsupported`] for another kind of channel
    /// binding, or binding without the mechanism for it, an authorisation identity, or a mandatory
    /// extension; [`ScramError::Binding`] if the client says that we did not offer channel binding
    /// though we did: somebody took it off the list on its way.
    pub fn parse(message: &'a [u8], binding: Binding<'_>) -> Result<ClientFirst<'a>, ScramError> {
        let bound = matches!(binding, Binding::EndPoint(_));
        let (binding, rest): (Vec<u8>, _) = match (message, binding) {
            ([], _) => return Err(ScramError::Malformed("the message is empty")),
            ([b'n' | b'y', ..], Binding::EndPoint(_)) => {
                return Err(ScramError::Malformed(
                    "client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data",
                ));
            }
            ([b'n', rest @ ..], _) => (b"biws".into(), rest),
            // The client could do channel binding but thinks we cannot.
            ([b'y', ..], Binding::Declined) => {
                return Err(ScramError::Binding(
                    "SCRAM channel binding negotiation error: the client supports channel binding but thinks that it was not offered, which it was",
                ));
            }
            ([b'y', rest @ ..], _) => (b"eSws".into(), rest),
            ([b'p', ..], Binding::EndPoint(hash)) => {
                // All of the header but the last two commas is the kind.
                let kind = END_POINT_HEADER.trim_end_matches(',').as_bytes();
                let rest = message
                    .strip_prefix(kind)
                    .filter(|rest| rest.first() == Some(&b','))
                    .ok_or(ScramError::Unsupported(
                        "unsupported SCRAM channel-binding type; there is tls-server-end-point",
                    ))?;
                (end_point_attribute(hash), rest)
            }
            ([b'p', ..], _) => {
                return Err(ScramError::Unsupported(
                    "client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data",
                ));
            }
            _ => return Err(ScramError::Malformed("unexpected channel-binding flag")),
        };
        let bare = match rest {
            [b',', b',', bare @ ..] => bare,
            [b',', b'a', ..] => {
                return Err(ScramError::Unsupported(
                    "client uses authorization identity, but it is not supported",
                ));
            }
            _ => return Err(ScramError::Malformed("comma expected after the header")),
        };
        let mut attributes = Attributes::new(bare)?;
        attributes.expect(b'n')?;
        let nonce = attributes.expect(b'r')?;
        if !is_nonce(nonce) {
            return Err(ScramError::Malformed("non-printable or empty nonce"));
        }
        attributes.skip_extensions()?;
        Ok(ClientFirst {
            binding,
            bound,
            bare,
            nonce,
        })
    }

    /// Makes our first message: the salt and iterations of the user's verifier, and the client's
    /// nonce continued by ours, which must be random and printable without commas.
    pub fn challenge(self, salt: &[u8], iterations: u32, nonce: &str) -> (AwaitFinal, String) {
        let mut full_nonce = self.nonce.to_vec();
        full_nonce.extend(nonce.as_bytes());
        // Checked in `parse`: the nonce is ASCII.
        let server_first = format!(
            "r={},s={},i={iterations}",
            String::from_utf8_lossy(&full_nonce),
            encode(salt),
        );
        let mut signed = self.bare.to_vec();
        signed.push(b',');
        signed.extend(server_first.as_bytes());
        signed.push(b',');
        let waiting = AwaitFinal {
            binding: self.binding,
            bound: self.bound,
            signed,
            nonce: full_nonce,
        };
        (waiting, server_first)
    }
}

impl AwaitFinal {
    /// Checks the final message, with `None` for a user that does not exist or has no secret that
    /// SCRAM can use.
    ///
    /// Errors: [`ScramError::Malformed`], [`ScramError::Nonce`], [`ScramError::Binding`] if the client
    /// saw another certificate than ours, and [`ScramError::WrongProof`] if
    /// everything is in order but the password.
    pub fn finish(
        self,
        message: &[u8],
        verifier: Option<&ScramVerifier>,
    ) -> Result<Proven, ScramError> {
        let mut attributes = Attributes::new(message)?;
        let binding = attributes.expect(b'c')?;
        if binding != self.binding {
            if self.bound {
                return Err(ScramError::Binding("SCRAM channel binding check failed"));
            }
            return Err(ScramError::Malformed(
                "unexpected channel-binding attribute",
            ));
        }
        let nonce = attributes.expect(b'r')?;
        if !bool::from(nonce.ct_eq(&self.nonce)) {
            return Err(ScramError::Nonce);
        }
        let (without_proof, proof) = loop {
            // The comma before the attribute is not signed.
            let end = attributes.position().saturating_sub(1);
            match attributes.any()? {
                (b'p', proof) => break (message.get(..end).unwrap_or_default(), proof),
                (name, _) => refuse_known(name)?,
            }
        };
        if !attributes.is_done() {
            return Err(ScramError::Malformed("garbage after the proof"));
        }
        let proof = Zeroizing::new(
            decode_key(proof)
                .ok_or(ScramError::Malformed("the proof is not 32 bytes in base64"))?,
        );

        let verifier = verifier.ok_or(ScramError::WrongProof)?;
        let sign = |key: &[u8]| hmac_sha256(key, &[&self.signed, without_proof]);
        let client_key = Zeroizing::new(xor(&proof, &sign(&verifier.stored_key)));
        if !verifier.accepts_client_key(&client_key) {
            return Err(ScramError::WrongProof);
        }
        Ok(Proven {
            keys: ScramKeys {
                client_key: *client_key,
                server_key: verifier.server_key,
            },
            server_final: format!("v={}", encode(&sign(&verifier.server_key))),
        })
    }
}
