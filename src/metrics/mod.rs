//! What is exported to Prometheus: one row per metric, and its page of documentation.
//!
//! Nothing is counted here. Workers count in their own cells; at a scrape the rows read copies of
//! them, so a query pays nothing for being measured. Labels are databases and server users of the
//! pools there are, never what a client made up without logging in. A pool that is forgotten (see
//! `pool_idle_timeout`) takes its series along; should it come back, its counters begin at zero,
//! which Prometheus understands.

#[cfg(test)]
pub(crate) mod checker;
mod cluster;
pub mod exposition;
mod findings;
mod table;

use metrics::Unit;
use parking_lot::Mutex;

use crate::control::Snapshot;
use crate::pool::exemplars::{Buckets, Exemplars};
use crate::pool::histogram::Histogram;
use crate::pool::process::Process;
use crate::pool::snapshot::PoolRow;
use crate::pool::stats::Times;

use exposition::{Format, Page, label};
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
    /// How many values were up to each of some bounds.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Reads a value off a pool.
pub type OfPool = fn(&PoolRow) -> f64;

/// Reads a histogram off a pool.
pub type OfTimes = fn(&Times) -> &Histogram;

/// Where a metric's values come from, and with which labels.
#[derive(Clone, Copy)]
pub enum Source {
    /// One value.
    Process(fn(&Reading<'_>) -> f64),
    /// One value for each pool: labels `database`, `user` (of the server) and, if its servers are a
    /// replica of a cluster, `replica`.
    Pool(OfPool),
    /// Several values for each pool: a third label tells which.
    PoolBy(&'static str, &'static [(&'static str, OfPool)]),
    /// A histogram for each pool.
    Times(OfTimes),
    /// The same of queries, with exemplars.
    Queries(OfTimes),
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
            Source::Pool(_) | Source::Times(_) | Source::Queries(_) => {
                vec!["database", "user", "replica"]
            }
            Source::PoolBy(by, _) => vec!["database", "user", "replica", by],
            Source::Series(labels, _) => labels.to_vec(),
        }
    }

    /// What its name says that it is measured in.
    fn unit(&self) -> Option<Unit> {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        [Unit::Seconds, Unit::Bytes].into_iter().find(|unit| {
            let stem = name.strip_suffix(unit.as_str());
            stem.is_some_and(|stem| stem.ends_with('_'))
        })
    }

    fn write(&self, reading: &Reading<'_>, pools: &[Pool], to: &mut Page) {
        to.family(self.name, self.kind, self.unit(), self.help);
        match self.source {
            Source::Process(value) => to.value("", value(reading)),
            Source::Pool(value) => {
                for pool in pools {
                    to.value(&pool.labels, value(&pool.row));
                }
            }
            Source::Times(times) => {
                for pool in pools {
                    to.histogram(&pool.labels, times(&pool.row.times), None);
                }
            }
            Source::Queries(times) => {
                for pool in pools {
                    let exemplars = pool.exemplars.as_ref();
                    to.histogram(&pool.labels, times(&pool.row.times), exemplars);
                }
            }
            Source::Series(names, values) => {
                for (texts, value) in values(reading) {
                    let mut labels = String::new();
                    for (name, text) in names.iter().zip(&texts) {
                        label(&mut labels, name, text);
                    }
                    to.value(&labels, value);
                }
            }
            Source::PoolBy(by, values) => {
                let mut labels = String::new();
                for pool in pools {
                    for (which, value) in values {
                        labels.clone_from(&pool.labels);
                        label(&mut labels, by, which);
                        to.value(&labels, value(&pool.row));
                    }
                }
            }
        }
    }
}

struct Pool {
    row: PoolRow,
    labels: String,
    exemplars: Option<Buckets>,
}

fn pools(snapshot: &Snapshot, exemplars: Option<&Mutex<Exemplars>>) -> Vec<Pool> {
    // Copied at once, so that nobody waits until a page is written.
    let exemplars = exemplars.map(Mutex::lock);
    (snapshot.whole_pools().into_iter())
        .map(|row| {
            let mut labels = String::new();
            label(&mut labels, "database", &row.key.database);
            label(&mut labels, "user", &row.key.user);
            if let Some(replica) = &row.key.replica {
                label(&mut labels, "replica", replica);
            }
            // A client's queries are counted in the pool of the primary, wherever they ran.
            let exemplars = (exemplars.as_ref()).filter(|_| row.key.replica.is_none());
            let exemplars = exemplars.and_then(|all| all.of(&row.key.database, &row.key.user));
            Pool {
                exemplars: exemplars.cloned(),
                row,
                labels,
            }
        })
        .collect()
}

/// All metrics as they are now.
#[must_use]
pub fn render(reading: &Reading<'_>, format: Format) -> String {
    let mut page = Page::new(format);
    let exemplars = (format == Format::OpenMetrics).then_some(&reading.process.exemplars);
    let pools = pools(reading.snapshot, exemplars);
    for metric in METRICS {
        metric.write(reading, &pools, &mut page);
    }
    page.end()
}

/// The page `docs/metrics.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\nServed as `/metrics` on the address of `http_listen`, as OpenMetrics 1.0 if the `Accept` header asks for it (Prometheus does) and else in Prometheus's text format 0.0.4. `database` is the name that clients use, `user` the one of the server connections; `replica` is there only for pools whose servers are a replica of a cluster. Histograms have buckets from 100 µs to 100 s, three per decade. In OpenMetrics those of `pgweir_query_seconds` have exemplars: the trace id of a statement that took the server so long, from the `traceparent` in its comment (`/*traceparent='00-…-…-01'*/`), if it was not prepared before; Prometheus keeps them with `--enable-feature=exemplar-storage`. The series of a pool end with it; counters of a pool that comes back begin at zero.\n\n`conf/prometheus/pgweir.rules.yml` has alerts (`rule_files` of Prometheus), `conf/grafana/pgweir.json` a dashboard (Dashboards, New, Import). A test holds both to this table.\n\n| name | type | labels | what it tells |\n|---|---|---|---|\n",
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
