//! Every way in and out of the core, on one page.

use crate::amount::Nano;
use crate::channel::fault::{Mismatch, PaymentFault};
use crate::channel::id::ChannelId;
use crate::channel::ledger::{LedgerCall, LedgerEvent};
use crate::channel::pace::Pace;
use crate::channel::record::Record;
use crate::channel::watch::WatchedVoucher;
use crate::ident::{NodeId, Prefix};
use crate::market::auction::BidReport;
use crate::market::bid::Payee;
use crate::time::{Span, Time};
use crate::wire::message::{Content, Finish, Gossip, Message, Refusal, VerifiedGossip};
use crate::work::order::{JobId, ModelId, Order, OrderFault, OrderId, Task, TaskKind, Tier};
use crate::work::price::PriceSheet;

/// A role machine: feed it one input with the current time, then drain it until it says when to wake
/// it. (`CO-1`)
pub trait Machine {
    /// Takes one input. `now` never goes back.
    fn handle(&mut self, now: Time, input: Input);

    /// Returns the next output. [`Output::Wake`] ends the drain and repeats until the next input.
    fn poll(&mut self) -> Output;
}

/// What happens to a machine.
#[derive(Debug, Clone)]
pub enum Input {
    /// The user wants something.
    Command(Command),
    /// Gossip arrived on a topic that this node follows.
    Gossip {
        /// Where the connection that its author holds to this node comes from: not who forwarded it.
        prefix: Prefix,
        /// The statement.
        gossip: VerifiedGossip,
    },
    /// A peer sent a message. `from` is authenticated by the transport. (`WI-12`)
    Received {
        /// The sender.
        from: NodeId,
        /// Where its connection comes from.
        prefix: Prefix,
        /// The message, decoded within its limit.
        message: Message,
    },
    /// A message to this peer could not be delivered, or the peer is gone.
    Undelivered {
        /// The peer.
        to: NodeId,
    },
    /// Every record up to this one is on disk.
    Persisted(PersistId),
    /// The engine says something about a job.
    Engine {
        /// The job.
        job: JobId,
        /// What it says.
        report: EngineReport,
    },
    /// The ledger says something.
    Ledger(LedgerEvent),
    /// Time has passed: the answer to [`Output::Wake`].
    Tick,
}

/// What a machine wants done.
#[derive(Debug, Clone)]
pub enum Output {
    /// Send to one peer.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: Message,
    },
    /// Gossip on a model's topic.
    Broadcast {
        /// The topic's model.
        model: ModelId,
        /// The message.
        gossip: Gossip,
    },
    /// Write a record; answer [`Input::Persisted`] once it, and all before it, are on disk.
    Persist {
        /// Counts up.
        id: PersistId,
        /// The record: as it lies on disk, it is passed on and not copied.
        record: Box<Record>,
    },
    /// Start a task on the engine.
    Run {
        /// The job.
        job: JobId,
        /// The model.
        model: ModelId,
        /// The task.
        task: Task,
    },
    /// Let the engine make this many more tokens for a job.
    Allow {
        /// The job.
        job: JobId,
        /// How many more.
        tokens: u32,
    },
    /// Stop a task.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Do something on the ledger.
    Ledger(Box<LedgerCall>),
    /// Hand a watcher the newest voucher of a channel, which is on disk here. (`CH-10`)
    Watch(Box<WatchedVoucher>),
    /// Something the user wants to know.
    Event(Event),
    /// A peer broke a rule; the shell may count it against the peer.
    Fault {
        /// Who.
        peer: NodeId,
        /// What.
        fault: PeerFault,
    },
    /// Nothing more for now. Give [`Input::Tick`] at this time unless something else comes first.
    Wake(Time),
}

/// Numbers the records of one machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersistId(pub u64);

