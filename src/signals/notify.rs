//! Telling the service manager how pgweir is.
//!
//! Source: systemd, `sd_notify(3)`: datagrams of `NAME=value` lines to the unix socket that
//! `NOTIFY_SOCKET` names; a leading `@` means the abstract name space.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends states to the service manager; to nobody if there is none.
#[derive(Debug)]
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// For the service manager that the environment names.
    pub fn from_env() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self(None);
        };
        match Self::to(&name) {
            Ok(notifier) => notifier,
            Err(error) => {
                tracing::warn!(%error, socket = %name.display(), "the service manager cannot be told anything: NOTIFY_SOCKET cannot be used");
                Self(None)
            }
        }
    }

    /// For the service manager behind a socket.
    ///
    /// # Errors
    ///
    /// The name is not one of a socket, or there are no sockets left.
    pub fn to(name: &OsString) -> io::Result<Self> {
        let name = name.as_bytes();
        let address = match name.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some((socket, address))))
    }

    /// pgweir serves, or a reload has ended.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}\n"));
    }

    /// A reload begins; [`ready`](Self::ready) ends it.
    pub fn reloading(&self) {
        let now = monotonic_us();
        self.send(&format!(
            "RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading\n"
        ));
    }

    /// The end has begun.
    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={status}\n"));
    }

    fn send(&self, state: &str) {
        let Some((socket, address)) = &self.0 else {
            return;
        };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }
}

/// Microseconds on the monotonic clock, which the service manager reads too.
fn monotonic_us() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec that outlives the call, which writes nothing else.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    if failed != 0 {
        return 0;
    }
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanos / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(listening: &UnixDatagram, notifier: &Notifier) {
        notifier.ready("serving");
        notifier.reloading();
        notifier.stopping("wait_for_clients");
        let mut buffer = [0; 200];
        let mut next = || {
            let count = listening.recv(&mut buffer).expect("a datagram");
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        };
        assert_eq!(next(), "READY=1\nSTATUS=serving\n");
        let reloading = next();
        let time = reloading
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .and_then(|rest| rest.strip_suffix("\nSTATUS=reloading\n"))
            .and_then(|time| time.parse::<u64>().ok());
        assert!(time.is_some_and(|time| time > 0), "{reloading}");
        assert_eq!(next(), "STOPPING=1\nSTATUS=wait_for_clients\n");
    }

    #[test]
    fn sockets_with_a_path_and_abstract_ones() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let listening = UnixDatagram::bind(&path).expect("bound");
        told(&listening, &Notifier::to(&path.into()).expect("a notifier"));

        let name = format!("pgweir-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let listening = UnixDatagram::bind_addr(&address).expect("bound");
        let notifier = Notifier::to(&format!("@{name}").into()).expect("a notifier");
        told(&listening, &notifier);
    }

    #[test]
    fn nobody_listens() {
        Notifier(None).ready("serving");
        let gone = Notifier::to(&"/nonexistent/notify".into()).expect("a notifier");
        gone.ready("serving");
        assert!(Notifier::to(&"/".repeat(200).into()).is_err());
    }
}
