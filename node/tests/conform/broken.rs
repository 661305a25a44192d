//! Nodes that break one rule each: real sockets and sessions, and a seller that is honest but for its flaw.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bombyx_gpu::manifest::Manifest;
use bombyx_node::conform::{Conformance, Options, Outcome, run};
use bombyx_node::net::{self, NetCommand, NetConfig, NetEvent, NetHandle, topic};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId};
use bombyx_protocol::market::call::CallId;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::session::{Secure, StaticKey};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{Award, Chunk, Message, Refusal, ToClient, ToProvider, VerifiedGossip};
use bombyx_protocol::work::order::{JobId, ModelId};
use bombyx_protocol::work::price::Price;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

mod flaw;
mod market;
mod work;

use flaw::{FLAWS, Flaw};

const MANIFEST: &str = r#"{"context_tokens":4096,"files":[{"bytes":1,"path":"model.onnx","role":"graph","sha256":"0000000000000000000000000000000000000000000000000000000000000000"},{"bytes":1,"path":"tokenizer.json","role":"tokenizer","sha256":"0000000000000000000000000000000000000000000000000000000000000000"}],"kind":{"generate":{"chat_template":"{{ messages }}","eos_ids":[1],"sampler":"bombyx-sampler-1"}},"licence":"MIT","name":"scripted","precision":"fp32","source":"a test","tokenizer":{"special_tokens":false,"truncate":false}}"#;

const PRICE: Price = Price(1_000);
const CREDIT: Nano = Nano(100_000);

/// A seller on sockets of its own.
struct Seller {
    flaw: Flaw,
    net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
    identity: Identity,
    entropy: Entropy,
    key: StaticKey,
    model: ModelId,
    answered: BTreeSet<[u8; 16]>,
    bids: BTreeMap<[u8; 32], (NodeId, CallId)>,
    jobs: BTreeMap<JobId, Job>,
}

struct Job {
    client: NodeId,
    award: Award,
    reply: Vec<u8>,
    secure: Secure,
    counted: bool,
    sent: Vec<(Chunk, bool)>,
    acked: u32,
    is_over: bool,
}

impl Seller {
    async fn start(flaw: Flaw, number: u8) -> (String, tokio::task::JoinHandle<()>) {
        let seed = [100 + number; 32];
        let mut config = NetConfig::new(Zeroizing::new(seed), "bombyx-dev");
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".into()];
        let (net, events) = net::start(config).await.unwrap();
        let model = ModelId(Manifest::id_of(MANIFEST.as_bytes()).0);
        let json = match flaw {
            Flaw::OtherManifest => MANIFEST.replace("4096", "8192"),
            _ => MANIFEST.to_owned(),
        };
        if flaw != Flaw::NoManifest {
            net.send(NetCommand::ShowManifest { model: model.0, json: json.into_bytes() }).await.unwrap();
        }
        for name in [Topic::Market, Topic::Model(model)] {
            net.send(NetCommand::Subscribe(topic(name))).await.unwrap();
        }
        let address = net.listening().first().unwrap().clone();
        let mut entropy = Entropy::new(seed);
        let seller = Self {
            flaw,
            net,
            events,
            identity: Identity::from_seed(&seed),
            key: StaticKey::from_seed(entropy.bytes()),
            entropy,
            model,
            answered: BTreeSet::new(),
            bids: BTreeMap::new(),
            jobs: BTreeMap::new(),
        };
        (address, tokio::spawn(seller.run()))
    }

    async fn run(mut self) {
        let mut repeat = tokio::time::interval(Duration::from_millis(700));
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.on_event(event).await,
                    None => return,
                },
                _ = repeat.tick() => self.repeat().await,
            }
        }
    }

    async fn on_event(&mut self, event: NetEvent) {
        match event {
            NetEvent::Gossip { gossip: VerifiedGossip::Seek(seek), .. } => self.sought(&seek).await,
            NetEvent::Gossip { gossip: VerifiedGossip::Call(call), .. } => self.called(&call).await,
            NetEvent::Received { from, bytes } => match codec::decode::<Message>(&bytes) {
                Ok(Message::ToProvider(ToProvider::Seek(seek))) if seek.client == from => {
                    self.sought(&seek).await
                }
                Ok(Message::ToProvider(ToProvider::Call(call))) if call.client == from => {
                    self.called(&call).await
                }
                Ok(Message::ToProvider(ToProvider::Award(award))) => self.awarded(from, award).await,
                Ok(Message::ToProvider(ToProvider::KeptAward(award)))
                    if self.flaw != Flaw::SilentToKeptAwards =>
                {
                    self.refuse(from, award.job, Refusal::NoSession).await;
                }
                Ok(Message::ToProvider(ToProvider::Sealed(frame))) => self.sealed(from, &frame).await,
                _ => {}
            },
            _ => {}
        }
    }

    async fn send(&self, to: NodeId, said: ToClient) {
        let bytes = codec::encode(&Message::ToClient(said));
        let _ = self.net.send(NetCommand::Send { to, bytes }).await;
    }

    fn may_act_on(&self, extensions: &Extensions) -> bool {
        match self.flaw {
            Flaw::UnderstandsNoOddExtension => *extensions == Extensions::NONE,
            Flaw::UnderstandsEveryExtension => true,
            _ => extensions.are_understood(),
        }
    }

    fn is_new(&mut self, id: [u8; 16]) -> bool {
        self.answered.insert(id) || self.flaw == Flaw::AnswersTwice
    }
}

async fn checked(flaw: Flaw, number: u8, only: &[&str]) -> Conformance {
    let (address, seller) = Seller::start(flaw, number).await;
    let options = Options {
        network: "bombyx-dev".into(),
        address,
        model: None,
        only: only.iter().map(|name| (*name).to_owned()).collect(),
        seed: [number; 32],
    };
    let found = run(options, |_| {}).await.unwrap();
    seller.abort();
    found
}

/// What each flaw is tried with must pass where there is none, or it would show nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_seller_without_a_flaw_passes_what_the_flaws_fail() {
    let names: BTreeSet<&str> = FLAWS.iter().map(|(_, name, _)| *name).collect();
    // The script refuses everything for one reason, asks for no payment, and remembers nobody.
    let beyond = ["impossible-tasks", "credit", "wasted-award"];
    let names: Vec<&str> = names.into_iter().filter(|name| !beyond.contains(name)).collect();
    let found = checked(Flaw::None, 0, &names).await;
    for report in &found.checks {
        assert_eq!(report.outcome, Outcome::Pass, "{}", report.check);
    }
    assert_eq!(found.checks.len(), names.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flaw_is_found_and_the_broken_rule_is_named() {
    for (number, (flaw, name, rule)) in (1..).zip(FLAWS) {
        let found = checked(flaw, number, &[name]).await;
        let [report] = &found.checks[..] else { panic!("one check") };
        let Outcome::Fail(why) = &report.outcome else {
            panic!("{flaw:?} is not found: {:?}", report.outcome)
        };
        println!("{flaw:?}: {name}: {why}");
        assert!(report.rules.contains(&rule), "{flaw:?}: {:?}", report.rules);
    }
}
