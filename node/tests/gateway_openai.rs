//! The unmodified official Python client of OpenAI against a gateway: models, chat, streams, embeddings, errors.
#![allow(clippy::unwrap_used)]

mod processes;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use processes::{Ledger, Node};
use tokio::time::timeout;

const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/requirements.txt");
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/openai_client.py");
const KEY: &str = "a local key";

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_client_works_against_the_gateway() {
    let python = tokio::task::spawn_blocking(python_with_openai);
    let ledger = Ledger::start().await;
    // Without credit: with it, a small job may be served before the ledger has refused the channel.
    let provider = Node::provider(&ledger, &[("BOMBYX_PROVIDE_CREDIT", "0")]).await;
    let python = python.await.unwrap();
    let gateway = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    // No faucet gives what this one wants for a job: the wallet of the second gateway cannot open a channel to it.
    let dear = [("BOMBYX_PROVIDE_CREDIT", "0"), ("BOMBYX_PROVIDE_PRICE_JOB", "5000")];
    let dear = Node::provider(&ledger, &dear).await;
    let dearly = ["--gateway", "127.0.0.1:0", "--join", dear.address()];
    let poor = [
        ("BOMBYX_CLIENT_DEPOSIT_MAX", "90000"),
        ("BOMBYX_CLIENT_STRANGERS_LOCKED_MAX", "90000"),
        ("BOMBYX_GATEWAY_MAX_COST", "80000"),
    ];
    let locked = [("BOMBYX_GATEWAY_KEY", KEY)];
    let (open, poor, locked) = tokio::join!(
        Node::up(&ledger, &gateway, &[]),
        Node::up(&ledger, &dearly, &poor),
        Node::up(&ledger, &gateway, &locked)
    );
    let url = |node: &Node| format!("{}/v1", node.note.gateway.as_ref().unwrap());
    let mut client = tokio::process::Command::new(python);
    client.arg(PROGRAM).args([url(&open), url(&poor), url(&locked), KEY.to_owned()]).kill_on_drop(true);
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        client.env_remove(proxy);
    }
    let output = timeout(Duration::from_secs(180), client.output()).await.expect("the client ends").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{failed}\ngateway: {}", open.log());
}

/// A Python that has the client: made once in the cache directory, by the user's own pip.
fn python_with_openai() -> PathBuf {
    let root = bombyx_gpu::cache::Cache::open().unwrap();
    let pins = std::fs::read_to_string(PACKAGES).unwrap();
    let version = pins.lines().find_map(|line| line.strip_prefix("openai==")).unwrap();
    let venv = root.entry("tests", &format!("openai-{version}"));
    let (python, ready) = (venv.join("bin/python"), venv.join("ready"));
    if !ready.exists() {
        let _ = std::fs::remove_dir_all(&venv);
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", PACKAGES];
        run(Command::new(&python).args(install));
        std::fs::write(&ready, "").unwrap();
    }
    python
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {failed}", Path::new(command.get_program()).display());
}
