//! The login to a server, from our StartupMessage to its first ReadyForQuery.
//!
//! A plain machine that goes one way; messages in, what to do out:
//!
//! ```text
//!  startup ─► Authentication ──┬─ Ok ───────────────────────────────────► Settings ─ Z ─► Ready
//!                              ├─ cleartext, MD5 ─► Answered ─ Ok ──────► Settings
//!                              └─ SASL ─► Continue ─► (derive) ─► Final ─► Answered ─ Ok ─► …
//! ```
//!
//! The server is not trusted either: whatever is not expected ends the login, everything is
//! bounded, and a server that skips its own proof in SCRAM is an impostor.
//!
//! Source: PostgreSQL documentation, "Start-up"; libpq, `PQconnectPoll`.

use zeroize::Zeroizing;

use super::error::ConnectError;
use crate::auth::scram::ScramError;
use crate::auth::{ScramKeys, StoredSecret, md5, sasl, scram_client};
use crate::config::{ChannelBinding, Secret};
use crate::error::SqlState;
use crate::wire::tag::{self, backend, frontend};
use crate::wire::{TxStatus, read, startup, write};

/// Most ParameterStatus and notices in one login.
const MAX_MESSAGES: u32 = 1_000;

/// Most bytes of parameters that are kept.
const MAX_PARAMS: usize = 256 << 10;

/// Longest text of a server's error that is kept as such.
const MAX_TEXT: usize = 4_096;

/// What we can prove ourselves with. Whatever is there is used as the server's method demands: a
/// password for everything, an MD5 hash for MD5, SCRAM keys for SCRAM.
#[derive(Clone, Default)]
pub struct Credentials {
    /// A password.
    pub password: Option<Secret>,
    /// A stored secret of the user.
    pub stored: Option<StoredSecret>,
    /// Keys that a client's own SCRAM login revealed.
    pub scram_keys: Option<ScramKeys>,
}

impl Credentials {
    fn password(&self) -> Option<&Secret> {
        match (&self.password, &self.stored) {
            (Some(password), _) | (None, Some(StoredSecret::Plain(password))) => {
                Some(password).filter(|password| !password.expose().is_empty())
            }
            _ => None,
        }
    }

    fn for_md5(&self) -> Option<StoredSecret> {
        match (self.password(), &self.stored) {
            (Some(password), _) => Some(StoredSecret::Plain(password.clone())),
            (None, Some(hash @ StoredSecret::Md5(_))) => Some(hash.clone()),
            _ => None,
        }
    }
}

/// What our login can be bound to, and what of that is demanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The policy; [`ChannelBinding::Disable`] where there is nothing between the two sides.
    pub policy: ChannelBinding,
    /// Hash of the certificate that the server showed; `None` without TLS, or if the certificate's
    /// algorithm has none.
    pub end_point: Option<Vec<u8>>,
}

/// What a server tells at the end of its login.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    /// Process id of the cancel key; 0 without a key.
    pub pid: u32,
    /// Cancel key, 4 to 256 bytes; empty if the server gives none.
    pub key: Vec<u8>,
    /// Parameters in the order they came.
    pub params: Vec<(String, String)>,
    /// Minor version of protocol 3 that is spoken.
    pub minor: u16,
}

/// The machine.
pub struct ServerLogin {
    user: String,
    credentials: Credentials,
    nonce: String,
    binding: Binding,
    bound: bool,
    state: State,
    welcome: Welcome,
    messages: u32,
    param_bytes: usize,
}

enum State {
    Authentication,
    Continue(scram_client::AwaitFirst),
    Final(scram_client::AwaitFinal),
    /// Our proof is given; only Ok may follow.
    Answered,
    Settings,
}

/// What to do after a message.
pub enum Turn {
    /// Wait for the next message.
    Read,
    /// Send these bytes, then wait.
    Send(Zeroizing<Vec<u8>>),
    /// Find the keys for the challenge and call [`ServerLogin::answer`].
    Keys(Keys, scram_client::Challenge),
    /// The server is ready.
    Ready(Welcome),
}

/// Where SCRAM keys come from.
pub enum Keys {
    /// Derive them from this password with the challenge's salt and iterations.
    Derive(Secret),
    /// They are known.
    Known(ScramKeys),
}

impl ServerLogin {
    /// Starts as `user`, having asked for protocol `3.minor`; `nonce` is random, printable and
    /// without commas.
    pub fn new(
        user: String,
        credentials: Credentials,
        minor: u16,
        nonce: String,
        binding: Binding,
    ) -> ServerLogin {
        ServerLogin {
            user,
            credentials,
            nonce,
            binding,
            bound: false,
            state: State::Authentication,
            welcome: Welcome {
                minor,
                ..Welcome::default()
            },
            messages: 0,
            param_bytes: 0,
        }
    }

    /// Whether the server has answered anything yet but an error.
    pub fn is_fresh(&self) -> bool {
        self.messages == 0
    }

