//! From a new connection to a session: login, limits, the worker that owns the pool.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::admin::operator::Operator;
use crate::admin::{self, Rights};
use crate::audit::observer::Report;
use crate::auth::ScramKeys;
use crate::client::handshake::Replication;
use crate::client::{Accepted, Login, LoginError, accept, proxied};
use crate::config::{Config, Database, Secret};
use crate::control::Control;
use crate::derivation::Derivation;
use crate::error::SqlState;
use crate::lint::observe::{Event, Observation, Subject};
use crate::net::{Detached, PeerAddr, Stream};
use crate::pool::key::PoolKey;
use crate::pool::process::Level;
use crate::server::permit::Permit;
use crate::session::cancel::{CancelKey, Place};
use crate::session::clients::{ClientShared, Identity};
use crate::session::context::Context;
use crate::session::peers::{self, Destination};
use crate::session::{self, Start};
use crate::wire::write::{self, Severity};

use super::lookup::Lookups;

/// A client that one worker has logged in and another one serves.
pub struct Arrival {
    stream: Detached,
    client: Admitted,
}

/// A client that has proved who it is and found a place under every limit.
pub(super) struct Admitted {
    pub(super) id: u64,
    pub(super) user: Arc<str>,
    pub(super) database: Arc<Database>,
    pub(super) asked: Arc<str>,
    pub(super) params: Vec<(String, String)>,
    pub(super) prelude: Vec<u8>,
    pub(super) leftover: Vec<u8>,
    pub(super) minor: u16,
    permits: Vec<Permit>,
    pub(super) scram_keys: Option<ScramKeys>,
    pub(super) password: Option<Secret>,
    pub(super) stored: Option<Secret>,
    pub(super) config: Arc<Config>,
    pub(super) key: PoolKey,
}

/// Why a client that has proved who it is cannot be served.
pub(super) struct Turned {
    pub(super) state: SqlState,
    pub(super) text: String,
}

/// What logins on one worker need.
pub(super) struct Logins {
    pub(super) context: Rc<Context>,
    pub(super) derivation: Arc<Derivation>,
    pub(super) peers: Vec<mpsc::UnboundedSender<Arrival>>,
    pub(super) control: Control,
    pub(super) console: Arc<admin::Shared>,
    pub(super) lookups: Rc<Lookups>,
}

impl Logins {
    /// Takes a new connection. Its login is a task of its own, larger than a session's, which ends
    /// when the session begins.
    pub(super) fn begin(self: Rc<Self>, stream: Stream, config: Arc<Config>) {
        tokio::task::spawn_local(Box::pin(async move {
            self.log_in(stream, config).await;
        }));
    }

    async fn log_in(self: Rc<Self>, stream: Stream, config: Arc<Config>) {
        let addr = stream.peer();
        let id = self.context.process.next_id();
        let process = self.context.process.clone();
        // The console stays reachable when everything else is full, so the limit is applied when
        // the database is known; connections beyond it are bounded by a small reserve.
        let limit = config.settings.max_client_conn;
        let reserve = limit.saturating_add(limit / 10).saturating_add(20);
        let Some(place) = process.clients.take(reserve) else {
            turn_away(
                stream,
                Who::unknown(id),
                too_many("max_client_conn"),
                &config,
            )
            .await;
            return;
        };
        let refused = |addr, error: LoginError| {
            Who::unknown(id).leaves(addr, &error.to_string(), &config);
            self.report_failed(addr, error.to_string());
        };
        let incoming = match proxied::incoming(stream, &config).await {
            Ok(Some(incoming)) => incoming,
            Ok(None) => return,
            Err(error) => return refused(addr, error),
        };
        // Of the client, if a proxy told it.
        let addr = incoming.stream.peer();
        let accepted = accept(
            incoming,
            &config,
            &process.tls,
            &self.derivation,
            &*self.lookups,
        )
        .await;
        let login = match accepted {
            Ok(Accepted::Login(login)) => login,
            Ok(Accepted::Cancel { stream, pid, key }) => {
                self.cancel(pid, &key, &config).await;
                // Only now: libpq takes the end of this connection for "it is done".
                drop(stream);
                return;
            }
            Ok(Accepted::Closed) => return,
            Err(error) => return refused(addr, error),
        };
        if config.settings.log_connections {
            let tls = match tls_name(&login.stream) {
                none if none.is_empty() => "no".to_owned(),
                tls => tls,
            };
            let (user, database) = (&login.user, &login.database);
            let replication = login.replication.map_or("no", Replication::as_str);
            tracing::info!(client = id, user = %user, database = %database, %addr, "login attempt: db={database} user={user} tls={tls} replication={replication}");
        }
        if crate::client::accept::CONSOLES.contains(&login.database.as_str()) {
            // Never refused, but clients have one place less.
            drop(place);
            let _place = process.consoles.take(0);
            self.console(id, login, &config).await;
            return;
        }
        let mut login = login;
        let replication = login.replication;
        match (
            self.admit(id, &mut login, place, config.clone()),
            replication,
        ) {
            (Ok(client), Some(replication)) => {
                let who = Who::known(id, &login);
                self.replication(login.stream, who, client, replication, &config)
                    .await;
            }
            (Ok(client), None) => {
                let owner = self.place(&client.key);
                if owner == self.context.worker {
                    self.serve(login.stream, client);
                } else if let Ok(stream) = login.stream.detach() {
                    // A worker that is gone closes what is sent to it.
                    let _ = self.peers[owner].send(Arrival { stream, client });
                }
            }
            (Err(turned), _) => {
                let who = Who::known(id, &login);
                turn_away(login.stream, who, turned, &config).await;
            }
        }
    }

