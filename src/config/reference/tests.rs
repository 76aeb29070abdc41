//! The table is complete and what is made from it is valid.

use std::collections::BTreeSet;

use super::*;

fn repository(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn names_are_unique_and_documented() {
    let mut seen = BTreeSet::new();
    for key in keys() {
        assert!(
            seen.insert((key.section(), key.name)),
            "{} is there twice",
            key.name
        );
        assert!(key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
    }
}

/// Every field of the settings is reached by a row: each, set to a value that is not its default,
/// is read and shows.
#[test]
fn every_setting_has_a_row() {
    let fields = format!("{:?}", unset());
    let default = default_settings(Dialect::Toml).expect("valid");
    let process = keys().filter(|key| matches!(key.slot, Slot::Process(_)));
    // The two TLS legs are structures with five keys each; `field: ` counts what Debug prints.
    let nested = 2;
    assert_eq!(process.count() + nested, fields.matches(": ").count());
    assert_ne!(default, unset());
}

#[test]
fn rows_point_to_different_places() {
    let default = default_settings(Dialect::Ini).expect("valid");
    for key in keys() {
        let Slot::Process(field) = &key.slot else {
            continue;
        };
        let mut settings = default.clone();
        let other = match key.kind().as_str() {
            "boolean" if key.default == "0" => "1",
            "boolean" => "0",
            "octal number" => "0123",
            "file" => "/x",
            "address:port" => "127.0.0.1:1",
            "list of addresses or *" => "127.0.0.9",
            "secure, tlsv1.2, tlsv1.3" => "tlsv1.3",
            "off, on, required" => "on",
            kind if kind.starts_with("list of networks") => "127.0.0.9",
            kind if kind.starts_with("session") => "statement",
            kind if kind.starts_with("any") => "cert",
            kind if kind.starts_with("disable") => "require",
            "size: bytes, kB, MB or GB" if key.default == "65536" => "65535",
            kind if kind.starts_with("size") => "65536",
            kind if kind.starts_with("number") || kind.starts_with("duration") => "77",
            "port" => "77",
            _ => "x",
        };
        let how = Reading {
            dialect: Dialect::Ini,
            whole_seconds: false,
            base: std::path::Path::new(""),
        };
        let raw = Raw::Bare(other.to_owned().into());
        field
            .read(&mut settings, &raw, how)
            .unwrap_or_else(|why| panic!("{} {why}", key.name));
        assert_ne!(settings, default, "{}", key.name);
        let mut before = default.clone();
        for neighbour in keys() {
            let Slot::Process(field) = &neighbour.slot else {
                continue;
            };
            let same = field.show(&mut settings) == field.show(&mut before);
            assert_eq!(
                same,
                neighbour.name != key.name,
                "{} {}",
                key.name,
                neighbour.name
            );
        }
    }
}

#[test]
fn defaults_are_pgbouncers_but_for_those_with_a_reason() {
    let ini = default_settings(Dialect::Ini).expect("valid");
    let toml = default_settings(Dialect::Toml).expect("valid");
    assert_eq!(ini.pool_mode, PoolMode::Session);
    assert_eq!(ini.auth_type, AuthType::Md5);
    assert!(ini.listen_addr.is_empty() && ini.http_listen.is_none());
    assert_eq!(ini.max_client_conn, 100);
    assert_eq!(toml.pool_mode, PoolMode::Transaction);
    assert_eq!(toml.auth_type, AuthType::ScramSha256);
    assert_eq!(toml.listen_addr, [std::net::Ipv4Addr::LOCALHOST]);
    assert_eq!(toml.http_listen.map(|a| a.port()), Some(6433));
    assert_eq!(toml.max_client_conn, 10_000);
    assert_eq!(toml.server_check_query.as_deref(), Some(""));
    assert_eq!(toml.unix_socket_mode, 0o777);
    assert_eq!(toml.prepared_statements_memory, 64 << 20);
    let differing: Vec<&str> = keys()
        .filter(|key| key.toml_default.is_some())
        .map(|key| key.name)
        .collect();
    assert_eq!(
        differing,
        [
            "listen_addr",
            "http_listen",
            "auth_type",
            "pool_mode",
            "max_client_conn",
            "log_repeats",
            "syslog_ident",
            "host"
        ]
    );
}

#[test]
fn show_config_has_every_process_key_in_order() {
    let config = Config::from_toml("[pgweir]\nquery_timeout = \"1500ms\"\n").expect("valid");
    let rows = show_config(&config);
    assert!(rows.is_sorted_by_key(|row| row.key));
    let row = |name: &str| {
        let found = rows.iter().find(|row| row.key == name);
        found.unwrap_or_else(|| panic!("{name}")).clone()
    };
    assert_eq!(
        (
            row("query_timeout").value.as_str(),
            row("query_timeout").default
        ),
        ("1.5", "0")
    );
    assert_eq!(row("max_client_conn").value, "10000");
    let units = [
        "query_timeout",
        "cluster_check_interval",
        "max_packet_size",
        "workers",
    ];
    let units = units.map(|name| row(name).unit);
    assert_eq!(units, [Some("s"), Some("ms"), Some("bytes"), None]);
    assert!(row("max_client_conn").changeable && !row("listen_port").changeable);
    assert_eq!(row("log_stats").value, "1");
    // A value that is the default looks like the default.
    for row in &rows {
        if row.key != "query_timeout" && row.key != "auth_type" {
            assert_eq!(row.value, row.default, "{}", row.key);
        }
    }
}

#[test]
fn the_shipped_file_is_the_generated_one() {
    assert!(
        repository("conf/pgweir.toml") == toml(),
        "conf/pgweir.toml is out of date; write it with `pgweir config-reference --toml`"
    );
}

/// `PGWEIR_WRITE_DOCS=1` writes the page.
#[test]
fn the_page_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.md");
    if std::env::var_os("PGWEIR_WRITE_DOCS").is_some() {
        std::fs::write(path, markdown()).expect("written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/config.md is out of date: run this test with PGWEIR_WRITE_DOCS=1"
    );
}

#[test]
fn the_shipped_files_are_valid() {
    let full = Config::from_toml(&repository("conf/pgweir.toml")).expect("valid");
    let small = Config::from_toml(&repository("conf/pgweir.minimal.toml")).expect("valid");
    let mut default = default_settings(Dialect::Toml).expect("valid");
    default.auth_type = AuthType::Any;
    assert_eq!(full.settings, default);
    assert_eq!(small.settings, default);
    let database = full.database("any").expect("the fallback");
    assert_eq!(database.hosts[0].to_string(), "127.0.0.1:5432");
    assert!(small.database("any").is_some());
}

/// Taking the comment marks away changes nothing: what stands there is the default.
#[test]
fn the_commented_defaults_are_the_defaults() {
    let text: String = toml()
        .lines()
        .take_while(|line| !line.starts_with("[databases"))
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest,
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();
    for key in keys().filter(|key| matches!(key.slot, Slot::Process(_))) {
        assert!(text.contains(&format!("\n{} = ", key.name)), "{}", key.name);
    }
    let config = Config::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(
        config.settings,
        default_settings(Dialect::Toml).expect("valid")
    );
}

#[test]
fn the_page_has_every_key() {
    let page = markdown();
    for key in keys() {
        assert!(
            page.contains(&format!("### `{}`\n", key.name)),
            "{}",
            key.name
        );
    }
    assert!(page.contains("Default in a `pgbouncer.ini`: `md5`"));
}
