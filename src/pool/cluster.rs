//! The servers of a cluster as all workers see them: who is the primary, who is fresh.
//!
//! Whoever asks the servers ([`crate::watcher`]) tells [`Cluster::heard`]; pools and sessions read
//! [`Cluster::view`], which never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::refusals::Refusals;
use crate::config::Host;
use crate::config::member::Member;
use crate::route::functions::Functions;
use crate::route::topology::{Report, Topology, View};
use crate::sql::{Analysis, Flags};

/// Milliseconds between two times that servers are asked because somebody waits for a replica to catch up.
const SOON: u64 = 20;

/// Where the count of news of the next cluster begins: whoever waited for news of one must not take those of its
/// successor for news that it knows.
static FIRST_NEWS: AtomicU32 = AtomicU32::new(0);
/// How far apart these are.
const NEWS_APART: u32 = 1 << 20;

/// See the module.
#[derive(Debug)]
pub struct Cluster {
    /// Its servers, as the configuration has them.
    pub hosts: Vec<Host>,
    /// Where each of them stands.
    zones: ArcSwap<Vec<Box<str>>>,
    topology: Mutex<Topology>,
    view: ArcSwap<View>,
    /// Rung when a server should be asked before its turn.
    look: Notify,
    /// Rung when the view has changed.
    changed: Notify,
    retired: AtomicBool,
    started: Instant,
    /// Microseconds since `started` of the last write of anybody; 0 for none.
    written: AtomicU64,
    /// Milliseconds since `started` of the last [`Self::look_soon`] that was heeded.
    looked: AtomicU64,
    /// Who was the primary when [`Self::heard`] said last that somebody else is; `usize::MAX` for nobody.
    told: AtomicUsize,
    /// How often a server was heard of, and who wants to know of the next time.
    news: Mutex<(u32, Vec<Waker>)>,
    /// Reads that were given to servers one after the other.
    turn: AtomicU64,
    /// Functions of the database that do not write.
    pub functions: ArcSwap<Functions>,
    /// Reads that replicas refused.
    pub refusals: Refusals,
    /// The server that a switchover makes the primary, and what it is doing.
    switching: Mutex<Option<(usize, &'static str)>>,
}

/// A switchover of a cluster; it is over when this is dropped.
#[derive(Debug)]
pub struct Switching(Arc<Cluster>);

impl Switching {
    /// Begins one; `None` if one is under way.
    #[must_use]
    pub fn begin(cluster: &Arc<Cluster>, to: usize) -> Option<Self> {
        let mut switching = cluster.switching.lock();
        if switching.is_some() {
            return None;
        }
        *switching = Some((to, "begins"));
        Some(Self(cluster.clone()))
    }

    /// Says what it does now.
    pub fn step(&self, step: &'static str) {
        if let Some((_, present)) = &mut *self.0.switching.lock() {
            *present = step;
        }
    }
}

impl Drop for Switching {
    fn drop(&mut self) {
        *self.0.switching.lock() = None;
    }
}

impl Cluster {
    /// A cluster of which nothing is known.
    #[must_use]
    pub fn new(members: &[Member], zone: &str) -> Self {
        let topology = Topology::new(members, zone);
        Self {
            view: ArcSwap::from_pointee(topology.view().clone()),
            topology: Mutex::new(topology),
            hosts: (members.iter()).map(|member| member.host.clone()).collect(),
            zones: ArcSwap::from_pointee(zones(members)),
            turn: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            told: AtomicUsize::new(usize::MAX),
            news: Mutex::new((
                FIRST_NEWS.fetch_add(NEWS_APART, Ordering::Relaxed),
                Vec::new(),
            )),
            look: Notify::new(),
            changed: Notify::new(),
            retired: AtomicBool::new(false),
            started: Instant::now(),
            written: AtomicU64::new(0),
            functions: ArcSwap::default(),
            refusals: Refusals::default(),
            switching: Mutex::new(None),
        }
    }

    /// Takes over what else is said of the same servers. `false` if the servers are others: then a new cluster
    /// takes this one's place.
    pub fn takes(&self, members: &[Member], zone: &str) -> bool {
        let hosts = members.iter().map(|member| &member.host);
        if !self.hosts.iter().eq(hosts) {
            return false;
        }
        if **self.zones.load() != zones(members) {
            self.zones.store(Arc::new(zones(members)));
        }
        let mut topology = self.topology.lock();
        topology.configure(members, zone);
        if *topology.view() != **self.view.load() {
            self.view.store(Arc::new(topology.view().clone()));
            drop(topology);
            self.changed.notify_waiters();
            // Those who ask the servers tell everybody who is the primary now.
            self.look_now();
        }
        true
    }

    /// Whether a text with these facts only reads, its functions as the catalogue says.
    pub fn reads(&self, known: &Analysis) -> bool {
        known.flags.contains(Flags::READ_ONLY)
            || known.flags.contains(Flags::READS_IF)
                && self.functions.load().all_read(&known.functions)
    }

    /// Where a server stands; empty if nobody said so.
    pub fn zone(&self, at: usize) -> Box<str> {
        self.zones.load().get(at).cloned().unwrap_or_default()
    }

    /// The next turn of those that servers get one after the other.
    pub fn turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the configuration keeps this server from being the primary.
    pub fn is_barred(&self, at: usize) -> bool {
        self.topology.lock().is_barred(at)
    }

    /// What a switchover to this server is doing, if there is one.
    pub fn switching_to(&self, at: usize) -> Option<&'static str> {
        (*self.switching.lock()).and_then(|(to, step)| (to == at).then_some(step))
    }

