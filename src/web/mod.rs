//! HTTP for machines: `/metrics`, `/live` and `/ready`, on the address of `http_listen`.
//!
//! There is no authentication and nothing secret; the address belongs on a network of the
//! operator's. Everything is bounded: connections at once, size and time of a request, life of a
//! connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::control::Control;
use crate::metrics::{self, Reading};
use crate::shutdown::Phase;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 32;

/// Longest time until a request's head is there.
const HEAD: Duration = Duration::from_secs(5);

/// Longest life of a connection, idle times and slow readers included.
const LIFE: Duration = Duration::from_secs(60);

/// Longest head of a request, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// Pause after a failed accept (no more open files, say), so that it does not spin.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";

/// Serves HTTP for ever. Dropping the future closes the listener; connections end by themselves
/// within a minute.
pub async fn serve(listener: TcpListener, control: Control) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((socket, _)) => {
                let control = control.clone();
                tokio::spawn(async move {
                    connection(socket, control).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection could not be accepted");
                crate::timer::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

async fn connection(socket: TcpStream, control: Control) {
    let service = service_fn(move |request| {
        let control = control.clone();
        async move { Ok::<_, Infallible>(answer(&request, &control).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(socket), service);
    match crate::timer::timeout(LIFE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP connection ended"),
        Err(_) => tracing::debug!("an HTTP connection was open for too long"),
    }
}

async fn answer(request: &Request<Incoming>, control: &Control) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allow);
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let snapshot = control.snapshot().await;
            let page = metrics::render(&Reading {
                snapshot: &snapshot,
                process: control.process(),
            });
            let mut response = text(StatusCode::OK, page);
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        "/live" => text(StatusCode::OK, "live\n"),
        "/ready" => {
            let phase = control.process().phase.get();
            let status = match phase {
                Phase::Running => StatusCode::OK,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            text(status, format!("{}\n", phase.as_str()))
        }
        _ => text(StatusCode::NOT_FOUND, "try /metrics, /live or /ready\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(TEXT);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::control::{Command, Snapshot};
    use crate::pool::process::Process;
    use crate::tls::{TlsBundle, TlsContext};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// HTTP in front of a worker that has nothing; its address and the handle.
    async fn served() -> (std::net::SocketAddr, Control) {
        let config = Config::from_toml("[databases.a]\n").expect("valid");
        let tls = TlsContext::new(TlsBundle::build(&config).expect("no files"));
        let process = Arc::new(Process::new(Arc::new(config), tls));
        let (worker, mut mailbox) = tokio::sync::mpsc::unbounded_channel();
        let control = Control::new(process, vec![worker], |_| Config::from_toml(""));
        tokio::spawn(async move {
            while let Some(command) = mailbox.recv().await {
                if let Command::Snapshot(answer) = command {
                    let _ = answer.send(Snapshot::default());
                }
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let addr = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, control.clone()));
        (addr, control)
    }

    async fn ask(addr: std::net::SocketAddr, request: &str) -> String {
        let mut socket = TcpStream::connect(addr).await.expect("connected");
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("text");
        answer
    }

    async fn get(addr: std::net::SocketAddr, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        ask(addr, &request).await
    }

    #[tokio::test]
    async fn ready_follows_the_phase() {
        let (addr, control) = served().await;
        assert!(get(addr, "/live").await.starts_with("HTTP/1.1 200"));
        let starting = get(addr, "/ready").await;
        assert!(starting.starts_with("HTTP/1.1 503") && starting.ends_with("starting\n"));
        control.process().phase.advance(Phase::Running);
        let running = get(addr, "/ready").await;
        assert!(running.starts_with("HTTP/1.1 200") && running.ends_with("running\n"));
        control.shutdown(Phase::WaitForClients);
        let draining = get(addr, "/ready").await;
        assert!(draining.starts_with("HTTP/1.1 503"), "{draining}");
        assert!(draining.ends_with("wait_for_clients\n"), "{draining}");
        assert!(get(addr, "/live").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn metrics_and_mistakes() {
        let (addr, _control) = served().await;
        let page = get(addr, "/metrics").await;
        assert!(
            page.contains("content-type: text/plain; version=0.0.4"),
            "{page}"
        );
        assert!(page.contains("\npgweir_info 1\n"), "{page}");
        assert!(get(addr, "/").await.starts_with("HTTP/1.1 404"));
        let post =
            "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert!(ask(addr, post).await.starts_with("HTTP/1.1 405"));
        let head = "HEAD /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert!(ask(addr, head).await.ends_with("\r\n\r\n"));
    }

    #[tokio::test]
    async fn garbage_and_long_heads_end_one_connection() {
        let (addr, _control) = served().await;
        let answer = ask(addr, "\0\x01\x02 garbage\r\n\r\n").await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
        let mut socket = TcpStream::connect(addr).await.expect("connected");
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES * 2));
        // It may be closed before all of it is sent.
        let _ = socket.write_all(long.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
        assert!(get(addr, "/live").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test(start_paused = true)]
    async fn silent_connections_do_not_keep_others_out() {
        let (addr, _control) = served().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(addr).await.expect("connected"));
        }
        assert!(get(addr, "/live").await.starts_with("HTTP/1.1 200"));
    }
}
