//! A provider process that dies in the middle of an answer which its limit of tokens ends.
#![allow(clippy::unwrap_used)]

mod processes;

use std::process::Stdio;
use std::time::Duration;

use processes::{CHAT, Ledger, Node, ask, finish, last_object};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

const QUESTION: &str = "Count from 17 to 25.";
const MAX_TOKENS: u64 = 24;

/// (WR-13)
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_its_limit_ends_is_as_long_with_a_dead_provider_as_without() {
    let ledger = Ledger::start().await;
    let slow = ["--provide", CHAT, "--pace", "6", "--price-out", "0.0005"];
    let next = ["--provide", CHAT, "--pace", "60", "--price-out", "0.001"];
    let (mut first, second) = tokio::join!(Node::up(&ledger, &slow, &[]), Node::up(&ledger, &next, &[]));
    let limit = MAX_TOKENS.to_string();
    let home = tempfile::tempdir().unwrap();
    let flags = ["--join", second.address(), "--max-tokens", &limit, QUESTION];
    let mut command = ask(home.path(), &ledger, first.address(), &flags);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let mut text = String::new();
    // Half of the answer: more than what was left over when delivered tokens were counted twice.
    while text.len() < 13 {
        let mut piece = [0; 1];
        timeout(Duration::from_secs(60), stdout.read_exact(&mut piece)).await.unwrap().unwrap();
        text.push(char::from(piece[0]));
    }
    first.child.kill().await.unwrap();
    let mut said = String::new();
    let ends = async {
        stdout.read_to_string(&mut text).await.unwrap();
        stderr.read_to_string(&mut said).await.unwrap();
        child.wait().await.unwrap()
    };
    let status = timeout(Duration::from_secs(120), ends).await.expect("the order ends");
    assert!(status.success(), "{said}");

    // The one that is left, asked for the whole of it.
    let alone = tempfile::tempdir().unwrap();
    let flags = ["--json", "--max-tokens", &limit, QUESTION];
    let whole = last_object(&finish(ask(alone.path(), &ledger, second.address(), &flags)).await);
    assert_eq!(
        (whole["finish"].as_str(), whole["output_tokens"].as_u64()),
        (Some("length"), Some(MAX_TOKENS))
    );
    assert_eq!(text.trim_end_matches('\n'), whole["text"].as_str().unwrap(), "{said}");
}
