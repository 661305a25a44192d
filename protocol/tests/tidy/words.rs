//! One word for each thing, and a verb for what a function does.

use std::collections::BTreeSet;

use super::source::{code_and_tests, complain, is_word, read, rust, without_comments};

/// The rows of the glossary's table of words that code does not use: the word, what to write, and where.
fn forbidden_words(glossary: &str) -> Vec<(String, String, Vec<String>)> {
    let (_, table) = glossary.split_once("| word | but | in |\n").expect("the glossary has the table");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let places = cells[2].split(',').map(|place| place.trim().trim_matches('`').to_owned());
        (cells[0].to_owned(), cells[1].to_owned(), places.collect())
    })
    .collect()
}

/// The words of every name in code, in lower case with `_` on both sides: `_go_on_all_` of `go_on_all` and of `GoOnAll`.
fn names(code: &str) -> BTreeSet<String> {
    let is_name = |letter: char| u8::try_from(letter).is_ok_and(is_word);
    let mut names = BTreeSet::new();
    for name in code.split(|letter| !is_name(letter)).filter(|name| !name.is_empty()) {
        let mut words = String::from("_");
        let mut before = '_';
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
                words.push('_');
            }
            words.push(letter.to_ascii_lowercase());
            before = letter;
        }
        words.push('_');
        names.insert(words);
    }
    names
}

fn without_strings(code: &str) -> String {
    code.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

#[test]
fn a_thing_has_one_word_and_its_twins_are_refused() {
    let forbidden = forbidden_words(&read("spec/glossary.md"));
    assert!(forbidden.len() > 10, "the table is read");
    let mut problems = Vec::new();
    for source in rust().iter().filter(|source| source.is_shipped()) {
        let names = names(&without_strings(&without_comments(code_and_tests(&source.text).0)));
        for (word, instead, places) in &forbidden {
            let is_there = places.iter().any(|place| place == "everywhere" || source.is_under(place));
            let part = format!("_{word}_");
            if is_there
                && (names.iter().any(|name| name.contains(&part))
                    || source.path.contains(&format!("/{word}.")))
            {
                problems
                    .push(format!("{}: `{word}` is not a word of this place; write {instead}", source.path));
            }
        }
    }
    complain(&problems);
}

#[test]
fn names_are_taken_apart_into_words() {
    let names = names("let desk_max = LedgerDesk::new(GO_ON);");
    for part in ["_desk_max_", "_ledger_desk_", "_go_on_"] {
        assert!(names.contains(part), "{part} in {names:?}");
    }
}

/// Whether a sentence begins with a verb in the third person.
fn begins_with_a_verb(sentence: &str) -> bool {
    let word = sentence.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    let is_other = ["This", "Its", "As", "Whose", "Always", "Unless", "Less"].contains(&word);
    word.starts_with(|letter: char| letter.is_ascii_uppercase()) && word.ends_with('s') && !is_other
}

#[test]
fn what_a_public_function_does_is_said_by_a_verb() {
    let mut problems = Vec::new();
    for source in rust().iter().filter(|source| source.is_shipped()) {
        let lines: Vec<&str> = code_and_tests(&source.text).0.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate() {
            let is_function = line.starts_with("pub fn ")
                || line.starts_with("pub const fn ")
                || line.starts_with("pub async fn ")
                || line.starts_with("pub unsafe fn ");
            let doc =
                lines[..at].iter().rev().take_while(|line| line.starts_with("///") || line.starts_with("#["));
            let first = doc.filter_map(|line| line.strip_prefix("/// ")).last();
            if let Some(first) = first.filter(|first| is_function && !begins_with_a_verb(first)) {
                problems.push(format!(
                    "{}:{}: begin with a verb, as in `Returns …`: {first}",
                    source.path,
                    at + 1
                ));
            }
        }
    }
    complain(&problems);
}

#[test]
fn a_heading_in_docs_stands_alone() {
    let mut problems = Vec::new();
    for source in rust().iter().filter(|source| source.is_shipped()) {
        for (at, line) in source.text.lines().enumerate() {
            let heading = line.trim().strip_prefix("/// # ").unwrap_or_default();
            if heading.contains(' ') {
                problems.push(format!(
                    "{}:{}: what follows `# …` needs a line of its own: {heading}",
                    source.path,
                    at + 1
                ));
            }
        }
    }
    complain(&problems);
}
