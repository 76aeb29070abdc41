//! What the commands do.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::error::ConsoleError;
use super::show::{self, View};
use super::syntax::{Argument, Client, Statement, Subject};
use super::table::Row;
use super::{Rights, Shared, command};
use crate::admin::sessions::Call;
use crate::audit::wall::Guard;
use crate::config::effective::CONSOLE_NAMES;
use crate::control::{Control, ControlError};
use crate::lint::firewall::Mode;
use crate::route::begin::{self, Moment};
use crate::route::explain::{self, Class, Question};
use crate::route::hint::Hint;
use crate::shutdown::Phase;
use crate::sql::{self, Lexing};

/// What commands work with.
#[derive(Clone)]
pub struct Env {
    /// The workers.
    pub control: Control,
    /// The console's own state.
    pub console: Arc<Shared>,
}

/// Result of a command. Its columns are those of [`Statement::columns`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Texts of notices that come first.
    pub notices: Vec<String>,
    /// Rows.
    pub rows: Vec<Row>,
    /// Tag of the CommandComplete.
    pub tag: Cow<'static, str>,
    /// What is to happen to the process when the client has been told.
    pub then: Option<Phase>,
}

impl Answer {
    fn tag(tag: &'static str) -> Self {
        Self {
            tag: Cow::Borrowed(tag),
            ..Self::default()
        }
    }
}

type Result<T = Answer> = std::result::Result<T, ConsoleError>;

/// Carries a statement out. Dropping the future gives up the waiting, not what was done.
///
/// # Errors
///
/// The user's mistakes, and what the configuration is to blame for; nothing has changed then.
pub async fn execute(env: &Env, rights: Rights, statement: &Statement) -> Result {
    if rights < statement.needs() {
        return Err(ConsoleError::AdminNeeded);
    }
    match statement {
        Statement::Empty => Ok(Answer::default()),
        Statement::Command(command, argument) => (command.run)(env, argument).await,
    }
}

pub(super) async fn show(env: &Env, argument: &Argument) -> Result {
    let mut answer = Answer::tag("SHOW");
    match argument {
        Argument::Subject(Subject::Help) => answer.notices.push(command::help()),
        Argument::Subject(Subject::Parameter(at)) => {
            let value = show::PARAMETERS.get(*at).map(|parameter| parameter.value);
            answer.rows.push(vec![value.into()]);
        }
        Argument::Subject(Subject::Show(at)) => {
            let snapshot = env.control.snapshot().await;
            let config = env.control.process().config.load_full();
            let view = View {
                snapshot: &snapshot,
                process: env.control.process(),
                config: &config,
                console: &env.console,
                advice: &env.control.advice(),
            };
            if let Some(show) = show::SHOWS.get(*at) {
                answer.rows = (show.rows)(&view);
            }
        }
        Argument::Finding(id) => {
            let findings = env.control.process().findings.lock();
            let found = findings.find(id);
            let found = found.ok_or_else(|| ConsoleError::NoSuchFinding(id.clone()))?;
            answer.rows = show::findings::finding(found);
        }
        Argument::Findings(names) => {
            let findings = env.control.process().findings.lock();
            answer.rows = show::findings::rows(&findings, names);
        }
        Argument::Plan(shape) => {
            let usage = env.control.process().usage.lock();
            let plans = usage.plans(*shape);
            if plans.is_empty() {
                return Err(ConsoleError::NoSuchPlan(format!("{shape:016x}")));
            }
            answer.rows = show::statements::plan(&plans);
        }
        _ => return Err(ConsoleError::Invalid("SHOW".to_owned())),
    }
    Ok(answer)
}

