//! Random operations on two purses at once, each step compared with a model, each coin accounted for.

mod invention;

use bombyx_node::ledger::{
    Chain as _, ChainError, PurseMessage, PurseState, Refusal, Transaction, devnet::DEVNET_ID,
};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::purse::{Cut, PurseOrder, PurseTerms};
use bombyx_protocol::channel::terms::Address;
use ed25519_dalek::SigningKey;
use futures::FutureExt as _;
use tycho_types::boc::Boc;

use super::model::{Act, Books, NEW, Operation, PAYOUT_MIN, Scene, Verdict, Via};
use crate::setup::{CHALLENGE_S, START_S, key, milli};
use crate::storm::past::Past;
use crate::storm::stage::Stage;
use crate::storm::tally::tally;

/// Below this, gas may run out before an operation ends.
const AMPLE_GAS: Nano = milli(3);
/// The most that one transaction of a purse costs.
const FEE_MAX: Nano = milli(13);
/// Rent of one purse in one second is below this, in 1/65536 nano: 500 for each of at most 64 cells, or ten times today's
/// 135, and one for each bit.
const RENT_PER_S: u64 = 64 * 1_350 + 24_000;
/// Indices of lanes that are used: neighbours, and the first and last of all.
const LANES: [u8; 4] = [0, 1, 7, 255];
/// Keys of the client, of two providers, and of nobody.
const KEYS: [u8; 4] = [1, 2, 3, 9];
/// Operations between a genesis and the end of all purses.
const STEPS: u64 = 100;
/// Transactions, where no other number is wanted.
const TRANSACTIONS: u64 = 3_000;

struct Purse {
    terms: PurseTerms,
    account: Address,
    books: Option<Books>,
    balance: Nano,
    last_lt: u64,
    /// When rent was last paid, at the latest.
    rented_s: u32,
}

pub(crate) struct PurseStorm {
    /// Its accounts are the client and two providers, each of whom is a stranger to the other's lanes.
    pub(crate) stage: Stage,
    past: Past<Act>,
    purses: Vec<Purse>,
}

