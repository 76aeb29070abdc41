//! The built pgweir as a process, with a configuration written for the test.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use pgweir::demo::cluster::{free_port, tail};
use pgweir::demo::process::send_signal;

use super::postgres::{PASSWORD, Postgres, guard, run_dir, unique};
use super::wait::patient;

/// A configuration in the making. Keys are those of the reference; a later value of a key
/// replaces an earlier one.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    settings: toml::Table,
    databases: toml::Table,
    users: toml::Table,
    lint: toml::Table,
    audit: toml::Table,
    userlist: Vec<(String, String)>,
    hosts: Option<PathBuf>,
}

impl Setup {
    /// Listens on a free port of 127.0.0.1; everybody may log in without a password; `postgres`
    /// is the console's administrator.
    pub(crate) fn new() -> Self {
        let mut setup = Self {
            settings: toml::Table::new(),
            databases: toml::Table::new(),
            users: toml::Table::new(),
            lint: toml::Table::new(),
            audit: toml::Table::new(),
            userlist: Vec::new(),
            hosts: None,
        };
        for role in ["t_trust", "t_plain", "t_md5", "t_scram", "t_tls", "t_cert"] {
            setup = setup.secret(role, PASSWORD);
        }
        setup
            .secret("postgres", PASSWORD)
            .set("listen_addr", "127.0.0.1")
            .set("auth_type", "trust")
            .set("admin_users", "postgres")
    }

    /// One key of `[pgweir]`.
    pub(crate) fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.settings.insert(key.to_owned(), value.into());
        self
    }

    /// pgweir sees this file as `/etc/hosts`, nobody else does. Says why on standard error and gives
    /// `None` if that needs rights that the tests do not have.
    pub(crate) fn hosts(mut self, file: &Path) -> Option<Self> {
        let tried = Command::new("unshare").args(["-m", "true"]).output();
        let why = match tried {
            Ok(output) if output.status.success() => {
                self.hosts = Some(file.to_owned());
                return Some(self);
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => format!("unshare: {error}"),
        };
        eprintln!("left out, since it takes an /etc/hosts of its own: {why}");
        None
    }

    /// The section `[lint]`, as TOML.
    pub(crate) fn lint(mut self, text: &str) -> Self {
        self.lint = text.parse().expect("TOML");
        self
    }

    /// The users file does not have this one.
    pub(crate) fn forget(mut self, user: &str) -> Self {
        self.userlist.retain(|(name, _)| name != user);
        self
    }

    /// The section `[audit]`, as TOML.
    pub(crate) fn audit(mut self, text: &str) -> Self {
        self.audit = text.parse().expect("TOML");
        self
    }

    /// A line of the users file: a login name and its stored secret.
    pub(crate) fn secret(mut self, user: &str, secret: &str) -> Self {
        self.userlist.retain(|(name, _)| name != user);
        self.userlist.push((user.to_owned(), secret.to_owned()));
        self
    }

    /// `[databases.NAME]` that leads to `dbname` of `postgres` over TCP.
    pub(crate) fn database(self, name: &str, postgres: &Postgres, dbname: &str) -> Self {
        self.database_at(name, postgres.port())
            .database_set(name, "dbname", dbname)
    }

    /// `[databases.NAME]` that leads to a port of 127.0.0.1, for scripted servers.
    pub(crate) fn database_at(self, name: &str, port: u16) -> Self {
        self.database_set(name, "host", "127.0.0.1")
            .database_set(name, "port", i64::from(port))
    }

    /// One key of `[databases.NAME]`.
    pub(crate) fn database_set(
        mut self,
        name: &str,
        key: &str,
        value: impl Into<toml::Value>,
    ) -> Self {
        insert(&mut self.databases, name, key, value.into());
        self
    }

    /// One key of `[users.NAME]`.
    pub(crate) fn user_set(mut self, name: &str, key: &str, value: impl Into<toml::Value>) -> Self {
        insert(&mut self.users, name, key, value.into());
        self
    }

    fn text(&self, dir: &Path, port: u16) -> String {
        let mut settings = self.settings.clone();
        let mut default = |key: &str, value: toml::Value| {
            settings.entry(key).or_insert(value);
        };
        default("listen_port", i64::from(port).into());
        default("unix_socket_dir", dir.display().to_string().into());
        default("http_listen", "".into());
        default(
            "auth_file",
            dir.join("userlist.txt").display().to_string().into(),
        );
        let mut file = toml::Table::new();
        file.insert("pgweir".to_owned(), settings.into());
        file.insert("databases".to_owned(), self.databases.clone().into());
        if !self.users.is_empty() {
            file.insert("users".to_owned(), self.users.clone().into());
        }
        if !self.lint.is_empty() {
            file.insert("lint".to_owned(), self.lint.clone().into());
        }
        if !self.audit.is_empty() {
            file.insert("audit".to_owned(), self.audit.clone().into());
        }
        file.to_string()
    }

    /// Writes the files to `dir` for a pgweir on `port`.
    fn write(&self, dir: &Path, port: u16) {
        let mut list = String::new();
        for (user, secret) in &self.userlist {
            let quote = |text: &str| text.replace('"', "\"\"");
            let _ = writeln!(list, "\"{}\" \"{}\"", quote(user), quote(secret));
        }
        std::fs::write(dir.join("userlist.txt"), list).expect("writing the users file");
        std::fs::write(dir.join("pgweir.toml"), self.text(dir, port))
            .expect("writing the configuration");
    }

    /// Starts pgweir and waits until it takes connections. Panics with its log if it does not.
    pub(crate) fn start(&self) -> Pgweir {
        let dir = run_dir().join(format!("w{}", unique()));
        std::fs::create_dir(&dir).expect("a directory for pgweir");
        for attempt in 0.. {
            let port = free_port().expect("a free port");
            self.write(&dir, port);
            let mut pgweir = Pgweir::spawn(dir.clone(), port, self.hosts.as_deref());
            match pgweir.wait_listening() {
                Ok(()) => return pgweir,
                // Somebody took the port in between.
                Err(log) if attempt < 4 && log.contains("in use") => {}
                Err(log) => panic!("pgweir does not listen; its log:\n{log}"),
            }
        }
        unreachable!("the loop returns or panics")
    }

    /// Runs pgweir with this configuration expecting it to end by itself, as with a mistake.
    pub(crate) fn run_to_end(&self) -> Output {
        let dir = run_dir().join(format!("w{}", unique()));
        std::fs::create_dir(&dir).expect("a directory for pgweir");
        self.write(&dir, free_port().expect("a free port"));
        Command::new(env!("CARGO_BIN_EXE_pgweir"))
            .args(["run", "-c"])
            .arg(dir.join("pgweir.toml"))
            .stdin(Stdio::null())
            .output()
            .expect("running pgweir")
    }
}

