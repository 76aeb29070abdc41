//! One connection to PostgreSQL.
pub mod inflight;
