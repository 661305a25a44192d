//! What the contract refuses, with which exit code, and that a refusal changes nothing.

use bombyx_node::ledger::{Chain as _, ChainError, ChannelMessage, LedgerError, OpenedChannel, Refusal};
use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::ident::Signature;
use tycho_types::boc::Boc;
use tycho_types::cell::CellBuilder;
use tycho_types::models::{OwnedMessage, OwnedRelaxedMessage};

use crate::setup::{CHALLENGE_S, World, coins, key, milli, reason};

fn claim(cumulative: Nano, voucher: Signature) -> ChannelMessage {
    ChannelMessage::Claim { cumulative, voucher }
}

/// A world with an open channel of one coin, of which a tenth is settled.
async fn with_channel() -> (World, OpenedChannel) {
    let world = World::new();
    let channel = world.open(coins(1)).await;
    world.claim(channel, milli(100)).await.unwrap();
    (world, channel)
}

/// (`CH-21`)
#[tokio::test]
async fn every_bad_external_message_is_refused_with_its_code_and_costs_nothing() {
    let (world, channel) = with_channel().await;
    let before = world.state(channel).await;
    let voucher = |cumulative| world.voucher(channel, cumulative).signature;
    let other_epoch = OpenedChannel { epoch: channel.epoch + 1, ..channel };
    let foreign =
        Voucher { account: ChannelId(channel.account.hash), epoch: channel.epoch, cumulative: milli(200) };
    let close = |cumulative, voucher, order| ChannelMessage::ProviderClose { cumulative, voucher, order };
    let order = |cumulative| Some(world.order(channel, cumulative).1);
    let zero = Some(Signature([0; 64]));
    let cases = [
        ("replay", claim(milli(100), voucher(milli(100))), Refusal::Stale),
        ("older voucher", claim(milli(99), voucher(milli(99))), Refusal::Stale),
        ("beyond the deposit", claim(milli(1_001), voucher(milli(1_001))), Refusal::OverDeposit),
        ("other amount", claim(milli(201), voucher(milli(200))), Refusal::Signature),
        (
            "other epoch",
            claim(milli(200), world.voucher(other_epoch, milli(200)).signature),
            Refusal::Signature,
        ),
        ("foreign key", claim(milli(200), foreign.sign(&key(9))), Refusal::Signature),
        ("provider's key", claim(milli(200), foreign.sign(&world.provider_key)), Refusal::Signature),
        ("order as voucher", claim(milli(200), world.order(channel, milli(200)).1), Refusal::Signature),
        ("dust", claim(milli(104), voucher(milli(104))), Refusal::Dust),
        ("no order", close(milli(100), None, None), Refusal::Signature),
        ("zero order", close(milli(100), None, zero), Refusal::Signature),
        ("client's order", close(milli(100), None, Some(voucher(milli(100)))), Refusal::Signature),
        (
            "order of another total",
            close(milli(200), Some(voucher(milli(200))), order(milli(300))),
            Refusal::Signature,
        ),
        ("close without voucher", close(milli(200), None, order(milli(200))), Refusal::Signature),
        (
            "close below the settled",
            close(milli(50), Some(voucher(milli(50))), order(milli(50))),
            Refusal::Stale,
        ),
        (
            "close beyond the deposit",
            close(coins(2), Some(voucher(coins(2))), order(coins(2))),
            Refusal::OverDeposit,
        ),
        ("unsigned request", ChannelMessage::RequestClose { request: None }, Refusal::Signature),
        (
            "request by voucher",
            ChannelMessage::RequestClose { request: Some(voucher(Nano::ZERO)) },
            Refusal::Signature,
        ),
        ("early finalize", ChannelMessage::Finalize, Refusal::TooEarly),
    ];
    for (name, message, refusal) in cases {
        assert_eq!(world.external(channel.account, message).await, Err(refusal), "{name}");
        assert_eq!(world.state(channel).await, before, "{name} changed something");
    }
}

#[tokio::test]
async fn ballast_in_a_good_external_message_is_refused() {
    let (world, channel) = with_channel().await;
    let before = world.state(channel).await;
    let good = claim(milli(500), world.voucher(channel, milli(500)).signature).external(channel.account);
    let mut message: OwnedMessage = good.parse().unwrap();
    // An account that is active ignores code in a message, but pays for its import.
    let deploy = ChannelMessage::Finalize.internal(channel.account, Nano(1), Some(&world.terms()));
    message.init = deploy.parse::<OwnedRelaxedMessage>().unwrap().init;
    let boc = Boc::encode(CellBuilder::build_from(&message).unwrap());
    let error = world.devnet.send(boc).await.unwrap_err();
    assert!(matches!(error, ChainError::Refused { exit_code: Some(110), .. }), "{error}");
    assert_eq!(world.state(channel).await, before);
    world.claim(channel, milli(500)).await.unwrap();
}

