//! A `pgbouncer.ini` as a TOML file of pgweir that means the same.
//!
//! The text is made from the compiled configuration with the table of all keys, so a key that is
//! read can also be written; afterwards it is compiled again and compared, so that what is handed
//! out is never anything else than what was read.

use std::fmt::Write as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::document::Dialect;
use super::field::Field;
use super::reference::{self, DatabaseDraft, Key, PeerDraft, Slot};
use super::{Config, ConfigErrors, Database, Secret, Settings, User, compile, diff, file};

/// The configuration as TOML, with comments about what is different from before. It holds the
/// passwords of `[databases]`.
///
/// # Errors
/// What was written means something else than what was read; a bug, which names the keys.
pub fn toml(config: &Config) -> Result<Zeroizing<String>, ConfigErrors> {
    let config = absolute(config);
    // Room for all of it, so that growing leaves no copy of a password behind.
    let room = 64 * 1024 + 4096 * (config.databases.len() + config.users.len());
    let mut out = Zeroizing::new(String::with_capacity(room));
    // Writing to a String cannot fail.
    let _ = write(&mut out, &config);
    let source = config
        .path
        .as_ref()
        .map_or_else(|| "import".to_owned(), |path| path.display().to_string());
    let again = compile::compile(file::parse("the imported file", &out), None, &|_| None)?;
    let difference = diff::diff(&config, &again);
    let keys: Vec<String> = (difference.applied.iter().chain(&difference.needs_restart))
        .map(|key| (*key).to_owned())
        .chain(difference.added.iter().cloned())
        .chain(difference.removed.iter().cloned())
        .chain(difference.recycled.iter().cloned())
        .chain(difference.adjusted.iter().cloned())
        .chain(difference.users.iter().cloned())
        .chain(difference.peers.then(|| "peers".to_owned()))
        .collect();
    match keys.is_empty() {
        true => Ok(out),
        false => Err(ConfigErrors::of_file(
            source,
            format!(
                "cannot be written as TOML: {} would mean something else; please report this",
                keys.join(", ")
            ),
        )),
    }
}

/// Relative paths start at the working directory in an ini, at the file's own directory in TOML.
fn absolute(config: &Config) -> Config {
    let mut config = config.clone();
    for key in reference::keys() {
        if let Slot::Process(Field::File(at)) = &key.slot
            && let Some(path) = at(&mut config.settings)
            && let Ok(absolute) = std::path::absolute(&path)
        {
            *path = absolute;
        }
    }
    config
}

fn write(out: &mut String, config: &Config) -> std::fmt::Result {
    let source = config.path.as_deref().unwrap_or(Path::new("a file"));
    writeln!(out, "# Made by `pgweir import` from {}.", source.display())?;
    writeln!(out, "#")?;
    for comment in comments(config) {
        writeln!(out, "# - {}", comment.replace(['\n', '\r'], " "))?;
    }
    writeln!(out, "\n[pgweir]")?;
    let mut settings = config.settings.clone();
    for key in reference::keys() {
        if let Slot::Process(field) = &key.slot {
            process(out, key, field, &mut settings)?;
        }
    }
    for database in config.databases.values().chain(&config.fallback) {
        writeln!(out, "\n[databases.{}]", name(&database.name))?;
        one_database(out, database)?;
    }
    for (user, overrides) in &config.users {
        writeln!(out, "\n[users.{}]", name(user))?;
        let mut overrides: User = overrides.clone();
        for key in reference::keys() {
            if let Slot::User(field) = &key.slot {
                pair(out, key.name, field, &mut overrides, "")?;
            }
        }
    }
    for (id, peer) in &config.peers {
        writeln!(out, "\n[peers.{id}]")?;
        let mut draft = PeerDraft {
            host: Some(peer.host.host().to_owned()),
            port: peer.host.port(),
            pool_size: peer.pool_size,
        };
        for key in reference::keys() {
            if let Slot::Peer(field) = &key.slot {
                pair(out, key.name, field, &mut draft, key.default)?;
            }
        }
    }
    Ok(())
}

fn process(
    out: &mut String,
    key: &Key,
    field: &Field<Settings>,
    settings: &mut Settings,
) -> std::fmt::Result {
    // Without it the environment would decide who may log in.
    let default = match key.name {
        "auth_type" => None,
        _ => Some(key.default_in(Dialect::Toml)),
    };
    if default.is_some_and(|default| same(field, settings, default)) {
        return Ok(());
    }
    if let Field::Hidden(at) = field {
        let hidden = at(settings).as_ref().map(Secret::expose);
        let text = Zeroizing::new(quoted(hidden.unwrap_or_default()));
        return writeln!(out, "{} = {}", key.name, text.as_str());
    }
    let text = field.show(settings);
    writeln!(out, "{} = {}", key.name, value(field, &text))
}

