//! The console's language: one command, words in any case, `"quoted"` names, `'quoted'` values, an
//! optional semicolon.

use std::time::Duration;

use super::Rights;
use super::command::{self, Command, Takes};
use super::error::ConsoleError;
use super::show::{self, Show};
use super::table::Column;
use crate::config::{RuleAction, units};
use crate::lint::firewall::Mode;
use crate::shutdown::Phase;

/// Most bytes of a command that an error message repeats.
const REPEATED: usize = 100;

/// What stands behind a command's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// SHOW HELP.
    Help,
    /// By place in [`show::SHOWS`].
    Show(usize),
    /// By place in [`show::PARAMETERS`].
    Parameter(usize),
}

/// The argument of a command, as its row of the table takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// There is none.
    None,
    /// A database.
    Database(String),
    /// A database, and the server that is to be its primary.
    Switchover(String, Option<String>),
    /// A client, by its `id` or `ptr`.
    Client(Client),
    /// When to shut down.
    Shutdown(Phase),
    /// What to show.
    Subject(Subject),
    /// SET of something that does not matter here.
    Ignored,
    /// SET of a setting: key and value.
    Setting(String, String),
    /// SET RULE.
    Rule(Box<RuleAction>),
    /// A finding.
    Finding(String),
    /// Findings of these rules or databases only.
    Findings(Vec<String>),
    /// The plan of a shape.
    Plan(u64),
    /// A profile of the firewall, and a shape that it is to let pass.
    Allow(String, u128),
    /// A profile of the firewall, and its mode.
    Firewall(String, Mode),
    /// EXPLAIN ROUTE: the database and the statement.
    Route(String, String),
    /// ACK: the finding, for how long, and why.
    Acknowledge(String, Duration, String),
}

/// How KILL_CLIENT names a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Column `id` of SHOW CLIENTS.
    Id(u64),
    /// Column `ptr`.
    Pointer(u64),
}

/// One message's worth of the language.
#[derive(Clone, Debug)]
pub enum Statement {
    /// Nothing but white space and perhaps a semicolon.
    Empty,
    /// A row of the table and its argument.
    Command(&'static Command, Argument),
}

impl Statement {
    /// Columns of its result; `None` if it gives no rows.
    pub fn columns(&self) -> Option<&'static [Column]> {
        match self {
            Statement::Command(_, Argument::Subject(Subject::Show(at))) => {
                show::SHOWS.get(*at).map(|show: &Show| show.columns)
            }
            Statement::Command(command, Argument::Finding(_)) if command.name == "show" => {
                Some(show::findings::FINDING)
            }
            Statement::Command(_, Argument::Findings(_)) => Some(show::findings::FINDINGS),
            Statement::Command(_, Argument::Plan(_)) => Some(show::statements::PLAN),
            Statement::Command(_, Argument::Route(..)) => Some(show::cluster::ROUTE),
            Statement::Command(_, Argument::Subject(Subject::Parameter(at))) => show::PARAMETERS
                .get(*at)
                .map(|parameter| &parameter.column[..]),
            _ => None,
        }
    }

    /// What one must be allowed to do.
    pub fn needs(&self) -> Rights {
        match self {
            Statement::Empty | Statement::Command(_, Argument::Ignored) => Rights::Stats,
            Statement::Command(command, _) => command.needs,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// Not quoted, or in double quotes, which only let a name contain what it likes: case counts
    /// with and without them.
    Word(String),
    /// In single quotes.
    Text(String),
    Equals,
    Semicolon,
}

/// The tokens of a text; `None` if a quote does not end or a character has no meaning here.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let tail = rest.get(first.len_utf8()..)?;
        let (token, tail) = match first {
            '=' => (Token::Equals, tail),
            ';' => (Token::Semicolon, tail),
            '"' | '\'' => {
                let (text, tail) = quoted(tail, first)?;
                let token = if first == '"' {
                    Token::Word
                } else {
                    Token::Text
                };
                (token(text), tail)
            }
            c if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let (word, tail) = rest.split_at_checked(end)?;
                (Token::Word(word.to_owned()), tail)
            }
            _ => return None,
        };
        tokens.push(token);
        rest = tail.trim_start();
    }
    Some(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '*' | '$' | '@' | ',' | '/' | ':')
}

