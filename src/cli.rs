//! The command line: what it asks for, and the commands that need no running pgweir.
//!
//! Serving and the demonstration are handed to [`main`] by the binary, so that this module knows
//! nothing of them.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::audit::chain;
use crate::audit::chain::Key;
use crate::audit::policy as audit;
use crate::audit::trail;
use crate::audit::wall::Wall;
use crate::config::document::Dialect;
use crate::config::{Config, ConfigErrors, reference};
use crate::lint::policy;
use crate::offline::{self, LintArgs, ReplayArgs};
use crate::top::{self, TopArgs};

mod import;
mod pgbouncer;

/// Where `pgweir run` looks for a configuration, in this order.
pub const CONFIG_PATHS: [&str; 2] = ["conf/pgweir.toml", "/etc/pgweir/pgweir.toml"];

#[derive(Debug, Parser)]
#[command(
    name = "pgweir",
    version,
    about,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "With FILE and no command pgweir serves like PgBouncer: pgweir [-q] [-v] [-d] [-u USER] FILE.ini. Called by the name pgbouncer it takes PgBouncer's options only."
)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    process: ProcessArgs,
    /// Configuration to serve with, as PgBouncer takes it
    file: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
struct ProcessArgs {
    /// Run in the background; needs pidfile
    #[arg(short, long)]
    daemon: bool,
    /// Become this user of the system
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// What PgBouncer had until 1.25
    #[arg(short = 'R', long, hide = true)]
    reboot: bool,
}

impl ProcessArgs {
    fn options(self, output: Output) -> Result<RunOptions, clap::Error> {
        if self.reboot {
            return Err(Args::command().error(
                clap::error::ErrorKind::ArgumentConflict,
                "-R (--reboot) does not exist any more, as in PgBouncer since 1.26: start a second process with so_reuseport = 1 and [peers], then send the first one SIGTERM",
            ));
        }
        Ok(RunOptions {
            quiet: output.quiet,
            verbose: output.verbose,
            daemon: self.daemon,
            user: self.user,
        })
    }
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Output {
    /// Log nothing to standard error
    #[arg(short, long)]
    quiet: bool,
    /// Log more; may be repeated
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve
    #[command(
        after_help = "Without FILE: conf/pgweir.toml, then /etc/pgweir/pgweir.toml, then no file: every database is forwarded to PGHOST and PGPORT; with PGPASSWORD set the one user PGUSER (else USER) can log in with it, otherwise the server decides."
    )]
    Run {
        /// Configuration; a name that ends with .ini is read as PgBouncer's
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        process: ProcessArgs,
    },
    /// Check a configuration and list every mistake in it
    Check {
        /// Configuration; a name that ends with .ini is read as PgBouncer's
        file: PathBuf,
    },
    /// Write the TOML file that means the same as a pgbouncer.ini
    #[command(
        after_help = "The file is compared with what was read before it is written. Without -o it goes to standard output."
    )]
    Import {
        /// The pgbouncer.ini
        file: PathBuf,
        /// Where to; a file that exists is not overwritten
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print every configuration key with its type, default and meaning
    ConfigReference {
        /// As a configuration file with comments
        #[arg(long, conflicts_with = "markdown")]
        toml: bool,
        /// As a page of documentation (the default)
        #[arg(long)]
        markdown: bool,
    },
    /// Look for anti-patterns in files with SQL
    #[command(
        after_help = "Exit code: 0 nothing found, 1 findings at or above --severity, 2 something could not be read."
    )]
    Lint(LintArgs),
    /// Look for anti-patterns in what an audit trail tells of the past
    Replay(ReplayArgs),
    /// Explain a rule, or list all of them
    Explain {
        /// Its name, such as missing-where
        rule: Option<String>,
    },
    /// Work with files of the audit trail
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Watch a running pgweir: pools, servers, replicas, statements, findings, clients
    #[command(
        after_help = "Passwords come from PGPASSWORD or the file of PGPASSFILE (else ~/.pgpass), TLS from PGSSLMODE and PGSSLROOTCERT, as for psql. ? shows the keys."
    )]
    Top(TopArgs),
    /// Show what pgweir does on a small scene that it sets up by itself
    Demo,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Tell whether a line was removed or changed
    Verify {
        /// The file of audit_key_file, if the trail was written with one
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// Files in the order in which they were written
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Dispatch {
    /// Serve.
    Run {
        /// The configuration; `None`: see [`load`].
        config_path: Option<PathBuf>,
        /// Its language; `None`: its name tells.
        dialect: Option<Dialect>,
        /// How.
        options: RunOptions,
    },
    /// Check a configuration.
    Check(PathBuf),
    /// Write a pgbouncer.ini as TOML.
    Import {
        /// The pgbouncer.ini.
        file: PathBuf,
        /// Where to; `None` is standard output.
        output: Option<PathBuf>,
    },
    /// Print the reference of all keys.
    Reference(ReferenceFormat),
    /// Look for anti-patterns in files.
    Lint(LintArgs),
    /// Look for anti-patterns in what an audit trail tells of the past.
    Replay(ReplayArgs),
    /// Explain a rule, or list all of them.
    Explain(Option<String>),
    /// Check files of the audit trail, in the order in which they were written.
    AuditVerify(Vec<PathBuf>, Option<PathBuf>),
    /// Watch a running pgweir.
    Top(TopArgs),
    /// Run the demonstration.
    Demo,
}

/// How to serve, beyond the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Log nothing to standard error.
    pub quiet: bool,
    /// How much more to log than the configuration says: 1 is debug, 2 trace.
    pub verbose: u8,
    /// Run in the background.
    pub daemon: bool,
    /// Become this user of the system; it goes before the configuration's `user`.
    pub user: Option<String>,
}

