//! A world in which prices change while channels live, and what the network's own virtual machine needs to live through it again.

use bombyx_node::ledger::{Chain as _, ChainError, ChannelMessage, Prices, Refusal, Transaction};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use tycho_types::boc::Boc;
use tycho_types::cell::Cell;

use crate::differential::compare;
use crate::mutants;
use crate::setup::{World, coins, milli, wallet};
use crate::storm::{RefusedOutside, Vote, audit};

/// What each wallet starts with here.
pub(crate) const WEALTH: Nano = coins(100);
/// What is on the account does not even pay for the gas until a message is accepted.
pub(crate) const NO_CREDIT: Refusal = Refusal::Other(-14);
/// Gifts until an exit is paid for.
const GIFTS_MAX: u32 = 4;

/// A world in which prices change, and all that the other machine needs to live through it again.
pub(crate) struct History {
    pub(crate) world: World,
    accounts: Vec<(Address, Nano)>,
    votes: Vec<Vote>,
    refused: Vec<RefusedOutside>,
    pub(crate) prices: Prices,
}

impl History {
    pub(crate) async fn new(prices: Prices) -> Self {
        let world = World::new();
        let mut accounts = Vec::new();
        for (index, ledger) in [&world.client, &world.provider, &world.stranger].into_iter().enumerate() {
            let address = ledger.wallet_address().unwrap();
            let start = if index == 1 { Nano::ZERO } else { coins(10) };
            world.devnet.faucet(address, WEALTH.minus(start).unwrap()).unwrap();
            accounts.push((address, WEALTH));
        }
        let (votes, refused) = (Vec::new(), Vec::new());
        let mut history = Self { world, accounts, votes, refused, prices };
        history.charge_at(prices, 0);
        // The two machines count the size of an account without code differently, and with it its rent.
        for (from, to) in [(1, 2), (2, 0), (0, 1)] {
            history.carry_plain(from, wallet(to).address(), milli(1)).await;
        }
        history
    }

    fn charge_at(&mut self, prices: Prices, after_lt: u64) {
        self.world.devnet.charge(&prices).unwrap();
        self.prices = prices;
        self.votes.push(Vote { after_lt, configuration: self.world.devnet.configuration().unwrap() });
    }

    pub(crate) async fn charge(&mut self, prices: Prices) {
        let newest = self.newest_lt().await;
        self.charge_at(prices, newest);
    }

    pub(crate) fn adopt(&mut self, account: Address) {
        self.accounts.push((account, Nano::ZERO));
    }

    async fn newest_lt(&self) -> u64 {
        let mut newest = 0;
        for (address, _) in &self.accounts {
            newest = newest.max(self.world.devnet.account(*address).await.unwrap().last_lt);
        }
        newest
    }

    /// Sends a message from outside; a refusal is kept.
    pub(crate) async fn post(&mut self, account: Address, message: Cell) -> Result<(), Refusal> {
        let (boc, after_lt) = (Boc::encode(message), self.newest_lt().await);
        match self.world.devnet.send(boc.clone()).await {
            Ok(()) => Ok(()),
            Err(ChainError::Refused { exit_code: Some(exit_code), .. })
                if Refusal::from(exit_code) == NO_CREDIT =>
            {
                Err(NO_CREDIT)
            }
            Err(ChainError::Refused { exit_code: Some(exit_code), .. }) => {
                let (now_s, votes) = (self.world.devnet.now_s(), self.votes.len());
                self.refused.push(RefusedOutside { account, after_lt, votes, now_s, boc, exit_code });
                Err(exit_code.into())
            }
            // Rent has left too little to take a message in.
            Err(ChainError::Refused { exit_code: None, .. }) => Err(Refusal::Value),
            Err(other) => panic!("{other}"),
        }
    }

    /// Plain coins from the stranger: enough for any exit.
    pub(crate) async fn give(&self, account: Address) {
        self.give_exactly(account, self.prices.scaled(milli(20))).await;
    }

    pub(crate) async fn give_exactly(&self, account: Address, value: Nano) {
        self.carry_plain(2, account, value).await;
    }

    async fn carry_plain(&self, from: usize, account: Address, value: Nano) {
        let message = ChannelMessage::Finalize.internal(account, value, None);
        let mut message: tycho_types::models::OwnedRelaxedMessage = message.parse().unwrap();
        message.body = Cell::default().into();
        let message = tycho_types::cell::CellBuilder::build_from(&message).unwrap();
        // An account without code takes coins, and no code runs there.
        let _ = self.world.carry(from, account, message).await;
    }

    /// Every coin is accounted for, no accepted message was undone, and the network's own machine says the same.
    pub(crate) async fn check(&self, elsewhere: bool) {
        let executed = audit(&self.world.devnet, &self.accounts, 0);
        // A wrong contract stands under the right one's address here only.
        if elsewhere && mutants::wanted().is_none() {
            compare(&self.world.devnet, &self.accounts, &self.refused, &self.votes, executed).await;
        }
    }

    pub(crate) async fn transactions(&self, account: Address) -> Vec<Transaction> {
        let list = self.world.devnet.transactions(account, 100).await.unwrap();
        let undone = |one: &&Transaction| one.aborted && one.incoming.as_ref().unwrap().from.is_none();
        assert_eq!(list.iter().find(undone), None, "accepted and undone: it can be replayed");
        list
    }

    /// What an account has sent to another.
    pub(crate) async fn sent(&self, from: Address, to: Address) -> Nano {
        let list = self.transactions(from).await;
        let messages = list.iter().flat_map(|one| &one.outgoing);
        messages.filter(|message| message.to == Some(to)).map(|message| message.value).sum()
    }

    /// Sends it until it is taken, with a gift of coins after each refusal, which must have changed nothing.
    pub(crate) async fn insist(&mut self, account: Address, message: ChannelMessage) -> u32 {
        for gifts in 0..=GIFTS_MAX {
            let before = self.world.devnet.account(account).await.unwrap();
            match self.post(account, message.external(account)).await {
                Ok(()) => return gifts,
                Err(Refusal::Value | Refusal::Dust | NO_CREDIT) => {
                    let after = self.world.devnet.account(account).await.unwrap();
                    assert_eq!((before.balance, before.last_lt), (after.balance, after.last_lt));
                    self.give(account).await;
                }
                // A claim that took what there was has settled a part of the voucher, or all.
                Err(Refusal::Stale) => return gifts,
                Err(other) => panic!("{message:?}: {other}"),
            }
        }
        panic!("{message:?} is not taken after {GIFTS_MAX} gifts");
    }

    /// A claim from outside, or by the stranger's wallet where it is too small for that.
    pub(crate) async fn claim(&mut self, account: Address, claim: ChannelMessage) -> u32 {
        match self.post(account, claim.external(account)).await {
            Ok(()) => 0,
            Err(Refusal::Dust | Refusal::Value | NO_CREDIT) => {
                let gas = self.prices.message_gas();
                if self.world.internal(2, account, claim, gas).await.is_err() {
                    self.give(account).await;
                    self.world.internal(2, account, claim, gas).await.unwrap();
                }
                1
            }
            Err(other) => panic!("{claim:?}: {other}"),
        }
    }
}
