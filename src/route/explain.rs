//! `EXPLAIN ROUTE`: where a statement would go, and why, in words.

use std::time::Instant;

use super::balance;
use super::choice::{self, Asked, Reason, Route, Wanted};
use super::hint::Hint;
use super::topology::{Standing, View};
use crate::config::Host;
use crate::config::cluster::{Balance, ClusterPolicy, PrimaryReads, Target};
use crate::sql::{Analysis, Flags, Kind};

/// What a statement is for a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It only reads.
    Reads,
    /// It begins a transaction that only reads.
    Transaction,
    /// It begins a transaction, and the first statement says where both go.
    Deferred,
    /// A replica refused one of its shape.
    Refused,
    /// It may write, for this reason.
    Writes(&'static str),
}

impl Class {
    /// The class of a text with this analysis. `reads`: it only reads, its functions as the catalogue says.
    /// `refused`: a replica refused one of its shape. `deferred`: it is a BEGIN that waits for the first statement.
    #[must_use]
    pub fn of(
        known: &Analysis,
        reads: bool,
        refused: bool,
        deferred: bool,
        policy: ClusterPolicy,
    ) -> Class {
        let flags = known.flags;
        if deferred {
            return Class::Deferred;
        }
        if reads {
            return match refused {
                true => Class::Refused,
                false => Class::Reads,
            };
        }
        let transaction = flags.contains(Flags::BEGINS_READING) && !flags.contains(Flags::MULTI);
        if transaction && !policy.transactions_stay {
            return Class::Transaction;
        }
        Class::Writes(if flags.contains(Flags::UNANALYSED) {
            "it is too long, or PostgreSQL's grammar as it is known here does not accept it"
        } else if flags.contains(Flags::BEGIN) {
            "it begins a transaction, and what follows may write"
        } else if flags.intersects(Flags::LISTEN.union(Flags::TEMP).union(Flags::ADVISORY_LOCK)) {
            "it leaves something in the session"
        } else if known.kind == Kind::Show {
            "SHOW asks about the server, and whoever asks means the primary"
        } else if known.kind == Kind::Select && flags.contains(Flags::CALLS_FUNCTION) {
            "it calls a function that is VOLATILE, or not known to read only"
        } else if known.kind == Kind::Select {
            "it locks rows, creates a table or writes within WITH"
        } else {
            "it is a command that may write"
        })
    }

    fn words(self) -> String {
        match self {
            Class::Reads => "it only reads".to_owned(),
            Class::Transaction => "it begins a transaction that only reads".to_owned(),
            Class::Deferred => "it begins a transaction".to_owned(),
            Class::Refused => {
                "its text only reads, but a replica refused a statement of its shape".to_owned()
            }
            Class::Writes(why) => format!("it may write: {why}"),
        }
    }
}

/// What is known of a cluster, and what is asked.
pub struct Question<'a> {
    /// The servers' names.
    pub hosts: &'a [Host],
    /// What they said.
    pub view: &'a View,
    /// The database's.
    pub policy: ClusterPolicy,
    /// Of the statement.
    pub class: Class,
    /// Of its comments.
    pub hint: &'a Hint,
}

