//! HTTP on the address of `http_listen`: `/metrics`, `/live` and `/ready` for machines, the JSON API,
//! and the page that shows it.
//!
//! [`endpoints`] is the table of the API; [`access`] says who may look. Everything is bounded:
//! connections at once, size and time of a request, life of a connection, rows of an answer,
//! listeners.

pub mod access;
pub mod api;
pub mod endpoints;
pub mod events;
pub mod history;
pub mod openapi;
pub mod overview;
pub mod page;
pub mod problems;
pub mod query;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::admin::execute::Env;
use crate::control::Control;
use crate::metrics::{self, Reading};
use crate::shutdown::Phase;
use api::{Reader, Refused};
use events::Hub;

/// Connections at once, those of listeners included; more wait in the kernel's queue.
const CONNECTIONS: usize = 32 + events::LISTENERS;

/// Longest time until a request's head is there.
const HEAD: Duration = Duration::from_secs(5);

/// Longest life of a connection, idle times and slow readers included; not of one that listens.
const LIFE: Duration = Duration::from_secs(60);

/// Longest head of a request, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// Pause after a failed accept (no more open files, say), so that it does not spin.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Where listeners are told each second.
const EVENTS_PATH: &str = "/events";

/// What is sent back: whole, or bit by bit.
type Body = Either<Full<Bytes>, events::Stream>;

/// What all connections share.
struct Site {
    env: Env,
    hub: Arc<Hub>,
    /// Whether the listener has a loopback address.
    local: bool,
}

/// Serves HTTP for ever. Dropping the future closes the listener; connections end by themselves
/// within a minute, those of listeners within an hour.
pub async fn serve(listener: TcpListener, env: Env) {
    let local = listener
        .local_addr()
        .is_ok_and(|addr| addr.ip().is_loopback());
    let site = Arc::new(Site {
        hub: Arc::default(),
        local,
        env,
    });
    tokio::select! {
        () = accept(&listener, &site) => {}
        // Nobody else may look, so there is nothing to remember.
        () = site.hub.run(&site.env), if local => {}
    }
}

async fn accept(listener: &TcpListener, site: &Arc<Site>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((socket, _)) => {
                let site = site.clone();
                tokio::spawn(async move {
                    connection(socket, site).await;
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

async fn connection(socket: TcpStream, site: Arc<Site>) {
    let listens = Arc::new(AtomicBool::new(false));
    let listening = listens.clone();
    let service = service_fn(move |request| {
        let (site, listening) = (site.clone(), listening.clone());
        async move { Ok::<_, Infallible>(site.answer(&request, &listening).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let mut ended = crate::timer::timeout(LIFE, &mut connection).await;
    if ended.is_err() && listens.load(Ordering::Relaxed) {
        ended = crate::timer::timeout(events::LIFE, &mut connection).await;
    }
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP connection ended"),
        Err(_) => tracing::debug!("an HTTP connection was open for too long"),
    }
}

impl Site {
    async fn answer(&self, request: &Request<Incoming>, listens: &AtomicBool) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allow);
            return response;
        }
        let path = request.uri().path();
        if let Some(response) = for_machines(path, &self.env.control).await {
            return response;
        }
        let api = path.strip_prefix(endpoints::BASE);
        let page = page::find(path);
        if api.is_none() && page.is_none() {
            return not_found();
        }
        if let Err(why) = access::may_look(self.local, request.headers()) {
            return match api {
                Some(_) => json(StatusCode::FORBIDDEN, &json!({ "error": why })),
                None => text(StatusCode::FORBIDDEN, format!("{why}\n")),
            };
        }
        match (api, page) {
            (Some(path), _) => self.api(request, path, listens).await,
            (None, Some(page)) => page,
            (None, None) => not_found(),
        }
    }

    async fn api(
        &self,
        request: &Request<Incoming>,
        path: &str,
        listens: &AtomicBool,
    ) -> Response<Body> {
        if path == EVENTS_PATH {
            return self.events(request, listens);
        }
        let reader = Reader {
            env: &self.env,
            history: &self.hub.history,
        };
        let query = request.uri().query().unwrap_or_default();
        match reader.get(path, query).await {
            Ok(answer) => json(StatusCode::OK, &answer),
            Err(refused) => json(refused.0, &refused.json()),
        }
    }

    fn events(&self, request: &Request<Incoming>, listens: &AtomicBool) -> Response<Body> {
        if request.method() == Method::HEAD {
            return with_type(Response::new(Either::Left(Full::default())), EVENTS);
        }
        let Some(stream) = self.hub.listen() else {
            let told = format!("{} listeners are there already", events::LISTENERS);
            let refused = Refused(StatusCode::SERVICE_UNAVAILABLE, told);
            return json(refused.0, &refused.json());
        };
        listens.store(true, Ordering::Relaxed);
        with_type(Response::new(Either::Right(stream)), EVENTS)
    }
}

/// `/metrics`, `/live` and `/ready`, which ask for no login; `None` for another path.
async fn for_machines(path: &str, control: &Control) -> Option<Response<Body>> {
    Some(match path {
        "/metrics" => {
            let snapshot = control.snapshot().await;
            let page = metrics::render(&Reading {
                snapshot: &snapshot,
                process: control.process(),
            });
            with_type(
                text(StatusCode::OK, page),
                "text/plain; version=0.0.4; charset=utf-8",
            )
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
        _ => return None,
    })
}

/// Marks a response with its type, and keeps browsers from guessing another and from keeping it.
fn with_type(mut response: Response<Body>, kind: &'static str) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let no_guess = HeaderName::from_static("x-content-type-options");
    headers.insert(no_guess, HeaderValue::from_static("nosniff"));
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    with_type(response, TEXT)
}

fn not_found() -> Response<Body> {
    let known = "try /, /api/v1/openapi.json, /metrics, /live or /ready\n";
    text(StatusCode::NOT_FOUND, known)
}

fn json(status: StatusCode, body: &Value) -> Response<Body> {
    with_type(text(status, body.to_string()), JSON)
}

#[cfg(test)]
mod tests;
