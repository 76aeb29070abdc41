//! Whose statements are written to the audit trail, and which of them.

use std::fmt::Write as _;

use crate::config::{Config, ConfigErrors};
use crate::lint::facts::{Command, Facts};
use crate::lint::observe::{Event, Execution, Subject};

/// Which statements are written down; each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Statements {
    #[default]
    None,
    /// Changes of roles and of what they may do.
    Roles,
    /// Schema changes.
    Ddl,
    /// Everything that may write.
    Writes,
    /// Everything.
    All,
}

/// Which logins are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Logins {
    #[default]
    None,
    Failed,
    /// Logouts too.
    All,
}

/// What is written down of somebody: the words of `audit_policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    statements: Statements,
    logins: Logins,
}

const WORDS: [&str; 7] = [
    "off",
    "roles",
    "ddl",
    "writes",
    "all",
    "failed-logins",
    "logins",
];

impl Kinds {
    /// Reads words with commas between them.
    ///
    /// # Errors
    /// What is wrong, for the user.
    pub fn parse(words: &str) -> Result<Self, String> {
        let mut found = Self::default();
        let (mut off, mut several) = (false, 0);
        for word in words
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            several += 1;
            let (statements, logins) = match word {
                "off" => {
                    off = true;
                    (Statements::None, Logins::None)
                }
                "roles" => (Statements::Roles, Logins::None),
                "ddl" => (Statements::Ddl, Logins::None),
                "writes" => (Statements::Writes, Logins::None),
                "all" => (Statements::All, Logins::None),
                "failed-logins" => (Statements::None, Logins::Failed),
                "logins" => (Statements::None, Logins::All),
                _ => return Err(format!("{word:?} is none of {}", WORDS.join(", "))),
            };
            found.statements = found.statements.max(statements);
            found.logins = found.logins.max(logins);
        }
        if off && several > 1 {
            return Err("\"off\" stands alone".to_owned());
        }
        if several == 0 {
            return Err(format!("is empty; there are {}", WORDS.join(", ")));
        }
        // Who wants to know what is done wants to know by whom.
        if found.logins == Logins::None && !off {
            found.logins = Logins::All;
        }
        Ok(found)
    }

    /// Whether this is written down. A statement of which nothing is known is taken for anything.
    #[must_use]
    pub fn cover(self, event: &Event) -> bool {
        match event {
            Event::Connected { .. } | Event::Disconnected => self.logins == Logins::All,
            Event::LoginFailed { .. } => self.logins >= Logins::Failed,
            // Rare, and what an auditor asks first.
            Event::Commanded { .. } => {
                self.logins > Logins::None || self.statements > Statements::None
            }
            // It did not run, whatever is written down of what does.
            Event::Refused { .. } => self.statements > Statements::None,
            Event::Executed(execution) => needed(execution) <= self.statements,
        }
    }
}

/// From which level on a statement is written down.
fn needed(execution: &Execution) -> Statements {
    let of = |facts: &Facts| match facts.command {
        _ if facts.roles => Statements::Roles,
        Command::Ddl | Command::Other => Statements::Ddl,
        Command::Insert | Command::Update | Command::Delete | Command::Merge | Command::Copy => {
            Statements::Writes
        }
        _ if !facts.writes.is_empty() => Statements::Writes,
        _ => Statements::All,
    };
    let facts = execution.profile.facts.iter();
    let opaque = (execution.profile.facts.is_empty()).then_some(Statements::Roles);
    facts.map(of).chain(opaque).min().unwrap_or(Statements::All)
}

/// What is written down of one client, and one of how many of its statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective {
    /// What.
    pub kinds: Kinds,
    /// One of how many; 1 for each.
    pub sample: u32,
}

#[derive(Clone, Debug)]
struct Override {
    database: Option<Box<str>>,
    user: Option<Box<str>>,
    kinds: Option<Kinds>,
    sample: Option<u32>,
}

/// What is written down of whom.
#[derive(Clone, Debug)]
pub struct Policy {
    general: Effective,
    overrides: Vec<Override>,
}

impl Policy {
    /// What the configuration says.
    ///
    /// # Errors
    /// All mistakes in it, with their places.
    pub fn of(config: &Config) -> Result<Self, ConfigErrors> {
        let mut wrong = Vec::new();
        let kinds = Kinds::parse(&config.settings.audit_policy).unwrap_or_else(|why| {
            let file = config.path.as_ref();
            let file = file.map_or("environment".into(), |path| path.display().to_string());
            wrong.extend(ConfigErrors::of_file(file, format!("audit_policy: {why}")).0);
            Kinds::default()
        });
        let mut overrides = Vec::new();
        for one in &config.audit {
            let kinds = match one.policy.as_deref().map(Kinds::parse).transpose() {
                Ok(kinds) => kinds,
                Err(why) => {
                    let mut error = one.place.clone();
                    // Cannot fail: it is a String.
                    let _ = write!(error.message, "policy: {why}");
                    wrong.push(error);
                    None
                }
            };
            overrides.push(Override {
                database: one.database.as_deref().map(Into::into),
                user: one.user.as_deref().map(Into::into),
                kinds,
                sample: one.sample,
            });
        }
        if !matches!(&*config.settings.audit_on_full, "drop" | "block") {
            let file = config.path.as_ref();
            let file = file.map_or("environment".into(), |path| path.display().to_string());
            let why = format!(
                "audit_on_full: {:?} is neither drop nor block",
                config.settings.audit_on_full
            );
            wrong.extend(ConfigErrors::of_file(file, why).0);
        }
        let general = Effective {
            kinds,
            sample: config.settings.audit_sample.max(1),
        };
        match wrong.is_empty() {
            true => Ok(Self { general, overrides }),
            false => Err(ConfigErrors(wrong)),
        }
    }