/// Whether the value in force is what the default text means.
fn same(field: &Field<Settings>, settings: &mut Settings, default: &str) -> bool {
    let mut other = settings.clone();
    let how = super::field::Reading {
        dialect: Dialect::Ini,
        whole_seconds: false,
        base: Path::new(""),
    };
    let raw = super::document::Raw::Bare(default.to_owned().into());
    field.read(&mut other, &raw, how).is_ok() && field.show(&mut other) == field.show(settings)
}

fn one_database(out: &mut String, database: &Database) -> std::fmt::Result {
    let mut draft = DatabaseDraft {
        host: (database.hosts.iter())
            .map(|host| host.host().to_owned())
            .collect(),
        servers: Vec::new(),
        patroni: Vec::new(),
        port: database.hosts.first().map_or(5432, |host| host.port()),
        database: database.clone(),
    };
    for key in reference::keys() {
        let Slot::Database(field) = &key.slot else {
            continue;
        };
        match field {
            Field::Password(at) => {
                if let Some(password) = at(&mut draft) {
                    // Where it ends, the text is zeroed with everything else.
                    let text = Zeroizing::new(quoted(password.expose()));
                    writeln!(out, "{} = {}", key.name, text.as_str())?;
                }
            }
            // The single parameters have keys of their own, and an ini has no others.
            Field::Params(_) => {}
            field => pair(out, key.name, field, &mut draft, key.default)?,
        }
    }
    Ok(())
}

fn pair<T>(
    out: &mut String,
    key: &str,
    field: &Field<T>,
    target: &mut T,
    default: &str,
) -> std::fmt::Result {
    let text = field.show(target);
    if text == default {
        return Ok(());
    }
    writeln!(out, "{key} = {}", value(field, &text))
}

