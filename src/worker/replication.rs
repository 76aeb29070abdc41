//! Replication connections: each has a server of its own, from its login to its end.
//!
//! What a walsender speaks is no transaction that anybody could share, so nothing is read here: bytes go
//! from one side to the other. The connection counts against the limits of its database and user, a
//! cancel request reaches its server, and KILL and SHUTDOWN end it.
//!
//! Source: PostgreSQL manual, "Streaming Replication Protocol"; PgBouncer, "Replication".

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Instant, SystemTime};

use super::login::{Admitted, Logins, Turned};
use crate::auth::StoredSecret;
use crate::client::handshake::Replication;
use crate::error::{ClientFacing, SqlState};
use crate::net::Stream;
use crate::pool::opening::side_spec;
use crate::pool::process::Level;
use crate::server::conn::{ServerShared, ServerState};
use crate::server::connect::{self, ConnectSpec, Connected};
use crate::session::cancel::Place;
use crate::session::clients::{ClientShared, ClientState, Identity, Signal};
use crate::wire::{TxStatus, write};

/// Bytes that wait on their way, in each direction.
const BUFFER: usize = 64 * 1024;
/// Reads in one turn, so that others get theirs.
const READS: usize = 8;

fn refused(state: SqlState, text: impl Into<String>) -> Turned {
    let text = text.into();
    Turned { state, text }
}

/// The kind of a replication connection in SHOW CLIENTS.
pub(super) fn kind(replication: Replication) -> &'static str {
    match replication {
        Replication::Logical => "logical",
        Replication::Physical => "physical",
    }
}

impl Logins {
    /// Serves a replication connection until one side ends it. `Err` if it never began; the client
    /// has been told nothing then.
    pub(super) async fn replicate(
        self: &Rc<Self>,
        stream: &mut Stream,
        mut client: Admitted,
        replication: Replication,
        tls: String,
    ) -> Result<&'static str, Turned> {
        let context = &self.context;
        let process = &context.process;
        let user = &client.key.user;
        // Those of the server side; those of the client side are held by `client`.
        let permit = |level, name: &str, limit, setting: &str| {
            process.permit(level, name, limit).ok_or_else(|| {
                let text = format!("server connections exceeded ({setting})");
                refused(SqlState::TOO_MANY_CONNECTIONS, text)
            })
        };
        let config = client.config.clone();
        let _places = [
            permit(
                Level::DatabaseServers,
                &client.asked,
                config.max_db_connections(&client.database),
                "max_db_connections",
            )?,
            permit(
                Level::UserServers,
                user,
                config.max_user_connections(user),
                "max_user_connections",
            )?,
        ];
        let (mut server, spec) = self.connect(&mut client, replication).await?;
        let place = Place {
            worker: context.worker,
            client: client.id,
        };
        let key = context
            .cancel_keys
            .issue(place, client.minor, config.peer_id());
        let Some(key) = key else {
            return Err(refused(SqlState::INTERNAL_ERROR, "no random numbers"));
        };
        let local_port = stream.local().map_or(0, |addr| addr.port());
        let me = ClientShared::new(Identity {
            id: client.id,
            user: client.user.clone(),
            database: client.asked.clone(),
            addr: stream.peer(),
            local_port,
            target: None,
            tls: tls.into(),
            application_name: (client.params.iter())
                .find(|(name, _)| name.eq_ignore_ascii_case("application_name"))
                .map_or("", |(_, value)| value)
                .into(),
        });
        me.replication.set(kind(replication));
        me.logging_in.set(false);
        me.enter(ClientState::Active, Instant::now());
        let shared = Rc::new(shared(process.next_id(), &mut server, &spec, client.id));
        me.server.replace(Some(shared));
        let _registered = context.clients.register(me.clone());
        let mut out = std::mem::take(&mut client.prelude);
        write::authentication_ok(&mut out);
        for (name, value) in &server.params {
            write::parameter_status(&mut out, name.as_bytes(), value.as_bytes());
        }
        let (pid, secret) = key.show();
        write::backend_key_data(&mut out, pid, &secret);
        write::ready_for_query(&mut out, TxStatus::Idle);
        let mut to_client = Way::with(out);
        let mut to_server = Way::with(std::mem::take(&mut client.leftover));
        let end = poll_fn(|cx| {
            me.listen(cx.waker());
            if me.take(Signal::KILL) {
                return Poll::Ready("admin forced disconnect");
            }
            if me.take(Signal::SHUTDOWN) {
                return Poll::Ready("server shutting down");
            }
            if to_client.pump(&mut server.stream, stream, cx).is_ready() {
                return Poll::Ready("server closed the connection");
            }
            if to_server.pump(stream, &mut server.stream, cx).is_ready() {
                return Poll::Ready("client close request");
            }
            Poll::Pending
        });
        Ok(end.await)
    }

    async fn connect(
        &self,
        client: &mut Admitted,
        replication: Replication,
    ) -> Result<(Connected, ConnectSpec), Turned> {
        let mut last = refused(SqlState::CANNOT_CONNECT, "there is no server");
        let stored = client.stored.as_ref();
        let stored = stored.map(|secret| StoredSecret::parse(secret.expose()));
        // Of a cluster the primary, if it is known: slots and publications are there.
        let cluster = self.context.process.clusters.get(&client.asked);
        let primary = cluster.and_then(|cluster| cluster.primary());
        let hosts = primary.map_or_else(|| client.database.hosts.clone(), |host| vec![host]);
        for host in &hosts {
            let (process, user) = (&self.context.process, &client.key.user);
            let mut spec = side_spec(process, &client.config, &client.database, user, host);
            let own = &mut spec.credentials;
            own.password = own.password.take().or_else(|| client.password.clone());
            own.stored = own.stored.take().or_else(|| stored.clone());
            own.scram_keys.clone_from(&client.scram_keys);
            spec.params.clone_from(&client.params);
            (spec.params).push(("replication".to_owned(), replication.as_str().to_owned()));
            match connect::connect(&spec, &self.derivation).await {
                Ok(connected) => return Ok((connected, spec)),
                Err(error) => {
                    tracing::warn!(client = client.id, %host, %error, "no server for a replication connection");
                    last = refused(error.sqlstate(), error.client_message());
                }
            }
        }
        Err(last)
    }
}

