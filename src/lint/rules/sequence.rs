//! Rules about the order and timing of statements.

use crate::lint::rule::{Check, Rule};
use crate::rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[
    &N_PLUS_ONE,
    &IDLE,
    &ROW_INSERT,
    &ROW_WRITE,
    &REPEATED,
    &LONG,
    &LITERALS,
    &CHATTY,
    &POLLING,
    &COMMENT,
    &CHURN,
];

rule! {
    /// A query that returned several rows is followed by one keyed lookup per row: five and more of
    /// one shape with different keys, each sent within 250 ms after the answer to the one before.
    ///
    /// Each lookup costs a round trip, and their number grows with the data. One query could bring
    /// all the rows. It is confirmed if the keys were found in a column of the first query's result,
    /// or if a trace id ties the two together.
    ///
    /// Not counted: pipelines, lists of keys, pages, cursors, row locks, lookups of 100 rows and
    /// more, and loops without a query before them that returned enough rows. Ten lookups of the last
    /// sort are a lookup-loop: their keys came from a list of the application's, and one query could
    /// still bring all the rows, but many such loops are meant.
    pub static N_PLUS_ONE = {
        id: "n-plus-one",
        title: "N+1 query burst",
        number: 1,
        class: Sequence,
        severity: Warn,
        enforce: Observe,
        on: true,
        kinds: [
            ("lookup-loop", "ten and more lookups of different keys without a query that they could be of", on: false),
        ],
        examples: [],
        remedy: "Load the rows together: WHERE key = ANY($1), a JOIN, or the framework's eager loading.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// The client sent nothing for five seconds while its transaction was open.
    ///
    /// It holds its locks, keeps VACUUM from removing rows and occupies a server connection. The
    /// evidence has the last statement, without its values, and the tables that were written to.
    ///
    /// Where somebody types (psql, pgAdmin, DBeaver) it is only informative.
    pub static IDLE = {
        id: "idle-in-transaction",
        title: "Idle in transaction",
        number: 3,
        class: Sequence,
        severity: Warn,
        enforce: Guard,
        on: true,
        examples: [],
        remedy: "Move other work out of the transaction; set idle_in_transaction_session_timeout.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// Ten and more single-row INSERTs, each sent within 250 ms after the answer to the one before.
    ///
    /// Each costs a round trip, and outside a transaction a flush of the log as well; within one it
    /// is informative only. Pipelines, COPY and failed statements are not counted.
    pub static ROW_INSERT = {
        id: "row-by-row-insert",
        title: "Single-row INSERT loop",
        number: 4,
        class: Sequence,
        severity: Warn,
        enforce: Observe,
        on: true,
        examples: [],
        remedy: "Use VALUES with several rows, COPY, or a pipeline.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// Ten and more UPDATEs or DELETEs of one row each, with different values, each sent within
    /// 250 ms after the answer to the one before.
    ///
    /// One statement could change all the rows. It is informative only if each had a transaction of
    /// its own; batches of several rows and pipelines are not counted.
    pub static ROW_WRITE = {
        id: "row-by-row-write",
        title: "Keyed UPDATE/DELETE loop",
        number: 5,
        class: Sequence,
        severity: Warn,
        enforce: Observe,
        on: true,
        examples: [],
        remedy: "Write all rows in one statement, or use a pipeline.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// A transaction is open for a minute and more, busy or not.
    ///
    /// As long as it is, VACUUM cannot remove any row that was deleted since it began, in no table of
    /// the database, its locks are held, and in a pool it occupies a server connection. Ten minutes are
    /// critical.
    ///
    /// Not reported: pg_dump, pg_restore, pg_basebackup and psql, which do that on purpose. Reports
    /// that take long belong on a replica.
    pub static LONG = {
        id: "long-transaction",
        title: "Long transaction",
        number: 8,
        class: Sequence,
        severity: Warn,
        enforce: Guard,
        on: true,
        examples: [],
        remedy: "Split the work; commit per batch.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// Fifty and more round trips in one transaction, which holds its locks and its connection all
    /// the time.
    ///
    /// Not reported if loops that have a rule of their own make up most of it, nor for schema
    /// changes. A pipeline is one round trip.
    pub static CHATTY = {
        id: "chatty-transaction",
        title: "Chatty transaction",
        number: 40,
        class: Sequence,
        severity: Info,
        enforce: Observe,
        on: true,
        examples: [],
        remedy: "Batch, pipeline, or move the loop into one statement.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// One SELECT with the same values ran five times and more in one request, at most a second
    /// apart.
    ///
    /// Nothing changed in between as far as can be seen: writes to its tables, errors, volatile
    /// functions, row locks and cursors excuse it. Even steps of 50 ms and more are polling.
    ///
    /// A hundred executions within a minute by whatever connections, always with as many rows, make
    /// a candidate for a cache, which is information only.
    pub static REPEATED = {
        id: "repeated-identical-query",
        title: "Same query, same parameters, again and again",
        number: 7,
        class: Sequence,
        severity: Warn,
        enforce: Observe,
        on: true,
        kinds: [
            ("cache-candidate", "a hundred times a minute over all connections, with as many rows each time"),
        ],
        examples: [],
        remedy: "Keep the result for the time of the request, or cache it.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// Twenty and more different texts of one statement came within a minute, by one user to one
    /// database, and none had parameters: the values are written into the SQL.
    ///
    /// Each text is parsed and planned anew, no prepared statement is used twice, and whoever
    /// forgets to quote one value has an injection.
    ///
    /// Texts that differ in comments or in the names of tables are other statements. Which driver
    /// writes the values is not visible: psycopg2 and PDO do so by default.
    pub static LITERALS = {
        id: "unparameterized-literals",
        title: "Literals instead of parameters",
        number: 18,
        class: Sequence,
        severity: Warn,
        enforce: Observe,
        on: true,
        examples: [],
        remedy: "Bind parameters instead of writing values into the text.",
        sources: ["https://use-the-index-luke.com/sql/where-clause/bind-parameters"],
        check: Check::Engine,
    }
}

rule! {
    /// One SELECT ran with the same values ten times and more on one connection, in even steps
    /// between 50 ms and 30 s, for at least five seconds.
    ///
    /// Every step costs a round trip and mostly brings what is known already, and news arrive half
    /// a step late.
    ///
    /// Statements without a table (health checks) and steps that vary by half and more are not
    /// counted.
    pub static POLLING = {
        id: "polling-query",
        title: "Polling",
        number: 41,
        class: Sequence,
        severity: Info,
        enforce: Observe,
        on: true,
        kinds: [
            ("read-your-write", "the request had written to the table just before"),
            ("queue-poll", "FOR UPDATE SKIP LOCKED in a loop"),
        ],
        examples: [],
        remedy: "Use LISTEN/NOTIFY or RETURNING, or poll less often and with jitter.",
        sources: ["https://www.postgresql.org/docs/current/sql-notify.html"],
        check: Check::Engine,
    }
}

rule! {
    /// Twenty and more texts within a minute were the same but for their comments.
    ///
    /// A trace id in each text makes each a new statement, for the driver's cache of prepared
    /// statements as for the server's.
    ///
    /// Comments that take few values, such as the name of a controller, do no harm. It is only
    /// informative if the texts have no parameters: then the driver may prepare nothing anyway.
    pub static COMMENT = {
        id: "cache-busting-comment",
        title: "Per-request comment defeats statement caches",
        number: 42,
        class: Sequence,
        severity: Warn,
        enforce: Observe,
        on: true,
        examples: [],
        remedy: "Tag a sample of the requests only, or do not prepare statements that carry a tag.",
        sources: ["https://github.com/rails/rails/pull/48631"],
        check: Check::Engine,
    }
}

rule! {
    /// Twenty and more connections of one client and user within ten seconds lived for less than a
    /// second and ran at most three statements each.
    ///
    /// A login costs several round trips and a good part of a millisecond of processor time, with
    /// TLS and SCRAM many times that.
    ///
    /// A pool that opens its connections and keeps them is not reported.
    pub static CHURN = {
        id: "connection-churn",
        title: "Connection churn",
        number: 44,
        class: Sequence,
        severity: Warn,
        enforce: Guard,
        on: true,
        examples: [],
        remedy: "Keep a small pool of connections in the application, or persistent ones.",
        sources: [],
        check: Check::Engine,
    }
}
