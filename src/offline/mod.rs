//! The commands that look at SQL without a server: `pgweir lint`, `pgweir replay`, `pgweir explain`.
//!
//! [`script`] lints files; [`case`], [`mod@replay`] and [`score`] run labelled cases through the code that
//! judges live traffic; [`trail`] plays an audit trail to it; [`explain()`] prints what the rules say of themselves.

pub mod case;
pub mod explain;
pub mod finding;
pub mod fix;
pub mod replay;
pub mod report;
pub mod sarif;
pub mod score;
pub mod script;
pub mod trail;

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::suggest;
use crate::lint::hit::Hit;
use crate::lint::registry;
use crate::lint::rule::{Rule, Severity};

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object per line.
    Json,
    /// SARIF 2.1.0, one document.
    Sarif,
}

/// The severity from which on findings are a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Threshold {
    /// Any finding.
    Info,
    /// What is worth changing.
    #[default]
    Warn,
    /// What loses data, blocks others or lets somebody in.
    Critical,
}

impl From<Threshold> for Severity {
    fn from(threshold: Threshold) -> Self {
        match threshold {
            Threshold::Info => Severity::Info,
            Threshold::Warn => Severity::Warn,
            Threshold::Critical => Severity::Critical,
        }
    }
}

/// What `pgweir lint` is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct LintArgs {
    /// Files with SQL; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "cases")]
    pub files: Vec<PathBuf>,
    /// How to print findings
    #[arg(long, value_enum, default_value_t, conflicts_with = "cases")]
    pub format: Format,
    /// Only these rules, those that are off by default included
    #[arg(long, value_name = "RULE,…", value_delimiter = ',')]
    pub rules: Vec<String>,
    /// Fail for findings of this severity and above
    #[arg(long, value_enum, default_value_t)]
    pub severity: Threshold,
    /// Change what can be changed safely, in the files themselves, and tell of the rest; - is written to
    /// standard output
    #[arg(long, conflicts_with = "cases")]
    pub fix: bool,
    /// Run labelled cases (JSON lines) instead of files
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    pub cases: Option<PathBuf>,
    /// Compare with what the cases expect
    #[arg(long, requires = "cases", conflicts_with = "files")]
    pub evaluate: bool,
}

/// Why nothing was judged.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Read(String, std::io::Error),
    /// A file cannot be changed.
    #[error("{0}: cannot be changed: {1}")]
    Change(String, std::io::Error),
    /// Nobody takes what is printed.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
    /// There is no such rule.
    #[error("there is no rule \"{0}\"{1}; pgweir explain lists all")]
    Rule(String, String),
    /// A case cannot be understood.
    #[error("{0}:{1}: {2}")]
    Case(String, usize, String),
}

/// No finding of the threshold or above.
const CLEAN: u8 = 0;
/// At least one.
const FOUND: u8 = 1;
/// Nothing can be said.
const FAILED: u8 = 2;

/// `pgweir lint`. The exit code is 0 without findings, 1 with some at or above the threshold, 2 if
/// something could not be read.
pub fn lint(args: &LintArgs) -> ExitCode {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let result = match &args.cases {
        Some(path) => cases(path, args, &mut out),
        None => files(args, &mut out, &mut std::io::stderr()),
    };
    end(result.and_then(|code| out.flush().map(|()| code).map_err(OfflineError::from)))
}

/// What `pgweir replay` is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ReplayArgs {
    /// Files of the audit trail in the order in which they were written; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// One JSON object per finding in the place of a table
    #[arg(long)]
    pub json: bool,
    /// Only these rules, those that are off by default included
    #[arg(long, value_name = "RULE,…", value_delimiter = ',')]
    pub rules: Vec<String>,
    /// Fail for findings of this severity and above
    #[arg(long, value_enum, default_value_t)]
    pub severity: Threshold,
}

/// `pgweir replay`. Exit codes as of [`lint`].
pub fn replay(args: &ReplayArgs) -> ExitCode {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let result = played(args, &mut out, &mut std::io::stderr());
    end(result.and_then(|code| out.flush().map(|()| code).map_err(OfflineError::from)))
}

