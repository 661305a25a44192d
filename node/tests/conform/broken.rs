//! Nodes that break one rule each: real sockets and sessions, and a seller that is honest but for its flaw.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bombyx_gpu::manifest::Manifest;
use bombyx_node::conform::{Conformance, Options, Outcome, run};
use bombyx_node::ledger::devnet::DEVNET_ID;
use bombyx_node::net::{self, NetCommand, NetConfig, NetEvent, NetHandle, topic, unix_s};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::clock::is_fresh;
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId};
use bombyx_protocol::limits::{CHUNK_TOKENS, RECEIPT_TOKENS};
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::bid::{Bid, BidHash, Payee};
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::session::{Secure, StaticKey, prologue, respond, seal};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{
    Accept, Award, Chunk, Content, Decline, Finish, FromClient, FromProvider, Message, Refusal, Refuse,
    SealedBid, SealedFrame, ToClient, ToProvider, VerifiedGossip, Work,
};
use bombyx_protocol::work::order::{JobId, ModelId, Task, TaskKind, Tier};
use bombyx_protocol::work::price::{Delivery, InputTokens, Price, Tariff, Weights};
use bombyx_protocol::work::receipt::{Receipt, Transcript};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// What the seller does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Nothing.
    None,
    ForgedAsks,
    AsksForOldSeeks,
    AsksForNewsIfUninvited,
    AnswersTwice,
    UnderstandsNoOddExtension,
    UnderstandsEveryExtension,
    OtherManifest,
    NoManifest,
    SilentToCalls,
    BidsForAnotherCall,
    BidsInAnothersName,
    BidsForWrongKind,
    TakesLess,
    TakesAnyBid,
    RefusesInVain,
    NewHandshakeEachTime,
    SilentToKeptAwards,
    TakesAnyTerms,
    TakesAnyTask,
    CountsWrong,
    RepeatsANumber,
    SkipsAChunk,
    OtherTranscript,
    BillsTooMuch,
    FewReceipts,
    EndIsNotLast,
    NeverRepeats,
    ServesWithoutEnd,
    GoesOnAfterCancel,
    KeepsNoAccount,
}

