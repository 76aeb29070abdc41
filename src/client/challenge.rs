//! The authentication of a client, from the first request to the verdict.
//!
//! A plain machine that goes one way: each step consumes it, so a message can never be taken in a
//! state that has passed. Nothing but a password message (or Terminate) is legal here; a second
//! StartupMessage, an SSLRequest or a query is refused at every step.
//!
//! ```text
//!  open ──┬─ Accept / Certificate / Peer            (no messages)
//!         └─ Ask: cleartext | md5 | SCRAM ── receive ─► Send … ─► Check ─► verdict
//! ```
//!
//! A user who does not exist takes the same way, with the same messages and the same checks, to
//! the same error as one with a wrong password.

use crate::auth::scram::{ScramError, ScramVerifier};
use crate::auth::scram_server::{AwaitFinal, Binding, ClientFirst};
use crate::auth::{ScramKeys, StoredSecret, Vault, md5, sasl};
use crate::config::{AuthType, Config, Secret};
use crate::wire::tag::{backend, frontend};
use crate::wire::{limits, tag, write};

use super::error::LoginError;
use super::secrets::Found;

/// A verifier with the iterations that servers use, which nobody can prove anything against.
const SCRAM_FORM: &str = "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// What is known about the name a client gave.
pub struct Candidate {
    /// The stored secret; a stand-in of the usual form for an unknown user.
    secret: StoredSecret,
    /// Whether the user exists and can log in with a password at all.
    genuine: bool,
}

impl Candidate {
    /// Looks `user` up, in the file and in what a server said. The stand-in for unknown users has the
    /// form of the last secret that a server told, or of the first in the file, so that the method
    /// offered does not tell who exists.
    pub fn look_up(config: &Config, user: &str, found: &Found) -> Candidate {
        let parse = |text: &Secret| StoredSecret::parse(text.expose());
        let known = match found {
            Found::Secret(secret) => Some(secret),
            _ => config.secrets.get(user),
        };
        let form = || match found {
            Found::Nobody(Some(other)) => parse(other),
            // What servers store, if nothing else is known.
            Found::Nobody(None) => StoredSecret::parse(SCRAM_FORM),
            _ => (config.secrets.values().next())
                .map_or_else(|| StoredSecret::Plain(Secret::new("")), parse),
        };
        match known.map(parse) {
            Some(secret) => Candidate {
                genuine: !secret.is_empty(),
                secret,
            },
            None => Candidate {
                genuine: false,
                secret: form(),
            },
        }
    }
}

impl Candidate {
    /// What is stored; a stand-in for a user who does not exist.
    pub fn secret(&self) -> &StoredSecret {
        &self.secret
    }

    /// Whether the user exists and can log in with a password at all. Check the secret all the same, so
    /// that the time does not tell.
    pub fn is_genuine(&self) -> bool {
        self.genuine
    }
}

/// Random bytes that an exchange may need.
pub struct Random {
    /// Salt of an MD5 challenge.
    pub md5_salt: [u8; 4],
    /// Our part of a SCRAM nonce: printable, no commas.
    pub nonce: String,
}

/// What the configuration wants of an authentication.
pub struct Terms {
    /// The method.
    pub auth: AuthType,
    /// Iterations for secrets that are stored in clear text.
    pub scram_iterations: u32,
    /// What SCRAM may be bound to.
    pub end_point: EndPoint,
}

/// What logins by SCRAM can be bound to on this connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndPoint {
    /// Hash of the certificate that the client was shown; `None`: binding is not offered.
    pub hash: Option<Vec<u8>>,
    /// Passwords are proven in an exchange that is bound to it, or not at all.
    pub required: bool,
}

/// How an authentication begins.
pub enum Opening {
    /// Nothing is asked.
    Accept,
    /// The TLS certificate must name the user.
    Certificate,
    /// The unix socket's other end must be the user.
    Peer,
    /// Send these bytes and wait for the answer.
    Ask(Vec<u8>, Box<Challenge>),
}

/// Waits for a message of the client.
pub struct Challenge {
    user: String,
    candidate: Candidate,
    random: Random,
    state: State,
}

