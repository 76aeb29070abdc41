//! SHOW CONFIG, LISTS, MEM, STATE and VERSION.

use super::{View, databases};
use crate::admin::table::Kind::{Int4, Int8, Text};
use crate::admin::table::{Column, Row, Value};
use crate::config::reference;

/// Version of PgBouncer whose console this is; tools choose their columns by it.
pub const COMPATIBLE: &str = "1.26.1";

/// Text of SHOW VERSION. It begins as PgBouncer's does, because exporters and agents look for
/// that and for the first three numbers; pgweir's own version follows.
pub fn version_text() -> String {
    format!(
        "PgBouncer {COMPATIBLE} (pgweir {})",
        env!("CARGO_PKG_VERSION")
    )
}

fn yes(yes: bool) -> Value {
    if yes { "yes" } else { "no" }.into()
}

/// Rows of SHOW CONFIG, by key.
pub fn config(view: &View<'_>) -> Vec<Row> {
    reference::show_config(view.config)
        .into_iter()
        .map(|row| {
            vec![
                row.key.into(),
                row.value.into(),
                row.default.into(),
                yes(row.changeable),
            ]
        })
        .collect()
}

/// Rows of SHOW LISTS. Lists of things that pgweir does not have are empty.
pub fn lists(view: &View<'_>) -> Vec<Row> {
    let console = view.console.sessions.all().len();
    let clients = view.snapshot.clients.len();
    let connected = view.process.clients.get() as usize;
    let login = connected.saturating_sub(clients);
    let rows: [(&'static str, usize); 14] = [
        ("databases", databases::names(view).len() + 1),
        ("users", databases::user_names(view).len()),
        ("peers", view.config.peers.len()),
        ("pools", view.snapshot.whole_pools().len() + 1),
        ("peer_pools", super::peers::peer_pools(view).len()),
        ("free_clients", 0),
        ("used_clients", clients + console),
        ("login_clients", login),
        ("free_servers", 0),
        ("used_servers", view.snapshot.servers.len()),
        ("dns_names", 0),
        ("dns_zones", 0),
        ("dns_queries", 0),
        ("dns_pending", 0),
    ];
    rows.into_iter()
        .map(|(list, items)| vec![list.into(), items.into()])
        .collect()
}

/// Columns of SHOW DNS_HOSTS.
pub const DNS_HOSTS: &[Column] = &[("hostname", Text), ("ttl", Int8), ("addrs", Text)];

/// Columns of SHOW DNS_ZONES.
pub const DNS_ZONES: &[Column] = &[("zonename", Text), ("serial", Int8), ("count", Int4)];

/// Rows of SHOW MEM.
pub fn mem(view: &View<'_>) -> Vec<Row> {
    let analyses = &view.snapshot.analyses;
    let statements = &view.process.statements;
    let rows = [
        ("analysis_cache", analyses.entries, analyses.bytes as u64),
        ("prepared_statements", statements.len(), statements.bytes()),
    ];
    rows.into_iter()
        .map(|(name, used, bytes)| {
            let each = bytes.checked_div(used as u64).unwrap_or(0);
            vec![
                name.into(),
                each.into(),
                used.into(),
                0u32.into(),
                bytes.into(),
            ]
        })
        .collect()
}

/// Rows of SHOW STATE; the last is ours.
pub fn state(view: &View<'_>) -> Vec<Row> {
    let paused = view.process.holds.read().all;
    let phase = view.process.phase.get().as_str();
    vec![
        vec!["active".into(), yes(!paused)],
        vec!["paused".into(), yes(paused)],
        vec!["suspended".into(), yes(false)],
        vec!["phase".into(), phase.into()],
    ]
}

/// Row of SHOW VERSION.
pub fn version(_: &View<'_>) -> Vec<Row> {
    vec![vec![version_text().into()]]
}
