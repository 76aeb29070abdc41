//! What is sent back.

use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use super::events;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
pub(super) const EVENTS: &str = "text/event-stream";

/// What is sent back: whole, or bit by bit.
pub(super) type Body = Either<Full<Bytes>, events::Stream>;

/// Marks a response with its type, and keeps browsers from guessing another and from keeping it.
pub(super) fn with_type(mut response: Response<Body>, kind: &'static str) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let no_guess = HeaderName::from_static("x-content-type-options");
    headers.insert(no_guess, HeaderValue::from_static("nosniff"));
    response
}

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    with_type(response, TEXT)
}

pub(super) fn not_found() -> Response<Body> {
    let known = "try /, /api/v1/openapi.json, /metrics, /live or /ready\n";
    text(StatusCode::NOT_FOUND, known)
}

pub(super) fn json(status: StatusCode, body: &Value) -> Response<Body> {
    with_type(text(status, body.to_string()), JSON)
}

pub(super) fn wrong_method(allowed: &[Method]) -> Response<Body> {
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let names = names.join(", ");
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {names}\n"));
    if let Ok(allow) = HeaderValue::from_str(&names) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}
