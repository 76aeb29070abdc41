//! Server connections of one database and user, and the clients that wait for them.
//!
//! A [`Pool`] belongs to one worker and is touched by it alone. What it holds and who waits is
//! decided by [`state::State`]; this module carries the decisions out: it opens and closes
//! connections, checks and resets them, and wakes who is served. There is one way in
//! ([`Pool::checkout`]) and one way out (the [`Lease`]'s drop).

pub mod clock;
pub mod cluster;
pub mod exemplars;
pub mod histogram;
pub mod key;
pub mod lease;
pub mod mirror;
mod names;
pub mod opening;
pub mod peers;
pub mod process;
pub mod refusals;
pub mod registry;
pub mod snapshot;
pub mod state;
pub mod stats;
pub mod upkeep;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::auth::ScramKeys;
use crate::config::{Config, Database, PoolMode, Secret};
use crate::derivation::Derivation;
use crate::server::conn::{Server, ServerShared, ServerState};
use crate::server::params::BaseParams;
use crate::sql::Lexing;
use clock::Clock;
use cluster::Cluster;
use key::PoolKey;
use lease::{CheckoutError, Lease, Seat};
use mirror::Mirror;
use process::Process;
use registry::Pools;
use state::{Checkout, Limits, State};
use stats::Stats;

/// What of the configuration concerns one pool, resolved over user, database and global settings.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// When servers come back.
    pub mode: PoolMode,
    /// How many connections.
    pub limits: Limits,
    /// Wait after which the reserve may be used.
    pub reserve_timeout: Duration,
    /// Limit over all pools of the database; 0 is none.
    pub max_db: u32,
    /// Limit over all pools of the user; 0 is none.
    pub max_user: u32,
    /// Age at which a connection is closed; zero closes after each use.
    pub lifetime: Duration,
}

impl PoolSettings {
    fn resolve(config: &Config, database: &Database, key: &PoolKey) -> Self {
        let settings = &config.settings;
        let user = &*key.user;
        Self {
            mode: config.pool_mode(database, user),
            limits: Limits {
                size: match &key.replica {
                    Some(server) => config.replica_pool_size(database, user, server),
                    None => config.pool_size(database, user),
                },
                min: config.min_pool_size(database, user),
                reserve: config.reserve_pool_size(database, user),
                parallel: settings.max_parallel_connects.max(1),
            },
            reserve_timeout: settings.reserve_pool_timeout,
            max_db: config.max_db_connections(database),
            max_user: config.max_user_connections(user),
            lifetime: config.server_lifetime(database),
        }
    }
}

/// Limits that sessions ask for with every message.
#[derive(Clone, Copy)]
struct MessageLimits {
    max_packet: u32,
    max_prepared: u32,
    prepared_memory: u64,
    check_functions: bool,
    refuse_simple: bool,
}

impl MessageLimits {
    fn of(config: &Config) -> Self {
        let settings = &config.settings;
        Self {
            // The length field counts its own four bytes.
            max_packet: settings.max_packet_size.saturating_sub(4),
            max_prepared: settings.max_prepared_statements,
            prepared_memory: settings.prepared_statements_memory,
            check_functions: settings.check_unknown_functions,
            refuse_simple: settings.disable_pqexec,
        }
    }
}

/// The last failed login of a pool, and when the next attempt may be made.
struct Failure {
    error: CheckoutError,
    retry_at: Instant,
    pause: Duration,
}

fn default_lexing(base: &BaseParams) -> Lexing {
    Lexing {
        standard_conforming_strings: base.get("standard_conforming_strings") != Some("off"),
        ascii_safe_encoding: base.get("client_encoding").is_none_or(is_ascii_safe),
    }
}

/// Whether in this `client_encoding` a byte below 128 is always an ASCII character.
pub fn is_ascii_safe(encoding: &str) -> bool {
    const UNSAFE: &[&str] = &[
        "SJIS",
        "BIG5",
        "GBK",
        "GB18030",
        "UHC",
        "JOHAB",
        "SHIFT_JIS_2004",
    ];
    !UNSAFE.contains(&encoding)
}

/// Servers that are open, by number.
type Servers = RefCell<BTreeMap<u64, Rc<ServerShared>>>;

/// Keeps a server in [`Servers`] until it is dropped.
struct Listed {
    servers: Rc<Servers>,
    id: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.servers.borrow_mut().remove(&self.id);
    }
}

/// Name and value of a startup parameter.
type NameAndValue = (Box<str>, Box<str>);

