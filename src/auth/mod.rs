//! auth
pub mod userlist;
