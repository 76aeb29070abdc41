//! One POST to a collector.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode, Uri};

use crate::config::Secret;
use crate::net::http::{self, Bounds, Trust};

/// Nothing of an answer is used.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(10),
    bytes: 64 << 10,
};

/// Where something goes.
pub(super) struct Target {
    /// The whole address.
    pub(super) url: Uri,
    /// `NAME=VALUE`, separated by commas.
    pub(super) headers: Option<Secret>,
}

/// Why it was not taken.
pub(super) struct Failure {
    /// For the log.
    pub(super) text: String,
    /// Whether the same may be taken later.
    pub(super) again: bool,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self { text, again: true }
    }
}

/// Sends a body.
///
/// Cancel safe: dropping it closes the connection.
pub(super) async fn post(target: &Target, trust: Trust, body: Bytes) -> Result<(), Failure> {
    let request = request(target, body)?;
    let (status, _) = http::ask(&target.url, trust, request, BOUNDS).await?;
    if status.is_success() {
        return Ok(());
    }
    // Source: OTLP specification, Failures: these may pass, nothing else does.
    let again = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let text = format!("it answers {status}");
    Err(Failure { text, again })
}

fn request(target: &Target, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
    let mut request =
        http::request(Method::POST, &target.url).header(CONTENT_TYPE, "application/x-protobuf");
    let headers = target
        .headers
        .as_ref()
        .map_or("", |headers| headers.expose());
    for header in headers
        .split(',')
        .filter(|header| !header.trim().is_empty())
    {
        // What is wrong with one is not told: it may be a secret.
        let (name, value) = header
            .split_once('=')
            .ok_or("otlp_headers: not NAME=VALUE")?;
        request = request.header(name.trim(), value.trim());
    }
    let request = request.body(Full::new(body));
    request.map_err(|_| "otlp_headers: a name or a value that no header can have".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HOST;

    #[test]
    fn headers_are_sent_and_mistakes_do_not_tell_them() {
        let target = |headers: &str| Target {
            url: "http://db:4318/v1/traces".parse().expect("an address"),
            headers: Some(Secret::new(headers.to_owned())),
        };
        let good = request(
            &target("authorization=Basic YQ==, x-tenant = shop,"),
            Bytes::new(),
        );
        let good = good.expect("a request");
        assert_eq!(good.uri().path(), "/v1/traces");
        assert_eq!(good.headers()[HOST], "db:4318");
        assert_eq!(good.headers()["authorization"], "Basic YQ==");
        assert_eq!(good.headers()["x-tenant"], "shop");
        for bad in ["hunter2", "a b=hunter2", "a=\u{1}hunter2"] {
            let error = request(&target(bad), Bytes::new()).expect_err("a mistake");
            assert!(
                error.contains("otlp_headers") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
