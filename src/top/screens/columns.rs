//! The columns of each screen.

use super::{Cell, Column};
use crate::top::format::Unit;

type Value = fn(&super::Row<'_>, &super::Around<'_>) -> Cell;

/// Cells of a number.
const NUMBER: u16 = 7;
/// Cells of a text that is seldom shown whole.
const LONG: u16 = 38;

const fn text(title: &'static str, width: u16, rank: u8, value: Value) -> Column {
    Column {
        title,
        unit: None,
        width,
        rank,
        value,
    }
}

const fn number(title: &'static str, unit: Unit, rank: u8, value: Value) -> Column {
    // A cell more than the title, for the mark of the order.
    let width = match title.len() as u16 + 1 {
        longer if longer > NUMBER => longer,
        _ => NUMBER,
    };
    Column {
        title,
        unit: Some(unit),
        width,
        rank,
        value,
    }
}

const DATABASE: Column = text("database", 14, 0, |row, _| Cell::text(row.text("database")));
const USER: Column = text("user", 12, 3, |row, _| Cell::text(row.text("user")));

/// Of SHOW POOLS.
pub(super) const POOLS: &[Column] = &[
    DATABASE,
    text("user", 12, 0, |row, _| Cell::text(row.text("user"))),
    number("clients", Unit::Count, 2, |row, _| {
        Cell::number(row.number("cl_active"))
    }),
    number("waiting", Unit::Count, 0, |row, _| {
        Cell::number(row.number("cl_waiting"))
    }),
    number("longest", Unit::Micros, 0, |row, _| {
        Cell::number(row.micros("maxwait", "maxwait_us"))
    }),
    number("busy", Unit::Count, 0, |row, _| {
        Cell::number(row.number("sv_active"))
    }),
    number("idle", Unit::Count, 1, |row, _| {
        Cell::number(row.number("sv_idle"))
    }),
    number("size", Unit::Count, 1, |row, around| {
        Cell::number(around.sizes.get(row.text("database")).copied())
    }),
    number("login", Unit::Count, 3, |row, _| {
        Cell::number(row.number("sv_login"))
    }),
    number("tested", Unit::Count, 5, |row, _| {
        Cell::number(row.number("sv_tested"))
    }),
    number("cancels", Unit::Count, 4, |row, _| {
        Cell::number(row.number("sv_active_cancel"))
    }),
    text("mode", 11, 4, |row, _| Cell::text(row.text("pool_mode"))),
];

/// Of SHOW SERVERS.
pub(super) const SERVERS: &[Column] = &[
    DATABASE,
    text("user", 12, 1, |row, _| Cell::text(row.text("user"))),
    text("state", 14, 0, |row, _| Cell::text(row.text("state"))),
    number("in use", Unit::Age, 0, |row, around| {
        match row.text("state") {
            "active" => around.age(row, "request_time"),
            _ => Cell::Nothing,
        }
    }),
    number("age", Unit::Age, 2, |row, around| {
        around.age(row, "connect_time")
    }),
    number("pid", Unit::Count, 1, |row, _| {
        match row.text("remote_pid") {
            "" | "0" => Cell::Nothing,
            pid => Cell::text(pid),
        }
    }),
    number("prepared", Unit::Count, 4, |row, _| {
        Cell::number(row.number("prepared_statements"))
    }),
    text("closes", 6, 5, |row, _| match row.text("close_needed") {
        "1" => Cell::text("soon"),
        _ => Cell::text(""),
    }),
    text("address", 21, 2, |row, _| address(row)),
    text("application", 16, 3, |row, _| {
        Cell::text(row.text("application_name"))
    }),
];

fn address(row: &super::Row<'_>) -> Cell {
    Cell::text(&format!("{}:{}", row.text("addr"), row.text("port")))
}

/// Of SHOW CLUSTER.
pub(super) const REPLICAS: &[Column] = &[
    DATABASE,
    text("server", 21, 0, |row, _| Cell::text(row.text("server"))),
    text("role", 9, 0, |row, _| Cell::text(row.text("role"))),
    number("lag", Unit::Micros, 0, |row, _| {
        Cell::number(row.number("lag_ms").map(|ms| ms * 1e3))
    }),
    number("behind", Unit::Bytes, 1, |row, _| {
        Cell::number(row.number("lag_bytes"))
    }),
    number("answers", Unit::Micros, 2, |row, _| {
        Cell::number(row.number("latency_us"))
    }),
    number("busy", Unit::Count, 1, |row, _| {
        Cell::number(row.number("active"))
    }),
    number("waiting", Unit::Count, 1, |row, _| {
        Cell::number(row.number("waiting"))
    }),
    text("why it gets nothing", 20, 0, |row, _| {
        Cell::text(row.text("reason"))
    }),
];

