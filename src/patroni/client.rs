//! One GET of Patroni's REST API, with bounds on time and size.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::timer::timeout;

/// How long an answer may take in all.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer, in bytes.
const LONGEST: usize = 256 << 10;

/// What `url` answers. `tls`: how servers of `https` prove themselves.
///
/// Cancel safe: dropping it closes the connection.
///
/// # Errors
/// Why there is no answer, for the log.
pub async fn get(url: &Uri, tls: Option<Arc<rustls::ClientConfig>>) -> Result<Bytes, String> {
    let asking = async {
        let host = url.host().ok_or("it names no host")?;
        let https = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if https { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let socket = (TcpStream::connect((bare, port)).await).map_err(|error| error.to_string())?;
        if !https {
            return ask(socket, url).await;
        }
        let tls = tls.ok_or("patroni_ca_file is not set")?;
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
        let socket = TlsConnector::from(tls).connect(name, socket).await;
        ask(socket.map_err(|error| error.to_string())?, url).await
    };
    match timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Uri,
) -> Result<Bytes, String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(socket))
            .await
            .map_err(text)?;
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let answering = async {
        let response = sender.send_request(request).await.map_err(text)?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status()));
        }
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| error.to_string())?;
        Ok(body.to_bytes())
    };
    tokio::pin!(answering);
    tokio::select! {
        answer = &mut answering => answer,
        // The connection may end before the answer is read to its end.
        ended = connection => match ended {
            Ok(()) => answering.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
