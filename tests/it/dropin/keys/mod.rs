//! What keys of a `pgbouncer.ini` do, where no other test shows it.

use std::collections::BTreeMap;

use super::{first, ini};
use crate::support::message::Message;
use crate::support::peer::{Heard, Peer};
use crate::support::pgweir::Pgweir;
use crate::support::scene;
use crate::support::wait::patient;

mod databases;
mod mistakes;
mod network;
mod overrides;
mod process;
mod users;

/// A row of a SHOW: values by column, those that are NULL left out.
type Row = BTreeMap<String, String>;

/// The rows of an answer.
fn rows(messages: &[Message]) -> Vec<Row> {
    let mut names: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for message in messages {
        if message.tag == b'T' {
            let mut rest = message.body.get(2..).unwrap_or_default();
            while let Some(end) = rest.iter().position(|byte| *byte == 0) {
                names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
                rest = rest.get(end + 19..).unwrap_or_default();
            }
        } else if message.tag == b'D' {
            let named = names.iter().cloned().zip(message.columns());
            rows.push(
                named
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect(),
            );
        }
    }
    rows
}

fn console(pgweir: &Pgweir) -> Peer {
    Peer::login(pgweir.address(), "postgres", "pgbouncer")
}

/// The row of a SHOW whose column `column` is `value`.
fn row(pgweir: &Pgweir, show: &str, column: &str, value: &str) -> Option<Row> {
    let all = rows(&console(pgweir).query(show));
    all.into_iter()
        .find(|row| row.get(column).is_some_and(|found| found == value))
}

/// The error that ends the connection.
fn last_words(peer: &mut Peer) -> String {
    loop {
        match peer.hear(patient(std::time::Duration::from_secs(15))) {
            Heard::Message(message) if message.tag == b'E' => {
                return message.report().message().to_owned();
            }
            Heard::Message(_) => {}
            Heard::Closed => return "the end without a word".to_owned(),
            Heard::Silence => return "nothing".to_owned(),
        }
    }
}

/// Why `user` cannot log in to `database`; empty if it can.
fn refusal(pgweir: &Pgweir, user: &str, database: &str) -> String {
    use crate::support::message;
    let mut peer = Peer::connect(pgweir.address());
    let parameters = [("user", user), ("database", database)];
    peer.send_raw(&message::startup(0x0003_0000, &parameters));
    match peer.next() {
        first if first.tag == b'R' => {
            let rest = peer.until_ready_or_end("SELECT 1");
            scene::error_in(&rest).map_or(String::new(), |error| error.message().to_owned())
        }
        first => scene::the_error(&[first]).message().to_owned(),
    }
}
