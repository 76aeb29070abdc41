//! Signals of the system: what each asks for, and the task that listens.
//!
//! SIGPIPE needs nothing here: Rust's runtime ignores it before `main`, and a peer that is gone is
//! an error of the write.
//!
//! Source: PgBouncer documentation, "Signals".

pub mod notify;

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::control::Control;
use crate::shutdown::Phase;
use notify::Notifier;

/// A signal that pgweir knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP.
    Hangup,
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Hangup => "SIGHUP",
            Signal::Terminate => "SIGTERM",
            Signal::Interrupt => "SIGINT",
            Signal::Quit => "SIGQUIT",
            Signal::User1 => "SIGUSR1",
            Signal::User2 => "SIGUSR2",
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// RELOAD.
    Reload,
    /// SHUTDOWN up to this phase.
    Shutdown(Phase),
    /// PAUSE.
    Pause,
    /// RESUME.
    Resume,
    /// Nothing: it makes no sense while the process is going down.
    Ignore,
}

/// What a signal asks for in a phase of the process's life.
///
/// The first SIGTERM waits for the clients, the first SIGINT for the transactions; SIGINT after
/// SIGTERM is a step further, every other second signal ends the process at once.
pub fn react(signal: Signal, phase: Phase) -> Reaction {
    let down = phase >= Phase::WaitForClients;
    match signal {
        Signal::Quit => Reaction::Shutdown(Phase::Stopped),
        Signal::Terminate if down => Reaction::Shutdown(Phase::Stopped),
        Signal::Terminate => Reaction::Shutdown(Phase::WaitForClients),
        Signal::Interrupt if phase >= Phase::WaitForServers => Reaction::Shutdown(Phase::Stopped),
        Signal::Interrupt => Reaction::Shutdown(Phase::WaitForServers),
        _ if down => Reaction::Ignore,
        Signal::Hangup => Reaction::Reload,
        Signal::User1 => Reaction::Pause,
        Signal::User2 => Reaction::Resume,
    }
}

/// Listens for signals and does what they ask for, for ever. The service manager is told that
/// pgweir is ready, reloads and stops; call this when it is ready.
///
/// Dropping the future stops the reactions; the signals stay caught, as tokio leaves them.
pub async fn listen(control: Control) {
    if let Err(error) = try_listen(control).await {
        tracing::error!(%error, "signals cannot be caught: they have their default effect");
    }
}

async fn try_listen(control: Control) -> io::Result<()> {
    let notifier = Notifier::from_env();
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut user1 = signal(SignalKind::user_defined1())?;
    let mut user2 = signal(SignalKind::user_defined2())?;
    notifier.ready("serving");
    loop {
        let signal = tokio::select! {
            Some(()) = hangup.recv() => Signal::Hangup,
            Some(()) = terminate.recv() => Signal::Terminate,
            Some(()) = interrupt.recv() => Signal::Interrupt,
            Some(()) = quit.recv() => Signal::Quit,
            Some(()) = user1.recv() => Signal::User1,
            Some(()) = user2.recv() => Signal::User2,
            // Never, while the runtime lives.
            else => return Ok(()),
        };
        let reaction = react(signal, control.process().phase.get());
        tracing::info!("got {}, {}", signal.name(), told(reaction));
        carry_out(reaction, &control, &notifier).await;
    }
}

fn told(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Reload => "re-reading config",
        Reaction::Shutdown(Phase::WaitForClients) => {
            "shutting down, waiting for all clients to disconnect; once more to stop at once"
        }
        Reaction::Shutdown(Phase::WaitForServers) => {
            "shutting down, waiting for all server connections to be released; once more to stop at once"
        }
        Reaction::Shutdown(_) => "fast exit",
        Reaction::Pause => "pausing all activity",
        Reaction::Resume => "continuing from PAUSE",
        Reaction::Ignore => "ignored while shutting down",
    }
}

async fn carry_out(reaction: Reaction, control: &Control, notifier: &Notifier) {
    match reaction {
        Reaction::Ignore => {}
        Reaction::Shutdown(phase) => {
            notifier.stopping(phase.as_str());
            control.shutdown(phase);
        }
        Reaction::Reload => {
            notifier.reloading();
            let reloading = control.clone();
            // Reads files, which must not stop the thread.
            let reloaded = tokio::task::spawn_blocking(move || reloading.reload()).await;
            let status = match reloaded {
                Ok(Ok(needs_restart)) => {
                    for key in needs_restart {
                        tracing::warn!("{key} has changed; the new value takes a restart");
                    }
                    "serving"
                }
                Ok(Err(error)) => {
                    tracing::error!("{error}");
                    "serving; the last reload failed, see the log"
                }
                Err(error) => {
                    tracing::error!(%error, "reload was given up");
                    "serving; the last reload failed, see the log"
                }
            };
            notifier.ready(status);
        }
        // Waits until every server has come back, which must not keep the next signal from being
        // heard.
        Reaction::Pause => {
            let control = control.clone();
            tokio::spawn(async move {
                control.pause(None).await;
                tracing::info!("paused");
            });
        }
        Reaction::Resume => {
            if !control.resume(None) {
                tracing::info!("nothing was paused");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_signal_stops_at_once() {
        use Phase::{Running, Starting, Stopped, WaitForClients, WaitForServers};
        let shutdown = |signal, phase| match react(signal, phase) {
            Reaction::Shutdown(phase) => phase,
            other => panic!("{other:?}"),
        };
        for phase in [Starting, Running] {
            assert_eq!(shutdown(Signal::Terminate, phase), WaitForClients);
            assert_eq!(shutdown(Signal::Interrupt, phase), WaitForServers);
            assert_eq!(shutdown(Signal::Quit, phase), Stopped);
        }
        assert_eq!(shutdown(Signal::Terminate, WaitForClients), Stopped);
        assert_eq!(shutdown(Signal::Terminate, WaitForServers), Stopped);
        assert_eq!(shutdown(Signal::Interrupt, WaitForClients), WaitForServers);
        assert_eq!(shutdown(Signal::Interrupt, WaitForServers), Stopped);
    }

    #[test]
    fn the_rest_is_ignored_while_going_down() {
        for signal in [Signal::Hangup, Signal::User1, Signal::User2] {
            assert_ne!(react(signal, Phase::Running), Reaction::Ignore);
            assert_eq!(react(signal, Phase::WaitForClients), Reaction::Ignore);
        }
        assert_eq!(react(Signal::Hangup, Phase::Running), Reaction::Reload);
        assert_eq!(react(Signal::User1, Phase::Running), Reaction::Pause);
        assert_eq!(react(Signal::User2, Phase::Running), Reaction::Resume);
    }
}
