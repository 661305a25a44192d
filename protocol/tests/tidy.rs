//! Keeps the load-bearing walls: who may know whom, which crate is named where, and that specification, code and tests
//! speak of the same rules. Reads the source tree; a complaint says what, where and what to do.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 4] = ["protocol", "node", "gpu", "simnet"];

/// Lines of one source file. Most have a third of it; what outgrows it holds a part that wants to be a file.
const LINES_MAX: usize = 700;
/// Files that may be longer, and why.
const LONG_FILES: [(&str, &str); 0] = [];

struct Source {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn is_under(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Whether this is code that runs outside tests.
    fn is_shipped(&self) -> bool {
        self.path.contains("/src/") || self.path.ends_with(".tolk")
    }
}

fn without_comments(text: &str) -> String {
    // A URL in a string holds two slashes as well.
    let cut = |line: &'_ str| {
        let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
        comment.map_or(line.to_owned(), |(at, _)| line[..at].to_owned())
    };
    text.lines().map(cut).collect::<Vec<_>>().join("\n")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below `folder` with one of the endings, in order of its path.
fn sources(folder: &str, endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !["target", "node_modules"].contains(&name.as_str()) {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                found.push(Source { path: relative, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn rust() -> Vec<Source> {
    CRATES.iter().flat_map(|name| sources(name, &[".rs"])).collect()
}

/// A file's code, and the module of tests at its end. Tests in a file of their own are only named before.
fn code_and_tests(text: &str) -> (&str, &str) {
    const START: &str = "#[cfg(test)]\nmod ";
    let is_block =
        |at: &usize| text[at + START.len()..].lines().next().is_some_and(|line| line.ends_with('{'));
    let at = text.match_indices(START).map(|(at, _)| at).find(is_block);
    text.split_at(at.unwrap_or(text.len()))
}

/// The files of modules that a file declares for its tests alone.
fn files_of_tests(source: &Source) -> Vec<String> {
    const START: &str = "#[cfg(test)]\nmod ";
    let folder = source.path.strip_suffix("/mod.rs").or_else(|| source.path.strip_suffix("/lib.rs"));
    let folder = folder.unwrap_or_else(|| source.path.trim_end_matches(".rs"));
    let declared = source.text.match_indices(START).filter_map(|(at, _)| {
        source.text[at + START.len()..].lines().next().and_then(|line| line.strip_suffix(';'))
    });
    declared.map(|name| format!("{folder}/{name}.rs")).collect()
}

fn complain(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n  {}", problems.len(), problems.join("\n  "));
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands by itself.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text.as_bytes()[..*at].last().is_none_or(|byte| !is_word(*byte));
        let after = text.as_bytes()[at + word.len()..].first().is_none_or(|byte| !is_word(*byte));
        before && after
    })
}

/// Whether code names an item of a crate: `name::…`, `use name…` or `extern crate name`.
fn uses(code: &str, name: &str) -> bool {
    words(code, name).any(|at| {
        let before = code[..at].trim_end();
        code[at + name.len()..].starts_with("::") || before.ends_with("use") || before.ends_with("crate")
    })
}

#[test]
fn crates_know_only_whom_they_may() {
    let arrows: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("protocol", &[][..]),
        ("gpu", &[]),
        ("simnet", &["bombyx-protocol"]),
        ("node", &["bombyx-gpu", "bombyx-protocol"]),
    ]);
    let mut problems = Vec::new();
    for name in CRATES {
        let manifest = read(&format!("{name}/Cargo.toml"));
        let known =
            manifest.lines().map(str::trim_start).filter(|line| line.starts_with("bombyx-")).map(|line| {
                line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').next().unwrap()
            });
        // A crate's own tests may name it, to switch a feature on.
        let itself = format!("bombyx-{name}");
        for known in known.filter(|known| *known != itself && !arrows[name].contains(known)) {
            problems.push(format!("{name}/Cargo.toml: `{name}` may not know `{known}`; see spec/00-map.md"));
        }
    }
    complain(&problems);
}

/// The rooms in the table on a crate's first page, from the top down.
fn rooms(first_page: &str) -> Vec<&str> {
    let rows = first_page.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.filter_map(|row| row.split('`').next()).collect()
}

#[test]
fn a_room_uses_only_rooms_below_it() {
    let mut problems = Vec::new();
    for name in ["node", "simnet"] {
        let first_page = read(&format!("{name}/src/lib.rs"));
        let rooms = rooms(&first_page);
        assert!(rooms.len() > 8, "{name}/src/lib.rs: the table of rooms is not found");
        let sources = sources(&format!("{name}/src"), &[".rs"]);
        let tests: BTreeSet<String> = sources.iter().flat_map(files_of_tests).collect();
        for source in sources.iter().filter(|source| !tests.contains(&source.path)) {
            let place = source.path.trim_start_matches(&format!("{name}/src/")).split(['/', '.']).next();
            let Some(floor) = rooms.iter().position(|room| Some(*room) == place) else { continue };
            let code = without_comments(code_and_tests(&source.text).0);
            for above in rooms[..floor].iter().filter(|above| uses(&code, &format!("crate::{above}"))) {
                problems.push(format!(
                    "{}: uses `{above}`, which stands above it in the table of {name}/src/lib.rs; move what both need \
                     down, or what asks for it up",
                    source.path
                ));
            }
        }
    }
    complain(&problems);
}

/// Names the module of a file below `src`, from the crate's root down.
fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|part| !["lib", "main"].contains(part)).map(str::to_owned).collect()
}

