//! Random operations on several channels at once, each step compared with a model, each coin accounted for.

mod act;
pub(crate) mod crank;
mod invention;
mod model;
pub(crate) mod past;
pub(crate) mod stage;
pub(crate) mod tally;

use bombyx_node::ledger::{
    Chain as _, ChainError, ChannelAccount, Refusal, Transaction,
    devnet::{DEVNET_ID, Devnet},
};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use futures::FutureExt as _;

use self::act::{Act, Operation, Party, Via};
use self::model::{Books, Verdict, judge};
use self::past::Past;
use self::stage::Stage;
use crate::setup::{CHALLENGE_S, START_S, key, milli};

/// Below this, gas may run out before an operation ends.
const AMPLE_GAS: Nano = milli(1);
/// A request and a close from outside cost less than this.
const EXIT_MAX: Nano = milli(2);
/// The most that one transaction of a channel costs.
const FEE_MAX: Nano = Nano(1_200_000);
/// A close pays out no less.
const PAYOUT_MIN: Nano = Nano(500_000);
/// Rent of one channel in one second is below this, in 1/65536 nano: 500 for each of at most 36 cells, or ten times today's
/// 135, and one for each bit.
const RENT_PER_S: u64 = 36 * 1_350 + 13_000;
const PARTIES: [Party; 3] = [Party::Client, Party::Provider, Party::Stranger];

/// A message from outside that was refused.
pub(crate) struct RefusedOutside {
    pub(crate) account: Address,
    /// The newest logical time when it came.
    pub(crate) after_lt: u64,
    /// How many changes of prices there had been.
    pub(crate) votes: usize,
    pub(crate) now_s: u32,
    pub(crate) boc: Vec<u8>,
    pub(crate) exit_code: i32,
}

/// A change of the network's prices.
pub(crate) struct Vote {
    /// The newest logical time before it.
    pub(crate) after_lt: u64,
    pub(crate) configuration: Vec<u8>,
}

struct Channel {
    terms: ChannelTerms,
    account: Address,
    books: Option<Books>,
    balance: Nano,
    last_epoch: u64,
    last_lt: u64,
    /// When rent was last paid, at the latest.
    rented_s: u32,
}

pub(crate) struct Storm {
    pub(crate) stage: Stage,
    past: Past<Act>,
    channels: Vec<Channel>,
}

/// Transactions explain every balance, and their fees are all that is missing. Returns how many transactions there were.
pub(crate) fn audit(devnet: &Devnet, accounts: &[(Address, Nano)], seed: u64) -> u64 {
    let (mut fees, mut count) = (0, 0);
    for (address, start) in accounts {
        let history = devnet.transactions(*address, usize::MAX).now_or_never().unwrap().unwrap();
        let moved = history.iter().fold(i128::from(start.0), |sum, transaction| {
            let received = transaction.incoming.as_ref().map_or(0, |message| i128::from(message.value.0));
            let sent: i128 = transaction.outgoing.iter().map(|message| i128::from(message.value.0)).sum();
            sum + received - sent - i128::from(transaction.fee.0)
        });
        let balance = devnet.account(*address).now_or_never().unwrap().unwrap().balance;
        assert_eq!(moved, i128::from(balance.0), "seed {seed}: books of {address}");
        fees += history.iter().map(|transaction| u128::from(transaction.fee.0)).sum::<u128>();
        count += history.len() as u64;
    }
    assert_eq!(devnet.fees_collected(), fees, "seed {seed}: coins appeared or vanished");
    count
}

impl Storm {
    /// A storm that has done this many steps.
    pub(crate) fn after(seed: u64, steps: u64) -> Self {
        let mut storm = Self::new(seed);
        for _ in 0..steps {
            storm.step();
        }
        storm
    }

    fn new(seed: u64) -> Self {
        let stage = Stage::new(seed);
        // Alike but for the salt, and but for the network: signatures for one must not fit another.
        let channels = [(1, DEVNET_ID), (2, DEVNET_ID), (1, -239)].map(|(salt, network_id)| {
            let terms = ChannelTerms {
                network_id,
                salt,
                client_key: key(1).verifying_key().to_bytes(),
                provider_key: key(2).verifying_key().to_bytes(),
                client: stage.cranks[0].address,
                provider: stage.cranks[1].address,
                challenge_s: CHALLENGE_S,
            };
            let account = terms.account();
            let (books, balance) = (None, Nano::ZERO);
            Channel { terms, account, books, balance, last_epoch: 0, last_lt: 0, rented_s: START_S }
        });
        Self { stage, past: Past::new(), channels: channels.into() }
    }

    /// All accounts with what the faucet gave them.
    pub(crate) fn accounts(&self) -> Vec<(Address, Nano)> {
        self.stage.accounts(self.channels.iter().map(|channel| channel.account))
    }

    /// Does something somewhere and checks what came of it.
    fn step(&mut self) {
        self.stage.change();
        let act = match self.past.recall(&mut self.stage.rng) {
            Some(act) => act,
            None => self.invent(),
        };
        self.past.keep(act, &mut self.stage.rng);
        self.perform(&act);
    }

