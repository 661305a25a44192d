//! A ledger in integers with the channel's rules, and the check that no nano appears or vanishes.

use std::collections::{BTreeMap, BTreeSet};

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::channel::voucher::SignedVoucher;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::time::{Span, Time};

/// Its rules are simpler than the contract's, and so are its exit codes: there is one.
const REFUSED: LedgerFault = LedgerFault::Refused { exit_code: 100 };

#[derive(Default)]
pub struct Chain {
    wallets: BTreeMap<[u8; 32], u64>,
    channels: BTreeMap<ChannelId, OnChain>,
    watchers: BTreeMap<ChannelId, BTreeSet<NodeId>>,
    /// Nodes that watch now, or did before.
    watched_once: BTreeMap<ChannelId, BTreeSet<NodeId>>,
    shown: BTreeMap<(NodeId, ChannelId), Option<ChannelState>>,
    pending: Vec<(NodeId, Option<[u8; 32]>, LedgerCall)>,
    total: u64,
    epochs: u64,
    /// The ledger takes no calls.
    pub down: bool,
    /// Nodes that are shown nothing.
    pub blind: BTreeSet<NodeId>,
    pub claims: u32,
    pub closes: u32,
    pub opened: u32,
    /// Openings that take effect while their caller hears neither that nor of the channel.
    pub lost_answers: u32,
    /// What becomes of the next top-up, if that is no good.
    pub fails_next_top_up: Option<LedgerFault>,
    now: Time,
}

#[derive(Clone)]
struct OnChain {
    terms: ChannelTerms,
    epoch: u64,
    deposit: u64,
    settled: u64,
    close_at: Option<Time>,
}

impl Chain {
    pub fn fund(&mut self, wallet: [u8; 32], amount: Nano) {
        *self.wallets.entry(wallet).or_default() += amount.0;
        self.total += amount.0;
    }

    pub fn balance(&self, wallet: &[u8; 32]) -> u64 {
        self.wallets.get(wallet).copied().unwrap_or(0)
    }

    pub fn locked(&self) -> u64 {
        self.channels.values().map(|channel| channel.deposit - channel.settled).sum()
    }

    /// No nano appears or vanishes; nothing is settled that was not deposited.
    pub fn check(&self) {
        let wallets: u64 = self.wallets.values().sum();
        assert_eq!(wallets + self.locked(), self.total, "money is conserved");
        for channel in self.channels.values() {
            assert!(channel.settled <= channel.deposit);
        }
    }

    pub fn is_busy(&self) -> bool {
        !self.pending.is_empty() || self.channels.values().any(|channel| channel.close_at.is_some())
    }

    pub fn call(&mut self, node: NodeId, wallet: Option<[u8; 32]>, call: LedgerCall) {
        self.pending.push((node, wallet, call));
    }

