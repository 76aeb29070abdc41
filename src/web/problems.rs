//! What is wrong now, for somebody who has ten seconds: the worst first, each with what to look at.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::audit::waits::Waiting;
use crate::control::{ClientRow, Snapshot};
use crate::locks::judge::who;
use crate::pool::snapshot::PoolRow;
use crate::session::clients::ClientState;
use crate::shutdown::Phase;

/// Problems that are told at once.
const MOST: usize = 20;

/// A wait for a server as short as this is no problem.
const SHORT: u64 = 50_000;

/// From here on a wait is what users notice.
const LONG: u64 = 1_000_000;

/// From here on a wait for a lock is none that goes away by itself, in milliseconds.
const LONG_LOCK: u64 = 5_000;

/// How bad it is; the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look soon.
    Warn,
    /// Users notice.
    Critical,
}

impl Severity {
    /// The word in the API; the same as for findings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Critical => "critical",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// What sort, a word.
    pub kind: &'static str,
    /// What it is about.
    pub subject: String,
    /// For people.
    pub text: String,
    /// The part of the page that tells more.
    pub view: String,
}

impl Problem {
    fn new(
        severity: Severity,
        kind: &'static str,
        subject: &str,
        text: String,
        view: &str,
    ) -> Self {
        Self {
            severity,
            kind,
            subject: subject.to_owned(),
            text,
            view: view.to_owned(),
        }
    }

    /// As the API has it.
    pub fn json(&self) -> Value {
        json!({
            "severity": self.severity.as_str(),
            "kind": self.kind,
            "subject": self.subject,
            "text": self.text,
            "view": self.view,
        })
    }
}

/// The costliest finding that is open and was seen lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Costliest {
    /// Its name.
    pub id: String,
    /// Its application; empty if it has no name.
    pub app: String,
    /// Its database.
    pub database: String,
    /// The rule.
    pub rule: &'static str,
    /// What is wrong.
    pub message: String,
    /// For how long it has been seen.
    pub since: Duration,
    /// Round trips.
    pub round_trips: u64,
    /// Microseconds of servers.
    pub server_us: u64,
    /// Whether the rule says that it is critical.
    pub critical: bool,
}

/// What problems are looked for in.
pub struct Facts<'a> {
    /// Of the workers.
    pub snapshot: &'a Snapshot,
    /// Rows of SHOW CLUSTER, and the lag in milliseconds from which a database's replicas get no reads.
    pub cluster: &'a [(Map<String, Value>, u64)],
    /// How far the process is.
    pub phase: Phase,
    /// Whether PAUSE holds everything.
    pub paused: bool,
    /// Client connections, and how many there may be.
    pub clients: (u64, u64),
    /// Logins to servers per second that failed lately.
    pub failed: f64,
    /// See there.
    pub costliest: Option<Costliest>,
    /// Lines that the audit trail could not write.
    pub unwritten: u64,
    /// Clients that wait for locks.
    pub locks: &'a [Waiting],
}

fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..120_000_000 => format!("{:.1} s", us as f64 / 1e6),
        _ => format!("{} min", us / 60_000_000),
    }
}

