//! Which server gets a statement that a replica may run.

use std::time::{Duration, Instant};

use super::balance::{self, Servers};
use super::topology::{Server, Standing, View};
use crate::config::cluster::{ClusterPolicy, PrimaryReads, Target};

/// Why a statement goes where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It may write, or nothing is known of it.
    Writes,
    /// The policy keeps reads on the primary.
    Policy,
    /// A replica is there that is fresh enough.
    Replica,
    /// The policy has the primary read too, and it has the least to do.
    Balanced,
    /// No replica shows what this client wrote yet.
    OwnWrites,
    /// No replica is there, or those that are there lag too much.
    NoReplica,
    /// A replica refused it, or one of its shape.
    Refused,
    /// The client asked for that server.
    Hint,
    /// Its session is for such servers.
    Target,
    /// It begins a transaction, and the first statement says where both go.
    Deferred,
}

impl Reason {
    /// As logs and SHOW have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Writes => "writes",
            Reason::Policy => "policy",
            Reason::Replica => "replica",
            Reason::Balanced => "balanced",
            Reason::OwnWrites => "own-writes",
            Reason::NoReplica => "no-replica",
            Reason::Refused => "refused",
            Reason::Hint => "hint",
            Reason::Target => "target",
            Reason::Deferred => "deferred",
        }
    }
}

/// Where a read goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the primary.
    Primary(Reason),
    /// To this server.
    Replica(usize),
    /// Nowhere yet: the policy keeps it from the primary, and no replica may have it for this reason.
    Wait(Reason),
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: as the policy says.
    #[default]
    Auto,
    /// The primary.
    Primary,
    /// A replica, whatever the policy says of reads.
    Replica,
    /// This server.
    Server(usize),
    /// A server that is not one of the cluster's.
    Elsewhere,
}

/// What of a read decides where it goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The moment of the last write that it must see.
    pub written: Option<Instant>,
    /// The place in the write-ahead log that it must see.
    pub position: Option<u64>,
    /// What its client asked for.
    pub asked: Asked,
    /// Replicas that could not be had for it.
    pub without: Servers,
}

/// The place in the write-ahead log that `text` names as PostgreSQL writes it (`16/B374D848`).
#[must_use]
pub fn lsn(text: &str) -> Option<u64> {
    let (high, low) = text.trim().split_once('/')?;
    let part = |digits: &str| {
        let hex = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| u64::from_str_radix(digits, 16).ok())?
    };
    Some(part(high)? << 32 | part(low)?)
}

/// The replicas that may have a read: fresh enough, and what it has to see is there. Those that failed
/// lately are among them only if there are no others and no primary for it either: the last one is never banned.
#[must_use]
pub fn candidates(view: &View, policy: &ClusterPolicy, wanted: &Wanted, now: Instant) -> Servers {
    let Wanted {
        written, position, ..
    } = *wanted;
    let all = Servers::of(view, |at, server| {
        !wanted.without.has(at)
            && is_recent(server, policy, now)
            && is_meant(wanted.asked, at, server)
            && position.is_none_or(|position| {
                (server.report).is_some_and(|report| report.position >= position)
            })
            && written.is_none_or(|written| server.fresh_as_of.is_some_and(|fresh| written < fresh))
    });
    let well = all.and(Servers::of(view, |_, server| server.banned(now).is_none()));
    let primary_may = view.primary.is_some() && policy.primary_reads != PrimaryReads::Never;
    match well.is_empty() && !primary_may {
        true => all,
        false => well,
    }
}

/// What a server is for now: `writes`, `reads`, `warming` (reads, not its full share yet), `behind` (older than
/// it may be), `banned`, or `out`.
#[must_use]
pub fn state(server: &Server, policy: &ClusterPolicy, now: Instant) -> &'static str {
    match server.standing {
        Standing::Primary => "writes",
        Standing::Replica if server.banned(now).is_some() => "banned",
        Standing::Replica if !is_recent(server, policy, now) => "behind",
        Standing::Replica if balance::is_warming(server, policy, now) => "warming",
        Standing::Replica => "reads",
        _ => "out",
    }
}

