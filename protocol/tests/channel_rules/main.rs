//! The rules of `spec/06-channel.md` that one side keeps by itself.

#![allow(clippy::unwrap_used)]

mod ends;
mod roles;
#[path = "../testbed/mod.rs"]
mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::ChannelState;
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::wire::message::Payment;
use testbed::channel::{PEER, key};

fn terms() -> ChannelTerms {
    testbed::channel::terms(60)
}

fn open(epoch: u64, deposit: u64) -> ChannelState {
    ChannelState { epoch, deposit: Nano(deposit), settled: Nano::ZERO, closing: None }
}

fn payment(epoch: u64, cumulative: u64) -> Payment {
    let voucher = Voucher { account: terms().id(), epoch, cumulative: Nano(cumulative) };
    Payment { epoch, cumulative: voucher.cumulative, signature: voucher.sign(&key()) }
}
