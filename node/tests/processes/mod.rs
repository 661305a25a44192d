//! Real `bombyx` processes for the tests, on a ledger in the test's own process. All of them end with their values.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use bombyx_node::home::Note;
use bombyx_node::ledger::devnet::{self, Devnet};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

pub(crate) const CHAT: &str = "bombyx-chat-tiny";
pub(crate) const EMBED: &str = "all-minilm-l6-v2";

/// Until a node serves: models may have to be fetched, and other tests may keep the machine busy.
const READY: Duration = Duration::from_secs(300);
/// Until a verb that only asks something has ended.
const VERB: Duration = Duration::from_secs(120);
/// Until a gateway has answered.
const EMBEDDED: Duration = Duration::from_secs(60);

/// A ledger of the test.
pub(crate) struct Ledger {
    pub(crate) url: String,
    pub(crate) chain: Devnet,
}

impl Ledger {
    pub(crate) async fn start() -> Self {
        Self::serving(Devnet::new().unwrap()).await
    }

    /// Serves a devnet.
    pub(crate) async fn serving(chain: Devnet) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(devnet::http::serve(chain.clone(), listener, std::future::pending()));
        Self { url, chain }
    }
}

/// The program with a home of its own and none of the caller's settings.
pub(crate) fn bombyx(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bombyx"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let own = name.starts_with("BOMBYX_") && name != "BOMBYX_CACHE" && name != "BOMBYX_PYTHON";
        if own || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.arg("--home").arg(home).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a verb to its end.
pub(crate) async fn finish(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output();
    timeout(VERB, output).await.expect("the verb ends by itself").unwrap()
}

/// What a failed verb must do: this exit code, and an error with what to do that names all of `words`.
pub(crate) fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).map(str::to_owned);
    let error = line("error: ").unwrap_or_else(|| panic!("no error line: {text}"));
    let hint = line("hint: ").unwrap_or_else(|| panic!("no hint line: {text}"));
    assert!(error.len() > "error: ".len() && hint.len() > "hint: ".len(), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
}

/// A running `bombyx up`.
pub(crate) struct Node {
    pub(crate) note: Note,
    pub(crate) child: Child,
    dir: TempDir,
}

impl Node {
    /// Starts a node with these flags and variables on free ports, and waits until it serves.
    pub(crate) async fn up(ledger: &Ledger, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::up_in(tempfile::tempdir().unwrap(), ledger, flags, variables).await
    }

    /// Kills it, has `between` done with its home, and starts it again.
    pub(crate) async fn killed_and_restarted(
        mut self,
        ledger: &Ledger,
        flags: &[&str],
        between: impl FnOnce(&Path),
    ) -> Self {
        self.child.kill().await.unwrap();
        between(&self.home());
        std::fs::remove_file(self.home().join("node.json")).unwrap();
        Self::up_in(self.dir, ledger, flags, &[]).await
    }

    /// Kills it; its home stays.
    pub(crate) async fn stopped(mut self) -> Stopped {
        self.child.kill().await.unwrap();
        // One that has ended in order has taken it along.
        let _ = std::fs::remove_file(self.home().join("node.json"));
        Stopped { dir: self.dir }
    }

    async fn up_in(dir: TempDir, ledger: &Ledger, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = bombyx(&dir.path().join("home"));
        command.args(["up", "--ledger", &ledger.url]).args(flags).envs(variables.iter().copied());
        if !flags.contains(&"--listen") {
            command.args(["--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--listen", "/ip4/127.0.0.1/tcp/0"]);
        }
        let log = File::create(dir.path().join("log")).unwrap();
        let mut child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let until = Instant::now() + READY;
        let note = loop {
            if let Some(note) = Note::read(&dir.path().join("home")).unwrap() {
                break note;
            }
            let ended = child.try_wait().unwrap();
            let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "the node ended: {}", log());
            assert!(Instant::now() < until, "the node is not ready: {}", log());
            sleep(Duration::from_millis(50)).await;
        };
        Self { note, child, dir }
    }

    /// A provider of both models.
    pub(crate) async fn provider(ledger: &Ledger, variables: &[(&str, &str)]) -> Self {
        Self::up(ledger, &["--provide", EMBED, "--provide", CHAT], variables).await
    }

    /// An address to join through.
    pub(crate) fn address(&self) -> &str {
        self.note.addresses.iter().find(|address| address.contains("127.0.0.1")).unwrap()
    }

    /// Its name in addresses.
    pub(crate) fn peer_id(&self) -> &str {
        self.address().rsplit('/').next().unwrap()
    }

    /// Processor time that it has used so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id().unwrap())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        // A hundred ticks a second, on every Linux.
        Duration::from_millis(ticks * 10)
    }

    /// Memory in megabytes that it holds.
    pub(crate) fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024.0 / 1e6
    }

    /// Has its gateway embed a text.
    pub(crate) async fn embed(&self) {
        let answer = self.embedding().await;
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
    }

    /// Whether its gateway has embedded a text.
    pub(crate) async fn try_embed(&self) -> bool {
        self.embedding().await.status().is_success()
    }

    async fn embedding(&self) -> reqwest::Response {
        let url = format!("{}/v1/embeddings", self.note.gateway.as_ref().unwrap());
        let body = serde_json::json!({ "model": EMBED, "input": "a thread of silk" });
        let http = reqwest::Client::builder().no_proxy().timeout(EMBEDDED).build().unwrap();
        let answer = http.post(url).header("content-type", "application/json").body(body.to_string());
        answer.send().await.unwrap()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A request for one of its own pages, with the token of its home.
    pub(crate) fn page(&self, path: &str) -> reqwest::RequestBuilder {
        let token = std::fs::read_to_string(self.home().join("admin.token")).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        http.get(format!("{}{path}", self.note.admin)).bearer_auth(token.trim())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Whether the process still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

/// The home of a node that was killed.
pub(crate) struct Stopped {
    dir: TempDir,
}

impl Stopped {
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Starts a node in it.
    pub(crate) async fn started(self, ledger: &Ledger, flags: &[&str], variables: &[(&str, &str)]) -> Node {
        Node::up_in(self.dir, ledger, flags, variables).await
    }
}

/// `bombyx ask` with a new home, joined to `join`.
pub(crate) fn ask(home: &Path, ledger: &Ledger, join: &str, flags: &[&str]) -> Command {
    let mut command = bombyx(home);
    command.args(["ask", "--ledger", &ledger.url, "--join", join]).args(flags);
    command
}

/// The JSON object in the last line of a verb's output.
pub(crate) fn last_object(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let last = text.lines().last().unwrap_or_else(|| panic!("no output; {errors}"));
    serde_json::from_str(last).unwrap()
}
