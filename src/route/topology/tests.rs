use super::*;
use crate::config::Host;
use proptest::prelude::*;

fn cluster_of(servers: usize) -> Topology {
    let members: Vec<Member> = (0..servers)
        .map(|n| Member::plain(Host::parse(format!("db{n}"), 5432)))
        .collect();
    Topology::new(&members, "")
}

fn report(start: Instant, ms: u64, timeline: u32, in_recovery: bool, position: u64) -> Report {
    Report {
        asked: start + Duration::from_millis(ms),
        latency: Duration::ZERO,
        system: 1,
        timeline,
        in_recovery,
        position: position * 1000,
    }
}

fn standings(topology: &Topology) -> Vec<Standing> {
    let servers = topology.view().servers.iter();
    servers.map(|server| server.standing).collect()
}

#[test]
fn a_promotion_moves_the_primary_and_fences_the_old_one() {
    use Standing::{Fenced, Primary, Replica};
    let start = Instant::now();
    let mut topology = cluster_of(2);
    assert!(!topology.heard(0, Ok(report(start, 0, 1, false, 10))));
    assert!(topology.heard(1, Ok(report(start, 1, 1, true, 10))));
    assert_eq!(standings(&topology), [Primary, Replica]);
    assert!(topology.heard(1, Ok(report(start, 2, 2, false, 11))));
    assert_eq!(standings(&topology), [Fenced, Primary]);
    // It goes on to claim: nobody believes it.
    assert!(!topology.heard(0, Ok(report(start, 3, 1, false, 12))));
    assert_eq!(standings(&topology), [Fenced, Primary]);
    assert_eq!(topology.view().epoch, 2);
    // Also not when the new one is gone.
    assert!(!topology.heard(1, Err("gone".into())));
    assert!(!topology.heard(0, Ok(report(start, 4, 1, false, 13))));
    assert_eq!(topology.view().primary, Some(1));
    // It comes back as a replica of the new one.
    topology.heard(0, Ok(report(start, 5, 2, true, 13)));
    assert_eq!(standings(&topology)[0], Replica);
}

#[test]
fn of_two_claims_on_one_timeline_the_first_is_believed() {
    let start = Instant::now();
    let mut topology = cluster_of(2);
    topology.heard(1, Err("starts".into()));
    topology.heard(0, Ok(report(start, 0, 1, false, 10)));
    assert!(!topology.heard(1, Ok(report(start, 0, 1, false, 99))));
    assert_eq!(topology.view().primary, Some(0));
    assert_eq!(standings(&topology)[1], Standing::Fenced);
}

#[test]
fn a_demoted_primary_gets_no_writes_though_nobody_follows_it() {
    let start = Instant::now();
    let mut topology = cluster_of(2);
    topology.heard(1, Err("gone".into()));
    topology.heard(0, Ok(report(start, 0, 1, false, 10)));
    assert!(topology.heard(0, Ok(report(start, 1, 1, true, 10))));
    assert_eq!(topology.view().primary, None);
}

#[test]
fn the_primary_is_one_that_may_be() {
    let start = Instant::now();
    let members = |texts: &[&str]| -> Vec<Member> {
        let read = |text: &&str| Member::parse(text, 5432).expect("a server");
        texts.iter().map(read).collect()
    };
    for servers in [["a role=replica", "b"], ["a", "b role=primary"]] {
        let mut topology = Topology::new(&members(&servers), "");
        topology.heard(0, Ok(report(start, 0, 2, false, 10)));
        topology.heard(1, Ok(report(start, 0, 1, false, 10)));
        assert_eq!(topology.view().primary, Some(1), "{servers:?}");
        assert_eq!(standings(&topology)[0], Standing::Fenced);
    }
}

#[test]
fn who_may_be_the_primary_can_change() {
    let start = Instant::now();
    let members = |texts: [&str; 2]| texts.map(|text| Member::parse(text, 1).expect("a server"));
    let mut topology = Topology::new(&members(["a role=primary", "b"]), "");
    topology.heard(0, Ok(report(start, 0, 1, false, 10)));
    topology.heard(1, Ok(report(start, 0, 1, true, 10)));
    assert_eq!(topology.view().primary, Some(0));
    // Nobody is for a moment; then the other one, when it says so itself.
    topology.configure(&members(["a role=replica", "b role=replica"]), "");
    assert_eq!(topology.view().primary, None);
    assert_eq!(standings(&topology), [Standing::Fenced, Standing::Replica]);
    topology.configure(&members(["a", "b role=primary"]), "");
    assert_eq!(topology.view().primary, None);
    topology.heard(1, Ok(report(start, 5, 2, false, 11)));
    assert_eq!(topology.view().primary, Some(1));
    // The other way round: it says so first.
    let mut topology = Topology::new(&members(["a role=replica", "b role=replica"]), "");
    topology.heard(0, Ok(report(start, 0, 1, false, 10)));
    topology.heard(1, Ok(report(start, 0, 1, true, 10)));
    topology.configure(&members(["a role=primary", "b"]), "");
    assert_eq!(topology.view().primary, Some(0));
}

