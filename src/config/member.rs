//! One server of a cluster as the configuration has it.

use super::Host;
use super::document::Raw;

/// Which part a server may play in its cluster. What it is now is asked of it all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Whatever it says it is.
    #[default]
    Auto,
    /// As `Auto`, and no other server may be the primary unless it has this role too.
    Primary,
    /// Never the primary: one that claims to be it gets nothing.
    Replica,
}

impl Role {
    /// As the configuration has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Auto => "auto",
            Role::Primary => "primary",
            Role::Replica => "replica",
        }
    }
}

/// Most servers of a cluster: sets of them are the bits of one number.
pub const MOST_SERVERS: usize = u64::BITS as usize;
/// Heaviest weight of a server.
const MOST_WEIGHT: u32 = 1000;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it listens.
    pub host: Host,
    /// What it may be.
    pub role: Role,
    /// Its share of the reads beside that of the others, 0 to 1000. With 0 it gets those that ask for it
    /// by name.
    pub weight: u32,
    /// Where it stands; empty if nobody said so.
    pub zone: Box<str>,
    /// Connections of one pool to it while it is a replica; `None` is as for any replica of the database.
    pub pool_size: Option<u32>,
}

impl Member {
    /// A server of which nothing but the place is said.
    #[must_use]
    pub fn plain(host: Host) -> Self {
        Self {
            host,
            role: Role::Auto,
            weight: 1,
            zone: Box::default(),
            pool_size: None,
        }
    }

    /// Reads a server: `name`, `name:port`, `[::1]:port`, or the directory of a unix socket with or
    /// without `:port`; behind it `role=`, `weight=`, `zone=` and `pool_size=`, with spaces between.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, port: u16) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let mut member = Self::plain(place(words.next().unwrap_or_default(), port)?);
        let mut seen = Vec::new();
        for word in words {
            let (key, value) = (word.split_once('='))
                .ok_or_else(|| format!("`{text}`: `{word}` is not key=value"))?;
            if seen.contains(&key) {
                return Err(format!("`{text}`: {key} is set twice"));
            }
            seen.push(key);
            let number = |most: u32, least: u32| {
                let number = value.parse().ok().filter(|n| (least..=most).contains(n));
                number.ok_or_else(|| match most {
                    u32::MAX => format!("`{text}`: {key} must be a number of at least {least}"),
                    _ => format!("`{text}`: {key} must be a number, {least} to {most}"),
                })
            };
            match key {
                "role" => {
                    let roles = [Role::Auto, Role::Primary, Role::Replica];
                    let found = roles.into_iter().find(|role| role.as_str() == value);
                    member.role = found.ok_or_else(|| {
                        format!("`{text}`: role must be auto, primary or replica, not `{value}`")
                    })?;
                }
                "weight" => member.weight = number(MOST_WEIGHT, 0)?,
                "zone" => member.zone = value.into(),
                "pool_size" => member.pool_size = Some(number(u32::MAX, 1)?),
                _ => {
                    return Err(format!(
                        "`{text}`: {key} is not known; there are role, weight, zone and pool_size"
                    ));
                }
            }
        }
        Ok(member)
    }
}

/// The place in front of a server's words.
fn place(text: &str, port: u16) -> Result<Host, String> {
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address without brackets has no port.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, port),
        Some((host, digits)) => match digits.parse() {
            Ok(port) if port > 0 => (host, port),
            _ => return Err(format!("`{text}`: `{digits}` is not a port")),
        },
        None => (text, port),
    };
    match host {
        "" => Err(format!("`{text}` names no server")),
        host => Ok(Host::parse(host.to_owned(), port)),
    }
}

/// Where Patroni answers: `http://host:8008` with or without `/cluster`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn patroni(text: &str) -> Result<String, String> {
    let rest = (text.strip_prefix("http://")).or_else(|| text.strip_prefix("https://"));
    let rest = rest.ok_or_else(|| format!("`{text}` must begin with http:// or https://"))?;
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    if place.is_empty() || place.contains(['@', ' ', '?', '#']) {
        return Err(format!("`{text}` names no host, as in http://db1:8008"));
    }
    match path {
        "" | "cluster" => Ok(format!(
            "{}/cluster",
            text.trim_end_matches("cluster").trim_end_matches('/')
        )),
        _ => Err(format!("`{text}`: only /cluster is asked for")),
    }
}

/// The servers of a database as the file has them: a comma list, or an array of texts and tables. A table
/// becomes the text that says the same.
pub(super) fn read(raw: &Raw) -> Result<Vec<String>, String> {
    let text = |text: &str| text.trim().to_owned();
    let mut all: Vec<String> = match raw {
        Raw::Bare(list) | Raw::Text(list) => list.split(',').map(text).collect(),
        Raw::List(items) => (items.iter())
            .map(|item| match item {
                Raw::Text(one) => Ok(text(one)),
                Raw::Table(entries) => table(entries),
                other => Err(format!(
                    "must be text or a table such as {{ host = \"db1\", weight = 2 }}, not {}",
                    other.kind()
                )),
            })
            .collect::<Result<_, _>>()?,
        other => {
            return Err(format!("must be a list of servers, not {}", other.kind()));
        }
    };
    all.retain(|one| !one.is_empty());
    Ok(all)
}

