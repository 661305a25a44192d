//! The source tree as the checks read it.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const CRATES: [&str; 4] = ["protocol", "node", "gpu", "simnet"];

pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn is_under(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Whether this is code that runs outside tests.
    pub(crate) fn is_shipped(&self) -> bool {
        self.path.contains("/src/") || self.path.ends_with(".tolk")
    }
}

pub(crate) fn without_comments(text: &str) -> String {
    // A URL in a string holds two slashes as well.
    let cut = |line: &'_ str| {
        let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
        comment.map_or(line.to_owned(), |(at, _)| line[..at].to_owned())
    };
    text.lines().map(cut).collect::<Vec<_>>().join("\n")
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below `folder` with one of the endings, in order of its path.
pub(crate) fn sources(folder: &str, endings: &[&str]) -> Vec<Source> {
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

pub(crate) fn rust() -> Vec<Source> {
    CRATES.iter().flat_map(|name| sources(name, &[".rs"])).collect()
}

/// A file's code, and the module of tests at its end. Tests in a file of their own are only named before.
pub(crate) fn code_and_tests(text: &str) -> (&str, &str) {
    const START: &str = "#[cfg(test)]\nmod ";
    let is_block =
        |at: &usize| text[at + START.len()..].lines().next().is_some_and(|line| line.ends_with('{'));
    let at = text.match_indices(START).map(|(at, _)| at).find(is_block);
    text.split_at(at.unwrap_or(text.len()))
}

/// The files of modules that a file declares for its tests alone.
pub(crate) fn files_of_tests(source: &Source) -> Vec<String> {
    const START: &str = "#[cfg(test)]\nmod ";
    let folder = source.path.strip_suffix("/mod.rs").or_else(|| source.path.strip_suffix("/lib.rs"));
    let folder = folder.unwrap_or_else(|| source.path.trim_end_matches(".rs"));
    let declared = source.text.match_indices(START).filter_map(|(at, _)| {
        source.text[at + START.len()..].lines().next().and_then(|line| line.strip_suffix(';'))
    });
    declared.map(|name| format!("{folder}/{name}.rs")).collect()
}

pub(crate) fn complain(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n  {}", problems.len(), problems.join("\n  "));
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands by itself.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text.as_bytes()[..*at].last().is_none_or(|byte| !is_word(*byte));
        let after = text.as_bytes()[at + word.len()..].first().is_none_or(|byte| !is_word(*byte));
        before && after
    })
}

/// Whether code names an item of a crate: `name::…`, `use name…` or `extern crate name`.
pub(crate) fn uses(code: &str, name: &str) -> bool {
    words(code, name).any(|at| {
        let before = code[..at].trim_end();
        code[at + name.len()..].starts_with("::") || before.ends_with("use") || before.ends_with("crate")
    })
}
