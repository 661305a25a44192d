//! What the purse refuses, with which exit code, and that a refusal changes nothing.

use bombyx_node::ledger::{PurseMessage, Refusal};
use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::lane::{LaneClose, LaneVoucher};
use bombyx_protocol::channel::purse::{Cut, PurseOrder};
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::ident::Signature;

use super::setup::{CLIENT, GAS, PROVIDER, Purse, STRANGER, cuts, other_lane};
use crate::setup::{CHALLENGE_S, coins, key, milli};

/// A purse whose provider has claimed a tenth of a coin of lane 0.
async fn used() -> Purse {
    let purse = Purse::with_lanes(coins(2), milli(800)).await;
    purse.external(purse.claim(0, milli(100)).await).await.unwrap();
    purse
}

/// (`ST-4`, `ST-6`, `ST-7`)
#[tokio::test]
async fn every_bad_external_message_is_refused_with_its_code_and_costs_nothing() {
    let purse = used().await;
    let before = purse.state().await;
    let account = purse.account.hash;
    let epoch = purse.lane(0).await.epoch;
    let (client, provider) = (&purse.world.client_key, &purse.world.provider_key);
    let claim = |cumulative, voucher| PurseMessage::Claim { lane: 0, cumulative, voucher };
    let of = |lane, epoch, cumulative| LaneVoucher { account, lane, epoch, cumulative };
    let voucher = |cumulative| of(0, epoch, cumulative).sign(client);
    let close = |cumulative, voucher, order| PurseMessage::CloseLane { lane: 0, cumulative, voucher, order };
    let order = |lane, epoch, cumulative| LaneClose { account, lane, epoch, cumulative }.sign(provider);
    let good = milli(200);
    let channel = Voucher { account: ChannelId(account), epoch, cumulative: good }.sign(client);
    let elsewhere = LaneVoucher { account: [7; 32], ..of(0, epoch, good) }.sign(client);
    let cases = [
        ("replay", claim(milli(100), voucher(milli(100))), Refusal::Stale),
        ("older voucher", claim(milli(99), voucher(milli(99))), Refusal::Stale),
        ("beyond the deposit", claim(milli(801), voucher(milli(801))), Refusal::OverDeposit),
        ("other amount", claim(milli(201), voucher(good)), Refusal::Signature),
        ("other lane", claim(good, of(1, epoch, good).sign(client)), Refusal::Signature),
        ("other epoch", claim(good, of(0, epoch + 1, good).sign(client)), Refusal::Signature),
        ("other purse", claim(good, elsewhere), Refusal::Signature),
        ("channel's voucher", claim(good, channel), Refusal::Signature),
        ("foreign key", claim(good, of(0, epoch, good).sign(&key(9))), Refusal::Signature),
        ("provider's key", claim(good, of(0, epoch, good).sign(provider)), Refusal::Signature),
        ("order as voucher", claim(good, order(0, epoch, good)), Refusal::Signature),
        ("dust", claim(milli(104), voucher(milli(104))), Refusal::Dust),
        (
            "no such lane",
            PurseMessage::Claim { lane: 9, cumulative: good, voucher: of(9, epoch, good).sign(client) },
            Refusal::NoLane,
        ),
        ("no order", close(milli(100), None, None), Refusal::Signature),
        ("zero order", close(milli(100), None, Some(Signature([0; 64]))), Refusal::Signature),
        ("client's order", close(milli(100), None, Some(voucher(milli(100)))), Refusal::Signature),
        ("order of lane 1", close(milli(100), None, Some(order(1, epoch, milli(100)))), Refusal::Signature),
        (
            "order of another epoch",
            close(milli(100), None, Some(order(0, epoch - 1, milli(100)))),
            Refusal::Signature,
        ),
        (
            "order of another total",
            close(good, Some(voucher(good)), Some(order(0, epoch, milli(300)))),
            Refusal::Signature,
        ),
        ("close without voucher", close(good, None, Some(order(0, epoch, good))), Refusal::Signature),
        (
            "close below the settled",
            close(milli(50), Some(voucher(milli(50))), Some(order(0, epoch, milli(50)))),
            Refusal::Stale,
        ),
        (
            "close beyond the deposit",
            close(coins(1), Some(voucher(coins(1))), Some(order(0, epoch, coins(1)))),
            Refusal::OverDeposit,
        ),
        ("coins from outside", PurseMessage::TopUp, Refusal::Other(0xffff)),
    ];
    for (name, message, refusal) in cases {
        assert_eq!(purse.external(message).await, Err(refusal), "{name}");
        assert_eq!(purse.state().await, before, "{name} changed something");
    }
}

