//! Clients that write and at once read what they wrote, and the books of what they saw.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::wait::patient;

/// What clients saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    /// Rows whose COMMIT was confirmed, and when.
    pub(crate) written: Vec<(i64, Instant)>,
    /// Reads that were answered.
    pub(crate) reads: u64,
    /// Reads that did not show what the same client had written before.
    pub(crate) stale: Vec<i64>,
    /// Errors by SQLSTATE; "lost" where there was none.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Logins that failed.
    pub(crate) refused: u64,
}

impl Books {
    /// Numbers of the rows that were confirmed.
    pub(crate) fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.written.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// When the first write after `moment` was confirmed.
    pub(crate) fn written_after(&self, moment: Instant) -> Option<Duration> {
        (self.written.iter())
            .filter_map(|(_, at)| at.checked_duration_since(moment))
            .min()
    }

    /// The longest time in which nobody's write was confirmed.
    pub(crate) fn longest_pause(&self) -> Duration {
        let mut moments: Vec<Instant> = self.written.iter().map(|(_, at)| *at).collect();
        moments.sort_unstable();
        (moments.windows(2))
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default()
    }
}

/// A running load.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    books: Arc<Mutex<Books>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Starts so many clients of `app` on this port that write, and half as many that only read. Table
    /// `item (id bigint primary key, v int)`.
    pub(crate) fn start(port: u16, clients: i64) -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let books: Arc<Mutex<Books>> = Arc::default();
        let mut tasks = Vec::new();
        for client in 1..=clients {
            let writes = write_and_read(port, client * 10_000_000, stop.clone(), books.clone());
            tasks.push(tokio::spawn(writes));
            if client % 2 == 0 {
                tasks.push(tokio::spawn(only_read(port, stop.clone(), books.clone())));
            }
        }
        Self { stop, books, tasks }
    }

    /// What was seen so far.
    pub(crate) fn books(&self) -> Books {
        self.books.lock().expect("no panic").clone()
    }

    /// Waits until so many more writes were confirmed.
    pub(crate) async fn go_on(&self, writes: usize) {
        let before = self.books().written.len();
        let until = Instant::now() + patient(Duration::from_secs(30));
        while self.books().written.len() < before + writes {
            assert!(
                Instant::now() < until,
                "nothing is written any more: {:?}",
                self.books().errors
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it: what the clients saw in all.
    pub(crate) async fn end(self) -> Books {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let limit = patient(Duration::from_secs(30));
            (tokio::time::timeout(limit, task).await)
                .expect("a client hangs")
                .expect("a client without a panic");
        }
        self.books.lock().expect("no panic").clone()
    }
}

/// A client of `app`, and what its connection comes to: a server's last words may come when nothing is
/// asked.
pub(crate) async fn connect(port: u16) -> Result<(Client, Ending), tokio_postgres::Error> {
    let text = format!("host=127.0.0.1 port={port} user=t_trust dbname=app");
    let (client, connection) = tokio_postgres::connect(&text, NoTls).await?;
    Ok((client, tokio::spawn(connection)))
}

/// How a connection ended.
pub(crate) type Ending = tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>;

type Shared = Arc<Mutex<Books>>;

fn note(books: &Shared, change: impl FnOnce(&mut Books)) {
    change(&mut books.lock().expect("no panic"));
}

async fn note_error(books: &Shared, error: tokio_postgres::Error, connection: Ending) {
    let said = match error.is_closed() {
        true => connection.await.ok().and_then(Result::err),
        false => Some(error),
    };
    let code = said.as_ref().and_then(|error| error.code());
    let code = code.map_or("lost", |code| code.code());
    note(books, |books| {
        *books.errors.entry(code.to_owned()).or_default() += 1;
    });
}

async fn only_read(port: u16, stop: Arc<AtomicBool>, books: Shared) {
    while !stop.load(Ordering::Relaxed) {
        let Ok((client, connection)) = connect(port).await else {
            note(&books, |books| books.refused += 1);
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while !stop.load(Ordering::Relaxed) {
            match client.simple_query("SELECT v FROM item WHERE id = 0").await {
                Ok(_) => note(&books, |books| books.reads += 1),
                Err(error) => {
                    note_error(&books, error, connection).await;
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn write_and_read(port: u16, first: i64, stop: Arc<AtomicBool>, books: Shared) {
    let mut id = first;
    while !stop.load(Ordering::Relaxed) {
        let Ok((client, connection)) = connect(port).await else {
            note(&books, |books| books.refused += 1);
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while !stop.load(Ordering::Relaxed) {
            id += 1;
            // Whatever a transaction left open goes with the connection.
            if let Err(error) = round(&client, id, &books).await {
                note_error(&books, error, connection).await;
                break;
            }
        }
    }
}

/// Writes a row and reads it.
async fn round(client: &Client, id: i64, books: &Shared) -> Result<(), tokio_postgres::Error> {
    match id % 4 {
        // One of four in a transaction block of several messages.
        0 => transaction(client, id).await?,
        _ => client.batch_execute(&insert(id)).await?,
    }
    let now = Instant::now();
    note(books, |books| books.written.push((id, now)));
    if id % 16 == 0 {
        // Long enough for a replica to be known to show it.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let text = format!("SELECT v FROM item WHERE id = {id}");
    let rows = client.simple_query(&text).await?;
    let there = (rows.iter()).any(|row| matches!(row, SimpleQueryMessage::Row(_)));
    note(books, |books| {
        books.reads += 1;
        if !there {
            books.stale.push(id);
        }
    });
    Ok(())
}

fn insert(id: i64) -> String {
    format!("INSERT INTO item VALUES ({id}, 0)")
}

async fn transaction(client: &Client, id: i64) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("BEGIN").await?;
    client.batch_execute(&insert(id)).await?;
    client
        .batch_execute(&format!("UPDATE item SET v = 1 WHERE id = {id}"))
        .await?;
    client.batch_execute("COMMIT").await
}
