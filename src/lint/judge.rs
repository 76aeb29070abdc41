//! From a profile, which holds for a shape, to the hits of one text with its values.

use super::hit::Hit;
use super::inspect::{self, Skipped};
use super::profile::{Check, From, Profile};
use super::thresholds::Thresholds;
use super::value::{self, Param};
use crate::sql::{self, Reading};

/// [`inspect::inspect`] behind the guards against texts that are too long, deep or odd for the
/// parser.
///
/// # Errors
/// [`Skipped`].
pub fn profile(text: &str, reading: &Reading, thresholds: &Thresholds) -> Result<Profile, Skipped> {
    if text.len() > thresholds.statement_bytes.min(sql::MAX_PARSED) {
        return Err(Skipped::TooLarge);
    }
    if !reading.may_parse {
        return Err(Skipped::Syntax);
    }
    let profile = inspect::inspect(text, &reading.literals, thresholds)?;
    // Where lexer and parser see other statements, neither is believed.
    match profile.facts.len() == reading.statements as usize {
        true => Ok(profile),
        false => Err(Skipped::Syntax),
    }
}

/// The hits of a text: those of its shape, and those that its literals, its lists and `params`
/// decide. A parameter that is not given is not judged.
#[must_use]
pub fn hits(profile: &Profile, text: &[u8], reading: &Reading, params: &[Param<'_>]) -> Vec<Hit> {
    let mut hits = profile.hits.clone();
    for check in &profile.checks {
        let met = match check.from {
            From::Literal(number) => (reading.literals.get(number as usize))
                .and_then(|&(start, end)| text.get(start as usize..end as usize))
                .is_some_and(|literal| value::literal_meets(literal, check.test)),
            From::List => value::list_meets(reading.longest_list, check.test),
            From::Param(_) => bound(check, params),
        };
        if !met {
            continue;
        }
        let hit = match check.from {
            From::List => (check.hit.clone()).evidence("elements", u64::from(reading.longest_list)),
            _ => check.hit.clone(),
        };
        if !hits.contains(&hit) {
            hits.push(hit);
        }
    }
    hits
}

/// The hits of a profile that bound values decide.
pub fn bound_hits<'p>(profile: &'p Profile, params: &[Param<'_>]) -> impl Iterator<Item = &'p Hit> {
    (profile.checks.iter())
        .filter(|check| bound(check, params))
        .map(|check| &check.hit)
}

/// Whether a check looks at a bound value, and it is met.
fn bound(check: &Check, params: &[Param<'_>]) -> bool {
    let From::Param(number) = check.from else {
        return false;
    };
    (number as usize)
        .checked_sub(1)
        .and_then(|at| params.get(at))
        .is_some_and(|&param| value::param_meets(param, check.test))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::profile::{Check, Test};
    use crate::lint::rules::filter::MISSING_WHERE;
    use crate::sql::Lexing;

    fn with(from: From) -> Profile {
        let check = Check {
            from,
            test: Test::AtLeast(100),
            hit: Hit::new(&MISSING_WHERE, "", "checked"),
        };
        Profile {
            checks: vec![check],
            ..Profile::default()
        }
    }

    #[test]
    fn values_decide() {
        let profile = with(From::Literal(1));
        let found = |text: &str| {
            let reading = sql::read(text.as_bytes(), Lexing::default());
            hits(&profile, text.as_bytes(), &reading, &[]).len()
        };
        assert_eq!(found("SELECT 1, 100"), 1);
        assert_eq!(found("SELECT 100, 99"), 0);
        assert_eq!(found("SELECT 100"), 0);
    }

    #[test]
    fn parameters_decide_if_they_are_given() {
        let profile = with(From::Param(1));
        let found = |bytes: &[&[u8]]| {
            let params: Vec<_> = bytes
                .iter()
                .map(|bytes| Param {
                    bytes: Some(bytes),
                    binary: false,
                })
                .collect();
            hits(&profile, b"SELECT $1", &Reading::default(), &params).len()
        };
        assert_eq!(found(&[b"100"]), 1);
        assert_eq!(found(&[b"99", b"100"]), 0);
        assert_eq!(found(&[]), 0);
        assert_eq!(
            hits(&with(From::Param(0)), b"", &Reading::default(), &[]).len(),
            0
        );
    }

    #[test]
    fn the_parser_is_guarded() {
        let skipped = |text: &str| {
            let reading = sql::read(text.as_bytes(), Lexing::default());
            profile(text, &reading, &Thresholds::default()).err()
        };
        assert_eq!(skipped("DELETE FROM t"), None);
        assert_eq!(skipped("DELETE FRM t"), Some(Skipped::Syntax));
        assert_eq!(
            skipped(&format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000))),
            Some(Skipped::Syntax)
        );
        assert_eq!(
            skipped(&" ".repeat(sql::MAX_PARSED + 1)),
            Some(Skipped::TooLarge)
        );
    }
}