    /// Takes the server's next message.
    ///
    /// Errors: any [`ConnectError`] of the login; the connection must be closed then.
    pub fn receive(&mut self, tag: u8, body: &[u8]) -> Result<Turn, ConnectError> {
        if tag == backend::ERROR {
            return Err(server_error(body));
        }
        self.messages += 1;
        if self.messages > MAX_MESSAGES {
            return Err(broken("server sends too many messages during login"));
        }
        match (tag, &self.state) {
            (backend::NOTICE, _) => Ok(Turn::Read),
            (backend::AUTHENTICATION, State::Settings) => Err(unexpected(tag)),
            (backend::AUTHENTICATION, _) => self.authentication(body),
            (backend::NEGOTIATE_VERSION, State::Authentication) => self.negotiate(body),
            (backend::PARAMETER_STATUS, State::Settings) => self.parameter(body),
            (backend::BACKEND_KEY_DATA, State::Settings) => self.cancel_key(body),
            (backend::READY_FOR_QUERY, State::Settings) => {
                if read::ready_for_query(body)? != TxStatus::Idle {
                    return Err(broken("server begins inside a transaction"));
                }
                Ok(Turn::Ready(std::mem::take(&mut self.welcome)))
            }
            _ => Err(unexpected(tag)),
        }
    }

    /// Answers a challenge with the keys found.
    pub fn answer(
        &mut self,
        challenge: scram_client::Challenge,
        keys: &ScramKeys,
    ) -> Zeroizing<Vec<u8>> {
        let (waiting, message) = challenge.answer(keys);
        self.state = State::Final(waiting);
        password_message(&message, false)
    }

    fn authentication(&mut self, body: &[u8]) -> Result<Turn, ConnectError> {
        let Some((code, data)) = body.split_first_chunk::<4>() else {
            return Err(broken("server sent a malformed authentication request"));
        };
        let code = u32::from_be_bytes(*code);
        let asks = !(self.bound || matches!(code, 10..=12));
        if asks && self.binding.policy == ChannelBinding::Require {
            return Err(ConnectError::Unbound);
        }
        match (code, std::mem::replace(&mut self.state, State::Settings)) {
            (0, State::Authentication | State::Answered) => Ok(Turn::Read),
            (3, State::Authentication) => {
                let password = self
                    .credentials
                    .password()
                    .ok_or_else(|| self.missing("cleartext", "no password is known"))?;
                let message = password_message(password.expose().as_bytes(), true);
                self.state = State::Answered;
                Ok(Turn::Send(message))
            }
            (5, State::Authentication) => {
                let salt: [u8; 4] = data
                    .try_into()
                    .map_err(|_| broken("server sent a malformed MD5 challenge"))?;
                let response = self
                    .credentials
                    .for_md5()
                    .and_then(|secret| md5::respond(&secret, &self.user, salt))
                    .ok_or_else(|| self.missing("MD5", "no password or MD5 hash is known"))?;
                self.state = State::Answered;
                Ok(Turn::Send(password_message(response.as_slice(), true)))
            }
            (10, State::Authentication) => {
                let (mechanism, binding) = self.mechanism(data)?;
                // Before anything is sent, lest the exchange starts for nothing.
                self.keys()?;
                let nonce = std::mem::take(&mut self.nonce);
                let (waiting, first) = scram_client::start(nonce, &binding);
                self.state = State::Continue(waiting);
                let initial = sasl::write_initial(mechanism, first.as_bytes());
                Ok(Turn::Send(password_message(&initial, false)))
            }
            (11, State::Continue(waiting)) => {
                let challenge = waiting.server_first(data).map_err(ConnectError::Scram)?;
                // Only the final message is legal now; the driver answers before it reads.
                Ok(Turn::Keys(self.keys()?, challenge))
            }
            (12, State::Final(waiting)) => {
                waiting.finish(data).map_err(ConnectError::Scram)?;
                self.state = State::Answered;
                Ok(Turn::Read)
            }
            // Ok in the middle of SCRAM: the server wants in without its proof.
            (0, _) => Err(ConnectError::Scram(ScramError::WrongServer)),
            (2 | 6..=9, State::Authentication) => {
                Err(ConnectError::Unsupported(method_name(code).to_owned()))
            }
            (code, _) => Err(broken_owned(format!(
                "server sent unexpected authentication request {code}"
            ))),
        }
    }

    /// Which of the mechanisms in a server's `list` is used, and how it is bound.
    ///
    /// Source: libpq, `pg_SASL_init`.
    fn mechanism(
        &mut self,
        list: &[u8],
    ) -> Result<(&'static [u8], scram_client::Binding), ConnectError> {
        let policy = self.binding.policy;
        let end_point =
            (self.binding.end_point.take()).filter(|_| policy != ChannelBinding::Disable);
        let can_bind = end_point.is_some();
        if let Some(hash) = end_point.filter(|_| sasl::offers(list, sasl::SCRAM_SHA_256_PLUS)) {
            self.bound = true;
            let binding = scram_client::Binding::EndPoint(hash);
            return Ok((sasl::SCRAM_SHA_256_PLUS, binding));
        }
        if policy == ChannelBinding::Require {
            return Err(ConnectError::Unbound);
        }
        if !sasl::offers(list, sasl::SCRAM_SHA_256) {
            return Err(ConnectError::Unsupported(
                "SASL without SCRAM-SHA-256".to_owned(),
            ));
        }
        let binding = match can_bind {
            true => scram_client::Binding::NotOffered,
            false => scram_client::Binding::Impossible,
        };
        Ok((sasl::SCRAM_SHA_256, binding))
    }

