//! The rules of `spec/06-channel.md` that one side keeps by itself.

#![allow(clippy::unwrap_used)]

mod ends;
mod roles;
#[path = "../testbed/mod.rs"]
mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::ChannelState;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::wire::message::Payment;
use ed25519_dalek::SigningKey;

const PEER: NodeId = NodeId([9; 32]);

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn terms() -> ChannelTerms {
    ChannelTerms {
        network_id: -3,
        salt: 1,
        client_key: key().verifying_key().to_bytes(),
        provider_key: SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes(),
        client: Address::basechain([3; 32]),
        provider: Address::basechain([4; 32]),
        challenge_s: 60,
    }
}

fn open(epoch: u64, deposit: u64) -> ChannelState {
    ChannelState { epoch, deposit: Nano(deposit), settled: Nano::ZERO, closing: None }
}

fn payment(epoch: u64, cumulative: u64) -> Payment {
    let voucher = Voucher { account: terms().id(), epoch, cumulative: Nano(cumulative) };
    Payment { epoch, cumulative: voucher.cumulative, signature: voucher.sign(&key()) }
}
