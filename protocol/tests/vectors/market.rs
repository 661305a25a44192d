//! What is said in the market.

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::bid::{Bid, Payee};
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::work::order::{ModelId, TaskKind, Tier};
use bombyx_protocol::work::price::Price;
use serde_json::Value;

use super::channel::address;
use super::message::{extensions, features};
use super::{fixed, long, nano, small, text, variant};

pub fn tier(value: &Value) -> Tier {
    match variant(value).0 {
        "Open" => Tier::Open,
        "Confidential" => Tier::Confidential,
        other => panic!("no tier {other}"),
    }
}

pub fn task_kind(value: &Value) -> TaskKind {
    match variant(value).0 {
        "Embed" => TaskKind::Embed,
        "Generate" => TaskKind::Generate,
        other => panic!("no kind {other}"),
    }
}

pub fn price(value: &Value) -> Price {
    Price(long(value))
}

pub fn call(value: &Value) -> Call {
    Call {
        id: CallId(fixed(&value["id"])),
        client: NodeId(fixed(&value["client"])),
        seal_key: fixed(&value["seal_key"]),
        model: ModelId(fixed(&value["model"])),
        kind: task_kind(&value["kind"]),
        input_log2: small(&value["input_log2"]),
        output_log2: small(&value["output_log2"]),
        tier: tier(&value["tier"]),
        window_ms: small(&value["window_ms"]),
        invited: Share(small(&value["invited"])),
        made_s: long(&value["made_s"]),
        deadline_ms: small(&value["deadline_ms"]),
        stamp: long(&value["stamp"]),
        features: features(value),
        extensions: extensions(value),
    }
}

pub fn seek(value: &Value) -> Seek {
    Seek {
        id: SeekId(fixed(&value["id"])),
        client: NodeId(fixed(&value["client"])),
        model: (!value["model"].is_null()).then(|| ModelId(fixed(&value["model"]))),
        invited: Share(small(&value["invited"])),
        input_log2: small(&value["input_log2"]),
        output_log2: small(&value["output_log2"]),
        made_s: long(&value["made_s"]),
        stamp: long(&value["stamp"]),
        features: features(value),
        extensions: extensions(value),
    }
}

pub fn ask(value: &Value) -> Ask {
    Ask {
        provider: NodeId(fixed(&value["provider"])),
        model: ModelId(fixed(&value["model"])),
        name: text(value, "name").to_owned(),
        kind: task_kind(&value["kind"]),
        price: price(&value["price"]),
        context_tokens: small(&value["context_tokens"]),
        output_max: small(&value["output_max"]),
        read_tps: small(&value["read_tps"]),
        write_tps: small(&value["write_tps"]),
        start_ms: small(&value["start_ms"]),
        tier: tier(&value["tier"]),
        seek: SeekId(fixed(&value["seek"])),
        valid_ms: small(&value["valid_ms"]),
        features: features(value),
        extensions: extensions(value),
    }
}

pub fn bid(value: &Value) -> Bid {
    let payee = &value["payee"];
    Bid {
        call: CallId(fixed(&value["call"])),
        provider: NodeId(fixed(&value["provider"])),
        model: ModelId(fixed(&value["model"])),
        session_key: fixed(&value["session_key"]),
        price: price(&value["price"]),
        start_ms: small(&value["start_ms"]),
        ahead_ms: small(&value["ahead_ms"]),
        read_tps: small(&value["read_tps"]),
        write_tps: small(&value["write_tps"]),
        keep_s: small(&value["keep_s"]),
        tier: tier(&value["tier"]),
        valid_ms: small(&value["valid_ms"]),
        payee: Payee {
            network_id: small(&payee["network_id"]),
            key: fixed(&payee["key"]),
            address: address(&payee["address"]),
            challenge_s: small(&payee["challenge_s"]),
        },
        credit: nano(&value["credit"]),
        features: features(value),
        extensions: extensions(value),
    }
}
