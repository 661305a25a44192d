//! What the purse must do, in Rust, from the rules and not from the code: the storm compares every step with it.

use std::collections::BTreeMap;

use bombyx_node::ledger::{LaneState, Prices, PurseMessage, Refusal};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::lane::{LaneClose, LaneVoucher};
use bombyx_protocol::channel::purse::{Cut, PurseOrder};
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::Signature;

use crate::setup::CHALLENGE_S;

/// The contract's word for an operation that it does not know.
const UNKNOWN: Refusal = Refusal::Other(0xffff);
/// A payout or withdrawal is no less.
pub(super) const PAYOUT_MIN: Nano = Nano(500_000);
/// The epoch of a lane that the act opens: the ledger chooses it.
pub(super) const NEW: u64 = u64::MAX;

/// A deployed purse.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Books {
    pub(super) turn: u64,
    pub(super) lanes: BTreeMap<u8, LaneState>,
}

impl Books {
    /// What lanes may still be paid.
    pub(super) fn locked(&self) -> Nano {
        self.lanes.values().map(|lane| lane.deposit.minus(lane.settled).unwrap()).sum()
    }
}

/// What a signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    Voucher(LaneVoucher),
    Close(LaneClose),
    Order { account: [u8; 32], turn: u64, order: PurseOrder },
}

/// A signature, whose key made it, and what it says; `None` for one that nobody made.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    pub(super) made: Option<([u8; 32], Says)>,
    pub(super) signature: Signature,
}

impl Signed {
    fn is(&self, key: [u8; 32], says: Says) -> bool {
        self.made == Some((key, says))
    }
}

#[derive(Debug, Clone)]
pub(super) enum Operation {
    TopUp,
    Order(PurseOrder, Option<Signed>),
    Claim(u8, Nano, Signed),
    Close(u8, Nano, Signed, Option<Signed>),
}

impl Operation {
    pub(super) fn message(&self) -> PurseMessage {
        match self {
            Self::TopUp => PurseMessage::TopUp,
            Self::Order(order, signed) => PurseMessage::Arrange {
                order: order.clone(),
                signature: signed.as_ref().map(|signed| signed.signature),
            },
            Self::Claim(lane, cumulative, voucher) => {
                PurseMessage::Claim { lane: *lane, cumulative: *cumulative, voucher: voucher.signature }
            }
            Self::Close(lane, cumulative, voucher, order) => PurseMessage::CloseLane {
                lane: *lane,
                cumulative: *cumulative,
                voucher: Some(voucher.signature),
                order: order.as_ref().map(|order| order.signature),
            },
        }
    }
}

/// How an operation reaches the purse.
#[derive(Debug, Clone, Copy)]
pub(super) enum Via {
    Outside,
    Account { sender: Address, value: Nano, with_code: bool },
}

#[derive(Debug, Clone)]
pub(super) struct Act {
    /// Index of the purse.
    pub(super) purse: usize,
    pub(super) operation: Operation,
    pub(super) via: Via,
}

/// What an act may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The purse is so from now on; turn and new epochs are the ledger's choice.
    Now(Books),
    /// The account is deleted.
    Ended,
    /// An order from outside was accepted and failed: its turn is over, and nothing else changed.
    Burned,
    /// The contract refuses, and nothing changes.
    Refused(Refusal),
    /// There is no contract to refuse.
    Nobody,
}

/// The purse before an act.
pub(super) struct Scene<'a> {
    pub(super) account: Address,
    pub(super) client: Address,
    pub(super) client_key: [u8; 32],
    pub(super) books: Option<&'a Books>,
    pub(super) balance: Nano,
    pub(super) now_s: u32,
    pub(super) prices: Prices,
    /// Fees and rent that the model does not compute: within so much of a limit, either outcome is right.
    pub(super) slack: Nano,
}

