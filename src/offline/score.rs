//! How well the findings of cases match what is expected of them.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::lint::hit::Hit;
use crate::lint::rule::Rule;

use super::case::Case;
use super::explain;

/// The judgement of one rule over all cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases that expect it.
    pub expected: u32,
    /// Of these, where it was found.
    pub found: u32,
    /// Cases that forbid it and where it was found.
    pub wrong: u32,
}

impl Tally {
    fn missed(self) -> u32 {
        self.expected - self.found
    }

    fn recall(self) -> String {
        ratio(self.found, self.expected)
    }

    fn precision(self) -> String {
        ratio(self.found, self.found + self.wrong)
    }
}

fn ratio(part: u32, whole: u32) -> String {
    match whole {
        0 => "-".to_owned(),
        _ => format!("{:.1} %", 100.0 * f64::from(part) / f64::from(whole)),
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Score {
    cases: u32,
    rules: BTreeMap<String, Tally>,
    /// Case, rule, and whether it was missed.
    confusions: Vec<(String, String, bool)>,
}

impl Score {
    /// Counts one case. A rule that neither is expected nor forbidden is not judged, nor is one that
    /// was not looked for, unless it does not exist: then it is missed.
    pub fn add(&mut self, case: &Case, hits: &[Hit], looked_for: &[&'static Rule]) {
        self.cases += 1;
        let asked = |id: &str| {
            looked_for.iter().any(|rule| rule.id == id) || crate::lint::registry::find(id).is_none()
        };
        let hit = |id: &str| hits.iter().any(|hit| hit.rule.id == id);
        for id in case.expect.iter().filter(|id| asked(id)) {
            let tally = self.rules.entry(id.clone()).or_default();
            tally.expected += 1;
            if hit(id) {
                tally.found += 1;
            } else {
                self.confusions.push((case.id.clone(), id.clone(), true));
            }
        }
        for id in case.not.iter().filter(|id| asked(id)) {
            let tally = self.rules.entry(id.clone()).or_default();
            if hit(id) {
                tally.wrong += 1;
                self.confusions.push((case.id.clone(), id.clone(), false));
            }
        }
    }

    /// Whether nothing was missed and nothing wrong.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        self.confusions.is_empty()
    }

    /// All rules together.
    #[must_use]
    pub fn total(&self) -> Tally {
        self.rules
            .values()
            .fold(Tally::default(), |sum, one| Tally {
                expected: sum.expected + one.expected,
                found: sum.found + one.found,
                wrong: sum.wrong + one.wrong,
            })
    }

    /// The table, and the cases that were judged wrongly.
    #[must_use]
    pub fn report(&self) -> String {
        let mut table = explain::plain(&[
            "rule",
            "expected",
            "found",
            "missed",
            "false positives",
            "recall",
            "precision",
        ]);
        let total = self.total();
        let all = format!("total ({} cases)", self.cases);
        for (name, tally) in
            (self.rules.iter().map(|(name, tally)| (name, *tally))).chain([(&all, total)])
        {
            table.add_row([
                name.clone(),
                tally.expected.to_string(),
                tally.found.to_string(),
                tally.missed().to_string(),
                tally.wrong.to_string(),
                tally.recall(),
                tally.precision(),
            ]);
        }
        explain::align_numbers(&mut table);
        let mut out = format!("{table}\n");
        for (missed, title) in [(true, "missed"), (false, "false positives")] {
            let mut cases = self
                .confusions
                .iter()
                .filter(|(.., m)| *m == missed)
                .peekable();
            if cases.peek().is_some() {
                // Writing to a string cannot fail.
                let _ = writeln!(out, "\n{title}:");
            }
            for (case, rule, _) in cases {
                let _ = writeln!(out, "  {case}: {rule}");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::rules::filter::MISSING_WHERE;

    #[test]
    fn only_what_is_labelled_is_judged() {
        let case = |id: &str, expect: &[&str], not: &[&str]| Case {
            id: id.to_owned(),
            expect: expect.iter().map(|&s| s.to_owned()).collect(),
            not: not.iter().map(|&s| s.to_owned()).collect(),
            ..Case::default()
        };
        let hit = [Hit::new(&MISSING_WHERE, "", "")];
        let rules = [&MISSING_WHERE];
        let mut score = Score::default();
        score.add(&case("right", &["missing-where"], &[]), &hit, &rules);
        score.add(&case("unlabelled", &[], &[]), &hit, &rules);
        score.add(&case("silent", &[], &["missing-where"]), &[], &rules);
        assert!(score.is_perfect());
        score.add(
            &case("lost", &["missing-where", "no-such-rule"], &[]),
            &[],
            &rules,
        );
        score.add(&case("noise", &[], &["missing-where"]), &hit, &rules);
        assert_eq!(
            score.rules["missing-where"],
            Tally {
                expected: 2,
                found: 1,
                wrong: 1
            }
        );
        assert_eq!(
            score.total(),
            Tally {
                expected: 3,
                found: 1,
                wrong: 1
            }
        );
        assert!(!score.is_perfect());
        let report = score.report();
        for line in [
            "  lost: missing-where",
            "  lost: no-such-rule",
            "  noise: missing-where",
            "total (5 cases)",
            "33.3 %",
            "50.0 %",
        ] {
            assert!(report.contains(line), "{line} in\n{report}");
        }
        // Rules that were not looked for.
        let mut score = Score::default();
        score.add(&case("right", &["missing-where"], &[]), &[], &[]);
        assert_eq!(score.total(), Tally::default());
    }
}
