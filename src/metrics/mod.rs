//! What is exported to Prometheus: one row per metric, and its page of documentation.
//!
//! Nothing is counted here. Workers count in their own cells; at a scrape the rows read copies of
//! them, so a query pays nothing for being measured. Labels are databases and server users of the
//! pools there are, never what a client made up without logging in. A pool that is forgotten (see
//! `autodb_idle_timeout`) takes its series along; should it come back, its counters begin at zero,
//! which Prometheus understands.

mod cluster;
mod findings;
mod table;

use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::control::Snapshot;
use crate::pool::process::Process;
use crate::pool::snapshot::PoolRow;

pub use table::METRICS;

/// What rows are read from.
pub struct Reading<'a> {
    /// Of all workers.
    pub snapshot: &'a Snapshot,
    /// Shared by them.
    pub process: &'a Process,
}

/// Whether a value only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It does, until the process or its pool ends.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Kind {
    /// The word of the exposition format.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        }
    }
}

/// Reads a value off a pool.
pub type OfPool = fn(&PoolRow) -> f64;

/// Where a metric's values come from, and with which labels.
#[derive(Clone, Copy)]
pub enum Source {
    /// One value.
    Process(fn(&Reading<'_>) -> f64),
    /// One value for each pool: labels `database` and `user` (of the server).
    Pool(OfPool),
    /// Several values for each pool: a third label tells which.
    PoolBy(&'static str, &'static [(&'static str, OfPool)]),
    /// Values by these labels.
    Series(
        &'static [&'static str],
        fn(&Reading<'_>) -> findings::Values,
    ),
}

/// One metric.
pub struct Metric {
    /// Name, with its unit; counters end with `_total`.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// What it tells.
    pub help: &'static str,
    /// Its values.
    pub source: Source,
}

impl Metric {
    /// Names of its labels.
    pub fn labels(&self) -> Vec<&'static str> {
        match self.source {
            Source::Process(_) => Vec::new(),
            Source::Pool(_) => vec!["database", "user"],
            Source::PoolBy(by, _) => vec!["database", "user", by],
            Source::Series(labels, _) => labels.to_vec(),
        }
    }

    fn export(&self, reading: &Reading<'_>, pools: &[Pool], to: &impl Recorder) {
        match self.kind {
            Kind::Counter => to.describe_counter(self.name.into(), None, self.help.into()),
            Kind::Gauge => to.describe_gauge(self.name.into(), None, self.help.into()),
        }
        match self.source {
            Source::Process(value) => self.set(to, Vec::new(), value(reading)),
            Source::Pool(value) => {
                for pool in pools {
                    self.set(to, pool.labels.clone(), value(&pool.row));
                }
            }
            Source::Series(names, values) => {
                for (texts, value) in values(reading) {
                    let labels = (names.iter().zip(&texts)).map(|(name, text)| label(name, text));
                    self.set(to, labels.collect(), value);
                }
            }
            Source::PoolBy(by, values) => {
                for pool in pools {
                    for (which, value) in values {
                        let mut labels = pool.labels.clone();
                        labels.push(Label::from_static_parts(by, which));
                        self.set(to, labels, value(&pool.row));
                    }
                }
            }
        }
    }

    fn set(&self, to: &impl Recorder, labels: Vec<Label>, value: f64) {
        static METADATA: Metadata<'static> = Metadata::new("pgweir", Level::INFO, None);
        let key = Key::from_parts(self.name, labels);
        match self.kind {
            // Counters are whole numbers below 2^53.
            Kind::Counter => to.register_counter(&key, &METADATA).absolute(value as u64),
            Kind::Gauge => to.register_gauge(&key, &METADATA).set(value),
        }
    }
}

/// The exporter takes a backslash for the beginning of an escape that was made already, so two
/// names could become one; a doubled one it leaves as it is.
fn label(name: &'static str, value: &str) -> Label {
    Label::new(name, value.replace('\\', "\\\\"))
}

struct Pool {
    row: PoolRow,
    labels: Vec<Label>,
}

fn pools(snapshot: &Snapshot) -> Vec<Pool> {
    snapshot
        .whole_pools()
        .into_iter()
        .map(|row| Pool {
            labels: vec![
                label("database", &row.key.database),
                label("user", &row.key.user),
            ],
            row,
        })
        .collect()
}

/// All metrics as they are now, in Prometheus's text format.
pub fn render(reading: &Reading<'_>) -> String {
    // A recorder for each scrape: one that lived on would keep the series of pools that are gone.
    let recorder = PrometheusBuilder::new().build_recorder();
    let pools = pools(reading.snapshot);
    for metric in METRICS {
        metric.export(reading, &pools, &recorder);
    }
    recorder.handle().render()
}

/// The page `docs/metrics.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\nServed in Prometheus's text format as `/metrics` on the address of `http_listen`. `database` is the name that clients use, `user` the one of the server connections. The series of a pool end with it; counters of a pool that comes back begin at zero.\n\n| name | type | labels | what it tells |\n|---|---|---|---|\n",
    );
    for metric in METRICS {
        let labels: Vec<String> = metric.labels().iter().map(|l| format!("`{l}`")).collect();
        let labels = labels.join(", ");
        page.push_str(&format!(
            "| `{}` | {} | {labels} | {} |\n",
            metric.name,
            metric.kind.as_str(),
            metric.help
        ));
    }
    page
}

#[cfg(test)]
mod tests;
