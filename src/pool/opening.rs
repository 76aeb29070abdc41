//! Opening of server connections: how many, when, and what happens if it fails.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use super::lease::CheckoutError;
use super::process::{Level, Process};
use super::state::SLOW;
use super::{Failure, Listed, Pool};
use crate::auth::StoredSecret;
use crate::config::{Config, Database, Host};
use crate::error::{ClientFacing, SqlState};
use crate::server::conn::{Server, ServerShared, ServerState};
use crate::server::connect::{self, ConnectError, ConnectSpec, Connected, Credentials};
use crate::server::params::BaseParams;
use crate::server::permit::Permit;
use crate::shutdown::Phase;
use crate::wire::TxStatus;

/// Pause after the first failed login; it doubles up to `server_login_retry`.
const FIRST_RETRY: Duration = Duration::from_millis(250);

impl Pool {
    /// Opens as many connections as waiters and the minimum ask for and the limits allow.
    pub(super) fn pump(self: &Rc<Self>) {
        let now = self.clock.tick();
        if self.paused.get() || self.process.phase.get() >= Phase::WaitForServers {
            return;
        }
        if let Some(failure) = &*self.failure.borrow()
            && now < failure.retry_at
        {
            return;
        }
        let settings = self.settings();
        let late =
            self.state.borrow().head_since().is_some_and(|since| {
                now.saturating_duration_since(since) >= settings.reserve_timeout
            });
        let mut limits = settings.limits;
        if self.clients() == 0 && self.database.borrow().user.is_none() {
            limits.min = 0;
        }
        if self.failure.borrow().is_some() {
            // One attempt finds out whether the server is back.
            limits.parallel = 1;
        }
        let wanted = self.state.borrow().wanted(limits, late, now);
        for _ in 0..wanted {
            let Some(permits) = self.places(settings.max_db, settings.max_user) else {
                break;
            };
            self.state.borrow_mut().open(now);
            let pool = self.clone();
            tokio::task::spawn_local(async move { pool.open(permits).await });
        }
        if self.state.borrow().is_paced(now) && !self.looks_again.replace(true) {
            let pool = self.clone();
            tokio::task::spawn_local(async move {
                crate::timer::sleep(SLOW).await;
                pool.looks_again.set(false);
                pool.pump();
            });
        }
    }

    /// Places under the limits of database and user; an idle server of another pool makes way if
    /// there is none left.
    fn places(&self, max_db: u32, max_user: u32) -> Option<Vec<Permit>> {
        let siblings = self.siblings.upgrade()?;
        let place = |level, name: &str, limit| {
            self.process.permit(level, name, limit).or_else(|| {
                siblings
                    .evict_idle(level, name, &self.key)
                    .then(|| self.process.permit(level, name, limit))
                    .flatten()
            })
        };
        let database = place(Level::DatabaseServers, &self.key.database, max_db)?;
        let user = place(Level::UserServers, &self.key.user, max_user)?;
        Some(vec![database, user])
    }

