//! The command line when the program is called `pgbouncer`.
//!
//! Scripts and service files that start PgBouncer work when pgweir lies, or is linked, where
//! PgBouncer was: its options and exit codes, and any file is read as a `pgbouncer.ini`.
//!
//! Source: PgBouncer documentation, "Command Line Switches".

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser};

use super::{Dispatch, Output, ProcessArgs};
use crate::config::document::Dialect;

#[derive(Debug, Parser)]
#[command(
    name = "pgbouncer",
    display_name = "PgBouncer",
    version = VERSION,
    disable_version_flag = true,
    disable_help_flag = true,
    about = "pgweir, serving in place of PgBouncer"
)]
struct Args {
    #[command(flatten)]
    process: ProcessArgs,
    #[command(flatten)]
    output: Output,
    /// Show version, then exit
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    version: (),
    /// Show this help, then exit
    #[arg(short, long, action = clap::ArgAction::Help)]
    help: (),
    /// Configuration, in the language of pgbouncer.ini
    #[arg(value_name = "CONFIG_FILE", required = true)]
    file: PathBuf,
}

/// What PgBouncer prints, whose first line scripts read, then what it really is.
const VERSION: &str = concat!(
    "1.26.1\npgweir ",
    env!("CARGO_PKG_VERSION"),
    "\ntls: rustls\nsystemd: yes"
);

/// Reads the command line.
pub(super) fn parse(args: Vec<OsString>) -> Result<Dispatch, clap::Error> {
    let matches = Args::command().try_get_matches_from(args)?;
    let args = Args::from_arg_matches(&matches)?;
    Ok(Dispatch::Run {
        config_path: Some(args.file),
        dialect: Some(Dialect::Ini),
        options: args.process.options(args.output)?,
    })
}

/// The exit code for a mistake on the command line: PgBouncer has 1 where others have 2.
pub(super) fn exit_code(program: Option<OsString>, code: u8) -> u8 {
    let called_pgbouncer = program
        .as_ref()
        .and_then(|name| Path::new(name).file_name())
        .is_some_and(|name| name == "pgbouncer");
    match code {
        2 if called_pgbouncer => 1,
        code => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::show::process::COMPATIBLE;
    use crate::cli::RunOptions;

    fn parsed(line: &str) -> Result<Dispatch, clap::Error> {
        super::super::parse(line.split(' '))
    }

    #[test]
    fn options_and_any_file_name() {
        Args::command().debug_assert();
        for line in [
            "/usr/sbin/pgbouncer -q -d -v -v -u nobody /etc/pgbouncer/main.conf",
            "pgbouncer -qdvv --user=nobody /etc/pgbouncer/main.conf",
            "pgbouncer --quiet --daemon --verbose --verbose --user nobody /etc/pgbouncer/main.conf",
        ] {
            let found = parsed(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            let wanted = Dispatch::Run {
                config_path: Some("/etc/pgbouncer/main.conf".into()),
                dialect: Some(Dialect::Ini),
                options: RunOptions {
                    quiet: true,
                    verbose: 2,
                    daemon: true,
                    user: Some("nobody".to_owned()),
                },
            };
            assert_eq!(found, wanted, "{line}");
        }
        // A file may be called as a command of pgweir is.
        assert!(matches!(
            parsed("pgbouncer check"),
            Ok(Dispatch::Run { .. })
        ));
    }

    #[test]
    fn mistakes_help_and_version() {
        for line in [
            "pgbouncer",
            "pgbouncer -x a",
            "pgbouncer a b",
            "pgbouncer -d",
        ] {
            let error = parsed(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        let error = parsed("pgbouncer -R a.ini").expect_err("refused");
        assert!(error.to_string().contains("so_reuseport"), "{error}");
        assert_eq!(exit_code(Some("/x/pgbouncer".into()), 2), 1);
        assert_eq!(exit_code(Some("/x/pgbouncer".into()), 0), 0);
        assert_eq!(exit_code(Some("pgweir".into()), 2), 2);
        for line in ["pgbouncer -h", "pgbouncer --help"] {
            let help = parsed(line).expect_err(line);
            assert_eq!(help.exit_code(), 0);
            for option in ["--daemon", "--quiet", "--user", "--verbose", "--version"] {
                assert!(help.to_string().contains(option), "{option}");
            }
        }
        for line in ["pgbouncer -V", "pgbouncer --version"] {
            let version = parsed(line).expect_err(line).to_string();
            let first = version.lines().next();
            assert_eq!(first, Some(&*format!("PgBouncer {COMPATIBLE}")));
            assert!(version.contains("\npgweir "), "{version}");
        }
    }
}
