//! The purse's golden vectors, which the contract itself produced in a TVM.
#![allow(clippy::unwrap_used)]

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::lane::{LaneClose, LaneVoucher};
use bombyx_protocol::channel::purse::{Cut, PURSE_CODE, PurseOrder, PurseTerms};
use bombyx_protocol::channel::voucher::SignatureError;
use bombyx_protocol::ident::Signature;
use serde_json::Value;

const PURSES: &str = include_str!("../../spec/vectors/channel/purses.json");
const LANES: &str = include_str!("../../spec/vectors/channel/lanes.json");

fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_else(|| panic!("no {field} in {case}"))
}

fn bytes<const N: usize>(case: &Value, field: &str) -> [u8; N] {
    hex::decode(text(case, field)).unwrap().try_into().unwrap()
}

fn amount(case: &Value, field: &str) -> Nano {
    Nano(text(case, field).parse().unwrap())
}

fn lane(case: &Value) -> u8 {
    u8::try_from(case["lane"].as_u64().unwrap()).unwrap()
}

/// (`ST-1`)
#[test]
fn accounts_follow_from_the_terms_of_a_purse() {
    let vectors: Value = serde_json::from_str(PURSES).unwrap();
    assert_eq!(bytes(&vectors["code"], "hash"), PURSE_CODE.hash);
    assert_eq!(vectors["code"]["depth"], PURSE_CODE.depth);
    let cases = vectors["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let terms = PurseTerms {
            network_id: i32::try_from(case["network_id"].as_i64().unwrap()).unwrap(),
            salt: text(case, "salt").parse().unwrap(),
            challenge_s: u32::try_from(case["challenge_s"].as_u64().unwrap()).unwrap(),
            client_key: bytes(case, "client_key"),
            client: text(case, "client").parse().unwrap(),
        };
        assert_eq!(terms.account().to_string(), text(case, "account"));
    }
}

/// Hash and verdict on what was signed for a lane.
fn judge(case: &Value) -> ([u8; 32], Result<(), SignatureError>) {
    let (account, lane, cumulative) = (bytes(case, "account"), lane(case), amount(case, "cumulative"));
    let epoch = text(case, "epoch").parse().unwrap();
    let (key, signature) = (bytes(case, "key"), Signature(bytes(case, "signature")));
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
    let vectors: Value = serde_json::from_str(LANES).unwrap();
    let cases = vectors["good"].as_array().unwrap();
    assert!(cases.len() >= 10);
    for case in cases {
        assert_eq!(judge(case), (bytes(case, "hash"), Ok(())), "{case}");
    }
}

#[test]
fn bad_signatures_for_lanes_are_refused_for_the_right_reason() {
    let vectors: Value = serde_json::from_str(LANES).unwrap();
    let cases = vectors["bad"].as_array().unwrap();
    assert!(cases.len() > 5);
    for case in cases {
        let expected = match text(case, "error") {
            "mismatch" => SignatureError::Mismatch,
            "unusable_key" => SignatureError::UnusableKey,
            other => panic!("unknown error {other}"),
        };
        assert_eq!(judge(case).1, Err(expected), "{}", text(case, "why"));
    }
}

fn cut(case: &Value) -> Cut {
    let lane = lane(case);
    match text(case, "kind") {
        "open" => Cut::Open {
            lane,
            provider: bytes(case, "provider"),
            provider_key: bytes(case, "provider_key"),
            amount: amount(case, "amount"),
        },
        "grow" => Cut::Grow { lane, amount: amount(case, "amount") },
        "shrink" => Cut::Shrink { lane, keep: amount(case, "keep") },
        "finalize" => Cut::Finalize { lane },
        other => panic!("unknown cut {other}"),
    }
}

/// (`ST-8`)
#[test]
fn orders_hash_as_the_cells_that_the_contract_reads() {
    let vectors: Value = serde_json::from_str(LANES).unwrap();
    for case in vectors["orders"].as_array().unwrap() {
        let order = PurseOrder {
            end: case["end"].as_bool().unwrap(),
            withdraw: amount(case, "withdraw"),
            cuts: case["cuts"].as_array().unwrap().iter().map(cut).collect(),
        };
        let (account, turn) = (bytes(case, "account"), text(case, "turn").parse().unwrap());
        assert_eq!(order.content_hash(), bytes(case, "content_hash"), "{case}");
        assert_eq!(order.hash(&account, turn), bytes(case, "hash"), "{case}");
        let signature = Signature(bytes(case, "signature"));
        assert_eq!(order.verify(&account, turn, &bytes(case, "key"), &signature), Ok(()), "{case}");
    }
}
