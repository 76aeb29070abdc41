//! What a session does when the primary of its cluster is not the primary any more.

use super::{Session, Stop};
use crate::error::{Fault, SqlState};

/// Why a session ends whose server is not the primary any more. Whether a COMMIT that was on its way
/// has come to count nobody can know, as with a connection that broke.
pub(super) fn fenced() -> Stop {
    Stop::fatal(
        SqlState::CONNECTION_FAILURE,
        "connection closed: the server is not the primary of its cluster any more",
        Fault::Server,
    )
}

impl Session {
    /// Whether the server it has was taken for the primary and is not.
    pub(super) fn is_fenced(&self) -> bool {
        let (Some(lease), Some(cluster)) = (&self.lease, self.pool.cluster()) else {
            return false;
        };
        lease.pool().key.replica.is_none() && cluster.primary().as_ref() != Some(&lease.shared.host)
    }

    /// Its server refused to write (25006). If that is the primary, it may be one no more.
    #[cold]
    pub(super) fn refused_to_write(&self) {
        if let Some(cluster) = self.pool.cluster() {
            cluster.look_now();
        }
    }
}
