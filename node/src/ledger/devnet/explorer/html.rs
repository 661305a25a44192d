//! Pieces of pages: tables, figures, links, and text that cannot be taken for HTML.

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
    fn nothing_of_a_text_is_taken_for_html() {
        assert_eq!(escape("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
    }
}
