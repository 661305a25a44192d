//! Addresses, wallets, and what the ledger says when there is nothing or nobody.

use std::sync::Arc;

use bombyx_node::ledger::{
    Chain, ChainError, ChannelMessage, Ledger, LedgerError, Toncenter,
    devnet::{DEVNET_ID, Devnet, FAUCET_MAX},
};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, CHANNEL_CODE, CHANNEL_CODE_BOC, ChannelTerms};
use tycho_types::boc::Boc;
use tycho_types::cell::CellBuilder;
use tycho_types::models::OwnedRelaxedMessage;

use crate::setup::{World, coins, milli, wallet};

#[test]
fn the_constants_describe_the_committed_code() {
    let code = Boc::decode(CHANNEL_CODE_BOC).unwrap();
    assert_eq!(code.repr_hash().0, CHANNEL_CODE.hash);
    assert_eq!(code.repr_depth(), CHANNEL_CODE.depth);
}

#[test]
fn the_core_computes_the_address_that_the_ledger_derives() {
    for (salt, challenge_s) in [(0, 1), (1, 3_600), (u64::MAX, u32::MAX)] {
        let terms = ChannelTerms { salt, challenge_s, ..World::new().terms() };
        let message = ChannelMessage::TopUp { amount: Nano(1) };
        let cell = message.internal(terms.account(), Nano(1), Some(&terms));
        let init = cell.parse::<OwnedRelaxedMessage>().unwrap().init.unwrap();
        let derived = CellBuilder::build_from(init).unwrap().repr_hash().0;
        assert_eq!(terms.account(), Address::basechain(derived));
    }
}

#[tokio::test]
async fn no_channel_is_an_answer_and_no_ledger_is_an_error() {
    let world = World::new();
    let nowhere = Address::basechain([9; 32]);
    assert_eq!(world.client.channel(nowhere).await.unwrap(), None);
    assert_eq!(world.client.balance(nowhere).await.unwrap(), Nano::ZERO);

    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = Toncenter::new(&format!("http://127.0.0.1:{port}/api/v2"), None, None).unwrap();
    let ledger = Ledger::new(Arc::new(client), DEVNET_ID, None);
    let error = ledger.channel(nowhere).await.unwrap_err();
    assert!(matches!(error, LedgerError::Chain(ChainError::Unreachable { .. })), "{error}");
}

#[tokio::test]
async fn another_contract_at_an_address_is_not_taken_for_a_channel() {
    let world = World::new();
    world.open(coins(1)).await;
    let wallet = world.client.wallet_address().unwrap();
    let error = world.client.channel(wallet).await.unwrap_err();
    assert!(matches!(error, LedgerError::Chain(ChainError::Unreadable { .. })), "{error}");
}

#[tokio::test]
async fn a_channel_is_opened_only_with_enough_coins_and_a_refund_to_oneself() {
    let world = World::new();
    let error = world.client.open(&world.terms(), coins(10)).await.unwrap_err();
    assert!(matches!(error, LedgerError::Balance { .. }), "{error}");
    let error = world.stranger.open(&world.terms(), coins(1)).await.unwrap_err();
    assert!(matches!(error, LedgerError::ForeignRefund { .. }), "{error}");
    let elsewhere = ChannelTerms { network_id: -239, ..world.terms() };
    let error = world.client.open(&elsewhere, coins(1)).await.unwrap_err();
    assert!(matches!(error, LedgerError::Terms(_)), "{error}");
    let chain: Arc<dyn Chain> = Arc::new(world.devnet.clone());
    let error = Ledger::new(chain, DEVNET_ID, None).open(&world.terms(), coins(1)).await;
    assert!(matches!(error, Err(LedgerError::NoWallet { .. })));
    assert_eq!(world.balance(&world.client).await, coins(10), "nothing was spent");

    world.open(coins(1)).await;
    let error = world.client.open(&world.terms(), coins(1)).await.unwrap_err();
    assert!(matches!(error, LedgerError::AlreadyOpen { .. }), "{error}");
}

#[tokio::test]
async fn many_channels_open_with_one_transfer() {
    let world = World::new();
    let channels: Vec<_> = (0..20).map(|salt| (ChannelTerms { salt, ..world.terms() }, milli(100))).collect();
    let opened = world.client.open_all(&channels).await.unwrap();
    assert_eq!(opened.len(), 20);
    for (channel, (terms, deposit)) in opened.iter().zip(&channels) {
        let state = world.state(*channel).await.unwrap();
        assert_eq!((state.terms, state.deposit), (terms.clone(), *deposit));
    }
    let transfers = world.client.transactions(world.client.wallet_address().unwrap(), 100).await.unwrap();
    assert_eq!(transfers.len(), 1);
}

#[tokio::test]
async fn two_transfers_at_once_wait_for_each_other() {
    let world = World::new();
    let terms = world.terms();
    let ledger = Arc::new(world.client);
    let opening = [1, 2, 3].map(|salt| {
        let (ledger, terms) = (ledger.clone(), ChannelTerms { salt, ..terms.clone() });
        tokio::spawn(async move { ledger.open(&terms, coins(1)).await })
    });
    for task in opening {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_wallet_is_deployed_by_its_first_transfer_and_counts_on() {
    let world = World::new();
    let channel = world.open(coins(1)).await;
    world.client.top_up(channel.account, coins(1)).await.unwrap();
    world.client.top_up(channel.account, milli(500)).await.unwrap();
    let state = world.state(channel).await.unwrap();
    assert_eq!((state.deposit, state.epoch), (milli(2_500), channel.epoch));
    assert_eq!(state.terms, world.terms());
}

#[tokio::test]
async fn a_transfer_that_has_expired_is_refused_by_the_wallet() {
    let world = World::new();
    world.open(coins(1)).await;
    let message = ChannelMessage::Finalize.internal(world.terms().account(), milli(10), None);
    let late = wallet(0).transfer(1, world.devnet.now_s() - 1, &[message]).unwrap();
    let error = world.devnet.send(late).await.unwrap_err();
    assert!(matches!(error, ChainError::Refused { exit_code: Some(136), .. }), "{error}");
}

#[tokio::test]
async fn garbage_is_refused_without_harm() {
    let world = World::new();
    let channel = world.open(coins(1)).await;
    let before = world.state(channel).await;
    let good = Boc::encode(ChannelMessage::Finalize.external(channel.account));
    for cut in 0..good.len() {
        assert!(world.devnet.send(good[..cut].to_vec()).await.is_err());
    }
    for at in 0..good.len() {
        let mut bent = good.clone();
        bent[at] ^= 0x41;
        let _ = world.devnet.send(bent).await;
    }
    assert!(world.devnet.send(vec![0xb5; 100_000]).await.is_err());
    assert_eq!(world.state(channel).await, before);
}

#[test]
fn the_faucet_has_a_limit() {
    let devnet = Devnet::new().unwrap();
    let somebody = Address::basechain([7; 32]);
    devnet.faucet(somebody, FAUCET_MAX).unwrap();
    assert!(devnet.faucet(somebody, Nano(FAUCET_MAX.0 + 1)).is_err());
    assert!(devnet.faucet(Address { workchain: -1, hash: [7; 32] }, Nano(1)).is_err());
}
