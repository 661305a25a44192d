//! The role machine that sells: owns its desk, jobs and channels, and routes inputs to them.

mod billing;
mod earnings;
mod job;

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Nano;
use crate::channel::record::Record;
use crate::channel::terms::Address;
use crate::entropy::Entropy;
use crate::ident::{Domain, Identity, NodeId};
use crate::io::{Command, Input, Machine, Output, PeerFault};
use crate::limits;
use crate::market::ask::Ask;
use crate::market::bid::{Bid, BidHash, Payee};
use crate::market::call::Call;
use crate::market::desk::{self, Desk};
use crate::market::seek::Seek;
use crate::outbox::Outbox;
use crate::session::{StaticKey, prologue, respond, seal};
use crate::table::Table;
use crate::time::Time;
use crate::wire::codec;
use crate::wire::message::{
    Accept, Award, Gossip, Message, Refusal, Refuse, SealedBid, ToClient, ToProvider,
};
use crate::wire::signed::Signed;
use crate::work::order::{JobId, ModelId, Tier};

use earnings::{Close, CloseKey, Earnings};
use job::{Job, Phase};

/// What a provider is made of.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Seed of the node's identity.
    pub identity_seed: [u8; 32],
    /// Seed of the key that sessions are opened to.
    pub session_seed: [u8; 32],
    /// Seed of the key that signs close orders.
    pub close_seed: [u8; 32],
    /// Seed of everything random.
    pub entropy_seed: [u8; 32],
    /// Which ledger.
    pub network_id: i32,
    /// The account that earnings go to.
    pub payout: Address,
    /// The least challenge time that it accepts.
    pub challenge_s: u32,
    /// What it serves on a channel that the ledger has not shown; zero serves nothing unseen.
    pub credit: Nano,
    /// Settles a channel when this much is covered by vouchers and not paid out.
    pub settle_at: Nano,
}

impl ProviderConfig {
    /// A configuration for tests and simulations, different for every `number`.
    #[must_use]
    pub fn for_tests(number: u64) -> Self {
        let seed = |purpose: &str| {
            *blake3::keyed_hash(blake3::hash(purpose.as_bytes()).as_bytes(), &number.to_le_bytes()).as_bytes()
        };
        Self {
            identity_seed: seed("provider identity"),
            session_seed: seed("provider session"),
            close_seed: seed("provider close"),
            entropy_seed: seed("provider entropy"),
            network_id: -3,
            payout: Address::basechain(seed("provider wallet")),
            challenge_s: 60,
            credit: Nano(5_000_000),
            settle_at: Nano(1_000_000_000),
        }
    }
}

/// The seller in a node.
#[derive(Debug)]
pub struct Provider {
    /// How it wants to be paid.
    payee: Payee,
    credit: Nano,
    settle_at: Nano,
    identity: Identity,
    session_key: StaticKey,
    entropy: Entropy,
    desk: Desk,
    jobs: Table<JobId, Box<Job>>,
    earnings: Earnings,
    /// Channels to close as soon as nothing is served on them.
    settling: BTreeMap<[u8; 32], Close>,
    /// Channels on which a job has just ended: others may go on.
    freed: BTreeSet<[u8; 32]>,
    draining: bool,
    outbox: Outbox,
}

impl Provider {
    /// A provider with what its shell read back from disk.
    #[must_use]
    pub fn new(config: ProviderConfig, records: Vec<Record>) -> Self {
        let mut outbox = Outbox::default();
        let close_key = CloseKey::new(config.close_seed);
        let payee = Payee {
            network_id: config.network_id,
            key: close_key.public(),
            address: config.payout,
            challenge_s: config.challenge_s,
        };
        let earnings = Earnings::restored(close_key, &payee, records, &mut outbox);
        Self {
            payee,
            credit: config.credit,
            settle_at: config.settle_at,
            identity: Identity::from_seed(&config.identity_seed),
            session_key: StaticKey::from_seed(config.session_seed),
            entropy: Entropy::new(config.entropy_seed),
            desk: Desk::default(),
            jobs: Table::default(),
            earnings,
            settling: BTreeMap::new(),
            freed: BTreeSet::new(),
            draining: false,
            outbox,
        }
    }

