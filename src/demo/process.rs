//! Running other programs: as whom, to their end, and signals to them.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::binaries::Binaries;
use super::cluster::{ClusterError, io_error};

/// The user that PostgreSQL's programs run as.
///
/// PostgreSQL refuses to run as root, so root steps down to another user for it; anybody else
/// runs it as themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(Option<(u32, u32)>);

impl Owner {
    /// The user for this process: `postgres` or `nobody` if we are root.
    pub fn choose() -> Self {
        let root = std::fs::metadata("/proc/self")
            .map(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
            .unwrap_or(false);
        if !root {
            return Self(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self(Some(
            ["postgres", "nobody"]
                .iter()
                .find_map(|name| ids(&passwd, name))
                .unwrap_or((65534, 65534)),
        ))
    }

    /// A command that runs as this user.
    pub fn command(self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Gives `path` to this user.
    ///
    /// # Errors
    ///
    /// The system's, with the path.
    pub fn give(self, path: &Path) -> Result<(), ClusterError> {
        match self.0 {
            None => Ok(()),
            Some((uid, gid)) => chown(path, Some(uid), Some(gid))
                .map_err(io_error(format!("giving {} away", path.display()))),
        }
    }
}

/// User and group number of `name` in the text of `/etc/passwd`.
fn ids(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.as_slice() {
            [n, _, uid, gid, ..] if *n == name => Some((uid.parse().ok()?, gid.parse().ok()?)),
            _ => None,
        }
    })
}

/// Sends a signal, given by its short name, to a process that we started.
pub fn send_signal(pid: u32, name: &str) {
    let _ = Command::new("/bin/sh")
        .args(["-c", "kill \"-$1\" \"$2\"", "sh", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Runs a command to its end and gives its standard output.
///
/// # Errors
///
/// [`ClusterError::Program`] with the end of its output if it does not end with success.
pub fn run(command: &mut Command) -> Result<String, ClusterError> {
    let program = Path::new(command.get_program())
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(io_error(format!("running {program}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned());
    }
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stdout));
    let lines: Vec<&str> = text.lines().collect();
    Err(ClusterError::Program {
        program,
        status: output.status.to_string(),
        output: lines[lines.len().saturating_sub(15)..].join("\n"),
    })
}

/// The same programs where `owner` may run them.
///
/// A checkout in a home directory is often closed to other users; then a private installation in
/// it (it finds its own files relative to itself) is copied next to the clusters, once.
pub(super) fn reachable(
    binaries: &Binaries,
    owner: Owner,
    dir: &Path,
) -> Result<Binaries, ClusterError> {
    let mut probe = owner.command(binaries.program("postgres"));
    probe.arg("--version").current_dir("/");
    if run(&mut probe).is_ok() {
        return Ok(binaries.clone());
    }
    let Some((root, inside)) = installation(&binaries.bin) else {
        return Ok(binaries.clone());
    };
    let copy = dir.join(format!("programs{}", binaries.major));
    if !copy.exists() {
        let partial = dir.join(format!("programs{}.part", binaries.major));
        std::fs::create_dir(&partial).map_err(io_error("making a directory"))?;
        for part in root {
            run(Command::new("cp").arg("-rL").arg(part).arg(&partial))?;
        }
        run(Command::new("chmod").args(["-R", "a+rX"]).arg(&partial))?;
        std::fs::rename(&partial, &copy).map_err(io_error("moving a copy of PostgreSQL"))?;
    }
    Ok(Binaries {
        bin: copy.join(inside),
        ..binaries.clone()
    })
}

/// The directories that an installation consists of, and the path of its programs in a copy.
///
/// In a Python environment it is two: `NAME/pginstall` and, beside `NAME`, the libraries that the
/// packager added in `NAME.libs`.
fn installation(bin: &Path) -> Option<(Vec<PathBuf>, PathBuf)> {
    let prefix = bin.parent()?;
    let package = prefix.parent()?;
    let mut libraries = package.as_os_str().to_owned();
    libraries.push(".libs");
    let libraries = PathBuf::from(libraries);
    let root = if libraries.is_dir() { package } else { prefix };
    let inside = bin.strip_prefix(root.parent()?).ok()?.to_owned();
    let mut parts = vec![root.to_owned()];
    if libraries.is_dir() {
        parts.push(libraries);
    }
    Some((parts, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_in_the_passwd_file() {
        let text = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533::/:/bin/false\n";
        assert_eq!(ids(text, "nobody"), Some((65534, 65533)));
        assert_eq!(ids(text, "postgres"), None);
    }

    #[test]
    fn a_failed_program_is_reported_with_what_it_said() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo broken >&2; exit 3"]);
        let text = run(&mut command).expect_err("it fails").to_string();
        assert!(
            text.contains("broken") && text.contains("sh failed"),
            "{text}"
        );
    }
}
