//! The golden vectors of purses in `spec/vectors/channel`, made with the contract in a real TVM and compared with what is
//! committed. `BOMBYX_BLESS=1` writes them anew.

use bombyx_node::ledger::{
    Chain as _, PurseMessage, PurseState,
    devnet::{DEVNET_ID, Devnet},
};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::purse::{Cut, PURSE_CODE, PurseOrder, PurseTerms};
use bombyx_protocol::channel::terms::Address;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use tycho_types::cell::{Cell, CellBuilder, CellFamily as _, HashBytes, Store as _};
use tycho_types::models::{OwnedMessage, OwnedRelaxedMessage};
use tycho_types::num::Tokens;

use super::setup::{cuts, other_lane};
use crate::setup::{CHALLENGE_S, START_S, coins, key, milli};
use crate::storm::crank::Crank;
use crate::vectors::{bytes, check};

/// What keys sign: name, tag, and whose key it is.
const PURPOSES: [(&str, u32, u8); 2] = [("lane_voucher", 0x4258_5611, 1), ("lane_close", 0x4258_5612, 2)];
const TAG_ORDER: u32 = 0x4258_5613;

#[test]
fn accounts_follow_from_the_terms_of_a_purse() {
    let cases: Vec<Value> = (0..6_u8)
        .map(|index| {
            let kind = usize::from(index) % 3;
            let terms = PurseTerms {
                network_id: [DEVNET_ID, -239, -3][kind],
                salt: [0, 1, u64::MAX][kind],
                challenge_s: [1, 3_600, u32::MAX][kind],
                client_key: key(index).verifying_key().to_bytes(),
                client: Address::basechain([index; 32]),
            };
            let cell = PurseMessage::TopUp.internal(Address::basechain([0; 32]), Nano(1), Some(&terms));
            let init = cell.parse::<OwnedRelaxedMessage>().unwrap().init.unwrap();
            let account = *CellBuilder::build_from(init).unwrap().repr_hash();
            json!({
                "network_id": terms.network_id, "salt": terms.salt.to_string(), "challenge_s": terms.challenge_s,
                "client_key": hex::encode(terms.client_key), "client": terms.client.to_string(),
                "account": format!("0:{}", hex::encode(account.0)),
            })
        })
        .collect();
    let code = json!({ "hash": hex::encode(PURSE_CODE.hash), "depth": PURSE_CODE.depth });
    check("purses.json", &json!({ "code": code, "cases": cases }));
}

/// A purse with three lanes on a fresh devnet, the same on every run.
async fn funded() -> (Devnet, PurseState, Address) {
    let devnet = Devnet::with_manual_clock(START_S).unwrap();
    let client = Crank::new(0);
    devnet.faucet(client.address, coins(5)).unwrap();
    let terms = PurseTerms {
        network_id: DEVNET_ID,
        salt: 1,
        challenge_s: CHALLENGE_S,
        client_key: key(1).verifying_key().to_bytes(),
        client: client.address,
    };
    let account = terms.account();
    let order = cuts(&[0, 7, 255].map(|lane| other_lane(lane, milli(100))));
    let message = PurseMessage::Arrange { order, signature: None }.internal(account, coins(1), Some(&terms));
    devnet.send(client.push(message)).await.unwrap();
    let state = PurseState::read(account, &devnet.account(account).await.unwrap()).unwrap().unwrap();
    (devnet, state, account)
}

/// What is signed for a lane, made by the executor's own cell library.
fn lane_hash(tag: u32, account: [u8; 32], lane: u8, epoch: u64, cumulative: u64) -> [u8; 32] {
    let mut cell = CellBuilder::new();
    cell.store_u32(tag).unwrap();
    cell.store_u256(&HashBytes(account)).unwrap();
    cell.store_u8(lane).unwrap();
    cell.store_u64(epoch).unwrap();
    Tokens::new(u128::from(cumulative)).store_into(&mut cell, Cell::empty_context()).unwrap();
    cell.build().unwrap().repr_hash().0
}

fn lane_case(
    purpose: &str,
    (account, lane, epoch, cumulative): ([u8; 32], u8, u64, u64),
    hash: [u8; 32],
    signer: &SigningKey,
) -> Value {
    json!({
        "purpose": purpose, "account": hex::encode(account), "lane": lane, "epoch": epoch.to_string(),
        "cumulative": cumulative.to_string(), "hash": hex::encode(hash),
        "key": hex::encode(signer.verifying_key().to_bytes()),
        "signature": hex::encode(signer.sign(&hash).to_bytes()),
    })
}

/// (`ST-7`)
#[tokio::test]
async fn what_is_signed_for_a_lane_is_what_the_contract_computes() {
    let (devnet, state, account) = funded().await;
    let mut good = Vec::new();
    for (lane, cumulative) in [(0, 0), (0, 1), (7, 255), (7, 256), (255, 1_000_000_000), (255, u64::MAX)] {
        for ((purpose, tag, signer), method) in PURPOSES.into_iter().zip(["laneVoucherHash", "laneCloseHash"])
        {
            let answer = devnet.get_method(account, method, &[u64::from(lane), cumulative]).unwrap();
            let (hash, epoch) = (bytes(&answer[0]), state.lanes[&lane].epoch);
            assert_eq!(hash, lane_hash(tag, account.hash, lane, epoch, cumulative));
            good.push(lane_case(purpose, (account.hash, lane, epoch, cumulative), hash, &key(signer)));
        }
    }
    let turn = state.turn;
    let orders: Vec<Value> = orders().iter().map(|order| order_case(order, account, turn)).collect();
    let bad = bad(account.hash, state.lanes[&0].epoch);
    check("lanes.json", &json!({ "good": good, "orders": orders, "bad": bad }));
}

