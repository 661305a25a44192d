//! Puts the commit into the program, so that a published run names the code that made it, and lists the scenarios that ship.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The folder whose scenarios ship, each a file of its own.
const SCENARIOS: &str = "scenarios";

fn git(arguments: &[&str]) -> Option<String> {
    let out = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    out.status.success().then(|| text.trim().to_owned())
}

/// The list of all scenarios in their folder, as Rust: name and text of each, by name.
fn scenarios() -> String {
    let folder = fs::read_dir(SCENARIOS).expect("the folder of scenarios is readable");
    let files = folder.map(|file| file.expect("the folder of scenarios is readable").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort_by_key(|path| path.file_stem().map(OsStr::to_owned));
    let mut list = String::from("&[\n");
    for path in files {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a scenario's name is a text");
        let path = fs::canonicalize(&path).expect("a listed file exists");
        writeln!(list, "    ({name:?}, include_str!({path:?})),").expect("writing to a string does not fail");
    }
    list + "]\n"
}

fn main() {
    let out = env::var_os("OUT_DIR").expect("cargo names a folder for what is made");
    fs::write(Path::new(&out).join("shipped.rs"), scenarios()).expect("that folder is writable");
    println!("cargo::rerun-if-changed={SCENARIOS}");
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=SIMNET_COMMIT={commit}");
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
}
