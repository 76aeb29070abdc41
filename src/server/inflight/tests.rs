use super::*;
use proptest::prelude::*;

fn entry(kind: Kind, reply: Reply, effect: Option<u32>) -> Entry<u32> {
    Entry {
        kind,
        reply,
        statement: 0,
        effect,
    }
}

fn ledger(kinds: &[Kind]) -> Ledger<u32> {
    let mut ledger = Ledger::default();
    for (i, &kind) in kinds.iter().enumerate() {
        ledger.sent(entry(kind, Reply::Forward, Some(i as u32)));
    }
    ledger
}

fn feed(ledger: &mut Ledger<u32>, tags: &[u8]) -> Vec<u32> {
    let mut dropped = Vec::new();
    for &tag in tags {
        ledger
            .reply(tag, &mut dropped)
            .unwrap_or_else(|e| panic!("{e}"));
    }
    dropped
}

use Kind::*;

#[test]
fn simple_query_ends_with_ready() {
    let mut l = ledger(&[Query]);
    feed(&mut l, b"TDDCTDC");
    assert!(!l.is_empty());
    feed(&mut l, b"Z");
    assert!(l.is_empty());
}

#[test]
fn error_skips_to_sync_and_undoes_in_reverse() {
    let mut l = ledger(&[Parse, Bind, Execute, Parse, Close, Sync, Query]);
    assert_eq!(feed(&mut l, b"1E"), [4, 3, 2]);
    feed(&mut l, b"ZCZ");
    assert!(l.is_empty());
}

#[test]
fn error_before_sync_was_sent_skips_what_follows() {
    let mut l = ledger(&[Parse, Bind]);
    feed(&mut l, b"E");
    assert!(l.skipping() && !l.is_empty());
    assert_eq!(l.sent(entry(Parse, Reply::Forward, Some(9))), Some(9));
    assert_eq!(l.sent(entry(Query, Reply::Forward, None)), None);
    assert_eq!(l.len(), 0, "a Query is ignored too until Sync");
    l.forward(Sync);
    feed(&mut l, b"Z");
    assert!(l.is_empty());
}

#[test]
fn a_batch_without_sync_is_not_over() {
    let mut l = ledger(&[Parse, Bind, Execute]);
    feed(&mut l, b"12C");
    assert_eq!(l.len(), 0);
    assert!(!l.is_empty(), "PostgreSQL's transaction is still open");
    l.forward(Sync);
    feed(&mut l, b"Z");
    assert!(l.is_empty());
    // A Sync within COPY data ends nothing.
    let mut l = ledger(&[Execute, Sync]);
    feed(&mut l, b"G");
    l.forward(CopyData);
    l.forward(CopyEnd);
    feed(&mut l, b"C");
    assert!(!l.is_empty());
    l.forward(Sync);
    feed(&mut l, b"Z");
    assert!(l.is_empty());
}

#[test]
fn preparing_alone_can_be_ended_by_us() {
    let mut l = ledger(&[Parse, DescribeStatement]);
    assert!(!l.only_prepared(), "replies are owed");
    feed(&mut l, b"1tn");
    assert!(l.only_prepared() && !l.is_empty());
    l.sent(entry(Sync, Reply::Swallow, None));
    assert!(!l.asynchronous_is_forwarded());
    feed(&mut l, b"Z");
    assert!(l.is_empty());
    let mut l = ledger(&[Parse, Bind]);
    feed(&mut l, b"12");
    assert!(!l.only_prepared(), "a portal would be lost");
}

#[test]
fn error_at_sync_is_a_failed_commit() {
    let mut l = ledger(&[Parse, Bind, Execute, Sync]);
    feed(&mut l, b"12CEZ");
    assert!(l.is_empty());
}

#[test]
fn copy_in_ignores_syncs_before_its_end() {
    // What libpq sends for COPY by the extended protocol.
    let mut l = ledger(&[Parse, Bind, DescribePortal, Execute, Sync]);
    feed(&mut l, b"12nG");
    assert!(l.copy_in());
    l.forward(CopyData);
    l.forward(CopyData);
    l.forward(CopyEnd);
    l.forward(Sync);
    feed(&mut l, b"CZ");
    assert!(l.is_empty());
}

#[test]
fn copy_in_that_fails_waits_for_the_sync_after_the_data() {
    let mut l = ledger(&[Parse, Bind, Execute, Sync]);
    feed(&mut l, b"12G");
    l.forward(CopyData);
    feed(&mut l, b"E");
    assert!(l.skipping());
    l.forward(CopyData);
    l.forward(CopyEnd);
    l.forward(Sync);
    feed(&mut l, b"Z");
    assert!(l.is_empty());
}

#[test]
fn copy_in_simple_protocol() {
    let mut l = ledger(&[Query]);
    feed(&mut l, b"G");
    l.forward(CopyData);
    l.forward(CopyEnd);
    feed(&mut l, b"CZ");
    assert!(l.is_empty());
    l.forward(CopyData);
    l.forward(CopyEnd);
    assert!(l.is_empty(), "late data of a COPY that failed owes nothing");
}

#[test]
fn made_up_replies_wait_for_their_turn() {
    let mut l = ledger(&[Bind, Synthetic(b'3'), Sync]);
    assert!(l.take_synthetic().is_none());
    feed(&mut l, b"2");
    assert_eq!(l.take_synthetic().map(|e| e.kind), Some(Synthetic(b'3')));
    feed(&mut l, b"Z");
    assert!(l.is_empty());
}

