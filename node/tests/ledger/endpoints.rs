//! Several endpoints as one ledger: real servers of which one is down, lags, or tells of another ledger.

use std::time::Duration;

use bombyx_node::ledger::{ChainError, LedgerError, devnet::Devnet};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;

use crate::backends::terms;
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
        // Two faces of one ledger agree; one of them would be one voice.
        let ledger = reached(&format!("{bad},{},{}", server.base, server.lite), number);
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

/// (`LE-1`)
#[tokio::test]
async fn an_endpoint_that_lags_is_outvoted_and_never_left_out_of_two() {
    let (fresh, old) = (Server::start().await, Server::start().await);
    fresh.devnet.faucet(SOMEBODY, coins(5)).unwrap();
    old.devnet.stop_clock(fresh.devnet.now_s() - 120);
    for two in [format!("{},{}", old.base, fresh.base), format!("{},{}", fresh.lite, old.lite)] {
        let error = reached(&two, 0).balance(SOMEBODY).await.unwrap_err();
        assert!(matches!(error, LedgerError::Chain(ChainError::Contradiction { .. })), "{error}");
    }
    let three = format!("{},{},{}", old.base, fresh.base, fresh.lite);
    assert_eq!(reached(&three, 0).balance(SOMEBODY).await.unwrap(), coins(5));
}

/// One liar whose clock is ahead, beside one honest endpoint that is as far behind as they usually are. (`LE-1`, `LE-2`)
#[tokio::test]
async fn a_clock_that_is_ahead_makes_nobody_else_a_laggard() {
    for ahead_s in [3, 20, 58, 3_600] {
        let (honest, liar) = (Server::start().await, Server::start().await);
        honest.devnet.faucet(SOMEBODY, coins(5)).unwrap();
        liar.devnet.faucet(SOMEBODY, coins(777)).unwrap();
        honest.devnet.stop_clock(honest.devnet.now_s() - 5);
        liar.devnet.advance(ahead_s);
        for two in [format!("{},{}", honest.base, liar.base), format!("{},{}", liar.lite, honest.base)] {
            let error = reached(&two, 0).balance(SOMEBODY).await.unwrap_err().to_string();
            assert!(error.contains(&honest.base), "{ahead_s}: {error}");
        }
        let three = format!("{},{},{}", honest.base, liar.base, honest.lite);
        assert_eq!(reached(&three, 0).balance(SOMEBODY).await.unwrap(), coins(5));
    }
}

/// (`LE-1`)
#[tokio::test]
async fn of_two_endpoints_one_alone_is_no_agreement() {
    let server = Server::start().await;
    server.devnet.faucet(SOMEBODY, coins(5)).unwrap();
    let dead = down().await;
    let error = reached(&format!("{},{dead}", server.base), 0).balance(SOMEBODY).await.unwrap_err();
    let LedgerError::Chain(ChainError::Unreachable { reason, .. }) = &error else { panic!("{error}") };
    assert!(reason.contains(&dead) && reason.contains("says 5 coins"), "{reason}");
}

/// The second look of a provider is not the liar's alone either, whoever answers first. (`CH-23`, `LE-1`)
#[tokio::test]
async fn a_channel_that_one_endpoint_invents_is_shown_to_nobody() {
    let (honest, liar) = (Server::start().await, Server::start().await);
    let (client, provider) = (liar.over_http(0), liar.over_http(1));
    liar.devnet.faucet(client.wallet_address().unwrap(), coins(5)).unwrap();
    // The liar's own ledger: coins of nothing, and a contract that is as it should be.
    let invented = client.open(&terms(&client, &provider), coins(1)).await.unwrap();
    assert!(provider.channel(invented.account).await.unwrap().is_some(), "a single endpoint is believed");
    let ledger = reached(&format!("{},{}", liar.base, honest.base), 1);
    for _ in 0..3 {
        let error = ledger.channel(invented.account).await.unwrap_err();
        assert!(matches!(error, LedgerError::Chain(ChainError::Contradiction { .. })), "{error}");
    }
    let ledger = reached(&format!("{},{},{}", liar.base, honest.base, honest.lite), 1);
    assert_eq!(ledger.channel(invented.account).await.unwrap(), None);
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
