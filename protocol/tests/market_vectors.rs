//! The vectors of `spec/03-market.md`, which an independent implementation wrote: same bills, winners, prices and fates.
#![allow(clippy::unwrap_used)]

mod vectors;

use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::limits::BIDS_MAX;
use bombyx_protocol::market::auction::{Auction, Source};
use bombyx_protocol::market::bid::{Bid, BidHash, Payee};
use bombyx_protocol::market::call::{CallId, Classes, size_class};
use bombyx_protocol::market::explore::Exploration;
use bombyx_protocol::market::history::History;
use bombyx_protocol::market::invite::{Enough, Share};
use bombyx_protocol::market::ranking::{Bidder, Rival, Wants, paid, price_max};
use bombyx_protocol::market::score::{Fate, Lot, Place, Score, Speed, Standing};
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::work::cost::CostSheet;
use bombyx_protocol::work::order::ModelId;
use bombyx_protocol::work::price::{Delivery, Price, Tariff};
use serde_json::{Value, json};
use vectors::{file, fixed, input, list, long, nano, optional, price, task, text, tier, weights};

const AUCTIONS: &str = include_str!("../../spec/vectors/market/auctions.json");
const INVITATIONS: &str = include_str!("../../spec/vectors/market/invitations.json");
const BILLS: &str = include_str!("../../spec/vectors/market/bills.json");

/// (MK-2)
#[test]
fn a_call_tells_a_power_of_two() {
    for case in list(&file(BILLS), "size_classes") {
        assert_eq!(u64::from(size_class(long(&case["tokens"]))), case["log2"].as_u64().unwrap(), "{case}");
    }
}

fn tariff(case: &Value) -> Tariff {
    Tariff { price: price(&case["price"]), weights: weights(&case["weights"]) }
}

/// (WR-7)
#[test]
fn bills_are_the_same_to_the_nano() {
    for case in list(&file(BILLS), "bills") {
        let units = tariff(case).weights.units(input(&case["input"]), long(&case["output_tokens"]));
        assert_eq!(units.to_string(), text(case, "units"), "{case}");
        let cost = tariff(case).cost(input(&case["input"]), long(&case["output_tokens"]));
        assert_eq!(cost, optional(&case["cost"], nano), "{case}");
    }
}

/// (WR-21)
#[test]
fn what_is_due_for_a_part_of_an_answer_is_the_same_to_the_nano() {
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    for case in list(&file(BILLS), "dues") {
        let delivered = Delivery {
            output_tokens: long(&case["output_tokens"]),
            rows: number(&case["rows"]),
            rows_wanted: number(&case["rows_wanted"]),
            complete: case["complete"].as_bool().unwrap(),
            read: 0,
        };
        is_due(case, &delivered);
    }
}

/// (WR-24)
#[test]
fn what_is_due_for_reading_alone_is_the_same_to_the_nano() {
    for case in list(&file(BILLS), "readings") {
        let read = u32::try_from(case["read"].as_u64().unwrap()).unwrap();
        is_due(case, &Delivery { read, ..Delivery::default() });
    }
}

fn is_due(case: &Value, delivered: &Delivery) {
    let units = tariff(case).weights.units_due(input(&case["input"]), delivered);
    assert_eq!(units.to_string(), text(case, "units"), "{case}");
    let due = tariff(case).due(input(&case["input"]), delivered);
    assert_eq!(due, optional(&case["due"], nano), "{case}");
}

/// (WR-17)
#[test]
fn the_same_weights_are_usable_everywhere() {
    for case in list(&file(BILLS), "weights") {
        assert_eq!(weights(&case["weights"]).are_usable(), case["usable"].as_bool().unwrap(), "{case}");
    }
}

/// (MK-5)
#[test]
fn what_an_owner_wants_becomes_the_same_price() {
    for case in list(&file(BILLS), "quotes") {
        let sheet = CostSheet {
            per_job: nano(&case["per_job"]),
            input_per_k: nano(&case["input_per_k"]),
            output_per_k: nano(&case["output_per_k"]),
        };
        let quote =
            sheet.quote(&weights(&case["weights"]), input(&case["input"]), long(&case["output_tokens"]));
        assert_eq!(quote, price(&case["price"]), "{case}");
    }
}