    async fn open(self: Rc<Self>, permits: Vec<Permit>) {
        let opening = Opening {
            pool: &self,
            failed: true,
        };
        let epoch = self.epoch.get();
        let began = Instant::now();
        let mut spec = self.connect_spec();
        let cluster = self.cluster();
        let connected = match self.choose_host(&mut spec).await {
            Ok(()) => self.connect(&spec).await,
            Err(error) => Some(Err(error)),
        };
        let is_retired = || (cluster.as_ref()).is_some_and(|cluster| cluster.is_retired());
        let hopeless = is_retired() && connected.as_ref().is_some_and(Result::is_err);
        let Some(connected) = connected.filter(|_| !hopeless) else {
            // Another server is the primary by now, or the cluster has other servers.
            drop((permits, opening));
            self.pump_if_told();
            return;
        };
        let connected = connected.and_then(|connected| self.is_whom_we_want(connected));
        if connected.is_ok() {
            let took = began.elapsed().as_micros() as u64;
            self.stats.time(|times| times.connect.note(took));
        }
        match connected {
            Ok(connected) => {
                let mut server = self.server(connected, &spec, permits);
                let connect_query = self.database.borrow().connect_query.clone();
                if let Some(query) = connect_query.filter(|query| !query.is_empty())
                    && let Err(error) = server.run(&query).await
                {
                    tracing::warn!(pool = %self.key, %error, "connect_query failed");
                    if !server.is_clean() {
                        drop(opening);
                        self.pump();
                        return;
                    }
                }
                *self.failure.borrow_mut() = None;
                if self.paused.get() || self.epoch.get() != epoch || is_retired() {
                    // Nobody may have it any more: PAUSE waits for its end, RECONNECT, a changed
                    // address and another cluster are about others.
                    drop(opening);
                    server.terminate();
                    self.pump_if_told();
                    return;
                }
                opening.succeeded();
                if self.config.borrow().settings.log_connections {
                    tracing::info!(server = server.shared.id, user = %self.key.user, database = %self.key.database, addr = %server.shared.place(), "new connection to server");
                }
                let now = self.clock.tick();
                let served = self
                    .state
                    .borrow_mut()
                    .connected(server, self.paused.get(), now);
                self.stats.update(|totals| totals.opened += 1);
                self.give(served, now);
            }
            Err(error) => {
                drop(permits);
                drop(opening);
                self.leave_host(&spec.host, &error);
                self.leave_replica(&spec.host, &error);
                self.open_failed(&error);
            }
        }
        self.pump();
    }

    /// Tries again, unless the pool has yet to be told what its cluster is now: that is what makes it try then.
    fn pump_if_told(self: &Rc<Self>) {
        let told = (self.cluster()).is_none_or(|cluster| !cluster.is_retired());
        if told {
            self.pump();
        }
    }

    /// In a cluster a pool's servers are its primary, as soon as that is known, or its replica.
    async fn choose_host(&self, spec: &mut ConnectSpec) -> Result<(), ConnectError> {
        let Some(cluster) = self.cluster() else {
            return Ok(());
        };
        let found = match &self.key.replica {
            None => cluster.await_primary(spec.timeout).await,
            Some(replica) => (cluster.hosts.iter())
                .find(|host| *host.to_string() == **replica)
                .cloned(),
        };
        match found {
            Some(host) => {
                spec.host = host;
                Ok(())
            }
            None => Err(ConnectError::NoPrimary),
        }
    }

    /// Connects; `None` if the server ceases to be the primary meanwhile. An address that has gone dead
    /// takes long to say so.
    async fn connect(&self, spec: &ConnectSpec) -> Option<Result<Connected, ConnectError>> {
        let connecting = connect::connect(spec, &self.derivation);
        match self.cluster() {
            Some(cluster) if self.key.replica.is_none() => {
                let connected = tokio::select! {
                    connected = connecting => connected,
                    () = cluster.is_demoted(&spec.host) => return None,
                };
                (cluster.primary().as_ref() == Some(&spec.host)).then_some(connected)
            }
            _ => Some(connecting.await),
        }
    }

    /// A server of a cluster says at login whether it is a replica: it may have been promoted or
    /// demoted since it was asked last.
    fn is_whom_we_want(&self, connected: Connected) -> Result<Connected, ConnectError> {
        let Some(cluster) = self.cluster() else {
            return Ok(connected);
        };
        let mut params = connected.params.iter();
        let standby = params.find(|(name, _)| name == "in_hot_standby");
        match standby {
            Some((_, value)) if (value == "on") != self.key.replica.is_some() => {
                cluster.look_now();
                Err(ConnectError::OtherRole)
            }
            _ => Ok(connected),
        }
    }

    /// How a connection beside the pool is made: as its own are, under the same limits. The caller
    /// takes the places.
    pub fn beside(&self) -> (ConnectSpec, u32, u32) {
        let settings = self.settings();
        (self.connect_spec(), settings.max_db, settings.max_user)
    }

