//! Several endpoints as one ledger: real servers of which one is down, lags, or tells of another ledger.

use std::time::Duration;

use bombyx_node::ledger::LedgerError;
use bombyx_node::ledger::chain::ChainError;
use bombyx_node::ledger::devnet::Devnet;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;

use crate::server::{Server, reached};
use crate::setup::coins;

const SOMEBODY: Address = Address { workchain: 0, hash: [7; 32] };

/// An address at which nobody listens.
async fn down() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// An address that takes connections and says nothing.
async fn mute() -> (String, tokio::net::TcpListener) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("http://{}", listener.local_addr().unwrap()), listener)
}

#[tokio::test]
async fn an_endpoint_that_is_down_or_mute_is_passed_over() {
    let server = Server::start().await;
    let (mute, _held) = mute().await;
    for (number, bad) in [down().await, mute].into_iter().enumerate() {
        let somebody = Address::basechain([u8::try_from(number).unwrap(); 32]);
        server.devnet.faucet(somebody, coins(5)).unwrap();
        let ledger = reached(&format!("{bad},{}", server.base), number);
        assert_eq!(ledger.balance(somebody).await.unwrap(), coins(5));
        let address = ledger.wallet_address().unwrap();
        server.devnet.faucet(address, coins(2)).unwrap();
        ledger.send(somebody, Nano(1)).await.unwrap();
        assert!(!ledger.transactions(address, 5).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn without_any_endpoint_the_error_says_what_each_met() {
    let (first, second) = (down().await, down().await);
    let error = reached(&format!("{first},{second}"), 0).balance(SOMEBODY).await.unwrap_err().to_string();
    assert!(error.contains(&first) && error.contains(&second), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_lags_is_left_behind() {
    let (fresh, old) = (Server::start().await, Server::start().await);
    fresh.devnet.faucet(SOMEBODY, coins(5)).unwrap();
    old.devnet.stop_clock(fresh.devnet.now_s() - 120);
    for list in [format!("{},{}", old.base, fresh.base), format!("{},{}", fresh.lite, old.lite)] {
        assert_eq!(reached(&list, 0).balance(SOMEBODY).await.unwrap(), coins(5), "{list}");
    }
}

#[tokio::test]
async fn endpoints_that_contradict_each_other_settle_nothing_until_a_third_decides() {
    let (honest, lying) = (Server::start().await, Server::start().await);
    honest.devnet.faucet(SOMEBODY, coins(5)).unwrap();
    lying.devnet.faucet(SOMEBODY, coins(900)).unwrap();
    let two = format!("{},{}", lying.base, honest.base);
    let error = reached(&two, 0).balance(SOMEBODY).await.unwrap_err();
    let LedgerError::Chain(ChainError::Contradiction { endpoints, .. }) = &error else { panic!("{error}") };
    assert!(endpoints.contains(&lying.base) && endpoints.contains(&honest.base), "{endpoints}");
    // The honest ledger's other face makes two of three.
    let three = format!("{two},{}", honest.lite);
    assert_eq!(reached(&three, 0).balance(SOMEBODY).await.unwrap(), coins(5));
}

#[tokio::test]
async fn an_endpoint_that_gets_a_block_a_little_later_only_costs_a_moment() {
    let devnet = Devnet::new().unwrap();
    let (early, late) = (Server::serving(devnet.clone()).await, Server::start().await);
    early.devnet.faucet(SOMEBODY, coins(5)).unwrap();
    let catches_up = late.devnet.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        catches_up.faucet(SOMEBODY, coins(5)).unwrap();
    });
    let ledger = reached(&format!("{},{}", late.base, early.base), 0);
    assert_eq!(ledger.balance(SOMEBODY).await.unwrap(), coins(5));
}
