//! What is kept of what happened: findings, and the way to them.

pub mod chain;
pub mod observer;
pub mod statements;
pub mod trail;
