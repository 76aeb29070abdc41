//! What SHOW knows: one row per word, with its columns and how its rows are made.
//!
//! Columns, their order and their types are PgBouncer's; tools read some of them by position, so
//! new ones are appended. Functions here read copies and take no locks of workers.

pub mod advisor;
pub mod clients;
pub mod cluster;
pub mod databases;
pub mod findings;
pub mod firewall;
pub mod locks;
pub mod mirrors;
pub mod peers;
pub mod pools;
pub mod process;
pub mod statements;
pub mod stats;

use std::collections::BTreeMap;

use super::Shared;
use super::table::Kind::{Int4, Numeric, Text};
use super::table::{Column, Row};
use crate::config::Config;
use crate::control::{Advice, Snapshot};
use crate::pool::process::Process;

/// Name under which the console itself appears among databases, users and pools. PgBouncer's, for
/// the tools that leave it out.
pub const CONSOLE: &str = "pgbouncer";

/// Everything that rows are made from.
pub struct View<'a> {
    /// Of the workers.
    pub snapshot: &'a Snapshot,
    /// Shared by the workers.
    pub process: &'a Process,
    /// In force.
    pub config: &'a Config,
    /// Sessions of the console and averages.
    pub console: &'a Shared,
    /// The last look of the catalogue advisor at each database.
    pub advice: &'a BTreeMap<String, Advice>,
}

