//! Any bytes into a running provider: a client that calls, awards, pays and acknowledges, or not, as the bytes say.

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::key_proof::KeyProof;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId, Prefix, Signature};
use bombyx_protocol::io::{Command, EngineReport, Input, Offer, Output};
use bombyx_protocol::market::bid::{Bid, BidHash};
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::session::{Initiator, Secure, StaticKey, prologue, unseal};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{
    Ack, Award, Content, Finish, FromClient, FromProvider, Gossip, Message, Payment, Refusal, Release,
    ReleaseReason, SealedFrame, ToClient, ToProvider, Work,
};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::cost::CostSheet;
use bombyx_protocol::work::order::{
    ChatMessage, Generate, JobId, ModelId, Role, Sampling, Task, TaskKind, Tier,
};
use bombyx_protocol::work::price::{InputTokens, Price, Weights};
use ed25519_dalek::SigningKey;

use super::bench::{Bench, Bytes, STEPS_MAX};

/// The model that talks; the next one embeds.
const TALKER: ModelId = ModelId([0xab; 32]);
const EMBEDDER: ModelId = ModelId([0xac; 32]);
/// Where everybody connects from.
const PREFIX: Prefix = Prefix::of_ipv4([192, 0, 2, 1]);

/// Any bytes into a running provider. Every job ends once its engine has, and no more is served than may stay unpaid.
pub fn provider_input(data: &[u8]) {
    provider_earns(data);
}

/// As [`provider_input`]; returns what the provider served and what vouchers cover of it, over all channels.
pub fn provider_earns(data: &[u8]) -> (Nano, Nano) {
    let mut scene = Scene::new();
    let mut bytes = Bytes::new(data);
    for _ in 0..STEPS_MAX {
        let Some(step) = bytes.byte() else { break };
        let outputs = scene.step(step, &mut bytes);
        scene.hear(outputs);
    }
    for job in std::mem::take(&mut scene.running) {
        scene.report(job, EngineReport::Failed(Refusal::Engine));
    }
    let channels = || scene.bench.machine.channels();
    let earned =
        (channels().map(|earner| earner.served()).sum(), channels().map(|earner| earner.paid()).sum());
    scene.bench.run_out(|bench| bench.machine.jobs_in_flight() == 0);
    earned
}

/// A client's end of a job.
struct Job {
    id: JobId,
    model: ModelId,
    secure: Secure,
    account: ChannelId,
}

