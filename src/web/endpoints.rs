//! The table of the API: one row per address. The router, the OpenAPI description and the page in
//! `docs/` are made from it.

use crate::admin::show::{self, SHOWS};
use crate::admin::table::Kind;

/// What every address of the API begins with. A change that breaks a reader gets another number.
pub const BASE: &str = "/api/v1";

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// An object.
    Object,
    /// A list.
    List,
}

/// One field of an answer. All fields are always there; what is not known is `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// What it tells; empty where the console's page does.
    pub about: &'static str,
}

const fn field(name: &'static str, kind: Type, about: &'static str) -> Field {
    Field { name, kind, about }
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The rows of a SHOW, by its name.
    Show {
        /// The word in [`SHOWS`].
        show: &'static str,
        /// Whether the workers are asked for it.
        live: bool,
        /// Fields of a row that the SHOW does not have.
        more: &'static [Field],
    },
    /// What is going on, in one object.
    Overview,
    /// The last minutes, a point each second or ten.
    History,
    /// One finding, with everything that is known of it.
    Finding,
    /// The lines of a plan.
    Plan,
    /// How long a shape's executions took.
    Histogram,
    /// The end of the audit trail; for users who have logged in.
    Audit,
    /// Who asks.
    Session,
    /// The description of all this.
    Description,
}

/// One address.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Its path below [`BASE`]; `{id}` is the last part.
    pub path: &'static str,
    /// Where the answer comes from.
    pub source: Source,
    /// What it is, for the documentation.
    pub about: &'static str,
}

const fn table(
    path: &'static str,
    show: &'static str,
    live: bool,
    more: &'static [Field],
    about: &'static str,
) -> Endpoint {
    Endpoint {
        path,
        source: Source::Show { show, live, more },
        about,
    }
}

/// What a pool has beyond its SHOW.
pub const POOL: &[Field] = &[
    field(
        "pool_size",
        Type::Integer,
        "Server connections it may have.",
    ),
    field("paused", Type::Flag, "Whether PAUSE or KILL holds it."),
    field(
        "replica",
        Type::Text,
        "The replica that its servers are on; `null` for those on the primary.",
    ),
];

/// The table, in the order of the documentation.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/overview",
        source: Source::Overview,
        about: "What is going on and what is wrong, in one object.",
    },
    Endpoint {
        path: "/history",
        source: Source::History,
        about: "The last minutes for plots, the oldest first: a point each second while somebody looks, else each ten seconds; at most 900.",
    },
    table("/pools", "pools", true, POOL, "Pools, as in `SHOW POOLS`."),
    table(
        "/servers",
        "servers",
        true,
        &[],
        "Server connections, as in `SHOW SERVERS`.",
    ),
    table(
        "/cluster",
        "cluster",
        true,
        &[],
        "Primaries and replicas, as in `SHOW CLUSTER`.",
    ),
    table(
        "/databases",
        "databases",
        true,
        &[],
        "Databases, as in `SHOW DATABASES`.",
    ),
    table(
        "/clients",
        "clients",
        true,
        &[],
        "Client connections, as in `SHOW CLIENTS`.",
    ),
    table(
        "/stats",
        "stats",
        true,
        &[],
        "Totals and averages by database, as in `SHOW STATS`.",
    ),
    table(
        "/statements",
        "statements",
        false,
        &[],
        "What statements cost, as in `SHOW STATEMENTS`.",
    ),
    Endpoint {
        path: "/statements/{id}/plan",
        source: Source::Plan,
        about: "The last plan of a statement, by its `shape`, as in `SHOW PLAN`.",
    },
    Endpoint {
        path: "/statements/{id}/histogram",
        source: Source::Histogram,
        about: "How long the executions of a shape took the server, and waited for one, all databases and users together: how many were in each range.",
    },
    table(
        "/findings",
        "findings",
        false,
        &[],
        "What the rules found, as in `SHOW FINDINGS`.",
    ),
    Endpoint {
        path: "/findings/{id}",
        source: Source::Finding,
        about: "One finding with everything that is known of it: the object of its log line.",
    },
    table(
        "/rules",
        "rules",
        false,
        &[],
        "The rules, as in `SHOW RULES`.",
    ),
    table(
        "/firewall",
        "firewall",
        false,
        &[],
        "The firewall's profiles, as in `SHOW FIREWALL`.",
    ),
    table(
        "/firewall/unknown",
        "firewall_unknown",
        false,
        &[],
        "Statements that the firewall did not know, as in `SHOW FIREWALL_UNKNOWN`.",
    ),
    Endpoint {
        path: "/audit",
        source: Source::Audit,
        about: "The end of the audit trail (its last MiB), the newest first; only for users who have logged in, since its file is for its owner alone.",
    },
    table(
        "/config",
        "config",
        false,
        &[],
        "Settings in force, as in `SHOW CONFIG`.",
    ),
    Endpoint {
        path: "/session",
        source: Source::Session,
        about: "Who you are here, and what you may do.",
    },
    Endpoint {
        path: "/openapi.json",
        source: Source::Description,
        about: "This API as an OpenAPI 3.1 document.",
    },
];

