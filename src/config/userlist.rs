//! The users file: names and stored secrets.
//!
//! ```text
//! ; a comment
//! "app" "SCRAM-SHA-256$4096:…"
//! "with ""quotes""" "a password"
//! ```
//!
//! Source: PgBouncer, "Authentication File Format". One user per line: two texts in double quotes,
//! a quote inside is doubled; what follows on the line is ignored. Empty lines and lines that
//! start with `;` or `#` are skipped. PgBouncer skips every other line too; here that is a
//! mistake, because a user who is missing without a word is hard to find.

use std::collections::HashMap;

use zeroize::Zeroizing;

/// One user of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct UserEntry {
    /// Login name.
    pub user: String,
    /// The secret as written: a password, an MD5 hash or a SCRAM verifier.
    pub secret: Zeroizing<String>,
    /// Line, counted from 1.
    pub line: u32,
}

impl std::fmt::Debug for UserEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserEntry")
            .field("user", &self.user)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// A line that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserListFault {
    /// Line, counted from 1.
    pub line: u32,
    /// What is wrong; never repeats a secret.
    pub message: String,
}

/// Reads the file's text: the users that are well-formed, and all mistakes, both by line.
pub fn parse(text: &str) -> (Vec<UserEntry>, Vec<UserListFault>) {
    let mut entries = Vec::new();
    let mut faults = Vec::new();
    let mut first_line: HashMap<String, u32> = HashMap::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        let mut fault = |message: String| {
            faults.push(UserListFault {
                line: number,
                message,
            });
        };
        match pair(line) {
            Err(why) => fault(why.to_owned()),
            Ok((user, _)) if user.is_empty() => fault("the name of the user is empty".into()),
            Ok((user, secret)) if user.contains('\0') || secret.contains('\0') => {
                fault("must not contain a zero byte".into());
            }
            Ok((user, secret)) => match first_line.get(&user) {
                Some(first) => fault(format!(
                    "the user {user:?} is there twice; the first is in line {first}"
                )),
                None => {
                    first_line.insert(user.clone(), number);
                    entries.push(UserEntry {
                        user,
                        secret,
                        line: number,
                    });
                }
            },
        }
    }
    (entries, faults)
}

fn pair(line: &str) -> Result<(String, Zeroizing<String>), &'static str> {
    let form = "expected \"user\" \"secret\", both in double quotes";
    let rest = line.strip_prefix('"').ok_or(form)?;
    let (user, rest) = quoted(rest).ok_or("the name of the user has no closing quote")?;
    if !rest.starts_with([' ', '\t']) {
        return Err(form);
    }
    let rest = rest.trim_start().strip_prefix('"').ok_or(form)?;
    let (secret, rest) = quoted(rest).ok_or("the secret has no closing quote")?;
    // A quote that was not doubled would cut the secret short and leave its tail here.
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return Err("a space must follow the secret; a quote inside it is written twice");
    }
    Ok((user.as_str().to_owned(), secret))
}

/// Reads up to the closing quote; a doubled one is part of the text.
fn quoted(text: &str) -> Option<(Zeroizing<String>, &str)> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        out.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                out.push('"');
                rest = more;
            }
            None => return Some((out, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_users() {
        let text = "; comment\n\n\"app\" \"secret\"\n  \"a\"\"b\"\t\"c \"\"d\"\"\" \"2030-01-01\"\n# end\n\"empty\" \"\"\n";
        let (entries, faults) = parse(text);
        assert_eq!(faults, []);
        let all: Vec<(&str, &str, u32)> = entries
            .iter()
            .map(|e| (e.user.as_str(), e.secret.as_str(), e.line))
            .collect();
        assert_eq!(
            all,
            [
                ("app", "secret", 3),
                ("a\"b", "c \"d\"", 4),
                ("empty", "", 6)
            ]
        );
    }

    #[test]
    fn reports_each_bad_line_without_the_secret() {
        let text = "app secret\n\"app\"\n\"app\" \"hidden\n\"app\"\"hidden\"\n\"\" \"hidden\"\n\"ok\" \"hidden\"\n\"ok\" \"hidden\"\n\"x\" \"hid\"den\"\n";
        let (entries, faults) = parse(text);
        assert_eq!(entries.len(), 1);
        let lines: Vec<u32> = faults.iter().map(|f| f.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 7, 8]);
        assert!(faults.iter().all(|f| !f.message.contains("hid")));
        assert!(!format!("{entries:?}").contains("hidden"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(user in "[^\0\r\n]{1,20}", secret in "[^\0\r\n]{0,20}") {
            let line = format!("\"{}\" \"{}\"\n", user.replace('"', "\"\""), secret.replace('"', "\"\""));
            let (entries, faults) = parse(&line);
            prop_assert_eq!(faults, vec![]);
            prop_assert_eq!(entries.len(), 1);
            prop_assert_eq!(&entries[0].user, &user);
            prop_assert_eq!(entries[0].secret.as_str(), secret.as_str());
        }

        #[test]
        fn no_text_panics(text in "[\"a \n;\0]{0,60}") {
            let _ = parse(&text);
        }
    }
}