/// Every flaw, a check that must find it, and a rule that the check names.
const FLAWS: [(Flaw, &str, &str); 30] = [
    (Flaw::ForgedAsks, "seek-everything", "MK-19"),
    (Flaw::AsksForOldSeeks, "clocks", "WI-18"),
    (Flaw::AsksForNewsIfUninvited, "invitations", "MK-16"),
    (Flaw::AnswersTwice, "answered-once", "MK-4"),
    (Flaw::UnderstandsNoOddExtension, "seek-extensions", "WI-16"),
    (Flaw::UnderstandsEveryExtension, "award-extensions", "WI-16"),
    (Flaw::OtherManifest, "manifests", "WR-17"),
    (Flaw::NoManifest, "manifests", "NE-15"),
    (Flaw::SilentToCalls, "call", "MK-49"),
    (Flaw::BidsForAnotherCall, "call", "MK-5"),
    (Flaw::BidsInAnothersName, "call", "MK-6"),
    (Flaw::BidsForWrongKind, "declines", "MK-49"),
    (Flaw::TakesLess, "price-below", "MK-10"),
    (Flaw::TakesAnyBid, "bids-of-others", "MK-10"),
    (Flaw::RefusesInVain, "lease", "MK-10"),
    (Flaw::NewHandshakeEachTime, "lease", "MK-10"),
    (Flaw::SilentToKeptAwards, "unkept-session", "MK-67"),
    (Flaw::TakesAnyTerms, "bad-terms", "CH-1"),
    (Flaw::TakesAnyTask, "impossible-tasks", "WR-1"),
    (Flaw::CountsWrong, "false-count", "WR-22"),
    (Flaw::RepeatsANumber, "small-job", "SE-11"),
    (Flaw::SkipsAChunk, "small-job", "WR-4"),
    (Flaw::OtherTranscript, "small-job", "WR-2"),
    (Flaw::BillsTooMuch, "small-job", "WR-21"),
    (Flaw::FewReceipts, "small-job", "WR-3"),
    (Flaw::EndIsNotLast, "small-job", "WR-5"),
    (Flaw::NeverRepeats, "lost-chunks", "WR-12"),
    (Flaw::ServesWithoutEnd, "credit", "CH-5"),
    (Flaw::GoesOnAfterCancel, "cancellation", "WR-14"),
    (Flaw::KeepsNoAccount, "wasted-award", "MK-45"),
];

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

    async fn sought(&mut self, seek: &Seek) {
        let provider = self.identity.id();
        let is_invited =
            seek.invited.invites(&seek.id.0, &provider) || self.flaw == Flaw::AsksForNewsIfUninvited;
        let is_fresh = is_fresh(seek.made_s, unix_s()) || self.flaw == Flaw::AsksForOldSeeks;
        let is_ours = seek.model.is_none_or(|model| model == self.model);
        if !is_invited
            || !is_fresh
            || !is_ours
            || !self.may_act_on(&seek.extensions)
            || !self.is_new(seek.id.0)
        {
            return;
        }
        let SeekId(id) = seek.id;
        let ask = Ask {
            provider,
            model: self.model,
            name: "scripted".into(),
            kind: TaskKind::Generate,
            price: PRICE,
            context_tokens: 4_096,
            output_max: 4_096,
            read_tps: 1_000,
            write_tps: 100,
            start_ms: 0,
            tier: Tier::Open,
            seek: SeekId(id),
            valid_ms: 60_000,
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        let mut signed = ask.sign(&self.identity);
        if self.flaw == Flaw::ForgedAsks {
            signed.signature.0[3] ^= 1;
        }
        self.send(seek.client, ToClient::Ask(signed)).await;
    }

    async fn called(&mut self, call: &Call) {
        let provider = self.identity.id();
        let is_ours = call.model == self.model && call.tier == Tier::Open;
        if !is_ours || !self.may_act_on(&call.extensions) || !self.is_new(call.id.0) {
            return;
        }
        if self.flaw == Flaw::SilentToCalls {
            return;
        }
        let why = if call.kind != TaskKind::Generate {
            Some(Refusal::WrongKind)
        } else if call.input_log2 > 13 {
            Some(Refusal::OverContext(4_096))
        } else {
            None
        };
        if let Some(why) = why.filter(|_| self.flaw != Flaw::BidsForWrongKind) {
            let decline = Decline { call: call.id, why, extensions: Extensions::NONE };
            return self.send(call.client, ToClient::Decline(decline)).await;
        }
        let mut bid = Bid {
            call: call.id,
            provider,
            model: self.model,
            session_key: self.key.public(),
            price: PRICE,
            start_ms: 0,
            ahead_ms: 0,
            read_tps: 1_000,
            write_tps: 100,
            keep_s: 0,
            tier: Tier::Open,
            valid_ms: 30_000,
            payee: Payee {
                network_id: DEVNET_ID,
                key: self.identity.id().0,
                address: Address::basechain([9; 32]),
                challenge_s: 3_600,
            },
            credit: CREDIT,
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        match self.flaw {
            Flaw::BidsForAnotherCall => bid.call.0[0] ^= 1,
            Flaw::BidsInAnothersName => bid.provider = Identity::from_seed(&[1; 32]).id(),
            _ => {}
        }
        let signed = match self.flaw {
            Flaw::BidsInAnothersName => bid.sign(&Identity::from_seed(&[1; 32])),
            _ => bid.sign(&self.identity),
        };
        let plain = codec::encode(&signed);
        let Ok(sealed) = seal(&call.seal_key, &call.id.0, &plain, &mut self.entropy) else { return };
        self.bids.insert(BidHash::of(&signed).0, (call.client, call.id));
        self.send(call.client, ToClient::Bid(SealedBid { call: call.id, sealed })).await;
    }

    async fn refuse(&self, to: NodeId, job: JobId, why: Refusal) {
        self.send(to, ToClient::Refuse(Refuse::of(job, why))).await;
    }

    async fn awarded(&mut self, from: NodeId, award: Award) {
        let renews = self.flaw == Flaw::NewHandshakeEachTime;
        if let Some(job) = self.jobs.get(&award.job).filter(|job| job.client == from && !renews) {
            if job.award == award {
                self.send(from, ToClient::Accept(Accept::of(award.job, job.reply.clone()))).await;
            }
            return;
        }
        let is_known = self.bids.get(&award.bid.0).is_some_and(|(client, _)| *client == from);
        let why = if self.flaw == Flaw::RefusesInVain {
            Some(Refusal::ChallengeTooShort)
        } else if !self.may_act_on(&award.extensions) {
            Some(Refusal::NotUnderstood)
        } else if !is_known && self.flaw != Flaw::TakesAnyBid {
            Some(Refusal::UnknownBid)
        } else if award.price < PRICE && self.flaw != Flaw::TakesLess {
            Some(Refusal::PriceBelowBid)
        } else {
            None
        };
        if let Some(why) = why {
            return self.refuse(from, award.job, why).await;
        }
        let prologue = prologue(&from, &self.identity.id(), &award.job.0);
        match respond(&self.key, &prologue, &award.handshake, &mut self.entropy) {
            Err(_) => self.refuse(from, award.job, Refusal::Malformed).await,
            Ok((secure, reply)) => {
                self.send(from, ToClient::Accept(Accept::of(award.job, reply.clone()))).await;
                let job = Job {
                    client: from,
                    reply,
                    secure,
                    counted: false,
                    sent: Vec::new(),
                    acked: 0,
                    is_over: false,
                    award,
                };
                self.jobs.insert(job.award.job, job);
            }
        }
    }

    async fn sealed(&mut self, from: NodeId, frame: &SealedFrame) {
        let Some(job) = self.jobs.get_mut(&frame.job).filter(|job| job.client == from) else { return };
        let Ok(opened) = job.secure.open(frame.nonce, &frame.bytes) else { return };
        match codec::decode_sealed::<FromClient>(&opened.body) {
            Ok(FromClient::Work(work)) => self.work(frame.job, work).await,
            Ok(FromClient::Ack(ack)) => job.acked = ack.next,
            Ok(FromClient::Cancel(_)) => job.is_over = true,
            Err(_) => {}
        }
    }

    async fn work(&mut self, id: JobId, work: Work) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let client = job.client;
        // As many as the text has characters.
        let counted = u64::try_from(work.task.text_bytes()).unwrap();
        let stated = work.input.count();
        let task_fault = work.task.check().is_err() || work.task.kind() != TaskKind::Generate;
        let terms_fault = work.channel.check(DEVNET_ID).is_err()
            || work.channel.provider_key != self.identity.id().0
            || work.channel.provider != Address::basechain([9; 32]);
        if task_fault && self.flaw != Flaw::TakesAnyTask {
            return self.refuse(client, id, Refusal::EmptyTask).await;
        }
        if terms_fault && self.flaw != Flaw::TakesAnyTerms {
            return self.refuse(client, id, Refusal::ChannelTerms).await;
        }
        if stated != counted && !task_fault && !terms_fault {
            let counted = match self.flaw {
                Flaw::CountsWrong => 1_000_000,
                _ => counted,
            };
            job.counted = true;
            return self.refuse(client, id, Refusal::Counts(counted)).await;
        }
        self.serve(id, &work.task, work.input).await;
    }

    /// Makes the whole answer at once, and sends it.
    async fn serve(&mut self, id: JobId, task: &Task, input: InputTokens) {
        let (flaw, model) = (self.flaw, self.model);
        let tariff = Tariff { price: PRICE, weights: Weights::DEFAULT };
        let wanted = task.output_tokens_max();
        let of_credit = |tokens: u64| tariff.cost(input, tokens).unwrap() <= CREDIT;
        let tokens = if flaw == Flaw::ServesWithoutEnd {
            wanted
        } else {
            (0..=wanted.min(96)).filter(|t| of_credit(*t)).max().unwrap_or(0)
        };
        let mut transcript = Transcript::begin(id, model, &codec::encode(task));
        let (mut made, mut index, mut unsigned) = (0, 0, 0);
        let mut sent = Vec::new();
        loop {
            let is_end = made == wanted;
            if made >= tokens && !is_end {
                break;
            }
            let content = if is_end {
                Content::End { finish: Finish::Length }
            } else {
                let count = u64::from(CHUNK_TOKENS).min(tokens - made);
                made += count;
                unsigned += count;
                Content::Tokens { ids: vec![5; usize::try_from(count).unwrap()], text: "a".into() }
            };
            let content = codec::encode(&content);
            transcript = transcript.then(index, &content);
            let is_due = index == 0 || is_end || unsigned >= RECEIPT_TOKENS;
            let is_due = is_due && (flaw != Flaw::FewReceipts || is_end);
            let receipt = is_due.then(|| {
                unsigned = 0;
                let delivery =
                    Delivery { output_tokens: made, rows: 0, rows_wanted: 0, complete: is_end, read: 0 };
                let cost = tariff.due(input, &delivery).unwrap();
                let receipt = Receipt {
                    job: id,
                    model,
                    chunks: index + 1,
                    transcript: match flaw {
                        Flaw::OtherTranscript => Transcript([7; 32]),
                        _ => transcript,
                    },
                    input_tokens: input.count(),
                    cached_tokens: 0,
                    output_tokens: made,
                    cost: match flaw {
                        Flaw::BillsTooMuch => Nano(cost.0 + 1),
                        _ => cost,
                    },
                    extensions: Extensions::NONE,
                };
                receipt.sign(&self.identity)
            });
            sent.push((Chunk { index, content, receipt }, is_end && flaw != Flaw::EndIsNotLast));
            index += 1;
            if is_end {
                break;
            }
        }
        if flaw == Flaw::SkipsAChunk {
            sent.remove(1);
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.sent.clone_from(&sent);
        }
        for (chunk, last) in sent {
            self.say(id, chunk, last).await;
        }
    }

    async fn say(&mut self, id: JobId, chunk: Chunk, last: bool) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let said = codec::encode(&FromProvider::Chunk(chunk));
        let Ok(frame) = job.secure.seal(&said, last) else { return };
        let frame = SealedFrame { job: id, nonce: frame.nonce, bytes: frame.bytes };
        let client = job.client;
        if self.flaw == Flaw::RepeatsANumber {
            self.send(client, ToClient::Sealed(frame.clone())).await;
        }
        self.send(client, ToClient::Sealed(frame)).await;
    }

    /// Repeats what nobody has acknowledged.
    async fn repeat(&mut self) {
        if self.flaw == Flaw::NeverRepeats {
            return;
        }
        let ignores_cancel = self.flaw == Flaw::GoesOnAfterCancel;
        let due: Vec<(JobId, Chunk, bool)> = self
            .jobs
            .iter()
            .filter(|(_, job)| !job.is_over || ignores_cancel)
            .flat_map(|(id, job)| {
                job.sent.iter().map(move |(chunk, last)| (*id, job.acked, chunk.clone(), *last))
            })
            .filter(|(_, acked, chunk, _)| chunk.index >= *acked)
            .map(|(id, _, chunk, last)| (id, chunk, last))
            .collect();
        for (id, chunk, last) in due {
            self.say(id, chunk, last).await;
        }
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
