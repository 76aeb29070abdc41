//! What all workers share: the configuration in force, the limits, the statements.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::cluster::Cluster;
use super::key::PoolKey;
use super::mirror::stats::MirrorStats;
use super::peers::PeerPools;
use crate::audit::findings::Findings;
use crate::audit::lines::Line;
use crate::audit::observer::Observer;
use crate::audit::outbox::Outbox;
use crate::audit::spans::{self, Span};
use crate::audit::statements::Statements;
use crate::audit::waits::Waits;
use crate::audit::wall::Wall;
use crate::config::{Config, Database};
use crate::lint::hashing::Hashing;
use crate::lint::observe::Subject;
use crate::lint::policy::{Effective, Policy};
use crate::pool::exemplars::Exemplars;
use crate::server::permit::{Counter, Permit};
use crate::server::statements::Registry;
use crate::shutdown::PhaseCell;
use crate::tls::TlsContext;

/// Statements whose cost is kept, about 6 KB each.
const MOST_STATEMENTS: usize = 2000;

/// Findings that are kept, about 2 KB each.
const MOST_FINDINGS: usize = 5000;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Server connections of a database.
    DatabaseServers,
    /// Server connections of a user.
    UserServers,
    /// Client connections of a database.
    DatabaseClients,
    /// Client connections of a user.
    UserClients,
}

/// Which databases an operator has stopped; new pools ask here.
#[derive(Debug, Default)]
pub struct Holds {
    /// PAUSE without a name.
    pub all: bool,
    /// PAUSE of one database.
    pub paused: BTreeSet<String>,
    /// DISABLE of one database.
    pub disabled: BTreeSet<String>,
}

/// State of the whole process, shared by its workers. Nothing here is touched on the way of a
/// query except by relaxed counters.
pub struct Process {
    /// Configuration in force.
    pub config: ArcSwap<Config>,
    /// Key material in force.
    pub tls: TlsContext,
    /// Prepared statements by definition.
    pub statements: Registry,
    /// Clients connected, those logging in included.
    pub clients: Arc<Counter>,
    /// Sessions of the console, which are none of the clients but take places under `max_client_conn`.
    pub consoles: Arc<Counter>,
    /// PAUSE and DISABLE.
    pub holds: RwLock<Holds>,
    /// Running, draining, …
    pub phase: PhaseCell,
    /// When the process started.
    pub started: Instant,
    /// The same on the calendar.
    pub started_at: SystemTime,
    /// Which worker owns a pool.
    pub placement: DashMap<PoolKey, usize, foldhash::fast::RandomState>,
    /// Databases with a primary and replicas.
    pub clusters: DashMap<Arc<str>, Arc<Cluster>, foldhash::fast::RandomState>,
    /// Rung when there is a cluster that nobody asks yet.
    pub new_cluster: Notify,
    /// How the databases do that run what others ran, by the names of those.
    pub mirrors: DashMap<Arc<str>, Arc<MirrorStats>, foldhash::fast::RandomState>,
    /// There is an audit trail, which tells on which server a statement ran.
    pub audits: bool,
    /// Where sessions report what they saw.
    pub observer: Arc<Observer>,
    /// What each statement cost.
    pub usage: Mutex<Statements>,
    /// Statements that wait to be sent to a collector of traces.
    pub spans: Outbox<Span>,
    /// Lines of the log on their way to a collector, once there is a log.
    pub lines: OnceLock<Arc<Outbox<Line>>>,
    /// Statements with trace ids, for histograms.
    pub exemplars: Mutex<Exemplars>,
    /// Who waits for whose lock.
    pub waits: Mutex<Waits>,
    /// What the rules found.
    pub findings: Mutex<Findings>,
    /// What is done about hits.
    pub policy: ArcSwap<Policy>,
    /// Which statements clients are known to send.
    pub wall: ArcSwap<Wall>,
    /// How values are compared without being kept.
    pub hashing: Hashing,
    counters: DashMap<(Level, Box<str>), Arc<Counter>, foldhash::fast::RandomState>,
    /// Cancel requests on their way to other processes.
    pub peers: PeerPools,
    next_id: AtomicU64,
}

impl Process {
    /// Places under `max_client_conn` that are taken.
    pub fn places_taken(&self) -> u32 {
        self.clients.get().saturating_add(self.consoles.get())
    }

