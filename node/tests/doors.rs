//! The doors of the machine, tried from outside on the real program: the gateway, the files, the memory of the process.
#![allow(clippy::unwrap_used)]

mod processes;

use std::time::Duration;

use processes::{Ledger, Node, assert_fails, bombyx, finish};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn a_gateway_that_others_reach_does_not_start_without_a_key() {
    let ledger = Ledger::start().await;
    for (address, key) in [
        ("0.0.0.0:0", ""),
        ("[::]:0", "  "),
        ("[::ffff:0.0.0.0]:0", "short"),
        ("192.0.2.1:4180", ""),
        ("[::ffff:192.168.1.5]:4180", "\t"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let mut command = bombyx(home.path());
        command.args(["up", "--ledger", &ledger.url, "--listen", "/ip4/127.0.0.1/tcp/0"]);
        command.args(["--gateway", address]).env("BOMBYX_GATEWAY_KEY", key);
        let output = finish(command).await;
        assert_fails(&output, 13, &[address, "gateway.key"]);
        assert!(output.stdout.is_empty());
    }
}

/// The status line's code of an answer to these bytes, and how long it took; 0 if it hung up without one.
async fn ask(gateway: &str, request: &str) -> (u16, Duration) {
    let mut socket = TcpStream::connect(gateway.strip_prefix("http://").unwrap()).await.unwrap();
    let began = Instant::now();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let _ = timeout(Duration::from_secs(60), socket.read_to_end(&mut said)).await.expect("it hangs up");
    let code = String::from_utf8_lossy(&said).split(' ').nth(1).and_then(|code| code.parse().ok());
    (code.unwrap_or(0), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_of_this_machine_is_not_for_web_pages_and_does_not_wait_for_ever() {
    let ledger = Ledger::start().await;
    let node = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let gateway = node.note.gateway.clone().unwrap();
    let with = |headers: &str| format!("GET /v1/nothing HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    for (headers, code) in [
        ("Host: localhost\r\n", 404),
        ("Host: 127.0.0.1:4180\r\n", 404),
        ("Host: evil.example\r\n", 403),
        ("Host: 127.0.0.1.evil.example:4180\r\n", 403),
        ("", 403),
        ("Host: localhost\r\nHost: localhost\r\n", 403),
        ("Host: localhost\r\nOrigin: https://evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: null\r\n", 403),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", 403),
    ] {
        assert_eq!(ask(&gateway, &with(headers)).await.0, code, "{headers}");
    }
    for method in ["OPTIONS", "HEAD", "POST", "PUT", "DELETE"] {
        let request =
            format!("{method} /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(&gateway, &request).await.0, 403, "{method}");
    }
    // Half a head, and half a body: each has an end.
    let half_head = ask(&gateway, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Le");
    let half_body = ask(
        &gateway,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\nConnection: close\r\n\r\n{\"model\":",
    );
    let ((_, head), (code, body)) = tokio::join!(half_head, half_body);
    assert!(head < Duration::from_secs(15), "{head:?}");
    assert!(code == 408 && body < Duration::from_secs(40), "{code} after {body:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_home_that_was_open_is_closed_and_new_files_are_private() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;

    fn set_all(folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // Keys that were open are refused, and not only closed.
            if !path.is_dir() {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            }
        }
    }
    fn open_to_others(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::metadata(&path).unwrap();
            if metadata.mode() & 0o077 != 0 {
                found.push(format!("{} {:o}", path.display(), metadata.mode()));
            }
            if metadata.is_dir() {
                open_to_others(&path, found);
            }
        }
    }

    let ledger = Ledger::start().await;
    let node = Node::up(&ledger, &[], &[]).await;
    let mut found = Vec::new();
    open_to_others(&node.home(), &mut found);
    assert!(found.is_empty(), "made open: {found:?}");
    std::fs::write(node.home().join("config.toml"), "# mine\n").unwrap();

    let node = node
        .killed_and_restarted(&ledger, &[], |home| {
            set_all(home);
            std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o755)).unwrap();
        })
        .await;
    open_to_others(&node.home(), &mut found);
    assert!(found.is_empty(), "left open: {found:?}");
    assert_eq!(std::fs::metadata(node.home()).unwrap().mode() & 0o777, 0o700);
    let log = node.log();
    assert_eq!(log.matches("open to other users").count(), 1, "{log}");

    let home = tempfile::tempdir().unwrap();
    symlink(node.home().join("config.toml"), home.path().join("config.toml")).unwrap();
    let mut command = bombyx(home.path());
    command.args(["up", "--ledger", &ledger.url]);
    assert_fails(&finish(command).await, 13, &["config.toml", "symbolic link"]);
}

/// Neither a dump of the memory nor a look into it: the system is told so by each process itself.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_leaves_no_core_dump_and_lets_nobody_look_into_it() {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    /// A user that owns nothing.
    const NOBODY: u32 = 65_534;
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let start = |user: Option<u32>| {
        let mut command = bombyx(Path::new("/nowhere"));
        command.args(["devnet", "--listen", "127.0.0.1:0"]).stdout(std::process::Stdio::piped());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        command.spawn()
    };
    // The administrator may look into everything, so that only another user's process tells anything.
    let started = if is_root { start(Some(NOBODY)).or_else(|_| start(None)) } else { start(None) };
    let mut child = started.unwrap();
    let mut first = [0];
    timeout(Duration::from_secs(60), child.stdout.as_mut().unwrap().read_exact(&mut first))
        .await
        .unwrap()
        .unwrap();

    let process = format!("/proc/{}", child.id().unwrap());
    let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let numbers: Vec<&str> =
        core.split_whitespace().filter(|word| word.chars().all(char::is_numeric)).collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
    let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    if user.split_whitespace().next() != Some("0") {
        // What the system calls not dumpable belongs to the administrator, and its own user cannot look into it.
        assert_eq!(std::fs::metadata(format!("{process}/mem")).unwrap().uid(), 0, "{user}");
        if is_root {
            let mut look = tokio::process::Command::new("cat");
            look.arg(format!("{process}/environ")).uid(NOBODY).gid(NOBODY);
            assert!(!look.output().await.unwrap().status.success());
        }
    }
    child.kill().await.unwrap();
}
