//! What service managers do: they open sockets, and ask for the end.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use super::{client, first, ini};
use crate::support::message;
use crate::support::peer::{Heard, Peer};
use crate::support::pgweir::Pgweir;
use crate::support::postgres::{run_dir, unique};
use crate::support::scene;
use crate::support::wait::{eventually, patient};

/// SIGTERM with a deadline: idle clients are told to leave first, one in a transaction may finish
/// it, and the process ends in order.
#[test]
fn clients_leave_between_their_transactions() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let more = "pool_mode = transaction\nshutdown_timeout = 6";
    let mut pgweir = Pgweir::start_ini(&ini(postgres, &database, "", more), &[]);
    let (mut idle, mut busy) = (client(&pgweir), client(&pgweir));
    assert_eq!(idle.value("SELECT 1"), "1");
    busy.query("BEGIN");
    assert_eq!(busy.value("SELECT 2"), "2");
    pgweir.signal("TERM");
    match idle.hear(patient(Duration::from_secs(10))) {
        Heard::Message(message) if message.tag == b'E' => {
            assert_eq!(message.report().sqlstate(), "57P01");
        }
        other => panic!("{other:?}"),
    }
    assert!(std::net::TcpStream::connect(pgweir.address()).is_err());
    assert_eq!(busy.value("SELECT 3"), "3");
    busy.send(&[message::query("COMMIT")]);
    let told = busy.expect_end();
    assert!(told.iter().any(|message| message.body == b"COMMIT\0"));
    assert_eq!(scene::the_error(&told).sqlstate(), "57P01");
    assert!(pgweir.wait().success());
    let log = pgweir.log();
    assert!(
        log.contains("got SIGTERM, shutting down, waiting for all clients"),
        "{log}"
    );
    assert!(
        !log.contains("shutdown_timeout has passed: closing"),
        "{log}"
    );
}

/// A process that does not outlive its test.
struct Activated(std::process::Child);

impl Activated {
    fn quit(&mut self) {
        pgweir::demo::process::send_signal(self.0.id(), "QUIT");
        assert!(self.0.wait().expect("its end").success());
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts pgweir with a socket as its first one from the service manager: the shell that becomes it
/// keeps its process id.
fn activated(socket: OwnedFd, path: &std::path::Path) -> Activated {
    let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$1\" 3<&0 </dev/null";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_pgweir")])
        .arg(path)
        .stdin(socket)
        .stderr(std::process::Stdio::null());
    Activated(command.spawn().expect("starting a shell"))
}

#[test]
fn sockets_that_the_service_manager_has_opened() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let dir = run_dir().join(format!("w{}", unique()));
    std::fs::create_dir(&dir).expect("a directory");
    // The port of the file is not opened: it is somebody else's.
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = taken.local_addr().expect("an address").port();
    let text = ini(postgres, &database, "", "")
        .replace("{dir}", &dir.display().to_string())
        .replace("{port}", &port.to_string());
    let path = dir.join("pgbouncer.ini");
    std::fs::write(&path, text).expect("written");
    std::fs::write(dir.join("userlist.txt"), "\"t_trust\" \"\"\n").expect("written");

    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = tcp.local_addr().expect("an address");
    let mut child = activated(tcp.into(), &path);
    let mut peer = Peer::login(address, "t_trust", "app");
    assert_eq!(peer.value("SELECT 5"), "5");
    assert!(!dir.join(format!(".s.PGSQL.{port}")).exists());
    child.quit();

    let file = dir.join("passed");
    let unix = UnixListener::bind(&file).expect("bound");
    let mut child = activated(unix.into(), &path);
    eventually("an answer", || {
        use std::io::{Read, Write};
        let mut socket = std::os::unix::net::UnixStream::connect(&file).ok()?;
        let parameters = [("user", "t_trust"), ("database", "app")];
        let hello = message::startup(0x0003_0000, &parameters);
        socket.write_all(&hello).ok()?;
        let mut first = [0];
        socket.read_exact(&mut first).ok()?;
        (first[0] == b'R').then_some(())
    });
    child.quit();
    assert!(file.exists(), "the file is the service manager's");
}
