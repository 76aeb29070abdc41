//! Metrics, traces and the log, as a collector of OpenTelemetry gets them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use pgweir::demo::cluster::free_port;
use prost::Message;

use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{Postgres, each_postgres};
use crate::support::wait::eventually;

/// What came: the path, the head, and the body.
struct Post {
    path: String,
    head: String,
    body: Vec<u8>,
}

/// A collector that takes what it gets, or answers with another status.
struct Collector {
    port: u16,
    posts: Receiver<Post>,
    status: Arc<AtomicU16>,
}

/// One request of a connection; `None` if it is not whole.
fn post(stream: &TcpStream) -> Option<Post> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)?
        .split("\r\n")
        .next()?;
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Post {
        path: head.split(' ').nth(1)?.to_owned(),
        head,
        body,
    })
}

fn collect(listener: &TcpListener, posts: &Sender<Post>, status: &AtomicU16) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else {
            return;
        };
        let Some(post) = post(&stream) else {
            continue;
        };
        let status = status.load(Ordering::SeqCst);
        let answer = format!("HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n\r\n");
        // Whoever asked may be gone.
        let _ = stream.write_all(answer.as_bytes());
        if status == 200 && posts.send(post).is_err() {
            return;
        }
    }
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, posts) = channel();
        let status = Arc::new(AtomicU16::new(200));
        let answer = status.clone();
        std::thread::spawn(move || collect(&listener, &sender, &answer));
        Self {
            port,
            posts,
            status,
        }
    }

    fn next(&self, path: &str) -> Post {
        eventually("something at the collector", || {
            self.posts.try_iter().find(|post| post.path == path)
        })
    }
}

fn start(postgres: &Postgres, port: u16, signals: &str) -> (Pgweir, u16) {
    let database = postgres.database();
    let http = free_port().expect("a free port");
    let pgweir = Setup::new()
        .set("pool_mode", "transaction")
        .set("http_listen", format!("127.0.0.1:{http}"))
        .set("otlp_endpoint", format!("http://127.0.0.1:{port}/"))
        .set("otlp_signals", signals)
        .set("otlp_headers", "x-key=s3cret")
        .set("otlp_metrics_interval", 1)
        .database("app", postgres, &database)
        .start();
    (pgweir, http)
}

fn traced(number: u128, flags: &str) -> String {
    format!("SELECT {number} + 40 /*traceparent='00-{number:032x}-00f067aa0ba902b7-{flags}'*/")
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|one| one.key == key);
    match found.and_then(|one| one.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    }
}

fn spans(post: &Post) -> Vec<Span> {
    let told = ExportTraceServiceRequest::decode(&*post.body).expect("OTLP");
    let all = told.resource_spans.into_iter();
    all.flat_map(|one| one.scope_spans)
        .flat_map(|one| one.spans)
        .collect()
}

#[test]
fn statements_join_the_traces_of_their_application() {
    for postgres in each_postgres() {
        let collector = Collector::start();
        let (pgweir, _) = start(postgres, collector.port, "traces");
        // All have one shape: each has its own trace nevertheless.
        for (number, flags) in [(1, "01"), (2, "00"), (3, "01")] {
            pgweir.psql(postgres, "t_trust", "app", &traced(number, flags));
        }
        pgweir.psql(postgres, "t_trust", "app", "SELECT 4 + 40");
        let mut all = Vec::new();
        while all.len() < 2 {
            let post = collector.next("/v1/traces");
            assert!(post.head.contains("content-type: application/x-protobuf"));
            assert!(post.head.contains("x-key: s3cret"), "{}", post.head);
            all.append(&mut spans(&post));
        }
        let traces: Vec<u8> = all.iter().map(|span| span.trace_id[15]).collect();
        assert_eq!(traces, [1, 3]);
        let span = &all[0];
        assert_eq!(span.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
        assert_eq!(span.name, "SELECT");
        assert!(span.start_time_unix_nano < span.end_time_unix_nano);
        assert_eq!(attribute(span, "db.namespace"), "app");
        assert_eq!(attribute(span, "db.response.returned_rows"), "1");
        let statement = attribute(span, "db.query.text");
        assert!(!statement.contains("40"), "{statement}");
        let shown = pgweir.psql(postgres, "postgres", "pgweir", "SHOW CONFIG");
        assert!(
            shown.contains("otlp_headers") && !shown.contains("s3cret"),
            "{shown}"
        );
    }
}

#[test]
fn metrics_are_those_of_the_table() {
    // They are the same for every server.
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let collector = Collector::start();
    let (pgweir, _) = start(postgres, collector.port, "metrics");
    pgweir.psql(postgres, "t_trust", "app", &traced(7, "01"));
    let queries = eventually("the queries", || {
        let post = collector.next("/v1/metrics");
        let told = ExportMetricsServiceRequest::decode(&*post.body).expect("OTLP");
        let metrics = told.resource_metrics[0].scope_metrics[0].metrics.clone();
        let find = |name: &str| metrics.iter().find(|metric| metric.name == name).cloned();
        let Some(Data::Histogram(times)) = find("pgweir_query_seconds")?.data else {
            panic!("not a histogram");
        };
        assert!(find("pgweir_queries_total").is_some());
        let times = times
            .data_points
            .into_iter()
            .find(|point| point.count > 0)?;
        (!times.exemplars.is_empty()).then_some(times)
    });
    assert_eq!(queries.exemplars[0].trace_id[15], 7);
    assert_eq!(queries.bucket_counts.iter().sum::<u64>(), queries.count);
}

/// The value of a metric without labels.
fn metric(http: u16, name: &str) -> f64 {
    let mut stream = TcpStream::connect(("127.0.0.1", http)).expect("connected");
    let asked = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(asked.as_bytes()).expect("sent");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("text");
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok())
        .expect("a value")
}