#[test]
fn what_comes_back_is_known_by_it() {
    let start = Instant::now();
    let mut topology = cluster_of(2);
    topology.heard(0, Ok(report(start, 0, 1, false, 10)));
    topology.heard(1, Ok(report(start, 1, 1, true, 10)));
    let back = |topology: &Topology| topology.view().servers[1].back_since;
    assert_eq!(back(&topology), None);
    topology.heard(1, Err("gone".into()));
    topology.heard(1, Ok(report(start, 7, 1, true, 10)));
    topology.heard(1, Ok(report(start, 9, 1, true, 10)));
    assert_eq!(back(&topology), Some(start + Duration::from_millis(7)));
}

#[test]
fn a_replica_that_fails_is_left_alone_and_begins_slowly() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut topology = cluster_of(2);
    topology.heard(0, Ok(report(start, 0, 1, false, 10)));
    topology.heard(1, Ok(report(start, 1, 1, true, 10)));
    assert!(
        !topology.failed(0, at(2), "no"),
        "the primary is nobody's to ban"
    );
    assert!(topology.failed(1, at(2), "refused"));
    assert!(!topology.failed(1, at(3), "refused again"));
    let server = topology.view().servers[1].clone();
    assert_eq!(&*server.banned(at(1001)).expect("banned").reason, "refused");
    assert_eq!(server.banned(at(1002)), None);
    assert_eq!(server.back_since, Some(at(1002)));
    // Not answering and coming back makes nothing of it undone.
    topology.heard(1, Err("gone".into()));
    topology.heard(1, Ok(report(start, 10, 1, true, 10)));
    let server = topology.view().servers[1].clone();
    assert!(server.banned(at(1001)).is_some());
    assert_eq!(server.back_since, Some(at(1002)));
}

#[test]
fn nobody_is_believed_before_all_were_asked() {
    let start = Instant::now();
    let mut topology = cluster_of(3);
    // Asked first, and demoted long ago.
    assert!(!topology.heard(0, Ok(report(start, 0, 1, false, 99))));
    assert!(!topology.heard(1, Err("no answer".into())));
    assert_eq!(topology.view().primary, None);
    assert!(topology.heard(2, Ok(report(start, 1, 2, false, 10))));
    assert_eq!(topology.view().primary, Some(2));
    assert_eq!(standings(&topology)[0], Standing::Fenced);
}

#[test]
fn a_replica_on_a_later_timeline_gives_an_old_primary_away() {
    let start = Instant::now();
    let mut topology = cluster_of(3);
    topology.heard(2, Err("the new primary is cut off".into()));
    topology.heard(1, Ok(report(start, 0, 2, true, 10)));
    assert!(!topology.heard(0, Ok(report(start, 0, 1, false, 99))));
    let said = topology.view().servers[0].clone();
    assert_eq!(
        (topology.view().primary, said.standing),
        (None, Standing::Fenced),
        "{said:?}"
    );
    // Also if that is heard later.
    let mut topology = cluster_of(2);
    topology.heard(1, Ok(report(start, 0, 1, true, 10)));
    assert!(topology.heard(0, Ok(report(start, 0, 1, false, 10))));
    assert!(topology.heard(1, Ok(report(start, 1, 2, true, 10))));
    assert_eq!(topology.view().primary, None);
    // Also if the old one is gone: the new one is not "another one on the same timeline".
    let mut topology = cluster_of(3);
    topology.heard(1, Ok(report(start, 0, 1, true, 10)));
    topology.heard(2, Ok(report(start, 0, 1, true, 10)));
    topology.heard(0, Ok(report(start, 0, 1, false, 10)));
    topology.heard(0, Err("dead".into()));
    topology.heard(1, Ok(report(start, 1, 2, true, 10)));
    assert!(topology.heard(2, Ok(report(start, 2, 2, false, 10))));
    assert_eq!(topology.view().primary, Some(2));
}

#[test]
fn the_data_of_another_cluster_are_not_taken() {
    let start = Instant::now();
    let mut topology = cluster_of(2);
    topology.heard(1, Err("gone".into()));
    topology.heard(0, Ok(report(start, 0, 1, false, 10)));
    let other = Report {
        system: 2,
        ..report(start, 0, 9, false, 10)
    };
    assert!(!topology.heard(1, Ok(other)));
    assert_eq!(standings(&topology)[1], Standing::Stranger);
}

