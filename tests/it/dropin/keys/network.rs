//! `[pgbouncer]`: sockets, files and the process.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use super::{first, ini, row};
use crate::support::pgweir::{Pgweir, succeed};
use crate::support::wait::eventually;

fn start(more: &str) -> Option<Pgweir> {
    let postgres = first()?;
    let database = postgres.database();
    Some(Pgweir::start_ini(&ini(postgres, &database, "", more), &[]))
}

#[test]
fn addresses_to_listen_on() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let text = ini(postgres, &database, "", "").replace(
        "listen_addr = 127.0.0.1",
        "listen_addr = 127.0.0.1, 127.0.0.4",
    );
    let pgweir = Pgweir::start_ini(&text, &[]);
    let reaches =
        |last: u8| TcpStream::connect(SocketAddr::from(([127, 0, 0, last], pgweir.port()))).is_ok();
    assert!(reaches(1));
    eventually("the second address", || reaches(4).then_some(()));
    assert!(!reaches(5));
}

/// Connections that the kernel takes while nobody accepts any.
#[test]
fn listen_backlog_bounds_who_waits_to_be_accepted() {
    let taken = |backlog: usize| {
        let pgweir = start(&format!("listen_backlog = {backlog}"))?;
        pgweir.signal("STOP");
        eventually("it stands still", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pgweir.pid())).ok()?;
            stat.rsplit_once(") ")?.1.starts_with('T').then_some(())
        });
        let limit = Duration::from_millis(300);
        let waiting: Vec<TcpStream> = (0..8)
            .map_while(|_| TcpStream::connect_timeout(&pgweir.address(), limit).ok())
            .collect();
        pgweir.signal("CONT");
        Some(waiting.len())
    };
    let (Some(few), Some(all)) = (taken(2), taken(20)) else {
        return;
    };
    // The kernel takes one more than it is told.
    assert!((1..=4).contains(&few), "{few}");
    assert_eq!(all, 8);
}

#[test]
fn rights_of_the_unix_socket() {
    let group = match succeed(Command::new("id").arg("-u")).trim() {
        // A group that is not its own.
        "0" => "daemon".to_owned(),
        _ => succeed(Command::new("id").arg("-gn")).trim().to_owned(),
    };
    let more = format!("unix_socket_mode = 0710\nunix_socket_group = {group}");
    let Some(pgweir) = start(&more) else { return };
    let socket = pgweir.dir().join(format!(".s.PGSQL.{}", pgweir.port()));
    // There is a file before it has its rights; it has them when somebody can connect.
    eventually("the socket", || UnixStream::connect(&socket).ok());
    let found = std::fs::metadata(&socket).expect("the socket");
    assert_eq!(found.permissions().mode() & 0o777, 0o710);
    let line = succeed(Command::new("getent").args(["group", &group]));
    let id: u32 = (line.split(':').nth(2))
        .and_then(|id| id.parse().ok())
        .expect("the number of a group");
    assert_eq!(found.gid(), id);
    let shown = row(&pgweir, "SHOW CONFIG", "key", "unix_socket_mode").expect("a row");
    assert_eq!(shown["value"], "0710");
}

/// Only root can become somebody else; others may name themselves.
#[test]
fn the_process_belongs_to_user() {
    let me = succeed(Command::new("id").arg("-un")).trim().to_owned();
    let user = match me.as_str() {
        "root" => "daemon".to_owned(),
        _ => me,
    };
    let id = succeed(Command::new("id").args(["-u", &user]))
        .trim()
        .to_owned();
    let Some(postgres) = first() else { return };
    // It listens as that user.
    let sockets = tempfile::tempdir().expect("a directory");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(sockets.path(), open).expect("its rights");
    let text = ini(
        postgres,
        &postgres.database(),
        "",
        &format!("user = {user}"),
    );
    let place = format!("unix_socket_dir = {}", sockets.path().display());
    let pgweir = Pgweir::start_ini(&text.replace("unix_socket_dir = {dir}", &place), &[]);
    let ids = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pgweir.pid())).ok()?;
        let line = status.lines().find(|line| line.starts_with("Uid:"))?;
        let ids = line.split_whitespace().skip(1).map(str::to_owned);
        Some(ids.collect::<Vec<_>>())
    };
    // Real, effective, saved and of files; it becomes that user when it has all its sockets, and a
    // client may be before the last.
    eventually("another user", || {
        ids().filter(|ids| *ids == [&*id; 4].map(str::to_owned))
    });
}