/// A number of things, whose plural ends with an s.
fn number(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

fn clients(count: u64) -> String {
    match count {
        1 => "1 client waits".to_owned(),
        n => format!("{n} clients wait"),
    }
}

/// Everything that is wrong, the worst first.
pub fn problems(facts: &Facts<'_>) -> Vec<Problem> {
    let mut all = Vec::new();
    process(facts, &mut all);
    for pool in facts.snapshot.whole_pools() {
        all.extend(waiting(&pool, facts));
    }
    locks(facts.locks, &mut all);
    clusters(facts.cluster, &mut all);
    if facts.failed > 0.0 {
        let text = format!(
            "logins to servers fail: {:.1} per second; the log tells why",
            facts.failed
        );
        all.push(Problem::new(
            Severity::Critical,
            "server_login",
            "servers",
            text,
            "servers",
        ));
    }
    if let Some(finding) = &facts.costliest {
        let severity = match finding.critical {
            true => Severity::Critical,
            false => Severity::Warn,
        };
        let who = match &*finding.app {
            "" => &finding.database,
            app => app,
        };
        let text = format!(
            "{}: {} {} and {} of servers in {}.",
            finding.rule,
            finding.message,
            number(finding.round_trips, "round trip"),
            time(finding.server_us),
            time(u64::try_from(finding.since.as_micros()).unwrap_or(u64::MAX)),
        );
        let view = format!("findings/{}", finding.id);
        all.push(Problem::new(severity, "finding", who, text, &view));
    }
    // Stable: what was found first of the same severity stays first.
    all.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    all.truncate(MOST);
    all
}

fn process(facts: &Facts<'_>, all: &mut Vec<Problem>) {
    if facts.phase > Phase::Running {
        let text = format!(
            "pgweir is being shut down ({}): no new clients are let in",
            facts.phase.as_str()
        );
        all.push(Problem::new(
            Severity::Warn,
            "shutdown",
            "pgweir",
            text,
            "overview",
        ));
    }
    if facts.paused {
        let text = "everything is paused; RESUME ends it".to_owned();
        all.push(Problem::new(
            Severity::Critical,
            "paused",
            "pgweir",
            text,
            "pools",
        ));
    }
    let (connected, most) = facts.clients;
    if most > 0 && connected * 10 >= most * 9 {
        let severity = match connected >= most {
            true => Severity::Critical,
            false => Severity::Warn,
        };
        let text = format!("{connected} of {most} client connections are taken (max_client_conn)");
        all.push(Problem::new(severity, "clients", "pgweir", text, "clients"));
    }
    if facts.unwritten > 0 {
        let text = format!(
            "{} of the audit trail could not be written; the log tells why",
            number(facts.unwritten, "line")
        );
        all.push(Problem::new(
            Severity::Critical,
            "audit",
            "audit trail",
            text,
            "audit",
        ));
    }
}

/// The client of a pool that has had its server for longest.
fn holder<'a>(pool: &PoolRow, facts: &Facts<'a>) -> Option<&'a ClientRow> {
    let servers = facts.snapshot.servers.iter();
    let of_pool = servers.filter(|server| server.key == pool.key && server.client != 0);
    let first = of_pool.min_by_key(|server| server.requested)?;
    let mut clients = facts.snapshot.clients.iter();
    clients.find(|client| client.id == first.client && client.state == ClientState::Active)
}

fn waiting(pool: &PoolRow, facts: &Facts<'_>) -> Option<Problem> {
    let subject = match &pool.key.replica {
        None => format!("{}/{}", pool.key.database, pool.key.user),
        Some(replica) => format!("{}/{} on {replica}", pool.key.database, pool.key.user),
    };
    if pool.paused && !facts.paused {
        let text = match pool.cl_waiting {
            0 => "paused; RESUME ends it".to_owned(),
            n => format!("paused, and {}; RESUME ends it", clients(n.into())),
        };
        return Some(Problem::new(
            Severity::Warn,
            "paused",
            &subject,
            text,
            "pools",
        ));
    }
    if pool.cl_waiting == 0 || pool.maxwait_us < SHORT {
        return None;
    }
    let severity = match pool.maxwait_us >= LONG {
        true => Severity::Critical,
        false => Severity::Warn,
    };
    let mut text = format!(
        "{} for a server, the first for {}; {} of {} servers are in use",
        clients(pool.cl_waiting.into()),
        time(pool.maxwait_us),
        pool.sv_active,
        pool.size,
    );
    if let Some(client) = holder(pool, facts) {
        let held = client.requested.elapsed().unwrap_or_default();
        if held >= Duration::from_secs(5) {
            let who = match &*client.application_name {
                "" => client.user.to_string(),
                name => name.to_owned(),
            };
            let us = u64::try_from(held.as_micros()).unwrap_or(u64::MAX);
            text.push_str(&format!(
                "; client {} ({who}) has one since its last request {} ago",
                crate::admin::show::clients::shown_id(client.id),
                time(us)
            ));
        }
    }
    Some(Problem::new(severity, "waiting", &subject, text, "pools"))
}

