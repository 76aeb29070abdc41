//! Which test shows each row of the tables in `docs/pgbouncer.md`.

use std::collections::BTreeMap;
use std::path::Path;

use pgweir::config::reference::pgbouncer::{DATABASE, PEER, PROCESS, USER};

/// Section, test, keys. A test is a path below `tests/it`, or a file below `src` and a name in it.
const KEYS: &[(&str, &str, &[&str])] = &[
    (
        "pgbouncer",
        "dropin::keys::process::who_may_do_what_on_the_console",
        &["admin_users", "stats_users"],
    ),
    (
        "pgbouncer",
        "dropin::keys::process::application_name_add_host_names_the_client",
        &["application_name_add_host"],
    ),
    (
        "pgbouncer",
        "dropin::keys::databases::who_is_asked_for_users",
        &["auth_dbname", "auth_query", "auth_user"],
    ),
    (
        "pgbouncer",
        "dropin::a_reload_takes_back_what_is_no_longer_there",
        &["auth_file"],
    ),
    (
        "pgbouncer",
        "hba::the_file_says_who_gets_in_and_a_bad_one_changes_nothing",
        &["auth_hba_file", "auth_ident_file"],
    ),
    (
        "pgbouncer",
        "ldap::passwords_are_the_directorys",
        &["auth_ldap_options"],
    ),
    (
        "pgbouncer",
        "auth::every_type_takes_the_secrets_it_can_use",
        &["auth_type"],
    ),
    (
        "pgbouncer",
        "dropin::keys::process::databases_that_are_configured_stay",
        &["autodb_idle_timeout"],
    ),
    (
        "pgbouncer",
        "dropin::keys::process::pools_that_nobody_uses_go",
        &["pool_idle_timeout"],
    ),
    (
        "pgbouncer",
        "relay::a_cancel_request_that_is_lost_on_its_way_hits_nobody_else",
        &["cancel_wait_timeout"],
    ),
    (
        "pgbouncer",
        "limits::timeouts_of_queries_and_transactions_end_the_client_and_its_query",
        &[
            "client_idle_timeout",
            "idle_transaction_timeout",
            "query_timeout",
            "transaction_timeout",
        ],
    ),
    (
        "pgbouncer",
        "limits::a_login_that_takes_too_long_is_ended",
        &["client_login_timeout"],
    ),
    (
        "pgbouncer",
        "tls::clients_get_the_encryption_that_both_sides_want",
        &[
            "client_tls_ca_file",
            "client_tls_cert_file",
            "client_tls_key_file",
            "client_tls_sslmode",
        ],
    ),
    (
        "pgbouncer",
        "tls::versions_of_the_protocol_that_are_allowed",
        &["client_tls_protocols", "server_tls_protocols"],
    ),
    (
        "pgbouncer",
        "dropin::keys::process::default_pool_size_is_the_size_of_a_pool",
        &["default_pool_size"],
    ),
    (
        "pgbouncer",
        "dropin::a_notice_at_login_and_no_simple_queries",
        &["disable_pqexec", "login_notify_message"],
    ),
    (
        "pgbouncer",
        "names::connections_follow_the_name_when_they_are_free",
        &["dns_max_ttl"],
    ),
    (
        "pgbouncer",
        "dropin::beside::watchers::drivers_may_say_at_login_what_they_say_to_postgresql",
        &["ignore_startup_parameters"],
    ),
    (
        "pgbouncer",
        "dropin::keys::network::addresses_to_listen_on",
        &["listen_addr"],
    ),
    (
        "pgbouncer",
        "dropin::keys::network::listen_backlog_bounds_who_waits_to_be_accepted",
        &["listen_backlog"],
    ),
    (
        "pgbouncer",
        "dropin::the_same_command_line_and_the_same_file",
        &["listen_port", "logfile", "pidfile", "unix_socket_dir"],
    ),
    (
        "pgbouncer",
        "dropin::logs::lines_that_nobody_wants",
        &[
            "log_connections",
            "log_disconnections",
            "log_pooler_errors",
            "log_stats",
        ],
    ),
    (
        "pgbouncer",
        "dropin::logs::lines_that_watchers_of_pgbouncer_read",
        &["stats_period"],
    ),
    (
        "pgbouncer",
        "limits::client_limits_refuse_and_recover",
        &[
            "max_client_conn",
            "max_db_client_connections",
            "max_user_client_connections",
        ],
    ),
    (
        "pgbouncer",
        "limits::a_database_limit_holds_over_users_and_idle_servers_make_way",
        &["max_db_connections"],
    ),
    (
        "pgbouncer",
        "limits::longest_message_is_the_operators_choice",
        &["max_packet_size"],
    ),
    (
        "pgbouncer",
        "prepared::statements_return_when_they_were_evicted_also_in_one_batch",
        &["max_prepared_statements"],
    ),
    (
        "pgbouncer",
        "limits::a_user_limit_holds_over_databases",
        &["max_user_connections"],
    ),
    (
        "pgbouncer",
        "limits::a_minimum_is_kept_open_while_the_pool_is_in_use",
        &["min_pool_size"],
    ),
    (
        "pgbouncer",
        "dropin::peers::a_cancel_reaches_the_process_that_has_the_client",
        &["peer_id", "so_reuseport"],
    ),
    (
        "pgbouncer",
        "dropin::beside::statements::transaction_blocks_are_refused",
        &["pool_mode"],
    ),
    (
        "pgbouncer",
        "limits::who_waits_is_told_once",
        &["query_wait_notify"],
    ),
    (
        "pgbouncer",
        "limits::waiting_too_long_ends_with_an_error_that_says_so",
        &["query_wait_timeout"],
    ),
    (
        "pgbouncer",
        "limits::the_reserve_opens_when_waiting_takes_too_long",
        &["reserve_pool_size", "reserve_pool_timeout"],
    ),
    (
        "pgbouncer",
        "dropin::keys::process::scram_iterations_are_asked_of_clients",
        &["scram_iterations"],
    ),
    (
        "pgbouncer",
        "limits::queries_of_pgweirs_own_are_sent_when_they_should_be",
        &[
            "server_check_delay",
            "server_check_query",
            "server_reset_query",
            "server_reset_query_always",
        ],
    ),
    (
        "pgbouncer",
        "dropin::keys::process::server_connect_timeout_ends_a_login_to_a_server",
        &["server_connect_timeout"],
    ),
    (
        "pgbouncer",
        "dropin::beside::closing::server_fast_close_takes_the_client_along",
        &["server_fast_close"],
    ),
    (
        "pgbouncer",
        "limits::servers_that_are_idle_or_old_are_closed",
        &["server_idle_timeout", "server_lifetime"],
    ),
    (
        "pgbouncer",
        "dropin::hosts_that_are_not_balanced",
        &["server_login_retry"],
    ),
    (
        "pgbouncer",
        "dropin::keys::process::server_round_robin_uses_servers_in_turn",
        &["server_round_robin"],
    ),
    (
        "pgbouncer",
        "tls::servers_get_the_encryption_that_is_configured",
        &["server_tls_ca_file", "server_tls_sslmode"],
    ),
    (
        "pgbouncer",
        "tls::pgweir_shows_servers_its_certificate",
        &["server_tls_cert_file", "server_tls_key_file"],
    ),
    (
        "pgbouncer",
        "src/logging/syslog.rs::lines_become_datagrams_and_the_daemon_may_come_back",
        &["syslog", "syslog_facility", "syslog_ident"],
    ),
    (
        "pgbouncer",
        "src/net/sockopt.rs::options_reach_the_socket",
        &[
            "tcp_keepalive",
            "tcp_keepcnt",
            "tcp_keepidle",
            "tcp_keepintvl",
            "tcp_socket_buffer",
            "tcp_user_timeout",
        ],
    ),
    (
        "pgbouncer",
        "dropin::keys::network::rights_of_the_unix_socket",
        &["unix_socket_group", "unix_socket_mode"],
    ),
    (
        "pgbouncer",
        "dropin::keys::network::the_process_belongs_to_user",
        &["user"],
    ),
    (
        "pgbouncer",
        "dropin::keys::process::verbose_says_more",
        &["verbose"],
    ),
    (
        "pgbouncer",
        "dropin::keys::process::keys_that_have_nothing_to_do_here",
        &[
            "client_tls13_ciphers",
            "client_tls_ciphers",
            "client_tls_dheparams",
            "client_tls_ecdhcurve",
            "dns_nxdomain_ttl",
            "dns_zone_check_period",
            "job_name",
            "pkt_buf",
            "resolv_conf",
            "sbuf_loopcnt",
            "server_tls13_ciphers",
            "server_tls_ciphers",
            "service_name",
            "suspend_timeout",
            "tcp_defer_accept",
            "track_extra_parameters",
        ],
    ),
    (
        "pgbouncer",
        "dropin::a_setting_changes_on_the_console_until_the_next_reload",
        &["conffile"],
    ),
    (
        "databases",
        "dropin::keys::overrides::what_one_entry_sets_on_its_servers",
        &[
            "application_name",
            "client_encoding",
            "connect_query",
            "datestyle",
            "timezone",
        ],
    ),
    (
        "databases",
        "dropin::keys::databases::who_is_asked_for_users",
        &["auth_dbname", "auth_query", "auth_user"],
    ),
    (
        "databases",
        "dropin::keys::databases::where_an_entry_leads",
        &["dbname", "host", "password", "port", "user"],
    ),
    (
        "databases",
        "dropin::hosts_that_are_not_balanced",
        &["load_balance_hosts"],
    ),
    (
        "databases",
        "dropin::keys::overrides::clients_of_a_database_and_of_a_user",
        &["max_db_client_connections"],
    ),
    (
        "databases",
        "dropin::keys::overrides::server_connections_of_a_database_and_of_a_user",
        &["max_db_connections"],
    ),
    (
        "databases",
        "dropin::keys::overrides::servers_that_a_database_keeps",
        &["min_pool_size"],
    ),
    (
        "databases",
        "dropin::keys::overrides::pool_mode_of_a_database_and_of_a_user",
        &["pool_mode"],
    ),
    (
        "databases",
        "dropin::keys::overrides::sizes_of_pools",
        &["pool_size", "reserve_pool_size"],
    ),
    (
        "databases",
        "dropin::keys::overrides::wait_for_a_server_of_a_database",
        &["query_wait_timeout"],
    ),
    (
        "databases",
        "dropin::keys::databases::sizes_and_limits_of_an_entry",
        &["reserve_pool"],
    ),
    (
        "databases",
        "dropin::keys::overrides::lifetime_of_a_databases_servers",
        &["server_lifetime"],
    ),
    (
        "users",
        "dropin::keys::users::time_limits_of_a_user",
        &[
            "client_idle_timeout",
            "idle_transaction_timeout",
            "query_timeout",
            "query_wait_timeout",
            "transaction_timeout",
        ],
    ),
    (
        "users",
        "dropin::keys::overrides::clients_of_a_database_and_of_a_user",
        &["max_user_client_connections"],
    ),
    (
        "users",
        "dropin::keys::overrides::server_connections_of_a_database_and_of_a_user",
        &["max_user_connections"],
    ),
    (
        "users",
        "dropin::keys::overrides::pool_mode_of_a_database_and_of_a_user",
        &["pool_mode"],
    ),
    (
        "users",
        "dropin::keys::overrides::sizes_of_pools",
        &["pool_size", "reserve_pool_size"],
    ),
    (
        "peers",
        "dropin::peers::a_cancel_reaches_the_process_that_has_the_client",
        &["host", "pool_size", "port"],
    ),
];

