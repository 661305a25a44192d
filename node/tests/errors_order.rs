//! What stops an order: each a clear error with what to do, and an exit code of its own kind.
#![allow(clippy::unwrap_used)]

mod processes;

use std::process::Output;

use processes::{CHAT, EMBED, Ledger, Node, ask, assert_fails, bombyx, finish, last_object};

/// One question from a new client that joins through `join`.
async fn asked(ledger: &Ledger, join: &str, flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = ask(home.path(), ledger, join, flags);
    command.envs(variables.iter().copied());
    finish(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_served_says_why_and_what_to_do() {
    let ledger = Ledger::start().await;
    // Without credit: with it, a small job may be served before the ledger has refused the channel.
    let provider = Node::up(&ledger, &["--provide", CHAT], &[("BOMBYX_PROVIDE_CREDIT", "0")]).await;
    let join = provider.address();

    let nobody_sells = asked(&ledger, join, &["--embed", "--deadline", "3", "a text"], &[]).await;
    assert_fails(&nobody_sells, 28, &["nobody", "on offer: bombyx-chat-tiny"]);

    let too_dear = asked(&ledger, join, &["--max-cost", "0.000001", "What is 1 plus 1?"], &[]).await;
    assert_fails(&too_dear, 21, &["could cost", "coins"]);

    // No faucet gives as much as this one wants for a job.
    let dear = [("BOMBYX_PROVIDE_CREDIT", "0"), ("BOMBYX_PROVIDE_PRICE_JOB", "5000")];
    let dear = Node::up(&ledger, &["--provide", CHAT], &dear).await;
    let poor = [("BOMBYX_CLIENT_DEPOSIT_MAX", "90000"), ("BOMBYX_CLIENT_STRANGERS_LOCKED_MAX", "90000")];
    let question = ["--max-cost", "80000", "What is 1 plus 1?"];
    let unfunded = asked(&ledger, dear.address(), &question, &poor).await;
    assert_fails(&unfunded, 22, &["wallet 0:"]);

    let too_long = "x".repeat(50_000);
    assert_fails(&asked(&ledger, join, &[&too_long], &[]).await, 26, &["2048 tokens", "50003 tokens"]);
    assert_fails(
        &asked(&ledger, join, &["--max-tokens", "0", "hello"], &[]).await,
        26,
        &["at least one token"],
    );

    // After all of them the provider serves whoever asks properly.
    let answer = last_object(&asked(&ledger, join, &["--json", "What is 17 plus 25?"], &[]).await);
    assert_eq!(answer["text"].as_str().unwrap().trim(), "42");

    // And says at its end what is still due to it, and why that stays.
    let mut provider = provider;
    let pid = provider.child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(provider.child.wait().await.unwrap().success());
    let log = provider.log();
    let left = log.lines().find(|line| line.contains("a channel stays open: too little is due on it"));
    assert!(left.is_some_and(|line| line.contains("due=0.0000")), "{log}");
}

#[tokio::test]
async fn a_node_that_is_not_there_cannot_be_joined() {
    let ledger = Ledger::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let peer = "12D3KooWNKGu7MKrBYeoYz2ydGKiYfE53qWekeCWdeakJjtS4jHa";
    let join = format!("/ip4/127.0.0.1/tcp/{free}/p2p/{peer}");
    let output = asked(&ledger, &join, &["--deadline", "3", "hello"], &[]).await;
    assert_fails(&output, 25, &["0 of 1 peer", "--join"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.matches("cannot join through").count(), 1, "each try fails alike: {said}");
}

/// Nothing is started for these: nobody is there to be joined, and no ledger.
#[tokio::test]
async fn what_can_be_said_at_once_is_said_at_once() {
    let home = tempfile::tempdir().unwrap();
    let refused = async |flags: &[&str], code: i32, words: &[&str]| {
        let mut command = bombyx(home.path());
        command.arg("ask").args(flags);
        assert_fails(&finish(command).await, code, words);
    };
    refused(&["--model", EMBED, "hello"], 26, &[EMBED, "vectors", "--embed"]).await;
    refused(&["--embed", "--model", CHAT, "hello"], 26, &[CHAT, "no vectors", "--embed"]).await;
    // Standard input is empty as well.
    // What the model cannot read, no provider of it is asked for.
    let (long, many) = ("x".repeat(2_046), "silk ".repeat(300));
    for (flags, context) in [(&[long.as_str()][..], "2048"), (&["--embed", &many], "256")] {
        let words = format!("maximum context length is {context} tokens");
        refused(flags, 26, &[&words]).await;
    }
    for nothing in [&[""][..], &["  \n"], &[], &["--embed", ""]] {
        refused(nothing, 26, &["empty"]).await;
    }
}

#[tokio::test]
async fn without_anyone_to_join_nothing_is_tried() {
    let home = tempfile::tempdir().unwrap();
    let mut command = bombyx(home.path());
    command.args(["ask", "--model", EMBED, "--embed", "hello"]);
    assert_fails(&finish(command).await, 2, &["--join", "bombyx up"]);
}
