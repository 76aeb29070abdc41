//! A worker: one thread, one runtime, the clients and pools that live there.
//!
//! Each worker accepts connections, takes them through their login, and hands a client over once,
//! to the worker that owns its pool. From then on nothing a client does leaves its thread. Upkeep
//! happens on one tick: no timer runs per query.

mod login;
mod lookup;
mod replication;
mod snapshot;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::control::{Command, Control, SideSpec};
use crate::net::listener::Listeners;
use crate::pool::process::Process;
use crate::session::cancel::{CancelKeys, cancel};
use crate::session::clients::Signal;
use crate::session::context::Context;
use crate::session::timeouts::{TimeLimits, due};
use crate::shutdown::Phase;
use crate::timer;
pub use login::Arrival;
use login::Logins;
use snapshot::{counts, held, holders, snapshot};

/// Time between two rounds of upkeep.
const TICK: Duration = Duration::from_millis(100);
/// Rounds between two looks at pools.
const POOL_ROUNDS: u32 = 5;

/// What a worker starts with.
pub struct Seed {
    /// Its number.
    pub number: usize,
    /// What all workers share.
    pub process: Arc<Process>,
    /// Keys of all clients.
    pub cancel_keys: Arc<CancelKeys>,
    /// Slow derivations, for all workers.
    pub derivation: Arc<crate::derivation::Derivation>,
    /// The listening sockets.
    pub listeners: Arc<Listeners>,
    /// Its mailbox for commands.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// Its mailbox for clients that others have logged in.
    pub arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// The mailboxes for clients of all workers.
    pub peers: Vec<mpsc::UnboundedSender<Arrival>>,
    /// The handle that consoles use.
    pub control: Control,
    /// What consoles share.
    pub console: Arc<crate::admin::Shared>,
    /// Time what it waits for.
    pub timers: Arc<timer::Timers>,
}

/// Runs a worker on the calling thread until the process stops.
///
/// # Errors
///
/// The runtime could not be made or the listening sockets not be registered.
pub fn run(seed: Seed, started: oneshot::Sender<()>) -> std::io::Result<()> {
    // Until everything here has stopped waiting.
    let timers = seed.timers.clone();
    timers.lend();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .max_blocking_threads(16)
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(serve(seed, started))
}

