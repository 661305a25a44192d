//! The provider's side of a channel: what was served, what the newest voucher covers, and what may stay unpaid. What the ledger
//! shows of it is in `shown`.

mod shown;

use crate::amount::Nano;
use crate::channel::exposure::Exposure;
use crate::channel::fault::Mismatch;
use crate::channel::id::ChannelId;
use crate::channel::record::EarnerRecord;
use crate::channel::sight::Sight;
use crate::channel::terms::AgreedTerms;
use crate::channel::voucher::{Acceptance, Checker, VoucherFault};
use crate::ident::NodeId;
use crate::limits;
use crate::wire::message::Payment;

/// A channel that this node earns on.
///
/// Only a voucher whose signature was checked counts as payment. What the ledger shows does not.
/// (`CH-30`)
#[derive(Debug)]
pub struct Earner {
    terms: AgreedTerms,
    /// Checks the client's vouchers.
    checker: Checker,
    client: NodeId,
    /// What the ledger showed last, in this life or an earlier one.
    sight: Option<Sight>,
    newest: Option<Payment>,
    /// Boxed: it is seldom there.
    early: Option<Box<Payment>>,
    /// The newest voucher of another funding than that of `newest`: if the ledger's word of it was untrue, it still counts.
    shelved: Option<Box<Payment>>,
    /// What was served and paid on it, and what may be lost.
    pub exposure: Exposure,
    /// The funding in which a close order was signed.
    ordered: Option<u64>,
    /// Whether the ledger has shown that the channel is gone.
    gone: bool,
    /// Whether it was read back from disk and no voucher has come since: the client may have been
    /// promised more than is remembered.
    unconfirmed: bool,
}

impl Earner {
    /// Creates a channel named by a client, with nothing known about it yet.
    #[must_use]
    pub fn new(terms: impl Into<AgreedTerms>, client: NodeId) -> Self {
        let terms = terms.into();
        Self {
            terms,
            checker: Checker::default(),
            client,
            sight: None,
            newest: None,
            early: None,
            shelved: None,
            exposure: Exposure::default(),
            ordered: None,
            gone: false,
            unconfirmed: false,
        }
    }

    /// Returns a channel read back from disk, where the machine's time zero is this second.
    #[must_use]
    pub fn restored(record: EarnerRecord, zero_s: u64) -> Self {
        let exposure = Exposure::restored(&record);
        let challenge_s = record.terms.challenge_s;
        Self {
            sight: record.sight.map(|sight| Sight::remembered(sight, zero_s, challenge_s)),
            newest: record.payment,
            early: record.early,
            shelved: record.shelved,
            exposure,
            ordered: record.ordered,
            gone: record.gone,
            unconfirmed: true,
            ..Self::new(record.terms, record.client)
        }
    }

    /// Returns what must be on disk before more is served on the strength of it.
    #[must_use]
    pub fn record(&self) -> EarnerRecord {
        EarnerRecord {
            terms: self.terms.clone(),
            client: self.client,
            payment: self.newest,
            early: self.early.clone(),
            shelved: self.shelved.clone(),
            at_risk: self.exposure.at_risk(),
            widest: self.exposure.widest(),
            ordered: self.ordered,
            gone: self.gone,
            given_up: self.exposure.written_off(),
            sight: self.sight.filter(|_| self.is_open()).map(|sight| sight.record()),
        }
    }

    /// Returns whether more may be lost on it than the record on disk says. It is written before
    /// that is served. (`CH-38`)
    #[must_use]
    pub fn is_beyond_record(&self) -> bool {
        self.exposure.is_beyond_record(self.shown_ever().is_some())
    }

    /// Returns the terms.
    #[must_use]
    pub const fn terms(&self) -> &AgreedTerms {
        &self.terms
    }

    /// Returns the account's hash.
    #[must_use]
    pub fn account(&self) -> ChannelId {
        self.terms.id()
    }

    /// Returns who pays.
    #[must_use]
    pub const fn client(&self) -> NodeId {
        self.client
    }

