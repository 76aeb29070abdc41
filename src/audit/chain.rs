//! The chain that makes a missing or changed line of an audit file show.
//!
//! Each line is a JSON object whose last field, `chain`, is the SHA-256 of the chain value before it
//! and of the line up to that field. A file begins with a line that repeats the value with which
//! the file before it ended, so that a whole file that is missing shows too. What nobody can see
//! from the files alone is that lines are missing at the very end: keep the last value elsewhere if
//! that matters. Somebody who may write to the files can make the whole chain anew, unless it is made
//! with a [`Key`] that they do not have: then each value is an HMAC-SHA-256.

use std::fmt::Write as _;
use std::io::BufRead;

use ring::digest::{Context, SHA256};
use ring::hmac;

/// A value of the chain.
pub type Link = [u8; 32];

/// With what the first file of all begins.
pub const START: Link = [0; 32];

const FIELD: &str = ",\"chain\":\"";

/// A secret without which no chain can be made.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// Fewest bytes of a key.
const SHORTEST_KEY: usize = 16;

impl Key {
    /// The bytes of a file, white space at its ends left out.
    ///
    /// # Errors
    /// Fewer than 16 bytes could be guessed.
    pub fn new(secret: &[u8]) -> Result<Self, &'static str> {
        let secret = secret.trim_ascii();
        match secret.len() >= SHORTEST_KEY {
            true => Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret))),
            false => Err("it has fewer than 16 bytes; make one with: openssl rand -hex 32"),
        }
    }

    /// Reads a file; its content does not stay in memory.
    ///
    /// # Errors
    /// What is wrong, with the file's name.
    pub fn read(path: &std::path::Path) -> Result<Self, String> {
        let text = std::fs::read(path).map(zeroize::Zeroizing::new);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        Self::new(&text).map_err(|why| format!("{}: {why}", path.display()))
    }
}

/// Closes `line`, a JSON object without its last brace, with the chain's next value.
pub fn close(line: &mut String, before: &Link, key: Option<&Key>) -> Link {
    let link = next(line.as_bytes(), before, key);
    line.push_str(FIELD);
    for byte in link {
        let _ = write!(line, "{byte:02x}");
    }
    line.push_str("\"}");
    link
}

fn next(line: &[u8], before: &Link, key: Option<&Key>) -> Link {
    let mut link = START;
    if let Some(Key(key)) = key {
        let mut context = hmac::Context::with_key(key);
        context.update(before);
        context.update(line);
        link.copy_from_slice(context.sign().as_ref());
        return link;
    }
    let mut context = Context::new(&SHA256);
    context.update(before);
    context.update(line);
    let digest = context.finish();
    link.copy_from_slice(digest.as_ref());
    link
}

/// The chain value that a line says it has, and the line without it.
fn split(line: &str) -> Option<(&str, Link)> {
    let (rest, tail) = line.rsplit_once(FIELD)?;
    let hex = tail.strip_suffix("\"}")?;
    parse(hex).map(|link| (rest, link))
}

