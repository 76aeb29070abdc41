//! The time, read once per poll.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

/// A worker's clock. Reading the system's clock several times per query would cost more than all
/// decisions of the pool; what happens within one poll happens at one time.
#[derive(Clone, Debug)]
pub struct Clock(Rc<Cell<Instant>>);

impl Default for Clock {
    fn default() -> Self {
        Self(Rc::new(Cell::new(Instant::now())))
    }
}

impl Clock {
    /// Reads the system's clock. Called where a task is polled.
    #[inline]
    pub fn tick(&self) -> Instant {
        let now = Instant::now();
        self.0.set(now);
        now
    }

    /// The time of the poll that is going on.
    #[inline]
    pub fn now(&self) -> Instant {
        self.0.get()
    }
}