/// Form of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceFormat {
    /// A configuration file with comments.
    Toml,
    /// A page of documentation.
    Markdown,
}

/// Reads the command line; the first argument is the program's name.
///
/// # Errors
/// A mistake of the caller's, or what `--help` and `--version` print; [`clap::Error::exit_code`]
/// tells which.
pub fn parse(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Dispatch, clap::Error> {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let name = args.first().map(Path::new).and_then(Path::file_name);
    if name.is_some_and(|name| name == "pgbouncer") {
        return pgbouncer::parse(args);
    }
    let matches = Args::command().try_get_matches_from(args)?;
    let args = Args::from_arg_matches(&matches)?;
    Ok(match args.command {
        Some(Command::Run {
            config,
            output,
            process,
        }) => Dispatch::Run {
            config_path: config,
            dialect: None,
            options: process.options(output)?,
        },
        Some(Command::Check { file }) => Dispatch::Check(file),
        Some(Command::Import { file, output }) => Dispatch::Import { file, output },
        Some(Command::ConfigReference { toml: true, .. }) => {
            Dispatch::Reference(ReferenceFormat::Toml)
        }
        Some(Command::ConfigReference { .. }) => Dispatch::Reference(ReferenceFormat::Markdown),
        Some(Command::Lint(args)) => Dispatch::Lint(args),
        Some(Command::Replay(args)) => Dispatch::Replay(args),
        Some(Command::Explain { rule }) => Dispatch::Explain(rule),
        Some(Command::Audit {
            command: AuditCommand::Verify { files, key_file },
        }) => Dispatch::AuditVerify(files, key_file),
        Some(Command::Top(args)) => Dispatch::Top(args),
        Some(Command::Demo) => Dispatch::Demo,
        None => match args.file {
            // After an option a command would be taken for a file.
            Some(file) if Args::command().find_subcommand(&file).is_some() => {
                return Err(Args::command().error(
                    clap::error::ErrorKind::ArgumentConflict,
                    format!("options stand after the command \"{}\"", file.display()),
                ));
            }
            Some(file) => Dispatch::Run {
                config_path: Some(file),
                dialect: None,
                options: args.process.options(args.output)?,
            },
            None => {
                return Err(Args::command().error(
                    clap::error::ErrorKind::MissingRequiredArgument,
                    "needs a configuration file or a command such as \"run\"",
                ));
            }
        },
    })
}

/// The configuration to serve with: `path` if it is given, else the first of [`CONFIG_PATHS`] that
/// exists, else [`Config::zero`]. Without `dialect` the name of the file tells its language.
///
/// # Errors
/// Every mistake of that configuration. A file that exists but is wrong is never passed over.
pub fn load(path: Option<&Path>, dialect: Option<Dialect>) -> Result<Config, ConfigErrors> {
    let found = CONFIG_PATHS.iter().map(Path::new).find(|p| p.exists());
    let path = path.or(found);
    let config = match path {
        Some(path) => Config::load_as(path, dialect.unwrap_or_else(|| Dialect::of(path)))?,
        None => Config::zero(|name| std::env::var(name).ok())?,
    };
    // Which rules there are is nothing that reading a file knows.
    let mut wrong = match policy::Policy::of(&config) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0,
    };
    if let Err(errors) = Wall::of(&config, None) {
        wrong.extend(errors.0);
    }
    if let Err(errors) = audit::Policy::of(&config) {
        wrong.extend(errors.0);
    }
    match wrong.is_empty() {
        true => Ok(config),
        false => Err(ConfigErrors(wrong)),
    }
}

