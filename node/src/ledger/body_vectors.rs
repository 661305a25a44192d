//! What is said to the contracts is what the vectors have, which other code wrote from the page.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::purse::{Cut, PurseOrder, PurseTerms};
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::ident::Signature;
use serde_json::Value;
use tycho_types::boc::Boc;
use tycho_types::cell::Cell;

use super::contract::{self, ChannelMessage};
use super::purse::{self, PurseMessage};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../spec/vectors/channel/bodies.json")).unwrap()
}

fn bytes<const N: usize>(text: &Value) -> [u8; N] {
    let mut bytes = [0; N];
    hex::decode_to_slice(text.as_str().unwrap(), &mut bytes).unwrap();
    bytes
}

fn number(text: &Value) -> u64 {
    text.as_str().unwrap().parse().unwrap()
}

fn small<T: TryFrom<i64>>(value: &Value) -> T {
    T::try_from(value.as_i64().unwrap()).ok().unwrap()
}

fn nano(text: &Value) -> Nano {
    Nano(number(text))
}

fn maybe(text: &Value) -> Option<Signature> {
    (!text.is_null()).then(|| Signature(bytes(text)))
}

fn address(of: &Value) -> Address {
    Address { workchain: small(&of["workchain"]), hash: bytes(&of["hash"]) }
}

fn variant(of: &Value) -> (&str, &Value) {
    let (name, fields) = of.as_object().unwrap().iter().next().unwrap();
    (name, fields)
}

fn channel(message: &Value) -> ChannelMessage {
    let (name, fields) = variant(message);
    match name {
        "TopUp" => ChannelMessage::TopUp { amount: nano(&fields["amount"]) },
        "Claim" => ChannelMessage::Claim {
            cumulative: nano(&fields["cumulative"]),
            voucher: Signature(bytes(&fields["voucher"])),
        },
        "ProviderClose" => ChannelMessage::ProviderClose {
            cumulative: nano(&fields["cumulative"]),
            voucher: maybe(&fields["voucher"]),
            order: maybe(&fields["order"]),
        },
        "RequestClose" => ChannelMessage::RequestClose { request: maybe(&fields["request"]) },
        "Finalize" => ChannelMessage::Finalize,
        other => panic!("no message {other}"),
    }
}

fn cut(of: &Value) -> Cut {
    let (name, fields) = variant(of);
    let lane = small(&fields["lane"]);
    match name {
        "Open" => Cut::Open {
            lane,
            provider: bytes(&fields["provider"]),
            provider_key: bytes(&fields["provider_key"]),
            amount: nano(&fields["amount"]),
        },
        "Grow" => Cut::Grow { lane, amount: nano(&fields["amount"]) },
        "Shrink" => Cut::Shrink { lane, keep: nano(&fields["keep"]) },
        "Finalize" => Cut::Finalize { lane },
        other => panic!("no cut {other}"),
    }
}

fn purse(message: &Value) -> PurseMessage {
    let (name, fields) = variant(message);
    match name {
        "Arrange" => PurseMessage::Arrange {
            order: PurseOrder {
                end: fields["end"].as_bool().unwrap(),
                withdraw: nano(&fields["withdraw"]),
                cuts: fields["cuts"].as_array().unwrap().iter().map(cut).collect(),
            },
            signature: maybe(&fields["signature"]),
        },
        "Claim" => PurseMessage::Claim {
            lane: small(&fields["lane"]),
            cumulative: nano(&fields["cumulative"]),
            voucher: Signature(bytes(&fields["voucher"])),
        },
        "CloseLane" => PurseMessage::CloseLane {
            lane: small(&fields["lane"]),
            cumulative: nano(&fields["cumulative"]),
            voucher: maybe(&fields["voucher"]),
            order: maybe(&fields["order"]),
        },
        other => panic!("no message {other}"),
    }
}

fn assert_is(cell: &Cell, case: &Value) {
    assert_eq!(hex::encode(cell.repr_hash().0), case["hash"].as_str().unwrap(), "{case}");
    let written = Boc::decode(hex::decode(case["boc"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(&written, cell, "{case}");
}

fn each(of: &str, check: impl Fn(&Value)) {
    let vectors = vectors();
    let cases = vectors[of].as_array().unwrap();
    assert!(!cases.is_empty());
    cases.iter().for_each(check);
}

#[test]
fn every_message_has_the_body_that_the_page_describes() {
    each("channel", |case| assert_is(&channel(&case["message"]).body().unwrap(), case));
    each("purse", |case| assert_is(&purse(&case["message"]).body().unwrap(), case));
}

/// The first message brings code and data; their hash is the account. (CH-1, ST-1)
#[test]
fn a_contract_begins_with_the_data_that_the_page_describes() {
    each("channel_data", |case| {
        let of = &case["terms"];
        let terms = ChannelTerms {
            network_id: small(&of["network_id"]),
            salt: number(&of["salt"]),
            client_key: bytes(&of["client_key"]),
            provider_key: bytes(&of["provider_key"]),
            client: address(&of["client"]),
            provider: address(&of["provider"]),
            challenge_s: small(&of["challenge_s"]),
        };
        assert_is(&contract::state_init(&terms).unwrap().data.unwrap(), case);
    });
    each("purse_data", |case| {
        let of = &case["terms"];
        let terms = PurseTerms {
            network_id: small(&of["network_id"]),
            salt: number(&of["salt"]),
            challenge_s: small(&of["challenge_s"]),
            client_key: bytes(&of["client_key"]),
            client: address(&of["client"]),
        };
        assert_is(&purse::state_init(&terms).unwrap().data.unwrap(), case);
    });
}
