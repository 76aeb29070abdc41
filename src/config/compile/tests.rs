//! Whole configurations.

use super::super::{AuthType, PoolMode, SslMode};
use super::*;

fn ini(text: &str) -> Result<Config, ConfigErrors> {
    let document = ini::parse("p.ini", text, &mut |_| Err("is not there".into()));
    compile(document, Some(Path::new("p.ini")), &|_| None)
}

fn lines(result: Result<Config, ConfigErrors>) -> Vec<String> {
    let errors = result.expect_err("mistakes");
    errors.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn five_mistakes_in_toml_are_five_lines() {
    let text = "\
[pgweir]
listen_port = 70000
pol_mode = \"session\"
min_pool_size = 30
[databases.app]
prt = 5432
pool_size = \"20\"
";
    assert_eq!(
        lines(Config::from_toml(text)),
        [
            "config:2: pgweir.listen_port: 70000 is too large; at most 65535",
            "config:3: pgweir.pol_mode: unknown key; did you mean pool_mode?",
            "config:4: pgweir.min_pool_size: 30 is more than default_pool_size, 20",
            "config:6: databases.app.prt: unknown key; did you mean port?",
            "config:7: databases.app.pool_size: must be a whole number, not text",
        ]
    );
}

#[test]
fn five_mistakes_in_an_ini_are_five_lines() {
    let text = "\
[databases]
app = host=h pool_size=1.5
[users]
u = query_timeout=500ms
[pgbouncer]
pool_mode = transactoin
auth_ldap_option = x
colour = blue
";
    assert_eq!(
        lines(ini(text)),
        [
            "p.ini:2: databases.app.pool_size: \"1.5\" is not a whole number",
            "p.ini:4: users.u.query_timeout: \"500ms\" has a unit, which PgBouncer's files do not have; write 0.5",
            "p.ini:6: pgweir.pool_mode: \"transactoin\" is not known; did you mean \"transaction\"?",
            "p.ini:7: pgweir.auth_ldap_option: unknown key; did you mean auth_ldap_options?",
            "p.ini:8: pgweir.colour: unknown key",
        ]
    );
}

#[test]
fn a_typical_pgbouncer_ini() {
    let config = ini("\
[databases]
app = host=10.0.0.1,10.0.0.2 port=5433 dbname=real user=u password='p w' reserve_pool=3 timezone=UTC
local =
* = host=/run/postgresql
[users]
boss = pool_mode=session max_user_connections=5
[pgbouncer]
listen_addr = *
listen_port = 6543
auth_type = trust
pool_mode = transaction
so_reuseport = 0
server_idle_timeout = 1.5
admin_users = a, b
unix_socket_dir = /sock
")
    .unwrap_or_else(|errors| panic!("{errors}"));
    let app = config.database("app").expect("there");
    let hosts: Vec<String> = app.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["10.0.0.1:5433", "10.0.0.2:5433"]);
    assert_eq!(app.dbname.as_deref(), Some("real"));
    assert_eq!(app.password.as_ref().map(|p| p.expose()), Some("p w"));
    assert_eq!(app.reserve_pool_size, Some(3));
    assert_eq!(app.params, [("timezone".to_owned(), "UTC".to_owned())]);
    let local = config.database("local").expect("there");
    assert_eq!(local.hosts[0].to_string(), "/sock/.s.PGSQL.5432");
    let other = config.database("other").expect("fallback");
    assert_eq!(other.hosts[0].host(), "/run/postgresql");
    assert_eq!(config.users["boss"].pool_mode, Some(PoolMode::Session));
    assert_eq!(config.settings.listen_addr.len(), 2);
    assert_eq!(config.settings.admin_users, ["a", "b"]);
    assert_eq!(config.settings.server_idle_timeout.as_millis(), 1500);
    assert_eq!(config.dialect, Dialect::Ini);
}

#[test]
fn toml_values_in_all_forms() {
    let config = Config::from_toml(
        r#"
[pgweir]
auth_type = "trust"
listen_addr = ["127.0.0.1", "::1"]
unix_socket_mode = 0o700
query_timeout = "1min"
query_wait_timeout = 0.5
tcp_keepalive = false
log_stats = 0
max_packet_size = "1MB"
server_check_query = ""
[databases.app]
host = ["a", "[::1]", "/dir"]
params = { timezone = "UTC", statement_timeout = 500, "my.flag" = true }
"#,
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    let settings = &config.settings;
    assert_eq!(settings.listen_addr.len(), 2);
    assert_eq!(settings.unix_socket_mode, 0o700);
    assert_eq!(settings.query_timeout.as_secs(), 60);
    assert_eq!(settings.query_wait_timeout.as_millis(), 500);
    assert!(!settings.tcp_keepalive && !settings.log_stats);
    assert_eq!(settings.max_packet_size, 1 << 20);
    assert_eq!(settings.server_check_query, None);
    let app = config.database("app").expect("there");
    let hosts: Vec<String> = app.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["a:5432", "[::1]:5432", "/dir/.s.PGSQL.5432"]);
    let value = |name: &str| {
        app.params
            .iter()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(value("statement_timeout"), Some("500"));
    assert_eq!(value("my.flag"), Some("on"));
}

#[test]
fn keys_that_have_nothing_to_do_here() {
    let config =
        ini("[pgbouncer]\npkt_buf = 8192\nsbuf_loopcnt = 5\nclient_tls_ciphers = HIGH:!aNULL\n")
            .unwrap_or_else(|errors| panic!("{errors}"));
    let notes = &config.notes;
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].starts_with("p.ini:2: pgweir.pkt_buf: has no effect: "));
    assert!(notes[1].starts_with("p.ini:4: pgweir.client_tls_ciphers: has no effect: "));
    assert_eq!(config.warnings()[..2], notes[..]);
    let rows = reference::show_config(&config);
    let row = |name: &str| {
        let found = rows.iter().find(|row| row.key == name);
        found.unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(
        (row("pkt_buf").value.as_str(), row("pkt_buf").default),
        ("8192", "4096")
    );
    assert_eq!(row("job_name").value, "pgbouncer");
    assert!(!row("pkt_buf").changeable);
    assert_eq!(
        lines(ini(
            "[pgbouncer]\npkt_buf = 4k\npkt_bufs = 1\nsuspend_timeout = 10s\n"
        )),
        [
            "p.ini:2: pgweir.pkt_buf: \"4k\" is not a whole number of at least 1",
            "p.ini:3: pgweir.pkt_bufs: unknown key; did you mean pkt_buf?",
            "p.ini:4: pgweir.suspend_timeout: \"10s\" is not a number of seconds",
        ]
    );
}

/// Each text is wrong in the line and the key that are named.
#[test]
fn cross_checks() {
    for (text, expected) in [
        (
            "[pgweir]\nlisten_addr = \"\"\nunix_socket_dir = \"\"\n",
            "config:2: pgweir.listen_addr: there is nothing",
        ),
        (
            "[pgweir]\nhttp_listen = \"0.0.0.0:6433\"\nhttp_login = true\n",
            "config:3: pgweir.http_login: would have passwords sent",
        ),
        (
            "[pgweir]\nhttp_tls = true\n",
            "config:2: pgweir.http_tls: needs a certificate",
        ),
        (
            "[pgweir]\nhttp_listen = \"127.0.0.1:6432\"\n",
            "config:2: pgweir.http_listen: uses port 6432",
        ),
        (
            "[pgweir]\nauth_type = \"cert\"\n",
            "config:2: pgweir.auth_type: cert needs client certificates",
        ),
        (
            "[pgweir]\nauth_type = \"peer\"\nunix_socket_dir = \"\"\n",
            "config:2: pgweir.auth_type: peer works",
        ),
        (
            "[pgweir]\nserver_tls_sslmode = \"verify-full\"\n",
            "config: pgweir.server_tls_ca_file: must be set when",
        ),
        (
            "[pgweir]\nserver_tls_key_file = \"/dev/null\"\n",
            "config:2: pgweir.server_tls_key_file: needs server_tls_cert_file",
        ),
        (
            "[pgweir]\nserver_tls_ca_file = \"/no/such\"\n",
            "config:2: pgweir.server_tls_ca_file: /no/such: cannot be opened",
        ),
        (
            "[pgweir]\nauth_file = \"/no/such\"\n",
            "config:2: pgweir.auth_file: /no/such: cannot be opened",
        ),
        (
            "[pgweir]\nlog_level = \"inof\"\n",
            "config:2: pgweir.log_level: \"inof\" is not a level",
        ),
        (
            "[pgweir]\nlog_level = \"a=b=c\"\n",
            "config:2: pgweir.log_level: \"a=b=c\" is not a filter",
        ),
        (
            "[pgweir]\npool_size = 3\n",
            "config:2: pgweir.pool_size: unknown key",
        ),
        (
            "[pgweir]\nconnect_query = \"x\"\n",
            "config:2: pgweir.connect_query: unknown key here; it belongs to [databases.NAME]",
        ),
        (
            "[pgweir]\nstats_period = 0\n",
            "config:2: pgweir.stats_period: must be more than 0",
        ),
        (
            "[databases.a]\nmin_pool_size = 21\n",
            "config:2: databases.a.min_pool_size: 21 is more than",
        ),
        (
            "[databases.pgbouncer]\n",
            "config:1: databases.pgbouncer: is the name of the console",
        ),
        (
            "[databases.a]\nload_balance_hosts = \"of\"\n",
            "config:2: databases.a.load_balance_hosts: \"of\" is not known; one of round-robin, disable",
        ),
        (
            "[pgweir]\npkt_buf = 4096\n",
            "config:2: pgweir.pkt_buf: has no effect: an idle client has no buffer, and the others share one per thread; remove it",
        ),
        (
            "[pgweir]\nsyslog_facility = \"kernel\"\n",
            "config:2: pgweir.syslog_facility: \"kernel\" is not known; one of user",
        ),
        (
            "[databases.a]\ntimezone = \"x\"\nparams = { TimeZone = \"y\" }\n",
            "config:3: databases.a.params: the parameter \"TimeZone\" is set twice",
        ),
        (
            "[peers.0]\nhost = \"/x\"\n",
            "config:1: peers.0: is not the number of a peer",
        ),
        (
            "[peers.1]\nport = 7000\n",
            "config:1: peers.1.host: must be set",
        ),
        (
            "[users.\"\"]\n",
            "config:1: users.\"\": is not the name of a user",
        ),
    ] {
        let found = lines(Config::from_toml(text));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(
            found[0].starts_with(expected),
            "{}\nexpected {expected}",
            found[0]
        );
    }
}

#[test]
fn client_tls_needs_key_certificate_and_authorities() {
    let text = "[pgweir]\nclient_tls_sslmode = \"verify-ca\"\n";
    let found = lines(Config::from_toml(text));
    let keys: Vec<&str> = found
        .iter()
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    assert_eq!(
        keys,
        [
            "pgweir.client_tls_key_file",
            "pgweir.client_tls_cert_file",
            "pgweir.client_tls_ca_file"
        ]
    );
    let off =
        Config::from_toml("[pgweir]\nclient_tls_cert_file = \"/no/such\"\n").expect("not used");
    assert_eq!(off.settings.client_tls.mode, SslMode::Disable);
}

#[test]
fn what_is_there_twice() {
    let found = lines(ini(
        "[databases]\na = host=x host=y\na = host=z\n[pgbouncer]\nlisten_port = 1\nlisten_port = 2\n",
    ));
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("p.ini:2: databases.a.host: is there twice"));
    assert!(found[1].starts_with("p.ini:3: databases.a: is there twice; the first is in line 2"));
    assert!(
        found[2].starts_with("p.ini:6: pgweir.listen_port: is there twice; the first is in line 5")
    );
    let found = lines(Config::from_toml(
        "[pgweir]\nlisten_port = 1\nlisten_port = 2\n",
    ));
    assert!(found[0].starts_with("config:3:"), "{found:?}");
}

