//! Throwaway PostgreSQL servers, for the demo and for the tests.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::binaries::Binaries;
use super::process::{Owner, reachable, run, send_signal};

/// Longest start of a server or copy of a primary. Generous: small machines run many at once.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Something that stands between us and a running server.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed ({status}):\n{output}")]
    Program {
        /// Its name.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// The server did not take connections in time.
    #[error(
        "PostgreSQL on port {port} was not ready after {seconds} s; the end of its log:\n{log}"
    )]
    NotReady {
        /// Its port.
        port: u16,
        /// How long we waited, in seconds.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
}

pub(super) fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> ClusterError {
    let what = what.into();
    move |source| ClusterError::Io { what, source }
}

/// A TCP port that nobody listens on at this moment.
///
/// Somebody may take it before it is used; callers that start a server try again then.
///
/// # Errors
///
/// The system has no port left.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// The last `lines` lines of a file, for error messages.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// How a new cluster is set up.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Password of the superuser `postgres`; without one it needs none.
    pub password: Option<String>,
    /// Certificate chain and key (PEM) of the server; without them it has no TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Lines of `pg_hba.conf` that come first; what they do not match is: everybody on the unix
    /// socket, and on loopback with SCRAM (without `password`: everybody).
    pub hba: Vec<String>,
    /// Further lines of `postgresql.conf`.
    pub conf: Vec<String>,
}

