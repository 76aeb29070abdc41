//! Listening sockets: bound once by the process, cloned by each worker.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::Stream;
use super::sockopt::TcpOptions;
use crate::config::Settings;

#[cfg(test)]
mod tests;

/// Shortest and longest pause after `accept` failed for want of resources.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// Why a listening socket could not be made. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refused a TCP address.
    #[error("cannot listen on {addr}: {source}")]
    Tcp {
        /// The address.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The system refused the unix socket.
    #[error("cannot listen on unix socket {path}: {source}")]
    Unix {
        /// The socket's path, or `@name`.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The service manager passed something that cannot be listened on.
    #[error("socket {number} of the service manager cannot be used: {source}")]
    Passed {
        /// Its place among those passed, from 0.
        number: usize,
        /// The system's reason.
        source: io::Error,
    },
    /// Another program answers on the unix socket.
    #[error(
        "unix socket {path} is in use by another process; stop it or choose another unix_socket_dir or listen_port"
    )]
    InUse {
        /// The socket's path.
        path: String,
    },
    /// Something that is not a socket is at the unix socket's path; it is left alone.
    #[error("{path} exists and is not a socket; remove it or choose another unix_socket_dir")]
    NotASocket {
        /// The path.
        path: String,
    },
}

/// Every listening socket of the process. Dropping it removes the unix socket's file.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<Bound>,
    /// Removes the socket's file.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// A listening socket registered with one worker's reactor.
#[derive(Debug)]
pub struct Acceptor {
    socket: Registered,
    backoff: Duration,
}

#[derive(Debug)]
enum Registered {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Listeners {
    /// The sockets that a service manager has opened for this process, if it has; then those of the
    /// configuration are not opened, as in PgBouncer.
    ///
    /// Errors: one of them is neither a TCP nor a unix stream socket, or its mode cannot be set.
    ///
    /// Source: systemd, `sd_listen_fds(3)`.
    pub fn passed() -> Result<Option<Listeners>, BindError> {
        let mut passed = listenfd::ListenFd::from_env();
        let mut sockets = Vec::new();
        for number in 0..passed.len() {
            let failed = |source| BindError::Passed { number, source };
            if let Ok(Some(socket)) = passed.take_tcp_listener(number) {
                socket.set_nonblocking(true).map_err(failed)?;
                sockets.push(Bound::Tcp(socket));
            } else if let Some(socket) = passed.take_unix_listener(number).map_err(failed)? {
                socket.set_nonblocking(true).map_err(failed)?;
                sockets.push(Bound::Unix(socket));
            }
        }
        // The files of unix sockets are the service manager's.
        let file = None;
        Ok((!sockets.is_empty()).then_some(Listeners {
            sockets,
            _file: file,
        }))
    }

    /// Binds every address of `listen_addr`, with each of its ports, and the unix socket, and listens.
    ///
    /// A file left behind by a dead process is removed; one that answers is not. Errors name the
    /// address; sockets bound before it are closed again.
    ///
    /// Source: PgBouncer, `listen_addr`, `unix_socket_dir`, `unix_socket_mode`, `listen_backlog`.
    pub fn bind(settings: &Settings) -> Result<Listeners, BindError> {
        let backlog = i32::try_from(settings.listen_backlog).unwrap_or(i32::MAX);
        let mut sockets = Vec::new();
        for ip in &settings.listen_addr {
            for port in settings.ports() {
                let addr = SocketAddr::new(*ip, port);
                let socket = bind_tcp(addr, backlog, settings.so_reuseport)
                    .map_err(|source| BindError::Tcp { addr, source })?;
                sockets.push(Bound::Tcp(socket));
            }
        }
        let mut file = None;
        if !settings.unix_socket_dir.is_empty() {
            let (socket, guard) = bind_unix(
                &settings.unix_socket_dir,
                settings.listen_port,
                settings.unix_socket_mode,
                &settings.unix_socket_group,
                backlog,
            )?;
            sockets.push(Bound::Unix(socket));
            file = guard;
        }
        Ok(Listeners {
            sockets,
            _file: file,
        })
    }

    /// Registers a clone of every socket with the reactor of the calling thread.
    ///
    /// Errors: out of file descriptors or memory. Panics outside of a tokio runtime.
    pub fn acceptors(&self) -> io::Result<Vec<Acceptor>> {
        self.sockets
            .iter()
            .map(|socket| {
                let socket = match socket {
                    Bound::Tcp(s) => {
                        Registered::Tcp(tokio::net::TcpListener::from_std(s.try_clone()?)?)
                    }
                    Bound::Unix(s) => {
                        Registered::Unix(tokio::net::UnixListener::from_std(s.try_clone()?)?)
                    }
                };
                Ok(Acceptor {
                    socket,
                    backoff: Duration::ZERO,
                })
            })
            .collect()
    }

