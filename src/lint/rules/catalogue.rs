//! Rules about the schema itself, found by asking the catalogue. The advisor does the asking.

use crate::lint::rule::{Check, Rule};
use crate::rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[&SEQ_SCAN_LARGE_TABLE, &FK_WITHOUT_INDEX, &REDUNDANT_INDEX];

rule! {
    /// The plan of a statement that ran often, or long, reads a large table from end to end and
    /// keeps few of its rows. An index would lead to these rows at once; without one the time grows
    /// with the table, and the pages that are read push others out of memory.
    ///
    /// The plan is asked for on a connection of the pooler's own, as the same user, with EXPLAIN and
    /// never with ANALYZE: nothing is executed. A statement with parameters is planned generically.
    ///
    /// Not reported: tables below 100 000 rows; statements whose results, as they were counted,
    /// or whose estimates are a tenth of the table and more; aggregates that need every row. The
    /// plan for some values may differ from the generic one, and a `search_path` that clients set
    /// is not known there.
    pub static SEQ_SCAN_LARGE_TABLE = {
        id: "seq-scan-large-table",
        title: "Sequential scan on a large table",
        number: 9,
        class: Catalogue,
        severity: Warn,
        enforce: Observe,
        on: true,
        examples: [],
        remedy: "Create an index on the columns compared by =, then one of a range or the order, with CREATE INDEX CONCURRENTLY.",
        sources: ["https://www.postgresql.org/docs/current/using-explain.html", "https://docs.datadoghq.com/database_monitoring/recommendations/"],
        check: Check::Catalogue,
    }
}

rule! {
    /// A foreign key whose columns lead no index of the referencing table. Each DELETE of a
    /// referenced row, and each UPDATE of its key, reads the whole referencing table, holding its
    /// locks all the while.
    ///
    /// Not reported: referencing tables below 10 000 rows. A partial or an invalid index does not
    /// help; the order of the leading columns does not matter. Where no DELETE or UPDATE of the
    /// referenced table was seen the finding is of severity info.
    pub static FK_WITHOUT_INDEX = {
        id: "fk-without-index",
        title: "Foreign key without an index",
        number: 38,
        class: Catalogue,
        severity: Warn,
        enforce: Observe,
        on: true,
        examples: [],
        remedy: "Create an index on the columns of the foreign key, with CREATE INDEX CONCURRENTLY.",
        sources: ["https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK", "https://supabase.github.io/splinter"],
        check: Check::Catalogue,
    }
}

rule! {
    /// An index that earns nothing: each INSERT, and most UPDATEs, write it, vacuum reads it, and it
    /// takes memory from those that are used.
    ///
    /// Not reported: unique indexes and those of constraints; as unused, indexes below 1 MiB, or
    /// when statistics are younger than 14 days, or that a foreign key needs. Replicas have
    /// statistics of their own: look there before dropping an index that seems unused.
    pub static REDUNDANT_INDEX = {
        id: "redundant-index",
        title: "Unused, duplicate or covered index",
        number: 39,
        class: Catalogue,
        severity: Info,
        enforce: Observe,
        on: true,
        kinds: [
            ("unused", "no scan since statistics began"),
            ("duplicate", "another index is the same"),
            ("covered", "its columns are the first of another index"),
        ],
        examples: [],
        remedy: "Drop it with DROP INDEX CONCURRENTLY, after a look at the replicas.",
        sources: ["https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-INDEXES-VIEW", "https://supabase.github.io/splinter"],
        check: Check::Catalogue,
    }
}
