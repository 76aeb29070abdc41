//! A `pgbouncer.ini` to a [`Document`].
//!
//! Source: PgBouncer, "Configuration File". Comments are whole lines that start with `;` or `#`;
//! what follows a value on its line belongs to it. Values are not quoted, except inside the
//! connection strings of `[databases]` and `[users]`: there a value with spaces stands in single
//! quotes, a quote inside is doubled, and a backslash is a backslash.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::document::{Dialect, Document, Entry, Place, Raw, Section};
use super::suggest::nearest;

/// How deep `%include` may go.
const INCLUDE_DEPTH: usize = 10;
/// How many files one configuration may have.
const INCLUDE_FILES: usize = 1000;

const SECTIONS: [&str; 4] = ["databases", "pgbouncer", "users", "peers"];

/// Reads an ini; `include` gives the text of a file named by `%include`.
///
/// Mistakes of form are recorded in the document with all that could be read besides.
pub fn parse(
    file: &str,
    text: &str,
    include: &mut dyn FnMut(&Path) -> Result<Zeroizing<String>, String>,
) -> Document {
    let mut reader = Reader {
        document: Document::new(Dialect::Ini, file),
        section: None,
        include,
    };
    reader.read(0, text, 1);
    reader.document
}

/// The section that lines belong to at the moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Current {
    Process,
    Databases,
    Users,
    Peers,
    /// A section that was reported already; its lines are not.
    Unknown,
}

struct Reader<'i> {
    document: Document,
    section: Option<Current>,
    include: &'i mut dyn FnMut(&Path) -> Result<Zeroizing<String>, String>,
}

impl Reader<'_> {
    fn read(&mut self, file: usize, text: &str, depth: usize) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().enumerate() {
            let place = Place {
                file,
                line: u32::try_from(index + 1).unwrap_or(u32::MAX),
                column: None,
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with([';', '#']) {
                continue;
            }
            if let Some(rest) = line.strip_prefix("%include") {
                self.include(place, rest, depth);
            } else if line.starts_with('[') {
                self.open_section(place, line);
            } else {
                self.line(place, line);
            }
        }
    }

    fn include(&mut self, place: Place, rest: &str, depth: usize) {
        let name = rest.trim();
        let starts_with_space = rest.starts_with([' ', '\t']);
        if name.is_empty() || !starts_with_space {
            self.document
                .fault(place, "%include", "needs the name of a file");
            return;
        }
        if depth >= INCLUDE_DEPTH || self.document.files.len() >= INCLUDE_FILES {
            let message = format!(
                "too many levels or files; at most {INCLUDE_DEPTH} levels and {INCLUDE_FILES} files"
            );
            self.document.fault(place, "%include", message);
            return;
        }
        match (self.include)(Path::new(name)) {
            Ok(text) => {
                self.document.files.push(name.to_owned());
                let file = self.document.files.len() - 1;
                self.read(file, &text, depth + 1);
            }
            Err(why) => self
                .document
                .fault(place, "%include", format!("{name:?}: {why}")),
        }
    }

    fn open_section(&mut self, place: Place, line: &str) {
        let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        else {
            self.document.fault(
                place,
                "",
                "a section is written [name], with nothing after it",
            );
            self.section = Some(Current::Unknown);
            return;
        };
        self.section = Some(match name.trim() {
            "pgbouncer" => Current::Process,
            "databases" => Current::Databases,
            "users" => Current::Users,
            "peers" => Current::Peers,
            other => {
                let hint = match nearest(other, SECTIONS) {
                    Some(near) => format!("did you mean [{near}]?"),
                    None => "there are [databases], [users], [peers] and [pgbouncer]".into(),
                };
                let message = format!("unknown section; {hint}");
                self.document.fault(place, other, message);
                Current::Unknown
            }
        });
    }

    fn line(&mut self, place: Place, line: &str) {
        // Values may hold passwords: no message here repeats more than the key.
        let (key, value) = match split_line(line) {
            Ok(parts) => parts,
            Err(why) => {
                self.document.fault(place, "", why);
                return;
            }
        };
        match self.section {
            None => self.document.fault(
                place,
                key,
                "stands before the first section; write [pgbouncer] above it",
            ),
            Some(Current::Unknown) => {}
            Some(Current::Peers) => self.connection_string(place, Section::Peer(key), value),
            Some(Current::Process) => self.document.entries.push(Entry {
                section: Section::Process,
                key,
                value: Raw::Bare(Zeroizing::new(value.to_owned())),
                place,
            }),
            Some(Current::Databases) => {
                self.connection_string(place, Section::Database(key), value)
            }
            Some(Current::Users) => self.connection_string(place, Section::User(key), value),
        }
    }

    fn connection_string(&mut self, place: Place, section: Section, text: &str) {
        let (pairs, error) = connection_string(text);
        for (key, value) in pairs {
            self.document.entries.push(Entry {
                section: section.clone(),
                key,
                value: Raw::Bare(value),
                place,
            });
        }
        if let Some(why) = error {
            self.document.fault(place, section.path(""), why);
        }
        self.document.declared.push((section, place));
    }
}