/// See the module.
pub struct Pool {
    /// Identity.
    pub key: PoolKey,
    /// Counters.
    pub stats: Stats,
    process: Arc<Process>,
    derivation: Arc<Derivation>,
    clock: Clock,
    siblings: Weak<Pools>,
    config: RefCell<Arc<Config>>,
    database: RefCell<Arc<Database>>,
    settings: RefCell<Rc<PoolSettings>>,
    limits: Cell<MessageLimits>,
    lexing: Cell<Lexing>,
    state: RefCell<State<Box<Server>, Rc<Seat>>>,
    /// All servers that are open, by number: for SHOW and RECONNECT.
    servers: Rc<Servers>,
    base: RefCell<Option<Rc<BaseParams>>>,
    /// Values of startup parameters that servers of this pool have accepted, with how they spell
    /// them.
    accepted: RefCell<BTreeMap<NameAndValue, Box<str>>>,
    failure: RefCell<Option<Failure>>,
    paused: Cell<bool>,
    /// Somebody looks soon whether more logins are wanted.
    looks_again: Cell<bool>,
    /// Rises with each RECONNECT: logins that began before it are of no use.
    epoch: Cell<u64>,
    /// Clients that are logged in to this pool.
    clients: Cell<u32>,
    last_client: Cell<Instant>,
    scram_keys: RefCell<Option<ScramKeys>>,
    password: RefCell<Option<Secret>>,
    /// The user's secret as a server told it.
    stored: RefCell<Option<Secret>>,
    next_host: Cell<usize>,
    /// The cluster that its servers are of.
    cluster: RefCell<Option<Arc<Cluster>>>,
    /// Pools of replicas: the pool of the primary, whose clients and credentials are theirs.
    home: Option<Weak<Pool>>,
    /// Another database is to run what this one runs.
    mirrors: Cell<bool>,
    mirror: RefCell<Option<Rc<Mirror>>>,
    /// The pool of the primary: those of replicas, by their place in the cluster.
    replicas: RefCell<Vec<Weak<Pool>>>,
}

/// Answer to [`Pool::checkout`].
pub enum CheckoutNow {
    /// Here it is.
    Ready(Lease),
    /// Wait: the seat's owner is woken when something is in it.
    Queued(Rc<Seat>),
}

impl Pool {
    /// A pool without connections.
    fn new(
        siblings: &Rc<Pools>,
        key: PoolKey,
        config: Arc<Config>,
        database: Arc<Database>,
        home: Option<Weak<Pool>>,
    ) -> Rc<Self> {
        let process = siblings.process().clone();
        let settings = PoolSettings::resolve(&config, &database, &key);
        let limits = MessageLimits::of(&config);
        let cluster = process.cluster(&key.database, &database);
        let mirrors = database.mirror.is_some();
        let paused = {
            let holds = process.holds.read();
            holds.all || holds.paused.contains(&*key.database)
        };
        Rc::new(Self {
            key,
            stats: Stats::default(),
            process,
            derivation: siblings.derivation().clone(),
            clock: siblings.clock().clone(),
            siblings: Rc::downgrade(siblings),
            config: RefCell::new(config),
            database: RefCell::new(database),
            settings: RefCell::new(Rc::new(settings)),
            limits: Cell::new(limits),
            lexing: Cell::new(Lexing::default()),
            state: RefCell::default(),
            servers: Rc::default(),
            base: RefCell::default(),
            accepted: RefCell::default(),
            failure: RefCell::default(),
            paused: Cell::new(paused),
            looks_again: Cell::new(false),
            epoch: Cell::new(0),
            clients: Cell::new(0),
            last_client: Cell::new(Instant::now()),
            scram_keys: RefCell::default(),
            password: RefCell::default(),
            stored: RefCell::default(),
            next_host: Cell::new(0),
            cluster: RefCell::new(cluster),
            home,
            replicas: RefCell::default(),
            mirrors: Cell::new(mirrors),
            mirror: RefCell::default(),
        })
    }

    /// Gives the caller a server, or a seat to wait in. `waker` is woken when the seat is served.
    ///
    /// Waiters are served in the order of their calls. There is no time limit here: the caller
    /// gives up with [`Seat::give_up`].
    ///
    /// # Errors
    ///
    /// [`CheckoutError`] if nothing is connected and logins have been failing: waiting would be
    /// in vain. Nothing was sent to any server.
    pub fn checkout(
        self: &Rc<Self>,
        now: Instant,
        waker: &Waker,
    ) -> Result<CheckoutNow, CheckoutError> {
        let oldest = self.config.borrow().settings.server_round_robin;
        loop {
            let seat = Cell::new(None);
            let mut state = self.state.borrow_mut();
            let answer = if self.paused.get() {
                let waiting = Seat::new(waker.clone(), self);
                let ticket = state.enqueue(now, waiting.clone());
                seat.set(Some(waiting));
                Checkout::Queued(ticket)
            } else {
                state.checkout(oldest, now, || {
                    let waiting = Seat::new(waker.clone(), self);
                    seat.set(Some(waiting.clone()));
                    waiting
                })
            };
            drop(state);
            match answer {
                Checkout::Ready(mut server) => {
                    if !self.fit_for_use(&mut server, now) {
                        self.lost(server);
                    } else if self.needs_check(&server, now) {
                        self.state.borrow_mut().set_aside();
                        self.clone().check(server);
                    } else {
                        // Who need not wait is measured too: of how many one waits is worth knowing.
                        self.stats.time(|times| times.wait.note(0));
                        return Ok(CheckoutNow::Ready(self.hand_over(server, now)));
                    }
                }
                Checkout::Queued(ticket) => {
                    let Some(seat) = seat.take() else {
                        unreachable!("a seat is made whenever somebody is queued")
                    };
                    seat.ticket.set(Some(ticket));
                    if let Some(error) = self.hopeless(now) {
                        self.state.borrow_mut().abandon(ticket);
                        return Err(error);
                    }
                    self.pump();
                    return Ok(CheckoutNow::Queued(seat));
                }
            }
        }
    }