enum State {
    Cleartext,
    /// A password that somebody else checks: who.
    Elsewhere(&'static str),
    Md5,
    /// With the salt and iterations to offer.
    SaslInitial(Offer),
    /// The client sent no data with the mechanism; whether it chose the one with channel binding.
    SaslFirst(Offer, bool),
    SaslFinal(Offer, AwaitFinal),
}

struct Offer {
    salt: Vec<u8>,
    iterations: u32,
    end_point: EndPoint,
}

/// What follows from a message.
pub enum Turn {
    /// Send these bytes and wait for the answer.
    Send(Vec<u8>, Box<Challenge>),
    /// Find out whether the client knows the password; may be slow.
    Check(Check),
    /// The client is who it says.
    Proven(Proof),
    /// The client gave up.
    Closed,
}

/// A check that needs key derivation, or may.
pub enum Check {
    /// Is `given` the password?
    Cleartext {
        /// The name the client gave.
        user: String,
        /// What is stored.
        secret: StoredSecret,
        /// What the client showed.
        given: Secret,
        /// Whether the user exists; if not, fail all the same.
        genuine: bool,
    },
    /// Would the LDAP server, or PAM, take it?
    Elsewhere {
        /// Who is asked.
        method: &'static str,
        /// The name the client gave.
        user: String,
        /// What the client showed.
        given: Secret,
    },
    /// Does the client's final SCRAM message prove the password?
    Scram(ScramCheck),
}

/// A SCRAM proof to be checked with keys derived from a clear-text secret.
pub struct ScramCheck {
    /// The password.
    pub password: Secret,
    /// The salt offered.
    pub salt: Vec<u8>,
    /// The iterations offered.
    pub iterations: u32,
    user: String,
    waiting: AwaitFinal,
    message: Vec<u8>,
}

/// What a successful authentication yields.
#[derive(Default)]
pub struct Proof {
    /// Bytes the client must see before AuthenticationOk.
    pub last_words: Vec<u8>,
    /// Keys for pass-through, if the client proved itself against a SCRAM verifier.
    pub keys: Option<ScramKeys>,
    /// The password, if the client showed it.
    pub password: Option<Secret>,
}

/// Begins the authentication of `user` as `terms` say.
///
/// Errors: [`LoginError::Refused`] for `trust` and a user who is not known;
/// [`LoginError::BindingRequired`] if a password cannot be proven as it must.
///
/// Source: PgBouncer, `auth_type`.
pub fn open(
    terms: Terms,
    user: &str,
    known: bool,
    candidate: Candidate,
    vault: &Vault,
    random: Random,
) -> Result<Opening, LoginError> {
    let mut first = Vec::new();
    let is_scram = match terms.auth {
        AuthType::Md5 => matches!(candidate.secret, StoredSecret::Scram(_)),
        auth => auth == AuthType::ScramSha256,
    };
    let by_password = is_scram
        || matches!(
            terms.auth,
            AuthType::Plain | AuthType::Md5 | AuthType::Ldap | AuthType::Pam
        );
    let can_bind = is_scram && terms.end_point.hash.is_some();
    if by_password && terms.end_point.required && !can_bind {
        return Err(LoginError::BindingRequired);
    }
    let state = match terms.auth {
        AuthType::Any => return Ok(Opening::Accept),
        AuthType::Trust if known => return Ok(Opening::Accept),
        AuthType::Trust => {
            return Err(LoginError::Refused {
                method: "\"trust\"",
                user: user.to_owned(),
            });
        }
        AuthType::Cert => return Ok(Opening::Certificate),
        AuthType::Peer => return Ok(Opening::Peer),
        // Whoever calls has looked up what the file says.
        AuthType::Hba => {
            return Err(LoginError::Refused {
                method: "hba",
                user: user.to_owned(),
            });
        }
        AuthType::Plain => {
            request(&mut first, 3, &[]);
            State::Cleartext
        }
        AuthType::Ldap => {
            request(&mut first, 3, &[]);
            State::Elsewhere("LDAP")
        }
        AuthType::Pam => {
            request(&mut first, 3, &[]);
            State::Elsewhere("PAM")
        }
        AuthType::Md5 if !is_scram => {
            request(&mut first, 5, &random.md5_salt);
            State::Md5
        }
        AuthType::Md5 | AuthType::ScramSha256 => {
            request(&mut first, 10, &mechanisms(&terms.end_point));
            State::SaslInitial(offer(&candidate, terms, user, vault))
        }
    };
    Ok(Opening::Ask(
        first,
        Box::new(Challenge {
            user: user.to_owned(),
            candidate,
            random,
            state,
        }),
    ))
}

/// The list of mechanisms, the better one first, as PostgreSQL has it.
fn mechanisms(end_point: &EndPoint) -> Vec<u8> {
    let mut list = Vec::new();
    if end_point.hash.is_some() {
        list.extend(sasl::SCRAM_SHA_256_PLUS);
        list.push(0);
    }
    if !end_point.required {
        list.extend(sasl::SCRAM_SHA_256);
        list.push(0);
    }
    list.push(0);
    list
}

/// Salt and iterations: the verifier's own, else made up per user. A stand-in has the iterations
/// of what it stands for and a salt that is made up too.
fn offer(candidate: &Candidate, terms: Terms, user: &str, vault: &Vault) -> Offer {
    let (salt, iterations) = match &candidate.secret {
        StoredSecret::Scram(verifier) if candidate.genuine => {
            (verifier.salt().to_vec(), verifier.iterations())
        }
        StoredSecret::Scram(verifier) => (vault.salt(user).to_vec(), verifier.iterations()),
        StoredSecret::Plain(_) | StoredSecret::Md5(_) => {
            (vault.salt(user).to_vec(), terms.scram_iterations)
        }
    };
    Offer {
        salt,
        iterations,
        end_point: terms.end_point,
    }
}

/// Appends an authentication request with its code and data.
fn request(out: &mut Vec<u8>, code: u32, data: &[u8]) {
    write::message(out, backend::AUTHENTICATION, |out| {
        out.extend(code.to_be_bytes());
        out.extend(data);
    });
}

impl Challenge {
    /// Longest body that the next message may have, in bytes.
    pub fn max_body(&self) -> u32 {
        match self.state {
            State::Cleartext | State::Elsewhere(_) | State::Md5 => limits::PASSWORD,
            State::SaslInitial(_) | State::SaslFirst(..) | State::SaslFinal(..) => limits::SASL,
        }
    }

