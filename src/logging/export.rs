//! Lines for whoever collects them, beside those that are written.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::audit::lines::{Line, MOST, Value};
use crate::audit::outbox::Outbox;
use crate::config::Settings;

/// Bytes of a message, and of what one field says.
const LONGEST: usize = 8 * 1024;
/// Fields of one line.
const FIELDS: usize = 64;

/// Modules that are at work when lines are sent: what they say of one would be the next.
const SENDING: &[&str] = &["pgweir::otlp", "pgweir::net::http", "hyper", "rustls"];

/// Collects lines while somebody wants them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Export {
    lines: Arc<Outbox<Line>>,
    wanted: Arc<AtomicBool>,
}

impl Export {
    pub(super) fn new(settings: &Settings) -> Self {
        let export = Self {
            lines: Arc::new(Outbox::new(MOST)),
            wanted: Arc::default(),
        };
        export.set(settings);
        export
    }

    /// Takes over whether lines are wanted.
    pub(super) fn set(&self, settings: &Settings) {
        self.wanted.store(settings.exports_log(), Ordering::Relaxed);
    }

    pub(super) fn lines(&self) -> Arc<Outbox<Line>> {
        self.lines.clone()
    }
}

impl<S: Subscriber> Layer<S> for Export {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let place = event.metadata();
        let sends = || SENDING.iter().any(|one| place.target().starts_with(one));
        if !self.wanted.load(Ordering::Relaxed) || sends() {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line {
            at: SystemTime::now(),
            severity: severity(place.level()),
            word: super::word(place.level()),
            target: place.target(),
            text: fields.message,
            fields: fields.others,
        };
        let bytes = line.bytes();
        self.lines.put(line, bytes);
    }
}

/// Source: OpenTelemetry, log data model, `SeverityNumber`.
fn severity(level: &Level) -> i32 {
    match *level {
        Level::ERROR => 17,
        Level::WARN => 13,
        Level::INFO => 9,
        Level::DEBUG => 5,
        Level::TRACE => 1,
    }
}

/// What an event says.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        if self.others.len() < FIELDS {
            self.others.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = cut(format!("{value:?}"));
        match field.name() {
            "message" => self.message = text,
            _ => self.add(field, Value::Text(text)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = cut(value.to_owned()),
            _ => self.add(field, Value::Text(cut(value.to_owned()))),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Number(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(
            field,
            Value::Number(i64::try_from(value).unwrap_or(i64::MAX)),
        );
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Flag(value));
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use tracing_subscriber::layer::SubscriberExt;

    fn settings(signals: &str) -> Settings {
        let text = format!(
            "[pgweir]\nauth_type = \"trust\"\notlp_endpoint = \"http://127.0.0.1:1\"\notlp_signals = [{signals}]\n"
        );
        Config::from_toml(&text).expect("valid").settings.clone()
    }

    #[test]
    fn lines_are_collected_while_they_are_wanted() {
        let export = Export::new(&settings("\"metrics\""));
        let lines = export.lines();
        let subscriber = tracing_subscriber::registry().with(export.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("nobody hears it");
            export.set(&settings("\"logs\""));
            tracing::warn!(database = "shop", rows = 7u64, took = 1.5, ok = true, who = ?"x", "slow");
            tracing::info!(target: "pgweir::otlp::client", "what was sent");
            tracing::error!("{}", "é".repeat(LONGEST));
        });
        let taken = lines.take(9);
        let [slow, long] = &taken[..] else {
            panic!("{taken:?}")
        };
        assert_eq!(
            (slow.severity, slow.word, &*slow.text),
            (13, "WARNING", "slow")
        );
        assert_eq!(
            slow.fields,
            [
                ("database", Value::Text("shop".to_owned())),
                ("rows", Value::Number(7)),
                ("took", Value::Float(1.5)),
                ("ok", Value::Flag(true)),
                ("who", Value::Text("\"x\"".to_owned())),
            ]
        );
        assert_eq!((long.severity, long.text.len()), (17, LONGEST));
        assert_eq!(lines.dropped(), 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let export = Export::new(&settings("\"logs\""));
        let lines = export.lines();
        let subscriber = tracing_subscriber::registry().with(export);
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..1000 {
                tracing::info!("{}", "x".repeat(LONGEST));
            }
        });
        let kept = lines.take(usize::MAX).len() as u64;
        assert!(kept < MOST as u64 / LONGEST as u64);
        assert_eq!(kept + lines.dropped(), 1000);
    }
}
