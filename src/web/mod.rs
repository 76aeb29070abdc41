//! stub
#![allow(missing_docs)]
pub async fn serve(_: tokio::net::TcpListener, _: crate::control::Control) {}
