//! SHOW CLIENTS, SERVERS, SOCKETS and ACTIVE_SOCKETS.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::View;
use crate::admin::sessions::Seen;
use crate::admin::table::Kind::{Int4, Text};
use crate::admin::table::{Column, Row, Value};
use crate::calendar::utc_seconds;
use crate::control::ClientRow;
use crate::pool::snapshot::ServerRow;
use crate::server::conn::ServerState;
use crate::session::clients::ClientState;

const COMMON: [Column; 21] = [
    ("type", Text),
    ("user", Text),
    ("database", Text),
    ("replication", Text),
    ("state", Text),
    ("addr", Text),
    ("port", Int4),
    ("local_addr", Text),
    ("local_port", Int4),
    ("connect_time", Text),
    ("request_time", Text),
    ("wait", Int4),
    ("wait_us", Int4),
    ("close_needed", Int4),
    ("ptr", Text),
    ("link", Text),
    ("remote_pid", Int4),
    ("tls", Text),
    ("application_name", Text),
    ("prepared_statements", Int4),
    ("id", Int4),
];

const BUFFERS: [Column; 7] = [
    ("recv_pos", Int4),
    ("pkt_pos", Int4),
    ("pkt_remain", Int4),
    ("send_pos", Int4),
    ("send_remain", Int4),
    ("pkt_avail", Int4),
    ("send_avail", Int4),
];

/// The columns of `first`, then those of `more`.
const fn joined<const N: usize>(first: &[Column], more: &[Column]) -> [Column; N] {
    let mut all = [("", Text); N];
    let mut at = 0;
    while at < N {
        all[at] = if at < first.len() {
            first[at]
        } else {
            more[at - first.len()]
        };
        at += 1;
    }
    all
}

/// Columns of SHOW CLIENTS; the last, why a client keeps its server, is ours.
pub const CLIENTS: &[Column] = &joined::<22>(&COMMON, &[("pins", Text)]);
/// Columns of SHOW SERVERS.
pub const SERVERS: &[Column] = &COMMON;
/// Columns of SHOW SOCKETS and ACTIVE_SOCKETS.
pub const SOCKETS: &[Column] = &joined::<28>(&COMMON, &BUFFERS);

/// A row of the common columns by name, so that no two can be mixed up.
struct Socket<'a> {
    kind: &'static str,
    user: &'a str,
    database: &'a str,
    replication: &'static str,
    state: &'static str,
    addr: &'a str,
    port: u16,
    local: (String, u16),
    connected: SystemTime,
    requested: SystemTime,
    wait_us: u64,
    close_needed: bool,
    id: u64,
    link: u64,
    pid: u32,
    tls: &'a str,
    application_name: &'a str,
    prepared: u32,
}

impl Socket<'_> {
    fn row(self) -> Row {
        let text = |text: &str| Value::from(text.to_owned());
        vec![
            self.kind.into(),
            text(self.user),
            text(self.database),
            self.replication.into(),
            self.state.into(),
            text(self.addr),
            u32::from(self.port).into(),
            self.local.0.into(),
            u32::from(self.local.1).into(),
            utc_seconds(self.connected).into(),
            utc_seconds(self.requested).into(),
            (self.wait_us / 1_000_000).into(),
            (self.wait_us % 1_000_000).into(),
            self.close_needed.into(),
            pointer(self.id).into(),
            pointer(self.link).into(),
            self.pid.into(),
            text(self.tls),
            text(self.application_name),
            self.prepared.into(),
            shown_id(self.id).into(),
        ]
    }
}

/// `ptr` and `link`: the number, in the form that PgBouncer prints an address; empty for none.
/// Unique among clients and servers for the life of the process.
pub fn pointer(id: u64) -> String {
    match id {
        0 => String::new(),
        id => format!("0x{id:x}"),
    }
}

/// `id`: the number as far as it fits an `int4`; it begins anew after 2,147,483,647.
pub fn shown_id(id: u64) -> u64 {
    id & 0x7fff_ffff
}

/// Address and port that a client reached us at. Which of several it was is not kept, the address
/// is empty then.
fn local_of(view: &View<'_>, addr: &str, port: u16) -> (String, u16) {
    let settings = &view.config.settings;
    let local = match (&*settings.listen_addr, addr) {
        (_, "unix") => "unix".to_owned(),
        ([only], _) if !only.is_unspecified() => only.to_string(),
        _ => String::new(),
    };
    let port = match port {
        0 => settings.listen_port,
        port => port,
    };
    (local, port)
}

