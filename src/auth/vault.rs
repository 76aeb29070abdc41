//! What authentication remembers for the life of the process: one random secret and the keys that
//! were derived lately.

use std::collections::VecDeque;

use hashbrown::HashMap;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::scram::{Key, ScramKeys, hmac_sha256};

/// Derivations that are remembered.
const CAPACITY: usize = 4_096;

/// Size of a salt that is made up, as PostgreSQL's own, in bytes.
const SALT_LEN: usize = 16;

/// A random secret and a bounded memory of derived keys. Shared by all threads.
///
/// The memory spares the cost of PBKDF2 when a user with a clear-text secret logs in again, and
/// when a pool opens another connection to a server that wants SCRAM. It is looked up by a keyed
/// hash, so it holds no passwords; keys are zeroed when they leave it.
pub struct Vault {
    secret: Zeroizing<Key>,
    derived: Mutex<Derived>,
}

#[derive(Default)]
struct Derived {
    keys: HashMap<Key, ScramKeys>,
    order: VecDeque<Key>,
}

/// The operating system gave no random bytes; nothing can be authenticated safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct NoRandomness;

impl Vault {
    /// A vault with a fresh secret.
    ///
    /// Errors: [`NoRandomness`].
    pub fn new() -> Result<Vault, NoRandomness> {
        Ok(Vault {
            secret: Zeroizing::new(random()?),
            derived: Mutex::default(),
        })
    }

    /// A salt for `user` that stays the same until the process ends.
    ///
    /// Users with a clear-text secret and users that do not exist get theirs here, so that the two
    /// cannot be told apart by it.
    pub fn salt(&self, user: &str) -> [u8; SALT_LEN] {
        let hash = hmac_sha256(self.secret.as_slice(), &[b"salt", user.as_bytes()]);
        let mut salt = [0; SALT_LEN];
        salt.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        salt
    }

    /// The keys of `password`, if they were derived lately.
    pub fn recall(&self, password: &str, salt: &[u8], iterations: u32) -> Option<ScramKeys> {
        let id = self.id(password, salt, iterations);
        self.derived.lock().keys.get(&id).cloned()
    }

    /// [`recall`](Self::recall), or [`ScramKeys::derive`] and remember. Slow in the second case:
    /// run it off the workers.
    pub fn derive(&self, password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
        if let Some(keys) = self.recall(password, salt, iterations) {
            return keys;
        }
        let keys = ScramKeys::derive(password, salt, iterations);
        self.remember(password, salt, iterations, &keys);
        keys
    }

    /// Remembers derived keys; the oldest are forgotten. Do not call it for passwords that nobody
    /// has checked: strangers could empty the memory of useful keys.
    pub fn remember(&self, password: &str, salt: &[u8], iterations: u32, keys: &ScramKeys) {
        let id = self.id(password, salt, iterations);
        let mut derived = self.derived.lock();
        if derived.keys.insert(id, keys.clone()).is_none() {
            derived.order.push_back(id);
            if derived.order.len() > CAPACITY
                && let Some(oldest) = derived.order.pop_front()
            {
                derived.keys.remove(&oldest);
            }
        }
    }

    fn id(&self, password: &str, salt: &[u8], iterations: u32) -> Key {
        hmac_sha256(
            self.secret.as_slice(),
            &[
                b"keys",
                &iterations.to_be_bytes(),
                &(salt.len() as u64).to_be_bytes(),
                salt,
                password.as_bytes(),
            ],
        )
    }
}

/// Random bytes for keys, salts and nonces.
///
/// Errors: [`NoRandomness`].
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    use ring::rand::SecureRandom;
    let mut bytes = [0; N];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A nonce for SCRAM: 18 random bytes in base64, as PostgreSQL's.
///
/// Errors: [`NoRandomness`].
pub fn nonce() -> Result<String, NoRandomness> {
    Ok(super::scram::encode(&random::<18>()?))
}
