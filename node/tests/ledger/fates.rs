//! The fate of a transfer: sent, void, or not known yet, whatever else happens.

use std::sync::Arc;
use std::time::Duration;

use bombyx_node::ledger::{
    Chain as _, Ledger, LedgerError,
    devnet::{DEVNET_ID, Devnet},
};
use bombyx_protocol::channel::ledger::LedgerFault;
use tokio::time::sleep;

use crate::faults::{DEADLINE, FUNDS, LIFE, SOMEBODY, World};
use crate::proxy::{Fault, Kind};
use crate::server::Server;
use crate::setup::{coins, milli, wallet};

/// A transfer that no endpoint passes on is void after its time, and said not to be sent. (`LE-8`)
#[tokio::test]
async fn a_transfer_that_is_swallowed_is_known_not_to_be_sent_when_its_time_is_over() {
    let world = World::new(LIFE).await;
    for kind in [Kind::Cut, Kind::RateLimit, Kind::WrongContent] {
        world.proxy.set(move |method| (method == "sendBoc").then_some(Fault { kind, forwarded: false }));
        let error = world.client.send(SOMEBODY, milli(5)).await.unwrap_err();
        assert!(matches!(error, LedgerError::Expired { .. }), "{kind:?}: {error}");
        assert_eq!(error.fault(), LedgerFault::NotSent);
    }
    world.proxy.clear();
    world.client.send(SOMEBODY, milli(5)).await.unwrap();
    assert_eq!(world.received(milli(5)).await, 1);
}

/// What may still be executed is never followed by another transfer; dropped, it is looked up all the same. (`LE-7`)
#[tokio::test]
async fn nothing_new_is_sent_while_the_fate_of_a_transfer_is_open() {
    let world = World::new(LIFE).await;
    let cut = Fault { kind: Kind::Cut, forwarded: true };
    let mut begun = false;
    world.proxy.set(move |method| {
        begun |= method == "sendBoc";
        begun.then_some(cut)
    });
    // The caller leaves while nothing is known.
    let left = tokio::time::timeout(Duration::from_millis(700), world.client.send(SOMEBODY, milli(5))).await;
    assert!(left.is_err());
    let error = world.client.send(SOMEBODY, milli(6)).await.unwrap_err();
    assert!(matches!(error, LedgerError::Pending { .. }), "{error}");
    assert_eq!(error.fault(), LedgerFault::NotSent);
    world.proxy.clear();
    world.client.send(SOMEBODY, milli(6)).await.unwrap();
    assert_eq!((world.received(milli(5)).await, world.received(milli(6)).await), (1, 1));
    world.assert_nothing_is_lost("after all").await;
}

/// The node is started again while a deposit is on its way between accounts: it is waited for, and no second one leaves.
/// (`LE-9`)
#[tokio::test]
async fn an_opening_that_is_on_its_way_is_not_sent_again_after_a_restart() {
    let devnet = Devnet::new().unwrap().in_blocks(30);
    let started = |party| Ledger::new(Arc::new(devnet.clone()), DEVNET_ID, Some(wallet(party)));
    let (client, provider) = (started(0), started(1));
    let address = client.wallet_address().unwrap();
    devnet.faucet(address, FUNDS).unwrap();
    let terms = crate::backends::terms(&client, &provider);
    let asked = tokio::time::timeout(Duration::from_millis(300), client.open(&terms, coins(1))).await;
    assert!(asked.is_err(), "no block has taken it");
    devnet.produce_block();
    assert_eq!(client.channel(terms.account()).await.unwrap(), None, "it is on its way");
    drop(client);
    let blocks = tokio::spawn(devnet.clone().produce_blocks(Duration::from_millis(50)));
    let opened = started(0).open(&terms, coins(1)).await.unwrap();
    blocks.abort();
    assert_eq!(opened.deposit, coins(1));
    let sent = devnet.transactions(address, 10).await.unwrap();
    assert_eq!(sent.iter().map(|one| one.outgoing.len()).sum::<usize>(), 1);
}

/// Another process with the same wallet takes the number: that is told from the own transfer. (`LE-7`)
#[tokio::test]
async fn a_number_that_another_message_took_is_not_taken_for_a_payment() {
    let world = World::new(LIFE).await;
    let mut spoilt = false;
    world.proxy.set(move |method| {
        let hit = method == "sendBoc" && !spoilt;
        spoilt |= hit;
        hit.then_some(Fault { kind: Kind::Late, forwarded: false })
    });
    let other = async {
        sleep(Duration::from_millis(300)).await;
        world.truth.send(SOMEBODY, milli(8)).await.unwrap();
    };
    let (sent, ()) = tokio::join!(world.client.send(SOMEBODY, milli(9)), other);
    let error = sent.unwrap_err();
    assert!(matches!(error, LedgerError::Overtaken { .. }), "{error}");
    assert_eq!((world.received(milli(8)).await, world.received(milli(9)).await), (1, 0));
}

/// A liar among three that invents an exit code ends no operation, and makes nobody forget a channel. (`LE-5`)
#[tokio::test]
async fn an_invented_exit_code_makes_no_refusal() {
    let server = Server::start().await;
    let liar = crate::http::refusing().await;
    let list = format!("{liar},{},{}", server.base, server.lite);
    let client = crate::server::reached(&list, 0).with_deadline(DEADLINE);
    server.devnet.faucet(client.wallet_address().unwrap(), coins(5)).unwrap();
    let provider = server.over_http(1);
    let terms = crate::backends::terms(&client, &provider);
    let channel = client.open(&terms, coins(1)).await.unwrap();
    client.top_up(channel.account, milli(100)).await.unwrap();
    client.request_close(channel.account).await.unwrap();
    client.send(SOMEBODY, milli(5)).await.unwrap();
}
