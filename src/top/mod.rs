//! `pgweir top`: what a running pgweir does, in a terminal, over its console.
//!
//! [`state`] is what is shown and what keys do to it, [`draw`] puts it on a terminal, [`screens`] says
//! what there is to see; none of them knows a socket. [`link`] asks the console, and the loop here
//! brings both together. Where there is no terminal, [`plain`] writes one look down.

pub mod answer;
pub mod detail;
pub mod draw;
pub mod format;
pub mod link;
pub mod pgpass;
pub mod plain;
pub mod screens;
pub mod state;
pub mod target;
mod terminal;
pub mod totals;
pub mod watch;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::derivation::Derivation;
use link::LinkError;
use screens::{SCREENS, Screen};
use target::{Surroundings, TargetArgs, TargetError};
use watch::Watch;

/// Lines of a screen in a look at all of them.
const SOME: usize = 10;

/// What `pgweir top` is asked for.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
#[command(disable_help_flag = true)]
pub struct TopArgs {
    /// Where and as whom.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Seconds between two looks
    #[arg(short = 'n', long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub interval: f64,
    /// Begin with this screen; with --once: only this one, all lines of it
    #[arg(short, long, value_name = "NAME", value_parser = screen_names())]
    pub screen: Option<String>,
    /// Show only lines with this text
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    pub filter: String,
    /// Write one look as text and leave; two looks are taken, one interval apart, for what is per second
    #[arg(short = 'b', long)]
    pub once: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
}

fn screen_names() -> clap::builder::PossibleValuesParser {
    SCREENS
        .iter()
        .map(|screen| screen.name)
        .collect::<Vec<_>>()
        .into()
}

fn seconds(text: &str) -> Result<f64, String> {
    let (shortest, longest) = state::INTERVALS;
    match text.parse::<f64>() {
        Ok(seconds) if (shortest.as_secs_f64()..=longest.as_secs_f64()).contains(&seconds) => {
            Ok(seconds)
        }
        _ => Err("from 0.2 to 300 seconds".to_owned()),
    }
}

/// Why it ended before it was told to.
#[derive(Debug, thiserror::Error)]
enum TopError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{}", watch::explained(.0))]
    Link(#[from] LinkError),
    #[error("the terminal: {0}")]
    Terminal(std::io::Error),
    #[error("cannot write: {0}")]
    Write(std::io::Error),
    #[error("cannot start: {0}")]
    Start(String),
}

/// `pgweir top`. The exit code is 0 when it was told to leave, 1 if it could not do what it was asked for.
pub fn run(args: &TopArgs) -> ExitCode {
    match try_run(args) {
        // Whoever reads has seen enough.
        Err(TopError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "pgweir top: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(args: &TopArgs) -> Result<(), TopError> {
    let env = |name: &str| std::env::var(name).ok();
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    let mut target = args.target.target(&Surroundings {
        env: &env,
        system_user: user.ok().flatten().map(|user| user.name),
    })?;
    if target.password.is_none()
        && let Some(path) = target::password_file(&env)
    {
        let (password, warning) = target::from_file(&path, &target);
        target.password = password;
        if let Some(warning) = warning {
            let _ = writeln!(std::io::stderr(), "pgweir top: {warning}");
        }
    }
    let derivation = Derivation::new().map_err(|error| TopError::Start(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| TopError::Start(error.to_string()))?;
    let chosen = args.screen.as_ref();
    let screen = chosen.and_then(|name| SCREENS.iter().position(|screen| screen.name == *name));
    let mut watch = Watch::new(target, derivation);
    if let Err(error) = runtime.block_on(watch.connect()) {
        let password = match error.wants_password() && std::io::stdin().is_terminal() {
            true => terminal::password(&watch.place()).map_err(TopError::Terminal)?,
            false => return Err(error.into()),
        };
        runtime.block_on(watch.connect_with(password))?;
    }
    let interval = Duration::from_secs_f64(args.interval);
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if args.once || !is_terminal {
        return runtime.block_on(once(watch, screen, &args.filter, interval));
    }
    let mut state = state::State::new(watch.place(), screen.unwrap_or(0), interval);
    state.filter.clone_from(&args.filter);
    let ended = runtime.block_on(terminal::run(state, watch));
    // The thread that waits for keys cannot be told to stop.
    runtime.shutdown_background();
    ended
}

/// Writes one look.
async fn once(
    mut watch: Watch,
    screen: Option<usize>,
    filter: &str,
    interval: Duration,
) -> Result<(), TopError> {
    let wanted: Vec<usize> = match screen {
        Some(screen) => vec![screen],
        None => (0..SCREENS.len()).collect(),
    };
    let mut first = Vec::new();
    for &screen in &wanted {
        first.push(watch.look(screen, None).await?);
    }
    crate::timer::sleep(interval).await;
    let mut out = String::new();
    for (&screen, before) in wanted.iter().zip(first) {
        let mut state = state::State::new(watch.place(), screen, interval);
        filter.clone_into(&mut state.filter);
        state.read(before);
        state.read(watch.look(screen, None).await?);
        if out.is_empty() {
            out.push_str(&format!("{}\n", plain::head(&state.totals)));
        }
        let lines = state.lines();
        let spec: &Screen = state.spec();
        // Who has no cluster need not be told so.
        if wanted.len() > 1 && lines.is_empty() {
            continue;
        }
        let most = match wanted.len() {
            1 => usize::MAX,
            _ => SOME,
        };
        out.push_str(&format!("\n{}\n", spec.name));
        out.push_str(&plain::table(spec, lines, most));
    }
    watch.close().await;
    let mut stdout = std::io::stdout();
    (stdout.write_all(out.as_bytes()))
        .and_then(|()| stdout.flush())
        .map_err(TopError::Write)
}

#[cfg(test)]
mod tests;
