//! Attacks that need more than one bad message, and what the attacker gets: nothing.

use bombyx_node::ledger::{Chain as _, ChainError, PurseMessage, PurseState, Refusal};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::lane::LaneVoucher;
use bombyx_protocol::channel::purse::{Cut, PurseOrder, PurseTerms};
use bombyx_protocol::channel::terms::Address;
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder};
use tycho_types::models::{OwnedMessage, OwnedRelaxedMessage};

use super::setup::{GAS, Purse, STRANGER, cuts, other_lane};
use crate::setup::{TODAY, coins, milli};

/// (`ST-9`)
#[tokio::test]
async fn a_provider_counts_on_its_own_lane_only_and_not_while_it_may_shrink() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let provider = purse.world.provider.wallet_address().unwrap();
    let key = purse.world.provider_key.verifying_key().to_bytes();
    let state = purse.state().await.unwrap();
    assert_eq!(state.headroom(0, provider, &key), milli(800));
    assert_eq!(state.headroom(0, provider, &[9; 32]), Nano::ZERO, "its close order would not count");
    assert_eq!(state.headroom(0, purse.account, &key), Nano::ZERO, "somebody else is paid");
    assert_eq!(state.headroom(1, provider, &key), Nano::ZERO);
    assert_eq!(state.headroom(2, provider, &key), Nano::ZERO);
    purse.external(purse.claim(0, milli(300)).await).await.unwrap();
    assert_eq!(purse.state().await.unwrap().headroom(0, provider, &key), milli(500));
    purse.order(cuts(&[Cut::Shrink { lane: 0, keep: milli(700) }])).await.unwrap();
    let state = purse.state().await.unwrap();
    assert_eq!(state.headroom(0, provider, &key), Nano::ZERO);
    let poor = PurseState { balance: state.locked.minus(Nano(1)).unwrap(), ..state };
    assert_eq!(poor.headroom(1, Address::basechain([1; 32]), &[1; 32]), Nano::ZERO);
}

/// (`ST-1`)
#[tokio::test]
async fn the_same_terms_on_another_network_are_another_purse() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let elsewhere = PurseTerms { network_id: -239, ..purse.terms.clone() }.account();
    assert_ne!(elsewhere, purse.account);
    let epoch = purse.lane(0).await.epoch;
    let foreign = LaneVoucher { account: elsewhere.hash, lane: 0, epoch, cumulative: milli(500) };
    let voucher = foreign.sign(&purse.world.client_key);
    let message = PurseMessage::Claim { lane: 0, cumulative: milli(500), voucher };
    assert_eq!(purse.external(message).await, Err(Refusal::Signature));
}

/// (`ST-3`)
#[tokio::test]
async fn one_lanes_provider_cannot_take_what_another_lane_holds() {
    let purse = Purse::new();
    let order = cuts(&[purse.open(0, milli(300)), other_lane(1, milli(300))]);
    purse.deploy(order, milli(640)).await.unwrap();
    purse.external(purse.claim(0, milli(300)).await).await.unwrap();
    assert_eq!(purse.external(purse.claim(0, milli(301)).await).await, Err(Refusal::OverDeposit));
    purse.external(purse.close(0, milli(300)).await).await.unwrap();
    purse.assert_covered().await;
    let provider = purse.world.provider.wallet_address().unwrap();
    let before = purse.provider_has().await;
    let voucher = purse.voucher(1, milli(300)).await;
    purse.external(PurseMessage::Claim { lane: 1, cumulative: milli(300), voucher }).await.unwrap();
    assert_eq!(purse.provider_has().await, before, "{provider} has no part in lane 1");
    assert_eq!(purse.state().await.unwrap().locked, Nano::ZERO);
}

#[tokio::test]
async fn an_accepted_message_cannot_be_sent_twice() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let claim = purse.claim(0, milli(300)).await;
    purse.external(claim.clone()).await.unwrap();
    assert_eq!(purse.external(claim).await, Err(Refusal::Stale));
    let close = purse.close(0, milli(500)).await;
    purse.external(close.clone()).await.unwrap();
    assert_eq!(purse.external(close.clone()).await, Err(Refusal::NoLane));
    purse.order(cuts(&[purse.open(0, milli(600))])).await.unwrap();
    assert_eq!(purse.external(close).await, Err(Refusal::Signature));
}

