//! Statements as spans.
//!
//! Source: OpenTelemetry, semantic conventions for database client spans.

use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::encode::{nanos, number, resource, scope, text};
use crate::audit::spans::Span as Seen;
use crate::sql::{self, Lexing};

/// Longest text of a statement that is sent, in bytes.
const LONGEST: usize = 2_048;

/// A number that no other span has: of a counter, scattered with what this process drew at its start.
fn fresh() -> u64 {
    static SEED: LazyLock<std::collections::hash_map::RandomState> =
        LazyLock::new(Default::default);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    SEED.hash_one(COUNT.fetch_add(1, Ordering::Relaxed)).max(1)
}

fn span(seen: &Seen) -> Span {
    let statement = sql::redacted(&seen.text, Lexing::default(), LONGEST);
    let first = statement
        .split(|c: char| !c.is_ascii_alphabetic())
        .find(|word| !word.is_empty());
    let operation = first.unwrap_or("statement").to_ascii_uppercase();
    let subject = &seen.subject;
    let mut attributes = vec![
        text("db.system.name", "postgresql"),
        text("db.namespace", &subject.database),
        text("db.operation.name", &operation),
        text("db.query.text", &statement),
        number("db.response.returned_rows", seen.rows),
        number("pgweir.wait_us", seen.waited.as_micros() as u64),
        text("pgweir.user", &subject.user),
        text("pgweir.application", &subject.app),
    ];
    if !subject.client.is_empty() {
        attributes.push(text("client.address", &subject.client));
    }
    if let Some(server) = &seen.server {
        attributes.push(text("server.address", server));
    }
    let mut status = None;
    if let Some(error) = &seen.error {
        let sqlstate = String::from_utf8_lossy(error);
        attributes.push(text("db.response.status_code", &sqlstate));
        attributes.push(text("error.type", &sqlstate));
        status = Some(Status {
            code: StatusCode::Error as i32,
            ..Status::default()
        });
    }
    let started = nanos(seen.started);
    Span {
        trace_id: seen.parent.trace.to_be_bytes().to_vec(),
        span_id: fresh().to_be_bytes().to_vec(),
        parent_span_id: seen.parent.span.to_be_bytes().to_vec(),
        // W3C's flag "sampled".
        flags: 1,
        name: operation,
        kind: SpanKind::Client as i32,
        start_time_unix_nano: started,
        end_time_unix_nano: started.saturating_add(seen.took.as_nanos() as u64),
        attributes,
        status,
        ..Span::default()
    }
}

/// The message that tells them.
pub(super) fn request(seen: &[Seen], started: SystemTime) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(started)),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans: seen.iter().map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::comment::Traceparent;
    use crate::lint::observe::Subject;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_span_has_no_values_and_joins_its_trace() {
        let seen = Seen {
            parent: Traceparent {
                trace: 0xabc,
                span: 0xdef,
                sampled: true,
            },
            subject: Arc::new(Subject {
                database: "shop".into(),
                ..Subject::default()
            }),
            text: (*b"/* x */ select * from t where name = 'hunter2'").into(),
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(5),
            took: Duration::from_micros(7),
            waited: Duration::ZERO,
            rows: 3,
            error: Some(*b"57014"),
            server: None,
        };
        let told = request(&[seen.clone(), seen], SystemTime::UNIX_EPOCH);
        assert!(!format!("{told:?}").contains("hunter2"));
        let spans = &told.resource_spans[0].scope_spans[0].spans;
        assert_ne!(spans[0].span_id, spans[1].span_id);
        assert_eq!(spans[0].trace_id, 0xabc_u128.to_be_bytes());
        assert_eq!(spans[0].parent_span_id, 0xdef_u64.to_be_bytes());
        assert_eq!(spans[0].name, "SELECT");
        assert_eq!(spans[0].start_time_unix_nano, 5_000_000_000);
        assert_eq!(spans[0].end_time_unix_nano, 5_000_007_000);
        assert_eq!(spans[0].status.as_ref().map(|status| status.code), Some(2));
    }
}