#[test]
fn a_reply_nobody_asked_for_is_refused() {
    for (kinds, tag) in [
        (&[][..], b'Z'),
        (&[][..], b'E'),
        (&[Parse][..], b'2'),
        (&[Sync][..], b'D'),
        (&[Query][..], b'1'),
        (&[Bind][..], b'Z'),
        (&[Synthetic(b'1')][..], b'1'),
    ] {
        let mut l = ledger(kinds);
        assert!(
            l.reply(tag, &mut Vec::new()).is_err(),
            "{kinds:?} {}",
            tag as char
        );
    }
}

/// A server in miniature: answers requests in order, fails some, skips to Sync.
fn answer(requests: &[(Kind, bool)]) -> Vec<(u8, bool)> {
    let mut out = Vec::new();
    let mut skipping = false;
    for &(kind, fails) in requests {
        if skipping && kind != Sync {
            continue;
        }
        let tags: &[u8] = match (kind, fails) {
            (Query, false) => b"TDCZ",
            (Query, true) => b"TEZ",
            (Sync, false) => b"Z",
            (Sync, true) => b"EZ",
            (Function, _) => b"VZ",
            (Synthetic(_), _) => continue,
            (_, true) => b"E",
            (Parse, _) => b"1",
            (Bind, _) => b"2",
            (DescribeStatement, _) => b"tT",
            (DescribePortal, _) => b"n",
            (Execute, _) => b"DDC",
            (Close, _) => b"3",
            (CopyData | CopyEnd, _) => continue,
        };
        skipping = match kind {
            Sync | Query | Function => false,
            _ => fails,
        };
        out.extend(tags.iter().map(|&tag| (tag, true)));
    }
    out
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Query),
        Just(Function),
        Just(Parse),
        Just(Bind),
        Just(DescribeStatement),
        Just(DescribePortal),
        Just(Execute),
        Just(Close),
        Just(Sync),
        Just(Synthetic(b'1')),
    ]
}

proptest! {
    /// Whatever is asked, whatever fails, however far the replies lag behind the requests: replies
    /// fit the ledger, every effect is either done or undone, and after a Sync nothing is owed.
    #[test]
    fn ledger_follows_the_server(
        mut requests in proptest::collection::vec((kinds(), prop::bool::weighted(0.2)), 0..40),
        lag in 0usize..10,
    ) {
        requests.push((Sync, false));
        let mut ledger = Ledger::default();
        let mut dropped = Vec::new();
        let (mut done, mut undone, mut sent_effects) = (0, 0, 0);
        let mut seen = 0;
        for n in 1..=requests.len() {
            let (kind, _) = requests[n - 1];
            sent_effects += 1;
            undone += usize::from(ledger.sent(entry(kind, Reply::Forward, Some(n as u32))).is_some());
            while let Some(e) = ledger.take_synthetic() { prop_assert!(e.effect.is_some()); done += 1; }
            let available = answer(&requests[..n.saturating_sub(lag)]);
            let available = if n == requests.len() { answer(&requests) } else { available };
            for &(tag, _) in &available[seen..] {
                match ledger.reply(tag, &mut dropped) {
                    Ok(Verdict::Stay(_)) => {}
                    Ok(Verdict::Done(_) ) => done += 1,
                    Ok(Verdict::Failed(_)) => done += 1,
                    Err(e) => prop_assert!(false, "{e}"),
                }
                while let Some(e) = ledger.take_synthetic() { prop_assert!(e.effect.is_some()); done += 1; }
            }
            seen = available.len();
        }
        prop_assert!(ledger.is_empty());
        prop_assert_eq!(done + undone + dropped.len(), sent_effects);
    }

    /// The short way comes to what the long one comes to, also when messages come that nobody asked for.
    #[test]
    fn plain_replies_are_the_same(
        requests in proptest::collection::vec((kinds(), any::<bool>(), any::<bool>()), 0..12),
        tags in proptest::collection::vec(prop::sample::select(&b"TDCZ12nEGsI"[..]), 0..30),
    ) {
        let (mut short, mut long) = (Ledger::default(), Ledger::default());
        for (n, &(kind, ours, effect)) in requests.iter().enumerate() {
            let reply = if ours { Reply::Swallow } else { Reply::Forward };
            for ledger in [&mut short, &mut long] {
                ledger.sent(entry(kind, reply, effect.then_some(n as u32)));
            }
        }
        for tag in tags {
            let mut dropped = Vec::new();
            let plain = short.plain_reply(tag);
            if plain.is_none() {
                let _ = short.reply(tag, &mut dropped);
            }
            match (plain, long.reply(tag, &mut Vec::new())) {
                (None, _) => {}
                (Some(plain), Ok(Verdict::Stay(reply))) => prop_assert_eq!(plain, reply),
                (Some(plain), Ok(Verdict::Done(entry))) => {
                    prop_assert_eq!(plain, entry.reply);
                    prop_assert!(entry.effect.is_none());
                }
                (Some(_), other) => prop_assert!(false, "{other:?}"),
            }
            prop_assert_eq!(format!("{short:?}"), format!("{long:?}"));
        }
    }
}