/// Of SHOW STATEMENTS.
pub(super) const STATEMENTS: &[Column] = &[
    number("load", Unit::Rate, 0, |row, around| {
        match around.rate(row, "server_us") {
            Cell::Number(micros) => Cell::Number(micros / 1e6),
            other => other,
        }
    }),
    number("calls/s", Unit::Rate, 0, |row, around| {
        around.rate(row, "calls")
    }),
    number("total", Unit::Micros, 1, |row, _| {
        Cell::number(row.number("server_us"))
    }),
    number("calls", Unit::Count, 2, |row, _| {
        Cell::number(row.number("calls"))
    }),
    number("mean", Unit::Micros, 1, |row, _| {
        match (row.number("server_us"), row.number("calls")) {
            (Some(micros), Some(calls @ 1.0..)) => Cell::Number(micros / calls),
            _ => Cell::Nothing,
        }
    }),
    number("p95", Unit::Micros, 2, |row, _| {
        Cell::number(row.number("server_p95_us"))
    }),
    number("max", Unit::Micros, 4, |row, _| {
        Cell::number(row.number("server_max_us"))
    }),
    number("wait95", Unit::Micros, 4, |row, _| {
        Cell::number(row.number("wait_p95_us"))
    }),
    number("rows", Unit::Count, 5, |row, _| {
        Cell::number(row.number("rows"))
    }),
    number("errors", Unit::Count, 3, |row, _| {
        Cell::number(row.number("errors"))
    }),
    text("database", 12, 3, |row, _| Cell::text(row.text("database"))),
    text("user", 10, 5, |row, _| Cell::text(row.text("user"))),
    text("query", LONG, 0, |row, _| Cell::text(row.text("query"))),
];

/// Of SHOW FINDINGS.
pub(super) const FINDINGS: &[Column] = &[
    text("severity", 8, 0, |row, _| Cell::text(row.text("severity"))),
    text("rule", 24, 0, |row, _| Cell::text(row.text("rule"))),
    number("count", Unit::Count, 0, |row, _| {
        Cell::number(row.number("count"))
    }),
    number("time", Unit::Micros, 1, |row, _| {
        Cell::number(row.number("server_us"))
    }),
    number("trips", Unit::Count, 4, |row, _| {
        Cell::number(row.number("round_trips"))
    }),
    number("since", Unit::Age, 2, |row, around| {
        around.age(row, "first_seen")
    }),
    number("last", Unit::Age, 2, |row, around| {
        around.age(row, "last_seen")
    }),
    text("database", 12, 3, |row, _| Cell::text(row.text("database"))),
    text("app", 14, 1, |row, _| Cell::text(row.text("app"))),
    text("status", 7, 4, |row, _| Cell::text(row.text("status"))),
    text("what", LONG, 0, |row, _| Cell::text(row.text("message"))),
];

/// Of SHOW CLIENTS.
pub(super) const CLIENTS: &[Column] = &[
    DATABASE,
    USER,
    text("application", 18, 0, |row, _| {
        Cell::text(row.text("application_name"))
    }),
    text("state", 9, 0, |row, _| Cell::text(row.text("state"))),
    number("waiting", Unit::Micros, 0, |row, _| {
        match row.micros("wait", "wait_us") {
            Some(0.0) | None => Cell::Nothing,
            some => Cell::number(some),
        }
    }),
    number("asked", Unit::Age, 2, |row, around| {
        around.age(row, "request_time")
    }),
    number("age", Unit::Age, 3, |row, around| {
        around.age(row, "connect_time")
    }),
    number("prepared", Unit::Count, 5, |row, _| {
        Cell::number(row.number("prepared_statements"))
    }),
    text("server", 8, 4, |row, _| Cell::text(row.text("link"))),
    text("address", 21, 1, |row, _| address(row)),
    text("pinned by", 16, 4, |row, _| Cell::text(row.text("pins"))),
];