/// (`ST-8`)
#[tokio::test]
async fn an_order_from_outside_needs_the_clients_signature_for_it_in_this_turn() {
    let purse = used().await;
    let before = purse.state().await;
    let turn = before.as_ref().unwrap().turn;
    let account = &purse.account.hash;
    let order = PurseOrder { withdraw: milli(100), ..PurseOrder::default() };
    let client = &purse.world.client_key;
    let other = PurseOrder { withdraw: milli(99), ..PurseOrder::default() };
    let cases = [
        ("unsigned", None),
        ("foreign key", Some(order.sign(account, turn, &key(9)))),
        ("provider's key", Some(order.sign(account, turn, &purse.world.provider_key))),
        ("past turn", Some(order.sign(account, turn - 1, client))),
        ("turn to come", Some(order.sign(account, turn + 1, client))),
        ("no turn", Some(order.sign(account, 0, client))),
        ("other purse", Some(order.sign(&[7; 32], turn, client))),
        ("other order", Some(other.sign(account, turn, client))),
    ];
    for (name, signature) in cases {
        let message = PurseMessage::Arrange { order: order.clone(), signature };
        assert_eq!(purse.external(message).await, Err(Refusal::Signature), "{name}");
        assert_eq!(purse.state().await, before, "{name} changed something");
    }
    // The right one counts once.
    let message = PurseMessage::Arrange { signature: Some(order.sign(account, turn, client)), order };
    purse.external(message.clone()).await.unwrap();
    assert_eq!(purse.external(message).await, Err(Refusal::Signature));
}

/// (`ST-3`, `ST-5`)
#[tokio::test]
async fn every_bad_order_of_the_client_is_refused_with_its_code_and_nothing_of_it_happens() {
    let purse = used().await;
    let before = purse.state().await.unwrap();
    let grow = |lane, amount| Cut::Grow { lane, amount };
    let shrink = |lane, keep| Cut::Shrink { lane, keep };
    let good = grow(1, milli(1));
    let end = PurseOrder { end: true, ..PurseOrder::default() };
    let cases = [
        ("a lane's index again", cuts(&[good, other_lane(0, milli(1))]), Refusal::LaneTaken),
        ("a lane twice", cuts(&[other_lane(5, milli(1)), other_lane(5, milli(1))]), Refusal::LaneTaken),
        ("growth of no lane", cuts(&[good, grow(9, milli(1))]), Refusal::NoLane),
        ("growth beyond the coins", cuts(&[grow(0, milli(500))]), Refusal::NotCovered),
        ("a lane beyond the coins", cuts(&[other_lane(5, milli(500))]), Refusal::NotCovered),
        (
            "lanes beyond the coins",
            cuts(&[other_lane(5, milli(200)), other_lane(6, milli(200))]),
            Refusal::NotCovered,
        ),
        ("shrink of no lane", cuts(&[good, shrink(9, Nano::ZERO)]), Refusal::NoLane),
        ("shrink that grows", cuts(&[shrink(0, milli(801))]), Refusal::OverDeposit),
        ("shrink to the same", cuts(&[shrink(0, milli(800))]), Refusal::OverDeposit),
        ("shrink twice", cuts(&[shrink(0, Nano::ZERO), shrink(0, milli(1))]), Refusal::Closing),
        ("finalize of no lane", cuts(&[Cut::Finalize { lane: 9 }]), Refusal::NoLane),
        ("finalize unasked", cuts(&[good, Cut::Finalize { lane: 0 }]), Refusal::TooEarly),
        ("finalize at once", cuts(&[shrink(0, Nano::ZERO), Cut::Finalize { lane: 0 }]), Refusal::TooEarly),
        ("withdrawal beyond the free", PurseOrder { withdraw: milli(450), ..cuts(&[]) }, Refusal::NotCovered),
        ("dust", PurseOrder { withdraw: Nano(499_999), ..cuts(&[good]) }, Refusal::Dust),
        ("end with lanes", end, Refusal::LanesLeft),
    ];
    for (name, order, refusal) in cases {
        assert_eq!(purse.order(order.clone()).await, Err(refusal), "{name}");
        let after = purse.state().await.unwrap();
        assert_eq!((&after.lanes, after.turn), (&before.lanes, before.turn), "{name}");
        assert!(after.balance >= before.balance, "{name}: refusals are paid by their sender");
    }
}

