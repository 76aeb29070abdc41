//! Fields of the API's answers, beyond those that are columns of the console.

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

pub(super) const fn field(name: &'static str, kind: Type, about: &'static str) -> Field {
    Field { name, kind, about }
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

/// What a setting has beyond its SHOW.
pub const SETTING: &[Field] = &[field(
    "unit",
    Type::Text,
    "What `value` and `default` count where they are plain numbers: `s`, `ms` or `bytes`; else `null`.",
)];

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

/// Fields of a point of the history. Rates, averages and quantiles are over the time
/// since the point before.
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

/// Fields of a point of a pool's history. Rates and quantiles are over the time since the one before.
pub const POOL_POINT: &[Field] = &[
    field("database", Type::Text, "The pool's database."),
    field("user", Type::Text, "The pool's server user."),
    field(
        "replica",
        Type::Text,
        "The replica that its servers are on; `null` for those on the primary.",
    ),
    field("at", Type::Number, "When, in seconds since 1970."),
    field("xact_count", Type::Number, "Transactions per second."),
    field("query_count", Type::Number, "Queries per second."),
    field(
        "errors",
        Type::Number,
        "Errors per second that clients got from pgweir.",
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
