//! What a job's end says of its provider, and what follows: how it stands in the next auction, whether it is paid any more,
//! and whether its channel's rest is asked back. (`MK-31`, `CH-31`)

use crate::amount::Nano;
use crate::channel::fault::{PaymentFault, Remedy};
use crate::channel::id::ChannelId;
use crate::ident::{NodeId, Prefix};
use crate::io::Failure;
use crate::market::auction::Candidate;
use crate::market::bid::Bid;
use crate::market::history::Timing;
use crate::market::score::Fate;
use crate::market::score::{Lot, Place, Speed, Standing};
use crate::time::Time;
use crate::wire::message::Refusal;
use crate::work::order::ModelId;

use super::attempt::Attempt;
use super::known_provider::Delay;
use super::order::Phase;
use super::payments::Acquaintance;
use super::progress::Progress;
use super::purchases::Service;
use super::shared::SharedState;

/// Whose fault the end of an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// The provider's: it failed.
    Provider,
    /// The provider's, which worked on others of this client's jobs meanwhile, or has served before and says that this one waits for
    /// its turn: it is slower than it promised. With what it took, where it says so.
    Slow(Option<Timing>),
    /// It did not want the job.
    Refused,
    /// Neither did it, but it held the job for longer than it promised before it said so: its line may be slower than it foretold, or its
    /// word is worth nothing. With what it took, where it said that the job waits.
    RefusedLate(Option<Timing>),
    /// The user's, this node's, or the ledger's.
    Nobody,
}

/// What is known of one award when it ends, as far as a verdict needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conduct {
    pub(super) provider: NodeId,
    pub(super) prefix: Prefix,
    model: ModelId,
    account: Option<ChannelId>,
    /// When the job began.
    began: Time,
    /// Whether anything of use came.
    pub(super) delivered: bool,
    /// Whether anything is owed for it.
    paid: bool,
    /// Whether it has had twice the time that it promised for the first token.
    is_late: bool,
    /// How long the job has waited for its turn beyond what was promised, if it waits by the provider's last word.
    waiting: Option<Timing>,
    /// How long what has come took, if that is many times what was promised.
    slow: Option<Timing>,
}

impl Conduct {
    /// Returns what is known of the award that an order waits on, if there is one.
    pub(super) fn of(now: Time, phase: &Phase) -> Option<Self> {
        match phase {
            Phase::Pause(_) | Phase::Auction(_) => None,
            Phase::Award(award) => {
                Some(Self { is_late: award.is_late(now), ..Self::of_award(award.began(), &award.candidate) })
            }
            Phase::Attempt(attempt) => Some(Self::of_attempt(now, attempt)),
        }
    }

    /// Returns what is known of an award that came to nothing.
    pub(super) const fn of_award(began: Time, candidate: &Candidate) -> Self {
        Self {
            provider: candidate.bid.provider,
            prefix: candidate.prefix,
            model: candidate.bid.model,
            account: None,
            began,
            delivered: false,
            paid: false,
            is_late: false,
            waiting: None,
            slow: None,
        }
    }

    /// Returns whether the next call of an order may ask its provider again, which has failed it like this. (`MK-15`)
    pub(super) const fn may_be_asked_again(&self, why: Failure, is_proven: bool) -> bool {
        let was_held = self.is_late && matches!(why, Failure::Refused(_));
        // What says nothing of a provider says nothing for one that has not served yet: it could be said to each award.
        passes(why) && !was_held && (is_proven || !is_harmless(why))
    }

    pub(super) fn of_attempt(now: Time, attempt: &Attempt) -> Self {
        Self {
            // A provider that has not taken the award knows of no channel.
            account: attempt.award.is_none().then_some(attempt.account),
            delivered: attempt.has_delivered(),
            paid: attempt.cost() > Nano::ZERO,
            is_late: attempt.is_late(now),
            waiting: attempt.waiting(now),
            slow: attempt.slow(now),
            ..Self::of_award(attempt.started, &attempt.candidate)
        }
    }
}

