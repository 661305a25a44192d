//! The channel's golden vectors, which the contract itself produced in a TVM.
#![allow(clippy::unwrap_used)]

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{CHANNEL_CODE, ChannelTerms};
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, SignatureError, Voucher};
use bombyx_protocol::ident::Signature;
use serde_json::Value;

const ACCOUNTS: &str = include_str!("../../spec/vectors/channel/accounts.json");
const SIGNATURES: &str = include_str!("../../spec/vectors/channel/signatures.json");

fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_else(|| panic!("no {field} in {case}"))
}

fn bytes<const N: usize>(case: &Value, field: &str) -> [u8; N] {
    hex::decode(text(case, field)).unwrap().try_into().unwrap()
}

/// (CH-1)
#[test]
fn accounts_follow_from_terms() {
    let vectors: Value = serde_json::from_str(ACCOUNTS).unwrap();
    assert_eq!(bytes(&vectors["code"], "hash"), CHANNEL_CODE.hash);
    assert_eq!(vectors["code"]["depth"], CHANNEL_CODE.depth);
    let cases = vectors["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let terms = ChannelTerms {
            network_id: i32::try_from(case["network_id"].as_i64().unwrap()).unwrap(),
            salt: text(case, "salt").parse().unwrap(),
            client_key: bytes(case, "client_key"),
            provider_key: bytes(case, "provider_key"),
            client: text(case, "client").parse().unwrap(),
            provider: text(case, "provider").parse().unwrap(),
            challenge_s: u32::try_from(case["challenge_s"].as_u64().unwrap()).unwrap(),
        };
        assert_eq!(terms.account().to_string(), text(case, "account"));
    }
}

/// Hash and verdict on one case, by its purpose.
fn judge(case: &Value) -> ([u8; 32], Result<(), SignatureError>) {
    let account = bytes(case, "account");
    let epoch = text(case, "epoch").parse().unwrap();
    let cumulative = Nano(text(case, "cumulative").parse().unwrap());
    let (key, signature) = (bytes(case, "key"), Signature(bytes(case, "signature")));
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
    let vectors: Value = serde_json::from_str(SIGNATURES).unwrap();
    let cases = vectors["good"].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let (hash, verdict) = judge(case);
        assert_eq!((hash, verdict), (bytes(case, "hash"), Ok(())), "{case}");
    }
}

#[test]
fn bad_signatures_are_refused_for_the_right_reason() {
    let vectors: Value = serde_json::from_str(SIGNATURES).unwrap();
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
