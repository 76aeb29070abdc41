//! What a pool holds and who waits for it, as a plain value. ◆
//!
//! Servers (`S`) and waiters (`W`) are opaque here; time comes in as an argument. Each method is
//! one thing that can happen; what the caller must do about it comes back as a value. Counters are
//! kept only here, so SHOW and metrics cannot drift from what is true.
//!
//! ```text
//!            open()            connected()            checkout()
//!   nothing ───────► opening ─────────────► idle ───────────────► active
//!      ▲                │ failed()            │ take_idle()          │ checkin(): head waiter or idle
//!      └────────────────┴─────────────────────┴──────────────────────┘ lost()
//! ```
//!
//! Idle servers are reused last in, first out, so that what is not needed ages; waiters are served
//! first in, first out, and a server that comes back goes to the head waiter, never past it.
//!
//! Source: PgBouncer, `objects.c` (`find_server`, `release_server`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a login may take before more of them are under way than servers are there.
pub const SLOW: Duration = Duration::from_millis(20);

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Waiter<W> {
    ticket: Ticket,
    since: Instant,
    who: W,
}

/// An idle server and since when it is.
#[derive(Debug)]
pub struct Idle<S> {
    /// The server.
    pub server: S,
    /// Since when nobody uses it.
    pub since: Instant,
}

/// Answer to a checkout.
#[derive(Debug, PartialEq, Eq)]
pub enum Checkout<S> {
    /// Here it is; it counts as active.
    Ready(S),
    /// Nothing is idle, or others were first.
    Queued(Ticket),
}

/// Limits under which a pool opens connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of this pool.
    pub size: u32,
    /// Connections kept even if nobody asks.
    pub min: u32,
    /// Connections beyond `size` while the head waiter has waited for too long.
    pub reserve: u32,
    /// Logins under way at once.
    pub parallel: u32,
}

/// See the module.
#[derive(Debug)]
pub struct State<S, W> {
    idle: VecDeque<Idle<S>>,
    waiters: VecDeque<Waiter<W>>,
    next_ticket: u64,
    active: u32,
    opening: u32,
    /// When the present logins began, or the last one came through since.
    progress: Option<Instant>,
    /// Taken out of the pool for a check, a reset or because a cancel is on its way to it.
    aside: u32,
}

impl<S, W> Default for State<S, W> {
    fn default() -> Self {
        Self {
            idle: VecDeque::new(),
            waiters: VecDeque::new(),
            next_ticket: 0,
            active: 0,
            opening: 0,
            progress: None,
            aside: 0,
        }
    }
}

impl<S, W> State<S, W> {
    /// Takes an idle server, or queues `who`. `oldest` takes the server that was idle longest
    /// (`server_round_robin`) instead of the one used last.
    pub fn checkout(&mut self, oldest: bool, now: Instant, who: impl FnOnce() -> W) -> Checkout<S> {
        if self.waiters.is_empty() {
            let idle = if oldest {
                self.idle.pop_front()
            } else {
                self.idle.pop_back()
            };
            if let Some(idle) = idle {
                self.active += 1;
                return Checkout::Ready(idle.server);
            }
        }
        let ticket = self.enqueue(now, who());
        Checkout::Queued(ticket)
    }

