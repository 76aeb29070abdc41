//! Keys about the process, the console, the log and statistics.

use super::super::field::Field::{
    Bool, Count, File, Hidden, Millis, Names, Seconds, Size32, Size64, SomeSeconds, Text,
};
use super::Key;

pub(super) const KEYS: &[Key] = &[
    Key::process(
        "workers",
        "0",
        Count(0, 1024, |s| &mut s.workers),
        "Threads that serve clients. 0 chooses: one up to two cores, else half the cores and at least two.",
    )
    .ours()
    .needs_restart(),
    Key::process(
        "admin_users",
        "",
        Names(|s| &mut s.admin_users),
        "Users who may run every command on the console, separated by commas.",
    ),
    Key::process(
        "stats_users",
        "",
        Names(|s| &mut s.stats_users),
        "Users who may run SHOW on the console, separated by commas.",
    ),
    Key::process(
        "shutdown_timeout",
        "0",
        Seconds(|s| &mut s.shutdown_timeout),
        "After SIGTERM pgweir waits until all clients have left. When half of this time has passed, those that remain are told to leave (57P01), each as soon as it is in no transaction; when all of it has passed, whoever is left is disconnected. Give the service manager a little more. 0: it waits for ever, as PgBouncer does.",
    )
    .ours(),
    Key::process(
        "stats_period",
        "60",
        SomeSeconds(|s| &mut s.stats_period),
        "Period of the averages in SHOW STATS and of the statistics line in the log.",
    ),
    Key::process(
        "log_connections",
        "1",
        Bool(|s| &mut s.log_connections),
        "Log each login.",
    ),
    Key::process(
        "log_disconnections",
        "1",
        Bool(|s| &mut s.log_disconnections),
        "Log when a client leaves, and why.",
    ),
    Key::process(
        "log_pooler_errors",
        "1",
        Bool(|s| &mut s.log_pooler_errors),
        "Log errors that pgweir itself sends to clients.",
    ),
    Key::process(
        "log_stats",
        "1",
        Bool(|s| &mut s.log_stats),
        "Log a line of statistics every `stats_period`.",
    ),
    Key::process(
        "log_slow_query",
        "0",
        Seconds(|s| &mut s.log_slow_query),
        "Log each statement that took so long or longer, with the time it waited for a server, the time it took there and how long of that it was seen waiting for locks, without its literals; at most 100 lines a minute. 0: none.",
    )
    .ours(),
    Key::process(
        "lint",
        "1",
        Bool(|s| &mut s.lint),
        "Look for anti-patterns in what clients send; `pgweir explain` lists the rules. Holds for clients that log in after a change.",
    )
    .ours(),
    Key::process(
        "lint_default_action",
        "log",
        Text(|s| &mut s.lint_default_action),
        "What is done about rules that nothing else names: `off`, `log`, `notice` or `block`; rules that are off by default stay off. In TOML `[lint.rules.ID]` and `[[lint.override]]` say it for single rules, databases, users and applications.",
    )
    .ours(),
    Key::process(
        "lint_profile",
        "default",
        Text(|s| &mut s.lint_profile),
        "`strict` refuses what is hardly ever meant, unless something else names the rule: UPDATE and DELETE without a restriction (`missing-where`) or with `= NULL`, shapes of injected SQL except the tautology, passwords in clear text, functions that reach outside the database, and logins as a superuser or without TLS from another machine.",
    )
    .ours(),
    Key::process(
        "lint_fail_closed",
        "0",
        Bool(|s| &mut s.lint_fail_closed),
        "Where some rule refuses statements, also refuse texts that the rules cannot look into: what the parser does not accept and what is longer than `lint_max_statement_bytes` (SQLSTATE `QL901`). Without it they pass and are counted.",
    )
    .ours(),
    Key::process(
        "lint_max_statement_bytes",
        "65536",
        Size32(1024, 65_536, |s| &mut s.lint_max_statement_bytes),
        "Longest text that is parsed for the rules, at most 64 kB.",
    )
    .ours(),
    Key::process(
        "lint_inline_suppress_security",
        "0",
        Bool(|s| &mut s.lint_inline_suppress_security),
        "Comments that name a rule about security silence it too. Whoever can write a statement can write its comment.",
    )
    .needs_restart()
    .ours(),
    Key::process(
        "lint_off",
        "",
        Names(|s| &mut s.lint_off),
        "Rules that say nothing, as `rule` or `rule:kind`.",
    )
    .ours(),
    Key::process(
        "lint_notice",
        "",
        Names(|s| &mut s.lint_notice),
        "Rules of which the client is told by a NoticeResponse, once for each statement and session, as `rule` or `rule:kind`. Of what only several statements show (loops, repetition, transactions) it is told with the reply to a later statement of its own, once for each finding.",
    )
    .ours(),
    Key::process(
        "lint_annotate",
        "",
        Names(|s| &mut s.lint_annotate),
        "Rules whose statements the server gets with a comment behind them, `/*lint='select-star'*/`, so that they are recognised in `pg_stat_activity` and in its log.",
    )
    .ours(),
    Key::process(
        "lint_block",
        "",
        Names(|s| &mut s.lint_block),
        "Rules whose statements are refused with SQLSTATE `QL` and the rule's number, as `rule` or `rule:kind`; inside a transaction the server's transaction fails too. Only rules that can be decided before a statement runs.",
    )
    .ours(),
    Key::process(
        "lint_sensitive_columns",
        "",
        Names(|s| &mut s.lint_sensitive_columns),
        "Columns that `bulk-sensitive-read` looks for besides those whose names tell (`password`, `ssn`, `iban`, `*_secret` and so on): `salary`, `*_tax_id`, `patient.diagnosis`, each in upper or lower case, with `*` for anything. With `!` in front a column is none, whatever its name: `!git_hash`.",
    )
    .ours(),
    Key::process(
        "lint_inline_suppress",
        "1",
        Bool(|s| &mut s.lint_inline_suppress),
        "A comment such as `/* lint:ignore=select-star */` silences rules for its statement, those about security excepted.",
    )
    .needs_restart()
    .ours(),
    Key::process(
        "findings_file",
        "",
        File(|s| &mut s.findings_file),
        "Keep findings in this file, so that they outlive a restart with their counts, times and ACKs; so do changes by SET RULE, until a RELOAD. It is written every 30 seconds, soon after ACK and RESET FINDINGS, and at the end, with mode 0600 and at most 64 MB; statements are in it as SHOW FINDINGS shows them. A file that is damaged is told in the log and renamed to `FILE.bad`, and pgweir starts without findings. Each process needs a file of its own.",
    )
    .needs_restart()
    .ours(),
    Key::process(
        "zone",
        "",
        Text(|s| &mut s.zone),
        "Where this pgweir stands, in the words that the servers of a database have for `zone`: reads go to replicas of the same zone as long as one of them may have them.",
    )
    .ours(),
    Key::process(
        "cluster_check_interval",
        "500",
        Millis(|s| &mut s.cluster_check_interval),
        "How often each of a database's `servers` is asked who it is and how far it has come. A failover is noticed after this time at the latest, and earlier if a connection breaks.",
    )
    .ours(),
    Key::process(
        "advisor",
        "1",
        Bool(|s| &mut s.advisor),
        "Look at the schema of each database in use and at the plans of its costliest statements, through a connection of its own that only reads: foreign keys without an index, indexes that earn nothing, sequential scans of large tables, keys near their end. Another one asks who waits for whose lock, while a statement runs longer than the rule lock-contention allows. Needs `lint`.",
    )
    .ours(),
    Key::process(
        "advisor_interval",
        "3600",
        Seconds(|s| &mut s.advisor_interval),
        "How often a database is looked at; the first time a minute after its first client, or after this time if that is shorter. `ADVISE` on the console looks at once.",
    )
    .ours(),
    Key::process(
        "otlp_endpoint",
        "",
        Text(|s| &mut s.otlp_endpoint),
        "Send metrics, traces and the log to a collector of OpenTelemetry by OTLP over HTTP (protobuf): its address without `/v1/…`, such as `http://127.0.0.1:4318`. `https` needs `otlp_ca_file`. Empty: nothing is sent (docs/otlp.md).",
    )
    .ours(),
    Key::process(
        "otlp_signals",
        "metrics,traces",
        Names(|s| &mut s.otlp_signals),
        "What is sent to `otlp_endpoint`: some of `metrics`, `traces` and `logs`.",
    )
    .ours(),
    Key::process(
        "otlp_traces_per_thousand",
        "1000",
        Count(0, 1_000, |s| &mut s.otlp_traces_per_thousand),
        "Of how many of a thousand traces `otlp_endpoint` is sent the statements, of those that applications record. Which ones is decided by the trace's id, as OpenTelemetry's samplers do, so that a trace has all of its statements or none.",
    )
    .ours(),
    Key::process(
        "otlp_metrics_interval",
        "15",
        SomeSeconds(|s| &mut s.otlp_metrics_interval),
        "How often `otlp_endpoint` is sent metrics.",
    )
    .ours(),
    Key::process(
        "otlp_headers",
        "",
        Hidden(|s| &mut s.otlp_headers),
        "What is said in the head of each request to `otlp_endpoint`, as `NAME=VALUE` with commas between: `authorization=Basic …`. Shown nowhere.",
    )
    .ours(),
    Key::process(
        "otlp_ca_file",
        "",
        File(|s| &mut s.otlp_ca_file),
        "Authorities (PEM) that the certificate of an `otlp_endpoint` with `https` must come from; it must name the host.",
    )
    .ours(),
    Key::process(
        "audit_file",
        "",
        File(|s| &mut s.audit_file),
        "Write an audit trail to this file: one JSON line for each statement, chained so that a line that is missing shows (`pgweir audit verify`). No literal of a statement is written.",
    )
    .needs_restart()
    .ours(),
    Key::process(
        "audit_policy",
        "writes",
        Text(|s| &mut s.audit_policy),
        "What is written to the audit trail, one word or several with commas: `all`, `writes` (everything that may write), `ddl` (schema and role changes), `roles` (changes of roles and of what they may do), and `logins` (with logouts) or `failed-logins`. Without a word about logins all of them are written. `off`: nothing. `[[audit.override]]` says otherwise for a `database` or `user` (docs/audit.md).",
    )
    .ours(),
    Key::process(
        "audit_sample",
        "1",
        Count(1, 1_000_000_000, |s| &mut s.audit_sample),
        "One of how many statements is written to the audit trail. Statements that fail or are refused, and logins, always are.",
    )
    .ours(),
    Key::process(
        "audit_on_full",
        "drop",
        Text(|s| &mut s.audit_on_full),
        "What happens when lines of the audit trail come faster than the disk takes them, or it takes none. `drop`: queries go on, and the trail says how many lines are missing. `block`: nothing is lost, clients wait.",
    )
    .needs_restart()
    .ours(),
    Key::process(
        "audit_key_file",
        "",
        File(|s| &mut s.audit_key_file),
        "A secret of at least 16 bytes with which the chain of the audit trail is made, so that whoever can write to its files cannot forge it. Keep it where the files do not go.",
    )
    .needs_restart()
    .ours(),
    Key::process(
        "audit_max_size",
        "100MB",
        Size64(0, |s| &mut s.audit_max_size),
        "Begin a new file of the audit trail at this size in bytes; the old one gets the time behind its name. 0: never.",
    )
    .needs_restart()
    .ours(),
    Key::process(
        "audit_max_age",
        "86400",
        Seconds(|s| &mut s.audit_max_age),
        "Begin a new file of the audit trail after this time. 0: never.",
    )
    .needs_restart()
    .ours(),
    Key::process(
        "log_level",
        "info",
        Text(|s| &mut s.log_level),
        "`error`, `warn`, `info`, `debug` or `trace`, or a filter such as `info,pgweir::pool=debug`. `SET log_level = 'info,pgweir::session=trace'` on the console changes it at once, for a module or for all, until the next RELOAD.",
    )
    .ours(),
    Key::process(
        "log_json",
        "0",
        Bool(|s| &mut s.log_json),
        "Log one JSON object per line instead of text.",
    )
    .ours()
    .needs_restart(),
    Key::process(
        "log_repeats",
        "0",
        Count(0, 1_000_000, |s| &mut s.log_repeats),
        "Most lines with the same message from the same place in ten seconds, whatever numbers and fields they have; what is beyond is counted, and told in one line. 0: no limit.",
    )
    .ours()
    .toml("100", "a message that repeats itself hides the others"),
    Key::process(
        "verbose",
        "0",
        Count(0, 127, |s| &mut s.verbose),
        "Log more than `log_level` says: 1 is debug, 2 and more trace. `-v` on the command line adds to it.",
    ),
    Key::process(
        "syslog",
        "0",
        Bool(|s| &mut s.syslog),
        "Log to the system's log (`/dev/log`) too, besides `logfile` or standard error. Lines that it does not take at once are left out there.",
    ),
    Key::process(
        "syslog_facility",
        "daemon",
        Text(|s| &mut s.syslog_facility),
        "Facility of lines in the system's log: `auth`, `authpriv`, `daemon`, `user` or `local0` to `local7`.",
    ),
    Key::process(
        "syslog_ident",
        "pgbouncer",
        Text(|s| &mut s.syslog_ident),
        "Name of the program in the system's log.",
    )
    .toml("pgweir", "that is its name"),
    Key::process(
        "user",
        "",
        Text(|s| &mut s.user),
        "Become this user of the system at start, before anything is opened; works if pgweir is started by root. Empty: stay who started it.",
    )
    .needs_restart(),
    Key::process(
        "logfile",
        "",
        File(|s| &mut s.logfile),
        "Log to this file. Empty: standard error, which is right under systemd and in containers.",
    ),
    Key::process(
        "pidfile",
        "",
        File(|s| &mut s.pidfile),
        "Write the process id to this file. Empty: nowhere.",
    )
    .needs_restart(),
];
