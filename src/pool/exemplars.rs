//! For each range of a pool's query times a statement that took so long, by the trace id of its comment:
//! the way from a histogram to the request behind it.

use std::collections::HashMap;
use std::time::SystemTime;

use super::histogram::{BUCKETS, Histogram};
use crate::lint::observe::{Event, Observation, Subject};

/// Pools that have some; those beyond have none. About 1 kB each.
const MOST: usize = 2_000;

/// A statement that took so long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// Trace id of its comment.
    pub trace: u128,
    /// How long the server took for it, in microseconds.
    pub micros: u64,
    /// When it was answered.
    pub at: SystemTime,
}

/// One for each bucket of a [`Histogram`], if there is one.
pub type Buckets = [Option<Exemplar>; BUCKETS];

type Pools = HashMap<Box<str>, Buckets>;

/// See the module.
#[derive(Debug, Default)]
pub struct Exemplars {
    databases: HashMap<Box<str>, Pools>,
    pools: usize,
}

impl Exemplars {
    /// Notes a statement if its comment has a trace id. `user` is the one of the pool, where the
    /// subject's is the client's.
    pub fn note(&mut self, seen: &Observation, user: Option<&str>, now: SystemTime) {
        let Event::Executed(execution) = &seen.event else {
            return;
        };
        let Some(traced) = execution.traced() else {
            return;
        };
        let micros = seen.done_us.saturating_sub(seen.sent_us);
        let user = user.unwrap_or(&seen.subject.user);
        if let Some(slot) = self.slot(&seen.subject, user, Histogram::bucket(micros)) {
            *slot = Some(Exemplar {
                trace: traced.trace,
                micros,
                at: now,
            });
        }
    }

    fn slot(
        &mut self,
        subject: &Subject,
        user: &str,
        bucket: usize,
    ) -> Option<&mut Option<Exemplar>> {
        let database = &*subject.database;
        let known = (self.databases.get(database)).is_some_and(|pools| pools.contains_key(user));
        if !known {
            if self.pools >= MOST {
                return None;
            }
            self.pools += 1;
            let pools = self.databases.entry(database.into()).or_default();
            pools.insert(user.into(), Buckets::default());
        }
        let buckets = self.databases.get_mut(database)?.get_mut(user)?;
        buckets.get_mut(bucket)
    }

    /// Those of a pool.
    pub fn of(&self, database: &str, user: &str) -> Option<&Buckets> {
        self.databases.get(database)?.get(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::comment::Traceparent;
    use crate::lint::known::{Known, Said};
    use crate::lint::observe::Execution;
    use std::sync::Arc;

    fn seen(database: &str, trace: u128, micros: u64) -> Observation {
        let traced = Traceparent {
            trace,
            span: 1,
            sampled: true,
        };
        Observation {
            conn: 1,
            subject: Arc::new(Subject {
                database: database.into(),
                user: "ann".into(),
                ..Subject::default()
            }),
            sent_us: 50,
            done_us: 50 + micros,
            event: Event::Executed(Execution {
                known: Arc::new(Known {
                    said: Said {
                        traced: (trace != 0).then(|| Arc::new(traced)),
                        ..Said::default()
                    },
                    ..Known::default()
                }),
                parsed_now: true,
                ..Execution::default()
            }),
        }
    }

    #[test]
    fn a_bucket_has_the_newest_statement_with_a_trace_id() {
        let mut all = Exemplars::default();
        let now = SystemTime::now();
        let found = |all: &Exemplars, user: &str, bucket: usize| {
            let found = all.of("shop", user)?[bucket]?;
            Some((found.trace, found.micros))
        };
        all.note(&seen("shop", 0, 300), None, now);
        assert!(all.of("shop", "ann").is_none());
        all.note(&seen("shop", 7, 300), None, now);
        all.note(&seen("shop", 0, 310), None, now);
        // 250 to 500 µs.
        assert_eq!(found(&all, "ann", 2), Some((7, 300)));
        assert_eq!(found(&all, "ann", 1), None);
        all.note(&seen("shop", 8, 400), None, now);
        assert_eq!(found(&all, "ann", 2), Some((8, 400)));
        all.note(&seen("shop", 9, 90), Some("svc"), now);
        assert_eq!(found(&all, "svc", 0), Some((9, 90)));
        for number in 0..2 * MOST {
            all.note(&seen(&format!("db {number}"), 1, 90), None, now);
        }
        assert_eq!(
            all.databases.values().map(HashMap::len).sum::<usize>(),
            MOST
        );
    }
}
