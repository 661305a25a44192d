//! The demonstration from its first process to its last balance, by the figures that it reports.
#![allow(clippy::unwrap_used)]

mod swarm;

use serde_json::Value;
use swarm::{bombyx, finish, last_object};

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
    for job in jobs {
        let bids = job["bids"].as_array().unwrap();
        assert!(bids.len() >= 2, "{job:#}");
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