async fn serve(seed: Seed, started: oneshot::Sender<()>) -> std::io::Result<()> {
    let context = Context::new(
        seed.number,
        seed.process.clone(),
        seed.cancel_keys,
        seed.derivation.clone(),
    );
    let lookups = lookup::Lookups::new(seed.process.clone(), seed.derivation.clone());
    let logins = Rc::new(Logins {
        context: context.clone(),
        derivation: seed.derivation,
        peers: seed.peers,
        control: seed.control,
        console: seed.console,
        lookups: lookups.clone(),
    });
    let mut accepting: Vec<tokio::task::JoinHandle<()>> = Vec::new();
    for mut acceptor in seed.listeners.acceptors()? {
        let logins = logins.clone();
        accepting.push(tokio::task::spawn_local(async move {
            loop {
                // Read when a connection is there, not when the waiting for it began: a reload may
                // be in between.
                let config = || logins.context.process.config.load_full();
                let stream = acceptor.accept(|| (&config().settings).into()).await;
                logins.clone().begin(stream, config());
            }
        }));
    }
    // The workers' sockets are clones: only the last to close them closes the port.
    drop(seed.listeners);
    // Whoever started this thread may have given up; then the commands' end stops it too.
    let _ = started.send(());
    let (mut commands, mut arrivals) = (seed.commands, seed.arrivals);
    let mut tick = timer::interval(TICK);
    let mut round = 0;
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None => break,
                Some(Command::Phase(phase)) => {
                    enter(&context, phase);
                    if phase >= Phase::WaitForClients {
                        for task in accepting.drain(..) {
                            task.abort();
                        }
                    }
                    if phase == Phase::Stopped {
                        break;
                    }
                }
                Some(Command::Cancel(client, _)) if logins.console.cancel(client) => {}
                Some(command) => obey(&context, command),
            },
            Some(arrival) = arrivals.recv() => logins.clone().arrive(arrival),
            _ = tick.tick() => {
                round += 1;
                lookups.tick(Instant::now());
                upkeep(&context, round % POOL_ROUNDS == 0);
            }
        }
    }
    // Clients are told, then everything on this runtime is dropped.
    context
        .clients
        .each(|client| client.signal(Signal::SHUTDOWN));
    timer::timeout(Duration::from_secs(1), async {
        while !context.clients.is_empty() {
            timer::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .ok();
    context.reports.end();
    Ok(())
}

fn upkeep(context: &Rc<Context>, pools: bool) {
    let now = Instant::now();
    if context.reports.flush() {
        context.clients.each(|client| client.wake());
    }
    let config = context.process.config.load_full();
    let general = general_limits(&config);
    // Ten thousand clients are looked at ten times a second: what is the same for all is found out
    // once.
    let exceptions = !config.users.is_empty()
        || (config.databases.values().chain(&config.fallback))
            .any(|entry| entry.query_wait_timeout.is_some());
    context.clients.each(|client| {
        let limits = match exceptions {
            false => general,
            true => time_limits(&config, general, &client.database, &client.user),
        };
        if let Some(signal) = due(client, &limits, now) {
            client.signal(signal);
        }
    });
    if pools {
        context.pools.tick(now);
    }
}

/// The limits of a client without exceptions.
fn general_limits(config: &Config) -> TimeLimits {
    let settings = &config.settings;
    TimeLimits {
        fast_close: settings.server_fast_close,
        login: settings.client_login_timeout,
        client_idle: settings.client_idle_timeout,
        query: settings.query_timeout,
        query_wait: settings.query_wait_timeout,
        query_wait_notify: settings.query_wait_notify,
        idle_transaction: settings.idle_transaction_timeout,
        transaction: settings.transaction_timeout,
    }
}

/// Limits of a client that logged in as `user`. How long queries and transactions may take is said of
/// the user that the server sees, as what they cost is the server's; how long somebody may be idle or
/// wait, of the user who is.
fn time_limits(config: &Config, general: TimeLimits, database: &str, user: &str) -> TimeLimits {
    let entry = config.databases.get(database).or(config.fallback.as_ref());
    let forced = entry.and_then(|entry| entry.user.as_deref());
    let server_user = forced.unwrap_or(user);
    TimeLimits {
        client_idle: config.client_idle_timeout(user),
        query: config.query_timeout(server_user),
        query_wait: entry.map_or(general.query_wait, |entry| {
            config.query_wait_timeout(entry, user)
        }),
        idle_transaction: config.idle_transaction_timeout(server_user),
        transaction: config.transaction_timeout(server_user),
        ..general
    }
}

fn enter(context: &Rc<Context>, phase: Phase) {
    match phase {
        Phase::Starting | Phase::Running => {}
        Phase::WaitForClients => {}
        Phase::WaitForServers => {
            context.clients.each(|client| client.signal(Signal::DRAIN));
            for pool in context.pools.all() {
                pool.pause();
            }
        }
        Phase::Stopped => {}
    }
}

fn obey(context: &Rc<Context>, command: Command) {
    // Whoever asked may be gone by the time of the answer; that is their business.
    match command {
        Command::Snapshot(answer) => {
            let _ = answer.send(snapshot(context));
        }
        Command::Counts(answer) => {
            let _ = answer.send(counts(context));
        }
        Command::Holders(answer) => {
            let _ = answer.send(holders(context));
        }
        Command::Running(least, answer) => {
            let long = |since: Option<Instant>| since.is_some_and(|at| at.elapsed() >= least);
            let _ = answer.send(held(context, |client| long(client.query_since.get())));
        }
        Command::Held(answer) => {
            let _ = answer.send(held(context, |_| true));
        }
        Command::Pause(database, done) => {
            let pools = context.pools.of(database.as_deref());
            for pool in &pools {
                pool.pause();
            }
            tokio::task::spawn_local(async move {
                while !pools.iter().all(|pool| pool.is_quiet()) && !done.is_closed() {
                    timer::sleep(Duration::from_millis(10)).await;
                }
                let _ = done.send(());
            });
        }
        Command::Resume(database) => {
            for pool in context.pools.of(database.as_deref()) {
                pool.resume();
            }
        }
        Command::Kill(database) => {
            let name = database.as_deref();
            context.clients.each(|client| {
                if name.is_none_or(|name| *client.database == *name) {
                    client.signal(Signal::KILL);
                }
            });
            for pool in context.pools.of(name) {
                pool.pause();
                pool.reconnect();
            }
        }
        Command::KillClient(id, answer) => {
            let client = context.clients.get(id);
            if let Some(client) = &client {
                client.signal(Signal::KILL);
            }
            let _ = answer.send(client.is_some());
        }
        Command::Reconnect(database) => {
            for pool in context.pools.of(database.as_deref()) {
                pool.reconnect();
            }
        }
        Command::CloseNeeded(database, answer) => {
            let pools = context.pools.of(database.as_deref());
            let _ = answer.send(pools.iter().map(|pool| pool.close_needed()).sum());
        }
        Command::Reload(config, recycled) => {
            let gone = |name: &str| recycled.iter().any(|one| one == name);
            context.pools.reload(&config, gone);
            context
                .clients
                .each(|client| client.signal(Signal(Signal::RELOADED.0 | Signal::POLICY.0)));
        }
        Command::PrimaryChanged(database) => {
            for pool in context.pools.of(Some(&database)) {
                for client in pool.primary_changed() {
                    if let Some(client) = context.clients.get(client) {
                        client.signal(Signal::FENCED);
                    }
                }
            }
        }
        Command::SideSpec(key, answer) => {
            let pools = context.pools.of(Some(&key.database));
            let pool = pools.iter().find(|pool| pool.key == key);
            let _ = answer.send(pool.map(|pool| {
                let (connect, max_db, max_user) = pool.beside();
                SideSpec {
                    connect,
                    max_db,
                    max_user,
                }
            }));
        }
        Command::Policy => context.clients.each(|client| client.signal(Signal::POLICY)),
        Command::Cancel(client, done) => {
            let context = context.clone();
            tokio::task::spawn_local(async move {
                cancel(context, client).await;
                let _ = done.send(());
            });
        }
        Command::Phase(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_have_the_limits_of_the_servers_user() {
        let config = Config::from_toml(
            r#"
            [databases.own]
            [databases.forced]
            user = "server"
            [users.server]
            query_timeout = 11
            idle_transaction_timeout = 12
            transaction_timeout = 13
            client_idle_timeout = 14
            query_wait_timeout = 15
            [users.client]
            query_timeout = 21
            idle_transaction_timeout = 22
            transaction_timeout = 23
            client_idle_timeout = 24
            query_wait_timeout = 25
            "#,
        )
        .expect("valid");
        let of = |database, user| {
            let limits = time_limits(&config, general_limits(&config), database, user);
            [
                limits.query,
                limits.idle_transaction,
                limits.transaction,
                limits.client_idle,
                limits.query_wait,
            ]
            .map(|limit| limit.as_secs())
        };
        assert_eq!(of("own", "client"), [21, 22, 23, 24, 25]);
        assert_eq!(of("forced", "client"), [11, 12, 13, 24, 25]);
    }
}
