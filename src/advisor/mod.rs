//! The catalogue advisor: looks at the schema of each database that clients use, and at the plans of
//! the statements that cost most, through a connection of its own.
//!
//! One database is looked at after the other, some time after its first client and then once in
//! [`advisor_interval`](crate::config::Settings::advisor_interval). A look is one transaction that
//! reads only, ends with ROLLBACK and has a short `statement_timeout` and `lock_timeout`; EXPLAIN
//! never comes with ANALYZE. Its connection counts against `max_db_connections` and
//! `max_user_connections`; if there is no place the look waits for its next turn.

pub mod catalogue;
pub mod plan;
pub mod schema;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use crate::audit::findings::{Cost, Seen, announce};
use crate::audit::statements::StatementRow;
use crate::config::Config;
use crate::control::{Advice, AdviceAsked, Control, ControlError, SideSpec};
use crate::derivation::Derivation;
use crate::lint::facts::{Command, Facts};
use crate::lint::hit::Hit;
use crate::lint::inspect::inspect;
use crate::lint::observe::Subject;
use crate::lint::rule::Action;
use crate::pool::key::PoolKey;
use crate::pool::process::Level;
use crate::server::side::{Side, SideError};
use plan::Large;

/// How often somebody looks whether a database is due.
const TICK: Duration = Duration::from_secs(1);
/// How long after its first client a database is looked at, unless the interval is shorter.
const FIRST: Duration = Duration::from_secs(60);
/// Plans that are asked for in one look.
const PLANS: usize = 20;
/// How long a plan counts as known.
const PLAN_AGE: Duration = Duration::from_secs(24 * 3600);
/// Users of one database whose statements are planned in one look: a connection each.
const USERS: usize = 4;

/// Looks at databases until the process ends.
pub async fn run(
    control: Control,
    derivation: Arc<Derivation>,
    mut asked: mpsc::Receiver<AdviceAsked>,
) {
    let mut due: HashMap<Arc<str>, Instant> = HashMap::new();
    let mut tick = crate::timer::interval(TICK);
    loop {
        tokio::select! {
            Some((database, answer)) = asked.recv() => {
                let told = look(&control, &derivation, &database).await;
                // Whoever asked may be gone.
                let _ = answer.send(told);
            }
            _ = tick.tick() => {
                let config = control.process().config.load_full();
                if !config.settings.lint || !config.settings.advisor {
                    due.clear();
                    continue;
                }
                if let Some(database) = next(&control, &config, &mut due) {
                    // What went wrong is in SHOW ADVISOR.
                    let _ = look(&control, &derivation, &database).await;
                }
            }
        }
    }
}

/// The database that has been due the longest, and when each is due again.
fn next(
    control: &Control,
    config: &Config,
    due: &mut HashMap<Arc<str>, Instant>,
) -> Option<Arc<str>> {
    let process = control.process();
    let used: HashSet<Arc<str>> = (process.placement.iter())
        .map(|entry| entry.key().database.clone())
        .collect();
    let interval = config.settings.advisor_interval;
    let now = Instant::now();
    due.retain(|database, _| used.contains(database));
    for database in used {
        (due.entry(database)).or_insert_with(|| now + FIRST.min(interval));
    }
    let (database, when) = due.iter_mut().min_by_key(|(_, when)| **when)?;
    if *when > now {
        return None;
    }
    *when = now + interval;
    Some(database.clone())
}

/// Looks at one database and records what is found.
async fn look(
    control: &Control,
    derivation: &Derivation,
    database: &str,
) -> Result<Advice, String> {
    let mut advice = Advice::default();
    let looked = examine(control, derivation, database, &mut advice).await;
    advice.at = Some(SystemTime::now());
    advice.error = looked.err();
    if let Some(error) = &advice.error {
        tracing::info!(database, error, "the catalogue advisor could not look");
    }
    let told = match &advice.error {
        Some(error) => Err(error.clone()),
        None => Ok(advice.clone()),
    };
    control.advised(database, advice);
    told
}

