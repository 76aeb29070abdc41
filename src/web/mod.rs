//! HTTP on the address of `http_listen`: `/metrics`, `/live` and `/ready` for machines, the JSON API,
//! and the page that shows it.
//!
//! [`endpoints`] is the table of the API; [`access`] says who may look. Everything is bounded:
//! connections at once, size and time of a request, life of a connection, rows of an answer,
//! listeners.

pub mod access;
pub mod actions;
pub mod api;
mod commands;
pub mod endpoints;
pub mod events;
pub mod fields;
pub mod history;
mod lockout;
pub mod openapi;
pub mod overview;
pub mod page;
pub mod problems;
pub mod quantiles;
pub mod query;
mod reply;
pub mod tail;
pub mod tracks;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::admin::execute::Env;
use crate::client::challenge::Candidate;
use crate::client::secrets::Found;
use crate::control::Control;
use crate::derivation::Derivation;
use crate::metrics::exposition::Format;
use crate::metrics::{self, Reading};
use crate::shutdown::Phase;
use access::Visitor;
use api::{Reader, Refused};
use events::Hub;
use lockout::Lockout;
use reply::{Body, EVENTS, json, not_found, text, with_type, wrong_method};

/// Connections at once, those of listeners included; more wait in the kernel's queue.
const CONNECTIONS: usize = 32 + events::LISTENERS;

/// Longest time until a request's head is there.
const HEAD: Duration = Duration::from_secs(5);

/// Longest life of a connection, idle times and slow readers included; not of one that listens.
const LIFE: Duration = Duration::from_secs(60);

/// Longest head of a request, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// How long somebody with a wrong password waits for the answer.
const AFTER_WRONG_PASSWORD: Duration = Duration::from_millis(500);

/// Where a browser asks for name and password.
const LOGIN_PATH: &str = "/login";

/// Below this path are the commands.
const ACTIONS_PATH: &str = "/actions/";

/// Pause after a failed accept (no more open files, say), so that it does not spin.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Where listeners are told each second.
const EVENTS_PATH: &str = "/events";

/// What all connections share.
struct Site {
    env: Env,
    derivation: Arc<Derivation>,
    hub: Arc<Hub>,
    /// Whether the listener has a loopback address.
    local: bool,
    /// Failed logins.
    lockout: Mutex<Lockout>,
}

