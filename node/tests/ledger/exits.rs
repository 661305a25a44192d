//! Every way out of a channel, and where the money went, to the nano.

use bombyx_node::ledger::{Chain as _, ChannelMessage, Refusal, Transaction};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};

use crate::setup::{CHALLENGE_S, TODAY, World, coins, milli, reason};

/// What an account's transactions say that its balance is.
fn ledger_balance(start: Nano, history: &[Transaction]) -> i128 {
    history.iter().fold(i128::from(start.0), |sum, transaction| {
        let received = transaction.incoming.as_ref().map_or(0, |message| i128::from(message.value.0));
        let sent: i128 = transaction.outgoing.iter().map(|message| i128::from(message.value.0)).sum();
        sum + received - sent - i128::from(transaction.fee.0)
    })
}

/// Checks that transactions explain every balance, and that their fees are all that is missing.
pub(crate) async fn assert_books_balance(world: &World, channel: Address) {
    let mut fees = 0;
    let parties = [&world.client, &world.provider, &world.stranger];
    let addresses = parties.map(|ledger| ledger.wallet_address().unwrap());
    for (address, start) in
        addresses.into_iter().zip([coins(10), Nano::ZERO, coins(10)]).chain([(channel, Nano::ZERO)])
    {
        let history = world.devnet.transactions(address, 100).await.unwrap();
        let balance = world.devnet.account(address).await.unwrap().balance;
        assert_eq!(ledger_balance(start, &history), i128::from(balance.0), "{address}");
        fees += history.iter().map(|transaction| u128::from(transaction.fee.0)).sum::<u128>();
    }
    assert_eq!(world.devnet.fees_collected(), fees);
}

#[tokio::test]
async fn open_claim_and_close_by_a_provider_without_coins_adds_up_to_the_nano() {
    let world = World::new();
    let channel = world.open(coins(2)).await;
    let state = world.state(channel).await.unwrap();
    assert_eq!((state.deposit, state.settled, state.close_at_s), (coins(2), Nano::ZERO, 0));
    assert!(state.balance > coins(2), "the deposit is there, and a reserve");

    world.claim(channel, milli(500)).await.unwrap();
    assert_eq!(world.state(channel).await.unwrap().settled, milli(500));
    let first = world.balance(&world.provider).await;
    assert!(first < milli(500) && first > milli(499), "the claim paid its own gas: {first}");
    let collateral = world.state(channel).await.unwrap().balance;
    assert_eq!(collateral, state.balance.minus(milli(500)).unwrap(), "nobody else paid");

    world.close(channel, milli(800)).await.unwrap();
    assert_eq!(world.state(channel).await, None, "the account is deleted");
    let last = world.balance(&world.provider).await.minus(first).unwrap();
    assert_eq!(last, milli(300), "the rest, to the nano: the reserve pays for the close");
    let client = world.balance(&world.client).await;
    let spent = coins(10).minus(client).unwrap();
    assert!(spent > milli(800) && spent < milli(805), "all but the work and fees came back: {spent}");
    assert_books_balance(&world, channel.account).await;
}

#[tokio::test]
async fn a_client_gets_everything_back_alone_but_not_before_the_challenge_period() {
    let world = World::new();
    let channel = world.open(coins(2)).await;
    assert_eq!(reason(world.client.finalize(channel.account).await), Refusal::TooEarly);
    let close_at_s = world.client.request_close(channel.account).await.unwrap();
    assert_eq!(close_at_s, world.devnet.now_s() + CHALLENGE_S);
    world.devnet.advance(CHALLENGE_S - 1);
    assert_eq!(reason(world.client.finalize(channel.account).await), Refusal::TooEarly);
    world.devnet.advance(1);
    // Anyone may: here somebody without coins.
    world.provider.finalize(channel.account).await.unwrap();
    assert_eq!(world.state(channel).await, None);
    assert_eq!(world.balance(&world.provider).await, Nano::ZERO);
    let client = world.balance(&world.client).await;
    assert!(client > milli(9_995), "all but fees came back: {client}");
    assert_books_balance(&world, channel.account).await;
}