    fn keys(&self) -> Result<Keys, ConnectError> {
        match (self.credentials.password(), &self.credentials.scram_keys) {
            (Some(password), _) => Ok(Keys::Derive(password.clone())),
            (None, Some(keys)) => Ok(Keys::Known(keys.clone())),
            (None, None) => Err(self.missing(
                "SCRAM",
                "neither a password nor the keys of a client's SCRAM login are known",
            )),
        }
    }

    fn missing(&self, method: &'static str, missing: &'static str) -> ConnectError {
        ConnectError::NoCredentials {
            method,
            user: self.user.clone(),
            missing,
        }
    }

    fn negotiate(&mut self, body: &[u8]) -> Result<Turn, ConnectError> {
        let version = body.first_chunk::<4>().map(|v| u32::from_be_bytes(*v));
        let (major, minor) = match version {
            Some(version) => (version >> 16, version as u16),
            None => return Err(broken("server sent a malformed version negotiation")),
        };
        // Servers before 9.3.21 and their like send the minor version alone.
        if !(major == 3 || major == 0) || minor > self.welcome.minor {
            return Err(broken_owned(format!(
                "server offers protocol {major}.{minor}, which was not asked for"
            )));
        }
        self.welcome.minor = minor;
        Ok(Turn::Read)
    }

    fn parameter(&mut self, body: &[u8]) -> Result<Turn, ConnectError> {
        let (name, value) = read::parameter_status(body)?;
        self.param_bytes += body.len();
        if self.param_bytes > MAX_PARAMS {
            return Err(broken("server sends too many parameters during login"));
        }
        let (name, value) = (text(name), text(value));
        let params = &mut self.welcome.params;
        match params.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => params.push((name, value)),
        }
        Ok(Turn::Read)
    }

    fn cancel_key(&mut self, body: &[u8]) -> Result<Turn, ConnectError> {
        match body.split_first_chunk::<4>() {
            Some((pid, key)) if (4..=256).contains(&key.len()) && self.welcome.key.is_empty() => {
                self.welcome.pid = u32::from_be_bytes(*pid);
                self.welcome.key = key.to_vec();
                Ok(Turn::Read)
            }
            _ => Err(broken("server sent a malformed or second cancel key")),
        }
    }
}

/// The StartupMessage. `params` may hold anything but the two names of the login itself.
///
/// Errors: [`ConnectError::BadName`].
pub fn startup_message(
    minor: u16,
    user: &str,
    database: &str,
    params: &[(String, String)],
) -> Result<Vec<u8>, ConnectError> {
    let mut all = vec![("user", user), ("database", database)];
    all.extend(
        params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !matches!(*name, "" | "user" | "database")),
    );
    if all
        .iter()
        .any(|(name, value)| name.contains('\0') || value.contains('\0'))
    {
        return Err(ConnectError::BadName("a name or value for the server"));
    }
    let mut out = Vec::new();
    startup::write_startup(&mut out, minor, &all);
    Ok(out)
}

/// What a server's ErrorResponse says, whatever fields it has or lacks.
pub fn server_error(body: &[u8]) -> ConnectError {
    let field = |code| read::error_field(body, code);
    let sqlstate = field(b'C')
        .and_then(|code| <[u8; 5]>::try_from(code).ok())
        .filter(|code| code.iter().all(u8::is_ascii_alphanumeric))
        .map_or(SqlState::INTERNAL_ERROR, SqlState);
    let severity = field(b'V').or_else(|| field(b'S')).unwrap_or(b"FATAL");
    let message = field(b'M').unwrap_or(b"the server gave no reason");
    ConnectError::Server {
        severity: text(severity.get(..32).unwrap_or(severity)),
        sqlstate,
        message: text(message.get(..MAX_TEXT).unwrap_or(message)),
        raw: body.to_vec(),
    }
}

fn password_message(content: &[u8], terminated: bool) -> Zeroizing<Vec<u8>> {
    // Large enough at once: growing would leave copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(content.len() + 6));
    write::message(&mut out, frontend::PASSWORD, |out| {
        out.extend_from_slice(content);
        if terminated {
            out.push(0);
        }
    });
    out
}

fn method_name(code: u32) -> &'static str {
    match code {
        2 => "Kerberos 5",
        7 | 8 => "GSSAPI",
        9 => "SSPI",
        _ => "SCM credentials",
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn unexpected(tag: u8) -> ConnectError {
    broken_owned(format!(
        "server sent unexpected message {} during login",
        tag::show(tag)
    ))
}

fn broken(what: &'static str) -> ConnectError {
    ConnectError::Protocol(what.into())
}

fn broken_owned(what: String) -> ConnectError {
    ConnectError::Protocol(what.into())
}
