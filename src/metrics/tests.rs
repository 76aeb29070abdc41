use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::audit::findings::{Cost, Seen};
use crate::audit::wall::Wall;
use crate::config::{Config, Member, PoolMode};
use crate::lint::comment::Traceparent;
use crate::lint::hit::Hit;
use crate::lint::known::{Known, Said};
use crate::lint::observe::{Event, Execution, Observation, Subject};
use crate::lint::rule::{Action, Rule};
use crate::lint::rules::filter::MISSING_WHERE;
use crate::lint::rules::sequence::N_PLUS_ONE;
use crate::pool::cluster::Cluster;
use crate::pool::stats::Totals;
use crate::route::topology::Report;
use crate::tls::{TlsBundle, TlsContext};

fn process() -> Process {
    let text = "[databases.a]\n[[lint.firewall]]\nname = \"shop\"\nmode = \"detect\"\n";
    let config = Config::from_toml(text).expect("valid");
    let tls = TlsContext::new(TlsBundle::build(&config).expect("no files"));
    let wall = Wall::of(&config, None).expect("a wall");
    let process = Process::new(Arc::new(config), tls);
    process.wall.store(Arc::new(wall));
    let members = ["db1", "db2"].map(|name| Member::parse(name, 5432).expect("a server"));
    process.mirrors.insert("a".into(), Arc::default());
    let cluster = Cluster::new(&members, "");
    for (at, in_recovery) in [(0, false), (1, true), (0, false), (1, true)] {
        let report = Report {
            asked: Instant::now(),
            latency: Duration::from_millis(1),
            system: 7,
            timeline: 1,
            in_recovery,
            position: 1 << 24,
        };
        cluster.heard(at, Ok(report));
    }
    process.clusters.insert("a".into(), Arc::new(cluster));
    process
}

/// Something that a rule found, of two seconds.
fn find(process: &Process, rule: &'static Rule, action: Action, count: u64, round_trips: u64) {
    let subject = Subject {
        database: "shop".into(),
        app: "till".into(),
        ..Subject::default()
    };
    let seen = Seen {
        hit: &Hit::new(rule, "", "found"),
        subject: &subject,
        action,
        shape: 1,
        text: b"SELECT",
        parent: (0, b""),
        scope: 0,
        suppressed: None,
        count,
        cost: Cost {
            round_trips,
            server_us: 2_000_000,
            ..Cost::default()
        },
    };
    (process.findings.lock()).record(&seen, std::time::SystemTime::now());
}

fn pool(database: &str, queries: u64) -> PoolRow {
    let mut times = Times::default();
    for micros in [90, 2_000_000, 200_000_000] {
        times.query.note(micros);
    }
    PoolRow {
        key: crate::pool::key::PoolKey::new(database, "u"),
        mode: PoolMode::Transaction,
        size: 20,
        sv_active: 1,
        sv_idle: 2,
        sv_used: 0,
        sv_being_canceled: 0,
        sv_active_cancel: 0,
        sv_tested: 0,
        sv_login: 0,
        clients: 5,
        cl_waiting: 1,
        maxwait_us: 1_500_000,
        paused: false,
        totals: Totals {
            queries,
            ..Totals::default()
        },
        times,
    }
}

/// Names follow Prometheus's rules, and ours about units.
#[test]
fn the_table_is_well_formed() {
    let mut names = BTreeSet::new();
    for metric in METRICS {
        let name = metric.name;
        assert!(names.insert(name), "{name} twice");
        assert!(
            name.strip_prefix("pgweir_")
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')),
            "{name}"
        );
        assert_eq!(
            name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{name}"
        );
        assert!(
            metric.help.ends_with('.') && !metric.help.contains(['|', '\\', '"', '\n']),
            "{name}"
        );
    }
}