    /// Returns the newest voucher that counts.
    #[must_use]
    pub const fn newest(&self) -> Option<Payment> {
        self.newest
    }

    /// Returns what the newest voucher covers. What the ledger shows settled is not counted: its
    /// word alone pays nobody. (`CH-30`)
    #[must_use]
    pub const fn paid(&self) -> Nano {
        self.exposure.paid()
    }

    /// Returns whether anything about it is worth keeping once it is gone from the ledger: a
    /// voucher, or what is held against its client.
    #[must_use]
    pub fn is_worth_keeping(&self) -> bool {
        self.has_vouchers() || self.shelved.is_some() || self.exposure.at_risk() > Nano::ZERO
    }

    /// Returns what was served over the channel's life.
    #[must_use]
    pub const fn served(&self) -> Nano {
        self.exposure.served()
    }

    /// Returns what is served, not covered, and not given up.
    #[must_use]
    pub const fn unpaid(&self) -> Nano {
        self.exposure.unpaid()
    }

    /// Returns what was given up: chunks that a client never paid because it crashed, or the network lost them.
    #[must_use]
    pub const fn written_off(&self) -> Nano {
        self.exposure.written_off()
    }

    /// Returns whether any voucher has come, one for what the ledger has not shown included.
    #[must_use]
    pub const fn has_vouchers(&self) -> bool {
        self.newest.is_some() || self.early.is_some()
    }

    /// Returns what vouchers cover and the ledger has not shown settled.
    #[must_use]
    pub fn due(&self) -> Nano {
        self.paid().saturating_minus(self.shown().map_or(Nano::ZERO, |state| state.settled))
    }

    /// Returns whether a close now would lose what is due, because it is too little to be sent. (`CH-26`)
    #[must_use]
    pub fn is_dust(&self) -> bool {
        self.due() > Nano::ZERO && self.due() < limits::PAYOUT_MIN
    }

    /// Returns what is due and was paid to nobody, where the ledger shows it gone now: too little to be sent, or no close was
    /// under way that could have sent it. Nothing where that is not known: a close may have sent it before the ledger was first
    /// looked at. (`CH-37`)
    #[must_use]
    pub fn lost_if_gone(&self) -> Option<Nano> {
        if self.is_dust() || self.due() == Nano::ZERO {
            return Some(self.due());
        }
        let state = self.seen()?;
        Some(if self.is_ordered() || state.closing.is_some() { Nano::ZERO } else { self.due() })
    }

