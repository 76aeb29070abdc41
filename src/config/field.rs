//! The kinds of values that keys take: how each is read from a file and shown again.
//!
//! A [`Field`] points to its place in the structure it belongs to, so one row of the
//! [`reference`](super::reference) is enough to read a key, show it and document its type.

mod read;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::{Dialect, Raw};
use super::{
    AuthType, ChannelBinding, Origin, PoolMode, ProxyProtocol, Secret, SslMode, TlsVersions,
    member, units,
};
use read::{
    AUTH_TYPES, BINDINGS, MILLISECOND, POOL_MODES, PROXY_MODES, SECOND, SSL_MODES, addresses,
    auth_type, boolean, count, duration, http_address, mode, names, params, pool_mode, set_param,
    size, text, tls_versions, word,
};

/// What reading a value needs to know beyond the value.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The language of the file.
    pub dialect: Dialect,
    /// Seconds must be whole: PgBouncer cuts off fractions there without a word, so a fraction is
    /// refused rather than given another meaning.
    pub whole_seconds: bool,
    /// Relative paths start here; empty for the working directory.
    pub base: &'a Path,
}

/// A kind of value together with the place in `T` where it is kept.
pub enum Field<T: 'static> {
    /// Yes or no.
    Bool(fn(&mut T) -> &mut bool),
    /// A whole number from the first to the second bound.
    Count(u32, u32, fn(&mut T) -> &mut u32),
    /// As `Count`, may be unset.
    OptCount(u32, u32, fn(&mut T) -> &mut Option<u32>),
    /// A TCP port.
    Port(fn(&mut T) -> &mut u16),
    /// A number of bytes within bounds.
    Size32(u32, u32, fn(&mut T) -> &mut u32),
    /// A number of bytes from the bound up.
    Size64(u64, fn(&mut T) -> &mut u64),
    /// A duration; plain numbers are seconds.
    Seconds(fn(&mut T) -> &mut Duration),
    /// As `Seconds`, but zero has no meaning and is refused.
    SomeSeconds(fn(&mut T) -> &mut Duration),
    /// As `Seconds`, may be unset.
    OptSeconds(fn(&mut T) -> &mut Option<Duration>),
    /// A duration; plain numbers are milliseconds, as PgBouncer has it.
    Millis(fn(&mut T) -> &mut Duration),
    /// Permission bits of a file, in octal.
    Mode(fn(&mut T) -> &mut u32),
    /// Any text.
    Text(fn(&mut T) -> &mut String),
    /// Text; empty is unset.
    OptText(fn(&mut T) -> &mut Option<String>),
    /// A query; empty is none, `<empty>` is the empty query.
    CheckQuery(fn(&mut T) -> &mut Option<String>),
    /// A password.
    Password(fn(&mut T) -> &mut Option<Secret>),
    /// Text that may hold a password; empty is unset.
    Hidden(fn(&mut T) -> &mut Option<Secret>),
    /// A file; empty is unset.
    File(fn(&mut T) -> &mut Option<PathBuf>),
    /// Names, as a comma list or a TOML array.
    Names(fn(&mut T) -> &mut Vec<String>),
    /// Servers of a cluster, as a comma list or an array of texts and tables.
    Servers(fn(&mut T) -> &mut Vec<String>),
    /// A pool mode.
    Pooling(fn(&mut T) -> &mut PoolMode),
    /// A pool mode, may be unset.
    OptPooling(fn(&mut T) -> &mut Option<PoolMode>),
    /// One of these words, may be unset.
    OptWord(
        &'static [&'static str],
        fn(&mut T) -> &mut Option<&'static str>,
    ),
    /// An authentication method.
    Auth(fn(&mut T) -> &mut AuthType),
    /// A TLS mode.
    Ssl(fn(&mut T) -> &mut SslMode),
    /// What is done about channel binding.
    Binding(fn(&mut T) -> &mut ChannelBinding),
    /// TLS versions; the place holds "only 1.3".
    Protocols(fn(&mut T) -> &mut TlsVersions),
    /// Whether connections begin with a proxy's header.
    Proxying(fn(&mut T) -> &mut ProxyProtocol),
    /// Networks that are trusted with something.
    Origins(fn(&mut T) -> &mut Vec<Origin>),
    /// Addresses to listen on.
    Addresses(fn(&mut T) -> &mut Vec<IpAddr>),
    /// Address and port of the HTTP listener; empty is none.
    HttpAddress(fn(&mut T) -> &mut Option<SocketAddr>),
    /// A session parameter of that name.
    Param(&'static str, fn(&mut T) -> &mut Vec<(String, String)>),
    /// A table of session parameters.
    Params(fn(&mut T) -> &mut Vec<(String, String)>),
}

