//! What a job's end says of its provider, and what follows: how it stands in the next auction, whether it is paid any more,
//! and whether its channel's rest is asked back. (`MK-31`, `CH-31`)

use crate::amount::Nano;
use crate::ident::{NodeId, Prefix};
use crate::io::{Failure, OrderNews};
use crate::limits;
use crate::market::auction::Fate;
use crate::market::bid::Bid;
use crate::market::score::{self, Place, Standing};
use crate::time::Time;
use crate::wire::message::{Refusal, ToProvider};
use crate::work::order::{Order, OrderId};

use super::deposit::Acquaintance;
use super::errand::Phase;
use super::memory::Memory;
use super::payments::Payments;
use super::{Client, ClientConfig};

/// Whose fault the end of an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// The provider's: it failed.
    Provider,
    /// It did not want the job.
    Refused,
    /// The user's, this node's, or the ledger's.
    Nobody,
}

/// One attempt at an order, as far as a verdict needs it.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    provider: NodeId,
    prefix: Prefix,
    account: Option<[u8; 32]>,
    /// Whether anything of use came.
    delivered: bool,
    /// Whether anything is owed for it.
    paid: bool,
    /// Whether it has had twice the time that it promised for the first token.
    is_late: bool,
}

fn blame(why: Failure, attempt: &Attempt, proven: bool) -> Blame {
    match why {
        Failure::NoAnswer
        | Failure::Stalled
        | Failure::Gone
        | Failure::Session
        | Failure::FalseReceipt
        | Failure::Refused(Refusal::Engine) => Blame::Provider,
        // Who takes money and then has a reason not to go on is no better than who falls silent.
        Failure::Refused(_) if attempt.paid && !proven => Blame::Provider,
        Failure::Refused(_) => Blame::Refused,
        // A deadline is the user's own, unless nothing at all came in more than the time that was promised.
        Failure::Deadline if !attempt.delivered && attempt.is_late => Blame::Provider,
        Failure::Deadline
        | Failure::Cancelled
        | Failure::Payment(_)
        | Failure::Order(_)
        | Failure::NoBids
        | Failure::LeftAlone
        | Failure::TooLongToResume { .. }
        | Failure::OverBudget { .. }
        | Failure::NoTier(_) => Blame::Nobody,
    }
}

/// How a bidder stands with this client.
pub(super) fn standing(
    now: Time,
    order: &Order,
    bid: &Bid,
    prefix: Prefix,
    (memory, payments, config): (&Memory, &Payments, &ClientConfig),
) -> Standing {
    let level = memory.level(&bid.provider);
    let place = memory.place(now, &bid.provider, prefix);
    let cost_max = score::cost(order, bid).unwrap_or(Nano(u64::MAX));
    let asks_s = bid.payee.challenge_s;
    let is_long = asks_s > longest_challenge(config, level);
    Standing {
        place,
        level,
        locks: payments.would_lock(bid, cost_max, Acquaintance { level, room: Nano(u64::MAX) }, config),
        challenge_s: config.challenge_s.max(asks_s),
        refused: if place == Place::Barred {
            Some(Fate::FailedBefore)
        } else if is_long {
            Some(Fate::LongChallenge { asks_s })
        } else {
            None
        },
    }
}

/// The longest challenge time that a provider of this level may ask for. (`CH-31`)
pub(super) fn longest_challenge(config: &ClientConfig, level: u8) -> u32 {
    let most = config.policy.challenge_s_max.max(config.challenge_s);
    if level >= limits::CHALLENGE_LEVEL {
        most
    } else {
        most.min(limits::CHALLENGE_STRANGER_S.max(config.challenge_s))
    }
}

impl Client {
    /// What is known of a provider that is about to be given a job, and what may still be locked with it.
    pub(super) fn acquaintance(&self, provider: &NodeId) -> Acquaintance {
        let level = self.memory.level(provider);
        let room = if level > 0 {
            Nano(u64::MAX)
        } else {
            let locked = self.payments.locked_with(|other| self.memory.level(other) == 0);
            self.config.policy.strangers_locked_max.saturating_minus(locked)
        };
        Acquaintance { level, room }
    }