fn shared(id: u64, server: &mut Connected, spec: &ConnectSpec, client: u64) -> ServerShared {
    let now = Instant::now();
    let tls = server.stream.tls_info();
    ServerShared {
        id,
        opened: now,
        expires: now.into(),
        pid: server.pid,
        key: std::mem::take(&mut server.key).into_boxed_slice(),
        name: spec.host.to_string().into(),
        host: spec.host.clone(),
        addr: server.stream.peer(),
        tls: tls
            .map(|info| format!("{}/{}", info.version, info.cipher))
            .unwrap_or_default(),
        connected: SystemTime::now(),
        requested: now.into(),
        state: ServerState::Active.into(),
        client: client.into(),
        close_needed: false.into(),
        cancels: 0.into(),
        cancel_waker: None.into(),
        prepared: 0.into(),
        leg: spec.tls.clone(),
    }
}

/// One direction: bytes that were read and not written yet.
struct Way {
    bytes: Vec<u8>,
    from: usize,
    /// The side that is read has ended.
    ended: bool,
}

impl Way {
    /// Begins with these bytes.
    fn with(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            from: 0,
            ended: false,
        }
    }

    /// Moves what can be moved. Ready when the side that is read has ended and all of it was written,
    /// or either side is broken.
    fn pump(
        &mut self,
        source: &mut Stream,
        sink: &mut Stream,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        for _ in 0..READS {
            match self.write(sink, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) if self.ended => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            self.bytes.resize(BUFFER, 0);
            let read = source.poll_read(cx, &mut self.bytes);
            let n = match read {
                Poll::Ready(Ok(n)) => n,
                Poll::Ready(Err(_)) => 0,
                Poll::Pending => {
                    self.bytes.clear();
                    return Poll::Pending;
                }
            };
            self.bytes.truncate(n);
            self.ended = n == 0;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready when nothing is left.
    fn write(&mut self, sink: &mut Stream, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.bytes.get(self.from..) {
            match sink.poll_write(cx, rest) {
                Poll::Ready(Ok(n)) => self.from += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.bytes.clear();
        self.from = 0;
        match sink.needs_flush() {
            true => sink.poll_flush(cx),
            false => Poll::Ready(Ok(())),
        }
    }
}
