//! Rules about what the server answered.

use crate::lint::rule::{Check, Rule};
use crate::rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[
    &UNBOUNDED,
    &DEADLOCK,
    &SERIALIZATION,
    &CONTENTION,
    &SLOW,
    &RECURRING,
    &COUNT,
];

rule! {
    /// A SELECT without LIMIT returned ten thousand rows and more at once; a hundred thousand are
    /// critical.
    ///
    /// The server, the network and the application all hold them, mostly to show a few or to count
    /// them, and the number grows with the data until something runs out of memory.
    ///
    /// Not reported: cursors and a fetch size, COPY, which are how exports are meant to be done, and
    /// PostgreSQL's own tools.
    pub static UNBOUNDED = {
        id: "unbounded-result",
        title: "Large result without LIMIT",
        number: 17,
        class: Runtime,
        severity: Warn,
        enforce: Guard,
        on: true,
        examples: [],
        remedy: "Use LIMIT with a key, a cursor, or COPY for exports.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// The server ended a statement because of a deadlock: two transactions each waited for a lock
    /// that the other had.
    ///
    /// Nothing moved until the server's deadlock_timeout was over, and the whole transaction is lost.
    /// The finding names both transactions, if both came this way: their first statements without
    /// values, and the tables of which they locked rows, in order.
    ///
    /// The other side is not known if it did not come through here, or if it was a single statement
    /// that locked many rows.
    pub static DEADLOCK = {
        id: "deadlock",
        title: "Deadlock",
        number: 28,
        class: Runtime,
        severity: Warn,
        enforce: Observe,
        on: true,
        kinds: [
            ("predicted", "transactions that lock two tables in one order and in the other, three times each within an hour", on: false),
        ],
        examples: [],
        remedy: "Take locks in one order, keep transactions short, and retry.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// The server ended a statement because of a serialization failure (SQLSTATE 40001): what the
    /// transaction had read was changed meanwhile.
    ///
    /// That is how REPEATABLE READ and SERIALIZABLE work, and whoever uses them has to try the whole
    /// transaction again. It is a warning if nobody did within five seconds (the same user and
    /// application begins a transaction with the same statement), or if one in twenty of such
    /// transactions fails.
    pub static SERIALIZATION = {
        id: "serialization-failure",
        title: "Serialization failure",
        number: 29,
        class: Runtime,
        severity: Info,
        enforce: Observe,
        on: true,
        kinds: [
            ("recovery-conflict", "a replica gave a query up so that it could go on replaying"),
        ],
        examples: [],
        remedy: "Retry with back-off; keep transactions short.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// A statement waits for a lock for a second and more, or did not get it in time: lock_timeout
    /// ended it (SQLSTATE 55P03).
    ///
    /// Somebody holds the lock longer than others are ready to wait; whoever waits in the queue of a
    /// lock also holds up all who come behind. The evidence tells how long it waited, and of waiting
    /// that was seen while it went on: for which table, and who was in the way, with what
    /// transaction. SHOW LOCKS has those who wait now.
    ///
    /// While a statement of a client has been running for that long, and only then, its server is
    /// asked once a second, through a connection of pgweir's own and as the user of the pool; what
    /// other roles do is seen as far as that user may. What is counted is the time up to the last
    /// look. `advisor = false` asks nothing.
    ///
    /// Not reported: NOWAIT, which asks for the error.
    pub static CONTENTION = {
        id: "lock-contention",
        title: "Waiting for locks",
        number: 30,
        class: Runtime,
        severity: Warn,
        enforce: Observe,
        on: true,
        kinds: [
            ("waited", "seen while it waited"),
        ],
        examples: [],
        remedy: "Shorten the transaction that holds the lock; use SKIP LOCKED for queues.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// A query took the server a second and more; ten seconds are critical.
    ///
    /// Time is counted from the moment the query was sent to the server to the end of its answer,
    /// without waiting for a server connection, which is in the evidence by itself. SHOW STATEMENTS has
    /// the statement's histogram, and the plan as far as the advisor has asked for it.
    ///
    /// Waiting for locks is in this time; as far as lock-contention saw it, the evidence and the
    /// slow-query log have it as `lock_wait_ms`. A result of very many rows makes a
    /// query slow too; then the finding points to unbounded-result.
    pub static SLOW = {
        id: "slow-query",
        title: "Slow statement",
        number: 31,
        class: Runtime,
        severity: Warn,
        enforce: Guard,
        on: true,
        examples: [],
        remedy: "Look at its plan with EXPLAIN (ANALYZE, BUFFERS).",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// One statement failed ten times and more within a minute with the same SQLSTATE, or a client went
    /// on in a transaction that had failed (25P02).
    ///
    /// Each failure costs what the statement costs, and in a transaction everything before it; errors
    /// that come by the dozen mostly have one cause: a column that is deployed too late (42703, 42P01),
    /// a key that two requests insert (23505), a client that does not look at its errors.
    ///
    /// Not reported: errors that a savepoint makes good, and those that rules of their own are about
    /// (deadlocks, serialization failures, lock timeouts, cancelled queries).
    pub static RECURRING = {
        id: "recurring-error",
        title: "Recurring error",
        number: 43,
        class: Runtime,
        severity: Warn,
        enforce: Observe,
        on: true,
        examples: [],
        remedy: "Roll back, or use a savepoint, before going on.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// A count(*) of a whole table took 200 ms and more.
    ///
    /// PostgreSQL has to look at every row (or index entry) to count those that the transaction may
    /// see, so it takes longer with every row that is added; and mostly the number is for a page that
    /// nobody turns to.
    ///
    /// Not reported: counts with a WHERE, and quick ones.
    pub static COUNT = {
        id: "count-whole-table",
        title: "Exact count of a big table",
        number: 48,
        class: Runtime,
        severity: Info,
        enforce: Observe,
        on: true,
        examples: [],
        remedy: "Use an estimate, a cached count, or pages without a total.",
        sources: [],
        check: Check::Engine,
    }
}
