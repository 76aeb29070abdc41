//! One connection from an application: how it begins and who it is.

pub mod accept;
pub mod challenge;
pub mod error;
pub mod handshake;
mod line;
pub mod proxied;
pub mod secrets;
pub mod startup_options;
mod way;

pub use accept::{Accepted, Login, accept};
pub use error::LoginError;
