//! One function per kind of value: from what stands in the file to the value, or to what is wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::super::document::Raw;
use super::super::{
    AuthType, ChannelBinding, PoolMode, ProxyProtocol, SslMode, TlsVersions, suggest, units,
};
use super::Reading;

/// Microseconds of the unit that plain numbers of a duration have.
pub(super) const SECOND: u64 = 1_000_000;
/// See [`SECOND`].
pub(super) const MILLISECOND: u64 = 1_000;

/// The words that keys take, in the order of the documentation.
pub(super) const POOL_MODES: [PoolMode; 3] = [
    PoolMode::Session,
    PoolMode::Transaction,
    PoolMode::Statement,
];
pub(super) const AUTH_TYPES: [AuthType; 10] = [
    AuthType::Any,
    AuthType::Trust,
    AuthType::Plain,
    AuthType::Md5,
    AuthType::ScramSha256,
    AuthType::Cert,
    AuthType::Peer,
    AuthType::Ldap,
    AuthType::Pam,
    AuthType::Hba,
];
pub(super) const SSL_MODES: [SslMode; 6] = [
    SslMode::Disable,
    SslMode::Allow,
    SslMode::Prefer,
    SslMode::Require,
    SslMode::VerifyCa,
    SslMode::VerifyFull,
];

pub(super) const BINDINGS: [ChannelBinding; 3] = [
    ChannelBinding::Disable,
    ChannelBinding::Prefer,
    ChannelBinding::Require,
];

pub(super) const PROXY_MODES: [ProxyProtocol; 3] = [
    ProxyProtocol::Off,
    ProxyProtocol::On,
    ProxyProtocol::Required,
];

pub(super) fn text(raw: &Raw) -> Result<&str, String> {
    let text = match raw {
        Raw::Bare(text) | Raw::Text(text) => text.as_str(),
        other => return Err(format!("must be text in quotes, not {}", other.kind())),
    };
    // PostgreSQL ends text with a zero byte, so one inside would cut it there.
    if text.contains('\0') {
        return Err("must not contain a zero byte".into());
    }
    Ok(text)
}

pub(super) fn whole(raw: &Raw) -> Result<i64, String> {
    let text = match raw {
        Raw::Int { value, .. } => return Ok(*value),
        Raw::Bare(text) => text.as_str(),
        other => return Err(format!("must be a whole number, not {}", other.kind())),
    };
    let digits = text.strip_prefix('-').unwrap_or(text);
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let is_hex = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hex && let Ok(value) = i64::from_str_radix(hex, 16) {
            return Ok(value);
        }
    } else if digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(format!(
            "{text:?} starts with 0, which PgBouncer reads as octal in some places and as decimal in others; write it without"
        ));
    } else if !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(value) = text.parse()
    {
        return Ok(value);
    }
    Err(format!("{text:?} is not a whole number"))
}

pub(super) fn count(raw: &Raw, min: u32, max: u32) -> Result<u32, String> {
    let value = whole(raw)?;
    match u32::try_from(value) {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ if value < i64::from(min) => Err(format!("{value} is too small; at least {min}")),
        _ => Err(format!("{value} is too large; at most {max}")),
    }
}

pub(super) fn boolean(raw: &Raw) -> Result<bool, String> {
    match raw {
        Raw::Bool(value) => Ok(*value),
        Raw::Int { value: 0, .. } => Ok(false),
        Raw::Int { value: 1, .. } => Ok(true),
        Raw::Bare(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "on" | "true" | "yes" => Ok(true),
            "0" | "off" | "false" | "no" => Ok(false),
            _ => Err(format!(
                "{:?} is not a boolean; write 0 or 1",
                text.as_str()
            )),
        },
        Raw::Int { value, .. } => Err(format!("{value} is not a boolean; write true or false")),
        other => Err(format!("must be true or false, not {}", other.kind())),
    }
}

pub(super) fn size(raw: &Raw, min: u64, max: u64) -> Result<u64, String> {
    let bytes = match raw {
        Raw::Int { value, .. } => {
            u64::try_from(*value).map_err(|_| format!("{value} is not a size"))?
        }
        Raw::Bare(text) | Raw::Text(text) => {
            let text = text.as_str();
            units::size(text).map_err(|why| format!("{text:?} {why}"))?
        }
        other => {
            return Err(format!(
                "must be a number of bytes or text such as \"64MB\", not {}",
                other.kind()
            ));
        }
    };
    if bytes < min {
        return Err(format!("{bytes} bytes is too small; at least {min}"));
    }
    if bytes > max {
        return Err(format!("{bytes} bytes is too large; at most {max}"));
    }
    Ok(bytes)
}

pub(super) fn duration(raw: &Raw, unit: u64, how: Reading<'_>) -> Result<Duration, String> {
    match raw {
        Raw::Int { value, .. } => {
            units::number_of(*value as f64, unit).map_err(|why| format!("{value} {why}"))
        }
        Raw::Float(value) => units::number_of(*value, unit).map_err(|why| format!("{value} {why}")),
        Raw::Text(text) => {
            let text = text.as_str();
            units::duration(text).map_err(|why| format!("{text:?} {why}"))
        }
        Raw::Bare(text) => {
            let text = text.as_str();
            let number = units::plain_number(text);
            if let (None, Ok(meant)) = (number, units::duration(text)) {
                return Err(format!(
                    "{text:?} has a unit, which PgBouncer's files do not have; write {}",
                    units::as_number(meant, unit)
                ));
            }
            let number = number.ok_or_else(|| format!("{text:?} is not a length of time"))?;
            let fraction = text.contains('.');
            if fraction && (how.whole_seconds || unit == MILLISECOND) {
                return Err(format!(
                    "{text:?} has a fraction, which PgBouncer cuts off here; write a whole number"
                ));
            }
            units::number_of(number, unit).map_err(|why| format!("{text:?} {why}"))
        }
        other => Err(format!(
            "must be a number or text such as \"5min\", not {}",
            other.kind()
        )),
    }
}