impl Scene<'_> {
    /// Every outcome of an act that the rules allow.
    pub(super) fn judge(&self, act: &Act) -> Vec<Verdict> {
        let deploys = matches!(act.via, Via::Account { with_code: true, .. });
        let fresh = Books::default();
        let books = match self.books {
            Some(books) => books,
            None if deploys => &fresh,
            None => return vec![Verdict::Nobody],
        };
        match act.via {
            Via::Outside => self.by_outsider(&act.operation, books),
            Via::Account { sender, value, .. } => self.by_account(&act.operation, books, sender, value),
        }
    }

    fn by_account(&self, operation: &Operation, books: &Books, sender: Address, value: Nano) -> Vec<Verdict> {
        let one = |judged: Result<Books, Refusal>| vec![judged.map_or_else(Verdict::Refused, Verdict::Now)];
        match operation {
            Operation::TopUp => one(Ok(books.clone())),
            Operation::Order(..) if sender != self.client => one(Err(Refusal::Sender)),
            Operation::Order(order, _) => self
                .arrange(books, order, value)
                .into_iter()
                .map(|judged| judged.unwrap_or_else(Verdict::Refused))
                .collect(),
            Operation::Claim(lane, cumulative, voucher) => {
                one(self.accept(books, *lane, *cumulative, voucher))
            }
            Operation::Close(lane, cumulative, voucher, order) => {
                let closed = self.close(books, *lane, *cumulative, voucher).and_then(|after| {
                    let own = Address::basechain(books.lanes[lane].provider) == sender;
                    require(own || self.consents(books, *lane, *cumulative, order), Refusal::Signature)?;
                    require(own || value >= self.prices.lane_close_cost(), Refusal::Value)?;
                    Ok(after)
                });
                one(closed)
            }
        }
    }

    fn by_outsider(&self, operation: &Operation, books: &Books) -> Vec<Verdict> {
        match operation {
            Operation::TopUp => vec![Verdict::Refused(UNKNOWN)],
            Operation::Order(..) if books.turn == 0 => vec![Verdict::Refused(Refusal::NotOpen)],
            Operation::Order(order, signed) => {
                let says = Says::Order { account: self.account.hash, turn: books.turn, order: order.clone() };
                if !signed.as_ref().is_some_and(|signed| signed.is(self.client_key, says)) {
                    return vec![Verdict::Refused(Refusal::Signature)];
                }
                let done = self
                    .arrange(books, order, Nano::ZERO)
                    .into_iter()
                    .map(|judged| judged.unwrap_or(Verdict::Burned))
                    .collect();
                self.with_spare(books, self.prices.order_fee(), Nano::ZERO, done)
            }
            Operation::Claim(lane, cumulative, voucher) => {
                let judged = self.accept(books, *lane, *cumulative, voucher).and_then(|after| {
                    let more = cumulative.minus(books.lanes[lane].settled).unwrap();
                    require(more >= self.prices.lane_claim_min(), Refusal::Dust)?;
                    Ok(after)
                });
                vec![judged.map_or_else(Verdict::Refused, Verdict::Now)]
            }
            Operation::Close(lane, cumulative, voucher, order) => {
                let judged = self.close(books, *lane, *cumulative, voucher).and_then(|after| {
                    require(self.consents(books, *lane, *cumulative, order), Refusal::Signature)?;
                    Ok(after)
                });
                let Ok(after) = judged else { return vec![Verdict::Refused(judged.unwrap_err())] };
                // What the reserve does not pay comes out of the provider's part, as long as something is left of it.
                let due = cumulative.minus(books.lanes[lane].settled).unwrap();
                let own = due.saturating_minus(PAYOUT_MIN);
                self.with_spare(books, self.prices.lane_close_cost(), own, vec![Verdict::Now(after)])
            }
        }
    }

    /// `done` where there is so much beside the lanes, or `own` makes up for it.
    fn with_spare(&self, books: &Books, least: Nano, own: Nano, mut done: Vec<Verdict>) -> Vec<Verdict> {
        let need = i128::from(books.locked().0) + i128::from(least.0) - i128::from(own.0);
        match i128::from(self.balance.0) - need {
            ..0 => vec![Verdict::Refused(Refusal::Value)],
            spare if spare <= i128::from(self.slack.0) => {
                done.push(Verdict::Refused(Refusal::Value));
                done
            }
            _ => done,
        }
    }

    fn accept(&self, books: &Books, lane: u8, cumulative: Nano, voucher: &Signed) -> Result<Books, Refusal> {
        let mut after = books.clone();
        let state = after.lanes.get_mut(&lane).ok_or(Refusal::NoLane)?;
        require(cumulative > state.settled, Refusal::Stale)?;
        require(cumulative <= state.deposit, Refusal::OverDeposit)?;
        let account = self.account.hash;
        let says = LaneVoucher { account, lane, epoch: state.epoch, cumulative };
        require(voucher.is(self.client_key, Says::Voucher(says)), Refusal::Signature)?;
        state.settled = cumulative;
        Ok(after)
    }

    fn close(&self, books: &Books, lane: u8, cumulative: Nano, voucher: &Signed) -> Result<Books, Refusal> {
        let settled = books.lanes.get(&lane).ok_or(Refusal::NoLane)?.settled;
        let mut after = if cumulative == settled {
            books.clone()
        } else {
            self.accept(books, lane, cumulative, voucher)?
        };
        after.lanes.remove(&lane);
        Ok(after)
    }

    fn consents(&self, books: &Books, lane: u8, cumulative: Nano, order: &Option<Signed>) -> bool {
        let state = &books.lanes[&lane];
        let says = LaneClose { account: self.account.hash, lane, epoch: state.epoch, cumulative };
        order.as_ref().is_some_and(|order| order.is(state.provider_key, Says::Close(says)))
    }

    fn arrange(&self, books: &Books, order: &PurseOrder, value: Nano) -> Vec<Result<Verdict, Refusal>> {
        let mut after = books.clone();
        for cut in &order.cuts {
            if let Err(refusal) = apply(&mut after, cut, self.now_s) {
                return vec![Err(refusal)];
            }
        }
        if order.end {
            let done = require(after.lanes.is_empty(), Refusal::LanesLeft);
            return vec![done.map(|()| Verdict::Ended)];
        }
        let covers = order.withdraw > Nano::ZERO
            || after.locked() > books.locked()
            || after.lanes.len() > books.lanes.len();
        let need = [order.withdraw, after.locked(), self.prices.purse_reserve(after.lanes.len())]
            .iter()
            .map(|n| i128::from(n.0))
            .sum::<i128>();
        let spare = i128::from(self.balance.0) + i128::from(value.0) - need;
        let forward = self.prices.forward_fee(0, 0);
        let least = PAYOUT_MIN.max(forward.plus(forward).unwrap());
        let dust = order.withdraw > Nano::ZERO && order.withdraw < least;
        let done = if dust { Err(Refusal::Dust) } else { Ok(Verdict::Now(after)) };
        match spare {
            _ if !covers => vec![done],
            ..0 => vec![Err(Refusal::NotCovered)],
            spare if spare <= i128::from(self.slack.0) => vec![done, Err(Refusal::NotCovered)],
            _ => vec![done],
        }
    }
}

