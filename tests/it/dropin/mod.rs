//! Started as PgBouncer is started, with PgBouncer's files.

mod beside;
mod covered;
mod keys;
mod logs;
mod original;
mod peers;
mod shutdown;

use std::process::Command;

use crate::support::message;
use crate::support::peer::Peer;
use crate::support::pgweir::{Pgweir, succeed};
use crate::support::postgres::{Postgres, each_postgres, run_dir, unique};
use crate::support::scene;
use crate::support::wait::eventually;

fn first() -> Option<&'static Postgres> {
    each_postgres().next()
}

/// A `pgbouncer.ini` that leads to a fresh database as `app`; `more` are lines of `[pgbouncer]`.
fn ini(postgres: &Postgres, database: &str, entry: &str, more: &str) -> String {
    format!(
        "[databases]\n\
         app = host=127.0.0.1 port={} dbname={database} {entry}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {{port}}\n\
         unix_socket_dir = {{dir}}\n\
         auth_type = trust\n\
         auth_file = {{dir}}/userlist.txt\n\
         admin_users = postgres\n\
         {more}\n",
        postgres.port()
    )
}

fn client(pgweir: &Pgweir) -> Peer {
    Peer::login(pgweir.address(), "t_trust", "app")
}

/// The example of PgBouncer's own package, with keys that have nothing to do here.
#[test]
fn the_same_command_line_and_the_same_file() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let text = ini(
        postgres,
        &database,
        "pool_size=3 load_balance_hosts=round-robin",
        "logfile = {dir}/pgbouncer.log\npidfile = {dir}/pgbouncer.pid\npkt_buf = 8192\n\
         sbuf_loopcnt = 5\ntrack_extra_parameters = IntervalStyle, search_path\nverbose = 0\n\
         tcp_socket_buffer = 65536\nso_reuseport = 0\npeer_id = 0",
    );
    let mut pgweir = Pgweir::start_ini(&text, &["-q", "-v"]);
    assert_eq!(client(&pgweir).value("SELECT 1 + 1"), "2");
    let log = std::fs::read_to_string(pgweir.dir().join("pgbouncer.log")).expect("a log");
    assert!(log.contains("pgweir.pkt_buf: has no effect"), "{log}");
    assert!(
        log.contains("pgweir.track_extra_parameters: has no effect"),
        "{log}"
    );
    assert!(!log.contains("sbuf_loopcnt"), "{log}");
    assert_eq!(pgweir.log(), "", "-q left something on standard error");
    let pidfile = pgweir.dir().join("pgbouncer.pid");
    let pid = std::fs::read_to_string(&pidfile).expect("a pid file");
    assert_eq!(pid, format!("{}\n", pgweir.pid()));
    let shown = pgweir.psql(postgres, "postgres", "pgbouncer", "SHOW CONFIG");
    for row in ["pkt_buf|8192|4096|no", "tcp_socket_buffer|65536|0|yes"] {
        assert!(shown.lines().any(|line| line == row), "{shown}");
    }
    pgweir.signal("INT");
    assert!(pgweir.wait().success());
    assert!(!pidfile.exists());
}

#[test]
fn version_help_and_mistakes() {
    let dir = run_dir().join(format!("w{}", unique()));
    std::fs::create_dir(&dir).expect("a directory");
    let program = dir.join("pgbouncer");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pgweir"), &program).expect("a link");
    let version = succeed(Command::new(&program).arg("-V"));
    assert!(version.starts_with("PgBouncer 1."), "{version}");
    for (arguments, code, text) in [
        (&["-h"][..], 0, "--reboot"),
        (&[], 1, "CONFIG_FILE"),
        (&["-R", "x.ini"], 1, "does not exist any more"),
        (&["-x", "x.ini"], 1, "-x"),
        (&["/nonexistent/x.ini"], 1, "cannot be opened"),
    ] {
        let output = Command::new(&program)
            .args(arguments)
            .output()
            .expect("run");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        // The online restart is not advertised.
        assert_eq!(told.contains(text), text != "--reboot", "{told}");
    }
}

