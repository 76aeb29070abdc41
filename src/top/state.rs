//! What the view shows and what keys do to it: plain data, without a terminal and a socket.

use std::time::{Duration, Instant, SystemTime};

use super::screens::{Cell, Line, SCREENS, Screen};
use super::totals::{Reading, Totals, totals};

/// Shortest and longest time between two looks.
pub const INTERVALS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(300));
/// Rates of transactions that are kept for the plot.
pub const HISTORY: usize = 60;

pub mod keys;

/// What is to be done about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Draw.
    Draw,
    /// Look at the console now, paused or not.
    Look,
    /// Leave.
    Quit,
}

/// How the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Being made for the first time.
    Opening,
    /// There.
    Up,
    /// Lost, or refused: why and since when.
    Lost(String, Instant),
}

/// What lies over the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Nothing.
    Screen,
    /// Everything about the selected line, from this line of the text on.
    Detail(u16),
    /// The keys.
    Help,
    /// The filter is being typed.
    Filter,
}

/// What is remembered of each screen.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The column that lines are sorted by, and whether the largest are on top.
    pub sorted: Option<(usize, bool)>,
    /// The selected line.
    pub selected: Option<String>,
    /// Its place.
    pub at: usize,
    /// The first line that was drawn.
    pub from: usize,
}

/// Everything that is shown.
#[derive(Debug)]
pub struct State {
    /// The number of the screen.
    pub screen: usize,
    /// For each screen.
    pub places: Vec<Place>,
    /// Text that lines must have.
    pub filter: String,
    /// Whether looks are left out.
    pub paused: bool,
    /// Time between two looks.
    pub interval: Duration,
    /// What lies over the screen.
    pub over: Over,
    /// How the connection is.
    pub connection: Connection,
    /// Where to, for the head.
    pub place: String,
    /// Lines that fit, as the last drawing found.
    pub page: usize,
    /// The last look.
    pub now: Option<Reading>,
    /// The head's numbers.
    pub totals: Totals,
    /// Transactions per second at the last looks.
    pub history: Vec<f64>,
    /// Of the last look, as they came.
    all: Vec<Line>,
    lines: Vec<Line>,
}