/// Writes a `pgbouncer.ini` and its users file to `dir`. `{dir}` and `{port}` in the text are
/// filled in.
pub(crate) fn write_ini(dir: &Path, port: u16, text: &str) {
    let text = text
        .replace("{dir}", &dir.display().to_string())
        .replace("{port}", &port.to_string());
    std::fs::write(dir.join("pgbouncer.ini"), text).expect("writing the configuration");
    let users: String = ["t_trust", "postgres", "t_scram"]
        .map(|user| format!("\"{user}\" \"{PASSWORD}\"\n"))
        .concat();
    std::fs::write(dir.join("userlist.txt"), users).expect("writing the users file");
}

fn insert(tables: &mut toml::Table, name: &str, key: &str, value: toml::Value) {
    let entry = tables
        .entry(name)
        .or_insert_with(|| toml::Table::new().into());
    if let toml::Value::Table(table) = entry {
        table.insert(key.to_owned(), value);
    }
}

/// A running pgweir; killed when dropped, its log shown if the test is failing.
#[derive(Debug)]
pub(crate) struct Pgweir {
    child: Child,
    dir: PathBuf,
    port: u16,
    name: String,
}

impl Pgweir {
    fn spawn(dir: PathBuf, port: u16, hosts: Option<&Path>) -> Self {
        let program = env!("CARGO_BIN_EXE_pgweir");
        let mut command = match hosts {
            None => Command::new(program),
            Some(hosts) => {
                let mut command = Command::new("unshare");
                let script = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
                command.args(["-m", "sh", "-c", script]).arg(hosts);
                command.arg(program);
                command
            }
        };
        command.args(["run", "-c"]).arg(dir.join("pgweir.toml"));
        Self::spawn_as(&mut command, dir, port)
    }

    /// Starts pgweir under the name `pgbouncer` with a `pgbouncer.ini` and these options, and waits
    /// until it takes connections. `{dir}` and `{port}` in the text are filled in; the users file
    /// is `{dir}/userlist.txt`.
    pub(crate) fn start_ini(text: &str, options: &[&str]) -> Self {
        Self::start_ini_on(text, options, None)
    }