    /// Whether something is asked for that is in no block yet.
    pub fn has_calls(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether a node waits for a block.
    pub fn has_calls_of(&self, node: NodeId) -> bool {
        self.pending.iter().any(|(by, _, _)| *by == node)
    }

    /// What was asked for and is in no block yet is lost.
    pub fn lose_calls(&mut self) {
        self.pending.clear();
    }

    /// The channel is closed, and a stranger funds its account anew.
    pub fn fund_anew(&mut self, account: &ChannelId, deposit: u64) {
        let terms = self.channels.get(account).unwrap().terms.clone();
        self.refund(account);
        self.epochs += 1;
        self.total += deposit;
        let channel = OnChain { terms, epoch: self.epochs, deposit, settled: 0, close_at: None };
        self.channels.insert(*account, channel);
    }

    /// The ledger begins anew, as a devnet may: no channel is there any more.
    pub fn begin_anew(&mut self) {
        for account in self.accounts().collect::<Vec<_>>() {
            self.refund(&account);
        }
    }

    /// Every channel that is there.
    pub fn accounts(&self) -> impl Iterator<Item = ChannelId> {
        self.channels.keys().copied()
    }

    /// Shows a channel to every node that ever watched it, with the next block.
    pub fn tell_all_again(&mut self) {
        self.shown.clear();
        let accounts: Vec<ChannelId> = self.channels.keys().copied().collect();
        for account in accounts {
            let nodes = self.watched_once.get(&account).cloned().unwrap_or_default();
            self.watchers.entry(account).or_default().extend(nodes);
        }
    }

    /// What the ledger shows of a channel.
    pub fn channel(&self, account: &ChannelId) -> Option<ChannelState> {
        self.channels.get(account).map(|channel| self.state(channel))
    }

    /// One block: takes what waits, and tells every watcher what has changed.
    pub fn block(&mut self, now: Time) -> Vec<(NodeId, LedgerEvent)> {
        self.now = now;
        if self.down {
            return Vec::new();
        }
        let mut events = Vec::new();
        for (node, wallet, call) in core::mem::take(&mut self.pending) {
            let (account, top_up) = (call.account(), call.top_up());
            if let Err(fault) = self.apply(node, wallet, call) {
                events.push((node, LedgerEvent::Failed { account, top_up, fault }));
            }
        }
        for (account, nodes) in self.watchers.clone() {
            let state = self.channels.get(&account).map(|channel| self.state(channel));
            for node in nodes {
                let shown = self.shown.get(&(node, account)).copied();
                let same = |old: Option<ChannelState>| match (old, state) {
                    (Some(old), Some(new)) => {
                        (old.epoch, old.deposit, old.settled, old.closing.is_some())
                            == (new.epoch, new.deposit, new.settled, new.closing.is_some())
                    }
                    (old, new) => old.is_none() && new.is_none(),
                };
                if !shown.is_some_and(same) && !self.blind.contains(&node) {
                    self.shown.insert((node, account), state);
                    events.push((node, LedgerEvent::Channel { account, state }));
                }
            }
        }
        events
    }

    fn state(&self, channel: &OnChain) -> ChannelState {
        ChannelState {
            epoch: channel.epoch,
            deposit: Nano(channel.deposit),
            settled: Nano(channel.settled),
            closing: channel.close_at.map(|at| at.since(self.now)),
        }
    }

    fn apply(&mut self, node: NodeId, wallet: Option<[u8; 32]>, call: LedgerCall) -> Result<(), LedgerFault> {
        let account = call.account();
        self.watched_once.entry(account).or_default().insert(node);
        match call {
            LedgerCall::Open { .. } if self.channels.contains_key(&account) => {
                self.watchers.entry(account).or_default().insert(node);
            }
            LedgerCall::Open { terms, deposit } => {
                self.spend(wallet, deposit)?;
                self.epochs += 1;
                self.opened += 1;
                let channel = OnChain {
                    terms: ChannelTerms::clone(&terms),
                    epoch: self.epochs,
                    deposit: deposit.0,
                    settled: 0,
                    close_at: None,
                };
                self.channels.insert(account, channel);
                if self.lost_answers > 0 {
                    self.lost_answers -= 1;
                    return Err(LedgerFault::Unknown);
                }
                self.watchers.entry(account).or_default().insert(node);
            }
            LedgerCall::TopUp { amount, .. } => {
                self.channels.get(&account).ok_or(REFUSED)?;
                if let Some(fault) = self.fails_next_top_up.take() {
                    return Err(fault);
                }
                self.spend(wallet, amount)?;
                self.channels.get_mut(&account).ok_or(REFUSED)?.deposit += amount.0;
            }
            LedgerCall::Watch { .. } => {
                self.watchers.entry(account).or_default().insert(node);
                self.shown.remove(&(node, account));
            }
            LedgerCall::Unwatch { .. } => {
                self.watchers.entry(account).or_default().remove(&node);
            }
            LedgerCall::Claim { voucher } => {
                self.claims += 1;
                self.settle(&voucher)?;
            }
            LedgerCall::Close { voucher, order, signature } => {
                let channel = self.channels.get(&account).ok_or(REFUSED)?.clone();
                order.verify(&channel.terms.provider_key, &signature).map_err(|_| REFUSED)?;
                // A total that is settled already needs no voucher.
                if order.cumulative.0 != channel.settled {
                    let voucher = voucher.ok_or(REFUSED)?;
                    if voucher.cumulative != order.cumulative {
                        return Err(REFUSED);
                    }
                    self.settle(&voucher)?;
                }
                self.closes += 1;
                self.refund(&account);
            }
            LedgerCall::RequestClose { request, signature } => {
                let now = self.now;
                let channel = self.channels.get_mut(&account).ok_or(REFUSED)?;
                let signed = request.verify(&channel.terms.client_key, &signature).is_ok();
                if !signed || request.epoch != channel.epoch || channel.close_at.is_some() {
                    return Err(REFUSED);
                }
                channel.close_at = Some(now + Span::from_s(u64::from(channel.terms.challenge_s)));
            }
            LedgerCall::Finalize { .. } => {
                let channel = self.channels.get(&account).ok_or(REFUSED)?;
                if channel.close_at.is_none_or(|at| at > self.now) {
                    return Err(REFUSED);
                }
                self.closes += 1;
                self.refund(&account);
            }
        }
        Ok(())
    }

    fn settle(&mut self, voucher: &SignedVoucher) -> Result<(), LedgerFault> {
        let channel = self.channels.get_mut(&voucher.account).ok_or(REFUSED)?;
        voucher.verify(&channel.terms.client_key, &voucher.signature).map_err(|_| REFUSED)?;
        let cumulative = voucher.cumulative.0;
        let stale = cumulative <= channel.settled || cumulative > channel.deposit;
        if voucher.epoch != channel.epoch || stale {
            return Err(REFUSED);
        }
        let due = cumulative - channel.settled;
        channel.settled = cumulative;
        *self.wallets.entry(channel.terms.provider.hash).or_default() += due;
        Ok(())
    }

    fn refund(&mut self, account: &ChannelId) {
        let channel = self.channels.remove(account).unwrap();
        *self.wallets.entry(channel.terms.client.hash).or_default() += channel.deposit - channel.settled;
    }

    fn spend(&mut self, wallet: Option<[u8; 32]>, amount: Nano) -> Result<(), LedgerFault> {
        let balance = wallet.and_then(|wallet| self.wallets.get_mut(&wallet));
        let balance = balance.ok_or(LedgerFault::Funds { missing: amount })?;
        let missing = Nano(amount.0.saturating_sub(*balance));
        *balance = balance.checked_sub(amount.0).ok_or(LedgerFault::Funds { missing })?;
        Ok(())
    }
}

/// A state that differs from the true one in one thing, by `kind`.
pub fn untrue(state: ChannelState, kind: u64, number: u64) -> ChannelState {
    let amount = Nano(match number % 5 {
        0 => state.deposit.0,
        1 => state.deposit.0 + 1,
        2 => u64::MAX,
        3 => 0,
        _ => number % (2 * state.deposit.0),
    });
    match kind % 5 {
        0 => ChannelState { settled: amount, ..state },
        1 => ChannelState { deposit: amount, ..state },
        2 => ChannelState { epoch: state.epoch + 1 + number % 9, ..state },
        3 => ChannelState { epoch: state.epoch.saturating_sub(1), ..state },
        _ => ChannelState { closing: Some(Span::from_s(number % 3 * 40)), ..state },
    }
}