    /// The client leaves every channel alone, and every coin is accounted for. Returns how many transactions there were.
    pub(crate) fn end(&mut self) -> u64 {
        for channel in 0..self.channels.len() {
            let value = self.stage.prices.scaled(milli(20));
            let via = Via::Account { sender: Party::Client, value, with_code: false };
            let Some(books) = self.channels[channel].books else { continue };
            if books.epoch == 0 {
                // Somebody put code there and no deposit: nothing of the client's is in it until it deposits.
                self.perform(&Act { channel, operation: Operation::TopUp(Nano(1)), via });
            }
            if self.channels[channel].books.is_some_and(|books| books.close_at_s == 0) {
                self.perform(&Act { channel, operation: Operation::Request(None), via });
            }
            self.stage.devnet.advance(CHALLENGE_S);
            self.perform(&Act { channel, operation: Operation::Finalize, via: Via::Outside });
            if self.channels[channel].books.is_some() {
                // Prices rose, and the reserve does not pay for it any more.
                self.perform(&Act { channel, operation: Operation::Finalize, via });
            }
            assert!(
                self.channels[channel].books.is_none(),
                "seed {}: the client could not leave",
                self.stage.seed
            );
        }
        self.stage.audit(&self.accounts())
    }

    fn history(&self, address: Address, limit: usize) -> Vec<Transaction> {
        self.stage.devnet.transactions(address, limit).now_or_never().unwrap().unwrap()
    }

    fn state(&self, account: Address) -> (Nano, Option<Books>) {
        let raw = self.stage.account(account);
        let state = ChannelAccount::read(account, &raw).unwrap();
        let books = state.map(|state| Books {
            epoch: state.epoch,
            close_at_s: state.close_at_s,
            deposit: state.deposit,
            settled: state.settled,
        });
        (raw.balance, books)
    }

    fn perform(&mut self, act: &Act) {
        let now_s = self.stage.devnet.now_s();
        let channel = &self.channels[act.channel];
        let (account, before, balance) = (channel.account, channel.books, channel.balance);
        let verdict = judge(act, account, before, now_s, &self.stage.prices);
        let boc = match act.via {
            Via::Outside => act.operation.external(account),
            Via::Account { sender, value, with_code } => {
                let terms = with_code.then_some(&channel.terms);
                self.stage.cranks[sender as usize].push(act.operation.internal(account, value, terms))
            }
        };
        let sent = self.stage.devnet.send(boc.clone()).now_or_never().unwrap();
        let where_ = format!("seed {}, {act:?} at {now_s} on {before:?}", self.stage.seed);
        let transaction =
            self.history(account, 1).pop().filter(|transaction| transaction.lt > channel.last_lt);
        let (balance_now, now) = self.state(account);
        let outcome = match (&sent, &transaction) {
            (Err(ChainError::Refused { exit_code, .. }), None) => {
                assert!(matches!(act.via, Via::Outside), "{where_}: the crank did not turn");
                assert_eq!((now, balance_now), (before, balance), "{where_}: a refusal changed something");
                if let Some(exit_code) = *exit_code {
                    self.stage.refuse(account, now_s, boc, exit_code);
                }
                exit_code.map_or(Verdict::Nobody, |code| Verdict::Refused(code.into()))
            }
            (Ok(()), Some(transaction)) if transaction.aborted => {
                assert!(
                    !matches!(act.via, Via::Outside),
                    "{where_}: accepted and undone, so it can be replayed"
                );
                transaction.exit_code.map_or(Verdict::Nobody, |code| Verdict::Refused(code.into()))
            }
            (Ok(()), Some(_)) => match (now, verdict) {
                (Some(books), _) => Verdict::Now(books),
                (None, Verdict::Closed { due }) => Verdict::Closed { due },
                (None, _) => Verdict::Closed { due: Nano::ZERO },
            },
            other => panic!("{where_}: {other:?}"),
        };
        self.compare(&where_, act, verdict, outcome);
        if let Some(transaction) = transaction {
            self.check_money(&where_, act, outcome, &transaction, balance_now);
            let channel = &mut self.channels[act.channel];
            channel.last_lt = transaction.lt;
            // What an account without coins owes is collected from those who come later.
            if balance > milli(10) {
                channel.rented_s = now_s;
            }
            channel.balance = balance_now;
            channel.books = now;
            channel.last_epoch = now.map_or(0, |books| books.epoch).max(channel.last_epoch);
            self.stage.executed(transaction.lt);
        }
    }