    /// What is known now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Where writes go, if it is known.
    pub fn primary(&self) -> Option<Host> {
        let primary = self.view.load().primary?;
        self.hosts.get(primary).cloned()
    }

    /// A replica failed somebody; see [`Topology::failed`]. Returns for how long it is left alone, if that
    /// is news.
    pub fn failed(&self, at: usize, reason: &str) -> Option<Duration> {
        let mut topology = self.topology.lock();
        if !topology.failed(at, Instant::now(), reason) {
            return None;
        }
        self.view.store(Arc::new(topology.view().clone()));
        let ban = topology.view().servers.get(at)?.ban.as_ref();
        ban.map(|ban| ban.pause)
    }

    /// Takes in what a server said, or why it does not answer. Returns whether another one has become
    /// the primary.
    pub fn heard(&self, at: usize, said: Result<Report, Box<str>>) -> bool {
        let mut topology = self.topology.lock();
        if let Err(reason) = &said {
            topology.failed(at, Instant::now(), reason);
        }
        topology.heard(at, said);
        let primary = topology.view().primary.map_or(usize::MAX, |at| at);
        let changed = self.told.swap(primary, Ordering::Relaxed) != primary;
        self.view.store(Arc::new(topology.view().clone()));
        drop(topology);
        self.changed.notify_waiters();
        self.wake_who_wait();
        changed
    }

    fn wake_who_wait(&self) {
        let waiting = {
            let mut news = self.news.lock();
            news.0 = news.0.wrapping_add(1);
            std::mem::take(&mut news.1)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Has `waker` woken when a server is heard of next. Returns how often that happened so far; whoever asked
    /// since then (`last`) is not noted twice.
    pub fn wake_at_news(&self, last: Option<u32>, waker: &Waker) -> u32 {
        let mut news = self.news.lock();
        if last != Some(news.0) {
            news.1.push(waker.clone());
        }
        news.0
    }

    /// Waits until the primary is known, at most for `limit`, and no longer than the cluster is in use.
    ///
    /// Cancel safe.
    pub async fn await_primary(&self, limit: Duration) -> Option<Host> {
        let known = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // From here on no ring is missed.
                changed.as_mut().enable();
                if let Some(primary) = self.primary() {
                    return Some(primary);
                }
                if self.is_retired() {
                    return None;
                }
                self.look_now();
                changed.await;
            }
        };
        if limit.is_zero() {
            return known.await;
        }
        crate::timer::timeout(limit, known).await.ok().flatten()
    }

    /// Something happened that makes it worth asking the servers at once.
    pub fn look_now(&self) {
        self.look.notify_waiters();
    }

    /// A replica may have come as far as somebody needs. Costs next to nothing if that is said often.
    pub fn look_soon(&self) {
        let now = self.started.elapsed().as_millis() as u64;
        let last = self.looked.load(Ordering::Relaxed);
        if now.saturating_sub(last) >= SOON {
            self.looked.store(now, Ordering::Relaxed);
            self.look_now();
        }
    }

    /// Waits for [`Self::look_now`]; no call is missed from `enable` on.
    ///
    /// Cancel safe.
    pub fn asked_to_look(&self) -> Notified<'_> {
        self.look.notified()
    }

    /// Waits until this server is not the primary any more, as far as this cluster knows: nobody tells it
    /// anything once it is retired.
    ///
    /// Cancel safe.
    pub async fn is_demoted(&self, host: &Host) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_retired() || self.primary().as_ref() != Some(host) {
                return;
            }
            changed.await;
        }
    }

    /// Nobody uses it any more: another configuration is in force. Nothing will be heard of its servers, so
    /// whoever waits for that is sent on.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.look.notify_waiters();
        self.changed.notify_waiters();
        self.wake_who_wait();
    }

    /// Whether [`Self::retire`] was called.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Somebody's transaction on the primary, which may have written, ended before `moment`.
    pub fn wrote(&self, moment: Instant) {
        let micros = moment.saturating_duration_since(self.started).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX).max(1);
        self.written.fetch_max(micros, Ordering::Relaxed);
    }

    /// When anybody wrote last.
    pub fn written(&self) -> Option<Instant> {
        match self.written.load(Ordering::Relaxed) {
            0 => None,
            // Rounded up: later is safe.
            micros => Some(self.started + Duration::from_micros(micros.saturating_add(1))),
        }
    }
}

fn zones(members: &[Member]) -> Vec<Box<str>> {
    members.iter().map(|member| member.zone.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn cluster() -> Cluster {
        let member = Member::parse("127.0.0.1", 5432).expect("a server");
        Cluster::new(&[member], "")
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_cluster_that_is_out_of_use() {
        let cluster = Arc::new(cluster());
        let waiting = tokio::spawn({
            let cluster = cluster.clone();
            async move { cluster.await_primary(Duration::ZERO).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        cluster.retire();
        assert_eq!(waiting.await.expect("no panic"), None);
        // Nor does it begin to.
        assert_eq!(cluster.await_primary(Duration::ZERO).await, None);
    }

    #[test]
    fn news_of_another_cluster_are_other_news() {
        let (old, new) = (cluster(), cluster());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let last = old.wake_at_news(None, &waker);
        old.retire();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        let last = new.wake_at_news(Some(last), &waker);
        // The second time it has been noted.
        new.wake_at_news(Some(last), &waker);
        new.heard(0, Err("down".into()));
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    }
}
