//! Who of the clients waits, for what and for whom: plain functions over what workers and server said.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::ask::{Session, Sessions};
use crate::audit::waits::{Holder, Waiting};
use crate::control::Held;
use crate::lint::hit::Hit;
use crate::lint::judge;
use crate::lint::rule::Confidence;
use crate::lint::rules::runtime;
use crate::net::PeerAddr;
use crate::sql::{self, Lexing};

/// Longest text that is kept, in bytes.
const LONGEST: usize = 1000;

/// A client that waits, and its statement.
#[derive(Debug)]
pub struct Found {
    /// What may be shown.
    pub waiting: Waiting,
    /// Since when its statement has been running.
    pub since: Option<Instant>,
    /// The statement as the client sent it. It may hold secrets: not for showing.
    pub text: Box<[u8]>,
}

/// Those of the clients on one server that have waited for a lock for `least_ms`, the longest first.
#[must_use]
pub fn waits(held: &[Held], sessions: &Sessions, least_ms: u64) -> Vec<Found> {
    let ours: HashMap<u32, &Held> = held.iter().map(|held| (held.pid, held)).collect();
    let mut found: Vec<Found> = (sessions.iter())
        .filter_map(|(pid, session)| {
            let client = ours.get(pid)?;
            let wanted = session.wanted.as_ref()?;
            (wanted.waited_ms >= least_ms).then(|| one(client, session, sessions, &ours))
        })
        .flatten()
        .collect();
    found.sort_by_key(|one| (std::cmp::Reverse(one.waiting.waited_ms), one.waiting.pid));
    found
}

fn one(
    client: &Held,
    session: &Session,
    sessions: &Sessions,
    ours: &HashMap<u32, &Held>,
) -> Option<Found> {
    let wanted = session.wanted.as_ref()?;
    let text = session.text.as_deref().unwrap_or_default();
    let waits = |pid: &u32| sessions.get(pid).is_some_and(|one| one.wanted.is_some());
    let free = |pids: &[u32]| {
        let first = pids.iter().find(|pid| !waits(pid));
        first.or(pids.first()).copied()
    };
    let blocker = free(&wanted.blockers);
    let mut passed = HashSet::from([client.pid]);
    let mut root = blocker;
    while let Some(pid) = root
        && passed.insert(pid)
        && let Some(next) = sessions.get(&pid).and_then(|one| one.wanted.as_ref())
        && let Some(next) = free(&next.blockers)
    {
        root = Some(next);
    }
    let holder = |pid: u32| holder(pid, sessions.get(&pid), ours.get(&pid).copied());
    Some(Found {
        since: client.query_since,
        text: text.as_bytes().into(),
        waiting: Waiting {
            database: (*client.database).into(),
            user: (*client.user).into(),
            app: client.application_name.clone(),
            addr: match client.addr {
                PeerAddr::Tcp(addr) => addr.ip().to_string().into(),
                PeerAddr::Unix | PeerAddr::Gone => Box::default(),
            },
            client: client.client,
            pid: client.pid,
            waited_ms: wanted.waited_ms,
            lock: wanted.lock.as_str().into(),
            mode: wanted.mode.as_str().into(),
            relation: (wanted.relation.as_deref())
                .map_or_else(|| table(text).unwrap_or_default(), Box::from),
            query: readable(text),
            blocker: blocker.map(holder),
            root: root.filter(|_| root != blocker).map(holder),
        },
    })
}

/// A session in the way, as the server sees it and as we do.
fn holder(pid: u32, session: Option<&Session>, client: Option<&Held>) -> Holder {
    let ms = |since: Instant| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut holder = Holder {
        pid,
        ..Holder::default()
    };
    if let Some(session) = session {
        holder.user = session.user.as_str().into();
        holder.app = session.app.as_str().into();
        holder.state = session.state.as_deref().unwrap_or_default().into();
        holder.state_ms = session.state_ms;
        holder.xact_ms = session.xact_ms;
        holder.query = session.text.as_deref().map(readable).unwrap_or_default();
    }
    if let Some(client) = client {
        holder.client = client.client;
        holder.user = (*client.user).into();
        holder.app = client.application_name.clone();
        if holder.state.is_empty() {
            holder.state = match (client.query_since, client.xact_since) {
                (Some(_), _) => "active".into(),
                (None, Some(_)) => "idle in transaction".into(),
                (None, None) => "idle".into(),
            };
            holder.state_ms = client.query_since.map(ms);
            holder.xact_ms = client.xact_since.map(ms);
        }
    }
    holder
}

