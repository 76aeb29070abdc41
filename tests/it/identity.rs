//! Every client gets its own results and nobody else's, whatever happens around it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::message::{self, Message};
use crate::support::peer::{Heard, Peer};
use crate::support::postgres::each_postgres;
use crate::support::scene::{self, Watch};
use crate::support::wait::{eventually, patient};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

/// A request and the values of all rows it must give if nothing goes wrong.
struct Ask {
    messages: Vec<Message>,
    /// ReadyForQuery that end the answer.
    ready: usize,
    rows: Vec<String>,
}

/// A client and what it has on its mind.
struct Client {
    number: usize,
    random: Random,
    peer: Peer,
    count: u64,
    /// Whether it has prepared `s` in this session.
    prepared: bool,
    /// Whether its unnamed statement is its own text, for the next batch.
    unnamed: bool,
}

impl Client {
    fn new(address: SocketAddr, number: usize) -> Self {
        Self {
            number,
            random: Random(number as u64 * 7919 + 1),
            peer: login(address),
            count: 0,
            prepared: false,
            unnamed: false,
        }
    }

    fn token(&mut self) -> String {
        self.count += 1;
        format!("{}:{}", self.number, self.count)
    }

    /// The next request, chosen at random.
    fn ask(&mut self) -> Ask {
        let token = self.token();
        let kind = self.random.below(9);
        if matches!(kind, 0..=4) {
            // A simple Query destroys the unnamed statement.
            self.unnamed = false;
        }
        let number = self.number;
        match kind {
            0 => one(
                vec![message::query(&format!("SELECT '{token}'"))],
                vec![token],
            ),
            1 => {
                let rows = self.random.below(2000);
                let sql = format!("SELECT '{token}' FROM generate_series(1, {rows})");
                let rows = (0..rows).map(|_| token.clone()).collect();
                one(vec![message::query(&sql)], rows)
            }
            2 => {
                let sql = format!("BEGIN; SELECT '{token}'; SELECT '{token}'; COMMIT");
                one(vec![message::query(&sql)], vec![token.clone(), token])
            }
            3 => {
                // A transaction of several batches that are sent without waiting.
                let sql = ["BEGIN", &format!("SELECT '{token}'"), "COMMIT"];
                let messages = sql.map(message::query).into();
                Ask {
                    messages,
                    ready: 3,
                    rows: vec![token],
                }
            }
            4 => {
                let sql = format!("SELECT '{token}', pg_sleep(0.003)");
                one(vec![message::query(&sql)], vec![token])
            }
            5 if self.prepared => one(
                vec![
                    message::bind("", "s", &[Some(&token)]),
                    message::execute("", 0),
                    message::sync(),
                ],
                vec![format!("{number}/{token}")],
            ),
            5 => {
                // The same name with another text for each client.
                let sql = format!("SELECT '{number}/' || $1::text");
                self.prepared = true;
                one(
                    vec![
                        message::parse("s", &sql),
                        message::bind("", "s", &[Some(&token)]),
                        message::execute("", 0),
                        message::sync(),
                    ],
                    vec![format!("{number}/{token}")],
                )
            }
            6 if self.unnamed => one(
                vec![
                    message::bind("", "", &[Some(&token)]),
                    message::execute("", 0),
                    message::sync(),
                ],
                vec![format!("u{number}/{token}")],
            ),
            6 => {
                let sql = format!("SELECT 'u{number}/' || $1::text");
                self.unnamed = true;
                one(vec![message::parse("", &sql), message::sync()], vec![])
            }
            7 => {
                // A pipeline of several statements with an error in the middle of a later one.
                let mut messages = Vec::new();
                let mut rows = Vec::new();
                for n in 0..1 + self.random.below(20) {
                    messages.extend([
                        message::parse("", "SELECT $1::text"),
                        message::bind("", "", &[Some(&format!("{token}.{n}"))]),
                        message::execute("", 0),
                    ]);
                    rows.push(format!("{token}.{n}"));
                }
                self.unnamed = false;
                messages.extend([message::parse("", "SELECT 1/0"), message::sync()]);
                Ask {
                    messages,
                    ready: 1,
                    rows,
                }
            }
            _ => {
                self.unnamed = false;
                one(
                    vec![
                        message::parse("", "SELECT $1::text"),
                        message::bind("", "", &[Some(&token)]),
                        message::execute("", 0),
                        message::sync(),
                    ],
                    vec![token],
                )
            }
        }
    }
}

fn one(messages: Vec<Message>, rows: Vec<String>) -> Ask {
    Ask {
        messages,
        ready: 1,
        rows,
    }
}

/// What is counted, to see that the test did something.
#[derive(Default)]
struct Tally {
    answers: AtomicUsize,
    cancelled: AtomicUsize,
    lost: AtomicUsize,
}