/// The name of the item that begins in a line, and whether it is a function.
fn item(line: &str) -> Option<(&str, bool)> {
    let mut words = line
        .split([' ', '(', ':', '<'])
        .filter(|word| !word.is_empty());
    let kind = words.find(|word| !matches!(*word, "pub" | "crate)" | "super)" | "async"))?;
    let name = words.next()?;
    match kind {
        "fn" => Some((name, true)),
        "const" | "static" => Some((name, false)),
        _ => None,
    }
}

/// The items of a file by name: functions, constants.
fn items(source: &str) -> BTreeMap<String, String> {
    let lines: Vec<&str> = source.lines().collect();
    let mut found = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((name, function)) = item(line) else {
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let last = format!("{indent}}}");
        let ends = |line: &&str| match function {
            true => **line == last,
            false => line.ends_with(';'),
        };
        let count = lines[at..].iter().position(ends).unwrap_or(0);
        found.insert(name.to_owned(), lines[at..=at + count].join("\n"));
    }
    found
}

/// The words of a test, with those of what it uses of its own file; `None` if there is no such test.
fn words_of(test: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (file, name) = test.rsplit_once("::")?;
    let files = match file.starts_with("src/") {
        true => vec![file.to_owned()],
        false => {
            let path = file.replace("::", "/");
            vec![
                format!("tests/it/{path}.rs"),
                format!("tests/it/{path}/mod.rs"),
            ]
        }
    };
    let source = files
        .iter()
        .find_map(|file| std::fs::read_to_string(root.join(file)).ok())?;
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let at = lines.iter().position(|line| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = line
            .strip_prefix("fn ")
            .and_then(|line| line.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with('('))
    })?;
    let marks = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#["));
    let is_test = |line: &&str| line.starts_with("#[test") || line.starts_with("#[tokio::test");
    if !marks.into_iter().any(is_test) {
        return None;
    }
    let items = items(&source);
    let (mut text, mut seen, mut next) = (String::new(), vec![name], vec![name]);
    while let Some(name) = next.pop() {
        let item = items.get(name)?;
        text.push_str(item);
        for found in item.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if let Some((used, _)) = items.get_key_value(found)
                && !seen.contains(&used.as_str())
            {
                seen.push(used);
                next.push(used);
            }
        }
    }
    // Lines of files are written with `\n` in front of a key.
    Some(text.replace("\\n", " "))
}