/// Item and value, a row each. Nothing is run, and whose writes it would have to see is not known.
#[must_use]
pub fn explain(question: &Question<'_>, now: Instant) -> Vec<(String, String)> {
    let (hosts, view, policy) = (question.hosts, question.view, question.policy);
    let name = |at: usize| hosts.get(at).map(Host::to_string).unwrap_or_default();
    let asked = asked(question.hint, hosts);
    let for_replicas = matches!(policy.target, Target::Standby | Target::PreferStandby);
    let reads = for_replicas || matches!(question.class, Class::Reads | Class::Transaction);
    let may = |at: usize| {
        let wanted = Wanted {
            asked: Asked::Server(at),
            ..Wanted::default()
        };
        reads && choice::candidates(view, &policy, &wanted, now).has(at)
    };
    let wanted = Wanted {
        asked,
        ..Wanted::default()
    };
    let aimed = choice::aim(view, &policy, policy.target, &wanted, now, |_| 0, || 0);
    let route = match (aimed, question.class) {
        (Some(route), _) => route,
        (None, Class::Refused) => Route::Primary(Reason::Refused),
        (None, Class::Writes(_) | Class::Deferred) => Route::Primary(Reason::Writes),
        (None, _) => choice::read(view, &policy, &wanted, now, |_| 0, 0),
    };
    let (to, why) = match route {
        Route::Primary(reason) => (
            match view.primary {
                Some(at) => format!("{} (the primary)", name(at)),
                None => "the primary, which is not known: it waits".to_owned(),
            },
            match reason {
                Reason::Writes => question.class.words(),
                Reason::Refused => question.class.words(),
                Reason::Policy => "primary_reads = only".to_owned(),
                Reason::Hint => "the statement asks for it".to_owned(),
                Reason::Target => "target_session_attrs: all goes to the primary".to_owned(),
                Reason::NoReplica => "no replica may have it".to_owned(),
                other => other.as_str().to_owned(),
            },
        ),
        Route::Wait(_) => (
            "nowhere yet: it waits for a replica".to_owned(),
            match policy.target {
                Target::Any => "primary_reads = never, and no replica may have it".to_owned(),
                _ => "target_session_attrs, and no replica may have it".to_owned(),
            },
        ),
        Route::Replica(at) if matches!(asked, Asked::Server(_)) => {
            (name(at), "the statement asks for it".to_owned())
        }
        Route::Replica(_) => {
            let among = balance::near(view, choice::candidates(view, &policy, &wanted, now));
            let all: Vec<String> = among.iter().map(name).collect();
            let always = policy.primary_reads == PrimaryReads::Always && asked == Asked::Auto;
            let too = if always { ", or the primary" } else { "" };
            (
                format!("{}{too}", all.join(" or ")),
                match policy.balance {
                    _ if for_replicas => "target_session_attrs: all goes to replicas",
                    Balance::LeastLoaded => {
                        "it only reads; the one with less to do of two taken by chance"
                    }
                    Balance::RoundRobin => "it only reads; one after the other",
                    Balance::Random => "it only reads; one taken by chance",
                }
                .to_owned(),
            )
        }
    };
    let (to, why) = match (aimed, question.class) {
        (None, Class::Deferred) => (
            "nowhere yet: pgweir answers it".to_owned(),
            "defer_begin: it goes with the first statement, to a replica if that one only reads, else to the \
             primary"
                .to_owned(),
        ),
        _ => (to, why),
    };
    let mut rows = vec![
        ("statement".to_owned(), question.class.words()),
        ("goes to".to_owned(), to),
        ("because".to_owned(), why),
    ];
    for (at, server) in view.servers.iter().enumerate() {
        let lag = (server.lag(now)).map_or_else(String::new, |lag| {
            format!(", {} ms behind", lag.as_millis())
        });
        let says = match server.standing {
            Standing::Primary => "takes writes".to_owned(),
            Standing::Replica if reads && server.banned(now).is_some() => {
                let why = server.banned(now).map_or("", |ban| &*ban.reason);
                format!("gets nothing for a while: {why}")
            }
            Standing::Replica if may(at) && server.share.weight == 0 => {
                format!("may have it if it is named (weight 0){lag}")
            }
            Standing::Replica if may(at) && !server.share.near => {
                format!("may have it, is of another zone{lag}")
            }
            Standing::Replica if may(at) => format!("may have it{lag}"),
            Standing::Replica if reads => format!("is too far behind{lag}"),
            Standing::Replica => format!("gets reads only{lag}"),
            _ => format!("gets nothing ({})", server.standing.as_str()),
        };
        rows.push((name(at), says));
    }
    rows
}

