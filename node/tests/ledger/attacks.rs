//! Attacks that need more than one bad message, and what the attacker gets: nothing.

use bombyx_node::ledger::{Chain as _, ChannelMessage, OpenedChannel, Refusal};
use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::channel::voucher::Voucher;

use crate::setup::{CHALLENGE_S, World, coins, milli};

fn claim(channel: OpenedChannel, cumulative: Nano, world: &World) -> ChannelMessage {
    ChannelMessage::Claim { cumulative, voucher: world.voucher(channel, cumulative).signature }
}

#[tokio::test]
async fn a_voucher_for_the_same_terms_on_another_network_is_worth_nothing() {
    let world = World::new();
    let channel = world.open(coins(1)).await;
    let elsewhere = ChannelTerms { network_id: -239, ..world.terms() }.account();
    assert_ne!(elsewhere, channel.account);
    let foreign =
        Voucher { account: ChannelId(elsewhere.hash), epoch: channel.epoch, cumulative: milli(500) };
    let message = ChannelMessage::Claim { cumulative: milli(500), voucher: foreign.sign(&world.client_key) };
    assert_eq!(world.external(channel.account, message).await, Err(Refusal::Signature));
}

#[tokio::test]
async fn a_message_with_too_little_gas_changes_nothing_and_takes_nothing_from_the_channel() {
    let world = World::new();
    let channel = world.open(coins(1)).await;
    for value in [1, 1_000, 50_000, 100_000, 200_000, 340_000] {
        let before = world.state(channel).await.unwrap();
        let message = claim(channel, milli(100), &world);
        assert!(world.internal(2, channel.account, message, Nano(value)).await.is_err(), "{value} nano");
        let after = world.state(channel).await.unwrap();
        assert_eq!(after.settled, Nano::ZERO, "{value} nano");
        assert!(after.balance >= before.balance, "{value} nano: the deposit paid");
    }
    world.claim(channel, milli(100)).await.unwrap();
}

#[tokio::test]
async fn coins_on_a_refused_message_bounce_back_to_their_sender() {
    let world = World::new();
    let channel = world.open(coins(1)).await;
    let before = world.balance(&world.stranger).await;
    let outcome = world.internal(2, channel.account, ChannelMessage::Finalize, coins(3)).await;
    assert_eq!(outcome, Err(Refusal::TooEarly));
    let lost = before.minus(world.balance(&world.stranger).await).unwrap();
    assert!(lost < milli(3), "{lost} of 3 coins is gone");
}

#[tokio::test]
async fn a_payout_to_an_account_that_does_not_exist_stays_there_and_does_not_bounce() {
    let world = World::new();
    let channel = world.open(coins(1)).await;
    let provider = world.provider.wallet_address().unwrap();
    assert!(world.devnet.account(provider).await.unwrap().contract.is_none());
    world.claim(channel, milli(200)).await.unwrap();
    world.close(channel, milli(300)).await.unwrap();
    assert!(world.balance(&world.provider).await > milli(299));
    let history = world.devnet.transactions(channel.account, 100).await.unwrap();
    assert_eq!(history.len(), 3, "open, claim, close: nothing came back");
}

#[tokio::test]
async fn a_channel_can_be_closed_once_only() {
    let world = World::new();
    let channel = world.open(coins(1)).await;
    world.close(channel, milli(300)).await.unwrap();
    let provider = world.balance(&world.provider).await;
    // What is gone is closed: it is said so, and nothing is paid again.
    world.close(channel, milli(300)).await.unwrap();
    let (_, request) = world.request(channel);
    let request = ChannelMessage::RequestClose { request: Some(request) };
    for message in [ChannelMessage::Finalize, request] {
        // From a wallet: the account that is gone sends all of it back.
        let before = world.balance(&world.stranger).await;
        assert!(world.internal_to_nobody(channel.account, message, coins(1)).await);
        let lost = before.minus(world.balance(&world.stranger).await).unwrap();
        assert!(lost < milli(3), "{lost} is gone");
    }
    assert_eq!(world.state(channel).await, None);
    assert_eq!(world.balance(&world.provider).await, provider);
}

#[tokio::test]
async fn a_client_whose_provider_is_dead_pays_what_it_promised_and_gets_the_rest() {
    let world = World::new();
    let channel = world.open(coins(2)).await;
    world.client.request_close(channel.account).await.unwrap();
    // An honest client brings the provider's voucher for it; the provider's machine is gone, its address is not.
    world.client.claim(&world.voucher(channel, milli(400))).await.unwrap();
    world.devnet.advance(CHALLENGE_S);
    world.client.finalize(channel.account).await.unwrap();
    assert!(world.balance(&world.provider).await > milli(399));
    assert!(world.balance(&world.client).await > milli(9_590));
}

#[tokio::test]
async fn dust_claimed_by_wallet_never_costs_the_channel_more_than_it_pays() {
    let world = World::new();
    let channel = world.open(coins(1)).await;
    let start = world.state(channel).await.unwrap().balance;
    for total in 1..=20 {
        world.internal(2, channel.account, claim(channel, Nano(total), &world), milli(5)).await.unwrap();
    }
    let end = world.state(channel).await.unwrap();
    assert_eq!(end.settled, Nano(20));
    assert_eq!(end.balance, start.minus(Nano(20)).unwrap());
}
