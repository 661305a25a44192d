//! The ledger of a world: wallets, payment channels, blocks and fees, in integers that always add up.
//!
//! The channel's rules are those of `protocol/contracts/channel.tolk`, its refusals included; fees are the measured
//! ones of that contract at mainnet prices. Every call waits for the next block. What a channel pays out, keeps as a
//! reserve and burns as fees comes from somewhere: [`Chain::imbalance`] is zero at every moment.

use std::collections::{BTreeMap, BTreeSet};

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent};
use bombyx_protocol::table::Table;
use bombyx_protocol::time::Time;

use crate::ledger::channel::Channel;
use crate::ledger::transactions::Transactions;

/// A wallet's account.
pub type Wallet = [u8; 32];

/// The ledger.
#[derive(Debug)]
pub struct Chain {
    pub(super) network_id: i32,
    pub(super) wallets: BTreeMap<Wallet, u64>,
    pub(super) channels: BTreeMap<ChannelId, Channel>,
    watchers: BTreeMap<ChannelId, Table<u32, ()>>,
    /// Everything that closed channels have settled, by account and epoch.
    pub(super) closed: BTreeMap<(ChannelId, u64), u64>,
    /// Logical time: counts transactions, and is a channel's epoch.
    pub(super) clock: u64,
    supply: u64,
    pub(super) fees: u64,
    pub(super) paid_out: u64,
    /// Earned, and too little for the ledger to send: it went back to clients.
    pub(super) dust: u64,
    transactions: Transactions,
    /// Money in channels, counted call by call.
    locked: i128,
    /// Money that calls made or lost, counted call by call.
    drift: i128,
}

/// Money around one call.
struct Holdings {
    in_channel: i128,
    sum: i128,
}

impl Chain {
    /// Creates a ledger without money.
    #[must_use]
    pub fn new(network_id: i32) -> Self {
        Self {
            network_id,
            wallets: BTreeMap::new(),
            channels: BTreeMap::new(),
            watchers: BTreeMap::new(),
            closed: BTreeMap::new(),
            clock: 0,
            supply: 0,
            fees: 0,
            paid_out: 0,
            dust: 0,
            transactions: Transactions::default(),
            locked: 0,
            drift: 0,
        }
    }

    /// Creates money in a wallet; used before the run begins, never during it.
    pub fn fund(&mut self, wallet: Wallet, amount: Nano) {
        self.supply += amount.0;
        *self.wallets.entry(wallet).or_default() += amount.0;
    }

    /// Returns whether a call is a question, answered without waiting for a block.
    #[must_use]
    pub fn is_question(call: &LedgerCall) -> bool {
        match call {
            LedgerCall::Watch { .. } | LedgerCall::Unwatch { .. } => true,
            LedgerCall::Open { .. }
            | LedgerCall::TopUp { .. }
            | LedgerCall::Claim { .. }
            | LedgerCall::Close { .. }
            | LedgerCall::RequestClose { .. }
            | LedgerCall::Finalize { .. } => false,
        }
    }