/// Takes a path or a tree of them apart, as it stands from `at` on.
fn paths(code: &str, at: &mut usize, mut path: Vec<String>, found: &mut Vec<Vec<String>>) {
    let skip_space = |at: &mut usize| *at += code[*at..].len() - code[*at..].trim_start().len();
    loop {
        skip_space(at);
        if code[*at..].starts_with('{') {
            *at += 1;
            while !code[*at..].starts_with('}') && *at < code.len() {
                paths(code, at, path.clone(), found);
                skip_space(at);
                *at += usize::from(code[*at..].starts_with(','));
                skip_space(at);
            }
            *at += usize::from(*at < code.len());
            return;
        }
        let length = code[*at..].bytes().take_while(|byte| is_word(*byte)).count();
        let part = &code[*at..*at + length];
        *at += length;
        if length == 0 {
            // `super::*` of a module within a file means the file.
            let is_all = code[*at..].starts_with('*') && path.last().is_some_and(|last| last == "super");
            *at += code[*at..].chars().next().map_or(0, char::len_utf8);
            if !is_all {
                found.push(path);
            }
            return;
        }
        path.push(part.to_owned());
        if !code[*at..].starts_with("::") {
            found.push(path);
            *at += code[*at..]
                .strip_prefix(" as ")
                .map_or(0, |name| " as ".len() + name.bytes().take_while(|byte| is_word(*byte)).count());
            return;
        }
        *at += 2;
    }
}

/// Finds the modules that a module's code names, itself left out.
fn used_by(module: &[String], code: &str, modules: &BTreeSet<Vec<String>>) -> BTreeSet<Vec<String>> {
    let mut found = Vec::new();
    let children =
        modules.iter().filter(|other| other.len() == module.len() + 1 && other.starts_with(module));
    let children = children.map(|child| child[module.len()].as_str());
    for start in ["crate", "super", "self"].into_iter().chain(children) {
        // `pub(in crate::client)` says who may see it, and uses nobody.
        let begins = |at: &usize| {
            let before = &code[..*at];
            !before.ends_with("::") && !before.ends_with("(in ") && code[at + start.len()..].starts_with("::")
        };
        for mut at in words(code, start).filter(begins) {
            paths(code, &mut at, Vec::new(), &mut found);
        }
    }
    let full = |path: Vec<String>| {
        let ups = path.iter().take_while(|part| *part == "super").count();
        let base = match path[0].as_str() {
            "crate" => &[],
            "super" => &module[..module.len().saturating_sub(ups)],
            _ => module,
        };
        let own = path.iter().skip_while(|part| ["crate", "super", "self"].contains(&part.as_str()));
        let full: Vec<String> = base.iter().chain(own).cloned().collect();
        (0..=full.len()).rev().map(|length| full[..length].to_vec()).find(|part| modules.contains(part))
    };
    found.into_iter().filter_map(full).filter(|other| other != module && !other.is_empty()).collect()
}

#[test]
fn no_two_modules_use_each_other() {
    let mut problems = Vec::new();
    for name in ["node", "protocol", "simnet"] {
        let src = format!("{name}/src/");
        let sources = sources(&src, &[".rs"]);
        let tests: BTreeSet<String> = sources.iter().flat_map(files_of_tests).collect();
        let shipped =
            || sources.iter().filter(|source| !tests.iter().any(|test| is_part_of(&source.path, test)));
        let modules = shipped().map(|source| module_of(&source.path[src.len()..])).collect();
        let mut arrows: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = shipped()
            .map(|source| {
                let module = module_of(&source.path[src.len()..]);
                let code = without_comments(code_and_tests(&source.text).0);
                let used = used_by(&module, &code, &modules);
                (module, used)
            })
            .collect();
        // Who uses nobody that is left, or is used by nobody, stands in no circle.
        loop {
            let before = arrows.len();
            let left: BTreeSet<_> = arrows.keys().cloned().collect();
            arrows.values_mut().for_each(|used| used.retain(|other| left.contains(other)));
            let used: BTreeSet<_> = arrows.values().flatten().cloned().collect();
            arrows.retain(|module, uses| !uses.is_empty() && used.contains(module));
            if arrows.len() == before {
                break;
            }
        }
        let circle: Vec<String> = arrows.keys().map(|module| module.join("::")).collect();
        if !circle.is_empty() {
            problems.push(format!(
                "{name}: {} use each other in a circle; what two of them know belongs in a file that uses neither",
                circle.join(", ")
            ));
        }
    }
    complain(&problems);
}