pub(super) async fn set(env: &Env, argument: &Argument) -> Result {
    match argument {
        Argument::Rule(change) => {
            let mut policy = env.control.process().policy.load().as_ref().clone();
            policy.change(change).map_err(ConsoleError::Rule)?;
            tracing::info!(
                rule = change.rule,
                action = change.action,
                "SET RULE command issued"
            );
            env.control.set_policy(policy);
            Ok(Answer::tag("SET"))
        }
        Argument::Firewall(name, mode) => {
            let guard = guard(env, name)?;
            tracing::info!(
                profile = name,
                mode = mode.as_str(),
                "SET FIREWALL command issued"
            );
            guard.with(|profile| {
                if *mode == Mode::Learn && profile.mode != Mode::Learn {
                    // It learns for the whole time again.
                    profile.since = 0;
                }
                profile.mode = *mode;
            });
            Ok(Answer::tag("SET"))
        }
        Argument::Setting(name, value) => {
            running(env)?;
            tracing::info!(key = name, "SET command issued");
            let (control, key, to) = (env.control.clone(), name.clone(), value.clone());
            // May read files, which must not stop the thread.
            tokio::task::spawn_blocking(move || control.set(&key, &to))
                .await
                .unwrap_or(Err(ControlError::ShuttingDown))?;
            Ok(Answer {
                tag: Cow::Owned(format!("SET {name}={value}")),
                ..Answer::default()
            })
        }
        _ => {
            let mut answer = Answer::tag("SET");
            answer.notices.push("SET ignored".to_owned());
            Ok(answer)
        }
    }
}

pub(super) async fn acknowledge(env: &Env, argument: &Argument) -> Result {
    let Argument::Acknowledge(id, time, reason) = argument else {
        return Err(ConsoleError::Invalid("ACK".to_owned()));
    };
    let now = SystemTime::now();
    let until = now.checked_add(*time).unwrap_or(now);
    let mut findings = env.control.process().findings.lock();
    match findings.acknowledge(id, until, reason) {
        true => Ok(Answer::tag("ACK")),
        false => Err(ConsoleError::NoSuchFinding(id.clone())),
    }
}

pub(super) async fn reset(env: &Env, _: &Argument) -> Result {
    tracing::info!("RESET FINDINGS command issued");
    env.control.process().findings.lock().reset();
    Ok(Answer::tag("RESET"))
}

/// The firewall's profile of this name.
fn guard(env: &Env, name: &str) -> Result<Arc<Guard>> {
    let wall = env.control.process().wall.load();
    let found = wall.find(name).cloned();
    found.ok_or_else(|| ConsoleError::NoSuchProfile(name.to_owned()))
}

pub(super) async fn allow(env: &Env, argument: &Argument) -> Result {
    let Argument::Allow(name, shape) = argument else {
        return Err(ConsoleError::Invalid("ALLOW".to_owned()));
    };
    let guard = guard(env, name)?;
    tracing::info!(
        profile = name,
        shape = format!("{shape:032x}"),
        "ALLOW command issued"
    );
    match guard.with(|profile| profile.allow(*shape)) {
        true => Ok(Answer::tag("ALLOW")),
        false => Err(ConsoleError::NotAllowed(
            name.clone(),
            format!("{shape:032x}"),
        )),
    }
}

pub(super) async fn advise(env: &Env, argument: &Argument) -> Result {
    running(env)?;
    let name = required(env, argument, "advise")?;
    let advice = (env.control.advise(name).await)
        .map_err(|error| ConsoleError::Advice(name.to_owned(), error))?;
    let mut answer = Answer::tag("ADVISE");
    answer.notices.push(format!(
        "{name}: {} indexes, {} foreign keys and {} plans looked at, {} findings",
        advice.indexes, advice.foreign_keys, advice.plans, advice.findings
    ));
    Ok(answer)
}

