//! One POST to a collector, with bounds on time and size.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::Secret;
use crate::timer::timeout;

/// How long it may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer, in bytes; nothing of it is used.
const LONGEST: usize = 64 << 10;

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

/// Sends a body. `tls`: how servers of `https` prove themselves.
///
/// Cancel safe: dropping it closes the connection.
pub(super) async fn post(
    target: &Target,
    tls: Option<Arc<rustls::ClientConfig>>,
    body: Bytes,
) -> Result<(), Failure> {
    let sending = async {
        let url = &target.url;
        let host = (url.host()).ok_or_else(|| "otlp_endpoint names no host".to_owned())?;
        let https = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if https { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let socket = (TcpStream::connect((bare, port)).await).map_err(|error| error.to_string())?;
        if !https {
            return send(socket, target, body).await;
        }
        let tls = tls.ok_or_else(|| "otlp_ca_file is not set".to_owned())?;
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
        let socket = TlsConnector::from(tls).connect(name, socket).await;
        send(socket.map_err(|error| error.to_string())?, target, body).await
    };
    match timeout(PATIENCE, sending).await {
        Ok(sent) => sent,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs()).into()),
    }
}

fn request(target: &Target, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
    let authority = target
        .url
        .authority()
        .map_or("", |authority| authority.as_str());
    let path = target
        .url
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let mut request = Request::post(path)
        .header(HOST, authority)
        .header(CONTENT_TYPE, "application/x-protobuf");
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

async fn send(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    target: &Target,
    body: Bytes,
) -> Result<(), Failure> {
    let text = |error: hyper::Error| error.to_string();
    let request = request(target, body)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(socket))
            .await
            .map_err(text)?;
    let sending = async {
        let response = sender.send_request(request).await.map_err(text)?;
        let status = response.status();
        if !status.is_success() {
            // Source: OTLP specification, Failures: these may pass, nothing else does.
            let again = matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            );
            let text = format!("it answers {status}");
            return Err(Failure { text, again });
        }
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        body.map(drop).map_err(|error| error.to_string().into())
    };
    tokio::pin!(sending);
    tokio::select! {
        sent = &mut sending => sent,
        // The connection may end before the answer is read to its end.
        ended = connection => match ended {
            Ok(()) => sending.await,
            Err(error) => Err(text(error).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
