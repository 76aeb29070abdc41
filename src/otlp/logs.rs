//! Lines of the log.
//!
//! Source: OpenTelemetry, log data model.

use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

use super::encode::{attribute, nanos, resource, scope, text};
use crate::audit::lines::{Line, Value};

fn record(line: &Line) -> LogRecord {
    let field = |(name, value): &(&'static str, Value)| -> KeyValue {
        let value = match value {
            Value::Text(text) => Any::StringValue(text.clone()),
            Value::Number(number) => Any::IntValue(*number),
            Value::Float(number) => Any::DoubleValue(*number),
            Value::Flag(flag) => Any::BoolValue(*flag),
        };
        attribute(name, value)
    };
    let at = nanos(line.at);
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: line.severity,
        severity_text: line.word.to_owned(),
        body: Some(AnyValue {
            value: Some(Any::StringValue(line.text.clone())),
        }),
        attributes: (line.fields.iter().map(field))
            .chain([text("code.namespace", line.target)])
            .collect(),
        ..LogRecord::default()
    }
}

/// The message that tells them.
pub(super) fn request(lines: &[Line], started: SystemTime) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(started)),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: lines.iter().map(record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_keeps_its_words_and_numbers() {
        let line = Line {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(5),
            severity: 13,
            word: "WARNING",
            target: "pgweir::pool",
            text: "connect failed".to_owned(),
            fields: vec![
                ("pool", Value::Text("app.u".to_owned())),
                ("client", Value::Number(7)),
            ],
        };
        let told = request(&[line], SystemTime::UNIX_EPOCH);
        let record = &told.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!(record.time_unix_nano, 5_000_000_000);
        assert_eq!(
            (record.severity_number, &*record.severity_text),
            (13, "WARNING")
        );
        let names: Vec<&str> = record.attributes.iter().map(|one| &*one.key).collect();
        assert_eq!(names, ["pool", "client", "code.namespace"]);
    }
}
