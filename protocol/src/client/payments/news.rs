//! What the ledger's word changes, true or not.

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::channel::id::ChannelId;
use crate::channel::ledger::{ChannelState, LedgerEvent, LedgerFault};
use crate::channel::pay::Payer;
use crate::io::ChannelChange;
use crate::limits;
use crate::outbox::Outbox;
use crate::time::Time;

use super::Payments;

/// What a ledger event means for the orders on a channel.
#[derive(Debug)]
pub(in crate::client) struct Effect {
    pub(in crate::client) account: ChannelId,
    /// Whether vouchers can be signed that could not be before.
    pub(in crate::client) payable: bool,
    /// Why orders end that the channel does not cover any more.
    pub(in crate::client) fault: Option<PaymentFault>,
}

impl Payments {
    /// Accepts the ledger's word. Returns what it means for the orders on that channel.
    pub(in crate::client) fn on_ledger(
        &mut self,
        now: Time,
        event: &LedgerEvent,
        outbox: &mut Outbox,
    ) -> Effect {
        match event {
            LedgerEvent::Channel { account, state: Some(state) } => self.seen(now, account, state, outbox),
            LedgerEvent::Channel { account, state: None } => {
                let closed = PaymentFault::Closed { account: account.address() };
                let fault = self.absent(now, account, outbox).then_some(closed);
                Effect { account: *account, fault, payable: false }
            }
            LedgerEvent::Failed { account, top_up, fault } => {
                let fault = self.call_failed(now, account, *top_up, *fault, outbox);
                Effect { account: *account, fault, payable: false }
            }
        }
    }

    fn seen(&mut self, now: Time, account: &ChannelId, state: &ChannelState, outbox: &mut Outbox) -> Effect {
        let mut effect = Effect { account: *account, payable: false, fault: None };
        // A channel that this node never asked for does not count, no matter who says that it is there
        // and who paid for it.
        let Some(channel) = self.channel(account).filter(|channel| channel.recorded) else { return effect };
        let was_closing = channel.payer.is_closing();
        let signed = |payer: &Payer| (payer.is_open() && !payer.is_gone(), payer.voucher());
        let before = signed(&channel.payer);
        let observed = channel.payer.observe(now, state);
        if channel.payer.is_closing() != was_closing {
            channel.acted_at = None;
        }
        if channel.payer.is_open() {
            channel.opened_at.get_or_insert(now);
        }
        if observed.changed {
            channel.funding = false;
            if !channel.payer.is_being_topped_up() {
                (channel.early, channel.not_early_until) = (None, None);
            }
            channel.persist(outbox);
            let change = match state.closing {
                Some(_) => ChannelChange::Closing,
                None => ChannelChange::Open { deposit: state.deposit },
            };
            channel.announce(change, outbox);
            effect.payable = state.closing.is_none() && signed(&channel.payer) != before;
        }
        if let Some(mismatch) = observed.mismatch {
            effect.fault = channel.mismatched(mismatch, outbox);
        }
        if channel.useful {
            channel.add_deferred(outbox);
        }
        effect
    }

    /// Accepts that a ledger call failed. Returns why the orders that waited for it end.
    fn call_failed(
        &mut self,
        now: Time,
        account: &ChannelId,
        top_up: Option<Nano>,
        why: LedgerFault,
        outbox: &mut Outbox,
    ) -> Option<PaymentFault> {
        let rest_max = self.rest_max;
        let channel = self.channel(account)?;
        if channel.opens_with_less(why, outbox) {
            return None;
        }
        channel.announce(ChannelChange::Failed(why), outbox);
        let (account, address) = (*account, channel.address());
        if channel.payer.is_open() {
            let amount = top_up?;
            channel.funding = false;
            channel.payer.top_up_failed(amount, why.is_certain());
            channel.not_early_until = Some(now + limits::EARLY_TOP_UP_PAUSE);
            let was_early = channel.early.take_if(|early| *early == amount).is_some();
            if channel.tops_up_less(amount, why, outbox)
                || (was_early && channel.replaces_early(rest_max, outbox))
            {
                return None;
            }
            return Some(PaymentFault::Exhausted { account: address, why });
        }
        channel.funding = false;
        // What it takes at the least, where the wallet does not hold even that.
        let asked = channel.opening_deposit();
        let deposit = asked.min(channel.needs());
        // The orders that need the deferred part end with the opening.
        channel.forgo_deferred();
        channel.maybe_sent |= !why.is_certain();
        let fault = match why {
            LedgerFault::Funds { missing } => {
                let missing = missing.saturating_minus(asked.saturating_minus(deposit));
                PaymentFault::NoFunds { deposit, missing }
            }
            LedgerFault::NotSent | LedgerFault::Refused { .. } | LedgerFault::Unknown => {
                PaymentFault::NotOpened { account: address, why }
            }
        };
        // Only a deposit that surely never left is forgotten. (`CH-29`)
        if !channel.maybe_sent {
            channel.unopened = Some(fault);
            channel.payer.not_opened();
            self.keep_debt(&account, outbox);
        }
        Some(fault)
    }
}