/// Fields of the overview.
pub const OVERVIEW: &[Field] = &[
    field("at", Type::Text, "When it was taken."),
    field("version", Type::Text, "pgweir's version."),
    field("started", Type::Text, "Since when the process runs."),
    field("phase", Type::Text, "`running`, or how far a shutdown is."),
    field("paused", Type::Flag, "Whether PAUSE holds everything."),
    field(
        "max_client_conn",
        Type::Integer,
        "Client connections that there may be.",
    ),
    field(
        "connected",
        Type::Integer,
        "Client connections that there are, logins and the console included.",
    ),
    field(
        "cl_active",
        Type::Integer,
        "Clients that do not wait, in all pools.",
    ),
    field(
        "cl_waiting",
        Type::Integer,
        "Clients that wait for a server, in all pools.",
    ),
    field(
        "maxwait_us",
        Type::Integer,
        "How long the first of them has waited, in microseconds.",
    ),
    field("sv_active", Type::Integer, "Servers with a client."),
    field("sv_idle", Type::Integer, "Servers without one."),
    field("sv_login", Type::Integer, "Logins to servers under way."),
    field("pool_count", Type::Integer, "Pools."),
    field(
        "now",
        Type::Object,
        "The last point of the history; `null` before the second one was taken.",
    ),
    field(
        "problems",
        Type::List,
        "What is wrong, the worst first: objects with `severity` (critical, warn, info), `kind`, `subject`, `text` and `view` (the part of the page that tells more).",
    ),
    field(
        "pools",
        Type::List,
        "The 20 pools that want attention most, as in `/pools`.",
    ),
    field(
        "cluster",
        Type::List,
        "At most 100 servers of clusters, as in `/cluster`.",
    ),
];

/// Fields of a point of the history. Rates and averages are over the time since the point before.
pub const POINT: &[Field] = &[
    field("at", Type::Number, "When, in seconds since 1970."),
    field("xact_count", Type::Integer, "Transactions per second."),
    field("query_count", Type::Integer, "Queries per second."),
    field("xact_time", Type::Integer, "Microseconds per transaction."),
    field("query_time", Type::Integer, "Microseconds per query."),
    field(
        "wait_time",
        Type::Integer,
        "Microseconds of waiting per server given out.",
    ),
    field("received", Type::Integer, "Bytes per second from clients."),
    field("sent", Type::Integer, "Bytes per second to clients."),
    field(
        "errors",
        Type::Number,
        "Errors per second that clients got from pgweir, among them waits that were given up.",
    ),
    field(
        "failed",
        Type::Number,
        "Logins to servers per second that failed.",
    ),
    field("cl_active", Type::Integer, "Clients that do not wait."),
    field(
        "cl_waiting",
        Type::Integer,
        "Clients that wait for a server.",
    ),
    field(
        "maxwait_us",
        Type::Integer,
        "How long the first of them has waited.",
    ),
    field("sv_active", Type::Integer, "Servers with a client."),
    field("sv_idle", Type::Integer, "Servers without one."),
];

