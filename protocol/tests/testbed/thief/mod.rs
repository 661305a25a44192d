//! Providers that speak the protocol and mean to be paid for nothing.

mod delays;

use std::collections::{BTreeMap, VecDeque};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId, Prefix};
use bombyx_protocol::io::{Input, Machine, Output};
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::bid::{Bid, Payee};
use bombyx_protocol::market::call::Call;
use bombyx_protocol::market::seek::Seek;
use bombyx_protocol::session::{Secure, StaticKey, prologue, respond, seal};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{
    Accept, Award, Chunk, Content, Decline, Finish, FromClient, FromProvider, Message, NeedPayment, Refusal,
    Refuse, SealedBid, SealedFrame, ToClient, ToProvider, VerifiedGossip,
};
use bombyx_protocol::work::answer_stream::AnswerStream;
use bombyx_protocol::work::order::{JobId, ModelId, Task, TaskKind, Tier};
use bombyx_protocol::work::price::{InputTokens, Price, Tariff, Weights};
use bombyx_protocol::work::receipt::{Receipt, Transcript};
use ed25519_dalek::SigningKey;

use super::Testbed;

pub use super::plan::{Others, Plan};

impl Testbed {
    /// A thief, perhaps at an address that it shares.
    pub fn thief(&mut self, thief: Thief, address: Option<Prefix>) -> NodeId {
        let id = thief.id();
        self.stranger(id, Box::new(thief), address);
        id
    }
}

/// So many thieves at addresses of their own.
pub fn thieves(testbed: &mut Testbed, count: u8, plan: Plan, price: Price) -> Vec<NodeId> {
    (1..=count).map(|number| testbed.thief(Thief::new(100 + number, plan, price), None)).collect()
}

/// How often it says that it is alive.
const WORD_EVERY: Span = Span::from_ms(400);

pub struct Thief {
    identity: Identity,
    session: StaticKey,
    entropy: Entropy,
    pub plan: Plan,
    pub price: Price,
    pub credit: Nano,
    pub challenge_s: u32,
    pub start_ms: u32,
    /// Jobs that it serves with eight tokens each, before it does what it means to.
    pub good_jobs: u32,
    /// Every other job is good.
    pub alternates: bool,
    flips: u32,
    /// The job that gets a token now and then.
    trickle: Option<(JobId, AnswerStream)>,
    /// Jobs that it will refuse as busy then.
    refused_at: BTreeMap<JobId, Time>,
    /// Bids that begin in weeks, and go out before the true one.
    pub late_first: u32,
    /// Whether it bids only where the crowd is called, and it is invited.
    pub is_of_crowd: bool,
    /// After so many jobs it asks this, and bids late before.
    pub raise: Option<(usize, Price)>,
    /// What it asks, if it answers seeks.
    pub ask: Option<Price>,
    told: u32,
    /// Whether it has called none unpaid.
    is_patient: bool,
    word_at: Time,
    jobs: BTreeMap<JobId, (NodeId, Award, Secure, bool)>,
    outbox: VecDeque<Output>,
}

impl Thief {
    pub fn new(number: u8, plan: Plan, price: Price) -> Self {
        Self {
            identity: Identity::from_seed(&[number; 32]),
            session: StaticKey::from_seed([number; 32]),
            entropy: Entropy::new([number; 32]),
            plan,
            price,
            credit: Nano::ZERO,
            challenge_s: 60,
            start_ms: 1,
            good_jobs: 0,
            alternates: false,
            flips: 0,
            trickle: None,
            refused_at: BTreeMap::new(),
            late_first: 0,
            is_of_crowd: false,
            raise: None,
            ask: None,
            told: 0,
            is_patient: true,
            word_at: Time::NEVER,
            jobs: BTreeMap::new(),
            outbox: VecDeque::new(),
        }
    }

    /// One of the many keys of an owner.
    pub fn of_many(key: u32, plan: Plan, price: Price) -> Self {
        let seed = *blake3::hash(&key.to_le_bytes()).as_bytes();
        let (identity, session) = (Identity::from_seed(&seed), StaticKey::from_seed(seed));
        Self { identity, session, is_of_crowd: true, ..Self::new(1, plan, price) }
    }