#[test]
fn a_replica_is_as_fresh_as_the_last_position_it_has_reached() {
    let start = Instant::now();
    let at = |ms| Some(start + Duration::from_millis(ms));
    let mut topology = cluster_of(2);
    let fresh = |topology: &Topology| topology.view().servers[1].fresh_as_of;
    topology.heard(0, Ok(report(start, 0, 1, false, 100)));
    topology.heard(1, Ok(report(start, 1, 1, true, 99)));
    assert_eq!(fresh(&topology), None);
    topology.heard(0, Ok(report(start, 10, 1, false, 200)));
    topology.heard(1, Ok(report(start, 11, 1, true, 150)));
    assert_eq!(fresh(&topology), at(0));
    topology.heard(1, Ok(report(start, 12, 1, true, 200)));
    assert_eq!(fresh(&topology), at(10));
    assert_eq!(topology.view().lag_bytes(1), Some(0));
    // An idle primary: it need not write for the replica to be fresh.
    topology.heard(0, Ok(report(start, 20, 1, false, 200)));
    assert_eq!(fresh(&topology), at(20));
    // One that does not answer is trusted with nothing.
    topology.heard(1, Err("gone".into()));
    assert_eq!(fresh(&topology), None);
}

#[test]
fn the_header_of_a_new_page_is_nothing_to_replay() {
    let start = Instant::now();
    let fresh = |written, replayed| {
        let mut topology = cluster_of(2);
        topology.heard(
            0,
            Ok(Report {
                position: written,
                ..report(start, 0, 1, false, 0)
            }),
        );
        topology.heard(
            1,
            Ok(Report {
                position: replayed,
                ..report(start, 1, 1, true, 0)
            }),
        );
        topology.view().servers[1].fresh_as_of.is_some()
    };
    assert!(fresh(8192 * 3 + 40, 8192 * 3));
    assert!(fresh(8192 * 3 + 24, 8192 * 3));
    assert!(!fresh(8192 * 3 + 24, 8192 * 3 - 8));
    assert!(!fresh(8192 * 3 + 48, 8192 * 3));
}

#[test]
fn a_replica_on_another_timeline_is_not_fresh() {
    let start = Instant::now();
    let mut topology = cluster_of(2);
    topology.heard(0, Ok(report(start, 0, 2, false, 100)));
    topology.heard(1, Ok(report(start, 1, 1, true, 500)));
    assert_eq!(topology.view().servers[1].fresh_as_of, None);
}

proptest! {
    /// Whatever servers say in whatever order: the primary never is a server that last said that
    /// it is a replica, or that it is on an older timeline than another claim that was heard; and
    /// no replica is fresher than the last mark it can have reached.
    #[test]
    fn nobody_is_the_primary_who_must_not_be(
        said in prop::collection::vec((0usize..3, 1u32..4, any::<bool>(), 0u64..5, any::<bool>()), 1..60)
    ) {
        let start = Instant::now();
        let mut topology = cluster_of(3);
        let mut newest = 0;
        let mut last: [Option<Report>; 3] = [None; 3];
        for (step, (at, timeline, recovery, position, answers)) in said.into_iter().enumerate() {
            let one = report(start, step as u64, timeline, recovery, position);
            let told = if answers { Ok(one) } else { Err("gone".into()) };
            if answers {
                last[at] = Some(one);
            }
            let before = topology.view().epoch;
            let was = topology.view().primary;
            let changed = topology.heard(at, told);
            let view = topology.view();
            let claims = view.servers.iter().filter_map(|server| server.report);
            for claim in claims.filter(|report| topology.complete && !report.in_recovery) {
                newest = newest.max(claim.timeline);
            }
            prop_assert_eq!(changed, view.primary != was);
            prop_assert!(view.epoch >= before);
            if let Some(primary) = view.primary {
                let said = last[primary].expect("it said so");
                prop_assert!(!said.in_recovery);
                prop_assert!(said.timeline >= newest);
                let followed = view.servers.iter().filter_map(|server| server.report);
                for replica in followed.filter(|report| report.in_recovery) {
                    prop_assert!(said.timeline >= replica.timeline);
                }
            }
            let primaries = view.servers.iter().filter(|s| s.standing == Standing::Primary);
            prop_assert!(primaries.count() <= 1);
            for server in &view.servers {
                if let Some(fresh) = server.fresh_as_of {
                    prop_assert_eq!(server.standing, Standing::Replica);
                    prop_assert!(fresh <= one.asked);
                }
            }
        }
    }
}
