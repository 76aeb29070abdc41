//! What is said of a query that was followed by a loop of lookups.

use super::super::comment;
use super::super::facts::Facts;
use super::super::hit::Hit;
use super::super::observe::Execution;
use super::super::rule::Confidence;
use super::super::rules::sequence;
use super::parents::Choice;
use super::runs::Run;
use crate::sql::{self, Lexing};

/// The hit of `n-plus-one` for this run and its parent.
pub(super) fn n_plus_one(run: &Run, choice: &Choice, last: &Execution) -> Hit {
    let (n, rows, saved) = (run.n, choice.rows, run.n.saturating_sub(1));
    let text = format!(
        "{n} executions of one lookup followed a query that returned {rows} rows; {saved} round \
         trips could be 1."
    );
    let mut hit = Hit::new(&sequence::N_PLUS_ONE, "", text)
        .evidence("parent_rows", rows)
        .evidence("children", n)
        .evidence("distinct", run.distinct)
        .evidence("max_gap_ms", run.max_gap / 1000)
        .evidence("nested", choice.nested);
    let facts = last.profile.facts.first();
    let key = facts.and_then(|facts| facts.keys.first());
    if let Some(column) = choice.column.as_ref().or(key) {
        hit = hit.evidence("column", &**column);
    }
    if let Some(share) = choice.share {
        hit = hit.evidence("lineage", share);
    }
    if choice.confirmed {
        hit.confidence = Confidence::Confirmed;
    }
    if let Some(facts) = facts {
        let tables = facts.reads.join(", ");
        let keys = facts.keys.join(", ");
        hit.suggestion.text =
            format!("Load the rows of {tables} for all values of {keys} in one query: = ANY($1), a JOIN, or eager loading.")
                .into();
        hit.suggestion.sql = together(last, facts).map(Into::into);
    }
    hit.suggestion.framework = framework(&last.text).map(Into::into);
    hit
}

/// The lookup with many keys, if that is plain to write and holds no literal.
fn together(run: &Execution, facts: &Facts) -> Option<String> {
    let counts = facts.outputs.iter().any(|output| output.column.is_empty());
    if facts.keys.len() != 1 || counts {
        return None;
    }
    let text = std::str::from_utf8(&run.text).ok()?;
    let mut bare = String::new();
    let mut at = 0;
    for (start, end) in sql::comments(&run.text, Lexing::default()) {
        bare.push_str(text.get(at..start as usize)?);
        at = end as usize;
    }
    bare.push_str(text.get(at..)?);
    let mut bare = bare.trim().trim_end_matches(';').trim_end();
    if facts.limited || facts.walks {
        // A limit of the one would cut the many.
        let limit = bare.to_ascii_uppercase().rfind(" LIMIT ")?;
        let tail = bare.get(limit..)?.to_ascii_uppercase();
        let only = (tail.split_ascii_whitespace()).all(|word| {
            matches!(word, "LIMIT" | "OFFSET")
                || word
                    .trim_start_matches('$')
                    .bytes()
                    .all(|b| b.is_ascii_digit())
        });
        bare = bare.get(..limit).filter(|_| only)?;
    }
    let (start, end, value) = match facts.key_params.first() {
        Some((_, number)) => {
            let value = format!("${number}");
            let (start, _) = (bare.match_indices(&value)).find(|(at, _)| {
                let next = bare.as_bytes().get(at + value.len());
                !next.is_some_and(u8::is_ascii_digit)
            })?;
            (start, start + value.len(), value)
        }
        None => {
            let reading = sql::read(bare.as_bytes(), Lexing::default());
            let [(start, end)] = reading.literals.as_slice() else {
                return None;
            };
            (*start as usize, *end as usize, "$1".into())
        }
    };
    let before = bare.get(..start)?.trim_end();
    if !before.ends_with('=') {
        return None;
    }
    // A cast of the key is no cast of the comparison.
    let rest = bare.get(end..)?;
    let rest = match rest.strip_prefix("::") {
        Some(cast) => cast.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'),
        None => rest,
    };
    let sql = format!("{before} ANY({value}){rest}");
    let clean = sql::read(sql.as_bytes(), Lexing::default())
        .literals
        .is_empty();
    (clean && pg_raw_parse::parse(&sql).is_ok()).then_some(sql)
}

/// The call that loads together, if the statement's comment names its framework.
fn framework(text: &[u8]) -> Option<&'static str> {
    let comments = comment::read(text, Lexing::default());
    let named = ["framework", "db_driver", "orm", "driver"];
    let name = (named.iter().find_map(|key| comments.get(key)))?.to_ascii_lowercase();
    let calls = [
        ("rails", "includes / preload"),
        ("activerecord", "includes / preload"),
        ("django", "select_related / prefetch_related"),
        ("sqlalchemy", "selectinload / joinedload"),
        ("hibernate", "JOIN FETCH / @BatchSize"),
        ("spring", "JOIN FETCH / @BatchSize"),
        ("prisma", "include"),
        ("sequelize", "include"),
        ("typeorm", "relations / leftJoinAndSelect"),
        ("knex", "whereIn"),
        ("drizzle", "with"),
        ("entity", "Include"),
    ];
    (calls.iter())
        .find(|(known, _)| name.contains(known))
        .map(|(_, call)| *call)
}