    /// Somebody wants a query cancelled, perhaps one that another process serves.
    async fn cancel(&self, pid: u32, key: &[u8], config: &Config) {
        let own = config.peer_id();
        match peers::destination(pid, key, own) {
            Destination::Here => {
                let found = self.context.cancel_keys.find(pid, key, own);
                if let Some(Place { worker, client }) = found {
                    self.control.cancel(worker, client).await;
                }
            }
            Destination::Peer(id, key) => match config.peers.get(&id) {
                Some(peer) => peers::pass_on(&self.context, id, peer, pid, &key).await,
                None => tracing::debug!(peer = id, "a cancel request of a peer that is not known"),
            },
            Destination::Nowhere => {
                tracing::warn!("a cancel request was passed on too often; look at [peers]");
            }
        }
    }

    /// Serves a replication connection to its end.
    async fn replication(
        self: &Rc<Self>,
        mut stream: Stream,
        who: Who,
        client: Admitted,
        replication: Replication,
        config: &Config,
    ) {
        let (addr, tls) = (stream.peer(), tls_name(&stream));
        match (self.replicate(&mut stream, client, replication, tls)).await {
            Ok(why) => who.closes(addr, why, config),
            Err(turned) => turn_away(stream, who, turned, config).await,
        }
    }

    /// For the audit trail: somebody has proved who they are, and may not use the console.
    fn refused_operator(&self, id: u64, login: &Login, addr: PeerAddr) {
        let stranger = Operator {
            conn: id,
            user: login.user.clone(),
            app: String::new(),
            addr: match addr {
                PeerAddr::Tcp(addr) => addr.ip().to_string(),
                PeerAddr::Unix | PeerAddr::Gone => String::new(),
            },
        };
        stranger.turned_away(&self.context.process, admin::NOT_ALLOWED);
    }

    /// For the audit trail: somebody could not log in.
    fn report_failed(&self, addr: PeerAddr, reason: String) {
        let process = &self.context.process;
        if !process.lints() {
            return;
        }
        let now = process.observer.micros(Instant::now());
        let subject = Subject {
            client: match addr {
                PeerAddr::Tcp(addr) => addr.ip().to_string().into(),
                PeerAddr::Unix | PeerAddr::Gone => Box::default(),
            },
            ..Subject::default()
        };
        self.context.reports.push(Report {
            seen: Observation {
                conn: 0,
                subject: Arc::new(subject),
                sent_us: now,
                done_us: now,
                event: Event::LoginFailed {
                    reason: reason.into(),
                },
            },
            hits: None,
        });
    }

    /// The worker that owns a pool; a new pool goes to the worker that has the fewest.
    fn place(&self, key: &PoolKey) -> usize {
        let placement = &self.context.process.placement;
        if let Some(owner) = placement.get(key) {
            return *owner;
        }
        let mut load = vec![0usize; self.peers.len()];
        for entry in placement.iter() {
            load[*entry.value()] += 1;
        }
        let fewest = (0..load.len())
            .min_by_key(|&worker| load[worker])
            .unwrap_or(0);
        *placement.entry(key.clone()).or_insert(fewest)
    }