/// The table whose rows the statement locks, where the server does not say what it waits for.
fn table(text: &str) -> Option<Box<str>> {
    let reading = sql::read(text.as_bytes(), Lexing::default());
    let profile = judge::profile(text, &reading, &Default::default()).ok()?;
    match &profile.facts[..] {
        [only] => only.rows_locked().next().cloned(),
        _ => None,
    }
}

/// A text without literals.
fn readable(text: &str) -> Box<str> {
    let mut text = sql::normalised(text.as_bytes(), Lexing::default());
    text.truncate(LONGEST);
    String::from_utf8_lossy(&text).into()
}

/// What the rule says about it.
#[must_use]
pub fn hit(waiting: &Waiting) -> Hit {
    let seconds = |ms: u64| Duration::from_millis(ms).as_secs();
    let named = match (&*waiting.relation, &*waiting.lock) {
        ("", "transactionid") => "the end of another transaction".to_owned(),
        ("", lock) => format!("a lock ({lock})"),
        (relation, _) => format!("a lock on {relation}"),
    };
    let mut message = format!("It has waited {} ms for {named}", waiting.waited_ms);
    if let Some(blocker) = &waiting.blocker {
        message += &format!(", and {} is in its way", who(blocker));
        if let (false, Some(ms)) = (blocker.state.is_empty(), blocker.state_ms) {
            message += &format!(", {} for {} s", blocker.state, seconds(ms));
        }
    }
    if let Some(root) = &waiting.root {
        message += &format!("; all wait for {}", who(root));
    }
    let mut hit = Hit::new(&runtime::CONTENTION, "waited", message + ".")
        .confidence(Confidence::Confirmed)
        .object(match &*waiting.relation {
            "" => waiting.lock.clone(),
            relation => relation.into(),
        })
        .evidence("waited_ms", waiting.waited_ms)
        .evidence("lock", &*waiting.lock)
        .evidence("mode", &*waiting.mode);
    if let Some(blocker) = &waiting.blocker {
        hit = hit
            .evidence("blocker", who(blocker))
            .evidence("blocker_pid", u64::from(blocker.pid));
        if !blocker.state.is_empty() {
            hit = hit.evidence("blocker_state", &*blocker.state);
        }
        if let Some(ms) = blocker.state_ms {
            hit = hit.evidence("blocker_state_ms", ms);
        }
        if let Some(ms) = blocker.xact_ms {
            hit = hit.evidence("blocker_transaction_ms", ms);
        }
        if !blocker.query.is_empty() {
            hit = hit.evidence("blocker_statement", &*blocker.query);
        }
    }
    if let Some(root) = &waiting.root {
        hit = hit
            .evidence("root", who(root))
            .evidence("root_pid", u64::from(root.pid));
        if !root.state.is_empty() {
            hit = hit.evidence("root_state", &*root.state);
        }
        if !root.query.is_empty() {
            hit = hit.evidence("root_statement", &*root.query);
        }
    }
    hit
}

/// Somebody in words.
#[must_use]
pub fn who(holder: &Holder) -> String {
    let what = match (holder.pid, holder.client) {
        (0, _) => return "a prepared transaction".to_owned(),
        (pid, 0) => format!("process {pid}, which did not come through here"),
        (_, client) => format!("client {client}"),
    };
    match (&*holder.user, &*holder.app) {
        ("", _) => what,
        (user, "") => format!("{what} ({user})"),
        (user, app) => format!("{what} ({user}, {app})"),
    }
}

/// Which waits were seen before, by client, so that one that goes on counts once.
#[derive(Debug, Default)]
pub struct Known(HashMap<u64, (Option<Instant>, u64)>);

