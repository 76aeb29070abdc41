use super::*;

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_vanishes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let path = format!("{dir}/.s.PGSQL.6432");
    let (socket, file) = bind_unix(dir, 6432, 0o700, "", 16).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let listeners = Listeners {
        sockets: vec![Bound::Unix(socket)],
        _file: file,
    };
    let error = bind_unix(dir, 6432, 0o700, "", 16).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");

    let mut acceptor = listeners.acceptors().unwrap().pop().unwrap();
    let (client, accepted) = tokio::join!(tokio::net::UnixStream::connect(&path), async {
        match &acceptor.socket {
            Registered::Unix(s) => s.accept().await,
            Registered::Tcp(_) => unreachable!(),
        }
    });
    client.unwrap();
    accepted.unwrap();
    acceptor.backoff = Duration::ZERO;
    drop((acceptor, listeners));
    assert!(!Path::new(&path).exists());
}

#[test]
fn a_stale_socket_is_replaced_and_a_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let path = format!("{dir}/.s.PGSQL.1");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(Path::new(&path).exists());
    let (_socket, first) = bind_unix(dir, 1, 0o777, "", 16).unwrap();
    assert!(first.is_some());

    // A successor's socket survives the end of its predecessor.
    let _successor = std::os::unix::net::UnixListener::bind(format!("{dir}/new")).unwrap();
    std::fs::rename(format!("{dir}/new"), &path).unwrap();
    drop(first);
    assert!(Path::new(&path).exists());

    let path = format!("{dir}/.s.PGSQL.2");
    std::fs::write(&path, "precious").unwrap();
    let error = bind_unix(dir, 2, 0o777, "", 16).unwrap_err();
    assert!(matches!(error, BindError::NotASocket { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn tcp_errors_name_the_address() {
    let first = bind_tcp("127.0.0.1:0".parse().unwrap(), 16, false).unwrap();
    let addr = first.local_addr().unwrap();
    let source = bind_tcp(addr, 16, false).unwrap_err();
    let error = BindError::Tcp { addr, source }.to_string();
    assert!(error.contains(&addr.to_string()), "{error}");
}