    /// Carries out a call of `host`, whose wallet is `wallet`. Returns the events, each with the host that is told.
    #[must_use]
    pub fn execute(
        &mut self,
        now: Time,
        host: u32,
        wallet: Wallet,
        call: LedgerCall,
    ) -> Vec<(u32, LedgerEvent)> {
        let account = call.account();
        self.clock += 1;
        let parties = self.parties(wallet, &call);
        let before = self.held(&parties, &account);
        let top_up = call.top_up();
        let outcome = match call {
            LedgerCall::Watch { .. } => {
                self.watchers.entry(account).or_default().insert(host, ());
                return vec![(host, self.show(now, account))];
            }
            LedgerCall::Unwatch { .. } => {
                if let Some(watchers) = self.watchers.get_mut(&account) {
                    watchers.remove(&host);
                    if watchers.is_empty() {
                        self.watchers.remove(&account);
                    }
                }
                return Vec::new();
            }
            LedgerCall::Open { .. } if self.channels.contains_key(&account) => {
                self.watchers.entry(account).or_default().insert(host, ());
                return vec![(host, self.show(now, account))];
            }
            LedgerCall::Open { terms, deposit } => {
                self.watchers.entry(account).or_default().insert(host, ());
                self.open(wallet, terms, deposit.0)
            }
            LedgerCall::TopUp { amount, .. } => self.top_up(account, wallet, amount.0),
            LedgerCall::Claim { voucher } => self.claim(account, wallet, &voucher),
            LedgerCall::Close { voucher, order, signature } => self.close(account, voucher, order, signature),
            LedgerCall::RequestClose { .. } => self.request_close(now, account, wallet),
            LedgerCall::Finalize { .. } => self.finalize(now, account),
        };
        let after = self.held(&parties, &account);
        self.locked += after.in_channel - before.in_channel;
        self.drift += after.sum - before.sum;
        match outcome {
            Ok(counter) => {
                *counter(&mut self.transactions) += 1;
                let watchers = self.watchers.get(&account).into_iter().flat_map(Table::keys);
                watchers.map(|watcher| (*watcher, self.show(now, account))).collect()
            }
            Err(fault) => {
                self.transactions.refused += 1;
                vec![(host, LedgerEvent::Failed { account, top_up, fault })]
            }
        }
    }

    /// Returns every wallet that a call may touch.
    fn parties(&self, caller: Wallet, call: &LedgerCall) -> BTreeSet<Wallet> {
        let open = self.channels.get(&call.account()).map(|channel| &channel.terms);
        let terms = match call {
            LedgerCall::Open { terms, .. } => Some(terms),
            LedgerCall::TopUp { .. }
            | LedgerCall::Claim { .. }
            | LedgerCall::Close { .. }
            | LedgerCall::RequestClose { .. }
            | LedgerCall::Finalize { .. }
            | LedgerCall::Watch { .. }
            | LedgerCall::Unwatch { .. } => None,
        };
        let both = [open, terms].into_iter().flatten();
        both.flat_map(|terms| [terms.client.hash, terms.provider.hash]).chain([caller]).collect()
    }

    /// Returns what these wallets and one channel hold and the ledger has taken.
    fn held(&self, wallets: &BTreeSet<Wallet>, channel: &ChannelId) -> Holdings {
        let of = |wallet| i128::from(self.wallets.get(wallet).copied().unwrap_or_default());
        let in_channel = self.channels.get(channel).map_or(0, |channel| i128::from(channel.balance));
        Holdings {
            in_channel,
            sum: wallets.iter().map(of).sum::<i128>() + in_channel + i128::from(self.fees),
        }
    }

    /// Returns the money that calls have made or lost so far: [`Self::imbalance`] without looking at every account.
    #[must_use]
    pub fn drift(&self) -> i128 {
        self.drift
    }

    /// Returns what a channel looks like from outside.
    #[must_use]
    pub fn state(&self, now: Time, account: &ChannelId) -> Option<ChannelState> {
        self.channels.get(account).map(|channel| ChannelState {
            epoch: channel.epoch,
            deposit: Nano(channel.deposit),
            settled: Nano(channel.settled),
            closing: channel.close_at.map(|at| at.since(now)),
        })
    }

    fn show(&self, now: Time, account: ChannelId) -> LedgerEvent {
        LedgerEvent::Channel { account, state: self.state(now, &account) }
    }

    /// Returns the money that exists less money that was created: not zero is a bug of the ledger itself.
    #[must_use]
    pub fn imbalance(&self) -> i128 {
        let wallets: i128 = self.wallets.values().map(|balance| i128::from(*balance)).sum();
        let channels: i128 = self.channels.values().map(|channel| i128::from(channel.balance)).sum();
        wallets + channels + i128::from(self.fees) - i128::from(self.supply)
    }

    /// Returns everything that one funding of a channel has settled, so far or until its close.
    #[must_use]
    pub fn settled(&self, account: &ChannelId, epoch: u64) -> Nano {
        let open = self.channels.get(account).filter(|channel| channel.epoch == epoch);
        let closed = || self.closed.get(&(*account, epoch)).copied().unwrap_or_default();
        Nano(open.map_or_else(closed, |channel| channel.settled))
    }