/// The text up to the closing quote, which stands for itself when doubled, and what follows.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once(quote)?;
        value.push_str(before);
        match after.strip_prefix(quote) {
            Some(more) => {
                value.push(quote);
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

/// Reads one command.
///
/// # Errors
///
/// [`ConsoleError::Invalid`], [`ConsoleError::Several`], [`ConsoleError::DatabaseRequired`],
/// [`ConsoleError::InvalidClient`].
pub fn parse(text: &str) -> Result<Statement, ConsoleError> {
    let invalid = || {
        let text = text.trim();
        let end = (0..=REPEATED.min(text.len()))
            .rev()
            .find(|&end| text.is_char_boundary(end))
            .unwrap_or(0);
        ConsoleError::Invalid(text.get(..end).unwrap_or_default().to_owned())
    };
    let mut tokens = tokens(text).ok_or_else(invalid)?;
    while tokens.last() == Some(&Token::Semicolon) {
        tokens.pop();
    }
    if tokens.contains(&Token::Semicolon) {
        return Err(ConsoleError::Several);
    }
    let (first, rest) = match tokens.split_first() {
        None => return Ok(Statement::Empty),
        Some((Token::Word(first), rest)) => (first.to_lowercase(), rest),
        Some(_) => return Err(invalid()),
    };
    let command = command::find(&first).ok_or_else(invalid)?;
    let argument = match (command.takes, rest) {
        (Takes::Database | Takes::Switchover, []) => return Err(ConsoleError::DatabaseRequired),
        (Takes::Nothing | Takes::OptionalDatabase, []) => Argument::None,
        (Takes::Database | Takes::OptionalDatabase, [Token::Word(name)]) => {
            Argument::Database(name.clone())
        }
        (Takes::Switchover, [name, to @ ..]) => switchover(name, to).ok_or_else(invalid)?,
        (Takes::Client, [Token::Word(id) | Token::Text(id)]) => {
            Argument::Client(client(id).ok_or(ConsoleError::InvalidClient)?)
        }
        (Takes::Client, []) => return Err(ConsoleError::InvalidClient),
        (Takes::Shutdown, []) => Argument::Shutdown(Phase::Stopped),
        (Takes::Shutdown, [Token::Word(how)]) => match &*how.to_lowercase() {
            "wait_for_clients" => Argument::Shutdown(Phase::WaitForClients),
            "wait_for_servers" => Argument::Shutdown(Phase::WaitForServers),
            _ => return Err(invalid()),
        },
        (Takes::Subject, [Token::Word(word), Token::Text(id) | Token::Word(id)])
            if word.eq_ignore_ascii_case("finding") =>
        {
            Argument::Finding(id.clone())
        }
        (Takes::Subject, [Token::Word(word), names @ ..])
            if word.eq_ignore_ascii_case("findings") && matches!(names.len(), 1 | 2) =>
        {
            Argument::Findings(texts(names).ok_or_else(invalid)?)
        }
        (Takes::Subject, [Token::Word(word), Token::Text(shape) | Token::Word(shape)])
            if word.eq_ignore_ascii_case("plan") =>
        {
            Argument::Plan(u64::from_str_radix(shape, 16).map_err(|_| invalid())?)
        }
        (Takes::Subject, [Token::Word(first), Token::Word(second)]) => {
            let words = format!("{} {}", first.to_lowercase(), second.to_lowercase());
            Argument::Subject(subject(&words).ok_or_else(invalid)?)
        }
        (Takes::Findings, [Token::Word(word)]) if word.eq_ignore_ascii_case("findings") => {
            Argument::None
        }
        (
            Takes::Route,
            [
                Token::Word(word),
                Token::Text(database) | Token::Word(database),
                Token::Text(statement),
            ],
        ) if word.eq_ignore_ascii_case("route") => {
            Argument::Route(database.clone(), statement.clone())
        }
        (
            Takes::Allow,
            [
                Token::Text(profile) | Token::Word(profile),
                Token::Text(shape) | Token::Word(shape),
            ],
        ) => Argument::Allow(
            profile.clone(),
            u128::from_str_radix(shape, 16).map_err(|_| invalid())?,
        ),
        (
            Takes::Assignment,
            [
                Token::Word(word),
                Token::Text(profile) | Token::Word(profile),
                Token::Text(mode) | Token::Word(mode),
            ],
        ) if word.eq_ignore_ascii_case("firewall") => {
            let mode = Mode::parse(&mode.to_lowercase()).ok_or_else(invalid)?;
            Argument::Firewall(profile.clone(), mode)
        }
        (Takes::Acknowledge, [Token::Text(id) | Token::Word(id), options @ ..]) => {
            acknowledge(id, options).ok_or_else(invalid)?
        }
        (
            Takes::Assignment,
            [
                Token::Word(word),
                Token::Text(rule) | Token::Word(rule),
                options @ ..,
            ],
        ) if word.eq_ignore_ascii_case("rule") && options.len() > 1 => {
            rule_action(rule, options).ok_or_else(invalid)?
        }
        (Takes::Subject, [Token::Word(word)]) => {
            Argument::Subject(subject(&word.to_lowercase()).ok_or_else(invalid)?)
        }
        (Takes::Assignment, [Token::Word(name), sign, value]) => {
            let sign = match sign {
                Token::Equals => true,
                Token::Word(to) => to.eq_ignore_ascii_case("to"),
                _ => false,
            };
            let value = match value {
                Token::Text(value) | Token::Word(value) if sign => value,
                _ => return Err(invalid()),
            };
            assignment(&name.to_lowercase(), value)
        }
        _ => return Err(invalid()),
    };
    Ok(Statement::Command(command, argument))
}

/// What stands behind SWITCHOVER.
fn switchover(name: &Token, to: &[Token]) -> Option<Argument> {
    let Token::Word(name) = name else {
        return None;
    };
    let to = match to {
        [] => None,
        [Token::Word(word), Token::Word(server) | Token::Text(server)]
            if word.eq_ignore_ascii_case("to") =>
        {
            Some(server.clone())
        }
        _ => return None,
    };
    Some(Argument::Switchover(name.clone(), to))
}

/// Names in whatever quotes.
fn texts(tokens: &[Token]) -> Option<Vec<String>> {
    (tokens.iter())
        .map(|token| match token {
            Token::Text(text) | Token::Word(text) => Some(text.clone()),
            _ => None,
        })
        .collect()
}

/// How long an acknowledgement holds that says nothing of it.
const ACKNOWLEDGED: Duration = Duration::from_secs(30 * 24 * 3600);

/// What stands behind `ACK 'id'`.
fn acknowledge(id: &str, mut options: &[Token]) -> Option<Argument> {
    let (mut time, mut reason) = (ACKNOWLEDGED, String::new());
    while let [
        Token::Word(word),
        Token::Text(value) | Token::Word(value),
        rest @ ..,
    ] = options
    {
        match &*word.to_lowercase() {
            "for" => time = units::duration(value).ok()?,
            "reason" => reason.clone_from(value),
            _ => return None,
        }
        options = rest;
    }
    (options.is_empty()).then(|| Argument::Acknowledge(id.to_owned(), time, reason))
}

/// What stands behind `SET RULE 'rule:kind'`.
fn rule_action(rule: &str, mut options: &[Token]) -> Option<Argument> {
    let (rule, kind) = rule.split_once(':').unwrap_or((rule, ""));
    let mut found = RuleAction {
        rule: rule.to_owned(),
        kind: kind.to_owned(),
        ..RuleAction::default()
    };
    while let [Token::Word(word), rest @ ..] = options {
        options = rest;
        let word = word.to_lowercase();
        if word == "for" {
            continue;
        }
        let [Token::Text(value) | Token::Word(value), rest @ ..] = options else {
            return None;
        };
        match &*word {
            "action" => found.action.clone_from(value),
            "database" => found.database = Some(value.clone()),
            "user" => found.user = Some(value.clone()),
            "app" => found.app = Some(value.clone()),
            _ => return None,
        }
        options = rest;
    }
    (options.is_empty() && !found.action.is_empty()).then(|| Argument::Rule(Box::new(found)))
}

fn subject(word: &str) -> Option<Subject> {
    let parameter = |word: &str| {
        let mut all = show::PARAMETERS.iter();
        all.position(|parameter| parameter.column[0].0 == word)
    };
    match word {
        "help" => Some(Subject::Help),
        word => (show::SHOWS.iter().position(|show| show.name == word))
            .map(Subject::Show)
            .or_else(|| parameter(word).map(Subject::Parameter)),
    }
}

fn client(text: &str) -> Option<Client> {
    match text.strip_prefix("0x") {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u64::from_str_radix(hex, 16).ok().map(Client::Pointer)
        }
        Some(_) => None,
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok().map(Client::Id),
        None => None,
    }
}

/// Parameters besides those of [`show::PARAMETERS`] that drivers set when they connect.
const SET_BY_DRIVERS: [&str; 3] = [
    "application_name",
    "extra_float_digits",
    "statement_timeout",
];

fn assignment(name: &str, value: &str) -> Argument {
    let of_driver = matches!(subject(name), Some(Subject::Parameter(_)));
    if of_driver || SET_BY_DRIVERS.contains(&name) {
        return Argument::Ignored;
    }
    Argument::Setting(name.to_owned(), value.to_owned())
}
