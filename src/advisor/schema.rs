//! What is wrong with a schema: plain rows of the catalogue in, hits out.

use std::collections::HashSet;

use crate::lint::hit::Hit;
use crate::lint::rule::Severity;
use crate::lint::rules::catalogue::{FK_WITHOUT_INDEX, REDUNDANT_INDEX};
use crate::lint::rules::types::{INT4_PRIMARY_KEY, TABLE_WITHOUT_PRIMARY_KEY};
use crate::lint::thresholds::Thresholds;

/// An index. Names are quoted where SQL needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    /// Number of its table.
    pub table_oid: u32,
    /// `schema.table`.
    pub table: String,
    /// `schema.name`.
    pub name: String,
    /// Unique, a constraint's, or needed for replication or clustering.
    pub needed: bool,
    /// Complete and usable.
    pub valid: bool,
    /// Of a partition: its parent's matter.
    pub of_partition: bool,
    /// `btree`, …
    pub method: String,
    /// Columns by number, those behind [`Self::key_columns`] only included; 0 is an expression.
    pub columns: Vec<i32>,
    /// How many of them are the key.
    pub key_columns: usize,
    /// Operator classes, collations and sort orders of the key columns.
    pub classes: Vec<String>,
    /// See [`Self::classes`].
    pub collations: Vec<String>,
    /// See [`Self::classes`].
    pub orders: Vec<String>,
    /// Its expressions as SQL; empty for none.
    pub expressions: String,
    /// Its predicate as SQL; empty for none.
    pub predicate: String,
    /// Scans since statistics began, if they are kept.
    pub scans: Option<u64>,
    /// Size, by the last vacuum.
    pub bytes: u64,
}

/// A foreign key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// Number of the referencing table.
    pub table_oid: u32,
    /// The referencing table, `schema.table`.
    pub table: String,
    /// The referencing columns by number.
    pub columns: Vec<i32>,
    /// The same by name, with commas.
    pub names: String,
    /// Rows of the referencing table; negative if it was never analysed.
    pub rows: f64,
    /// The referenced table, `schema.table`.
    pub parent: String,
}

/// A column that counts up and has an end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counter {
    /// `schema.table`.
    pub table: String,
    /// Column.
    pub column: String,
    /// The last number given out.
    pub last: i64,
    /// The greatest that fits.
    pub most: i64,
}

/// What the catalogue said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// Indexes.
    pub indexes: Vec<Index>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Tables without a primary key.
    pub without_key: Vec<String>,
    /// Columns that are filled from a sequence.
    pub counters: Vec<Counter>,
    /// Days since statistics began.
    pub statistics_days: f64,
    /// The database has several hosts, which all have statistics of their own.
    pub several_hosts: bool,
}

/// All hits. `changed` are tables whose rows clients were seen to delete or update, by their names
/// with and without schema.
#[must_use]
pub fn hits(schema: &Schema, changed: &HashSet<String>, numbers: &Thresholds) -> Vec<Hit> {
    let mut hits: Vec<Hit> = (schema.foreign_keys.iter())
        .filter_map(|key| foreign_key(key, &schema.indexes, changed, numbers))
        .collect();
    hits.extend(redundant(schema, numbers));
    hits.extend(schema.without_key.iter().map(|table| {
        let message = format!("{table} has no primary key: no logical replication of updates and deletes, and equal rows cannot be told apart.");
        Hit::new(&TABLE_WITHOUT_PRIMARY_KEY, "", message).object(table.as_str())
    }));
    hits.extend(schema.counters.iter().filter_map(counter));
    hits
}

/// Whether these columns, in any order, are the first of an index that finds every row.
fn leads(index: &Index, table_oid: u32, columns: &[i32]) -> bool {
    let Some(first) = index.columns.get(..columns.len()) else {
        return false;
    };
    index.table_oid == table_oid
        && index.valid
        && index.predicate.is_empty()
        && index.key_columns >= columns.len()
        && columns.iter().all(|column| first.contains(column))
}