impl PurseStorm {
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
        // Alike but for the salt: signatures for one must not fit the other.
        let purses = [1, 2].map(|salt| {
            let terms = PurseTerms {
                network_id: DEVNET_ID,
                salt,
                challenge_s: CHALLENGE_S,
                client_key: public(KEYS[0]),
                client: stage.cranks[0].address,
            };
            let account = terms.account();
            Purse { terms, account, books: None, balance: Nano::ZERO, last_lt: 0, rented_s: START_S }
        });
        Self { stage, past: Past::new(), purses: purses.into() }
    }

    /// All accounts with what the faucet gave them.
    pub(crate) fn accounts(&self) -> Vec<(Address, Nano)> {
        self.stage.accounts(self.purses.iter().map(|purse| purse.account))
    }

    /// Does something somewhere and checks what came of it.
    fn step(&mut self) {
        self.stage.change();
        let act = match self.past.recall(&mut self.stage.rng) {
            Some(act) => act,
            None => self.invent(),
        };
        self.past.keep(act.clone(), &mut self.stage.rng);
        self.perform(&act);
    }

    /// The client leaves every purse alone, and every coin is accounted for. Returns how many transactions there were.
    pub(crate) fn end(&mut self) -> u64 {
        for purse in 0..self.purses.len() {
            let Some(books) = self.purses[purse].books.clone() else { continue };
            let open = |lane: &u8| books.lanes[lane].shrink_at_s == 0;
            let lanes = || books.lanes.keys().copied();
            let shrink = lanes().filter(open).map(|lane| Cut::Shrink { lane, keep: Nano::ZERO });
            // What was to keep something is asked again.
            let recall = lanes().filter(|lane| !open(lane));
            let recall = recall.flat_map(|lane| {
                [Cut::Grow { lane, amount: Nano::ZERO }, Cut::Shrink { lane, keep: Nano::ZERO }]
            });
            let first = PurseOrder { cuts: shrink.chain(recall).collect(), ..PurseOrder::default() };
            let cuts = lanes().map(|lane| Cut::Finalize { lane }).collect();
            let last = PurseOrder { end: true, cuts, ..PurseOrder::default() };
            let value = self.stage.prices.scaled(milli(20));
            let via = Via::Account { sender: self.stage.cranks[0].address, value, with_code: false };
            self.perform(&Act { purse, operation: Operation::Order(first, None), via });
            self.stage.devnet.advance(CHALLENGE_S);
            self.perform(&Act { purse, operation: Operation::Order(last, None), via });
            assert!(
                self.purses[purse].books.is_none(),
                "seed {}: the client could not leave",
                self.stage.seed
            );
        }
        self.stage.audit(&self.accounts())
    }

    fn state(&self, account: Address) -> (Nano, Option<Books>) {
        let raw = self.stage.account(account);
        let state = PurseState::read(account, &raw).unwrap();
        if let Some(state) = &state {
            let books = Books { turn: state.turn, lanes: state.lanes.clone() };
            assert_eq!(state.locked, books.locked(), "seed {}: {state:?}", self.stage.seed);
        }
        (raw.balance, state.map(|state| Books { turn: state.turn, lanes: state.lanes }))
    }

    fn perform(&mut self, act: &Act) {
        let now_s = self.stage.devnet.now_s();
        let purse = &self.purses[act.purse];
        let account = purse.account;
        let rent = Nano(u64::from(now_s - purse.rented_s) * RENT_PER_S / 65_536 + 1);
        let scene = Scene {
            account,
            client: purse.terms.client,
            client_key: purse.terms.client_key,
            books: purse.books.as_ref(),
            balance: purse.balance,
            now_s,
            prices: self.stage.prices,
            slack: self.stage.prices.scaled(FEE_MAX).saturating_plus(rent),
        };
        let allowed = scene.judge(act);
        let boc = self.message(act);
        let sent = self.stage.devnet.send(boc.clone()).now_or_never().unwrap();
        let where_ = format!("seed {}, {act:?} at {now_s} on {:?}", self.stage.seed, purse.books);
        let newest = self.stage.devnet.transactions(account, 1).now_or_never().unwrap().unwrap().pop();
        let transaction = newest.filter(|transaction| transaction.lt > purse.last_lt);
        let (balance, now) = self.state(account);
        let outcome = match (&sent, &transaction) {
            (Err(ChainError::Refused { exit_code, .. }), None) => {
                assert!(matches!(act.via, Via::Outside), "{where_}: the crank did not turn");
                assert_eq!((&now, balance), (&purse.books, purse.balance), "{where_}: a refusal changed it");
                if let Some(exit_code) = *exit_code {
                    self.stage.refuse(account, now_s, boc, exit_code);
                }
                exit_code.map_or(Verdict::Nobody, |code| Verdict::Refused(code.into()))
            }
            (Ok(()), Some(done)) if done.aborted => {
                assert!(
                    !matches!(act.via, Via::Outside),
                    "{where_}: accepted and undone: it can be replayed"
                );
                // A first message that fails leaves the code behind.
                let fresh = purse.books.is_none() && now == Some(Books::default());
                assert!(fresh || now == purse.books, "{where_}: a refusal made it {now:?}");
                done.exit_code.map_or(Verdict::Nobody, |code| Verdict::Refused(code.into()))
            }
            (Ok(()), Some(done)) => match now.clone() {
                Some(books) if done.exit_code != Some(0) => {
                    assert_eq!(
                        purse.books.as_ref().map(|books| &books.lanes),
                        Some(&books.lanes),
                        "{where_}"
                    );
                    Verdict::Burned
                }
                Some(books) => Verdict::Now(books),
                None => Verdict::Ended,
            },
            other => panic!("{where_}: {other:?}"),
        };
        self.compare(&where_, act, &allowed, &outcome);
        let Some(transaction) = transaction else { return };
        self.check_money(&where_, act, &outcome, &transaction, balance, rent);
        let purse = &mut self.purses[act.purse];
        purse.last_lt = transaction.lt;
        if purse.balance > milli(10) {
            purse.rented_s = now_s;
        }
        (purse.balance, purse.books) = (balance, now);
        self.stage.executed(transaction.lt);
    }

    fn message(&self, act: &Act) -> Vec<u8> {
        let Purse { account, terms, .. } = &self.purses[act.purse];
        let message: PurseMessage = act.operation.message();
        match act.via {
            Via::Outside => Boc::encode(message.external(*account)),
            Via::Account { sender, value, with_code } => {
                let crank = self.stage.cranks.iter().find(|crank| crank.address == sender).unwrap();
                crank.push(message.internal(*account, value, with_code.then_some(terms)))
            }
        }
    }

    /// The outcome is one that the model allows.
    fn compare(&mut self, where_: &str, act: &Act, allowed: &[Verdict], outcome: &Verdict) {
        let before = self.purses[act.purse].books.as_ref();
        let last_lt = self.purses[act.purse].last_lt;
        let right = allowed.iter().any(|verdict| match (verdict, outcome) {
            (Verdict::Now(model), Verdict::Now(now)) => {
                // The turn moves with the client's orders alone, and names what they open.
                let first = before.is_none_or(|before| before.turn == 0);
                let ordered = first || matches!(act.operation, Operation::Order(..));
                let turn = if ordered { now.turn } else { model.turn };
                assert!(!ordered || now.turn > last_lt, "{where_}: turn {} again", now.turn);
                let mut lanes = model.lanes.clone();
                lanes.values_mut().filter(|lane| lane.epoch == NEW).for_each(|lane| lane.epoch = turn);
                *now == Books { turn, lanes }
            }
            (verdict, outcome) => verdict == outcome,
        });
        let gas = match act.via {
            Via::Account { value, .. } => value,
            Via::Outside => self.purses[act.purse].balance,
        };
        let refused = matches!(outcome, Verdict::Refused(_) | Verdict::Nobody);
        let poor = gas < self.stage.prices.scaled(AMPLE_GAS) && refused;
        assert!(right || poor, "{where_}: {outcome:?} instead of {allowed:?}");
        let name = match outcome {
            Verdict::Now(_) => "done".to_owned(),
            Verdict::Ended => "ended".to_owned(),
            Verdict::Burned => "accepted and failed".to_owned(),
            Verdict::Refused(Refusal::Other(code)) => format!("exit code {code}"),
            Verdict::Refused(refusal) => refusal.to_string(),
            Verdict::Nobody => "no contract, or no gas".to_owned(),
        };
        *self.stage.outcomes.entry(name).or_default() += 1;
    }

    /// The money went where the outcome says, but for fees and rent.
    fn check_money(
        &self,
        where_: &str,
        act: &Act,
        outcome: &Verdict,
        done: &Transaction,
        balance: Nano,
        rent: Nano,
    ) {
        let purse = &self.purses[act.purse];
        let cost = self.stage.prices.scaled(FEE_MAX).saturating_plus(rent);
        let (value, sender) = match act.via {
            Via::Outside => (Nano::ZERO, None),
            Via::Account { sender, value, .. } => (value, Some(sender)),
        };
        let to = |address| -> Nano {
            done.outgoing
                .iter()
                .filter(|message| message.to == Some(address))
                .map(|message| message.value)
                .sum()
        };
        let about = |part: Nano, whole: Nano| part <= whole && part >= whole.saturating_minus(cost);
        let all = purse.balance.saturating_plus(value);
        let client = to(purse.terms.client);
        let sent: Nano = done.outgoing.iter().map(|message| message.value).sum();
        let payee = |lane: &u8| Address::basechain(purse.books.as_ref().unwrap().lanes[lane].provider);
        match (outcome, &act.operation) {
            (Verdict::Now(books), operation) => {
                assert!(balance >= books.locked(), "{where_}: {balance} for {}", books.locked());
                match operation {
                    Operation::TopUp => assert!(sent == Nano::ZERO && about(balance, all), "{where_}"),
                    Operation::Order(order, _) => {
                        assert!(about(client, order.withdraw) && sent == client, "{where_}: {client}");
                        assert!(about(balance, all.minus(order.withdraw).unwrap()), "{where_}: {balance}");
                    }
                    Operation::Claim(lane, cumulative, _) | Operation::Close(lane, cumulative, ..) => {
                        let before = purse.books.as_ref().unwrap().lanes[lane].settled;
                        let due = cumulative.minus(before).unwrap();
                        let kept = purse.balance.minus(due).unwrap();
                        let closes = matches!(operation, Operation::Close(..));
                        let provider = to(payee(lane));
                        assert_eq!(provider, sent, "{where_}: somebody else was paid");
                        if closes && sender != Some(payee(lane)) {
                            let due = if due < PAYOUT_MIN { Nano::ZERO } else { due };
                            assert!(about(provider, due), "{where_}: {provider} of {due}");
                            assert!(about(balance, all.minus(due).unwrap()), "{where_}: {balance}");
                        } else {
                            let due = due.plus(value).unwrap();
                            assert!(about(provider, due), "{where_}: {provider} of {due}");
                            // Nobody but the provider pays for it.
                            let fair = balance <= kept && balance >= kept.saturating_minus(rent);
                            assert!(fair, "{where_}: {balance} kept of {kept}");
                        }
                    }
                }
            }
            (Verdict::Ended, _) => {
                assert!(about(client, all) && sent == client, "{where_}: {client} of {all}");
                assert_eq!(balance, Nano::ZERO, "{where_}: coins without an owner");
            }
            (Verdict::Burned, _) => {
                assert!(sent == Nano::ZERO && about(balance, all), "{where_}: {balance} of {all}");
                assert!(balance >= purse.books.as_ref().unwrap().locked(), "{where_}: {balance}");
            }
            (Verdict::Refused(_) | Verdict::Nobody, _) => {
                let back = sender.map_or(Nano::ZERO, to);
                assert!(back >= value.saturating_minus(cost), "{where_}: {back} of {value} bounced");
                assert!(balance >= purse.balance.saturating_minus(rent), "{where_}: {balance}");
            }
        }
    }
}

fn public(seed: u8) -> [u8; 32] {
    public_of(&key(seed))
}

fn public_of(key: &SigningKey) -> [u8; 32] {
    key.verifying_key().to_bytes()
}

/// Runs storms with consecutive seeds, and prints what happened. (`ST-3`)
#[test]
fn random_operations_on_purses_conserve_every_coin_and_obey_the_rules() {
    // Every answer that the contract has.
    let answers = [
        "done",
        "ended",
        "accepted and failed",
        "exit code 65535",
        "is closing",
        "may not do this",
        "does not fit",
        "already settled",
        "exceeds the deposit",
        "not over",
        "too small",
        "no such lane",
        "another lane there",
        "do not cover",
        "still has lanes",
    ];
    tally(TRANSACTIONS, &answers, |seed| {
        let mut storm = PurseStorm::after(seed, STEPS);
        (storm.end(), storm.stage.outcomes)
    });
}