/// (`CH-14`)
#[tokio::test]
async fn a_client_with_an_empty_wallet_can_leave_too() {
    let world = World::new();
    let channel = world.open(coins(2)).await;
    let wallet_before = world.balance(&world.client).await;
    let (request, signature) = world.request(channel);
    world.provider.request_close_signed(&request, signature).await.unwrap();
    world.devnet.advance(CHALLENGE_S);
    world.provider.finalize(channel.account).await.unwrap();
    let refund = world.balance(&world.client).await.minus(wallet_before).unwrap();
    assert!(refund > coins(2), "deposit and most of the reserve: {refund}");
    assert_books_balance(&world, channel.account).await;
}

#[tokio::test]
async fn a_provider_claims_and_closes_during_the_challenge_period() {
    let world = World::new();
    let channel = world.open(coins(2)).await;
    world.client.request_close(channel.account).await.unwrap();
    world.claim(channel, milli(300)).await.unwrap();
    assert_eq!(world.state(channel).await.unwrap().settled, milli(300));
    world.close(channel, coins(2)).await.unwrap();
    assert_eq!(world.state(channel).await, None);
    let provider = world.balance(&world.provider).await;
    assert!(provider > milli(1_999), "the whole deposit, less fees: {provider}");
    assert_books_balance(&world, channel.account).await;
}

#[tokio::test]
async fn a_provider_who_earned_nothing_can_release_the_deposit_at_once() {
    let world = World::new();
    let channel = world.open(coins(2)).await;
    let (order, signature) = world.order(channel, Nano::ZERO);
    world.provider.provider_close(&order, signature, None).await.unwrap();
    assert_eq!(world.state(channel).await, None);
    assert!(world.balance(&world.client).await > milli(9_996));
    assert_books_balance(&world, channel.account).await;
}

#[tokio::test]
async fn a_provider_with_a_wallet_but_without_its_close_key_closes_by_message() {
    let world = World::new();
    let channel = world.open(coins(2)).await;
    world.devnet.faucet(world.provider.wallet_address().unwrap(), coins(1)).unwrap();
    let voucher = world.voucher(channel, milli(700)).signature;
    let message =
        ChannelMessage::ProviderClose { cumulative: milli(700), voucher: Some(voucher), order: None };
    world.internal(1, channel.account, message, milli(50)).await.unwrap();
    assert_eq!(world.state(channel).await, None);
    let gained = world.balance(&world.provider).await.minus(coins(1)).unwrap();
    assert!(gained > milli(698), "what it attached came back: {gained}");
}

#[tokio::test]
async fn anyone_can_bring_a_voucher_and_the_provider_is_paid() {
    let world = World::new();
    let channel = world.open(coins(2)).await;
    let before = world.balance(&world.stranger).await;
    let collateral = world.state(channel).await.unwrap().balance;
    // Too small for an external message: the stranger's wallet carries it.
    world.stranger.claim(&world.voucher(channel, milli(1))).await.unwrap();
    let after = world.state(channel).await.unwrap();
    assert_eq!(after.settled, milli(1));
    assert_eq!(after.balance, collateral.minus(milli(1)).unwrap(), "nobody else paid");
    assert!(world.balance(&world.provider).await > milli(1), "the claim, and what was attached");
    assert!(world.balance(&world.stranger).await < before);
    assert_books_balance(&world, channel.account).await;
}