    /// A client that another worker has logged in.
    pub(super) fn arrive(self: Rc<Self>, arrival: Arrival) {
        match arrival.stream.attach() {
            Ok(stream) => self.serve(stream, arrival.client),
            Err(error) => tracing::warn!(%error, "a client could not be taken over"),
        }
    }

    fn admit(
        &self,
        id: u64,
        login: &mut Login,
        place: Permit,
        config: Arc<Config>,
    ) -> Result<Admitted, Turned> {
        let process = &self.context.process;
        let turned = |state, text: String| Err(Turned { state, text });
        if process.phase.shutting_down() {
            let text = "pooler is shutting down".to_owned();
            return turned(SqlState::ADMIN_SHUTDOWN, text);
        }
        if process.places_taken() > config.settings.max_client_conn {
            return Err(too_many("max_client_conn"));
        }
        let asked = login.database.as_str();
        let Some(database) = config.database(asked) else {
            let text = format!("no such database: {asked}");
            return turned(SqlState::INVALID_CATALOG, text);
        };
        if process.holds.read().disabled.contains(asked) {
            let text = format!("database \"{asked}\" is disabled");
            return turned(SqlState::CANNOT_CONNECT_NOW, text);
        }
        let permit = |level, name: &str, limit, setting| {
            process
                .permit(level, name, limit)
                .ok_or_else(|| too_many(setting))
        };
        let permits = vec![
            place,
            permit(
                Level::DatabaseClients,
                asked,
                config.max_db_client_connections(&database),
                "max_db_client_connections",
            )?,
            permit(
                Level::UserClients,
                &login.user,
                config.max_user_client_connections(&login.user),
                "max_user_client_connections",
            )?,
        ];
        let mut params = database.params.clone();
        for (name, value) in login.params.drain(..) {
            params.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            params.push((name, value));
        }
        if config.settings.application_name_add_host {
            add_host(&mut params, &login.stream);
        }
        let server_user = database.user.as_deref().unwrap_or(&login.user);
        let key = PoolKey::new(asked, server_user);
        // What the client proved is good for its own user only.
        let own = server_user == login.user;
        Ok(Admitted {
            id,
            user: login.user.as_str().into(),
            asked: asked.into(),
            database,
            params,
            prelude: std::mem::take(&mut login.prelude),
            leftover: std::mem::take(&mut login.leftover),
            minor: login.minor,
            permits,
            scram_keys: login.scram_keys.take().filter(|_| own),
            password: login.password.take().filter(|_| own),
            stored: login.stored.take().filter(|_| own),
            config,
            key,
        })
    }

    /// Begins the session of a client whose pool is on this worker.
    fn serve(self: Rc<Self>, stream: Stream, client: Admitted) {
        let context = self.context.clone();
        let place = Place {
            worker: context.worker,
            client: client.id,
        };
        let Some(key) = (context.cancel_keys).issue(place, client.minor, client.config.peer_id())
        else {
            tracing::error!("the system has no random numbers: a client is turned away");
            return;
        };
        // The configuration in force now: a RELOAD during the login is over for existing pools.
        let config = context.process.config.load_full();
        let pool = match config.database(&client.asked) {
            Some(database) => context.pools.get_or_create(&client.key, &config, &database),
            None => {
                let pools = &context.pools;
                pools.get_or_create(&client.key, &client.config, &client.database)
            }
        };
        pool.client_came(client.scram_keys, client.password, client.stored);
        let application_name = client
            .params
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("application_name"))
            .map_or("", |(_, value)| value);
        let local_port = stream.local().map_or(0, |addr| addr.port());
        let shared = ClientShared::new(Identity {
            id: client.id,
            user: client.user,
            database: client.asked,
            addr: stream.peer(),
            local_port,
            target: config.settings.target_of(local_port),
            tls: tls_name(&stream).into(),
            application_name: application_name.into(),
        });
        let start = Start {
            registered: context.clients.register(shared.clone()),
            stream,
            leftover: client.leftover,
            shared,
            permits: client.permits,
            key,
            pool,
            params: client.params,
            prelude: client.prelude,
        };
        tokio::task::spawn_local(session::run(context, start));
    }

    /// Begins a session on the console.
    async fn console(self: Rc<Self>, id: u64, login: Box<Login>, config: &Config) {
        let (who, addr) = (Who::known(id, &login), login.stream.peer());
        let Some(rights) = rights(config, &login) else {
            self.refused_operator(id, &login, addr);
            let text = admin::NOT_ALLOWED.to_owned();
            let state = SqlState::INSUFFICIENT_PRIVILEGE;
            turn_away(login.stream, who, Turned { state, text }, config).await;
            return;
        };
        let place = Place {
            worker: self.context.worker,
            client: id,
        };
        let Some(key): Option<CancelKey> =
            (self.context.cancel_keys).issue(place, login.minor, config.peer_id())
        else {
            return;
        };
        let welcome = admin::Welcome {
            prelude: login.prelude,
            rights,
            key: key.show(),
            id: place.client,
            user: login.user,
            database: login.database,
            application_name: login
                .params
                .into_iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("application_name"))
                .map_or(String::new(), |(_, value)| value),
        };
        let (control, console) = (self.control.clone(), self.console.clone());
        let ended = admin::run(login.stream, login.leftover, welcome, control, console).await;
        drop(key);
        let why = match ended {
            admin::Ended::Left => "client close request".to_owned(),
            ended => ended.to_string(),
        };
        who.closes(addr, &why, config);
    }
}

