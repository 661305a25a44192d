//! The role machine that buys: owns its orders, channels, book and leases, and routes inputs to them.

mod deposit;
mod errand;
mod memory;
mod payments;
mod verdict;
mod working;

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::channel::ledger::LedgerEvent;
use crate::channel::pay::Payer;
use crate::channel::record::Record;
use crate::channel::terms::{Address, CHALLENGE_S_MAX};
use crate::entropy::Entropy;
use crate::ident::{Identity, NodeId, Prefix};
use crate::io::{Command, Event, Failure, Input, Machine, OrderNews, Output, PeerFault};
use crate::limits;
use crate::market::ask::{Ask, Book};
use crate::market::auction::Rule;
use crate::market::bid::{Bid, BidHash, Payee};
use crate::market::call::CallId;
use crate::market::invite::Crowds;
use crate::market::lease::Leases;
use crate::market::score::Place;
use crate::market::seek::{Seek, SeekId, Seeks};
use crate::outbox::Outbox;
use crate::session::{StaticKey, unseal};
use crate::table::Table;
use crate::time::{Span, Time};
use crate::wire::codec;
use crate::wire::message::{Gossip, Message, SealedBid, ToClient, ToProvider};
use crate::wire::signed::{Signed, Verified};
use crate::work::order::{JobId, ModelId, Order, OrderFault, OrderId, Tier};

use errand::{Errand, Phase};
use memory::Memory;
use payments::Payments;
use verdict::standing;
use working::Lingering;

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Seed of the node's identity.
    pub identity_seed: [u8; 32],
    /// Seed of the key that signs vouchers.
    pub channel_seed: [u8; 32],
    /// Seed of everything random.
    pub entropy_seed: [u8; 32],
    /// Which ledger.
    pub network_id: i32,
    /// The account that funds channels and gets rests back.
    pub wallet: Address,
    /// Seconds since 1970 at the time zero of [`Input`]s' clock: what is remembered of providers outlives a run.
    pub clock_s: u64,
    /// What a channel to a provider that has served well is given at the least. (`CH-31`)
    pub deposit: Nano,
    /// How long bids are gathered.
    pub bid_window: Span,
    /// How many bids end the gathering early; of a crowd, only about as many providers are invited. (`MK-17`)
    pub enough_bids: usize,
    /// The challenge time that this client proposes; a provider may ask for more.
    pub challenge_s: u32,
    /// What it agrees to beyond that.
    pub policy: ChannelPolicy,
    /// Whether a provider that served well is used again without an auction.
    pub leases: bool,
    /// How bids are ranked and paid.
    pub rule: Rule,
}

/// How far a client binds its coins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelPolicy {
    /// The most that one channel holds and is not promised: what a provider could keep locked for a challenge time.
    pub deposit_max: Nano,
    /// The longest challenge time that it agrees to, in seconds.
    pub challenge_s_max: u32,
    /// The most that is locked with all providers together that never finished a job. (`CH-31`)
    pub strangers_locked_max: Nano,
    /// How long a channel may be unused before its rest is asked back; none keeps it for ever.
    pub idle_close: Option<Span>,
}

impl Default for ChannelPolicy {
    /// No bounds but those of the protocol.
    fn default() -> Self {
        Self {
            deposit_max: Nano(u64::MAX),
            challenge_s_max: CHALLENGE_S_MAX,
            strangers_locked_max: Nano(u64::MAX),
            idle_close: None,
        }
    }
}

impl ClientConfig {
    /// A configuration for tests and simulations, different for every `number`.
    #[must_use]
    pub fn for_tests(number: u64) -> Self {
        let seed = |purpose: &str| {
            *blake3::keyed_hash(blake3::hash(purpose.as_bytes()).as_bytes(), &number.to_le_bytes()).as_bytes()
        };
        Self {
            identity_seed: seed("client identity"),
            channel_seed: seed("client channel"),
            entropy_seed: seed("client entropy"),
            network_id: -3,
            wallet: Address::basechain(seed("client wallet")),
            clock_s: 0,
            deposit: Nano(50_000_000),
            bid_window: limits::BID_WINDOW,
            enough_bids: limits::BIDS_WANTED,
            challenge_s: 60,
            policy: ChannelPolicy::default(),
            leases: true,
            rule: Rule::SecondScore,
        }
    }
}

/// The buyer in a node.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    identity: Identity,
    seal_key: StaticKey,
    entropy: Entropy,
    orders: Table<OrderId, Box<Errand>>,
    calls: Table<CallId, OrderId>,
    jobs: Table<JobId, OrderId>,
    lingering: Table<JobId, Lingering>,
    payments: Payments,
    memory: Memory,
    crowds: Crowds,
    seeks: Seeks,
    book: Book,
    leases: Leases,
    outbox: Outbox,
}

