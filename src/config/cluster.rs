//! What a database with a primary and replicas is to do with statements.

use std::time::Duration;

use super::{Database, Settings};

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
    /// Never: a read waits until a replica may have it.
    Never,
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

/// Which of several servers that may have a read gets it. Each has a share by its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Of two taken by chance the one with less to do.
    #[default]
    LeastLoaded,
    /// One after the other.
    RoundRobin,
    /// One taken by chance.
    Random,
}

/// Which servers a session is for as a whole, whatever its statements do.
///
/// Source: libpq, `target_session_attrs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Each statement goes where it may run.
    #[default]
    Any,
    /// All goes to the primary (`primary`, `read-write`).
    Primary,
    /// All goes to replicas (`standby`, `read-only`).
    Standby,
    /// All goes to replicas, or to the primary if there is none (`prefer-standby`).
    PreferStandby,
}

impl Target {
    /// The target of a word of [`TARGETS`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "any" => Target::Any,
            "primary" | "read-write" => Target::Primary,
            "standby" | "read-only" => Target::Standby,
            "prefer-standby" => Target::PreferStandby,
            _ => return None,
        })
    }
}

impl Settings {
    /// The ports of `listen_targets` with their targets, and what is wrong with those that are none.
    pub fn targets(&self) -> impl Iterator<Item = Result<(u16, Target), String>> + '_ {
        self.listen_targets.iter().map(|word| {
            let (port, target) = (word.split_once('='))
                .ok_or_else(|| format!("{word:?} is not a port and a target, as 5433 = standby"))?;
            let number = port.trim().parse().ok().filter(|&port| port != 0);
            let port: u16 = number.ok_or_else(|| format!("{:?} is no port", port.trim()))?;
            let target = target.trim();
            let target = Target::parse(target).ok_or_else(|| {
                format!("{target:?} is no target; there are {}", TARGETS.join(", "))
            })?;
            Ok((port, target))
        })
    }

    /// What clients are for that came through this port.
    #[must_use]
    pub fn target_of(&self, port: u16) -> Option<Target> {
        let mut targets = self.targets().flatten();
        targets.find_map(|(known, target)| (known == port).then_some(target))
    }

    /// All ports for clients, each once, `listen_port` first.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        let mut ports = vec![self.listen_port];
        for (port, _) in self.targets().flatten() {
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        ports
    }
}

/// Names of [`Target`], as libpq has them.
pub const TARGETS: &[&str] = &[
    "any",
    "read-write",
    "read-only",
    "primary",
    "standby",
    "prefer-standby",
];
/// Names of [`PrimaryReads`].
pub const PRIMARY_READS: &[&str] = &["only", "always", "when-no-replica", "never"];
/// Names of [`ReadYourWrites`].
pub const READ_YOUR_WRITES: &[&str] = &["off", "session", "database"];
/// Where transactions may go that begin READ ONLY.
pub const READ_ONLY_TRANSACTIONS: &[&str] = &["replica", "primary"];
/// What of a database's traffic another one may run too.
pub const MIRRORED: &[&str] = &["reads", "all"];
/// Names of [`Balance`].
pub const BALANCE: &[&str] = &["least-loaded", "round-robin", "random"];
/// How long a replica that comes back waits for its full share, unless the database says otherwise.
pub const SLOW_START: Duration = Duration::from_secs(10);
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
    /// A plain BEGIN waits for the first statement of its transaction, which says where both go.
    pub defer_begin: bool,
    /// How long a read waits for a replica that shows what it has to see before the primary has it.
    pub wait: Duration,
    /// See [`Target`].
    pub target: Target,
    /// See [`Balance`].
    pub balance: Balance,
    /// How long a replica that comes back has to wait for its full share of reads.
    pub slow_start: Duration,
}

impl Default for ClusterPolicy {
    fn default() -> Self {
        Self {
            primary_reads: PrimaryReads::default(),
            read_your_writes: ReadYourWrites::default(),
            max_lag: MAX_REPLICA_LAG,
            transactions_stay: false,
            defer_begin: false,
            wait: Duration::ZERO,
            target: Target::default(),
            balance: Balance::default(),
            slow_start: SLOW_START,
        }
    }
}