/// (`ST-8`)
#[tokio::test]
async fn an_order_that_fails_after_it_was_accepted_burns_gas_once_and_none_of_the_lanes_coins() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let before = purse.state().await.unwrap();
    let bad = [
        cuts(&[Cut::Finalize { lane: 0 }]),
        cuts(&[other_lane(5, coins(1))]),
        PurseOrder { withdraw: coins(1), ..cuts(&[]) },
        PurseOrder { withdraw: Nano(1), ..cuts(&[]) },
        PurseOrder { end: true, ..cuts(&[]) },
        // More gas than an order may have.
        cuts(&[Cut::Grow { lane: 0, amount: Nano(1) }; 200]),
    ];
    for order in bad {
        let now = purse.state().await.unwrap();
        let signature = Some(purse.sign(&order).await);
        let message = PurseMessage::Arrange { order: order.clone(), signature };
        purse.external(message.clone()).await.unwrap();
        let last = purse.last().await;
        assert_ne!(last.exit_code, Some(0), "{order:?} went through");
        assert!(last.outgoing.is_empty());
        let after = purse.state().await.unwrap();
        assert_eq!((&after.lanes, after.locked), (&before.lanes, before.locked), "{order:?}");
        assert!(after.turn > now.turn, "its turn is over");
        assert!(now.balance.minus(after.balance).unwrap() < TODAY.order_fee(), "{order:?}");
        assert_eq!(purse.external(message).await, Err(Refusal::Signature), "{order:?} again");
    }
}

/// (`ST-6`)
#[tokio::test]
async fn a_client_who_burns_its_own_coins_cannot_burn_its_lanes() {
    let purse = Purse::new();
    let value = milli(502).plus(TODAY.purse_reserve(1)).unwrap();
    purse.deploy(cuts(&[purse.open(0, milli(500))]), value).await.unwrap();
    let mut orders = 0;
    loop {
        let order = cuts(&[Cut::Grow { lane: 0, amount: Nano(1) }; 200]);
        match purse.order_signed(order).await {
            Ok(()) => orders += 1,
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Value);
                break;
            }
        }
        purse.assert_covered().await;
    }
    assert!((1..10).contains(&orders), "{orders}");
    purse.external(purse.claim(0, milli(500)).await).await.unwrap();
    assert!(purse.provider_has().await > milli(499));
}

#[tokio::test]
async fn ballast_in_a_good_external_message_is_refused() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let before = purse.state().await;
    let grow = cuts(&[Cut::Grow { lane: 0, amount: milli(1) }]);
    let grow = PurseMessage::Arrange { signature: Some(purse.sign(&grow).await), order: grow };
    for good in [purse.claim(0, milli(500)).await, purse.close(0, milli(500)).await, grow] {
        let mut message: OwnedMessage = good.external(purse.account).parse().unwrap();
        // An account that is active ignores code in a message, but pays for its import.
        let deploy = PurseMessage::TopUp.internal(purse.account, Nano(1), Some(&purse.terms));
        message.init = deploy.parse::<OwnedRelaxedMessage>().unwrap().init;
        let boc = Boc::encode(CellBuilder::build_from(&message).unwrap());
        let error = purse.world.devnet.send(boc).await.unwrap_err();
        assert!(matches!(error, ChainError::Refused { exit_code: Some(110), .. }), "{good:?}: {error}");
        assert_eq!(purse.state().await, before, "{good:?}");
    }
}

#[tokio::test]
async fn junk_from_outside_and_from_strangers_takes_nothing() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let before = purse.state().await;
    for words in [0_u32, 1, 0x4258_0101, 0x4258_0102, 0x4258_0103, 0x4258_0111, u32::MAX] {
        let mut message: OwnedMessage = PurseMessage::TopUp.external(purse.account).parse().unwrap();
        let body: Cell = CellBuilder::build_from(words).unwrap();
        message.body = body.into();
        let outcome = purse.world.post(CellBuilder::build_from(&message).unwrap()).await;
        assert!(outcome.is_err(), "{words:#x}");
        assert_eq!(purse.state().await, before, "{words:#x}");
    }
}

