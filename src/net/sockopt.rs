//! Options of TCP sockets and the limit on open files.

use std::io;
use std::os::fd::AsFd;

use socket2::{SockRef, TcpKeepalive};

use crate::config::Settings;

/// Sets `TCP_NODELAY`, keepalive and `TCP_USER_TIMEOUT` as `settings` say; zero values leave the
/// system's defaults.
///
/// Errors: the first option that the system refuses. The connection still works without it.
///
/// Source: PgBouncer, `tcp_keepalive` and following.
pub fn apply_tcp(socket: &impl AsFd, settings: &Settings) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    if settings.tcp_keepalive {
        let mut keepalive = TcpKeepalive::new();
        if !settings.tcp_keepidle.is_zero() {
            keepalive = keepalive.with_time(settings.tcp_keepidle);
        }
        if !settings.tcp_keepintvl.is_zero() {
            keepalive = keepalive.with_interval(settings.tcp_keepintvl);
        }
        if settings.tcp_keepcnt > 0 {
            keepalive = keepalive.with_retries(settings.tcp_keepcnt);
        }
        socket.set_keepalive(true)?;
        socket.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(target_os = "linux")]
    if !settings.tcp_user_timeout.is_zero() {
        socket.set_tcp_user_timeout(Some(settings.tcp_user_timeout))?;
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

    #[test]
    fn raising_open_files_reaches_the_hard_limit() {
        let first = raise_open_files().unwrap();
        assert!(first > 0);
        assert_eq!(raise_open_files().unwrap(), first);
    }
}