    /// The outcome is what the model says.
    fn compare(&mut self, where_: &str, act: &Act, verdict: Verdict, outcome: Verdict) {
        let channel = &self.channels[act.channel];
        let expected = match (verdict, outcome) {
            // The epoch is the ledger's choice, but never one that was.
            (Verdict::Now(model), Verdict::Now(now))
                if model.epoch == 0 && matches!(act.operation, Operation::TopUp(_)) =>
            {
                assert!(now.epoch > channel.last_epoch, "{where_}: epoch {} again", now.epoch);
                Verdict::Now(Books { epoch: now.epoch, ..model })
            }
            (verdict, _) => verdict,
        };
        let purse = match act.via {
            Via::Account { value, .. } => value,
            Via::Outside => channel.balance,
        };
        // From outside it is paid by what the provider cannot claim; after prices rose, that may be too little.
        let owed = channel.books.map_or(Nano::ZERO, |books| books.deposit.saturating_minus(books.settled));
        let poor = match act.via {
            Via::Account { .. } => purse < self.stage.prices.scaled(AMPLE_GAS),
            Via::Outside => purse < owed.saturating_plus(self.stage.prices.scaled(EXIT_MAX)),
        };
        let refused = matches!(outcome, Verdict::Refused(_) | Verdict::Nobody);
        assert!(outcome == expected || poor && refused, "{where_}: {outcome:?} instead of {expected:?}");
        let name = match outcome {
            Verdict::Now(_) => "done".to_owned(),
            Verdict::Closed { .. } => "closed".to_owned(),
            Verdict::Refused(Refusal::Other(code)) => format!("exit code {code}"),
            Verdict::Refused(refusal) => refusal.to_string(),
            Verdict::Nobody => "no contract, or no gas".to_owned(),
        };
        *self.stage.outcomes.entry(name).or_default() += 1;
    }

    /// The money went where the outcome says, but for fees and rent.
    fn check_money(&self, where_: &str, act: &Act, outcome: Verdict, done: &Transaction, balance: Nano) {
        let channel = &self.channels[act.channel];
        let rented_s = u64::from(self.stage.devnet.now_s() - channel.rented_s);
        let rent = Nano(rented_s * RENT_PER_S / 65_536 + 1);
        let cost = self.stage.prices.scaled(FEE_MAX).saturating_plus(rent);
        let (value, sender) = match act.via {
            Via::Outside => (Nano::ZERO, None),
            Via::Account { sender, value, .. } => (value, Some(self.stage.cranks[sender as usize].address)),
        };
        let to = |address| -> Nano {
            done.outgoing
                .iter()
                .filter(|message| message.to == Some(address))
                .map(|message| message.value)
                .sum()
        };
        let (client, provider) = (to(channel.terms.client), to(channel.terms.provider));
        // Parts of what there was: `whole` less fees and rent, and never more.
        let about = |part: Nano, whole: Nano| part <= whole && part >= whole.saturating_minus(cost);
        match outcome {
            Verdict::Now(books) => {
                let owed = books.deposit.saturating_minus(books.settled);
                assert!(books.epoch == 0 || balance >= owed, "{where_}: {balance} for {owed}");
                let settled = channel.books.map_or(Nano::ZERO, |before| before.settled);
                let paid = books.settled.saturating_minus(settled);
                let whole = channel.balance.saturating_plus(value).saturating_minus(paid);
                assert_eq!(client, Nano::ZERO, "{where_}: a refund without a close");
                if paid == Nano::ZERO {
                    assert!(
                        provider == Nano::ZERO && about(balance, whole),
                        "{where_}: {balance} of {whole}"
                    );
                } else {
                    let due = paid.saturating_plus(value);
                    assert!(about(provider, due), "{where_}: the provider got {provider} of {due}");
                    // Nobody but the provider pays for a claim.
                    let kept = channel.balance.saturating_minus(paid);
                    let fair = balance <= kept && balance >= kept.saturating_minus(rent);
                    assert!(fair, "{where_}: {balance} kept of {kept}");
                }
            }
            Verdict::Closed { due } => {
                let all = channel.balance.saturating_plus(value);
                let expected = if due < PAYOUT_MIN { Nano::ZERO } else { due };
                // What is due, to the nano; or all that is there, where the rest would not pay for a message to the client.
                let rest =
                    self.stage.prices.forward_fee(0, 0).saturating_plus(self.stage.prices.gas_fee(2_000));
                let short = expected > Nano::ZERO && expected.saturating_plus(cost) > all;
                let most = if short { expected.saturating_plus(rest) } else { expected };
                let least = if short { all.saturating_minus(cost).min(expected) } else { expected };
                assert!(
                    provider <= most && provider >= least,
                    "{where_}: the provider got {provider} of {due}"
                );
                let rest = all.saturating_minus(provider);
                assert!(about(client, rest), "{where_}: the client got {client} of {rest}");
                assert_eq!(balance, Nano::ZERO, "{where_}: coins without an owner");
            }
            Verdict::Refused(_) | Verdict::Nobody => {
                let back = sender.map_or(Nano::ZERO, to);
                assert!(back >= value.saturating_minus(cost), "{where_}: {back} of {value} bounced");
                let kept = channel.balance;
                assert!(
                    balance >= kept.saturating_minus(rent),
                    "{where_}: {balance} kept of {kept}, rent at most {rent} for {rented_s} s"
                );
            }
        }
        let parties = [Some(channel.terms.client), Some(channel.terms.provider), sender];
        assert!(
            done.outgoing.iter().all(|message| message.to.is_some() && parties.contains(&message.to)),
            "{where_}: a stranger was paid"
        );
    }
}