/// The pools of a database, those whose users' statements cost most first.
fn pools(
    control: &Control,
    config: &Config,
    database: &str,
    costs: &[StatementRow],
) -> Vec<PoolKey> {
    let forced = (config.database(database)).and_then(|entry| entry.user.clone());
    let mut cost: BTreeMap<&str, u64> = BTreeMap::new();
    for row in costs {
        let user = forced.as_deref().unwrap_or(&row.user);
        *cost.entry(user).or_default() += row.server_us;
    }
    let mut keys: Vec<PoolKey> = (control.process().placement.iter())
        .map(|entry| entry.key().clone())
        .filter(|key| *key.database == *database)
        .collect();
    keys.sort_by_key(|key| std::cmp::Reverse(cost.get(&*key.user).copied()));
    keys
}

async fn examine(
    control: &Control,
    derivation: &Derivation,
    database: &str,
    advice: &mut Advice,
) -> Result<(), String> {
    let process = control.process();
    let config = process.config.load_full();
    {
        let holds = process.holds.read();
        if holds.all || holds.paused.contains(database) || holds.disabled.contains(database) {
            return Err("the database is paused or disabled".to_owned());
        }
    }
    if process.phase.shutting_down() {
        return Err(ControlError::ShuttingDown.to_string());
    }
    let mut costs = process.usage.lock().rows();
    costs.retain(|row| *row.database == *database);
    let keys = pools(control, &config, database, &costs);
    if keys.is_empty() {
        return Err("no client has used it lately".to_owned());
    }
    let several_hosts = (config.database(database)).is_some_and(|entry| entry.hosts.len() > 1);
    let (mut left, mut first) = (PLANS, true);
    for key in keys.iter().take(USERS) {
        let theirs = candidates(&costs, key, &config, left);
        if !first && theirs.is_empty() {
            continue;
        }
        let spec = control.side_spec(key).await;
        let Some(spec) = spec else { continue };
        let open = session(
            control,
            derivation,
            key,
            &spec,
            advice,
            first.then_some(several_hosts),
            &costs,
            &theirs,
        );
        match open.await {
            Ok(()) => {}
            Err(error) if first => return Err(error),
            Err(error) => tracing::debug!(pool = %key, error, "plans could not be asked for"),
        }
        left = left.saturating_sub(theirs.len());
        first = false;
    }
    match first {
        true => Err("its pools are gone".to_owned()),
        false => Ok(()),
    }
}

/// One connection: the schema, if it is the first, and the plans of its user's statements.
#[allow(clippy::too_many_arguments)]
async fn session(
    control: &Control,
    derivation: &Derivation,
    key: &PoolKey,
    spec: &SideSpec,
    advice: &mut Advice,
    schema_of: Option<bool>,
    costs: &[StatementRow],
    theirs: &[StatementRow],
) -> Result<(), String> {
    let process = control.process();
    let place = |level, name: &str, limit| process.permit(level, name, limit);
    let full = || "all connections that the limits allow are in use".to_owned();
    let _database = place(Level::DatabaseServers, &key.database, spec.max_db).ok_or_else(full)?;
    let _user = place(Level::UserServers, &key.user, spec.max_user).ok_or_else(full)?;
    let say = |error: SideError| error.to_string();
    let mut side = Side::open(&spec.connect, derivation, "5s")
        .await
        .map_err(say)?;
    let answered = questions(control, key, &mut side, advice, schema_of, costs, theirs).await;
    side.close().await;
    answered.map_err(say)
}

async fn questions(
    control: &Control,
    key: &PoolKey,
    side: &mut Side,
    advice: &mut Advice,
    schema_of: Option<bool>,
    costs: &[StatementRow],
    theirs: &[StatementRow],
) -> Result<(), SideError> {
    let numbers = control.process().policy.load().thresholds;
    if let Some(several_hosts) = schema_of {
        let schema = catalogue::schema(side, several_hosts).await?;
        advice.indexes = schema.indexes.len() as u64;
        advice.foreign_keys = schema.foreign_keys.len() as u64;
        let subject = Subject {
            database: (*key.database).into(),
            ..Subject::default()
        };
        for hit in schema::hits(&schema, &changed(costs), &numbers) {
            advice.findings += u64::from(record(control, &hit, &subject, None));
        }
    }
    if theirs.is_empty() {
        return Ok(());
    }
    let large = catalogue::large(side, numbers.scan_rows).await?;
    side.ask("SET LOCAL statement_timeout = '1s'").await?;
    for row in theirs {
        match explain(side, row).await {
            Ok(Some(root)) => {
                advice.plans += 1;
                let worth = row.calls >= numbers.scan_calls || row.server_us >= 1_000_000;
                let hit = worth.then(|| judged(&root, row, &large)).flatten();
                (control.process().usage.lock()).planned(row, plan::lines(&root));
                if let Some(hit) = hit {
                    let subject = Subject {
                        database: row.database.clone(),
                        user: row.user.clone(),
                        ..Subject::default()
                    };
                    advice.findings += u64::from(record(control, &hit, &subject, Some(row)));
                }
            }
            // Tables that are gone, parameters without a type, a search_path of the client's own.
            Ok(None) | Err(SideError::Server(_)) => {
                advice.not_planned += 1;
                (control.process().usage.lock()).planned(row, Vec::new());
            }
            Err(broken) => return Err(broken),
        }
    }
    Ok(())
}

