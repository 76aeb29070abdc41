//! Statements that belong to a trace of an application, on their way to whoever collects traces.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::outbox::Outbox;
use crate::lint::comment::Traceparent;
use crate::lint::observe::{Event, Observation, Subject};

/// Bytes of statements that may wait.
pub const MOST: usize = 8 << 20;

/// One execution in a trace.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace, and the application's span that it belongs to.
    pub parent: Traceparent,
    /// Whose it is.
    pub subject: Arc<Subject>,
    /// A text of its shape, with values.
    pub text: Arc<[u8]>,
    /// When it was sent to the server.
    pub started: SystemTime,
    /// How long the server took.
    pub took: Duration,
    /// How long it had waited for a server.
    pub waited: Duration,
    /// Rows that came back or were changed.
    pub rows: u64,
    /// SQLSTATE, if it failed.
    pub error: Option<[u8; 5]>,
    /// The server it ran on, if that is known.
    pub server: Option<Arc<str>>,
}

/// Whether a trace is one of those that are sent: the same traces everywhere, so that one is whole or
/// not there at all.
///
/// Source: OpenTelemetry, TraceIdRatioBased: a share of the traces by the low bits of their ids.
fn is_chosen(trace: u128, per_thousand: u32) -> bool {
    let low = trace as u64 >> 1;
    let share = (u128::from(low) * 1_000) >> 63;
    share < u128::from(per_thousand)
}

/// Puts an observation among those that wait, if it is a statement of a trace that its application
/// records and that is among so many of a thousand. `now` is `now_us` of the observer.
pub fn note(
    outbox: &Outbox<Span>,
    seen: &Observation,
    per_thousand: u32,
    (now, now_us): (SystemTime, u64),
) {
    let Event::Executed(execution) = &seen.event else {
        return;
    };
    let traced = execution.traced();
    let Some(parent) =
        traced.filter(|parent| parent.sampled && is_chosen(parent.trace, per_thousand))
    else {
        return;
    };
    let ago = Duration::from_micros(now_us.saturating_sub(seen.sent_us));
    let span = Span {
        parent: **parent,
        subject: seen.subject.clone(),
        text: execution.text.clone(),
        started: now.checked_sub(ago).unwrap_or(now),
        took: Duration::from_micros(seen.done_us.saturating_sub(seen.sent_us)),
        waited: Duration::from_micros(execution.wait_us),
        rows: execution.rows,
        error: execution.error,
        server: execution.server.as_ref().map(|(server, _)| server.clone()),
    };
    // The text may be shared with others; counting it for each errs on the safe side.
    outbox.put(span, size_of::<Span>() + execution.text.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::known::{Known, Said};
    use crate::lint::observe::Execution;

    fn seen(trace: u128, sampled: bool) -> Observation {
        let parent = Traceparent {
            trace,
            span: 5,
            sampled,
        };
        Observation {
            conn: 1,
            subject: Arc::default(),
            sent_us: 1_000,
            done_us: 1_250,
            event: Event::Executed(Execution {
                known: Arc::new(Known {
                    said: Said {
                        traced: Some(Arc::new(parent)),
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
    fn what_the_application_records_waits() {
        let outbox = Outbox::new(MOST);
        let now = SystemTime::now();
        note(&outbox, &seen(1, false), 1_000, (now, 2_000));
        note(&outbox, &seen(2, true), 0, (now, 2_000));
        note(&outbox, &seen(3, true), 1_000, (now, 2_000));
        let spans = outbox.take(9);
        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0].parent.trace, 3);
        assert_eq!(spans[0].took, Duration::from_micros(250));
        assert_eq!(spans[0].started, now - Duration::from_micros(1_000));
    }

    #[test]
    fn a_share_of_the_traces_is_that_share() {
        let trace = |number: u64| u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let chosen = |per_thousand| {
            let all = (1..10_001).filter(|number| is_chosen(trace(*number), per_thousand));
            all.count()
        };
        assert_eq!((chosen(0), chosen(1_000)), (0, 10_000));
        assert!((900..1_100).contains(&chosen(100)), "{}", chosen(100));
        // Which of them, is the trace's own.
        assert_eq!(is_chosen(trace(7), 300), is_chosen(trace(7), 300));
    }
}
