//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{INTERVALS, Over, State, Wish};
use crate::top::screens::SCREENS;

/// Longest filter, in characters.
const LONGEST_FILTER: usize = 80;

/// The keys and what they do, for the help.
pub const KEYS: &[(&str, &str)] = &[
    ("1 … 6, Tab, ← →", "another screen"),
    ("↑ ↓, j k, PgUp PgDn, Home End", "another line"),
    ("Enter", "everything about the line; Esc goes back"),
    ("s, < >", "sort by the next column, the one before"),
    ("r", "turn the order round"),
    ("0", "the usual order"),
    ("/", "show only lines with a text; Esc shows all again"),
    ("Space, p", "pause, and go on"),
    ("+ -", "look half as often, twice as often"),
    ("R, F5", "look now"),
    ("?, h", "this help"),
    ("q, Ctrl-C", "leave"),
];

impl State {
    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Wish {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Wish::Quit;
        }
        match self.over {
            Over::Filter => self.typed(key.code),
            Over::Help => {
                self.over = Over::Screen;
                Wish::Draw
            }
            Over::Detail(from) => self.in_detail(key.code, from),
            Over::Screen => self.on_screen(key.code),
        }
    }

    fn typed(&mut self, code: KeyCode) -> Wish {
        match code {
            KeyCode::Enter => self.over = Over::Screen,
            KeyCode::Esc => {
                self.over = Over::Screen;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(typed) if self.filter.chars().count() < LONGEST_FILTER => {
                self.filter.push(typed);
            }
            _ => return Wish::Draw,
        }
        self.arrange();
        Wish::Draw
    }

    fn in_detail(&mut self, code: KeyCode, from: u16) -> Wish {
        let page = u16::try_from(self.page).unwrap_or(u16::MAX).max(1);
        self.over = Over::Detail(match code {
            KeyCode::Up | KeyCode::Char('k') => from.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => from.saturating_add(1),
            KeyCode::PageUp => from.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => from.saturating_add(page),
            KeyCode::Home => 0,
            KeyCode::Esc | KeyCode::Enter | KeyCode::Left | KeyCode::Char('q') => {
                self.over = Over::Screen;
                return Wish::Draw;
            }
            _ => from,
        });
        Wish::Draw
    }

    fn on_screen(&mut self, code: KeyCode) -> Wish {
        match code {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.over = Over::Help,
            KeyCode::Char('/') => self.over = Over::Filter,
            KeyCode::Esc => {
                self.filter.clear();
                self.arrange();
            }
            KeyCode::Enter if self.line().is_some() => {
                self.over = Over::Detail(0);
                if self.plan_question().is_some() {
                    return Wish::Look;
                }
            }
            KeyCode::Char(' ' | 'p') => {
                self.paused = !self.paused;
                if !self.paused {
                    return Wish::Look;
                }
            }
            KeyCode::Char('R') | KeyCode::F(5) => return Wish::Look,
            KeyCode::Char('+') => self.pace(2.0),
            KeyCode::Char('-') => self.pace(0.5),
            KeyCode::Char('<' | ',') => self.sort_by(-1),
            KeyCode::Char('>' | '.' | 's') => self.sort_by(1),
            KeyCode::Char('r') => {
                let here = self.here_mut();
                here.sorted = here
                    .sorted
                    .map(|(column, descending)| (column, !descending));
                self.arrange();
            }
            KeyCode::Char('0') => {
                let usual = self.spec().sorted_by().map(|column| (column, true));
                self.here_mut().sorted = usual;
                self.arrange();
            }
            KeyCode::Tab | KeyCode::Right => return self.go_to((self.screen + 1) % SCREENS.len()),
            KeyCode::BackTab | KeyCode::Left => {
                return self.go_to((self.screen + SCREENS.len() - 1) % SCREENS.len());
            }
            KeyCode::Char(digit @ '1'..='9') => {
                let screen = digit as usize - '1' as usize;
                if screen < SCREENS.len() {
                    return self.go_to(screen);
                }
            }
            other => self.select(other),
        }
        Wish::Draw
    }

    fn go_to(&mut self, screen: usize) -> Wish {
        if screen == self.screen {
            return Wish::Draw;
        }
        self.screen = screen;
        self.all.clear();
        self.lines.clear();
        Wish::Look
    }

    fn pace(&mut self, factor: f64) {
        let (shortest, longest) = INTERVALS;
        self.interval = self.interval.mul_f64(factor).clamp(shortest, longest);
    }

    fn sort_by(&mut self, step: isize) {
        let columns = self.spec().columns;
        let next = match self.here().sorted {
            Some((column, _)) => {
                (column as isize + step).rem_euclid(columns.len() as isize) as usize
            }
            None => 0,
        };
        // Numbers are looked at from the largest on, names from the first.
        let numbers = columns
            .get(next)
            .is_some_and(|column| column.unit.is_some());
        self.here_mut().sorted = Some((next, numbers));
        self.arrange();
    }

    fn select(&mut self, code: KeyCode) {
        let (last, page) = (self.lines.len().saturating_sub(1), self.page.max(1));
        let at = self.here().at;
        let at = match code {
            KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => at + 1,
            KeyCode::PageUp => at.saturating_sub(page),
            KeyCode::PageDown => at + page,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => return,
        };
        let at = at.min(last);
        let id = self.lines.get(at).map(|line| line.id.clone());
        let here = self.here_mut();
        (here.at, here.selected) = (at, id);
    }
}