/// (`CH-22`)
#[tokio::test]
async fn a_second_life_of_the_same_terms_makes_old_signatures_void() {
    let world = World::new();
    let first = world.open(coins(1)).await;
    world.claim(first, milli(100)).await.unwrap();
    world.close(first, milli(400)).await.unwrap();
    let second = world.open(coins(1)).await;
    assert_eq!(second.account, first.account);
    assert!(second.epoch > first.epoch);

    let old = world.voucher(first, milli(900));
    assert_eq!(reason(world.provider.claim(&old).await), Refusal::Signature);
    let (order, signature) = world.order(first, milli(400));
    let message = ChannelMessage::ProviderClose {
        cumulative: order.cumulative,
        voucher: Some(world.voucher(first, milli(400)).signature),
        order: Some(signature),
    };
    assert_eq!(world.external(second.account, message).await, Err(Refusal::Signature));
    let (_, signature) = world.request(first);
    let message = ChannelMessage::RequestClose { request: Some(signature) };
    assert_eq!(world.external(second.account, message).await, Err(Refusal::Signature));
    assert_eq!(world.state(second).await.unwrap().settled, Nano::ZERO);
}

#[tokio::test]
async fn rent_of_thirty_years_does_not_lock_the_money() {
    for deposit in [milli(100), coins(1)] {
        let world = World::new();
        let channel = world.open(deposit).await;
        world.devnet.advance(30 * 365 * 24 * 3600);
        world.close(channel, deposit).await.unwrap();
        let provider = world.balance(&world.provider).await;
        assert!(provider < deposit, "the rent exceeded the reserve");
        assert!(provider.0 > deposit.0 - TODAY.open_surplus().0 * 5, "{provider} of {deposit}");
        let last = world.devnet.transactions(channel.account, 1).await.unwrap().remove(0);
        assert_eq!(last.outgoing.len(), 1, "all that is there is the provider's");
        assert_books_balance(&world, channel.account).await;
    }
}

#[tokio::test]
async fn a_stranger_who_funds_the_channel_first_only_makes_a_gift() {
    let world = World::new();
    let terms = world.terms();
    let account = terms.account();
    let message = ChannelMessage::TopUp { amount: Nano(1) };
    let gift = message.internal(account, TODAY.open_surplus().plus(Nano(1)).unwrap(), Some(&terms));
    let boc = crate::setup::wallet(2).transfer(0, world.devnet.now_s() + 60, &[gift]).unwrap();
    world.devnet.send(boc).await.unwrap();
    let state = world.client.channel(account).await.unwrap().unwrap();
    world.client.top_up(account, coins(1)).await.unwrap();
    let after = world.client.channel(account).await.unwrap().unwrap();
    assert_eq!((after.epoch, after.deposit), (state.epoch, Nano(coins(1).0 + 1)));
    let elsewhere = ChannelTerms { salt: 2, ..terms };
    assert_ne!(elsewhere.account(), account);
}

/// A voucher for more than rent has left is paid what there is, and no more of it counts. (`ST-11`)
#[tokio::test]
async fn a_claim_is_paid_what_rent_has_left() {
    for (years, outside) in [(10, true), (12, false)] {
        let world = World::new();
        let channel = world.open(milli(20)).await;
        world.devnet.advance(years * 365 * 24 * 3600);
        let claim = ChannelMessage::Claim {
            cumulative: milli(20),
            voucher: world.voucher(channel, milli(20)).signature,
        };
        if outside {
            world.external(channel.account, claim).await.unwrap();
        } else {
            world.internal(2, channel.account, claim, TODAY.message_gas()).await.unwrap();
        }
        let state = world.state(channel).await.unwrap();
        assert!(state.settled > Nano::ZERO && state.settled < milli(20), "{}", state.settled);
        assert_eq!(state.balance, Nano::ZERO);
        let provider = world.balance(&world.provider).await;
        assert!(provider.0 > state.settled.0 / 2, "{provider} of {}", state.settled);
        // What came later is the voucher's too.
        world.devnet.faucet(channel.account, milli(30)).unwrap();
        world.claim(channel, milli(20)).await.unwrap();
        assert_eq!(world.state(channel).await.unwrap().settled, milli(20));
    }
}
