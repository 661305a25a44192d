//! Every way out of a purse and of its lanes, and where the money went.

use bombyx_node::ledger::{PurseMessage, Refusal};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::purse::{Cut, PurseOrder};

use super::setup::{CLIENT, GAS, PROVIDER, Purse, STRANGER, cuts, other_lane};
use crate::exits::assert_books_balance;
use crate::setup::{CHALLENGE_S, TODAY, coins, milli};

const SHRINK_0: Cut = Cut::Shrink { lane: 0, keep: Nano::ZERO };
const FINALIZE_0: Cut = Cut::Finalize { lane: 0 };

/// (`ST-1`)
#[tokio::test]
async fn one_message_deploys_a_purse_and_opens_its_lanes() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let state = purse.state().await.unwrap();
    assert_eq!((state.locked, state.lanes.len()), (milli(1_600), 2));
    let lane = purse.lane(0).await;
    assert_eq!((lane.deposit, lane.settled, lane.shrink_at_s), (milli(800), Nano::ZERO, 0));
    assert_eq!(lane.epoch, state.turn, "both are the logical time of the first order");
    assert!(state.balance > milli(1_998), "{state:?}");
    assert_books_balance(&purse.world, purse.account).await;
}

#[tokio::test]
async fn a_provider_without_coins_claims_and_closes_and_pays_by_its_earnings() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let before = purse.state().await.unwrap().balance;
    purse.external(purse.claim(0, milli(300)).await).await.unwrap();
    let first = purse.provider_has().await;
    assert!(first < milli(300) && first > milli(299), "the claim paid its own gas: {first}");
    let state = purse.state().await.unwrap();
    assert_eq!(state.balance, before.minus(milli(300)).unwrap(), "nobody else paid");
    assert_eq!((state.locked, purse.lane(0).await.settled), (milli(1_300), milli(300)));

    purse.external(purse.close(0, milli(500)).await).await.unwrap();
    let last = purse.provider_has().await.minus(first).unwrap();
    assert_eq!(last, milli(200), "the rest, to the nano: the lane's reserve pays for its close");
    let state = purse.state().await.unwrap();
    assert!(!state.lanes.contains_key(&0), "the lane is gone at once");
    assert_eq!(state.locked, milli(800), "and what it did not pay is free");
    let freed = state.balance.plus(milli(500)).unwrap().plus(TODAY.lane_close_cost()).unwrap();
    assert!(freed > before, "the lane's reserve paid for its close");
    purse.assert_covered().await;
    assert_books_balance(&purse.world, purse.account).await;
}

#[tokio::test]
async fn a_provider_claims_and_leaves_among_as_many_lanes_as_there_can_be() {
    let purse = Purse::new();
    purse.deploy(cuts(&[purse.open(255, milli(100))]), coins(2)).await.unwrap();
    purse.fill().await;
    purse.external(purse.claim(255, milli(10)).await).await.unwrap();
    purse.external(purse.close(255, milli(40)).await).await.unwrap();
    let got = purse.provider_has().await;
    assert!(got > milli(38) && got < milli(40), "the claim and its gas, then the rest: {got}");
    let state = purse.state().await.unwrap();
    assert_eq!((state.lanes.len(), state.locked), (255, milli(255)));
    purse.assert_covered().await;
}

#[tokio::test]
async fn a_provider_who_earned_nothing_gives_its_lane_back() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let order = Some(purse.close_order(0, Nano::ZERO).await);
    let message = PurseMessage::CloseLane { lane: 0, cumulative: Nano::ZERO, voucher: None, order };
    purse.external(message).await.unwrap();
    assert_eq!(purse.state().await.unwrap().locked, milli(800));
    assert_eq!(purse.provider_has().await, Nano::ZERO);
    assert_books_balance(&purse.world, purse.account).await;
}

#[tokio::test]
async fn a_provider_with_a_wallet_but_without_its_close_key_closes_by_message() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let wallet = purse.world.provider.wallet_address().unwrap();
    purse.world.devnet.faucet(wallet, coins(1)).unwrap();
    let (balance, voucher) = (purse.state().await.unwrap().balance, Some(purse.voucher(0, milli(700)).await));
    let message = PurseMessage::CloseLane { lane: 0, cumulative: milli(700), voucher, order: None };
    purse.internal(PROVIDER, message, milli(50)).await.unwrap();
    let gained = purse.provider_has().await.minus(coins(1)).unwrap();
    assert!(gained > milli(698), "what it attached came back: {gained}");
    assert_eq!(purse.state().await.unwrap().balance, balance.minus(milli(700)).unwrap());
}

#[tokio::test]
async fn a_client_brings_the_providers_consent_and_uses_the_lane_again_at_once() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let first = purse.lane(0).await;
    let close = purse.close(0, milli(400)).await;
    purse.internal(CLIENT, close, GAS).await.unwrap();
    assert!(purse.provider_has().await > milli(399));
    purse.order(cuts(&[other_lane(0, milli(700))])).await.unwrap();
    let second = purse.lane(0).await;
    assert!(second.epoch > first.epoch);
    assert_eq!((second.deposit, second.settled), (milli(700), Nano::ZERO));
    purse.assert_covered().await;
    assert_books_balance(&purse.world, purse.account).await;
}

