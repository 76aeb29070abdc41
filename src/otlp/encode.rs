//! What all messages of OTLP have in common.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// An attribute.
pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// An attribute that is a text.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

/// An attribute that is a whole number.
pub(super) fn number(key: &str, value: u64) -> KeyValue {
    attribute(
        key,
        Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)),
    )
}

/// Who tells all this: this process, as it started then.
pub(super) fn resource(started: SystemTime) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", "pgweir"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            // Differs between processes on a machine and between their lives.
            text(
                "service.instance.id",
                &format!("{}-{}", std::process::id(), nanos(started)),
            ),
        ],
        ..Resource::default()
    }
}

/// What in it tells it.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "pgweir".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// Nanoseconds since 1970.
pub(super) fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
