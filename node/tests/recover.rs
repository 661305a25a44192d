//! A store that is lost, on real processes: it is said so, and the channels are found again on the ledger and closed.
#![allow(clippy::unwrap_used)]

mod processes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bombyx_node::home::keys::Keys;
use bombyx_node::ledger::{Chain as _, Ledger as Books, Wallet, parse_address};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use ed25519_dalek::SigningKey;
use processes::{EMBED, Ledger, Node, assert_fails, bombyx, finish, last_object};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);
/// What a lost store knew of good jobs is lost as well: the channels that are found count as locked with strangers.
const VARIABLES: [(&str, &str); 2] =
    [("BOMBYX_CLIENT_CHALLENGE_S", "8"), ("BOMBYX_CLIENT_STRANGERS_LOCKED_MAX", "10")];
const LOST: [&str; 2] = ["records.redb", "channels recover"];

async fn asked(home: &Path, args: &[&str]) -> Value {
    let mut command = bombyx(home);
    command.arg("--json").args(args).envs(VARIABLES);
    last_object(&finish(command).await)
}

/// Every channel of a home, once there are as many as hoped and all fit.
async fn channels(home: &Path, url: &str, count: usize, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
    let until = Instant::now() + PATIENCE;
    loop {
        let list = asked(home, &["channels", "--ledger", url]).await;
        let list = list["channels"].as_array().unwrap();
        if list.len() == count && list.iter().all(&fits) {
            return list.clone();
        }
        assert!(Instant::now() < until, "the channels stay {list:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn payee(provider: &Node) -> String {
    let status = asked(&provider.home(), &["status"]).await;
    status["provider"]["payee"].as_str().unwrap().to_owned()
}

async fn provider(ledger: &Ledger, joined: Option<&Node>) -> Node {
    // One job comes to more than the least that a close pays out. (CH-26)
    let mut flags = vec!["--provide", EMBED, "--price-job", "0.01"];
    if let Some(node) = joined {
        flags.extend(["--join", node.address()]);
    }
    Node::up(ledger, &flags, &[("BOMBYX_PROVIDE_CHALLENGE_S", "1")]).await
}

fn is_open(channel: &Value) -> bool {
    channel["state"] == "open"
}

/// A copy of a home with its keys, elsewhere.
fn copied(home: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("home");
    let copied = std::process::Command::new("cp").arg("-rp").arg(home).arg(&to).status().unwrap();
    assert!(copied.success());
    let _ = std::fs::remove_file(to.join("node.json"));
    (folder, to)
}

async fn is_lost(home: &Path, args: &[&str]) {
    let mut command = bombyx(home);
    command.args(args);
    assert_fails(&finish(command).await, 17, &LOST);
}

fn accounts(list: &[Value]) -> Vec<String> {
    let mut accounts: Vec<String> =
        list.iter().map(|channel| channel["account"].as_str().unwrap().to_owned()).collect();
    accounts.sort();
    accounts
}

fn address(account: &str) -> Address {
    format!("0:{account}").parse().unwrap()
}

/// Checks that a channel's account has paid out all that it was paid, but for fees; returns what this receiver was paid.
async fn paid_out(ledger: &Ledger, account: &str, receiver: Address) -> Nano {
    let history = ledger.chain.transactions(address(account), 100).await.unwrap();
    let incoming: Nano = history.iter().filter_map(|one| Some(one.incoming.as_ref()?.value)).sum();
    let outgoing = || history.iter().flat_map(|one| &one.outgoing);
    let fees: Nano = history.iter().map(|one| one.fee).sum();
    let paid: Nano = outgoing().map(|message| message.value).sum();
    assert_eq!(incoming, paid.saturating_plus(fees), "{account}: every nano is accounted for");
    outgoing().filter(|message| message.to == Some(receiver)).map(|message| message.value).sum()
}

/// Strangers send so many coins to a wallet that nothing older is among its newest hundred transactions.
async fn bury(ledger: &Ledger, wallet: Address) {
    let network_id = ledger.chain.network_id().await.unwrap().unwrap();
    let senders = (0..10).map(|_| {
        let sender = Wallet::from_words(&Wallet::generate_words(), network_id).unwrap();
        ledger.chain.faucet(sender.address(), Nano(1_000_000_000)).unwrap();
        let books = Books::new(Arc::new(ledger.chain.clone()), network_id, Some(sender));
        async move {
            for _ in 0..11 {
                books.send(wallet, Nano(1_000_000)).await.unwrap();
            }
        }
    });
    futures::future::join_all(senders).await;
    let history = ledger.chain.transactions(wallet, 100).await.unwrap();
    assert!(history.len() == 100 && history.iter().all(|one| one.outgoing.is_empty()));
}

/// The wallet of a home opens a channel under a foreign client key.
async fn foreign_channel(ledger: &Ledger, home: &Path, wallet: Address) {
    let network_id = ledger.chain.network_id().await.unwrap().unwrap();
    let words = Keys::load(home).unwrap().wallet;
    let books = Books::new(
        Arc::new(ledger.chain.clone()),
        network_id,
        Some(Wallet::from_words(&words, network_id).unwrap()),
    );
    let key = |seed: u8| SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
    let terms = ChannelTerms {
        network_id,
        salt: 7,
        client_key: key(1),
        provider_key: key(2),
        client: wallet,
        provider: Address::basechain([9; 32]),
        challenge_s: 60,
    };
    books.open(&terms, Nano(100_000_000)).await.unwrap();
}

/// (CH-52)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_store_is_damage_and_its_channels_are_found_and_closed() {
    let ledger = Ledger::start().await;
    let url = ledger.url.as_str();
    let first = provider(&ledger, None).await;
    let second = provider(&ledger, Some(&first)).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", first.address(), "--join", second.address()];
    let client = Node::up(&ledger, &flags, &VARIABLES).await;
    let home = client.home();
    let payees = [payee(&first).await, payee(&second).await];
    for (payee, coins) in payees.iter().zip(["2", "1"]) {
        asked(&home, &["channels", "open", payee, coins]).await;
    }
    channels(&home, url, 2, is_open).await;
    asked(&home, &["wallet", "send", &format!("0:{}", "5a".repeat(32)), "0.5"]).await;
    client.embed().await;
    let before = loop {
        let before = channels(&home, url, 2, is_open).await;
        if before.iter().any(|channel| channel["paid_nano"] != 0) {
            break before;
        }
    };
    let wallet = asked(&home, &["wallet"]).await;
    let wallet = parse_address(wallet["address"].as_str().unwrap()).unwrap();
    let client = client.stopped().await;
    foreign_channel(&ledger, &home, wallet).await;

    // Whatever is in the place of the store, it is said and nothing is begun anew.
    let other = tempfile::tempdir().unwrap();
    let mut command = bombyx(&other.path().join("home"));
    command.arg("init");
    assert!(finish(command).await.status.success());
    let foreign = std::fs::read(other.path().join("home/records.redb")).unwrap();
    let up = ["up", "--ledger", url, "--listen", "/ip4/127.0.0.1/tcp/0"];
    let (_aside, copy) = copied(&home);
    let path = copy.join("records.redb");
    for content in [None, Some(vec![]), Some(vec![b'x'; 9_000]), Some(foreign)] {
        let _ = std::fs::remove_file(&path);
        if let Some(content) = &content {
            std::fs::write(&path, content).unwrap();
        }
        is_lost(&copy, &up).await;
        is_lost(&copy, &["channels", "--ledger", url]).await;
        let now = std::fs::read(&path).ok();
        assert!(now == content || content.is_some_and(|content| content.len() > 9_000), "it stays");
        let recovered = asked(&copy, &["channels", "--ledger", url, "recover"]).await;
        let found = recovered["channels"].as_array().unwrap();
        assert_eq!(accounts(found), accounts(&before), "{recovered}");
        assert_eq!(recovered["set_aside"].is_null(), now.is_none(), "{recovered}");
        channels(&copy, url, 2, is_open).await;
    }
    // Whose they are can be said later.
    asked(
        &copy,
        &["channels", "--ledger", url, "recover", "--provider", &payees[0], "--provider", &payees[1]],
    )
    .await;
    let ids = [&first.note.node_id, &second.note.node_id];
    channels(&copy, url, 2, |channel| ids.iter().any(|id| channel["peer"] == **id)).await;
    // `ask` runs in the home itself.
    std::fs::remove_file(&path).unwrap();
    is_lost(&copy, &["ask", "--ledger", url, "--join", first.address(), "--embed", "x"]).await;

    // The home itself: both are found with nothing promised on them, and no job is paid on either.
    std::fs::remove_file(home.join("records.redb")).unwrap();
    let recovered = asked(&home, &["channels", "--ledger", url, "recover"]).await;
    for (found, known) in recovered["channels"].as_array().unwrap().iter().zip(&before) {
        assert_eq!((&found["account"], &found["provider"]), (&known["account"], &Value::Null));
        assert_eq!((&found["deposit_nano"], &found["state"]), (&known["deposit_nano"], &json!("open")));
    }
    let client = client.started(&ledger, &flags, &VARIABLES).await;
    client.embed().await;
    let known = accounts(&before);
    let is_known = |channel: &Value| known.iter().any(|account| channel["account"] == account.as_str());
    let fits = |channel: &Value| is_open(channel) && is_known(channel) == (channel["paid_nano"] == 0);
    let after = channels(&home, url, 3, fits).await;
    let _client = client.stopped().await;

    // By itself it closes all three: the providers are paid what their vouchers say, and the rest comes back.
    let closed = asked(&home, &["channels", "--ledger", url, "recover", "--close"]).await;
    assert_eq!(closed["channels"].as_array().unwrap().len(), 3, "{closed}");
    for row in closed["channels"].as_array().unwrap() {
        assert_eq!(row["state"], "closed", "{closed}");
    }
    let mut owed = 0;
    for channel in &after {
        let account = channel["account"].as_str().unwrap();
        let old = before.iter().find(|old| old["account"] == *account).unwrap_or(channel);
        let (deposit, paid) = (old["deposit_nano"].as_u64().unwrap(), old["paid_nano"].as_u64().unwrap());
        let mut earned = Nano::ZERO;
        for payee in &payees {
            let receiver: Address = payee.split('/').nth(2).unwrap().parse().unwrap();
            earned = earned.saturating_plus(paid_out(&ledger, account, receiver).await);
        }
        assert_eq!(earned, Nano(paid), "{account}: the voucher is honoured");
        let back = paid_out(&ledger, account, wallet).await;
        assert!(back >= Nano(deposit - paid), "{account}: {back} of {deposit} without {paid}");
        owed += paid;
    }
    assert!(owed > 0);
    assert_eq!(asked(&home, &["channels", "--ledger", url]).await["channels"], json!([]));
}

/// (CH-28, CH-52)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_the_history_does_not_show_is_found_by_its_provider_and_paid_on_again() {
    let ledger = Ledger::start().await;
    let url = ledger.url.as_str();
    let provider = provider(&ledger, None).await;
    let payee = payee(&provider).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let client = Node::up(&ledger, &flags, &VARIABLES).await;
    let home = client.home();
    asked(&home, &["channels", "open", &payee, "2"]).await;
    let opened = channels(&home, url, 1, is_open).await;
    client.embed().await;
    let step =
        channels(&provider.home(), url, 1, |channel| channel["paid_nano"] != 0).await[0]["paid_nano"].clone();
    let wallet = asked(&home, &["wallet"]).await;
    let wallet = parse_address(wallet["address"].as_str().unwrap()).unwrap();
    let client = client.stopped().await;
    bury(&ledger, wallet).await;
    std::fs::remove_file(home.join("records.redb")).unwrap();
    let recover = ["channels", "--ledger", url, "recover"];
    let found = asked(&home, &recover).await;
    assert_eq!((&found["channels"], &found["history_cut"]), (&json!([]), &json!(true)));
    let elsewhere = format!("{}/-239", payee.rsplit_once('/').unwrap().0);
    let mut command = bombyx(&home);
    command.args(recover).args(["--provider", &elsewhere]);
    assert_fails(&finish(command).await, 2, &["another network"]);
    let found = asked(&home, &[&recover[..], &["--provider", &payee]].concat()).await;
    let row = &found["channels"][0];
    assert_eq!((&row["account"], &row["deposit_nano"]), (&opened[0]["account"], &json!(2_000_000_000u64)));
    assert_eq!(row["provider"], payee.split('/').next().unwrap());

    // The next job goes on above the provider's newest voucher, on the same channel.
    let client = client.started(&ledger, &flags, &VARIABLES).await;
    client.embed().await;
    let step = step.as_u64().unwrap();
    let is_paid_again = |channel: &Value| channel["paid_nano"].as_u64().unwrap() > step;
    let earned = channels(&provider.home(), url, 1, is_paid_again).await[0]["paid_nano"].as_u64().unwrap();
    channels(&home, url, 1, |channel| channel["paid_nano"] == earned).await;

    // While a node runs, it closes.
    let closing = asked(&home, &[&recover[..], &["--provider", &payee, "--close"]].concat()).await;
    assert_eq!(closing["channels"][0]["state"], "closing", "{closing}");
    channels(&home, url, 0, is_open).await;
    let receiver: Address = payee.split('/').nth(2).unwrap().parse().unwrap();
    let account = opened[0]["account"].as_str().unwrap();
    assert_eq!(paid_out(&ledger, account, receiver).await, Nano(earned));
}