/// `-d`: the terminal gets its prompt back when the port is open, and the process goes on.
#[test]
fn in_the_background() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let (dir, port) = (
        run_dir().join(format!("w{}", unique())),
        pgweir::demo::cluster::free_port().expect("a free port"),
    );
    std::fs::create_dir(&dir).expect("a directory");
    let program = dir.join("pgbouncer");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pgweir"), &program).expect("a link");
    let path = dir.join("main.conf");
    let write = |more: &str| {
        let text = ini(postgres, &database, "", more)
            .replace("{dir}", &dir.display().to_string())
            .replace("{port}", &port.to_string());
        std::fs::write(&path, text).expect("written");
    };
    std::fs::write(dir.join("userlist.txt"), "\"t_trust\" \"\"\n").expect("written");
    let start = || {
        let mut command = Command::new(&program);
        command.arg("-d").arg(&path).output().expect("run")
    };
    write("logfile = {dir}/log");
    let refused = start();
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("daemon needs pidfile configured"), "{told}");

    write("logfile = {dir}/log\npidfile = {dir}/pid");
    let started = start();
    assert!(started.status.success(), "{started:?}");
    let pid = eventually("the pid file", || {
        let text = std::fs::read_to_string(dir.join("pid")).ok()?;
        text.trim().parse::<u32>().ok()
    });
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut peer = Peer::login(address, "t_trust", "app");
    assert_eq!(peer.value("SELECT 7"), "7");
    let again = start();
    assert_eq!(again.status.code(), Some(1), "the port is taken: {again:?}");
    pgweir::demo::process::send_signal(pid, "QUIT");
    eventually("its end", || {
        let gone = !std::path::Path::new(&format!("/proc/{pid}")).exists();
        (gone || !dir.join("pid").exists()).then_some(())
    });
}

#[test]
fn a_notice_at_login_and_no_simple_queries() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let pgweir = Pgweir::start_ini(
        &ini(
            postgres,
            &database,
            "",
            "login_notify_message = maintenance at noon\ndisable_pqexec = 1",
        ),
        &[],
    );
    let mut peer = Peer::connect(pgweir.address());
    let parameters = [("user", "t_trust"), ("database", "app")];
    peer.send_raw(&message::startup(0x0003_0000, &parameters));
    let mut told = Vec::new();
    loop {
        let message = peer.next();
        match message.tag {
            b'N' => told.push(message.report().message().to_owned()),
            b'Z' => break,
            _ => {}
        }
    }
    assert_eq!(told, ["maintenance at noon"]);
    peer.send(&[message::query("SELECT 1")]);
    let error = scene::the_error(&peer.expect_end());
    assert_eq!(
        (error.field('V'), error.message()),
        ("FATAL", "PQexec disallowed")
    );
    // The console knows nothing else.
    let shown = pgweir.psql(postgres, "postgres", "pgbouncer", "SHOW VERSION");
    assert!(shown.contains("PgBouncer"), "{shown}");
}

/// Connections stay with a host until it cannot be reached: one failure, not one in two.
#[test]
fn hosts_that_are_not_balanced() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let failures = |policy: &str| {
        let text = ini(
            postgres,
            &database,
            &format!("load_balance_hosts={policy}"),
            "server_login_retry = 0.1",
        )
        .replace("host=127.0.0.1", "host=127.0.0.9,127.0.0.1");
        let pgweir = Pgweir::start_ini(&text, &[]);
        for _ in 0..4 {
            let mut peer = eventually("a login", || scene::try_login(pgweir.address()).ok());
            peer.until_ready_or_end("SELECT 1");
            drop(peer);
            pgweir.psql(postgres, "postgres", "pgbouncer", "RECONNECT app");
        }
        pgweir
            .log()
            .matches("connect failed: cannot connect to 127.0.0.9")
            .count()
    };
    assert_eq!(failures("disable"), 1);
    assert!(failures("round-robin") > 1);
}

/// What the console answers to a command that fails.
fn refused(pgweir: &Pgweir, command: &str) -> (String, String) {
    let mut console = Peer::login(pgweir.address(), "postgres", "pgbouncer");
    let error = scene::error_in(&console.query(command)).expect("an error");
    (error.sqlstate().to_owned(), error.message().to_owned())
}

#[test]
fn a_setting_changes_on_the_console_until_the_next_reload() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let pgweir = Pgweir::start_ini(&ini(postgres, &database, "", "query_timeout = 300"), &[]);
    let console = |command: &str| pgweir.psql(postgres, "postgres", "pgbouncer", command);
    let row = |key: &str| {
        let shown = console("SHOW CONFIG");
        let found = shown
            .lines()
            .find(|line| line.starts_with(&format!("{key}|")));
        found.map(str::to_owned).expect("a row")
    };
    let mut peer = client(&pgweir);
    let mut admin = Peer::login(pgweir.address(), "postgres", "pgbouncer");
    let answer = admin.query("SET query_timeout = 0.2");
    assert_eq!(answer[0].body, b"SET query_timeout=0.2\0");
    assert_eq!(row("query_timeout"), "query_timeout|0.2|0|yes");
    peer.send(&[message::query("SELECT pg_sleep(60)")]);
    let error = scene::the_error(&peer.expect_end());
    assert!(error.message().contains("query timeout"), "{error:?}");

    console("SET pool_mode TO 'transaction'");
    console("SET client_encoding TO 'UTF8'");
    assert_eq!(row("pool_mode"), "pool_mode|transaction|session|yes");
    for (command, says) in [
        ("SET query_timeout = 5min", "SET failed: query_timeout: "),
        (
            "SET listen_port = 5",
            "SET failed: listen_port takes a restart",
        ),
        ("SET pkt_buf = 5", "SET failed: pkt_buf has no effect"),
        ("SET query_timeoutt = 5", "did you mean query_timeout?"),
    ] {
        let (sqlstate, text) = refused(&pgweir, command);
        assert_eq!(sqlstate, "22023", "{command}");
        assert!(text.contains(says), "{command}: {text}");
    }
    assert_eq!(row("query_timeout"), "query_timeout|0.2|0|yes");
    console("RELOAD");
    assert_eq!(row("query_timeout"), "query_timeout|300|0|yes");
    assert_eq!(row("pool_mode"), "pool_mode|session|session|yes");

    // Another file for the next reload.
    let other = pgweir.dir().join("other.ini");
    let text = std::fs::read_to_string(pgweir.dir().join("pgbouncer.ini")).expect("the file");
    std::fs::write(
        &other,
        text.replace("query_timeout = 300", "query_timeout = 7"),
    )
    .expect("written");
    console(&format!("SET conffile = '{}'", other.display()));
    assert_eq!(
        row("conffile"),
        format!("conffile|{}||yes", other.display())
    );
    pgweir.signal("HUP");
    eventually("the other file", || {
        (row("query_timeout") == "query_timeout|7|0|yes").then_some(())
    });
}

