//! One channel that this client pays on, and the calls to the ledger that fund it.

use crate::amount::Nano;
use crate::channel::fault::{Mismatch, PaymentFault};
use crate::channel::ledger::{LedgerCall, LedgerFault};
use crate::channel::looks::Looks;
use crate::channel::pay::{InsufficientDeposit, Payer};
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
    /// When a close last called the ledger; the next call waits for [`limits::LEDGER_WAIT`].
    pub(super) acted_at: Option<Time>,
    /// Whether the ledger was asked for a deposit, or a part of one, and has not answered.
    pub(super) funding: bool,
    /// Whether an opening may have been sent whose effect nobody has seen. A later failure then does
    /// not prove that there is no deposit.
    pub(super) maybe_sent: bool,
    /// When a job last began or ended on it. For a restored channel: the first moment after the
    /// restart.
    pub(super) used_at: Option<Time>,
    /// Whether a record of it was written. Until then it is a proposal that only a job knows.
    pub(super) recorded: bool,
    /// Whether its provider has ever delivered anything, as far as is known since the restart.
    pub(super) useful: bool,
    /// When the ledger was last asked to open it, since the restart.
    pub(super) asked_at: Option<Time>,
    /// The part of the deposit that is asked for once the channel is open and has been of use.
    /// (`CH-32`)
    pub(super) deferred: Nano,
    /// The top-up under way that was asked for before a job needed it.
    pub(super) early: Option<Nano>,
    /// Until when none is asked for early, because the last top-up came to nothing.
    pub(super) not_early_until: Option<Time>,
    /// When the ledger was first seen to show it, in this life or one before.
    pub(super) opened_at: Option<Time>,
    /// Why it was last not opened, where that is certain.
    pub(super) unopened: Option<PaymentFault>,
    /// When to look at it again, once it is gone.
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
            early: None,
            not_early_until: None,
            opened_at: None,
            unopened: None,
            looks: Looks::default(),
        }
    }

    /// Returns a channel that only a job knows.
    pub(super) fn proposed(now: Time, payer: Payer) -> Self {
        Self { recorded: false, ..Self::new(payer, Some(now)) }
    }

    pub(super) fn address(&self) -> Address {
        self.payer.account().address()
    }

    /// Returns whether its terms fit a new job with this provider.
    pub(super) fn pays(&self, provider: NodeId, payee: &Payee) -> bool {
        let terms = self.payer.terms();
        self.payer.provider() == provider
            && self.payer.is_usable()
            && terms.provider_key == payee.key
            && terms.provider == payee.address
    }

    /// Asks the ledger to open the channel. Asking again is harmless: the terms name one account, so
    /// the ledger only tells whether it is there.
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

    /// Fills the rest up to `deposit` before a job needs it, unless another top-up is under way: the ledger takes longer than most
    /// jobs. At no time more than `rest_max` is locked beyond what is promised. (`CH-20`)
    pub(super) fn top_up_early(&mut self, now: Time, deposit: Nano, rest_max: Nano, outbox: &mut Outbox) {
        let amount = self.early_top_up(now, self.payer.headroom(), deposit, rest_max);
        if amount > Nano::ZERO {
            self.early = Some(amount);
            self.top_up(amount, outbox);
        }
    }

    /// Returns what is added to it for a job that it does not cover: a deposit, and what is promised or set aside above the last one.
    pub(super) fn addition(&self, deposit: Nano, rest_max: Nano) -> Nano {
        let payer = &self.payer;
        deposit.saturating_plus(payer.uncovered()).min(rest_max.saturating_minus(payer.rest()))
    }

    /// Returns by how much it is filled up early where a job leaves so much of it.
    pub(super) fn early_top_up(&self, now: Time, headroom: Nano, deposit: Nano, rest_max: Nano) -> Nano {
        let payer = &self.payer;
        let room = rest_max.saturating_minus(payer.rest());
        let may_ask = self.useful
            && payer.is_open()
            && payer.is_usable()
            && !payer.is_being_topped_up()
            && self.not_early_until.is_none_or(|until| now >= until);
        if may_ask { deposit.saturating_minus(headroom).min(room) } else { Nano::ZERO }
    }

    /// Asks once more for what the jobs need that have begun on a top-up that nobody had needed yet, and that came to nothing: it
    /// says little of the one that they would have asked for. Returns whether it did so.
    pub(super) fn replaces_early(&mut self, rest_max: Nano, outbox: &mut Outbox) -> bool {
        let missing = self.payer.uncovered();
        let room = rest_max.saturating_minus(self.payer.rest());
        if missing == Nano::ZERO || missing > room || !self.payer.is_usable() {
            return false;
        }
        self.top_up(missing, outbox);
        true
    }

    /// Asks the ledger for a part of the deposit that is counted on already.
    pub(super) fn ask_for_more(&mut self, amount: Nano, outbox: &mut Outbox) {
        // What was asked for is on disk before the ledger hears of it, so that a crash does not hide it.
        self.persist(outbox);
        self.funding = true;
        outbox.call(LedgerCall::TopUp { account: self.payer.account(), amount });
    }

    /// Returns the deposit to open it with: all but the deferred part.
    pub(super) fn opening_deposit(&self) -> Nano {
        self.payer.record().deposit.saturating_minus(self.deferred)
    }

    /// Returns the deposit that the jobs on it and what was promised need.
    pub(super) fn needs(&self) -> Nano {
        self.payer.cumulative().saturating_plus(self.payer.reserved())
    }

    /// Asks the ledger for a smaller deposit, where the wallet holds too little for the one that was asked for and enough for what
    /// the jobs on it need. Returns whether it did so. (`CH-31`)
    pub(super) fn opens_with_less(&mut self, why: LedgerFault, outbox: &mut Outbox) -> bool {
        let LedgerFault::Funds { missing } = why else { return false };
        let asked = self.opening_deposit();
        let less = asked.saturating_minus(missing);
        // One that may have been sent before is asked for as it was.
        let is_new = !self.payer.is_open() && self.payer.is_usable() && !self.maybe_sent;
        if !is_new || missing == Nano::ZERO || less == Nano::ZERO || less < self.needs() {
            return false;
        }
        self.forgo_deferred();
        self.payer.forgo(missing);
        self.persist(outbox);
        self.open(outbox);
        true
    }

    /// Asks the ledger for a smaller addition, likewise; `amount` was asked for in vain and is not counted on any more.
    pub(super) fn tops_up_less(&mut self, amount: Nano, why: LedgerFault, outbox: &mut Outbox) -> bool {
        let LedgerFault::Funds { missing } = why else { return false };
        let less = amount.saturating_minus(missing);
        let is_needed = !self.payer.is_covered() && self.payer.is_usable();
        if !is_needed || missing == Nano::ZERO || less < self.payer.uncovered() {
            return false;
        }
        self.top_up(less, outbox);
        true
    }

    /// Asks the ledger for the deferred part, once the channel is open. A channel that is asked back gets no more.
    pub(super) fn add_deferred(&mut self, outbox: &mut Outbox) {
        if self.payer.is_open() && self.payer.is_usable() && self.deferred > Nano::ZERO {
            let amount = core::mem::take(&mut self.deferred);
            self.ask_for_more(amount, outbox);
        }
    }

    /// Stops counting on the deferred part.
    pub(super) fn forgo_deferred(&mut self) {
        self.payer.forgo(core::mem::take(&mut self.deferred));
    }

    /// Writes a record of it, unless it is only a proposal.
    pub(super) fn persist(&self, outbox: &mut Outbox) {
        if self.recorded {
            outbox.persist(Record::Payer(self.payer.record()));
        }
    }

    pub(super) fn announce(&self, change: ChannelChange, outbox: &mut Outbox) {
        outbox.push(Output::Event(Event::Channel(ChannelNews {
            account: self.payer.account(),
            peer: self.payer.provider(),
            change,
        })));
    }

    /// Writes and announces what the store did not know. Returns the fault, if nothing can be paid on
    /// the channel any more.
    pub(super) fn mismatched(&self, mismatch: Mismatch, outbox: &mut Outbox) -> Option<PaymentFault> {
        self.persist(outbox);
        self.announce(ChannelChange::Mismatch(mismatch), outbox);
        (!mismatch.is_healed()).then(|| PaymentFault::Mismatch { account: self.address(), mismatch })
    }

    /// Sets aside the most that a job can cost. (`CH-2`)
    pub(super) fn reserve(&mut self, cost_max: Nano) -> Result<(), PaymentFault> {
        let account = self.address();
        let exhausted = |InsufficientDeposit| PaymentFault::Exhausted { account, why: LedgerFault::NotSent };
        self.payer.reserve(cost_max).map_err(exhausted)
    }
}