#[tokio::test]
async fn anyone_can_bring_a_voucher_and_the_provider_is_paid() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    let before = purse.state().await.unwrap().balance;
    purse.internal(STRANGER, purse.claim(0, milli(1)).await, GAS).await.unwrap();
    assert!(purse.provider_has().await > milli(1), "the claim, and what was attached");
    assert_eq!(purse.state().await.unwrap().balance, before.minus(milli(1)).unwrap());
    assert_books_balance(&purse.world, purse.account).await;
}

/// (`ST-5`)
#[tokio::test]
async fn a_client_gets_a_lane_back_alone_but_not_before_the_challenge_time() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    purse.order(cuts(&[SHRINK_0])).await.unwrap();
    assert_eq!(purse.lane(0).await.shrink_at_s, purse.world.devnet.now_s() + CHALLENGE_S);
    assert_eq!(purse.order(cuts(&[FINALIZE_0])).await, Err(Refusal::TooEarly));
    purse.world.devnet.advance(CHALLENGE_S - 1);
    assert_eq!(purse.order(cuts(&[FINALIZE_0])).await, Err(Refusal::TooEarly));
    // Until then the provider is paid as ever.
    purse.external(purse.claim(0, milli(100)).await).await.unwrap();
    purse.world.devnet.advance(1);
    purse.order(cuts(&[FINALIZE_0])).await.unwrap();
    let state = purse.state().await.unwrap();
    assert_eq!((state.locked, state.lanes.len()), (milli(800), 1));
    let before = purse.client_has().await;
    let all = state.free(&TODAY).minus(milli(2)).unwrap();
    purse.order(PurseOrder { withdraw: all, ..PurseOrder::default() }).await.unwrap();
    let gained = purse.client_has().await.minus(before).unwrap();
    assert!(gained > all.minus(milli(22)).unwrap(), "{gained} of {all}");
    purse.assert_covered().await;
    assert_books_balance(&purse.world, purse.account).await;
}

#[tokio::test]
async fn a_lane_shrinks_to_what_is_kept_or_settled() {
    for (keep, claimed, left) in [(500, 300, 500), (200, 300, 300)] {
        let purse = Purse::with_lanes(coins(2), milli(800)).await;
        purse.order(cuts(&[Cut::Shrink { lane: 0, keep: milli(keep) }])).await.unwrap();
        purse.external(purse.claim(0, milli(claimed)).await).await.unwrap();
        purse.world.devnet.advance(CHALLENGE_S);
        purse.order(cuts(&[FINALIZE_0])).await.unwrap();
        let lane = purse.lane(0).await;
        assert_eq!((lane.deposit, lane.settled, lane.shrink_at_s), (milli(left), milli(claimed), 0));
        assert_eq!(purse.state().await.unwrap().locked, milli(800 + left - claimed));
        // The same epoch goes on.
        purse.order(cuts(&[Cut::Grow { lane: 0, amount: milli(50) }])).await.unwrap();
        purse.external(purse.claim(0, milli(left + 50)).await).await.unwrap();
        assert_eq!(purse.state().await.unwrap().locked, milli(800));
        purse.assert_covered().await;
    }
}

/// (`ST-5`)
#[tokio::test]
async fn lanes_are_recut_without_a_new_deposit() {
    let purse = Purse::with_lanes(coins(2), milli(900)).await;
    purse.order(cuts(&[SHRINK_0])).await.unwrap();
    purse.world.devnet.advance(CHALLENGE_S);
    let twenty: Vec<Cut> = (2..22).map(|lane| other_lane(lane, milli(40))).collect();
    let recut = [&[FINALIZE_0][..], &twenty].concat();
    purse.order(cuts(&recut)).await.unwrap();
    let state = purse.state().await.unwrap();
    assert_eq!((state.lanes.len(), state.locked), (21, milli(900 + 20 * 40)));
    purse.assert_covered().await;
}

#[tokio::test]
async fn a_grown_lane_takes_back_the_wish_to_shrink() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    purse.order(cuts(&[SHRINK_0])).await.unwrap();
    purse.order(cuts(&[Cut::Grow { lane: 0, amount: Nano::ZERO }])).await.unwrap();
    purse.world.devnet.advance(CHALLENGE_S);
    assert_eq!(purse.order(cuts(&[FINALIZE_0])).await, Err(Refusal::TooEarly));
    assert_eq!(purse.lane(0).await.deposit, milli(800));
}