/// Checks files of the audit trail. The exit code is 0 if all of them hold.
fn verify(
    files: &[PathBuf],
    key: Option<&Path>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> ExitCode {
    // Nothing is left to do if the output is closed.
    let key = key.map(Key::read).transpose();
    match key.and_then(|key| trail::verify(files, key.as_ref())) {
        Ok(checked) => {
            for (path, verified) in checked {
                let last = chain::show(&verified.last);
                let _ = writeln!(
                    out,
                    "{}: {} lines, intact, ends with {last}",
                    path.display(),
                    verified.lines
                );
            }
            ExitCode::SUCCESS
        }
        Err(broken) => {
            let _ = writeln!(err, "pgweir: {broken}");
            ExitCode::FAILURE
        }
    }
}

/// The whole program: reads the command line, answers what needs no server itself, and hands the
/// rest to `run` and `demo`.
pub fn main(
    run: impl FnOnce(Config, RunOptions) -> ExitCode,
    demo: impl FnOnce() -> ExitCode,
) -> ExitCode {
    let dispatch = match parse(std::env::args_os()) {
        Ok(dispatch) => dispatch,
        Err(error) => {
            // Nothing is left to do if standard error is closed.
            let _ = error.print();
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return ExitCode::from(pgbouncer::exit_code(std::env::args_os().next(), code));
        }
    };
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    match dispatch {
        Dispatch::Run {
            config_path,
            dialect,
            options,
        } => match load(config_path.as_deref(), dialect) {
            Ok(config) => run(config, options),
            Err(errors) => {
                let _ = writeln!(err, "{errors}");
                ExitCode::FAILURE
            }
        },
        Dispatch::Import { file, output } => {
            import::run(&file, output.as_deref(), &mut out, &mut err)
        }
        Dispatch::Check(path) => exit(check(&path, &mut out, &mut err)),
        Dispatch::Reference(format) => exit(print_reference(format, &mut out)),
        Dispatch::Lint(args) => offline::lint(&args),
        Dispatch::Replay(args) => offline::replay(&args),
        Dispatch::Explain(rule) => offline::explain(rule.as_deref()),
        Dispatch::AuditVerify(files, key) => verify(&files, key.as_deref(), &mut out, &mut err),
        Dispatch::Top(args) => top::run(&args),
        Dispatch::Demo => demo(),
    }
}

fn exit(result: std::io::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// Checks a configuration: `FILE: ok` on `out`, or every mistake on `err`, one per line. What is
/// valid but perhaps not meant so goes to `err` as well. Tells whether it is valid.
///
/// # Errors
/// Writing failed.
pub fn check(path: &Path, out: &mut dyn Write, err: &mut dyn Write) -> std::io::Result<bool> {
    match Config::load(path) {
        Ok(config) => {
            for warning in config.warnings() {
                writeln!(err, "{}: warning: {warning}", path.display())?;
            }
            writeln!(out, "{}: ok", path.display())?;
            Ok(true)
        }
        Err(errors) => {
            writeln!(err, "{errors}")?;
            Ok(false)
        }
    }
}

/// Prints the reference of all keys.
///
/// # Errors
/// Writing failed, for example because the reader of a pipe has left.
pub fn print_reference(format: ReferenceFormat, out: &mut dyn Write) -> std::io::Result<bool> {
    let text = match format {
        ReferenceFormat::Toml => reference::toml(),
        ReferenceFormat::Markdown => reference::markdown(),
    };
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Dispatch {
        parse(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn run(path: Option<&str>, quiet: bool, verbose: u8, daemon: bool) -> Dispatch {
        Dispatch::Run {
            config_path: path.map(PathBuf::from),
            dialect: None,
            options: RunOptions {
                quiet,
                verbose,
                daemon,
                user: None,
            },
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn commands() {
        assert_eq!(parsed("pgweir run"), run(None, false, 0, false));
        assert_eq!(
            parsed("pgweir run -q -c x.toml"),
            run(Some("x.toml"), true, 0, false)
        );
        assert_eq!(parsed("pgweir check x"), Dispatch::Check("x".into()));
        assert_eq!(parsed("pgweir demo"), Dispatch::Demo);
        assert_eq!(
            parsed("pgweir import p.ini -o w.toml"),
            Dispatch::Import {
                file: "p.ini".into(),
                output: Some("w.toml".into())
            }
        );
        assert_eq!(parsed("pgweir explain"), Dispatch::Explain(None));
        assert_eq!(
            parsed("pgweir lint --rules a,b --severity critical a.sql -"),
            Dispatch::Lint(LintArgs {
                files: vec!["a.sql".into(), "-".into()],
                rules: vec!["a".to_owned(), "b".to_owned()],
                severity: offline::Threshold::Critical,
                ..LintArgs::default()
            })
        );
        assert!(matches!(
            parsed("pgweir lint --cases a.jsonl --evaluate"),
            Dispatch::Lint(LintArgs { evaluate: true, .. })
        ));
        let reference = |line| match parsed(line) {
            Dispatch::Reference(format) => format,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            reference("pgweir config-reference"),
            ReferenceFormat::Markdown
        );
        assert_eq!(
            reference("pgweir config-reference --toml"),
            ReferenceFormat::Toml
        );
        assert_eq!(
            reference("pgweir config-reference --markdown"),
            ReferenceFormat::Markdown
        );
    }

    #[test]
    fn like_pgbouncer() {
        let ini = "/etc/pgbouncer/pgbouncer.ini";
        assert_eq!(
            parsed(&format!("pgweir {ini}")),
            run(Some(ini), false, 0, false)
        );
        assert_eq!(
            parsed(&format!("pgweir -q -d {ini}")),
            run(Some(ini), true, 0, true)
        );
        assert_eq!(
            parsed(&format!("pgweir -dvv {ini}")),
            run(Some(ini), false, 2, true)
        );
    }

    #[test]
    fn mistakes_and_help() {
        for line in [
            "pgweir",
            "pgweir -q",
            "pgweir check",
            "pgweir -x y",
            "pgweir -q run",
            "pgweir -R -d a.ini",
            "pgweir lint",
            "pgweir lint --format xml a.sql",
            "pgweir lint --evaluate a.sql",
            "pgweir lint --cases a.jsonl a.sql",
        ] {
            let error = parse(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        for line in ["pgweir --version", "pgweir -V", "pgweir --help"] {
            assert_eq!(
                parse(line.split(' ')).expect_err(line).exit_code(),
                0,
                "{line}"
            );
        }
    }

    #[test]
    fn check_prints_ok_or_every_mistake() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.toml");
        let file = path.display();
        let checked = |text: &str| {
            std::fs::write(&path, text).expect("written");
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let valid = check(&path, &mut out, &mut err).expect("memory takes it");
            let text = |bytes| String::from_utf8(bytes).expect("text");
            (valid, text(out), text(err))
        };
        let (valid, out, _) = checked("[databases.a]\n");
        assert_eq!((valid, out), (true, format!("{file}: ok\n")));
        let (valid, out, err) = checked("[pgweir]\nlisten_port = 0\npool_mod = 1\n");
        assert_eq!((valid, out.as_str()), (false, ""));
        assert_eq!(
            err,
            format!(
                "{file}:2: pgweir.listen_port: 0 is too small; at least 1\n{file}:3: pgweir.pool_mod: unknown key; did you mean pool_mode?\n"
            )
        );
    }

    #[test]
    fn the_reference_is_printed() {
        let mut out = Vec::new();
        print_reference(ReferenceFormat::Toml, &mut out).expect("memory takes it");
        assert!(String::from_utf8_lossy(&out).contains("\n#listen_port = 6432\n"));
    }
}
