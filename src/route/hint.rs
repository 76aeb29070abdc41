//! Where an application wants a statement to run: a comment in it
//! (`/* pgweir: route=replica */`), or the session's parameter `pgweir.route`.

use memchr::memmem;

use crate::sql::{self, Lexing};

/// A wish. It is never followed against what a statement needs: what may write goes to the primary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    /// None: as the configuration says.
    #[default]
    Auto,
    /// To the primary.
    Primary,
    /// To any replica, also where the policy keeps reads on the primary.
    Replica,
    /// To this server, `host` or `host:port`.
    Server(Box<str>),
}

impl Hint {
    /// The wish of this word: `auto`, `primary`, `replica`, or a server.
    #[must_use]
    pub fn parse(word: &str) -> Hint {
        let word = word.trim();
        match word.to_ascii_lowercase().as_str() {
            "" | "auto" | "any" => Hint::Auto,
            "primary" | "master" | "rw" => Hint::Primary,
            "replica" | "standby" | "ro" => Hint::Replica,
            _ => Hint::Server(word.into()),
        }
    }

    /// What the comments of a text ask for, if they do. Next to nothing is done for a text that has
    /// no such word.
    #[must_use]
    pub fn of_text(text: &[u8], lexing: Lexing) -> Option<Hint> {
        memmem::find(text, b"pgweir:")?;
        sql::comments(text, lexing)
            .into_iter()
            .find_map(|(start, end)| {
                let comment = text.get(start as usize..end as usize)?;
                let comment = String::from_utf8_lossy(comment);
                let (_, said) = comment.split_once("pgweir:")?;
                let (_, word) = said.split_once("route=")?;
                let end =
                    word.find(|c: char| c.is_whitespace() || matches!(c, '*' | ',' | ';' | '\''));
                Some(Hint::parse(word.get(..end.unwrap_or(word.len()))?))
            })
    }

    /// Whether a server of this name (`host:port`) is meant.
    #[must_use]
    pub fn means(&self, server: &str) -> bool {
        match self {
            Hint::Server(name) => {
                **name == *server
                    || (server.rsplit_once(':')).is_some_and(|(host, _)| host == &**name)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_say_where() {
        let of = |text: &str| Hint::of_text(text.as_bytes(), Lexing::default());
        assert_eq!(
            of("/* pgweir: route=primary */ SELECT 1"),
            Some(Hint::Primary)
        );
        assert_eq!(of("SELECT 1 -- pgweir: route=replica"), Some(Hint::Replica));
        assert_eq!(of("SELECT 1 /*pgweir:route=Auto*/"), Some(Hint::Auto));
        assert_eq!(
            of("/* pgweir: route=db2:5433, because */ SELECT 1"),
            Some(Hint::Server("db2:5433".into()))
        );
        assert_eq!(of("SELECT 1 /* pgweir: hello */"), None);
        assert_eq!(of("SELECT 'pgweir: route=primary'"), None, "no comment");
        assert_eq!(of("SELECT 1 /* other */"), None);
    }

    #[test]
    fn servers_are_meant_with_their_port_or_without() {
        let hint = Hint::parse("db2");
        assert!(hint.means("db2:5432") && !hint.means("db20:5432"));
        let hint = Hint::parse("10.0.0.7:5433");
        assert!(hint.means("10.0.0.7:5433") && !hint.means("10.0.0.7:5432"));
        assert!(!Hint::Replica.means("replica:1"));
    }
}