/// A line for each database in which clients wait for locks, with who is at the head of the longest wait.
fn locks(waiting: &[Waiting], all: &mut Vec<Problem>) {
    let mut databases: Vec<&str> = waiting.iter().map(|one| &*one.database).collect();
    databases.sort_unstable();
    databases.dedup();
    for database in databases {
        let here = || waiting.iter().filter(|one| &*one.database == database);
        let Some(longest) = here().max_by_key(|one| one.waited_ms) else {
            continue;
        };
        let us = |ms: u64| time(ms.saturating_mul(1_000));
        let mut text = format!(
            "{} for {}, the first for {}",
            clients(here().count() as u64),
            if here().nth(1).is_some() {
                "locks"
            } else {
                "a lock"
            },
            us(longest.waited_ms)
        );
        if !longest.relation.is_empty() {
            text.push_str(&format!(" on {}", longest.relation));
        }
        if let Some(head) = longest.root.as_ref().or(longest.blocker.as_ref()) {
            text.push_str(&format!("; {} is in the way", who(head)));
            if let (false, Some(ms)) = (head.state.is_empty(), head.state_ms) {
                text.push_str(&format!(", {} for {}", head.state, us(ms)));
            }
        }
        let severity = match longest.waited_ms >= LONG_LOCK {
            true => Severity::Critical,
            false => Severity::Warn,
        };
        all.push(Problem::new(severity, "locks", database, text, "locks"));
    }
}

fn clusters(rows: &[(Map<String, Value>, u64)], all: &mut Vec<Problem>) {
    let text = |row: &Map<String, Value>, name: &str| {
        let value = row.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let mut databases: Vec<String> = rows.iter().map(|(row, _)| text(row, "database")).collect();
    databases.dedup();
    for database in databases {
        let of_it = || {
            rows.iter()
                .filter(|(row, _)| text(row, "database") == database)
        };
        if !of_it().any(|(row, _)| text(row, "role") == "primary") {
            let told = "no server is the primary: writes wait".to_owned();
            all.push(Problem::new(
                Severity::Critical,
                "no_primary",
                &database,
                told,
                "servers",
            ));
        }
        for (row, max_lag) in of_it() {
            let (server, role, reason) =
                (text(row, "server"), text(row, "role"), text(row, "reason"));
            let lag = row.get("lag_ms").and_then(Value::as_u64).unwrap_or(0);
            let (severity, kind, told) = match &*role {
                "fenced" => (
                    Severity::Critical,
                    "fenced",
                    format!("fenced, it gets nothing: {reason}"),
                ),
                "stranger" => (
                    Severity::Critical,
                    "stranger",
                    format!("gets nothing: {reason}"),
                ),
                "down" => (Severity::Warn, "down", format!("does not answer: {reason}")),
                "replica" if *max_lag > 0 && lag > *max_lag => {
                    let us = |ms: u64| time(ms.saturating_mul(1_000));
                    let told = format!(
                        "{} behind its primary, more than {}: it gets no reads",
                        us(lag),
                        us(*max_lag)
                    );
                    (Severity::Warn, "lag", told)
                }
                "replica" if text(row, "state") == "banned" => {
                    let told = format!("gets no reads {reason}");
                    (Severity::Warn, "banned", told)
                }
                _ => continue,
            };
            let subject = format!("{database} on {server}");
            all.push(Problem::new(severity, kind, &subject, told, "servers"));
        }
    }
}

#[cfg(test)]
mod tests;