    /// Whether a message of this type may come now; to be asked as soon as the tag is there.
    ///
    /// Errors: [`LoginError::Protocol`].
    pub fn check_tag(&self, tag: u8) -> Result<(), LoginError> {
        if matches!(tag, frontend::PASSWORD | frontend::TERMINATE) {
            return Ok(());
        }
        let wanted = match self.state {
            State::Cleartext | State::Elsewhere(_) | State::Md5 => "password",
            _ => "SASL",
        };
        Err(LoginError::Protocol(
            format!(
                "expected {wanted} response, got message type {}",
                tag::show(tag)
            )
            .into(),
        ))
    }

    /// Takes the client's next message.
    ///
    /// Errors: [`LoginError::WrongPassword`], or what is wrong with the message.
    pub fn receive(self: Box<Self>, tag: u8, body: &[u8]) -> Result<Turn, LoginError> {
        self.check_tag(tag)?;
        if tag == frontend::TERMINATE {
            return Ok(Turn::Closed);
        }
        let Challenge {
            user,
            candidate,
            random,
            state,
        } = *self;
        match state {
            State::Elsewhere(method) => {
                let given = password(body)?;
                match std::str::from_utf8(given) {
                    Ok(given) => Ok(Turn::Check(Check::Elsewhere {
                        method,
                        given: Secret::new(given),
                        user,
                    })),
                    Err(_) => Err(LoginError::Refused { method, user }),
                }
            }
            State::Cleartext => {
                let given = password(body)?;
                let Ok(given) = std::str::from_utf8(given) else {
                    return Err(LoginError::WrongPassword { user });
                };
                Ok(Turn::Check(Check::Cleartext {
                    given: Secret::new(given),
                    user,
                    secret: candidate.secret,
                    genuine: candidate.genuine,
                }))
            }
            State::Md5 => {
                let response = password(body)?;
                let secret = candidate.genuine.then_some(&candidate.secret);
                if md5::verify(secret, &user, random.md5_salt, response) {
                    Ok(Turn::Proven(Proof::default()))
                } else {
                    Err(LoginError::WrongPassword { user })
                }
            }
            State::SaslInitial(offer) => {
                let initial = sasl::parse_initial(body).ok_or(LoginError::Protocol(
                    "malformed SASLInitialResponse: lengths do not fit".into(),
                ))?;
                // Only what was offered.
                let end_point = &offer.end_point;
                let bound = match initial.mechanism {
                    sasl::SCRAM_SHA_256_PLUS if end_point.hash.is_some() => true,
                    sasl::SCRAM_SHA_256 if !end_point.required => false,
                    _ => {
                        return Err(LoginError::Protocol(
                            "client selected an invalid SASL authentication mechanism".into(),
                        ));
                    }
                };
                match initial.data {
                    Some(data) => challenge(user, candidate, random, (offer, bound), data),
                    None => {
                        let mut out = Vec::new();
                        request(&mut out, 11, &[]);
                        let state = State::SaslFirst(offer, bound);
                        Ok(next(out, user, candidate, random, state))
                    }
                }
            }
            State::SaslFirst(offer, bound) => {
                challenge(user, candidate, random, (offer, bound), body)
            }
            State::SaslFinal(offer, waiting) => prove(user, candidate, offer, waiting, body),
        }
    }
}

fn next(out: Vec<u8>, user: String, candidate: Candidate, random: Random, state: State) -> Turn {
    Turn::Send(
        out,
        Box::new(Challenge {
            user,
            candidate,
            random,
            state,
        }),
    )
}

fn challenge(
    user: String,
    candidate: Candidate,
    random: Random,
    (offer, bound): (Offer, bool),
    data: &[u8],
) -> Result<Turn, LoginError> {
    let binding = match offer.end_point.hash.as_deref() {
        Some(hash) if bound => Binding::EndPoint(hash),
        Some(_) => Binding::Declined,
        None => Binding::Impossible,
    };
    let first = ClientFirst::parse(data, binding).map_err(LoginError::Scram)?;
    let (waiting, message) = first.challenge(&offer.salt, offer.iterations, &random.nonce);
    let mut out = Vec::new();
    request(&mut out, 11, message.as_bytes());
    let state = State::SaslFinal(offer, waiting);
    Ok(next(out, user, candidate, random, state))
}

fn prove(
    user: String,
    candidate: Candidate,
    offer: Offer,
    waiting: AwaitFinal,
    message: &[u8],
) -> Result<Turn, LoginError> {
    match candidate.secret {
        StoredSecret::Plain(password) if candidate.genuine => {
            Ok(Turn::Check(Check::Scram(ScramCheck {
                password,
                salt: offer.salt,
                iterations: offer.iterations,
                user,
                waiting,
                message: message.to_vec(),
            })))
        }
        StoredSecret::Scram(verifier) if candidate.genuine => {
            finish(user, waiting, message, Some(&verifier), true).map(Turn::Proven)
        }
        _ => finish(user, waiting, message, None, false).map(Turn::Proven),
    }
}

impl ScramCheck {
    /// Concludes with the keys derived from password, salt and iterations. They are ours alone, not
    /// the server's, so they are no good for pass-through.
    ///
    /// Errors: [`LoginError::WrongPassword`], or what is wrong with the client's message.
    pub fn conclude(self, keys: &ScramKeys) -> Result<Proof, LoginError> {
        let verifier = keys.verifier(&self.salt, self.iterations);
        finish(
            self.user,
            self.waiting,
            &self.message,
            Some(&verifier),
            false,
        )
    }
}

fn finish(
    user: String,
    waiting: AwaitFinal,
    message: &[u8],
    verifier: Option<&ScramVerifier>,
    keep_keys: bool,
) -> Result<Proof, LoginError> {
    match waiting.finish(message, verifier) {
        Ok(proven) => {
            let mut last_words = Vec::new();
            request(&mut last_words, 12, proven.server_final.as_bytes());
            Ok(Proof {
                last_words,
                keys: keep_keys.then_some(proven.keys),
                ..Proof::default()
            })
        }
        Err(ScramError::WrongProof) => Err(LoginError::WrongPassword { user }),
        Err(other) => Err(LoginError::Scram(other)),
    }
}

/// The text of a PasswordMessage: everything up to its only NUL, which must be the last byte.
fn password(body: &[u8]) -> Result<&[u8], LoginError> {
    match body.split_last() {
        Some((0, text)) if !text.contains(&0) => Ok(text),
        _ => Err(LoginError::Protocol("invalid password packet size".into())),
    }
}