    /// State for a process that starts with this configuration.
    pub fn new(config: Arc<Config>, tls: TlsContext) -> Self {
        // Whoever loads a configuration has refused one whose rules cannot be compiled.
        let policy = Policy::of(&config).unwrap_or_default();
        let wall = Wall::of(&config, None).unwrap_or_default();
        Self {
            audits: config.settings.audit_file.is_some(),
            config: ArcSwap::new(config),
            tls,
            statements: Registry::default(),
            clients: Arc::default(),
            consoles: Arc::default(),
            holds: RwLock::default(),
            phase: PhaseCell::default(),
            started: Instant::now(),
            started_at: SystemTime::now(),
            placement: DashMap::default(),
            clusters: DashMap::default(),
            new_cluster: Notify::new(),
            mirrors: DashMap::default(),
            observer: Arc::new(Observer::new()),
            usage: Mutex::new(Statements::new(MOST_STATEMENTS)),
            spans: Outbox::new(spans::MOST),
            lines: OnceLock::new(),
            exemplars: Mutex::default(),
            waits: Mutex::default(),
            findings: Mutex::new(Findings::new(MOST_FINDINGS)),
            policy: ArcSwap::from_pointee(policy),
            wall: ArcSwap::from_pointee(wall),
            hashing: Hashing::random(),
            counters: DashMap::default(),
            peers: PeerPools::default(),
            next_id: AtomicU64::new(1),
        }
    }

    /// What is done about hits of this client.
    pub fn effective(&self, subject: &Subject) -> Arc<Effective> {
        Arc::new(self.policy.load().for_subject(subject))
    }

    /// Whether statements are looked at.
    pub fn lints(&self) -> bool {
        let config = self.config.load();
        config.settings.lint
            || config.settings.audit_file.is_some()
            || !config.settings.log_slow_query.is_zero()
    }

    /// A number that no other client or server of this process has or had.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The cluster behind a database, if it is one. One whose servers are others now takes its
    /// predecessor's place.
    ///
    /// `database` counts only if it is not configured any more: a worker that has not heard of the
    /// configuration in force must not bring back the servers of the one before.
    pub fn cluster(&self, name: &Arc<str>, database: &Database) -> Option<Arc<Cluster>> {
        let config = self.config.load();
        let known = config.database(name);
        let database = known.as_deref().unwrap_or(database);
        if !database.is_cluster() {
            if let Some((_, gone)) = self.clusters.remove(name) {
                gone.retire();
            }
            return None;
        }
        let zone = config.settings.zone.clone();
        let fresh = || {
            // Whoever hears it waits for the lock of the entry.
            self.new_cluster.notify_one();
            Arc::new(Cluster::new(&database.members, &zone))
        };
        let mut entry = self.clusters.entry(name.clone()).or_insert_with(fresh);
        if !entry.takes(&database.members, &zone) {
            entry.retire();
            *entry = fresh();
        }
        Some(entry.clone())
    }

    /// Forgets clusters whose pools are gone: nobody need ask their servers any more.
    fn forget_clusters(&self) {
        self.clusters.retain(|name, cluster| {
            let used = (self.placement.iter()).any(|entry| entry.key().database == *name);
            if !used {
                cluster.retire();
            }
            used
        });
    }

    /// Takes a place for `name` if fewer than `limit` are taken; 0 is no limit.
    pub fn permit(&self, level: Level, name: &str, limit: u32) -> Option<Permit> {
        self.counter(level, name).take(limit)
    }

    /// How many places `name` has taken.
    pub fn count(&self, level: Level, name: &str) -> u32 {
        let key = (level, Box::from(name));
        self.counters.get(&key).map_or(0, |counter| counter.get())
    }

    fn counter(&self, level: Level, name: &str) -> Arc<Counter> {
        let key = (level, Box::from(name));
        self.counters.entry(key).or_default().clone()
    }

    /// Forgets counters at zero, so that names of databases and users that came and went do not
    /// pile up.
    pub fn forget_unused(&self) {
        if !self.clusters.is_empty() {
            self.forget_clusters();
        }
        self.counters
            .retain(|_, counter| counter.get() > 0 || Arc::strong_count(counter) > 1);
    }
}
