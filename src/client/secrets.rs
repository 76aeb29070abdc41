//! What servers are asked about users: the secrets of those who are in no file, and their roles.

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

/// Somebody who can be asked about users.
pub trait Secrets {
    /// The secret of `user`, who wants to use `database`.
    fn secret(&self, config: &Config, database: &str, user: &str) -> impl Future<Output = Found>;

    /// The roles that `user`, who wants to use `database`, is a member of, itself among them; none if
    /// there is no such user.
    ///
    /// # Errors
    /// It could not be found out: what the client is told.
    fn roles(
        &self,
        config: &Config,
        database: &str,
        user: &str,
    ) -> impl Future<Output = Result<Vec<String>, String>>;
}
