//! One connection to PostgreSQL: its login, what it owes, what it knows, its end. Nothing here
//! knows of pools or sessions.

pub mod conn;
pub mod connect;
pub mod error;
pub mod inflight;
pub mod login;
pub mod params;
pub mod permit;
pub mod replay;
pub mod side;
pub mod statements;