#[tokio::test]
async fn nobody_but_the_client_orders_and_nobody_but_the_provider_closes() {
    let purse = used().await;
    let before = purse.state().await.unwrap();
    purse.world.devnet.faucet(purse.world.provider.wallet_address().unwrap(), coins(1)).unwrap();
    let order = PurseOrder { withdraw: milli(100), ..PurseOrder::default() };
    let signature = Some(purse.sign(&order).await);
    let arrange = |signature| PurseMessage::Arrange { order: order.clone(), signature };
    let voucher = Some(purse.voucher(0, milli(200)).await);
    let close = PurseMessage::CloseLane { lane: 0, cumulative: milli(200), voucher, order: None };
    let lane_1 = PurseMessage::CloseLane { lane: 1, cumulative: Nano::ZERO, voucher: None, order: None };
    let cases = [
        ("order by a stranger", STRANGER, arrange(None), Refusal::Sender),
        ("signed order by a stranger", STRANGER, arrange(signature), Refusal::Sender),
        ("order by the provider", PROVIDER, arrange(None), Refusal::Sender),
        ("close by a stranger", STRANGER, close.clone(), Refusal::Signature),
        ("close by the client", CLIENT, close, Refusal::Signature),
        ("another's lane closed by the provider", PROVIDER, lane_1, Refusal::Signature),
        ("replay by wallet", STRANGER, purse.claim(0, milli(100)).await, Refusal::Stale),
        ("beyond by wallet", STRANGER, purse.claim(0, milli(900)).await, Refusal::OverDeposit),
    ];
    for (name, sender, message, refusal) in cases {
        assert_eq!(purse.internal(sender, message, GAS).await, Err(refusal), "{name}");
        let after = purse.state().await.unwrap();
        assert_eq!((&after.lanes, after.locked), (&before.lanes, before.locked), "{name}");
        assert!(after.balance >= before.balance, "{name}: refusals are paid by their sender");
    }
}

#[tokio::test]
async fn a_purse_without_coins_to_spare_takes_no_order_from_outside() {
    let purse = Purse::new();
    purse.deploy(cuts(&[purse.open(0, milli(500))]), milli(540)).await.unwrap();
    // Years of rent later, what lanes do not hold is less than an order may cost.
    purse.world.devnet.advance(10 * 365 * 24 * 3600);
    purse.internal(STRANGER, PurseMessage::TopUp, milli(1)).await.unwrap();
    let state = purse.state().await.unwrap();
    let spare = state.balance.minus(state.locked).unwrap();
    assert!(spare < milli(13) && spare > milli(3), "{spare}");
    let shrink = || cuts(&[Cut::Shrink { lane: 0, keep: Nano::ZERO }]);
    assert_eq!(purse.order_signed(shrink()).await, Err(Refusal::Value));
    purse.order(shrink()).await.unwrap();
    purse.world.devnet.advance(CHALLENGE_S);
    // The provider's lane is whole all the same, and when nothing is left for its close, it still claims. A close that pays
    // nothing waits for coins; one that does pays for itself.
    let order = Some(purse.close_order(0, milli(400)).await);
    let close = PurseMessage::CloseLane { lane: 0, cumulative: milli(400), voucher: None, order };
    purse.world.devnet.advance(11 * 365 * 24 * 3600);
    purse.internal(STRANGER, PurseMessage::TopUp, milli(1)).await.unwrap();
    purse.external(purse.claim(0, milli(400)).await).await.unwrap();
    let state = purse.state().await.unwrap();
    assert_eq!(purse.external(close.clone()).await, Err(Refusal::Value), "{state:?}");
    assert!(purse.provider_has().await > milli(399));
    purse.internal(STRANGER, PurseMessage::TopUp, milli(20)).await.unwrap();
    purse.external(close).await.unwrap();
}
