//! Sockets: byte streams that can move between threads, their options, and listening.
//!
//! Nothing here knows the PostgreSQL protocol.

pub mod account;
pub mod http;
pub mod interfaces;
pub mod listener;
pub mod sockopt;
pub mod stream;

pub use stream::{Detached, PeerAddr, PeerCredentials, Stream};
