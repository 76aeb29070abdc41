//! Names of databases and users in a line.

use regex::Regex;

use super::Asking;
use super::words::{Word, words};

/// One word of a field.
#[derive(Clone, Debug)]
pub(super) enum Name {
    All,
    SameUser,
    /// A role that is called as the database, of which the user is a member.
    SameRole,
    Replication,
    Is(String),
    Like(Regex),
    /// Members of a role.
    MemberOf(String),
}

/// Whether it is so for one of them; `None` if that is not known.
pub(super) fn any(names: &[Name], fits: impl Fn(&Name) -> Option<bool>) -> Option<bool> {
    let mut known = true;
    for name in names {
        match fits(name) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => known = false,
        }
    }
    known.then_some(false)
}

/// Whether the client is a member of `role`. Superusers are members of what was granted to them only.
fn member(asking: &Asking<'_>, role: &str) -> Option<bool> {
    let roles = asking.roles?;
    Some(roles.iter().any(|one| one == role))
}

impl Name {
    /// Whether the database is meant that the client asks for; `None` if roles decide it.
    pub(super) fn database(&self, asking: &Asking<'_>) -> Option<bool> {
        Some(match self {
            Name::Replication => asking.physical,
            // `all` does not mean replication, as in PostgreSQL.
            _ if asking.physical => false,
            Name::All => true,
            Name::SameUser => asking.database == asking.user,
            Name::SameRole => return member(asking, asking.database),
            Name::Is(name) => name == asking.database,
            Name::Like(pattern) => pattern.is_match(asking.database),
            Name::MemberOf(_) => false,
        })
    }

    /// Whether the client's user is meant; `None` if roles decide it.
    pub(super) fn user(&self, asking: &Asking<'_>) -> Option<bool> {
        Some(match self {
            Name::All => true,
            Name::Is(name) => name == asking.user,
            Name::Like(pattern) => pattern.is_match(asking.user),
            Name::MemberOf(role) => return member(asking, role),
            Name::SameUser | Name::SameRole | Name::Replication => false,
        })
    }

    pub(super) fn asks_for_roles(&self) -> bool {
        matches!(self, Name::SameRole | Name::MemberOf(_))
    }

    /// Whether a client of this database can be meant.
    pub(super) fn may_mean(&self, database: &str) -> bool {
        match self {
            Name::All | Name::SameUser | Name::SameRole | Name::Replication => true,
            Name::Is(name) => name == database,
            Name::Like(pattern) => pattern.is_match(database),
            Name::MemberOf(_) => false,
        }
    }

    /// The name itself, if it is one.
    pub(super) fn named(&self) -> Option<&str> {
        match self {
            Name::Is(name) => Some(name),
            _ => None,
        }
    }
}

/// The names of a field. What stands in quotes is a name, whatever it says.
pub(super) fn names(
    field: Vec<Word>,
    databases: bool,
    files: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Vec<Name>, String> {
    let mut found = Vec::new();
    for word in field {
        if word.quoted {
            found.push(Name::Is(word.text));
            continue;
        }
        match word.text.as_str() {
            "all" => found.push(Name::All),
            "sameuser" if databases => found.push(Name::SameUser),
            "replication" if databases => found.push(Name::Replication),
            "samerole" | "samegroup" if databases => found.push(Name::SameRole),
            text => match text.split_at_checked(1) {
                Some(("+", role)) if !databases => found.push(Name::MemberOf(role.to_owned())),
                Some(("@", file)) => {
                    let text = files(file)?;
                    for (line, words) in words(&text) {
                        let words = words.map_err(|why| format!("@{file}, line {line}: {why}"))?;
                        found.extend(
                            words
                                .into_iter()
                                .flatten()
                                .map(|word| of_file(word, databases)),
                        );
                    }
                }
                Some(("/", pattern)) => {
                    let pattern = Regex::new(pattern)
                        .map_err(|error| format!("{text} is no pattern: {error}"))?;
                    found.push(Name::Like(pattern));
                }
                _ => found.push(Name::Is(word.text)),
            },
        }
    }
    Ok(found)
}

/// A name in a file. It may be that of a role, as in PostgreSQL; taken for a user's, a line that rejects
/// would let its members in.
fn of_file(word: Word, databases: bool) -> Name {
    match word.text.strip_prefix('+') {
        Some(role) if !word.quoted && !databases => Name::MemberOf(role.to_owned()),
        _ => Name::Is(word.text),
    }
}
