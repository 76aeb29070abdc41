//! Why a client keeps its server beyond the transaction, and how the server is asked about it.
//!
//! What a text *may* leave behind is known from the text; whether it did (it may have failed, been
//! rolled back, been released since) only the server knows. So after a transaction that touched
//! any of these things the server is asked once, with a query of ours whose reply the client never
//! sees. The answer is exact, whatever functions or savepoints were involved.

use crate::server::params::push_literal;
use crate::sql::Flags;

/// Reasons to keep a server, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins(pub u8);

/// One reason: its bit, its name in SHOW CLIENTS, what in a text makes it possible, and the SQL
/// condition that tells.
struct Reason {
    bit: u8,
    name: &'static str,
    flags: Flags,
    condition: &'static str,
}

const REASONS: &[Reason] = &[
    Reason {
        bit: 1,
        name: "temp",
        flags: Flags::TEMP,
        condition: "exists(select from pg_catalog.pg_class where relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema())",
    },
    Reason {
        bit: 2,
        name: "advisory_lock",
        flags: Flags::ADVISORY_LOCK,
        condition: "exists(select from pg_catalog.pg_locks where locktype operator(pg_catalog.=) 'advisory' and pid operator(pg_catalog.=) pg_catalog.pg_backend_pid())",
    },
    Reason {
        bit: 4,
        name: "listen",
        flags: Flags::LISTEN,
        condition: "exists(select from pg_catalog.pg_listening_channels())",
    },
    Reason {
        bit: 8,
        name: "hold_cursor",
        flags: Flags::HOLD_CURSOR,
        condition: "exists(select from pg_catalog.pg_cursors where is_holdable)",
    },
    Reason {
        bit: 16,
        name: "role",
        flags: Flags::ROLE,
        condition: "current_user operator(pg_catalog.<>) session_user or session_user operator(pg_catalog.<>) ",
    },
    Reason {
        bit: 32,
        name: "prepare",
        flags: Flags::SQL_PREPARE,
        condition: "exists(select from pg_catalog.pg_prepared_statements where from_sql)",
    },
];

/// A library that was loaded stays until the connection ends; no condition can change that.
const LOAD: u8 = 64;

/// More settings than are carried from server to server.
pub const TOO_MANY_SETTINGS: u8 = 128;

/// What in a text makes a question to the server necessary.
pub const ASK: Flags = Flags::TEMP
    .union(Flags::ADVISORY_LOCK)
    .union(Flags::LISTEN)
    .union(Flags::HOLD_CURSOR)
    .union(Flags::ROLE)
    .union(Flags::SQL_PREPARE)
    .union(Flags::LOAD)
    .union(Flags::SETS_UNKNOWN)
    .union(Flags::RESET_ALL)
    .union(Flags::DISCARD_ALL)
    .union(Flags::UNANALYSED);

/// What in a text may change session parameters in a way that only the server can tell.
const SETTINGS_UNKNOWN: Flags = Flags::SETS_UNKNOWN
    .union(Flags::RESET_ALL)
    .union(Flags::DISCARD_ALL)
    .union(Flags::UNANALYSED);

impl Pins {
    /// Whether nothing keeps the server.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the client has LISTENed on its server.
    pub fn listens(self) -> bool {
        self.0 & 4 != 0
    }

    /// Whether it has loaded a library, which only the end of its server takes away.
    pub fn has_loaded(self) -> bool {
        self.0 & LOAD != 0
    }

    /// Whether it has statements made with SQL's PREPARE.
    pub fn has_sql_statements(self) -> bool {
        self.0 & 32 != 0
    }

    /// The reasons for SHOW CLIENTS, comma separated.
    pub fn names(self) -> String {
        let mut names: Vec<&str> = REASONS
            .iter()
            .filter(|reason| self.0 & reason.bit != 0)
            .map(|reason| reason.name)
            .collect();
        if self.0 & LOAD != 0 {
            names.push("load");
        }
        if self.0 & TOO_MANY_SETTINGS != 0 {
            names.push("settings");
        }
        names.join(",")
    }
}

/// A question to the server about what a transaction left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    bits: u8,
    sticky: u8,
    /// Whether the second result lists session parameters.
    pub settings: bool,
}

/// What a session may have done that has to be asked about.
#[derive(Clone, Copy, Debug)]
pub struct Doubts<'a> {
    /// What the texts of the transaction may have done.
    pub flags: Flags,
    /// What kept the server before.
    pub pins: Pins,
    /// Parameters that were set and that the server does not report by itself.
    pub unreported: bool,
    /// The user the session logged in as on the server.
    pub user: &'a str,
    /// Parameters with a prefix (`app.user_id`), which the list of settings does not show.
    pub custom: &'a [Box<str>],
}

