//! PgBouncer and pgweir with the same file in front of the same server, asked the same things.
//!
//! Texts must be PgBouncer's, or begin with them and say more. What is meant to differ stands in a
//! row with both texts. SQLSTATEs are PostgreSQL's where PgBouncer has 08P01 for everything.

use std::net::SocketAddr;

mod clients;
mod closing;
mod console;
mod differences;
mod places;
mod statements;
mod watchers;

use super::original::PgBouncer;
use super::{first, ini};
use crate::support::message::Message;
use crate::support::peer::Peer;
use crate::support::pgweir::Pgweir;
use crate::support::postgres::Postgres;
use crate::support::scene;

/// Both of them.
struct Pair {
    theirs: PgBouncer,
    ours: Pgweir,
    postgres: &'static Postgres,
    database: String,
}

impl Pair {
    fn start(more: &str) -> Option<Self> {
        let postgres = first()?;
        let database = postgres.database();
        let more = format!("stats_users = t_trust\n{more}");
        let text = ini(postgres, &database, "", &more);
        Some(Self {
            theirs: PgBouncer::start(&text)?,
            ours: Pgweir::start_ini(&text, &[]),
            postgres,
            database,
        })
    }

    /// Theirs and ours.
    fn addresses(&self) -> [SocketAddr; 2] {
        [self.theirs.address(), self.ours.address()]
    }

    fn consoles(&self, user: &str) -> [Peer; 2] {
        self.addresses()
            .map(|address| Peer::login(address, user, "pgbouncer"))
    }

    fn clients(&self) -> [Peer; 2] {
        self.addresses()
            .map(|address| Peer::login(address, "t_trust", "app"))
    }
}

/// What an answer comes to: the error, else the tag.
fn outcome(messages: &[Message]) -> (String, String) {
    if let Some(error) = scene::error_in(messages) {
        return (error.sqlstate().to_owned(), error.message().to_owned());
    }
    let tag = messages.iter().find(|m| m.tag == b'C');
    let tag = tag.map_or("no answer".to_owned(), |tag| {
        String::from_utf8_lossy(&tag.body)
            .trim_end_matches('\0')
            .to_owned()
    });
    (String::new(), tag)
}

/// `ours` must say what `theirs` says, or more; unless both are as a row has them.
#[track_caller]
fn same(what: &str, [theirs, ours]: [(String, String); 2], sqlstate: &str, differ: Differ) {
    assert_eq!(ours.0, sqlstate, "{what}: {ours:?}, PgBouncer: {theirs:?}");
    match differ {
        None => assert!(
            ours.1.starts_with(&theirs.1) && theirs.0.is_empty() == ours.0.is_empty(),
            "{what}: {ours:?}, PgBouncer: {theirs:?}"
        ),
        Some((their, our)) => {
            assert!(theirs.1.starts_with(their), "{what}: PgBouncer: {theirs:?}");
            assert!(ours.1.starts_with(our), "{what}: {ours:?}");
        }
    }
}

/// What PgBouncer and pgweir say if it is not the same.
type Differ = Option<(&'static str, &'static str)>;
