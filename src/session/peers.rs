//! Cancel requests of clients that another process on the same port serves.
//!
//! With `so_reuseport` the kernel gives each connection to any of several processes, so a cancel
//! request often reaches one that does not know the key. The key therefore says whose it is, and
//! the request is passed on to that process, with a count of how often it may still be passed on
//! so that a mistake in the configuration cannot make it go round for ever.
//!
//! Layout of the eight bytes that every key has (the four of the process id, then the first four
//! of the secret): bytes 1 and 2 are the `peer_id`, low byte first; the two low bits of byte 7 are
//! the count. It is PgBouncer's layout, so that processes of both can be peers.
//!
//! Source: PgBouncer documentation, section "peers" of the configuration file.

use std::time::{Duration, Instant};

use super::context::Context;
use crate::config::Peer;
use crate::server::connect;

/// The bits of the count in the last of the eight bytes; all set is how a key is given out.
const COUNT: u8 = 0b11;
/// Where the count is in the secret.
const COUNT_AT: usize = 3;
/// Pause between two looks for a place.
const LOOK: Duration = Duration::from_millis(10);

/// Makes a random key one that says whose it is; nothing if there are no peers (`peer_id` 0).
pub(super) fn mark(pid: &mut [u8; 4], secret: &mut [u8], peer_id: u16) {
    if peer_id == 0 {
        return;
    }
    let [low, high] = peer_id.to_le_bytes();
    (pid[1], pid[2]) = (low, high);
    if let Some(last) = secret.get_mut(COUNT_AT) {
        *last |= COUNT;
    }
}

/// A secret as it was given out, whatever is left of its count.
pub(super) fn as_given(secret: &[u8], peer_id: u16) -> Vec<u8> {
    let mut secret = secret.to_vec();
    if peer_id != 0
        && let Some(last) = secret.get_mut(COUNT_AT)
    {
        *last |= COUNT;
    }
    secret
}

/// What is to be done with a cancel request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// It is about a client of this process.
    Here,
    /// It is about a client of this peer; the secret to pass on.
    Peer(u16, Vec<u8>),
    /// It has been passed on too often.
    Nowhere,
}

/// Whose client a key belongs to, for the process with this `peer_id`.
pub fn destination(pid: u32, secret: &[u8], peer_id: u16) -> Destination {
    let [_, low, high, _] = pid.to_be_bytes();
    let theirs = u16::from_le_bytes([low, high]);
    if peer_id == 0 || theirs == peer_id {
        return Destination::Here;
    }
    let mut secret = secret.to_vec();
    match secret.get_mut(COUNT_AT) {
        Some(last) if *last & COUNT > 0 => {
            *last -= 1;
            Destination::Peer(theirs, secret)
        }
        _ => Destination::Nowhere,
    }
}

/// Passes a cancel request on to a peer, and returns when the peer is through with it, at the
/// latest after `cancel_wait_timeout`. Cancel safe.
pub async fn pass_on(context: &Context, id: u16, peer: &Peer, pid: u32, secret: &[u8]) {
    let process = &context.process;
    let settings = process.config.load().settings.clone();
    let places = peer.pool_size.unwrap_or(settings.default_pool_size);
    let limit = settings.cancel_wait_timeout;
    let began = Instant::now();
    let waiting = process.peers.wait(id);
    let place = loop {
        if let Some(place) = process.peers.take(id, places) {
            break place;
        }
        if !limit.is_zero() && began.elapsed() >= limit {
            tracing::warn!(
                peer = id,
                "a cancel request waited too long to be passed on"
            );
            return;
        }
        crate::timer::sleep(LOOK).await;
    };
    drop(waiting);
    let login = process.peers.log_in(id);
    let connected = || drop(login);
    if let Err(error) = connect::pass_cancel(&peer.host, pid, secret, limit, connected).await {
        tracing::warn!(peer = id, %error, "a cancel request was not passed on");
    }
    drop(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_whose_they_are() {
        for peer_id in [1u16, 2, 255, 256, 16_383] {
            let (mut pid, mut secret) = ([0x7f, 9, 9, 0x55], [0xf0; 32]);
            mark(&mut pid, &mut secret, peer_id);
            let number = u32::from_be_bytes(pid);
            assert_eq!(destination(number, &secret, peer_id), Destination::Here);
            assert_eq!((pid[0], pid[3], secret[3]), (0x7f, 0x55, 0xf3));
            // Three times it is passed on, by processes that are none of it.
            let mut key = secret.to_vec();
            for left in [2u8, 1, 0] {
                let Destination::Peer(to, next) = destination(number, &key, 7) else {
                    panic!("{peer_id}: not passed on with {left} left");
                };
                assert_eq!((to, next[3]), (peer_id, 0xf0 | left));
                assert_eq!(as_given(&next, peer_id), secret);
                key = next;
            }
            assert_eq!(destination(number, &key, 7), Destination::Nowhere);
            assert_eq!(destination(number, &key, peer_id), Destination::Here);
        }
    }

    #[test]
    fn without_peers_nothing_is_marked() {
        let (mut pid, mut secret) = ([1, 2, 3, 4], [5, 6, 7, 8]);
        mark(&mut pid, &mut secret, 0);
        assert_eq!((pid, secret), ([1, 2, 3, 4], [5, 6, 7, 8]));
        assert_eq!(as_given(&secret, 0), secret);
        let number = u32::from_be_bytes(pid);
        assert_eq!(destination(number, &secret, 0), Destination::Here);
        assert_eq!(destination(number, &[], 9), Destination::Nowhere);
    }
}
