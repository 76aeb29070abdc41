//! Deadlocks: who they were between, and in which order both sides took their locks.
//!
//! The server names the processes in the error's DETAIL. Whose they are is known of transactions that
//! are open here, or ended a moment ago.

use std::collections::VecDeque;

use super::super::hit::Hit;
use super::super::observe::{Detection, Execution, Observation, Trouble};
use super::super::rule::{Confidence, Severity};
use super::super::rules::runtime;
use super::transaction::Transaction;
use super::{SECOND, detection};
use std::hash::BuildHasher;

use foldhash::HashMap;
use foldhash::quality::FixedState;

/// Transactions that ended lately, and how long they are kept: the one that won may have committed
/// before anybody hears of the one that lost.
const ENDED: (usize, u64) = (64, 10 * SECOND);
/// Nobody who took part in a deadlock was done sooner: the server looks for them after its
/// `deadlock_timeout`.
const LASTED: u64 = SECOND / 10;
/// Pairs of tables that are remembered, and for how long.
const PAIRS: (usize, u64) = (10_000, 3600 * SECOND);
/// Transactions in each order that make a deadlock a matter of time.
const EACH_WAY: u32 = 3;
/// Tables of a transaction whose order is looked at.
const TABLES: usize = 4;

/// Transactions that took two tables in one order, and in the other.
struct Pair {
    since: u64,
    ways: [u32; 2],
    told: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Deadlocks {
    ended: VecDeque<Transaction>,
    pairs: HashMap<(u64, u64, u64), Pair>,
    /// Pairs that were forgotten to make room.
    pub(super) evicted: u64,
}

impl Deadlocks {
    /// A transaction ended.
    pub(super) fn ended(
        &mut self,
        conn: u64,
        transaction: Transaction,
        found: &mut Vec<Detection>,
    ) {
        self.predict(conn, &transaction, found);
        if transaction.last.saturating_sub(transaction.start) < LASTED || transaction.backend == 0 {
            return;
        }
        if self.ended.len() >= ENDED.0 {
            self.ended.pop_front();
        }
        self.ended.push_back(transaction);
    }

    /// The server ended a statement of `own` because of a deadlock.
    pub(super) fn happened(
        &self,
        seen: &Observation,
        run: &Execution,
        (own, open): (Option<&Transaction>, &mut dyn Iterator<Item = &Transaction>),
        found: &mut Vec<Detection>,
    ) {
        let pids: &[u32] = match &run.trouble {
            Some(Trouble::Deadlock(pids)) => pids,
            _ => &[],
        };
        let involved = |other: &&Transaction| {
            other.backend != run.backend
                && pids.contains(&other.backend)
                && other.subject.database == seen.subject.database
        };
        let lately = |other: &&Transaction| other.last + ENDED.1 >= seen.done_us;
        let ended = self.ended.iter().rev().filter(lately);
        let mut open = open;
        let other = (&mut open)
            .find(involved)
            .or_else(|| ended.clone().find(involved));
        let mut hit =
            Hit::new(&runtime::DEADLOCK, "", "Deadlock.").confidence(Confidence::Confirmed);
        if !pids.is_empty() {
            let list: Vec<String> = pids.iter().map(u32::to_string).collect();
            hit = hit.evidence("processes", list.join(", "));
        }
        // What it has, and what it wanted.
        let mut order: Vec<Box<str>> = own.map(|own| own.written.clone()).unwrap_or_default();
        let wanted = run
            .profile
            .facts
            .iter()
            .flat_map(|facts| facts.rows_locked());
        for table in wanted {
            if !order.contains(table) {
                order.push(table.clone());
            }
        }
        hit = hit.evidence("tables", order.join(", "));
        if let Some(own) = own {
            hit = hit.evidence("transaction", own.steps());
        }
        match other {
            Some(other) => {
                let other_tables = other.tables();
                hit.message = match crossing(&order, &other.written) {
                    Some((a, b)) => format!(
                        "Deadlock with another client: one takes {a} before {b}, the other {b} before {a}."
                    ),
                    None => format!(
                        "Deadlock with another client: this one locks {} in this order, the other has locked {other_tables}.",
                        order.join(", ")
                    ),
                }
                .into();
                let subject = &other.subject;
                let who = [&subject.user, &subject.app, &subject.client];
                let who: Vec<&str> = (who.iter())
                    .map(|name| &***name)
                    .filter(|name| !name.is_empty())
                    .collect();
                hit = hit
                    .evidence("other", who.join(" "))
                    .evidence("other_transaction", other.steps())
                    .evidence("other_tables", other_tables);
            }
            None if !pids.is_empty() => {
                hit = hit.evidence("other", "has no transaction that came this way");
            }
            None => {}
        }
        let took = seen.done_us.saturating_sub(seen.sent_us);
        found.push(detection(hit, &seen.subject, seen.conn, run, 1, took));
    }

    /// Whether transactions take two tables in both orders, again and again.
    fn predict(&mut self, conn: u64, ended: &Transaction, found: &mut Vec<Detection>) {
        let tables = ended.written.get(..TABLES).unwrap_or(&ended.written);
        if tables.len() < 2 {
            return;
        }
        let hash = |name: &str| FixedState::default().hash_one(name);
        let database = hash(&ended.subject.database);
        for (at, first) in tables.iter().enumerate() {
            for second in tables.iter().skip(at + 1) {
                let (a, b) = (hash(first), hash(second));
                let key = (database, a.min(b), a.max(b));
                if self.pairs.len() >= PAIRS.0 && !self.pairs.contains_key(&key) {
                    self.evicted += self.pairs.len() as u64;
                    self.pairs.clear();
                }
                let new = || Pair {
                    since: ended.last,
                    ways: [0; 2],
                    told: false,
                };
                let pair = self.pairs.entry(key).or_insert_with(new);
                if pair.since + PAIRS.1 < ended.last {
                    *pair = new();
                }
                let [forth, back] = &mut pair.ways;
                let way = if a < b { forth } else { back };
                *way = way.saturating_add(1);
                if pair.told || pair.ways.iter().any(|n| *n < EACH_WAY) {
                    continue;
                }
                pair.told = true;
                let text = format!(
                    "Some transactions lock {first} before {second}, others {second} before {first}: a deadlock is a matter of time."
                );
                let hit = Hit::new(&runtime::DEADLOCK, "predicted", text)
                    .severity(Severity::Info)
                    .confidence(Confidence::Suspected)
                    .object(format!("{first}, {second}"))
                    .evidence(
                        "transactions",
                        u64::from(pair.ways[0]) + u64::from(pair.ways[1]),
                    )
                    .evidence("transaction", ended.steps());
                found.push(ended.detection(hit, conn));
            }
        }
    }
}

/// Two tables that one takes in one order and the other in the other.
fn crossing<'t>(one: &'t [Box<str>], other: &[Box<str>]) -> Option<(&'t str, &'t str)> {
    let place = |name: &str| other.iter().position(|known| **known == *name);
    let pairs = (one.iter().enumerate()).flat_map(|(at, first)| {
        one.iter()
            .skip(at + 1)
            .map(move |second| (&**first, &**second))
    });
    let mut pairs = pairs.filter(|(first, second)| match (place(first), place(second)) {
        (Some(first), Some(second)) => first > second,
        _ => false,
    });
    pairs.next()
}