/// (WR-8, WR-22)
#[test]
fn a_task_has_a_bound_and_an_estimate_before_anyone_has_tokenised_it() {
    for case in list(&file(BILLS), "bounds") {
        let task = task(&case["task"]);
        assert_eq!(task.input_tokens_max(), long(&case["input_tokens_max"]), "{case}");
        assert_eq!(task.input_tokens_estimate(), long(&case["input_tokens_estimate"]), "{case}");
    }
}

/// (MK-2, MK-46)
#[test]
fn classes_are_told_and_compared_alike() {
    let classes =
        |value: &Value| Classes::of(long(&value["input_tokens"]), long(&value["output_tokens_max"]));
    for case in list(&file(BILLS), "classes") {
        let told = classes(case);
        let logs = (u64::from(told.input_log2), u64::from(told.output_log2));
        assert_eq!(
            logs,
            (case["input_log2"].as_u64().unwrap(), case["output_log2"].as_u64().unwrap()),
            "{case}"
        );
        assert_eq!(told.is_near(&classes(&case["beside"])), case["is_near"].as_bool().unwrap(), "{case}");
    }
}

/// (MK-16)
#[test]
fn the_same_providers_are_invited_everywhere() {
    for case in list(&file(INVITATIONS), "cases") {
        let (id, provider) = (fixed(&case["id"]), NodeId(fixed(&case["provider"])));
        let share = Share(u32::try_from(case["invited"].as_u64().unwrap()).unwrap());
        assert_eq!(share.invites(&id, &provider), case["invites"].as_bool().unwrap(), "{case}");
    }
}

fn node(value: &Value) -> NodeId {
    NodeId([u8::try_from(value.as_u64().unwrap()).unwrap(); 32])
}

fn bid(value: &Value) -> Bid {
    Bid {
        call: CallId([1; 16]),
        provider: node(&value["provider"]),
        model: ModelId([0xab; 32]),
        session_key: [9; 32],
        price: price(&value["price"]),
        start_ms: u32::try_from(value["start_ms"].as_u64().unwrap()).unwrap(),
        ahead_ms: 0,
        read_tps: u32::try_from(value["read_tps"].as_u64().unwrap()).unwrap(),
        write_tps: u32::try_from(value["write_tps"].as_u64().unwrap()).unwrap(),
        keep_s: 0,
        tier: tier(&value["tier"]),
        valid_ms: 30_000,
        payee: Payee { network_id: -3, key: [2; 32], address: Address::basechain([3; 32]), challenge_s: 60 },
        credit: bombyx_protocol::amount::Nano::ZERO,
        features: Features::OWN,
        extensions: Extensions::NONE,
    }
}

fn fate(fate: Fate) -> Value {
    let score = |Score(nano): Score| nano.to_string();
    match fate {
        Fate::Won { second } => json!({"won": {"second": second.map(score)}}),
        Fate::Outscored { by } => json!({"outscored": {"by": by.to_string()}}),
        Fate::OverBudget => json!("over_budget"),
        Fate::OverCeiling { most } => json!({"over_ceiling": {"most": most.0.to_string()}}),
        Fate::WeakerTier => json!("weaker_tier"),
        Fate::FailedBefore => json!("failed_before"),
        Fate::Unpayable { .. } | Fate::NotWanted => {
            unreachable!("no vector has one")
        }
    }
}

fn standing(value: &Value) -> Standing {
    Standing {
        turn: 0,
        place: match text(value, "place") {
            "proven" => Place::Proven,
            "tried" => Place::Tried,
            "unknown" => Place::Unknown,
            "doubtful" => Place::Doubtful,
            "last" => Place::Last,
            other => panic!("no place {other}"),
        },
        level: u8::try_from(value["level"].as_u64().unwrap()).unwrap(),
        speed: Speed {
            read_us: long(&value["speed"]["read_us"]),
            write_us: long(&value["speed"]["write_us"]),
        },
        locks: nano(&value["locks"]),
        challenge_s: u32::try_from(value["challenge_s"].as_u64().unwrap()).unwrap(),
        refused: None,
    }
}

fn prefix(value: &Value) -> Prefix {
    Prefix::of_ipv4([10, 0, u8::try_from(value.as_u64().unwrap()).unwrap(), 1])
}

fn exploration(value: &Value) -> Exploration {
    let mut exploration = Exploration::default();
    list(value, "tried").iter().for_each(|tried| exploration.tries(prefix(tried)));
    for _ in 0..value["orders"].as_u64().unwrap() {
        exploration.count(Time(0));
    }
    exploration
}