/// RESUME of one database does not end the pause of all.
#[test]
fn a_database_that_is_resumed_waits_for_the_rest() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let pgweir = Pgweir::start_ini(&ini(postgres, &database, "", ""), &[]);
    assert_eq!(client(&pgweir).value("SELECT 1"), "1");
    let console = |command: &str| pgweir.psql(postgres, "postgres", "pgbouncer", command);
    for command in ["PAUSE", "KILL app", "RESUME app"] {
        console(command);
    }
    let mut peer = client(&pgweir);
    peer.send(&[message::query("SELECT 2")]);
    peer.expect_silence(std::time::Duration::from_millis(300));
    console("RESUME");
    assert_eq!(scene::values(&peer.until_ready(1)), ["2"]);
}

/// A line that is taken out of a file is out of force, in every file that a reload reads.
#[test]
fn a_reload_takes_back_what_is_no_longer_there() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let text = |users: &str| {
        ini(
            postgres,
            &database,
            "pool_size=7",
            &format!("max_user_client_connections = 5\n%include {{dir}}/more.ini\n{users}"),
        )
    };
    let without = text("").replace("%include {dir}/more.ini\n", "");
    let pgweir = Pgweir::start_ini(&without, &[]);
    let started = &pgweir;
    let more = started.dir().join("more.ini");
    let write = |included: &str, users: &str| {
        std::fs::write(&more, included).expect("written");
        started.rewrite_ini(&text(users));
        started.psql(postgres, "postgres", "pgbouncer", "RELOAD");
    };
    let mode = || {
        let shown = started.psql(postgres, "postgres", "pgbouncer", "SHOW USERS");
        let line = shown.lines().find(|line| line.starts_with("t_trust|"));
        line.map(str::to_owned).unwrap_or_default()
    };
    let mut one = client(started);
    assert_eq!(one.value("SELECT 1"), "1");

    // The user's own limit is stricter than the general one, and the included file's stricter still.
    write(
        "",
        "[users]\nt_trust = max_user_client_connections=1 pool_mode=transaction",
    );
    assert!(scene::try_login(started.address()).is_err());
    assert!(mode().contains("|transaction|"), "{}", mode());
    write("", "");
    let two = scene::try_login(started.address()).expect("the override is gone");
    assert!(!mode().contains("|transaction|"), "{}", mode());
    write("max_user_client_connections = 2\n", "");
    assert!(scene::try_login(started.address()).is_err());
    write("", "");
    scene::try_login(started.address()).expect("the included line is gone");
    drop(two);

    // A user who is taken out of the users file.
    let list = started.dir().join("userlist.txt");
    let users = std::fs::read_to_string(&list).expect("the users file");
    let fewer: String = users
        .lines()
        .filter(|line| !line.contains("t_trust"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&list, fewer).expect("written");
    started.psql(postgres, "postgres", "pgbouncer", "RELOAD");
    assert!(scene::try_login(started.address()).is_err());
    assert_eq!(one.value("SELECT 2"), "2", "who is there stays");

    // A file with a mistake changes nothing at all.
    std::fs::write(&list, users).expect("written");
    started.rewrite_ini(&text("query_timeout = 5\npool_mode = sesion"));
    let (sqlstate, text) = refused(started, "RELOAD");
    assert_eq!(sqlstate, "F0000");
    assert!(
        text.contains("RELOAD failed") && text.contains("did you mean"),
        "{text}"
    );
    let shown = started.psql(postgres, "postgres", "pgbouncer", "SHOW CONFIG");
    assert!(shown.contains("\nquery_timeout|0|0|yes"), "{shown}");
}
