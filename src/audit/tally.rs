//! How often each rule was hit, for metrics: these numbers only grow, whatever is forgotten.
//!
//! Databases and applications are names that clients choose, so only the first hundred of each
//! are told apart; the rest is `other`.

use std::collections::{BTreeSet, HashMap};

use super::findings::Seen;
use crate::lint::rule::{Action, Class, Rule, Severity};

/// Names of one kind that are told apart.
const NAMES: usize = 100;
/// Series that are kept; what is beyond counts for nobody in particular.
const MOST: usize = 10_000;
/// The name of the rest.
const OTHER: &str = "other";

/// What hits are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    /// Number of the rule.
    number: u8,
    /// Its kind.
    pub kind: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What was done.
    pub action: Action,
    /// Database.
    pub database: Box<str>,
    /// Application.
    pub app: Box<str>,
}

/// The numbers of one series.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// The rule.
    pub rule: &'static Rule,
    /// Hits.
    pub hits: u64,
    /// Round trips that a loop could have saved.
    pub round_trips: u64,
    /// Microseconds that it took.
    pub micros: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Tally {
    series: HashMap<Series, Count, foldhash::fast::RandomState>,
    databases: BTreeSet<Box<str>>,
    apps: BTreeSet<Box<str>>,
}

/// The name if it is among those that are told apart, or may be.
fn told_apart(known: &mut BTreeSet<Box<str>>, name: &str) -> Box<str> {
    if !known.contains(name) {
        if known.len() >= NAMES {
            return OTHER.into();
        }
        known.insert(name.into());
    }
    name.into()
}

impl Tally {
    /// Counts a hit.
    pub fn add(&mut self, seen: &Seen<'_>) {
        let rule = seen.hit.rule;
        let mut series = Series {
            number: rule.number,
            kind: seen.hit.kind,
            severity: seen.hit.severity,
            action: seen.action,
            database: told_apart(&mut self.databases, &seen.subject.database),
            app: told_apart(&mut self.apps, &seen.subject.app),
        };
        if self.series.len() >= MOST && !self.series.contains_key(&series) {
            (series.database, series.app) = (OTHER.into(), OTHER.into());
        }
        let count = self.series.entry(series).or_insert(Count {
            rule,
            hits: 0,
            round_trips: 0,
            micros: 0,
        });
        count.hits += seen.count;
        if rule.class == Class::Sequence {
            count.round_trips += seen.cost.round_trips;
            count.micros += seen.cost.server_us + seen.cost.gap_us;
        }
    }

    /// All series.
    pub fn all(&self) -> impl Iterator<Item = (&Series, &Count)> {
        self.series.iter()
    }

    /// The label of a database.
    #[must_use]
    pub fn database<'n>(&self, name: &'n str) -> &'n str {
        match self.databases.contains(name) {
            true => name,
            false => OTHER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::findings::Cost;
    use crate::lint::hit::Hit;
    use crate::lint::observe::Subject;
    use crate::lint::rules::sequence::N_PLUS_ONE;

    #[test]
    fn names_that_clients_choose_are_bounded() {
        let mut tally = Tally::default();
        let hit = Hit::new(&N_PLUS_ONE, "", "");
        for n in 0..1000 {
            let subject = Subject {
                app: format!("app{n}").into(),
                database: "shop".into(),
                ..Subject::default()
            };
            tally.add(&Seen {
                hit: &hit,
                subject: &subject,
                action: Action::Log,
                shape: 1,
                text: b"",
                parent: (0, b""),
                scope: 0,
                suppressed: None,
                count: 1,
                cost: Cost {
                    round_trips: 4,
                    ..Cost::default()
                },
            });
        }
        assert_eq!(tally.all().count(), NAMES + 1);
        let hits: u64 = tally.all().map(|(_, count)| count.hits).sum();
        let trips: u64 = tally.all().map(|(_, count)| count.round_trips).sum();
        assert_eq!((hits, trips), (1000, 4000));
        assert_eq!(
            (tally.database("shop"), tally.database("x")),
            ("shop", OTHER)
        );
    }
}
