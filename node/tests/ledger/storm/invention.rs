//! What a storm does next: mostly what could be meant, at the limits more often than by chance.

use bombyx_protocol::amount::Nano;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::act::{Act, Claim, Operation, Party, Purpose, Signed, Via};
use super::model::Books;
use super::{AMPLE_GAS, PARTIES, Storm};
use crate::setup::{key, milli};

impl Storm {
    /// Invents an operation, and how it comes to its channel.
    pub(super) fn invent(&mut self) -> Act {
        let channel = self.stage.rng.random_range(0..self.channels.len());
        let books = self.channels[channel].books.unwrap_or_default();
        let operation = match self.stage.rng.random_range(0..20) {
            _ if books.epoch == 0 && self.stage.rng.random_ratio(3, 4) => Operation::TopUp(self.amount()),
            0..3 => Operation::TopUp(self.amount()),
            3..11 => {
                let cumulative = self.total(books);
                Operation::Claim(cumulative, self.sign(Purpose::Voucher, channel, books.epoch, cumulative))
            }
            11..13 => {
                let cumulative = self.total(books);
                let voucher = self.sign(Purpose::Voucher, channel, books.epoch, cumulative);
                let order = self.sign(Purpose::Order, channel, books.epoch, cumulative);
                let order = self.stage.rng.random_ratio(5, 6).then_some(order);
                Operation::Close(cumulative, voucher, order)
            }
            13..15 => {
                let request = self.sign(Purpose::Request, channel, books.epoch, Nano::ZERO);
                Operation::Request(self.stage.rng.random_ratio(1, 2).then_some(request))
            }
            15..18 => Operation::Finalize,
            18 => Operation::Gift,
            _ => Operation::Noise,
        };
        let via = self.way(&operation, books);
        Act { channel, operation, via }
    }

    fn way(&mut self, operation: &Operation, books: Books) -> Via {
        let top_up = match operation {
            Operation::TopUp(amount) => Some(*amount),
            Operation::Claim(..)
            | Operation::Close(..)
            | Operation::Request(_)
            | Operation::Finalize
            | Operation::Gift
            | Operation::Noise => None,
        };
        if top_up.is_none() && self.stage.rng.random_ratio(1, 2) || self.stage.rng.random_ratio(1, 40) {
            return Via::Outside;
        }
        let value = match top_up {
            Some(amount) => {
                let surplus = if books.epoch == 0 {
                    self.stage.prices.open_surplus()
                } else {
                    self.stage.prices.top_up_surplus()
                };
                let exact = amount.saturating_plus(surplus);
                match self.stage.rng.random_range(0..8) {
                    0 => exact.saturating_minus(Nano(1)),
                    1 => exact.saturating_minus(Nano(self.stage.rng.random_range(1..=exact.0))),
                    2..4 => exact.saturating_plus(Nano(self.stage.rng.random_range(1..50_000_000))),
                    _ => exact,
                }
            }
            // Too little for the gas, or enough.
            None if self.stage.rng.random_ratio(1, 6) => {
                Nano(self.stage.rng.random_range(1..self.stage.prices.scaled(AMPLE_GAS).0))
            }
            None => {
                let scaled = |amount| self.stage.prices.scaled(amount).0;
                let range = scaled(AMPLE_GAS)..scaled(milli(30));
                Nano(self.stage.rng.random_range(range))
            }
        };
        let sender = PARTIES[self.stage.rng.random_range(0..3)];
        let with_code = self.stage.rng.random_ratio(if top_up.is_some() { 9 } else { 1 }, 10);
        Via::Account { sender, value, with_code }
    }

    fn amount(&mut self) -> Nano {
        self.stage.amount(2_000_000_000)
    }

    fn total(&mut self, books: Books) -> Nano {
        let Books { settled, deposit, .. } = books;
        let least = settled.saturating_plus(self.stage.prices.claim_min());
        let beyond = |rng: &mut StdRng| deposit.saturating_plus(Nano(rng.random_range(1..2_000_000_000)));
        self.stage.total(settled, deposit, least, beyond)
    }

    /// Mostly the right signature, else one that differs in one respect.
    fn sign(&mut self, purpose: Purpose, channel: usize, epoch: u64, cumulative: Nano) -> Signed {
        let by = if purpose == Purpose::Order { Party::Provider } else { Party::Client };
        let mut claim = Claim { purpose, by, account: self.channels[channel].account, epoch, cumulative };
        match self.stage.rng.random_range(0..24) {
            0 => claim.by = PARTIES[self.stage.rng.random_range(0..3)],
            1 => claim.epoch = epoch.saturating_add(1),
            2 => claim.epoch = epoch.saturating_sub(1),
            3 => claim.account = self.channels[self.stage.rng.random_range(0..3)].account,
            4 => claim.cumulative = cumulative.saturating_plus(Nano(1)),
            5 => {
                let other = [Purpose::Voucher, Purpose::Order, Purpose::Request];
                claim.purpose = other[self.stage.rng.random_range(0..3)];
            }
            6 => return Signed::nobodys(),
            _ => {}
        }
        // A request names no amount.
        if claim.purpose == Purpose::Request {
            claim.cumulative = Nano::ZERO;
        }
        let seed = [1, 2, 9][claim.by as usize];
        Signed::new(claim, &key(seed))
    }
}
