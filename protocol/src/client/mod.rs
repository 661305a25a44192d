//! Buys: routes each input to what it is about, and moves orders from one phase to the next.
//!
//! ```text
//! Command::Order ──► auction ──► award ──► attempt ──► OrderNews::Done, with a bill
//!              │                 ▲ │         │
//!              └─ lease ─────────┘ └─────────┴─► a provider failed: the next candidate resumes
//!                                                where it stopped, or a new auction finds one
//! ```
//!
//! - **Auction** (`auction`): a call for bids is gossiped on the model's topic. Bids come sealed and are
//!   scored once; the best are kept as candidates. The bid of a provider that served well stays awardable for
//!   a while (a *lease*): the next order goes to it without an auction.
//! - **Award** (`award`): the best candidate gets the first half of a handshake and answers with the second.
//! - **Attempt** (`attempt`): the task leaves over that session and the answer comes back in chunks.
//! - **Lingering** (`lingering`): the user is done; the provider has yet to hear the last acknowledgement.
//!
//! # How an order is paid
//!
//! ```text
//! Disk            Client                             Provider            Ledger
//!  │                 │ ◄─ Accept ───────────────────── │                    │
//!  │                 │ ── Work: task, channel terms ─► │                    │   1
//!  │                 │ ◄─ Chunk, or NeedPayment ────── │                    │   2
//!  │ ◄─ Persist ──── │                                 │                    │
//!  │ ── Persisted ─► │ ── Open: deposit ───────────────┼──────────────────► │
//!  │                 │ ◄─ the channel is funded ───────┼─────────────────── │
//!  │                 │ ◄─ Chunk with a receipt ─────── │                    │   3
//!  │ ◄─ Persist ──── │                                 │                    │
//!  │ ── Persisted ─► │ ── Ack with a voucher ────────► │                    │   4
//!  │                 │                                 │ ── Claim ────────► │   5
//! ```
//!
//! 1. The most that the job can cost is reserved in the client's books against its channel with this provider
//!    and this [`Payee`] (`CH-2`). If there is none, the task carries proposed channel terms. Promised and
//!    reserved together never exceed the deposit: two such ceilings for a stranger, twice as many after each
//!    good job, up to [`ClientConfig::deposit`] (`CH-31`).
//! 2. The first content, or a message from the provider that it waits for funding, makes the client ask the
//!    ledger to lock the deposit (`CH-32`).
//! 3. A *receipt* is the provider's signed running statement of delivery and cost; it proves no payment. The
//!    client checks signature, transcript, token counts and price (`WR-6`), and raises its cumulative promise
//!    by the increase since the last receipt (`CH-3`). After a false one nothing is shown or paid, and the
//!    next candidate takes over (`WR-9`).
//! 4. Once the promise is on disk, the acknowledgement leaves. From when the ledger has shown the channel, it
//!    carries a *voucher*: the client's signature over the cumulative amount (`CH-4`). Each replaces the one
//!    before.
//! 5. The provider claims with its newest voucher when it likes, until the channel is gone. What the job did
//!    not use is free for the next one.
//!
//! The [`Bill`] of [`OrderNews::Done`] sums up the same receipts; it is no second charge. After a failover,
//! what had a receipt stays paid, the next provider bills the tokens delivered so far as input, and
//! `max_cost` bounds all attempts together (`WR-13`).
//!
//! The client requests a close when the channel has been idle for [`ChannelPolicy::idle_close`], when its
//! user says so, when a provider that has not earned trust failed it, or when the two disagree about it:
//!
//! ```text
//! proposed ─ Open ─► open ─ RequestClose ─► closing ─ Finalize, after the challenge time ─► gone
//!            client   │     client             │      client                                 ▲
//!                     └────────────────────────┴─ Close, with the newest voucher: provider ──┘
//! ```
//!
//! # Who can lose what
//!
//! - The provider can lose, before the ledger shows the channel, the credit that it gives (`CH-50`); later a
//!   *window*, what it serves ahead of vouchers (`CH-5`), and as much that it wrote off before (`CH-9`). If
//!   no voucher comes, it stops at the window and ends the job after 20 s (`CH-19`).
//! - The client can lose what it has checked and cannot use: of a provider that stops, one step of input and
//!   32 tokens (`WR-21`). Its deposit may be locked for a challenge time.
//! - Nobody loses by a close while the provider is away, if it, a [`Watcher`] or the client brings the newest
//!   voucher within the challenge time (`CH-10`, `CH-11`).
//!
//! # How it is built
//!
//! Each phase owns its state in a file of its own and says what comes next; only the client moves an order
//! (`lifecycle`), by taking it out of the table and putting it back (`orders`). All orders share one set of
//! keys, channels and memories (`shared`). What the end of a job says of its provider is in `verdict` and
//! `memory`.
//!
//! [`Bill`]: crate::io::Bill
//! [`OrderNews::Done`]: crate::io::OrderNews::Done
//! [`Watcher`]: crate::watcher::Watcher

