//! What lies on disk.

use bombyx_protocol::ChannelId;
use bombyx_protocol::channel::record::{EarnerRecord, PayerRecord, Record, Reputation};
use bombyx_protocol::channel::sight::SightRecord;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::market::history::Timing;
use bombyx_protocol::work::order::{JobId, ModelId};
use serde_json::Value;

use super::channel::{payment, terms};
use super::message::signed;
use super::{fixed, long, nano, optional, small, variant};

pub fn timing(value: &Value) -> Timing {
    Timing {
        reading_us: long(&value["reading_us"]),
        input_tokens: long(&value["input_tokens"]),
        writing_us: long(&value["writing_us"]),
        output_tokens: long(&value["output_tokens"]),
    }
}

pub fn prefix(value: &Value) -> Prefix {
    let [4, 0, 0, 0, 0, a, b, c] = long(value).to_be_bytes() else { panic!("{value} is of no IPv4 address") };
    Prefix::of_ipv4([a, b, c, 0])
}

pub fn record(value: &Value) -> Record {
    match variant(value) {
        ("Payer", payer) => Record::Payer(PayerRecord {
            terms: terms(&payer["terms"]).into(),
            provider: NodeId(fixed(&payer["provider"])),
            deposit: nano(&payer["deposit"]),
            locked: nano(&payer["locked"]),
            epoch: optional(&payer["epoch"], long),
            cumulative: nano(&payer["cumulative"]),
            closing: payer["closing"].as_bool().unwrap(),
            gone: payer["gone"].as_bool().unwrap(),
        }),
        ("Earner", earner) => Record::Earner(EarnerRecord {
            terms: terms(&earner["terms"]).into(),
            client: NodeId(fixed(&earner["client"])),
            payment: optional(&earner["payment"], payment),
            early: optional(&earner["early"], payment).map(Box::new),
            shelved: optional(&earner["shelved"], payment).map(Box::new),
            at_risk: nano(&earner["at_risk"]),
            widest: nano(&earner["widest"]),
            ordered: optional(&earner["ordered"], long),
            gone: earner["gone"].as_bool().unwrap(),
            given_up: nano(&earner["given_up"]),
            sight: optional(&earner["sight"], |sight| SightRecord {
                at_s: long(&sight["at_s"]),
                epoch: long(&sight["epoch"]),
                deposit: nano(&sight["deposit"]),
                settled: nano(&sight["settled"]),
            }),
        }),
        ("ChannelGone", gone) => Record::ChannelGone { account: ChannelId(fixed(&gone["account"])) },
        ("Receipt", receipt) => Record::Receipt {
            job: JobId(fixed(&receipt["job"])),
            provider: NodeId(fixed(&receipt["provider"])),
            receipt: signed(&receipt["receipt"]),
        },
        ("Reputation", reputation) => Record::Reputation(Reputation {
            slot: small(&reputation["slot"]),
            provider: NodeId(fixed(&reputation["provider"])),
            prefix: prefix(&reputation["prefix"]),
            good: small(&reputation["good"]),
            level: small(&reputation["level"]),
            failures: small(&reputation["failures"]),
            failed_at_s: long(&reputation["failed_at_s"]),
            model: ModelId(fixed(&reputation["model"])),
            timed: small(&reputation["timed"]),
            timing: timing(&reputation["timing"]),
        }),
        (other, _) => panic!("no record {other}"),
    }
}
