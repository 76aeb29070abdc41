//! What a configuration file says before anybody asks whether it makes sense: keys, values, lines.
//!
//! [`file`](super::file) and [`ini`](super::ini) both produce a [`Document`];
//! [`compile`](super::compile) reads it with the one table of keys.

use zeroize::Zeroizing;

use super::errors::ConfigError;

/// Which language a configuration was written in. It decides the defaults and how text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// pgweir's own file.
    Toml,
    /// A `pgbouncer.ini`.
    Ini,
}

impl Dialect {
    /// The dialect of a file by the ending of its name: `.ini` is PgBouncer's, all else TOML.
    pub fn of(path: &std::path::Path) -> Self {
        let ini = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("ini"));
        if ini { Dialect::Ini } else { Dialect::Toml }
    }
}

/// A place in one of the files of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index into [`Document::files`].
    pub file: usize,
    /// Line, counted from 1; 0 for none.
    pub line: u32,
    /// Column in characters, counted from 1, if known.
    pub column: Option<u32>,
}

/// The part of the configuration that a key belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The process: `[pgweir]`, in an ini `[pgbouncer]`.
    Process,
    /// One database by the name clients use, `*` for the fallback.
    Database(String),
    /// One user by login name.
    User(String),
    /// Another process on the same port, by its number as written.
    Peer(String),
}

impl Section {
    /// The full name of `key` in this section, as errors show it.
    pub fn path(&self, key: &str) -> String {
        let (section, name) = match self {
            Section::Process => return format!("pgweir.{key}"),
            Section::Database(name) => ("databases", name),
            Section::User(name) => ("users", name),
            Section::Peer(name) => ("peers", name),
        };
        let plain = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let dot = if key.is_empty() { "" } else { "." };
        if plain {
            format!("{section}.{name}{dot}{key}")
        } else {
            format!("{section}.\"{}\"{dot}{key}", name.escape_debug())
        }
    }
}

/// A value as written.
#[derive(Clone, PartialEq)]
pub enum Raw {
    /// Text of an ini, where everything is text.
    Bare(Zeroizing<String>),
    /// TOML text.
    Text(Zeroizing<String>),
    /// TOML integer; `octal` if it was written `0o…`.
    Int {
        /// The number.
        value: i64,
        /// Whether it was written in octal.
        octal: bool,
    },
    /// TOML float.
    Float(f64),
    /// TOML boolean.
    Bool(bool),
    /// TOML array.
    List(Vec<Raw>),
    /// TOML table, with the place of each key.
    Table(Vec<(String, Raw, Place)>),
    /// A TOML value that no key of ours takes; the text names its kind.
    Other(&'static str),
}

impl Raw {
    /// What kind of value this is, for error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Raw::Bare(_) | Raw::Text(_) => "text",
            Raw::Int { .. } => "a whole number",
            Raw::Float(_) => "a number with a fraction",
            Raw::Bool(_) => "a boolean",
            Raw::List(_) => "a list",
            Raw::Table(_) => "a table",
            Raw::Other(kind) => kind,
        }
    }
}

/// Values can be passwords, so only their kind is shown.
impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Raw({})", self.kind())
    }
}

/// One `key = value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it belongs.
    pub section: Section,
    /// The key as written.
    pub key: String,
    /// The value as written.
    pub value: Raw,
    /// Where it is written.
    pub place: Place,
}

/// A whole configuration, read but not yet judged.
#[derive(Clone, Debug)]
pub struct Document {
    /// The language it is written in.
    pub dialect: Dialect,
    /// The files it was read from, as shown in errors; the first is the one that was named.
    pub files: Vec<String>,
    /// Databases and users that are declared, also those without any key.
    pub declared: Vec<(Section, Place)>,
    /// All keys, in the order of the files.
    pub entries: Vec<Entry>,
    /// What names rules: `rules` and `override` of `[lint]`.
    pub lint: Vec<Entry>,
    /// `override` of `[audit]`.
    pub audit: Vec<Entry>,
    /// Mistakes of form found while reading.
    pub errors: Vec<ConfigError>,
}

impl Document {
    /// An empty document of one file.
    pub fn new(dialect: Dialect, file: impl Into<String>) -> Self {
        Self {
            dialect,
            files: vec![file.into()],
            declared: Vec::new(),
            entries: Vec::new(),
            lint: Vec::new(),
            audit: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Makes the error for a mistake at `place`.
    pub fn error_at(
        &self,
        place: Place,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            file: self.files.get(place.file).cloned().unwrap_or_default(),
            line: place.line,
            column: place.column,
            key: key.into(),
            message: message.into(),
        }
    }

    /// Records a mistake at `place`.
    pub fn fault(&mut self, place: Place, key: impl Into<String>, message: impl Into<String>) {
        let error = self.error_at(place, key, message);
        self.errors.push(error);
    }
}