/// Fields of a range of a histogram.
pub const HISTOGRAM: &[Field] = &[
    field(
        "up_to_us",
        Type::Integer,
        "Microseconds that none in the range is beyond: a power of two; the range begins behind the one before.",
    ),
    field(
        "server",
        Type::Integer,
        "Executions that took the server so long.",
    ),
    field(
        "wait",
        Type::Integer,
        "Executions that waited so long for a server.",
    ),
];

/// Fields of a line of the audit trail.
pub const AUDIT: &[Field] = &[
    field("at", Type::Text, "When it happened."),
    field(
        "event",
        Type::Text,
        "`statement`, `login`, `login_failed`, `logout`, `refused`, `command` (of an operator over HTTP), or what the trail says of itself.",
    ),
    field("db", Type::Text, "The database."),
    field("user", Type::Text, "The user."),
    field("app", Type::Text, "The application."),
    field("client", Type::Text, "Its address."),
    field("conn", Type::Integer, "Number of its connection."),
    field("query", Type::Text, "The statement without its values."),
    field("fingerprint", Type::Text, "Number of its shape."),
    field("server", Type::Text, "The server it went to."),
    field("route", Type::Text, "Why there."),
    field("rows", Type::Integer, "Rows."),
    field("bytes", Type::Integer, "Bytes that came back."),
    field(
        "wait_us",
        Type::Integer,
        "Microseconds of waiting for a server.",
    ),
    field("server_us", Type::Integer, "Microseconds of the server."),
    field(
        "tx",
        Type::Text,
        "The transaction afterwards: `none`, `open` or `failed`.",
    ),
    field("sqlstate", Type::Text, "How it failed."),
    field("findings", Type::List, "What it hit."),
    field("command", Type::Text, "The command of an operator."),
    field("asked", Type::Text, "What it was about."),
    field(
        "reason",
        Type::Text,
        "Why a login failed, or a command was not carried out.",
    ),
];

/// Fields of the answer to who you are.
pub const SESSION: &[Field] = &[
    field(
        "user",
        Type::Text,
        "The user; `null` for somebody who has not logged in.",
    ),
    field(
        "role",
        Type::Text,
        "`viewer`, or `operator` who may give commands.",
    ),
    field("audit", Type::Flag, "Whether there is an audit trail."),
];

/// Fields of one finding.
pub const FINDING: &[Field] = &[
    field("v", Type::Integer, "Version of this form."),
    field("id", Type::Text, "Its name, the same after a restart."),
    field("rule", Type::Text, "The rule."),
    field("kind", Type::Text, "Which of the rule's cases."),
    field("class", Type::Text, "The rule's class."),
    field("severity", Type::Text, "`info`, `warn` or `critical`."),
    field(
        "confidence",
        Type::Text,
        "`suspected`, `likely` or `confirmed`.",
    ),
    field(
        "status",
        Type::Text,
        "`open`, `acknowledged`, `suppressed` or `resolved`.",
    ),
    field("reason", Type::Text, "Why it is acknowledged."),
    field("action", Type::Text, "What is done about it."),
    field("db", Type::Text, "The database."),
    field("user", Type::Text, "The user who was seen last."),
    field("app", Type::Text, "The application."),
    field("client", Type::Text, "The address that was seen last."),
    field("shape", Type::Text, "Number of the statement's shape."),
    field("query", Type::Text, "The shape."),
    field(
        "sample",
        Type::Text,
        "A statement without constants and comments, as it was written.",
    ),
    field(
        "span",
        Type::Object,
        "The place in it: `line`, `col`, and the `text` there; `start` and `end` are bytes of what the client sent.",
    ),
    field(
        "objects",
        Type::List,
        "Tables and those of their columns that are compared.",
    ),
    field("tags", Type::Object, "Tags of the statement's comment."),
    field(
        "trace_id",
        Type::Text,
        "Trace id of the statement's comment.",
    ),
    field(
        "parent_query",
        Type::Text,
        "The statement that a sequence began with; empty for none.",
    ),
    field("object", Type::Text, "The object that it is about."),
    field("count", Type::Integer, "How often."),
    field("scopes", Type::Integer, "In how many requests, up to 256."),
    field("first_seen", Type::Text, "When first."),
    field("last_seen", Type::Text, "When last."),
    field(
        "cost",
        Type::Object,
        "What it cost: `round_trips`, `server_ms`, `client_gap_ms`, `rows`, `bytes`, `blocked`.",
    ),
    field("evidence", Type::Object, "What the rule saw."),
    field(
        "timeline",
        Type::List,
        "Of a sequence: pairs of when a statement was sent, since the first, and how long the server took, in microseconds; the first 32 of one request.",
    ),
    field("message", Type::Text, "What is wrong."),
    field(
        "suggestion",
        Type::Object,
        "What to do: `text`, `sql`, `framework`.",
    ),
    field("doc", Type::Text, "Where the rule is told of."),
    field("suppression", Type::Object, "What keeps it silent."),
    field("suppress_with", Type::Text, "The comment that would."),
];

