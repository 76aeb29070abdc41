//! One request to somebody else's HTTP server, on a connection of its own, with bounds on time and size.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::http::request::Builder;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::timer::timeout;

/// How servers of `https` prove themselves.
pub struct Trust {
    /// `None` if nobody said whom to trust: then there is no `https`.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The setting that says it, for the log.
    pub setting: &'static str,
}

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In all, the connection included.
    pub time: Duration,
    /// Of the answer's body.
    pub bytes: usize,
}

/// The beginning of a request for what `url` names.
#[must_use]
pub fn request(method: Method, url: &Uri) -> Builder {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, authority)
}

/// Sends a request to the server of `url`. The body of an answer that is no success is not read.
///
/// Cancel safe: dropping it closes the connection.
///
/// # Errors
/// Why there is no answer, for the log.
pub async fn ask(
    url: &Uri,
    trust: Trust,
    request: Request<Full<Bytes>>,
    bounds: Bounds,
) -> Result<(StatusCode, Bytes), String> {
    let asking = async {
        let host = url.host().ok_or("its address names no host")?;
        let https = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if https { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let socket = (TcpStream::connect((bare, port)).await).map_err(|error| error.to_string())?;
        if !https {
            return exchange(socket, request, bounds.bytes).await;
        }
        let tls = (trust.tls).ok_or_else(|| format!("{} is not set", trust.setting))?;
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
        let socket = TlsConnector::from(tls).connect(name, socket).await;
        let socket = socket.map_err(|error| error.to_string())?;
        exchange(socket, request, bounds.bytes).await
    };
    match timeout(bounds.time, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", bounds.time.as_secs())),
    }
}

async fn exchange(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<(StatusCode, Bytes), String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(text)?;
    let answering = async {
        let response = sender.send_request(request).await.map_err(text)?;
        let status = response.status();
        if !status.is_success() {
            return Ok((status, Bytes::new()));
        }
        let body = Limited::new(response.into_body(), most).collect().await;
        let body = body.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(answering);
    tokio::select! {
        answer = &mut answering => answer,
        // The connection may end before the answer is read to its end.
        ended = connection => match ended {
            Ok(()) => answering.await,
            Err(error) => Err(text(error)),
        },
    }
}
