//! Watches who waits for whose lock while the waiting goes on.
//!
//! Workers are asked once a second whether a statement has been running for long. Only then is the
//! server of such a statement asked, through a connection of pgweir's own, as the user of the pool,
//! about those statements and whoever is in their way; a healthy system is never asked. The connection
//! stays open while it is needed and counts against `max_db_connections` and `max_user_connections`; if
//! there is no place for it, or the server does not answer, the next look waits, longer each time.

pub mod ask;
pub mod judge;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::audit::findings::{Cost, Seen, announce, judged};
use crate::audit::waits::Waiting;
use crate::config::Host;
use crate::control::{Control, Held};
use crate::derivation::Derivation;
use crate::lint::observe::Subject;
use crate::lint::rule::Action;
use crate::net::PeerAddr;
use crate::pool::key::PoolKey;
use crate::pool::process::Level;
use crate::server::permit::Permit;
use crate::server::side::Side;
use crate::sql::{self, Lexing};
use crate::timer;
use ask::Sessions;
use judge::{Found, Known};

/// Time between two looks.
const TICK: Duration = Duration::from_secs(1);
/// How long a server has for all questions of one look, the login included.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a connection is kept that nobody needs.
const KEPT: Duration = Duration::from_secs(5);
/// The first pause after a server could not be asked, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// Connections at a time.
const PLACES: usize = 8;

/// A server, and as whom it is asked.
type Place = (PoolKey, Host, PeerAddr);

/// A connection, and its places under the limits.
struct Open {
    side: Side,
    _database: Permit,
    _user: Permit,
}

/// What is known of a place.
struct Post {
    open: Option<Open>,
    used: Instant,
    failures: u32,
    not_before: Instant,
}

/// Looks until the process ends.
pub async fn run(control: Control, derivation: Arc<Derivation>) {
    let mut posts: HashMap<Place, Post> = HashMap::new();
    let mut known = Known::default();
    loop {
        timer::sleep(TICK).await;
        let process = control.process();
        let wanted = {
            let settings = &process.config.load().settings;
            settings.lint && settings.advisor && !process.phase.shutting_down()
        };
        let least = Duration::from_millis(process.policy.load().thresholds.lock_ms);
        let long = match wanted {
            true => asked_about(&control, control.running(least).await),
            false => Vec::new(),
        };
        let mut found = Vec::new();
        if long.is_empty() {
            known.keep(&[]);
        } else {
            let held = control.held().await;
            known.keep(&held);
            found = look(&control, &derivation, &mut posts, &long, &held, least).await;
        }
        let now_us = process.observer.micros(Instant::now());
        for one in &found {
            let (first, more_ms) = known.note(one);
            let more_us = more_ms.saturating_mul(1000);
            (process.waits.lock()).note(one.waiting.client, first, more_us, now_us);
            record(&control, one, first, more_us);
        }
        let waiting: Vec<Waiting> = found.into_iter().map(|one| one.waiting).collect();
        {
            let mut waits = process.waits.lock();
            waits.now = waiting;
            waits.forget(now_us);
        }
        close_unused(&control, &mut posts, wanted).await;
    }
}

/// Without clients of databases whose servers are to be left in peace.
fn asked_about(control: &Control, mut long: Vec<Held>) -> Vec<Held> {
    let holds = control.process().holds.read();
    long.retain(|one| !at_rest(&holds, &one.pool.database));
    long
}

fn at_rest(holds: &crate::pool::process::Holds, database: &str) -> bool {
    holds.all || holds.paused.contains(database) || holds.disabled.contains(database)
}

