//! Composition: builds everything from the configuration, starts the threads, waits for the end.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::audit::observer;
use crate::cli::RunOptions;
use crate::config::Config;
use crate::control::Control;
use crate::daemon::{self, DaemonError, Pidfile};
use crate::derivation::Derivation;
use crate::net::listener::Listeners;
use crate::net::sockopt;
use crate::pool::process::Process;
use crate::recorder::Recorder;
use crate::session::cancel::CancelKeys;
use crate::shutdown::Phase;
use crate::timer::Timers;
use crate::tls::{TlsBundle, TlsContext};
use crate::worker::{self, Seed};
use crate::{admin, advisor, locks, logging, otlp, patroni, signals, watcher, web};

/// Why pgweir did not start, or stopped with an error.
#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    #[error(transparent)]
    Bind(#[from] crate::net::listener::BindError),
    #[error("cannot listen for HTTP on {0}: {1}")]
    Http(std::net::SocketAddr, std::io::Error),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error("{0}")]
    Logging(String),
    #[error("the system has no random numbers")]
    NoRandomness,
    #[error("the audit trail: {0}")]
    Audit(std::io::Error),
    #[error("a worker did not start")]
    Worker,
}

/// Serves until told to stop. The exit code is 0 after an orderly end, 1 otherwise.
pub fn run(config: Config, options: RunOptions) -> ExitCode {
    match try_run(config, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may not be up yet, or go to a file nobody looks at.
            let _ = writeln!(std::io::stderr(), "pgweir: {error}");
            ExitCode::FAILURE
        }
    }
}

fn workers(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    match config.settings.workers {
        0 if cores <= 2 => 1,
        0 => (cores / 2).max(2),
        n => n as usize,
    }
}

fn try_run(config: Config, options: RunOptions) -> Result<(), AppError> {
    let user = options.user.as_ref().unwrap_or(&config.settings.user);
    if !user.is_empty() {
        daemon::become_user(user)?;
    }
    if options.daemon && config.settings.pidfile.is_none() {
        return Err(DaemonError::NeedsPidfile.into());
    }
    // Bound before the process leaves its terminal, so that whoever started it sees what is wrong.
    let listeners = match Listeners::passed()? {
        Some(passed) => passed,
        None => Listeners::bind(&config.settings)?,
    };
    let listeners = Arc::new(listeners);
    if options.daemon {
        daemon::go_into_background()?;
    }
    let logging = logging::init(&config.settings, &options, logging::Style::of(&config))
        .map_err(|error| AppError::Logging(error.to_string()))?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    if daemon::is_root() {
        tracing::warn!("running as root, which nothing here needs; set user");
    }
    if let Err(error) = sockopt::raise_open_files() {
        tracing::warn!(%error, "the limit on open files could not be raised");
    }
    let tls = TlsContext::new(TlsBundle::build(&config)?);
    let http = match config.settings.http_listen {
        None => None,
        Some(addr) => {
            let socket = std::net::TcpListener::bind(addr).map_err(|e| AppError::Http(addr, e))?;
            socket
                .set_nonblocking(true)
                .map_err(|e| AppError::Http(addr, e))?;
            Some(socket)
        }
    };
    let pidfile = config.settings.pidfile.as_deref();
    let pidfile = pidfile.map(Pidfile::write).transpose()?;
    let derivation = Arc::new(Derivation::new().map_err(|_| AppError::NoRandomness)?);
    let count = workers(&config);
    let config = Arc::new(config);
    let process = Arc::new(Process::new(config.clone(), tls));
    // Nobody has set it before.
    let _ = process.lines.set(logging.lines());
    let observer = process.observer.clone();
    let mut recorder = Recorder::new(&process, &config.settings).map_err(AppError::Audit)?;
    let cancel_keys = CancelKeys::new();
    let (command_senders, command_receivers): (Vec<_>, Vec<_>) =
        (0..count).map(|_| mpsc::unbounded_channel()).unzip();
    let (peers, arrivals): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
    let log = logging.clone();
    let control = Control::new(process.clone(), command_senders, |current| {
        crate::cli::load(current.path.as_deref(), Some(current.dialect))
    })
    .on_reload(move |config| {
        if let Err(error) = logging.apply(&config.settings) {
            tracing::error!("the log goes on as before: {error}");
        }
    });
    let (asks, asked) = mpsc::channel(ADVICE_ASKED);
    let (switches, switchovers) = mpsc::channel(SWITCHOVERS_ASKED);
    let control = control.advised_by(asks).switched_by(switches);
    let console = Arc::new(admin::Shared::default());

    let reported = observer.clone();
    let rules = std::thread::Builder::new()
        .name("rules".to_owned())
        .spawn(move || observer::run(&reported, &mut recorder))
        .map_err(AppError::Thread)?;
    let timers = Arc::new(Timers::start().map_err(AppError::Thread)?);
    let mut threads = Vec::new();
    let mut started = Vec::new();
    for (number, (commands, arrivals)) in command_receivers.into_iter().zip(arrivals).enumerate() {
        let seed = Seed {
            number,
            process: process.clone(),
            cancel_keys: cancel_keys.clone(),
            derivation: derivation.clone(),
            listeners: listeners.clone(),
            commands,
            arrivals,
            peers: peers.clone(),
            control: control.clone(),
            console: console.clone(),
            timers: timers.clone(),
        };
        let (tell, up) = oneshot::channel();
        started.push(up);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                if let Err(error) = worker::run(seed, tell) {
                    tracing::error!(%error, "worker {number} failed");
                }
            })
            .map_err(AppError::Thread)?;
        threads.push(thread);
    }
    drop(peers);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AppError::Thread)?;
    runtime.block_on(async {
        for up in started {
            up.await.map_err(|_| AppError::Worker)?;
        }
        for place in listeners.places() {
            tracing::info!("listening on {place}");
        }
        tracing::info!(
            "process up: PgBouncer {} (pgweir {}), {count} workers, tls: rustls",
            admin::show::process::COMPATIBLE,
            env!("CARGO_PKG_VERSION"),
        );
        if let Some(socket) = http {
            let socket = tokio::net::TcpListener::from_std(socket).map_err(AppError::Thread)?;
            let env = admin::execute::Env {
                control: control.clone(),
                console: console.clone(),
            };
            tokio::spawn(web::serve(socket, env, derivation.clone()));
        }
        tokio::spawn(patroni::run(control.clone()));
        tokio::spawn(watcher::run(control.clone(), derivation.clone()));
        tokio::spawn(watcher::switchover::run(
            control.clone(),
            derivation.clone(),
            switchovers,
        ));
        tokio::spawn(advisor::run(control.clone(), derivation.clone(), asked));
        tokio::spawn(locks::run(control.clone(), derivation.clone()));
        tokio::spawn(otlp::run(control.clone()));
        tokio::spawn(admin::sample(control.clone(), console.clone()));
        tokio::spawn(log.clone().tell_repeats());
        process.phase.advance(Phase::Running);
        tokio::spawn(signals::listen(control.clone()));
        wait_for_end(&control, listeners).await;
        Ok::<_, AppError>(())
    })?;
    control.shutdown(Phase::Stopped);
    for thread in threads {
        // A panicked worker has logged why.
        let _ = thread.join();
    }
    observer.close();
    let since = std::time::Instant::now();
    while !rules.is_finished() && since.elapsed() < LAST_REPORTS {
        std::thread::sleep(Duration::from_millis(5));
    }
    if !rules.is_finished() {
        tracing::error!("the last reports were not recorded in time");
    }
    drop(pidfile);
    log.tell_all_repeats();
    tracing::info!("stopped");
    Ok(())
}