/// One word that SHOW knows.
pub struct Show {
    /// The word, in lower case.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [Column],
    /// Makes its rows.
    pub rows: fn(&View<'_>) -> Vec<Row>,
    /// What it is about, for the documentation.
    pub about: &'static str,
}

/// The table. SHOW HELP is made from it.
pub const SHOWS: &[Show] = &[
    Show {
        name: "active_sockets",
        columns: clients::SOCKETS,
        rows: clients::active_sockets,
        about: "The lines of SHOW SOCKETS without connections that are idle.",
    },
    Show {
        name: "advisor",
        columns: advisor::ADVISOR,
        rows: advisor::advisor,
        about: "The last look of the catalogue advisor at each database: what it saw and how much it found, or why it could not look.",
    },
    Show {
        name: "clients",
        columns: clients::CLIENTS,
        rows: clients::clients,
        about: "Client connections, those of the console included.",
    },
    Show {
        name: "cluster",
        columns: cluster::CLUSTER,
        rows: cluster::cluster,
        about: "The servers of each database with `servers`: who is the primary, how far replicas are behind in bytes and in time, how long an answer takes, and why a server gets nothing.",
    },
    Show {
        name: "config",
        columns: &[
            ("key", Text),
            ("value", Text),
            ("default", Text),
            ("changeable", Text),
        ],
        rows: process::config,
        about: "Settings in force; `changeable` tells whether a reload applies a new value.",
    },
    Show {
        name: "databases",
        columns: databases::DATABASES,
        rows: databases::databases,
        about: "Databases of the configuration, and those made from `*` that have a pool.",
    },
    Show {
        name: "dns_hosts",
        columns: process::DNS_HOSTS,
        rows: |_| Vec::new(),
        about: "Names of servers that are remembered. Always empty: each connection has its name looked up by the system.",
    },
    Show {
        name: "dns_zones",
        columns: process::DNS_ZONES,
        rows: |_| Vec::new(),
        about: "Zones whose serial is watched. Always empty: `dns_zone_check_period` has no effect.",
    },
    Show {
        name: "lint stats",
        columns: &[("name", Text), ("value", Numeric)],
        rows: findings::stats,
        about: "What looking for anti-patterns does: texts known, parsed and skipped, reports dropped, what was forgotten to make room, log lines held back, how often servers were asked who waits for whose lock.",
    },
    Show {
        name: "findings",
        columns: findings::FINDINGS,
        rows: findings::findings,
        about: "What the rules found, the worst first; `pgweir explain RULE` tells more. `SHOW FINDINGS [<rule>] [<database>]` shows some of them, `SHOW FINDING '<id>'` one with everything that is known of it.",
    },
    Show {
        name: "firewall",
        columns: firewall::FIREWALL,
        rows: firewall::firewall,
        about: "The firewall's profiles: whose statements they look at, what they do, how many they know, and what they did not know.",
    },
    Show {
        name: "firewall_entries",
        columns: firewall::STATEMENTS,
        rows: firewall::entries,
        about: "The statements that the firewall's profiles know, those that came most often first.",
    },
    Show {
        name: "firewall_unknown",
        columns: firewall::STATEMENTS,
        rows: firewall::unknown,
        about: "The last statements that the firewall's profiles did not know, the newest first. ALLOW lets them pass.",
    },
    Show {
        name: "lists",
        columns: &[("list", Text), ("items", Int4)],
        rows: process::lists,
        about: "How many there are of what.",
    },
    Show {
        name: "locks",
        columns: locks::LOCKS,
        rows: locks::locks,
        about: "Clients whose statement has been waiting for a lock for as long as the rule lock-contention says (`min_ms`), those that wait longest first, as of the last look, which is at most a second or so old: how long in milliseconds, for what kind of lock in PostgreSQL's words, on which table, and who is in the way. `blocker_client` is its number if it is a client too and NULL if it did not come through pgweir; `blocker_pid` 0 is a prepared transaction. Of several in the way it is one that does not wait itself; `head_pid` is who is at the head of the queue. What the user of the pool may not see on the server is empty. Always empty with `advisor` or `lint` off.",
    },
    Show {
        name: "mem",
        columns: &[
            ("name", Text),
            ("size", Int4),
            ("used", Int4),
            ("free", Int4),
            ("memtotal", Int4),
        ],
        rows: process::mem,
        about: "Caches: average bytes per entry, entries, and bytes in all.",
    },
    Show {
        name: "mirrors",
        columns: mirrors::MIRRORS,
        rows: mirrors::mirrors,
        about: "Databases that run what others ran (`mirror`): how many transactions came out the same there, with other rows or other errors, could not be played, did not fit into the queue or could not be played again as they were; microseconds per transaction of both, and the last difference.",
    },
    Show {
        name: "peer_pools",
        columns: peers::PEER_POOLS,
        rows: peers::peer_pools,
        about: "Cancel requests on their way to other processes on the same port.",
    },
    Show {
        name: "peers",
        columns: peers::PEERS,
        rows: peers::peers,
        about: "The processes that share the port, as the configuration names them.",
    },
    Show {
        name: "pools",
        columns: pools::POOLS,
        rows: pools::pools,
        about: "Pools: one per database and server user.",
    },
    Show {
        name: "rules",
        columns: findings::RULES,
        rows: findings::rules,
        about: "The rules, and what is done about each by default.",
    },
    Show {
        name: "servers",
        columns: clients::SERVERS,
        rows: clients::servers,
        about: "Server connections.",
    },
    Show {
        name: "sockets",
        columns: clients::SOCKETS,
        rows: clients::sockets,
        about: "Client and server connections in one list. The columns about buffers are 0: a connection of pgweir has none of its own.",
    },
    Show {
        name: "state",
        columns: &[("key", Text), ("value", Text)],
        rows: process::state,
        about: "Whether everything is paused, and how far a shutdown is.",
    },
    Show {
        name: "statements",
        columns: statements::STATEMENTS,
        rows: statements::statements,
        about: "What statements cost, by database, user and shape (the text without its literals), those that took servers the longest first. Waiting for a server and the server's own time are apart, in microseconds. `plan` is the first line of the plan, where the catalogue advisor has asked for it; `SHOW PLAN '<shape>'` shows all of it.",
    },
    Show {
        name: "stats",
        columns: stats::STATS,
        rows: stats::stats,
        about: "Totals and averages by database.",
    },
    Show {
        name: "stats_averages",
        columns: stats::AVERAGES,
        rows: stats::averages,
        about: "Averages over the last whole `stats_period`, by database.",
    },
    Show {
        name: "stats_totals",
        columns: stats::TOTALS,
        rows: stats::totals,
        about: "Totals by database.",
    },
    Show {
        name: "totals",
        columns: &[("name", Text), ("value", Numeric)],
        rows: stats::grand_totals,
        about: "Totals and averages of all databases together.",
    },
    Show {
        name: "users",
        columns: databases::USERS,
        rows: databases::users,
        about: "Users of the configuration and of the users file, and those who are connected.",
    },
    Show {
        name: "version",
        columns: &[("version", Text)],
        rows: process::version,
        about: "The version of PgBouncer whose console this is, and pgweir's own.",
    },
];

/// A parameter that drivers ask every PostgreSQL server for.
pub struct Parameter {
    /// Its name as a column.
    pub column: [Column; 1],
    /// The answer.
    pub value: &'static str,
}

const fn parameter(name: &'static str, value: &'static str) -> Parameter {
    Parameter {
        column: [(name, Text)],
        value,
    }
}

/// What drivers ask when they connect. SET of these is accepted and changes nothing.
pub const PARAMETERS: &[Parameter] = &[
    parameter("client_encoding", "UTF-8"),
    parameter("default_transaction_isolation", "read committed"),
    parameter("standard_conforming_strings", "on"),
    parameter("datestyle", "ISO"),
    parameter("timezone", "GMT"),
];
