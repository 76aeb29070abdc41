//! `pgweir import`: a `pgbouncer.ini` becomes a TOML file.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use crate::config::document::Dialect;
use crate::config::{Config, import};

/// Writes the equivalent of the ini at `path` to `output`, or to `out`. A file is made readable for
/// its owner only, because it may hold passwords, and one that exists is not overwritten.
pub(super) fn run(
    path: &Path,
    output: Option<&Path>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let text = Config::load_as(path, Dialect::Ini).and_then(|config| import::toml(&config));
    let text = match text {
        Ok(text) => text,
        Err(errors) => {
            // Nothing is left to do if standard error is closed.
            let _ = writeln!(err, "{errors}");
            return ExitCode::FAILURE;
        }
    };
    let written = match output {
        None => out.write_all(text.as_bytes()).and_then(|()| out.flush()),
        Some(path) => write_new(path, text.as_bytes()),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let to = output.map_or("standard output".into(), |path| path.display().to_string());
            let _ = writeln!(err, "pgweir: cannot write {to}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)?.write_all(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_file_for_its_owner_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("p.ini"), dir.path().join("w.toml"));
        std::fs::write(&from, "[databases]\na = host=h password=hidden\n").expect("written");
        let import = |from: &Path, to: Option<&Path>| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let code = run(from, to, &mut out, &mut err);
            let text = |bytes| String::from_utf8(bytes).expect("text");
            (code == ExitCode::SUCCESS, text(out), text(err))
        };
        assert!(import(&from, Some(&to)).0);
        let mode = std::fs::metadata(&to).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let config = Config::load(&to).unwrap_or_else(|errors| panic!("{errors}"));
        let password = config.database("a").and_then(|db| db.password.clone());
        assert_eq!(password.expect("a password").expose(), "hidden");
        let (done, _, err) = import(&from, Some(&to));
        assert!(!done && err.contains("cannot write"), "{err}");
        let (done, out, _) = import(&from, None);
        assert!(done && out.contains("[databases.a]"), "{out}");
        std::fs::write(&from, "[pgbouncer]\npool_mode = x\n").expect("written");
        let (done, out, err) = import(&from, None);
        assert!(!done && out.is_empty() && err.contains(":2: "), "{err}");
    }
}