/// Whether it is a replica that is not older than it may be.
fn is_recent(server: &Server, policy: &ClusterPolicy, now: Instant) -> bool {
    server.standing == Standing::Replica
        && (policy.max_lag == Duration::ZERO
            || (server.lag(now)).is_some_and(|lag| lag <= policy.max_lag))
}

/// Whether a client may mean this server by what it asked for. Without a weight a server is only there for
/// those that name it.
fn is_meant(asked: Asked, at: usize, server: &Server) -> bool {
    match asked {
        Asked::Server(only) => at == only,
        Asked::Elsewhere => false,
        _ => server.share.weight > 0,
    }
}

/// Chooses a server for a read; see [`balance::pick`] for `load` and `chance`. What a client asked for is
/// among those that may have the read, or the primary has it.
pub fn read(
    view: &View,
    policy: &ClusterPolicy,
    wanted: &Wanted,
    now: Instant,
    load: impl Fn(usize) -> u32,
    chance: u64,
) -> Route {
    let asked = wanted.asked;
    match asked {
        Asked::Primary => return Route::Primary(Reason::Hint),
        Asked::Server(at) if view.primary == Some(at) => return Route::Primary(Reason::Hint),
        Asked::Elsewhere if policy.primary_reads != PrimaryReads::Never => {
            return Route::Primary(Reason::NoReplica);
        }
        Asked::Auto if policy.primary_reads == PrimaryReads::Only => {
            return Route::Primary(Reason::Policy);
        }
        _ => {}
    }
    let may = candidates(view, policy, wanted, now);
    let Some(best) = balance::pick(view, may, policy, now, &load, chance) else {
        let recent = Servers::of(view, |at, server| {
            !wanted.without.has(at)
                && server.banned(now).is_none()
                && is_recent(server, policy, now)
                && is_meant(asked, at, server)
        });
        let reason = match recent.is_empty() {
            true => Reason::NoReplica,
            false => Reason::OwnWrites,
        };
        return match policy.primary_reads {
            PrimaryReads::Never => Route::Wait(reason),
            _ => Route::Primary(reason),
        };
    };
    let of = |at: usize| {
        let server = view.servers.get(at);
        (
            load(at),
            server.map_or(0, |server| balance::share(server, policy, now)),
        )
    };
    match (policy.primary_reads, view.primary) {
        (PrimaryReads::Always, Some(primary))
            if asked == Asked::Auto && balance::has_less(of(primary), of(best)) =>
        {
            Route::Primary(Reason::Balanced)
        }
        _ => Route::Replica(best),
    }
}

