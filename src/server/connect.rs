//! stub
#![allow(missing_docs)]
use std::sync::Arc;
use std::time::Duration;
use crate::auth::{ScramKeys, StoredSecret};
use crate::config::{Host, Secret, Settings};
use crate::error::{ClientFacing, Fault, SqlState};
use crate::net::Stream;
use crate::tls::ServerLeg;
pub struct Credentials { pub password: Option<Secret>, pub stored: Option<StoredSecret>, pub scram_keys: Option<ScramKeys> }
pub struct ConnectSpec { pub host: Host, pub tls: Option<Arc<ServerLeg>>, pub user: String, pub database: String, pub credentials: Credentials, pub params: Vec<(String,String)>, pub timeout: Duration, pub settings: Settings }
pub struct Connected { pub stream: Stream, pub pid: u32, pub key: Vec<u8>, pub params: Vec<(String,String)> }
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct ConnectError;
impl ClientFacing for ConnectError { fn sqlstate(&self)->SqlState{SqlState::CANNOT_CONNECT} fn client_message(&self)->std::borrow::Cow<'_,str>{"".into()} fn fault(&self)->Fault{Fault::Server} }

pub async fn connect(spec: &ConnectSpec, _: &crate::derivation::Derivation) -> Result<Connected, ConnectError> {
    use crate::wire::{startup, header::take_frame};
    let mut stream = match &spec.host { Host::Tcp{host,port} => Stream::from_tcp(tokio::net::TcpStream::connect((host.as_str(),*port)).await.map_err(|_|ConnectError)?), Host::Unix{dir,port} => Stream::from_unix(tokio::net::UnixStream::connect(format!("{dir}/.s.PGSQL.{port}")).await.map_err(|_|ConnectError)?) };
    let mut out = Vec::new();
    startup::write_startup(&mut out, 0, &[("user",&spec.user),("database",&spec.database)]);
    stream.write_all(&out).await.map_err(|_|ConnectError)?;
    let mut buf = Vec::new(); let mut params = Vec::new(); let (mut pid, mut key) = (0, vec![]);
    loop {
        let mut b = [0;4096]; let n = stream.read_some(&mut b).await.map_err(|_|ConnectError)?; if n==0 {return Err(ConnectError)} buf.extend(&b[..n]);
        while let Ok(Some((h, body))) = take_frame(&buf, 100000) {
            match h.tag { b'S' => { let (a,b) = crate::wire::read::parameter_status(body).unwrap(); params.push((String::from_utf8_lossy(a).into(), String::from_utf8_lossy(b).into())); }
              b'K' => { pid = u32::from_be_bytes(body[..4].try_into().unwrap()); key = body[4..].to_vec(); }
              b'Z' => return Ok(Connected{stream,pid,key,params}),
              b'E' => return Err(ConnectError), _ => {} }
            let l = h.frame_len(); buf.drain(..l);
        }
    }
}
pub async fn send_cancel(s: &super::conn::ServerShared, _: Duration) -> Result<(), ConnectError> {
    let mut stream = match &s.host { Host::Tcp{host,port} => Stream::from_tcp(tokio::net::TcpStream::connect((host.as_str(),*port)).await.map_err(|_|ConnectError)?), Host::Unix{dir,port} => Stream::from_unix(tokio::net::UnixStream::connect(format!("{dir}/.s.PGSQL.{port}")).await.map_err(|_|ConnectError)?) };
    let mut out = Vec::new(); crate::wire::startup::write_cancel(&mut out, s.pid, &s.key);
    stream.write_all(&out).await.map_err(|_|ConnectError)?; let mut b=[0;16]; let _ = stream.read_some(&mut b).await; Ok(())
}