impl Known {
    /// Notes that this client has waited so long. Whether its statement was not seen waiting before,
    /// and the milliseconds that nobody has counted yet.
    pub fn note(&mut self, found: &Found) -> (bool, u64) {
        let waited = found.waiting.waited_ms;
        let now = (found.since, waited);
        match self.0.insert(found.waiting.client, now) {
            Some((since, before)) if since == found.since => match waited.checked_sub(before) {
                Some(more) => (false, more),
                // Another lock of the same statement.
                None => (false, waited),
            },
            _ => (true, waited),
        }
    }

    /// Forgets clients whose statement has ended.
    pub fn keep(&mut self, held: &[Held]) {
        let running: HashMap<u64, Option<Instant>> = (held.iter())
            .map(|held| (held.client, held.query_since))
            .collect();
        (self.0).retain(|client, (since, _)| running.get(client) == Some(since));
    }
}

#[cfg(test)]
mod tests {
    use super::super::ask::Wanted;
    use super::*;
    use crate::config::Host;
    use crate::pool::key::PoolKey;

    fn held(pid: u32, client: u64, app: &str) -> Held {
        Held {
            pool: PoolKey::new("app", "u"),
            host: Host::Tcp {
                host: "db".to_owned(),
                port: 5432,
            },
            place: PeerAddr::Unix,
            pid,
            client,
            user: "alice".into(),
            database: "app".into(),
            application_name: app.into(),
            addr: PeerAddr::Unix,
            query_since: Some(Instant::now()),
            xact_since: Some(Instant::now()),
        }
    }

    fn waiting(ms: u64, relation: Option<&str>, text: &str, blockers: &[u32]) -> Session {
        Session {
            user: "u".to_owned(),
            state: Some("active".to_owned()),
            text: Some(text.to_owned()),
            wanted: Some(Wanted {
                lock: "transactionid".to_owned(),
                mode: "ShareLock".to_owned(),
                waited_ms: ms,
                relation: relation.map(str::to_owned),
                blockers: blockers.to_vec(),
            }),
            ..Session::default()
        }
    }

    fn idle(text: &str) -> Session {
        Session {
            user: "u".to_owned(),
            app: "batch".to_owned(),
            state: Some("idle in transaction".to_owned()),
            state_ms: Some(12_345),
            xact_ms: Some(20_000),
            text: Some(text.to_owned()),
            wanted: None,
        }
    }

    fn evidence(hit: &Hit) -> String {
        format!("{:?}", hit.evidence)
    }

    #[test]
    fn both_sides_are_named_and_no_constant_is() {
        let sessions = Sessions::from([
            (
                1,
                waiting(
                    2500,
                    Some("public.t"),
                    "UPDATE t SET a = 'secret' WHERE id = 4711",
                    &[2],
                ),
            ),
            (2, idle("UPDATE t SET a = 'hidden'")),
        ]);
        let clients = [held(1, 10, "till"), held(2, 20, "night")];
        let found = waits(&clients, &sessions, 1000);
        let [one] = &found[..] else {
            panic!("{found:?}")
        };
        let waiting = &one.waiting;
        assert_eq!((waiting.client, &*waiting.app), (10, "till"));
        assert_eq!(&*waiting.query, "update t set a = ? where id = ?");
        let hit = hit(waiting);
        assert_eq!(
            &*hit.message,
            "It has waited 2500 ms for a lock on public.t, and client 20 (alice, night) is in its way, \
             idle in transaction for 12 s."
        );
        assert_eq!(hit.object.as_deref(), Some("public.t"));
        let evidence = evidence(&hit);
        for wanted in ["update t set a = ?", "idle in transaction", "20000"] {
            assert!(evidence.contains(wanted), "{wanted} in {evidence}");
        }
        for secret in ["secret", "hidden", "4711"] {
            let all = format!("{hit:?} {waiting:?}");
            assert!(!all.contains(secret), "{secret} in {all}");
        }
        assert!(waits(&clients, &sessions, 2501).is_empty());
    }

