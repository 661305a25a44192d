//! What a storm of purses does next: mostly what could be meant, at the limits more often than by chance.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::lane::{LaneClose, LaneVoucher};
use bombyx_protocol::channel::purse::{Cut, PurseOrder};
use bombyx_protocol::ident::Signature;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::{AMPLE_GAS, KEYS, LANES, PurseStorm, public, public_of};
use crate::purse::model::{Act, Books, Operation, PAYOUT_MIN, Says, Signed, Via};
use crate::setup::{key, milli};

impl PurseStorm {
    /// Invents an operation, and how it comes to its purse.
    pub(super) fn invent(&mut self) -> Act {
        let purse = self.stage.rng.random_range(0..self.purses.len());
        let books = self.purses[purse].books.clone();
        let Some(books) = books else {
            let order = PurseOrder { cuts: self.opens(), ..PurseOrder::default() };
            let top_up = self.stage.rng.random_ratio(1, 6);
            let operation = if top_up { Operation::TopUp } else { Operation::Order(order, None) };
            let value = Nano(self.stage.rng.random_range(1..3_000_000_000));
            let with_code = self.stage.rng.random_ratio(7, 8);
            let sender = self.stage.cranks[if self.stage.rng.random_ratio(1, 8) { 1 } else { 0 }].address;
            return Act { purse, operation, via: Via::Account { sender, value, with_code } };
        };
        let lane = if !books.lanes.is_empty() && self.stage.rng.random_ratio(3, 4) {
            *books.lanes.keys().nth(self.stage.rng.random_range(0..books.lanes.len())).unwrap()
        } else {
            LANES[self.stage.rng.random_range(0..LANES.len())]
        };
        let operation = match self.stage.rng.random_range(0..16) {
            0 => Operation::TopUp,
            1..9 => {
                let order = self.order(purse, &books);
                let signed =
                    self.stage.rng.random_ratio(2, 3).then(|| self.sign_order(purse, &books, &order));
                Operation::Order(order, signed)
            }
            9..14 => {
                let cumulative = self.total(&books, lane);
                Operation::Claim(lane, cumulative, self.sign_voucher(purse, &books, lane, cumulative))
            }
            _ => {
                let cumulative = self.total(&books, lane);
                let voucher = self.sign_voucher(purse, &books, lane, cumulative);
                let order = self.stage.rng.random_ratio(5, 6);
                let order = order.then(|| self.sign_close(purse, &books, lane, cumulative));
                Operation::Close(lane, cumulative, voucher, order)
            }
        };
        let via = self.way(&operation);
        Act { purse, operation, via }
    }

    fn way(&mut self, operation: &Operation) -> Via {
        let signed =
            matches!(operation, Operation::Order(_, Some(_)) | Operation::Claim(..) | Operation::Close(..));
        if self.stage.rng.random_ratio(if signed { 20 } else { 1 }, 40) {
            return Via::Outside;
        }
        let value = match operation {
            Operation::TopUp => Nano(self.stage.rng.random_range(1..1_000_000_000)),
            // Too little for the gas, or enough.
            _ if self.stage.rng.random_ratio(1, 8) => {
                Nano(self.stage.rng.random_range(1..self.stage.prices.scaled(AMPLE_GAS).0))
            }
            Operation::Order(..) if self.stage.rng.random_ratio(1, 3) => {
                Nano(self.stage.rng.random_range(
                    self.stage.prices.scaled(AMPLE_GAS).0..self.stage.prices.scaled(milli(500)).0,
                ))
            }
            Operation::Order(..) | Operation::Claim(..) | Operation::Close(..) => {
                Nano(self.stage.rng.random_range(
                    self.stage.prices.scaled(AMPLE_GAS).0..self.stage.prices.scaled(milli(30)).0,
                ))
            }
        };
        // Orders come from the client more often than by chance.
        let client = matches!(operation, Operation::Order(..)) && self.stage.rng.random_ratio(5, 6);
        let sender = self.stage.cranks[if client { 0 } else { self.stage.rng.random_range(0..3) }].address;
        Via::Account { sender, value, with_code: self.stage.rng.random_ratio(1, 10) }
    }

    fn opens(&mut self) -> Vec<Cut> {
        let mut cuts = Vec::new();
        for lane in LANES {
            if self.stage.rng.random_ratio(1, 2) {
                cuts.push(self.open(lane));
            }
        }
        cuts
    }

    fn open(&mut self, lane: u8) -> Cut {
        let who = self.stage.rng.random_range(1..3);
        let provider = self.stage.cranks[who].address.hash;
        Cut::Open { lane, provider, provider_key: public(KEYS[who]), amount: self.amount() }
    }

    fn amount(&mut self) -> Nano {
        self.stage.amount(500_000_000)
    }