#[test]
fn files_on_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let none = |_: &str| None;
    write("users.txt", b"\"app\" \"secret\"\n");
    let path = write(
        "a.toml",
        b"[pgweir]\nauth_file = \"users.txt\"\n[databases.a]\n",
    );
    let config = Config::load_with(&path, &none).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.secrets["app"].expose(), "secret");
    assert_eq!(config.settings.auth_type, AuthType::ScramSha256);
    assert_eq!(config.path.as_deref(), Some(path.as_path()));
    assert!(!format!("{config:?}").contains("secret\""));

    write(
        "users.txt",
        b"\"app\" \"hidden\"\nbad hidden\n\"app\" \"hidden\"\n",
    );
    let found = lines(Config::load_with(&path, &none));
    let users = dir.path().join("users.txt");
    assert_eq!(found.len(), 2);
    assert!(
        found[0].starts_with(&format!("{}:2: auth_file: ", users.display())),
        "{found:?}"
    );
    assert!(!found.concat().contains("hidden"));

    write("more.ini", b"listen_port = 7000\nlisten_port = 7001\n");
    let path = write(
        "main.ini",
        b"[pgbouncer]\nlisten_port = 1\n%include more.ini\n",
    );
    let found = lines(Config::load_with(&path, &none));
    assert_eq!(
        found,
        ["more.ini:2: pgweir.listen_port: is there twice; the first is in line 1"]
    );
    write("more.ini", b"listen_port = 7000\n");
    let config = Config::load_with(&path, &none).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.settings.listen_port, 7000);

    write(
        "more.ini",
        b"[databases]\na = port=7 timezone=UTC\n[users]\nu = pool_size=1\n",
    );
    let path = write(
        "main.ini",
        b"[databases]\na = host=h password=x timezone=GMT\n[users]\nu = query_timeout=x\n%include more.ini\n",
    );
    let found = lines(Config::load_with(&path, &none));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(":4: users.u.query_timeout"));
    write(
        "main.ini",
        b"[databases]\na = host=h password=x timezone=GMT\n%include more.ini\n",
    );
    let config = Config::load_with(&path, &none).unwrap_or_else(|errors| panic!("{errors}"));
    let a = config.database("a").expect("there");
    assert_eq!(a.hosts[0].to_string(), "/tmp/.s.PGSQL.7");
    assert_eq!((a.password.is_none(), a.params.len()), (true, 1));

    let path = write("bad.toml", b"[pgweir]\n# \xff\n");
    assert!(lines(Config::load_with(&path, &none))[0].ends_with("is not UTF-8 in line 2"));
    let path = dir.path().join("none.toml");
    assert!(lines(Config::load_with(&path, &none))[0].contains("cannot be opened"));
}

