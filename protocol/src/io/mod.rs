//! Every way in and out of the core: what a machine is told, and what it wants done. What it tells its user stands in `event`.

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::channel::ledger::{LedgerCall, LedgerEvent};
use crate::channel::pace::Pace;
use crate::channel::record::Record;
use crate::channel::watch::WatchedVoucher;
use crate::ident::{NodeId, Prefix};
use crate::limits;
use crate::market::bid::Payee;
use crate::market::topic::Topic;
use crate::time::{Span, Time};
use crate::wire::message::{Content, Gossip, Message, Refusal, VerifiedGossip};
use crate::work::cost::CostSheet;
use crate::work::order::{JobId, ModelId, Order, OrderId, Task, TaskKind};
use crate::work::price::Weights;

mod event;

pub use event::{Bill, Budget, ChannelChange, ChannelNews, Crowd, Event, Failure, JobReport, OrderNews};

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
    /// Gossip on a topic.
    Broadcast {
        /// The topic.
        topic: Topic,
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
    /// Count the tokens of a task's input, without beginning to read them. The answer is [`EngineReport::Counted`].
    Count {
        /// The job.
        job: JobId,
        /// The model.
        model: ModelId,
        /// The task.
        task: Task,
    },
    /// Start a task on the engine. Before it says anything else, it answers [`EngineReport::Counted`]: for a client that is believed
    /// nobody has counted before.
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
    /// Client: ask on a topic who offers what it is about, unless it was asked a moment ago. (`MK-18`)
    Seek(Topic),
    /// Client: ask one provider, which is connected, for everything that it offers, unless it was asked a moment ago.
    /// (`MK-62`)
    SeekFrom(NodeId),
    /// Client: ask those that are known to sell what they want for a task of an order's size, so that [`Client::quote`] goes by their
    /// answers. (`MK-64`)
    ///
    /// [`Client::quote`]: crate::client::Client::quote
    SeekPrices(Box<Order>),
    /// Client: those that sell have been looked up and asked, as far as they can be found. Of whom nothing was heard by now is not
    /// there. (`MK-65`)
    Surveyed {
        /// Since when no node has been connected to this one, if none is.
        alone_since: Option<Time>,
    },
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
    /// Provider: how fast the shell looks at channels from now on. Without it every channel is
    /// taken to be seen at once. (`CH-35`)
    Pace(Pace),
    /// Client and provider: it is now this Unix second. The shell says so when its clock and the machine's have parted: it was
    /// put right, or the machine slept. (`WI-18`)
    Clock {
        /// Unix seconds.
        unix_s: u64,
    },
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
    /// What its owner wants for the work, with all slots free.
    pub cost: CostSheet,
    /// What its manifest lets its tokens count.
    pub weights: Weights,
    /// Jobs at a time.
    pub slots: u16,
    /// Milliseconds until an idle engine begins to read, as measured.
    pub start_ms: u32,
    /// Input tokens that an idle engine reads in a second, as measured.
    pub read_tps: u32,
    /// Output tokens that an idle engine makes in a second, as measured.
    pub write_tps: u32,
    /// Tokens of input and output together that the model can hold.
    pub context_tokens: u32,
    /// Tokens of the largest answer.
    pub output_max: u32,
}

impl Offer {
    /// Returns how many tokens an answer is expected to have of which so many are allowed: all of a short one, a quarter and
    /// some more of a long one.
    #[must_use]
    pub fn expected_answer(output_tokens_max: u64) -> u64 {
        output_tokens_max.min(limits::CHAT_TOKENS.saturating_add(output_tokens_max / 4))
    }

    /// Returns how long an idle engine works on a task of which so many tokens are allowed, by the speeds offered.
    #[must_use]
    pub fn work(&self, input_tokens: u64, output_tokens_max: u64) -> Span {
        self.work_of(input_tokens, Self::expected_answer(output_tokens_max))
    }

    /// Returns how many tokens of an answer of so many at the most its engine is let go ahead of their payment: what it makes in a
    /// while, and one more than there can be, as an end may need a step of its own.
    #[must_use]
    pub fn tokens_ahead(&self, output_tokens_max: u64) -> u64 {
        let in_a_while = u64::from(self.write_tps).saturating_mul(limits::AHEAD.0).div_ceil(1_000_000);
        in_a_while.max(limits::CHUNK_TOKENS.into()).min(output_tokens_max.saturating_add(1))
    }

    /// Returns how long it works on an answer of so many tokens.
    #[must_use]
    pub fn work_of(&self, input_tokens: u64, output_tokens: u64) -> Span {
        let at = |tokens: u64, per_s: u32| {
            tokens.saturating_mul(1_000_000).checked_div(u64::from(per_s)).unwrap_or(0)
        };
        let read = at(input_tokens, self.read_tps);
        let write = at(output_tokens, self.write_tps);
        Span(Span::from_ms(u64::from(self.start_ms)).0.saturating_add(read).saturating_add(write))
    }
}

/// What the engine says about a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineReport {
    /// The input of a task is counted, because that was asked for, or because the task begins.
    Counted {
        /// Input tokens.
        input_tokens: u32,
        /// Those of them that need not be read again, at the most.
        cached_tokens: u32,
    },
    /// So much of the input is read.
    Read {
        /// Input tokens.
        tokens: u32,
    },
    /// A part of the answer.
    Content(Content),
    /// It could not be done: why, as far as a stranger may know. The rest stays in the provider's own log.
    Failed(Refusal),
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
    /// More demands of payment than a job has reason for. (`CH-55`)
    Demanding,
    /// An award that no task followed. (`MK-45`)
    NoTask,
    /// A task that no money followed. (`MK-45`)
    NoMoney,
}

impl PeerFault {
    /// Returns whether no honest peer does that. The others happen to a peer that loses its
    /// connection or whose wallet is empty: a provider holds them against the peer itself, and a
    /// shell must not block anyone for them.
    #[must_use]
    pub const fn is_breach(self) -> bool {
        match self {
            Self::Forged | Self::Malformed | Self::FalseReceipt | Self::FalseVoucher | Self::Demanding => {
                true
            }
            Self::NoTask | Self::NoMoney => false,
        }
    }
}