/// Splits `key = value`; the key may be in double quotes, with a quote inside doubled.
fn split_line(line: &str) -> Result<(String, &str), String> {
    let (key, rest) = match line.strip_prefix('"') {
        Some(inside) => {
            let (name, rest) = quoted(inside, '"').ok_or("a name in quotes has no end")?;
            (name.as_str().to_owned(), rest)
        }
        None => {
            let end = line.find(['=', ' ', '\t']).unwrap_or(line.len());
            let (key, rest) = line.split_at(end);
            (key.to_owned(), rest)
        }
    };
    if key.is_empty() {
        return Err("there is no key before \"=\"".into());
    }
    match rest.trim_start().strip_prefix('=') {
        Some(value) => Ok((key, value.trim())),
        None => Err("expected \"key = value\", a section or a comment".into()),
    }
}

/// Reads up to the closing `quote`, a doubled one being part of it; gives that and what follows.
fn quoted(text: &str, quote: char) -> Option<(Zeroizing<String>, &str)> {
    // Room for all, so that no piece of a password stays behind in a smaller buffer.
    let mut name = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    loop {
        let at = rest.find(quote)?;
        let (part, after) = rest.split_at(at);
        name.push_str(part);
        let after = after.strip_prefix(quote)?;
        match after.strip_prefix(quote) {
            Some(more) => {
                name.push(quote);
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// Keys and values of a connection string.
pub type Pairs = Vec<(String, Zeroizing<String>)>;

/// Reads `key=value key='a value'`. Gives what could be read, and the mistake that ended it.
pub fn connection_string(text: &str) -> (Pairs, Option<String>) {
    let mut pairs = Pairs::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find(['=', ' ', '\t']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(value) = after
            .trim_start()
            .strip_prefix('=')
            .filter(|_| !key.is_empty())
        else {
            // What stands here may be the tail of a password with a space in it.
            let why = match pairs.last() {
                Some((last, _)) => format!(
                    "expected key=value after {last:?}; a value with spaces needs single quotes"
                ),
                None => "expected key=value pairs such as host=127.0.0.1 port=5432".into(),
            };
            return (pairs, Some(why));
        };
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('\'') {
            Some(inside) => match quoted(inside, '\'') {
                Some(parts) => parts,
                None => {
                    return (
                        pairs,
                        Some(format!("the quoted value of {key:?} has no end")),
                    );
                }
            },
            None => {
                let end = value.find([' ', '\t']).unwrap_or(value.len());
                let (value, after) = value.split_at(end);
                (Zeroizing::new(value.to_owned()), after)
            }
        };
        if value.is_empty() {
            return (pairs, Some(format!("{key:?} has no value")));
        }
        if !after.is_empty() && !after.starts_with([' ', '\t']) {
            return (
                pairs,
                Some(format!("a space must follow the quoted value of {key:?}")),
            );
        }
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    (pairs, None)
}

/// Where `%include` looks: like PgBouncer in the working directory, and when nothing is there,
/// beside the file that was named first.
pub fn include_candidates(main: &Path, name: &Path) -> Vec<PathBuf> {
    let beside = main.parent().map(|dir| dir.join(name));
    std::iter::once(name.to_path_buf()).chain(beside).collect()
}

#[cfg(test)]
mod tests;
