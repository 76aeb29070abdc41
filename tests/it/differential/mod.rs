//! Plays the same random scripts to PostgreSQL directly and through pgweir; the answers must be
//! the same, message by message.
//!
//! A difference is reported with the seed and with a script made as short as it goes.

mod script;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::message::{self, Message};
use crate::support::peer::{Heard, Peer};
use crate::support::pgweir::Setup;
use crate::support::postgres::{Postgres, each_postgres};
use crate::support::wait::patient;

use script::{Batch, Random, SCHEMA, script};

/// The answers to one batch.
type Answers = Vec<Message>;

fn number_from_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}")),
        Err(_) => default,
    }
}

/// Plays a script over a new connection and gives the answers, batch by batch; an end before
/// the last is an empty list.
fn play(address: SocketAddr, database: &str, batches: &[Batch], seed: u64) -> Vec<Answers> {
    let mut peer = Peer::login(address, "t_trust", database);
    let mut random = Random(seed ^ 0x5eed);
    let mut answers = Vec::new();
    let mut failed = false;
    for batch in batches {
        send_in_pieces(&mut peer, batch, &mut random);
        let mut heard = Vec::new();
        let mut left = batch.ready;
        while left > 0 {
            match peer.hear(patient(Duration::from_secs(15))) {
                Heard::Message(message) => {
                    left -= usize::from(message.tag == b'Z');
                    if message.tag == b'Z' {
                        failed = message.body == *b"E";
                    }
                    heard.push(match failed && message.tag == b'E' {
                        true => in_failed_transaction(message),
                        false => normal(message),
                    });
                }
                Heard::Closed => {
                    answers.push(heard);
                    answers.push(Vec::new());
                    return answers;
                }
                Heard::Silence => {
                    // Shows up as a difference: PostgreSQL is never silent.
                    heard.push(Message::new(b'!', b"silence".as_slice()));
                    answers.push(heard);
                    return answers;
                }
            }
        }
        sort_parameters(&mut heard);
        answers.push(heard);
    }
    peer.send(&[message::terminate()]);
    assert_eq!(peer.expect_end(), [], "after Terminate");
    answers
}

/// Sends a batch as one write, or cut at random places: what comes back must not depend on it.
fn send_in_pieces(peer: &mut Peer, batch: &Batch, random: &mut Random) {
    let bytes: Vec<u8> = batch.messages.iter().flat_map(Message::bytes).collect();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let size = if random.chance(70) {
            rest.len()
        } else {
            1 + random.below(rest.len())
        };
        let (piece, after) = rest.split_at(size);
        peer.send_raw(piece);
        rest = after;
        if !rest.is_empty() {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
}

/// An error in a transaction that has failed already. PostgreSQL finds that a statement is not there, or
/// takes another number of values, before it looks at the transaction. A server that was not given the
/// statement before cannot be given it now, and says 25P02 to that.
fn in_failed_transaction(message: Message) -> Message {
    match message.report().sqlstate() {
        "08P01" | "26000" | "25P02" => Message::new(b'E', b"25P02".as_slice()),
        _ => normal(message),
    }
}

/// Several values that change at once are told in the order of a list that PostgreSQL keeps per
/// connection, from what changed there before: other clients' doings in a pool.
fn sort_parameters(answers: &mut [Message]) {
    for run in answers.chunk_by_mut(|a, b| a.tag == b'S' && b.tag == b'S') {
        run.sort_by(|a, b| a.body.cmp(&b.body));
    }
}

/// Takes out of a message what may differ between two connections or two databases: the place in
/// PostgreSQL's source (we do not have one), object numbers of tables, process numbers.
fn normal(mut message: Message) -> Message {
    match message.tag {
        b'E' | b'N' => {
            let report = message.report();
            message.body.clear();
            for (code, value) in report.fields {
                if !matches!(code, 'F' | 'L' | 'R') {
                    let mut buffer = [0; 4];
                    message
                        .body
                        .extend(code.encode_utf8(&mut buffer).as_bytes());
                    message.body.extend(value.as_bytes());
                    message.body.push(0);
                }
            }
            message.body.push(0);
        }
        b'T' => {
            let mut at = 2;
            while at < message.body.len() {
                let name = message.body[at..].iter().position(|byte| *byte == 0);
                at += name.expect("a name ends") + 1;
                message.body[at..at + 4].fill(0);
                at += 18;
            }
        }
        b'A' => message.body[..4].fill(0),
        _ => {}
    }
    message
}

/// The first place where two answers differ, as text.
fn difference(direct: &[Answers], through: &[Answers]) -> Option<(usize, String)> {
    for index in 0..direct.len().max(through.len()) {
        let (a, b) = (direct.get(index), through.get(index));
        if a != b {
            let list = |answers: Option<&Answers>| match answers {
                None => "  (nothing)\n".to_owned(),
                Some(answers) => answers.iter().map(|m| format!("  {m:?}\n")).collect(),
            };
            let text = format!("directly:\n{}through pgweir:\n{}", list(a), list(b));
            return Some((index, text));
        }
    }
    None
}

/// Where a script is played: a server and a database that can be emptied.
struct Stage<'a> {
    postgres: &'a Postgres,
    address: SocketAddr,
    /// As the stage's clients call it.
    name: String,
    /// As PostgreSQL calls it.
    database: String,
}

impl Stage<'_> {
    fn play(&self, batches: &[Batch], seed: u64) -> Vec<Answers> {
        // Not through pgweir: a script may have left a transaction open there for a moment.
        self.postgres.psql(&self.database, SCHEMA);
        play(self.address, &self.name, batches, seed)
    }
}