impl State {
    /// Begins at a screen.
    pub fn new(place: String, screen: usize, interval: Duration) -> Self {
        let remembered = |screen: &Screen| Place {
            sorted: screen.sorted_by().map(|column| (column, true)),
            ..Place::default()
        };
        Self {
            screen,
            places: SCREENS.iter().map(remembered).collect(),
            filter: String::new(),
            paused: false,
            interval: interval.clamp(INTERVALS.0, INTERVALS.1),
            over: Over::Screen,
            connection: Connection::Opening,
            place,
            page: 20,
            now: None,
            totals: Totals::default(),
            history: Vec::new(),
            all: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// The screen that is shown.
    pub fn spec(&self) -> &'static Screen {
        SCREENS.get(self.screen).unwrap_or(&SCREENS[0])
    }

    /// What is remembered of it.
    pub fn here(&self) -> &Place {
        self.places.get(self.screen).unwrap_or(&self.places[0])
    }

    fn here_mut(&mut self) -> &mut Place {
        let at = self.screen.min(self.places.len() - 1);
        &mut self.places[at]
    }

    /// Its lines: filtered and sorted.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The first line to draw where there is room for so many: moves as little as the selected one
    /// allows.
    pub fn window(&mut self, room: usize) -> usize {
        let most = self.lines.len().saturating_sub(room);
        let here = self.here_mut();
        let lowest = (here.at + 1).saturating_sub(room);
        here.from = here.from.clamp(lowest, here.at.max(lowest)).min(most);
        here.from
    }

    /// The selected line.
    pub fn line(&self) -> Option<&Line> {
        self.lines.get(self.here().at)
    }

    /// What to ask for the selected statement's plan, while it is looked at.
    pub fn plan_question(&self) -> Option<String> {
        if !matches!(self.over, Over::Detail(_)) || self.spec().name != "statements" {
            return None;
        }
        let shape = self.line()?.id.rsplit('\0').next()?;
        // It goes into a question.
        let is_shape = shape.chars().all(|digit| digit.is_ascii_hexdigit());
        (is_shape && !shape.is_empty()).then(|| format!("SHOW PLAN '{shape}'"))
    }

    /// Takes a look at the console over.
    pub fn read(&mut self, reading: Reading) {
        self.connection = Connection::Up;
        if reading.screen.0 != self.screen {
            // Asked for before the screen changed; the next one comes at once.
            return;
        }
        let before = self.now.take();
        self.totals = totals(&reading, before.as_ref());
        if let Some(rate) = self.totals.transactions {
            if self.history.len() >= HISTORY {
                self.history.remove(0);
            }
            self.history.push(rate);
        }
        let then = before
            .as_ref()
            .filter(|before| before.screen.0 == reading.screen.0);
        let then = then.map(|before| {
            let seconds = reading.at.duration_since(before.at).as_secs_f64();
            (&before.screen.1, seconds)
        });
        let lines = self
            .spec()
            .lines(&reading.screen.1, then, &reading.sizes(), reading.time);
        self.now = Some(reading);
        self.all = lines;
        self.arrange();
    }

    /// The connection is lost or cannot be made. What was read stays to be looked at.
    pub fn lost(&mut self, why: String, at: Instant) {
        let since = match self.connection {
            Connection::Lost(_, since) => since,
            _ => at,
        };
        self.connection = Connection::Lost(why, since);
    }

    /// Filters and sorts lines, and finds the selected one again.
    fn arrange(&mut self) {
        let wanted = self.filter.to_lowercase();
        let fits = |line: &&Line| wanted.is_empty() || line.has(&wanted);
        let mut lines: Vec<Line> = self.all.iter().filter(fits).cloned().collect();
        if let Some((column, descending)) = self.here().sorted {
            lines.sort_by(|one, other| compare(one, other, column, descending));
        }
        self.lines = lines;
        let last = self.lines.len().saturating_sub(1);
        let here = self.here();
        // Who has not moved from the first line wants to see what is on top, whatever that is; but
        // not while reading about it.
        let follows_top = here.at == 0 && !matches!(self.over, Over::Detail(_));
        let found = here.selected.as_ref().and_then(|id| {
            let found = self.lines.iter().position(|line| line.id == *id);
            found.filter(|_| !follows_top)
        });
        let at = found.unwrap_or(here.at).min(last);
        let id = self.lines.get(at).map(|line| line.id.clone());
        let here = self.here_mut();
        (here.at, here.selected) = (at, id);
    }

    /// Whether it is time for a look that nobody asked for.
    pub fn looks_by_itself(&self) -> bool {
        !self.paused || self.now.is_none()
    }

    /// When what is shown was read.
    pub fn read_at(&self) -> Option<SystemTime> {
        self.now.as_ref().map(|now| now.time)
    }
}

impl Line {
    fn has(&self, wanted: &str) -> bool {
        let texts = self.cells.iter();
        let mut texts = texts.filter_map(|cell| match cell {
            Cell::Text(text) => Some(text),
            _ => None,
        });
        texts.any(|text| text.to_lowercase().contains(wanted))
    }
}

/// What is not known comes last, whichever way the others go.
fn compare(one: &Line, other: &Line, column: usize, descending: bool) -> std::cmp::Ordering {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = match (one.cells.get(column), other.cells.get(column)) {
        (Some(Cell::Number(one)), Some(Cell::Number(other))) => one.total_cmp(other),
        (Some(Cell::Text(one)), Some(Cell::Text(other))) => one.cmp(other),
        (Some(Cell::Number(_) | Cell::Text(_)), Some(Cell::Nothing)) => return Less,
        (Some(Cell::Nothing), Some(Cell::Number(_) | Cell::Text(_))) => return Greater,
        _ => Equal,
    };
    match descending {
        true => order.reverse(),
        false => order,
    }
}

#[cfg(test)]
pub(crate) mod tests;
