//! The golden vectors of `spec/vectors/channel`, made with the contract in a real TVM and compared with what is committed.
//!
//! `BOMBYX_BLESS=1` writes them anew.

use std::path::PathBuf;

use bombyx_node::ledger::{
    Chain as _, ChannelAccount, ChannelMessage,
    devnet::{DEVNET_ID, Devnet},
};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, CHANNEL_CODE, ChannelTerms};
use ed25519_dalek::{Signer as _, SigningKey};
use num_bigint::BigInt;
use serde_json::{Value, json};
use tycho_types::cell::{Cell, CellBuilder, CellFamily as _, HashBytes, Store as _};
use tycho_types::models::OwnedRelaxedMessage;
use tycho_types::num::Tokens;

use crate::setup::TODAY;
use crate::setup::{START_S, coins, key, wallet};

pub(crate) fn check(name: &str, made: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors/channel").join(name);
    let text = format!("{}\n", serde_json::to_string_pretty(made).unwrap());
    if std::env::var_os("BOMBYX_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    } else {
        let committed = std::fs::read_to_string(&path).unwrap();
        assert_eq!(committed, text, "{name} differs; if that is meant, run with BOMBYX_BLESS=1");
    }
}

fn terms(index: u8) -> ChannelTerms {
    ChannelTerms {
        network_id: [DEVNET_ID, -239, -3][usize::from(index) % 3],
        salt: [0, 1, u64::MAX][usize::from(index) % 3],
        client_key: key(index).verifying_key().to_bytes(),
        provider_key: key(index + 100).verifying_key().to_bytes(),
        client: Address::basechain([index; 32]),
        provider: Address::basechain([0xff - index; 32]),
        challenge_s: [1, 3_600, u32::MAX][usize::from(index) % 3],
    }
}

#[test]
fn accounts_follow_from_terms() {
    let cases: Vec<Value> = (0..6)
        .map(|index| {
            let terms = terms(index);
            let message = ChannelMessage::TopUp { amount: Nano(1) };
            let cell = message.internal(Address::basechain([0; 32]), Nano(1), Some(&terms));
            let init = cell.parse::<OwnedRelaxedMessage>().unwrap().init.unwrap();
            let account = *CellBuilder::build_from(init).unwrap().repr_hash();
            json!({
                "network_id": terms.network_id, "salt": terms.salt.to_string(),
                "client_key": hex::encode(terms.client_key), "provider_key": hex::encode(terms.provider_key),
                "client": terms.client.to_string(), "provider": terms.provider.to_string(),
                "challenge_s": terms.challenge_s, "account": format!("0:{}", hex::encode(account.0)),
            })
        })
        .collect();
    let code = json!({ "hash": hex::encode(CHANNEL_CODE.hash), "depth": CHANNEL_CODE.depth });
    check("accounts.json", &json!({ "code": code, "cases": cases }));
}

/// A funded channel on a fresh devnet; the same on every run but for the wallet that paid.
async fn funded() -> (Devnet, ChannelAccount, Address) {
    let devnet = Devnet::with_manual_clock(START_S).unwrap();
    let payer = wallet(2);
    devnet.faucet(payer.address(), coins(5)).unwrap();
    let terms = terms(0);
    let account = terms.account();
    let value = coins(1).plus(TODAY.open_surplus()).unwrap();
    let message = ChannelMessage::TopUp { amount: coins(1) }.internal(account, value, Some(&terms));
    devnet.send(payer.transfer(0, START_S + 60, &[message]).unwrap()).await.unwrap();
    let raw = devnet.account(account).await.unwrap();
    let state = ChannelAccount::read(account, &raw).unwrap().unwrap();
    (devnet, state, account)
}

pub(crate) fn bytes(number: &BigInt) -> [u8; 32] {
    let bytes = number.magnitude().to_bytes_be();
    let mut out = [0; 32];
    out[32 - bytes.len()..].copy_from_slice(&bytes);
    out
}

/// What is signed, made by the executor's own cell library.
fn cell_hash(tag: u32, account: [u8; 32], epoch: u64, cumulative: u64) -> [u8; 32] {
    let mut cell = CellBuilder::new();
    cell.store_u32(tag).unwrap();
    cell.store_u256(&HashBytes(account)).unwrap();
    cell.store_u64(epoch).unwrap();
    Tokens::new(u128::from(cumulative)).store_into(&mut cell, Cell::empty_context()).unwrap();
    cell.build().unwrap().repr_hash().0
}

const TAGS: [(&str, u32, u8); 3] =
    [("voucher", 0x4258_5601, 1), ("close_order", 0x4258_5602, 2), ("close_request", 0x4258_5603, 1)];