    /// Everything of everybody.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            general: Effective {
                kinds: Kinds {
                    statements: Statements::All,
                    logins: Logins::All,
                },
                sample: 1,
            },
            overrides: Vec::new(),
        }
    }

    /// What is written down of a client. Of several that fit the last one counts, for what it says.
    #[must_use]
    pub fn for_subject(&self, subject: &Subject) -> Effective {
        let mut found = self.general;
        let fits =
            |name: &Option<Box<str>>, is: &str| name.as_deref().is_none_or(|name| name == is);
        for one in &self.overrides {
            if fits(&one.database, &subject.database) && fits(&one.user, &subject.user) {
                found.kinds = one.kinds.unwrap_or(found.kinds);
                found.sample = one.sample.unwrap_or(found.sample);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::judge;
    use crate::lint::known::Known;
    use crate::lint::thresholds::Thresholds;
    use crate::sql::{self, Lexing};
    use std::sync::Arc;

    fn ran(text: &str) -> Event {
        let reading = sql::read(text.as_bytes(), Lexing::default());
        let profile = judge::profile(text, &reading, &Thresholds::default()).expect("parsed");
        Event::Executed(Execution {
            known: Arc::new(Known {
                profile: Arc::new(profile),
                ..Known::default()
            }),
            ..Execution::default()
        })
    }

    #[test]
    fn each_level_includes_those_before_it() {
        let levels = ["roles", "ddl", "writes", "all"];
        for (text, least) in [
            ("CREATE ROLE a", 0),
            ("GRANT SELECT ON t TO a", 0),
            ("REVOKE a FROM b", 0),
            ("ALTER ROLE a SET work_mem = '1GB'", 0),
            ("DROP OWNED BY a", 0),
            ("SELECT 1; GRANT a TO b", 0),
            ("CREATE TABLE t (a int)", 1),
            ("DO $$BEGIN END$$", 1),
            ("INSERT INTO t VALUES (1)", 2),
            ("WITH x AS (DELETE FROM t RETURNING a) SELECT a FROM x", 2),
            ("COPY t FROM STDIN", 2),
            ("SELECT a FROM t", 3),
            ("BEGIN", 3),
        ] {
            let event = ran(text);
            for (at, level) in levels.iter().enumerate() {
                let kinds = Kinds::parse(level).expect("a level");
                assert_eq!(kinds.cover(&event), at >= least, "{text} at {level}");
            }
        }
    }

    #[test]
    fn what_was_not_read_may_be_anything() {
        let unknown = Event::Executed(Execution::default());
        assert!(Kinds::parse("roles").expect("a level").cover(&unknown));
    }

    #[test]
    fn logins_are_chosen_apart() {
        let failed = Event::LoginFailed { reason: "x".into() };
        let login = Event::Connected {
            secure: true,
            superuser: false,
        };
        for (words, of_login, of_failed, of_read) in [
            ("all", true, true, true),
            ("ddl", true, true, false),
            ("ddl, failed-logins", false, true, false),
            ("failed-logins", false, true, false),
            ("logins", true, true, false),
            ("off", false, false, false),
        ] {
            let kinds = Kinds::parse(words).expect(words);
            let covers = (
                kinds.cover(&login),
                kinds.cover(&failed),
                kinds.cover(&ran("SELECT 1")),
            );
            assert_eq!(covers, (of_login, of_failed, of_read), "{words}");
            let commanded = Event::Commanded {
                command: "pause".into(),
                asked: "{}".into(),
                refused: "".into(),
            };
            assert_eq!(kinds.cover(&commanded), words != "off", "{words}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_places() {
        let text = "[audit]\npolicy = \"evrything\"\n[[audit.override]]\nuser = \"u\"\npolicy = \"off, ddl\"\n";
        let config = Config::from_toml(text).expect("of good form");
        let told = Policy::of(&config).expect_err("two mistakes").to_string();
        assert!(
            told.contains("audit_policy: \"evrything\" is none of off, roles"),
            "{told}"
        );
        assert!(
            told.contains("config:4: audit.override: policy: \"off\" stands alone"),
            "{told}"
        );
    }

    #[test]
    fn the_last_that_fits_counts() {
        let text = "[audit]\npolicy = \"ddl\"\nsample = 5\n[[audit.override]]\ndatabase = \"pay\"\npolicy = \"all\"\n[[audit.override]]\ndatabase = \"pay\"\nuser = \"bot\"\nsample = 100\n[[audit.override]]\nuser = \"probe\"\npolicy = \"off\"\n";
        let policy = Policy::of(&Config::from_toml(text).expect("valid")).expect("valid");
        let of = |database: &str, user: &str| {
            let subject = Subject {
                database: database.into(),
                user: user.into(),
                ..Subject::default()
            };
            let found = policy.for_subject(&subject);
            (found.kinds, found.sample)
        };
        let kinds = |words| Kinds::parse(words).expect("words");
        assert_eq!(of("shop", "web"), (kinds("ddl"), 5));
        assert_eq!(of("pay", "web"), (kinds("all"), 5));
        assert_eq!(of("pay", "bot"), (kinds("all"), 100));
        assert_eq!(of("pay", "probe"), (kinds("off"), 5));
    }
}