fn table(entries: &[(String, Raw, super::document::Place)]) -> Result<String, String> {
    let (mut host, mut port, mut words) = (None, None, String::new());
    for (key, value, _) in entries {
        let value = match value {
            Raw::Int { value, .. } => value.to_string(),
            Raw::Text(text) if !text.contains(char::is_whitespace) => text.to_string(),
            Raw::Text(_) => return Err(format!("{key} must not contain spaces")),
            other => {
                return Err(format!(
                    "{key} must be text or a number, not {}",
                    other.kind()
                ));
            }
        };
        match key.as_str() {
            "host" => host = Some(value),
            "port" => port = Some(value),
            _ => words.push_str(&format!(" {key}={value}")),
        }
    }
    let host = host.ok_or("a server needs a host")?;
    let bare = host.contains(':') && !host.starts_with(['[', '/', '@']);
    Ok(match port {
        Some(port) if bare => format!("[{host}]:{port}{words}"),
        Some(port) => format!("{host}:{port}{words}"),
        None => format!("{host}{words}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn servers_have_ports_of_their_own() {
        let shown = |text: &str| Member::parse(text, 5432).map(|member| member.host.to_string());
        for (text, is) in [
            ("db1", "db1:5432"),
            ("db1:6000", "db1:6000"),
            ("[::1]:6000", "[::1]:6000"),
            ("[::1]", "[::1]:5432"),
            ("::1", "[::1]:5432"),
            ("/run/pg", "/run/pg/.s.PGSQL.5432"),
            ("/run/pg:6000", "/run/pg/.s.PGSQL.6000"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(is), "{text}");
        }
        for text in ["", ":1", "db1:", "db1:x", "db1:70000", "db1:0"] {
            assert!(shown(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_said_of_a_server_is_read_and_mistakes_are_told() {
        let all = "db1:6000 role=replica weight=3 zone=a pool_size=7";
        let is = Member {
            host: Host::parse("db1".to_owned(), 6000),
            role: Role::Replica,
            weight: 3,
            zone: "a".into(),
            pool_size: Some(7),
        };
        assert_eq!(Member::parse(all, 5432), Ok(is));
        for (text, told) in [
            ("db1 weight=1001", "weight must be a number, 0 to 1000"),
            ("db1 weight=-1", "weight must be a number, 0 to 1000"),
            (
                "db1 pool_size=0",
                "pool_size must be a number of at least 1",
            ),
            (
                "db1 role=boss",
                "role must be auto, primary or replica, not `boss`",
            ),
            ("db1 heavy", "`heavy` is not key=value"),
            ("db1 colour=red", "colour is not known"),
            ("db1 zone=a zone=b", "zone is set twice"),
        ] {
            let error = Member::parse(text, 5432).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn places_of_patroni_are_checked() {
        for text in [
            "http://db1:8008",
            "http://db1:8008/",
            "http://db1:8008/cluster",
        ] {
            assert_eq!(patroni(text).as_deref(), Ok("http://db1:8008/cluster"));
        }
        for text in [
            "db1:8008",
            "ftp://db1",
            "http://",
            "http://u:p@db1",
            "http://db1/patroni",
        ] {
            assert!(patroni(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tables_and_texts_are_the_same_servers() {
        let members = |servers: &str| {
            let text = format!("[pgweir]\nauth_type = \"trust\"\n[databases.a]\n{servers}\n");
            let config = Config::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}"));
            config.database("a").expect("there").members.clone()
        };
        let texts = members("servers = [\"db1\", \"[::1]:6000 weight=2 zone=a\", \"/run/pg:1\"]");
        let tables = members(
            "[[databases.a.servers]]\nhost = \"db1\"\n\
             [[databases.a.servers]]\nhost = \"::1\"\nport = 6000\nweight = 2\nzone = \"a\"\n\
             [[databases.a.servers]]\nhost = \"/run/pg\"\nport = 1",
        );
        assert_eq!(texts, tables);
        assert_eq!(
            members("servers = \"db1, [::1]:6000 zone=a weight=2,/run/pg:1\""),
            texts
        );
        for (servers, told) in [
            (
                "servers = [{ port = 1 }]",
                "databases.a.servers: a server needs a host",
            ),
            ("servers = [1]", "must be text or a table such as"),
            (
                "servers = [{ host = \"a b\" }]",
                "host must not contain spaces",
            ),
            (
                "servers = [{ host = \"a\", size = 2 }]",
                "size is not known",
            ),
            (
                "servers = [{ host = \"a\", weight = [] }]",
                "weight must be text or a number, not a list",
            ),
        ] {
            let text = format!("[pgweir]\nauth_type = \"trust\"\n[databases.a]\n{servers}\n");
            let errors = Config::from_toml(&text).expect_err(servers).to_string();
            assert!(errors.contains(told), "{servers}\n{errors}");
        }
    }
}
