//! Where the secret of a user comes from who is in no file.

use crate::config::{Config, Secret};

/// What is known of a user.
pub enum Found {
    /// Nobody is asked: who is in no file does not exist.
    NotAsked,
    /// The stored secret.
    Secret(Secret),
    /// There is no such user, or none who may log in; with the secret of somebody else, whose form
    /// those have that are made up.
    Nobody(Option<Secret>),
    /// It could not be found out: what the client is told.
    Failed(String),
}

/// Somebody who can be asked for secrets.
pub trait Secrets {
    /// The secret of `user`, who wants to use `database`.
    fn secret(&self, config: &Config, database: &str, user: &str) -> impl Future<Output = Found>;
}