#[test]
fn what_a_collector_does_not_take_is_kept_a_while_or_counted() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let collector = Collector::start();
    collector.status.store(503, Ordering::SeqCst);
    let (pgweir, http) = start(postgres, collector.port, "traces");
    pgweir.psql(postgres, "t_trust", "app", &traced(1, "01"));
    eventually("the log", || {
        pgweir.log().contains("it answers 503").then_some(())
    });
    assert_eq!(metric(http, "pgweir_otlp_dropped_total"), 0.0);
    collector.status.store(200, Ordering::SeqCst);
    assert_eq!(spans(&collector.next("/v1/traces")).len(), 1);
    eventually("the end of it in the log", || {
        pgweir.log().contains("is sent again").then_some(())
    });
    // Sent again it would be refused again.
    collector.status.store(400, Ordering::SeqCst);
    pgweir.psql(postgres, "t_trust", "app", &traced(2, "01"));
    eventually("the count", || {
        (metric(http, "pgweir_otlp_dropped_total") == 1.0).then_some(())
    });
}

/// Bodies of the log's lines that came, with their severities and the modules that told them.
fn lines(post: &Post) -> Vec<(String, i32, String)> {
    let told = ExportLogsServiceRequest::decode(&*post.body).expect("OTLP");
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    };
    let all = told.resource_logs.into_iter();
    all.flat_map(|one| one.scope_logs)
        .flat_map(|one| one.log_records)
        .map(|record| {
            let mut attributes = record.attributes.into_iter();
            let module = attributes.find(|one| one.key == "code.namespace");
            let module = text(module.and_then(|one| one.value));
            (text(record.body), record.severity_number, module)
        })
        .collect()
}

/// Each line once, those of an outage too, and none about the sending itself.
#[test]
fn the_log_goes_to_the_collector_too() {
    for postgres in each_postgres() {
        let collector = Collector::start();
        let (pgweir, _) = start(postgres, collector.port, "logs");
        let mut came = Vec::new();
        let mut logins = |wanted: usize| {
            eventually(&format!("{wanted} logins"), || {
                let posts = collector.posts.try_iter();
                came.extend(posts.flat_map(|post| {
                    assert_eq!(post.path, "/v1/logs");
                    lines(&post)
                }));
                let logins = came
                    .iter()
                    .filter(|line| line.0.starts_with("login attempt"));
                (logins.count() == wanted).then(|| came.clone())
            })
        };
        let ask = || pgweir.psql(postgres, "t_trust", "app", "SELECT 1");
        ask();
        logins(1);
        collector.status.store(503, Ordering::SeqCst);
        ask();
        eventually("the outage", || {
            pgweir
                .log()
                .contains("does not take what it is sent")
                .then_some(())
        });
        ask();
        collector.status.store(200, Ordering::SeqCst);
        let came = logins(3);
        let login = came.iter().find(|line| line.0.starts_with("login attempt"));
        assert_eq!(login.map(|line| line.1), Some(9));
        assert!(
            came.iter().all(|line| !line.2.starts_with("pgweir::otlp")),
            "{came:?}"
        );
    }
}
