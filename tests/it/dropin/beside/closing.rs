//! Clients that lose their servers.

use super::{Pair, outcome, same};
use crate::support::peer::{Heard, Peer};
use crate::support::wait::patient;

/// How the connection ends by itself.
fn end(peer: &mut Peer) -> (String, String) {
    let mut messages = Vec::new();
    loop {
        match peer.hear(patient(std::time::Duration::from_secs(15))) {
            Heard::Message(message) => messages.push(message),
            Heard::Closed => return outcome(&messages),
            Heard::Silence => panic!("it goes on after {messages:?}"),
        }
    }
}

#[test]
fn server_fast_close_takes_the_client_along() {
    let Some(pair) = Pair::start("pool_mode = session\nserver_fast_close = 0") else {
        return;
    };
    let mut consoles = pair.consoles("postgres");
    let mut tell = |command: &str| {
        for console in &mut consoles {
            let answer = console.query(command);
            assert_eq!(outcome(&answer).0, "", "{command}: {answer:?}");
        }
    };
    let (mut idle, mut busy) = (pair.clients(), pair.clients());
    for peer in idle.iter_mut().chain(&mut busy) {
        assert_eq!(peer.value("SELECT 1"), "1");
    }
    for peer in &mut busy {
        peer.query("BEGIN");
    }
    tell("RECONNECT app");
    for peer in idle.iter_mut().chain(&mut busy) {
        assert_eq!(peer.value("SELECT 2"), "2", "without it they stay");
    }
    tell("SET server_fast_close = 1");
    let text = "database configuration changed";
    let told = idle.map(|mut peer| end(&mut peer));
    same("idle", told, "57P01", Some((text, text)));
    let told = busy.map(|mut peer| {
        assert_eq!(peer.value("SELECT 3"), "3", "its transaction goes on");
        peer.query("COMMIT");
        end(&mut peer)
    });
    same("busy", told, "57P01", Some((text, text)));
    // In transaction mode there is nobody to take along.
    tell("SET pool_mode = transaction");
    let mut clients = pair.clients();
    for peer in &mut clients {
        assert_eq!(peer.value("SELECT 4"), "4");
    }
    tell("RECONNECT app");
    for peer in &mut clients {
        assert_eq!(peer.value("SELECT 5"), "5");
    }
}