impl Client {
    /// A client with what its shell read back from disk.
    #[must_use]
    pub fn new(config: ClientConfig, records: Vec<Record>) -> Self {
        let mut entropy = Entropy::new(config.entropy_seed);
        let mut outbox = Outbox::default();
        let memory = Memory::restored(config.clock_s, &records);
        let payments = Payments::restored(&config, records, &mut outbox);
        Self {
            identity: Identity::from_seed(&config.identity_seed),
            // A fresh sealing key for every run: bids of an earlier one are nobody's any more.
            seal_key: StaticKey::from_seed(entropy.bytes()),
            config,
            entropy,
            orders: Table::default(),
            calls: Table::default(),
            jobs: Table::default(),
            lingering: Table::default(),
            payments,
            memory,
            crowds: Crowds::default(),
            seeks: Seeks::default(),
            book: Book::default(),
            leases: Leases::default(),
            outbox,
        }
    }

    /// This node's id.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.identity.id()
    }

    /// The asks that stand.
    pub fn asks(&self) -> impl Iterator<Item = &Ask> {
        self.book.standing()
    }

    /// Orders that are not at their end.
    #[must_use]
    pub fn orders_in_flight(&self) -> usize {
        self.orders.len()
    }

    /// Every channel: account, provider, deposit asked for, and promised so far.
    pub fn channels(&self) -> impl Iterator<Item = &Payer> {
        self.payments.channels()
    }

    fn command(&mut self, now: Time, command: Command) {
        match command {
            Command::Order { id, order } => self.take_order(now, id, *order),
            Command::Cancel(id) => self.end(now, id, Some(Failure::Cancelled)),
            Command::Seek(model) => self.seek(now, model),
            Command::Settle => self.payments.settle(now, &mut self.outbox),
            Command::Close { account } => self.payments.give_up(now, &account, &mut self.outbox),
            Command::Open { provider, payee, deposit } => self.open(now, provider, &payee, deposit),
            Command::TopUp { account, amount } => self.payments.top_up(&account, amount, &mut self.outbox),
            Command::Offer(_) | Command::Drain | Command::Pace(_) | Command::Guard(_) => {}
        }
    }

    /// Whether a channel to this provider can be opened with this deposit. (`CH-27`)
    ///
    /// # Errors
    /// [`PaymentFault`] tells why not; one that is there already is no fault, see [`Self::channel_to`].
    pub fn can_open(&self, payee: &Payee, deposit: Nano) -> Result<(), PaymentFault> {
        self.payments.agree(payee, deposit, 0, &self.config).map(drop)
    }

    /// The account of the channel that jobs of this provider are paid on.
    #[must_use]
    pub fn channel_to(&self, provider: NodeId, payee: &Payee) -> Option<[u8; 32]> {
        self.payments.channel_to(provider, payee)
    }

    fn open(&mut self, now: Time, provider: NodeId, payee: &Payee, deposit: Nano) {
        let draw = self.entropy.number();
        if self.payments.channel_to(provider, payee).is_none()
            && let Ok(terms) = self.payments.agree(payee, deposit, draw, &self.config)
        {
            self.payments.open(now, Payer::opening(terms, provider, deposit), &mut self.outbox);
        }
    }

    fn take_order(&mut self, now: Time, id: OrderId, order: Order) {
        let refused = if self.orders.len() >= limits::ORDERS_MAX {
            Some(OrderFault::Busy)
        } else if order.tier == Tier::Confidential {
            Some(OrderFault::NoConfidentialTier)
        } else {
            order.task.check().err()
        };
        if self.orders.contains_key(&id) {
            return;
        }
        self.orders.insert(id, Box::new(Errand::new(now, order)));
        match refused {
            Some(fault) => self.end(now, id, Some(Failure::Order(fault))),
            None => self.advance(now, id),
        }
    }

    fn received(&mut self, now: Time, from: NodeId, prefix: Prefix, message: ToClient) {
        match message {
            ToClient::Bid(bid) => self.take_bid(now, from, prefix, &bid),
            ToClient::Accept(accept) => self.accepted(now, from, &accept),
            ToClient::Refuse(refuse) => self.refused(now, from, refuse),
            ToClient::Sealed(frame) => self.sealed(now, from, &frame),
            ToClient::Ask(ask) => self.take_ask(now, from, &ask),
        }
    }

    fn take_bid(&mut self, now: Time, from: NodeId, prefix: Prefix, sealed: &SealedBid) {
        let counts = self.crowds.heard(now, &sealed.call.0, from);
        let Some(id) = self.calls.get(&sealed.call).copied() else {
            // Enough were in before; the bidder need not hold the slot.
            if counts {
                self.send(from, ToProvider::Release(sealed.call));
            }
            return;
        };
        let Some(errand) = self.orders.get_mut(&id) else { return };
        let Phase::Calling(auction) = &mut errand.phase else { return };
        let opened = unseal(&self.seal_key, &sealed.call.0, &sealed.sealed)
            .ok()
            .and_then(|bytes| codec::decode_sealed::<Signed>(&bytes).ok());
        let Some(signed) = opened else { return self.fault(from, PeerFault::Malformed) };
        let Ok(bid) = signed.open::<Bid>().map(Verified::into_inner) else {
            return self.fault(from, PeerFault::Forged);
        };
        let fits = bid.provider == from
            && bid.call == sealed.call
            && bid.model == errand.order.model
            && bid.payee.network_id == self.config.network_id;
        if !fits {
            return self.fault(from, PeerFault::Malformed);
        }
        let known = (&self.memory, &self.payments, &self.config);
        let stands = standing(now, &errand.order, &bid, prefix, known);
        let counts =
            !errand.failed.contains(&from) && stands.refused.is_none() && stands.place != Place::Last;
        auction.take(bid, BidHash::of(&signed), prefix, counts);
        if auction.has_enough() {
            self.close_auction(now, id);
        }
    }

    /// Asks a model's topic who offers it. (`MK-12`, `MK-18`)
    fn seek(&mut self, now: Time, model: ModelId) {
        if !self.seeks.is_due(now, &model) {
            return;
        }
        let id = SeekId(self.entropy.bytes());
        let invited = self.crowds.share(&model, limits::ASKS_WANTED);
        self.crowds.invite(id.0, model, invited, now + limits::SEEK_WAIT);
        self.seeks.sent(now, model);
        let gossip =
            Gossip::Seek(Seek { id, client: self.identity.id(), model, invited }.sign(&self.identity));
        self.outbox.push(Output::Broadcast { model, gossip });
    }

    fn take_ask(&mut self, now: Time, from: NodeId, signed: &Signed) {
        let Ok(ask) = signed.open::<Ask>() else { return self.fault(from, PeerFault::Forged) };
        if ask.provider == from && self.crowds.heard(now, &ask.seek.0, from) {
            self.seeks.answered(&ask.model);
            self.book.take(now, ask.into_inner());
        }
    }

    fn ledger(&mut self, now: Time, event: &LedgerEvent) {
        let affected = self.payments.ledger(now, event, &mut self.outbox);
        if let Some(fault) = affected.fault {
            self.unpayable(now, affected.account, fault);
        }
        if affected.payable {
            self.pay_all(now, affected.account);
        }
    }

    /// A channel cannot be paid on as was planned: orders end, the newest first, until what it holds covers the others.
    fn unpayable(&mut self, now: Time, account: [u8; 32], fault: PaymentFault) {
        let stuck: Vec<OrderId> = self.orders_on(account).collect();
        for id in stuck.into_iter().rev() {
            if self.payments.covers(&account, fault) {
                return;
            }
            self.end(now, id, Some(Failure::Payment(fault)));
        }
    }

    fn orders_on(&self, account: [u8; 32]) -> impl Iterator<Item = OrderId> + use<'_> {
        self.orders.iter().filter(move |(_, errand)| errand.account() == Some(account)).map(|(id, _)| *id)
    }

    fn fault(&mut self, peer: NodeId, fault: PeerFault) {
        self.outbox.push(Output::Fault { peer, fault });
    }

    fn news(&mut self, id: OrderId, news: OrderNews) {
        self.outbox.push(Output::Event(Event::Order { id, news }));
    }

    fn send(&mut self, to: NodeId, message: ToProvider) {
        self.outbox.push(Output::Send { to, message: Message::ToProvider(message) });
    }
}

impl Machine for Client {
    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Command(command) => self.command(now, command),
            Input::Received { from, prefix, message: Message::ToClient(message) } => {
                self.received(now, from, prefix, message)
            }
            Input::Received { message: Message::ToProvider(_), .. }
            | Input::Gossip { .. }
            | Input::Engine { .. } => {}
            Input::Undelivered { to } => self.undelivered(now, to),
            Input::Persisted(id) => self.outbox.persisted(id),
            Input::Ledger(event) => self.ledger(now, &event),
            Input::Tick => {}
        }
        self.timers(now);
    }

    fn poll(&mut self) -> Output {
        let orders = self.orders.values().map(|errand| errand.wake_at());
        let lingering = self.lingering.values().map(|lingering| lingering.until);
        let payments = &self.payments;
        let due = || orders.chain(lingering).chain(payments.wake_at()).min().unwrap_or(Time(u64::MAX));
        self.outbox.poll(due)
    }
}
