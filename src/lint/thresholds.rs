//! From how much on a rule speaks: the numbers that an operator may change.

use super::registry;
use crate::sql;

/// One number: whose, its name in `[lint.rules.ID]`, default, least, most, and where it is kept.
struct Threshold {
    rule: &'static str,
    name: &'static str,
    default: u64,
    /// The most; what is counted is kept in memory up to it.
    most: u64,
    slot: fn(&mut Thresholds) -> &mut u64,
}

macro_rules! thresholds {
    ($( $(#[doc = $doc:literal])+ $field:ident: $rule:literal $name:literal = $default:literal, at most $most:literal; )+) => {
        /// The numbers in force. See [`table`] for what each is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Thresholds {
            $( $(#[doc = $doc])+ pub $field: u64, )+
            /// Longest text that is parsed, in bytes: `lint_max_statement_bytes`.
            pub statement_bytes: usize,
        }

        impl Default for Thresholds {
            fn default() -> Self {
                Thresholds { $( $field: $default, )+ statement_bytes: sql::MAX_PARSED }
            }
        }

        const ALL: &[(Threshold, &[&str])] = &[
            $( (Threshold { rule: $rule, name: $name, default: $default, most: $most, slot: |all| &mut all.$field }, &[$($doc),+]), )+
        ];
    };
}

thresholds! {
    /// Executions with different values that make a loop.
    children: "n-plus-one" "min_children" = 5, at most 50;
    /// The longest pause between two executions of one loop, in milliseconds.
    gap_ms: "n-plus-one" "max_gap_ms" = 250, at most 10_000;
    /// Rows that make a loop.
    inserts: "row-by-row-insert" "min_rows" = 10, at most 50;
    /// Rows that make a loop.
    writes: "row-by-row-write" "min_rows" = 10, at most 50;
    /// Executions with the same values in one request.
    repeats: "repeated-identical-query" "min_executions" = 5, at most 1_000_000;
    /// Executions with the same values and answer within a minute, of all connections.
    asked: "repeated-identical-query" "min_per_minute" = 100, at most 1_000_000;
    /// Executions at even intervals.
    polls: "polling-query" "min_executions" = 10, at most 1_000_000;
    /// Seconds without a statement.
    idle_s: "idle-in-transaction" "min_seconds" = 5, at most 86_400;
    /// Seconds that a transaction is open.
    long_s: "long-transaction" "min_seconds" = 60, at most 86_400;
    /// Round trips in one transaction.
    trips: "chatty-transaction" "min_round_trips" = 50, at most 1_000_000;
    /// Different texts of one statement in a minute.
    texts: "unparameterized-literals" "min_texts" = 20, at most 1_000;
    /// Different comments of one text in a minute.
    comments: "cache-busting-comment" "min_texts" = 20, at most 1_000;
    /// Short connections within ten seconds.
    connections: "connection-churn" "min_connections" = 20, at most 1_000;
    /// Equal errors within a minute.
    errors: "recurring-error" "min_errors" = 10, at most 1_000;
    /// Milliseconds that a statement waits for a lock.
    lock_ms: "lock-contention" "min_ms" = 1_000, at most 86_400_000;
    /// Milliseconds of one statement.
    slow_ms: "slow-query" "min_ms" = 1_000, at most 86_400_000;
    /// Milliseconds of a count of a whole table.
    count_ms: "count-whole-table" "min_ms" = 200, at most 86_400_000;
    /// Rows of one result.
    rows: "unbounded-result" "min_rows" = 10_000, at most 1_000_000_000;
    /// Rows of a table that is large.
    scan_rows: "seq-scan-large-table" "min_rows" = 100_000, at most 1_000_000_000_000;
    /// Executions of a statement, or a second of them all, before its plan is judged.
    scan_calls: "seq-scan-large-table" "min_executions" = 10, at most 1_000_000_000;
    /// Rows of the referencing table.
    fk_rows: "fk-without-index" "min_rows" = 10_000, at most 1_000_000_000_000;
    /// Days of statistics without a scan.
    unused_days: "redundant-index" "min_days" = 14, at most 36_500;
    /// Rows that an OFFSET skips.
    offset: "deep-offset" "min_offset" = 1_000, at most 1_000_000_000_000;
    /// Elements of a list; ten times as many are critical.
    list: "large-in-list" "min_elements" = 100, at most 1_000_000;
    /// Elements of one bound array.
    array: "large-in-list" "min_array_elements" = 10_000, at most 1_000_000_000;
    /// Relations of one FROM.
    relations: "too-many-joins" "min_relations" = 9, at most 10_000;
    /// Bytes of an unused index.
    unused_bytes: "redundant-index" "min_bytes" = 1_048_576, at most 1_000_000_000_000_000;
}

impl Thresholds {
    /// Changes one number.
    ///
    /// # Errors
    /// What is wrong with the name or the value, for people.
    pub fn set(&mut self, rule: &str, name: &str, value: i64) -> Result<(), String> {
        let found = ALL.iter().find(|(t, _)| t.rule == rule && t.name == name);
        let Some((threshold, _)) = found else {
            return Err(unknown(rule));
        };
        match u64::try_from(value) {
            Ok(value) if (1..=threshold.most).contains(&value) => {
                *(threshold.slot)(self) = value;
                Ok(())
            }
            _ => Err(format!("{value} is not between 1 and {}", threshold.most)),
        }
    }
}

fn unknown(rule: &str) -> String {
    if registry::find(rule).is_none() {
        return format!("there is no rule {rule:?}; `pgweir explain` lists them");
    }
    let names: Vec<&str> = (ALL.iter())
        .filter(|(threshold, _)| threshold.rule == rule)
        .map(|(threshold, _)| threshold.name)
        .collect();
    match names.is_empty() {
        true => "unknown key; there are action and kinds".to_owned(),
        false => format!(
            "unknown key; there are action, kinds and {}",
            names.join(", ")
        ),
    }
}

/// All numbers: rule, name, default, most, and what it is.
pub fn table() -> impl Iterator<Item = (&'static str, &'static str, u64, u64, String)> {
    ALL.iter().map(|(threshold, doc)| {
        let doc = doc.concat().trim().to_owned();
        (
            threshold.rule,
            threshold.name,
            threshold.default,
            threshold.most,
            doc,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_belongs_to_a_rule_and_can_be_set() {
        for (rule, name, default, most, doc) in table() {
            assert!(registry::find(rule).is_some() && !doc.is_empty(), "{rule}");
            let mut thresholds = Thresholds::default();
            assert_eq!(thresholds.set(rule, name, most as i64), Ok(()));
            assert_ne!(thresholds, Thresholds::default(), "{rule}.{name}");
            assert_eq!(thresholds.set(rule, name, default as i64), Ok(()));
            assert_eq!(thresholds, Thresholds::default());
            for wrong in [0, -1, most as i64 + 1] {
                assert!(thresholds.set(rule, name, wrong).is_err());
            }
        }
        let mut thresholds = Thresholds::default();
        let why = thresholds
            .set("n-plus-one", "min_kids", 1)
            .expect_err("no such");
        assert!(why.contains("min_children, max_gap_ms"), "{why}");
    }
}