/// Plays requests until `end`. Rows must be a prefix of what was asked for, and all of it if no
/// error says otherwise; of errors only those that the disturbances explain are allowed.
fn play(address: SocketAddr, number: usize, end: Instant, tally: &Tally) {
    let mut client = Client::new(address, number);
    while Instant::now() < end {
        let ask = client.ask();
        client.peer.send(&ask.messages);
        if client.random.below(40) == 0 {
            // It leaves in the middle.
            client = reborn(address, client);
            continue;
        }
        let may_cancel = client.random.below(8) == 0;
        if may_cancel {
            let (pid, key) = client.peer.key();
            Peer::connect(address).send_raw(&message::cancel(pid, key));
        }
        if !listen(&mut client, &ask, tally) {
            tally.lost.fetch_add(1, Ordering::Relaxed);
            client = reborn(address, client);
        }
    }
}

/// A login may need a server, and that one may be killed just then.
fn login(address: SocketAddr) -> Peer {
    eventually("a login", || scene::try_login(address).ok())
}

fn reborn(address: SocketAddr, old: Client) -> Client {
    Client {
        peer: login(address),
        prepared: false,
        unnamed: false,
        ..old
    }
}

/// Checks the answer. `false` if the connection ended.
fn listen(client: &mut Client, ask: &Ask, tally: &Tally) -> bool {
    let mut rows = 0;
    let mut failed = false;
    let mut left = ask.ready;
    while left > 0 {
        let message = match client.peer.hear(patient(Duration::from_secs(15))) {
            Heard::Message(message) => message,
            Heard::Closed => return false,
            Heard::Silence => panic!("client {} waits for ever", client.number),
        };
        match message.tag {
            b'D' => {
                let value = message.columns()[0].clone().unwrap_or_default();
                assert_eq!(
                    Some(&value),
                    ask.rows.get(rows),
                    "client {}, row {rows}",
                    client.number
                );
                rows += 1;
            }
            b'E' => {
                let error = message.report();
                match error.sqlstate() {
                    "57014" => {
                        tally.cancelled.fetch_add(1, Ordering::Relaxed);
                        // Which of the messages it hit is not known: start afresh.
                        client.prepared = false;
                        client.unnamed = false;
                        failed = true;
                    }
                    // The statement that was meant to fail.
                    "22012" => {}
                    // Left over from a cancelled batch of ours.
                    "42P05" => {
                        client.prepared = true;
                        failed = true;
                    }
                    // A cancelled BEGIN leaves COMMIT alone, a cancelled SELECT a failed block.
                    "25P02" => failed = true,
                    "57P01" | "08006" => failed = true,
                    _ => panic!("client {}: {error:?}", client.number),
                }
            }
            b'Z' => left -= 1,
            _ => {}
        }
    }
    assert!(
        failed || rows == ask.rows.len(),
        "client {}: {rows} of {} rows",
        client.number,
        ask.rows.len()
    );
    tally.answers.fetch_add(1, Ordering::Relaxed);
    true
}

#[test]
fn nobody_ever_gets_the_answer_of_another() {
    for postgres in each_postgres() {
        for (mode, pool_size) in [("transaction", 3), ("session", 12)] {
            let (pgweir, database) = scene::start(postgres, mode, pool_size);
            let address = pgweir.address();
            let tally = Tally::default();
            let stop = AtomicBool::new(false);
            let time = if mode == "session" { 3 } else { 4 };
            // PostgreSQL may take longer than that for its first connection on a busy machine.
            scene::client(&pgweir).query("SELECT 1");
            let end = Instant::now() + Duration::from_secs(time);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut watch = Watch::new(postgres, &database);
                    let mut random = Random(5);
                    while !stop.load(Ordering::Relaxed) {
                        // One of them, at random moments.
                        let nth = random.below(3);
                        watch.terminate(&format!("pid % 3 = {nth}"));
                        std::thread::sleep(Duration::from_millis(100 + random.below(200)));
                    }
                });
                let clients: Vec<_> = (1..=12)
                    .map(|number| {
                        let tally = &tally;
                        scope.spawn(move || play(address, number, end, tally))
                    })
                    .collect();
                let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
                stop.store(true, Ordering::Relaxed);
                assert!(ended.iter().all(Result::is_ok), "a client is not content");
            });
            let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
            println!(
                "{mode}: {} answers, {} cancelled, {} connections lost",
                count(&tally.answers),
                count(&tally.cancelled),
                count(&tally.lost)
            );
            assert!(count(&tally.answers) > 100, "hardly anything happened");
            assert!(count(&tally.cancelled) > 0 && count(&tally.lost) > 0);
        }
    }
}