fn client_socket<'a>(view: &View<'_>, client: &'a ClientRow) -> Socket<'a> {
    Socket {
        kind: "C",
        replication: client.replication,
        user: &client.user,
        database: &client.database,
        state: client.state.as_str(),
        addr: &client.addr,
        port: client.port,
        local: local_of(view, &client.addr, client.local_port),
        connected: client.connected,
        requested: client.requested,
        wait_us: client.wait_us,
        close_needed: false,
        id: client.id,
        link: client.server,
        pid: 0,
        tls: &client.tls,
        application_name: &client.application_name,
        prepared: client.prepared,
    }
}

fn console_socket<'a>(view: &View<'_>, seen: &'a Seen) -> Socket<'a> {
    Socket {
        kind: "C",
        replication: "none",
        user: &seen.user,
        database: &seen.database,
        state: "active",
        addr: &seen.addr,
        port: seen.port,
        local: local_of(view, &seen.addr, 0),
        connected: seen.connected,
        requested: seen.requested(),
        wait_us: 0,
        close_needed: false,
        id: seen.id,
        link: 0,
        pid: 0,
        tls: &seen.tls,
        application_name: &seen.application_name,
        prepared: 0,
    }
}

fn server_socket<'a>(server: &'a ServerRow, application_name: &'a str) -> Socket<'a> {
    Socket {
        kind: "S",
        replication: "none",
        user: &server.key.user,
        database: &server.key.database,
        state: server.state.as_str(),
        addr: &server.addr,
        port: server.port,
        local: (String::new(), 0),
        connected: server.connected,
        requested: server.requested,
        wait_us: 0,
        close_needed: server.close_needed,
        id: server.id,
        link: server.client,
        pid: server.pid,
        tls: &server.tls,
        application_name,
        prepared: server.prepared,
    }
}

/// `application_name` of the client that has a server; what an idle server was last told is
/// nothing that anybody sees.
fn names<'a>(view: &View<'a>) -> BTreeMap<u64, &'a str> {
    let clients = view.snapshot.clients.iter();
    clients.map(|c| (c.id, &*c.application_name)).collect()
}

/// Rows of SHOW CLIENTS.
pub fn clients(view: &View<'_>) -> Vec<Row> {
    let clients = view.snapshot.clients.iter().map(|client| {
        let mut row = client_socket(view, client).row();
        row.push(client.pins.clone().into());
        row
    });
    let sessions = view.console.sessions.all();
    let console = sessions.iter().map(|seen| {
        let mut row = console_socket(view, seen).row();
        row.push("".into());
        row
    });
    clients.chain(console).collect()
}

/// Rows of SHOW SERVERS.
pub fn servers(view: &View<'_>) -> Vec<Row> {
    let names = names(view);
    let servers = view.snapshot.servers.iter();
    servers
        .map(|server| {
            let name = names.get(&server.client).copied().unwrap_or_default();
            server_socket(server, name).row()
        })
        .collect()
}

/// Rows of SHOW SOCKETS.
pub fn sockets(view: &View<'_>) -> Vec<Row> {
    socket_rows(view, true)
}

/// Rows of SHOW ACTIVE_SOCKETS.
pub fn active_sockets(view: &View<'_>) -> Vec<Row> {
    socket_rows(view, false)
}

fn socket_rows(view: &View<'_>, with_idle: bool) -> Vec<Row> {
    let names = names(view);
    let clients = view.snapshot.clients.iter();
    let clients = clients
        .filter(|client| with_idle || client.state != ClientState::Idle)
        .map(|client| {
            let mut socket = client_socket(view, client);
            socket.state = match client.state {
                ClientState::Waiting => "cl_waiting",
                ClientState::Active | ClientState::Idle => "cl_active",
            };
            socket
        });
    let servers = view.snapshot.servers.iter();
    let servers = servers
        .filter(|server| {
            with_idle || !matches!(server.state, ServerState::Idle | ServerState::Used)
        })
        .map(|server| {
            let name = names.get(&server.client).copied().unwrap_or_default();
            let mut socket = server_socket(server, name);
            socket.state = match server.state {
                ServerState::Active => "sv_active",
                ServerState::Idle => "sv_idle",
                ServerState::Used => "sv_used",
                ServerState::Tested => "sv_tested",
                ServerState::BeingCanceled => "sv_being_canceled",
            };
            socket
        });
    let sessions = view.console.sessions.all();
    let console = sessions.iter().map(|seen| {
        let mut socket = console_socket(view, seen);
        socket.state = "cl_active";
        socket
    });
    clients
        .chain(console)
        .chain(servers)
        .map(|socket| {
            let mut row = socket.row();
            row.extend(BUFFERS.iter().map(|_| Value::Int(0)));
            row
        })
        .collect()
}
