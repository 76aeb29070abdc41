//! What signals, the console and HTTP may ask of the workers, and what they are told.
//!
//! Whoever commands holds a [`Control`] and none of the insides: each worker has a mailbox, does
//! what a [`Command`] says between two polls of its clients, and answers with plain data.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::audit::wall::Wall;
use crate::config::diff;
use crate::config::live::SettingError;
use crate::config::{Config, ConfigErrors, Host, Member};
use crate::lint::policy::Policy;
use crate::lint::texts::TextStats;
use crate::net::PeerAddr;
use crate::pool::key::PoolKey;
use crate::pool::process::Process;
use crate::pool::snapshot::{PoolRow, ServerRow};
use crate::server::connect::ConnectSpec;
use crate::session::clients::ClientState;
use crate::shutdown::Phase;
use crate::tls::TlsBundle;

/// One client connection, for SHOW.
#[derive(Clone, Debug)]
pub struct ClientRow {
    /// Number.
    pub id: u64,
    /// Login name.
    pub user: Arc<str>,
    /// Database as it asked for it.
    pub database: Arc<str>,
    /// What it does.
    pub state: ClientState,
    /// Where it comes from.
    pub addr: String,
    /// Port it comes from.
    pub port: u16,
    /// Port of ours that it came through; 0 for a unix socket.
    pub local_port: u16,
    /// When it connected.
    pub connected: SystemTime,
    /// Since when its last request runs.
    pub requested: SystemTime,
    /// How long it has been waiting for a server, in microseconds; 0 if it does not.
    pub wait_us: u64,
    /// The server it has; 0 for none.
    pub server: u64,
    /// Encryption; empty for none.
    pub tls: String,
    /// Its `application_name`.
    pub application_name: String,
    /// Prepared statements it has.
    pub prepared: u32,
    /// What it replicates: none, physical or logical.
    pub replication: &'static str,
    /// Why it keeps its server beyond the transaction, comma separated; empty for no reason.
    pub pins: String,
}

/// A client that has a server, for whoever asks that server about it.
#[derive(Clone, Debug)]
pub struct Held {
    /// Pool of the server.
    pub pool: PoolKey,
    /// The server as it is configured.
    pub host: Host,
    /// Where it is.
    pub place: PeerAddr,
    /// Process id of its backend.
    pub pid: u32,
    /// Number of the client.
    pub client: u64,
    /// Login name.
    pub user: Arc<str>,
    /// Database as it asked for it.
    pub database: Arc<str>,
    /// Its `application_name`.
    pub application_name: Box<str>,
    /// Where it comes from.
    pub addr: PeerAddr,
    /// Since when its statement has been running, if one is.
    pub query_since: Option<Instant>,
    /// Since when it has been in a transaction, if it is.
    pub xact_since: Option<Instant>,
}

/// Everything one worker has to show.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Its pools.
    pub pools: Vec<PoolRow>,
    /// Its servers.
    pub servers: Vec<ServerRow>,
    /// Its clients.
    pub clients: Vec<ClientRow>,
    /// Texts analysed: held, bytes, hits, hits by shape, parsed, given up.
    pub analyses: crate::sql::CacheStats,
    /// Texts that the rules looked at.
    pub texts: TextStats,
}

impl Snapshot {
    /// What workers have together.
    fn sum(parts: Vec<Snapshot>) -> Snapshot {
        let mut whole = Snapshot::default();
        for part in parts {
            whole.pools.extend(part.pools);
            whole.servers.extend(part.servers);
            whole.clients.extend(part.clients);
            let (sum, more) = (&mut whole.analyses, part.analyses);
            sum.entries += more.entries;
            sum.bytes += more.bytes;
            sum.hits += more.hits;
            sum.shape_hits += more.shape_hits;
            sum.parses += more.parses;
            sum.unanalysed += more.unanalysed;
            whole.texts.add(&part.texts);
        }
        whole.pools.sort_by(|a, b| a.key.cmp(&b.key));
        whole.servers.sort_by_key(|server| server.id);
        whole.clients.sort_by_key(|client| client.id);
        whole
    }

    /// The pools, by database and user: the parts that several workers have are summed up.
    pub fn whole_pools(&self) -> Vec<PoolRow> {
        let mut whole: BTreeMap<&PoolKey, PoolRow> = BTreeMap::new();
        for part in &self.pools {
            match whole.get_mut(&part.key) {
                Some(sum) => sum.add(part),
                None => {
                    whole.insert(&part.key, part.clone());
                }
            }
        }
        whole.into_values().collect()
    }
}

