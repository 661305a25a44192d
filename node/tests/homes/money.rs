//! What a home has on its channels: deposits that come back, and what is due.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::processes::{EMBED, Ledger, Node, ask, assert_fails, bombyx, finish, last_object};
use super::{PATIENCE, finish_text, said, shown};

/// Deposits come home by one command, without a node that runs; so do those of a home that an earlier version has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deposits_of_a_home_and_of_an_old_one_within_it_come_back_by_the_commands_that_are_named() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", EMBED, "--price-job", "0.01"], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let (home, old) = (dir.path().join("home"), dir.path().join("home/ask"));
    for home in [&old, &home] {
        let output = finish(ask(home, &ledger, provider.address(), &["--embed", "silk"])).await;
        assert!(output.status.success(), "{}", said(&output));
        let named = said(&output).contains("channels close --all");
        assert_eq!(named, home == dir.path().join("home").as_path(), "{}", said(&output));
    }
    let address =
        shown(&home, &["wallet", "--ledger", &ledger.url]).await["friendly"].as_str().unwrap().to_owned();
    for home in [&old, &home] {
        let before = shown(home, &["wallet", "--ledger", &ledger.url]).await;
        assert_eq!((&before["locked_in"], before["locked_nano"] == 0), (&json!(1), false), "{before}");
        let close = ["channels", "close", "--all", "--ledger", &ledger.url, "--join", provider.address()];
        let mut command = bombyx(home);
        command.args(close);
        let output = finish(command).await;
        assert!(
            output.status.success() && said(&output).contains("closed: what was left"),
            "{}",
            said(&output)
        );
        let after = shown(home, &["wallet", "--ledger", &ledger.url]).await;
        assert_eq!((&after["locked_in"], &after["locked_nano"]), (&json!(0), &json!(0)), "{after}");
        // Those of a channel that has closed count on.
        let fees = |wallet: &Value| wallet["channel_fees_nano"].as_u64().unwrap();
        assert!(fees(&after) > fees(&before), "{before} {after}");
    }
    let before = shown(&home, &["wallet", "--ledger", &ledger.url]).await["balance_nano"].as_u64().unwrap();
    let sent = shown(&old, &["wallet", "send", &address, "all", "--ledger", &ledger.url]).await;
    let after = shown(&home, &["wallet", "--ledger", &ledger.url]).await["balance_nano"].as_u64().unwrap();
    assert!(sent["amount_nano"].as_u64().unwrap() > 7_000_000_000, "{sent}");
    assert!(after > before + 7_000_000_000, "{before} {after}");
    let mut again = bombyx(&old);
    again.args(["wallet", "send", &address, "all", "--ledger", &ledger.url]);
    assert_fails(&finish(again).await, 22, &["send it the rest"]);
    // The provider says what it was paid and what is due still.
    let status = shown(&provider.home(), &["status"]).await;
    assert_eq!(status["provider"]["due"], json!([]), "{status}");
}

/// What is due and not paid yet has its reason, in `status` and at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_says_what_is_due_and_why_it_is_not_paid_yet() {
    let ledger = Ledger::start().await;
    let mut provider = Node::up(&ledger, &["--provide", EMBED], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let output = finish(ask(dir.path(), &ledger, provider.address(), &["--json", "--embed", "silk"])).await;
    let answer = last_object(&output);
    let until = Instant::now() + PATIENCE;
    let status = loop {
        let status = shown(&provider.home(), &["status"]).await;
        if status["provider"]["due"][0]["why"] == "too_little" {
            break status;
        }
        assert!(Instant::now() < until, "{status}");
        sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(status["provider"]["due"][0]["due_nano"], answer["cost_nano"], "{status}");
    let text = finish_text(&provider.home(), &["status"]).await;
    assert!(text.contains("sold      1 job since 20") && text.contains("due       0.0000"), "{text}");
    let pid = provider.child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(provider.child.wait().await.unwrap().success());
    let log = provider.log();
    assert!(
        log.contains("earned since the start, due on channels, and served")
            && log.contains("still_due=0.0000")
            && log.contains("unpaid=0 lost=0"),
        "{log}"
    );
}

/// (`CH-56`) Only `status` knew of it, and a list that was read from the store showed a channel that was opening for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_owed_is_said_by_every_verb_that_shows_coins_while_a_node_runs_and_after_it() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", EMBED], &[]).await;
    let receiver = shown(&provider.home(), &["wallet"]).await["friendly"].as_str().unwrap().to_owned();
    let join = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let buyer = Node::up(&ledger, &join, &[]).await;
    shown(&buyer.home(), &["wallet", "send", &receiver, "all"]).await;
    buyer.embed().await;
    let until = Instant::now() + PATIENCE;
    let owed = loop {
        let owed = shown(&buyer.home(), &["status"]).await["client"]["owed"].clone();
        if owed != json!([]) {
            break owed;
        }
        assert!(Instant::now() < until, "nothing is owed: {}", buyer.log());
        sleep(Duration::from_millis(100)).await;
    };
    let peer = owed[0]["peer"].as_str().unwrap()[..8].to_owned();
    let is_said = async |home: &Path, flags: &[&str]| {
        let list = shown(home, &[&["channels"], flags].concat()).await;
        assert_eq!((&list["owed"], &list["channels"]), (&owed, &json!([])), "{list}");
        let wallet = shown(home, &[&["wallet"], flags].concat()).await;
        assert_eq!((&wallet["owed"], &wallet["locked_in"]), (&owed, &json!(0)), "{wallet}");
        for verb in [&["channels"][..], &["wallet"], &["channels", "close", "--all"]] {
            let mut command = bombyx(home);
            command.args(verb).args(flags);
            let output = finish(command).await;
            let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), said(&output));
            for words in [format!("to {peer}"), "put coins into the wallet and ask again".into()] {
                assert!(text.contains("owed ") && text.contains(&words), "{verb:?} without {words}: {text}");
            }
        }
    };
    let text = finish_text(&buyer.home(), &["status"]).await;
    assert!(text.contains("put coins into the wallet and ask again"), "{text}");
    is_said(&buyer.home(), &[]).await;
    let home = buyer.stopped().await;
    is_said(&home.home(), &["--ledger", &ledger.url]).await;
}