/// Questions to the catalogue advisor that may wait.
const ADVICE_ASKED: usize = 16;

/// Switchovers that may wait to begin.
const SWITCHOVERS_ASKED: usize = 16;

/// How long the end of the process waits until what clients did last is recorded.
const LAST_REPORTS: Duration = Duration::from_secs(5);

/// Returns when a shutdown is complete: everybody has left, what runs has finished, or the
/// deadline has passed. The listening sockets are closed when it begins: as long as one of them is
/// open anywhere in the process, the kernel takes connections that nobody will serve, and with
/// `so_reuseport` takes them away from the process that would.
async fn wait_for_end(control: &Control, listeners: Arc<Listeners>) {
    let process = control.process();
    process.phase.reached(Phase::WaitForClients).await;
    drop(listeners);
    let began = std::time::Instant::now();
    loop {
        crate::timer::sleep(Duration::from_millis(50)).await;
        let phase = process.phase.get();
        let deadline = process.config.load().settings.shutdown_timeout;
        if !deadline.is_zero() {
            let elapsed = began.elapsed();
            if elapsed >= deadline {
                tracing::warn!("shutdown_timeout has passed: closing the clients that are left");
                return;
            }
            if phase == Phase::WaitForClients && elapsed >= deadline / 2 {
                tracing::info!(
                    "half of shutdown_timeout has passed: clients are told to leave, each when it is in no transaction"
                );
                control.shutdown(Phase::WaitForServers);
            }
        }
        match phase {
            Phase::Stopped => return,
            Phase::WaitForClients if process.clients.get() == 0 => return,
            Phase::WaitForServers => {
                let snapshot = control.counts().await;
                let busy: u32 = snapshot
                    .pools
                    .iter()
                    .map(|pool| pool.sv_active + pool.sv_tested + pool.sv_being_canceled)
                    .sum();
                if busy == 0 {
                    return;
                }
            }
            _ => {}
        }
    }
}
