//! What is kept of what happened: findings, and the way to them.

pub mod observer;
pub mod statements;