/// Orders with every cut, at the limits of amounts and of cells.
fn orders() -> Vec<PurseOrder> {
    let max = Nano(u64::MAX);
    vec![
        PurseOrder::default(),
        PurseOrder { withdraw: max, ..PurseOrder::default() },
        PurseOrder { end: true, ..cuts(&[Cut::Finalize { lane: 255 }]) },
        cuts(&[
            Cut::Open { lane: 0, provider: [1; 32], provider_key: [2; 32], amount: Nano(255) },
            Cut::Grow { lane: 1, amount: Nano(256) },
            Cut::Shrink { lane: 2, keep: Nano::ZERO },
            Cut::Finalize { lane: 3 },
        ]),
        cuts(&[Cut::Open { lane: 9, provider: [3; 32], provider_key: [4; 32], amount: max }; 3]),
        cuts(&[Cut::Finalize { lane: 1 }; 200]),
    ]
}

fn order_case(order: &PurseOrder, account: Address, turn: u64) -> Value {
    let message = PurseMessage::Arrange { order: order.clone(), signature: None };
    let message: OwnedMessage = message.external(account).parse().unwrap();
    let (range, cell) = &message.body;
    let content = range.apply(cell).unwrap().load_reference_cloned().unwrap();
    let content = content.repr_hash().0;
    let mut cell = CellBuilder::new();
    cell.store_u32(TAG_ORDER).unwrap();
    cell.store_u256(&HashBytes(account.hash)).unwrap();
    cell.store_u64(turn).unwrap();
    cell.store_u256(&HashBytes(content)).unwrap();
    let hash = cell.build().unwrap().repr_hash().0;
    let cut = |cut: &Cut| match *cut {
        Cut::Open { lane, provider, provider_key, amount } => json!({
            "kind": "open", "lane": lane, "provider": hex::encode(provider),
            "provider_key": hex::encode(provider_key), "amount": amount.0.to_string(),
        }),
        Cut::Grow { lane, amount } => json!({ "kind": "grow", "lane": lane, "amount": amount.0.to_string() }),
        Cut::Shrink { lane, keep } => json!({ "kind": "shrink", "lane": lane, "keep": keep.0.to_string() }),
        Cut::Finalize { lane } => json!({ "kind": "finalize", "lane": lane }),
    };
    json!({
        "account": hex::encode(account.hash), "turn": turn.to_string(), "end": order.end,
        "withdraw": order.withdraw.0.to_string(), "cuts": order.cuts.iter().map(cut).collect::<Vec<_>>(),
        "content_hash": hex::encode(content), "hash": hex::encode(hash),
        "key": hex::encode(key(1).verifying_key().to_bytes()),
        "signature": hex::encode(key(1).sign(&hash).to_bytes()),
    })
}

/// Signatures that must not count for a voucher of lane 0, each with the reason.
fn bad(account: [u8; 32], epoch: u64) -> Vec<Value> {
    let content = (account, 0, epoch, 5_000_000);
    let [(purpose, tag, _), (_, close, _)] = PURPOSES;
    let hash = lane_hash(tag, account, 0, epoch, 5_000_000);
    let base = lane_case(purpose, content, hash, &key(1));
    let with = |why: &str, error: &str, field: &str, value: String| {
        let mut case = base.clone();
        case[field] = value.into();
        case["why"] = why.into();
        case["error"] = error.into();
        case
    };
    let signed = |hash: [u8; 32], seed| hex::encode(key(seed).sign(&hash).to_bytes());
    let mismatch = |why, signature| with(why, "mismatch", "signature", signature);
    let mut channel = CellBuilder::new();
    channel.store_u32(0x4258_5601).unwrap();
    channel.store_u256(&HashBytes(account)).unwrap();
    channel.store_u64(epoch).unwrap();
    Tokens::new(5_000_000).store_into(&mut channel, Cell::empty_context()).unwrap();
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut weak = with("the neutral element as key", "unusable_key", "key", hex::encode(neutral));
    let mut trivial = [0; 64];
    trivial[0] = 1;
    weak["signature"] = hex::encode(trivial).into();
    vec![
        mismatch("signed for another lane", signed(lane_hash(tag, account, 1, epoch, 5_000_000), 1)),
        mismatch("signed for another epoch", signed(lane_hash(tag, account, 0, epoch + 1, 5_000_000), 1)),
        mismatch("signed for another amount", signed(lane_hash(tag, account, 0, epoch, 5_000_001), 1)),
        mismatch("signed for another purse", signed(lane_hash(tag, [9; 32], 0, epoch, 5_000_000), 1)),
        mismatch("signed by another key", signed(hash, 3)),
        mismatch("a close order's signature", signed(lane_hash(close, account, 0, epoch, 5_000_000), 1)),
        mismatch("a channel's voucher", signed(channel.build().unwrap().repr_hash().0, 1)),
        mismatch("zeros", hex::encode([0; 64])),
        weak,
    ]
}