/// Whether a file is the one of a module, or lies in its folder.
fn is_part_of(path: &str, module: &str) -> bool {
    path.strip_prefix(module.trim_end_matches(".rs")).is_some_and(|rest| rest.starts_with(['.', '/']))
}

#[test]
fn each_foreign_crate_stays_in_its_room() {
    let rooms: [(&str, &[&str]); 6] = [
        ("libp2p", &["node/src/net/", "node/tests/", "node/benches/", "simnet/stack/"]),
        ("libp2p_stream", &["node/src/net/", "node/tests/", "node/benches/"]),
        ("redb", &["node/src/store/", "node/benches/"]),
        ("ort", &["gpu/"]),
        ("wgpu", &["gpu/"]),
        ("tonlib_core", &["node/src/ledger/", "node/tests/"]),
    ];
    let mut problems = Vec::new();
    // This file names what it forbids.
    for source in rust().iter().filter(|source| !source.path.ends_with("tests/tidy.rs")) {
        let code = without_comments(&source.text);
        for (name, rooms) in rooms {
            if uses(&code, name) && !rooms.iter().any(|room| source.is_under(room)) {
                problems.push(format!(
                    "{}: names `{name}`, which belongs in {}",
                    source.path,
                    rooms.join(" or ")
                ));
            }
        }
        // The codec is unmaintained: one module knows it, so that one module has to change.
        let derives = |rest: &str| ["Encode", "Decode"].iter().any(|name| rest.starts_with(name));
        let calls = code.match_indices("bincode::").any(|(at, found)| !derives(&code[at + found.len()..]));
        if (calls || code.contains("use bincode")) && !source.is_under("protocol/src/wire/") {
            problems.push(format!("{}: calls `bincode`; use bombyx_protocol::wire::codec", source.path));
        }
    }
    complain(&problems);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = |source: &Source| source.path.contains("/src/") && !source.text.starts_with("//!");
    let problems: Vec<String> = rust()
        .iter()
        .filter(|source| silent(source))
        .map(|source| format!("{}: does not begin with a `//!` sentence", source.path))
        .collect();
    complain(&problems);
}

#[test]
fn every_limit_limits_something() {
    let all: Vec<(String, String)> =
        rust().into_iter().map(|source| (source.path.clone(), without_comments(&source.text))).collect();
    let (limits, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(path, _)| path.ends_with("/limits.rs"));
    let mut problems = Vec::new();
    for (path, code) in limits {
        let names = code.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
        for name in names {
            if !others.iter().any(|(_, other)| words(other, name).next().is_some()) {
                problems.push(format!("{path}: nothing uses {name}; enforce it or remove it"));
            }
        }
    }
    complain(&problems);
}

#[test]
fn no_file_is_too_long_to_read() {
    let scripts = sources("spec", &[".py"]);
    let mut problems = Vec::new();
    for source in rust().iter().chain(&scripts) {
        let lines = source.text.lines().count();
        if lines > LINES_MAX && !LONG_FILES.iter().any(|(path, _)| *path == source.path) {
            problems.push(format!(
                "{}: {lines} lines, the limit is {LINES_MAX}; find the part in it",
                source.path
            ));
        }
    }
    complain(&problems);
}

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
    for source in sources.iter().chain(&pages).filter(|source| !source.path.ends_with("tests/tidy.rs")) {
        let cited = ids(&source.text).into_iter().filter(|(prefix, _)| prefixes.contains(prefix.as_str()));
        for id in cited.filter(|id| !defined.contains_key(id)) {
            problems.push(format!("{}: cites {}, which spec/ does not define", source.path, shown(&id)));
        }
        if only_tests.contains(&source.path) {
            tested.extend(ids(&source.text));
        } else if source.is_shipped() {
            let (code, tests) = code_and_tests(&source.text);
            kept.extend(ids(code));
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
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
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
