//! One GET of Patroni's REST API.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::ACCEPT;
use hyper::{Method, Uri};

use crate::net::http::{self, Bounds, Trust};

/// An answer names a few servers.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(2),
    bytes: 256 << 10,
};

/// What `url` answers.
///
/// Cancel safe: dropping it closes the connection.
///
/// # Errors
/// Why there is no answer, for the log.
pub async fn get(url: &Uri, trust: Trust) -> Result<Bytes, String> {
    let request = http::request(Method::GET, url)
        .header(ACCEPT, "application/json")
        .body(Full::default())
        .map_err(|error| error.to_string())?;
    match http::ask(url, trust, request, BOUNDS).await? {
        (status, body) if status.is_success() => Ok(body),
        (status, _) => Err(format!("it answers {status}")),
    }
}