pub(super) async fn explain_route(env: &Env, argument: &Argument) -> Result {
    let Argument::Route(name, text) = argument else {
        return Err(ConsoleError::DatabaseRequired);
    };
    let checked = Argument::Database(name.clone());
    let name = required(env, &checked, "explain route")?;
    let process = env.control.process();
    let config = process.config.load();
    let policy = config.databases.get(name).and_then(|one| one.cluster());
    let cluster = process
        .clusters
        .get(name)
        .map(|entry| entry.value().clone());
    let (Some(policy), Some(cluster)) = (policy, cluster) else {
        return Err(ConsoleError::NoCluster(name.to_owned()));
    };
    let known = sql::analyse(text.as_bytes(), Lexing::default());
    let hint = Hint::of_text(text.as_bytes(), Lexing::default()).unwrap_or_default();
    let view = cluster.view();
    let moment = Moment {
        mode: (config.databases.get(name).and_then(|one| one.pool_mode))
            .unwrap_or(config.settings.pool_mode),
        servers: cluster.hosts.len(),
        target: policy.target,
        hinted: false,
        otherwise: false,
    };
    let deferred = begin::begins(text.as_bytes()).is_some() && begin::may_wait(&policy, &moment);
    let question = Question {
        hosts: &cluster.hosts,
        view: &view,
        policy,
        class: Class::of(
            &known,
            cluster.reads(&known),
            cluster.refusals.knows(known.fingerprint),
            deferred,
            policy,
        ),
        hint: &hint,
    };
    let mut answer = Answer::tag("EXPLAIN");
    answer.rows = (explain::explain(&question, Instant::now()).into_iter())
        .map(|(item, value)| vec![item.into(), value.into()])
        .collect();
    Ok(answer)
}

pub(super) async fn switchover(env: &Env, argument: &Argument) -> Result {
    running(env)?;
    let Argument::Switchover(name, to) = argument else {
        return Err(ConsoleError::DatabaseRequired);
    };
    let checked = Argument::Database(name.clone());
    let name = required(env, &checked, "switchover")?;
    tracing::warn!(database = name, to, "SWITCHOVER command issued");
    let done = (env.control.switchover(name, to.as_deref()).await)
        .map_err(|error| ConsoleError::Switchover(name.to_owned(), error))?;
    let mut answer = Answer::tag("SWITCHOVER");
    answer.notices.push(format!(
        "{} is the primary of {name} now, {} was up to {}; transactions were held back for {} ms",
        done.to,
        done.from,
        done.position,
        done.paused.as_millis()
    ));
    Ok(answer)
}

fn running(env: &Env) -> Result<()> {
    match env.control.process().phase.shutting_down() {
        true => Err(ConsoleError::ShuttingDown),
        false => Ok(()),
    }
}

/// The database that a command is about, if it names one; `what` the command does to it.
fn database<'a>(env: &Env, argument: &'a Argument, what: &'static str) -> Result<Option<&'a str>> {
    let Argument::Database(name) = argument else {
        return Ok(None);
    };
    if CONSOLE_NAMES.contains(&name.as_str()) {
        return Err(ConsoleError::AdminDatabase(what, name.clone()));
    }
    match env.control.process().config.load().database(name) {
        Some(_) => Ok(Some(name)),
        None => Err(ConsoleError::NoSuchDatabase(name.clone())),
    }
}

fn required<'a>(env: &Env, argument: &'a Argument, what: &'static str) -> Result<&'a str> {
    database(env, argument, what)?.ok_or(ConsoleError::DatabaseRequired)
}

pub(super) async fn reload(env: &Env, _: &Argument) -> Result {
    running(env)?;
    tracing::info!("RELOAD command issued");
    let control = env.control.clone();
    // Reads files, which must not stop the thread.
    let reloaded = tokio::task::spawn_blocking(move || control.reload())
        .await
        .unwrap_or(Err(ControlError::ShuttingDown));
    let needs_restart = reloaded.inspect_err(|error| tracing::error!("{error}"))?;
    let mut answer = Answer::tag("RELOAD");
    answer.notices = needs_restart
        .into_iter()
        .map(|key| format!("{key} has changed; the new value takes a restart"))
        .collect();
    Ok(answer)
}

