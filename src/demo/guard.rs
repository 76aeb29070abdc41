//! Leaves nothing behind: a small process that outlives us just long enough to clean up.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary directory that is removed, and whose processes are ended, when this process ends
/// in whatever way: return, panic, Ctrl-C, `kill -9`.
///
/// A shell waits for the end of a pipe that only we hold open. Then it ends the processes named
/// in `DIR/*.pid` and `DIR/*/postmaster.pid` and removes the directory. Processes are ended by
/// the number that was written down for them, never by name.
#[derive(Debug)]
pub struct Guard {
    dir: PathBuf,
    shell: Child,
}

const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r _
cd / || exit 1
each() {
    found=1
    for f in "$1"/*.pid "$1"/*/postmaster.pid; do
        [ -s "$f" ] && read -r pid < "$f" && [ "$pid" -gt 1 ] 2>/dev/null &&
            kill "-$2" "$pid" 2>/dev/null && found=0
    done
    return $found
}
each "$1" QUIT
n=0
while each "$1" 0 && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1; done
each "$1" KILL
rm -rf "$1"
sleep 0.2
rm -rf "$1"
"#;

/// Tells the directories of one process apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Guard {
    /// Makes a directory `pgweir-NAME-PID-N` for temporary things and sets the guard over it.
    ///
    /// The path is kept short since unix sockets in it have at most 107 bytes. Everybody may
    /// enter it, for PostgreSQL runs as another user when we are root.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, or no shell can be started.
    pub fn new(name: &str) -> io::Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("pgweir-{name}-{}-{number}", std::process::id()));
        // Left over from a process of the same number that could not even be guarded.
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir(&dir)?;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755))?;
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "pgweir-guard"])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { dir, shell })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts the process `pid` under the guard as `NAME.pid`.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn watch(&self, name: &str, pid: u32) -> io::Result<()> {
        std::fs::write(self.dir.join(format!("{name}.pid")), format!("{pid}\n"))
    }

    /// Takes a process that has been waited for out of the guard's care.
    pub fn forget(&self, name: &str) {
        let _ = std::fs::remove_file(self.dir.join(format!("{name}.pid")));
    }
}

impl Drop for Guard {
    /// Sets the clean-up off and waits until it is done.
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
