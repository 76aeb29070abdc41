//! The PostgreSQL protocol 3.0–3.2 as bytes: framing, the few messages that are looked into, the
//! few that are made.
//!
//! Nothing here knows sockets, time or tasks. What is relayed is never decoded and encoded again:
//! callers cut frames with [`header::Header`], look at bodies through the borrowed views of
//! [`read`], and pass the original bytes on. Start reading at [`header`].
//!
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol".

pub mod header;
pub mod limits;
pub mod proxy;
pub mod read;
pub mod startup;
pub mod status;
pub mod tag;
pub mod write;

pub use header::{FrameError, Header};
pub use status::TxStatus;
