//! The head: where we look, how the connection is, and the numbers that matter most.

use std::time::Instant;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::calendar;
use crate::top::format::{Unit, duration, number};
use crate::top::screens::Alarm;
use crate::top::state::{Connection, State};

/// Most lines of numbers, and most in a low terminal.
const MOST: (usize, usize) = (3, 1);
/// Lines of a low terminal.
const LOW: u16 = 12;
/// Heights of the plot's bars.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The head's lines, for a terminal of this width and height.
pub(super) fn lines(
    state: &State,
    (width, height): (u16, u16),
    now: Instant,
) -> Vec<Line<'static>> {
    let mut lines = vec![title(state, usize::from(width))];
    if let Connection::Lost(why, since) = &state.connection {
        let passed = now.saturating_duration_since(*since).as_secs_f64();
        let text = format!(
            "NO CONNECTION for {}, trying again: {why}",
            number(passed, Unit::Age)
        );
        lines.push(Line::styled(text, super::colour(Alarm::Bad)));
    }
    let (mut numbers, mut line, mut used) = (Vec::new(), Vec::new(), 0);
    for chip in chips(state) {
        let needed = chip.label.len() + chip.value.chars().count() + 3;
        if used > 0 && used + needed > usize::from(width) + 2 {
            numbers.push(Line::from(std::mem::take(&mut line)));
            used = 0;
        }
        used += needed;
        line.push(Span::raw(format!("{} ", chip.label)));
        let style = super::colour(chip.alarm).add_modifier(Modifier::BOLD);
        line.push(Span::styled(chip.value, style));
        line.push(Span::raw("  "));
    }
    numbers.push(Line::from(line));
    numbers.truncate(match height {
        LOW.. => MOST.0,
        _ => MOST.1,
    });
    lines.extend(numbers);
    lines
}

struct Chip {
    label: &'static str,
    value: String,
    alarm: Alarm,
}

fn chips(state: &State) -> Vec<Chip> {
    let totals = &state.totals;
    let shown = |value: Option<f64>, unit| value.map_or("-".to_owned(), |v| number(v, unit));
    let chip = |label, value: String, alarm| Chip {
        label,
        value,
        alarm,
    };
    let count = |value: u64| number(value as f64, Unit::Count);
    let waiting = match totals.waiting {
        0 => chip("waiting", "0".to_owned(), Alarm::None),
        some => {
            let longest = number(totals.longest_us, Unit::Micros);
            let alarm = match totals.longest_us {
                1e6.. => Alarm::Bad,
                _ => Alarm::Warn,
            };
            chip(
                "waiting",
                format!("{} (longest {longest})", count(some)),
                alarm,
            )
        }
    };
    let errors = match totals.errors {
        Some(rate) if rate > 0.0 => Alarm::Bad,
        _ => Alarm::None,
    };
    // What matters most comes first: a small terminal shows no more.
    let mut chips = vec![
        chip("tx/s", shown(totals.transactions, Unit::Rate), Alarm::None),
        waiting,
        chip(
            "servers",
            format!("{} of {} busy", count(totals.busy), count(totals.servers)),
            Alarm::None,
        ),
        chip("errors/s", shown(totals.errors, Unit::Rate), errors),
        chip("queries/s", shown(totals.queries, Unit::Rate), Alarm::None),
        chip("query", shown(totals.query_us, Unit::Micros), Alarm::None),
        chip("clients", count(totals.clients), Alarm::None),
    ];
    if let Some(paused) = &totals.paused {
        chips.insert(0, chip("PAUSED:", paused.clone(), Alarm::Bad));
    }
    if !totals.phase.is_empty() {
        chips.insert(0, chip("shutdown:", totals.phase.clone(), Alarm::Bad));
    }
    chips
}

fn title(state: &State, width: usize) -> Line<'static> {
    let clock = match state.read_at() {
        Some(time) => calendar::utc_seconds(time).get(11..19).map(str::to_owned),
        None => None,
    };
    let clock = clock.map_or(String::new(), |clock| format!("{clock} UTC"));
    let pace = match (state.paused, &state.connection) {
        (true, _) => "STOPPED AT ".to_owned(),
        (false, Connection::Opening) => "connecting ".to_owned(),
        (false, _) => format!("every {}  ", duration(state.interval)),
    };
    let left = format!("pgweir top  {}", state.place);
    let right = format!("{pace}{clock}");
    let free = width.saturating_sub(left.chars().count() + right.chars().count() + 2);
    let plot = plot(&state.history, free.saturating_sub(1));
    let between = free + 1 - plot.chars().count().min(free);
    let mut spans = vec![Span::styled(
        left,
        Style::new().add_modifier(Modifier::BOLD),
    )];
    spans.push(Span::raw(" "));
    spans.push(Span::styled(plot, Style::new().fg(Color::Cyan)));
    spans.push(Span::raw(" ".repeat(between)));
    let style = match state.paused {
        true => super::colour(Alarm::Warn).add_modifier(Modifier::REVERSED),
        false => Style::new(),
    };
    spans.push(Span::styled(right, style));
    Line::from(spans)
}

/// The last rates as bars, the largest as high as a line.
fn plot(history: &[f64], room: usize) -> String {
    let from = history.len().saturating_sub(room);
    let shown = history.get(from..).unwrap_or_default();
    let largest = shown.iter().copied().fold(0.0, f64::max);
    if largest <= 0.0 || shown.len() < 2 {
        return String::new();
    }
    let bar = |rate: &f64| {
        let height = (rate / largest * 7.0).round() as usize;
        BARS.get(height).copied().unwrap_or('█')
    };
    shown.iter().map(bar).collect()
}