    /// The provider waits for money, or has delivered: asks the ledger for the channel, unless it is a stranger and
    /// another stranger has its turn. (`CH-32`)
    pub(super) fn fund(&mut self, now: Time, account: &[u8; 32], provider: NodeId, useful: bool) {
        let memory = &self.memory;
        let is_stranger = |other: &NodeId| memory.level(other) == 0;
        if !useful && is_stranger(&provider) && self.payments.is_anothers_turn(now, account, is_stranger) {
            return;
        }
        self.payments.fund(now, account, useful, &mut self.outbox);
    }

    fn attempt(&self, now: Time, id: OrderId) -> Option<Attempt> {
        let errand = self.orders.get(&id)?;
        let (provider, prefix) = errand.tried?;
        let mut attempt =
            Attempt { provider, prefix, account: None, delivered: false, paid: false, is_late: false };
        match &errand.phase {
            Phase::Idle => {}
            Phase::Calling(_) => return None,
            Phase::Awarding(awarding) => attempt.is_late = now >= awarding.until,
            Phase::Working(working) => {
                attempt.account = Some(working.account);
                attempt.delivered = working.has_delivered();
                attempt.paid = working.cost() > Nano::ZERO;
                attempt.is_late = working.is_late(now);
            }
        }
        Some(attempt)
    }

    /// Says who was to blame and remembers it; asks the rest back where nothing is to be expected for it any more.
    /// Returns whether what the provider still sends is paid.
    fn judge(&mut self, now: Time, id: OrderId, why: Failure) -> bool {
        let Some(attempt) = self.attempt(now, id) else { return true };
        let Attempt { provider, prefix, .. } = attempt;
        let trusted = self.memory.is_trusted(&provider);
        let blame = blame(why, &attempt, self.memory.level(&provider) > 0);
        match blame {
            Blame::Provider => self.memory.failed(now, provider, prefix, &mut self.outbox),
            Blame::Refused if why != Failure::Refused(Refusal::UnknownBid) => {
                self.memory.refused(now, provider, prefix, &mut self.outbox);
            }
            Blame::Refused | Blame::Nobody => {}
        }
        let is_stranger = self.memory.level(&provider) == 0;
        let ledgers = matches!(why, Failure::Payment(_));
        let useless =
            (!attempt.delivered && is_stranger && !ledgers) || (blame == Blame::Provider && !trusted);
        if let Some(account) = attempt.account.filter(|account| useless && self.payments.is_recorded(account))
        {
            self.payments.give_up(now, &account, &mut self.outbox);
        }
        blame != Blame::Provider
    }

    /// A provider failed an order: go on with the next, from where this one stopped.
    pub(super) fn failed(&mut self, now: Time, id: OrderId, provider: NodeId, why: Failure) {
        self.leases.end(provider);
        let pays = self.judge(now, id, why);
        self.leave_job(now, id, pays);
        let Some(errand) = self.orders.get_mut(&id) else { return };
        errand.tried = None;
        // One that only forgot its bid, as after a restart, may bid again.
        if why != Failure::Refused(Refusal::UnknownBid) {
            errand.failed.push(provider);
        }
        errand.last_failure = Some(why);
        self.news(id, OrderNews::FailedOver { from: provider, why });
        self.advance(now, id);
    }

    /// Ends an order, well (`None`) or with a reason. (`CO-5`)
    pub(super) fn end(&mut self, now: Time, id: OrderId, why: Option<Failure>) {
        if let Some(why) = why {
            let pays = self.judge(now, id, why);
            self.leave_job(now, id, pays);
        }
        let Some(errand) = self.orders.remove(&id) else { return };
        self.calls.retain(|_, order| *order != id);
        for candidate in &errand.candidates {
            self.send(candidate.bid.provider, ToProvider::Release(candidate.bid.call));
        }
        let news = match why {
            None => OrderNews::Done(errand.bill),
            Some(why) => OrderNews::Failed { why, bill: errand.bill },
        };
        self.news(id, news);
    }

    /// A complete answer has come: one of substance speaks for its provider, an empty one for nobody. (`MK-31`)
    pub(super) fn praise(&mut self, now: Time, id: OrderId) {
        let Some(attempt) = self.attempt(now, id) else { return };
        if attempt.delivered {
            self.memory.served(now, attempt.provider, attempt.prefix, &mut self.outbox);
        } else {
            self.memory.refused(now, attempt.provider, attempt.prefix, &mut self.outbox);
        }
    }
}
