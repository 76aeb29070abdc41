//! Mistakes in a configuration: all of them, each with the place to mend it.

use std::fmt;

/// One mistake: where it is and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigError {
    /// File as the operator named it, or `environment`.
    pub file: String,
    /// Line, counted from 1; 0 when the mistake belongs to no line (a missing file, say).
    pub line: u32,
    /// Column in characters, counted from 1, where the format tells it.
    pub column: Option<u32>,
    /// The key, with its section: `pgweir.pool_mode`, `databases.app.port`. Empty when the mistake
    /// belongs to no key.
    pub key: String,
    /// What is wrong and what to write instead. Never contains a password.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// All mistakes of one configuration, in the order of the file. Displays one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// A single mistake that belongs to a whole file, not to a line of it.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![ConfigError {
            file: file.into(),
            line: 0,
            column: None,
            key: String::new(),
            message: message.into(),
        }])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
