//! What a worker has to show: all of it, its numbers only, or its numbers and who is in the way.

use std::rc::Rc;
use std::time::{Instant, SystemTime};

use crate::control::{ClientRow, Held, Snapshot};
use crate::net::PeerAddr;
use crate::session::clients::{ClientShared, ClientState};
use crate::session::context::Context;
use crate::session::pin::Pins;

fn row(client: &ClientShared, now: Instant) -> ClientRow {
    let waiting = client.state.get() == ClientState::Waiting;
    let (addr, port) = match client.addr {
        PeerAddr::Tcp(addr) => (addr.ip().to_string(), addr.port()),
        PeerAddr::Unix | PeerAddr::Gone => ("unix".to_owned(), 0),
    };
    let ago = |then: Instant| now.saturating_duration_since(then);
    ClientRow {
        id: client.id,
        user: client.user.clone(),
        database: client.database.clone(),
        state: client.state.get(),
        addr,
        port,
        local_port: client.local_port,
        connected: client.connected,
        requested: SystemTime::now()
            .checked_sub(ago(client.requested.get()))
            .unwrap_or(client.connected),
        wait_us: match waiting {
            true => ago(client.since.get()).as_micros() as u64,
            false => 0,
        },
        server: client
            .server
            .borrow()
            .as_ref()
            .map_or(0, |server| server.id),
        tls: client.tls.to_string(),
        application_name: client.application_name.borrow().to_string(),
        prepared: client.prepared.get(),
        replication: client.replication.get(),
        pins: Pins(client.pins.get()).names(),
    }
}

/// Everything.
pub(super) fn snapshot(context: &Rc<Context>) -> Snapshot {
    let now = Instant::now();
    let mut clients = Vec::with_capacity(context.clients.len());
    context
        .clients
        .each(|client| clients.push(row(client, now)));
    Snapshot {
        servers: (context.pools.all().iter())
            .flat_map(|pool| pool.server_rows(now))
            .collect(),
        clients,
        ..counts(context)
    }
}

/// The same without clients and servers.
pub(super) fn counts(context: &Rc<Context>) -> Snapshot {
    let now = Instant::now();
    let pools = context.pools.all();
    Snapshot {
        pools: pools.iter().map(|pool| pool.row(now)).collect(),
        analyses: context.analyses.borrow().stats(),
        texts: context.reports.texts.borrow().stats,
        ..Snapshot::default()
    }
}

/// The same with one server of each pool, the one that a client has had the longest, and that client.
pub(super) fn holders(context: &Rc<Context>) -> Snapshot {
    let now = Instant::now();
    let servers: Vec<_> = (context.pools.all().iter())
        .filter_map(|pool| pool.longest_lent())
        .collect();
    // A client lives where its pool does.
    let clients = servers.iter().filter_map(|server| {
        let client = context.clients.get(server.client)?;
        Some(row(&client, now))
    });
    Snapshot {
        clients: clients.collect(),
        servers,
        ..counts(context)
    }
}

/// Those of the clients that have a server which are `wanted`.
pub(super) fn held(context: &Rc<Context>, wanted: impl Fn(&ClientShared) -> bool) -> Vec<Held> {
    let mut held = Vec::new();
    for pool in context.pools.all() {
        pool.each_server(|server| {
            let Some(client) = context.clients.get(server.client.get()) else {
                return;
            };
            if server.pid == 0 || !wanted(&client) {
                return;
            }
            held.push(Held {
                pool: pool.key.clone(),
                host: server.host.clone(),
                place: server.addr,
                pid: server.pid,
                client: client.id,
                user: client.user.clone(),
                database: client.database.clone(),
                application_name: client.application_name.borrow().clone(),
                addr: client.addr,
                query_since: client.query_since.get(),
                xact_since: client.xact_since.get(),
            });
        });
    }
    held
}