impl<T> Field<T> {
    /// The type and unit as the reference shows them.
    pub fn kind(&self) -> String {
        match self {
            Field::Bool(_) => "boolean".into(),
            Field::Count(min, max, _) | Field::OptCount(min, max, _) => match *max {
                u32::MAX => format!("number, at least {min}"),
                max => format!("number, {min} to {max}"),
            },
            Field::Port(_) => "port".into(),
            Field::Size32(..) | Field::Size64(..) => "size: bytes, kB, MB or GB".into(),
            Field::Seconds(_) | Field::SomeSeconds(_) | Field::OptSeconds(_) => {
                "duration: seconds, or text with us, ms, s, min, h or d".into()
            }
            Field::Millis(_) => {
                "duration: milliseconds, or text with us, ms, s, min, h or d".into()
            }
            Field::Mode(_) => "octal number".into(),
            Field::Text(_) | Field::OptText(_) | Field::Param(..) => "text".into(),
            Field::CheckQuery(_) => "query".into(),
            Field::Password(_) => "password".into(),
            Field::Hidden(_) => "text, not shown".into(),
            Field::File(_) => "file".into(),
            Field::Names(_) => "list of names".into(),
            Field::Servers(_) => "list of servers, texts or tables".into(),
            Field::Pooling(_) | Field::OptPooling(_) => POOL_MODES.map(PoolMode::as_str).join(", "),
            Field::OptWord(words, _) => words.join(", "),
            Field::Auth(_) => AUTH_TYPES.map(AuthType::as_str).join(", "),
            Field::Ssl(_) => SSL_MODES.map(SslMode::as_str).join(", "),
            Field::Binding(_) => BINDINGS.map(ChannelBinding::as_str).join(", "),
            Field::Protocols(_) => "secure, tlsv1.2, tlsv1.3".into(),
            Field::Proxying(_) => PROXY_MODES.map(ProxyProtocol::as_str).join(", "),
            Field::Origins(_) => "list of networks as ADDRESS/BITS, and unix".into(),
            Field::Addresses(_) => "list of addresses or *".into(),
            Field::HttpAddress(_) => "address:port".into(),
            Field::Params(_) => "table of text".into(),
        }
    }

