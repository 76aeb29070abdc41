//! Draws the state: head, tabs, the lines of a screen, what lies over them, and a line of hints.

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Cell as TableCell, Clear, Paragraph, Row, Table, Wrap};

use super::detail;
use super::plain;
use super::screens::{Alarm, Column, SCREENS};
use super::state::keys::KEYS;
use super::state::{Connection, Over, State};

mod head;

/// The smallest terminal that shows anything.
const SMALLEST: (u16, u16) = (30, 6);
/// Cells between two columns.
const GAP: u16 = 1;
/// Cells in front of a line for its alarm.
const MARK: u16 = 1;

/// Draws. Writes down how many lines fit, for the keys that go by pages.
pub fn draw(frame: &mut Frame<'_>, state: &mut State, now: Instant) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (width, height) = SMALLEST;
        let text = format!("needs {width}x{height}");
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let head = head::lines(state, (area.width, area.height), now);
    let head_height = u16::try_from(head.len()).unwrap_or(3).min(area.height - 4);
    let [top, tabs, body, hints] = Layout::vertical([
        Constraint::Length(head_height),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head), top);
    frame.render_widget(tab_line(state, tabs.width), tabs);
    state.page = usize::from(body.height.saturating_sub(1)).max(1);
    match state.over {
        Over::Help => frame.render_widget(help(), body),
        Over::Detail(from) => draw_detail(frame, state, body, from),
        Over::Screen | Over::Filter => draw_lines(frame, state, body),
    }
    frame.render_widget(Clear, hints);
    frame.render_widget(hint(state), hints);
}

/// Names of the screens with their keys; only the one that is shown where there is no room.
fn tab_line(state: &State, width: u16) -> Paragraph<'static> {
    let all: usize = SCREENS.iter().map(|screen| screen.name.len() + 4).sum();
    let mut spans = Vec::new();
    for (at, screen) in SCREENS.iter().enumerate() {
        let is_shown = at == state.screen;
        let style = match is_shown {
            true => Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD),
            false => Style::new(),
        };
        if all <= usize::from(width) || is_shown {
            spans.push(Span::styled(format!(" {} {} ", at + 1, screen.name), style));
            spans.push(Span::raw(" "));
        } else {
            spans.push(Span::styled(format!(" {} ", at + 1), style));
        }
    }
    Paragraph::new(Text::from(spans))
}

/// Places of the columns that fit into `width`: those with the highest rank are left out first, of
/// equal ones the last.
pub fn fitting(columns: &[Column], width: u16) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let needed = |kept: &[usize]| -> u16 {
        let cells = kept.iter().filter_map(|at| columns.get(*at));
        MARK + cells.map(|column| column.width + GAP).sum::<u16>()
    };
    while kept.len() > 1 && needed(&kept) > width {
        let rank = |at: &usize| columns.get(*at).map_or(0, |column| column.rank);
        let Some((place, _)) = kept.iter().enumerate().max_by_key(|(_, at)| rank(at)) else {
            break;
        };
        kept.remove(place);
    }
    kept
}

