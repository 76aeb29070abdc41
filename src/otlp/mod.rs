//! Metrics, traces and the log to a collector of OpenTelemetry, by OTLP over HTTP.
//!
//! A task of the main thread sends them, and another thread writes them down: nothing of it is on the
//! way of a query. What waits is bounded in bytes; what finds no room, or was refused, is counted
//! (`pgweir_otlp_dropped_total`).

mod client;
mod encode;
mod logs;
mod metrics;
mod spans;

use std::time::{Duration, Instant, SystemTime};

use hyper::Uri;
use hyper::body::Bytes;
use prost::Message;

use crate::audit::lines::Line;
use crate::audit::outbox::Outbox;
use crate::audit::spans::Span;
use crate::config::Settings;
use crate::control::Control;
use crate::net::http::Trust;
use client::Target;

/// Between two looks at what waits.
const ROUND: Duration = Duration::from_secs(1);

/// Spans, or lines of the log, that are sent together.
const BATCH: usize = 2_000;

/// Times that a batch is sent again which the collector could not take.
const TRIES: u32 = 30;

/// A batch that could not be sent.
struct Held {
    body: Bytes,
    items: u64,
    tries: u32,
}

/// See the module.
struct Sender {
    control: Control,
    spans: Option<Held>,
    lines: Option<Held>,
    metrics_due: Instant,
    /// What the log was told last, so that it is not told each second.
    told: Option<String>,
}

/// Sends what there is to send, for ever, and follows the settings as they change. Dropping the future is
/// the way to end it.
pub async fn run(control: Control) {
    let mut sender = Sender {
        control,
        spans: None,
        lines: None,
        metrics_due: Instant::now(),
        told: None,
    };
    loop {
        crate::timer::sleep(ROUND).await;
        sender.round().await;
    }
}

/// Where a signal goes; `None` if it goes nowhere.
fn target(settings: &Settings, signal: &str, path: &str) -> Option<Result<Target, String>> {
    let endpoint = settings.otlp_endpoint.trim_end_matches('/');
    if endpoint.is_empty() || !settings.otlp_signals.iter().any(|one| one == signal) {
        return None;
    }
    let url = format!("{endpoint}{path}").parse::<Uri>();
    Some(match url {
        Ok(url) => Ok(Target {
            url,
            headers: settings.otlp_headers.clone(),
        }),
        Err(error) => Err(format!("otlp_endpoint: {error}")),
    })
}

/// The bytes of a message, made where it holds nobody up.
async fn written<M: Message + 'static>(
    make: impl FnOnce() -> M + Send + 'static,
) -> Result<Bytes, String> {
    let written = tokio::task::spawn_blocking(move || Bytes::from(make().encode_to_vec()));
    written.await.map_err(|error| error.to_string())
}

impl Sender {
    async fn round(&mut self) {
        let config = self.control.process().config.load_full();
        let settings = &config.settings;
        let mut outcome = Ok(());
        let process = self.control.process().clone();
        let started = process.started_at;
        let spans = move |batch: Vec<Span>| spans::request(&batch, started);
        let sent = self.batches("traces", "/v1/traces", &process.spans, spans);
        outcome = outcome.and(sent.await);
        if let Some(waiting) = process.lines.get() {
            let lines = move |batch: Vec<Line>| logs::request(&batch, started);
            let sent = self.batches("logs", "/v1/logs", waiting, lines);
            outcome = outcome.and(sent.await);
        }
        if let Some(Ok(target)) = target(settings, "metrics", "/v1/metrics")
            && self.metrics_due <= Instant::now()
        {
            self.metrics_due = Instant::now() + settings.otlp_metrics_interval;
            outcome = outcome.and(self.metrics(&target).await);
        }
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) if self.told.take().is_some() => {
                tracing::info!("the OpenTelemetry collector takes what it is sent again");
            }
            Ok(()) => {}
            Err(error) if self.told.as_ref() != Some(&error) => {
                tracing::warn!(
                    "the OpenTelemetry collector does not take what it is sent: {error}"
                );
                self.told = Some(error);
            }
            Err(_) => {}
        }
    }

    fn trust(&self) -> Trust {
        Trust {
            tls: self.control.process().tls.load().otlp.clone(),
            setting: "otlp_ca_file",
        }
    }

    /// Sends what waits of one signal, all of it; if nobody wants it any more, it is gone.
    async fn batches<T: Send + 'static, M: Message + 'static>(
        &mut self,
        signal: &str,
        path: &str,
        waiting: &Outbox<T>,
        make: impl FnOnce(Vec<T>) -> M + Copy + Send + 'static,
    ) -> Result<(), String> {
        let config = self.control.process().config.load_full();
        let trust = || Trust {
            tls: self.control.process().tls.load().otlp.clone(),
            setting: "otlp_ca_file",
        };
        let held = match signal {
            "logs" => &mut self.lines,
            _ => &mut self.spans,
        };
        let target = match target(&config.settings, signal, path) {
            Some(target) => target?,
            None => {
                let held = held.take().map_or(0, |held| held.items);
                waiting.lose(held + waiting.take(usize::MAX).len() as u64);
                return Ok(());
            }
        };
        loop {
            let mut batch = match held.take() {
                Some(batch) => batch,
                None => {
                    let batch = waiting.take(BATCH);
                    if batch.is_empty() {
                        return Ok(());
                    }
                    Held {
                        items: batch.len() as u64,
                        body: written(move || make(batch)).await?,
                        tries: 0,
                    }
                }
            };
            if let Err(failure) = client::post(&target, trust(), batch.body.clone()).await {
                batch.tries += 1;
                match failure.again && batch.tries < TRIES {
                    true => *held = Some(batch),
                    false => waiting.lose(batch.items),
                }
                return Err(failure.text);
            }
        }
    }

    async fn metrics(&self, target: &Target) -> Result<(), String> {
        let process = self.control.process().clone();
        let snapshot = self.control.counts().await;
        let now = SystemTime::now();
        let body = written(move || metrics::request(&snapshot, &process, now)).await?;
        let sent = client::post(target, self.trust(), body).await;
        sent.map_err(|failure| failure.text)
    }
}