/// (`ST-3`)
#[tokio::test]
async fn a_message_with_too_little_gas_changes_nothing_and_takes_nothing_from_the_purse() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    for value in [1, 1_000, 50_000, 100_000, 200_000, 400_000] {
        let before = purse.state().await.unwrap();
        let claim = purse.claim(0, milli(100)).await;
        let close = purse.close(0, milli(100)).await;
        for message in [claim, close] {
            assert!(purse.internal(STRANGER, message, Nano(value)).await.is_err(), "{value} nano");
            let after = purse.state().await.unwrap();
            assert_eq!((&after.lanes, after.locked), (&before.lanes, before.locked), "{value} nano");
            assert!(after.balance >= before.balance, "{value} nano: the lanes paid");
        }
    }
}

#[tokio::test]
async fn coins_on_a_refused_message_bounce_back_to_their_sender() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let before = purse.world.balance(&purse.world.stranger).await;
    let message = PurseMessage::Arrange { order: cuts(&[]), signature: None };
    assert_eq!(purse.internal(STRANGER, message, coins(3)).await, Err(Refusal::Sender));
    let lost = before.minus(purse.world.balance(&purse.world.stranger).await).unwrap();
    assert!(lost < milli(3), "{lost} of 3 coins is gone");
}

#[tokio::test]
async fn dust_claimed_by_wallet_never_costs_the_purse_more_than_it_pays() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let start = purse.state().await.unwrap().balance;
    for total in 1..=10 {
        purse.internal(STRANGER, purse.claim(0, Nano(total)).await, milli(5)).await.unwrap();
    }
    let end = purse.state().await.unwrap();
    assert_eq!((purse.lane(0).await.settled, end.balance), (Nano(10), start.minus(Nano(10)).unwrap()));
}

#[tokio::test]
async fn a_payout_to_an_account_that_does_not_exist_stays_there_and_does_not_bounce() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    purse.external(purse.claim(0, milli(200)).await).await.unwrap();
    purse.external(purse.close(0, milli(300)).await).await.unwrap();
    assert!(purse.provider_has().await > milli(299));
    let history = purse.world.devnet.transactions(purse.account, 100).await.unwrap();
    assert_eq!(history.len(), 3, "deploy, claim, close: nothing came back");
}

#[tokio::test]
async fn a_stranger_who_deploys_the_purse_first_only_makes_a_gift() {
    let purse = Purse::new();
    let gift = PurseMessage::TopUp.internal(purse.account, milli(50), Some(&purse.terms));
    purse.world.carry(STRANGER, purse.account, gift).await.unwrap();
    let state = purse.state().await.unwrap();
    assert!(state.turn > 0 && state.lanes.is_empty(), "{state:?}");
    let order = PurseMessage::Arrange { order: cuts(&[other_lane(0, milli(1))]), signature: None };
    assert_eq!(purse.internal(STRANGER, order, GAS).await, Err(Refusal::Sender));
    purse.deploy(cuts(&[purse.open(0, milli(500))]), coins(1)).await.unwrap();
    assert!(purse.state().await.unwrap().balance > milli(1_040));
}

/// (`ST-8`)
#[tokio::test]
async fn a_purse_without_a_turn_takes_no_order_from_outside() {
    let purse = Purse::new();
    // The first message fails and leaves the code behind, in the state that every life begins with.
    assert_eq!(purse.deploy(cuts(&[purse.open(0, coins(5))]), coins(1)).await, Err(Refusal::NotCovered));
    purse.world.devnet.faucet(purse.account, coins(1)).unwrap();
    assert_eq!(purse.state().await.unwrap().turn, 0);
    let order = PurseOrder { withdraw: milli(100), ..PurseOrder::default() };
    assert_eq!(purse.order_signed(order.clone()).await, Err(Refusal::NotOpen));
    purse.internal(STRANGER, PurseMessage::TopUp, milli(1)).await.unwrap();
    assert!(purse.state().await.unwrap().turn > 0);
    purse.order_signed(order).await.unwrap();
}
