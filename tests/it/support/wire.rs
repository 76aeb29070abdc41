//! A network cable between pgweir and a server, which a test can cut, one way or both, and plug in
//! elsewhere.

use std::net::Ipv4Addr;
use std::sync::OnceLock;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a cable does. Bytes that are held back arrive once it is mended, as with TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    port: u16,
    to_server: bool,
    to_client: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wire {
    port: u16,
    state: watch::Sender<State>,
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    })
}

impl Wire {
    /// A cable to a port of 127.0.0.1.
    pub(crate) fn to(port: u16) -> Self {
        Self::between((Ipv4Addr::LOCALHOST, 0), port).expect("a port")
    }

    /// A cable from this end, port 0 for any, to a port of 127.0.0.1.
    pub(crate) fn between(end: (Ipv4Addr, u16), port: u16) -> std::io::Result<Self> {
        let (state, seen) = watch::channel(State {
            port,
            to_server: true,
            to_client: true,
        });
        let listener = runtime().block_on(TcpListener::bind(end))?;
        let port = listener.local_addr()?.port();
        runtime().spawn(async move {
            let mut until = seen.clone();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    // The test is over.
                    _ = until.wait_for(|_| false) => return,
                };
                if let Ok((client, _)) = accepted {
                    tokio::spawn(carry(client, seen.clone()));
                }
            }
        });
        Ok(Self { port, state })
    }

    /// Where pgweir connects to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Nothing arrives any more, in either direction.
    pub(crate) fn cut(&self) {
        self.set(|state| (state.to_server, state.to_client) = (false, false));
    }

    /// What the server says does not arrive any more; what it is told does.
    pub(crate) fn cut_answers(&self) {
        self.set(|state| state.to_client = false);
    }

    /// All is well again.
    pub(crate) fn mend(&self) {
        self.set(|state| (state.to_server, state.to_client) = (true, true));
    }

    /// From now on connections lead to another port.
    pub(crate) fn lead_to(&self, port: u16) {
        self.set(|state| state.port = port);
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(change);
    }
}

async fn carry(client: TcpStream, state: watch::Receiver<State>) {
    let mut seen = state.clone();
    // Also the handshake needs both ways.
    let Ok(port) = (seen
        .wait_for(|state| state.to_server && state.to_client)
        .await)
        .map(|state| state.port)
    else {
        return;
    };
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        // The drop of a connection that was accepted: near enough to a refusal.
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::spawn(pump(client_read, server_write, state.clone(), |state| {
        state.to_server
    }));
    pump(server_read, client_write, state, |state| state.to_client).await;
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    open: impl Fn(&State) -> bool,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let n = from.read(&mut bytes).await.unwrap_or(0);
        if state.wait_for(&open).await.is_err() {
            return;
        }
        if n == 0 || to.write_all(&bytes[..n]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}
