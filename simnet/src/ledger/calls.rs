//! What each call does to a channel and to wallets, refusals included.

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::LedgerFault;
use bombyx_protocol::channel::terms::AgreedTerms;
use bombyx_protocol::channel::voucher::{CloseOrder, SignedVoucher};
use bombyx_protocol::ident::Signature;
use bombyx_protocol::time::{Span, Time};

use crate::ledger::chain::{Chain, Wallet};
use crate::ledger::channel::{Channel, REFUSED};
use crate::ledger::fees::{
    FEE_CLAIM, FEE_CLOSE, FEE_OPEN, FEE_REQUEST_CLOSE, FEE_TOP_UP, FEE_WALLET_CLAIM, OPEN_RESERVE,
    OWN_FEE_CLAIM_MIN, PAYOUT_MIN,
};
use crate::ledger::transactions::Counter;

impl Chain {
    pub(super) fn open(
        &mut self,
        wallet: Wallet,
        terms: AgreedTerms,
        deposit: u64,
    ) -> Result<Counter, LedgerFault> {
        let account = terms.id();
        if terms.check(self.network_id).is_err() {
            return Err(REFUSED);
        }
        self.spend(wallet, deposit + OPEN_RESERVE, FEE_OPEN)?;
        let channel = Channel {
            terms,
            epoch: self.clock,
            close_at: None,
            deposit,
            settled: 0,
            balance: deposit + OPEN_RESERVE,
        };
        self.channels.insert(account, channel);
        Ok(|transactions| &mut transactions.open)
    }

    pub(super) fn top_up(
        &mut self,
        account: ChannelId,
        wallet: Wallet,
        amount: u64,
    ) -> Result<Counter, LedgerFault> {
        let open = self.channels.get(&account).is_some_and(|channel| channel.close_at.is_none());
        if !open {
            return Err(REFUSED);
        }
        self.spend(wallet, amount, FEE_TOP_UP)?;
        let channel = self.channels.get_mut(&account).ok_or(REFUSED)?;
        channel.deposit += amount;
        channel.balance += amount;
        Ok(|transactions| &mut transactions.top_up)
    }

    pub(super) fn claim(
        &mut self,
        account: ChannelId,
        wallet: Wallet,
        voucher: &SignedVoucher,
    ) -> Result<Counter, LedgerFault> {
        let channel = self.channels.get_mut(&account).ok_or(REFUSED)?;
        let delta = channel.check(voucher)?;
        let payee = channel.terms.provider.hash;
        if delta >= OWN_FEE_CLAIM_MIN {
            channel.pay(delta);
            self.fees += FEE_CLAIM;
            self.pay_out(payee, delta - FEE_CLAIM);
        } else {
            // Too small to pay for itself: the wallet that sends the claim pays, as a watchtower does.
            self.spend(wallet, 0, FEE_WALLET_CLAIM)?;
            self.channels.get_mut(&account).ok_or(REFUSED)?.pay(delta);
            self.pay_out(payee, delta);
        }
        Ok(|transactions| &mut transactions.claim)
    }

    pub(super) fn close(
        &mut self,
        account: ChannelId,
        voucher: Option<SignedVoucher>,
        order: CloseOrder,
        by: Signature,
    ) -> Result<Counter, LedgerFault> {
        let channel = self.channels.get_mut(&account).ok_or(REFUSED)?;
        let due = if order.cumulative.0 == channel.settled {
            0
        } else {
            let voucher = voucher.ok_or(REFUSED)?;
            if voucher.cumulative != order.cumulative {
                return Err(REFUSED);
            }
            channel.check(&voucher)?
        };
        if order.account != account || order.epoch != channel.epoch {
            return Err(REFUSED);
        }
        order.verify(&channel.terms.provider_key, &by).map_err(|_| REFUSED)?;
        self.close_out(account, due);
        Ok(|transactions| &mut transactions.close)
    }

    pub(super) fn request_close(
        &mut self,
        now: Time,
        account: ChannelId,
        wallet: Wallet,
    ) -> Result<Counter, LedgerFault> {
        let channel = self.channels.get(&account).ok_or(REFUSED)?;
        if channel.terms.client.hash != wallet || channel.close_at.is_some() {
            return Err(REFUSED);
        }
        self.spend(wallet, 0, FEE_REQUEST_CLOSE)?;
        let channel = self.channels.get_mut(&account).ok_or(REFUSED)?;
        channel.close_at = Some(now + Span::from_s(u64::from(channel.terms.challenge_s)));
        Ok(|transactions| &mut transactions.request_close)
    }

    pub(super) fn finalize(&mut self, now: Time, account: ChannelId) -> Result<Counter, LedgerFault> {
        let channel = self.channels.get(&account).ok_or(REFUSED)?;
        if channel.close_at.is_none_or(|at| now < at) {
            return Err(REFUSED);
        }
        self.close_out(account, 0);
        Ok(|transactions| &mut transactions.finalize)
    }

    /// Pays `due` to the provider, the rest to the client, the fee from the reserve; the account is gone.
    fn close_out(&mut self, account: ChannelId, due: u64) {
        let Some(channel) = self.channels.remove(&account) else { return };
        self.closed.insert((account, channel.epoch), channel.settled + due);
        let payout = if due >= PAYOUT_MIN { due } else { 0 };
        let rest = channel.balance - payout - FEE_CLOSE;
        self.fees += FEE_CLOSE;
        self.dust += due - payout;
        self.pay_out(channel.terms.provider.hash, payout);
        *self.wallets.entry(channel.terms.client.hash).or_default() += rest;
    }

    fn pay_out(&mut self, provider: Wallet, amount: u64) {
        self.paid_out += amount;
        *self.wallets.entry(provider).or_default() += amount;
    }

    /// Takes `amount` and `fee` out of a wallet; the amount is the caller's to place.
    fn spend(&mut self, wallet: Wallet, amount: u64, fee: u64) -> Result<(), LedgerFault> {
        let funds = |missing| LedgerFault::Funds { missing: Nano(missing) };
        let balance = self.wallets.get_mut(&wallet).ok_or(funds(amount + fee))?;
        *balance = balance.checked_sub(amount + fee).ok_or(funds((amount + fee).saturating_sub(*balance)))?;
        self.fees += fee;
        Ok(())
    }
}