fn played(args: &ReplayArgs, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8, OfflineError> {
    let mut player = trail::Player::new(chosen(&args.rules)?);
    for path in &args.files {
        let read = match path == Path::new("-") {
            true => player.play(&mut std::io::stdin().lock()),
            false => std::fs::File::open(path)
                .and_then(|file| player.play(&mut std::io::BufReader::new(file))),
        };
        read.map_err(|error| OfflineError::Read(path.display().to_string(), error))?;
    }
    let found = player.end();
    if args.json {
        for finding in &found {
            writeln!(out, "{}", finding.json())?;
        }
    } else {
        out.write_all(report::played(&found).as_bytes())?;
    }
    let tally = player.tally;
    writeln!(
        err,
        "{} lines, {} statements, {} findings",
        tally.lines,
        tally.statements,
        found.len()
    )?;
    for (count, what) in [
        (
            tally.unread,
            "lines are none of an audit trail and were passed over",
        ),
        (tally.missing, "lines are missing, the trail says"),
        (
            tally.sampled,
            "statements stand for others that were not written (audit_sample): sequences have holes",
        ),
    ] {
        if count > 0 {
            writeln!(err, "{count} {what}")?;
        }
    }
    if tally.lines > 0 && tally.unread == tally.lines {
        return Ok(FAILED);
    }
    let threshold = Severity::from(args.severity);
    let failed = found
        .iter()
        .any(|finding| finding.hit.severity >= threshold);
    Ok(if failed { FOUND } else { CLEAN })
}

/// `pgweir explain`. The exit code is 2 if there is no such rule.
pub fn explain(rule: Option<&str>) -> ExitCode {
    let mut out = std::io::stdout();
    let mut print = || {
        let text = match rule {
            Some(id) => explain::rule(find(id)?),
            None => explain::table(registry::all()),
        };
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(CLEAN)
    };
    end(print())
}

fn end(result: Result<u8, OfflineError>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The reader of a pipe who has seen enough is no reason to complain.
            let left = matches!(&error, OfflineError::Write(e) if e.kind() == std::io::ErrorKind::BrokenPipe);
            if !left {
                let _ = writeln!(std::io::stderr(), "pgweir: {error}");
            }
            ExitCode::from(FAILED)
        }
    }
}

/// The rule of this name.
fn find(id: &str) -> Result<&'static Rule, OfflineError> {
    registry::find(id.trim()).ok_or_else(|| {
        let names = registry::all().iter().map(|rule| rule.id);
        let hint = suggest::nearest(id, names).map(|name| format!("; did you mean {name}?"));
        OfflineError::Rule(id.to_owned(), hint.unwrap_or_default())
    })
}

/// The rules to look for.
pub struct Chosen {
    rules: Vec<&'static Rule>,
    /// Somebody named them: then kinds that are off by default count too.
    named: bool,
}

impl Chosen {
    fn wants(&self, hit: &Hit) -> bool {
        self.rules.contains(&hit.rule) && (self.named || hit.rule.speaks(hit.kind))
    }
}

/// The rules to look for: those named, else those that are on, be it in some kinds only.
fn chosen(names: &[String]) -> Result<Chosen, OfflineError> {
    let rules = match names.is_empty() {
        true => (registry::all().iter().copied())
            .filter(|rule| rule.on || rule.kinds.iter().any(|kind| kind.on == Some(true)))
            .collect(),
        false => names
            .iter()
            .map(|name| find(name))
            .collect::<Result<_, _>>()?,
    };
    Ok(Chosen {
        rules,
        named: !names.is_empty(),
    })
}

fn read(path: &Path) -> Result<(String, Vec<u8>), OfflineError> {
    let (name, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let result = std::io::stdin().lock().read_to_end(&mut bytes);
        ("<stdin>".to_owned(), result.map(|_| bytes))
    } else {
        (path.display().to_string(), std::fs::read(path))
    };
    match bytes {
        Ok(bytes) => Ok((name, bytes)),
        Err(error) => Err(OfflineError::Read(name, error)),
    }
}