    /// Where clients connect, for people: `127.0.0.1:6432`, `unix:/tmp/.s.PGSQL.6432`.
    pub fn places(&self) -> Vec<String> {
        let unix = |socket: &std::os::unix::net::UnixListener| {
            let addr = socket.local_addr().ok()?;
            match addr.as_pathname() {
                Some(path) => Some(format!("unix:{}", path.display())),
                None => {
                    use std::os::linux::net::SocketAddrExt;
                    let name = addr.as_abstract_name()?;
                    Some(format!("unix:@{}", String::from_utf8_lossy(name)))
                }
            }
        };
        let place = |bound: &Bound| match bound {
            Bound::Tcp(socket) => socket.local_addr().ok().map(|addr| addr.to_string()),
            Bound::Unix(socket) => unix(socket),
        };
        self.sockets.iter().filter_map(place).collect()
    }

    /// The TCP addresses in use, with the ports the system chose for port 0.
    pub fn tcp_addrs(&self) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter_map(|socket| match socket {
                Bound::Tcp(s) => s.local_addr().ok(),
                Bound::Unix(_) => None,
            })
            .collect()
    }
}

impl Acceptor {
    /// Waits for the next connection; never gives up.
    ///
    /// A connection that broke before it was taken is skipped. When the process is out of files or
    /// memory it waits (10 ms, doubling to 500 ms) and tries again. TCP options are set, as `options`
    /// has them when the connection is there; one that the system refuses is logged and the
    /// connection kept. Cancel safe.
    pub async fn accept(&mut self, options: impl Fn() -> TcpOptions) -> Stream {
        loop {
            let accepted = match &self.socket {
                Registered::Tcp(s) => s.accept().await.map(|(s, _)| Stream::from_tcp(s)),
                Registered::Unix(s) => s.accept().await.map(|(s, _)| Stream::from_unix(s)),
            };
            match accepted {
                Ok(stream) => {
                    self.backoff = Duration::ZERO;
                    if let Err(error) = stream.apply_options(&options()) {
                        tracing::debug!(%error, "cannot set socket options of a client");
                    }
                    return stream;
                }
                Err(error) if is_connection_error(&error) => {}
                Err(error) => {
                    if self.backoff.is_zero() {
                        tracing::warn!(%error, "cannot accept connections for now; raise the limit on open files if this goes on");
                    }
                    self.backoff = (self.backoff * 2).clamp(BACKOFF.0, BACKOFF.1);
                    crate::timer::sleep(self.backoff).await;
                }
            }
        }
    }
}

/// Errors of the connection being accepted, not of the listener (Linux passes them on).
fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn bind_tcp(addr: SocketAddr, backlog: i32, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if addr.is_ipv6() {
        // `::` next to `0.0.0.0` must not collide.
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn bind_unix(
    dir: &str,
    port: u16,
    mode: u32,
    group: &str,
    backlog: i32,
) -> Result<(std::os::unix::net::UnixListener, Option<SocketFile>), BindError> {
    let name = format!("{dir}/.s.PGSQL.{port}");
    let failed = |source| BindError::Unix {
        path: name.clone(),
        source,
    };
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    let mut guard = None;
    if let Some(rest) = name.strip_prefix('@') {
        // A leading zero byte means the abstract name space; there is no file to care for.
        socket
            .bind(&SockAddr::unix(format!("\0{rest}")).map_err(failed)?)
            .map_err(failed)?;
    } else {
        let path = Path::new(&name);
        remove_stale(path, &name)?;
        socket
            .bind(&SockAddr::unix(path).map_err(failed)?)
            .map_err(failed)?;
        guard = Some(SocketFile::new(path).map_err(failed)?);
        if !group.is_empty() {
            let group = group_id(group).map_err(failed)?;
            std::os::unix::fs::chown(path, None, Some(group)).map_err(failed)?;
        }
        // Nobody can connect before `listen`, so the mode is in force in time.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    socket.listen(backlog).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    Ok((socket.into(), guard))
}

/// The number of a group of the system, by its name or as written.
fn group_id(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    match nix::unistd::Group::from_name(group)? {
        Some(found) => Ok(found.gid.as_raw()),
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("unix_socket_group: the system knows no group {group:?}"),
        )),
    }
}

/// Removes a socket file that nobody listens on.
fn remove_stale(path: &Path, name: &str) -> Result<(), BindError> {
    let failed = |source| BindError::Unix {
        path: name.to_owned(),
        source,
    };
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
    };
    if !meta.file_type().is_socket() {
        return Err(BindError::NotASocket {
            path: name.to_owned(),
        });
    }
    // Without waiting, in case someone listens but does not accept.
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    probe.set_nonblocking(true).map_err(failed)?;
    match probe.connect(&SockAddr::unix(path).map_err(failed)?) {
        Ok(()) => Err(BindError::InUse {
            path: name.to_owned(),
        }),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        // A full queue (EAGAIN) or a missing permission: someone may be there.
        Err(e) => Err(failed(e)),
    }
}

/// The file of our unix socket; removed on drop if it is still ours.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<SocketFile> {
        let meta = std::fs::symlink_metadata(path)?;
        Ok(SocketFile {
            path: path.to_owned(),
            identity: (meta.dev(), meta.ino()),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A successor may have put its own socket there.
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity);
        if ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