    /// Queues `who` even if servers are idle (a paused pool).
    pub fn enqueue(&mut self, now: Instant, who: W) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiters.push_back(Waiter {
            ticket,
            since: now,
            who,
        });
        ticket
    }

    /// An active server comes back clean: the head waiter it goes to, or `None` if it is idle now.
    /// While `hold` no waiter is served.
    pub fn checkin(&mut self, server: S, hold: bool, now: Instant) -> Option<(W, S)> {
        debug_assert!(
            self.active > 0,
            "checkin of a server that was not checked out"
        );
        self.active = self.active.saturating_sub(1);
        self.hand_out(server, hold, now)
    }

    fn hand_out(&mut self, server: S, hold: bool, now: Instant) -> Option<(W, S)> {
        if !hold && let Some(waiter) = self.waiters.pop_front() {
            self.active += 1;
            return Some((waiter.who, server));
        }
        self.idle.push_back(Idle { server, since: now });
        None
    }

    /// An active server is gone.
    pub fn lost(&mut self) {
        debug_assert!(self.active > 0, "loss of a server that was not checked out");
        self.active = self.active.saturating_sub(1);
    }

    /// An active server is put aside (reset, check, cancel on its way). It ends with [`Self::back`]
    /// or [`Self::aside_lost`].
    pub fn set_aside(&mut self) {
        debug_assert!(
            self.active > 0,
            "only a server that was checked out is put aside"
        );
        self.active = self.active.saturating_sub(1);
        self.aside += 1;
    }

    /// A server that was aside is clean.
    pub fn back(&mut self, server: S, hold: bool, now: Instant) -> Option<(W, S)> {
        self.aside = self.aside.saturating_sub(1);
        self.hand_out(server, hold, now)
    }

    /// A server that was aside is gone.
    pub fn aside_lost(&mut self) {
        self.aside = self.aside.saturating_sub(1);
    }

    /// How many connections should be opened now, given what is idle, opening and waiting.
    /// `late` says that the head waiter has waited for longer than the reserve is kept back.
    ///
    /// Logins are under way at once as servers are there, so that their number doubles with each round: a burst
    /// that the first servers serve while the next would log in is not slowed down by logins that nobody needs in the
    /// end, and which cost the database most at that moment. If they take long ([`SLOW`]), all that the limit
    /// allows are under way.
    pub fn wanted(&self, limits: Limits, late: bool, now: Instant) -> u32 {
        let total = self.total();
        let ceiling = limits
            .size
            .saturating_add(if late { limits.reserve } else { 0 });
        let waiting = u32::try_from(self.waiters.len()).unwrap_or(u32::MAX);
        let for_waiters = waiting.saturating_sub(self.opening);
        let for_minimum = limits.min.min(limits.size).saturating_sub(total);
        for_waiters
            .max(for_minimum)
            .min(ceiling.saturating_sub(total))
            .min(self.pace(limits, now).saturating_sub(self.opening))
    }

    /// How many logins may be under way.
    fn pace(&self, limits: Limits, now: Instant) -> u32 {
        match self.is_slow(now) {
            true => limits.parallel,
            false => limits.parallel.min((self.total() - self.opening).max(1)),
        }
    }

    /// Whether logins are under way and none has come through for [`SLOW`].
    fn is_slow(&self, now: Instant) -> bool {
        self.opening > 0
            && (self.progress).is_some_and(|since| now.saturating_duration_since(since) >= SLOW)
    }

    /// Whether [`SLOW`] from now more logins may be wanted than now, though nothing happens till then.
    pub fn is_paced(&self, now: Instant) -> bool {
        self.opening > 0 && !self.waiters.is_empty() && !self.is_slow(now)
    }

    /// A login begins; it ends with [`Self::connected`] or [`Self::failed`].
    pub fn open(&mut self, now: Instant) {
        if self.opening == 0 {
            self.progress = Some(now);
        }
        self.opening += 1;
    }

    /// A login succeeded.
    pub fn connected(&mut self, server: S, hold: bool, now: Instant) -> Option<(W, S)> {
        debug_assert!(self.opening > 0, "connected without a login under way");
        self.opening = self.opening.saturating_sub(1);
        self.progress = Some(now);
        self.hand_out(server, hold, now)
    }

    /// A login failed.
    pub fn failed(&mut self) {
        debug_assert!(self.opening > 0, "failure without a login under way");
        self.opening = self.opening.saturating_sub(1);
    }

    /// Gives up a place in the queue. `false` if it was served (or given up) before.
    pub fn abandon(&mut self, ticket: Ticket) -> bool {
        match self
            .waiters
            .binary_search_by_key(&ticket, |waiter| waiter.ticket)
        {
            Ok(at) => self.waiters.remove(at).is_some(),
            Err(_) => false,
        }
    }

    /// Takes everybody out of the queue (the server cannot be reached).
    pub fn drain_waiters(&mut self) -> Vec<W> {
        self.waiters.drain(..).map(|waiter| waiter.who).collect()
    }

    /// Serves waiters from idle servers, after a pause.
    pub fn resume(&mut self) -> Vec<(W, S)> {
        let mut served = Vec::new();
        while !self.idle.is_empty() && !self.waiters.is_empty() {
            if let (Some(idle), Some(waiter)) = (self.idle.pop_back(), self.waiters.pop_front()) {
                self.active += 1;
                served.push((waiter.who, idle.server));
            }
        }
        served
    }

    /// Takes the idle servers for which `choose` says so out of the pool, the longest idle first.
    pub fn take_idle(&mut self, mut choose: impl FnMut(&mut Idle<S>) -> bool) -> Vec<S> {
        let mut taken = Vec::new();
        let mut at = 0;
        while let Some(idle) = self.idle.get_mut(at) {
            if choose(idle) {
                taken.extend(self.idle.remove(at).map(|idle| idle.server));
            } else {
                at += 1;
            }
        }
        taken
    }

    /// Idle servers, the longest idle first.
    pub fn idle_servers(&self) -> impl Iterator<Item = &Idle<S>> {
        self.idle.iter()
    }

    /// Who waits, first come first.
    pub fn waiters(&self) -> impl Iterator<Item = (&W, Instant)> {
        self.waiters
            .iter()
            .map(|waiter| (&waiter.who, waiter.since))
    }

    /// Since when the head waiter waits.
    pub fn head_since(&self) -> Option<Instant> {
        self.waiters.front().map(|waiter| waiter.since)
    }

    /// Servers checked out.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// Servers idle.
    pub fn idle(&self) -> u32 {
        u32::try_from(self.idle.len()).unwrap_or(u32::MAX)
    }

    /// Logins under way.
    pub fn opening(&self) -> u32 {
        self.opening
    }

    /// Servers put aside.
    pub fn aside(&self) -> u32 {
        self.aside
    }

    /// Clients waiting.
    pub fn waiting(&self) -> u32 {
        u32::try_from(self.waiters.len()).unwrap_or(u32::MAX)
    }

    /// All connections that exist or are being made.
    pub fn total(&self) -> u32 {
        self.active + self.idle() + self.opening + self.aside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug)]
    enum Op {
        Checkout,
        Checkin(prop::sample::Index),
        Lose(prop::sample::Index),
        Aside(prop::sample::Index),
        Back,
        AsideLost,
        Connected,
        Failed,
        Abandon(prop::sample::Index),
        TakeOldest,
        Resume,
    }

    fn ops() -> impl Strategy<Value = Op> {
        let index = any::<prop::sample::Index>;
        prop_oneof![
            6 => Just(Op::Checkout),
            6 => index().prop_map(Op::Checkin),
            1 => index().prop_map(Op::Lose),
            1 => index().prop_map(Op::Aside),
            1 => Just(Op::Back),
            1 => Just(Op::AsideLost),
            4 => Just(Op::Connected),
            1 => Just(Op::Failed),
            1 => index().prop_map(Op::Abandon),
            1 => Just(Op::TakeOldest),
            1 => Just(Op::Resume),
        ]
    }

    proptest! {
        /// Against a model that only knows who holds what: no limit is passed, no server is given
        /// twice or lost, nobody is overtaken, and nobody waits while a server is idle.
        #[test]
        fn random_life(ops in proptest::collection::vec((ops(), 0u64..30), 0..300), size in 1u32..6, min in 0u32..3) {
            let limits = Limits { size, min, reserve: 0, parallel: 3 };
            let mut now = Instant::now();
            let mut state: State<u32, u32> = State::default();
            let (mut next_server, mut next_waiter) = (0, 0);
            let mut held: Vec<u32> = Vec::new();
            let mut aside: Vec<u32> = Vec::new();
            let mut queue: Vec<(Ticket, u32)> = Vec::new();
            let mut alive = BTreeSet::new();
            for (op, later) in ops {
                let mut granted = Vec::new();
                match op {
                    Op::Checkout => {
                        let who = next_waiter;
                        next_waiter += 1;
                        match state.checkout(who % 2 == 0, now, || who) {
                            Checkout::Ready(server) => { prop_assert!(queue.is_empty()); held.push(server); }
                            Checkout::Queued(ticket) => queue.push((ticket, who)),
                        }
                    }
                    Op::Checkin(i) if !held.is_empty() => {
                        let server = held.swap_remove(i.index(held.len()));
                        granted.extend(state.checkin(server, false, now));
                    }
                    Op::Lose(i) if !held.is_empty() => {
                        alive.remove(&held.swap_remove(i.index(held.len())));
                        state.lost();
                    }
                    Op::Aside(i) if !held.is_empty() => {
                        aside.push(held.swap_remove(i.index(held.len())));
                        state.set_aside();
                    }
                    Op::Back if !aside.is_empty() => {
                        let server = aside.remove(0);
                        granted.extend(state.back(server, false, now));
                    }
                    Op::AsideLost if !aside.is_empty() => { alive.remove(&aside.remove(0)); state.aside_lost(); }
                    Op::Connected if state.opening() > 0 => {
                        alive.insert(next_server);
                        granted.extend(state.connected(next_server, false, now));
                        next_server += 1;
                    }
                    Op::Failed if state.opening() > 0 => state.failed(),
                    Op::Abandon(i) if !queue.is_empty() => {
                        let (ticket, _) = queue.remove(i.index(queue.len()));
                        prop_assert!(state.abandon(ticket));
                        prop_assert!(!state.abandon(ticket));
                    }
                    Op::TakeOldest => {
                        let mut first = true;
                        for server in state.take_idle(|_| std::mem::take(&mut first)) { alive.remove(&server); }
                    }
                    Op::Resume => granted.extend(state.resume()),
                    _ => {}
                }
                for (who, server) in granted {
                    prop_assert_eq!(queue.remove(0).1, who, "first come, first served");
                    held.push(server);
                }
                now += Duration::from_millis(later);
                for _ in 0..state.wanted(limits, false, now) { state.open(now); }
                prop_assert!(state.total() <= size);
                prop_assert!(state.opening() <= 3);
                prop_assert_eq!(state.active() as usize, held.len());
                prop_assert_eq!(state.aside() as usize, aside.len());
                prop_assert_eq!(state.waiting() as usize, queue.len());
                prop_assert_eq!(state.idle() as usize + held.len() + aside.len(), alive.len());
                prop_assert!(state.idle() == 0 || queue.is_empty(), "somebody waits while a server is idle");
                prop_assert!(queue.is_empty() || state.total() > 0, "somebody waits and nothing is being done");
                let mut all: Vec<u32> = state.idle_servers().map(|i| i.server).chain(held.iter().copied()).chain(aside.iter().copied()).collect();
                all.sort_unstable();
                prop_assert_eq!(all, alive.iter().copied().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_reserve_opens_only_when_late() {
        let limits = Limits {
            size: 1,
            min: 0,
            reserve: 1,
            parallel: 8,
        };
        let mut state: State<u32, u32> = State::default();
        let now = Instant::now();
        for who in 0..3 {
            state.checkout(false, now, || who);
        }
        assert_eq!(state.wanted(limits, false, now), 1);
        state.open(now);
        assert_eq!(state.wanted(limits, false, now), 0);
        assert_eq!(state.wanted(limits, true, now + SLOW), 1);
    }

    #[test]
    fn logins_double_unless_they_are_slow() {
        let limits = Limits {
            size: 20,
            min: 0,
            reserve: 0,
            parallel: 8,
        };
        let mut state: State<u32, u32> = State::default();
        let mut now = Instant::now();
        for who in 0..100 {
            state.checkout(false, now, || who);
        }
        let mut rounds = Vec::new();
        while state.total() < 20 {
            let wanted = state.wanted(limits, false, now);
            rounds.push(wanted);
            (0..wanted).for_each(|_| state.open(now));
            assert_eq!(state.wanted(limits, false, now), 0);
            assert!(state.is_paced(now));
            now += Duration::from_millis(5);
            for server in 0..wanted {
                state.connected(server, false, now);
            }
        }
        assert_eq!(rounds, [1, 1, 2, 4, 8, 4]);

        let mut state: State<u32, u32> = State::default();
        for who in 0..100 {
            state.checkout(false, now, || who);
        }
        state.open(now);
        assert_eq!(state.wanted(limits, false, now), 0);
        now += SLOW;
        assert!(!state.is_paced(now));
        assert_eq!(state.wanted(limits, false, now), 7);
        // One that came through makes them quick again.
        state.connected(0, false, now);
        assert_eq!(state.wanted(limits, false, now), 1);
    }
}
