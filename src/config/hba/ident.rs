//! Which names of the operating system or of certificates are which users: a file in the form of
//! `pg_ident.conf`.
//!
//! ```text
//! # map   name elsewhere     user here
//! mine    root               postgres
//! corp    /^(.*)@corp\.de$   \1
//! ```
//!
//! Source: PostgreSQL manual, "User Name Maps".

use regex::Regex;

use super::Fault;
use super::words::words;

#[derive(Clone, Debug)]
enum System {
    Is(String),
    Like(Regex),
}

#[derive(Clone, Debug)]
enum User {
    All,
    Is(String),
    Like(Regex),
}

#[derive(Clone, Debug)]
struct Line {
    map: String,
    system: System,
    user: User,
}

/// A file that was read.
#[derive(Clone, Debug, Default)]
pub struct Ident {
    lines: Vec<Line>,
}

impl PartialEq for Ident {
    fn eq(&self, other: &Self) -> bool {
        format!("{:?}", self.lines) == format!("{:?}", other.lines)
    }
}

impl Eq for Ident {}

impl Ident {
    /// Reads a file's text.
    ///
    /// # Errors
    /// Every line that cannot be used.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let (mut ident, mut faults) = (Self::default(), Vec::new());
        for (number, fields) in words(text) {
            let read = fields.and_then(|fields| {
                let fields: Vec<_> = fields.into_iter().flatten().collect();
                let [map, system, user] = fields.as_slice() else {
                    return match fields.is_empty() {
                        true => Ok(None),
                        false => {
                            Err("three words are wanted: map, name elsewhere, user".to_owned())
                        }
                    };
                };
                let pattern = |text: &str| {
                    let pattern = text.strip_prefix('/')?;
                    Some(
                        Regex::new(pattern)
                            .map_err(|error| format!("{text} is no pattern: {error}")),
                    )
                };
                let system = match pattern(&system.text).filter(|_| !system.quoted) {
                    Some(read) => System::Like(read?),
                    None => System::Is(system.text.clone()),
                };
                let user = match pattern(&user.text).filter(|_| !user.quoted) {
                    Some(read) => User::Like(read?),
                    None if user.text == "all" && !user.quoted => User::All,
                    None if user.text.starts_with('+') && !user.quoted => {
                        return Err(format!(
                            "{} asks who is a member of what, which only the server knows",
                            user.text
                        ));
                    }
                    None => User::Is(user.text.clone()),
                };
                Ok(Some(Line {
                    map: map.text.clone(),
                    system,
                    user,
                }))
            });
            match read {
                Ok(line) => ident.lines.extend(line),
                Err(message) => faults.push(Fault {
                    line: number,
                    message,
                }),
            }
        }
        match faults.is_empty() {
            true => Ok(ident),
            false => Err(faults),
        }
    }

    /// Whether there is a map of this name.
    #[must_use]
    pub fn has(&self, map: &str) -> bool {
        self.lines.iter().any(|line| line.map == map)
    }

    /// Whether whoever is called `system` elsewhere may be `user` here.
    #[must_use]
    pub fn allows(&self, map: &str, system: &str, user: &str) -> bool {
        (self.lines.iter()).any(|line| line.map == map && line.allows(system, user))
    }
}

impl Line {
    fn allows(&self, system: &str, user: &str) -> bool {
        // `\1` is what the first group of the pattern found.
        let group = match &self.system {
            System::Is(name) if name == system => None,
            System::Is(_) => return false,
            System::Like(pattern) => match pattern.captures(system) {
                Some(found) => found.get(1).map(|group| group.as_str()),
                None => return false,
            },
        };
        match &self.user {
            User::All => true,
            User::Is(name) => match (name.contains("\\1"), group) {
                (true, Some(group)) => name.replacen("\\1", group, 1) == user,
                (true, None) => false,
                (false, _) => name == user,
            },
            User::Like(pattern) => pattern.is_match(user),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_elsewhere_become_users() {
        let text = "# a comment\nmine root postgres\nmine root \"all\"\ncorp /^(.*)@corp\\.de$ \\1\nany someone all\nsome /^a /^app_\n";
        let ident = Ident::parse(text).expect("valid");
        for (map, system, user, expected) in [
            ("mine", "root", "postgres", true),
            ("mine", "root", "all", true),
            ("mine", "root", "web", false),
            ("mine", "postgres", "postgres", false),
            ("corp", "ann@corp.de", "ann", true),
            ("corp", "ann@corp.de", "bob", false),
            ("corp", "ann@corpxde", "ann", false),
            ("any", "someone", "whoever", true),
            ("some", "abc", "app_1", true),
            ("some", "abc", "web", false),
            ("other", "root", "postgres", false),
        ] {
            assert_eq!(
                ident.allows(map, system, user),
                expected,
                "{map} {system} {user}"
            );
        }
        assert!(ident.has("corp") && !ident.has("other"));
        let faults =
            Ident::parse("mine root\nmine /( x\nmine root +staff\n").expect_err("mistakes");
        assert_eq!(
            faults.iter().map(|fault| fault.line).collect::<Vec<_>>(),
            [1, 2, 3]
        );
    }
}
