//! What most tests begin with: pgweir in front of a fresh database, and a look behind its back.

use std::net::SocketAddr;
use std::time::Duration;

use super::message::{self, Message, Report};
use super::peer::{Heard, Peer};
use super::pgweir::{Pgweir, Setup};
use super::postgres::Postgres;
use super::wait::{eventually, patient};

/// A fresh database and a setup that leads to it as `app`.
pub(crate) fn setup(postgres: &Postgres, mode: &str, pool_size: u32) -> (Setup, String) {
    let database = postgres.database();
    let setup = Setup::new()
        .set("pool_mode", mode)
        .set("default_pool_size", i64::from(pool_size))
        .database("app", postgres, &database);
    (setup, database)
}

/// A running pgweir in front of a fresh database.
pub(crate) fn start(postgres: &Postgres, mode: &str, pool_size: u32) -> (Pgweir, String) {
    let (setup, database) = setup(postgres, mode, pool_size);
    (setup.start(), database)
}

/// A client of `app` that needs no password.
pub(crate) fn client(pgweir: &Pgweir) -> Peer {
    Peer::login(pgweir.address(), "t_trust", "app")
}

/// A login to `app` that may be refused: the client, or the messages that ended it.
pub(crate) fn try_login(address: SocketAddr) -> Result<Peer, Vec<Message>> {
    let mut peer = Peer::connect(address);
    let parameters = [("user", "t_trust"), ("database", "app")];
    peer.send_raw(&message::startup(0x0003_0000, &parameters));
    match peer.hear(patient(Duration::from_secs(15))) {
        Heard::Message(message) if message.tag == b'R' => {
            peer.finish_login();
            Ok(peer)
        }
        Heard::Message(message) => {
            let mut messages = vec![message];
            messages.extend(peer.expect_end());
            Err(messages)
        }
        Heard::Closed => Err(Vec::new()),
        Heard::Silence => panic!("no answer to a login"),
    }
}

/// PostgreSQL itself.
pub(crate) fn address(postgres: &Postgres) -> SocketAddr {
    ([127, 0, 0, 1], postgres.port()).into()
}

/// A connection past pgweir that sees what pgweir's servers do.
pub(crate) struct Watch {
    peer: Peer,
    database: String,
}

impl Watch {
    pub(crate) fn new(postgres: &Postgres, database: &str) -> Self {
        Self {
            peer: Peer::login(address(postgres), "t_trust", "postgres"),
            database: database.to_owned(),
        }
    }

    /// How many server connections fulfil `condition`, in terms of pg_stat_activity.
    pub(crate) fn count(&mut self, condition: &str) -> usize {
        let database = &self.database;
        self.peer
            .value(&format!(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' \
                 AND backend_type = 'client backend' AND ({condition})"
            ))
            .parse()
            .expect("a number")
    }

    /// Waits until `count` server connections fulfil `condition`.
    pub(crate) fn until(&mut self, count: usize, condition: &str) {
        eventually(&format!("{count} servers with {condition}"), || {
            (self.count(condition) == count).then_some(())
        });
    }

    /// Ends the server connections that fulfil `condition`; gives how many.
    pub(crate) fn terminate(&mut self, condition: &str) -> usize {
        let database = &self.database;
        self.peer
            .value(&format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = '{database}' AND backend_type = 'client backend' \
                 AND ({condition})"
            ))
            .parse()
            .expect("a number")
    }
}

/// The first error among messages, if there is one.
pub(crate) fn error_in(messages: &[Message]) -> Option<Report> {
    messages.iter().find(|m| m.tag == b'E').map(Message::report)
}

/// The error that must be among messages.
pub(crate) fn the_error(messages: &[Message]) -> Report {
    error_in(messages).unwrap_or_else(|| panic!("no error in {messages:?}"))
}

/// First columns of the rows among messages.
pub(crate) fn values(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .filter(|m| m.tag == b'D')
        .map(|m| m.columns()[0].clone().unwrap_or_default())
        .collect()
}

/// The tags of messages, as a word.
pub(crate) fn tags(messages: &[Message]) -> String {
    messages.iter().map(|m| char::from(m.tag)).collect()
}

/// A client of `app`, if wanted.
pub(crate) fn client_if(pgweir: &Pgweir, wanted: bool) -> Option<Peer> {
    wanted.then(|| client(pgweir))
}