    pub fn id(&self) -> NodeId {
        self.identity.id()
    }

    fn send(&mut self, to: NodeId, message: ToClient) {
        self.outbox.push_back(Output::Send { to, message: Message::ToClient(message) });
    }

    fn sought(&mut self, seek: &Seek) {
        let Some(price) = self.ask else { return };
        let ask = Ask {
            provider: self.id(),
            model: ModelId([0xab; 32]),
            name: "counter".into(),
            kind: TaskKind::Generate,
            price,
            context_tokens: 4_096,
            output_max: 4_096,
            read_tps: 1_000,
            write_tps: 1_000,
            start_ms: 1,
            tier: Tier::Open,
            seek: seek.id,
            valid_ms: 60_000,
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        self.send(seek.client, ToClient::Ask(ask.sign(&self.identity)));
    }

    fn called(&mut self, call: &Call) {
        if let Plan::Declines(why) = self.plan
            && self.good_jobs == 0
        {
            let decline = Decline { call: call.id, why, extensions: Extensions::NONE };
            return self.send(call.client, ToClient::Decline(decline));
        }
        if self.plan == Plan::Silent || (self.is_of_crowd && !call.invites(&self.id())) {
            return;
        }
        let bid = Bid {
            call: call.id,
            provider: self.id(),
            model: call.model,
            session_key: self.session.public(),
            price: self.price,
            start_ms: self.start_ms,
            ahead_ms: 0,
            read_tps: u32::MAX,
            write_tps: 1_000,
            keep_s: 0,
            tier: Tier::Open,
            valid_ms: 30_000,
            payee: Payee {
                network_id: -3,
                key: SigningKey::from_bytes(&self.id().0).verifying_key().to_bytes(),
                address: Address::basechain(self.id().0),
                challenge_s: self.challenge_s,
            },
            credit: self.credit,
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        let raised = self.raise.is_none_or(|(jobs, _)| self.jobs.len() >= jobs);
        let price = self.raise.filter(|_| raised).map_or(bid.price, |(_, price)| price);
        let bid = Bid { price, ..bid };
        let late = Bid { start_ms: u32::MAX, ..bid.clone() };
        let late_first = if raised { self.late_first as usize } else { 0 };
        for bid in std::iter::repeat_n(late, late_first).chain([bid]) {
            let plain = codec::encode(&bid.sign(&self.identity));
            let sealed = seal(&call.seal_key, &call.id.0, &plain, &mut self.entropy).unwrap();
            self.send(call.client, ToClient::Bid(SealedBid { call: call.id, sealed }));
        }
    }

    fn awarded(&mut self, from: NodeId, award: Award) {
        if self.plan == Plan::Deaf {
            return;
        }
        if self.plan == Plan::Busy {
            return self.send(from, ToClient::Refuse(Refuse::of(award.job, Refusal::Busy)));
        }
        let prologue = prologue(&from, &self.id(), &award.job.0);
        let (secure, handshake) =
            respond(&self.session, &prologue, &award.handshake, &mut self.entropy).unwrap();
        let job = award.job;
        self.jobs.insert(job, (from, award, secure, false));
        self.send(from, ToClient::Accept(Accept::of(job, handshake)));
    }

    fn worked(&mut self, now: Time, job: JobId, task: &Task, input: InputTokens) {
        let (_, award, _, begun) = self.jobs.get_mut(&job).unwrap();
        let repeats = matches!(self.plan, Plan::Empty | Plan::Counts(_));
        if std::mem::replace(begun, true) && !repeats {
            return;
        }
        let tariff = Tariff { price: award.price, weights: Weights::DEFAULT };
        let mut stream = AnswerStream::new(now, job, ModelId([0xab; 32]), tariff, input, task);
        let tokens = |count: u32| Content::Tokens { ids: (0..count).collect(), text: "x".into() };
        if self.alternates {
            self.flips += 1;
            self.good_jobs = self.flips % 2;
        }
        let plan = if self.good_jobs > 0 { Plan::Short(8) } else { self.plan };
        self.good_jobs = self.good_jobs.saturating_sub(1);
        let contents = match plan {
            Plan::Deaf | Plan::Mute | Plan::Busy | Plan::Silent | Plan::Declines(_) => return,
            Plan::Waits | Plan::Reads => return self.word(now),
            Plan::Trickles(others) if self.trickle.is_some() => {
                let refused_at = match others {
                    Others::Wait | Others::Silence => return,
                    Others::Busy => now,
                    Others::BusyLater => now + Span::from_s(15),
                };
                self.refused_at.insert(job, refused_at);
                return self.refuse_due(now);
            }
            Plan::Trickles(_) => {
                (self.trickle, self.word_at) = (Some((job, stream)), now + WORD_EVERY);
                return self.trickle(now);
            }
            Plan::Refuses(why) => {
                let (to, ..) = self.jobs[&job];
                return self.send(to, ToClient::Refuse(Refuse::of(job, why)));
            }
            Plan::BillsRefused(count) => {
                let (to, ..) = self.jobs[&job];
                self.send(to, ToClient::Refuse(Refuse::of(job, Refusal::Busy)));
                vec![tokens(count)]
            }
            Plan::Counts(more) => {
                let why = Refusal::Counts(input.count() + u64::from(more));
                let (to, ..) = self.jobs[&job];
                return self.send(to, ToClient::Refuse(Refuse::of(job, why)));
            }
            Plan::MoneyFirst | Plan::NoMoney => return self.wants_money(job),
            Plan::Demands(times) => return (0..times).for_each(|_| self.wants_money(job)),
            Plan::Unpaid(count) => {
                let begun: Vec<JobId> =
                    self.jobs.iter().filter(|(_, (.., begun))| *begun).map(|(job, _)| *job).collect();
                return begun
                    .first()
                    .filter(|_| begun.len() == count)
                    .into_iter()
                    .for_each(|job| self.wants_money(*job));
            }
            Plan::BillsNothing => {
                let content = codec::encode(&Content::Tokens { ids: vec![], text: String::new() });
                let model = ModelId([0xab; 32]);
                let receipt = Receipt {
                    job,
                    model,
                    chunks: 1,
                    transcript: Transcript::begin(job, model, &codec::encode(task)).then(0, &content),
                    input_tokens: input.count(),
                    cached_tokens: 0,
                    output_tokens: 0,
                    cost: tariff.cost(input, 0).unwrap(),
                    extensions: Extensions::NONE,
                };
                let chunk = Chunk { index: 0, content, receipt: Some(receipt.sign(&self.identity)) };
                return self.say(job, &FromProvider::Chunk(chunk), false);
            }
            Plan::Empty | Plan::EmptyBusy => vec![],
            Plan::Copies(times) => {
                for chunk in stream.content(now, &self.identity, tokens(8)) {
                    (0..times).for_each(|_| self.say(job, &FromProvider::Chunk(chunk.clone()), false));
                }
                return;
            }
            Plan::Tokens(count) | Plan::CountsLate(count) => vec![tokens(count)],
            Plan::Chatters(times) => return self.chatters(now, job, &mut stream, times),
            Plan::Short(0) => vec![Content::End { finish: Finish::Stop }],
            Plan::Short(count) => vec![tokens(count), Content::End { finish: Finish::Stop }],
        };
        for content in contents {
            let ends = matches!(content, Content::End { .. });
            for chunk in stream.content(now, &self.identity, content) {
                self.say(job, &FromProvider::Chunk(chunk), ends);
            }
        }
        if matches!(self.plan, Plan::Empty | Plan::EmptyBusy) {
            let content = Content::Tokens { ids: vec![], text: " ".into() };
            for chunk in stream.content(now, &self.identity, content) {
                self.say(job, &FromProvider::Chunk(chunk), false);
            }
        }
        if self.plan == Plan::EmptyBusy {
            let (to, ..) = self.jobs[&job];
            self.send(to, ToClient::Refuse(Refuse::of(job, Refusal::Busy)));
        }
    }

    fn wants_money(&mut self, job: JobId) {
        let need = NeedPayment { cumulative: Nano::ZERO, newest: None, extensions: Extensions::NONE };
        self.say(job, &FromProvider::NeedPayment(need), false);
    }

    fn acked(&mut self, job: JobId) {
        let why = match self.plan {
            Plan::NoMoney => Refusal::Unfunded,
            // More than any client states for a short prompt, and no more than there may be.
            Plan::CountsLate(_) => Refusal::Counts(40),
            Plan::Unpaid(_) if std::mem::take(&mut self.is_patient) => {
                let others: Vec<JobId> = self.jobs.keys().copied().filter(|other| *other != job).collect();
                let (to, ..) = self.jobs[&job];
                self.send(to, ToClient::Refuse(Refuse::of(job, Refusal::Unpaid)));
                return others.into_iter().for_each(|other| self.wants_money(other));
            }
            _ => return,
        };
        let (to, ..) = self.jobs[&job];
        self.send(to, ToClient::Refuse(Refuse::of(job, why)));
    }

    fn chatters(&mut self, now: Time, job: JobId, stream: &mut AnswerStream, times: u32) {
        let tokens = Content::Tokens { ids: (0..8).collect(), text: "x".into() };
        let mut chunks = stream.content(now, &self.identity, tokens);
        chunks.extend(stream.content(now, &self.identity, Content::End { finish: Finish::Stop }));
        let last = FromProvider::Chunk(chunks.pop().unwrap());
        chunks.into_iter().for_each(|chunk| self.say(job, &FromProvider::Chunk(chunk), false));
        for _ in 0..times {
            self.say(job, &last, true);
            self.seals(job, &[0xff; 3], false);
        }
    }

    fn say(&mut self, job: JobId, said: &FromProvider, last: bool) {
        self.seals(job, &codec::encode(said), last);
    }

    fn seals(&mut self, job: JobId, body: &[u8], last: bool) {
        let (to, _, secure, _) = self.jobs.get_mut(&job).unwrap();
        let to = *to;
        let frame = secure.seal(body, last).unwrap();
        let sealed = SealedFrame { job, nonce: frame.nonce, bytes: frame.bytes };
        self.send(to, ToClient::Sealed(sealed));
    }
}

impl Machine for Thief {
    fn handle(&mut self, now: Time, input: Input) {
        if now >= self.word_at {
            self.word(now);
        }
        match input {
            Input::Gossip { gossip: VerifiedGossip::Call(call), .. } => self.called(&call),
            Input::Received { message: Message::ToProvider(ToProvider::Call(call)), .. }
                if !self.is_of_crowd =>
            {
                self.called(&call)
            }
            Input::Gossip { gossip: VerifiedGossip::Seek(seek), .. } => self.sought(&seek),
            Input::Received { from, message: Message::ToProvider(message), .. } => match message {
                ToProvider::Award(award) if !self.jobs.contains_key(&award.job) => self.awarded(from, award),
                ToProvider::KeptAward(award) => {
                    self.send(from, ToClient::Refuse(Refuse::of(award.job, Refusal::NoSession)));
                }
                ToProvider::Sealed(frame) => {
                    let Some((_, _, secure, _)) = self.jobs.get_mut(&frame.job) else { return };
                    let Ok(opened) = secure.open(frame.nonce, &frame.bytes) else { return };
                    match codec::decode_sealed(&opened.body) {
                        Ok(FromClient::Work(work)) => self.worked(now, frame.job, &work.task, work.input),
                        Ok(FromClient::Ack(_)) => self.acked(frame.job),
                        Ok(FromClient::Cancel(_)) => {
                            self.trickle.take_if(|(job, _)| *job == frame.job);
                        }
                        _ => {}
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn poll(&mut self) -> Output {
        self.outbox.pop_front().unwrap_or(Output::Wake(self.word_at))
    }
}
