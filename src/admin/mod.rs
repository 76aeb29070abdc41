//! stub
#![allow(missing_docs)]
#[derive(Default)]
pub struct Shared;
pub enum Rights {
    Admin,
    Stats,
}
pub struct Welcome {
    pub prelude: Vec<u8>,
    pub user: String,
    pub rights: Rights,
    pub key: (u32, Box<[u8]>),
}
pub async fn run(
    _: crate::net::Stream,
    _: Vec<u8>,
    _: Welcome,
    _: crate::control::Control,
    _: std::sync::Arc<Shared>,
) {
}
pub async fn sample(_: crate::control::Control, _: std::sync::Arc<Shared>) {}
