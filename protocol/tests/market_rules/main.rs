//! The rules of `spec/03-market.md` that one machine keeps by itself.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod bidder;
mod buyer;
mod direct;
#[path = "../drive/mod.rs"]
mod drive;

use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId, Prefix};
use bombyx_protocol::io::{Input, Output};
use bombyx_protocol::market::bid::{Bid, BidHash};
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::session::{Initiator, StaticKey, prologue, unseal};
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{Award, Gossip, Message, Release, ReleaseReason, ToClient, ToProvider};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::order::{JobId, TaskKind, Tier};
use drive::{MODEL, give, offer};

const START: Time = Time(1_000);

fn calls(outputs: &[Output]) -> Vec<Signed> {
    let call = |output: &Output| match output {
        Output::Broadcast { gossip: Gossip::Call(signed), .. } => Some(signed.clone()),
        _ => None,
    };
    outputs.iter().filter_map(call).collect()
}

fn to_clients(outputs: &[Output]) -> Vec<(NodeId, ToClient)> {
    let message = |output: &Output| match output {
        Output::Send { to, message: Message::ToClient(message) } => Some((*to, message.clone())),
        _ => None,
    };
    outputs.iter().filter_map(message).collect()
}

fn heard(gossip: Gossip) -> Input {
    Input::Gossip { prefix: Prefix::UNKNOWN, gossip: gossip.open().unwrap() }
}

fn provider(number: u64, per_k: u64) -> Provider {
    let mut provider = Provider::new(ProviderConfig::for_tests(number), Vec::new());
    give(&mut provider, START, offer(per_k));
    provider
}

/// A caller with keys of its own.
struct Caller {
    identity: Identity,
    seal_key: StaticKey,
    entropy: Entropy,
}

impl Caller {
    fn new(seed: u8) -> Self {
        Self {
            identity: Identity::from_seed(&[seed; 32]),
            seal_key: StaticKey::from_seed([seed; 32]),
            entropy: Entropy::new([seed; 32]),
        }
    }

    fn call(&self, id: u8) -> Call {
        Call {
            id: CallId([id; 16]),
            client: self.identity.id(),
            seal_key: self.seal_key.public(),
            model: MODEL,
            kind: TaskKind::Generate,
            input_log2: 6,
            output_log2: 6,
            tier: Tier::Open,
            window_ms: 400,
            invited: Share::ALL,
            made_s: 0,
            deadline_ms: 1_000,
            stamp: 0,
            features: Features::OWN,
            extensions: Extensions::NONE,
        }
    }

    fn seeks(&self, id: u8, invited: Share) -> Input {
        let seek = Seek::for_model(SeekId([id; 16]), self.identity.id(), MODEL, invited, 0);
        heard(Gossip::Seek(seek.sign(&self.identity)))
    }

    fn says(&self, call: &Call) -> Input {
        heard(Gossip::Call(call.sign(&self.identity)))
    }

    fn releases(&self, id: u8) -> Input {
        let message =
            Message::ToProvider(ToProvider::Release(Release::of(CallId([id; 16]), ReleaseReason::Outscored)));
        Input::Received { from: self.identity.id(), prefix: Prefix::UNKNOWN, message }
    }

    fn bid(&self, outputs: &[Output]) -> (Bid, BidHash) {
        let [(to, ToClient::Bid(sealed))] = &to_clients(outputs)[..] else { panic!("no bid in {outputs:?}") };
        assert_eq!(*to, self.identity.id());
        let plain = unseal(&self.seal_key, &sealed.call.0, &sealed.sealed).unwrap();
        let signed: Signed = codec::decode_sealed(&plain).unwrap();
        (signed.open::<Bid>().unwrap().into_inner(), BidHash::of(&signed))
    }

    fn award(&mut self, bid: &Bid, hash: BidHash, job: u8) -> Award {
        let job = JobId([job; 16]);
        let prologue = prologue(&self.identity.id(), &bid.provider, &job.0);
        let (_, handshake) = Initiator::start(&bid.session_key, &prologue, &mut self.entropy).unwrap();
        Award { job, call: bid.call, bid: hash, price: bid.price, handshake, extensions: Extensions::NONE }
    }

    fn sends(&self, award: &Award) -> Input {
        let message = Message::ToProvider(ToProvider::Award(award.clone()));
        Input::Received { from: self.identity.id(), prefix: Prefix::UNKNOWN, message }
    }
}
