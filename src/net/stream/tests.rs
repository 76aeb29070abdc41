use std::net::Ipv4Addr;

use super::*;

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let addr = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

#[tokio::test]
async fn plain_streams_move_between_threads() {
    let (a, b) = tcp_pair().await;
    let (mut a, b) = (Stream::from_tcp(a), Stream::from_tcp(b));
    assert!(matches!(b.peer(), PeerAddr::Tcp(_)) && !b.is_tls() && !b.is_unix());
    let parked = b.detach().unwrap();
    let worker = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async move {
                let mut b = parked.attach().unwrap();
                let mut buf = [0; 8];
                let n = b.read_some(&mut buf).await.unwrap();
                b.write_all(&buf[..n]).await.unwrap();
            });
    });
    a.write_all(b"hello").await.unwrap();
    let mut buf = [0; 8];
    let n = a.read_some(&mut buf).await.unwrap();
    assert_eq!(&buf[..n], b"hello");
    assert_eq!(
        a.read_some(&mut buf).await.unwrap(),
        0,
        "closed with its thread"
    );
    worker.join().unwrap();
}

#[tokio::test]
async fn unix_streams_know_their_peer() {
    let (a, _b) = UnixStream::pair().unwrap();
    let a = Stream::from_unix(a);
    assert!(a.is_unix());
    assert_eq!(a.peer().to_string(), "unix");
    let cred = a.peer_cred().unwrap();
    // SAFETY: getuid takes nothing and cannot fail.
    assert_eq!(cred.uid, unsafe { libc::getuid() });
    assert!(a.tls_info().is_none());
}

#[test]
fn a_plain_stream_is_small() {
    assert!(size_of::<Stream>() <= 56, "{}", size_of::<Stream>());
}
