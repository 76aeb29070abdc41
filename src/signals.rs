//! stub
#![allow(missing_docs)]
pub async fn listen(c: crate::control::Control) {
    let mut t = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    t.recv().await;
    c.shutdown(crate::shutdown::Phase::Stopped);
}