/// Asks each server on which a statement has been running for long, all at once.
async fn look(
    control: &Control,
    derivation: &Arc<Derivation>,
    posts: &mut HashMap<Place, Post>,
    long: &[Held],
    held: &[Held],
    least: Duration,
) -> Vec<Found> {
    let now = Instant::now();
    let mut looks = JoinSet::new();
    for (place, pids) in places(long) {
        if !posts.contains_key(&place) && posts.len() >= PLACES {
            continue;
        }
        let post = posts.entry(place.clone()).or_insert(Post {
            open: None,
            used: now,
            failures: 0,
            not_before: now,
        });
        if post.not_before > now {
            continue;
        }
        let open = post.open.take();
        let (control, derivation) = (control.clone(), derivation.clone());
        looks.spawn(async move {
            let asked = ask(&control, &derivation, &place, open, &pids);
            let answer = timer::timeout(PATIENCE, asked).await;
            let late = |_| Err("no answer in time".to_owned());
            (place, answer.unwrap_or_else(late))
        });
    }
    let mut found = Vec::new();
    while let Some(looked) = looks.join_next().await {
        // Nothing in there panics; if it does the post is asked anew.
        let Ok((place, answer)) = looked else {
            continue;
        };
        let Some(post) = posts.get_mut(&place) else {
            continue;
        };
        let mut waits = control.process().waits.lock();
        waits.looks += 1;
        match answer {
            Ok((open, sessions)) => {
                (post.open, post.used, post.failures) = (Some(open), Instant::now(), 0);
                let here: Vec<Held> = (held.iter())
                    .filter(|one| (&one.host, one.place) == (&place.1, place.2))
                    .cloned()
                    .collect();
                let least = u64::try_from(least.as_millis()).unwrap_or(u64::MAX);
                let all = judge::waits(&here, &sessions, least);
                // Users who may see more than their own see each other's clients.
                let mine = |one: &Found| {
                    (here.iter()).any(|held| held.pid == one.waiting.pid && held.pool == place.0)
                };
                found.extend(all.into_iter().filter(mine));
            }
            Err(error) => {
                waits.failures += 1;
                post.failures = post.failures.saturating_add(1);
                post.used = Instant::now();
                post.not_before = Instant::now() + pause(post.failures);
                let (pool, server) = (&place.0, place.1.to_string());
                tracing::info!(%pool, server, error, "cannot see who waits for whose lock");
            }
        }
    }
    found.sort_by_key(|one| std::cmp::Reverse(one.waiting.waited_ms));
    found
}

/// How long a server is left alone that could not be asked so many times in a row.
fn pause(failures: u32) -> Duration {
    let doubled = PAUSES.0 * 2_u32.saturating_pow(failures.saturating_sub(1).min(10));
    doubled.min(PAUSES.1)
}

/// Where statements have been running for long, and their processes, those that began first in front.
fn places(long: &[Held]) -> Vec<(Place, Vec<u32>)> {
    let mut sorted: Vec<&Held> = long.iter().collect();
    sorted.sort_by_key(|one| one.query_since);
    let mut places: Vec<(Place, Vec<u32>)> = Vec::new();
    for one in sorted {
        let place = (one.pool.clone(), one.host.clone(), one.place);
        let full = places.len() >= PLACES;
        match places.iter_mut().find(|(known, _)| *known == place) {
            Some((_, pids)) if pids.len() < ask::MOST => pids.push(one.pid),
            None if !full => places.push((place, vec![one.pid])),
            Some(_) | None => {}
        }
    }
    places
}

/// One server, which is connected to if it has to be.
async fn ask(
    control: &Control,
    derivation: &Derivation,
    place: &Place,
    open: Option<Open>,
    pids: &[u32],
) -> Result<(Open, Sessions), String> {
    let mut open = match open {
        Some(open) => open,
        None => connect(control, derivation, place).await?,
    };
    let sessions = ask::look(&mut open.side, pids).await;
    let sessions = sessions.map_err(|error| error.to_string())?;
    Ok((open, sessions))
}

