//! Queries that everybody asks with the same values and that have the same answer: what a cache could
//! answer.
//!
//! What one connection repeats by itself has rules of its own ([`super::repeats`]).
//!
//! Counted in a table of fixed size without chains: a query that is asked often keeps its place
//! against many that are asked once.

use super::super::facts::{Facts, RowLock};
use super::super::hit::Hit;
use super::super::observe::{Detection, Execution, Observation};
use super::super::rule::Severity;
use super::super::rules::sequence;
use super::{SECOND, detection};

const PLACES: usize = 4096;
const MINUTE: u64 = 60 * SECOND;

#[derive(Clone, Copy, Default)]
struct Place {
    key: u64,
    since: u64,
    rows: u64,
    /// Who asked first.
    conn: u64,
    /// Somebody else asked too.
    shared: bool,
    n: u32,
}

/// See the module. Empty until the first query.
#[derive(Default)]
pub(super) struct Hot {
    places: Vec<Place>,
}

impl Hot {
    /// Takes an execution of a query of `owner`, a database and user hashed.
    pub(super) fn add(
        &mut self,
        owner: u64,
        (seen, run, facts): (&Observation, &Execution, &Facts),
        enough: u64,
        found: &mut Vec<Detection>,
    ) {
        let fixed = !facts.volatile && facts.lock == RowLock::None && run.fetch == 0;
        if !fixed || facts.reads.is_empty() || run.profile.facts.len() != 1 {
            return;
        }
        if self.places.is_empty() {
            self.places = vec![Place::default(); PLACES];
        }
        // The text's hash may be made of the shape's and must not cancel it out.
        let key = (run.stripped ^ run.shape.rotate_left(32) ^ owner.rotate_left(11))
            .rotate_left(23)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ run.values.all;
        let now = seen.done_us;
        let Some(place) = self.places.get_mut((key >> 52) as usize % PLACES) else {
            return;
        };
        let over = place.since + MINUTE < now;
        if place.key != key && !over && place.n > 1 {
            place.n -= 1;
            return;
        }
        if place.key != key || over || place.rows != run.rows {
            *place = Place {
                key,
                since: now,
                rows: run.rows,
                conn: seen.conn,
                shared: false,
                n: 0,
            };
        }
        place.shared |= place.conn != seen.conn;
        place.n = place.n.saturating_add(1);
        if u64::from(place.n) == enough && place.shared {
            let text = format!(
                "One query with the same parameters was asked {enough} times within a minute, by \
                 whatever connections, and always returned {} rows.",
                run.rows
            );
            let mut hit = Hit::new(&sequence::REPEATED, "cache-candidate", text)
                .severity(Severity::Info)
                .evidence("executions", enough)
                .evidence("rows", run.rows);
            hit.suggestion.text =
                "Keep the answer for a moment in the application or in a cache, if \
                                   it may be that old."
                    .into();
            let mut one = detection(hit, &seen.subject, seen.conn, run, enough, 0);
            one.rows = run.rows.saturating_mul(enough);
            found.push(one);
        }
    }
}
