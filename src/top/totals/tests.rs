use std::time::Duration;

use super::*;
use crate::top::screens::tests::answer;

/// A look `seconds` after `start`, with this many transactions since the start.
pub(crate) fn reading(
    start: Instant,
    seconds: u64,
    xacts: u64,
    screen: (usize, Answer),
) -> Reading {
    let (queries, time) = ((2 * xacts).to_string(), (600 * xacts).to_string());
    let xacts = xacts.to_string();
    let passed = Duration::from_secs(seconds);
    Reading {
        at: start + passed,
        time: SystemTime::UNIX_EPOCH + passed,
        head: [
            answer(
                &["name", "value"],
                &[
                    &["total_xact_count", "9"],
                    &["total_client_error_count", &xacts],
                ],
            ),
            answer(
                &[
                    "database",
                    "cl_active",
                    "cl_waiting",
                    "sv_active",
                    "sv_active_cancel",
                    "sv_idle",
                    "sv_tested",
                    "sv_being_canceled",
                    "maxwait",
                    "maxwait_us",
                ],
                &[
                    &["pgbouncer", "1", "0", "0", "0", "0", "0", "0", "0", "0"],
                    &["a", "5", "2", "3", "1", "4", "1", "1", "0", "7"],
                    &["b", "6", "0", "2", "0", "0", "0", "0", "1", "5"],
                ],
            ),
            answer(
                &["name", "pool_size", "paused"],
                &[&["a", "20", "0"], &["b", "5", "1"]],
            ),
            answer(
                &["key", "value"],
                &[&["paused", "no"], &["phase", "wait_for_clients"]],
            ),
            answer(
                &[
                    "database",
                    "total_xact_count",
                    "total_query_count",
                    "total_query_time",
                ],
                &[
                    &["a", &xacts, &queries, &time],
                    &["b", "1", "1", "1"],
                    &["pgbouncer", &queries, &queries, &time],
                ],
            ),
        ],
        screen,
        plan: None,
    }
}

#[test]
fn rates_are_those_between_two_looks() {
    let start = Instant::now();
    let first = reading(start, 0, 100, (0, Answer::default()));
    let second = reading(start, 4, 300, (0, Answer::default()));
    let alone = totals(&first, None);
    assert_eq!((alone.transactions, alone.query_us), (None, None));
    let totals = totals(&second, Some(&first));
    assert_eq!(totals.transactions, Some(50.0));
    assert_eq!(totals.queries, Some(100.0));
    assert_eq!(totals.query_us, Some(300.0));
    assert_eq!(totals.errors, Some(50.0));
    assert_eq!((totals.clients, totals.waiting), (11, 2));
    assert_eq!((totals.busy, totals.servers), (5, 11));
    assert_eq!(totals.longest_us, 1_000_005.0);
    assert_eq!(totals.paused.as_deref(), Some("b"));
    assert_eq!(totals.phase, "wait_for_clients");
    assert_eq!(second.sizes().get("a"), Some(&20.0));
    // It was started again in between.
    assert_eq!(super::totals(&first, Some(&second)).transactions, Some(0.0));
}
