//! Who may know whom: crates, rooms, modules, and foreign crates.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{
    CRATES, code_and_tests, complain, files_of_tests, is_word, read, rust, sources, uses, without_comments,
    words,
};

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

/// The rooms in the table on a crate's first page, from the top down; a public one is a link.
fn rooms(first_page: &str) -> Vec<&str> {
    let cells = first_page.lines().filter_map(|line| line.strip_prefix("//! | "));
    let rows = cells.filter_map(|cell| cell.trim_start_matches('[').strip_prefix('`'));
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
    for name in CRATES {
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
        // A module that uses none that is left, or is used by none, stands in no circle.
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
    for source in rust().iter().filter(|source| !source.path.ends_with("tests/tidy/walls.rs")) {
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