/// What a hint means among these servers.
#[must_use]
pub fn asked(hint: &Hint, hosts: &[Host]) -> Asked {
    match hint {
        Hint::Auto => Asked::Auto,
        Hint::Primary => Asked::Primary,
        Hint::Replica => Asked::Replica,
        Hint::Server(_) => (hosts.iter())
            .position(|host| hint.means(&host.to_string()))
            .map_or(Asked::Elsewhere, Asked::Server),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::topology::Server;
    use super::*;
    use crate::sql::{Lexing, analyse};

    fn said(text: &str, reads: PrimaryReads) -> Vec<(String, String)> {
        said_of(text, reads, false)
    }

    fn said_of(text: &str, reads: PrimaryReads, deferred: bool) -> Vec<(String, String)> {
        let now = Instant::now();
        let server = |standing, fresh_as_of| Server {
            standing,
            fresh_as_of,
            ..Server::default()
        };
        let old = now.checked_sub(Duration::from_secs(60));
        let view = View {
            servers: vec![
                server(Standing::Primary, None),
                server(Standing::Replica, Some(now)),
                server(Standing::Replica, old),
                server(Standing::Fenced, None),
            ],
            primary: Some(0),
            epoch: 1,
        };
        let hosts: Vec<Host> = (0..4)
            .map(|n| Host::parse(format!("db{n}"), 5432))
            .collect();
        let policy = ClusterPolicy {
            primary_reads: reads,
            ..ClusterPolicy::default()
        };
        let known = analyse(text.as_bytes(), Lexing::default());
        let hint = Hint::of_text(text.as_bytes(), Lexing::default()).unwrap_or_default();
        let question = Question {
            hosts: &hosts,
            view: &view,
            policy,
            class: Class::of(
                &known,
                known.flags.contains(Flags::READ_ONLY),
                false,
                deferred,
                policy,
            ),
            hint: &hint,
        };
        explain(&question, now)
    }

    #[test]
    fn it_says_where_and_why() {
        let of = |text: &str, reads, item: &str| {
            let rows = said(text, reads);
            let row = rows.iter().find(|(name, _)| name == item);
            row.unwrap_or_else(|| panic!("{item} in {rows:?}"))
                .1
                .clone()
        };
        let when = PrimaryReads::WhenNoReplica;
        for (text, to, because) in [
            ("SELECT 1", "db1:5432", "it only reads"),
            ("SELECT f()", "db0:5432 (the primary)", "calls a function"),
            (
                "SELECT 1 FROM t FOR UPDATE",
                "db0:5432 (the primary)",
                "it locks rows",
            ),
            ("SHOW port", "db0:5432 (the primary)", "SHOW asks"),
            ("DELETE FROM t", "db0:5432 (the primary)", "may write"),
            ("BEGIN READ ONLY", "db1:5432", "it only reads"),
            ("BEGIN", "db0:5432 (the primary)", "begins a transaction"),
            ("SELEC", "db0:5432 (the primary)", "grammar"),
            (
                "/* pgweir: route=db0 */ SELECT 1",
                "db0:5432 (the primary)",
                "asks for it",
            ),
            (
                "/* pgweir: route=db2 */ SELECT 1",
                "db0:5432 (the primary)",
                "no replica may",
            ),
            (
                "/* pgweir: route=db1 */ SELECT 1",
                "db1:5432",
                "asks for it",
            ),
        ] {
            assert_eq!(of(text, when, "goes to"), to, "{text}");
            let why = of(text, when, "because");
            assert!(why.contains(because), "{text}: {why}");
        }
        let rows = said_of("BEGIN", when, true);
        assert!(rows[1].1.starts_with("nowhere yet"), "{rows:?}");
        assert!(rows[2].1.contains("first statement"), "{rows:?}");
        assert!(of("SELECT 1", PrimaryReads::Only, "because").contains("primary_reads"));
        assert!(of("SELECT 1", PrimaryReads::Always, "goes to").contains("or the primary"));
        assert_eq!(
            of("SELECT 1", when, "db2:5432"),
            "is too far behind, 60000 ms behind"
        );
        assert_eq!(
            of("DELETE FROM t", when, "db1:5432"),
            "gets reads only, 0 ms behind"
        );
        assert_eq!(of("SELECT 1", when, "db3:5432"), "gets nothing (fenced)");
    }
}