/// Serves HTTP for ever. Dropping the future closes the listener; connections end by themselves
/// within a minute, those of listeners within an hour.
pub async fn serve(listener: TcpListener, env: Env, derivation: Arc<Derivation>) {
    let local = (listener.local_addr()).is_ok_and(|addr| addr.ip().is_loopback());
    let login = env.control.process().config.load().settings.http_login;
    let site = Arc::new(Site {
        hub: Arc::default(),
        derivation,
        local,
        env,
        lockout: Mutex::default(),
    });
    tokio::select! {
        () = accept(&listener, &site) => {}
        // If nobody may look there is nothing to remember.
        () = site.hub.run(&site.env), if local || login => {}
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
            Ok((socket, peer)) => {
                let site = site.clone();
                tokio::spawn(async move {
                    secured(socket, peer, site).await;
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

/// With TLS if the settings say so: the certificate that clients of databases see.
async fn secured(socket: TcpStream, peer: SocketAddr, site: Arc<Site>) {
    let process = site.env.control.process();
    if !process.config.load().settings.http_tls {
        return connection(socket, peer, site).await;
    }
    let bundle = process.tls.load();
    let Some(leg) = &bundle.clients else {
        // A configuration without a certificate is refused, but a reload may have taken it away.
        tracing::warn!(
            "http_tls is in force and there is no certificate: an HTTP connection is closed"
        );
        return;
    };
    let mut config = leg.config.as_ref().clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    match crate::timer::timeout(HEAD, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => connection(stream, peer, site).await,
        Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS with an HTTP client"),
        Err(_) => tracing::debug!(%peer, "an HTTP client was too slow with TLS"),
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    site: Arc<Site>,
) {
    let listens = Arc::new(AtomicBool::new(false));
    let listening = listens.clone();
    let service = service_fn(move |request| {
        let (site, listening) = (site.clone(), listening.clone());
        async move { Ok::<_, Infallible>(site.answer(request, peer, &listening).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
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
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        listens: &AtomicBool,
    ) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let api = path.strip_prefix(endpoints::BASE);
        let action = api.and_then(|path| path.strip_prefix(ACTIONS_PATH));
        let allowed: &[Method] = match action {
            Some(_) => &[Method::POST],
            None => &[Method::GET, Method::HEAD],
        };
        if !allowed.contains(request.method()) {
            return wrong_method(allowed);
        }
        if let Some(response) = for_machines(&request, &self.env.control).await {
            return response;
        }
        let page = page::find(&path);
        if api.is_none() && page.is_none() && path != LOGIN_PATH {
            return not_found();
        }
        let visitor = match self.visitor(&request, peer).await {
            Ok(visitor) => visitor,
            Err(refused) => return self.refuse(&refused, api.is_some()),
        };
        match (action, api, page) {
            (Some(action), ..) => self.command(action, request, peer, &visitor).await,
            (None, Some(path), _) => self.api(&request, path, &visitor, listens).await,
            (None, None, Some(page)) => page,
            (None, None, None) => self.login(&visitor),
        }
    }

    /// Who asks.
    async fn visitor(
        &self,
        request: &Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Visitor, Refused> {
        let config = self.env.control.process().config.load_full();
        let login = config.settings.http_login;
        access::way(self.local, login, request.headers())?;
        let Some(shown) = access::shown(request.headers()) else {
            return match login {
                true => Err(unknown()),
                false => Ok(Visitor::ANYBODY),
            };
        };
        let (addr, now) = (peer.ip(), Instant::now());
        if let Err(wait) = self.lockout.lock().may(addr, &shown.user, now) {
            return Err(later(wait));
        }
        // The same for names that nobody has, so that the time does not tell them.
        let candidate = Candidate::look_up(&config, &shown.user, &Found::NotAsked);
        let proven = (self.derivation)
            .verify_cleartext(candidate.secret(), &shown.user, &shown.password)
            .await
            .unwrap_or(false);
        match access::rights(&config.settings, &shown.user) {
            Some(rights) if proven && candidate.is_genuine() => {
                self.lockout.lock().succeeded(addr, &shown.user);
                Ok(Visitor {
                    user: Some(shown.user),
                    rights,
                })
            }
            _ => {
                let now = Instant::now();
                let wait = self.lockout.lock().failed(addr, &shown.user, now);
                tracing::warn!(user = shown.user, addr = %peer, locked_s = wait.as_secs(), "a login to the page failed");
                let process = self.env.control.process();
                commands::visitor_at(&shown.user, peer)
                    .turned_away(process, "a login to the page failed");
                crate::timer::sleep(AFTER_WRONG_PASSWORD).await;
                Err(unknown())
            }
        }
    }

    fn refuse(&self, refused: &Refused, as_json: bool) -> Response<Body> {
        let mut response = match as_json {
            true => json(refused.0, &refused.json()),
            false => text(refused.0, format!("{}\n", refused.1)),
        };
        if refused.0 == StatusCode::TOO_MANY_REQUESTS {
            // The text tells it exactly; who comes later than needed is welcome too.
            let longest = HeaderValue::from(lockout::LONGEST.as_secs());
            response.headers_mut().insert(RETRY_AFTER, longest);
        }
        if refused.0 == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Basic realm=\"pgweir\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, realm);
        }
        response
    }

    /// Has a browser ask for name and password, and go to the page with them.
    fn login(&self, visitor: &Visitor) -> Response<Body> {
        if visitor.user.is_none() {
            return self.refuse(&unknown(), false);
        }
        let mut response = text(StatusCode::SEE_OTHER, "");
        let page = HeaderValue::from_static("/");
        response.headers_mut().insert(LOCATION, page);
        response
    }

    async fn api(
        &self,
        request: &Request<Incoming>,
        path: &str,
        visitor: &Visitor,
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
        match reader.get(path, query, visitor).await {
            Ok(answer) => json(StatusCode::OK, &answer),
            Err(refused) => self.refuse(&refused, true),
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

fn later(wait: Duration) -> Refused {
    let seconds = wait.as_secs_f64().ceil();
    let told = format!("too many logins failed; try again in {seconds} s");
    Refused(StatusCode::TOO_MANY_REQUESTS, told)
}

fn unknown() -> Refused {
    let told = "log in as a user of admin_users or stats_users";
    Refused(StatusCode::UNAUTHORIZED, told.to_owned())
}

/// `/metrics`, `/live` and `/ready`, which ask for no login; `None` for another path.
async fn for_machines(request: &Request<Incoming>, control: &Control) -> Option<Response<Body>> {
    Some(match request.uri().path() {
        "/metrics" => {
            let snapshot = control.counts().await;
            let accept = request.headers().get(ACCEPT);
            let accept = accept.and_then(|accept| accept.to_str().ok());
            let format = Format::wanted(accept.unwrap_or_default());
            let process = control.process().clone();
            // Thousands of pools are megabytes of text, which must not hold up what else this thread does.
            let rendered = tokio::task::spawn_blocking(move || {
                let reading = Reading {
                    snapshot: &snapshot,
                    process: &process,
                };
                metrics::render(&reading, format)
            });
            match rendered.await {
                Ok(page) => with_type(text(StatusCode::OK, page), format.content_type()),
                Err(error) => {
                    tracing::error!(%error, "metrics could not be rendered");
                    text(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n")
                }
            }
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

#[cfg(test)]
mod tests;