    /// Gives up a seat. If it had been served meanwhile, the server goes to the next.
    fn abandon(&self, seat: &Rc<Seat>) {
        if let Some(ticket) = seat.ticket.take() {
            self.state.borrow_mut().abandon(ticket);
        }
        drop(seat.take());
    }

    fn hand_over(self: &Rc<Self>, mut server: Box<Server>, now: Instant) -> Lease {
        server.used = now;
        server.shared.state.set(ServerState::Active);
        server.shared.requested.set(now);
        self.stats.update(|totals| totals.assignments += 1);
        Lease::new(server, self.clone())
    }

    /// Gives a server to a waiter that the state chose.
    fn give(self: &Rc<Self>, served: Option<(Rc<Seat>, Box<Server>)>, now: Instant) {
        if let Some((seat, server)) = served {
            let lease = self.hand_over(server, now);
            seat.give(Ok(lease));
        }
    }

    /// A lease ended; `used` is whether a client had it for its queries. Called from its drop: nothing
    /// here waits.
    fn checkin(self: Rc<Self>, mut server: Box<Server>, used: bool) {
        let now = self.clock.now();
        server.shared.client.set(0);
        server.shared.prepared.set(server.prepared.len() as u32);
        server.used = now;
        if server.shared.cancels.get() > 0 && server.is_clean() {
            self.state.borrow_mut().set_aside();
            server.shared.state.set(ServerState::BeingCanceled);
            self.wait_for_cancels(server);
            return;
        }
        if !server.is_clean() || !self.may_stay(&server, now) {
            self.lost(server);
            return;
        }
        if server.soiled || (used && self.needs_reset()) {
            self.state.borrow_mut().set_aside();
            self.reset(server);
            return;
        }
        server.shared.state.set(ServerState::Idle);
        let served = self
            .state
            .borrow_mut()
            .checkin(server, self.paused.get(), now);
        self.give(served, now);
    }

    /// A server that was checked out is closed. A query that still runs on it is cancelled, so
    /// that nobody's abandoned work goes on.
    fn lost(self: &Rc<Self>, server: Box<Server>) {
        let why = self.reason(&server, self.clock.now());
        if let Some(cluster) = self.cluster() {
            // It may have been promoted, demoted or be gone.
            cluster.look_now();
        }
        self.state.borrow_mut().lost();
        self.close(server, why);
        self.pump();
        if let Some(siblings) = self.siblings.upgrade() {
            siblings.places_freed(&self.key);
        }
    }

    fn close(&self, server: Box<Server>, why: &str) {
        if self.config.borrow().settings.log_disconnections {
            let age = self
                .clock
                .now()
                .saturating_duration_since(server.shared.opened);
            tracing::info!(server = server.shared.id, user = %self.key.user, database = %self.key.database, addr = %server.shared.place(), "closing because: {why} (age={}s)", age.as_secs());
        }
        self.stats.update(|totals| totals.closed += 1);
        if server.is_busy() {
            self.cancel_and_close(server);
        } else {
            server.terminate();
        }
    }

    /// Settings in force.
    pub fn settings(&self) -> Rc<PoolSettings> {
        self.settings.borrow().clone()
    }

    /// The database entry in force.
    pub fn database(&self) -> Arc<Database> {
        self.database.borrow().clone()
    }

    /// What servers report when nothing is set; `None` before the first login to a server.
    pub fn base(&self) -> Option<Rc<BaseParams>> {
        self.base.borrow().clone()
    }

    /// A server reported that its default of a parameter changed.
    pub fn base_changed(&self, name: &str, value: &str) {
        let mut base = self.base.borrow_mut();
        let mut changed = base.as_deref().cloned().unwrap_or_default();
        changed.set(name, value);
        self.lexing.set(default_lexing(&changed));
        *base = Some(Rc::new(changed));
    }

    /// How texts are to be read by sessions that have set nothing.
    #[inline]
    pub fn lexing(&self) -> Lexing {
        self.lexing.get()
    }