mod appointments;
mod attempt;
mod auction;
mod award;
mod back_off;
mod calling;
mod config;
mod direct;
mod discovery;
mod due;
mod exchange;
mod foreign_count;
mod kept;
mod known_provider;
mod lifecycle;
mod lingering;
mod memory;
mod messages;
mod no_winner;
mod obstacles;
mod order;
mod orders;
mod payments;
mod progress;
mod purchases;
mod quote;
mod refusals;
mod room;
mod second_chance;
mod shared;
mod unpaid;
mod verdict;

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::channel::id::ChannelId;
use crate::channel::pay::Payer;
use crate::channel::record::Record;
use crate::clock::WallClock;
use crate::entropy::Entropy;
use crate::ident::{Identity, NodeId, Prefix};
use crate::io::{Command, Failure, Input, Machine, Output};
use crate::limits;
use crate::market::ask::Ask;
use crate::market::bid::Payee;
use crate::market::book::Book;
use crate::market::invite::Crowds;
use crate::market::lease::Leases;
use crate::market::seeks::Seeks;
use crate::outbox::Outbox;
use crate::session::StaticKey;
use crate::time::Time;
use crate::wire::message::Message;
use crate::work::order::{ModelId, Order, OrderFault, OrderId, Tier};

use appointments::Appointments;
use award::AbandonedAwards;
use kept::KeptSessions;
use lingering::LingeringJobs;
use memory::Memory;
use orders::Orders;
use payments::Payments;
use progress::Progress;
use purchases::Purchases;
use shared::{SharedState, Survey};

pub use config::{ChannelPolicy, ClientConfig, MarketPolicy};

/// The buyer in a node.
#[derive(Debug)]
pub struct Client {
    /// Orders under way.
    orders: Orders,
    /// Jobs that are over for the user, and not yet for the provider.
    lingering: LingeringJobs,
    /// Awards that nobody waits for any more.
    abandoned: AbandonedAwards,
    /// What all orders share.
    shared: SharedState,
    /// Models whose providers were asked for offers.
    seeks: Seeks,
}

/// What comes in.
impl Machine for Client {
    fn handle(&mut self, now: Time, input: Input) {
        // Before a call goes out that could know of it.
        self.shared.crowds.learn(now);
        match input {
            Input::Command(command) => self.on_command(now, command),
            Input::Received { from, prefix, message: Message::ToClient(message) } => {
                self.on_message(now, from, prefix, message)
            }
            Input::Received { message: Message::ToProvider(_), .. }
            | Input::Gossip { .. }
            | Input::Engine { .. } => {}
            Input::Undelivered { to } => self.on_undelivered(now, to),
            Input::Persisted(id) => self.shared.outbox.persisted(id),
            Input::Ledger(event) => self.on_ledger(now, &event),
            Input::Tick => {}
        }
        self.on_time(now);
    }

    fn poll(&mut self) -> Output {
        let Self { orders, lingering, shared: SharedState { payments, kept, outbox, .. }, .. } = self;
        let mut due = || {
            let times = [orders.wake_at(), lingering.wake_at(), payments.wake_at(), kept.wake_at()];
            times.into_iter().flatten().min()
        };
        outbox.poll(|| due().unwrap_or(Time::NEVER))
    }
}

impl Client {
    /// Returns a client with what its shell read back from disk.
    #[must_use]
    pub fn new(config: ClientConfig, records: Vec<Record>) -> Self {
        let mut entropy = Entropy::new(config.entropy_seed);
        let mut outbox = Outbox::default();
        let mut memory = Memory::restored(config.clock_s, &records);
        // A stream of its own, so that what is remembered moves no other draw.
        let turns = *blake3::keyed_hash(&config.entropy_seed, b"turns").as_bytes();
        memory.purchases = Purchases::resumed(&records, config.clock_s, &mut Entropy::new(turns));
        let payments = Payments::restored(&config, records, &mut outbox);
        let shared = SharedState {
            identity: Identity::from_seed(&config.identity_seed),
            seal_key: StaticKey::from_seed(entropy.bytes()),
            config,
            entropy,
            payments,
            memory,
            crowds: Crowds::default(),
            leases: Leases::default(),
            kept: KeptSessions::default(),
            book: Book::default(),
            survey: None,
            appointments: Appointments::default(),
            outbox,
        };
        Self {
            orders: Orders::default(),
            lingering: LingeringJobs::default(),
            abandoned: AbandonedAwards::default(),
            shared,
            seeks: Seeks::default(),
        }
    }

