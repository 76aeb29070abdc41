//! What the server is asked about locks, and how its answers are read.

use std::collections::HashMap;

use crate::server::side::{Rows, Side, SideError};

/// Sessions that one look asks about at once: those that wait, then those that are in their way.
pub const MOST: usize = 50;
/// How many steps the chain of those who wait for each other is followed.
const STEPS: usize = 4;

/// Longest name that is believed, in characters.
const LONGEST_WORD: usize = 200;

/// Which of these wait for a lock at all. Asks no lock table.
const WAITING: &str = "SELECT a.pid FROM pg_catalog.pg_stat_activity AS a \
    WHERE a.pid = ANY ($1::pg_catalog.int4[]) AND a.wait_event_type = 'Lock' \
    AND a.datname = pg_catalog.current_database()";

/// Everything about these. `waitstart` is younger than some servers, hence the way through JSON; who
/// waits for a row holds the lock on the row's place, which tells the table.
const ABOUT: &str = "WITH locks AS (SELECT l.*, pg_catalog.to_jsonb(l) ->> 'waitstart' AS since \
      FROM pg_catalog.pg_locks AS l WHERE l.pid = ANY ($1::pg_catalog.int4[])) \
    SELECT a.pid, a.usename, a.application_name, a.state, \
      pg_catalog.floor(extract(epoch FROM t.now - a.state_change) * 1000)::pg_catalog.int8, \
      pg_catalog.floor(extract(epoch FROM t.now - a.xact_start) * 1000)::pg_catalog.int8, \
      a.query, w.locktype, w.mode, \
      pg_catalog.floor(extract(epoch FROM t.now - coalesce(w.since::pg_catalog.timestamptz, a.state_change)) * 1000)::pg_catalog.int8, \
      (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) \
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
        WHERE c.oid = coalesce(w.relation, (SELECT o.relation FROM locks AS o \
          WHERE o.pid = a.pid AND o.granted AND o.locktype = 'tuple' LIMIT 1))), \
      CASE WHEN w.pid IS NOT NULL THEN pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(a.pid), ',') END \
    FROM pg_catalog.pg_stat_activity AS a \
      CROSS JOIN (SELECT pg_catalog.clock_timestamp() AS now) AS t \
      LEFT JOIN locks AS w ON w.pid = a.pid AND NOT w.granted \
    WHERE a.pid = ANY ($1::pg_catalog.int4[])";

/// A lock that a session waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What it is on.
    pub lock: String,
    /// Its mode.
    pub mode: String,
    /// Milliseconds since the waiting began.
    pub waited_ms: u64,
    /// The table, with its schema.
    pub relation: Option<String>,
    /// Who is in the way.
    pub blockers: Vec<u32>,
}

/// One session of the server, as far as its role may see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Role it is logged in as.
    pub user: String,
    /// `application_name`.
    pub app: String,
    /// What it does; `None` if another role's.
    pub state: Option<String>,
    /// For how long, in milliseconds.
    pub state_ms: Option<u64>,
    /// How long its transaction has been open, in milliseconds.
    pub xact_ms: Option<u64>,
    /// Its text, with its literals; `None` if another role's. Not for showing.
    pub text: Option<String>,
    /// What it waits for.
    pub wanted: Option<Wanted>,
}

/// Sessions by process id.
pub type Sessions = HashMap<u32, Session>;

/// Asks about the sessions `pids` of ours, and about those that are in their way.
///
/// # Errors
/// [`SideError`]. The connection is not to be used again then.
pub async fn look(side: &mut Side, pids: &[u32]) -> Result<Sessions, SideError> {
    let waiting = side.ask_about(WAITING, &array(pids)).await?;
    let mut next: Vec<u32> = (waiting.iter())
        .filter_map(|row| row.first()?.as_deref()?.parse().ok())
        .collect();
    let mut sessions = Sessions::new();
    for _ in 0..=STEPS {
        if next.is_empty() {
            break;
        }
        read(side.ask_about(ABOUT, &array(&next)).await?, &mut sessions);
        next = unknown(&sessions);
    }
    Ok(sessions)
}

fn array(pids: &[u32]) -> String {
    let pids: Vec<String> = pids.iter().take(MOST).map(u32::to_string).collect();
    format!("{{{}}}", pids.join(","))
}