/// A value as TOML writes it.
fn value<T>(field: &Field<T>, text: &str) -> String {
    match field {
        Field::Bool(_) => (text == "1").to_string(),
        field if field.is_bare_in_toml(text) => text.to_owned(),
        _ => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A name as a part of a key.
fn name(text: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    match !text.is_empty() && text.bytes().all(bare) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// What whoever reads the file should know.
fn comments(config: &Config) -> Vec<String> {
    let mut all = vec![
        "It means the same as that file; keys that have their default are left out, and files named by %include are part of it.".to_owned(),
        "The log has pgweir's own form now: with a pgbouncer.ini it looks like PgBouncer's.".to_owned(),
        "Durations and sizes may have units here: \"5min\", \"64MB\".".to_owned(),
    ];
    if config
        .databases
        .values()
        .chain(&config.fallback)
        .any(|db| db.password.is_some())
    {
        all.push("It holds passwords: let nobody else read it.".to_owned());
    }
    let mut has_file = false;
    let mut settings = config.settings.clone();
    for key in reference::keys() {
        if let Slot::Process(Field::File(at)) = &key.slot {
            has_file |= at(&mut settings).is_some();
        }
    }
    if has_file {
        all.push("Relative paths were made absolute: they start at this file's directory here, at the working directory there.".to_owned());
    }
    if settings.http_listen.is_none() {
        all.push("http_listen is empty, as PgBouncer has no such thing: take the line out for metrics on 127.0.0.1:6433.".to_owned());
    }
    for (key, _) in config.accepted.iter() {
        if let Some(row) = reference::accepted(key) {
            all.push(format!("{key} is left out: it {}.", row.why));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::ini;

    fn ini(text: &str) -> Config {
        let document = ini::parse("/etc/p.ini", text, &mut |_| Err("is not there".into()));
        compile::compile(document, Some(Path::new("/etc/p.ini")), &|_| None)
            .unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn again(config: &Config) -> (String, Config) {
        let text = toml(config).unwrap_or_else(|errors| panic!("{errors}"));
        let again = Config::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}\n{}", *text));
        (text.as_str().to_owned(), again)
    }

    #[test]
    fn a_whole_file() {
        let config = ini("\
[databases]
app = host=10.0.0.1,10.0.0.2 port=5433 dbname=real user=u password='p \"w\\' reserve_pool=3 timezone=UTC connect_query='select ''x''' load_balance_hosts=disable
\"odd \"\"name\" = host=::1
local =
* = host=/run/postgresql pool_mode=statement query_wait_timeout=5
[users]
boss = pool_mode=session max_user_connections=5
\"b.c\" = query_timeout=7
[pgbouncer]
listen_addr = *
auth_type = trust
pool_mode = transaction
server_idle_timeout = 1.5
tcp_user_timeout = 1500
admin_users = a, b
unix_socket_dir = /sock
unix_socket_mode = 0700
server_check_query =
server_reset_query =
max_packet_size = 65536
verbose = 1
pkt_buf = 8192
log_stats = 0
peer_id = 2
so_reuseport = 1
[peers]
1 = host=/run/one pool_size=3
2 = host=10.0.0.2 port=7000
");
        let (text, toml) = again(&config);
        assert_eq!(toml.settings, config.settings);
        assert_eq!(toml.databases, config.databases);
        assert_eq!(toml.fallback, config.fallback);
        assert_eq!(toml.users, config.users);
        assert_eq!((toml.peers.len(), &toml.peers), (2, &config.peers));
        for part in [
            "# - pkt_buf is left out: it has no effect: ",
            "# - It holds passwords",
            "\nhttp_listen = \"\"\n",
            "\n[databases.\"odd \\\"name\"]\n",
            "\npassword = \"p \\\"w\\\\\"\n",
            "\nserver_idle_timeout = 1.5\n",
            "\nlog_stats = false\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(
            !text.contains("\npool_mode = \"transaction\"\n"),
            "a default: {text}"
        );
    }

    #[test]
    fn a_minimal_file_keeps_pgbouncers_defaults() {
        let config = ini("[databases]\napp = host=h\n");
        let (text, toml) = again(&config);
        assert_eq!(toml.settings, config.settings);
        assert!(text.contains("\nauth_type = \"md5\"\n"), "{text}");
        assert!(text.contains("\nmax_client_conn = 100\n"), "{text}");
        assert!(!text.contains("passwords"), "{text}");
    }

    #[test]
    fn paths_become_absolute() {
        let dir = std::env::current_dir().expect("a directory");
        let config = ini("[pgbouncer]\nlogfile = x.log\n");
        let (_, toml) = again(&config);
        assert_eq!(toml.settings.logfile, Some(dir.join("x.log")));
    }

    /// Every key of an ini, each with a value that is not the default.
    #[test]
    fn every_key_alone() {
        for key in reference::keys() {
            let value = match key.kind().as_str() {
                "boolean" if key.default == "0" => "1",
                "boolean" => "0",
                "octal number" => "0123",
                "address:port" => "127.0.0.1:1",
                "list of addresses or *" => "127.0.0.9",
                "secure, tlsv1.3" => "tlsv1.3",
                "table of text" => continue,
                "file" => continue,
                kind if kind.starts_with("session") => "statement",
                kind if kind.starts_with("any") => "trust",
                kind if kind.starts_with("disable") => "allow",
                kind if kind.starts_with("round-robin") => "disable",
                kind if kind.starts_with("size") => "65536",
                kind if kind.starts_with("number") || kind.starts_with("duration") => "17",
                "port" => "77",
                _ if !key.in_pgbouncer => continue,
                _ => "x",
            };
            let (name, kind) = (key.name, key.kind());
            let text = match key.section() {
                "pgweir" => format!("[pgbouncer]\n{name} = {value}\n"),
                "peers.N" => continue,
                "users.NAME" => format!("[users]\nu = {name}={value}\n"),
                _ => format!("[databases]\nd = {name}={value}\n"),
            };
            let document = ini::parse("/etc/p.ini", &text, &mut |_| Err("no".into()));
            // A key may need another one beside it; those are the subject of other tests.
            let Ok(config) = compile::compile(document, Some(Path::new("/etc/p.ini")), &|_| None)
            else {
                continue;
            };
            let (_, toml) = again(&config);
            assert_eq!(toml.settings, config.settings, "{name} ({kind})");
            assert_eq!(toml.databases, config.databases, "{name} ({kind})");
            assert_eq!(toml.users, config.users, "{name} ({kind})");
        }
    }

    proptest! {
        #[test]
        fn any_password_and_name_come_back(
            password in "[^\0\r\n]{1,20}",
            user in "[^\0\r\n]{1,20}",
            name in "[^\0\r\n\"]{1,20}",
        ) {
            let escaped = |text: &str| text.replace('\'', "''");
            let text = format!(
                "[databases]\n\"{name}\" = host=h password='{}' user='{}'\n[users]\n\"{name}\" = pool_size=2\n",
                escaped(&password), escaped(&user),
            );
            let document = ini::parse("/etc/p.ini", &text, &mut |_| Err("no".into()));
            let config = compile::compile(document, Some(Path::new("/etc/p.ini")), &|_| None);
            prop_assume!(config.is_ok());
            let config = config.expect("valid");
            let (_, toml) = again(&config);
            prop_assert_eq!(&toml.databases, &config.databases);
            prop_assert_eq!(&toml.users, &config.users);
        }
    }
}
