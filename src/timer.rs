//! Time limits, pauses and ticks for whoever runs on a worker.
//!
//! A runtime with timers reads the clock twice and walks its wheel each time it waits for sockets,
//! which with the short waits of a busy pooler is a tenth of all instructions of a query. Workers
//! therefore have none of their own: what needs one (a login, a connect, the tick) uses those of a
//! thread that does nothing else, which wakes the worker when the time has come. Elsewhere, and in
//! tests with a clock that stands still, the runtime's own timers are used.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Interval, MissedTickBehavior, Sleep, Timeout};

thread_local! {
    static LENDER: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// A thread with timers for other threads. Ends when it is dropped: whoever still waits for one of its
/// timers then waits for ever or panics, so that has to come last.
pub struct Timers {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Timers {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("timers".to_owned())
            .spawn(move || {
                // Also when the sender is gone.
                let _ = runtime.block_on(stopped);
            })?;
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// From now on what the calling thread waits for is timed by these, which must not be dropped
    /// before the thread has stopped waiting.
    pub fn lend(&self) {
        LENDER.with(|slot| slot.replace(Some(self.handle.clone())));
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It runs nothing that could panic.
            let _ = thread.join();
        }
    }
}

/// Makes something while the runtime whose timers are used is the current one.
fn timed<T>(make: impl FnOnce() -> T) -> T {
    LENDER.with(|lender| {
        let lender = lender.borrow();
        let _current = lender.as_ref().map(Handle::enter);
        make()
    })
}

/// Ends `future` when `limit` has passed; see [`tokio::time::timeout`]. Cancel safe as `future` is.
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    timed(|| tokio::time::timeout(limit, future))
}

/// Waits; see [`tokio::time::sleep`].
pub fn sleep(time: Duration) -> Sleep {
    timed(|| tokio::time::sleep(time))
}

/// What [`interval`] gives.
pub enum Ticks {
    /// The runtime's own.
    Own(Interval),
    /// Those of the thread with the timers, which rings and is not asked each time: to ask wakes it.
    Lent(Arc<Notify>, AbortHandle),
}

impl Ticks {
    /// Waits for the next one. Several that were missed are one.
    ///
    /// Cancel safe.
    pub async fn tick(&mut self) {
        match self {
            Ticks::Own(ticks) => {
                ticks.tick().await;
            }
            Ticks::Lent(rung, _) => rung.notified().await,
        }
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        if let Ticks::Lent(_, ringing) = self {
            ringing.abort();
        }
    }
}

/// Ticks, the first time at once. A tick that comes late moves those behind it.
#[must_use]
pub fn interval(period: Duration) -> Ticks {
    let every = move || {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let lender = LENDER.with(|lender| lender.borrow().clone());
    let Some(lender) = lender else {
        return Ticks::Own(every());
    };
    let rung = Arc::new(Notify::new());
    let rings = rung.clone();
    let ringing = lender.spawn(async move {
        let mut ticks = every();
        loop {
            ticks.tick().await;
            rings.notify_one();
        }
    });
    Ticks::Lent(rung, ringing.abort_handle())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_without_timers_borrows_them() {
        let timers = Timers::start().expect("a thread");
        let worker = std::thread::spawn(move || {
            timers.lend();
            let own = Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("a runtime");
            own.block_on(async {
                sleep(Duration::from_millis(2)).await;
                let never = std::future::pending::<()>();
                assert!(timeout(Duration::from_millis(2), never).await.is_err());
                assert_eq!(timeout(Duration::from_secs(60), async { 7 }).await, Ok(7));
                let mut ticks = interval(Duration::from_millis(1));
                for _ in 0..3 {
                    ticks.tick().await;
                }
            });
        });
        worker.join().expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn elsewhere_the_runtime_has_its_own() {
        assert!(
            timeout(Duration::from_secs(3600), std::future::pending::<()>())
                .await
                .is_err()
        );
    }
}
