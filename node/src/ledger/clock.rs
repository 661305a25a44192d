//! Unix time as the ledger counts it, in 32 bits, and as people read it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the present unix time by this machine's clock.
pub(crate) fn now_s() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// Returns a unix time as date and time, in UTC.
pub(crate) fn clock(unix_s: u32) -> String {
    let (days, second) = (i64::from(unix_s / 86_400), unix_s % 86_400);
    // Days since 1 March 0000, in eras of 400 years: the leap day is the last of its year.
    let day = days + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) =
        (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_its_date() {
        assert_eq!(clock(0), "1970-01-01 00:00:00");
        assert_eq!(clock(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(clock(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(clock(1_790_000_000), "2026-09-21 14:13:20");
        assert_eq!(clock(u32::MAX), "2106-02-07 06:28:15");
    }
}
