//! What is kept of what happened: findings, and the way to them.

pub mod chain;
pub mod finding;
pub mod findings;
pub mod findings_file;
pub mod inbox;
pub mod kept;
pub mod lines;
pub mod observer;
pub mod outbox;
pub mod policy;
pub mod replace;
pub mod sample;
pub mod slow;
pub mod spans;
pub mod statements;
pub mod tally;
pub mod trail;
pub mod waits;
pub mod wall;
