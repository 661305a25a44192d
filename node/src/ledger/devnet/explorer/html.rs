//! Pieces of pages: tables, figures, links, times, and text that cannot be taken for HTML.

use bombyx_protocol::channel::terms::Address;

use crate::ledger::wallet::friendly;

pub(super) fn figures_of(figures: &[(&str, String)]) -> String {
    let each = figures.iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    format!("<dl class=figures>{}</dl>", each.collect::<String>())
}

pub(super) fn table(head: &str, rows: impl Iterator<Item = String>, empty: &str) -> String {
    let rows: String = rows.collect();
    if rows.is_empty() {
        return format!("<div class=scroll><p class=empty>{empty}</p></div>");
    }
    format!("<div class=scroll><table><thead><tr>{head}</thead><tbody>{rows}</tbody></table></div>")
}

pub(super) fn link(address: Address) -> String {
    format!("/account/{}", friendly(address, true))
}

pub(super) fn short(address: Address) -> String {
    let text = friendly(address, true);
    match (text.get(..6), text.get(text.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) => format!("{head}…{tail}"),
        _ => text,
    }
}

/// A unix time as date and time, in UTC.
pub(super) fn clock(unix_s: u32) -> String {
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

pub(super) fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
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

    #[test]
    fn nothing_of_a_text_is_taken_for_html() {
        assert_eq!(escape("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
    }
}
