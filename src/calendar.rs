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
