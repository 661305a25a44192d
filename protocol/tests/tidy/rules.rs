//! Rules stand in the specification, in code and in tests; places that pages name are there.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{
    CRATES, Source, code_and_tests, complain, files_of_tests, is_word, read, root, rust, sources,
};

/// A requirement's id, such as `MK-7`.
type Id = (String, u32);

/// Every id in a text, those inside of `MK-3 to MK-6` included.
fn ids(text: &str) -> BTreeSet<Id> {
    let bytes = text.as_bytes();
    let mut found: BTreeSet<Id> = BTreeSet::new();
    let mut last: Option<(Id, usize)> = None;
    for (dash, _) in text.match_indices('-') {
        let Some(start) = dash.checked_sub(2) else { continue };
        let prefix = &bytes[start..dash];
        let digits = bytes[dash + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = dash + 1 + digits;
        let open = bytes[..start].last().is_none_or(|byte| !is_word(*byte) && *byte != b'-');
        let shut = bytes.get(end).is_none_or(|byte| !is_word(*byte) && *byte != b'-');
        if digits == 0 || !prefix.iter().all(u8::is_ascii_uppercase) || !open || !shut {
            continue;
        }
        let id = (text[start..dash].to_owned(), text[dash + 1..end].parse().unwrap());
        if let Some(((prefix, from), until)) = &last
            && *prefix == id.0
            && text[*until..start].trim_matches('`') == " to "
        {
            found.extend((*from..id.1).map(|number| (prefix.clone(), number)));
        }
        found.insert(id.clone());
        last = Some((id, end));
    }
    found
}

#[test]
fn ids_are_found_alone_in_lists_and_in_ranges() {
    let id = |prefix: &str, number| (prefix.to_owned(), number);
    let text =
        "// (`MK-1`, CH-20), `SE-3` to `SE-5`, not AB-, ABC-1, XMK-2, MK-2x, SHA-256, -MK-8 or ML-KEM-768";
    let expected = [id("MK", 1), id("CH", 20), id("SE", 3), id("SE", 4), id("SE", 5)];
    assert_eq!(ids(text), BTreeSet::from(expected));
}

fn shown((prefix, number): &Id) -> String {
    format!("{prefix}-{number}")
}

#[test]
fn every_rule_is_specified_kept_and_tested() {
    let mut defined: BTreeMap<Id, String> = BTreeMap::new();
    let mut problems = Vec::new();
    let pages: Vec<Source> = sources("spec", &[".md"]);
    for page in &pages {
        for line in page.text.lines().filter_map(|line| line.strip_prefix("- **")) {
            let Some((head, _)) = line.split_once("**") else { continue };
            for id in ids(head) {
                if let Some(other) = defined.insert(id.clone(), page.path.clone()) {
                    problems.push(format!("{}: {} is defined in {other} already", page.path, shown(&id)));
                }
            }
        }
    }
    let prefixes: BTreeSet<&str> = defined.keys().map(|(prefix, _)| prefix.as_str()).collect();
    assert!(prefixes.len() >= 5, "the specification's rules were not found: {prefixes:?}");

    let (mut kept, mut tested) = (BTreeSet::new(), BTreeSet::new());
    let only_tests: BTreeSet<String> = rust().iter().flat_map(files_of_tests).collect();
    let contracts = sources("protocol/contracts", &[".tolk"]);
    let sources: Vec<Source> = rust().into_iter().chain(contracts).collect();
    for source in sources.iter().chain(&pages).filter(|source| !source.is_under("protocol/tests/tidy/")) {
        let cited = ids(&source.text).into_iter().filter(|(prefix, _)| prefixes.contains(prefix.as_str()));
        for id in cited.filter(|id| !defined.contains_key(id)) {
            problems.push(format!("{}: cites {}, which spec/ does not define", source.path, shown(&id)));
        }
        if only_tests.contains(&source.path) {
            tested.extend(ids(&source.text));
        } else if source.is_shipped() {
            let (code, tests) = code_and_tests(&source.text);
            // What checks other nodes names rules without keeping any.
            if !source.is_under("node/src/conform/") {
                kept.extend(ids(code));
            }
            tested.extend(ids(tests));
        } else if source.path.contains("/tests/") {
            tested.extend(ids(&source.text));
        }
    }
    for (id, page) in &defined {
        if !kept.contains(id) {
            problems.push(format!("{page}: no code cites {}; name it where it is kept", shown(id)));
        }
        if !tested.contains(id) {
            problems
                .push(format!("{page}: no test cites {}; name it in the test that can break it", shown(id)));
        }
    }
    complain(&problems);
}

/// Whether words in backticks are a path from the root: a crate's folder, or one of those around them, and then a name.
fn is_path(words: &str) -> bool {
    let first = words.split_once('/').map(|(first, rest)| (first, rest.is_empty()));
    let is_plain = words.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.-_".contains(&byte));
    let is_room =
        |first: &str| CRATES.contains(&first) || ["spec", ".ci", ".cargo", ".github"].contains(&first);
    is_plain && !words.contains("/NAME") && first.is_some_and(|(first, is_bare)| is_room(first) && !is_bare)
}

#[test]
fn every_place_that_a_page_for_maintainers_names_is_there() {
    let mut problems = Vec::new();
    for page in
        ["README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md", ".github/PULL_REQUEST_TEMPLATE.md"]
    {
        let text = read(page);
        let (mut code, mut named) = (false, 0);
        for line in text.lines() {
            code ^= line.trim_start().starts_with("```");
            if code {
                continue;
            }
            for path in line.split('`').skip(1).step_by(2).filter(|words| is_path(words)) {
                named += 1;
                if !root().join(path).exists() {
                    problems.push(format!("{page}: there is no `{path}`; name what has taken its place"));
                }
            }
        }
        assert!(
            named > 0 || page.ends_with("TEMPLATE.md"),
            "{page} names no place: this test reads it wrongly"
        );
    }
    complain(&problems);
}
