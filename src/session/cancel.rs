//! Which client a cancel key belongs to, and how its query is cancelled.

use std::rc::Rc;
use std::sync::Arc;

use dashmap::DashMap;
use ring::rand::SecureRandom;
use subtle::ConstantTimeEq;

use super::context::Context;
use super::peers;
use crate::pool::upkeep::CancelUnderWay;
use crate::server::connect;
use crate::session::clients::Signal;

/// Where a client lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its worker.
    pub worker: usize,
    /// Its number.
    pub client: u64,
}

/// A secret and whose it is.
type Held = (Box<[u8]>, Place);

/// Keys given to clients of this process, by the number that stands for the process id. With peers
/// part of that number is taken, so that several clients may have the same one.
#[derive(Default)]
pub struct CancelKeys {
    keys: DashMap<u32, Vec<Held>, foldhash::fast::RandomState>,
    random: Option<ring::rand::SystemRandom>,
}

/// Bytes of a key for clients that speak protocol 3.0 or 3.1, which know no other length.
const SHORT: usize = 4;
/// Bytes of a key for clients that speak 3.2. Source: PostgreSQL 18, `MAX_CANCEL_KEY_LENGTH`.
const LONG: usize = 32;

impl CancelKeys {
    /// No keys yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            keys: DashMap::default(),
            random: Some(ring::rand::SystemRandom::new()),
        })
    }

    /// Makes a key for a client that speaks protocol `3.minor`, in the process with this `peer_id`
    /// (0 for one without peers). The key is valid until the guard is dropped. `None` if the system
    /// has no randomness to give.
    pub fn issue(self: &Arc<Self>, place: Place, minor: u16, peer_id: u16) -> Option<CancelKey> {
        let random = self.random.as_ref()?;
        let mut bytes = [0; LONG + 4];
        loop {
            random.fill(&mut bytes).ok()?;
            let (pid, key) = bytes.split_first_chunk_mut::<4>()?;
            peers::mark(pid, key, peer_id);
            // Positive, as process ids are.
            let pid = u32::from_be_bytes(*pid) & 0x7fff_ffff;
            if pid == 0 {
                continue;
            }
            let key: Box<[u8]> = key[..if minor >= 2 { LONG } else { SHORT }].into();
            let mut same = self.keys.entry(pid).or_default();
            if same.is_empty() || peer_id != 0 {
                same.reserve_exact(1);
                same.push((key, place));
                drop(same);
                return Some(CancelKey {
                    keys: self.clone(),
                    pid,
                    client: place.client,
                });
            }
        }
    }

    /// The client that holds this key, in the process with this `peer_id`. Takes the same time
    /// whatever part of the secret is right.
    pub fn find(&self, pid: u32, key: &[u8], peer_id: u16) -> Option<Place> {
        let key = peers::as_given(key, peer_id);
        let entry = self.keys.get(&pid)?;
        let mut found = None;
        for (known, place) in entry.value() {
            if bool::from(known.as_ref().ct_eq(&key)) {
                found = Some(*place);
            }
        }
        found
    }

    /// Number of keys in force.
    pub fn len(&self) -> usize {
        self.keys.iter().map(|same| same.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// A client's key; withdrawn when dropped.
pub struct CancelKey {
    keys: Arc<CancelKeys>,
    pid: u32,
    client: u64,
}

impl CancelKey {
    /// What BackendKeyData says: the number that stands for the process id, and the secret.
    pub fn show(&self) -> (u32, Box<[u8]>) {
        let same = self.keys.keys.get(&self.pid);
        let key = same.as_ref().and_then(|same| {
            let own = same.iter().find(|(_, place)| place.client == self.client);
            own.map(|(key, _)| key.clone())
        });
        (self.pid, key.unwrap_or_default())
    }
}

impl Drop for CancelKey {
    fn drop(&mut self) {
        let client = self.client;
        self.keys.keys.remove_if_mut(&self.pid, |_, same| {
            same.retain(|(_, place)| place.client != client);
            same.is_empty()
        });
    }
}

/// Cancels what a client of this worker is doing: a running query on its server, or its wait for
/// one. The future ends when the server has dealt with the request, at the latest after
/// `cancel_wait_timeout`; it needs no place in any pool.
pub async fn cancel(context: Rc<Context>, client: u64) {
    let Some(client) = context.clients.get(client) else {
        return;
    };
    let server = client.server.borrow().clone();
    let Some(server) = server else {
        client.signal(Signal::CANCEL);
        return;
    };
    let limit = context.process.config.load().settings.cancel_wait_timeout;
    let under_way = CancelUnderWay::begin(&server);
    if let Err(error) = connect::send_cancel(&server, limit).await {
        tracing::warn!(client = client.id, server = server.id, %error, "cancel request was not delivered");
        // It may be on its way still, and must not hit anybody else.
        server.close_needed.set(true);
    }
    drop(under_way);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_client_until_it_is_dropped() {
        let keys = CancelKeys::new();
        let place = Place {
            worker: 1,
            client: 7,
        };
        for minor in [0, 2] {
            let key = keys.issue(place, minor, 0).unwrap();
            let (pid, secret) = key.show();
            assert_eq!(secret.len(), if minor == 2 { 32 } else { 4 });
            assert_eq!(keys.find(pid, &secret, 0), Some(place));
            assert_eq!(keys.find(pid, &secret[..3], 0), None);
            assert_eq!(keys.find(pid, &[&secret[..], &[0]].concat(), 0), None);
            assert_eq!(keys.find(pid ^ 1, &secret, 0), None);
            drop(key);
            assert_eq!(keys.find(pid, &secret, 0), None);
        }
        assert!(keys.is_empty());
    }

    /// With peers there are few numbers: many clients share one and still have their own keys.
    #[test]
    fn clients_of_a_peer_have_keys_of_their_own() {
        let keys = CancelKeys::new();
        let place = |client| Place { worker: 0, client };
        let held: Vec<_> = (0..70_000u64)
            .map(|client| keys.issue(place(client), 0, 300).unwrap())
            .collect();
        assert_eq!(keys.len(), held.len());
        assert!(keys.keys.len() < held.len());
        for (client, key) in held.iter().enumerate().step_by(997) {
            let (pid, mut secret) = key.show();
            assert_eq!(pid.to_be_bytes()[1..3], 300u16.to_le_bytes());
            // It has been passed on twice.
            secret[3] -= 2;
            assert_eq!(keys.find(pid, &secret, 300), Some(place(client as u64)));
            secret[0] ^= 1;
            assert_eq!(keys.find(pid, &secret, 300), None);
        }
        drop(held);
        assert!(keys.is_empty() && keys.keys.is_empty());
    }
}
