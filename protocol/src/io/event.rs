//! What the user may want to know: how an order goes, what a job came to, what happens to a channel.

use crate::amount::Nano;
use crate::channel::fault::{Mismatch, PaymentFault};
use crate::channel::id::ChannelId;
use crate::ident::{NodeId, Prefix};
use crate::market::auction::BidReport;
use crate::time::{Span, Time};
use crate::wire::message::{Content, Finish, Refusal};
use crate::work::order::{JobId, OrderFault, OrderId, Tier};
use crate::work::price::Price;

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
    /// Input of strangers that is counted. (`WR-25`)
    Counts,
    /// Places in the line for a slot. (`MK-48`)
    Places,
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
    /// The part of it that no voucher covers yet, as the ledger has not shown the channel: it is paid when that is there, and
    /// not at all if it never comes.
    pub unpaid: Nano,
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
    /// This node is connected to nobody.
    #[error("this node is connected to no other, so that nobody can be asked")]
    NotConnected,
    /// Nobody sells the model, as far as can be found.
    #[error("nobody that this node can find sells this model; other models on offer: {others}")]
    NoSeller {
        /// How many other models are on offer.
        others: u32,
    },
    /// Nobody answered the call.
    #[error("no provider bid for this model before the deadline; is one online that serves it?")]
    NoBids,
    /// There were bids, all of providers that can begin only when the order's time is over.
    #[error(
        "every provider that answered ({bids}) is busy for longer than the order has time; come back in {come_back_s} s{}",
        with_more_time(*answer_s)
    )]
    Full {
        /// How many.
        bids: u32,
        /// Seconds after which the same order is expected to be served.
        come_back_s: u32,
        /// Seconds that the answer is expected to take then, where the order has less time than that.
        answer_s: Option<u32>,
    },
    /// There were bids, all of them of providers that failed lately.
    #[error(
        "every provider that bid has failed this node lately and is being left alone; the first is asked again in {come_back_s} s"
    )]
    LeftAlone {
        /// Seconds after which the first of them is asked again.
        come_back_s: u32,
    },
    /// There were bids, none of a provider that the order may go to.
    #[error("no provider that the order allows has bid; bids of others: {others}")]
    NotWanted {
        /// How many others have.
        others: u32,
    },
    /// There were bids; that they are too dear stands in the way of most.
    #[error(
        "what is bid could cost more than the order allows; the cheapest needs {lowest} coins at the least"
    )]
    OverBudget {
        /// The least that the order would have to allow for the cheapest bid: the most that it could cost, for the shortest answer that
        /// it may be cut to. (`MK-13`)
        lowest: Nano,
    },
    /// There were bids; that they are above what a bid may ask stands in the way of most.
    #[error(
        "what is bid is more than a bid may ask: the lowest is {} nano for 1,000 units, and {} is the most",
        lowest.0,
        most.0
    )]
    OverCeiling {
        /// What the lowest bid asks.
        lowest: Price,
        /// What a bid may ask.
        most: Price,
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
    /// A provider counts the input as it cannot be.
    #[error("the provider counts {counted} input tokens where there are {stated}")]
    FalseCount {
        /// The tokens that this node stated.
        stated: u64,
        /// The tokens that the provider claims.
        counted: u64,
    },
    /// A provider failed after so many tokens that no other one can be told where to go on.
    #[error(
        "the provider failed after {delivered} tokens; an answer of that length cannot be continued by another"
    )]
    TooLongToResume {
        /// Tokens that the user has.
        delivered: u32,
    },
    /// A provider failed in mid-answer, and nobody went on with it.
    #[error(
        "the provider failed in mid-answer and no other went on with it; {delivered} {} came, and what it had billed of them is paid",
        if *delivered == 1 { "token or vector" } else { "tokens or vectors" }
    )]
    CutShort {
        /// Tokens or vectors that the user has.
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

impl Failure {
    /// Returns that all that bid are being left alone, the first of them until then.
    #[must_use]
    pub(crate) fn left_alone(now: Time, until: Time) -> Self {
        let come_back_s = until.since(now).0.div_ceil(1_000_000).max(1);
        Self::LeftAlone { come_back_s: u32::try_from(come_back_s).unwrap_or(u32::MAX) }
    }
}

/// Says of an order that is told to come back that its answer may need more time than it has.
fn with_more_time(answer_s: Option<u32>) -> String {
    let Some(answer_s) = answer_s else { return String::new() };
    format!(", with more time: at the speed of a busy provider the answer is expected to take {answer_s} s")
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
    /// Whether anything was sent to the client: a task may end while it waits for its slot or its money.
    pub delivered: bool,
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
        /// What was due to this node and paid to nobody: too little to be paid out (`CH-26`), or there was no close. Nothing where it
        /// was gone before it was looked at.
        lost: Option<Nano>,
    },
    /// The ledger refused or did not answer.
    Failed(crate::channel::ledger::LedgerFault),
    /// It is not what this node's store says.
    Mismatch(Mismatch),
    /// A close of it could not be seen in time any more: it is closed as soon as nothing is served on it.
    /// (`CH-35`)
    Unwatchable,
    /// It was never opened, and what is owed on it is not remembered any more. (`CH-56`)
    Forgotten {
        /// What is owed on it.
        owed: Nano,
    },
}