/// Plays a script on both stages. On a difference, looks for a shorter script that shows one.
fn compare(direct: &Stage<'_>, through: &Stage<'_>, seed: u64) -> Result<(), String> {
    let compare = |batches: &[Batch]| {
        let expected = direct.play(batches, seed);
        let silent = expected.iter().flatten().any(|m| m.tag == b'!');
        assert!(
            !silent,
            "PostgreSQL hangs on {batches:#?}: a mistake of the script"
        );
        difference(&expected, &through.play(batches, seed))
    };
    let mut batches = script(seed);
    let Some(mut found) = compare(&batches) else {
        return Ok(());
    };
    // What comes after the difference is not needed; of what is before, try to do without each.
    batches.truncate(found.0 + 1);
    let mut index = 0;
    while index < batches.len() && batches.len() > 1 {
        let mut shorter = batches.clone();
        shorter.remove(index);
        match compare(&shorter) {
            Some(difference) => {
                batches = shorter;
                found = difference;
            }
            None => index += 1,
        }
    }
    let (index, text) = found;
    Err(format!(
        "seed {seed} (PGWEIR_TEST_SEED={seed} PGWEIR_TEST_SCRIPTS=1), \
         answers to batch {index} of\n{batches:#?}\n{text}"
    ))
}

/// A second client that comes and goes with settings, statements and errors of its own.
struct Companion {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u32>>,
}

impl Companion {
    fn start(address: SocketAddr, database: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut visits = 0;
            while !seen.load(Ordering::Relaxed) {
                visit(address, &database, visits);
                visits += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            visits
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it and tells how often it was there.
    fn stop(mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().expect("not stopped twice").join() {
            Ok(visits) => visits,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One short connection of the companion. It uses the names that the scripts use, for different
/// things, and checks its own answers.
fn visit(address: SocketAddr, database: &str, number: u32) {
    let mut peer = Peer::login(address, "t_trust", database);
    let name = format!("companion {number}");
    peer.query(&format!("SET application_name = '{name}'"));
    peer.query("SET TimeZone = 'Pacific/Apia'");
    assert_eq!(peer.value("SHOW application_name"), name);
    peer.send(&[
        message::parse("s1", "SELECT 'companion', $1::text"),
        message::bind("", "s1", &[Some(&name)]),
        message::execute("", 0),
        message::sync(),
    ]);
    let answer = peer.until_ready(1);
    let row = answer.iter().find(|m| m.tag == b'D').map(Message::columns);
    assert_eq!(
        row,
        Some(vec![Some("companion".to_owned()), Some(name.clone())]),
        "{answer:?}"
    );
    peer.query("SELECT 1/0");
    assert_eq!(peer.value("SHOW TimeZone"), "Pacific/Apia");
    peer.send(&[message::terminate()]);
    assert_eq!(peer.expect_end(), []);
}

/// Plays as many scripts as this run wants, with the companion on the side of pgweir.
fn run(mode: &str, pool_size: u32) {
    let first = number_from_environment("PGWEIR_TEST_SEED", 1);
    let count = number_from_environment("PGWEIR_TEST_SCRIPTS", 40);
    for postgres in each_postgres() {
        let database = postgres.database();
        let direct = Stage {
            postgres,
            address: ([127, 0, 0, 1], postgres.port()).into(),
            name: database.clone(),
            database,
        };
        let database = postgres.database();
        let pgweir = Setup::new()
            .set("pool_mode", mode)
            .set("default_pool_size", i64::from(pool_size))
            .database("app", postgres, &database)
            .start();
        let through = Stage {
            postgres,
            address: pgweir.address(),
            name: "app".to_owned(),
            database,
        };
        let companion = Companion::start(pgweir.address(), "app".to_owned());
        for seed in first..first + count {
            if let Err(text) = compare(&direct, &through, seed) {
                panic!("PostgreSQL {}, {mode} mode: {text}", postgres.major());
            }
        }
        assert!(companion.stop() > 0, "the companion was never there");
    }
}

#[test]
fn session_mode_with_one_server() {
    run("session", 1);
}

#[test]
fn session_mode_with_two_servers() {
    run("session", 2);
}

#[test]
fn transaction_mode_with_one_server() {
    run("transaction", 1);
}

#[test]
fn transaction_mode_with_two_servers() {
    run("transaction", 2);
}

/// If PostgreSQL differed from itself, the comparison would say nothing about pgweir.
#[test]
fn postgres_agrees_with_itself() {
    for postgres in each_postgres() {
        let stage = || {
            let database = postgres.database();
            Stage {
                postgres,
                address: ([127, 0, 0, 1], postgres.port()).into(),
                name: database.clone(),
                database,
            }
        };
        let (one, other) = (stage(), stage());
        for seed in 1000..1000 + number_from_environment("PGWEIR_TEST_SCRIPTS", 20) {
            if let Err(text) = compare(&one, &other, seed) {
                panic!("PostgreSQL {}: {text}", postgres.major());
            }
        }
    }
}

/// The scripts must reach what they are for.
#[test]
fn scripts_have_every_kind_of_message() {
    let mut tags: Vec<u8> = (0..200)
        .flat_map(script)
        .flat_map(|batch| batch.messages)
        .map(|message| message.tag)
        .collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(String::from_utf8_lossy(&tags), "BCDEFHPQScdf");
}

#[test]
fn a_difference_is_found() {
    let ready = || Message::new(b'Z', b"I".as_slice());
    let one = vec![vec![message::query("x"), ready()], vec![ready()]];
    assert_eq!(difference(&one, &one.clone()), None);
    let mut other = one.clone();
    other[1].clear();
    let (index, text) = difference(&one, &other).expect("a difference");
    assert_eq!(index, 1);
    assert!(text.contains("directly:\n  Z(1) I\n"), "{text}");
    other.pop();
    assert!(difference(&one, &other).is_some());
}
