//! pgweir: a PostgreSQL connection pooler and query proxy.
//!
//! The binary is a thin shell around this library, so that tests and benchmarks can link the
//! parts. `ARCHITECTURE.md` at the top of the repository is the map; the short form:
//!
//! | layer | modules | what they may know |
//! |---:|---|---|
//! | 0 | [`error`], [`config`], [`calendar`] | plain data |
//! | 1 | [`wire`], [`sql`], [`auth`] | bytes and text in, facts out; no sockets, no clock |
//! | 2 | [`lint`] | facts in, hits out; no sockets, no clock |
//! | 3 | [`net`], [`tls`], [`derivation`], [`shutdown`] | one concern of the outside each |
//! | 4 | [`server`], [`client`] | one connection each, nothing of pools |
//! | 4 | [`audit`] | what is kept of what happened |
//! | 5 | [`pool`] | servers, nothing of sessions |
//! | 6 | [`session`] | a client's life |
//! | 7 | [`control`] | what may be asked of all of this |
//! | 8 | [`metrics`] | what is exported of it |
//! | 9 | [`admin`], [`web`] | the console; HTTP |
//! | 10 | [`worker`], [`app`], [`cli`], [`offline`], [`top`], [`signals`], [`logging`], [`recorder`], [`daemon`] | composition |

pub mod admin;
pub mod advisor;
pub mod app;
pub mod audit;
pub mod auth;
pub mod calendar;
pub mod cli;
pub mod client;
pub mod config;
pub mod control;
pub mod daemon;
pub mod demo;
pub mod derivation;
pub mod error;
pub mod ldap;
pub mod lint;
pub mod locks;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod offline;
pub mod otlp;
pub mod pam;
pub mod patroni;
pub mod pool;
pub mod recorder;
pub mod route;
pub mod server;
pub mod session;
pub mod shutdown;
pub mod signals;
pub mod sql;
pub mod timer;
pub mod tls;
pub mod top;
pub mod watcher;
pub mod web;
pub mod wire;
pub mod worker;