/// Where all of a session goes that is for `target` as a whole, whatever is in it; `None` if each statement goes
/// where it may run. `load` and `chance` are those of [`balance::pick`].
pub fn aim(
    view: &View,
    policy: &ClusterPolicy,
    target: Target,
    wanted: &Wanted,
    now: Instant,
    load: impl Fn(usize) -> u32,
    chance: impl FnOnce() -> u64,
) -> Option<Route> {
    match target {
        Target::Any => return None,
        Target::Primary => return Some(Route::Primary(Reason::Target)),
        Target::Standby | Target::PreferStandby => {}
    }
    let among = candidates(view, policy, wanted, now);
    let found = balance::pick(view, among, policy, now, load, chance());
    Some(match (found, target) {
        (Some(at), _) => Route::Replica(at),
        (None, Target::PreferStandby) => Route::Primary(Reason::NoReplica),
        (None, _) => Route::Wait(Reason::NoReplica),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::ban::Ban;
    use crate::route::topology::Report;

    fn policy(primary_reads: PrimaryReads) -> ClusterPolicy {
        ClusterPolicy {
            primary_reads,
            ..ClusterPolicy::default()
        }
    }

    /// A primary and replicas that are fresh as of so many seconds after `start`.
    fn view(start: Instant, fresh: &[Option<u64>]) -> View {
        let mut servers = vec![Server {
            standing: Standing::Primary,
            ..Server::default()
        }];
        servers.extend(fresh.iter().map(|fresh| Server {
            standing: Standing::Replica,
            fresh_as_of: fresh.map(|seconds| start + Duration::from_secs(seconds)),
            ..Server::default()
        }));
        View {
            servers,
            primary: Some(0),
            epoch: 1,
        }
    }

    #[test]
    fn only_a_replica_that_is_fresh_enough_gets_a_read() {
        let start = Instant::now();
        let now = start + Duration::from_secs(60);
        let go = |fresh: &[Option<u64>], written: Option<u64>| {
            let written = written.map(|seconds| start + Duration::from_secs(seconds));
            let policy = policy(PrimaryReads::WhenNoReplica);
            let wanted = Wanted {
                written,
                ..Wanted::default()
            };
            read(&view(start, fresh), &policy, &wanted, now, |_| 0, 7)
        };
        assert_eq!(go(&[Some(59)], None), Route::Replica(1));
        assert_eq!(go(&[Some(40)], None), Route::Primary(Reason::NoReplica));
        assert_eq!(go(&[None], None), Route::Primary(Reason::NoReplica));
        assert_eq!(go(&[Some(40), Some(55)], None), Route::Replica(2));
        assert_eq!(go(&[Some(55)], Some(56)), Route::Primary(Reason::OwnWrites));
        assert_eq!(go(&[Some(55)], Some(55)), Route::Primary(Reason::OwnWrites));
        assert_eq!(go(&[Some(57)], Some(56)), Route::Replica(1));
        assert_eq!(go(&[], None), Route::Primary(Reason::NoReplica));
        let (never, now) = (policy(PrimaryReads::Never), start);
        let alone = |asked| {
            let wanted = Wanted {
                asked,
                ..Wanted::default()
            };
            read(&view(start, &[]), &never, &wanted, now, |_| 0, 7)
        };
        for asked in [Asked::Auto, Asked::Replica, Asked::Elsewhere] {
            assert_eq!(alone(asked), Route::Wait(Reason::NoReplica), "{asked:?}");
        }
        assert_eq!(alone(Asked::Primary), Route::Primary(Reason::Hint));
    }

    #[test]
    fn who_failed_lately_gets_nothing_unless_nobody_else_is_there() {
        let start = Instant::now();
        let mut view = view(start, &[Some(60), Some(60)]);
        let now = start + Duration::from_secs(60);
        let policy = policy(PrimaryReads::WhenNoReplica);
        let ban = Some(Ban::after(None, now, "gone"));
        view.servers[1].ban = ban.clone();
        let go = |view: &View, now, without| {
            let wanted = Wanted {
                without,
                ..Wanted::default()
            };
            read(view, &policy, &wanted, now, |_| 0, 7)
        };
        let all = Servers::default();
        assert_eq!(go(&view, now, all), Route::Replica(2));
        assert_eq!(state(&view.servers[1], &policy, now), "banned");
        assert_eq!(
            go(&view, now, all.with(2)),
            Route::Primary(Reason::NoReplica)
        );
        view.servers[2].ban = ban;
        assert_eq!(go(&view, now, all), Route::Primary(Reason::NoReplica));
        // Without a primary the last ones are tried all the same.
        let orphans = View {
            primary: None,
            ..view.clone()
        };
        assert!(matches!(go(&orphans, now, all), Route::Replica(_)));
        let over = now + Duration::from_secs(1);
        assert!(matches!(go(&view, over, all), Route::Replica(_)));
        assert_eq!(state(&view.servers[0], &policy, now), "writes");
        assert_eq!(state(&view.servers[1], &policy, over), "reads");
    }

    #[test]
    fn a_session_that_is_for_some_servers_gets_nothing_else() {
        let start = Instant::now();
        let policy = policy(PrimaryReads::Only);
        let go = |fresh: &[Option<u64>], target| {
            let wanted = Wanted::default();
            let view = view(start, fresh);
            aim(&view, &policy, target, &wanted, start, |_| 0, || 7)
        };
        use Target::{Any, PreferStandby, Primary, Standby};
        let none = Reason::NoReplica;
        for (target, with_one, without) in [
            (Any, None, None),
            (
                Primary,
                Some(Route::Primary(Reason::Target)),
                Some(Route::Primary(Reason::Target)),
            ),
            (Standby, Some(Route::Replica(1)), Some(Route::Wait(none))),
            (
                PreferStandby,
                Some(Route::Replica(1)),
                Some(Route::Primary(none)),
            ),
        ] {
            assert_eq!(go(&[Some(0)], target), with_one, "{target:?}");
            assert_eq!(go(&[], target), without, "{target:?}");
        }
    }

    #[test]
    fn the_policy_has_the_last_word() {
        let start = Instant::now();
        let view = view(start, &[Some(1)]);
        let now = start + Duration::from_secs(1);
        let go = |reads, load: [u32; 2]| {
            read(
                &view,
                &policy(reads),
                &Wanted::default(),
                now,
                |at| load[at],
                0,
            )
        };
        assert_eq!(
            go(PrimaryReads::Only, [0, 9]),
            Route::Primary(Reason::Policy)
        );
        assert_eq!(
            go(PrimaryReads::Always, [0, 9]),
            Route::Primary(Reason::Balanced)
        );
        assert_eq!(go(PrimaryReads::Always, [9, 9]), Route::Replica(1));
        assert_eq!(go(PrimaryReads::WhenNoReplica, [0, 9]), Route::Replica(1));
        assert_eq!(go(PrimaryReads::Never, [0, 9]), Route::Replica(1));
    }

    #[test]
    fn a_client_gets_what_it_asks_for_if_that_may_be() {
        let start = Instant::now();
        let view = view(start, &[Some(50), Some(58), Some(58)]);
        let now = start + Duration::from_secs(60);
        let go = |reads, asked, written: Option<u64>| {
            let written = written.map(|seconds| start + Duration::from_secs(seconds));
            read(
                &view,
                &policy(reads),
                &Wanted {
                    written,
                    asked,
                    ..Wanted::default()
                },
                now,
                |_| 0,
                3,
            )
        };
        let (only, when) = (PrimaryReads::Only, PrimaryReads::WhenNoReplica);
        assert_eq!(go(when, Asked::Primary, None), Route::Primary(Reason::Hint));
        assert_eq!(
            go(when, Asked::Server(0), None),
            Route::Primary(Reason::Hint)
        );
        assert!(matches!(
            go(only, Asked::Replica, None),
            Route::Replica(1..=3)
        ));
        for at in [2, 3] {
            assert_eq!(go(only, Asked::Server(at), None), Route::Replica(at));
        }
        let late = go(when, Asked::Server(1), Some(55));
        assert_eq!(late, Route::Primary(Reason::OwnWrites));
        let none = Route::Primary(Reason::NoReplica);
        assert_eq!(go(when, Asked::Server(9), None), none);
        assert_eq!(go(when, Asked::Elsewhere, None), none);
        assert_eq!(go(only, Asked::Auto, None), Route::Primary(Reason::Policy));
    }

    #[test]
    fn a_place_in_the_log_is_waited_for() {
        let start = Instant::now();
        let mut view = view(start, &[Some(58), Some(58)]);
        let now = start + Duration::from_secs(60);
        for (at, position) in [(1, 0x16_B374_D848), (2, 0x16_B374_D847)] {
            view.servers[at].report = Some(Report {
                asked: now,
                latency: Duration::ZERO,
                system: 1,
                timeline: 1,
                in_recovery: true,
                position,
            });
        }
        let go = |text: &str| {
            let wanted = Wanted {
                position: lsn(text),
                ..Wanted::default()
            };
            assert!(wanted.position.is_some(), "{text}");
            read(
                &view,
                &policy(PrimaryReads::WhenNoReplica),
                &wanted,
                now,
                |_| 0,
                1,
            )
        };
        assert_eq!(go("16/B374D848"), Route::Replica(1));
        assert_eq!(go("16/B374D849"), Route::Primary(Reason::OwnWrites));
        assert!(matches!(go("0/0"), Route::Replica(_)));
        for wrong in ["", "16", "16/", "/1", "16/B374D8481", "16/x", "-1/0"] {
            assert_eq!(lsn(wrong), None, "{wrong}");
        }
    }
}
