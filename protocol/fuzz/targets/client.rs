//! Any bytes into a running client: two providers that bid, answer and bill honestly or not, as the bytes say.

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId, Prefix, Signature};
use bombyx_protocol::io::{Command, Input, Output};
use bombyx_protocol::market::bid::{Bid, Payee};
use bombyx_protocol::market::call::Call;
use bombyx_protocol::session::{Secure, StaticKey, prologue, respond, seal};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{
    Accept, Award, Chunk, Content, Finish, FromClient, FromProvider, Gossip, Message, NeedPayment, Payment,
    Refusal, Refuse, SealedBid, SealedFrame, ToClient, ToProvider,
};
use bombyx_protocol::work::answer_stream::AnswerStream;
use bombyx_protocol::work::order::{
    ChatMessage, Generate, InputCount, ModelId, Order, OrderId, Role, Sampling, Task, Tier,
};
use bombyx_protocol::work::price::{Price, Tariff, Weights};
use ed25519_dalek::SigningKey;

use super::bench::{Bench, Bytes, STEPS_MAX};

const DEADLINE: Span = Span::from_s(60);
/// Calls after which everybody was invited, from a sixteenth on.
const CALLS_MAX: usize = 4;
/// Where everybody connects from.
const PREFIX: Prefix = Prefix::of_ipv4([192, 0, 2, 1]);

/// Any bytes into a running client. Every order ends by its deadline, and no voucher leaves before it is written.
pub fn client_input(data: &[u8]) {
    client_pays(data);
}

/// As [`client_input`]; returns the highest voucher that the providers got.
pub fn client_pays(data: &[u8]) -> Nano {
    let mut scene = Scene::new();
    let mut bytes = Bytes::new(data);
    scene.order(0);
    for _ in 0..STEPS_MAX {
        let Some(step) = bytes.byte() else { break };
        let outputs = scene.step(step, &mut bytes);
        scene.hear(outputs);
    }
    scene.bench.run_out(|bench| bench.machine.orders_in_flight() == 0);
    scene.paid
}

/// A provider's end of a job.
struct Job {
    award: Award,
    provider: usize,
    secure: Secure,
    serving: Option<AnswerStream>,
    account: ChannelId,
}

struct Scene {
    bench: Bench<Client>,
    providers: [Identity; 2],
    session: StaticKey,
    entropy: Entropy,
    call: Option<Call>,
    awards: Vec<(NodeId, Award)>,
    job: Option<Job>,
    paid: Nano,
}

impl Scene {
    fn new() -> Self {
        Self {
            bench: Bench::new(Client::new(ClientConfig::for_tests(1), Vec::new())),
            providers: [Identity::from_seed(&[11; 32]), Identity::from_seed(&[12; 32])],
            session: StaticKey::from_seed([13; 32]),
            entropy: Entropy::new([14; 32]),
            call: None,
            awards: Vec::new(),
            job: None,
            paid: Nano::ZERO,
        }
    }

