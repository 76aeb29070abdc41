//! The log: lines for people or JSON for machines, to standard error or a file.
//!
//! A line for people looks like PgBouncer's, so that what reads those can read these:
//! `2026-01-02 03:04:05.678 UTC [pid] LOG message key=value`. Each line is one write, made by the
//! thread that logs.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};

mod export;
mod pgbouncer;
mod repeats;
mod syslog;

use export::Export;
use repeats::Limit;
use syslog::Syslog;

use crate::audit::lines::Line;
use crate::audit::outbox::Outbox;
use crate::calendar::utc_millis;
use crate::cli::RunOptions;
use crate::config::document::Dialect;
use crate::config::{Config, Settings};

/// How often is looked whether there is something to tell of repeats.
const TICK: Duration = Duration::from_secs(1);

/// Why logging cannot be set up as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `log_level` cannot be read.
    #[error(
        "log_level: {0}; write error, warn, info, debug, trace or a filter such as info,pgweir::pool=debug"
    )]
    Level(#[from] ParseError),
    /// `logfile` cannot be opened for appending.
    #[error("logfile {path}: {error}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Logging was set up before in this process.
    #[error("logging is set up already")]
    Twice,
}

/// How lines for people look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The message, then everything else as `key=value`.
    Fields,
    /// As PgBouncer writes them: client or server, database, user and address come first. The
    /// number is the port that is shown for unix sockets.
    PgBouncer(u16),
}

impl Style {
    /// The style that goes with a configuration: who has a `pgbouncer.ini` may have programs that
    /// read PgBouncer's log.
    pub fn of(config: &Config) -> Self {
        match config.dialect {
            Dialect::Toml => Style::Fields,
            Dialect::Ini => Style::PgBouncer(config.settings.listen_port),
        }
    }
}

/// Where lines go.
#[derive(Debug)]
enum Target {
    Nowhere,
    Stderr,
    File(File),
}

impl Target {
    fn open(logfile: Option<&Path>, quiet: bool) -> Result<Self, LoggingError> {
        match logfile {
            None if quiet => Ok(Target::Nowhere),
            None => Ok(Target::Stderr),
            Some(path) => File::options()
                .append(true)
                .create(true)
                .open(path)
                .map(Target::File)
                .map_err(|error| LoggingError::File {
                    path: path.to_owned(),
                    error,
                }),
        }
    }
}

/// The targets in force.
#[derive(Debug)]
struct Targets {
    main: Target,
    syslog: Option<Syslog>,
}

impl Targets {
    fn open(settings: &Settings, options: &RunOptions) -> Result<Self, LoggingError> {
        Ok(Self {
            main: Target::open(settings.logfile.as_deref(), options.quiet)?,
            syslog: Syslog::open(settings),
        })
    }
}

/// The targets in force, shared by whoever writes.
#[derive(Clone, Debug)]
struct Sink(Arc<Mutex<Targets>>);

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut targets = self.0.lock();
        if let Some(syslog) = &mut targets.syslog {
            syslog.send(&String::from_utf8_lossy(line), SystemTime::now());
        }
        match &mut targets.main {
            Target::Nowhere => Ok(line.len()),
            Target::Stderr => io::stderr().write(line),
            Target::File(file) => file.write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Sink;

    fn make_writer(&'a self) -> Sink {
        self.clone()
    }
}

/// Changes a running log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LoggingHandle {
    sink: Sink,
    filter: reload::Handle<EnvFilter, Registry>,
    limit: Limit,
    export: Export,
    options: RunOptions,
}

impl LoggingHandle {
    /// Lines that wait for whoever collects them.
    pub fn lines(&self) -> Arc<Outbox<Line>> {
        self.export.lines()
    }

    /// Takes `log_level`, `verbose`, `log_repeats`, `logfile` and `syslog` of a new configuration over and opens the file anew, which
    /// is how a file that was moved away by rotation is let go. `log_json` needs a restart.
    ///
    /// # Errors
    ///
    /// What could not be taken over; the log goes on as before in that respect.
    pub fn apply(&self, settings: &Settings) -> Result<(), LoggingError> {
        let filter = filter(settings, &self.options)?;
        let targets = Targets::open(settings, &self.options)?;
        *self.sink.0.lock() = targets;
        self.limit.set(settings.log_repeats);
        self.export.set(settings);
        self.filter.reload(filter).map_err(|_| LoggingError::Twice)
    }
}

