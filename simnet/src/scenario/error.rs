//! Why a scenario file is refused, with the line and the key that was probably meant.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// Why a scenario file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ScenarioError {
    /// The file.
    pub file: String,
    /// The line, where one is at fault.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// A key that exists and looks like the unknown one.
    pub nearest: Option<String>,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.what)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl ScenarioError {
    /// Returns what the TOML reader says, in one line.
    pub(super) fn of_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let what = error.message().trim().replace('\n', " ");
        let nearest = nearest_key(&what);
        Self {
            file: file.to_owned(),
            line: error.span().map(|span| line_of(text, span.start)),
            what,
            nearest,
        }
    }
}

/// Returns the nearest of the keys that the reader says it expected, if one is near.
fn nearest_key(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    let (unknown, expected) = rest.split_once('`')?;
    expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|known| (distance(unknown, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(4) / 2)
        .map(|(_, known)| known.to_owned())
}

/// Letters to insert, remove or replace to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Returns the line of the last key of a path that the text holds; the first element stands for an
/// array of tables.
pub(super) fn locate(text: &str, path: &[&str]) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let mut found = None;
    for name in path {
        let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
        found = Some(key.span().start);
        let inner = match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            DeValue::Array(items) => items.iter().find_map(|item| item.get_ref().as_table()),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        let Some(inner) = inner else { break };
        table = inner;
    }
    found.map(|offset| line_of(text, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_words_is_levenshteins() {
        for (a, b, far) in
            [("", "abc", 3), ("kitten", "sitting", 3), ("jobs", "jobs", 0), ("seeed", "seed", 1)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (far, far), "{a} {b}");
        }
    }
}
