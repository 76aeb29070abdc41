//! The screens: what each asks the console, and how its lines are made of the answer.
//!
//! A screen is one row of [`SCREENS`]; keys, tabs, help and `--screen` come from that table.

use std::collections::HashMap;
use std::time::SystemTime;

use super::answer::{Answer, Row};
use super::format::{Unit, age, one_line};
use super::totals::CONSOLE;

mod columns;

/// One screen.
#[derive(Debug)]
pub struct Screen {
    /// Its name, for tabs and `--screen`.
    pub name: &'static str,
    /// What it asks.
    pub show: &'static str,
    /// What it shows of the answer.
    pub columns: &'static [Column],
    /// The column that lines are sorted by at first, the largest on top; `None`: as the console sorts.
    pub sorted: Option<&'static str>,
    /// Columns of the answer that together tell one line from all others.
    pub identity: &'static [&'static str],
    /// What the reader should see first.
    pub alarm: fn(&Row<'_>) -> Alarm,
    /// What it is for, in the help.
    pub about: &'static str,
}

/// All of them, in the order of their keys.
pub const SCREENS: &[Screen] = &[
    Screen {
        name: "pools",
        show: "SHOW POOLS",
        columns: columns::POOLS,
        sorted: Some("longest"),
        identity: &["database", "user"],
        alarm: |row| match (row.number("cl_waiting"), row.number("maxwait")) {
            (_, Some(1.0..)) => Alarm::Bad,
            (Some(1.0..), _) => Alarm::Warn,
            _ => Alarm::None,
        },
        about: "who waits for servers, how long the first of them does, and what servers do",
    },
    Screen {
        name: "servers",
        show: "SHOW SERVERS",
        columns: columns::SERVERS,
        sorted: Some("in use"),
        identity: &["ptr"],
        alarm: |row| match row.text("state") {
            "being_canceled" => Alarm::Warn,
            _ => Alarm::None,
        },
        about: "connections to PostgreSQL, those that a client has had the longest first",
    },
    Screen {
        name: "replicas",
        show: "SHOW CLUSTER",
        columns: columns::REPLICAS,
        sorted: None,
        identity: &["database", "server"],
        alarm: |row| match (row.text("reason"), row.text("role")) {
            ("", _) => Alarm::None,
            (_, "replica") => Alarm::Warn,
            _ => Alarm::Bad,
        },
        about: "the servers of each cluster: role, lag, and why one gets nothing",
    },
    Screen {
        name: "statements",
        show: "SHOW STATEMENTS",
        columns: columns::STATEMENTS,
        sorted: Some("load"),
        identity: &["database", "user", "shape"],
        alarm: |_| Alarm::None,
        about: "what takes the servers' time now (load: how many servers it keeps busy) and since the start",
    },
    Screen {
        name: "findings",
        show: "SHOW FINDINGS",
        columns: columns::FINDINGS,
        sorted: None,
        identity: &["id"],
        alarm: |row| match (row.text("status"), row.text("severity")) {
            ("open", "critical") => Alarm::Bad,
            ("open", "warn") => Alarm::Warn,
            _ => Alarm::None,
        },
        about: "what the rules found, the worst first",
    },
    Screen {
        name: "clients",
        show: "SHOW CLIENTS",
        columns: columns::CLIENTS,
        sorted: Some("waiting"),
        identity: &["ptr"],
        alarm: |row| match row.text("state") {
            "waiting" => Alarm::Warn,
            _ => Alarm::None,
        },
        about: "connections from applications, those that wait the longest first",
    },
];

/// How much a line should stand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// Not.
    None,
    /// Somewhat.
    Warn,
    /// Very.
    Bad,
}

/// One column.
#[derive(Debug)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// What its numbers count; `None` for text.
    pub unit: Option<Unit>,
    /// Cells that it needs. The last column of a screen gets what is left.
    pub width: u16,
    /// Where there is no room for all, those with the highest number go first; 0 stays.
    pub rank: u8,
    /// Its value.
    pub value: fn(&Row<'_>, &Around<'_>) -> Cell,
}

/// What a line is made of besides its row.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// When the answer came.
    pub now: SystemTime,
    /// Servers that each database's pools may have.
    pub sizes: &'a HashMap<String, f64>,
    /// What the row was at the look before, and the seconds since.
    pub before: Option<(Row<'a>, f64)>,
}

impl Around<'_> {
    /// The growth of a number per second; unknown at the first look at a row.
    pub fn rate(&self, row: &Row<'_>, column: &str) -> Cell {
        let Some((before, seconds)) = &self.before else {
            return Cell::Nothing;
        };
        match (row.number(column), before.number(column)) {
            // Smaller than before: forgotten meanwhile, and begun anew.
            (Some(now), Some(then)) => Cell::Number((now - then).max(0.0) / seconds.max(0.001)),
            _ => Cell::Nothing,
        }
    }

    /// Seconds since the time in a column.
    pub fn age(&self, row: &Row<'_>, column: &str) -> Cell {
        Cell::number(age(row.text(column), self.now))
    }
}

/// One value of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text, on one line.
    Text(String),
    /// A number in the unit of its column.
    Number(f64),
    /// Not known.
    Nothing,
}

impl Cell {
    /// Text that came from outside.
    pub fn text(text: &str) -> Self {
        Cell::Text(one_line(text))
    }

    /// A number, if there is one.
    pub fn number(value: Option<f64>) -> Self {
        value.map_or(Cell::Nothing, Cell::Number)
    }
}

/// One line of a screen.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Tells it from all others of its screen.
    pub id: String,
    /// Its cells, one for each column.
    pub cells: Vec<Cell>,
    /// How much it should stand out.
    pub alarm: Alarm,
    /// Its row in the answer.
    pub row: usize,
}

impl Screen {
    /// The lines of an answer, in its order; `before` is the answer before and how many seconds ago it
    /// was.
    pub fn lines(
        &self,
        answer: &Answer,
        before: Option<(&Answer, f64)>,
        sizes: &HashMap<String, f64>,
        now: SystemTime,
    ) -> Vec<Line> {
        let known: HashMap<String, Row<'_>> = match before {
            None => HashMap::new(),
            Some((answer, _)) => (answer.rows())
                .map(|row| (self.identify(&row), row))
                .collect(),
        };
        let seconds = before.map_or(0.0, |(_, seconds)| seconds);
        let rows = answer.rows().enumerate();
        rows.filter(|(_, row)| row.text("database") != CONSOLE)
            .map(|(at, row)| {
                let id = self.identify(&row);
                let around = Around {
                    now,
                    sizes,
                    before: known.get(&id).map(|row| (*row, seconds)),
                };
                let cells = self.columns.iter();
                Line {
                    cells: cells.map(|column| (column.value)(&row, &around)).collect(),
                    alarm: (self.alarm)(&row),
                    row: at,
                    id,
                }
            })
            .collect()
    }

    fn identify(&self, row: &Row<'_>) -> String {
        let parts: Vec<&str> = self.identity.iter().map(|name| row.text(name)).collect();
        parts.join("\0")
    }

    /// The place of the column that lines are sorted by at first.
    pub fn sorted_by(&self) -> Option<usize> {
        let title = self.sorted?;
        self.columns.iter().position(|column| column.title == title)
    }
}

#[cfg(test)]
pub(crate) mod tests;
