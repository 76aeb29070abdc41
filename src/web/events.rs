//! What listeners are told each second, computed once for all of them, and the history for plots.
//!
//! While nobody listens a point is taken each ten seconds, so that whoever opens the page during an
//! incident sees since when. A listener that is slow misses points; one that takes nothing for half
//! a minute is let go.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::api::Reader;
use super::history::History;
use crate::admin::execute::Env;

/// Listeners at once.
pub const LISTENERS: usize = 16;

/// Longest time that somebody listens; browsers come back by themselves.
pub const LIFE: Duration = Duration::from_secs(3_600);

/// Between two points while somebody listens, and while nobody does.
const PERIODS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// How long a listener may take nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A body that goes on.
pub type Stream = Channel<Bytes, Infallible>;

/// See the module. At first nobody listens.
#[derive(Default)]
pub struct Hub {
    /// The last minutes.
    pub history: Mutex<History>,
    listeners: AtomicUsize,
    came: Notify,
    news: watch::Sender<Bytes>,
}

/// One listener's place; given back when dropped.
struct Place(Arc<Hub>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Hub {
    /// Takes points and tells listeners, for ever. Dropping the future is the way to end it.
    pub async fn run(&self, env: &Env) {
        loop {
            let listened = self.listeners.load(Ordering::Acquire) > 0;
            let snapshot = match listened {
                true => env.control.holders().await,
                false => env.control.counts().await,
            };
            let (moment, now) = (Instant::now(), SystemTime::now());
            self.history.lock().take(&snapshot, moment, now);
            if listened {
                let reader = Reader {
                    env,
                    history: &self.history,
                };
                let overview = reader.overview(&snapshot);
                self.news
                    .send_replace(format!("event: overview\ndata: {overview}\n\n").into());
            }
            let period = match listened {
                true => PERIODS.0,
                false => PERIODS.1,
            };
            tokio::select! {
                () = crate::timer::sleep(period) => {}
                () = self.came.notified() => {}
            }
        }
    }

    /// A stream of events for one more listener; `None` if there are [`LISTENERS`].
    pub fn listen(self: &Arc<Self>) -> Option<Stream> {
        let added = self
            .listeners
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (now < LISTENERS).then_some(now + 1)
            });
        let before = added.ok()?;
        let place = Place(self.clone());
        let (sender, body) = Channel::new(1);
        let mut news = self.news.subscribe();
        if before > 0 && !news.borrow().is_empty() {
            // It is no older than a second.
            news.mark_changed();
        }
        tokio::spawn(async move {
            // Ends with the connection, whose end drops the body.
            let _ = crate::timer::timeout(LIFE, tell(sender, news)).await;
            drop(place);
        });
        if before == 0 {
            self.came.notify_one();
        }
        Some(body)
    }
}

async fn tell(mut sender: Sender<Bytes, Infallible>, mut news: watch::Receiver<Bytes>) {
    // How soon to come back after the end, in milliseconds.
    let mut next = Bytes::from_static(b"retry: 2000\n\n");
    loop {
        let sent = crate::timer::timeout(PATIENCE, sender.send_data(next)).await;
        if !matches!(sent, Ok(Ok(()))) || news.changed().await.is_err() {
            return;
        }
        next = news.borrow_and_update().clone();
    }
}