/// (MK-6, MK-7, MK-8, MK-13, MK-32, MK-33, MK-52, MK-51)
#[test]
fn auctions_end_alike_for_whoever_computes_them() {
    for case in list(&file(AUCTIONS), "cases") {
        let name = text(case, "name");
        let lot = Lot {
            weights: weights(&case["weights"]),
            input: input(&case["input"]),
            output_tokens_max: long(&case["output_tokens_max"]),
        };
        let enough = Enough { proven: BIDS_MAX, all: BIDS_MAX };
        let mut auction = Auction::new(CallId([1; 16]), lot.classes(), Time(0), enough)
            .inviting_all(case["invites_all"].as_bool().unwrap());
        for (place, value) in list(case, "bids").iter().enumerate() {
            let hash = BidHash([u8::try_from(place).unwrap(); 32]);
            let bidder = if value["level"] == 0 { Bidder::Unproven } else { Bidder::Proven };
            let bid = bid(value);
            if auction.hears(bid.provider, bidder == Bidder::Proven) {
                auction.accept(bid, hash, prefix(&value["prefix"]), bidder);
            }
        }
        let failed: Vec<NodeId> = list(case, "failed").iter().map(node).collect();
        let explores = optional(&case["exploration"], exploration);
        let wants = Wants {
            lot,
            output_tokens: long(&case["output_tokens"]),
            tier: tier(&case["tier"]),
            budget: nano(&case["budget"]),
            price_max: optional(&case["price_max"], price).unwrap_or(Price(u64::MAX)),
            nano_per_ms: optional(&case["nano_per_ms"], long),
            median: optional(&case["median"], price),
            failed: &failed,
            explores: explores.as_ref(),
            is_small: case["is_small"].as_bool().unwrap(),
        };
        let outcome = auction.close(&wants, |bid, _| {
            let known = list(case, "bids").iter().find(|value| node(&value["provider"]) == bid.provider);
            standing(known.unwrap())
        });

        let candidates: Vec<_> =
            outcome.candidates.iter().map(|candidate| (candidate.bid.provider, candidate.price)).collect();
        let expected: Vec<_> = list(case, "candidates")
            .iter()
            .map(|value| (node(&value["provider"]), price(&value["price"])))
            .collect();
        assert_eq!(candidates, expected, "{name}");
        let tries = outcome.candidates.first().is_some_and(|first| first.source == Source::Trial);
        assert_eq!(tries, case["tries"].as_bool().unwrap(), "{name}");

        let reports: Vec<_> = outcome
            .reports
            .iter()
            .map(|report| (report.provider, report.cost_max, fate(report.fate)))
            .collect();
        let expected: Vec<_> = list(case, "reports")
            .iter()
            .map(|value| (node(&value["provider"]), nano(&value["cost_max"]), value["fate"].clone()))
            .collect();
        assert_eq!(reports, expected, "{name}");
    }
}

/// (MK-8)
#[test]
fn what_is_paid_is_the_same_to_the_nano() {
    for case in list(&file(AUCTIONS), "prices") {
        let mut history = History::default();
        list(case, "history").iter().for_each(|won| history.won(price(won), Prefix::UNKNOWN));
        let median = history.median_bid();
        assert_eq!(median, optional(&case["median"], price), "{case}");
        let second = optional(&case["second"], |score| Score(long(score)));
        let units = u128::from(long(&case["units"]));
        let paid = paid(price(&case["own"]), second, nano(&case["aside"]), units, median);
        assert_eq!(paid, price(&case["price"]), "{case}");
    }
}

/// (MK-52)
#[test]
fn what_a_bid_may_ask_is_the_same_everywhere() {
    for case in list(&file(AUCTIONS), "ceilings") {
        let [of_order, median, most] =
            ["price_max", "median", "most"].map(|name| optional(&case[name], price));
        let refused = u32::try_from(case["refused"].as_u64().unwrap()).unwrap();
        let rivals = list(case, "bids").iter().map(|bid| Rival {
            prefix: prefix(&bid["prefix"]),
            price: price(&bid["price"]),
            has_served: bid["served"].as_bool().unwrap(),
        });
        let rivals: Vec<Rival> = rivals.collect();
        assert_eq!(price_max(of_order, median, refused, &rivals), most, "{case}");
    }
}