/// The question these doubts call for, as SQL for one simple Query; `None` if there is none.
pub fn question(doubts: Doubts<'_>) -> Option<(Question, String)> {
    let Doubts { flags, pins, .. } = doubts;
    let release = flags.contains(Flags::RELEASES) && !pins.is_empty();
    if !flags.intersects(ASK) && !release && !doubts.unreported {
        return None;
    }
    let everything = flags.intersects(Flags::UNANALYSED.union(Flags::SETS_UNKNOWN));
    let mut question = Question {
        bits: 0,
        sticky: pins.0 & LOAD,
        settings: doubts.unreported || flags.intersects(SETTINGS_UNKNOWN),
    };
    if flags.contains(Flags::LOAD) {
        question.sticky |= LOAD;
    }
    let mut terms = Vec::new();
    for reason in REASONS {
        if everything || flags.intersects(reason.flags) || pins.0 & reason.bit != 0 {
            question.bits |= reason.bit;
            let mut term = format!("case when {}", reason.condition);
            if reason.name == "role" {
                push_literal(&mut term, doubts.user);
            }
            term.push_str(&format!(" then {} else 0 end", reason.bit));
            terms.push(term);
        }
    }
    let mut sql = match terms.is_empty() {
        true => "select 0".to_owned(),
        false => format!("select {}", terms.join(" operator(pg_catalog.|) ")),
    };
    if question.settings {
        sql.push_str(
            ";select name,setting from pg_catalog.pg_settings where source operator(pg_catalog.=) 'session' \
             and name operator(pg_catalog.<>) all('{role,session_authorization,transaction_isolation,transaction_read_only,transaction_deferrable,is_superuser}')",
        );
        for name in doubts.custom {
            sql.push_str(" union all select ");
            push_literal(&mut sql, name);
            sql.push_str(",pg_catalog.current_setting(");
            push_literal(&mut sql, name);
            sql.push_str(",true)");
        }
    }
    Some((question, sql))
}

/// Explicit settings of a session: names in lower case, and values.
pub type Settings = Vec<(Box<str>, Box<str>)>;

/// The server's answer, as its rows come in.
#[derive(Debug, Default)]
pub struct Answer {
    bits: Option<u8>,
    settings: Settings,
    bytes: usize,
    bad: bool,
    overflows: bool,
}

/// Bytes of settings that are kept; a client with more keeps its server instead.
const SETTINGS_LIMIT: usize = 256 * 1024;

impl Answer {
    /// Takes the values of a row.
    pub fn row(&mut self, values: &[Option<&[u8]>]) {
        let text = |value: &[u8]| std::str::from_utf8(value).ok().map(Box::<str>::from);
        match values {
            [Some(bits)] if self.bits.is_none() => {
                let bits = std::str::from_utf8(bits)
                    .ok()
                    .and_then(|text| text.parse().ok());
                self.bad |= bits.is_none();
                self.bits = bits;
            }
            [Some(name), Some(value)] => {
                self.bytes += name.len() + value.len();
                match (text(name), text(value)) {
                    _ if self.bytes > SETTINGS_LIMIT => self.too_much(),
                    (Some(name), Some(value)) => {
                        self.settings.push((name.to_lowercase().into(), value));
                    }
                    _ => self.bad = true,
                }
            }
            [Some(_), None] => {}
            _ => self.bad = true,
        }
    }

    /// There is a row that is too long to be kept.
    pub fn too_much(&mut self) {
        self.overflows = true;
        self.settings = Vec::new();
    }

    /// What keeps the server now, and the explicit settings if they were asked for. `None` if the
    /// answer makes no sense.
    pub fn finish(self, question: &Question) -> Option<(Pins, Settings)> {
        let bits = self.bits?;
        if self.bad || bits & !question.bits != 0 {
            return None;
        }
        let too_much = if self.overflows { TOO_MANY_SETTINGS } else { 0 };
        Some((Pins(bits | question.sticky | too_much), self.settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubts(flags: Flags, pins: u8) -> Doubts<'static> {
        Doubts {
            flags,
            pins: Pins(pins),
            unreported: false,
            user: "o'hara",
            custom: &[],
        }
    }

    #[test]
    fn plain_traffic_asks_nothing() {
        assert_eq!(question(doubts(Flags::READ_ONLY, 0)), None);
        assert_eq!(question(doubts(Flags::BEGIN.union(Flags::COMMIT), 0)), None);
        assert_eq!(
            question(doubts(Flags::RELEASES, 0)),
            None,
            "nothing is held"
        );
    }

    #[test]
    fn asks_only_for_what_is_in_doubt() {
        let (asked, sql) = question(doubts(Flags::TEMP, 2)).unwrap();
        assert_eq!(asked.bits, 3);
        assert!(sql.contains("pg_my_temp_schema") && sql.contains("pg_locks"));
        assert!(!sql.contains("pg_cursors") && !sql.contains("pg_settings"));
        let (_, sql) = question(doubts(Flags::ROLE, 0)).unwrap();
        assert!(sql.contains("'o''hara'"), "{sql}");
    }

    #[test]
    fn an_answer_that_was_not_asked_for_is_refused() {
        let (asked, _) = question(doubts(Flags::TEMP, 0)).unwrap();
        let answer = |bits: &[u8]| {
            let mut answer = Answer::default();
            answer.row(&[Some(bits)]);
            answer.finish(&asked).map(|(pins, _)| pins.names())
        };
        assert_eq!(answer(b"1"), Some("temp".to_owned()));
        assert_eq!(answer(b"0"), Some(String::new()));
        assert_eq!(answer(b"2"), None);
        assert_eq!(answer(b"x"), None);
        assert_eq!(Answer::default().finish(&asked), None);
    }

    #[test]
    fn more_settings_than_can_be_kept_keep_the_server() {
        let (asked, _) = question(doubts(Flags::UNANALYSED, 0)).unwrap();
        let mut answer = Answer::default();
        answer.row(&[Some(b"0")]);
        let long = vec![b'x'; SETTINGS_LIMIT];
        answer.row(&[Some(b"app.long"), Some(&long)]);
        answer.row(&[Some(b"work_mem"), Some(b"1")]);
        let (pins, _) = answer.finish(&asked).unwrap();
        assert_eq!(pins.names(), "settings");
    }

    #[test]
    fn a_loaded_library_stays() {
        let (asked, _) = question(doubts(Flags::LOAD, 0)).unwrap();
        let mut answer = Answer::default();
        answer.row(&[Some(b"0")]);
        assert_eq!(answer.finish(&asked).unwrap().0.names(), "load");
    }
}