    /// How a server of this pool spells a startup parameter's value, if one has accepted it.
    pub fn accepted(&self, name: &str, value: &str) -> Option<Box<str>> {
        let key = (name.into(), value.into());
        self.accepted.borrow().get(&key).cloned()
    }

    /// Remembers that a server accepted a startup parameter.
    pub fn accept(&self, name: &str, value: &str, spelled: &str) {
        let mut accepted = self.accepted.borrow_mut();
        if accepted.len() < 1000 && name.len() + value.len() + spelled.len() < 4096 {
            accepted.insert((name.into(), value.into()), spelled.into());
        }
    }

    /// A client logged in to this pool, with what it proved on the way; servers are logged in to
    /// with that if nothing else is configured.
    pub fn client_came(
        &self,
        keys: Option<ScramKeys>,
        password: Option<Secret>,
        stored: Option<Secret>,
    ) {
        self.clients.set(self.clients.get() + 1);
        self.stats.update(|totals| totals.logins += 1);
        if keys.is_some() {
            *self.scram_keys.borrow_mut() = keys;
        }
        if password.is_some() {
            *self.password.borrow_mut() = password;
        }
        if stored.is_some() {
            *self.stored.borrow_mut() = stored;
        }
    }

    /// A client left.
    pub fn client_left(&self) {
        self.clients.set(self.clients.get().saturating_sub(1));
        self.last_client.set(Instant::now());
    }

    /// The cluster that its servers are of, if they are of one.
    pub fn cluster(&self) -> Option<Arc<Cluster>> {
        self.cluster.borrow().clone()
    }

    /// The pool of a replica of its cluster; `None` while the worker ends.
    pub fn replica(self: &Rc<Self>, at: usize) -> Option<Rc<Pool>> {
        if let Some(known) = self.replicas.borrow().get(at)
            && let Some(pool) = known.upgrade()
        {
            return Some(pool);
        }
        let cluster = self.cluster()?;
        let pool = (self.siblings.upgrade()?).replica(self, cluster.hosts.get(at)?);
        let mut replicas = self.replicas.borrow_mut();
        if replicas.len() <= at {
            replicas.resize_with(at + 1, Weak::new);
        }
        if let Some(place) = replicas.get_mut(at) {
            *place = Rc::downgrade(&pool);
        }
        Some(pool)
    }

    /// Whether another database is to run what this one runs.
    #[inline]
    pub fn mirrors(&self) -> bool {
        self.mirrors.get()
    }

    /// The other database, if there is one.
    pub fn mirror(&self) -> Option<Rc<Mirror>> {
        if !self.mirrors.get() {
            return None;
        }
        if let Some(known) = &*self.mirror.borrow() {
            return Some(known.clone());
        }
        let (config, database) = (self.config.borrow().clone(), self.database());
        let name = database.mirror.as_deref()?;
        let other = config.database(name)?;
        let user = other.user.as_deref().unwrap_or(&self.key.user);
        let key = PoolKey::new(name, user);
        let pool = (self.siblings.upgrade()?).get_or_create(&key, &config, &other);
        let stats = self.process.mirrors.entry(self.key.database.clone());
        let stats = stats.or_default().clone();
        let reads_only = database.mirror_statements != Some("all");
        let share = database.mirror_share.unwrap_or(100);
        let mirror = Mirror::new(pool, stats, reads_only, share);
        *self.mirror.borrow_mut() = Some(mirror.clone());
        Some(mirror)
    }

    /// How much it has to do: servers at work and clients that wait for one.
    pub fn load(&self) -> u32 {
        let state = self.state.borrow();
        state.active() + state.waiting()
    }

    fn home(&self) -> Option<Rc<Pool>> {
        self.home.as_ref().and_then(Weak::upgrade)
    }

    /// Clients logged in to this pool, or to that of the primary beside it.
    pub fn clients(&self) -> u32 {
        if let Some(home) = self.home() {
            return home.clients();
        }
        self.clients.get()
    }

    /// See `disable_pqexec`.
    pub fn refuses_simple(&self) -> bool {
        self.limits.get().refuse_simple
    }

    /// See `max_packet_size`.
    pub fn max_packet_size(&self) -> u32 {
        self.limits.get().max_packet
    }

    /// See `max_prepared_statements`.
    pub fn max_prepared(&self) -> u32 {
        self.limits.get().max_prepared
    }

    /// See `check_unknown_functions`.
    pub fn checks_functions(&self) -> bool {
        self.limits.get().check_functions
    }

    /// See `prepared_statements_memory`.
    pub fn prepared_memory(&self) -> u64 {
        self.limits.get().prepared_memory
    }

    /// How many servers it holds or opens.
    pub fn count(&self) -> u32 {
        self.state.borrow().total()
    }
}