    /// Returns this node's id.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.shared.identity.id()
    }

    /// Returns the standing offers: the newest ask of each provider for each model, until it expires, each with
    /// where its provider's connection came from.
    pub fn asks(&self, now: Time) -> impl Iterator<Item = (&Ask, Prefix)> {
        self.shared.book.standing(now)
    }

    /// Returns whether an order for this model can be called directly: enough are known that sell it. (`MK-66`)
    #[must_use]
    pub fn knows_sellers(&self, now: Time, model: &ModelId) -> bool {
        self.shared.config.market.direct && self.shared.book.sellers(now, model).len() >= limits::DIRECT_MIN
    }

    /// Returns whether a provider that was asked directly has not answered, and may still.
    #[must_use]
    pub fn awaits_asks(&self, now: Time) -> bool {
        self.seeks.awaits(now)
    }

    /// Returns how many orders are under way.
    #[must_use]
    pub fn orders_in_flight(&self) -> usize {
        self.orders.len()
    }

    /// Returns the client's side of every channel: terms and provider, what was deposited, promised and
    /// reserved.
    ///
    /// Channels that are only proposed, or gone, are left out.
    pub fn channels(&self) -> impl Iterator<Item = &Payer> {
        self.shared.payments.channels()
    }

    /// Returns what is owed to providers on channels that the wallet could not open: the next job with one pays it. (`CH-56`)
    pub fn debts(&self) -> impl Iterator<Item = (NodeId, Nano)> {
        self.shared.payments.debts()
    }

    /// Returns whether a channel to this provider can be opened with this deposit. (`CH-27`)
    ///
    /// # Errors
    /// [`PaymentFault`] tells why not. An existing channel is no fault here: [`Self::channel_to`] finds it.
    pub fn can_open(&self, payee: &Payee, deposit: Nano) -> Result<(), PaymentFault> {
        self.shared.payments.may_open_for(payee, deposit, &self.shared.config)
    }

    /// Returns the account of the channel that jobs of this provider are paid on, if one is in use to this
    /// payee.
    #[must_use]
    pub fn channel_to(&self, provider: NodeId, payee: &Payee) -> Option<ChannelId> {
        self.shared
            .payments
            .channel_to(provider, payee)
            .filter(|account| !self.shared.payments.is_debt(account))
    }
}

/// What the user wants.
impl Client {
    fn on_command(&mut self, now: Time, command: Command) {
        let SharedState { payments, outbox, .. } = &mut self.shared;
        match command {
            Command::Order { id, order } => self.on_order(now, id, *order),
            Command::Cancel(id) => self.end(now, id, Failure::Cancelled),
            Command::Seek(topic) => self.seek(now, topic),
            Command::SeekFrom(provider) => self.seek_from(now, provider),
            Command::SeekPrices(order) => self.seek_prices(now, &order),
            Command::Surveyed { alone_since } => {
                self.shared.survey = Some(Survey { at: now, alone_since });
            }
            Command::Settle => payments.close_all(now, outbox),
            Command::Close { account } => payments.close(now, &account, outbox),
            Command::Open { provider, payee, deposit } => self.open(now, provider, &payee, deposit),
            Command::TopUp { account, amount } => payments.top_up(&account, amount, outbox),
            Command::Clock { unix_s } => self.shared.memory.clock = WallClock::at(now, unix_s),
            Command::Offer(_) | Command::Drain | Command::Pace(_) | Command::Watch(_) => {}
        }
    }

    fn on_order(&mut self, now: Time, id: OrderId, order: Order) {
        if self.orders.contains(&id) || self.lingering.has(id) {
            return;
        }
        let refused = if self.orders.len() >= limits::ORDERS_MAX {
            Some(OrderFault::Busy)
        } else if order.tier == Tier::Confidential {
            Some(OrderFault::NoConfidentialTier)
        } else {
            order.task.check().err()
        };
        let mut progress = Progress::new(now, order);
        self.shared.appointments.is_back(&progress.order.model);
        if let Some(bought) = self.shared.memory.purchases.of_mut(progress.order.model) {
            // A try is paid for by all orders, those on a lease as well. (`MK-33`)
            progress.is_try = bought.exploration.count(now);
        }
        match refused {
            Some(fault) => self.conclude(now, id, progress, Err(Failure::Order(fault))),
            None => self.step(now, id, progress),
        }
    }

    /// Opens a channel ahead of work. (`CH-27`)
    ///
    /// A failure changes nothing: the sender of the command asks [`Self::can_open`] first, which
    /// tells why.
    fn open(&mut self, now: Time, provider: NodeId, payee: &Payee, deposit: Nano) {
        let SharedState { payments, config, outbox, entropy, .. } = &mut self.shared;
        let draw = entropy.number();
        if payments.may_open_for(payee, deposit, config).is_err() {
            return;
        }
        if let Some(account) = payments.channel_to(provider, payee) {
            payments.open_debt(now, &account, deposit, outbox);
        } else {
            let terms = payments.agree(payee, draw, config);
            payments.open(now, Payer::opening(terms, provider, deposit), outbox);
        }
    }
}
