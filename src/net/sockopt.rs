//! Options of TCP sockets and the limit on open files.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::config::Settings;

/// Options of TCP sockets on both legs; zero values leave the system's defaults.
///
/// Source: PgBouncer, `tcp_keepalive` and following.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Send keepalive probes.
    pub keepalive: bool,
    /// Probes before the peer is given up.
    pub probes: u32,
    /// Idle time before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Time after which unacknowledged data is given up.
    pub user_timeout: Duration,
    /// Bytes of the kernel's buffers, in each direction.
    pub buffer: usize,
}

impl From<&Settings> for TcpOptions {
    fn from(settings: &Settings) -> TcpOptions {
        TcpOptions {
            keepalive: settings.tcp_keepalive,
            probes: settings.tcp_keepcnt,
            idle: settings.tcp_keepidle,
            interval: settings.tcp_keepintvl,
            user_timeout: settings.tcp_user_timeout,
            buffer: settings.tcp_socket_buffer as usize,
        }
    }
}

/// Sets `TCP_NODELAY`, keepalive, `TCP_USER_TIMEOUT` and the sizes of buffers.
///
/// Errors: the first option that the system refuses. The connection still works without it.
pub fn apply_tcp(socket: &impl AsFd, options: &TcpOptions) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    if options.keepalive {
        let mut keepalive = TcpKeepalive::new();
        if !options.idle.is_zero() {
            keepalive = keepalive.with_time(options.idle);
        }
        if !options.interval.is_zero() {
            keepalive = keepalive.with_interval(options.interval);
        }
        if options.probes > 0 {
            keepalive = keepalive.with_retries(options.probes);
        }
        socket.set_keepalive(true)?;
        socket.set_tcp_keepalive(&keepalive)?;
    }
    if options.buffer > 0 {
        socket.set_recv_buffer_size(options.buffer)?;
        socket.set_send_buffer_size(options.buffer)?;
    }
    #[cfg(target_os = "linux")]
    if !options.user_timeout.is_zero() {
        socket.set_tcp_user_timeout(Some(options.user_timeout))?;
    }
    Ok(())
}

/// Raises the soft limit on open files to the hard one and returns the limit in force.
///
/// Errors: the system refused to tell or to change the limit; the old one stays.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid, writable rlimit for the duration of the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a valid rlimit that the call only reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::Dialect;
    use crate::config::reference::default_settings;

    #[test]
    fn options_reach_the_socket() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let settings = Settings {
            tcp_keepalive: true,
            tcp_keepcnt: 4,
            tcp_keepidle: Duration::from_secs(11),
            tcp_keepintvl: Duration::from_secs(7),
            tcp_user_timeout: Duration::from_secs(33),
            tcp_socket_buffer: 16_384,
            ..default_settings(Dialect::Ini).unwrap()
        };
        let options = TcpOptions::from(&settings);
        apply_tcp(&socket, &options).unwrap();
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        // The kernel doubles what it is asked for.
        assert_eq!(socket.recv_buffer_size().unwrap(), 32_768);
        assert_eq!(socket.send_buffer_size().unwrap(), 32_768);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        let seconds = Duration::from_secs;
        assert_eq!(socket.tcp_keepalive_time().unwrap(), seconds(11));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), seconds(7));
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(seconds(33)));
    }

    #[test]
    fn raising_open_files_reaches_the_hard_limit() {
        let first = raise_open_files().unwrap();
        assert!(first > 0);
        assert_eq!(raise_open_files().unwrap(), first);
    }
}
