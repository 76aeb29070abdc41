//! Metrics and traces to a collector of OpenTelemetry, by OTLP over HTTP.
//!
//! A task of the main thread sends them, and another thread writes them down: nothing of it is on the
//! way of a query. What waits is bounded in bytes; what finds no room, or was refused, is counted
//! (`pgweir_otlp_dropped_total`).

mod client;
mod encode;
mod metrics;
mod spans;

use std::time::{Duration, Instant, SystemTime};

use hyper::Uri;
use hyper::body::Bytes;
use prost::Message;

use crate::audit::outbox::Outbox;
use crate::audit::spans::Span;
use crate::config::Settings;
use crate::control::Control;
use crate::net::http::Trust;
use client::Target;

/// Between two looks at what waits.
const ROUND: Duration = Duration::from_secs(1);

/// Spans that are sent together.
const BATCH: usize = 2_000;

/// Times that a batch is sent again which the collector could not take.
const TRIES: u32 = 30;

/// A batch that could not be sent.
struct Held {
    body: Bytes,
    spans: u64,
    tries: u32,
}

/// See the module.
struct Sender {
    control: Control,
    held: Option<Held>,
    metrics_due: Instant,
    /// What the log was told last, so that it is not told each second.
    told: Option<String>,
}

/// Sends what there is to send, for ever, and follows the settings as they change. Dropping the future is
/// the way to end it.
pub async fn run(control: Control) {
    let mut sender = Sender {
        control,
        held: None,
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
        match target(settings, "traces", "/v1/traces") {
            Some(Ok(target)) => outcome = self.traces(&target).await,
            Some(Err(error)) => outcome = Err(error),
            None => self.forget(),
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

    fn outbox(&self) -> &Outbox<Span> {
        &self.control.process().spans
    }

    fn trust(&self) -> Trust {
        Trust {
            tls: self.control.process().tls.load().otlp.clone(),
            setting: "otlp_ca_file",
        }
    }

    /// Nobody wants traces any more.
    fn forget(&mut self) {
        let held = self.held.take().map_or(0, |held| held.spans);
        let left = self.outbox().take(usize::MAX).len() as u64;
        self.outbox().lose(held + left);
    }

    async fn traces(&mut self, target: &Target) -> Result<(), String> {
        let started = self.control.process().started_at;
        loop {
            let mut held = match self.held.take() {
                Some(held) => held,
                None => {
                    let batch = self.outbox().take(BATCH);
                    if batch.is_empty() {
                        return Ok(());
                    }
                    Held {
                        spans: batch.len() as u64,
                        body: written(move || spans::request(&batch, started)).await?,
                        tries: 0,
                    }
                }
            };
            match client::post(target, self.trust(), held.body.clone()).await {
                Ok(()) => {}
                Err(failure) => {
                    held.tries += 1;
                    match failure.again && held.tries < TRIES {
                        true => self.held = Some(held),
                        false => self.outbox().lose(held.spans),
                    }
                    return Err(failure.text);
                }
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