fn blame(why: Failure, conduct: &Conduct, proven: bool, works: bool) -> Blame {
    let is_late = conduct.is_late && !conduct.delivered;
    match why {
        // A token now and then is no answer, and costs whoever gives it nothing.
        Failure::Deadline if conduct.slow.is_some() => Blame::Slow(conduct.slow),
        // Where it has worked on others of this client's jobs meanwhile, it may be these that were in the way: its slots, or the channel's
        // window. Its own word for it may have ended before its turn came.
        Failure::Deadline | Failure::Stalled if is_late && works => Blame::Slow(conduct.waiting),
        // A connection may break at either end, and a channel may be closed before its provider hears of a job. Who
        // took money before that is no better than one that falls silent.
        Failure::Gone | Failure::Payment(PaymentFault::Closed { .. }) if !conduct.paid => Blame::Refused,
        Failure::NoAnswer
        | Failure::Stalled
        | Failure::Gone
        | Failure::Session
        | Failure::FalseReceipt
        | Failure::FalseCount { .. }
        | Failure::Refused(Refusal::Engine) => Blame::Provider,
        // A provider that takes money and then has a reason not to go on is no better than one that
        // falls silent.
        Failure::Refused(_) if conduct.paid && !proven => Blame::Provider,
        // It may be right: it is held against it once another has served the task. (`MK-47`)
        Failure::Refused(refusal) if refusal.is_final() => Blame::Nobody,
        Failure::Refused(_) if passes(why) && is_late && (works || proven) => {
            Blame::RefusedLate(conduct.waiting)
        }
        Failure::Refused(_) => Blame::Refused,
        // A deadline is the user's own, unless nothing at all came in more than the time that was promised.
        Failure::Deadline if is_late => {
            if proven && conduct.waiting.is_some() {
                Blame::Slow(conduct.waiting)
            } else {
                Blame::Provider
            }
        }
        Failure::Deadline
        | Failure::Cancelled
        | Failure::Payment(_)
        | Failure::Order(_)
        | Failure::NotConnected
        | Failure::NoSeller { .. }
        | Failure::NoBids
        | Failure::Full { .. }
        | Failure::LeftAlone { .. }
        | Failure::CutShort { .. }
        | Failure::NotWanted { .. }
        | Failure::TooLongToResume { .. }
        | Failure::OverBudget { .. }
        | Failure::OverCeiling { .. }
        | Failure::NoTier(_) => Blame::Nobody,
    }
}

/// Returns whether what stood in the way of a job passes by itself, or with another bid.
pub(super) const fn passes(why: Failure) -> bool {
    matches!(
        why,
        Failure::Gone
            | Failure::Payment(PaymentFault::Closed { .. } | PaymentFault::DepositInUse { .. })
            | Failure::Refused(
                Refusal::UnknownBid
                    | Refusal::OtherClass
                    | Refusal::Busy
                    | Refusal::Leaving
                    | Refusal::Unfunded
            )
    )
}

/// Returns whether what stood in the way of a job would stand there again: its provider refuses the task for what it is, or cannot
/// be paid for it. (`MK-15`, `MK-47`)
pub(super) fn is_for_good(why: Failure) -> bool {
    if let Failure::Payment(fault) = why {
        return fault.remedy() == Remedy::AnotherBidder;
    }
    matches!(why, Failure::Refused(refusal) if refusal.is_final())
}

/// Returns whether a refusal says nothing of a provider: its bid had lapsed or was for another task, or it has withdrawn the model.
const fn is_harmless(why: Failure) -> bool {
    matches!(why, Failure::Refused(Refusal::UnknownBid | Refusal::OtherClass | Refusal::Leaving))
}

impl Progress {
    /// Returns how a bidder for what is left of the order stands with this client.
    pub(super) fn standing(
        &self,
        now: Time,
        lot: &Lot,
        bid: &Bid,
        prefix: Prefix,
        shared: &SharedState,
    ) -> Standing {
        let wanted = &self.order.preferences;
        let SharedState { memory, payments, config, .. } = shared;
        let level = memory.level(&bid.provider);
        let known = memory.place(now, &bid.provider, prefix, memory.purchases.is_small(&bid.model, lot));
        let is_new = matches!(known, Place::Tried | Place::Unknown);
        let place = if is_new && !config.market.quota { Place::Proven } else { known };
        let measured = || memory.speed(&bid.provider, &bid.model);
        let cost_max = lot.cost_max(bid.price).unwrap_or(Nano(u64::MAX));
        let stands_s = payments.challenge_with(bid.provider, &bid.payee);
        let acquaintance = shared.acquaintance(&bid.provider);
        let needs = cost_max.min(self.budget());
        let paid = match self.unfunded {
            Some(why) if !payments.holds(bid, needs) => Err((why, Nano::ZERO)),
            Some(_) | None => payments
                .may_pay(bid, needs, acquaintance, config)
                .map_err(|why| (why, payments.payable_max(bid, acquaintance, config))),
        };
        // Room on a channel may be there again before the award.
        let passes = |why: &PaymentFault| matches!(why, PaymentFault::DepositInUse { .. });
        let unpayable = paid.err().filter(|(why, _)| !passes(why));
        let unpayable = unpayable.map(|(why, most)| Fate::Unpayable { why, most });
        Standing {
            turn: wanted.turn(&bid.provider),
            place,
            level,
            speed: if config.market.measures { measured() } else { Speed::default() },
            locks: payments.would_lock(bid, cost_max, Acquaintance { level, room: Nano(u64::MAX) }, config),
            challenge_s: stands_s.unwrap_or_else(|| config.challenge_s.max(bid.payee.challenge_s)),
            refused: if !wanted.allow(&bid.provider) {
                Some(Fate::NotWanted)
            } else if place == Place::Barred {
                Some(Fate::FailedBefore)
            } else {
                unpayable
            },
        }
    }
}