/// What the user wants.
#[derive(Debug, Clone)]
pub enum Command {
    /// Client: do this.
    Order {
        /// The user's handle.
        id: OrderId,
        /// What to do.
        order: Box<Order>,
    },
    /// Client: stop an order.
    Cancel(OrderId),
    /// Client: ask who offers a model, unless it was asked a moment ago. (`MK-18`)
    Seek(ModelId),
    /// Client: request a close of every channel, which brings back what is not promised once the challenge
    /// time is over; it settles nothing by itself. Provider: close every channel with its newest voucher, but
    /// for those on which too little is due to be paid out. (`CH-11`, `CH-17`, `CH-26`)
    Settle,
    /// Client: request a close of one channel. Provider: close it with its newest voucher.
    Close {
        /// The channel's account.
        account: ChannelId,
    },
    /// Client: open a channel before there is work for it. Nothing happens where [`Client::can_open`] tells
    /// why not. (`CH-27`)
    ///
    /// [`Client::can_open`]: crate::client::Client::can_open
    Open {
        /// To whom.
        provider: NodeId,
        /// How it is paid, as it says itself.
        payee: Payee,
        /// How much.
        deposit: Nano,
    },
    /// Client: add to the deposit of a channel.
    TopUp {
        /// The channel's account.
        account: ChannelId,
        /// How much.
        amount: Nano,
    },
    /// Provider: offer a model from now on.
    Offer(Offer),
    /// Provider: take no new jobs.
    Drain,
    /// Provider: so fast does the shell look at channels from now on. Without it every channel is taken to be
    /// seen at once. (`CH-35`)
    Pace(Pace),
    /// Watcher: watch a channel with this voucher.
    Watch(WatchedVoucher),
}

/// A model that a provider offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which model.
    pub model: ModelId,
    /// Its human name.
    pub name: String,
    /// What kind of work it does.
    pub kind: TaskKind,
    /// The price with all slots free.
    pub price: PriceSheet,
    /// Jobs at a time.
    pub slots: u16,
    /// Milliseconds until the first token with an idle engine, as measured.
    pub first_token_ms: u32,
    /// Output tokens a second, as measured.
    pub tokens_per_s: u32,
    /// Tokens of input and output together that the model can hold.
    pub context_tokens: u32,
}

/// What the engine says about a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineReport {
    /// The task is tokenised.
    Started {
        /// Input tokens.
        input_tokens: u64,
    },
    /// A part of the answer.
    Content(Content),
    /// It could not be done.
    Failed(EngineFault),
}

/// Why an engine gave a job up, as far as a stranger may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineFault {
    /// The task does not fit the model.
    TooLarge,
    /// Anything else; the reason stays in the provider's own log.
    Broken,
}

/// A rule that a peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerFault {
    /// A statement whose signature does not verify.
    Forged,
    /// A message that cannot be read, or does not belong where it came.
    Malformed,
    /// A chunk whose receipt does not match what arrived.
    FalseReceipt,
    /// A voucher that does not verify.
    FalseVoucher,
    /// An award that no task followed. (`MK-45`)
    NoTask,
    /// A task that no money followed. (`MK-45`)
    NoMoney,
}

impl PeerFault {
    /// Returns whether no honest peer does that. The others happen to who loses its connection or
    /// whose wallet is empty: a provider holds them against the peer itself, and a shell must not
    /// block anyone for them.
    #[must_use]
    pub const fn is_breach(self) -> bool {
        match self {
            Self::Forged | Self::Malformed | Self::FalseReceipt | Self::FalseVoucher => true,
            Self::NoTask | Self::NoMoney => false,
        }
    }
}

/// A budget of a provider for those who come to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Budget {
    /// Calls, seeks and awards answered. (`MK-44`)
    Answers,
    /// Bids that can be awarded. (`MK-43`)
    Bids,
    /// Jobs that hold no slot: without their task or their money, or at their end. (`MK-43`)
    Jobs,
    /// Channels that the ledger has not shown. (`CH-51`)
    Channels,
    /// Slots for strangers while customers want them. (`MK-42`)
    Slots,
    /// Identities and prefixes that wasted room before. (`MK-45`)
    Marks,
}

/// A budget was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    /// Which.
    pub budget: Budget,
    /// Where the latest of those turned away comes from.
    pub prefix: Prefix,
    /// How many were turned away since this was last told.
    pub turned_away: u64,
}

/// What the user may want to know.
#[derive(Debug, Clone)]
pub enum Event {
    /// Client: something about an order.
    Order {
        /// Which order.
        id: OrderId,
        /// What.
        news: OrderNews,
    },
    /// Provider: a job ended.
    Served(JobReport),
    /// Either: a channel was opened, paid on, or closed.
    Channel(ChannelNews),
    /// Provider: a budget is used up; told at once, and then every [`crate::limits::CROWD_TOLD`] at the most.
    Crowded(Crowd),
}