pub(super) fn mode(raw: &Raw) -> Result<u32, String> {
    let bits = match raw {
        Raw::Int { value, octal: true } => u32::try_from(*value).ok(),
        Raw::Int { value, .. } => {
            return Err(format!(
                "write \"0{value}\" or 0o{value}: the number is octal"
            ));
        }
        Raw::Bare(text) | Raw::Text(text)
            if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) =>
        {
            u32::from_str_radix(text, 8).ok()
        }
        _ => None,
    };
    bits.filter(|bits| *bits <= 0o777)
        .ok_or_else(|| "must be permission bits in octal, \"0000\" to \"0777\"".into())
}

pub(super) fn names(raw: &Raw) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    match raw {
        Raw::List(items) => {
            for item in items {
                all.push(text(item)?.trim().to_owned());
            }
        }
        other => all.extend(text(other)?.split(',').map(|name| name.trim().to_owned())),
    }
    all.retain(|name| !name.is_empty());
    Ok(all)
}

pub(super) fn word<W: Copy>(
    raw: &Raw,
    words: &[W],
    as_str: fn(W) -> &'static str,
) -> Result<W, String> {
    let text = text(raw)?;
    if let Some(found) = words.iter().find(|word| as_str(**word) == text) {
        return Ok(*found);
    }
    let all: Vec<&str> = words.iter().map(|word| as_str(*word)).collect();
    let hint = match suggest::nearest(text, all.iter().copied()) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => format!("; one of {}", all.join(", ")),
    };
    Err(format!("{text:?} is not known{hint}"))
}

pub(super) fn pool_mode(raw: &Raw) -> Result<PoolMode, String> {
    word(raw, &POOL_MODES, PoolMode::as_str)
}

pub(super) fn auth_type(raw: &Raw) -> Result<AuthType, String> {
    word(raw, &AUTH_TYPES, AuthType::as_str)
}

/// Source: PgBouncer, `client_tls_protocols`.
pub(super) fn tls_versions(raw: &Raw) -> Result<TlsVersions, String> {
    let (mut older, mut newest) = (false, false);
    for version in names(raw)? {
        match version.as_str() {
            "secure" | "default" => (older, newest) = (true, true),
            "tlsv1.2" => older = true,
            "tlsv1.3" => newest = true,
            "all" | "legacy" | "tlsv1.0" | "tlsv1.1" | "tlsv1" => {
                return Err(format!(
                    "{version:?} includes TLS before 1.2, which is not safe; write \"secure\""
                ));
            }
            other => {
                return Err(format!(
                    "{other:?} is not known; \"secure\" (TLS 1.2 and 1.3), \"tlsv1.2\" or \"tlsv1.3\""
                ));
            }
        }
    }
    match (older, newest) {
        (true, true) => Ok(TlsVersions::Secure),
        (true, false) => Ok(TlsVersions::Only12),
        (false, true) => Ok(TlsVersions::Only13),
        (false, false) => Err("is empty; \"secure\" (TLS 1.2 and 1.3) or \"tlsv1.3\"".into()),
    }
}

pub(super) fn addresses(raw: &Raw) -> Result<Vec<IpAddr>, String> {
    let mut all = Vec::new();
    for name in names(raw)? {
        if name == "*" {
            all.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            all.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        } else {
            all.extend(resolve(&name, 0)?.into_iter().map(|address| address.ip()));
        }
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|address| seen.insert(*address));
    Ok(all)
}

pub(super) fn http_address(raw: &Raw) -> Result<Option<SocketAddr>, String> {
    let text = text(raw)?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(address) = text.parse() {
        return Ok(Some(address));
    }
    let parts = text
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parts {
        Some((host, port)) if !host.is_empty() => Ok(resolve(host, port)?.first().copied()),
        _ => Err(format!(
            "{text:?} is not address:port, such as \"127.0.0.1:6433\""
        )),
    }
}

pub(super) fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let found: Vec<SocketAddr> = (name, port)
        .to_socket_addrs()
        .map_err(|error| {
            format!("{name:?} is neither an address nor a name that resolves: {error}")
        })?
        .collect();
    if found.is_empty() {
        return Err(format!("{name:?} has no address"));
    }
    Ok(found)
}

pub(super) fn params(target: &mut Vec<(String, String)>, raw: &Raw) -> Result<(), String> {
    let Raw::Table(entries) = raw else {
        return Err(format!(
            "must be a table such as {{ timezone = \"UTC\" }}, not {}",
            raw.kind()
        ));
    };
    let mut all = target.clone();
    for (name, value, _) in entries {
        let value = match value {
            Raw::Int { value, .. } => value.to_string(),
            Raw::Float(value) => value.to_string(),
            Raw::Bool(value) => if *value { "on" } else { "off" }.to_owned(),
            other => text(other)
                .map_err(|why| format!("{name:?} {why}"))?
                .to_owned(),
        };
        set_param(&mut all, name, value)?;
    }
    *target = all;
    Ok(())
}

/// Parameter names are case-insensitive in PostgreSQL, so that two spellings are one parameter.
pub(super) fn set_param(
    target: &mut Vec<(String, String)>,
    name: &str,
    value: String,
) -> Result<(), String> {
    let valid = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    if !valid {
        return Err(format!("{name:?} is not the name of a parameter"));
    }
    if target
        .iter()
        .any(|(known, _)| known.eq_ignore_ascii_case(name))
    {
        return Err(format!("the parameter {name:?} is set twice"));
    }
    target.push((name.to_owned(), value));
    Ok(())
}
