//! Terms of channels, and what is paid on them.

use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::ident::Signature;
use bombyx_protocol::wire::message::Payment;
use serde_json::Value;

use super::{fixed, long, nano, small};

pub fn address(value: &Value) -> Address {
    Address { workchain: small(&value["workchain"]), hash: fixed(&value["hash"]) }
}

pub fn terms(value: &Value) -> ChannelTerms {
    ChannelTerms {
        network_id: small(&value["network_id"]),
        salt: long(&value["salt"]),
        client_key: fixed(&value["client_key"]),
        provider_key: fixed(&value["provider_key"]),
        client: address(&value["client"]),
        provider: address(&value["provider"]),
        challenge_s: small(&value["challenge_s"]),
    }
}

pub fn payment(value: &Value) -> Payment {
    Payment {
        epoch: long(&value["epoch"]),
        cumulative: nano(&value["cumulative"]),
        signature: Signature(fixed(&value["signature"])),
    }
}
