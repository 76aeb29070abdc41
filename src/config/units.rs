//! Durations and sizes as text and back.
//!
//! Source of the unit names: PostgreSQL documentation, "Parameter Names and Values".

use std::time::Duration;

/// The longest duration that is accepted: about 31 years. More is a slip of the pen, and clocks
/// must be able to add it.
pub const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// Units of time, longest name first where one ends with another.
const TIME: [(&str, u64); 6] = [
    ("min", 60_000_000),
    ("ms", 1_000),
    ("us", 1),
    ("s", 1_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Units of size.
const SIZE: [(&str, u64); 4] = [("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("B", 1)];

/// Reads a number of `unit` microseconds each.
///
/// # Errors
/// Negative, not a number, or beyond [`LONGEST`].
pub fn number_of(number: f64, unit: u64) -> Result<Duration, String> {
    if number.is_nan() || number.is_infinite() {
        return Err("is not a length of time".into());
    }
    if number < 0.0 {
        return Err("must not be negative; 0 switches it off".into());
    }
    // Rounded to whole microseconds: 0.1 must not become 99999999 ns.
    let micros = (number * unit as f64).round();
    if micros > LONGEST.as_micros() as f64 {
        return Err("is longer than 31 years".into());
    }
    Ok(Duration::from_micros(micros as u64))
}

/// Reads text with a unit: `500ms`, `1.5 s`, `10min`, `1h`, `7d`, `250us`.
///
/// # Errors
/// No unit, an unknown unit, or a number that [`number_of`] refuses.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let (number, unit) = split_unit(text);
    if unit.is_empty() {
        return Err("needs a unit: us, ms, s, min, h or d".into());
    }
    let Some((_, micros)) = TIME.iter().find(|(name, _)| *name == unit) else {
        return Err(format!(
            "has an unknown unit {unit:?}; use us, ms, s, min, h or d"
        ));
    };
    let number = plain_number(number).ok_or("is not a number with a unit")?;
    number_of(number, *micros)
}

/// Reads a size: a number of bytes, or a number with `B`, `kB`, `MB` or `GB` (of 1024 each).
///
/// # Errors
/// Not a whole number, an unknown unit, or more than 64 bits hold.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text.trim());
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err("is not a whole number of bytes, kB, MB or GB".into());
    }
    let scale = match unit {
        "" => 1,
        _ => match SIZE.iter().find(|(name, _)| *name == unit) {
            Some((_, scale)) => *scale,
            None => return Err(format!("has an unknown unit {unit:?}; use kB, MB or GB")),
        },
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
        .ok_or_else(|| "is too large".into())
}

/// Reads a decimal number without sign or exponent: what a person writes for a length of time.
pub fn plain_number(text: &str) -> Option<f64> {
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let well_formed = match text.split_once('.') {
        Some((whole, part)) => {
            digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty())
        }
        None => digits(text) && !text.is_empty(),
    };
    well_formed.then(|| text.parse().ok()).flatten()
}

/// Writes a duration as a plain number of `unit` microseconds, the form that SHOW CONFIG has.
pub fn as_number(duration: Duration, unit: u64) -> String {
    let unit = u128::from(unit.max(1));
    let micros = duration.as_micros();
    if micros.is_multiple_of(unit) {
        return (micros / unit).to_string();
    }
    (micros as f64 / unit as f64).to_string()
}

/// Writes a size with the largest unit that divides it.
pub fn as_size(bytes: u64) -> String {
    for (name, scale) in [("GB", 1u64 << 30), ("MB", 1 << 20), ("kB", 1 << 10)] {
        if bytes != 0 && bytes.is_multiple_of(scale) {
            return format!("{}{name}", bytes / scale);
        }
    }
    bytes.to_string()
}

fn split_unit(text: &str) -> (&str, &str) {
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (number, unit.trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, micros) in [
            ("500ms", 500_000),
            ("1.5 s", 1_500_000),
            ("2min", 120_000_000),
            ("1h", 3_600_000_000),
            ("1d", 86_400_000_000),
            ("7us", 7),
            ("0s", 0),
            ("0.1s", 100_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in [
            "", "5", "ms", "5 m", "-1s", "1e3s", "1..2s", "nans", "infs", ".s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("99999999d").is_err());
        assert!(number_of(f64::NAN, 1).is_err());
        assert!(number_of(-0.5, 1).is_err());
        assert!(number_of(f64::INFINITY, 1).is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64MB"), Ok(64 << 20));
        assert_eq!(size("1 GB"), Ok(1 << 30));
        assert_eq!(size("12kB"), Ok(12 << 10));
        assert_eq!(size("12"), Ok(12));
        for text in [
            "",
            "MB",
            "1.5MB",
            "-1",
            "5KB",
            "99999999999999999999",
            "17179869184GB",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(as_size(64 << 20), "64MB");
        assert_eq!(as_size(0), "0");
        assert_eq!(as_size(2_147_483_647), "2147483647");
    }

    proptest! {
        #[test]
        fn a_shown_size_reads_back(bytes: u64) {
            prop_assert_eq!(size(&as_size(bytes)), Ok(bytes));
        }

        #[test]
        fn a_shown_number_of_seconds_reads_back(micros in 0u64..1_000_000_000_000) {
            let shown = as_number(Duration::from_micros(micros), 1_000_000);
            let number = plain_number(&shown).expect("a plain number");
            prop_assert_eq!(number_of(number, 1_000_000), Ok(Duration::from_micros(micros)));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            let _ = duration(&text);
            let _ = size(&text);
        }
    }
}