    /// This node's id.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.identity.id()
    }

    /// Jobs that hold a slot.
    #[must_use]
    pub fn jobs_in_flight(&self) -> usize {
        self.jobs.values().filter(|job| job.holds_slot()).count()
    }

    /// Every channel that this node earns on.
    pub fn channels(&self) -> impl Iterator<Item = &crate::channel::earn::Earner> {
        self.earnings.channels()
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Offer(offer) => self.desk.offer(offer),
            Command::Drain => self.draining = true,
            Command::Pace(pace) => self.earnings.set_pace(pace, self.settle_at, &mut self.outbox),
            Command::Settle => {
                for account in self.earnings.open_accounts() {
                    self.settling.entry(account).or_insert(Close::UnlessDust);
                }
            }
            Command::Close { account } => {
                if self.earnings.open_accounts().contains(&account) {
                    self.settling.insert(account, Close::Anyway);
                }
            }
            Command::Order { .. }
            | Command::Cancel(_)
            | Command::Seek(_)
            | Command::Open { .. }
            | Command::TopUp { .. }
            | Command::Guard(_) => {}
        }
    }

    fn busy(&self, model: &ModelId) -> u16 {
        let busy = self.jobs.values().filter(|job| job.model == *model && job.holds_slot()).count();
        u16::try_from(busy).unwrap_or(u16::MAX)
    }

    /// Answers a call with a sealed bid, if there is something to offer. (`MK-5`)
    fn called(&mut self, now: Time, signed: &Signed) {
        // Cheap checks first: most calls are for others' models, and a signature costs a hundred times more.
        let Ok(call) = codec::decode_gossip::<Call>(&signed.body) else { return };
        let node = self.node_id();
        let offered = self.desk.find(&call.model).is_some();
        if self.draining || !offered || call.client == node || !call.invites(&node) {
            return;
        }
        let Some(terms) = self.desk.price(&call, self.busy(&call.model)) else { return };
        let Some(asked) = self.desk.unseen(&call.client, &call.id.0) else { return };
        if !signed.is_by(call.client, Domain::Call) {
            return;
        }
        self.desk.note(now, asked);
        let bid = Bid {
            call: call.id,
            provider: node,
            model: call.model,
            session_key: self.session_key.public(),
            price: terms.price,
            first_token_ms: terms.first_token_ms,
            tokens_per_s: terms.tokens_per_s,
            tier: Tier::Open,
            valid_ms: u32::try_from(limits::BID_VALID.as_ms()).unwrap_or(u32::MAX),
            payee: self.payee(),
            credit: self.credit,
        };
        let signed = bid.sign(&self.identity);
        let hash = BidHash::of(&signed);
        let plain = codec::encode(&signed);
        // A key that nothing can be sealed to is the caller's own loss.
        let Ok(sealed) = seal(&call.seal_key, &call.id.0, &plain, &mut self.entropy) else { return };
        self.desk.promise(now, call.client, &bid, hash);
        self.send(call.client, ToClient::Bid(SealedBid { call: call.id, sealed }));
    }

    /// How it wants to be paid, as its bids say.
    ///
    /// The challenge time is the least that it accepts, or more: a channel of less would leave too few looks at the ledger
    /// for those to come. (`CH-35`)
    #[must_use]
    pub fn payee(&self) -> Payee {
        Payee { challenge_s: self.earnings.least_challenge_s(self.payee.challenge_s), ..self.payee }
    }

    fn received(&mut self, now: Time, from: NodeId, message: ToProvider) {
        match message {
            ToProvider::Award(award) => self.awarded(now, from, &award),
            ToProvider::Sealed(frame) => self.sealed(now, from, &frame),
            ToProvider::Release(call) => self.desk.release(from, call),
        }
    }

    /// Takes an award; the same award again gets the same answer. (`MK-10`)
    fn awarded(&mut self, now: Time, from: NodeId, award: &Award) {
        if let Some(job) = self.jobs.get(&award.job) {
            if job.client == from && job.award == *award {
                let accept = Accept { job: award.job, handshake: job.reply.clone() };
                self.send(from, ToClient::Accept(accept));
            }
            return;
        }
        match self.open_job(now, from, award) {
            Ok(job) => {
                let accept = Accept { job: award.job, handshake: job.reply.clone() };
                self.jobs.insert(award.job, Box::new(job));
                self.send(from, ToClient::Accept(accept));
            }
            Err(why) => self.send(from, ToClient::Refuse(Refuse { job: award.job, why })),
        }
    }

    fn open_job(&mut self, now: Time, from: NodeId, award: &Award) -> Result<Job, Refusal> {
        if self.draining {
            return Err(Refusal::Leaving);
        }
        let model = self.desk.award(now, from, award.call, award.bid, &award.price)?;
        let slots = self.desk.find(&model).map_or(0, |offer| offer.slots);
        if self.busy(&model) >= slots || self.jobs.len() >= limits::JOBS_MAX {
            return Err(Refusal::Busy);
        }
        let prologue = prologue(&from, &self.identity.id(), &award.job.0);
        let (secure, reply) = respond(&self.session_key, &prologue, &award.handshake, &mut self.entropy)
            .map_err(|_| Refusal::Malformed)?;
        Ok(Job::new(now, from, model, award.clone(), secure, reply))
    }

    /// Answers a seek with what is offered of the model. (`MK-12`, `MK-19`)
    fn sought(&mut self, now: Time, signed: &Signed) {
        let Ok(seek) = codec::decode_gossip::<Seek>(&signed.body) else { return };
        let provider = self.node_id();
        if self.draining || seek.client == provider || !seek.invited.invites(&seek.id.0, &provider) {
            return;
        }
        let busy = self.busy(&seek.model);
        let Some(offer) = self.desk.find(&seek.model) else { return };
        let terms = desk::terms(offer, busy);
        let ask = Ask {
            provider,
            model: offer.model,
            name: short(&offer.name),
            kind: offer.kind,
            price: terms.price,
            free_slots: offer.slots.saturating_sub(busy),
            tokens_per_s: terms.tokens_per_s,
            tier: Tier::Open,
            seek: seek.id,
            valid_ms: u32::try_from(limits::ASK_VALID.as_ms()).unwrap_or(u32::MAX),
        };
        let Some(asked) = self.desk.unseen(&seek.client, &seek.id.0) else { return };
        if !signed.is_by(seek.client, Domain::Seek) {
            return;
        }
        self.desk.note(now, asked);
        let ask = ask.sign(&self.identity);
        self.send(seek.client, ToClient::Ask(ask));
    }

    /// Closes what is to be closed and is at rest: a close before the last voucher would not pay for it.
    fn settle(&mut self) {
        for account in self.earnings.take_unwatchable() {
            self.settling.entry(account).or_insert(Close::Anyway);
        }
        let ready: Vec<[u8; 32]> =
            self.settling.keys().filter(|account| !self.is_owed_on(account)).copied().collect();
        for account in ready {
            if let Some(close) = self.settling.remove(&account) {
                self.earnings.close(&account, close, &mut self.outbox);
            }
        }
    }

    fn is_owed_on(&self, account: &[u8; 32]) -> bool {
        let owing = self.earnings.is_owing(account);
        self.jobs.values().any(|job| match &job.phase {
            Phase::Promised { .. } | Phase::Over { bill: None, .. } => false,
            Phase::Serving(serve) => serve.is_on(account),
            Phase::Over { bill: Some((on, _)), .. } => on == account && owing,
        })
    }

    fn fault(&mut self, peer: NodeId, fault: PeerFault) {
        self.outbox.push(Output::Fault { peer, fault });
    }

    fn send(&mut self, to: NodeId, message: ToClient) {
        self.outbox.push(Output::Send { to, message: Message::ToClient(message) });
    }
}

