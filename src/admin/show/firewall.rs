//! SHOW FIREWALL, SHOW FIREWALL_ENTRIES and SHOW FIREWALL_UNKNOWN.

use super::View;
use crate::admin::table::Kind::{Numeric, Text};
use crate::admin::table::{Column, Row};
use crate::lint::firewall::{Entry, MOST_ENTRIES};

/// Columns of SHOW FIREWALL.
pub const FIREWALL: &[Column] = &[
    ("name", Text),
    ("database", Text),
    ("user", Text),
    ("network", Text),
    ("mode", Text),
    ("entries", Numeric),
    ("max_entries", Numeric),
    ("unknown", Numeric),
    ("stretched", Numeric),
    ("refused", Numeric),
    ("no_room", Numeric),
];

/// Rows of SHOW FIREWALL.
pub fn firewall(view: &View<'_>) -> Vec<Row> {
    let wall = view.process.wall.load();
    (wall.guards.iter())
        .map(|guard| {
            let [database, user, network] = guard.scope().map(str::to_owned);
            let (mode, entries, counts) =
                guard.with(|profile| (profile.mode, profile.entries().len(), profile.counts));
            vec![
                guard.name.to_string().into(),
                database.into(),
                user.into(),
                network.into(),
                mode.as_str().into(),
                entries.into(),
                MOST_ENTRIES.into(),
                counts.unknown.into(),
                counts.stretched.into(),
                counts.refused.into(),
                counts.no_room.into(),
            ]
        })
        .collect()
}

/// Columns of SHOW FIREWALL_ENTRIES and SHOW FIREWALL_UNKNOWN.
pub const STATEMENTS: &[Column] = &[
    ("profile", Text),
    ("shape", Text),
    ("count", Numeric),
    ("max_list", Numeric),
    ("max_rows", Numeric),
    ("query", Text),
];

fn statement(profile: &str, shape: u128, entry: &Entry) -> Row {
    vec![
        profile.to_owned().into(),
        format!("{shape:032x}").into(),
        entry.count.into(),
        entry.list.into(),
        entry.rows.into(),
        entry.query.to_string().into(),
    ]
}

/// Rows of SHOW FIREWALL_ENTRIES.
pub fn entries(view: &View<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for guard in &view.process.wall.load().guards {
        guard.with(|profile| {
            let all = profile.entries().into_iter();
            rows.extend(all.map(|(shape, entry)| statement(&guard.name, shape, entry)));
        });
    }
    rows
}

/// Rows of SHOW FIREWALL_UNKNOWN.
pub fn unknown(view: &View<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for guard in &view.process.wall.load().guards {
        guard.with(|profile| {
            let all = profile.unknown();
            rows.extend(all.map(|(shape, entry)| statement(&guard.name, shape, entry)));
        });
    }
    rows
}