/// Those who are in somebody's way and were not asked about.
fn unknown(sessions: &Sessions) -> Vec<u32> {
    let mut unknown: Vec<u32> = (sessions.values())
        .filter_map(|session| session.wanted.as_ref())
        .flat_map(|wanted| wanted.blockers.iter().copied())
        .filter(|pid| *pid != 0 && !sessions.contains_key(pid))
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    unknown.truncate(MOST);
    unknown
}

/// Rows of the answer; those that make no sense are left out.
fn read(rows: Rows, sessions: &mut Sessions) {
    // What the server says in place of a text that is not ours to see.
    const HIDDEN: [&str; 2] = ["<insufficient privilege>", ""];
    for row in rows {
        let Ok::<[Option<String>; 12], _>(
            [
                pid,
                user,
                app,
                state,
                state_ms,
                xact_ms,
                text,
                lock,
                mode,
                waited,
                relation,
                blockers,
            ],
        ) = row.try_into()
        else {
            continue;
        };
        let word = |value: String| {
            let printable = value.chars().filter(|c| !c.is_control());
            printable.take(LONGEST_WORD).collect::<String>()
        };
        let number = |value: Option<String>| value?.parse::<u64>().ok();
        let Some(pid) = pid.and_then(|pid| pid.parse().ok()) else {
            continue;
        };
        let wanted = lock.map(|lock| Wanted {
            lock: word(lock),
            mode: word(mode.unwrap_or_default()),
            waited_ms: number(waited).unwrap_or_default(),
            relation: relation.map(word),
            blockers: (blockers.unwrap_or_default().split(','))
                .filter_map(|pid| pid.parse().ok())
                .take(MOST)
                .collect(),
        });
        let session = Session {
            user: word(user.unwrap_or_default()),
            app: word(app.unwrap_or_default()),
            state: state.map(word),
            state_ms: number(state_ms),
            xact_ms: number(xact_ms),
            text: text.filter(|text| !HIDDEN.contains(&text.as_str())),
            wanted,
        };
        sessions.insert(pid, session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: [&str; 12]) -> Vec<Option<String>> {
        let value = |text: &str| (text != "-").then(|| text.to_owned());
        values.into_iter().map(value).collect()
    }

    #[test]
    fn rows_are_read_and_odd_ones_left_out() {
        let mut sessions = Sessions::new();
        let waits = [
            "7",
            "u",
            "till",
            "active",
            "1500",
            "1600",
            "UPDATE t",
            "transactionid",
            "ShareLock",
            "1400",
            "public.t",
            "8,9",
        ];
        let hidden = [
            "8",
            "other",
            "batch",
            "-",
            "-",
            "-",
            "<insufficient privilege>",
            "-",
            "-",
            "-",
            "-",
            "-",
        ];
        let name = format!("a\n{}", "b".repeat(5000));
        let mut long = row(hidden);
        (long[0], long[2]) = (Some("6".to_owned()), Some(name));
        let mut odd = row(waits);
        odd.pop();
        let mut nobody = row(waits);
        nobody[0] = Some("x".to_owned());
        read(
            vec![row(waits), row(hidden), long, odd, nobody, Vec::new()],
            &mut sessions,
        );
        assert_eq!(sessions.len(), 3);
        assert_eq!(
            sessions[&6].app,
            format!("a{}", "b".repeat(LONGEST_WORD - 1))
        );
        let waits = &sessions[&7];
        let wanted = waits.wanted.as_ref().expect("a lock");
        assert_eq!(wanted.blockers, [8, 9]);
        assert_eq!((wanted.waited_ms, waits.xact_ms), (1400, Some(1600)));
        assert_eq!(wanted.relation.as_deref(), Some("public.t"));
        assert_eq!(sessions[&8].text, None);
        assert_eq!(sessions[&8].wanted, None);
        assert_eq!(unknown(&sessions), [9]);
    }

    #[test]
    fn a_prepared_transaction_has_no_session_and_the_questions_are_bounded() {
        let wanted = Wanted {
            blockers: (0..200).collect(),
            ..Wanted::default()
        };
        let session = Session {
            wanted: Some(wanted),
            ..Session::default()
        };
        let asked = unknown(&Sessions::from([(1, session)]));
        assert_eq!(asked.len(), MOST);
        assert!(!asked.contains(&0) && !asked.contains(&1));
        let many: Vec<u32> = (0..1000).collect();
        assert_eq!(array(&many).split(',').count(), MOST);
        assert_eq!(array(&[]), "{}");
    }
}
