//! What a database with a primary and replicas is to do with statements.

use std::time::Duration;

use super::{Database, Host};

/// When the primary runs statements that a replica could run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrimaryReads {
    /// Always: replicas are there for the day when the primary is not.
    Only,
    /// As one of the servers that may.
    Always,
    /// If no replica is there that is fresh enough.
    #[default]
    WhenNoReplica,
}

/// Whose writes a read must see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadYourWrites {
    /// Nobody's: a read may be as old as the lag allows.
    Off,
    /// Those of the same client.
    #[default]
    Session,
    /// Those of every client of the database.
    Database,
}

/// Names of [`PrimaryReads`].
pub const PRIMARY_READS: &[&str] = &["only", "always", "when-no-replica"];
/// Names of [`ReadYourWrites`].
pub const READ_YOUR_WRITES: &[&str] = &["off", "session", "database"];
/// Where transactions may go that begin READ ONLY.
pub const READ_ONLY_TRANSACTIONS: &[&str] = &["replica", "primary"];
/// How old what a replica shows may be, unless the database says otherwise.
pub const MAX_REPLICA_LAG: Duration = Duration::from_secs(10);

/// How statements of a database are given to its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// See [`PrimaryReads`].
    pub primary_reads: PrimaryReads,
    /// See [`ReadYourWrites`].
    pub read_your_writes: ReadYourWrites,
    /// How old what a replica shows may be; zero: any age.
    pub max_lag: Duration,
    /// Transactions that begin READ ONLY go to the primary too.
    pub transactions_stay: bool,
}

impl Database {
    /// How its statements are given to its servers, if it is a cluster.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterPolicy> {
        self.is_cluster.then(|| ClusterPolicy {
            primary_reads: match self.primary_reads {
                Some("only") => PrimaryReads::Only,
                Some("always") => PrimaryReads::Always,
                _ => PrimaryReads::WhenNoReplica,
            },
            read_your_writes: match self.read_your_writes {
                Some("off") => ReadYourWrites::Off,
                Some("database") => ReadYourWrites::Database,
                _ => ReadYourWrites::Session,
            },
            max_lag: self.max_replica_lag.unwrap_or(MAX_REPLICA_LAG),
            transactions_stay: self.read_only_transactions == Some("primary"),
        })
    }
}

/// A server of a cluster as the configuration writes it: `name`, `name:port`, `[::1]:port`, or the
/// directory of a unix socket with or without `:port`.
///
/// # Errors
/// What is wrong with it.
pub fn server(text: &str, port: u16) -> Result<Host, String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn servers_have_ports_of_their_own() {
        let shown = |text: &str| server(text, 5432).map(|host| host.to_string());
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

    fn policy(keys: &str) -> Option<ClusterPolicy> {
        let text = format!("[pgweir]\nauth_type = \"trust\"\n[databases.a]\n{keys}");
        let config = Config::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}"));
        config.database("a").and_then(|database| database.cluster())
    }

    #[test]
    fn servers_make_a_cluster_and_hosts_do_not() {
        assert_eq!(policy("host = [\"a\", \"b\"]\n"), None);
        assert_eq!(
            policy("servers = [\"a\", \"b:1\"]\n"),
            Some(ClusterPolicy {
                primary_reads: PrimaryReads::WhenNoReplica,
                read_your_writes: ReadYourWrites::Session,
                max_lag: Duration::from_secs(10),
                transactions_stay: false,
            })
        );
        let all = "servers = \"a\"\nprimary_reads = \"only\"\nread_your_writes = \"database\"\nmax_replica_lag = \"2s\"\nread_only_transactions = \"primary\"\n";
        assert_eq!(
            policy(all),
            Some(ClusterPolicy {
                primary_reads: PrimaryReads::Only,
                read_your_writes: ReadYourWrites::Database,
                max_lag: Duration::from_secs(2),
                transactions_stay: true,
            })
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (keys, told) in [
            (
                "servers = [\"a:x\"]\n",
                "config:4: databases.a.servers: `a:x`: `x` is not a port",
            ),
            (
                "servers = [\"a\", \"a\"]\n",
                "config:4: databases.a.servers: a:5432 is there twice",
            ),
            (
                "servers = \"a\"\nhost = \"b\"\n",
                "config:4: databases.a.servers: host is set too; one of them",
            ),
            (
                "servers = \"a\"\nprimary_reads = \"sometimes\"\n",
                "config:5: databases.a.primary_reads: \"sometimes\" is not known; one of only, always, when-no-replica",
            ),
            (
                "primary_reads = \"only\"\n",
                "config:4: databases.a.primary_reads: needs servers",
            ),
        ] {
            let text = format!("[pgweir]\nauth_type = \"trust\"\n[databases.a]\n{keys}");
            let errors = Config::from_toml(&text).expect_err(keys).to_string();
            assert!(errors.contains(told), "{keys}\n{errors}");
        }
    }
}
