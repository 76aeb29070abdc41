//! The process among others: its user, the background, and the file with its number.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User};

/// Why the process cannot be what it was asked to be. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// There is no such user.
    #[error("user: the system knows no user {0:?}")]
    NoUser(String),
    /// The system does not let us become that user.
    #[error("cannot become user {0:?}: {1}; only root can become somebody else")]
    Become(String, io::Error),
    /// Somebody must be able to find the process again.
    #[error("daemon needs pidfile configured")]
    NeedsPidfile,
    /// The system does not let us go into the background.
    #[error("cannot go into the background: {0}")]
    Background(io::Error),
    /// The file cannot be written.
    #[error("pidfile {0}: {1}")]
    Pidfile(String, io::Error),
    /// Another process holds the file.
    #[error("pidfile {0}: another process is running: {1}")]
    Running(String, String),
}

/// Whether the process may do everything.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Becomes `user` for good, with its groups; nothing if it is that user. Call it before threads
/// are started and files opened.
///
/// Source: PgBouncer, `user`.
///
/// # Errors
/// There is no such user, or this process may not become it.
pub fn become_user(user: &str) -> Result<(), DaemonError> {
    let failed = |error: nix::Error| DaemonError::Become(user.to_owned(), error.into());
    let found = User::from_name(user)
        .map_err(failed)?
        .ok_or_else(|| DaemonError::NoUser(user.to_owned()))?;
    if Uid::effective() == found.uid && Uid::current() == found.uid {
        return Ok(());
    }
    let name = std::ffi::CString::new(user).map_err(|_| DaemonError::NoUser(user.to_owned()))?;
    nix::unistd::initgroups(&name, found.gid).map_err(failed)?;
    nix::unistd::setgid(found.gid).map_err(failed)?;
    nix::unistd::setuid(found.uid).map_err(failed)?;
    let way_back = found.uid.as_raw() != 0 && nix::unistd::setuid(Uid::from_raw(0)).is_ok();
    if way_back || Gid::effective() != found.gid {
        return Err(failed(nix::Error::EPERM));
    }
    Ok(())
}

/// Goes on in the background: the calling process ends with exit code 0, and this function returns
/// in its child, which belongs to no terminal. The working directory stays, because paths of a
/// `pgbouncer.ini` start there. Call it before threads are started.
///
/// # Errors
/// The system's.
pub fn go_into_background() -> Result<(), DaemonError> {
    nix::unistd::daemon(true, false).map_err(|error| DaemonError::Background(error.into()))
}

/// The process id in a file that is locked while the process lives and removed at its end.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    file: File,
}

impl Pidfile {
    /// Writes this process's number to `path`. A file that a dead process left is taken over.
    ///
    /// # Errors
    /// The system's, or a process that lives has the file.
    pub fn write(path: &Path) -> Result<Self, DaemonError> {
        let shown = || path.display().to_string();
        let failed = |error| DaemonError::Pidfile(shown(), error);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let who = std::fs::read_to_string(path).unwrap_or_default();
                return Err(DaemonError::Running(shown(), who.trim().to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        let same = |one: std::fs::Metadata, other: std::fs::Metadata| {
            (one.dev(), one.ino()) == (other.dev(), other.ino())
        };
        let ours = (self.file.metadata().ok())
            .zip(std::fs::metadata(&self.path).ok())
            .is_some_and(|(one, other)| same(one, other));
        if ours {
            // It may have been removed by hand.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfile_has_one_owner_and_goes_with_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pid");
        std::fs::write(&path, "123456789 left behind\n").expect("written");
        let first = Pidfile::write(&path).expect("nobody has it");
        let number = format!("{}\n", std::process::id());
        assert_eq!(std::fs::read_to_string(&path).expect("there"), number);
        let second = Pidfile::write(&path).expect_err("taken");
        let shown = second.to_string();
        assert!(shown.contains(number.trim()), "{shown}");
        drop(first);
        assert!(!path.exists());
        let third = Pidfile::write(&path).expect("free again");
        std::fs::remove_file(&path).expect("removed by hand");
        std::fs::write(&path, "somebody else's\n").expect("written");
        drop(third);
        assert!(path.exists(), "the file of another was removed");
        let missing = Pidfile::write(Path::new("/nonexistent/pid"));
        assert!(matches!(missing, Err(DaemonError::Pidfile(..))));
    }

    #[test]
    fn nobody_becomes_who_is_not_there() {
        let error = become_user("no such user").expect_err("unknown");
        assert!(matches!(error, DaemonError::NoUser(_)), "{error}");
        let me = User::from_uid(Uid::effective()).expect("asked");
        if let Some(me) = me {
            become_user(&me.name).expect("it is me already");
        }
    }
}