    /// Returns whether the ledger showed the channel funded when it was looked at last, however long ago, and it neither closes nor
    /// has another funding than its vouchers.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shown_ever().is_some() && !self.gone && !self.is_ending()
    }

    /// Returns whether nothing is served on it beyond what vouchers cover: its close is under way,
    /// or a close order for it was signed, or it has been funded anew more often than vouchers are
    /// kept for.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        let closing = self.shown().is_some_and(|state| state.closing.is_some());
        closing || self.is_ordered() || self.is_of_another_funding()
    }

    /// Returns whether the ledger shows another funding than that of the newest voucher.
    fn is_of_another_funding(&self) -> bool {
        self.shown_ever().zip(self.newest).is_some_and(|(state, newest)| state.epoch != newest.epoch)
    }

    /// Returns whether a close order was signed for the funding that it is in.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        let shown = self.shown_ever().map(|state| state.epoch);
        self.ordered.is_some_and(|ordered| shown.is_none_or(|shown| shown == ordered))
    }

    /// Returns the funding that its newest voucher is for, or that the ledger shows.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        let shown = self.shown_ever().map(|state| state.epoch);
        self.newest.map(|newest| newest.epoch).or(shown)
    }

    /// Ends service in this funding, because a close order for it is signed. (`CH-13`)
    pub fn order(&mut self, epoch: u64) {
        self.ordered = Some(epoch);
    }

    /// Puts it to use again as a channel that the ledger has not shown, because a client names it
    /// after it was gone.
    pub fn come_back(&mut self) {
        self.gone = false;
    }

    /// Returns whether the ledger has shown that it is gone, and nothing since.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Returns what the ledger's deposit can still pay, beyond what was paid and is owed: nobody expects it to pay what was given
    /// up, least of all a client that lost the receipts for it.
    #[must_use]
    pub fn headroom(&self) -> Nano {
        let deposit =
            self.shown_funding().filter(|_| self.is_open()).map_or(Nano::ZERO, |state| state.deposit);
        deposit.saturating_minus(self.exposure.owed())
    }

    /// Returns how much more may be served before a voucher must come. (`CH-5`)
    ///
    /// `window` is the most that may ever stay unpaid, `credit` the most on a channel that the ledger has not
    /// shown lately. On a channel that it has shown, nothing is served that the deposit cannot pay. All jobs on the channel
    /// share one window: what others were allowed counts like what is served.
    #[must_use]
    pub fn allowance(&self, window: Nano, credit: Nano) -> Nano {
        if self.is_ending() {
            return self.exposure.prepaid();
        }
        if self.is_relied_on() {
            self.exposure.left_of(window, Some(self.headroom()))
        } else {
            self.exposure.left_of(window.min(credit), None)
        }
    }

    /// Returns whether a voucher says more than those that came before, if it is true.
    #[must_use]
    pub fn is_news(&self, payment: &Payment) -> bool {
        let epoch = self.shown_funding().map(|state| state.epoch).or(self.newest.map(|newest| newest.epoch));
        let is_old = epoch == Some(payment.epoch) && payment.cumulative <= self.paid();
        // Fundings are numbered upwards.
        let order = |payment: &Payment| (payment.epoch, payment.cumulative);
        let is_known = self.early.as_ref().is_some_and(|early| order(early) >= order(payment));
        !is_old && !is_known
    }

    /// Accepts a voucher, or says why not. (`CH-6`)
    ///
    /// # Errors
    /// [`VoucherFault`]; nothing changes then.
    pub fn accept(&mut self, payment: Payment) -> Result<Acceptance, VoucherFault> {
        if !self.is_news(&payment) {
            return Ok(Acceptance::Nothing);
        }
        let seen = self.shown_funding();
        let signed = payment.on(self.account());
        self.checker
            .check(&self.terms.client_key, &signed.hash(), &signed.signature)
            .map_err(|_| VoucherFault::Signature)?;
        match seen {
            Some(state) if payment.epoch != state.epoch || self.is_of_another_funding() => {
                self.shelve(payment);
                Err(VoucherFault::Epoch)
            }
            Some(state) if payment.cumulative <= state.deposit => {
                self.count(payment);
                Ok(Acceptance::More)
            }
            // Perhaps for a funding or a top-up that this node has not seen yet.
            Some(_) | None => {
                self.early = Some(Box::new(payment));
                Ok(Acceptance::Early)
            }
        }
    }

    /// Keeps a voucher of another funding than the one that the ledger shows, unless one of a third is kept.
    fn shelve(&mut self, payment: Payment) {
        let fits = |old: &Payment| old.epoch == payment.epoch && old.cumulative < payment.cumulative;
        if self.shelved.as_deref().is_none_or(fits) {
            self.shelved = Some(Box::new(payment));
        }
    }

    /// Lets a voucher of this funding count, within its deposit and above the last one.
    fn count(&mut self, payment: Payment) {
        self.exposure.pay(payment.cumulative);
        self.newest = Some(payment);
        self.unconfirmed = false;
    }

    /// Returns what a voucher over `total` would tell this node about its own past: after a restart
    /// the first one may be above everything that it remembers. (`CH-24`)
    #[must_use]
    pub fn mismatch(&self, total: Nano) -> Option<Mismatch> {
        let known = self.exposure.known();
        let behind = self.unconfirmed && total > known;
        behind.then_some(Mismatch::Behind { known, shown: total })
    }
}

/// What the ledger's word changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EarnerChange {
    /// Its record has changed: a voucher that came early counts now, or those of another funding. Write it.
    pub counts: bool,
    /// What the store did not know.
    pub mismatch: Option<Mismatch>,
}
