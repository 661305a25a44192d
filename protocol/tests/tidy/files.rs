//! What a file must say of itself, how long it may be, and that its limits limit something.

use super::source::{Source, complain, rust, sources, without_comments, words};

/// Lines of one source file. Most have a third of it; what outgrows it holds a part that wants to be a file.
const LINES_MAX: usize = 700;
/// Files that may be longer, and why.
const LONG_FILES: [(&str, &str); 0] = [];

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