/// (`CH-16`)
#[tokio::test]
async fn every_bad_internal_message_is_refused_with_its_code() {
    let (world, channel) = with_channel().await;
    let before = world.state(channel).await.unwrap();
    let voucher = |cumulative| world.voucher(channel, cumulative).signature;
    let close = |cumulative, voucher| ChannelMessage::ProviderClose { cumulative, voucher, order: None };
    let request = ChannelMessage::RequestClose { request: None };
    let top_up = |amount| ChannelMessage::TopUp { amount };
    let (client, stranger) = (0, 2);
    let cases = [
        ("close by a stranger", stranger, close(milli(100), None), Refusal::Sender),
        ("close by the client", client, close(milli(100), None), Refusal::Sender),
        ("request by a stranger", stranger, request, Refusal::Sender),
        ("replay", stranger, claim(milli(100), voucher(milli(100))), Refusal::Stale),
        ("beyond the deposit", stranger, claim(coins(2), voucher(coins(2))), Refusal::OverDeposit),
        ("foreign key", stranger, claim(milli(200), Signature([7; 64])), Refusal::Signature),
        ("early finalize", stranger, ChannelMessage::Finalize, Refusal::TooEarly),
        ("top-up of more than is attached", stranger, top_up(milli(20)), Refusal::Value),
    ];
    for (name, sender, message, refusal) in cases {
        let outcome = world.internal(sender, channel.account, message, milli(20)).await;
        assert_eq!(outcome, Err(refusal), "{name}");
        let after = world.state(channel).await.unwrap();
        assert_eq!((after.settled, after.deposit), (before.settled, before.deposit), "{name}");
        assert_eq!((after.close_at_s, after.epoch), (0, before.epoch), "{name}");
        assert!(after.balance >= before.balance, "{name}: refusals are paid by their sender");
    }
}

#[tokio::test]
async fn a_closing_channel_takes_no_money_and_no_second_request() {
    let (world, channel) = with_channel().await;
    world.client.request_close(channel.account).await.unwrap();
    let request = ChannelMessage::RequestClose { request: None };
    let outcome = world.internal(0, channel.account, request, milli(20)).await;
    assert_eq!(outcome, Err(Refusal::Closing), "a second request would move the end");
    assert_eq!(reason(world.client.top_up(channel.account, milli(100)).await), Refusal::Closing);
    let (request, signature) = world.request(channel);
    let again = world.client.request_close_signed(&request, signature).await;
    assert_eq!(reason(again), Refusal::Closing);
}

#[tokio::test]
async fn a_request_from_a_strangers_wallet_is_reported_as_such() {
    let (world, channel) = with_channel().await;
    assert_eq!(reason(world.stranger.request_close(channel.account).await), Refusal::Sender);
    assert_eq!(world.state(channel).await.unwrap().close_at_s, 0);
}

#[tokio::test]
async fn an_accepted_message_cannot_be_sent_twice() {
    let (world, channel) = with_channel().await;
    let message = claim(milli(300), world.voucher(channel, milli(300)).signature);
    world.external(channel.account, message).await.unwrap();
    assert_eq!(world.external(channel.account, message).await, Err(Refusal::Stale));
    let (_, request) = world.request(channel);
    let message = ChannelMessage::RequestClose { request: Some(request) };
    world.external(channel.account, message).await.unwrap();
    assert_eq!(world.external(channel.account, message).await, Err(Refusal::Closing));
    world.devnet.advance(CHALLENGE_S);
    world.external(channel.account, ChannelMessage::Finalize).await.unwrap();
    let error = world.client.finalize(channel.account).await.unwrap_err();
    assert!(matches!(error, LedgerError::NotOpen { .. }), "{error}");
}

#[tokio::test]
async fn a_request_from_outside_is_never_paid_from_what_the_provider_may_still_claim() {
    let world = World::new();
    let channel = world.open(coins(1)).await;
    // Rent uses up the reserve.
    world.devnet.advance(30 * 365 * 24 * 3600);
    let (request, signature) = world.request(channel);
    let message = ChannelMessage::RequestClose { request: Some(signature) };
    assert_eq!(world.external(channel.account, message).await, Err(Refusal::Value));
    let until_s = world.client.request_close_signed(&request, signature).await.unwrap();
    assert_eq!(until_s, world.devnet.now_s() + CHALLENGE_S, "the client's wallet has paid for it");
}

#[tokio::test]
async fn nothing_works_on_a_contract_that_was_never_funded() {
    let world = World::new();
    let terms = world.terms();
    let account = terms.account();
    // Deployed by a message that the contract takes without funding: plain coins with code.
    let message = ChannelMessage::TopUp { amount: Nano(u64::MAX) };
    let deploy = message.internal(account, milli(50), Some(&terms));
    let boc = crate::setup::wallet(2).transfer(0, world.devnet.now_s() + 60, &[deploy]).unwrap();
    world.devnet.send(boc).await.unwrap();
    assert!(world.client.channel(account).await.unwrap().is_none_or(|state| state.epoch == 0));
    let channel = OpenedChannel { account, epoch: 0, deposit: Nano::ZERO };
    let error = world.claim(channel, milli(10)).await.unwrap_err();
    assert!(matches!(error, LedgerError::NotOpen { .. }), "{error}");
}