fn colour(alarm: Alarm) -> Style {
    match alarm {
        Alarm::None => Style::new(),
        Alarm::Warn => Style::new().fg(Color::Yellow),
        Alarm::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

fn draw_lines(frame: &mut Frame<'_>, state: &mut State, area: Rect) {
    let screen = state.spec();
    let kept = fitting(screen.columns, area.width);
    let columns: Vec<&Column> = kept
        .iter()
        .filter_map(|at| screen.columns.get(*at))
        .collect();
    let sorted = state.here().sorted;
    let titles = kept.iter().zip(&columns).map(|(at, column)| {
        let mark = match sorted {
            Some((by, true)) if by == *at => "▼",
            Some((by, false)) if by == *at => "▲",
            _ => "",
        };
        aligned(column, format!("{}{mark}", column.title))
    });
    let title_style = Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
    let header = Row::new(std::iter::once(TableCell::from("")).chain(titles)).style(title_style);
    let room = usize::from(area.height.saturating_sub(1));
    let from = state.window(room);
    let at = state.here().at;
    let shown = state.lines().iter().enumerate().skip(from).take(room);
    let rows = shown.map(|(place, line)| {
        let mark = match line.alarm {
            Alarm::None => " ",
            Alarm::Warn => "*",
            Alarm::Bad => "!",
        };
        let cells = kept.iter().zip(&columns).map(|(at, column)| {
            let text = line.cells.get(*at).map(|value| plain::cell(column, value));
            aligned(column, text.unwrap_or_default())
        });
        let style = match place == at {
            true => colour(line.alarm).add_modifier(Modifier::REVERSED),
            false => colour(line.alarm),
        };
        Row::new(std::iter::once(TableCell::from(mark)).chain(cells)).style(style)
    });
    let last = columns.len().saturating_sub(1);
    let widths = columns
        .iter()
        .enumerate()
        .map(|(at, column)| match at == last {
            true => Constraint::Min(column.width),
            false => Constraint::Length(column.width),
        });
    let widths = std::iter::once(Constraint::Length(MARK)).chain(widths);
    let table = Table::new(rows, widths).header(header).column_spacing(GAP);
    frame.render_widget(table, area);
    if state.lines().is_empty() {
        draw_nothing(frame, state, area);
    }
}

/// Why there are no lines.
fn draw_nothing(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let why = match (&state.connection, state.filter.is_empty()) {
        (Connection::Opening, _) => "connecting …".to_owned(),
        _ if state.now.is_none() => "nothing was read yet".to_owned(),
        (_, false) => format!("no line has \"{}\"; Esc shows all", state.filter),
        _ => "none".to_owned(),
    };
    let below = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    };
    frame.render_widget(Paragraph::new(format!(" {why}")), below);
}

fn aligned(column: &Column, text: String) -> TableCell<'static> {
    let alignment = match column.unit {
        Some(_) => Alignment::Right,
        None => Alignment::Left,
    };
    TableCell::from(Text::from(text).alignment(alignment))
}

fn draw_detail(frame: &mut Frame<'_>, state: &mut State, area: Rect, from: u16) {
    let mut lines = Vec::new();
    let bold = Style::new().add_modifier(Modifier::BOLD);
    for part in detail::parts(state) {
        lines.push(Text::styled(part.title, bold));
        lines.extend((part.lines.into_iter()).map(|line| Text::from(format!("  {line}"))));
        lines.push(Text::from(""));
    }
    if lines.is_empty() {
        lines.push(Text::from("  it is not there any more; Esc goes back"));
    }
    // Where lines wrap there are more of them.
    let wrapped = |line: &Text<'_>| line.width().div_ceil(usize::from(area.width)).max(1);
    let height: usize = lines.iter().map(wrapped).sum();
    let last = height.saturating_sub(usize::from(area.height));
    let from = from.min(u16::try_from(last).unwrap_or(u16::MAX));
    state.over = Over::Detail(from);
    let text = Paragraph::new(lines)
        .wrap(Wrap { trim: false })
        .scroll((from, 0));
    frame.render_widget(text, area);
}

fn help() -> Paragraph<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let width = KEYS.iter().map(|(keys, _)| keys.chars().count()).max();
    let width = width.unwrap_or(0);
    let entry = |name: &str, about: &str| {
        let name = format!(" {name:width$}  ");
        Text::from(vec![Span::styled(name, bold), Span::raw(about.to_owned())])
    };
    let keys = KEYS.iter().map(|(keys, about)| entry(keys, about));
    let screens = SCREENS
        .iter()
        .map(|screen| entry(screen.name, screen.about));
    Paragraph::new(
        keys.chain([Text::from("")])
            .chain(screens)
            .collect::<Vec<_>>(),
    )
}

fn hint(state: &State) -> Paragraph<'static> {
    let dim = Style::new().add_modifier(Modifier::DIM);
    let text = match state.over {
        Over::Filter => return Paragraph::new(format!("/{}▏", state.filter)),
        Over::Help => "any key goes back".to_owned(),
        Over::Detail(_) => "↑↓ PgUp PgDn move  Esc back".to_owned(),
        Over::Screen => {
            let lines = state.lines().len();
            let place = match lines {
                0 => 0,
                _ => state.here().at + 1,
            };
            let mut text = format!("{place}/{lines}");
            if !state.filter.is_empty() {
                text.push_str(&format!(" with \"{}\"", state.filter));
            }
            text + "  Enter detail  s r sort  / filter  p pause  ? help  q quit"
        }
    };
    Paragraph::new(text).style(dim)
}

#[cfg(test)]
mod tests;
