//! The role machine that sells: owns its bidder, jobs and channels, and routes inputs to them.

mod answer;
mod award;
mod bidder;
mod billing;
mod credit;
mod earnings;
mod job;
mod pace;
mod room;
mod standing;

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Nano;
use crate::channel::record::Record;
use crate::channel::terms::Address;
use crate::entropy::Entropy;
use crate::ident::{Identity, NodeId, Origin};
use crate::io::{Budget, Command, Input, Machine, Output, PeerFault};
use crate::limits;
use crate::market::bid::Payee;

use crate::outbox::Outbox;
use crate::session::StaticKey;
use crate::table::Table;
use crate::time::Time;
use crate::wire::message::{Message, ToClient, ToProvider, VerifiedGossip};
use crate::work::order::{JobId, ModelId};

use bidder::Bidder;
use credit::Credit;
use earnings::{Close, CloseKey, Earnings};
use job::{Job, Phase};
use pace::Pace;
use standing::Standing;

pub use credit::CreditLimits;

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
    /// What it serves to clients whose channel the ledger has not shown; zero serves nothing unseen.
    pub credit: CreditLimits,
    /// Settles a channel when this much is covered by vouchers and not paid out.
    pub settle_at: Nano,
}

#[cfg(any(test, feature = "test-util"))]
impl ProviderConfig {
    /// Returns a configuration for tests, different for every `number`.
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
            credit: CreditLimits { per_client: Nano(5_000_000), per_hour: Nano(40_000_000) },
            settle_at: Nano(1_000_000_000),
        }
    }
}

/// The seller in a node.
#[derive(Debug)]
pub struct Provider {
    /// How it wants to be paid.
    payee: Payee,
    credit: Credit,
    settle_at: Nano,
    identity: Identity,
    session_key: StaticKey,
    entropy: Entropy,
    bidder: Bidder,
    jobs: Table<JobId, Box<Job>>,
    earnings: Earnings,
    standing: Standing,
    /// What strangers, and customers, are answered.
    strangers: Pace,
    customers: Pace,
    /// Models of which a customer found no slot free, and until when it waits for one.
    wanted: Table<ModelId, Time>,
    /// When the node was last told of a budget, and how many were turned away since.
    crowds: Table<Budget, (Time, u64)>,
    /// Channels to close as soon as nothing is served on them.
    settling: BTreeMap<[u8; 32], Close>,
    /// Channels on which a job has just ended: others may go on.
    freed: BTreeSet<[u8; 32]>,
    /// A slot has just become free.
    slot_freed: bool,
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
            credit: Credit::new(config.credit),
            settle_at: config.settle_at,
            identity: Identity::from_seed(&config.identity_seed),
            session_key: StaticKey::from_seed(config.session_seed),
            entropy: Entropy::new(config.entropy_seed),
            bidder: Bidder::default(),
            jobs: Table::default(),
            standing: Standing::new(earnings.payers()),
            strangers: Pace::new(limits::STRANGERS_ANSWERS_PER_S),
            customers: Pace::new(limits::CUSTOMERS_ANSWERS_PER_S),
            wanted: Table::default(),
            crowds: Table::default(),
            earnings,
            settling: BTreeMap::new(),
            freed: BTreeSet::new(),
            slot_freed: false,
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
            Command::Offer(offer) => self.bidder.offer(offer),
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
            | Command::Watch(_) => {}
        }
    }

    /// How it wants to be paid, as its bids say.
    ///
    /// The challenge time is the least that it accepts, or more: a channel of less would leave too few looks at the ledger
    /// for those to come. (`CH-35`)
    #[must_use]
    pub fn payee(&self) -> Payee {
        Payee { challenge_s: self.earnings.least_challenge_s(self.payee.challenge_s), ..self.payee }
    }

    fn received(&mut self, now: Time, origin: Origin, message: ToProvider) {
        let from = origin.node;
        match message {
            ToProvider::Award(award) => self.awarded(now, origin, &award),
            ToProvider::Sealed(frame) => self.sealed(now, from, &frame),
            ToProvider::Release(call) => self.bidder.release(from, call),
        }
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
            Phase::Promised(_) | Phase::Over { bill: None, .. } => false,
            Phase::Serving(served) => served.is_on(account),
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

impl Machine for Provider {
    fn handle(&mut self, now: Time, input: Input) {
        self.bidder.expire(now);
        match input {
            Input::Command(command) => self.command(command),
            Input::Gossip { prefix, gossip: VerifiedGossip::Call(call) } => self.called(now, prefix, &call),
            Input::Gossip { prefix, gossip: VerifiedGossip::Seek(seek) } => self.sought(now, prefix, &seek),
            Input::Received { from, prefix, message: Message::ToProvider(message) } => {
                self.received(now, Origin { node: from, prefix }, message)
            }
            Input::Received { message: Message::ToClient(_), .. }
            | Input::Undelivered { .. }
            | Input::Tick => {}
            Input::Persisted(id) => self.outbox.persisted(id),
            Input::Engine { job, report } => self.engine(now, job, report),
            Input::Ledger(event) => self.ledger(now, &event),
        }
        self.timers(now);
        self.resume_freed(now);
        self.resume_waiting(now);
        self.settle();
        self.earnings.timers(now, &mut self.outbox);
    }

    fn poll(&mut self) -> Output {
        let due = self.jobs.values().map(|job| match &job.phase {
            Phase::Promised(promised) => promised.wake_at(),
            Phase::Over { until, .. } => *until,
            Phase::Serving(served) => served.wake_at(),
        });
        let earnings = &self.earnings;
        self.outbox.poll(|| due.chain(earnings.wake_at()).min().unwrap_or(Time(u64::MAX)))
    }
}
