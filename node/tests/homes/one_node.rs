//! One node a home: one that is started beside something that ends waits for the end of that, and beside another node it is refused.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bombyx_node::home::Note;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use super::processes::{EMBED, Ledger, Node, ask, bombyx, finish, last_object};
use super::proxy::{Fault, Kind, Proxy};
use super::{PATIENCE, said, shown};

/// What a node says while another process has its home.
const WAITS: &str = "another process has this home";

/// A `bombyx up` that may have to wait, or be refused.
struct Starting {
    child: Child,
    home: PathBuf,
    log: PathBuf,
    _dir: TempDir,
}

impl Starting {
    fn up(home: &Path, ledger: &Ledger) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut command = bombyx(home);
        command.args(["up", "--gateway", "127.0.0.1:0", "--ledger", &ledger.url]);
        let child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        Self { child, home: home.into(), log, _dir: dir }
    }

    fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn waits(&self) -> bool {
        self.log().contains(WAITS)
    }

    /// Whether the note in its home is its own.
    fn serves(&self) -> bool {
        Note::read(&self.home).unwrap().is_some_and(|note| Some(note.pid) == self.child.id())
    }

    /// Waits until it is as hoped. It must not end before.
    async fn until(&mut self, is_hoped: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_hoped(self) {
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended: {}", self.log());
            assert!(Instant::now() < until, "it does not get there: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn signal(name: &str, child: &Child) {
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_started_beside_a_verb_waits_for_its_end_and_then_serves() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", EMBED], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let output = finish(ask(&home, &ledger, provider.address(), &["--embed", "silk"])).await;
    assert!(output.status.success(), "{}", said(&output));
    // Its provider is away, so that this close takes its challenge time; stopped, the verb has the home for as long as it is to.
    drop(provider);
    let mut command = bombyx(&home);
    command.args(["channels", "close", "--all", "--ledger", &ledger.url]);
    let mut close = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(close.stdout.as_mut().unwrap()).read_line(&mut line).await.unwrap();
    assert!(line.contains("is closing"), "{line}");
    signal("-STOP", &close);
    let mut node = Starting::up(&home, &ledger);
    node.until(Starting::waits).await;
    assert_eq!(Note::read(&home).unwrap(), None, "what ends with its verb is no node to hand work to");
    close.kill().await.unwrap();
    node.until(Starting::serves).await;
    let list = shown(&home, &["channels"]).await;
    assert_eq!(list["channels"][0]["state"], "closing", "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_start_at_once_in_one_home_one_serves_and_the_other_names_it() {
    let ledger = Ledger::start().await;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let (mut one, mut other) = (Starting::up(&home, &ledger), Starting::up(&home, &ledger));
    let (code, refused, mut served) = tokio::select! {
        ended = one.child.wait() => (ended.unwrap().code(), one, other),
        ended = other.child.wait() => (ended.unwrap().code(), other, one),
        () = sleep(PATIENCE) => panic!("both run: {} {}", one.log(), other.log()),
    };
    let log = refused.log();
    assert_eq!(code, Some(14), "{log}");
    let named = format!("process {}", served.pid());
    assert!(log.contains("another node runs with this home") && log.contains(&named), "{log}");
    served.until(Starting::serves).await;
    shown(&home, &["status"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_started_anew_while_the_one_before_is_being_killed() {
    let ledger = Ledger::start().await;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let mut node = Starting::up(&home, &ledger);
    for _ in 0..3 {
        node.until(Starting::serves).await;
        signal("-KILL", &node.child);
        let next = Starting::up(&home, &ledger);
        assert!(!node.child.wait().await.unwrap().success());
        node = next;
    }
    node.until(Starting::serves).await;
}

/// It was refused where it looked at the one before a moment too early.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_started_anew_in_the_moment_in_which_the_one_before_is_told_to_end() {
    let ledger = Ledger::start().await;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let mut node = Starting::up(&home, &ledger);
    for _ in 0..2 {
        node.until(Starting::serves).await;
        let next = Starting::up(&home, &ledger);
        sleep(Duration::from_millis(300)).await;
        signal("-INT", &node.child);
        assert!(node.child.wait().await.unwrap().success());
        node = next;
    }
    node.until(Starting::serves).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_started_while_the_one_before_ends_waits_for_that() {
    let ledger = Ledger::start().await;
    let proxy = Proxy::before(&ledger.url).await;
    let through = Ledger { url: proxy.base.clone(), chain: ledger.chain.clone() };
    let mut ending = Node::up(&through, &["--provide", EMBED, "--price-job", "0.01"], &[]).await;
    let (home, dir) = (ending.home(), tempfile::tempdir().unwrap());
    let output = finish(ask(dir.path(), &ledger, ending.address(), &["--embed", "silk"])).await;
    assert!(output.status.success(), "{}", said(&output));
    let until = Instant::now() + PATIENCE;
    while shown(&home, &["channels"]).await["channels"][0]["state"] != "open" {
        assert!(Instant::now() < until, "no channel is open: {}", ending.log());
    }
    // Its close cannot be brought while the ledger is dead.
    proxy.set(|_| Some(Fault { kind: Kind::Cut, forwarded: false }));
    signal("-INT", &ending.child);
    loop {
        let mut command = bombyx(&home);
        command.args(["--json", "status"]);
        let status = finish(command).await;
        if !status.status.success() || last_object(&status)["ending"] == true {
            break;
        }
        assert!(Instant::now() < until, "it does not end: {}", ending.log());
    }
    let mut node = Starting::up(&home, &ledger);
    // On a machine that is very slow it gives the close up before.
    node.until(|node| node.waits() || node.serves()).await;
    proxy.set(|_| None);
    assert!(ending.child.wait().await.unwrap().success(), "{}", ending.log());
    node.until(Starting::serves).await;
}
