//! Programs of others that tests run beside pgweir.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pgweir::demo::cluster::{free_port, tail};

use super::postgres::{guard, run_dir, unique};
use super::wait::patient;

/// A running program that listens on a port. It ends with the value.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    name: String,
    log: PathBuf,
    port: u16,
}

impl Service {
    /// Starts `program`, which `prepare` tells what to do in a directory of its own and on a port, and
    /// waits until it listens. Panics with its output if it does not.
    pub(crate) fn start(program: &str, prepare: impl Fn(&mut Command, &Path, u16)) -> Self {
        let mut last = String::new();
        // Somebody else may take the port before the program does.
        for _ in 0..5 {
            let name = format!("{program}{}", unique());
            let dir = run_dir().join(&name);
            std::fs::create_dir(&dir).expect("a directory");
            let port = free_port().expect("a free port");
            let log = dir.join("log");
            let output = File::create(&log).expect("a log file");
            let mut command = Command::new(program);
            // Servers are not on everybody's path.
            let path = std::env::var("PATH").unwrap_or_default();
            command
                .env("PATH", format!("{path}:/usr/sbin:/sbin"))
                .stdin(Stdio::null())
                .stdout(output.try_clone().expect("a log file"))
                .stderr(output);
            prepare(&mut command, &dir, port);
            let child = (command.spawn())
                .unwrap_or_else(|error| panic!("{program}: {error}; scripts/setup test"));
            guard().watch(&name, child.id()).expect("noting a pid");
            let mut service = Self {
                child,
                name,
                log,
                port,
            };
            match service.wait_listening() {
                Ok(()) => return service,
                Err(log) => last = log,
            }
        }
        panic!("{program} does not listen; its output:\n{last}");
    }

    fn wait_listening(&mut self) -> Result<(), String> {
        let limit = patient(Duration::from_secs(10));
        let begin = Instant::now();
        while TcpStream::connect(self.address()).is_err() {
            let ended = self.child.try_wait().expect("asking for a program");
            if ended.is_some() || begin.elapsed() > limit {
                return Err(tail(&self.log, 50));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}:\n{}", self.name, tail(&self.log, 50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        guard().forget(&self.name);
    }
}
