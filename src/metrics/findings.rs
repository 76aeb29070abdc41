//! What the rules found, as series.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::Reading;
use crate::audit::tally::{Count, Series};
use crate::audit::wall::Guard;
use crate::lint::firewall::Profile;
use crate::lint::rule::Action;

/// Values by the texts of their labels.
pub(super) type Values = Vec<(Vec<String>, f64)>;

/// Sums a number of each series under some of its labels.
fn summed(
    reading: &Reading<'_>,
    labels: impl Fn(&Series, &Count) -> Vec<String>,
    number: impl Fn(&Series, &Count) -> f64,
) -> Values {
    let findings = reading.process.findings.lock();
    let mut sums: BTreeMap<Vec<String>, f64> = BTreeMap::new();
    for (series, count) in findings.tally.all() {
        let value = number(series, count);
        if value > 0.0 {
            *sums.entry(labels(series, count)).or_default() += value;
        }
    }
    sums.into_iter().collect()
}

pub(super) fn total(reading: &Reading<'_>) -> Values {
    let labels = |series: &Series, count: &Count| {
        [
            count.rule.id,
            series.kind,
            series.severity.as_str(),
            &series.database,
            &series.app,
            series.action.as_str(),
        ]
        .map(str::to_owned)
        .to_vec()
    };
    summed(reading, labels, |_, count| count.hits as f64)
}

pub(super) fn blocked(reading: &Reading<'_>) -> Values {
    let labels = |series: &Series, count: &Count| {
        [count.rule.id, &series.database, &series.app]
            .map(str::to_owned)
            .to_vec()
    };
    summed(reading, labels, |series, count| match series.action {
        Action::Block => count.hits as f64,
        _ => 0.0,
    })
}

fn by_rule(series: &Series, count: &Count) -> Vec<String> {
    vec![count.rule.id.to_owned(), series.database.to_string()]
}

pub(super) fn wasted_round_trips(reading: &Reading<'_>) -> Values {
    summed(reading, by_rule, |_, count| count.round_trips as f64)
}

pub(super) fn wasted_seconds(reading: &Reading<'_>) -> Values {
    summed(reading, by_rule, |_, count| count.micros as f64 / 1e6)
}

pub(super) fn active(reading: &Reading<'_>) -> Values {
    let findings = reading.process.findings.lock();
    let now = SystemTime::now();
    let mut sums: BTreeMap<Vec<String>, f64> = BTreeMap::new();
    for finding in findings.all() {
        if finding.status(now) == "open" {
            let labels = [
                finding.hit.rule.id,
                finding.hit.severity.as_str(),
                findings.tally.database(&finding.subject.database),
            ];
            *sums.entry(labels.map(str::to_owned).to_vec()).or_default() += 1.0;
        }
    }
    sums.into_iter().collect()
}

pub(super) fn evicted(reading: &Reading<'_>) -> Values {
    let (findings, _, _) = reading.process.findings.lock().counters();
    let (engine, _) = reading.process.observer.engine();
    ([("finding", findings)].into_iter().chain(engine.each()))
        .map(|(kind, count)| (vec![kind.to_owned()], count as f64))
        .collect()
}

/// A number of each profile of the firewall, by its name and what else it is about.
fn of_firewall(
    reading: &Reading<'_>,
    numbers: impl Fn(&Profile) -> Vec<(&'static str, f64)>,
) -> Values {
    let wall = reading.process.wall.load();
    let of = |guard: &Arc<Guard>| {
        let numbers = guard.with(|profile| numbers(profile));
        let name = guard.name.to_string();
        numbers
            .into_iter()
            .map(move |(what, number)| (vec![name.clone(), what.to_owned()], number))
    };
    wall.guards.iter().flat_map(of).collect()
}

pub(super) fn firewall(reading: &Reading<'_>) -> Values {
    of_firewall(reading, |profile| {
        let counts = profile.counts;
        vec![
            ("unknown", counts.unknown as f64),
            ("stretched", counts.stretched as f64),
            ("refused", counts.refused as f64),
            ("no_room", counts.no_room as f64),
        ]
    })
}

pub(super) fn firewall_entries(reading: &Reading<'_>) -> Values {
    of_firewall(reading, |profile| {
        vec![(profile.mode.as_str(), profile.entries().len() as f64)]
    })
}

pub(super) fn skipped(reading: &Reading<'_>) -> Values {
    let texts = &reading.snapshot.texts;
    vec![
        (vec!["parse_error".to_owned()], texts.not_parsed as f64),
        (vec!["too_large".to_owned()], texts.too_large as f64),
        (vec!["opaque".to_owned()], texts.opaque as f64),
        (
            vec!["overload".to_owned()],
            reading.process.observer.dropped() as f64,
        ),
    ]
}