/// What happens to an order, in this order.
#[derive(Debug, Clone)]
pub enum OrderNews {
    /// An auction ended.
    Bids(Vec<BidReport>),
    /// A provider took the job.
    Awarded {
        /// The provider.
        provider: NodeId,
        /// The job.
        job: JobId,
    },
    /// A part of the answer, checked against its receipt.
    Content(Content),
    /// A provider failed and another is asked.
    FailedOver {
        /// Who failed.
        from: NodeId,
        /// How.
        why: Failure,
    },
    /// The answer is complete.
    Done(Bill),
    /// The order ended without a complete answer.
    Failed {
        /// Why.
        why: Failure,
        /// What was paid all the same.
        bill: Bill,
    },
}

/// What an order came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bill {
    /// Who served, in order; the last one finished.
    pub providers: Vec<NodeId>,
    /// The last job.
    pub job: Option<JobId>,
    /// Input tokens billed, all attempts together.
    pub input_tokens: u64,
    /// Output tokens billed, all attempts together.
    pub output_tokens: u64,
    /// What is owed for them, all attempts together.
    pub cost: Nano,
    /// Receipts that were checked.
    pub receipts: u32,
    /// Vouchers that were signed.
    pub vouchers: u32,
    /// From the order to the first content.
    pub first_token: Option<Span>,
    /// From the order to the award's acceptance, bids included.
    pub matched: Option<Span>,
    /// Why the answer ended, if it did.
    pub finish: Option<Finish>,
}

/// Why an order, or one attempt at it, failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The order cannot be taken.
    #[error("{0}")]
    Order(#[from] OrderFault),
    /// Nobody answered the call.
    #[error("no provider bid for this model before the deadline; is one online that serves it?")]
    NoBids,
    /// There were bids, all of them of providers that failed lately.
    #[error(
        "every provider that bid has failed this node lately; each is asked again after two minutes or more"
    )]
    LeftAlone,
    /// There were bids, all of them too dear.
    #[error("every bid can cost more than the order allows; the lowest could cost {lowest} coins")]
    OverBudget {
        /// The most that the cheapest bid could cost.
        lowest: Nano,
    },
    /// There were bids, none with the protection asked for.
    #[error("no bid offers the tier {0:?}")]
    NoTier(Tier),
    /// A provider did not answer an award.
    #[error("the provider did not answer the award in time")]
    NoAnswer,
    /// A provider fell silent.
    #[error("the provider stopped answering in the middle of the job")]
    Stalled,
    /// The connection to the provider is gone.
    #[error("the provider cannot be reached any more")]
    Gone,
    /// A provider refused.
    #[error("the provider refused: {0}")]
    Refused(Refusal),
    /// A handshake or a sealed message of the provider does not verify.
    #[error("the session with the provider is broken")]
    Session,
    /// A chunk did not match its receipt, or a bill its price.
    #[error("the provider billed or stated what it did not deliver")]
    FalseReceipt,
    /// A provider failed after so many tokens that no other one can be told where to go on.
    #[error(
        "the provider failed after {delivered} tokens; an answer of that length cannot be continued by another"
    )]
    TooLongToResume {
        /// Tokens that the user has.
        delivered: u32,
    },
    /// It cannot be paid.
    #[error(transparent)]
    Payment(#[from] PaymentFault),
    /// The order's own deadline.
    #[error("the deadline of the order has passed")]
    Deadline,
    /// The user stopped it.
    #[error("cancelled")]
    Cancelled,
}

/// A job at its end, at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobReport {
    /// The job.
    pub job: JobId,
    /// For whom.
    pub client: NodeId,
    /// Input tokens billed.
    pub input_tokens: u64,
    /// Output tokens billed.
    pub output_tokens: u64,
    /// What it came to.
    pub cost: Nano,
    /// Why it ended early, if it did.
    pub refused: Option<Refusal>,
    /// Whether the client signed that it was served.
    pub countersigned: bool,
}

/// What happens to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelNews {
    /// The channel's account.
    pub account: ChannelId,
    /// The other party.
    pub peer: NodeId,
    /// What.
    pub change: ChannelChange,
}

/// What happened to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelChange {
    /// It is on the ledger with this deposit.
    Open {
        /// What was deposited.
        deposit: Nano,
    },
    /// A close has begun.
    Closing,
    /// It is gone from the ledger.
    Closed {
        /// The newest cumulative amount of its vouchers.
        cumulative: Nano,
    },
    /// The ledger refused or did not answer.
    Failed(crate::channel::ledger::LedgerFault),
    /// It is not what this node's store says.
    Mismatch(Mismatch),
    /// A close of it could not be seen in time any more: it is closed as soon as nothing is served on it.
    /// (`CH-35`)
    Unwatchable,
}