    fn order(&mut self, number: u8) {
        let task = if number.is_multiple_of(2) {
            Task::Generate(Generate {
                messages: vec![ChatMessage { role: Role::User, content: "count for me".into() }],
                max_tokens: 40,
                sampling: Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 },
                prefix: vec![],
                stop: vec![],
            })
        } else {
            Task::Embed { inputs: vec!["one".into(), "two".into(), "three".into()] }
        };
        let order = Order {
            model: ModelId([0xab; 32]),
            task,
            max_cost: Nano(1_000_000_000),
            deadline: DEADLINE,
            tier: Tier::Open,
            nano_per_ms: Some(u64::from(number)),
            price_max: None,
            dims: None,
            weights: Weights::DEFAULT,
            input: InputCount::Estimated,
            preferences: bombyx_protocol::Preferences::default(),
        };
        let command = Command::Order { id: OrderId(u64::from(number)), order: Box::new(order) };
        let outputs = self.bench.give(Input::Command(command));
        self.hear(outputs);
    }

    /// Looks at what the client says, as its peers would.
    fn hear(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Broadcast { gossip: Gossip::Call(signed), .. } => {
                    self.call = signed.open::<Call>().ok().map(|call| call.into_inner())
                }
                Output::Send { to, message: Message::ToProvider(ToProvider::Award(award)) } => {
                    self.awards.push((to, award));
                }
                Output::Send { message: Message::ToProvider(ToProvider::Sealed(frame)), .. } => {
                    self.listen(&frame)
                }
                _ => {}
            }
        }
    }

    fn listen(&mut self, frame: &SealedFrame) {
        let Some(job) = self.job.as_mut().filter(|job| job.award.job == frame.job) else { return };
        let opened = job.secure.open(frame.nonce, &frame.bytes).expect("a client's own frames open");
        match codec::decode_sealed(&opened.body).expect("a client's own words can be read") {
            FromClient::Work(work) => {
                let (id, model) = (job.award.job, ModelId([0xab; 32]));
                let tariff = Tariff { price: job.award.price, weights: Weights::DEFAULT };
                let new = || AnswerStream::new(self.bench.now, id, model, tariff, work.input, &work.task);
                job.serving.get_or_insert_with(new);
                job.account = work.channel.id();
            }
            FromClient::Ack(ack) => {
                if let Some(payment) = ack.payment {
                    let voucher = Voucher {
                        account: job.account,
                        epoch: payment.epoch,
                        cumulative: payment.cumulative,
                    };
                    assert!(
                        voucher.verify(&channel_key().verifying_key().to_bytes(), &payment.signature).is_ok()
                    );
                    assert!(
                        self.bench.is_written(&job.account, payment.cumulative),
                        "a voucher of {} left before it was written",
                        payment.cumulative
                    );
                    self.paid = self.paid.max(payment.cumulative);
                }
            }
            FromClient::Cancel(_) => assert!(opened.last, "a cancellation is the session's last frame"),
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
            4 => self.bid(bytes),
            5 => self.accept(bytes),
            6 => {
                let last = bytes.small().is_multiple_of(2);
                let body = bytes.slice().to_vec();
                self.say(&body, last)
            }
            7 => self.answer(bytes),
            8 => self.ask_for_payment(bytes),
            9 | 10 => self.bench.persisted(),
            11 => self.bench.ledger(bytes),
            12 => self.refuse(bytes),
            13 => self.bench.give(Input::Undelivered { to: self.provider(bytes.small()) }),
            14 => match bytes.small() {
                0 => self.bench.give(Input::Command(Command::Settle)),
                1 => self.bench.give(Input::Command(Command::Cancel(OrderId(0)))),
                number => {
                    self.order(number);
                    Vec::new()
                }
            },
            _ => self.bid_and_accept(bytes),
        }
    }

    fn provider(&self, which: u8) -> NodeId {
        match which % 3 {
            0 => self.providers[0].id(),
            1 => self.providers[1].id(),
            _ => NodeId([9; 32]),
        }
    }

    fn receive(&mut self, from: u8, message: Message) -> Vec<Output> {
        let from = self.provider(from);
        self.bench.give(Input::Received { from, prefix: PREFIX, message })
    }

    /// The bid that the bytes make for the newest call, and which provider makes it.
    fn bid_of(&self, bytes: &mut Bytes<'_>) -> Option<(u8, Bid)> {
        let call = self.call.as_ref()?;
        let who = bytes.small() % 2;
        let bid = Bid {
            call: call.id,
            provider: self.provider(who),
            model: call.model,
            session_key: self.session.public(),
            price: Price(bytes.number()),
            start_ms: u32::try_from(bytes.number()).unwrap_or(u32::MAX),
            ahead_ms: 0,
            read_tps: u32::from(bytes.small()),
            write_tps: u32::from(bytes.small()),
            keep_s: 0,
            tier: if bytes.small() % 8 == 1 { Tier::Confidential } else { Tier::Open },
            valid_ms: 30_000,
            payee: Payee {
                network_id: -3,
                key: SigningKey::from_bytes(&[15; 32]).verifying_key().to_bytes(),
                address: Address { workchain: if bytes.small() == 9 { -1 } else { 0 }, hash: [16; 32] },
                challenge_s: u32::from(bytes.small()),
            },
            credit: Nano::ZERO,
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        Some((who, bid))
    }

    /// Makes a bid for the newest call.
    fn give_bid(&mut self, who: u8, bid: &Bid) -> Vec<Output> {
        let Some(call) = self.call.clone() else { return Vec::new() };
        let bid = Bid { call: call.id, ..bid.clone() };
        let signed = bid.sign(&self.providers[usize::from(who)]);
        let sealed = seal(&call.seal_key, &call.id.0, &codec::encode(&signed), &mut self.entropy)
            .expect("a client's own key is usable");
        self.receive(who, Message::ToClient(ToClient::Bid(SealedBid { call: call.id, sealed })))
    }

    fn bid(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        self.bid_of(bytes).map_or_else(Vec::new, |(who, bid)| self.give_bid(who, &bid))
    }

    fn accept(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        let Some((to, award)) = self.awards.last().cloned() else { return Vec::new() };
        if self.job.as_ref().is_some_and(|job| job.award.job == award.job) {
            return Vec::new();
        }
        let provider = usize::from(self.providers[1].id() == to);
        let prologue = prologue(&self.bench.machine.node_id(), &to, &award.job.0);
        let Ok((secure, mut handshake)) =
            respond(&self.session, &prologue, &award.handshake, &mut self.entropy)
        else {
            panic!("a client's own handshake opens");
        };
        if bytes.small() == 1 {
            handshake.reverse();
        }
        let accept = Accept::of(award.job, handshake);
        self.job = Some(Job { award, provider, secure, serving: None, account: ChannelId([0; 32]) });
        self.receive(provider as u8, Message::ToClient(ToClient::Accept(accept)))
    }

    /// The short way to a job in progress.
    fn bid_and_accept(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        let Some((who, bid)) = self.bid_of(bytes) else { return Vec::new() };
        let awards = self.awards.len();
        // A call that invited a part of the crowd is followed by wider ones, and each wants the bid anew.
        for _ in 0..CALLS_MAX {
            let outputs = self.give_bid(who, &bid);
            self.hear(outputs);
            let outputs = self.bench.sleep();
            self.hear(outputs);
            if self.awards.len() > awards {
                break;
            }
        }
        self.accept(bytes)
    }

    fn say(&mut self, body: &[u8], last: bool) -> Vec<Output> {
        let Some(job) = self.job.as_mut() else { return Vec::new() };
        let Ok(frame) = job.secure.seal(body, last) else { return Vec::new() };
        let frame = SealedFrame { job: job.award.job, nonce: frame.nonce, bytes: frame.bytes };
        let provider = job.provider as u8;
        self.receive(provider, Message::ToClient(ToClient::Sealed(frame)))
    }

    /// Chunks as an honest provider makes them; the content is the bytes' choice.
    fn answer(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        let now = self.bench.now;
        let Some(job) = self.job.as_mut() else { return Vec::new() };
        let provider = &self.providers[job.provider];
        let Some(serving) = job.serving.as_mut() else { return Vec::new() };
        let content = match bytes.small() % 4 {
            0 => Content::Tokens { ids: vec![1; usize::from(bytes.small() % 32)], text: "text".into() },
            1 => Content::Vectors {
                first: u32::from(bytes.small()),
                dims: u32::from(bytes.small() % 4),
                bytes: bytes.slice().to_vec(),
            },
            2 => Content::End { finish: Finish::Length },
            _ => {
                let refuse = Refuse::of(job.award.job, Refusal::Counts(u64::from(bytes.small())));
                let from = job.provider as u8;
                job.serving = None;
                return self.receive(from, Message::ToClient(ToClient::Refuse(refuse)));
            }
        };
        let ends = matches!(content, Content::End { .. });
        let chunks: Vec<Chunk> = serving.content(now, provider, content);
        let mut outputs = Vec::new();
        let count = chunks.len();
        for (place, chunk) in chunks.into_iter().enumerate() {
            let last = ends && place + 1 == count;
            outputs.extend(self.say(&codec::encode(&FromProvider::Chunk(chunk)), last));
        }
        outputs
    }

    fn ask_for_payment(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        let Some(account) = self.job.as_ref().map(|job| job.account) else { return Vec::new() };
        let newest = match bytes.small() % 3 {
            0 => None,
            1 => Some(Payment { epoch: 1, cumulative: Nano(bytes.number()), signature: Signature([1; 64]) }),
            _ => {
                // A voucher that the client has lost: whatever it says, the client once signed it.
                let voucher =
                    Voucher { account, epoch: bytes.number() % 4, cumulative: Nano(bytes.number()) };
                let signature = voucher.sign(&channel_key());
                Some(Payment { epoch: voucher.epoch, cumulative: voucher.cumulative, signature })
            }
        };
        let need = NeedPayment { cumulative: Nano(bytes.number()), newest, extensions: Extensions::NONE };
        self.say(&codec::encode(&FromProvider::NeedPayment(need)), false)
    }

    fn refuse(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        let Some((_, award)) = self.awards.last() else { return Vec::new() };
        let why = match bytes.small() % 4 {
            0 => Refusal::Busy,
            1 => Refusal::Unpaid,
            2 => Refusal::BadVoucher,
            _ => Refusal::Leaving,
        };
        let refuse = Refuse::of(award.job, why);
        self.receive(bytes.small(), Message::ToClient(ToClient::Refuse(refuse)))
    }
}

/// The key that the client under test signs vouchers with.
fn channel_key() -> SigningKey {
    SigningKey::from_bytes(&ClientConfig::for_tests(1).channel_seed)
}
