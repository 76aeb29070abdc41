//! What is told about made-up facts.

use super::*;
use crate::audit::waits::Holder;
use std::time::SystemTime;

fn facts<'a>(snapshot: &'a Snapshot, cluster: &'a [(Map<String, Value>, u64)]) -> Facts<'a> {
    Facts {
        snapshot,
        cluster,
        phase: Phase::Running,
        paused: false,
        clients: (5, 100),
        failed: 0.0,
        costliest: None,
        unwritten: 0,
        locks: &[],
    }
}

fn told(facts: &Facts<'_>) -> Vec<String> {
    let line = |p: Problem| {
        format!(
            "{} {} {}: {}",
            p.severity.as_str(),
            p.kind,
            p.subject,
            p.text
        )
    };
    problems(facts).into_iter().map(line).collect()
}

#[test]
fn a_pool_that_waits_is_told_with_who_keeps_it_waiting() {
    let mut snapshot = crate::admin::tests::snapshot();
    snapshot.clients[0].requested = SystemTime::now() - Duration::from_secs(95);
    assert_eq!(
        told(&facts(&snapshot, &[])),
        [
            "critical waiting app/svc: 4 clients wait for a server, the first for 2.0 s; 2 of 7 servers are in use; client 5 (psql) has one since its last request 95.0 s ago"
        ]
    );
    let set = |snapshot: &mut Snapshot, us: u64| {
        snapshot
            .pools
            .iter_mut()
            .for_each(|pool| pool.maxwait_us = us);
    };
    set(&mut snapshot, 60_000);
    assert!(told(&facts(&snapshot, &[]))[0].starts_with("warn waiting app/svc"));
    set(&mut snapshot, 6_000);
    assert!(told(&facts(&snapshot, &[])).is_empty());
    snapshot.pools[0].paused = true;
    assert_eq!(
        told(&facts(&snapshot, &[])),
        ["warn paused app/svc: paused, and 4 clients wait; RESUME ends it"]
    );
}

#[test]
fn waits_for_locks_are_told_with_who_is_at_the_head() {
    let holder = |client, app: &str, state: &str| Holder {
        pid: 7,
        client,
        user: "carl".into(),
        app: app.into(),
        state: state.into(),
        state_ms: Some(61_000),
        ..Holder::default()
    };
    let waiting = |database: &str, waited_ms| Waiting {
        database: database.into(),
        waited_ms,
        ..Waiting::default()
    };
    let mut all = [
        waiting("shop", 4_000),
        waiting("shop", 1_000),
        waiting("till", 5_000),
    ];
    all[0].relation = "public.invoice".into();
    all[0].blocker = Some(holder(8, "checkout", "active"));
    all[0].root = Some(holder(9, "night", "idle in transaction"));
    all[2].blocker = Some(holder(0, "psql", ""));
    let snapshot = Snapshot::default();
    let mut facts = facts(&snapshot, &[]);
    facts.locks = &all;
    assert_eq!(
        told(&facts),
        [
            "critical locks till: 1 client waits for a lock, the first for 5.0 s; process 7, which did not come through here (carl, psql) is in the way",
            "warn locks shop: 2 clients wait for locks, the first for 4.0 s on public.invoice; client 9 (carl, night) is in the way, idle in transaction for 61.0 s",
        ]
    );
}

#[test]
fn the_worst_comes_first() {
    let snapshot = Snapshot::default();
    let row = |server: &str, role: &str, lag: u64| {
        let row = json!({"database": "shop", "server": server, "role": role, "lag_ms": lag, "reason": "x"});
        (row.as_object().cloned().unwrap_or_default(), 500)
    };
    let mut cluster = [
        row("a", "fenced", 0),
        row("b", "replica", 700),
        row("c", "replica", 500),
        row("d", "down", 0),
        row("e", "replica", 0),
    ];
    cluster[4].0.insert("state".to_owned(), "banned".into());
    let mut facts = facts(&snapshot, &cluster);
    facts.clients = (95, 100);
    facts.failed = 2.0;
    facts.unwritten = 1;
    facts.costliest = Some(Costliest {
        id: "n-plus-one-1".to_owned(),
        app: "till".to_owned(),
        database: "shop".to_owned(),
        rule: "n-plus-one",
        message: "It loops.".to_owned(),
        since: Duration::from_secs(720),
        round_trips: 7,
        server_us: 1_500_000,
        critical: false,
    });
    assert_eq!(
        told(&facts),
        [
            "critical audit audit trail: 1 line of the audit trail could not be written; the log tells why",
            "critical no_primary shop: no server is the primary: writes wait",
            "critical fenced shop on a: fenced, it gets nothing: x",
            "critical server_login servers: logins to servers fail: 2.0 per second; the log tells why",
            "warn clients pgweir: 95 of 100 client connections are taken (max_client_conn)",
            "warn lag shop on b: 700 ms behind its primary, more than 500 ms: it gets no reads",
            "warn down shop on d: does not answer: x",
            "warn banned shop on e: gets no reads x",
            "warn finding till: n-plus-one: It loops. 7 round trips and 1.5 s of servers in 12 min.",
        ]
    );
}
