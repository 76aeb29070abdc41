//! What the tests stand on: servers, certificates, scripted peers, patience.

#![allow(
    dead_code,
    reason = "a vocabulary for tests; not every word is in use at every time"
)]

pub(crate) mod certs;
pub(crate) mod load;
pub(crate) mod message;
pub(crate) mod peer;
pub(crate) mod pgweir;
pub(crate) mod postgres;
pub(crate) mod scene;
pub(crate) mod service;
pub(crate) mod site;
pub(crate) mod wait;
pub(crate) mod wire;