impl Database {
    /// Whether its servers are a primary and its replicas; otherwise they are equals.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        !self.members.is_empty()
    }

    /// How its statements are given to its servers, if it is a cluster.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterPolicy> {
        self.is_cluster().then(|| ClusterPolicy {
            primary_reads: match self.primary_reads {
                Some("only") => PrimaryReads::Only,
                Some("always") => PrimaryReads::Always,
                Some("never") => PrimaryReads::Never,
                _ => PrimaryReads::WhenNoReplica,
            },
            read_your_writes: match self.read_your_writes {
                Some("off") => ReadYourWrites::Off,
                Some("database") => ReadYourWrites::Database,
                _ => ReadYourWrites::Session,
            },
            max_lag: self.max_replica_lag.unwrap_or(MAX_REPLICA_LAG),
            transactions_stay: self.read_only_transactions == Some("primary"),
            defer_begin: self.defer_begin,
            wait: self.replica_wait.unwrap_or_default(),
            target: (self.target_session_attrs)
                .and_then(Target::parse)
                .unwrap_or_default(),
            balance: match self.balance {
                Some("round-robin") => Balance::RoundRobin,
                Some("random") => Balance::Random,
                _ => Balance::LeastLoaded,
            },
            slow_start: self.slow_start.unwrap_or(SLOW_START),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

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
                defer_begin: false,
                wait: Duration::ZERO,
                target: Target::Any,
                balance: Balance::LeastLoaded,
                slow_start: Duration::from_secs(10),
            })
        );
        let all = "servers = \"a\"\nprimary_reads = \"only\"\nread_your_writes = \"database\"\nmax_replica_lag = \"2s\"\nread_only_transactions = \"primary\"\ndefer_begin = true\nbalance = \"random\"\ntarget_session_attrs = \"read-only\"\nreplica_wait = \"50ms\"\nslow_start = 0\n";
        assert_eq!(
            policy(all),
            Some(ClusterPolicy {
                primary_reads: PrimaryReads::Only,
                read_your_writes: ReadYourWrites::Database,
                max_lag: Duration::from_secs(2),
                transactions_stay: true,
                defer_begin: true,
                wait: Duration::from_millis(50),
                target: Target::Standby,
                balance: Balance::Random,
                slow_start: Duration::ZERO,
            })
        );
    }

    #[test]
    fn every_target_has_a_meaning() {
        for word in TARGETS {
            assert!(Target::parse(word).is_some(), "{word}");
        }
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
                "config:5: databases.a.primary_reads: \"sometimes\" is not known; one of only, always, when-no-replica, never",
            ),
            (
                "primary_reads = \"only\"\n",
                "config:4: databases.a.primary_reads: needs servers",
            ),
            (
                "defer_begin = true\n",
                "config:4: databases.a.defer_begin: needs servers",
            ),
        ] {
            let text = format!("[pgweir]\nauth_type = \"trust\"\n[databases.a]\n{keys}");
            let errors = Config::from_toml(&text).expect_err(keys).to_string();
            assert!(errors.contains(told), "{keys}\n{errors}");
        }
    }

    #[test]
    fn ports_have_targets() {
        let read =
            |text: &str| Config::from_toml(&format!("[pgweir]\nauth_type = \"trust\"\n{text}\n"));
        let config =
            read("listen_targets = [\"5433=standby\", \" 5434 = read-write \", \"6432=primary\"]");
        let settings = config.expect("valid").settings;
        assert_eq!(settings.ports(), [6432, 5433, 5434]);
        assert_eq!(settings.target_of(5433), Some(Target::Standby));
        assert_eq!(settings.target_of(5434), Some(Target::Primary));
        assert_eq!(settings.target_of(5435), None);
        let wrong = "listen_targets = [\"5433\", \"x=standby\", \"0=any\", \"1=replica\", \"2=any\", \"2=any\"]";
        let told = read(wrong).expect_err("mistakes").to_string();
        for what in [
            "\"5433\" is not a port and a target",
            "\"x\" is no port",
            "\"0\" is no port",
            "\"replica\" is no target; there are any,",
            "port 2 is there twice",
        ] {
            assert!(told.contains(what), "{what} in\n{told}");
        }
        // Somebody else is there.
        let told = read("listen_targets = [\"9000=any\"]\nhttp_listen = \"127.0.0.1:9000\"");
        assert!(
            told.expect_err("a conflict")
                .to_string()
                .contains("uses port 9000")
        );
    }
}