fn case(
    purpose: &str,
    (account, epoch, cumulative): ([u8; 32], u64, u64),
    hash: [u8; 32],
    signer: &SigningKey,
) -> Value {
    json!({
        "purpose": purpose, "account": hex::encode(account), "epoch": epoch.to_string(),
        "cumulative": cumulative.to_string(), "hash": hex::encode(hash),
        "key": hex::encode(signer.verifying_key().to_bytes()),
        "signature": hex::encode(signer.sign(&hash).to_bytes()),
    })
}

#[tokio::test]
async fn signed_hashes_are_those_that_the_contract_computes() {
    let (devnet, state, account) = funded().await;
    let mut good = Vec::new();
    for cumulative in [0, 1, 255, 256, 5_000_000, 1_000_000_000, (1 << 56) - 1, u64::MAX] {
        for (purpose, method, tag, signer) in
            [("voucher", "voucherHash", TAGS[0].1, 1), ("close_order", "closeOrderHash", TAGS[1].1, 2)]
        {
            let answer = devnet.get_method(account, method, &[cumulative]).unwrap();
            let hash = bytes(&answer[0]);
            assert_eq!(hash, cell_hash(tag, account.hash, state.epoch, cumulative));
            let content = (account.hash, state.epoch, cumulative);
            good.push(case(purpose, content, hash, &key(signer)));
        }
    }
    let hash = bytes(&devnet.get_method(account, "closeRequestHash", &[]).unwrap()[0]);
    good.push(case("close_request", (account.hash, state.epoch, 0), hash, &key(1)));
    for (purpose, tag, signer) in TAGS {
        for (fill, epoch, cumulative) in [(0x00, 1, 0), (0xff, u64::MAX, 0), (0xa5, 1 << 40, 0)] {
            let hash = cell_hash(tag, [fill; 32], epoch, cumulative);
            good.push(case(purpose, ([fill; 32], epoch, cumulative), hash, &key(signer)));
        }
    }
    check("signatures.json", &json!({ "good": good, "bad": bad(state.epoch, account.hash) }));
}

/// Signatures that must not count, each with the reason.
fn bad(epoch: u64, account: [u8; 32]) -> Vec<Value> {
    let content = (account, epoch, 5_000_000);
    let hash = |tag, epoch, amount| cell_hash(tag, account, epoch, amount);
    let voucher = hash(TAGS[0].1, epoch, 5_000_000);
    let base = case("voucher", content, voucher, &key(1));
    let with = |why: &str, error: &str, field: &str, value: String| {
        let mut case = base.clone();
        case[field] = value.into();
        case["why"] = why.into();
        case["error"] = error.into();
        case
    };
    let signed = |hash: [u8; 32], seed| hex::encode(key(seed).sign(&hash).to_bytes());
    let mismatch = |why, signature| with(why, "mismatch", "signature", signature);

    // The same signature with the group's order added to its scalar: other libraries once took it.
    let order =
        BigInt::parse_bytes(b"1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16).unwrap();
    let mut bent = key(1).sign(&voucher).to_bytes();
    let scalar = BigInt::from_bytes_le(num_bigint::Sign::Plus, &bent[32..]) + order;
    let scalar = scalar.to_bytes_le().1;
    bent[32..32 + scalar.len()].copy_from_slice(&scalar);

    let mut flipped = key(1).sign(&voucher).to_bytes();
    flipped[0] ^= 1;
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut weak = with(
        "the neutral element as key, under which a trivial signature fits every message",
        "unusable_key",
        "key",
        hex::encode(neutral),
    );
    let mut trivial = [0; 64];
    trivial[0] = 1;
    weak["signature"] = hex::encode(trivial).into();

    let mut list = vec![
        mismatch("signed for another epoch", signed(hash(TAGS[0].1, epoch + 1, 5_000_000), 1)),
        mismatch("signed for another amount", signed(hash(TAGS[0].1, epoch, 5_000_001), 1)),
        mismatch("signed by another key", signed(voucher, 3)),
        mismatch("a close order's signature", signed(hash(TAGS[1].1, epoch, 5_000_000), 1)),
        mismatch("a bit of the signature differs", hex::encode(flipped)),
        mismatch("the scalar is not reduced", hex::encode(bent)),
        mismatch("zeros", hex::encode([0; 64])),
        weak,
    ];
    let off_curve = "0200000000000000000000000000000000000000000000000000000000000000";
    list.push(with("the key is no point of the curve", "unusable_key", "key", off_curve.into()));
    list
}
