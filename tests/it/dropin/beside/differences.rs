//! What the console and the process do otherwise than PgBouncer.

use std::time::Duration;

use super::{Pair, outcome, same};
use crate::support::message;
use crate::support::peer::Heard;
use crate::support::scene;
use crate::support::wait::eventually;

#[test]
fn commands_that_differ() {
    let Some(pair) = Pair::start("pool_mode = transaction") else {
        return;
    };
    let [mut theirs, mut ours] = pair.consoles("postgres");
    let mut both = |command: &str| [&mut theirs, &mut ours].map(|one| outcome(&one.query(command)));
    same("a pause", both("PAUSE"), "", None);
    let killed = both("KILL app");
    assert!(!killed[0].0.is_empty(), "PgBouncer refuses: {killed:?}");
    assert_eq!(killed[1], (String::new(), "KILL".to_owned()));
    same("the end of the pause", both("RESUME"), "", None);
    let set = both("SET VERBOSE = 1");
    assert!(!set[0].0.is_empty(), "PgBouncer knows no capitals: {set:?}");
    assert_eq!(set[1].0, "");
    for show in ["SHOW DNS_HOSTS", "SHOW DNS_ZONES"] {
        assert_eq!(scene::values(&ours.query(show)), [""; 0], "{show}");
    }
}

#[test]
fn signals_pause_and_resume() {
    let Some(pair) = Pair::start("pool_mode = transaction") else {
        return;
    };
    let [_, mut client] = pair.clients();
    assert_eq!(client.value("SELECT 1"), "1");
    pair.ours.signal("USR1");
    // The workers hear of it one after the other.
    eventually("a query that waits", || {
        client.send(&[message::query("SELECT 2")]);
        match client.hear(Duration::from_millis(300)) {
            Heard::Silence => Some(()),
            _ => {
                client.until_ready(1);
                None
            }
        }
    });
    pair.ours.signal("USR2");
    assert_eq!(scene::values(&client.until_ready(1)), ["2"]);
}

#[test]
fn the_process_says_that_it_ends() {
    let Some(pair) = Pair::start("") else { return };
    let [_, mut client] = pair.clients();
    assert_eq!(client.value("SELECT 1"), "1");
    pair.ours.signal("QUIT");
    let error = scene::the_error(&client.expect_end());
    assert_eq!(
        (error.sqlstate(), error.message()),
        ("57P01", "server shutting down")
    );
}