    /// As [`start_ini`](Self::start_ini), on a port that somebody may listen on already.
    pub(crate) fn start_ini_on(text: &str, options: &[&str], port: Option<u16>) -> Self {
        let dir = run_dir().join(format!("w{}", unique()));
        std::fs::create_dir(&dir).expect("a directory for pgweir");
        let program = dir.join("pgbouncer");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pgweir"), &program).expect("a link");
        for attempt in 0.. {
            let port = port.unwrap_or_else(|| free_port().expect("a free port"));
            let mut command = Command::new(&program);
            command.args(options).arg(dir.join("pgbouncer.ini"));
            write_ini(&dir, port, text);
            let mut pgweir = Self::spawn_as(&mut command, dir.clone(), port);
            match pgweir.wait_listening() {
                Ok(()) => return pgweir,
                // Somebody took the port in between.
                Err(log) if attempt < 4 && log.contains("in use") => {}
                Err(log) => panic!("pgweir does not listen; its log:\n{log}"),
            }
        }
        unreachable!("the loop returns or panics")
    }

    /// Writes another `pgbouncer.ini`; takes effect with a reload.
    pub(crate) fn rewrite_ini(&self, text: &str) {
        write_ini(&self.dir, self.port, text);
    }

    fn spawn_as(command: &mut Command, dir: PathBuf, port: u16) -> Self {
        let log = std::fs::File::create(dir.join("log")).expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("starting pgweir");
        let name = format!("pgweir{}", unique());
        guard().watch(&name, child.id()).expect("noting a pid");
        Self {
            child,
            dir,
            port,
            name,
        }
    }

    fn wait_listening(&mut self) -> Result<(), String> {
        let limit = patient(Duration::from_secs(10));
        let begin = Instant::now();
        while TcpStream::connect(self.address()).is_err() {
            let ended = self.child.try_wait().expect("asking for pgweir");
            if ended.is_some() || begin.elapsed() > limit {
                return Err(format!("{}\n(ended: {ended:?})", self.log()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where its files and its unix socket are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged, the last 200 lines.
    pub(crate) fn log(&self) -> String {
        tail(&self.dir.join("log"), 200)
    }

    /// Sends it a signal, by short name.
    pub(crate) fn signal(&self, name: &str) {
        send_signal(self.child.id(), name);
    }

    /// Writes another configuration for the same port; takes effect with a reload.
    pub(crate) fn rewrite(&self, setup: &Setup) {
        setup.write(&self.dir, self.port);
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        super::wait::eventually("pgweir ends", || {
            self.child.try_wait().expect("asking for pgweir")
        })
    }

    /// psql of `postgres`' version through pgweir, with `arguments`; not yet run.
    pub(crate) fn client(&self, postgres: &Postgres, program: &str, user: &str) -> Command {
        client(postgres, program, user, self.port)
    }

    /// Runs SQL through pgweir as `user` and gives what psql prints with `-AtX`. Panics with
    /// psql's message if it fails.
    pub(crate) fn psql(
        &self,
        postgres: &Postgres,
        user: &str,
        database: &str,
        sql: &str,
    ) -> String {
        succeed(self.client(postgres, "psql", user).args([
            "-AtqX",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
            "-c",
            sql,
        ]))
    }
}

impl Drop for Pgweir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of pgweir on port {}:\n{}", self.port, self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        guard().forget(&self.name);
    }
}

/// One of PostgreSQL's client programs for a server on `port` of 127.0.0.1.
pub(crate) fn client(postgres: &Postgres, program: &str, user: &str, port: u16) -> Command {
    let mut command = Command::new(postgres.cluster.binaries().program(program));
    clean_environment(&mut command);
    command
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", port.to_string())
        .env("PGUSER", user)
        .env("PGPASSWORD", PASSWORD)
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null());
    command
}

/// Takes out what the environment says about PostgreSQL: it is meant for another server.
pub(crate) fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PG") && !text.starts_with("PGWEIR") {
            command.env_remove(&name);
        }
    }
}

/// Runs a command that must succeed and gives its standard output; panics with all it printed,
/// also if it takes longer than two patient minutes.
pub(crate) fn succeed(command: &mut Command) -> String {
    let base = run_dir().join(format!("out{}", unique()));
    let (out, errors) = (base.with_extension("1"), base.with_extension("2"));
    let file = |path: &Path| std::fs::File::create(path).expect("a file for output");
    let mut child = command
        .stdout(file(&out))
        .stderr(file(&errors))
        .spawn()
        .expect("running a program");
    let limit = patient(Duration::from_secs(120));
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("waiting for a program") {
            break status.to_string();
        }
        if begin.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            break format!("stopped after {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let read = |path: &Path| {
        String::from_utf8_lossy(&std::fs::read(path).expect("reading output")).into_owned()
    };
    let printed = read(&out);
    assert!(
        status == "exit status: 0",
        "{command:?} failed ({status}):\n{}{printed}",
        read(&errors),
    );
    printed.trim_end().to_owned()
}
