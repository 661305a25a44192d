//! The channel's golden vectors, which the contract itself produced in a TVM.
#![allow(clippy::unwrap_used)]

mod vectors;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::key_proof::KeyProof;
use bombyx_protocol::channel::lane::{LaneClose, LaneVoucher};
use bombyx_protocol::channel::purse::{PurseOrder, PurseTerms};
use bombyx_protocol::channel::terms::{Address, CHANNEL_CODE, ChannelTerms};
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, SignatureError, Voucher};
use bombyx_protocol::ident::{Domain, NodeId, Signature};
use ed25519_dalek::SigningKey;
use serde_json::Value;
use vectors::{bad_signatures, file, fixed, good_signatures, list, text};

const ACCOUNTS: &str = include_str!("../../spec/vectors/channel/accounts.json");
const KEY_PROOFS: &str = include_str!("../../spec/vectors/channel/key_proofs.json");
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
    let account = ChannelId(fixed(&case["account"]));
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

/// (CH-53)
#[test]
fn a_key_proof_counts_in_its_own_session_for_its_own_channel_and_key_only() {
    let vectors = file(KEY_PROOFS);
    let key = SigningKey::from_bytes(&fixed(&vectors["seed"]));
    let read = |case: &Value| {
        let proof =
            KeyProof { binding: fixed(&case["binding"]), account: ChannelId(fixed(&case["account"])) };
        (proof, Signature(fixed(&case["key_proof"])))
    };
    let (good, bad) = (list(&vectors, "cases"), list(&vectors, "refused"));
    assert!(good.len() > 2 && bad.len() > 8);
    for case in good {
        let (proof, signature) = read(case);
        assert_eq!(proof.sign(&key), signature, "{}", text(case, "name"));
        assert_eq!(proof.verify(&fixed(&case["key"]), &signature), Ok(()), "{}", text(case, "name"));
    }
    for case in bad {
        let (proof, signature) = read(case);
        assert!(proof.verify(&fixed(&case["key"]), &signature).is_err(), "{}", text(case, "name"));
    }
}

/// (ST-12) A holder of every signature that a pair of keys has made can use each of them once: for
/// its own channel or purse, network, contract, life of the account and purpose.
#[test]
fn a_signature_counts_for_one_network_contract_account_epoch_and_purpose_alone() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key().to_bytes();
    let client = Address::basechain([3; 32]);
    let channel = |network_id, salt| ChannelTerms {
        network_id,
        salt,
        client_key: public,
        provider_key: public,
        client,
        provider: Address::basechain([4; 32]),
        challenge_s: 60,
    };
    let purse =
        |network_id, salt| PurseTerms { network_id, salt, challenge_s: 60, client_key: public, client };
    let mut accounts = Vec::new();
    for (network_id, salt) in [(-239, 1), (-3, 1), (-239, 2), (-3, 2)] {
        accounts.extend([channel(network_id, salt).account(), purse(network_id, salt).account()]);
    }
    accounts.push(ChannelTerms { challenge_s: 61, ..channel(-3, 1) }.account());
    let order = PurseOrder { end: false, withdraw: Nano::ZERO, cuts: Vec::new() };
    let mut signed: Vec<([u8; 32], Signature)> = Vec::new();
    for account in accounts.iter().map(|address| address.hash) {
        for (epoch, cumulative) in [(0, Nano::ZERO), (1, Nano::ZERO), (1, Nano(1)), (2, Nano(1))] {
            let voucher = Voucher { account: ChannelId(account), epoch, cumulative };
            let close = CloseOrder { account: ChannelId(account), epoch, cumulative };
            signed.extend([(voucher.hash(), voucher.sign(&key)), (close.hash(), close.sign(&key))]);
            if cumulative == Nano::ZERO {
                let request = CloseRequest { account: ChannelId(account), epoch };
                signed.push((request.hash(), request.sign(&key)));
                signed.push((order.hash(&account, epoch), order.sign(&account, epoch, &key)));
            }
            for lane in [0, 1] {
                let voucher = LaneVoucher { account, lane, epoch, cumulative };
                let close = LaneClose { account, lane, epoch, cumulative };
                signed.extend([(voucher.hash(), voucher.sign(&key)), (close.hash(), close.sign(&key))]);
            }
        }
    }
    let mut hashes: Vec<[u8; 32]> = signed.iter().map(|(hash, _)| *hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), signed.len(), "no two statements are signed alike");
    let id = NodeId(public);
    let domains = [
        Domain::Call,
        Domain::Seek,
        Domain::Ask,
        Domain::Bid,
        Domain::Receipt,
        Domain::Countersign,
        Domain::Work,
    ];
    for (hash, signature) in &signed {
        assert!(domains.iter().all(|domain| !id.verifies(*domain, hash, signature)), "a message of a node");
        let claim = Voucher { account: ChannelId(accounts[0].hash), epoch: 1, cumulative: Nano(1) };
        assert_eq!(claim.verify(&public, signature).is_ok(), claim.hash() == *hash, "a voucher in mainnet");
    }
}
