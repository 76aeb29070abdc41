//! Numbers and times as people read them at a glance.

use std::time::{Duration, SystemTime};

use crate::calendar;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// A number with a fraction: things per second, or how many at once.
    Rate,
    /// Microseconds.
    Micros,
    /// Bytes.
    Bytes,
    /// Seconds since something happened.
    Age,
}

/// A number in six characters or less, below a million of its largest unit.
pub fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count => scaled(value, 1e3, &["", "k", "M", "G", "T"], 0),
        Unit::Rate => scaled(value, 1e3, &["", "k", "M", "G"], 2),
        Unit::Bytes => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"], 0),
        Unit::Micros if value < 1e6 => scaled(value, 1e3, &["µs", "ms"], 0),
        Unit::Micros => seconds(value / 1e6, true),
        Unit::Age => seconds(value, false),
    }
}

/// Small numbers have `digits` behind the point, large ones as many as make three in all.
fn scaled(value: f64, step: f64, units: &[&str], digits: usize) -> String {
    let (mut value, mut at) = (value.max(0.0), 0);
    // What would be rounded up to a thousand belongs to the next unit.
    while value >= step - 0.5 && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    let unit = units.get(at).copied().unwrap_or_default();
    let digits = match (at, value) {
        (0, value) if value < 10.0 => digits,
        (0, value) if value < 100.0 => digits.min(1),
        (0, _) => 0,
        (_, value) if value < 9.995 => 2,
        (_, value) if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{unit}")
}

fn seconds(value: f64, fraction: bool) -> String {
    let whole = value.max(0.0) as u64;
    match whole {
        _ if fraction && value < 9.995 => format!("{value:.2}s"),
        _ if fraction && value < 59.95 => format!("{value:.1}s"),
        0..60 => format!("{whole}s"),
        60..3_600 => format!("{}m{:02}", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h{:02}", whole / 3_600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3_600 % 24),
    }
}

/// A duration as [`number`] shows one.
pub fn duration(time: Duration) -> String {
    number(time.as_secs_f64() * 1e6, Unit::Micros)
}

/// How long ago the console's time (`2026-01-02 03:04:05 UTC`) was, in seconds.
pub fn age(text: &str, now: SystemTime) -> Option<f64> {
    let (date, rest) = text.split_once(' ')?;
    let time = rest.strip_suffix(" UTC")?;
    let then = calendar::parse_rfc3339(&format!("{date}T{time}.000Z"))?;
    // Another machine's clock may be ahead of this one.
    let passed = now.duration_since(then).unwrap_or_default();
    Some(passed.as_secs() as f64)
}

/// Text on one line: what applications choose to be called must not move the cursor of whoever looks.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if !character.is_control() => line.push(character),
            _ if line.ends_with(' ') => {}
            _ => line.push(' '),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        let shown = [
            (0.0, Unit::Count, "0"),
            (999.0, Unit::Count, "999"),
            (999.7, Unit::Count, "1.00k"),
            (12_345.0, Unit::Count, "12.3k"),
            (999_600.0, Unit::Count, "1.00M"),
            (0.0, Unit::Rate, "0.00"),
            (12.34, Unit::Rate, "12.3"),
            (1_234.0, Unit::Rate, "1.23k"),
            (12.0, Unit::Micros, "12µs"),
            (1_234.0, Unit::Micros, "1.23ms"),
            (1_500_000.0, Unit::Micros, "1.50s"),
            (83_000_000.0, Unit::Micros, "1m23"),
            (59.0, Unit::Age, "59s"),
            (3_700.0, Unit::Age, "1h01"),
            (90_000.0, Unit::Age, "1d01h"),
            (1_024.0, Unit::Bytes, "1.00KiB"),
            (-1.0, Unit::Count, "0"),
        ];
        for (value, unit, text) in shown {
            assert_eq!(number(value, unit), text, "{value} {unit:?}");
        }
    }

    #[test]
    fn ages_of_the_consoles_times() {
        let then = "2026-01-02 03:04:05 UTC";
        let now = calendar::parse_rfc3339("2026-01-02T03:05:06.900Z").expect("a time");
        assert_eq!(age(then, now), Some(61.0));
        assert_eq!(age(then, SystemTime::UNIX_EPOCH), Some(0.0));
        assert_eq!(age("", now), None);
        assert_eq!(age("never UTC", now), None);
    }

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(one_line("SELECT\r\n\t1\u{1b}[2J\u{9b}x"), "SELECT 1 [2J x");
    }
}