pub(super) async fn pause(env: &Env, argument: &Argument) -> Result {
    running(env)?;
    let name = database(env, argument, "pause")?;
    if env.control.process().holds.read().all {
        return Err(ConsoleError::AlreadyPaused);
    }
    tracing::info!(database = name, "PAUSE command issued");
    env.control.pause(name).await;
    Ok(Answer::tag("PAUSE"))
}

pub(super) async fn resume(env: &Env, argument: &Argument) -> Result {
    running(env)?;
    let name = match database(env, argument, "resume") {
        // It cannot be paused, so it never is.
        Err(ConsoleError::AdminDatabase(_, name)) => {
            return Err(ConsoleError::DatabaseNotPaused(name));
        }
        name => name?,
    };
    tracing::info!(database = name, "RESUME command issued");
    match (env.control.resume(name), name) {
        (true, _) => Ok(Answer::tag("RESUME")),
        (false, None) => Err(ConsoleError::NotPaused),
        (false, Some(name)) => Err(ConsoleError::DatabaseNotPaused(name.to_owned())),
    }
}

pub(super) async fn disable(env: &Env, argument: &Argument) -> Result {
    let name = required(env, argument, "disable")?;
    tracing::info!(database = name, "DISABLE command issued");
    env.control.disable(name, true);
    Ok(Answer::tag("DISABLE"))
}

pub(super) async fn enable(env: &Env, argument: &Argument) -> Result {
    let name = required(env, argument, "enable")?;
    tracing::info!(database = name, "ENABLE command issued");
    env.control.disable(name, false);
    Ok(Answer::tag("ENABLE"))
}

pub(super) async fn reconnect(env: &Env, argument: &Argument) -> Result {
    running(env)?;
    let name = database(env, argument, "reconnect")?;
    tracing::info!(database = name, "RECONNECT command issued");
    env.control.reconnect(name);
    Ok(Answer::tag("RECONNECT"))
}

pub(super) async fn wait_close(env: &Env, argument: &Argument) -> Result {
    let name = database(env, argument, "wait in")?;
    env.control.wait_close(name).await;
    Ok(Answer::tag("WAIT_CLOSE"))
}

pub(super) async fn kill(env: &Env, argument: &Argument) -> Result {
    running(env)?;
    let name = database(env, argument, "kill")?;
    tracing::info!(database = name, "KILL command issued");
    env.control.kill(name);
    Ok(Answer::tag("KILL"))
}

pub(super) async fn kill_client(env: &Env, argument: &Argument) -> Result {
    let Argument::Client(client) = *argument else {
        return Err(ConsoleError::InvalidClient);
    };
    let id = match client {
        Client::Pointer(id) => id,
        // `id` has fewer digits than the number behind it.
        Client::Id(shown) => {
            let clients = env.control.snapshot().await.clients;
            let sessions = env.console.sessions.all();
            clients
                .iter()
                .map(|client| client.id)
                .chain(sessions.iter().map(|seen| seen.id))
                .find(|&id| show::clients::shown_id(id) == shown)
                .ok_or(ConsoleError::ClientNotFound)?
        }
    };
    tracing::info!(client = id, "KILL_CLIENT command issued");
    if env.console.sessions.call(id, Call::Kill) || env.control.kill_client(id).await {
        Ok(Answer::tag("KILL_CLIENT"))
    } else {
        Err(ConsoleError::ClientNotFound)
    }
}

pub(super) async fn shutdown(env: &Env, argument: &Argument) -> Result {
    let Argument::Shutdown(phase) = *argument else {
        return Err(ConsoleError::Invalid("SHUTDOWN".to_owned()));
    };
    if env.control.process().phase.get() >= phase {
        return Err(ConsoleError::ShuttingDown);
    }
    tracing::info!(phase = phase.as_str(), "SHUTDOWN command issued");
    Ok(Answer {
        then: Some(phase),
        ..Answer::tag("SHUTDOWN")
    })
}
