//! What makes two pools different.

use std::sync::Arc;

/// Identity of a pool: the database's name as clients know it and the user that its servers are
/// logged in as. What else distinguishes server connections is either the same for the whole
/// database (address, TLS) or replayed at checkout (session parameters).
///
/// Source: PgBouncer, a pool per (database, user).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolKey {
    /// Name of the database entry.
    pub database: Arc<str>,
    /// Server user.
    pub user: Arc<str>,
    /// The replica of a cluster that its servers are connected to; `None` for every other pool, that
    /// of the primary included.
    pub replica: Option<Arc<str>>,
}

impl PoolKey {
    /// Makes a key.
    pub fn new(database: &str, user: &str) -> Self {
        Self {
            database: database.into(),
            user: user.into(),
            replica: None,
        }
    }
}

impl std::fmt::Display for PoolKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.database, self.user)?;
        match &self.replica {
            Some(replica) => write!(f, "@{replica}"),
            None => Ok(()),
        }
    }
}