/// Whether `word` stands in `text` by itself.
fn says(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[test]
fn every_key_has_a_test() {
    let mut wrong = Vec::new();
    let mut covered: Vec<(&str, &str)> = Vec::new();
    for (section, test, keys) in KEYS {
        let Some(text) = words_of(test) else {
            wrong.push(format!("{test}: there is no such test"));
            continue;
        };
        for key in *keys {
            if !says(&text, key) {
                wrong.push(format!("{test} says nothing of {key}"));
            }
            covered.push((section, key));
        }
    }
    let sections = [
        ("pgbouncer", PROCESS),
        ("databases", DATABASE),
        ("users", USER),
        ("peers", PEER),
    ];
    for (section, keys) in sections {
        for key in keys {
            if !covered.contains(&(section, key)) {
                wrong.push(format!("[{section}] {key}: no test"));
            }
        }
    }
    for (section, key) in covered {
        let known = sections
            .iter()
            .any(|(name, keys)| *name == section && keys.contains(&key));
        if !known {
            wrong.push(format!("[{section}] {key}: no key of PgBouncer"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_test_is_found_out() {
    let here = "dropin::covered";
    assert!(words_of(&format!("{here}::every_key_has_a_test")).is_some());
    assert_eq!(words_of(&format!("{here}::words_of")), None);
    assert_eq!(words_of("nowhere::every_key_has_a_test"), None);
    let text = words_of(&format!("{here}::every_key_has_a_test")).expect("a test");
    assert!(says(&text, "CARGO_MANIFEST_DIR"), "by way of words_of");
    assert!(!says(&text, "CARGO_MANIFEST"), "part of a word");
}

/// The tables that are written by hand: what stands first in a row, the test, what it says.
const ROWS: &[(&str, &str, &str)] = &[
    (
        "`query_timeout=500ms` in `[users]`",
        "dropin::keys::mistakes::values_that_are_misread_are_refused",
        "query_timeout=500ms",
    ),
    (
        "`pool_size=abc`",
        "dropin::keys::mistakes::values_that_are_misread_are_refused",
        "pool_size=abc",
    ),
    (
        "`pool_size=1.5`",
        "dropin::keys::mistakes::values_that_are_misread_are_refused",
        "pool_size=1.5",
    ),
    (
        "`pool_size=010`",
        "dropin::keys::mistakes::values_that_are_misread_are_refused",
        "pool_size=010",
    ),
    (
        "an unknown key or section",
        "dropin::keys::mistakes::values_that_are_misread_are_refused",
        "did you mean",
    ),
    (
        "HUP",
        "dropin::a_setting_changes_on_the_console_until_the_next_reload",
        "HUP",
    ),
    (
        "TERM",
        "dropin::shutdown::clients_leave_between_their_transactions",
        "TERM",
    ),
    (
        "INT",
        "dropin::the_same_command_line_and_the_same_file",
        "INT",
    ),
    (
        "QUIT",
        "dropin::beside::differences::the_process_says_that_it_ends",
        "QUIT",
    ),
    (
        "USR1, USR2",
        "dropin::beside::differences::signals_pause_and_resume",
        "USR1",
    ),
    (
        "nothing, or only `;`",
        "dropin::beside::console::commands_and_their_errors",
        "no answer",
    ),
    (
        "two commands in one message",
        "dropin::beside::console::commands_and_their_errors",
        "only one command at a time",
    ),
    (
        "`RESUME` while single databases are paused",
        "dropin::beside::console::commands_and_their_errors",
        "RESUME",
    ),
    (
        "`KILL db` while everything is paused",
        "dropin::beside::differences::commands_that_differ",
        "KILL",
    ),
    (
        "`SET` of a key that takes a restart or does nothing",
        "dropin::a_setting_changes_on_the_console_until_the_next_reload",
        "listen_port takes a restart",
    ),
    (
        "any other `SET` that fails",
        "dropin::a_setting_changes_on_the_console_until_the_next_reload",
        "SET failed: query_timeout",
    ),
    (
        "`SET` of a key in capitals",
        "dropin::beside::differences::commands_that_differ",
        "VERBOSE",
    ),
    (
        "`ENABLE pgbouncer`",
        "dropin::beside::console::commands_and_their_errors",
        "ENABLE pgbouncer",
    ),
    (
        "`SHOW DNS_HOSTS`, `SHOW DNS_ZONES`",
        "dropin::beside::differences::commands_that_differ",
        "DNS_HOSTS",
    ),
    (
        "wrong password with SCRAM",
        "dropin::beside::clients::logins_that_fail",
        "SASL authentication failed",
    ),
    (
        "no user, an old protocol, a parameter or option that does not exist",
        "dropin::beside::clients::startup_packets_that_are_wrong",
        "old V2 protocol not supported",
    ),
    (
        "after KILL",
        "dropin::beside::clients::what_clients_are_told",
        "admin forced disconnect",
    ),
    (
        "a transaction block in statement mode",
        "dropin::beside::statements::transaction_blocks_are_refused",
        "BEGIN",
    ),
    (
        "the server ends in a transaction",
        "dropin::beside::clients::what_clients_are_told",
        "pg_terminate_backend",
    ),
    (
        "the process ends",
        "dropin::beside::differences::the_process_says_that_it_ends",
        "server shutting down",
    ),
];

/// What stands first in the rows of a page's tables, except in those that are generated.
fn first_cells(page: &str) -> Vec<&str> {
    let (before, rest) = page
        .split_once("<!-- keys: generated -->")
        .expect("a table");
    let (_, after) = rest.split_once("<!-- end of keys -->").expect("its end");
    let mut cells = Vec::new();
    for part in [before, after] {
        let mut lines = part.lines().peekable();
        while let Some(line) = lines.next() {
            let is_head = lines.peek().is_some_and(|next| next.starts_with("|---"));
            let cell = line
                .strip_prefix("| ")
                .and_then(|rest| rest.split(" | ").next());
            if let Some(cell) = cell.filter(|_| !is_head) {
                cells.push(cell);
            }
        }
    }
    cells
}

#[test]
fn every_row_of_the_page_has_a_test() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pgbouncer.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let cells = first_cells(&page);
    assert!(cells.len() > 20, "{cells:?}");
    let mut wrong = Vec::new();
    for cell in &cells {
        if !ROWS.iter().any(|(row, _, _)| row == cell) {
            wrong.push(format!("{cell}: no test"));
        }
    }
    for (row, test, text) in ROWS {
        if !cells.contains(row) {
            wrong.push(format!("{row}: no row of the page"));
        }
        match words_of(test) {
            None => wrong.push(format!("{test}: there is no such test")),
            Some(words) if !words.contains(text) => {
                wrong.push(format!("{test} says nothing of {text}"));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