    /// What the numbers of [`show`](Self::show) count where they have a unit; `None` if they have none, or if
    /// it stands with them.
    pub fn unit(&self) -> Option<&'static str> {
        match self {
            Field::Seconds(_) | Field::SomeSeconds(_) | Field::OptSeconds(_) => Some("s"),
            Field::Millis(_) => Some("ms"),
            Field::Size32(..) => Some("bytes"),
            _ => None,
        }
    }

    /// Whether TOML writes the value without quotes.
    pub fn is_bare_in_toml(&self, value: &str) -> bool {
        match self {
            Field::Bool(_) | Field::Count(..) | Field::OptCount(..) | Field::Port(_) => true,
            Field::Size32(..) | Field::Size64(..) => value.bytes().all(|b| b.is_ascii_digit()),
            Field::Seconds(_) | Field::SomeSeconds(_) | Field::OptSeconds(_) | Field::Millis(_) => {
                true
            }
            _ => false,
        }
    }

    /// Reads `raw` into its place in `target`.
    ///
    /// # Errors
    /// What is wrong with the value and what to write instead; `target` is unchanged then.
    pub fn read(&self, target: &mut T, raw: &Raw, how: Reading<'_>) -> Result<(), String> {
        match self {
            Field::Bool(at) => *at(target) = boolean(raw)?,
            Field::Count(min, max, at) => *at(target) = count(raw, *min, *max)?,
            Field::OptCount(min, max, at) => *at(target) = Some(count(raw, *min, *max)?),
            Field::Port(at) => {
                let port = count(raw, 1, u32::from(u16::MAX))?;
                *at(target) = u16::try_from(port).map_err(|_| "is not a port")?;
            }
            Field::Size32(min, max, at) => {
                let bytes = size(raw, u64::from(*min), u64::from(*max))?;
                *at(target) = u32::try_from(bytes).map_err(|_| "is too large")?;
            }
            Field::Size64(min, at) => *at(target) = size(raw, *min, u64::MAX)?,
            Field::Seconds(at) => *at(target) = duration(raw, SECOND, how)?,
            Field::SomeSeconds(at) => {
                let value = duration(raw, SECOND, how)?;
                if value.is_zero() {
                    return Err("must be more than 0".into());
                }
                *at(target) = value;
            }
            Field::OptSeconds(at) => *at(target) = Some(duration(raw, SECOND, how)?),
            Field::Millis(at) => *at(target) = duration(raw, MILLISECOND, how)?,
            Field::Mode(at) => *at(target) = mode(raw)?,
            Field::Text(at) => *at(target) = text(raw)?.to_owned(),
            Field::OptText(at) => {
                *at(target) = Some(text(raw)?.to_owned()).filter(|t| !t.is_empty())
            }
            Field::CheckQuery(at) => {
                *at(target) = match text(raw)? {
                    "" => None,
                    "<empty>" => Some(String::new()),
                    query => Some(query.to_owned()),
                }
            }
            Field::Password(at) => *at(target) = Some(Secret::new(text(raw)?)),
            Field::Hidden(at) => {
                *at(target) = Some(text(raw)?)
                    .filter(|text| !text.is_empty())
                    .map(Secret::new);
            }
            Field::File(at) => {
                let path = text(raw)?;
                *at(target) = (!path.is_empty()).then(|| how.base.join(path));
            }
            Field::Names(at) => *at(target) = names(raw)?,
            Field::Servers(at) => *at(target) = member::read(raw)?,
            Field::Pooling(at) => *at(target) = pool_mode(raw)?,
            Field::OptPooling(at) => *at(target) = Some(pool_mode(raw)?),
            Field::OptWord(words, at) => *at(target) = Some(word(raw, words, |word| word)?),
            Field::Auth(at) => *at(target) = auth_type(raw)?,
            Field::Ssl(at) => *at(target) = word(raw, &SSL_MODES, SslMode::as_str)?,
            Field::Binding(at) => *at(target) = word(raw, &BINDINGS, ChannelBinding::as_str)?,
            Field::Protocols(at) => *at(target) = tls_versions(raw)?,
            Field::Proxying(at) => *at(target) = word(raw, &PROXY_MODES, ProxyProtocol::as_str)?,
            Field::Origins(at) => {
                let read = |name: String| Origin::parse(&name);
                *at(target) = names(raw)?
                    .into_iter()
                    .map(read)
                    .collect::<Result<_, _>>()?;
            }
            Field::Addresses(at) => *at(target) = addresses(raw)?,
            Field::HttpAddress(at) => *at(target) = http_address(raw)?,
            Field::Param(name, at) => {
                let value = text(raw)?.to_owned();
                set_param(at(target), name, value)?;
            }
            Field::Params(at) => params(at(target), raw)?,
        }
        Ok(())
    }

    /// The value in `target` as SHOW CONFIG has it: PgBouncer's form where PgBouncer has the kind.
    ///
    /// Takes `&mut` only because the places are lenses; nothing is changed. Passwords are never
    /// shown.
    pub fn show(&self, target: &mut T) -> String {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        match self {
            Field::Bool(at) => u8::from(*at(target)).to_string(),
            Field::Count(_, _, at) | Field::Size32(_, _, at) => at(target).to_string(),
            Field::OptCount(_, _, at) => at(target).map(|n| n.to_string()).unwrap_or_default(),
            Field::Port(at) => at(target).to_string(),
            Field::Size64(_, at) => units::as_size(*at(target)),
            Field::Seconds(at) | Field::SomeSeconds(at) => units::as_number(*at(target), SECOND),
            Field::OptSeconds(at) => at(target)
                .map(|t| units::as_number(t, SECOND))
                .unwrap_or_default(),
            Field::Millis(at) => units::as_number(*at(target), MILLISECOND),
            Field::Mode(at) => format!("{:04o}", at(target)),
            Field::Text(at) => at(target).clone(),
            Field::OptText(at) => or_empty(at(target)),
            Field::CheckQuery(at) => match at(target) {
                Some(query) if query.is_empty() => "<empty>".into(),
                other => or_empty(other),
            },
            Field::Password(_) => String::new(),
            Field::Hidden(at) => if at(target).is_some() { "******" } else { "" }.into(),
            Field::File(at) => at(target)
                .as_ref()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            Field::Names(at) | Field::Servers(at) => at(target).join(","),
            Field::Pooling(at) => at(target).as_str().into(),
            Field::OptPooling(at) => at(target).map(|m| m.as_str().into()).unwrap_or_default(),
            Field::OptWord(_, at) => at(target).unwrap_or_default().into(),
            Field::Auth(at) => at(target).as_str().into(),
            Field::Ssl(at) => at(target).as_str().into(),
            Field::Binding(at) => at(target).as_str().into(),
            Field::Protocols(at) => at(target).as_str().into(),
            Field::Proxying(at) => at(target).as_str().into(),
            Field::Origins(at) => {
                let all: Vec<&str> = at(target).iter().map(Origin::as_str).collect();
                all.join(",")
            }
            Field::Addresses(at) => {
                let all: Vec<String> = at(target).iter().map(IpAddr::to_string).collect();
                all.join(",")
            }
            Field::HttpAddress(at) => at(target).map(|a| a.to_string()).unwrap_or_default(),
            Field::Param(name, at) => at(target)
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
                .unwrap_or_default(),
            Field::Params(at) => {
                let all: Vec<String> = at(target).iter().map(|(k, v)| format!("{k}={v}")).collect();
                all.join(",")
            }
        }
    }
}

#[cfg(test)]
mod tests;