struct Scene {
    bench: Bench<Provider>,
    client: Identity,
    seal_key: StaticKey,
    entropy: Entropy,
    bid: Option<(Bid, BidHash)>,
    pending: Option<(Award, Initiator, ModelId)>,
    job: Option<Job>,
    running: Vec<JobId>,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self {
            bench: Bench::new(Provider::new(ProviderConfig::for_tests(1), Vec::new())),
            client: Identity::from_seed(&[21; 32]),
            seal_key: StaticKey::from_seed([22; 32]),
            entropy: Entropy::new([23; 32]),
            bid: None,
            pending: None,
            job: None,
            running: Vec::new(),
        };
        scene.offer(TALKER, TaskKind::Generate, 400_000);
        scene.offer(EMBEDDER, TaskKind::Embed, 1_000);
        scene
    }

    fn offer(&mut self, model: ModelId, kind: TaskKind, per_k: u64) {
        let cost = CostSheet { per_job: Nano(10), input_per_k: Nano(per_k), output_per_k: Nano(per_k) };
        let offer = Offer {
            model,
            name: "model".into(),
            kind,
            cost,
            weights: Weights::DEFAULT,
            slots: 2,
            start_ms: 50,
            read_tps: 1_000,
            write_tps: 20,
            context_tokens: 512,
            output_max: 512,
        };
        self.bench.give(Input::Command(Command::Offer(offer)));
    }

    /// Looks at what the provider says, as its client and its engine would.
    fn hear(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { message: Message::ToClient(ToClient::Bid(sealed)), .. } => {
                    let opened = unseal(&self.seal_key, &sealed.call.0, &sealed.sealed);
                    // A call may have named a key that is not this client's.
                    let Ok(plain) = opened else { continue };
                    let signed: Signed =
                        codec::decode_sealed(&plain).expect("a provider's own bid can be read");
                    let bid = signed.open::<Bid>().expect("a provider's own bid is signed");
                    self.bid = Some((bid.into_inner(), BidHash::of(&signed)));
                }
                Output::Send { message: Message::ToClient(ToClient::Accept(accept)), .. } => {
                    let Some((award, initiator, model)) = self.pending.take() else { continue };
                    if award.job == accept.job {
                        let secure =
                            initiator.finish(&accept.handshake).expect("a provider's own answer opens");
                        self.job = Some(Job { id: award.job, model, secure, account: ChannelId([0; 32]) });
                    }
                }
                Output::Send { message: Message::ToClient(ToClient::Sealed(frame)), .. } => {
                    self.listen(&frame)
                }
                Output::Count { job, .. } => self.running.push(job),
                Output::Cancel { job } => self.running.retain(|running| *running != job),
                _ => {}
            }
        }
    }

    fn listen(&mut self, frame: &SealedFrame) {
        let Some(job) = self.job.as_mut().filter(|job| job.id == frame.job) else { return };
        let opened = job.secure.open(frame.nonce, &frame.bytes).expect("a provider's own frames open");
        let said: FromProvider =
            codec::decode_sealed(&opened.body).expect("a provider's own words can be read");
        if let FromProvider::Chunk(chunk) = said {
            let content: Content = codec::decode_sealed(&chunk.content).expect("its content can be read");
            assert_eq!(matches!(content, Content::End { .. }), opened.last, "the end is in the last frame");
        }
    }

    fn step(&mut self, step: u8, bytes: &mut Bytes<'_>) -> Vec<Output> {
        match step % 16 {
            0 => self.bench.wait(Span::from_ms(bytes.number() % 100_000)),
            1 => self.bench.sleep(),
            2 => match codec::decode(bytes.slice()) {
                Ok(message) => self.receive(bytes.small(), message),
                Err(_) => Vec::new(),
            },
            3 => match codec::decode_gossip::<Gossip>(bytes.slice()).map(|gossip| gossip.open()) {
                Ok(Ok(gossip)) => self.bench.give(Input::Gossip { prefix: PREFIX, gossip }),
                Ok(Err(_)) | Err(_) => Vec::new(),
            },
            4 => self.call(bytes),
            5 => self.award(bytes),
            6 => {
                let last = bytes.small().is_multiple_of(2);
                let body = bytes.slice().to_vec();
                self.say(&body, last)
            }
            7 => self.work(bytes),
            8 | 9 => self.ack(bytes),
            10 => self.bench.persisted(),
            11 => self.bench.ledger(bytes),
            12 | 13 => self.engine(bytes),
            14 => self.other(bytes),
            _ => {
                let outputs = self.call(bytes);
                self.hear(outputs);
                let outputs = self.award(bytes);
                self.hear(outputs);
                self.work(bytes)
            }
        }
    }

    fn receive(&mut self, from: u8, message: Message) -> Vec<Output> {
        let from = if from % 4 == 3 { NodeId([9; 32]) } else { self.client.id() };
        self.bench.give(Input::Received { from, prefix: PREFIX, message })
    }

    fn call(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        let kind = bytes.small();
        let (model, kind) =
            if kind.is_multiple_of(2) { (TALKER, TaskKind::Generate) } else { (EMBEDDER, TaskKind::Embed) };
        let call = Call {
            id: CallId([bytes.small(); 16]),
            client: self.client.id(),
            seal_key: if bytes.small() == 1 { [0; 32] } else { self.seal_key.public() },
            model,
            kind,
            input_log2: bytes.small(),
            output_log2: bytes.small(),
            tier: if bytes.small() == 1 { Tier::Confidential } else { Tier::Open },
            window_ms: 400,
            invited: Share::ALL,
            made_s: 0,
            deadline_ms: 1_000,
            stamp: 0,
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        let gossip = Gossip::Call(call.sign(&self.client));
        match gossip.open() {
            Ok(gossip) => self.bench.give(Input::Gossip { prefix: PREFIX, gossip }),
            Err(_) => Vec::new(),
        }
    }

    fn award(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        let Some((bid, hash)) = self.bid.clone() else { return Vec::new() };
        let job = JobId([bytes.small(); 16]);
        let mut price = bid.price;
        if bytes.small() == 1 {
            price = Price(bytes.number());
        }
        let prologue = prologue(&self.client.id(), &bid.provider, &job.0);
        let Ok((initiator, handshake)) = Initiator::start(&bid.session_key, &prologue, &mut self.entropy)
        else {
            panic!("a provider's own session key is usable");
        };
        let award = Award { job, call: bid.call, bid: hash, price, handshake, extensions: Extensions::NONE };
        self.pending = Some((award.clone(), initiator, bid.model));
        self.receive(0, Message::ToProvider(ToProvider::Award(award)))
    }

    fn say(&mut self, body: &[u8], last: bool) -> Vec<Output> {
        let Some(job) = self.job.as_mut() else { return Vec::new() };
        let Ok(frame) = job.secure.seal(body, last) else { return Vec::new() };
        let frame = SealedFrame { job: job.id, nonce: frame.nonce, bytes: frame.bytes };
        self.receive(0, Message::ToProvider(ToProvider::Sealed(frame)))
    }

    fn work(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        let Some((bid, _)) = self.bid.clone() else { return Vec::new() };
        let Some(job) = self.job.as_mut() else { return Vec::new() };
        let task = if job.model == TALKER && bytes.small() != 1 {
            Task::Generate(Generate {
                messages: vec![ChatMessage { role: Role::User, content: "count for me".into() }],
                max_tokens: u32::try_from(bytes.number()).unwrap_or(u32::MAX),
                sampling: Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 },
                prefix: vec![],
                stop: vec![],
            })
        } else {
            Task::Embed { inputs: vec![String::new(); usize::from(bytes.small())] }
        };
        let channel = ChannelTerms {
            network_id: bid.payee.network_id,
            salt: u64::from(bytes.small()),
            client_key: channel_key().verifying_key().to_bytes(),
            provider_key: bid.payee.key,
            client: Address::basechain([24; 32]),
            provider: bid.payee.address,
            challenge_s: bid.payee.challenge_s.saturating_add(u32::from(bytes.small())),
        };
        job.account = channel.id();
        let input = InputTokens { fresh: 12, cached: u32::from(bytes.small()) };
        let proof = KeyProof { binding: job.secure.binding(), account: job.account };
        let key_proof = match bytes.small() {
            1 => Signature([5; 64]),
            _ => proof.sign(&channel_key()),
        };
        let work = FromClient::Work(Work { task, input, channel, key_proof, extensions: Extensions::NONE });
        self.say(&codec::encode(&work), false)
    }

    fn ack(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        let Some(account) = self.job.as_ref().map(|job| job.account) else { return Vec::new() };
        let payment = match bytes.small() % 3 {
            0 => None,
            kind => {
                let voucher =
                    Voucher { account, epoch: bytes.number() % 4, cumulative: Nano(bytes.number()) };
                let mut signature = voucher.sign(&channel_key());
                if kind == 2 && bytes.small() == 1 {
                    signature = Signature([3; 64]);
                }
                Some(Payment { epoch: voucher.epoch, cumulative: voucher.cumulative, signature })
            }
        };
        let next = u32::try_from(bytes.number()).unwrap_or(u32::MAX);
        let countersignature = (bytes.small() == 1).then_some(Signature([4; 64]));
        self.say(
            &codec::encode(&FromClient::Ack(Ack {
                next,
                payment,
                countersignature,
                extensions: Extensions::NONE,
            })),
            false,
        )
    }

    fn engine(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        let Some(job) = self.running.last().copied() else { return Vec::new() };
        let report = match bytes.small() % 7 {
            0 => EngineReport::Counted {
                input_tokens: u32::try_from(bytes.number()).unwrap_or(u32::MAX),
                cached_tokens: u32::from(bytes.small()),
            },
            1 | 2 => {
                let ids = vec![1; usize::from(bytes.small() % 32)];
                EngineReport::Content(Content::Tokens { ids, text: "text".into() })
            }
            3 => EngineReport::Content(Content::Vectors {
                first: u32::from(bytes.small()),
                dims: u32::from(bytes.small()),
                bytes: bytes.slice().to_vec(),
            }),
            4 => EngineReport::Content(Content::End { finish: Finish::Stop }),
            5 => EngineReport::Failed(Refusal::OverContext(64)),
            _ => EngineReport::Read { tokens: u32::try_from(bytes.number()).unwrap_or(u32::MAX) },
        };
        self.report(job, report)
    }

    fn report(&mut self, job: JobId, report: EngineReport) -> Vec<Output> {
        self.bench.give(Input::Engine { job, report })
    }

    fn other(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        match bytes.small() % 5 {
            0 => self.bench.give(Input::Command(Command::Settle)),
            1 => self.bench.give(Input::Command(Command::Drain)),
            2 => self.say(&codec::encode(&FromClient::Cancel(Extensions::NONE)), true),
            3 => {
                let call = CallId([bytes.small(); 16]);
                self.receive(
                    bytes.small(),
                    Message::ToProvider(ToProvider::Release(Release::of(call, ReleaseReason::Outscored))),
                )
            }
            _ => self.bench.give(Input::Undelivered { to: self.client.id() }),
        }
    }
}

/// The key that the client of this scene signs vouchers with.
fn channel_key() -> SigningKey {
    SigningKey::from_bytes(&[25; 32])
}