/// What a user may do on the console. The operating system's user that runs pgweir has every right
/// over the unix socket, as in PgBouncer.
fn rights(config: &Config, login: &Login) -> Option<Rights> {
    let own_uid = login.stream.peer_cred().is_some_and(|peer| {
        // SAFETY: geteuid has no preconditions and cannot fail.
        peer.uid == unsafe { libc::geteuid() }
    });
    if own_uid && crate::client::accept::CONSOLES.contains(&login.user.as_str()) {
        return Some(Rights::Admin);
    }
    admin::rights(&config.settings, &login.user)
}

fn too_many(setting: &str) -> Turned {
    let text = match setting {
        "max_client_conn" => "no more connections allowed (max_client_conn)".to_owned(),
        setting => format!("client connections exceeded ({setting})"),
    };
    Turned {
        state: SqlState::TOO_MANY_CONNECTIONS,
        text,
    }
}

fn add_host(params: &mut Vec<(String, String)>, stream: &Stream) {
    let known = params
        .iter()
        .position(|(name, _)| name.eq_ignore_ascii_case("application_name"));
    let name = known.map_or_else(|| "app".to_owned(), |at| params.remove(at).1);
    params.push((
        "application_name".to_owned(),
        format!("{name} - {}", stream.peer()),
    ));
}

fn tls_name(stream: &Stream) -> String {
    stream
        .tls_info()
        .map(|info| format!("{}/{}", info.version, info.cipher))
        .unwrap_or_default()
}

/// Whom the log is about.
struct Who {
    id: u64,
    since: Instant,
    user: String,
    database: String,
}

impl Who {
    /// A client that has not said who it is, or was not believed.
    fn unknown(id: u64) -> Self {
        Self {
            id,
            since: Instant::now(),
            user: String::new(),
            database: String::new(),
        }
    }

    fn known(id: u64, login: &Login) -> Self {
        Self {
            user: login.user.clone(),
            database: login.database.clone(),
            ..Self::unknown(id)
        }
    }

    /// It is told why it cannot stay.
    fn leaves(&self, addr: PeerAddr, why: &str, config: &Config) {
        self.closes(addr, why, config);
        if config.settings.log_pooler_errors {
            tracing::warn!(client = self.id, user = %self.user, database = %self.database, %addr, "pooler error: {why}");
        }
    }

    fn closes(&self, addr: PeerAddr, why: &str, config: &Config) {
        if config.settings.log_disconnections {
            let age = self.since.elapsed().as_secs();
            tracing::info!(client = self.id, user = %self.user, database = %self.database, %addr, "closing because: {why} (age={age}s)");
        }
    }
}

async fn turn_away(mut stream: Stream, who: Who, turned: Turned, config: &Config) {
    let mut out = Vec::new();
    write::error(&mut out, Severity::Fatal, turned.state, &turned.text);
    who.leaves(stream.peer(), &turned.text, config);
    let farewell = async {
        stream.write_all(&out).await?;
        stream.shutdown().await
    };
    // It is closed next, whether it listens or not.
    let _ = crate::timer::timeout(std::time::Duration::from_secs(1), farewell).await;
}