/// A running PostgreSQL server in a directory of its own.
///
/// Listens on 127.0.0.1 and on a unix socket in [`Cluster::socket_dir`], with `fsync` off. The
/// superuser is `postgres`. Stopped when dropped; a [`super::guard::Guard`] over the parent
/// directory stops it when this process dies.
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    owner: Owner,
    data: PathBuf,
    sockets: PathBuf,
    log: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Cluster {
    /// Makes and starts a new cluster `DIR/NAME`.
    ///
    /// # Errors
    ///
    /// See [`ClusterError`]; nothing is left running.
    pub fn create(
        binaries: &Binaries,
        dir: &Path,
        name: &str,
        options: &ClusterOptions,
    ) -> Result<Self, ClusterError> {
        let owner = Owner::choose();
        let mut cluster = Self::prepare(binaries, owner, dir, name)?;
        let mut initdb = cluster.command("initdb");
        initdb
            .args(["-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"])
            .args(["--auth=trust", "-D"])
            .arg(&cluster.data);
        run(&mut initdb)?;

        let mut conf = String::from(
            "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n\
             shared_buffers = 64MB\nmax_connections = 400\nmax_wal_senders = 8\n\
             wal_level = replica\nhot_standby = on\nwal_keep_size = 64MB\n\
             max_prepared_transactions = 10\nlogging_collector = off\n\
             log_line_prefix = '%m [%p] %u@%d '\npassword_encryption = 'scram-sha-256'\n\
             listen_addresses = '127.0.0.1'\n",
        );
        if let Some((cert, key)) = &options.tls {
            for (from, to) in [(cert, "server.crt"), (key, "server.key")] {
                let to = cluster.data.join(to);
                std::fs::copy(from, &to)
                    .map_err(io_error(format!("copying {}", from.display())))?;
                std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600))
                    .map_err(io_error(format!("protecting {}", to.display())))?;
                owner.give(&to)?;
            }
            conf.push_str("ssl = on\n");
        }
        for line in &options.conf {
            let _ = writeln!(conf, "{line}");
        }
        cluster.append("postgresql.conf", &conf)?;

        let tcp = if options.password.is_some() {
            "scram-sha-256"
        } else {
            "trust"
        };
        let mut hba = String::from("local all all trust\nlocal replication all trust\n");
        for line in &options.hba {
            let _ = writeln!(hba, "{line}");
        }
        let _ = writeln!(hba, "host all all 127.0.0.1/32 {tcp}");
        let hba_path = cluster.data.join("pg_hba.conf");
        std::fs::write(&hba_path, hba).map_err(io_error("writing pg_hba.conf"))?;

        cluster.start()?;
        if let Some(password) = &options.password {
            let quoted = password.replace('\'', "''");
            cluster.psql(
                "postgres",
                &format!("ALTER ROLE postgres PASSWORD '{quoted}'"),
            )?;
        }
        Ok(cluster)
    }

    /// Copies this running primary to `DIR/NAME` and starts the copy as its streaming replica.
    ///
    /// # Errors
    ///
    /// See [`ClusterError`].
    pub fn replica(&self, dir: &Path, name: &str) -> Result<Self, ClusterError> {
        let mut replica = Self::prepare(&self.binaries, self.owner, dir, name)?;
        let mut copy = self.command("pg_basebackup");
        copy.args([
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
            "-U",
            "postgres",
            "-h",
        ])
        .arg(&self.sockets)
        .args(["-p", &self.port.to_string(), "-D"])
        .arg(&replica.data);
        run(&mut copy)?;
        replica.start()?;
        Ok(replica)
    }

    /// Makes this running replica follow another primary.
    ///
    /// # Errors
    ///
    /// See [`ClusterError`].
    pub fn follow(&self, primary: &Cluster) -> Result<(), ClusterError> {
        let conninfo = format!(
            "ALTER SYSTEM SET primary_conninfo = 'host={} port={} user=postgres'",
            primary.sockets.display(),
            primary.port
        );
        self.psql("postgres", &conninfo)?;
        self.psql("postgres", "SELECT pg_reload_conf()").map(drop)
    }

    fn prepare(
        binaries: &Binaries,
        owner: Owner,
        dir: &Path,
        name: &str,
    ) -> Result<Self, ClusterError> {
        let data = dir.join(name);
        let sockets = dir.join(format!("{name}.s"));
        for (path, mode) in [(&data, 0o700), (&sockets, 0o755)] {
            std::fs::create_dir(path).map_err(io_error(format!("making {}", path.display())))?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
                .map_err(io_error(format!("protecting {}", path.display())))?;
            owner.give(path)?;
        }
        Ok(Self {
            binaries: reachable(binaries, owner, dir)?,
            owner,
            data,
            sockets,
            log: dir.join(format!("{name}.log")),
            port: 0,
            child: None,
        })
    }

    fn append(&self, file: &str, text: &str) -> Result<(), ClusterError> {
        let path = self.data.join(file);
        let mut old = std::fs::read_to_string(&path).unwrap_or_default();
        old.push_str(text);
        std::fs::write(&path, old).map_err(io_error(format!("writing {}", path.display())))
    }

    /// Starts the server and waits until it takes connections. A port is chosen at the first
    /// start and kept.
    ///
    /// # Errors
    ///
    /// [`ClusterError::NotReady`] with the server's own log.
    pub fn start(&mut self) -> Result<(), ClusterError> {
        let mut tries = 0;
        loop {
            tries += 1;
            if self.port == 0 || tries > 1 {
                self.port = free_port().map_err(io_error("looking for a free port"))?;
            }
            match self.start_once() {
                // Somebody else took the port in between.
                Err(ClusterError::NotReady { log, .. })
                    if tries < 5 && log.contains("Address already in use") => {}
                other => return other,
            }
        }
    }

    fn start_once(&mut self) -> Result<(), ClusterError> {
        let log = std::fs::File::create(&self.log).map_err(io_error("making a log file"))?;
        let errors = log.try_clone().map_err(io_error("making a log file"))?;
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(&self.data)
            .args(["-p", &self.port.to_string(), "-k"])
            .arg(&self.sockets)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C at a terminal is for us alone: we stop it in order.
            .process_group(0);
        self.child = Some(command.spawn().map_err(io_error("starting postgres"))?);
        let begin = Instant::now();
        let not_ready = |this: &Self| ClusterError::NotReady {
            port: this.port,
            seconds: begin.elapsed().as_secs(),
            log: tail(&this.log, 20),
        };
        loop {
            if self.psql("postgres", "SELECT 1").is_ok() {
                return Ok(());
            }
            let ended = match &mut self.child {
                Some(child) => child
                    .try_wait()
                    .map_err(io_error("waiting for postgres"))?
                    .is_some(),
                None => true,
            };
            if ended {
                self.child = None;
                return Err(not_ready(self));
            }
            if begin.elapsed() > START_TIMEOUT {
                let error = not_ready(self);
                self.stop();
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops the server: running sessions are ended, data is written ("fast"). May be started
    /// again.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    /// Ends the server as a crash would ("immediate"). May be started again.
    pub fn crash(&mut self) {
        self.end("QUIT");
    }

    /// Ends the server with `kill -9`: its processes find out one by one. May be started again.
    pub fn kill(&mut self) {
        self.end("KILL");
    }

    fn end(&mut self, signal: &str) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        send_signal(child.id(), signal);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Runs SQL as the superuser over the unix socket and gives what psql prints with `-AtX`.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Program`] with PostgreSQL's message.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, ClusterError> {
        let mut command = Command::new(self.binaries.program("psql"));
        // What the caller's environment says about PostgreSQL is meant for another server.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
            .args(["-AtqX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(&self.sockets)
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql]);
        run(&mut command)
    }

    /// A command for one of PostgreSQL's programs, as the server's user.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.owner.command(self.binaries.program(program));
        // The caller's directory may be closed to that user.
        command.current_dir("/").env_remove("PGDATA");
        command
    }

    /// The TCP port, also part of the unix socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Directory of the unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.sockets
    }

    /// The programs it was started from.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The server's log.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end("QUIT");
    }
}