fn judged(root: &serde_json::Value, row: &StatementRow, large: &Large) -> Option<Hit> {
    let mean_rows = row.rows as f64 / row.calls.max(1) as f64;
    let scan = plan::scan(root, large, mean_rows)?;
    let facts = facts(row);
    Some(plan::hit(&scan, facts.as_ref()).evidence("calls", row.calls))
}

/// What the text of a statement says, if it is one statement.
fn facts(row: &StatementRow) -> Option<Facts> {
    let text = std::str::from_utf8(&row.sample).ok()?;
    let mut profile = inspect(text, &[], &Default::default()).ok()?;
    match profile.facts.len() {
        1 => profile.facts.pop(),
        _ => None,
    }
}

/// Statements of a pool's user whose plan is not known, those that cost most first.
fn candidates(
    costs: &[StatementRow],
    key: &PoolKey,
    config: &Config,
    most: usize,
) -> Vec<StatementRow> {
    let forced = (config.database(&key.database)).and_then(|entry| entry.user.clone());
    let fresh = |row: &StatementRow| {
        (row.planned).is_some_and(|at| at.elapsed().is_ok_and(|age| age < PLAN_AGE))
    };
    let known = ["select", "insert", "update", "delete", "merge", "with"];
    (costs.iter())
        .filter(|row| *row.user == *key.user || forced.is_some())
        .filter(|row| row.calls > row.errors && !fresh(row))
        .filter(|row| {
            known
                .iter()
                .any(|word| row.query.trim_start_matches('(').starts_with(word))
        })
        .take(most)
        .cloned()
        .collect()
}

/// The plan of a statement; `None` if it is none that has one.
async fn explain(
    side: &mut Side,
    row: &StatementRow,
) -> Result<Option<serde_json::Value>, SideError> {
    let Some(facts) = facts(row) else {
        return Ok(None);
    };
    let writes = [
        Command::Insert,
        Command::Update,
        Command::Delete,
        Command::Merge,
    ];
    let plain = facts.command == Command::Select || writes.contains(&facts.command);
    if !plain || facts.introspection {
        return Ok(None);
    }
    let Ok(text) = std::str::from_utf8(&row.sample) else {
        return Ok(None);
    };
    let answer = side.plan(text).await?;
    Ok(answer.as_deref().and_then(plan::root))
}

/// Tables whose rows clients were seen to delete or update.
fn changed(costs: &[StatementRow]) -> HashSet<String> {
    (costs.iter())
        .filter(|row| row.query.contains("delete") || row.query.contains("update"))
        .filter_map(facts)
        .filter(|facts| {
            matches!(
                facts.command,
                Command::Delete | Command::Update | Command::Merge
            )
        })
        .flat_map(|facts| facts.writes)
        .map(String::from)
        .collect()
}

/// Records a hit, unless the rule is off; whether it did.
fn record(control: &Control, hit: &Hit, subject: &Subject, row: Option<&StatementRow>) -> bool {
    let process = control.process();
    let action = process.effective(subject).action(hit.rule, hit.kind);
    if action == Action::Off {
        return false;
    }
    let seen = Seen {
        hit,
        subject,
        action,
        shape: row.map_or(0, |row| row.shape),
        text: row.map_or(b"", |row| &row.sample),
        parent: (0, b""),
        scope: 0,
        suppressed: None,
        count: 1,
        cost: Cost::default(),
    };
    announce(&process.findings, &seen);
    true
}
