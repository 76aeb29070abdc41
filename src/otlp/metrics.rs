//! The table of metrics as OTLP has them, under the same names.

use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar,
};

use super::encode::{nanos, resource, scope, text};
use crate::control::Snapshot;
use crate::metrics::{Kind, METRICS, Reading, Source};
use crate::pool::exemplars::Buckets;
use crate::pool::histogram::{self, BOUNDS};
use crate::pool::process::Process;
use crate::pool::snapshot::PoolRow;

/// Since when counters count, and when they are read.
#[derive(Clone, Copy)]
struct When {
    since: u64,
    now: u64,
}

struct Pool {
    row: PoolRow,
    attributes: Vec<KeyValue>,
    exemplars: Option<Buckets>,
}

fn pools(snapshot: &Snapshot, process: &Process) -> Vec<Pool> {
    let exemplars = process.exemplars.lock();
    (snapshot.whole_pools().into_iter())
        .map(|row| {
            let key = &row.key;
            let mut attributes = vec![text("database", &key.database), text("user", &key.user)];
            attributes.extend(key.replica.as_ref().map(|name| text("replica", name)));
            let own = (key.replica.is_none()).then(|| exemplars.of(&key.database, &key.user));
            Pool {
                exemplars: own.flatten().cloned(),
                attributes,
                row,
            }
        })
        .collect()
}

fn point(attributes: Vec<KeyValue>, value: f64, when: When) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: when.since,
        time_unix_nano: when.now,
        value: Some(Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn exemplars(buckets: &Buckets) -> Vec<Exemplar> {
    let present = buckets.iter().flatten();
    present
        .map(|one| Exemplar {
            time_unix_nano: nanos(one.at),
            trace_id: one.trace.to_be_bytes().to_vec(),
            value: Some(exemplar::Value::AsDouble(one.micros as f64 / 1e6)),
            ..Exemplar::default()
        })
        .collect()
}

fn times(
    pool: &Pool,
    times: &histogram::Histogram,
    traced: bool,
    when: When,
) -> HistogramDataPoint {
    let exemplars = pool.exemplars.as_ref().filter(|_| traced).map(exemplars);
    HistogramDataPoint {
        attributes: pool.attributes.clone(),
        start_time_unix_nano: when.since,
        time_unix_nano: when.now,
        count: times.count(),
        sum: Some(times.sum_us() as f64 / 1e6),
        bucket_counts: times.counts().to_vec(),
        explicit_bounds: BOUNDS.iter().map(|micros| *micros as f64 / 1e6).collect(),
        exemplars: exemplars.unwrap_or_default(),
        ..HistogramDataPoint::default()
    }
}

/// The message that tells all of them.
pub(super) fn request(
    snapshot: &Snapshot,
    process: &Process,
    now: SystemTime,
) -> ExportMetricsServiceRequest {
    let reading = Reading { snapshot, process };
    let pools = pools(snapshot, process);
    let when = When {
        since: nanos(process.started_at),
        now: nanos(now),
    };
    let metrics = METRICS.iter().map(|metric| {
        let mut points = Vec::new();
        let mut histograms = Vec::new();
        match metric.source {
            Source::Process(value) => points.push(point(Vec::new(), value(&reading), when)),
            Source::Pool(value) => {
                let each = (pools.iter())
                    .map(|pool| point(pool.attributes.clone(), value(&pool.row), when));
                points.extend(each);
            }
            Source::PoolBy(by, values) => {
                for pool in &pools {
                    points.extend(values.iter().map(|(which, value)| {
                        let mut attributes = pool.attributes.clone();
                        attributes.push(text(by, which));
                        point(attributes, value(&pool.row), when)
                    }));
                }
            }
            Source::Series(names, values) => {
                points.extend(values(&reading).into_iter().map(|(texts, value)| {
                    let named = names.iter().zip(&texts);
                    let attributes = named.map(|(name, value)| text(name, value));
                    point(attributes.collect(), value, when)
                }));
            }
            Source::Times(of) => histograms
                .extend((pools.iter()).map(|pool| times(pool, of(&pool.row.times), false, when))),
            Source::Queries(of) => histograms
                .extend((pools.iter()).map(|pool| times(pool, of(&pool.row.times), true, when))),
        }
        let cumulative = AggregationTemporality::Cumulative as i32;
        let data = match metric.kind {
            Kind::Gauge => Data::Gauge(Gauge {
                data_points: points,
            }),
            Kind::Counter => Data::Sum(Sum {
                data_points: points,
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            Kind::Histogram => Data::Histogram(Histogram {
                data_points: histograms,
                aggregation_temporality: cumulative,
            }),
        };
        Metric {
            name: metric.name.to_owned(),
            description: metric.help.to_owned(),
            unit: match metric.kind {
                Kind::Histogram => "s".to_owned(),
                _ => String::new(),
            },
            data: Some(data),
            ..Metric::default()
        }
    });
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource(process.started_at)),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: metrics.collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_told() {
        let mut snapshot = crate::admin::tests::snapshot();
        snapshot.pools[0].times.query.note(300);
        let process = crate::admin::tests::process();
        let told = request(&snapshot, &process, SystemTime::now());
        let metrics = &told.resource_metrics[0].scope_metrics[0].metrics;
        assert_eq!(metrics.len(), METRICS.len());
        let find = |name: &str| {
            let found = metrics.iter().find(|metric| metric.name == name);
            found.and_then(|metric| metric.data.as_ref()).expect("data")
        };
        let Data::Sum(queries) = find("pgweir_queries_total") else {
            panic!("not a sum");
        };
        // Two workers have a part of the pool each.
        assert_eq!(queries.data_points[0].value, Some(Value::AsDouble(80.0)));
        assert!(queries.is_monotonic);
        let Data::Histogram(times) = find("pgweir_query_seconds") else {
            panic!("not a histogram");
        };
        let times = &times.data_points[0];
        assert_eq!((times.count, times.sum), (1, Some(0.0003)));
        assert_eq!(times.bucket_counts.len(), times.explicit_bounds.len() + 1);
        assert_eq!(times.bucket_counts[2], 1);
    }
}
