//! The demonstration from its first process to its last balance, by the figures that it reports.
#![allow(clippy::unwrap_used)]

mod processes;

use std::process::Stdio;
use std::time::Duration;

use processes::{bombyx, finish, last_object};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

/// Until something that must happen has happened.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_answers_fails_over_pays_and_balances() {
    let home = tempfile::tempdir().unwrap();
    let mut command = bombyx(home.path());
    command.args(["demo", "--json"]);
    let report = last_object(&finish(command).await);

    assert_eq!(report["ok"], true, "{report:#}");
    assert_eq!(report["nodes"], 4);
    let jobs = report["jobs"].as_array().unwrap();
    let models: Vec<&str> = jobs.iter().map(|job| job["model"].as_str().unwrap()).collect();
    assert_eq!(models, ["all-minilm-l6-v2", "bombyx-chat-tiny", "bombyx-chat-tiny"]);
    for (number, job) in jobs.iter().enumerate() {
        let bids = job["bids"].as_array().unwrap();
        // The second auction of a model may end when those that have served have bid. (MK-20)
        assert!(bids.len() >= if number < 2 { 2 } else { 1 }, "{job:#}");
        assert_eq!(bids.iter().filter(|bid| bid["won"] == true).count(), 1, "{job:#}");
        assert!(bids.iter().all(|bid| bid["price_nano"].as_u64() > Some(0) && bid["why"].is_string()));
        assert!(job["cost_nano"].as_u64() > Some(0) && job["receipts"].as_u64() > Some(0), "{job:#}");
        assert!(job["vouchers"].as_u64() > Some(0) && job["first_token_ms"].is_u64(), "{job:#}");
    }
    assert_eq!(jobs.iter().map(|job| &job["failed_over"]).collect::<Vec<_>>(), [false, false, true]);
    let winner = jobs[2]["bids"].as_array().unwrap().iter().find(|bid| bid["won"] == true).unwrap();
    assert_ne!(winner["provider"], jobs[2]["provider"], "the winner is dead");

    let nano = |name: &str| report["settlement"][name].as_u64().unwrap();
    assert_eq!(report["settlement"]["balanced"], true);
    assert_eq!(nano("deposited_nano"), nano("paid_nano") + nano("refunded_nano"));
    let billed: u64 = jobs.iter().map(|job| job["cost_nano"].as_u64().unwrap()).sum();
    assert_eq!(nano("paid_nano"), billed);
    assert!(nano("fees_nano") > 0 && nano("transactions") > 5);
    assert!(report["wall_ms"].is_u64() && !matches!(report["settlement"], Value::Null));
    assert!(
        std::fs::read_dir(home.path()).unwrap().next().is_none(),
        "the demo leaves the user's home alone"
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_interrupted_leaves_no_process() {
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};

    let home = tempfile::tempdir().unwrap();
    let mut command = bombyx(home.path());
    let mut demo = command.arg("demo").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stderr.take().unwrap()).lines();
    let mut processes = Vec::new();
    while processes.len() < 2 {
        let line = timeout(PATIENCE, lines.next_line()).await.expect("the demo goes on").unwrap().unwrap();
        // As in `ada: process 4711, node ...`.
        let process =
            line.split_once(": process ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
        processes.extend(process.and_then(Pid::from_raw));
    }
    let pid = demo.id().and_then(|id| Pid::from_raw(id.cast_signed())).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ended = timeout(PATIENCE, demo.wait()).await.expect("the demo ends when asked to").unwrap();
    assert_eq!(ended.code(), Some(1));
    for process in processes {
        let gone = async {
            while test_kill_process(process).is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("its providers are gone");
    }
}
