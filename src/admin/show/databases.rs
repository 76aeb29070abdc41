//! SHOW DATABASES and USERS.

use std::collections::BTreeSet;

use super::pools::load_balance;
use super::{CONSOLE, View};
use crate::admin::table::Kind::{Int4, Text};
use crate::admin::table::{Column, Row, Value};
use crate::config::effective::CONSOLE_NAMES;
use crate::config::{Database, Host, PoolMode};
use crate::pool::process::Level;

/// Columns of SHOW DATABASES.
pub const DATABASES: &[Column] = &[
    ("name", Text),
    ("host", Text),
    ("port", Int4),
    ("database", Text),
    ("force_user", Text),
    ("pool_size", Int4),
    ("min_pool_size", Int4),
    ("reserve_pool_size", Int4),
    ("server_lifetime", Int4),
    ("pool_mode", Text),
    ("load_balance_hosts", Text),
    ("max_connections", Int4),
    ("current_connections", Int4),
    ("max_client_connections", Int4),
    ("current_client_connections", Int4),
    ("paused", Int4),
    ("disabled", Int4),
];

/// Names of all databases but the console: configured, or made from `*` and in use.
pub fn names(view: &View<'_>) -> BTreeSet<String> {
    let configured = view.config.databases.keys().cloned();
    let pools = view.snapshot.pools.iter();
    configured
        .chain(pools.map(|pool| pool.key.database.to_string()))
        .filter(|name| !CONSOLE_NAMES.contains(&&**name))
        .collect()
}

/// Rows of SHOW DATABASES, by name.
pub fn databases(view: &View<'_>) -> Vec<Row> {
    let mut rows: Vec<(String, Row)> = names(view)
        .into_iter()
        // A database that a reload took away has no settings to show, though its last clients may
        // still be here.
        .filter_map(|name| Some((view.config.database(&name)?, name)))
        .map(|(database, name)| {
            let row = database_row(view, &name, &database);
            (name, row)
        })
        .collect();
    rows.push((CONSOLE.to_owned(), console_row(view)));
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn database_row(view: &View<'_>, name: &str, database: &Database) -> Row {
    let (config, process) = (view.config, view.process);
    let hosts: Vec<&str> = database.hosts.iter().map(Host::host).collect();
    let global = &config.settings;
    let (paused, disabled) = {
        let holds = process.holds.read();
        (
            holds.all || holds.paused.contains(name),
            holds.disabled.contains(name),
        )
    };
    vec![
        name.to_owned().into(),
        hosts.join(",").into(),
        database.hosts.first().map(|h| u32::from(h.port())).into(),
        database.dbname.clone().unwrap_or(name.to_owned()).into(),
        database.user.clone().into(),
        database
            .pool_size
            .unwrap_or(global.default_pool_size)
            .into(),
        database
            .min_pool_size
            .unwrap_or(global.min_pool_size)
            .into(),
        (database.reserve_pool_size)
            .unwrap_or(global.reserve_pool_size)
            .into(),
        config.server_lifetime(database).as_secs().into(),
        // NULL says that the general one holds.
        database.pool_mode.map(PoolMode::as_str).into(),
        load_balance(config, name),
        config.max_db_connections(database).into(),
        process.count(Level::DatabaseServers, name).into(),
        config.max_db_client_connections(database).into(),
        process.count(Level::DatabaseClients, name).into(),
        paused.into(),
        disabled.into(),
    ]
}

/// What PgBouncer shows as the size of the console's pool, which has no servers.
const CONSOLE_POOL: u32 = 2;

fn console_row(view: &View<'_>) -> Row {
    let sessions = view.console.sessions.all().len();
    vec![
        CONSOLE.into(),
        Value::Null,
        u32::from(view.config.settings.listen_port).into(),
        CONSOLE.into(),
        CONSOLE.into(),
        CONSOLE_POOL.into(),
        0u32.into(),
        0u32.into(),
        0u32.into(),
        PoolMode::Statement.as_str().into(),
        Value::Null,
        0u32.into(),
        0u32.into(),
        0u32.into(),
        sessions.into(),
        false.into(),
        false.into(),
    ]
}

/// Columns of SHOW USERS.
pub const USERS: &[Column] = &[
    ("name", Text),
    ("pool_size", Text),
    ("reserve_pool_size", Text),
    ("pool_mode", Text),
    ("max_user_connections", Int4),
    ("current_connections", Int4),
    ("max_user_client_connections", Int4),
    ("current_client_connections", Int4),
];

/// Names of all users: with overrides, in the users file, of a pool, or connected; and that of the
/// console's pool.
pub fn user_names(view: &View<'_>) -> BTreeSet<String> {
    let config = view.config;
    let configured = config.users.keys().chain(config.secrets.keys()).cloned();
    let pools = view.snapshot.pools.iter();
    let clients = view.snapshot.clients.iter();
    configured
        .chain(pools.map(|pool| pool.key.user.to_string()))
        .chain(clients.map(|client| client.user.to_string()))
        .chain(view.console.sessions.all().iter().map(|s| s.user.clone()))
        .chain([CONSOLE.to_owned()])
        .collect()
}

/// Rows of SHOW USERS, by name. Sizes are right-aligned text, empty without an override.
pub fn users(view: &View<'_>) -> Vec<Row> {
    let (config, process) = (view.config, view.process);
    let size = |size: Option<u32>| size.map_or(String::new(), |size| format!("{size:9}"));
    user_names(view)
        .into_iter()
        .map(|name| {
            let own = config.users.get(&name).cloned().unwrap_or_default();
            vec![
                name.clone().into(),
                size(own.pool_size).into(),
                size(own.reserve_pool_size).into(),
                own.pool_mode.map(PoolMode::as_str).into(),
                config.max_user_connections(&name).into(),
                process.count(Level::UserServers, &name).into(),
                config.max_user_client_connections(&name).into(),
                process.count(Level::UserClients, &name).into(),
            ]
        })
        .collect()
}
