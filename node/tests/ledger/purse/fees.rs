//! What each operation of the purse costs at mainnet's prices, and what twenty providers cost with and without it.

use bombyx_node::ledger::PurseMessage;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::purse::{Cut, PurseOrder};
use bombyx_protocol::channel::terms::ChannelTerms;

use super::setup::{CLIENT, GAS, Purse, STRANGER, cuts, other_lane};
use crate::fees::{Meter, check_rows};
use crate::setup::{CHALLENGE_S, World, coins, milli};

/// What 1,000 jobs cost at a provider's usual prices: 500 tokens in and 250 out, 0.00036 coins each.
const EARNED: Nano = milli(360);
const PROVIDERS: u8 = 20;
/// Mainnet's price of gas, in 1/65536 nano.
const GAS_PRICE: u64 = 4_369_067;
/// What a client sets aside for each of twenty providers.
const LANE: Nano = milli(50);

fn lanes(lanes: std::ops::Range<u8>, amount: Nano) -> Vec<Cut> {
    lanes.map(|lane| other_lane(lane, amount)).collect()
}

/// The wallet's own first transfer is dearer than those that follow.
async fn ready(world: &World) {
    world.client.send(world.stranger.wallet_address().unwrap(), milli(10)).await.unwrap();
}

#[tokio::test]
async fn purse_operations_cost_what_the_specification_says() {
    let purse = Purse::new();
    let (world, account) = (&purse.world, purse.account);
    ready(world).await;
    let mut meter = Meter::new(world);
    purse.deploy(cuts(&[purse.open(0, coins(1))]), coins(4)).await.unwrap();
    meter.record("deploy with one lane", account).await;
    purse.internal(CLIENT, PurseMessage::TopUp, coins(1)).await.unwrap();
    meter.record("top up", account).await;
    purse.external(purse.claim(0, milli(100)).await).await.unwrap();
    meter.fees();
    purse.external(purse.claim(0, milli(200)).await).await.unwrap();
    meter.record("claim, external", account).await;
    purse.order(cuts(&lanes(1..21, milli(50)))).await.unwrap();
    meter.record("open 20 lanes in one order", account).await;
    purse.external(purse.claim(0, milli(300)).await).await.unwrap();
    meter.record("claim, external, of 21 lanes", account).await;
    let grow: Vec<Cut> = (1..21).map(|lane| Cut::Grow { lane, amount: milli(5) }).collect();
    purse.order(cuts(&grow)).await.unwrap();
    meter.record("grow 20 lanes in one order", account).await;
    purse.internal(STRANGER, purse.claim(0, milli(301)).await, GAS).await.unwrap();
    meter.fees();
    purse.internal(STRANGER, purse.claim(0, milli(302)).await, GAS).await.unwrap();
    meter.record("claim by wallet, of 21 lanes", account).await;
    let shrink: Vec<Cut> = (1..21).map(|lane| Cut::Shrink { lane, keep: Nano::ZERO }).collect();
    purse.order(cuts(&shrink)).await.unwrap();
    meter.record("shrink 20 lanes in one order", account).await;
    world.devnet.advance(CHALLENGE_S);
    meter.fees();
    let finalize: Vec<Cut> = (1..21).map(|lane| Cut::Finalize { lane }).collect();
    purse.order(cuts(&finalize)).await.unwrap();
    meter.record("finalize 20 lanes in one order", account).await;
    purse.order(PurseOrder { withdraw: milli(100), ..PurseOrder::default() }).await.unwrap();
    meter.record("withdraw", account).await;
    purse.order_signed(cuts(&[Cut::Shrink { lane: 0, keep: Nano::ZERO }])).await.unwrap();
    meter.record("shrink a lane, external", account).await;
    purse.external(purse.close(0, milli(400)).await).await.unwrap();
    meter.record("close of a lane, external", account).await;
    purse.order(PurseOrder { end: true, ..PurseOrder::default() }).await.unwrap();
    meter.record("end", account).await;
    meter.check();
}