#[test]
fn a_toml_file_without_a_login() {
    let with = |text: &str, vars: &[(&str, &str)]| {
        let env = |name: &str| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        compile(file::parse("config", text), None, &env)
    };
    let vars = [("PGUSER", "me"), ("PGPASSWORD", "pw")];
    let plain = "[databases.a]\n";
    assert_eq!(
        with(plain, &[]).expect("valid").settings.auth_type,
        AuthType::Any
    );
    let one = with(plain, &vars).expect("valid");
    assert_eq!(one.settings.auth_type, AuthType::ScramSha256);
    assert_eq!(one.secrets["me"].expose(), "pw");

    let open = "[pgweir]\nlisten_addr = \"0.0.0.0\"\n[databases.a]\n";
    let found = lines(with(open, &[]));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("config:2: pgweir.auth_type: must be set"),
        "{found:?}"
    );
    assert!(with(open, &vars).is_ok());
    let stored = "[databases.a]\npassword = \"hidden\"\n";
    let found = lines(with(stored, &[]));
    assert!(
        found[0].starts_with("config:2: pgweir.auth_type: must be set"),
        "{found:?}"
    );
    assert!(!found[0].contains("hidden"));
    let chosen = with("[pgweir]\nauth_type = \"scram-sha-256\"\n", &vars).expect("valid");
    assert!(chosen.secrets.is_empty());
    let ini = ini("[databases]\na = host=h\n").expect("valid");
    assert_eq!(ini.settings.auth_type, AuthType::Md5);
}