/// (`ST-8`)
#[tokio::test]
async fn a_client_with_an_empty_wallet_gets_everything_back() {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    purse.order_signed(cuts(&[SHRINK_0, Cut::Shrink { lane: 1, keep: Nano::ZERO }])).await.unwrap();
    purse.world.devnet.advance(CHALLENGE_S);
    let before = purse.client_has().await;
    let cuts = vec![FINALIZE_0, Cut::Finalize { lane: 1 }];
    purse.order_signed(PurseOrder { end: true, cuts, ..PurseOrder::default() }).await.unwrap();
    assert!(purse.state().await.is_none(), "the account is deleted");
    let refund = purse.client_has().await.minus(before).unwrap();
    assert!(refund > milli(1_995), "all but fees: {refund}");
    assert_books_balance(&purse.world, purse.account).await;
}

#[tokio::test]
async fn plain_coins_top_a_purse_up() {
    let purse = Purse::with_lanes(milli(1_100), milli(500)).await;
    let grow = || cuts(&[Cut::Grow { lane: 0, amount: milli(300) }]);
    assert_eq!(purse.order(grow()).await, Err(Refusal::NotCovered));
    let before = purse.state().await.unwrap();
    purse.internal(STRANGER, PurseMessage::TopUp, coins(1)).await.unwrap();
    let after = purse.state().await.unwrap();
    assert!(after.balance > before.balance.plus(milli(999)).unwrap());
    assert_eq!((after.turn, after.locked), (before.turn, before.locked));
    purse.order(grow()).await.unwrap();
    purse.assert_covered().await;
}

/// (`ST-4`)
#[tokio::test]
async fn a_second_life_of_a_lane_or_a_purse_makes_old_signatures_void() {
    let purse = Purse::with_lanes(coins(2), milli(500)).await;
    let (claim, close) = (purse.claim(0, milli(400)).await, purse.close(0, milli(400)).await);
    let order = PurseOrder { withdraw: milli(100), ..PurseOrder::default() };
    let signature = Some(purse.sign(&order).await);
    purse.external(purse.close(0, milli(100)).await).await.unwrap();
    purse.order(cuts(&[purse.open(0, milli(500))])).await.unwrap();
    for message in [claim.clone(), close.clone()] {
        assert_eq!(purse.external(message).await, Err(Refusal::Signature));
    }
    // The end of the purse, and another life of it with the same terms.
    purse.order(cuts(&[SHRINK_0, Cut::Shrink { lane: 1, keep: Nano::ZERO }])).await.unwrap();
    purse.world.devnet.advance(CHALLENGE_S);
    let finalize = vec![FINALIZE_0, Cut::Finalize { lane: 1 }];
    purse.order(PurseOrder { end: true, cuts: finalize, ..PurseOrder::default() }).await.unwrap();
    assert!(purse.state().await.is_none());
    purse.deploy(cuts(&[purse.open(0, milli(500))]), coins(1)).await.unwrap();
    for message in [claim, close, PurseMessage::Arrange { order, signature }] {
        assert_eq!(purse.external(message).await, Err(Refusal::Signature));
    }
}

#[tokio::test]
async fn rent_of_many_years_does_not_lock_the_money() {
    let purse = Purse::new();
    let order = cuts(&[purse.open(0, milli(500)), other_lane(1, milli(100))]);
    purse.deploy(order, milli(640)).await.unwrap();
    purse.world.devnet.advance(20 * 365 * 24 * 3600);
    purse.external(purse.claim(0, milli(500)).await).await.unwrap();
    assert!(purse.provider_has().await > milli(499), "{}", purse.provider_has().await);
    purse.order(cuts(&[Cut::Shrink { lane: 1, keep: Nano::ZERO }, SHRINK_0])).await.unwrap();
    purse.world.devnet.advance(CHALLENGE_S);
    let finalize = vec![FINALIZE_0, Cut::Finalize { lane: 1 }];
    purse.order(PurseOrder { end: true, cuts: finalize, ..PurseOrder::default() }).await.unwrap();
    assert!(purse.state().await.is_none());
    assert_books_balance(&purse.world, purse.account).await;
}

/// (`ST-3`)
#[tokio::test]
async fn a_withdrawal_leaves_what_lanes_and_reserves_hold() {
    let purse = Purse::with_lanes(coins(2), milli(500)).await;
    let withdraw = |amount| PurseOrder { withdraw: amount, ..PurseOrder::default() };
    let free = purse.state().await.unwrap().free(&TODAY);
    // The order brings coins of its own, and costs less than half of them.
    let too_much = free.plus(GAS).unwrap();
    assert_eq!(purse.order(withdraw(too_much)).await, Err(Refusal::NotCovered));
    purse.order(withdraw(free)).await.unwrap();
    let state = purse.state().await.unwrap();
    assert!(state.balance >= milli(1_000).plus(TODAY.purse_reserve(2)).unwrap());
    assert_eq!(purse.order(withdraw(milli(40))).await, Err(Refusal::NotCovered));
    purse.assert_covered().await;
    assert_books_balance(&purse.world, purse.account).await;
}