#[tokio::test]
async fn a_purse_full_of_lanes_still_works_from_outside() {
    let purse = Purse::new();
    let (world, account) = (&purse.world, purse.account);
    purse.deploy(cuts(&[purse.open(255, milli(100))]), coins(2)).await.unwrap();
    let mut meter = Meter::new(world);
    purse.fill().await;
    meter.record("open 255 lanes in five orders", account).await;
    assert_eq!(purse.state().await.unwrap().lanes.len(), 256);
    purse.external(purse.claim(255, milli(10)).await).await.unwrap();
    meter.fees();
    purse.external(purse.claim(255, milli(20)).await).await.unwrap();
    meter.record("claim, external, of 256 lanes", account).await;
    purse.external(purse.close(255, milli(40)).await).await.unwrap();
    meter.record("close of a lane, external, of 256 lanes", account).await;
    purse.assert_covered().await;
    let year_s = 365 * 24 * 3600;
    let arrange = |list: Vec<Cut>| PurseMessage::Arrange { order: cuts(&list), signature: None };
    let mut rents = Vec::new();
    for left in [255, 20, 1] {
        let surplus: Vec<u8> = purse.state().await.unwrap().lanes.into_keys().skip(left).collect();
        for some in surplus.chunks(60) {
            let shrink = some.iter().map(|lane| Cut::Shrink { lane: *lane, keep: Nano::ZERO }).collect();
            purse.internal(CLIENT, arrange(shrink), milli(200)).await.unwrap();
        }
        world.devnet.advance(CHALLENGE_S);
        for some in surplus.chunks(60) {
            let finalize = some.iter().map(|lane| Cut::Finalize { lane: *lane }).collect();
            purse.internal(CLIENT, arrange(finalize), milli(200)).await.unwrap();
        }
        let before = purse.state().await.unwrap().balance;
        world.devnet.advance(year_s);
        purse.internal(STRANGER, PurseMessage::TopUp, coins(1)).await.unwrap();
        let last = purse.last().await;
        let gas_fee = Nano((last.gas * GAS_PRICE).div_ceil(65_536));
        let rent = last.fee.minus(gas_fee).unwrap();
        rents.push(format!("| a purse, lanes: {left} | {rent} |"));
        assert_eq!(
            before.plus(coins(1)).unwrap().minus(last.fee),
            Some(purse.state().await.unwrap().balance)
        );
    }
    meter.check();
    check_rows(&rents);
}

/// What one client and twenty providers pay to the ledger, from the first deposit until everybody has its money.
#[tokio::test]
async fn twenty_providers_cost_what_the_specification_says() {
    let each = Nano(EARNED.0 / u64::from(PROVIDERS));
    let mut rows = Vec::new();
    let mut row = |name: &str, fees: Nano| {
        let percent = fees.0 * 1_000 / EARNED.0;
        rows.push(format!("| {name} | {fees} | {}.{} % |", percent / 10, percent % 10));
    };

    let world = World::new();
    ready(&world).await;
    let mut meter = Meter::new(&world);
    let at = |salt| ChannelTerms { salt, ..world.terms() };
    let channels: Vec<_> = (0..u64::from(PROVIDERS)).map(|salt| (at(salt), LANE)).collect();
    let opened = world.client.open_all(&channels).await.unwrap();
    let mut total = meter.fees();
    for channel in opened {
        world.close(channel, each).await.unwrap();
    }
    total = total.plus(meter.fees()).unwrap();
    row("20 channels, opened in one transfer, each closed by its provider", total);
    let opened = world.client.open_all(&channels).await.unwrap();
    meter.fees();
    for channel in opened {
        world.claim(channel, Nano(each.0 / 2)).await.unwrap();
    }
    row("20 channels that go on: a claim in each", meter.fees());

    let purse = Purse::new();
    ready(&purse.world).await;
    let mut meter = Meter::new(&purse.world);
    let open: Vec<Cut> = (0..PROVIDERS).map(|lane| purse.open(lane, LANE)).collect();
    let message = PurseMessage::Arrange { order: cuts(&open), signature: None };
    let message = message.internal(purse.account, milli(1_200), Some(&purse.terms));
    purse.world.carry(CLIENT, purse.account, message).await.unwrap();
    let opening = meter.fees();
    for lane in 0..PROVIDERS {
        purse.external(purse.claim(lane, Nano(each.0 / 2)).await).await.unwrap();
    }
    let claims = meter.fees();
    for lane in 0..PROVIDERS {
        purse.external(purse.close(lane, each).await).await.unwrap();
    }
    let closes = meter.fees();
    purse.order(PurseOrder { end: true, ..PurseOrder::default() }).await.unwrap();
    let end = meter.fees();
    row(
        "a purse of 20 lanes, each closed by its provider, and its end",
        [opening, closes, end].into_iter().sum(),
    );
    row("a purse of 20 lanes that goes on: a claim in each", claims);
    row("a purse of 20 lanes: opening alone", opening);
    check_rows(&rows);
}
