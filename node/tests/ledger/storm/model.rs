//! What the contract must do, in Rust, from the rules and not from the code: the storm compares every step with it.

use bombyx_node::ledger::{Prices, Refusal};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;

use super::act::{Act, Claim, Operation, Party, Purpose, Signed, Via};
use crate::setup::CHALLENGE_S;

/// The contract's word for an operation that it does not know.
const UNKNOWN: Refusal = Refusal::Other(0xffff);

/// A deployed channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Books {
    pub(super) epoch: u64,
    pub(super) close_at_s: u32,
    pub(super) deposit: Nano,
    pub(super) settled: Nano,
}

/// What an act does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The channel is so from now on; a first funding leaves its epoch open.
    Now(Books),
    /// The account is deleted, `due` of it to the provider.
    Closed { due: Nano },
    /// The contract refuses, and nothing changes.
    Refused(Refusal),
    /// There is no contract to refuse.
    Nobody,
}

/// Judges an act on the channel `account` in state `before` at chain time `now_s`.
pub(super) fn judge(
    act: &Act,
    account: Address,
    before: Option<Books>,
    now_s: u32,
    prices: &Prices,
) -> Verdict {
    let deploys = matches!(act.via, Via::Account { with_code: true, .. });
    let books = match before {
        Some(books) => books,
        None if deploys => Books::default(),
        None => return Verdict::Nobody,
    };
    let judged = match act.via {
        Via::Outside => from_outside(&act.operation, account, books, now_s, prices),
        Via::Account { sender, value, .. } => {
            from_account(&act.operation, account, books, now_s, prices, (sender, value))
        }
    };
    judged.unwrap_or_else(Verdict::Refused)
}

fn from_account(
    operation: &Operation,
    account: Address,
    books: Books,
    now_s: u32,
    prices: &Prices,
    (sender, value): (Party, Nano),
) -> Result<Verdict, Refusal> {
    match *operation {
        Operation::TopUp(amount) => {
            require(books.close_at_s == 0, Refusal::Closing)?;
            let surplus = if books.epoch == 0 { prices.open_surplus() } else { prices.top_up_surplus() };
            require(value >= amount.saturating_plus(surplus), Refusal::Value)?;
            Ok(Verdict::Now(Books { deposit: books.deposit.saturating_plus(amount), ..books }))
        }
        Operation::Claim(cumulative, voucher) => {
            Ok(Verdict::Now(accept(account, books, cumulative, voucher)?))
        }
        Operation::Close(cumulative, voucher, _) => {
            require(sender == Party::Provider, Refusal::Sender)?;
            let due = last(account, books, cumulative, voucher)?.saturating_plus(value);
            Ok(Verdict::Closed { due })
        }
        Operation::Request(_) => {
            let closing = start_closing(books, now_s)?;
            require(sender == Party::Client, Refusal::Sender)?;
            Ok(closing)
        }
        Operation::Finalize => finalize(books, now_s),
        Operation::Gift => Ok(Verdict::Now(books)),
        Operation::Noise => Err(UNKNOWN),
    }
}

fn from_outside(
    operation: &Operation,
    account: Address,
    books: Books,
    now_s: u32,
    prices: &Prices,
) -> Result<Verdict, Refusal> {
    match *operation {
        Operation::Claim(cumulative, voucher) => {
            let after = accept(account, books, cumulative, voucher)?;
            let more = cumulative.saturating_minus(books.settled);
            require(more >= prices.claim_min(), Refusal::Dust)?;
            Ok(Verdict::Now(after))
        }
        Operation::Close(cumulative, voucher, order) => {
            let due = last(account, books, cumulative, voucher)?;
            let order = order.ok_or(Refusal::Signature)?;
            let claim = Claim {
                purpose: Purpose::Order,
                by: Party::Provider,
                account,
                epoch: books.epoch,
                cumulative,
            };
            require(order.claim == Some(claim), Refusal::Signature)?;
            Ok(Verdict::Closed { due })
        }
        Operation::Request(request) => {
            let closing = start_closing(books, now_s)?;
            let said = request.and_then(|request| request.claim).ok_or(Refusal::Signature)?;
            let claim = Claim {
                purpose: Purpose::Request,
                by: Party::Client,
                account,
                epoch: books.epoch,
                // A request names no amount.
                cumulative: said.cumulative,
            };
            require(said == claim, Refusal::Signature)?;
            Ok(closing)
        }
        Operation::Finalize => finalize(books, now_s),
        Operation::TopUp(_) | Operation::Gift | Operation::Noise => Err(UNKNOWN),
    }
}

fn accept(account: Address, books: Books, cumulative: Nano, voucher: Signed) -> Result<Books, Refusal> {
    require(books.epoch != 0, Refusal::NotOpen)?;
    require(cumulative > books.settled, Refusal::Stale)?;
    require(cumulative <= books.deposit, Refusal::OverDeposit)?;
    let by = Party::Client;
    let claim = Claim { purpose: Purpose::Voucher, by, account, epoch: books.epoch, cumulative };
    require(voucher.claim == Some(claim), Refusal::Signature)?;
    Ok(Books { settled: cumulative, ..books })
}

/// What a close still owes the provider.
fn last(account: Address, books: Books, cumulative: Nano, voucher: Signed) -> Result<Nano, Refusal> {
    require(books.epoch != 0, Refusal::NotOpen)?;
    if cumulative == books.settled {
        return Ok(Nano::ZERO);
    }
    Ok(accept(account, books, cumulative, voucher)?.settled.saturating_minus(books.settled))
}

fn start_closing(books: Books, now_s: u32) -> Result<Verdict, Refusal> {
    require(books.epoch != 0, Refusal::NotOpen)?;
    require(books.close_at_s == 0, Refusal::Closing)?;
    Ok(Verdict::Now(Books { close_at_s: now_s + CHALLENGE_S, ..books }))
}

fn finalize(books: Books, now_s: u32) -> Result<Verdict, Refusal> {
    require(books.close_at_s != 0 && now_s >= books.close_at_s, Refusal::TooEarly)?;
    Ok(Verdict::Closed { due: Nano::ZERO })
}

fn require(condition: bool, refusal: Refusal) -> Result<(), Refusal> {
    condition.then_some(()).ok_or(refusal)
}