    fn connect_spec(&self) -> ConnectSpec {
        let config = self.config.borrow();
        let database = self.database.borrow();
        let turn = self.next_host.get();
        if !database.stays_on_host() {
            self.next_host.set(turn.wrapping_add(1));
        }
        // What clients proved at their login is with the pool that they logged in to.
        let home = self.home();
        let proved = home.as_deref().unwrap_or(self);
        let (password, scram_keys) = (
            proved.password.borrow().clone(),
            proved.scram_keys.borrow().clone(),
        );
        let told = proved.stored.borrow();
        let stored = (config.secrets.get(&*self.key.user))
            .or(told.as_ref())
            .map(|secret| StoredSecret::parse(secret.expose()));
        ConnectSpec {
            host: database.hosts[turn % database.hosts.len()].clone(),
            tls: self.process.tls.load().servers.clone(),
            user: self.key.user.to_string(),
            database: database
                .dbname
                .clone()
                .unwrap_or_else(|| database.name.clone()),
            credentials: Credentials {
                password: database.password.clone().or(password),
                stored,
                scram_keys,
            },
            params: Vec::new(),
            timeout: config.settings.server_connect_timeout,
            settings: config.settings.clone(),
        }
    }

    /// A replica that cannot be logged in to is left alone by everybody for a while.
    fn leave_replica(&self, host: &Host, error: &ConnectError) {
        if self.key.replica.is_none() || !error.is_the_servers() {
            return;
        }
        let Some(cluster) = self.cluster() else {
            return;
        };
        let at = cluster.hosts.iter().position(|one| one == host);
        let banned = at.and_then(|at| cluster.failed(at, &error.to_string()));
        if let Some(pause) = banned {
            tracing::warn!(database = %self.key.database, server = %host, ?pause, "a replica gets no reads for a while: {error}");
        }
    }

    /// With `load_balance_hosts = disable`: the next connection goes to the next host if this one
    /// could not be reached. A login that the server refuses is no reason: another would too.
    fn leave_host(&self, host: &Host, error: &ConnectError) {
        let unreachable = matches!(
            error,
            ConnectError::Resolve { .. } | ConnectError::Dial { .. } | ConnectError::Timeout(_)
        );
        let database = self.database.borrow();
        let turn = self.next_host.get();
        // Of several attempts at once the first one moves on.
        let current = database.hosts.get(turn % database.hosts.len().max(1));
        if unreachable && database.stays_on_host() && current == Some(host) {
            self.next_host.set(turn.wrapping_add(1));
        }
    }

    fn server(
        &self,
        connected: Connected,
        spec: &ConnectSpec,
        permits: Vec<Permit>,
    ) -> Box<Server> {
        let now = self.clock.tick();
        let base = Rc::new(BaseParams::new(&connected.params));
        self.lexing.set(super::default_lexing(&base));
        *self.base.borrow_mut() = Some(base);
        let tls = connected
            .stream
            .tls_info()
            .map(|info| format!("{}/{}", info.version, info.cipher))
            .unwrap_or_default();
        let id = self.process.next_id();
        let shared = ServerShared {
            id,
            opened: now,
            expires: self.end_of_life(id, now).into(),
            pid: connected.pid,
            key: connected.key.into_boxed_slice(),
            name: spec.host.to_string().into(),
            host: spec.host.clone(),
            addr: connected.stream.peer(),
            tls,
            connected: SystemTime::now(),
            requested: now.into(),
            state: ServerState::Idle.into(),
            client: 0.into(),
            close_needed: false.into(),
            cancels: 0.into(),
            cancel_waker: None.into(),
            prepared: 0.into(),
            leg: spec.tls.clone(),
        };
        let shared = Rc::new(shared);
        self.servers.borrow_mut().insert(id, shared.clone());
        let listed = Listed {
            servers: self.servers.clone(),
            id,
        };
        Box::new(Server {
            stream: connected.stream,
            shared,
            ledger: Default::default(),
            prepared: Default::default(),
            stale: Vec::new(),
            batch: Default::default(),
            unnamed: None,
            applied: Rc::default(),
            status: TxStatus::Idle,
            partial: Vec::new(),
            body_left: 0,
            body_forward: false,
            unsent: Vec::new(),
            soiled: false,
            said_why: false,
            broken: false,
            used: now,
            held: Box::new((listed, permits)),
        })
    }