    /// Returns what a wallet holds.
    #[must_use]
    pub fn balance(&self, wallet: &Wallet) -> Nano {
        Nano(self.wallets.get(wallet).copied().unwrap_or_default())
    }

    /// Returns how many channels are open or closing.
    #[must_use]
    pub fn open_channels(&self) -> usize {
        self.channels.len()
    }

    /// Returns all fees so far.
    #[must_use]
    pub fn fees(&self) -> Nano {
        Nano(self.fees)
    }

    /// Returns everything that reached providers so far.
    #[must_use]
    pub fn paid_out(&self) -> Nano {
        Nano(self.paid_out)
    }

    /// Returns what providers had vouchers for and did not get at a close, because it was too
    /// little to send.
    #[must_use]
    pub fn dust(&self) -> Nano {
        Nano(self.dust)
    }

    /// Returns the deposits and reserves in channels.
    #[must_use]
    pub fn locked(&self) -> Nano {
        Nano(u64::try_from(self.locked).unwrap_or_default())
    }

    /// Returns what went through and what did not.
    #[must_use]
    pub fn transactions(&self) -> Transactions {
        self.transactions
    }

    /// Adds everything that a digest of the world must cover.
    pub fn digest(&self, hasher: &mut blake3::Hasher) {
        for (wallet, balance) in &self.wallets {
            hasher.update(wallet).update(&balance.to_le_bytes());
        }
        for (account, channel) in &self.channels {
            hasher.update(&account.0);
            for number in [channel.epoch, channel.deposit, channel.settled, channel.balance] {
                hasher.update(&number.to_le_bytes());
            }
        }
        hasher.update(&self.fees.to_le_bytes()).update(&self.clock.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use bombyx_protocol::channel::ledger::LedgerFault;
    use bombyx_protocol::channel::terms::{Address, ChannelTerms};
    use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, SignedVoucher, Voucher};
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::ledger::fees::{FEE_CLAIM, FEE_CLOSE, FEE_OPEN, FEE_REQUEST_CLOSE, OPEN_RESERVE, PAYOUT_MIN};

    const CLIENT: Wallet = [1; 32];
    const PROVIDER: Wallet = [2; 32];
    const COIN: u64 = 1_000_000_000;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn terms() -> ChannelTerms {
        let (client, provider) = (Address::basechain(CLIENT), Address::basechain(PROVIDER));
        ChannelTerms { client, provider, ..ChannelTerms::for_tests() }
    }

    fn opened(deposit: u64) -> (Chain, ChannelId, u64) {
        let mut chain = Chain::new(-3);
        chain.fund(CLIENT, Nano(COIN));
        chain.fund(PROVIDER, Nano(COIN));
        let account = terms().id();
        let said = chain.execute(
            Time(5),
            0,
            CLIENT,
            LedgerCall::Open { terms: terms().into(), deposit: Nano(deposit) },
        );
        let epoch = chain.state(Time(5), &account).expect("it was opened").epoch;
        assert_eq!(said.len(), 1, "the host that opens a channel is told");
        assert_eq!(chain.imbalance(), 0);
        (chain, account, epoch)
    }

    fn voucher(account: ChannelId, epoch: u64, cumulative: u64, by: u8) -> SignedVoucher {
        Voucher { account, epoch, cumulative: Nano(cumulative) }.signed(&key(by))
    }

    fn claim(chain: &mut Chain, voucher: SignedVoucher) -> bool {
        let said = chain.execute(Time(9), 1, PROVIDER, LedgerCall::Claim { voucher });
        assert_eq!(chain.imbalance(), 0);
        !said.iter().any(|(_, event)| matches!(event, LedgerEvent::Failed { .. }))
    }

    #[test]
    fn only_a_newer_voucher_of_the_client_within_the_deposit_pays() {
        let (mut chain, account, epoch) = opened(50_000_000);
        assert!(!claim(&mut chain, voucher(account, epoch, 50_000_001, 1)), "over the deposit");
        assert!(!claim(&mut chain, voucher(account, epoch + 1, 20_000_000, 1)), "another epoch");
        assert!(!claim(&mut chain, voucher(account, epoch, 20_000_000, 2)), "another's signature");
        assert!(claim(&mut chain, voucher(account, epoch, 20_000_000, 1)));
        assert!(!claim(&mut chain, voucher(account, epoch, 20_000_000, 1)), "again");
        assert_eq!(chain.paid_out(), Nano(20_000_000 - FEE_CLAIM));
        assert_eq!(chain.transactions().refused, 4);
    }

    #[test]
    fn a_close_pays_the_provider_and_returns_the_rest() {
        let (mut chain, account, epoch) = opened(50_000_000);
        let order = CloseOrder { account, epoch, cumulative: Nano(30_000_000) };
        let close = |by: u8| LedgerCall::Close {
            voucher: Some(voucher(account, epoch, 30_000_000, 1)),
            order,
            signature: order.sign(&key(by)),
        };
        assert!(matches!(chain.execute(Time(9), 1, PROVIDER, close(1))[0].1, LedgerEvent::Failed { .. }));
        let said = chain.execute(Time(9), 1, PROVIDER, close(2));
        assert_eq!(said, [(0, LedgerEvent::Channel { account, state: None })]);
        assert_eq!(chain.wallets[&PROVIDER], COIN + 30_000_000);
        assert_eq!(chain.wallets[&CLIENT], COIN - 30_000_000 - FEE_OPEN - FEE_CLOSE);
        assert_eq!((chain.imbalance(), chain.drift(), chain.open_channels()), (0, 0, 0));
        assert_eq!(chain.locked(), Nano(0));
    }

    #[test]
    fn a_payout_that_is_too_small_to_send_stays_with_the_client() {
        let (mut chain, account, epoch) = opened(50_000_000);
        let order = CloseOrder { account, epoch, cumulative: Nano(PAYOUT_MIN - 1) };
        let voucher = Some(voucher(account, epoch, PAYOUT_MIN - 1, 1));
        let _ = chain.execute(
            Time(9),
            1,
            PROVIDER,
            LedgerCall::Close { voucher, order, signature: order.sign(&key(2)) },
        );
        assert_eq!((chain.paid_out(), chain.dust()), (Nano(0), Nano(PAYOUT_MIN - 1)));
        assert_eq!(chain.wallets[&CLIENT], COIN - FEE_OPEN - FEE_CLOSE);
        assert_eq!(chain.imbalance(), 0);
    }

    #[test]
    fn a_client_alone_gets_its_rest_back_after_the_challenge_and_not_before() {
        let (mut chain, account, _) = opened(50_000_000);
        let refused = |said: &[(u32, LedgerEvent)]| matches!(said[0].1, LedgerEvent::Failed { .. });
        let said = CloseRequest { account, epoch: 1 };
        let request = LedgerCall::RequestClose { request: said, signature: said.sign(&key(1)) };
        assert!(refused(&chain.execute(Time(0), 1, PROVIDER, request.clone())));
        assert!(!refused(&chain.execute(Time(0), 0, CLIENT, request.clone())));
        assert!(refused(&chain.execute(Time(59_999_999), 0, CLIENT, LedgerCall::Finalize { account })));
        assert!(!refused(&chain.execute(Time(60_000_000), 0, CLIENT, LedgerCall::Finalize { account })));
        assert_eq!(chain.wallets[&CLIENT], COIN - FEE_OPEN - FEE_REQUEST_CLOSE - FEE_CLOSE);
        assert_eq!(chain.imbalance(), 0);
    }

    #[test]
    fn a_wallet_that_holds_too_little_opens_nothing() {
        let mut chain = Chain::new(-3);
        chain.fund(CLIENT, Nano(1_000));
        let call = LedgerCall::Open { terms: terms().into(), deposit: Nano(5_000) };
        let account = call.account();
        let said = chain.execute(Time(0), 0, CLIENT, call);
        let fault = LedgerFault::Funds { missing: Nano(4_000 + OPEN_RESERVE + FEE_OPEN) };
        assert_eq!(said, [(0, LedgerEvent::Failed { account, top_up: None, fault })]);
        assert_eq!(chain.imbalance(), 0);
    }
}
