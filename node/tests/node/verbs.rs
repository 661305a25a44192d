//! The verbs of the real binary: what they make, what they say, and how they end.

use std::path::Path;
use std::process::{Command, Output};

fn bombyx(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bombyx"));
    command.arg("--home").arg(home).args(args);
    // A shell's own settings must not reach the test.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BOMBYX_") && name != "BOMBYX_CACHE" {
            command.env_remove(name);
        }
    }
    command.output().unwrap()
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
fn a_ledger_that_does_not_answer_is_named() {
    let home = tempfile::tempdir().unwrap();
    let refused = bombyx(home.path(), &["up", "--ledger", "http://127.0.0.1:9"]);
    assert_eq!(refused.status.code(), Some(24), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("http://127.0.0.1:9"), "{}", text(&refused.stderr));
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
    assert_eq!(bombyx(home.path(), &["fly"]).status.code(), Some(2));
}
