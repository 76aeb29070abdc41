//! What the advisor asks the catalogue, and how it reads the answers.
//!
//! Nothing here takes a lock beyond that of reading the catalogue itself: sizes are those of the
//! last vacuum, so that a table that somebody holds keeps nobody waiting.

use super::plan::Large;
use super::schema::{Counter, ForeignKey, Index, Schema};
use crate::server::side::{Rows, Side, SideError};

/// Everybody's tables, not the system's.
const OURS: &str = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'";

fn indexes() -> String {
    format!(
        "SELECT i.indrelid, quote_ident(n.nspname) || '.' || quote_ident(t.relname), \
         quote_ident(n.nspname) || '.' || quote_ident(c.relname), \
         i.indisunique OR i.indisexclusion OR i.indisreplident OR i.indisclustered \
           OR EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) \
           OR EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid AND d.deptype = 'e'), \
         i.indisvalid AND i.indisready, c.relispartition, m.amname, i.indkey::text, i.indnkeyatts, \
         i.indclass::text, i.indcollation::text, i.indoption::text, \
         coalesce(pg_catalog.pg_get_expr(i.indexprs, i.indrelid), ''), \
         coalesce(pg_catalog.pg_get_expr(i.indpred, i.indrelid), ''), \
         s.idx_scan, c.relpages::bigint * pg_catalog.current_setting('block_size')::bigint \
         FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
         JOIN pg_catalog.pg_am m ON m.oid = c.relam \
         LEFT JOIN pg_catalog.pg_stat_user_indexes s ON s.indexrelid = i.indexrelid \
         WHERE i.indislive AND {OURS} ORDER BY t.relpages DESC, i.indexrelid LIMIT 10000"
    )
}

fn foreign_keys() -> String {
    format!(
        "SELECT k.conname, k.conrelid, quote_ident(n.nspname) || '.' || quote_ident(t.relname), \
         pg_catalog.array_to_string(k.conkey, ' '), \
         (SELECT pg_catalog.string_agg(quote_ident(a.attname), ', ' ORDER BY u.n) \
            FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(attnum, n) \
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum), \
         t.reltuples, quote_ident(pn.nspname) || '.' || quote_ident(p.relname) \
         FROM pg_catalog.pg_constraint k \
         JOIN pg_catalog.pg_class t ON t.oid = k.conrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
         JOIN pg_catalog.pg_class p ON p.oid = k.confrelid \
         JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
         WHERE k.contype = 'f' AND k.conparentid = 0 AND {OURS} \
         ORDER BY t.reltuples DESC, k.oid LIMIT 10000"
    )
}

fn without_key() -> String {
    format!(
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(t.relname) \
         FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
         WHERE t.relkind IN ('r', 'p') AND t.relpersistence IN ('p', 'u') AND NOT t.relispartition AND {OURS} \
         AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conrelid = t.oid AND k.contype = 'p') \
         AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits h WHERE h.inhrelid = t.oid) \
         AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e') \
         ORDER BY t.reltuples DESC, t.oid LIMIT 200"
    )
}

fn counters() -> String {
    format!(
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(t.relname), a.attname, s.last_value, \
         CASE a.atttypid WHEN 21 THEN 32767 ELSE 2147483647 END \
         FROM pg_catalog.pg_depend d \
         JOIN pg_catalog.pg_class q ON q.oid = d.objid AND q.relkind = 'S' \
         JOIN pg_catalog.pg_namespace qn ON qn.oid = q.relnamespace \
         JOIN pg_catalog.pg_sequences s ON s.schemaname = qn.nspname AND s.sequencename = q.relname \
         JOIN pg_catalog.pg_class t ON t.oid = d.refobjid \
         JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid \
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') \
         AND a.atttypid IN (21, 23) AND s.last_value IS NOT NULL AND {OURS} \
         ORDER BY s.last_value DESC LIMIT 1000"
    )
}