/// A name cut to the bytes that an ask may hold, at a character.
fn short(name: &str) -> String {
    let mut end = name.len().min(limits::ASK_NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    name.get(..end).unwrap_or_default().to_owned()
}

impl Machine for Provider {
    fn handle(&mut self, now: Time, input: Input) {
        self.desk.expire(now);
        match input {
            Input::Command(command) => self.command(command),
            Input::Gossip { gossip: Gossip::Call(signed), .. } => self.called(now, &signed),
            Input::Gossip { gossip: Gossip::Seek(signed), .. } => self.sought(now, &signed),
            Input::Received { from, message: Message::ToProvider(message), .. } => {
                self.received(now, from, message)
            }
            Input::Received { message: Message::ToClient(_), .. }
            | Input::Undelivered { .. }
            | Input::Tick => {}
            Input::Persisted(id) => self.outbox.persisted(id),
            Input::Engine { job, report } => self.engine(now, job, report),
            Input::Ledger(event) => self.ledger(now, &event),
        }
        self.timers(now);
        self.go_on_freed(now);
        self.settle();
    }

    fn poll(&mut self) -> Output {
        let due = self.jobs.values().map(|job| match &job.phase {
            Phase::Promised { until } | Phase::Over { until, .. } => *until,
            Phase::Serving(serve) => serve.wake_at(),
        });
        self.outbox.poll(|| due.min().unwrap_or(Time(u64::MAX)))
    }
}
