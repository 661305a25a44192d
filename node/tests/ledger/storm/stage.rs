//! What every storm stands on: a network of its own, accounts that act in it, chance, and what came of it.

use std::collections::BTreeMap;

use bombyx_node::ledger::{Chain as _, Prices, devnet::Devnet};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use futures::FutureExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::crank::Crank;
use super::{RefusedOutside, Vote, audit};
use crate::prices::PRICES;
use crate::setup::{self, CHALLENGE_S, TODAY, coins};

/// What the parties start with.
const WEALTH: Nano = coins(1_000);

pub(crate) struct Stage {
    pub(crate) devnet: Devnet,
    /// Messages from outside that were refused.
    pub(crate) refused: Vec<RefusedOutside>,
    /// Every change of prices.
    pub(crate) votes: Vec<Vote>,
    /// What the network charges now.
    pub(crate) prices: Prices,
    /// How often each outcome came.
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) seed: u64,
    pub(crate) cranks: [Crank; 3],
    pub(crate) rng: StdRng,
    newest_lt: u64,
}

impl Stage {
    pub(crate) fn new(seed: u64) -> Self {
        let devnet = setup::devnet();
        let cranks = [0, 1, 2].map(Crank::new);
        for crank in &cranks {
            devnet.faucet(crank.address, WEALTH).unwrap();
        }
        Self {
            devnet,
            refused: Vec::new(),
            votes: Vec::new(),
            prices: TODAY,
            outcomes: BTreeMap::new(),
            seed,
            cranks,
            rng: StdRng::seed_from_u64(seed),
            newest_lt: 0,
        }
    }

    /// Lets time pass and prices change, now and then.
    pub(crate) fn change(&mut self) {
        if self.rng.random_ratio(1, 6) {
            let half = CHALLENGE_S / 2;
            self.devnet.advance(self.rng.random_range(1..=half + half / 2));
        }
        if self.rng.random_ratio(1, 40) {
            self.vote();
        }
    }

    /// Sets prices of one year or another.
    fn vote(&mut self) {
        self.prices = PRICES[self.rng.random_range(0..PRICES.len())].1;
        self.devnet.charge(&self.prices).unwrap();
        let configuration = self.devnet.configuration().unwrap();
        self.votes.push(Vote { after_lt: self.newest_lt, configuration });
    }

    /// Notes a message from outside that was refused.
    pub(crate) fn refuse(&mut self, account: Address, now_s: u32, boc: Vec<u8>, exit_code: i32) {
        let (after_lt, votes) = (self.newest_lt, self.votes.len());
        self.refused.push(RefusedOutside { account, after_lt, votes, now_s, boc, exit_code });
    }

    /// Notes the newest logical time: a payout is newer than its contract's own transaction.
    pub(crate) fn executed(&mut self, lt: u64) {
        let cranks = self.cranks.iter().map(|crank| self.account(crank.address).last_lt);
        self.newest_lt = cranks.fold(lt, u64::max);
    }

    pub(crate) fn account(&self, address: Address) -> bombyx_node::ledger::Account {
        self.devnet.account(address).now_or_never().unwrap().unwrap()
    }

    /// All accounts with what the faucet gave them: those that act, and these contracts.
    pub(crate) fn accounts(&self, contracts: impl Iterator<Item = Address>) -> Vec<(Address, Nano)> {
        let parties = self.cranks.iter().map(|crank| (crank.address, WEALTH));
        parties.chain(contracts.map(|contract| (contract, Nano::ZERO))).collect()
    }

    /// Accounts for every coin. Returns how many transactions there were.
    pub(crate) fn audit(&self, accounts: &[(Address, Nano)]) -> u64 {
        audit(&self.devnet, accounts, self.seed)
    }

    /// An amount below `most`, mostly a large one.
    pub(crate) fn amount(&mut self, most: u64) -> Nano {
        match self.rng.random_range(0..6) {
            0 => Nano(self.rng.random_range(0..3)),
            1 => Nano(self.rng.random_range(0..10_000_000)),
            _ => Nano(self.rng.random_range(10_000_000..most)),
        }
    }

    /// A total for a voucher, at the limits more often than by chance: what is settled, `least` for a claim, the deposit, and
    /// what the contract at hand has beside these.
    pub(crate) fn total(
        &mut self,
        settled: Nano,
        deposit: Nano,
        least: Nano,
        own: impl FnOnce(&mut StdRng) -> Nano,
    ) -> Nano {
        match self.rng.random_range(0..12) {
            0 => settled,
            1 => settled.saturating_plus(Nano(1)),
            2 => Nano(self.rng.random_range(0..=settled.0)),
            3 => least,
            4 => least.saturating_minus(Nano(1)),
            5 => deposit,
            6 => deposit.saturating_plus(Nano(1)),
            7 => own(&mut self.rng),
            _ => Nano(self.rng.random_range(settled.0..=deposit.0.max(settled.0))),
        }
    }
}