fn foreign_key(
    key: &ForeignKey,
    indexes: &[Index],
    changed: &HashSet<String>,
    numbers: &Thresholds,
) -> Option<Hit> {
    let small = key.rows < numbers.fk_rows as f64;
    if small || (indexes.iter()).any(|index| leads(index, key.table_oid, &key.columns)) {
        return None;
    }
    let ForeignKey {
        table,
        names,
        parent,
        ..
    } = key;
    let seen = changed.contains(parent.as_str())
        || (parent.rsplit('.').next()).is_some_and(|name| changed.contains(name));
    let message = format!(
        "Each DELETE of a row of {parent}, and each UPDATE of its key, scans {table} ({:.0} rows): no index begins with {names}.",
        key.rows
    );
    let hit = Hit::new(&FK_WITHOUT_INDEX, "", message)
        .object(format!("{table} ({names})"))
        .evidence("constraint", key.name.as_str())
        .evidence("rows", key.rows)
        .evidence("parent_changes_seen", seen)
        .suggest_sql(format!("CREATE INDEX CONCURRENTLY ON {table} ({names})"));
    Some(match seen {
        true => hit,
        false => hit.severity(Severity::Info),
    })
}

fn redundant(schema: &Schema, numbers: &Thresholds) -> Vec<Hit> {
    let candidates = (schema.indexes.iter().enumerate())
        .filter(|(_, index)| index.valid && !index.needed && !index.of_partition);
    candidates
        .filter_map(|(at, index)| {
            let others = || {
                (schema.indexes.iter().enumerate()).filter(move |(other_at, other)| {
                    *other_at != at && other.valid && other.table_oid == index.table_oid
                })
            };
            // Of two that are the same, the younger goes, unless the elder is the one that may.
            let duplicate = others()
                .find(|(other_at, other)| same(index, other) && (other.needed || *other_at < at));
            let (kind, of) = match duplicate {
                Some((_, other)) => ("duplicate", Some(other)),
                None => match others().find(|(_, other)| covers(other, index)) {
                    Some((_, other)) => ("covered", Some(other)),
                    None if unused(index, schema, numbers) => ("unused", None),
                    None => return None,
                },
            };
            Some(told(index, kind, of, schema.statistics_days))
        })
        .collect()
}

fn told(index: &Index, kind: &'static str, of: Option<&Index>, days: f64) -> Hit {
    let Index { name, table, .. } = index;
    let size = size(index.bytes);
    let message = match (kind, of) {
        ("duplicate", Some(other)) => {
            format!(
                "Index {name} of {table} ({size}) is the same as {}.",
                other.name
            )
        }
        (_, Some(other)) => format!(
            "Index {name} of {table} ({size}) has the first columns of {}, which does its work.",
            other.name
        ),
        _ => format!("Index {name} of {table} ({size}) was not used for {days:.0} days."),
    };
    let hit = Hit::new(&REDUNDANT_INDEX, kind, message)
        .object(name.as_str())
        .evidence("bytes", index.bytes)
        .suggest_sql(format!("DROP INDEX CONCURRENTLY {name}"));
    match of {
        Some(other) => hit.evidence("index", other.name.as_str()),
        None => hit.evidence("statistics_days", days),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} kB", bytes.div_ceil(1024)),
        _ => format!("{} MB", bytes >> 20),
    }
}

fn same(one: &Index, other: &Index) -> bool {
    one.key_columns == other.key_columns
        && one.columns == other.columns
        && alike(one, other)
        && one.expressions == other.expressions
        && one.classes == other.classes
        && one.collations == other.collations
        && one.orders == other.orders
}

/// Whether two indexes hold the same rows in the same manner.
fn alike(one: &Index, other: &Index) -> bool {
    one.method == other.method && one.predicate == other.predicate
}

/// Whether an index finds all that a shorter one finds.
fn covers(long: &Index, short: &Index) -> bool {
    let n = short.key_columns;
    let prefix = |long: &[String], short: &[String]| long.get(..n) == short.get(..n);
    // What a short one has besides its key the long one must have somewhere.
    let included = short.columns.get(n..).unwrap_or_default();
    long.key_columns > n
        && short.method == "btree"
        && alike(long, short)
        && short.expressions.is_empty()
        && long.columns.get(..n) == short.columns.get(..n)
        && included.iter().all(|column| long.columns.contains(column))
        && prefix(&long.classes, &short.classes)
        && prefix(&long.collations, &short.collations)
        && prefix(&long.orders, &short.orders)
}