impl SharedState {
    /// Returns what is known of a provider that is about to be given a job, and what may still be locked with it.
    pub(super) fn acquaintance(&self, provider: &NodeId) -> Acquaintance {
        let level = self.memory.level(provider);
        let room = if level > 0 {
            Nano(u64::MAX)
        } else {
            // What was locked while it served well is no stranger's: one that dies must not keep all others out.
            let locked = self.payments.locked_with(|other| !self.memory.has_served(other));
            self.config.policy.strangers_locked_max.saturating_minus(locked)
        };
        Acquaintance { level, room }
    }

    /// Says who was to blame for a failure and remembers it; asks the rest back where nothing is to be expected for it any
    /// more. Returns whether what the provider still sends is paid.
    pub(super) fn judge(&mut self, now: Time, conduct: &Conduct, why: Failure) -> bool {
        let Conduct { provider, prefix, model, began, .. } = *conduct;
        let delay = |timing| Delay { began, model, timing };
        let trusted = self.memory.is_trusted(&provider);
        let works = self.memory.works(now, &provider, began);
        let mut blame = blame(why, conduct, self.memory.level(&provider) > 0, works);
        // Who has served on credit and then sees no deposit may be right: this node's own ledger may be behind, or the provider's.
        let is_unsettled = |account: &ChannelId| !self.payments.is_settled(now, account);
        if why == Failure::Refused(Refusal::Unpaid)
            && conduct.delivered
            && conduct.account.as_ref().is_some_and(is_unsettled)
        {
            blame = Blame::Nobody;
        }
        if let Blame::Slow(timing) = blame
            && self.memory.was_slow(now, &provider, delay(timing), &mut self.outbox)
        {
            blame = Blame::Provider;
        }
        match blame {
            Blame::Provider => self.memory.failed(now, began, provider, prefix, model, &mut self.outbox),
            Blame::RefusedLate(timing) => {
                self.memory.refused_late(now, &provider, delay(timing), &mut self.outbox);
            }
            // Full of this client's own jobs, perhaps.
            Blame::Refused if why == Failure::Refused(Refusal::Busy) && works => {}
            Blame::Refused if !is_harmless(why) => {
                self.memory.refused(now, began, provider, prefix, model, &mut self.outbox);
            }
            Blame::Slow(_) | Blame::Refused | Blame::Nobody => {}
        }
        let is_stranger = self.memory.level(&provider) == 0;
        // A provider that is only full, or asked for another bid, is as good as before.
        let passes = matches!(why, Failure::Payment(_)) || passes(why);
        let gave_nothing = !conduct.delivered && !works;
        let useless = (gave_nothing && is_stranger && !passes) || (blame == Blame::Provider && !trusted);
        if let Some(account) = conduct.account.filter(|account| useless && self.payments.is_recorded(account))
        {
            self.payments.close(now, &account, &mut self.outbox);
        }
        blame != Blame::Provider
    }

    /// Remembers that a complete answer has come: one of substance speaks for its provider, an empty one for
    /// nobody. (`MK-31`)
    pub(super) fn praise(&mut self, now: Time, conduct: &Conduct, service: &Service) {
        let Conduct { provider, prefix, model, began, delivered, .. } = *conduct;
        if delivered {
            self.memory.served(now, provider, prefix, service, &mut self.outbox);
        } else {
            self.memory.refused(now, began, provider, prefix, model, &mut self.outbox);
        }
    }
}