/// A chain value as it is printed.
#[must_use]
pub fn parse(hex: &str) -> Option<Link> {
    let hex = hex.as_bytes();
    let mut link = START;
    if hex.len() != 2 * link.len() {
        return None;
    }
    for (byte, pair) in link.iter_mut().zip(hex.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(link)
}

/// A chain value for people.
#[must_use]
pub fn show(link: &Link) -> String {
    link.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A line is not one that was written so.
    #[error("line {line}: {what}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// A file whose chain holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its lines.
    pub lines: usize,
    /// The value it begins with: the last of the file before it.
    pub first: Link,
    /// The value it ends with.
    pub last: Link,
}

/// Checks the chain of one file. With `before`, also that it goes on where another file ended.
///
/// # Errors
/// [`Broken`] with the first line that does not fit to the one before it.
pub fn verify(
    file: impl BufRead,
    before: Option<Link>,
    key: Option<&Key>,
) -> Result<Verified, Broken> {
    let mut at: Option<(Link, Link)> = None;
    let mut lines = 0;
    for line in file.lines() {
        let line = line?;
        lines += 1;
        let broken = |what| Broken::Line { line: lines, what };
        let (rest, link) = split(&line).ok_or_else(|| broken("it has no chain value"))?;
        let (first, previous) = match at {
            Some(at) => at,
            None => {
                let begins = begins_with(rest)
                    .ok_or_else(|| broken("the file does not begin with its opening line"))?;
                if before.is_some_and(|before| before != begins) {
                    return Err(broken("it does not go on where the file before it ended"));
                }
                (begins, begins)
            }
        };
        if next(rest.as_bytes(), &previous, key) != link {
            return Err(broken(match key {
                None => "it was changed, the line before it is missing, or it was made with a key",
                Some(_) => {
                    "it was changed, the line before it is missing, or it was made with another key"
                }
            }));
        }
        at = Some((first, link));
    }
    match at {
        Some((first, last)) => Ok(Verified { lines, first, last }),
        None => Err(Broken::Line {
            line: 0,
            what: "the file is empty",
        }),
    }
}

/// The chain value that an opening line repeats.
fn begins_with(line: &str) -> Option<Link> {
    let value: serde_json::Value = serde_json::from_str(&format!("{line}}}")).ok()?;
    (value.get("event")? == "opened")
        .then(|| parse(value.get("previous")?.as_str()?))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(lines: &[&str], before: &Link) -> (String, Link) {
        let mut out = String::new();
        let mut link = *before;
        let opening = format!("{{\"event\":\"opened\",\"previous\":\"{}\"", show(before));
        for line in std::iter::once(opening.as_str()).chain(lines.iter().copied()) {
            let mut line = line.to_owned();
            link = close(&mut line, &link, None);
            out.push_str(&line);
            out.push('\n');
        }
        (out, link)
    }

    #[test]
    fn an_untouched_file_verifies_and_the_next_goes_on() {
        let (one, last) = file(&["{\"n\":1", "{\"n\":2"], &START);
        let verified = verify(one.as_bytes(), Some(START), None).expect("intact");
        assert_eq!((verified.lines, verified.last), (3, last));
        let (two, _) = file(&["{\"n\":3"], &last);
        assert!(verify(two.as_bytes(), Some(last), None).is_ok());
        assert!(verify(two.as_bytes(), Some(START), None).is_err());
    }

    #[test]
    fn a_removed_changed_or_swapped_line_shows() {
        let (text, _) = file(&["{\"n\":1", "{\"n\":2", "{\"n\":3"], &START);
        let lines: Vec<&str> = text.lines().collect();
        let broken = |lines: &[&str]| match verify(lines.join("\n").as_bytes(), None, None) {
            Err(Broken::Line { line, .. }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(broken(&[lines[0], lines[2], lines[3]]), 2);
        assert_eq!(broken(&[lines[0], lines[2], lines[1], lines[3]]), 2);
        let changed = lines[2].replace("\"n\":2", "\"n\":9");
        assert_eq!(broken(&[lines[0], lines[1], &changed, lines[3]]), 3);
        assert_eq!(broken(&lines[1..]), 1);
    }

    #[test]
    fn without_the_key_no_chain_can_be_made() {
        let key = |text: &str| Key::new(text.as_bytes());
        assert!(key("too short").is_err());
        let (mine, other) = (key("0123456789abcdef\n"), key("0123456789abcdeF"));
        let (mine, other) = (mine.expect("a key"), other.expect("a key"));
        assert_eq!(format!("{mine:?}"), "Key");
        let mut line = format!("{{\"event\":\"opened\",\"previous\":\"{}\"", show(&START));
        close(&mut line, &START, Some(&mine));
        assert!(verify(line.as_bytes(), None, Some(&mine)).is_ok());
        for wrong in [None, Some(&other)] {
            let told = verify(line.as_bytes(), None, wrong).expect_err("not this key");
            assert!(told.to_string().contains("key"), "{told}");
        }
    }
}