    #[test]
    fn strangers_are_told_as_far_as_the_server_tells() {
        let hidden = Session {
            user: "other".to_owned(),
            app: "psql".to_owned(),
            ..Session::default()
        };
        let text = "INSERT INTO k VALUES (1)";
        let told = |blockers: &[u32], session: Option<Session>| {
            let mut sessions = Sessions::from([(1, waiting(1000, None, text, blockers))]);
            sessions.extend(session.map(|session| (7, session)));
            let found = waits(&[held(1, 10, "")], &sessions, 1000);
            hit(&found[0].waiting).message
        };
        // Who waits for a key of an index tells no table; its statement does.
        assert_eq!(
            &*told(&[7], Some(hidden)),
            "It has waited 1000 ms for a lock on k, and process 7, which did not come through here \
             (other, psql) is in its way."
        );
        let gone = told(&[7], None);
        assert!(gone.contains("process 7, which"), "{gone}");
        assert!(told(&[0], None).contains("a prepared transaction"));
        assert_eq!(&*told(&[], None), "It has waited 1000 ms for a lock on k.");
    }

    #[test]
    fn a_chain_is_followed_to_its_end_and_a_ring_is_left() {
        let text = "UPDATE t SET a = 1";
        let at = |blockers: &[u32]| waiting(1500, Some("public.t"), text, blockers);
        let clients = [held(1, 10, ""), held(2, 20, ""), held(3, 30, "")];
        let mut sessions = Sessions::from([(1, at(&[2])), (2, at(&[3])), (3, idle(text))]);
        let root = |found: &[Found], pid| {
            let of = found.iter().find(|one| one.waiting.pid == pid);
            let of = &of.expect("it waits").waiting;
            let pid = |holder: &Option<Holder>| holder.as_ref().map(|one| one.pid);
            (pid(&of.blocker), pid(&of.root))
        };
        let found = waits(&clients, &sessions, 1000);
        assert_eq!(found.len(), 2);
        assert_eq!(root(&found, 1), (Some(2), Some(3)));
        assert_eq!(root(&found, 2), (Some(3), None));
        let told = hit(&found[0].waiting).message;
        assert!(told.contains("; all wait for client 30 (alice)."), "{told}");
        // Of several who are in the way it is the one that does not wait.
        sessions.insert(1, at(&[2, 3]));
        assert_eq!(root(&waits(&clients, &sessions, 1000), 1), (Some(3), None));
        // What the deadlock detector will end.
        sessions.insert(3, at(&[1]));
        sessions.insert(1, at(&[2]));
        assert_eq!(waits(&clients, &sessions, 1000).len(), 3);
    }

    #[test]
    fn ours_are_known_even_if_the_server_hides_them() {
        let mut clients = [held(1, 10, ""), held(2, 20, "night")];
        clients[1].query_since = None;
        let sessions = Sessions::from([
            (1, waiting(1500, None, "SELECT", &[2])),
            (2, Session::default()),
        ]);
        let found = waits(&clients, &sessions, 1000);
        let blocker = found[0].waiting.blocker.as_ref().expect("somebody");
        assert_eq!(&*blocker.state, "idle in transaction");
        assert!(blocker.xact_ms.is_some() && blocker.query.is_empty());
    }

    #[test]
    fn a_wait_that_goes_on_counts_once_and_by_what_is_new() {
        let mut client = held(1, 10, "");
        let mut known = Known::default();
        let mut note = |client: &Held, ms| {
            let sessions = Sessions::from([(1, waiting(ms, None, "SELECT", &[]))]);
            let found = waits(std::slice::from_ref(client), &sessions, 0);
            let told = known.note(&found[0]);
            known.keep(std::slice::from_ref(client));
            told
        };
        assert_eq!(note(&client, 1000), (true, 1000));
        assert_eq!(note(&client, 2100), (false, 1100));
        // The next lock of the same statement.
        assert_eq!(note(&client, 1200), (false, 1200));
        client.query_since = Some(Instant::now() + Duration::from_secs(1));
        assert_eq!(note(&client, 1300), (true, 1300));
        known.keep(&[]);
        assert!(known.0.is_empty());
    }
}