fn apply(books: &mut Books, cut: &Cut, now_s: u32) -> Result<(), Refusal> {
    match *cut {
        Cut::Open { lane, provider, provider_key, amount } => {
            require(!books.lanes.contains_key(&lane), Refusal::LaneTaken)?;
            let (settled, keep) = (Nano::ZERO, Nano::ZERO);
            let state = LaneState {
                provider,
                provider_key,
                epoch: NEW,
                deposit: amount,
                settled,
                shrink_at_s: 0,
                keep,
            };
            books.lanes.insert(lane, state);
        }
        Cut::Grow { lane, amount } => {
            let state = books.lanes.get_mut(&lane).ok_or(Refusal::NoLane)?;
            let deposit = state.deposit.plus(amount).unwrap();
            *state = LaneState { deposit, shrink_at_s: 0, keep: Nano::ZERO, ..*state };
        }
        Cut::Shrink { lane, keep } => {
            let state = books.lanes.get_mut(&lane).ok_or(Refusal::NoLane)?;
            require(state.shrink_at_s == 0, Refusal::Closing)?;
            require(keep == Nano::ZERO || keep < state.deposit, Refusal::OverDeposit)?;
            *state = LaneState { shrink_at_s: now_s + CHALLENGE_S, keep, ..*state };
        }
        Cut::Finalize { lane } => {
            let state = books.lanes.get_mut(&lane).ok_or(Refusal::NoLane)?;
            require(state.shrink_at_s != 0 && now_s >= state.shrink_at_s, Refusal::TooEarly)?;
            if state.keep == Nano::ZERO {
                books.lanes.remove(&lane);
            } else {
                let deposit = state.keep.max(state.settled);
                *state = LaneState { deposit, shrink_at_s: 0, keep: Nano::ZERO, ..*state };
            }
        }
    }
    Ok(())
}

fn require(condition: bool, refusal: Refusal) -> Result<(), Refusal> {
    condition.then_some(()).ok_or(refusal)
}
