//! One channel that this client pays on, and what of its deposit is asked of the ledger.

use crate::amount::Nano;
use crate::channel::fault::{Mismatch, PaymentFault};
use crate::channel::ledger::{LedgerCall, LedgerFault};
use crate::channel::looks::Looks;
use crate::channel::pay::{Exhausted, Payer};
use crate::channel::record::Record;
use crate::channel::terms::Address;
use crate::ident::NodeId;
use crate::io::{ChannelChange, ChannelNews, Event, Output};
use crate::market::bid::Payee;
use crate::outbox::Outbox;
use crate::time::Time;

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) payer: Payer,
    /// The last ledger call of a close, so that it is repeated only after a wait.
    pub(super) acted_at: Option<Time>,
    /// A deposit or a part of one was asked of the ledger, and its fate is not known.
    pub(super) funding: bool,
    /// An opening may have been sent whose effect nobody has seen: no later failure shows that there is no deposit.
    pub(super) maybe_sent: bool,
    /// When a job last began or ended on it; of a restored one, the first moment of this life.
    pub(super) used_at: Option<Time>,
    /// Whether it is written down. Before, it is a proposal that nobody but a job knows.
    pub(super) recorded: bool,
    /// Whether anything was ever delivered for it, as far as this life knows.
    pub(super) useful: bool,
    /// When the ledger was asked to open it, in this life.
    pub(super) asked_at: Option<Time>,
    /// What of the deposit waits until the channel is open and was of use.
    pub(super) deferred: Nano,
    /// Of one that is gone.
    pub(super) looks: Looks,
}

impl Channel {
    pub(super) fn new(payer: Payer, used_at: Option<Time>) -> Self {
        let useful = payer.cumulative() > Nano::ZERO;
        Self {
            payer,
            acted_at: None,
            funding: false,
            maybe_sent: false,
            used_at,
            recorded: true,
            useful,
            asked_at: None,
            deferred: Nano::ZERO,
            looks: Looks::default(),
        }
    }

    /// Returns one that only a job knows.
    pub(super) fn proposed(now: Time, payer: Payer) -> Self {
        Self { recorded: false, ..Self::new(payer, Some(now)) }
    }

    pub(super) fn address(&self) -> Address {
        Address::basechain(self.payer.account())
    }

    /// Returns whether a new job of this provider can be paid on it, as far as its terms go.
    pub(super) fn pays(&self, provider: NodeId, payee: &Payee) -> bool {
        let terms = self.payer.terms();
        self.payer.provider() == provider
            && self.payer.is_usable()
            && terms.provider_key == payee.key
            && terms.provider == payee.address
    }

    /// Asks the ledger for the channel. An opening whose fate is unknown is asked for again: the terms name one account,
    /// so the ledger tells whether it is there.
    pub(super) fn open(&mut self, outbox: &mut Outbox) {
        let terms = self.payer.terms().clone();
        let deposit = self.opening_deposit();
        self.funding = true;
        outbox.call(LedgerCall::Open { terms, deposit });
    }

    pub(super) fn top_up(&mut self, amount: Nano, outbox: &mut Outbox) {
        self.payer.top_up(amount);
        self.ask_for_more(amount, outbox);
    }

    /// Asks the ledger for a part of the deposit that the payer counts on already.
    pub(super) fn ask_for_more(&mut self, amount: Nano, outbox: &mut Outbox) {
        // What was asked for is on disk before the ledger hears of it, so that a crash does not hide it.
        self.persist(outbox);
        self.funding = true;
        outbox.call(LedgerCall::TopUp { account: self.payer.account(), amount });
    }

    /// Returns what the ledger is asked to open it with: without what waits until something was delivered.
    pub(super) fn opening_deposit(&self) -> Nano {
        self.payer.record().deposit.saturating_minus(self.deferred)
    }

    /// Asks the ledger for what was put off, once the channel is open and has been of use, unless it is asked back.
    pub(super) fn add_deferred(&mut self, outbox: &mut Outbox) {
        if self.payer.is_open() && self.payer.is_usable() && self.useful && self.deferred > Nano::ZERO {
            let amount = core::mem::take(&mut self.deferred);
            self.ask_for_more(amount, outbox);
        }
    }

    /// Counts no longer on what was put off.
    pub(super) fn forgo_deferred(&mut self) {
        self.payer.forgo(core::mem::take(&mut self.deferred));
    }

    /// Writes it down; a proposal is not worth a record.
    pub(super) fn persist(&self, outbox: &mut Outbox) {
        if self.recorded {
            outbox.persist(Record::Paying(self.payer.record()));
        }
    }

    pub(super) fn announce(&self, change: ChannelChange, outbox: &mut Outbox) {
        outbox.push(Output::Event(Event::Channel(ChannelNews {
            account: self.payer.account(),
            peer: self.payer.provider(),
            change,
        })));
    }

    /// Writes and tells what the store did not know. Returns the fault, if nothing can be paid here any more.
    pub(super) fn mismatched(&self, mismatch: Mismatch, outbox: &mut Outbox) -> Option<PaymentFault> {
        self.persist(outbox);
        self.announce(ChannelChange::Mismatch(mismatch), outbox);
        (!mismatch.is_healed()).then(|| PaymentFault::Mismatch { account: self.address(), mismatch })
    }

    /// Sets the most that a job can cost aside.
    pub(super) fn reserve(&mut self, cost_max: Nano) -> Result<(), PaymentFault> {
        let account = self.address();
        let exhausted = |Exhausted| PaymentFault::Exhausted { account, why: LedgerFault::NotSent };
        self.payer.reserve(cost_max).map_err(exhausted)
    }
}
