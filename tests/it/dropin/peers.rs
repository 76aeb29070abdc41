//! Several processes on one port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{first, ini};
use crate::support::message;
use crate::support::peer::{Heard, Peer};
use crate::support::pgweir::Pgweir;
use crate::support::wait::eventually;

/// Sends a cancel request and waits until it has been dealt with.
fn cancel(pgweir: &Pgweir, pid: u32, key: &[u8]) {
    let mut socket = TcpStream::connect(pgweir.address()).expect("connected");
    socket
        .write_all(&message::cancel(pid, key))
        .expect("written");
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
}

/// The kernel spreads connections, so about half of the cancel requests reach the process that
/// does not know the key.
#[test]
fn a_cancel_reaches_the_process_that_has_the_client() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let text = |own: u16, peers: &[(u16, &Pgweir)]| {
        let mut text = ini(
            postgres,
            &database,
            "pool_size=30",
            &format!("so_reuseport = 1\npeer_id = {own}\n[peers]\n"),
        );
        for (id, peer) in peers {
            let (dir, port) = (peer.dir().display(), peer.port());
            text.push_str(&format!("{id} = host={dir} port={port} pool_size=4\n"));
        }
        text
    };
    let one = Pgweir::start_ini(&text(1, &[]), &[]);
    let two = Pgweir::start_ini_on(&text(2, &[(1, &one)]), &[], Some(one.port()));
    let socket = two.dir().join(format!(".s.PGSQL.{}", two.port()));
    eventually("the second process", || socket.exists().then_some(()));
    eventually("its log", || two.log().contains("process up").then_some(()));
    one.rewrite_ini(&text(1, &[(1, &one), (2, &two)]));
    one.signal("HUP");
    eventually("the reload", || {
        one.log().contains("re-reading").then_some(())
    });
    std::thread::sleep(Duration::from_millis(300));

    let mut clients: Vec<Peer> = (0..24)
        .map(|_| Peer::login(one.address(), "t_trust", "app"))
        .collect();
    let owners: std::collections::BTreeSet<u8> = clients
        .iter()
        .map(|client| client.key().0.to_be_bytes()[1])
        .collect();
    assert_eq!(owners.into_iter().collect::<Vec<_>>(), [1, 2]);
    for client in &mut clients {
        client.send(&[message::query("SELECT pg_sleep(60)")]);
    }
    for client in &mut clients {
        let (pid, key) = client.key();
        let (pid, key) = (pid, key.to_vec());
        // A request can be sooner than the query; then there is nothing to cancel yet.
        eventually("the query to be there", || {
            cancel(&one, pid, &key);
            match client.hear(Duration::from_millis(200)) {
                Heard::Message(message) if message.tag == b'E' => {
                    assert_eq!(message.report().sqlstate(), "57014");
                    Some(())
                }
                Heard::Closed => panic!("closed instead of cancelled"),
                // The row description may come before it.
                _ => None,
            }
        });
    }
}

#[test]
fn peers_on_the_console() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let more = "peer_id = 3\n[peers]\n3 = host=127.0.0.1\n4 = host=/run/four port=7000 pool_size=2";
    let pgweir = Pgweir::start_ini(&ini(postgres, &database, "", more), &[]);
    let console = |command: &str| pgweir.psql(postgres, "postgres", "pgbouncer", command);
    assert_eq!(
        console("SHOW PEERS"),
        "3|127.0.0.1|6432|20\n4|/run/four|7000|2"
    );
    assert_eq!(console("SHOW PEER_POOLS"), "4|0|0|0|0");
    let lists = console("SHOW LISTS");
    assert!(lists.contains("\npeers|2\n"), "{lists}");
    assert!(lists.contains("\npeer_pools|1\n"), "{lists}");
}
