//! SHOW PEERS and PEER_POOLS: the other processes on the same port.

use super::View;
use crate::admin::table::Kind::{Int4, Text};
use crate::admin::table::{Column, Row};

/// Columns of SHOW PEERS.
pub const PEERS: &[Column] = &[
    ("peer_id", Int4),
    ("host", Text),
    ("port", Int4),
    ("pool_size", Int4),
];

/// Columns of SHOW PEER_POOLS.
pub const PEER_POOLS: &[Column] = &[
    ("peer_id", Int4),
    ("cl_active_cancel_req", Int4),
    ("cl_waiting_cancel_req", Int4),
    ("sv_active_cancel", Int4),
    ("sv_login", Int4),
];

/// Rows of SHOW PEERS, by number.
pub fn peers(view: &View<'_>) -> Vec<Row> {
    let default = view.config.settings.default_pool_size;
    let rows = view.config.peers.iter().map(|(id, peer)| {
        vec![
            u32::from(*id).into(),
            peer.host.host().to_owned().into(),
            u32::from(peer.host.port()).into(),
            peer.pool_size.unwrap_or(default).into(),
        ]
    });
    rows.collect()
}

/// Rows of SHOW PEER_POOLS, by number; none for this process itself.
pub fn peer_pools(view: &View<'_>) -> Vec<Row> {
    let own = view.config.settings.peer_id;
    let others = view.config.peers.keys().filter(|id| u32::from(**id) != own);
    others
        .map(|id| {
            let counts = view.process.peers.counts(*id);
            vec![
                u32::from(*id).into(),
                (counts.active + counts.login).into(),
                counts.waiting.into(),
                counts.active.into(),
                counts.login.into(),
            ]
        })
        .collect()
}
