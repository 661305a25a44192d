//! What the winner of an auction is paid does not follow what it asks, whatever its client can spend.
#![allow(clippy::unwrap_used)]

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::market::auction::Auction;
use bombyx_protocol::market::bid::{Bid, BidHash, Payee};
use bombyx_protocol::market::call::{CallId, Classes};
use bombyx_protocol::market::invite::Enough;
use bombyx_protocol::market::ranking::{Bidder, Wants};
use bombyx_protocol::market::score::{Lot, Standing};
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::work::order::{ModelId, Tier};
use bombyx_protocol::work::price::{InputTokens, Price, Weights};

const LOT: Lot =
    Lot { weights: Weights::DEFAULT, input: InputTokens { fresh: 100, cached: 0 }, output_tokens_max: 100 };
const CALL: CallId = CallId([1; 16]);
const MEDIAN: Price = Price(6_000);

/// Two that have served the client before, each of a prefix of its own.
const SELLER: u8 = 1;
const RIVAL: u8 = 2;

fn bid(provider: u8, price: u64) -> Bid {
    Bid {
        call: CALL,
        provider: NodeId([provider; 32]),
        model: ModelId([1; 32]),
        session_key: [1; 32],
        price: Price(price),
        start_ms: 0,
        ahead_ms: 0,
        read_tps: 0,
        write_tps: 0,
        keep_s: 0,
        tier: Tier::Open,
        valid_ms: 1,
        payee: Payee { network_id: -3, key: [1; 32], address: Address::basechain([1; 32]), challenge_s: 60 },
        credit: Nano::ZERO,
        features: Features::OWN,
        extensions: Extensions::NONE,
    }
}

/// Returns what the seller is paid where it bids this, if it wins.
fn paid(own: u64, rival: u64, budget: Nano, price_max: Option<u64>) -> Option<u64> {
    let mut auction = Auction::new(CALL, Classes::of(100, 100), Time(0), Enough { proven: 2, all: 2 });
    for (provider, price) in [(SELLER, own), (RIVAL, rival)] {
        let prefix = Prefix::of_ipv4([10, 0, provider, 1]);
        auction.accept(bid(provider, price), BidHash([provider; 32]), prefix, Bidder::Proven);
    }
    let wants = Wants {
        lot: LOT,
        output_tokens: 25,
        tier: Tier::Open,
        budget,
        price_max: Price(price_max.unwrap_or(u64::MAX)),
        nano_per_ms: Some(0),
        median: Some(MEDIAN),
        failed: &[],
        explores: None,
        is_small: true,
    };
    let outcome = auction.close(&wants, |_, _| Standing::SETTLED);
    let winner = outcome.candidates.first()?;
    (winner.bid.provider == NodeId([SELLER; 32])).then_some(winner.price.0)
}

/// (MK-8) Its rival may be within what the client can spend or above it, and is no dearer than nine eighths of the median: asking more or less than its cost earns the seller no
/// more than asking just that.
#[test]
fn truth_is_the_best_bid_whatever_the_budget_and_the_ceiling() {
    const COST: u64 = 5_000;
    let ceilings = [None, Some(5_500), Some(6_500), Some(9_000)];
    for (rival, budget_at) in [5_200, 5_800, 6_400, 6_700]
        .into_iter()
        .flat_map(|rival| [5_100, 5_600, 6_300, 7_000, 50_000].map(|budget_at| (rival, budget_at)))
    {
        let budget = LOT.cost_max(Price(budget_at)).unwrap();
        for price_max in ceilings {
            let gain =
                |own| paid(own, rival, budget, price_max).map_or(0, |price| price.saturating_sub(COST));
            let honest = gain(COST);
            for own in (4_000..9_000).step_by(100) {
                // Scores within a fiftieth are drawn.
                let is_tied = own * 51 >= rival * 49 && own * 49 <= rival * 51;
                assert!(
                    is_tied || gain(own) <= honest,
                    "{own} against {rival}, {budget_at}, {price_max:?}: {} above {honest}",
                    gain(own)
                );
            }
        }
    }
}

/// (MK-8)
#[test]
fn a_rival_that_is_too_dear_for_the_order_raises_the_price_within_what_the_client_spends() {
    let rich = LOT.cost_max(Price(50_000)).unwrap();
    let poor = LOT.cost_max(Price(5_400)).unwrap();
    assert_eq!(paid(5_000, 6_000, rich, None), Some(6_000));
    assert_eq!(paid(5_000, 6_000, poor, None), Some(5_400));
    assert_eq!(paid(5_000, 6_000, rich, Some(5_300)), Some(5_300));
    assert_eq!(paid(5_000, 50_000, rich, None), Some(6_750), "nine eighths of the median are the most");
    assert_eq!(paid(5_500, 6_000, poor, None), None, "nobody is paid above the budget");
}