async fn connect(
    control: &Control,
    derivation: &Derivation,
    (pool, host, place): &Place,
) -> Result<Open, String> {
    let spec = control.side_spec(pool).await;
    let mut spec = spec.ok_or("its pool is gone")?;
    spec.connect.host = host.clone();
    let process = control.process();
    let permit = |level, name: &str, limit| {
        let full = "all connections that the limits allow are in use";
        process.permit(level, name, limit).ok_or(full)
    };
    let _database = permit(Level::DatabaseServers, &pool.database, spec.max_db)?;
    let _user = permit(Level::UserServers, &pool.user, spec.max_user)?;
    let side = Side::connect(&spec.connect, derivation, "pgweir locks").await;
    let mut side = side.map_err(|error| error.to_string())?;
    if side.place() != *place {
        return Err("the name of the server leads to another one now".to_owned());
    }
    for setting in [
        "default_transaction_read_only = on",
        "statement_timeout = '1s'",
        "lock_timeout = '100ms'",
    ] {
        let set = side.ask(&format!("SET {setting}")).await;
        set.map_err(|error| error.to_string())?;
    }
    Ok(Open {
        side,
        _database,
        _user,
    })
}

/// Says goodbye where nobody waits any more, and forgets failures in the end.
async fn close_unused(control: &Control, posts: &mut HashMap<Place, Post>, wanted: bool) {
    let now = Instant::now();
    let resting: BTreeSet<Arc<str>> = {
        let holds = control.process().holds.read();
        (posts.keys())
            .filter(|place| at_rest(&holds, &place.0.database))
            .map(|place| place.0.database.clone())
            .collect()
    };
    let unused = |place: &Place, post: &Post| {
        !wanted || resting.contains(&place.0.database) || now - post.used >= KEPT
    };
    for (place, post) in posts.iter_mut() {
        if unused(place, post)
            && let Some(open) = post.open.take()
        {
            open.side.terminate().await;
        }
    }
    posts.retain(|place, post| post.not_before > now || !unused(place, post));
}

/// Records that a client waits, unless the rule is off for it.
fn record(control: &Control, found: &Found, first: bool, more_us: u64) {
    let process = control.process();
    let waiting = &found.waiting;
    let subject = Subject {
        database: waiting.database.clone(),
        user: waiting.user.clone(),
        app: waiting.app.clone(),
        client: waiting.addr.clone(),
        ..Subject::default()
    };
    let hit = judge::hit(waiting);
    let action = process.effective(&subject).action(hit.rule, hit.kind);
    if action == Action::Off || judged(&hit, &subject.app).is_none() {
        return;
    }
    let seen = Seen {
        hit: &hit,
        subject: &subject,
        action,
        shape: sql::read(&found.text, Lexing::default()).fingerprint,
        text: &found.text,
        parent: (0, b""),
        scope: waiting.client,
        suppressed: None,
        count: u64::from(first),
        cost: Cost {
            server_us: more_us,
            ..Cost::default()
        },
    };
    announce(&process.findings, &seen);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(user: &str, port: u16, pid: u32, since: Instant) -> Held {
        Held {
            pool: PoolKey::new("app", user),
            host: Host::Tcp {
                host: "db".to_owned(),
                port,
            },
            place: PeerAddr::Unix,
            pid,
            client: u64::from(pid),
            user: user.into(),
            database: "app".into(),
            application_name: "".into(),
            addr: PeerAddr::Unix,
            query_since: Some(since),
            xact_since: None,
        }
    }

    #[test]
    fn each_server_is_asked_by_each_user_about_its_oldest_statements() {
        let now = Instant::now();
        let mut long = vec![
            held("u", 1, 1, now),
            held("u", 2, 2, now - Duration::from_secs(1)),
            held("v", 1, 3, now),
            held("u", 1, 4, now - Duration::from_secs(2)),
        ];
        let of = |long: &[Held]| -> Vec<Vec<u32>> {
            places(long).into_iter().map(|(_, pids)| pids).collect()
        };
        assert_eq!(of(&long), [vec![4, 1], vec![2], vec![3]]);
        long.extend((10..200).map(|pid| held("u", 1, pid, now)));
        assert_eq!(of(&long)[0].len(), ask::MOST);
        let many: Vec<Held> = (0..100).map(|n| held("u", n, 1, now)).collect();
        assert_eq!(of(&many).len(), PLACES);
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn a_server_that_cannot_be_asked_is_left_alone_longer_each_time() {
        let pauses: Vec<u64> = (1..=9).map(|n| pause(n).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(pause(u32::MAX), PAUSES.1);
    }
}
