//! Keys of the other processes that share the port.

use super::super::field::Field::{self, OptCount, OptText, Port};
use super::{Key, PeerDraft, Slot};

const fn peer(
    name: &'static str,
    default: &'static str,
    field: Field<PeerDraft>,
    doc: &'static str,
) -> Key {
    Key::new(name, default, Slot::Peer(field), doc)
}

pub(super) const PEER: &[Key] = &[
    peer(
        "host",
        "",
        OptText(|p| &mut p.host),
        "Where the process with this `peer_id` can be reached by itself: a name, an address, or the directory of its unix socket. Cancel requests for its clients are passed on to it. Must be set.",
    ),
    peer(
        "port",
        "6432",
        Port(|p| &mut p.port),
        "Its port; part of its unix socket's name.",
    ),
    peer(
        "pool_size",
        "",
        OptCount(1, u32::MAX, |p| &mut p.pool_size),
        "Cancel requests that are passed on to it at once; more wait. Not set: `default_pool_size`.",
    ),
];