fn unused(index: &Index, schema: &Schema, numbers: &Thresholds) -> bool {
    index.scans == Some(0)
        && !schema.several_hosts
        && schema.statistics_days >= numbers.unused_days as f64
        && index.bytes >= numbers.unused_bytes
        && !(schema.foreign_keys.iter()).any(|key| leads(index, key.table_oid, &key.columns))
}

fn counter(counter: &Counter) -> Option<Hit> {
    let share = counter.last as f64 / counter.most.max(1) as f64;
    let severity = match share {
        0.8.. => Severity::Critical,
        0.5.. => Severity::Warn,
        _ => return None,
    };
    let Counter {
        table,
        column,
        last,
        most,
    } = counter;
    let message = format!(
        "{table}.{column} ends at {most}; it has reached {last} ({:.0} %). Then every INSERT fails.",
        share * 100.0
    );
    let hit = Hit::new(&INT4_PRIMARY_KEY, "near-end", message)
        .severity(severity)
        .object(format!("{table}.{column}"))
        .evidence("last", *last as u64)
        .evidence("most", *most as u64);
    Some(hit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, columns: &[i32]) -> Index {
        Index {
            table_oid: 1,
            table: "public.t".to_owned(),
            name: name.to_owned(),
            valid: true,
            method: "btree".to_owned(),
            columns: columns.to_vec(),
            key_columns: columns.len(),
            classes: columns.iter().map(|_| "1978".to_owned()).collect(),
            collations: columns.iter().map(|_| "0".to_owned()).collect(),
            orders: columns.iter().map(|_| "0".to_owned()).collect(),
            scans: Some(0),
            bytes: 2 << 20,
            ..Index::default()
        }
    }

    fn key(columns: &[i32], rows: f64) -> ForeignKey {
        ForeignKey {
            name: "t_a_fkey".to_owned(),
            table_oid: 1,
            table: "public.t".to_owned(),
            columns: columns.to_vec(),
            names: "a".to_owned(),
            rows,
            parent: "public.p".to_owned(),
        }
    }

    fn found(schema: &Schema) -> Vec<String> {
        let found = hits(schema, &HashSet::new(), &Thresholds::default());
        let name = |hit: &Hit| {
            let object = hit.object.as_deref().unwrap_or_default();
            format!("{} {} {object}", hit.rule.id, hit.kind)
        };
        found.iter().map(name).collect()
    }

    #[test]
    fn a_foreign_key_wants_an_index_that_begins_with_it() {
        let with = |index: Index, columns: &[i32]| Schema {
            indexes: vec![index],
            foreign_keys: vec![key(columns, 20_000.0)],
            ..Schema::default()
        };
        let missing = ["fk-without-index  public.t (a)"];
        assert_eq!(found(&with(index("i", &[2, 3]), &[2])), [""; 0]);
        assert_eq!(found(&with(index("i", &[3, 2]), &[2, 3])), [""; 0]);
        assert_eq!(found(&with(index("i", &[3, 2]), &[2])), missing);
        assert_eq!(found(&with(index("i", &[2]), &[2, 3])), missing);
        let partial = Index {
            predicate: "live".to_owned(),
            ..index("i", &[2])
        };
        assert_eq!(found(&with(partial, &[2])), missing);
        let included = Index {
            key_columns: 1,
            ..index("i", &[3, 2])
        };
        assert_eq!(found(&with(included, &[2, 3])), missing);
        let small = Schema {
            foreign_keys: vec![key(&[2], 3.0)],
            ..Schema::default()
        };
        assert_eq!(found(&small), [""; 0]);
    }

    #[test]
    fn a_foreign_key_is_worse_where_its_parent_changes() {
        let schema = Schema {
            foreign_keys: vec![key(&[2], 20_000.0)],
            ..Schema::default()
        };
        let severity = |changed: &[&str]| {
            let changed = changed.iter().map(|name| (*name).to_owned()).collect();
            hits(&schema, &changed, &Thresholds::default())[0].severity
        };
        assert_eq!(severity(&[]), Severity::Info);
        assert_eq!(severity(&["p"]), Severity::Warn);
        assert_eq!(severity(&["public.p"]), Severity::Warn);
        assert_eq!(severity(&["t"]), Severity::Info);
    }

    #[test]
    fn the_younger_of_two_equal_indexes_goes_unless_it_is_needed() {
        let schema = |second: Index| Schema {
            indexes: vec![index("one", &[1, 2]), second],
            ..Schema::default()
        };
        let second = index("two", &[1, 2]);
        assert_eq!(
            found(&schema(second.clone())),
            ["redundant-index duplicate two"]
        );
        let needed = Index {
            needed: true,
            ..second.clone()
        };
        assert_eq!(found(&schema(needed)), ["redundant-index duplicate one"]);
        let descending = Index {
            orders: vec!["3".to_owned(), "0".to_owned()],
            ..second.clone()
        };
        assert_eq!(found(&schema(descending)), [""; 0]);
        let broken = Index {
            valid: false,
            ..second
        };
        assert_eq!(found(&schema(broken)), [""; 0]);
    }

    #[test]
    fn a_longer_index_covers_a_shorter_one() {
        let schema = |short: Index| Schema {
            indexes: vec![short, index("long", &[1, 2])],
            ..Schema::default()
        };
        let covered = ["redundant-index covered short"];
        assert_eq!(found(&schema(index("short", &[1]))), covered);
        assert_eq!(found(&schema(index("short", &[2]))), [""; 0]);
        let included = |extra| Index {
            key_columns: 1,
            ..index("short", &[1, extra])
        };
        assert_eq!(found(&schema(included(2))), covered);
        assert_eq!(found(&schema(included(3))), [""; 0]);
        for not in [
            Index {
                needed: true,
                ..index("short", &[1])
            },
            Index {
                predicate: "b > 0".to_owned(),
                ..index("short", &[1])
            },
            Index {
                classes: vec!["4217".to_owned()],
                ..index("short", &[1])
            },
        ] {
            assert_eq!(found(&schema(not)), [""; 0]);
        }
    }

    #[test]
    fn an_unused_index_is_told_when_statistics_are_old_enough() {
        let schema = |days, of_key: bool| Schema {
            indexes: vec![index("i", &[2])],
            foreign_keys: of_key.then(|| key(&[2], 20_000.0)).into_iter().collect(),
            statistics_days: days,
            ..Schema::default()
        };
        assert_eq!(found(&schema(15.0, false)), ["redundant-index unused i"]);
        assert_eq!(found(&schema(13.0, false)), [""; 0]);
        assert_eq!(found(&schema(15.0, true)), [""; 0]);
        let several = Schema {
            several_hosts: true,
            ..schema(15.0, false)
        };
        assert_eq!(found(&several), [""; 0]);
    }

    #[test]
    fn a_counter_near_its_end_is_told() {
        let severity = |last| {
            let schema = Schema {
                counters: vec![Counter {
                    table: "public.t".to_owned(),
                    column: "id".to_owned(),
                    last,
                    most: i64::from(i32::MAX),
                }],
                ..Schema::default()
            };
            let found = hits(&schema, &HashSet::new(), &Thresholds::default());
            found.first().map(|hit| hit.severity)
        };
        assert_eq!(severity(1_000_000_000), None);
        assert_eq!(severity(1_100_000_000), Some(Severity::Warn));
        assert_eq!(severity(2_000_000_000), Some(Severity::Critical));
    }

    #[test]
    fn what_is_suggested_parses() {
        let schema = Schema {
            indexes: vec![index("public.\"Odd name\"", &[1]), index("x", &[1])],
            foreign_keys: vec![key(&[2], 20_000.0)],
            without_key: vec!["public.log".to_owned()],
            ..Schema::default()
        };
        let found = hits(&schema, &HashSet::new(), &Thresholds::default());
        assert_eq!(found.len(), 3);
        for hit in &found {
            if let Some(sql) = &hit.suggestion.sql {
                assert!(pg_raw_parse::parse(sql).is_ok(), "{sql}");
            }
        }
    }
}
