//! SHOW POOLS.

use super::{CONSOLE, View};
use crate::admin::table::Kind::{Int4, Text};
use crate::admin::table::{Column, Row, Value};
use crate::config::{Config, PoolMode};

/// Columns of SHOW POOLS.
pub const POOLS: &[Column] = &[
    ("database", Text),
    ("user", Text),
    ("cl_active", Int4),
    ("cl_waiting", Int4),
    ("cl_active_cancel_req", Int4),
    ("cl_waiting_cancel_req", Int4),
    ("sv_active", Int4),
    ("sv_active_cancel", Int4),
    ("sv_being_canceled", Int4),
    ("sv_idle", Int4),
    ("sv_used", Int4),
    ("sv_tested", Int4),
    ("sv_login", Int4),
    ("maxwait", Int4),
    ("maxwait_us", Int4),
    ("pool_mode", Text),
    ("load_balance_hosts", Text),
];

/// How the hosts of a database are used; NULL if there is only one.
pub fn load_balance(config: &Config, database: &str) -> Value {
    match config.database(database) {
        Some(database) if database.hosts.len() > 1 => {
            database.load_balance_hosts.unwrap_or("round-robin").into()
        }
        _ => Value::Null,
    }
}

/// Rows of SHOW POOLS, by database and user.
pub fn pools(view: &View<'_>) -> Vec<Row> {
    let mut rows: Vec<(String, Row)> = Vec::new();
    for pool in view.snapshot.whole_pools() {
        let numbers = [
            pool.clients.saturating_sub(pool.cl_waiting),
            pool.cl_waiting,
            // A cancel request never waits: it goes to the server on a connection of its own, so
            // there are as many requests on their way as servers they are on their way to.
            pool.sv_active_cancel,
            0,
            pool.sv_active,
            pool.sv_active_cancel,
            pool.sv_being_canceled,
            pool.sv_idle,
            pool.sv_used,
            pool.sv_tested,
            pool.sv_login,
        ];
        let mut row: Row = vec![(&pool.key.database).into(), (&pool.key.user).into()];
        row.extend(numbers.map(Value::from));
        row.push((pool.maxwait_us / 1_000_000).into());
        row.push((pool.maxwait_us % 1_000_000).into());
        row.push(pool.mode.as_str().into());
        row.push(load_balance(view.config, &pool.key.database));
        rows.push((pool.key.database.to_string(), row));
    }
    let mut console: Row = vec![CONSOLE.into(), CONSOLE.into()];
    console.push(view.console.sessions.all().len().into());
    console.extend((0..12).map(|_| Value::Int(0)));
    console.push(PoolMode::Statement.as_str().into());
    console.push(Value::Null);
    rows.push((CONSOLE.to_owned(), console));
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows.into_iter().map(|(_, row)| row).collect()
}
