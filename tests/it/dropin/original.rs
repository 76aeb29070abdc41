//! A running PgBouncer, to compare with.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use pgweir::demo::cluster::{free_port, tail};
use pgweir::demo::process::Owner;

use crate::support::pgweir::{clean_environment, write_ini};
use crate::support::postgres::{guard, run_dir, unique};
use crate::support::wait::eventually;

/// Killed when dropped, its log shown if the test is failing.
pub(super) struct PgBouncer {
    child: Child,
    dir: PathBuf,
    port: u16,
    name: String,
}

/// Where the program is; `None`, said on standard error, if `PGWEIR_TEST_PGBOUNCER=skip`.
fn program() -> Option<PathBuf> {
    if std::env::var("PGWEIR_TEST_PGBOUNCER").is_ok_and(|value| value == "skip") {
        eprintln!("left out by PGWEIR_TEST_PGBOUNCER: the comparison with PgBouncer");
        return None;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let found = std::iter::once("/usr/sbin")
        .chain(path.split(':'))
        .map(|dir| Path::new(dir).join("pgbouncer"))
        .find(|program| program.is_file());
    Some(found.expect(
        "no pgbouncer (`scripts/setup test` brings it; PGWEIR_TEST_PGBOUNCER=skip leaves it out)",
    ))
}

impl PgBouncer {
    /// Starts it with this file, filled in as by [`write_ini`], and waits until it listens. It
    /// refuses to run as root, as PostgreSQL does.
    pub(super) fn start(text: &str) -> Option<Self> {
        let program = program()?;
        let dir = run_dir().join(format!("b{}", unique()));
        std::fs::create_dir(&dir).expect("a directory for PgBouncer");
        let owner = Owner::choose();
        owner.give(&dir).expect("a directory of its own");
        for attempt in 0.. {
            let port = free_port().expect("a free port");
            write_ini(&dir, port, text);
            let log = std::fs::File::create(dir.join("log")).expect("a log file");
            let mut command = owner.command(&program);
            clean_environment(&mut command);
            let child = command
                .arg(dir.join("pgbouncer.ini"))
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a log file"))
                .stderr(log)
                .process_group(0)
                .spawn()
                .expect("starting PgBouncer");
            let name = format!("pgbouncer{}", unique());
            guard().watch(&name, child.id()).expect("noting a pid");
            let mut started = Self {
                child,
                dir: dir.clone(),
                port,
                name,
            };
            let listens = eventually("PgBouncer listens or ends", || {
                if TcpStream::connect(started.address()).is_ok() {
                    return Some(true);
                }
                let ended = started.child.try_wait().expect("asking for PgBouncer");
                ended.map(|_| false)
            });
            if listens {
                return Some(started);
            }
            // Somebody may have taken the port in between.
            assert!(attempt < 4, "PgBouncer does not start: {}", started.log());
        }
        unreachable!("the loop returns or panics")
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// `1.18.0` as 118: major and minor.
    pub(super) fn version(shown: &str) -> u32 {
        let mut numbers = shown
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|n| n.parse::<u32>().ok());
        let mut next = || numbers.next().expect("a version");
        next() * 100 + next()
    }

    fn log(&self) -> String {
        tail(&self.dir.join("log"), 100)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of PgBouncer:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        guard().forget(&self.name);
    }
}
