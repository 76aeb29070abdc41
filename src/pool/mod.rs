//! Pools of server connections.
pub mod state;
