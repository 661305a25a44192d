//! The verbs of the real binary: what they make, what they say, and how they end.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn bombyx(home: &Path, args: &[&str]) -> Output {
    command(home, args).output().unwrap()
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bombyx"));
    command.arg("--home").arg(home).args(args);
    // A shell's own settings must not reach the test.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BOMBYX_") && name != "BOMBYX_CACHE" {
            command.env_remove(name);
        }
    }
    command
}

/// A verb that keeps running; killed when dropped.
struct Process(Child);

impl Process {
    /// Starts it and reads the JSON object that it prints when it is ready.
    fn start(home: &Path, args: &[&str]) -> (Self, serde_json::Value) {
        let child = command(home, args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut process = Self(child);
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (process, serde_json::from_str(&line).unwrap())
    }

    #[cfg(unix)]
    fn interrupt(&mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn init_makes_keys_and_a_configuration_once() {
    let home = tempfile::tempdir().unwrap();
    let first = bombyx(home.path(), &["--json", "init"]);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    let first: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    std::fs::write(home.path().join("config.toml"), "[network]\nname = \"mine\"\n").unwrap();
    let again = bombyx(home.path(), &["--json", "init"]);
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&first["new_keys"], &again["new_keys"]), (&true.into(), &false.into()));
    assert_eq!((&first["new_config"], &again["new_config"]), (&true.into(), &false.into()));
    assert_eq!(first["node_id"], again["node_id"]);
    assert_eq!(first["wallet"], again["wallet"]);
    let kept = std::fs::read_to_string(home.path().join("config.toml")).unwrap();
    assert_eq!(kept, "[network]\nname = \"mine\"\n");
}

#[cfg(unix)]
#[test]
fn keys_that_others_may_read_are_refused_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    assert_eq!(bombyx(home.path(), &["init"]).status.code(), Some(0));
    let key = home.path().join("keys/identity");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = bombyx(home.path(), &["up"]);
    assert_eq!(refused.status.code(), Some(13));
    let said = text(&refused.stderr);
    assert!(
        said.contains("keys/identity") && said.contains("mode 644") && said.contains("chmod go-rwx"),
        "{said}"
    );
}

#[test]
fn a_broken_configuration_is_refused_with_line_and_nearest_key() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("config.toml"), "[provide]\nslots = 2\nprice_inn = \"1\"\n").unwrap();
    let refused = bombyx(home.path(), &["up"]);
    assert_eq!(refused.status.code(), Some(13));
    let said = text(&refused.stderr);
    assert!(said.contains("config.toml:3") && said.contains("did you mean `price_in`?"), "{said}");
    assert!(said.contains("hint: "), "{said}");
}

#[test]
fn status_of_a_home_without_a_node_says_so() {
    let home = tempfile::tempdir().unwrap();
    let refused = bombyx(home.path(), &["status"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("no running node") && said.contains("bombyx up"), "{said}");
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let home = tempfile::tempdir().unwrap();
    let help = bombyx(home.path(), &["help", "exit-codes"]);
    assert!(text(&help.stdout).contains(" 24  the ledger does not answer"), "{}", text(&help.stdout));
    let long = bombyx(home.path(), &["--help"]);
    assert!(text(&long.stdout).contains(" 70  a mistake in Bombyx"), "{}", text(&long.stdout));
    let of_a_verb = bombyx(home.path(), &["help", "up"]);
    assert!(text(&of_a_verb.stdout).contains("Usage: bombyx up"), "{}", text(&of_a_verb.stdout));
    assert_eq!(bombyx(home.path(), &["fly"]).status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn a_node_tells_how_to_reach_it_keeps_its_home_to_itself_and_ends_in_order() {
    let home = tempfile::tempdir().unwrap();
    let (_devnet, ledger) = Process::start(home.path(), &["--json", "devnet", "--listen", "127.0.0.1:0"]);
    let url = ledger["url"].as_str().unwrap();
    let up = ["--json", "up", "--ledger", url, "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"];
    let (mut node, note) = Process::start(home.path(), &up);
    assert!(note["addresses"][0].as_str().unwrap().contains("/p2p/"), "{note}");

    let status = bombyx(home.path(), &["--json", "status"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["node_id"], note["node_id"]);
    assert_eq!(status["ledger"]["balance_nano"], 0);

    let second = bombyx(home.path(), &up);
    assert_eq!(second.status.code(), Some(14), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains("another node runs with this home"), "{}", text(&second.stderr));
    assert!(home.path().join("node.json").exists(), "the refused node leaves the note alone");

    assert_eq!(node.interrupt(), Some(0));
    assert!(!home.path().join("node.json").exists());
    assert_eq!(bombyx(home.path(), &["status"]).status.code(), Some(1));
}