/// How to make a connection beside a pool.
pub struct SideSpec {
    /// The connection.
    pub connect: ConnectSpec,
    /// Connections that the database may have; 0: any number.
    pub max_db: u32,
    /// Connections that the user may have; 0: any number.
    pub max_user: u32,
}

/// What the catalogue advisor made of a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advice {
    /// When it looked.
    pub at: Option<SystemTime>,
    /// Indexes it saw.
    pub indexes: u64,
    /// Foreign keys it saw.
    pub foreign_keys: u64,
    /// Plans it got.
    pub plans: u64,
    /// Statements without one: the server could not plan them without their client.
    pub not_planned: u64,
    /// What it found.
    pub findings: u64,
    /// Why it could not look.
    pub error: Option<String>,
}

/// Somebody who asks for a look at a database, and is told what came of it.
pub type AdviceAsked = (String, oneshot::Sender<Result<Advice, String>>);

/// A switchover that an operator asks for, and where the outcome goes.
pub struct SwitchoverAsked {
    /// The database.
    pub database: String,
    /// The server that is to be the primary, as the configuration writes it; `None`: the replica that has
    /// come furthest.
    pub to: Option<String>,
    /// What came of it.
    pub answer: oneshot::Sender<Result<Switched, String>>,
}

/// A switchover that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switched {
    /// The primary before.
    pub from: String,
    /// The primary now.
    pub to: String,
    /// Where the write-ahead log of the old primary ended, in PostgreSQL's words.
    pub position: String,
    /// How long no transaction could begin.
    pub paused: Duration,
}

/// Databases whose last look is remembered.
const MOST_ADVISED: usize = 1000;

