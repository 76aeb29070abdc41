//! Keys about the process, the console, the log and statistics.

use super::super::field::Field::{Bool, Count, File, Names, Seconds, SomeSeconds, Text};
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
        "After SIGTERM pgweir waits until all clients have left; after this time those that remain are told to. 0: it waits for ever, as PgBouncer does.",
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
        "log_level",
        "info",
        Text(|s| &mut s.log_level),
        "`error`, `warn`, `info`, `debug` or `trace`, or a filter such as `info,pgweir::pool=debug`.",
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
