//! Points in time as people read them: UTC, in the proleptic Gregorian calendar.

use std::time::{SystemTime, UNIX_EPOCH};

/// `2026-01-02 03:04:05.678`, always in UTC. A time before 1970 is shown as its beginning.
pub fn utc_millis(time: SystemTime) -> String {
    let (seconds, millis) = since_epoch(time);
    format!("{}.{millis:03}", written(seconds))
}

/// `2026-01-02T03:04:05.678Z`, the form of RFC 3339, for machines.
pub fn rfc3339(time: SystemTime) -> String {
    let (seconds, millis) = since_epoch(time);
    format!("{}.{millis:03}Z", written(seconds).replace(' ', "T"))
}

/// The same with microseconds.
pub fn rfc3339_micros(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (since.as_secs(), since.subsec_micros());
    format!("{}.{micros:06}Z", written(seconds).replace(' ', "T"))
}

/// Reads what [`rfc3339`] and [`rfc3339_micros`] write; `None` for anything else, and for a time
/// before 1970.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        (digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let whole = marks
        .iter()
        .all(|&(at, mark)| text.as_bytes().get(at) == Some(&mark));
    let fraction = text.get(19..)?.strip_suffix('Z')?;
    let micros = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => 0,
        Some(digits) if (1..=6).contains(&digits.len()) => {
            number(20, 20 + digits.len())? * 10_u64.pow(6 - digits.len() as u32)
        }
        _ => return None,
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let valid = whole && hour < 24 && minute < 60 && second <= 60 && (1..=31).contains(&day);
    if !valid || !(1..=12).contains(&month) || year < 1970 {
        return None;
    }
    let seconds = days(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second;
    UNIX_EPOCH.checked_add(std::time::Duration::from_micros(
        seconds.checked_mul(1_000_000)?.checked_add(micros)?,
    ))
}

/// Days from 1970-01-01 to a day; the inverse of [`date`].
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year - 1 } else { year };
    let (century, of_century) = (year / 400, year % 400);
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    let of_four = of_century * 365 + of_century / 4 - of_century / 100 + of_year;
    (century * 146_097 + of_four).checked_sub(719_468)
}

/// `2026-01-02 03:04:05 UTC`, the form in which PgBouncer's SHOW prints times.
pub fn utc_seconds(time: SystemTime) -> String {
    format!("{} UTC", written(since_epoch(time).0))
}

fn since_epoch(time: SystemTime) -> (u64, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_millis())
}

fn written(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Years are taken to begin in March, so that the leap day is a year's last; then four centuries
/// have 146,097 days, and the months since March follow a line of 153 days in five months.
fn date(days: u64) -> (u64, u64, u64) {
    // Days from 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_since_march + 2) / 5 + 1;
    let month = (month_since_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_written_can_be_read() {
        for seconds in (0..4_000_000_000).step_by(86_399 * 17) {
            let time = UNIX_EPOCH + Duration::from_micros(seconds * 1_000_000 + 123_456);
            assert_eq!(parse_rfc3339(&rfc3339_micros(time)), Some(time));
        }
        let whole = parse_rfc3339("2026-11-26T10:00:01Z");
        assert_eq!(
            whole.map(rfc3339).as_deref(),
            Some("2026-11-26T10:00:01.000Z")
        );
        for wrong in [
            "",
            "2026-11-26",
            "2026-11-26T10:00:01",
            "2026-13-26T10:00:01Z",
            "1969-11-26T10:00:01Z",
            "2026-11-26 10:00:01Z",
            "2026-11-26T10:00:01.1234567Z",
            "2026-11-26T10:00:é1Z",
        ] {
            assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn known_moments() {
        let at = |seconds| utc_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(1_767_323_045), "2026-01-02 03:04:05 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00:00 UTC");
        let millis = UNIX_EPOCH + Duration::from_millis(1_767_323_045_678);
        assert_eq!(utc_millis(millis), "2026-01-02 03:04:05.678");
        assert_eq!(rfc3339(millis), "2026-01-02T03:04:05.678Z");
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(utc_seconds(before), "1970-01-01 00:00:00 UTC");
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut last = date(0);
        for days in 1..200_000 {
            let next = date(days);
            let (year, month, day) = next;
            let follows = match (day, month) {
                (1, 1) => last == (year - 1, 12, 31),
                (1, _) => last.0 == year && last.1 == month - 1 && last.2 >= 28,
                _ => last == (year, month, day - 1),
            };
            assert!(follows, "{last:?} {next:?}");
            last = next;
        }
    }
}