/// What a worker is asked to do.
pub enum Command {
    /// Show everything.
    Snapshot(oneshot::Sender<Snapshot>),
    /// Show everything but clients and servers, of which there may be thousands.
    Counts(oneshot::Sender<Snapshot>),
    /// Show the same, and in each pool who has had a server the longest.
    Holders(oneshot::Sender<Snapshot>),
    /// Clients whose statement has been running on a server for so long.
    Running(Duration, oneshot::Sender<Vec<Held>>),
    /// All clients that have a server.
    Held(oneshot::Sender<Vec<Held>>),
    /// PAUSE one database or all; answered when nobody has a server of it any more.
    Pause(Option<String>, oneshot::Sender<()>),
    /// RESUME.
    Resume(Option<String>),
    /// KILL: clients and servers are closed.
    Kill(Option<String>),
    /// KILL_CLIENT; answers whether the client is here.
    KillClient(u64, oneshot::Sender<bool>),
    /// RECONNECT.
    Reconnect(Option<String>),
    /// Whether servers are still to be closed since RECONNECT: how many.
    CloseNeeded(Option<String>, oneshot::Sender<usize>),
    /// A new configuration is in force; servers of the named databases are recycled.
    Reload(Arc<Config>, Arc<Vec<String>>),
    /// Something else is done about rules; see [`Process::policy`].
    Policy,
    /// Another server has become the primary of this cluster, or nobody is.
    PrimaryChanged(Arc<str>),
    /// How a pool connects to its server, for a connection beside it; `None` if it is not here.
    SideSpec(PoolKey, oneshot::Sender<Option<SideSpec>>),
    /// Cancel what this client is doing; answered when the request has been dealt with.
    Cancel(u64, oneshot::Sender<()>),
    /// The process's phase changed.
    Phase(Phase),
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The workers are gone: the process is going down.
    #[error("pooler is shutting down")]
    ShuttingDown,
    /// The new configuration has mistakes; the old one stays in force.
    #[error("RELOAD failed, the old configuration stays in force:\n{0}")]
    Config(#[from] ConfigErrors),
    /// The new key material cannot be used; the old configuration stays in force.
    #[error("RELOAD failed, the old configuration stays in force: {0}")]
    Tls(#[from] crate::tls::TlsError),
    /// A setting cannot be changed so; nothing has changed.
    #[error("SET failed: {0}")]
    Setting(#[from] SettingError),
}

type Source = dyn Fn(&Config) -> Result<Config, ConfigErrors> + Send + Sync;
type Reloaded = dyn Fn(&Config) + Send + Sync;

/// The handle to a running pgweir.
#[derive(Clone)]
pub struct Control {
    process: Arc<Process>,
    workers: Arc<Vec<mpsc::UnboundedSender<Command>>>,
    source: Arc<Source>,
    reloaded: Arc<Reloaded>,
    /// Held while the configuration changes: each change builds on the one before.
    changing: Arc<Mutex<()>>,
    advisor: Option<mpsc::Sender<AdviceAsked>>,
    switcher: Option<mpsc::Sender<SwitchoverAsked>>,
    advice: Arc<Mutex<BTreeMap<String, Advice>>>,
    /// The servers of databases as Patroni said last.
    discovered: Arc<Mutex<BTreeMap<String, Vec<Member>>>>,
}

impl Control {
    /// A handle for workers with these mailboxes; `source` reads the configuration anew, given the
    /// one in force.
    pub fn new(
        process: Arc<Process>,
        workers: Vec<mpsc::UnboundedSender<Command>>,
        source: impl Fn(&Config) -> Result<Config, ConfigErrors> + Send + Sync + 'static,
    ) -> Self {
        Self {
            process,
            workers: Arc::new(workers),
            source: Arc::new(source),
            reloaded: Arc::new(|_| {}),
            changing: Arc::default(),
            advisor: None,
            switcher: None,
            advice: Arc::default(),
            discovered: Arc::default(),
        }
    }

    /// Calls `then` after each successful reload or SET, whoever asked for it, with the configuration
    /// that is in force now: for the log, which workers do not own. Handles cloned before do not
    /// know of it.
    pub fn on_reload(self, then: impl Fn(&Config) + Send + Sync + 'static) -> Self {
        Self {
            reloaded: Arc::new(then),
            ..self
        }
    }

    /// Asks this advisor for advice. Handles cloned before do not know of it.
    pub fn advised_by(self, advisor: mpsc::Sender<AdviceAsked>) -> Self {
        Self {
            advisor: Some(advisor),
            ..self
        }
    }

    /// Has this task carry out switchovers. Handles cloned before do not know of it.
    pub fn switched_by(self, switcher: mpsc::Sender<SwitchoverAsked>) -> Self {
        Self {
            switcher: Some(switcher),
            ..self
        }
    }

    /// SWITCHOVER: makes a replica the primary and loses nothing.
    ///
    /// # Errors
    /// Why it was not done, for people, and what to do.
    ///
    /// Cancel safe; the switchover goes on.
    pub async fn switchover(&self, database: &str, to: Option<&str>) -> Result<Switched, String> {
        let gone = || ControlError::ShuttingDown.to_string();
        let switcher = self.switcher.as_ref().ok_or_else(gone)?;
        let (answer, outcome) = oneshot::channel();
        let asked = SwitchoverAsked {
            database: database.to_owned(),
            to: to.map(str::to_owned),
            answer,
        };
        switcher.send(asked).await.map_err(|_| gone())?;
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Has a database looked at now.
    ///
    /// # Errors
    /// Why it could not be, for people.
    ///
    /// Cancel safe; the look goes on.
    pub async fn advise(&self, database: &str) -> Result<Advice, String> {
        let gone = || ControlError::ShuttingDown.to_string();
        let advisor = self.advisor.as_ref().ok_or_else(gone)?;
        let (tell, answer) = oneshot::channel();
        let asked = (database.to_owned(), tell);
        advisor.send(asked).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// A database was looked at.
    pub fn advised(&self, database: &str, advice: Advice) {
        let mut all = self.advice.lock();
        if all.len() >= MOST_ADVISED && !all.contains_key(database) {
            all.clear();
        }
        all.insert(database.to_owned(), advice);
    }

    /// The last look at each database.
    pub fn advice(&self) -> BTreeMap<String, Advice> {
        self.advice.lock().clone()
    }

    /// Tells the pools of a cluster that another server is its primary.
    pub fn primary_changed(&self, database: &Arc<str>) {
        for worker in self.workers.iter() {
            // A worker that is gone has no pools.
            let _ = worker.send(Command::PrimaryChanged(database.clone()));
        }
    }

    /// How a pool connects to its server; `None` if no worker has it.
    ///
    /// Cancel safe.
    pub async fn side_spec(&self, key: &PoolKey) -> Option<SideSpec> {
        let answers = self.ask(|tell| Command::SideSpec(key.clone(), tell)).await;
        answers.into_iter().flatten().next()
    }

    /// What all workers share.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for worker in self.workers.iter() {
            // A worker that is gone has nothing left to do it to.
            let _ = worker.send(command());
        }
    }

    async fn ask<T>(&self, command: impl Fn(oneshot::Sender<T>) -> Command) -> Vec<T> {
        let answers: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let (tell, answer) = oneshot::channel();
                let _ = worker.send(command(tell));
                answer
            })
            .collect();
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers {
            all.extend(answer.await.ok());
        }
        all
    }

    /// The pools and caches of all workers, without clients and servers: costs a worker little however
    /// many of those there are. Pools are in the order of their keys.
    ///
    /// Cancel safe.
    pub async fn counts(&self) -> Snapshot {
        Snapshot::sum(self.ask(Command::Counts).await)
    }

    /// The same, and if clients wait for servers anywhere, of each pool and worker the server that a client
    /// has had the longest, and that client. It costs little too: what an overview of an incident needs.
    ///
    /// Cancel safe.
    pub async fn holders(&self) -> Snapshot {
        let counts = self.counts().await;
        match counts.pools.iter().any(|pool| pool.cl_waiting > 0) {
            true => Snapshot::sum(self.ask(Command::Holders).await),
            false => counts,
        }
    }

    /// Clients whose statement has been running on a server for `least` and longer.
    ///
    /// Cancel safe.
    pub async fn running(&self, least: Duration) -> Vec<Held> {
        let answers = self.ask(|tell| Command::Running(least, tell)).await;
        answers.into_iter().flatten().collect()
    }

    /// All clients that have a server.
    ///
    /// Cancel safe.
    pub async fn held(&self) -> Vec<Held> {
        self.ask(Command::Held)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// Everything there is to show, of all workers, pools in the order of their keys.
    ///
    /// Cancel safe.
    pub async fn snapshot(&self) -> Snapshot {
        Snapshot::sum(self.ask(Command::Snapshot).await)
    }

    /// PAUSE: no server is given out any more; returns when all that were have come back and are
    /// closed.
    ///
    /// Dropping the future stops the waiting, not the pause.
    pub async fn pause(&self, database: Option<&str>) {
        {
            let mut holds = self.process.holds.write();
            match database {
                None => holds.all = true,
                Some(name) => {
                    holds.paused.insert(name.to_owned());
                }
            }
        }
        let database = database.map(str::to_owned);
        self.ask(|done| Command::Pause(database.clone(), done))
            .await;
    }

    /// RESUME. `false` if nothing was paused. A database that is resumed while everything is paused
    /// has to wait for the rest.
    pub fn resume(&self, database: Option<&str>) -> bool {
        let (resumed, held) = {
            let mut holds = self.process.holds.write();
            let resumed = match database {
                None => {
                    let any = holds.all || !holds.paused.is_empty();
                    holds.all = false;
                    holds.paused.clear();
                    any
                }
                Some(name) => holds.paused.remove(name),
            };
            (resumed, holds.all)
        };
        if !held {
            let database = database.map(str::to_owned);
            self.tell(|| Command::Resume(database.clone()));
        }
        resumed
    }

    /// DISABLE (`true`) and ENABLE (`false`): whether new clients of a database are turned away.
    pub fn disable(&self, database: &str, disabled: bool) {
        let mut holds = self.process.holds.write();
        match disabled {
            true => holds.disabled.insert(database.to_owned()),
            false => holds.disabled.remove(database),
        };
    }

    /// KILL: closes clients and servers of a database at once and leaves it paused.
    pub fn kill(&self, database: Option<&str>) {
        {
            let mut holds = self.process.holds.write();
            match database {
                None => holds.all = true,
                Some(name) => {
                    holds.paused.insert(name.to_owned());
                }
            }
        }
        let database = database.map(str::to_owned);
        self.tell(|| Command::Kill(database.clone()));
    }

    /// KILL_CLIENT. `false` if there is no such client.
    pub async fn kill_client(&self, id: u64) -> bool {
        self.ask(|answer| Command::KillClient(id, answer))
            .await
            .contains(&true)
    }

    /// RECONNECT: servers are closed as soon as their clients let them go.
    pub fn reconnect(&self, database: Option<&str>) {
        let database = database.map(str::to_owned);
        self.tell(|| Command::Reconnect(database.clone()));
    }

    /// WAIT_CLOSE: returns when servers that had to go since RECONNECT are gone.
    pub async fn wait_close(&self, database: Option<&str>) {
        let database = database.map(str::to_owned);
        loop {
            let left = self
                .ask(|answer| Command::CloseNeeded(database.clone(), answer))
                .await;
            if left.iter().sum::<usize>() == 0 {
                return;
            }
            crate::timer::sleep(Duration::from_millis(50)).await;
        }
    }

    /// RELOAD: reads the configuration anew. It is in force for new checkouts when this returns.
    ///
    /// # Errors
    ///
    /// All mistakes of the new configuration; then nothing has changed.
    pub fn reload(&self) -> Result<Vec<String>, ControlError> {
        let _one_at_a_time = self.changing.lock();
        let old = self.process.config.load_full();
        let mut read = (self.source)(&old)?;
        for (database, members) in &*self.discovered.lock() {
            read.take_members(database, members);
        }
        for warning in read.warnings() {
            tracing::warn!("{warning}");
        }
        self.install(&old, &read)
    }

    /// Patroni says that these are the servers of a database; what is the same changes nothing.
    pub fn discovered(&self, database: &str, members: Vec<Member>) {
        let _one_at_a_time = self.changing.lock();
        let old = self.process.config.load_full();
        let known = old.databases.get(database);
        if known.is_none_or(|known| known.patroni.is_empty() || known.members == members) {
            return;
        }
        let names: Vec<String> = members.iter().map(|one| one.host.to_string()).collect();
        tracing::info!(
            database,
            servers = names.join(", "),
            "the servers, as Patroni says"
        );
        let mut new = (*old).clone();
        new.take_members(database, &members);
        (self.discovered.lock()).insert(database.to_owned(), members);
        if let Err(error) = self.install(&old, &new) {
            tracing::error!(database, %error, "what Patroni says could not be put in force");
        }
    }

    /// SET: changes one setting until the next reload, with the checks of the file.
    ///
    /// # Errors
    ///
    /// Why it cannot be changed so; then nothing has changed.
    pub fn set(&self, key: &str, value: &str) -> Result<(), ControlError> {
        let _one_at_a_time = self.changing.lock();
        let old = self.process.config.load_full();
        let new = old.with_setting(key, value)?;
        self.install(&old, &new).map(drop)
    }

    /// Puts a configuration in force. Returns the keys that take a restart.
    fn install(&self, old: &Config, read: &Config) -> Result<Vec<String>, ControlError> {
        let difference = diff::diff(old, read);
        let new = diff::in_force(old, read);
        let bundle = TlsBundle::build(&new)?;
        let policy = Policy::of(&new)?;
        let wall = Wall::of(&new, Some(&self.process.wall.load()))?;
        let new = Arc::new(new);
        self.process.config.store(new.clone());
        self.process.policy.store(Arc::new(policy));
        self.process.wall.store(Arc::new(wall));
        self.process.tls.install(bundle);
        let recycled: Vec<String> = difference
            .recycled
            .iter()
            .chain(&difference.removed)
            .cloned()
            .collect();
        let recycled = Arc::new(recycled);
        self.tell(|| Command::Reload(new.clone(), recycled.clone()));
        (self.reloaded)(&new);
        Ok(difference
            .needs_restart
            .iter()
            .map(|key| key.to_string())
            .collect())
    }

    /// SET RULE: something else is done about rules, until the next reload.
    pub fn set_policy(&self, policy: Policy) {
        self.process.policy.store(Arc::new(policy));
        self.tell(|| Command::Policy);
    }

    /// Cancels what a client is doing; returns when the request has been dealt with, so that
    /// whoever asked may rely on it that no later query is hit.
    pub async fn cancel(&self, worker: usize, client: u64) {
        let (done, dealt_with) = oneshot::channel();
        if let Some(worker) = self.workers.get(worker) {
            let _ = worker.send(Command::Cancel(client, done));
        }
        // A worker that is gone has nothing to cancel.
        let _ = dealt_with.await;
    }

    /// SHUTDOWN: moves on to `phase`.
    pub fn shutdown(&self, phase: Phase) {
        if self.process.phase.advance(phase) {
            self.tell(|| Command::Phase(phase));
        }
    }
}

#[cfg(test)]
mod tests;
