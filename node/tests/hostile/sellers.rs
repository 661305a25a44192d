//! Hostile sellers: they bid low, take the job, and then do what their kind does.

use std::collections::HashMap;

use bombyx_node::net::NetEvent;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::Identity;
use bombyx_protocol::market::bid::{Bid, Payee};
use bombyx_protocol::market::call::Call;
use bombyx_protocol::session::{Secure, StaticKey, prologue, respond, seal};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{
    Accept, Chunk, Content, Finish, FromClient, FromProvider, Message, Refusal, Refuse, SealedBid,
    SealedFrame, ToClient, ToProvider, VerifiedGossip, Work,
};
use bombyx_protocol::work::order::{JobId, ModelId, Tier};
use bombyx_protocol::work::price::{InputTokens, Price, Tariff, Weights};
use bombyx_protocol::work::receipt::{Receipt, Transcript};
use tokio::task::JoinHandle;

use super::peer::Peer;

/// What a hostile seller does with a job that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Mute,
    /// One empty chunk with a receipt over nearly the ceiling, then nothing.
    Thief,
    /// One token with a receipt over nearly the ceiling, then nothing.
    OneToken,
    /// An end at once, with a receipt over nearly the ceiling.
    EndAtOnce,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mute => "accept and are mute",
            Self::Thief => "send one empty chunk with a bill",
            Self::OneToken => "send one token with a bill",
            Self::EndAtOnce => "end at once with a bill",
        }
    }

    /// One seller of this kind, until the handle is aborted.
    pub(crate) fn start(self, number: u64, join: Vec<String>, model: ModelId, price: Nano) -> JoinHandle<()> {
        tokio::spawn(async move {
            let source = format!("127.{}.0.1", 40 + number);
            let peer = Peer::seller(50_000 + number, &source, &join, model).await;
            let key = StaticKey::from_seed([number as u8 + 1; 32]);
            let closing = Identity::from_seed(&[number as u8 + 90; 32]);
            let asks = if self == Self::Mute { Nano(1_000) } else { price };
            Seller { kind: self, peer, key, closing, asks, jobs: HashMap::new() }.run().await;
        })
    }
}

struct Seller {
    kind: Kind,
    peer: Peer,
    key: StaticKey,
    closing: Identity,
    /// For the largest task of a call's classes.
    asks: Nano,
    jobs: HashMap<JobId, (Secure, Price)>,
}

impl Seller {
    async fn run(mut self) {
        while let Some(event) = self.peer.events.recv().await {
            match event {
                NetEvent::Gossip { gossip: VerifiedGossip::Call(call), .. } => self.bid(&call).await,
                NetEvent::Received { from, bytes, .. } => {
                    let Ok(Message::ToProvider(said)) = codec::decode::<Message>(&bytes) else { continue };
                    match said {
                        ToProvider::Award(award) => {
                            let prologue = prologue(&from, &self.peer.id(), &award.job.0);
                            let Ok((secure, reply)) =
                                respond(&self.key, &prologue, &award.handshake, &mut self.peer.entropy)
                            else {
                                continue;
                            };
                            self.jobs.insert(award.job, (secure, award.price));
                            let accept = ToClient::Accept(Accept::of(award.job, reply));
                            self.peer.send(from, Message::ToClient(accept)).await;
                        }
                        ToProvider::KeptAward(award) => {
                            let refuse = ToClient::Refuse(Refuse::of(award.job, Refusal::NoSession));
                            self.peer.send(from, Message::ToClient(refuse)).await;
                        }
                        ToProvider::Sealed(frame) => self.sealed(from, frame).await,
                        ToProvider::Release(_) | ToProvider::Seek(_) | ToProvider::Call(_) => {}
                    }
                }
                _ => {}
            }
        }
    }

    async fn bid(&mut self, call: &Call) {
        let input = InputTokens::fresh(1 << call.input_log2);
        let units = Weights::DEFAULT.units(input, call.classes().output_tokens_max());
        let price = Price(self.asks.0 * 1_000 / u64::try_from(units).unwrap());
        let bid = Bid {
            call: call.id,
            provider: self.peer.id(),
            model: call.model,
            session_key: self.key.public(),
            price,
            start_ms: 1,
            ahead_ms: 0,
            read_tps: u32::MAX,
            write_tps: 1_000,
            keep_s: 0,
            tier: Tier::Open,
            valid_ms: 10_000,
            payee: Payee {
                network_id: bombyx_node::ledger::devnet::DEVNET_ID,
                key: self.closing.id().0,
                address: Address::basechain([9; 32]),
                challenge_s: 172_800,
            },
            credit: Nano(1_000_000_000),
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        let signed = bid.sign(&self.peer.identity);
        let plain = codec::encode(&signed);
        let Ok(sealed) = seal(&call.seal_key, &call.id.0, &plain, &mut self.peer.entropy) else { return };
        let bid = ToClient::Bid(SealedBid { call: call.id, sealed });
        self.peer.send(call.client, Message::ToClient(bid)).await;
    }

    async fn sealed(&mut self, from: bombyx_protocol::ident::NodeId, frame: SealedFrame) {
        let Some((secure, price)) = self.jobs.get_mut(&frame.job) else { return };
        let Ok(opened) = secure.open(frame.nonce, &frame.bytes) else { return };
        let Ok(FromClient::Work(Work { task, input, .. })) = codec::decode_sealed::<FromClient>(&opened.body)
        else {
            return;
        };
        let content = match self.kind {
            Kind::Mute => return,
            Kind::Thief => Content::Tokens { ids: Vec::new(), text: String::new() },
            Kind::OneToken => Content::Tokens { ids: vec![5], text: "a".into() },
            Kind::EndAtOnce => Content::End { finish: Finish::Stop },
        };
        let tariff = Tariff { price: *price, weights: Weights::DEFAULT };
        let tokens = u64::from(self.kind == Kind::OneToken);
        let content = codec::encode(&content);
        let transcript =
            Transcript::begin(frame.job, self.peer.model, &codec::encode(&task)).then(0, &content);
        let receipt = Receipt {
            job: frame.job,
            model: self.peer.model,
            chunks: 1,
            transcript,
            input_tokens: input.count(),
            cached_tokens: 0,
            output_tokens: tokens,
            // All that the task could come to.
            cost: tariff.cost(input, task.output_tokens_max()).unwrap_or(Nano::ZERO),
            extensions: Extensions::NONE,
        };
        let receipt = Some(receipt.sign(&self.peer.identity));
        let chunk = FromProvider::Chunk(Chunk { index: 0, content, receipt });
        let last = self.kind == Kind::EndAtOnce;
        let Ok(sent) = secure.seal(&codec::encode(&chunk), last) else { return };
        let sealed = SealedFrame { job: frame.job, nonce: sent.nonce, bytes: sent.bytes };
        self.peer.send(from, Message::ToClient(ToClient::Sealed(sealed))).await;
    }
}
