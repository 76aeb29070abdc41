//! The head of the view: how things stand in all pools together.

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use super::answer::Answer;

/// The console's own pool, which is left out.
pub const CONSOLE: &str = "pgbouncer";

/// What is asked at each look besides what the screen shows; [`Reading`] has the answers in this order.
pub const QUESTIONS: [&str; 5] = [
    "SHOW TOTALS",
    "SHOW POOLS",
    "SHOW DATABASES",
    "SHOW STATE",
    "SHOW STATS",
];

/// One look at the console.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When, for intervals.
    pub at: Instant,
    /// When, on the calendar.
    pub time: SystemTime,
    /// Answers to [`QUESTIONS`].
    pub head: [Answer; 5],
    /// The screen that was asked for, and its answer.
    pub screen: (usize, Answer),
    /// The plan of the statement that is looked at, if there is one.
    pub plan: Option<Answer>,
}

impl Reading {
    /// Servers that pools of each database may have.
    pub fn sizes(&self) -> HashMap<String, f64> {
        let rows = self.head[2].rows();
        rows.filter_map(|row| Some((row.text("name").to_owned(), row.number("pool_size")?)))
            .collect()
    }
}

/// The numbers of the head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Transactions per second; `None` before the second look.
    pub transactions: Option<f64>,
    /// Queries per second.
    pub queries: Option<f64>,
    /// Average time of a query in microseconds, of those since the look before.
    pub query_us: Option<f64>,
    /// Errors of pgweir's own that clients got, per second.
    pub errors: Option<f64>,
    /// Clients that do not wait.
    pub clients: u64,
    /// Clients that wait for a server.
    pub waiting: u64,
    /// How long the first of them has, in microseconds.
    pub longest_us: f64,
    /// Servers with a client.
    pub busy: u64,
    /// Servers in all.
    pub servers: u64,
    /// Databases that are paused, or everything.
    pub paused: Option<String>,
    /// How far a shutdown is; empty in normal operation.
    pub phase: String,
}

/// Errors that clients got, in SHOW TOTALS.
const ERRORS: &str = "total_client_error_count";

/// A column of SHOW STATS for all databases together: in SHOW TOTALS whoever looks is counted too.
fn all(stats: &Answer, column: &str) -> f64 {
    let databases = stats.rows().filter(|row| row.text("database") != CONSOLE);
    databases.filter_map(|row| row.number(column)).sum()
}

/// The numbers of `now`; rates are those since `before`.
pub fn totals(now: &Reading, before: Option<&Reading>) -> Totals {
    let [sums, pools, databases, state, stats] = &now.head;
    // A pgweir that began anew counts from zero.
    let grown = |now: f64, then: f64| (now - then).max(0.0);
    let growth = |name: &str| Some(grown(all(stats, name), all(&before?.head[4], name)));
    let seconds = before.map(|before| now.at.duration_since(before.at).as_secs_f64().max(0.001));
    let rate = |name: &str| Some(growth(name)? / seconds?);
    let queries = growth("total_query_count").filter(|count| *count > 0.0);
    let mut totals = Totals {
        transactions: rate("total_xact_count"),
        queries: rate("total_query_count"),
        query_us: growth("total_query_time")
            .zip(queries)
            .map(|(us, n)| us / n),
        errors: before.zip(seconds).map(|(before, seconds)| {
            let [now, then] = [sums, &before.head[0]].map(|sums| sums.named(ERRORS) as f64);
            grown(now, then) / seconds
        }),
        ..Totals::default()
    };
    for row in pools.rows().filter(|row| row.text("database") != CONSOLE) {
        let number = |name: &str| row.number(name).unwrap_or(0.0) as u64;
        totals.clients += number("cl_active");
        totals.waiting += number("cl_waiting");
        totals.busy += number("sv_active");
        // Those with a cancel request on its way have a client too.
        totals.servers += number("sv_active") + number("sv_idle");
        totals.servers += number("sv_tested") + number("sv_being_canceled");
        let wait = row.micros("maxwait", "maxwait_us").unwrap_or(0.0);
        totals.longest_us = totals.longest_us.max(wait);
    }
    let is = |name: &str, value: &str| {
        let found = state.rows().find(|row| row.at(0) == name);
        found.is_some_and(|row| row.at(1) == value)
    };
    let paused = databases.rows().filter(|row| row.text("paused") == "1");
    let names: Vec<&str> = paused.map(|row| row.text("name")).collect();
    totals.paused = match names.is_empty() {
        _ if is("paused", "yes") => Some("everything".to_owned()),
        false => Some(names.join(", ")),
        true => None,
    };
    let phase = state.rows().find(|row| row.at(0) == "phase");
    let phase = phase.map(|row| row.at(1)).unwrap_or_default();
    if phase != "running" {
        phase.clone_into(&mut totals.phase);
    }
    totals
}

#[cfg(test)]
pub(crate) mod tests;