fn files(args: &LintArgs, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8, OfflineError> {
    let chosen = chosen(&args.rules)?;
    let lint = |text: &str| {
        let mut linted = script::lint(text, &chosen.rules);
        linted.findings.retain(|found| chosen.wants(&found.hit));
        linted
    };
    let threshold = Severity::from(args.severity);
    let mut code = CLEAN;
    let mut sources = Vec::new();
    for path in &args.files {
        // The other files are still worth looking at.
        let (name, bytes) = match read(path) {
            Ok(source) => source,
            Err(error) => {
                writeln!(err, "pgweir: {error}")?;
                code = FAILED;
                continue;
            }
        };
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|error| error.into_bytes().iter().map(|&b| char::from(b)).collect());
        let mut text = text;
        let mut linted = lint(&text);
        if args.fix {
            let fixes = fix::fixes(&text, &linted.findings);
            let fixed = fix::apply(&text, &fixes);
            let lines = report::Lines::of(&text);
            for fix in &fixes {
                let (line, column) = lines.position(fix.start);
                writeln!(err, "{name}:{line}:{column}: fixed: {}", fix.rule)?;
            }
            if path == Path::new("-") {
                out.write_all(fixed.as_bytes())?;
            } else if !fixes.is_empty()
                && let Err(error) = replace(path, &fixed)
            {
                writeln!(err, "pgweir: {}", OfflineError::Change(name.clone(), error))?;
                code = FAILED;
                continue;
            }
            linted = lint(&fixed);
            text = fixed;
        }
        // Standard output has the file.
        if args.fix && path == Path::new("-") {
            let found = linted.findings.iter().any(|f| f.hit.severity >= threshold);
            if found && code == CLEAN {
                code = FOUND;
            }
            continue;
        }
        let lines = report::Lines::of(&text);
        for skipped in &linted.skipped {
            let (line, column) = lines.position(skipped.at);
            writeln!(err, "{name}:{line}:{column}: skipped: {}", skipped.reason)?;
        }
        let found = linted.findings.iter().any(|f| f.hit.severity >= threshold);
        if found && code == CLEAN {
            code = FOUND;
        }
        let source = report::Source {
            name,
            text,
            findings: linted.findings,
        };
        match args.format {
            Format::Text => {
                let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let colour = !plain && std::io::stdout().is_terminal();
                out.write_all(report::text(&source, colour).as_bytes())?;
            }
            Format::Json => out.write_all(report::json(&source).as_bytes())?,
            Format::Sarif => sources.push(source),
        }
    }
    if args.format == Format::Sarif {
        writeln!(out, "{}", sarif::document(&sources, registry::all()))?;
    }
    Ok(code)
}

/// Puts a new text in the place of a file, all of it or nothing, with the file's mode. A link stays one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let mode = std::fs::metadata(&path)?.permissions();
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".pgweir-{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.set_permissions(mode)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&beside, &path));
    if written.is_err() {
        // What is left of it is of no use.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// Cases are judged with every rule, whatever its default.
fn cases(path: &Path, args: &LintArgs, out: &mut dyn Write) -> Result<u8, OfflineError> {
    let rules = match args.rules.is_empty() {
        true => registry::all().to_vec(),
        false => chosen(&args.rules)?.rules,
    };
    let (name, bytes) = read(path)?;
    let mut score = score::Score::default();
    for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let case = case::read(line)
            .map_err(|error| OfflineError::Case(name.clone(), number + 1, error))?;
        let mut hits = replay::run(&case);
        hits.retain(|hit| rules.contains(&hit.rule));
        writeln!(out, "{}", finding::case_line(&case.id, &hits))?;
        score.add(&case, &hits, &rules);
    }
    if args.evaluate {
        writeln!(out, "\n{}", score.report().trim_end())?;
    }
    // Findings are what cases are made of; a mismatch is what somebody wants to hear of.
    Ok(if args.evaluate && !score.is_perfect() {
        FOUND
    } else {
        CLEAN
    })
}

#[cfg(test)]
mod tests;
