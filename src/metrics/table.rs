//! The rows.

use super::Kind::{Counter, Gauge};
use super::Source::{Pool, PoolBy, Process, Series};
use super::{Kind, Metric, OfPool, OfTimes, Source, cluster, findings};

const fn counter(name: &'static str, help: &'static str, source: Source) -> Metric {
    let kind = Counter;
    Metric {
        name,
        kind,
        help,
        source,
    }
}

const fn gauge(name: &'static str, help: &'static str, source: Source) -> Metric {
    let kind = Gauge;
    Metric {
        name,
        kind,
        help,
        source,
    }
}

const fn times(name: &'static str, help: &'static str, of: OfTimes) -> Metric {
    Metric {
        name,
        kind: Kind::Histogram,
        help,
        source: Source::Times(of),
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

/// Every metric.
pub const METRICS: &[Metric] = &[
    gauge("pgweir_info", "Always 1; pgweir is here.", Process(|_| 1.0)),
    gauge(
        "pgweir_uptime_seconds",
        "Time since the process started.",
        Process(|r| r.process.started.elapsed().as_secs_f64()),
    ),
    gauge(
        "pgweir_phase",
        "How far the process is with its life: 0 starting, 1 running, 2 waiting for clients, 3 waiting for servers, 4 stopped.",
        Process(|r| f64::from(r.process.phase.get() as u8)),
    ),
    gauge(
        "pgweir_paused",
        "1 while everything is paused.",
        Process(|r| f64::from(u8::from(r.process.holds.read().all))),
    ),
    gauge(
        "pgweir_client_connections",
        "Clients connected, those logging in included.",
        Process(|r| f64::from(r.process.clients.get())),
    ),
    gauge(
        "pgweir_client_connections_limit",
        "max_client_conn.",
        Process(|r| f64::from(r.process.config.load().settings.max_client_conn)),
    ),
    gauge(
        "pgweir_prepared_statements",
        "Definitions of prepared statements remembered.",
        Process(|r| r.process.statements.len() as f64),
    ),
    gauge(
        "pgweir_prepared_statements_bytes",
        "Bytes of their texts.",
        Process(|r| r.process.statements.bytes() as f64),
    ),
    gauge(
        "pgweir_analysis_cache_entries",
        "Texts and shapes of statements remembered.",
        Process(|r| r.snapshot.analyses.entries as f64),
    ),
    gauge(
        "pgweir_analysis_cache_bytes",
        "Bytes they take.",
        Process(|r| r.snapshot.analyses.bytes as f64),
    ),
    counter(
        "pgweir_analysis_hits_total",
        "Texts that were known.",
        Process(|r| r.snapshot.analyses.hits as f64),
    ),
    counter(
        "pgweir_analysis_shape_hits_total",
        "Texts whose shape was known.",
        Process(|r| r.snapshot.analyses.shape_hits as f64),
    ),
    counter(
        "pgweir_analysis_parses_total",
        "Texts that were analysed anew.",
        Process(|r| r.snapshot.analyses.parses as f64),
    ),
    counter(
        "pgweir_analysis_given_up_total",
        "Texts that were too long, too deep or too odd to be analysed.",
        Process(|r| r.snapshot.analyses.unanalysed as f64),
    ),
    counter(
        "pgweir_lint_findings_total",
        "Hits of rules. Of databases and applications the first 100 are told apart, the rest is `other`.",
        Series(
            &["rule", "kind", "severity", "database", "app", "action"],
            findings::total,
        ),
    ),
    gauge(
        "pgweir_lint_findings_active",
        "Findings that are open: hit within seven days, and not acknowledged.",
        Series(&["rule", "severity", "database"], findings::active),
    ),
    counter(
        "pgweir_lint_blocked_total",
        "Statements that a rule refused.",
        Series(&["rule", "database", "app"], findings::blocked),
    ),
    counter(
        "pgweir_lint_wasted_round_trips_total",
        "Round trips that loops and repetitions could have saved.",
        Series(&["rule", "database"], findings::wasted_round_trips),
    ),
    counter(
        "pgweir_lint_wasted_seconds_total",
        "Time that they took, of servers and between statements.",
        Series(&["rule", "database"], findings::wasted_seconds),
    ),
    counter(
        "pgweir_lint_skipped_total",
        "What the rules did not look into: texts not accepted by the parser, too large, or with a statement of which nothing can be said (DO, CALL, EXECUTE: opaque), and reports dropped under load (overload).",
        Series(&["reason"], findings::skipped),
    ),
    counter(
        "pgweir_lint_state_evicted_total",
        "What was forgotten to make room: findings, and of the sequence engine scopes (requests), transactions, runs, parents, repeats and windows (of a minute).",
        Series(&["kind"], findings::evicted),
    ),
    counter(
        "pgweir_firewall_statements_total",
        "Statements that a profile of the firewall had something against (unknown, stretched), how many of them it refused, and those that there was no room to learn (no_room).",
        Series(&["profile", "verdict"], findings::firewall),
    ),
    gauge(
        "pgweir_firewall_entries",
        "Statements that a profile of the firewall knows, by the mode it is in.",
        Series(&["profile", "mode"], findings::firewall_entries),
    ),
    gauge(
        "pgweir_cluster_server",
        "1 for the role that a server of a cluster has: primary, replica, fenced, down or unknown, as in SHOW CLUSTER.",
        Series(&["database", "server", "role"], cluster::roles),
    ),
    gauge(
        "pgweir_cluster_lag_seconds",
        "How far a replica is behind, in seconds.",
        Series(&["database", "server"], cluster::lag_seconds),
    ),
    gauge(
        "pgweir_cluster_lag_bytes",
        "How far a server has still to replay, in bytes of the primary's log.",
        Series(&["database", "server"], cluster::lag_bytes),
    ),
    gauge(
        "pgweir_cluster_banned",
        "1 while a replica gets no reads because it failed somebody, else 0.",
        Series(&["database", "server"], cluster::banned),
    ),
    gauge(
        "pgweir_cluster_refused_statements",
        "Statements that read as far as their text tells, and that go to the primary because a replica refused them.",
        Series(&["database"], cluster::refused),
    ),
    counter(
        "pgweir_cluster_retries_total",
        "Statements that a replica refused and that the primary was asked instead, without the client's notice.",
        Series(&["database"], cluster::retries),
    ),
    counter(
        "pgweir_mirror_transactions_total",
        "Transactions that the mirror of a database ran too, or was to: same, rows_differ, errors_differ, failed, dropped or passed_over, as in SHOW MIRRORS.",
        Series(&["database", "outcome"], cluster::mirrored),
    ),
    counter(
        "pgweir_otlp_dropped_total",
        "Spans and lines of the log that found no room among those that wait for OpenTelemetry's collector, or that it did not take.",
        Process(|r| {
            let lines = r.process.lines.get().map_or(0, |lines| lines.dropped());
            (r.process.spans.dropped() + lines) as f64
        }),
    ),
    counter(
        "pgweir_audit_lines_lost_total",
        "Lines that the audit trail could not write.",
        Process(|r| r.process.observer.unwritten() as f64),
    ),
    gauge(
        "pgweir_lint_state_bytes",
        "Bytes that the sequence engine keeps, roughly.",
        Process(|r| r.process.observer.engine().1 as f64),
    ),
    counter(
        "pgweir_lint_cache_hits_total",
        "Texts that the rules knew, or the shape of which they knew.",
        Process(|r| (r.snapshot.texts.hits + r.snapshot.texts.shape_hits) as f64),
    ),
    counter(
        "pgweir_lint_cache_misses_total",
        "Texts that were parsed for the rules.",
        Process(|r| r.snapshot.texts.parses as f64),
    ),
    Metric {
        source: Source::Queries(|times| &times.query),
        ..times(
            "pgweir_query_seconds",
            "How long queries took: from the request until the server was ready and owed nothing.",
            |times| &times.query,
        )
    },
    times(
        "pgweir_transaction_seconds",
        "How long transactions took.",
        |times| &times.xact,
    ),
    times(
        "pgweir_wait_seconds",
        "How long clients waited for a server, those that got one at once and those that got none included.",
        |times| &times.wait,
    ),
    times(
        "pgweir_connect_seconds",
        "How long it took to connect and log in to a server, if that succeeded.",
        |times| &times.connect,
    ),
    gauge(
        "pgweir_pool_clients",
        "Clients of the pool by state: active (with a server or without need of one) or waiting for a server.",
        PoolBy(
            "state",
            &[
                ("active", |p| {
                    f64::from(p.clients.saturating_sub(p.cl_waiting))
                }),
                ("waiting", |p| f64::from(p.cl_waiting)),
            ],
        ),
    ),
    gauge(
        "pgweir_pool_servers",
        "Server connections of the pool by state.",
        PoolBy("state", SERVERS),
    ),
    gauge(
        "pgweir_pool_servers_limit",
        "Server connections that the pool may have, without its reserve.",
        Pool(|p| f64::from(p.size)),
    ),
    gauge(
        "pgweir_pool_max_wait_seconds",
        "How long the client that waits longest for a server has been waiting.",
        Pool(|p| seconds(p.maxwait_us)),
    ),
    gauge(
        "pgweir_pool_paused",
        "1 while the pool is paused.",
        Pool(|p| f64::from(u8::from(p.paused))),
    ),
    counter(
        "pgweir_server_assignments_total",
        "Times that a client was given a server.",
        Pool(|p| p.totals.assignments as f64),
    ),
    counter(
        "pgweir_transactions_total",
        "Transactions.",
        Pool(|p| p.totals.xacts as f64),
    ),
    counter(
        "pgweir_queries_total",
        "Requests until the server was ready and owed nothing; a pipeline is one.",
        Pool(|p| p.totals.queries as f64),
    ),
    counter(
        "pgweir_received_bytes_total",
        "Bytes from clients.",
        Pool(|p| p.totals.received as f64),
    ),
    counter(
        "pgweir_sent_bytes_total",
        "Bytes to clients.",
        Pool(|p| p.totals.sent as f64),
    ),
    counter(
        "pgweir_transaction_microseconds_total",
        "Time in transactions.",
        Pool(|p| p.totals.xact_us as f64),
    ),
    counter(
        "pgweir_query_microseconds_total",
        "Time in queries.",
        Pool(|p| p.totals.query_us as f64),
    ),
    counter(
        "pgweir_wait_microseconds_total",
        "Time that clients waited for a server.",
        Pool(|p| p.totals.wait_us as f64),
    ),
    counter(
        "pgweir_client_parses_total",
        "Parse messages of clients for named statements.",
        Pool(|p| p.totals.client_parses as f64),
    ),
    counter(
        "pgweir_server_parses_total",
        "Parse messages sent to servers for them.",
        Pool(|p| p.totals.server_parses as f64),
    ),
    counter(
        "pgweir_binds_total",
        "Bind messages for them.",
        Pool(|p| p.totals.binds as f64),
    ),
    counter(
        "pgweir_client_logins_total",
        "Logins of clients.",
        Pool(|p| p.totals.logins as f64),
    ),
    counter(
        "pgweir_server_logins_total",
        "Server connections opened.",
        Pool(|p| p.totals.opened as f64),
    ),
    counter(
        "pgweir_server_login_failures_total",
        "Logins to servers that failed.",
        Pool(|p| p.totals.failed as f64),
    ),
    counter(
        "pgweir_server_closes_total",
        "Server connections closed.",
        Pool(|p| p.totals.closed as f64),
    ),
    counter(
        "pgweir_client_errors_total",
        "Errors that pgweir itself sent to clients.",
        Pool(|p| p.totals.errors as f64),
    ),
    counter(
        "pgweir_wait_timeouts_total",
        "Waits for a server that query_wait_timeout ended.",
        Pool(|p| p.totals.wait_timeouts as f64),
    ),
];

const SERVERS: &[(&str, OfPool)] = &[
    ("active", |p| f64::from(p.sv_active)),
    ("idle", |p| f64::from(p.sv_idle + p.sv_used)),
    ("being_canceled", |p| f64::from(p.sv_being_canceled)),
    ("tested", |p| f64::from(p.sv_tested)),
    ("login", |p| f64::from(p.sv_login)),
];