fn of_column(&(name, kind): &(&'static str, Kind)) -> Field {
    let kind = match kind {
        Kind::Text => Type::Text,
        Kind::Int4 | Kind::Int8 | Kind::Numeric => Type::Integer,
    };
    field(name, kind, "")
}

/// The SHOW of this name.
pub fn show(name: &str) -> Option<&'static show::Show> {
    SHOWS.iter().find(|show| show.name == name)
}

impl Endpoint {
    /// Fields of the answer, or of each of its rows if it is a [list](Self::lists).
    pub fn fields(&self) -> Vec<Field> {
        match self.source {
            Source::Show {
                show: name, more, ..
            } => {
                let columns = show(name).map_or(&[][..], |show| show.columns);
                columns
                    .iter()
                    .map(of_column)
                    .chain(more.iter().copied())
                    .collect()
            }
            Source::Overview => OVERVIEW.to_vec(),
            Source::History => POINT.to_vec(),
            Source::Finding => FINDING.to_vec(),
            Source::Plan => show::statements::PLAN.iter().map(of_column).collect(),
            Source::Histogram => HISTOGRAM.to_vec(),
            Source::Audit => AUDIT.to_vec(),
            Source::Session => SESSION.to_vec(),
            Source::Description => Vec::new(),
        }
    }

    /// Whether the answer is `at`, `total` and `rows`.
    pub fn lists(&self) -> bool {
        matches!(
            self.source,
            Source::Show { .. }
                | Source::History
                | Source::Histogram
                | Source::Plan
                | Source::Audit
        )
    }

    /// Whether `limit`, `sort` and filters are understood.
    pub fn takes_parameters(&self) -> bool {
        matches!(self.source, Source::Show { .. } | Source::Audit)
    }

    /// What stands for `{id}` if `path` (below [`BASE`]) is this address; empty if it has none.
    fn matched<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self.path.split_once("{id}") {
            None => (path == self.path).then_some(""),
            Some((before, after)) => {
                let id = path.strip_prefix(before)?.strip_suffix(after)?;
                (!id.is_empty() && !id.contains('/')).then_some(id)
            }
        }
    }

    /// The address that `path` (below [`BASE`]) is, and what stands for `{id}`.
    pub fn find(path: &str) -> Option<(&'static Endpoint, &str)> {
        // Plain ones first: `/firewall/unknown` is no `/firewall/{id}`.
        let plain = ENDPOINTS.iter().filter(|one| !one.path.contains('{'));
        let others = ENDPOINTS.iter().filter(|one| one.path.contains('{'));
        plain
            .chain(others)
            .find_map(|one| one.matched(path).map(|id| (one, id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_a_show_and_every_path_finds_itself() {
        for endpoint in ENDPOINTS {
            if let Source::Show { show: name, .. } = endpoint.source {
                assert!(show(name).is_some(), "{name}");
            }
            let path = endpoint.path.replace("{id}", "x-1");
            let (found, id) = Endpoint::find(&path).expect("found");
            assert_eq!(found.path, endpoint.path);
            assert_eq!(id == "x-1", endpoint.path.contains("{id}"));
            let mut names: Vec<_> = endpoint.fields().iter().map(|field| field.name).collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "{path} has a field twice");
        }
        for stray in ["", "/", "/pool", "/pools/", "/findings/", "/findings/a/b"] {
            assert!(Endpoint::find(stray).is_none(), "{stray}");
        }
    }
}
