//! The purse's golden vectors, which the contract itself produced in a TVM.
#![allow(clippy::unwrap_used)]

mod vectors;

use bombyx_protocol::channel::lane::{LaneClose, LaneVoucher};
use bombyx_protocol::channel::purse::{Cut, PURSE_CODE, PurseOrder, PurseTerms};
use bombyx_protocol::channel::voucher::SignatureError;
use bombyx_protocol::ident::Signature;
use serde_json::Value;
use vectors::{bad_signatures, file, fixed, good_signatures, list, nano, small, text};

const PURSES: &str = include_str!("../../spec/vectors/channel/purses.json");
const LANES: &str = include_str!("../../spec/vectors/channel/lanes.json");

/// (`ST-1`)
#[test]
fn accounts_follow_from_the_terms_of_a_purse() {
    let vectors = file(PURSES);
    assert_eq!(fixed(&vectors["code"]["hash"]), PURSE_CODE.hash);
    assert_eq!(vectors["code"]["depth"], PURSE_CODE.depth);
    let cases = list(&vectors, "cases");
    assert!(!cases.is_empty());
    for case in cases {
        let terms = PurseTerms {
            network_id: i32::try_from(case["network_id"].as_i64().unwrap()).unwrap(),
            salt: text(case, "salt").parse().unwrap(),
            challenge_s: u32::try_from(case["challenge_s"].as_u64().unwrap()).unwrap(),
            client_key: fixed(&case["client_key"]),
            client: text(case, "client").parse().unwrap(),
        };
        assert_eq!(terms.account().to_string(), text(case, "account"));
    }
}

/// Hash and verdict on what was signed for a lane.
fn judge(case: &Value) -> ([u8; 32], Result<(), SignatureError>) {
    let (account, lane, cumulative) =
        (fixed(&case["account"]), small(&case["lane"]), nano(&case["cumulative"]));
    let epoch = text(case, "epoch").parse().unwrap();
    let (key, signature) = (fixed(&case["key"]), Signature(fixed(&case["signature"])));
    match text(case, "purpose") {
        "lane_voucher" => {
            let voucher = LaneVoucher { account, lane, epoch, cumulative };
            (voucher.hash(), voucher.verify(&key, &signature))
        }
        "lane_close" => {
            let close = LaneClose { account, lane, epoch, cumulative };
            (close.hash(), close.verify(&key, &signature))
        }
        other => panic!("unknown purpose {other}"),
    }
}

/// (`ST-7`)
#[test]
fn good_signatures_for_lanes_count() {
    let vectors = file(LANES);
    let cases = list(&vectors, "good");
    assert!(cases.len() >= 10);
    good_signatures(cases, judge);
}

#[test]
fn bad_signatures_for_lanes_are_refused_for_the_right_reason() {
    let vectors = file(LANES);
    let cases = list(&vectors, "bad");
    assert!(cases.len() > 5);
    bad_signatures(cases, judge);
}

fn cut(case: &Value) -> Cut {
    let lane: u8 = small(&case["lane"]);
    match text(case, "kind") {
        "open" => Cut::Open {
            lane,
            provider: fixed(&case["provider"]),
            provider_key: fixed(&case["provider_key"]),
            amount: nano(&case["amount"]),
        },
        "grow" => Cut::Grow { lane, amount: nano(&case["amount"]) },
        "shrink" => Cut::Shrink { lane, keep: nano(&case["keep"]) },
        "finalize" => Cut::Finalize { lane },
        other => panic!("unknown cut {other}"),
    }
}

/// (`ST-8`)
#[test]
fn orders_hash_as_the_cells_that_the_contract_reads() {
    let vectors = file(LANES);
    for case in list(&vectors, "orders") {
        let order = PurseOrder {
            end: case["end"].as_bool().unwrap(),
            withdraw: nano(&case["withdraw"]),
            cuts: case["cuts"].as_array().unwrap().iter().map(cut).collect(),
        };
        let (account, turn) = (fixed(&case["account"]), text(case, "turn").parse().unwrap());
        assert_eq!(order.content_hash(), fixed(&case["content_hash"]), "{case}");
        assert_eq!(order.hash(&account, turn), fixed(&case["hash"]), "{case}");
        let signature = Signature(fixed(&case["signature"]));
        assert_eq!(order.verify(&account, turn, &fixed(&case["key"]), &signature), Ok(()), "{case}");
    }
}