#[test]
fn every_row_is_rendered_with_its_labels() {
    let mut of_replica = pool("a", 9);
    of_replica.key.replica = Some("db:2".into());
    let snapshot = Snapshot {
        // Two parts of one pool, on two workers.
        pools: vec![pool("a", 3), pool("a", 4), pool("odd\"\\\n", 1), of_replica],
        ..Snapshot::default()
    };
    let process = process();
    // Two kinds of statement, one refused; the loop is told of again as it goes on.
    find(&process, &N_PLUS_ONE, Action::Log, 1, 4);
    find(&process, &N_PLUS_ONE, Action::Log, 0, 15);
    find(&process, &MISSING_WHERE, Action::Block, 1, 1);
    let reading = Reading {
        snapshot: &snapshot,
        process: &process,
    };
    let user = snapshot.pools[0].key.user.to_string();
    let traced = Observation {
        conn: 1,
        subject: Arc::new(Subject {
            database: "a".into(),
            user: user.into(),
            ..Subject::default()
        }),
        sent_us: 0,
        done_us: 300,
        event: Event::Executed(Execution {
            known: Arc::new(Known {
                said: Said {
                    traced: Some(Arc::new(Traceparent {
                        trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
                        span: 7,
                        sampled: true,
                    })),
                    ..Said::default()
                },
                ..Known::default()
            }),
            parsed_now: true,
            ..Execution::default()
        }),
    };
    let now = SystemTime::now();
    process.exemplars.lock().note(&traced, None, now);
    let open = render(&reading, Format::OpenMetrics);
    let samples = checker::read(&open, Format::OpenMetrics).expect("nothing wrong");
    let traced: Vec<_> = (samples.iter())
        .filter(|sample| sample.exemplar.is_some())
        .collect();
    let [traced] = traced[..] else {
        panic!("{traced:?}");
    };
    assert_eq!(traced.name, "pgweir_query_seconds_bucket");
    assert_eq!(
        (&*traced.labels["database"], &*traced.labels["le"]),
        ("a", "0.0005")
    );
    let (labels, value, _) = traced.exemplar.clone().expect("an exemplar");
    assert_eq!(labels["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(value, 0.0003);
    assert!(
        open.contains("# UNIT pgweir_query_seconds seconds\n"),
        "{open}"
    );
    let text = render(&reading, Format::Text);
    let samples = checker::read(&text, Format::Text).expect("nothing wrong");
    for metric in METRICS {
        let kind = format!("# TYPE {} {}\n", metric.name, metric.kind.as_str());
        assert!(text.contains(&kind), "{kind}{text}");
        let name = match metric.kind {
            Kind::Histogram => format!("{}_count", metric.name),
            _ => metric.name.to_owned(),
        };
        let of: Vec<_> = samples.iter().filter(|s| s.name == name).collect();
        assert!(!of.is_empty(), "{name} has no value");
        for label in metric.labels() {
            assert!(
                of.iter().any(|s| s.labels.contains_key(label)),
                "{name} {label}"
            );
        }
    }
    let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    has("pgweir_queries_total{database=\"a\",user=\"u\"} 7");
    has("pgweir_queries_total{database=\"odd\\\"\\\\\\n\",user=\"u\"} 1");
    has("pgweir_pool_clients{database=\"a\",user=\"u\",state=\"active\"} 8");
    has("pgweir_pool_servers{database=\"a\",user=\"u\",state=\"idle\"} 4");
    has(
        "pgweir_lint_findings_total{rule=\"n-plus-one\",kind=\"\",severity=\"warn\",database=\"shop\",app=\"till\",action=\"log\"} 1",
    );
    has("pgweir_lint_wasted_round_trips_total{rule=\"n-plus-one\",database=\"shop\"} 19");
    has("pgweir_lint_blocked_total{rule=\"missing-where\",database=\"shop\",app=\"till\"} 1");
    has("pgweir_lint_findings_active{rule=\"n-plus-one\",severity=\"warn\",database=\"shop\"} 1");
    has("pgweir_pool_max_wait_seconds{database=\"a\",user=\"u\"} 1.5");
    has("pgweir_queries_total{database=\"a\",user=\"u\",replica=\"db:2\"} 9");
    has("pgweir_query_seconds_bucket{database=\"a\",user=\"u\",le=\"0.0001\"} 2");
    has("pgweir_query_seconds_bucket{database=\"a\",user=\"u\",le=\"1.0\"} 2");
    has("pgweir_query_seconds_bucket{database=\"a\",user=\"u\",le=\"2.5\"} 4");
    has("pgweir_query_seconds_bucket{database=\"a\",user=\"u\",le=\"+Inf\"} 6");
    has("pgweir_query_seconds_sum{database=\"a\",user=\"u\"} 404.00018");
    has("pgweir_query_seconds_count{database=\"a\",user=\"u\"} 6");
}

/// A scrape knows nothing of the one before.
#[test]
fn pools_that_are_gone_take_their_series_along() {
    let process = process();
    let text = |pools| {
        let snapshot = Snapshot {
            pools,
            ..Snapshot::default()
        };
        let reading = Reading {
            snapshot: &snapshot,
            process: &process,
        };
        render(&reading, Format::Text)
    };
    assert!(text(vec![pool("gone", 1)]).contains("gone"));
    assert!(!text(vec![pool("a", 1)]).contains("gone"));
}

/// What a scrape of many pools takes, to be seen with `--nocapture`.
#[test]
fn many_pools() {
    let pools = (0..1000).map(|number| pool(&format!("database{number}"), number));
    let snapshot = Snapshot {
        pools: pools.collect(),
        ..Snapshot::default()
    };
    let process = process();
    let reading = Reading {
        snapshot: &snapshot,
        process: &process,
    };
    let began = Instant::now();
    let text = render(&reading, Format::Text);
    println!("{} bytes in {:?}", text.len(), began.elapsed());
    assert!(text.lines().count() > 100_000);
}

/// `PGWEIR_WRITE_DOCS=1` writes the page.
#[test]
fn the_page_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    if std::env::var_os("PGWEIR_WRITE_DOCS").is_some() {
        std::fs::write(path, markdown()).expect("written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/metrics.md is not what the table says: run this test with PGWEIR_WRITE_DOCS=1"
    );
}

/// Names and labels in the dashboard and the alerts are those that are exported.
#[test]
fn dashboard_and_alerts_ask_for_what_there_is() {
    let files = [
        include_str!("../../conf/grafana/pgweir.json"),
        include_str!("../../conf/prometheus/pgweir.rules.yml"),
    ];
    let mut asked = 0;
    for file in files {
        for (at, _) in file.match_indices("pgweir_") {
            let text = &file[at..];
            let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &text[..end.unwrap_or(text.len())];
            let bare = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            let metric = METRICS
                .iter()
                .find(|metric| metric.name == name || Some(metric.name) == bare);
            let metric = metric.unwrap_or_else(|| panic!("nothing is called {name}"));
            asked += 1;
            let Some(selector) = text[name.len()..].strip_prefix('{') else {
                continue;
            };
            let selector = selector.split('}').next().unwrap_or_default();
            for one in selector.split(',') {
                let label = one.split(['=', '~', '!']).next().unwrap_or_default().trim();
                let known = label == "instance" || metric.labels().contains(&label);
                assert!(known, "{name} has no label {label:?}");
            }
        }
    }
    assert!(asked > 40, "{asked}");
    assert!(serde_json::from_str::<serde_json::Value>(files[0]).is_ok());
}
