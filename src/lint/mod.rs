//! Anti-patterns: which rules there are, and which of them a text hits.
//!
//! Pure: text, values and times in, hits out; no sockets, no clock. Start at [`rule`] for what a
//! rule is, at [`inspect`] for how rules see a text, at [`registry`] for the list.

pub mod comment;
pub mod engine;
pub mod extract;
pub mod facts;
pub mod firewall;
pub mod hashing;
pub mod hit;
pub mod inspect;
pub mod judge;
pub mod known;
pub mod observe;
pub mod policy;
pub mod profile;
pub mod registry;
pub mod rule;
pub mod rules;
pub mod sensitive;
pub mod session;
pub mod texts;
pub mod thresholds;
pub mod tree;
pub mod value;
