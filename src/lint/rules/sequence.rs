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
    &CHATTY,
];

rule! {
    /// A query that returned several rows is followed by one keyed lookup per row.
    pub static N_PLUS_ONE = {
        id: "n-plus-one",
        title: "N+1 query burst",
        number: 1,
        class: Sequence,
        severity: Warn,
        enforce: Observe,
        on: true,
        examples: [],
        remedy: "Load the rows together: WHERE key = ANY($1), a JOIN, or the framework's eager loading.",
        sources: [],
        check: Check::Engine,
    }
}

rule! {
    /// The client sent nothing for five seconds while its transaction was open.
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
    /// Ten and more single-row INSERTs, each sent after the answer to the one before.
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
    /// Ten and more UPDATEs or DELETEs of one row each, one after the other.
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
    /// A transaction is open for a minute and more.
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
    /// Fifty and more round trips in one transaction.
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
    /// One SELECT with the same values ran five times and more in one request.
    pub static REPEATED = {
        id: "repeated-identical-query",
        title: "Same query, same parameters, again and again",
        number: 7,
        class: Sequence,
        severity: Warn,
        enforce: Observe,
        on: true,
        examples: [],
        remedy: "Keep the result for the time of the request, or cache it.",
        sources: [],
        check: Check::Engine,
    }
}
