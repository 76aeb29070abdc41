//! Statement mode: what is refused, and what the client hears of it.

use std::time::Duration;

use super::{Pair, outcome, same};
use crate::support::message::{self, Message};
use crate::support::peer::{Heard, Peer};
use crate::support::scene;
use crate::support::wait::patient;

/// Everything up to the end of the connection, or to so many ReadyForQuery and the answer to another
/// query, which tells that the connection lives on.
fn heard(peer: &mut Peer, ready: usize) -> (Vec<Message>, bool) {
    let mut messages = Vec::new();
    loop {
        match peer.hear(patient(Duration::from_secs(15))) {
            Heard::Message(message) => messages.push(message),
            Heard::Closed => return (messages, false),
            Heard::Silence => panic!("nothing more after {messages:?}"),
        }
        if messages.iter().filter(|m| m.tag == b'Z').count() == ready {
            break;
        }
    }
    if peer.try_send(&[message::query("SELECT 'alive'")]).is_err() {
        return (messages, false);
    }
    match peer.hear(patient(Duration::from_secs(15))) {
        Heard::Message(message) if message.tag == b'T' => {
            peer.until_ready(1);
            (messages, true)
        }
        Heard::Message(message) => {
            messages.push(message);
            (messages, false)
        }
        _ => (messages, false),
    }
}

#[test]
fn transaction_blocks_are_refused() {
    let Some(pair) = Pair::start("pool_mode = statement") else {
        return;
    };
    let query = |sql: &str| vec![message::query(sql)];
    let extended = |sqls: &[&str]| {
        let mut all = Vec::new();
        for sql in sqls {
            all.push(message::parse("", sql));
            all.push(message::bind("", "", &[]));
            all.push(message::execute("", 0));
        }
        all.push(message::sync());
        all
    };
    let two = |first: Vec<Message>, second: Vec<Message>| [first, second].concat();
    let rows: Vec<(&str, Vec<Message>, usize, bool)> = vec![
        ("BEGIN", query("BEGIN"), 1, false),
        ("START", query("START TRANSACTION READ ONLY"), 1, false),
        ("BEGIN first", query("BEGIN; SELECT 1"), 1, false),
        ("BEGIN last", query("SELECT 1; BEGIN"), 1, false),
        ("BEGIN, an error", query("BEGIN; SELECT 1/0"), 1, false),
        ("a whole block", query("BEGIN; SELECT 1; COMMIT"), 1, true),
        ("several statements", query("SELECT 1; SELECT 2"), 1, true),
        ("an error", query("SELECT 1/0"), 1, true),
        ("extended BEGIN", extended(&["BEGIN"]), 1, false),
        (
            "an extended block",
            extended(&["BEGIN", "SELECT 1", "COMMIT"]),
            1,
            true,
        ),
        (
            "a COMMIT behind it",
            two(query("BEGIN"), query("COMMIT")),
            2,
            false,
        ),
        (
            "an extended COMMIT behind it",
            two(extended(&["BEGIN"]), extended(&["COMMIT"])),
            2,
            false,
        ),
    ];
    for (what, messages, ready, lives) in rows {
        let told = pair.clients().map(|mut peer| {
            peer.send(&messages);
            let (messages, lived) = heard(&mut peer, ready);
            assert_eq!(lived, lives, "{what}: {messages:?}");
            let ready = messages.iter().filter(|m| m.tag == b'Z');
            assert!(ready.into_iter().all(|m| m.body == b"I"), "{what}");
            // What a block's error was is not what ends the connection.
            let last = messages.iter().rev().find(|m| m.tag == b'E');
            match last {
                Some(error) => outcome(std::slice::from_ref(error)),
                None => outcome(&messages),
            }
        });
        let sqlstate = match (what, lives) {
            ("an error", _) => "22012",
            (_, true) => "",
            (_, false) => "08P01",
        };
        same(what, told, sqlstate, None);
    }
    // Nothing was left open.
    let mut watch = scene::Watch::new(pair.postgres, &pair.database);
    watch.until(0, "state LIKE 'idle in transaction%'");
}