    /// A login failed: pause, and if nothing is connected tell those who wait what the server
    /// said. "Starting up" is not a failure worth telling: it will be over soon.
    fn open_failed(self: &Rc<Self>, error: &ConnectError) {
        let now = self.clock.tick();
        let longest = self.config.borrow().settings.server_login_retry;
        let pause = match &*self.failure.borrow() {
            // Of several that were under way at once each fails, and all are one failure.
            Some(failure) if now < failure.retry_at => failure.pause,
            Some(failure) => failure.pause.saturating_mul(2),
            None => FIRST_RETRY,
        }
        .min(longest);
        let state = error.sqlstate();
        // In full: clients are told less.
        match error {
            ConnectError::Server {
                severity, message, ..
            } => {
                tracing::warn!(pool = %self.key, retry_in = ?pause, "server login failed: {severity} {message}");
            }
            error => {
                tracing::warn!(pool = %self.key, retry_in = ?pause, "connect failed: {error}");
            }
        }
        let error = CheckoutError::Failing {
            state,
            message: error.client_message().into(),
        };
        if let Some(cluster) = self.cluster() {
            cluster.look_now();
        }
        self.stats.update(|totals| totals.failed += 1);
        let hopeless = !self.will_pass(state) && self.nothing_open();
        *self.failure.borrow_mut() = Some(Failure {
            error: error.clone(),
            retry_at: now + pause,
            pause,
        });
        if hopeless {
            let waiters = self.state.borrow_mut().drain_waiters();
            for seat in waiters {
                seat.give(Err(error.clone()));
            }
        }
    }

    /// Whether it is worth waiting for the end of such an error.
    fn will_pass(&self, state: SqlState) -> bool {
        if self.key.replica.is_some() {
            // Who waits for a replica has the primary.
            return false;
        }
        let unreachable = [SqlState::CANNOT_CONNECT, SqlState::CONNECTION_FAILURE];
        state == SqlState::CANNOT_CONNECT_NOW
            // There will be another primary.
            || (self.cluster.borrow().is_some() && unreachable.contains(&state))
    }

    fn nothing_open(&self) -> bool {
        self.state.borrow().total() == 0
    }

    /// Why waiting would be in vain: logins have been failing and nothing is connected.
    pub(super) fn hopeless(&self, now: Instant) -> Option<CheckoutError> {
        let failure = self.failure.borrow();
        let failure = failure.as_ref()?;
        let CheckoutError::Failing { state, .. } = &failure.error;
        let waiting_helps = self.will_pass(*state) || now >= failure.retry_at;
        (!waiting_helps && self.nothing_open()).then(|| failure.error.clone())
    }
}

/// Tells the state that an attempt failed, whatever happens to the task that made it, unless
/// [`Opening::succeeded`].
struct Opening<'a> {
    pool: &'a Rc<Pool>,
    failed: bool,
}

impl Opening<'_> {
    fn succeeded(mut self) {
        self.failed = false;
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if self.failed {
            self.pool.state.borrow_mut().failed();
        }
    }
}

/// How a connection outside all pools is made, with nothing but what is configured of its user.
pub fn side_spec(
    process: &Process,
    config: &Config,
    database: &Database,
    user: &str,
    host: &Host,
) -> ConnectSpec {
    // The password of the entry belongs to the entry's user, if it has one.
    let own = database.user.as_deref().is_none_or(|own| own == user);
    let stored = (config.secrets.get(user)).map(|secret| StoredSecret::parse(secret.expose()));
    ConnectSpec {
        host: host.clone(),
        tls: process.tls.load().servers.clone(),
        user: user.to_owned(),
        database: (database.dbname.clone()).unwrap_or_else(|| database.name.clone()),
        credentials: Credentials {
            password: database.password.clone().filter(|_| own),
            stored,
            scram_keys: None,
        },
        params: Vec::new(),
        timeout: config.settings.server_connect_timeout,
        settings: config.settings.clone(),
    }
}