impl LoggingHandle {
    /// Logs how often what was written `log_repeats` times came again, each time a period has passed.
    pub async fn tell_repeats(self) {
        let mut ticks = crate::timer::interval(TICK);
        loop {
            ticks.tick().await;
            self.limit.tell(Instant::now(), false);
        }
    }

    /// The same at once, at the end of the process.
    pub fn tell_all_repeats(&self) {
        self.limit.tell(Instant::now(), true);
    }
}

fn filter(settings: &Settings, options: &RunOptions) -> Result<EnvFilter, LoggingError> {
    let more = settings.verbose.saturating_add(options.verbose.into());
    let directives = match more {
        0 => &*settings.log_level,
        1 => "debug",
        _ => "trace",
    };
    Ok(EnvFilter::builder().parse(directives)?)
}

fn subscriber(
    settings: &Settings,
    options: &RunOptions,
    style: Style,
) -> Result<(impl Subscriber + Send + Sync + 'static, LoggingHandle), LoggingError> {
    let sink = Sink(Arc::new(Mutex::new(Targets::open(settings, options)?)));
    let (filter, handle) = reload::Layer::new(filter(settings, options)?);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(sink.clone())
        .with_ansi(false);
    let lines = match settings.log_json {
        true => lines.json().flatten_event(true).boxed(),
        false => lines.event_format(Human(style)).boxed(),
    };
    let limit = Limit::new(settings.log_repeats);
    let export = Export::new(settings);
    let lines = limit.before(lines.and_then(export.clone()));
    let handle = LoggingHandle {
        sink,
        limit,
        export,
        filter: handle,
        options: options.clone(),
    };
    Ok((Registry::default().with(filter).with(lines), handle))
}

/// Sets logging up for the process, with lines in this style. With `options.quiet` nothing goes to standard error; with
/// `options.verbose` the configured level does not count.
///
/// # Errors
///
/// The operator's mistakes: a level or a file that cannot be used.
pub fn init(
    settings: &Settings,
    options: &RunOptions,
    style: Style,
) -> Result<LoggingHandle, LoggingError> {
    let (subscriber, handle) = subscriber(settings, options, style)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Twice)?;
    Ok(handle)
}

/// Lines for people.
struct Human(Style);

/// PgBouncer's words for the levels.
fn word(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "LOG",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "NOISE",
    }
}

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut writer = OneLine(writer);
        let (now, pid) = (utc_millis(SystemTime::now()), std::process::id());
        let level = word(event.metadata().level());
        fmt::Write::write_fmt(&mut writer, format_args!("{now} UTC [{pid}] {level} "))?;
        if let Style::PgBouncer(port) = self.0 {
            let mut line = pgbouncer::Line::default();
            event.record(&mut line);
            line.write(&mut writer, port)?;
            return fmt::Write::write_str(&mut writer.0, "\n");
        }
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|s| s.from_root())
        {
            let extensions = span.extensions();
            match extensions.get::<FormattedFields<N>>() {
                Some(fields) if !fields.is_empty() => {
                    fmt::Write::write_fmt(
                        &mut writer,
                        format_args!("{}{{{fields}}}: ", span.name()),
                    )?;
                }
                _ => fmt::Write::write_fmt(&mut writer, format_args!("{}: ", span.name()))?,
            }
        }
        context
            .field_format()
            .format_fields(Writer::new(&mut writer), event)?;
        fmt::Write::write_str(&mut writer.0, "\n")
    }
}

/// Keeps a message on its line: what a peer says must not be able to look like a line of ours.
struct OneLine<'a>(Writer<'a>);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            match part.chars().next_back() {
                Some(last) if last.is_control() => {
                    let before = part.len() - last.len_utf8();
                    self.0.write_str(part.get(..before).unwrap_or_default())?;
                    match last {
                        '\n' => self.0.write_str("\n\t")?,
                        '\t' => self.0.write_char('\t')?,
                        other => write!(self.0, "{}", other.escape_default())?,
                    }
                }
                _ => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