const STATISTICS: &str = "SELECT extract(epoch FROM pg_catalog.now() - coalesce(stats_reset, pg_catalog.pg_postmaster_start_time())) / 86400 FROM pg_catalog.pg_stat_database WHERE datname = pg_catalog.current_database()";

/// Asks for everything that [`super::schema::hits`] looks at.
///
/// # Errors
/// The server's or the connection's.
pub async fn schema(side: &mut Side, several_hosts: bool) -> Result<Schema, SideError> {
    let mut schema = Schema {
        several_hosts,
        ..Schema::default()
    };
    schema.indexes = each(side.ask(&indexes()).await?, index);
    schema.foreign_keys = each(side.ask(&foreign_keys()).await?, foreign_key);
    schema.without_key = each(side.ask(&without_key()).await?, |row| text(row, 0));
    schema.counters = each(side.ask(&counters()).await?, counter);
    let statistics = side.ask(STATISTICS).await?;
    schema.statistics_days = (statistics.first())
        .and_then(|row| parse(row, 0))
        .unwrap_or(0.0);
    Ok(schema)
}

/// Asks for the tables that have so many rows and more.
///
/// # Errors
/// The server's or the connection's.
pub async fn large(side: &mut Side, rows: u64) -> Result<Large, SideError> {
    let text_of = "SELECT n.nspname, t.relname, t.reltuples FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace WHERE t.relkind IN ('r', 'm')";
    let asked =
        format!("{text_of} AND t.reltuples >= {rows} ORDER BY t.reltuples DESC LIMIT 10000");
    let found = each(side.ask(&asked).await?, |row| {
        Some(((text(row, 0)?, text(row, 1)?), parse(row, 2)?))
    });
    Ok(found.into_iter().collect())
}

type Row = [Option<String>];

/// What can be read; a server that answers otherwise than asked is no reason to fail.
fn each<T>(rows: Rows, read: impl Fn(&Row) -> Option<T>) -> Vec<T> {
    rows.iter().filter_map(|row| read(row)).collect()
}

fn text(row: &Row, at: usize) -> Option<String> {
    row.get(at)?.clone()
}

fn parse<T: std::str::FromStr>(row: &Row, at: usize) -> Option<T> {
    row.get(at)?.as_deref()?.parse().ok()
}

fn flag(row: &Row, at: usize) -> Option<bool> {
    Some(row.get(at)?.as_deref()? == "t")
}

fn numbers(row: &Row, at: usize) -> Option<Vec<i32>> {
    let words = row.get(at)?.as_deref()?.split_whitespace();
    words.map(|word| word.parse().ok()).collect()
}

fn words(row: &Row, at: usize) -> Option<Vec<String>> {
    let words = row.get(at)?.as_deref()?.split_whitespace();
    Some(words.map(str::to_owned).collect())
}

fn index(row: &Row) -> Option<Index> {
    Some(Index {
        table_oid: parse(row, 0)?,
        table: text(row, 1)?,
        name: text(row, 2)?,
        needed: flag(row, 3)?,
        valid: flag(row, 4)?,
        of_partition: flag(row, 5)?,
        method: text(row, 6)?,
        columns: numbers(row, 7)?,
        key_columns: parse(row, 8)?,
        classes: words(row, 9)?,
        collations: words(row, 10)?,
        orders: words(row, 11)?,
        expressions: text(row, 12)?,
        predicate: text(row, 13)?,
        scans: parse(row, 14),
        bytes: parse(row, 15)?,
    })
}

fn foreign_key(row: &Row) -> Option<ForeignKey> {
    Some(ForeignKey {
        name: text(row, 0)?,
        table_oid: parse(row, 1)?,
        table: text(row, 2)?,
        columns: numbers(row, 3)?,
        names: text(row, 4)?,
        rows: parse(row, 5)?,
        parent: text(row, 6)?,
    })
}

fn counter(row: &Row) -> Option<Counter> {
    Some(Counter {
        table: text(row, 0)?,
        column: text(row, 1)?,
        last: parse(row, 2)?,
        most: parse(row, 3)?,
    })
}
