//! Which server of a cluster runs a statement.
//!
//! Pure: what the servers said in, roles and choices out; no sockets, no clock. [`topology`] makes
//! a [`topology::View`] of what each server says of itself; [`choice`] picks a server for a
//! statement by such a view; [`begin`] says which BEGIN waits for it; [`switchover`] picks the next primary.

pub mod balance;
pub mod ban;
pub mod begin;
pub mod choice;
pub mod explain;
pub mod functions;
pub mod hint;
pub mod switchover;
pub mod topology;
