//! Slow key derivation, off the workers and no more of it at once than there are cores.
//!
//! PBKDF2 with 4096 iterations takes about a millisecond; on a worker it would hold up every other
//! client. The results that will be needed again are kept in a [`Vault`].

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::auth::scram::ScramVerifier;
use crate::auth::vault::NoRandomness;
use crate::auth::{ScramKeys, StoredSecret, Vault, cleartext};
use crate::config::Secret;

/// The door to key derivation. Cheap to clone; one per process.
#[derive(Clone)]
pub struct Derivation {
    vault: Arc<Vault>,
    permits: Arc<Semaphore>,
}

/// The derivation did not come to an end: the runtime is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key derivation was interrupted by the shutdown")]
pub struct Interrupted;

impl Derivation {
    /// A fresh vault and one permit per core.
    ///
    /// Errors: [`NoRandomness`].
    pub fn new() -> Result<Derivation, NoRandomness> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Derivation {
            vault: Arc::new(Vault::new()?),
            permits: Arc::new(Semaphore::new(cores)),
        })
    }

    /// The vault behind it.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The SCRAM keys of a password that the operator configured: from memory at once, else
    /// derived on another thread and remembered. Cancel safe.
    ///
    /// Errors: [`Interrupted`].
    pub async fn keys(
        &self,
        password: &Secret,
        salt: &[u8],
        iterations: u32,
    ) -> Result<ScramKeys, Interrupted> {
        if let Some(keys) = self.vault.recall(password.expose(), salt, iterations) {
            return Ok(keys);
        }
        let (vault, password, salt) = (self.vault.clone(), password.clone(), salt.to_vec());
        self.run(move || vault.derive(password.expose(), &salt, iterations))
            .await
    }

    /// Whether `given`, as a client showed it, is the password of `user`. Derives on another thread
    /// if `secret` is a SCRAM verifier; only a right password is remembered. Cancel safe.
    ///
    /// Errors: [`Interrupted`].
    pub async fn verify_cleartext(
        &self,
        secret: &StoredSecret,
        user: &str,
        given: &Secret,
    ) -> Result<bool, Interrupted> {
        let StoredSecret::Scram(verifier) = secret else {
            return Ok(cleartext::verify(secret, user, given.expose()));
        };
        if given.expose().is_empty() {
            return Ok(false);
        }
        let known = self
            .vault
            .recall(given.expose(), verifier.salt(), verifier.iterations());
        if let Some(keys) = known {
            return Ok(verifier.accepts(&keys));
        }
        let (vault, verifier, given) = (self.vault.clone(), verifier.clone(), given.clone());
        self.run(move || verify_and_remember(&vault, &verifier, &given))
            .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Interrupted)?;
        tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        })
        .await
        .map_err(|_| Interrupted)
    }
}

fn verify_and_remember(vault: &Vault, verifier: &ScramVerifier, given: &Secret) -> bool {
    let (salt, iterations) = (verifier.salt(), verifier.iterations());
    let keys = ScramKeys::derive(given.expose(), salt, iterations);
    let matches = verifier.accepts(&keys);
    if matches {
        vault.remember(given.expose(), salt, iterations, &keys);
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn right_passwords_are_remembered_and_wrong_ones_are_not() {
        let derivation = Derivation::new().unwrap();
        let verifier = ScramKeys::derive("right", b"salt", 5).verifier(b"salt", 5);
        let stored = StoredSecret::Scram(verifier);
        for (given, expected) in [
            ("right", true),
            ("wrong", false),
            ("", false),
            ("right", true),
        ] {
            let given = Secret::new(given);
            assert_eq!(
                derivation.verify_cleartext(&stored, "u", &given).await,
                Ok(expected)
            );
        }
        assert!(derivation.vault().recall("right", b"salt", 5).is_some());
        assert!(derivation.vault().recall("wrong", b"salt", 5).is_none());
        let keys = derivation.keys(&Secret::new("p"), b"s", 3).await.unwrap();
        assert!(keys.client_key == ScramKeys::derive("p", b"s", 3).client_key);
        assert!(derivation.vault().recall("p", b"s", 3).is_some());
    }
}
