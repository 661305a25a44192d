//! What a ledger says may be untrue. Whatever it says, a client signs no more than it owes, a provider serves no more than its
//! bound, and neither forgets what money may stand on.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod ends;
mod roles;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::ledger::ChannelState;
use bombyx_protocol::channel::pay::Payer;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::{Acceptance, Voucher};
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::message::Payment;
use ed25519_dalek::SigningKey;

const PEER: NodeId = NodeId([9; 32]);
const EPOCH: u64 = 7;
const DEPOSIT: u64 = 10_000;
const WINDOW: Nano = Nano(100);
const CHALLENGE_S: u32 = 600;

fn key() -> SigningKey {
    SigningKey::from_bytes(&ClientConfig::for_tests(1).channel_seed)
}

fn terms() -> ChannelTerms {
    let payee = Provider::new(ProviderConfig::for_tests(1), Vec::new()).payee();
    ChannelTerms {
        network_id: -3,
        salt: 1,
        client_key: key().verifying_key().to_bytes(),
        provider_key: payee.key,
        client: Address::basechain([3; 32]),
        provider: payee.address,
        challenge_s: CHALLENGE_S,
    }
}

fn account() -> ChannelId {
    terms().id()
}

fn truth() -> ChannelState {
    ChannelState { epoch: EPOCH, deposit: Nano(DEPOSIT), settled: Nano::ZERO, closing: None }
}

fn payment(epoch: u64, cumulative: u64) -> Payment {
    let voucher = Voucher { account: account(), epoch, cumulative: Nano(cumulative) };
    Payment { epoch, cumulative: voucher.cumulative, signature: voucher.sign(&key()) }
}

/// A client that owes `owed` on a channel that the ledger has shown.
fn payer(owed: u64) -> Payer {
    let mut payer = Payer::opening(terms(), PEER, Nano(DEPOSIT));
    payer.observe(Time(1), &truth());
    payer.owe(Nano(owed)).unwrap();
    payer
}

/// A provider that holds a voucher over `paid` on a channel that the ledger has shown.
fn earner(paid: u64) -> Earner {
    let mut earner = Earner::new(terms(), PEER);
    earner.observe(Time(0), 0, truth());
    earner.exposure.admit(WINDOW);
    earner.exposure.serve(Nano(paid));
    if paid > 0 {
        assert_eq!(earner.accept(payment(EPOCH, paid)), Ok(Acceptance::More));
    }
    earner
}

fn provider(records: Vec<Record>) -> Provider {
    Provider::new(ProviderConfig::for_tests(1), records)
}

fn closing(left_s: u64) -> ChannelState {
    ChannelState { closing: Some(Span::from_s(left_s)), ..truth() }
}