    fn order(&mut self, purse: usize, books: &Books) -> PurseOrder {
        let mut cuts = Vec::new();
        for _ in 0..self.stage.rng.random_range(0..4) {
            let lane = LANES[self.stage.rng.random_range(0..LANES.len())];
            let deposit = books.lanes.get(&lane).map_or(Nano::ZERO, |lane| lane.deposit);
            // Mostly what fits the lane as it is.
            let kind = match books.lanes.get(&lane) {
                _ if self.stage.rng.random_ratio(1, 6) => self.stage.rng.random_range(0..4),
                None => 0,
                Some(lane) if lane.shrink_at_s == 0 => self.stage.rng.random_range(1..3),
                Some(_) => [1, 3, 3][self.stage.rng.random_range(0..3)],
            };
            cuts.push(match kind {
                0 => self.open(lane),
                1 => Cut::Grow { lane, amount: self.amount() },
                2 => {
                    let keep = match self.stage.rng.random_range(0..4) {
                        0 => deposit,
                        1 => Nano(self.stage.rng.random_range(0..=deposit.0.saturating_mul(2))),
                        _ if self.stage.rng.random_ratio(1, 2) => Nano(deposit.0 / 2),
                        _ => Nano::ZERO,
                    };
                    Cut::Shrink { lane, keep }
                }
                _ => Cut::Finalize { lane },
            });
        }
        let free = self.purses[purse].balance.saturating_minus(books.locked());
        let withdraw = match self.stage.rng.random_range(0..8) {
            0 => Nano(self.stage.rng.random_range(0..=free.0)),
            1 => PAYOUT_MIN,
            2 => PAYOUT_MIN.minus(Nano(1)).unwrap(),
            _ => Nano::ZERO,
        };
        let end = self.stage.rng.random_ratio(1, if books.lanes.is_empty() { 4 } else { 16 });
        PurseOrder { end, withdraw, cuts }
    }

    fn total(&mut self, books: &Books, lane: u8) -> Nano {
        let (settled, deposit) =
            books.lanes.get(&lane).map_or((Nano::ZERO, milli(100)), |lane| (lane.settled, lane.deposit));
        let least = settled.saturating_plus(self.stage.prices.lane_claim_min());
        let payout = settled.saturating_plus(PAYOUT_MIN);
        let about = |rng: &mut StdRng| payout.saturating_minus(Nano(rng.random_range(0..2)));
        self.stage.total(settled, deposit, least, about)
    }

    fn sign_voucher(&mut self, purse: usize, books: &Books, lane: u8, cumulative: Nano) -> Signed {
        let epoch = books.lanes.get(&lane).map_or(1, |lane| lane.epoch);
        let voucher = LaneVoucher { account: self.purses[purse].account.hash, lane, epoch, cumulative };
        self.sign(KEYS[0], Says::Voucher(voucher))
    }

    fn sign_close(&mut self, purse: usize, books: &Books, lane: u8, cumulative: Nano) -> Signed {
        let epoch = books.lanes.get(&lane).map_or(1, |lane| lane.epoch);
        let provider = books.lanes.get(&lane).map_or(public(KEYS[1]), |lane| lane.provider_key);
        let by = if provider == public(KEYS[2]) { KEYS[2] } else { KEYS[1] };
        let close = LaneClose { account: self.purses[purse].account.hash, lane, epoch, cumulative };
        self.sign(by, Says::Close(close))
    }

    fn sign_order(&mut self, purse: usize, books: &Books, order: &PurseOrder) -> Signed {
        let (account, turn) = (self.purses[purse].account.hash, books.turn);
        self.sign(KEYS[0], Says::Order { account, turn, order: order.clone() })
    }

    /// Mostly the right signature, else one that differs in one respect.
    fn sign(&mut self, mut by: u8, mut says: Says) -> Signed {
        let other = self.purses[self.stage.rng.random_range(0..2)].account.hash;
        let lane = LANES[self.stage.rng.random_range(0..LANES.len())];
        let twist = self.stage.rng.random_range(0..24);
        match twist {
            0 => by = KEYS[self.stage.rng.random_range(0..KEYS.len())],
            1 => return Signed { made: None, signature: Signature([0; 64]) },
            _ => {}
        }
        match &mut says {
            Says::Voucher(voucher) => match twist {
                2 => voucher.account = other,
                3 => voucher.epoch = voucher.epoch.wrapping_add(1),
                4 => voucher.lane = lane,
                5 => voucher.cumulative = voucher.cumulative.saturating_plus(Nano(1)),
                6 => {
                    let LaneVoucher { account, lane, epoch, cumulative } = *voucher;
                    says = Says::Close(LaneClose { account, lane, epoch, cumulative });
                }
                _ => {}
            },
            Says::Close(close) => match twist {
                2 => close.account = other,
                3 => close.epoch = close.epoch.wrapping_add(1),
                4 => close.lane = lane,
                5 => close.cumulative = close.cumulative.saturating_plus(Nano(1)),
                _ => {}
            },
            Says::Order { account, turn, order } => match twist {
                2 => *account = other,
                3 => *turn = turn.wrapping_add(1),
                4 => *turn = turn.wrapping_sub(1),
                5 => order.end = !order.end,
                6 => order.withdraw = order.withdraw.saturating_plus(Nano(1)),
                _ => {}
            },
        }
        let key = key(by);
        let signature = match &says {
            Says::Voucher(voucher) => voucher.sign(&key),
            Says::Close(close) => close.sign(&key),
            Says::Order { account, turn, order } => order.sign(account, *turn, &key),
        };
        Signed { made: Some((public_of(&key), says)), signature }
    }
}
