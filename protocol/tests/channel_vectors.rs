//! The channel's golden vectors, which the contract itself produced in a TVM.
#![allow(clippy::unwrap_used)]

mod vectors;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{CHANNEL_CODE, ChannelTerms};
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, SignatureError, Voucher};
use bombyx_protocol::ident::Signature;
use serde_json::Value;
use vectors::{bad_signatures, file, fixed, good_signatures, list, text};

const ACCOUNTS: &str = include_str!("../../spec/vectors/channel/accounts.json");
const SIGNATURES: &str = include_str!("../../spec/vectors/channel/signatures.json");

/// (CH-1)
#[test]
fn accounts_follow_from_terms() {
    let vectors = file(ACCOUNTS);
    assert_eq!(fixed(&vectors["code"]["hash"]), CHANNEL_CODE.hash);
    assert_eq!(vectors["code"]["depth"], CHANNEL_CODE.depth);
    let cases = list(&vectors, "cases");
    assert!(!cases.is_empty());
    for case in cases {
        let terms = ChannelTerms {
            network_id: i32::try_from(case["network_id"].as_i64().unwrap()).unwrap(),
            salt: text(case, "salt").parse().unwrap(),
            client_key: fixed(&case["client_key"]),
            provider_key: fixed(&case["provider_key"]),
            client: text(case, "client").parse().unwrap(),
            provider: text(case, "provider").parse().unwrap(),
            challenge_s: u32::try_from(case["challenge_s"].as_u64().unwrap()).unwrap(),
        };
        assert_eq!(terms.account().to_string(), text(case, "account"));
    }
}

/// Hash and verdict on one case, by its purpose.
fn judge(case: &Value) -> ([u8; 32], Result<(), SignatureError>) {
    let account = fixed(&case["account"]);
    let epoch = text(case, "epoch").parse().unwrap();
    let cumulative = Nano(text(case, "cumulative").parse().unwrap());
    let (key, signature) = (fixed(&case["key"]), Signature(fixed(&case["signature"])));
    match text(case, "purpose") {
        "voucher" => {
            let voucher = Voucher { account, epoch, cumulative };
            (voucher.hash(), voucher.verify(&key, &signature))
        }
        "close_order" => {
            let order = CloseOrder { account, epoch, cumulative };
            (order.hash(), order.verify(&key, &signature))
        }
        "close_request" => {
            let request = CloseRequest { account, epoch };
            (request.hash(), request.verify(&key, &signature))
        }
        other => panic!("unknown purpose {other}"),
    }
}

/// (CH-12, CH-13, CH-14)
#[test]
fn good_signatures_count() {
    let vectors = file(SIGNATURES);
    let cases = list(&vectors, "good");
    assert!(cases.len() > 20);
    good_signatures(cases, judge);
}

#[test]
fn bad_signatures_are_refused_for_the_right_reason() {
    let vectors = file(SIGNATURES);
    let cases = list(&vectors, "bad");
    assert!(cases.len() > 5);
    bad_signatures(cases, judge);
}
