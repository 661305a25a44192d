//! One order on its way: the auction, the award, and what to do when a provider fails.

use std::collections::VecDeque;

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::ident::{NodeId, Prefix};
use crate::io::Output;
use crate::io::{Bill, Failure, OrderNews, PeerFault};
use crate::limits;
use crate::market::auction::{Auction, Candidate, Fate};
use crate::market::call::{Call, CallId};
use crate::market::invite::Share;
use crate::session::{Initiator, prologue};
use crate::time::{Span, Time};
use crate::wire::message::{Accept, Award, Finish, Gossip, Refusal, Refuse, ToProvider};
use crate::work::order::{JobId, Order, OrderId, Task};

use super::Client;
use super::verdict::{longest_challenge, standing};
use super::working::Working;

/// Runners-up that are kept warm for a failover; the others are released at once. (`MK-11`, `MK-13`)
const WARM_MAX: usize = 3;

/// An order and how far it has come.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) order: Order,
    pub(super) started: Time,
    pub(super) deadline: Time,
    pub(super) phase: Phase,
    pub(super) candidates: VecDeque<Candidate>,
    pub(super) failed: Vec<NodeId>,
    /// Who was awarded last, with the prefix that its bid came from, until that attempt has failed.
    pub(super) tried: Option<(NodeId, Prefix)>,
    /// Awards so far.
    pub(super) attempts: u32,
    /// Calls to which no bid came at all, or none of a provider that is not left alone.
    unanswered: u32,
    /// Whether the last call invited everybody.
    invited_all: bool,
    /// Output tokens that the user has already.
    pub(super) delivered: Vec<u32>,
    /// Vectors that the user has already.
    pub(super) rows: u32,
    pub(super) bill: Bill,
    pub(super) last_failure: Option<Failure>,
}

/// What an order waits for.
#[derive(Debug)]
pub(super) enum Phase {
    /// Between two steps of one input; never seen across inputs.
    Idle,
    /// Bids.
    Calling(Auction),
    /// The answer to an award.
    Awarding(Box<Awarding>),
    /// The answer to the task.
    Working(Box<Working>),
}

/// An award that is out.
#[derive(Debug)]
pub(super) struct Awarding {
    candidate: Candidate,
    award: Award,
    initiator: Initiator,
    repeat_at: Time,
    pub(super) until: Time,
}

impl Errand {
    pub(super) fn new(now: Time, order: Order) -> Self {
        let deadline = now + order.deadline;
        Self {
            order,
            started: now,
            deadline,
            phase: Phase::Idle,
            candidates: VecDeque::new(),
            failed: Vec::new(),
            tried: None,
            attempts: 0,
            unanswered: 0,
            invited_all: false,
            delivered: Vec::new(),
            rows: 0,
            bill: Bill::default(),
            last_failure: None,
        }
    }

    /// What may still be spent.
    pub(super) fn budget(&self) -> Nano {
        self.order.max_cost.saturating_minus(self.bill.cost)
    }

    /// Whether what is left of the budget covers all that a candidate may cost for what is left to do.
    fn can_afford(&self, candidate: &Candidate) -> bool {
        candidate.price.cost_max(&self.task_left()).is_some_and(|cost| cost <= self.budget())
    }

    /// The channel that the order is being paid on.
    pub(super) fn account(&self) -> Option<[u8; 32]> {
        match &self.phase {
            Phase::Working(working) => Some(working.account),
            Phase::Idle | Phase::Calling(_) | Phase::Awarding(_) => None,
        }
    }

    pub(super) fn wake_at(&self) -> Time {
        let phase = match &self.phase {
            Phase::Idle => self.deadline,
            Phase::Calling(auction) => auction.closes_at,
            Phase::Awarding(awarding) => awarding.repeat_at.min(awarding.until),
            Phase::Working(working) => working.wake_at(),
        };
        phase.min(self.deadline)
    }

    /// The task that is left to do: after a failover the next provider goes on where the last one
    /// stopped. (`WR-13`)
    pub(super) fn task_left(&self) -> Task {
        self.order.task.rest_after(&self.delivered, self.rows)
    }

    /// Whether another provider can go on after a failed one, and how the order ends if none can. (`WR-13`)
    fn resumption(&self) -> Resumption {
        let left = self.task_left();
        match &left {
            Task::Embed { inputs } if inputs.is_empty() => Resumption::Whole(Finish::Stop),
            // All of the tokens are there; the end that said so was lost.
            Task::Generate(generate) if generate.max_tokens == 0 => Resumption::Whole(Finish::Length),
            Task::Generate(generate) if generate.prefix.len() > left.prefix_tokens_max() => {
                Resumption::TooLong(Failure::TooLongToResume {
                    delivered: u32::try_from(self.delivered.len()).unwrap_or(u32::MAX),
                })
            }
            Task::Embed { .. } | Task::Generate(_) => Resumption::Open,
        }
    }
}

/// What can be done about an order whose provider failed.
enum Resumption {
    /// Another provider can go on.
    Open,
    /// Nothing is left to do although the provider never said so.
    Whole(Finish),
    /// What was delivered does not fit into a task, so no provider can be told where to go on.
    TooLong(Failure),
}

impl Client {
    /// Takes the next step of an order that waits for nothing.
    pub(super) fn advance(&mut self, now: Time, id: OrderId) {
        let Some(errand) = self.orders.get_mut(&id) else { return };
        errand.phase = Phase::Idle;
        if now >= errand.deadline {
            return self.end(now, id, Some(Failure::Deadline));
        }
        if errand.attempts > 0 {
            match errand.resumption() {
                Resumption::Open => {}
                Resumption::Whole(finish) => {
                    errand.bill.finish = Some(finish);
                    return self.end(now, id, None);
                }
                Resumption::TooLong(why) => return self.end(now, id, Some(why)),
            }
        }
        if errand.attempts >= limits::ATTEMPTS_MAX || errand.unanswered >= limits::CALLS_UNANSWERED_MAX {
            let why = errand.last_failure.unwrap_or(Failure::NoBids);
            return self.end(now, id, Some(why));
        }
        let leased = self.config.leases.then(|| self.lease_for(now, id)).flatten();
        match leased.or_else(|| self.next_candidate(id)) {
            Some(candidate) => self.award(now, id, candidate),
            None => self.call(now, id),
        }
    }

    fn lease_for(&self, now: Time, id: OrderId) -> Option<Candidate> {
        let errand = self.orders.get(&id)?;
        let candidate = self.leases.find(now, &errand.order.model, errand.order.tier)?;
        let affordable = errand.can_afford(candidate);
        (affordable && !errand.failed.contains(&candidate.bid.provider)).then(|| candidate.clone())
    }

    /// The best of those left whose ceiling is within what is left of the budget: what was delivered is input now, and what
    /// was billed is spent. The others are released. (`MK-13`)
    fn next_candidate(&mut self, id: OrderId) -> Option<Candidate> {
        loop {
            let errand = self.orders.get_mut(&id)?;
            let candidate = errand.candidates.pop_front()?;
            if errand.can_afford(&candidate) {
                return Some(candidate);
            }
            self.send(candidate.bid.provider, ToProvider::Release(candidate.bid.call));
        }
    }

    fn call(&mut self, now: Time, id: OrderId) {
        let call_id = CallId(self.entropy.bytes());
        let Some(errand) = self.orders.get_mut(&id) else { return };
        // A call that nobody answered may have been lost, or the topic is not joined yet: each one waits
        // longer. (`MK-15`)
        let window = Span(self.config.bid_window.0.saturating_mul(1 << errand.unanswered.min(8)));
        let window_ms = u32::try_from(window.as_ms()).unwrap_or(u32::MAX);
        // Who was asked and stayed silent is asked again among all; each that failed is a reason to look further.
        let again = errand.unanswered > 0 || !errand.failed.is_empty();
        let wanted = self.config.enough_bids.saturating_mul(1 << errand.failed.len().min(8));
        let invited =
            if errand.unanswered > 0 { Share::ALL } else { self.crowds.share(&errand.order.model, wanted) };
        errand.invited_all = invited == Share::ALL;
        let (node, seal_key) = (self.identity.id(), self.seal_key.public());
        let call = Call::for_order(call_id, node, seal_key, &errand.order, window_ms, invited);
        let closes_at = (now + window).min(errand.deadline);
        // Who was silent before is waited for again: it may only have been busy or slow.
        let enough = if again {
            self.config.enough_bids
        } else {
            self.crowds.enough(&errand.order.model, self.config.enough_bids)
        };
        errand.phase = Phase::Calling(Auction::new(call_id, closes_at, enough).by(self.config.rule));
        self.crowds.invite(call_id.0, call.model, invited, closes_at);
        self.calls.insert(call_id, id);
        let gossip = Gossip::Call(call.sign(&self.identity));
        self.outbox.push(Output::Broadcast { model: call.model, gossip });
    }

    /// Scores the bids once and awards the best.
    pub(super) fn close_auction(&mut self, now: Time, id: OrderId) {
        let explore = self.memory.may_explore();
        let Some(errand) = self.orders.get_mut(&id) else { return };
        let Phase::Calling(auction) = core::mem::replace(&mut errand.phase, Phase::Idle) else { return };
        self.calls.remove(&auction.call);
        let call = auction.call;
        if auction.count() == 0 {
            errand.unanswered = errand.unanswered.saturating_add(1);
            self.news(id, OrderNews::Bids(Vec::new()));
            return self.advance(now, id);
        }
        let order = Order { task: errand.task_left(), ..errand.order.clone() };
        let known = (&self.memory, &self.payments, &self.config);
        let mut outcome = auction.close(&order, errand.budget(), &errand.failed, explore, |bid, prefix| {
            standing(now, &order, bid, prefix, known)
        });
        if outcome.explores {
            self.memory.explores();
        }
        let losers = outcome.candidates.split_off(outcome.candidates.len().min(WARM_MAX));
        let release: Vec<NodeId> = outcome
            .reports
            .iter()
            .filter(|report| !matches!(report.fate, Fate::Won { .. } | Fate::Outscored { .. }))
            .map(|report| report.provider)
            .chain(losers.iter().map(|loser| loser.bid.provider))
            .collect();
        errand.candidates = outcome.candidates.into();
        let reports = outcome.reports;
        // All that were invited failed before: the next call invites everybody.
        let looks_further = !errand.invited_all && reports.iter().all(|bid| bid.fate == Fate::FailedBefore);
        if looks_further {
            errand.unanswered = errand.unanswered.max(1);
        }
        // Another round only helps if this one was empty because everybody here failed before.
        let why = errand.candidates.is_empty().then(|| {
            let lowest =
                reports.iter().filter(|report| report.fate == Fate::OverBudget).map(|r| r.cost_max).min();
            let tier = reports.iter().any(|report| report.fate == Fate::WeakerTier);
            let challenge = reports.iter().find_map(|report| {
                if let Fate::LongChallenge { asks_s } = report.fate { Some(asks_s) } else { None }
            });
            match lowest {
                Some(lowest) => Failure::OverBudget { lowest },
                None if tier => Failure::NoTier(errand.order.tier),
                None => errand.last_failure.unwrap_or(match challenge {
                    Some(wanted_s) => {
                        let most_s = longest_challenge(&self.config, 0);
                        Failure::Payment(PaymentFault::ChallengeTooLong { wanted_s, most_s })
                    }
                    None => Failure::LeftAlone,
                }),
            }
        });
        self.news(id, OrderNews::Bids(reports));
        for provider in release {
            self.send(provider, ToProvider::Release(call));
        }
        match why {
            Some(why) if !looks_further => self.end(now, id, Some(why)),
            Some(_) | None => self.advance(now, id),
        }
    }

    fn award(&mut self, now: Time, id: OrderId, candidate: Candidate) {
        let job = JobId(self.entropy.bytes());
        let provider = candidate.bid.provider;
        let prologue = prologue(&self.identity.id(), &provider, &job.0);
        let started = Initiator::start(&candidate.bid.session_key, &prologue, &mut self.entropy);
        let Some(errand) = self.orders.get_mut(&id) else { return };
        errand.tried = Some((provider, candidate.prefix));
        errand.attempts = errand.attempts.saturating_add(1);
        let Ok((initiator, handshake)) = started else {
            // A session key that no handshake can be made with: the bid is worthless.
            self.fault(provider, PeerFault::Malformed);
            return self.failed(now, id, provider, Failure::Session);
        };
        let award =
            Award { job, call: candidate.bid.call, bid: candidate.hash, price: candidate.price, handshake };
        self.jobs.insert(job, id);
        errand.phase = Phase::Awarding(Box::new(Awarding {
            candidate,
            award: award.clone(),
            initiator,
            repeat_at: now + limits::AWARD_WAIT.half(),
            until: now + limits::AWARD_WAIT,
        }));
        self.send(provider, ToProvider::Award(award));
    }

    /// A provider took the job: the session stands, the task goes out.
    pub(super) fn accepted(&mut self, now: Time, from: NodeId, accept: &Accept) {
        let Some(id) = self.jobs.get(&accept.job).copied() else { return };
        let Some(errand) = self.orders.get_mut(&id) else { return };
        let expected = matches!(&errand.phase, Phase::Awarding(awarding)
            if awarding.award.job == accept.job && awarding.candidate.bid.provider == from);
        if !expected {
            return;
        }
        let Phase::Awarding(awarding) = core::mem::replace(&mut errand.phase, Phase::Idle) else { return };
        match awarding.initiator.finish(&accept.handshake) {
            Ok(secure) => {
                errand.bill.matched = errand.bill.matched.or(Some(now.since(errand.started)));
                errand.bill.job = Some(accept.job);
                errand.bill.providers.push(from);
                self.news(id, OrderNews::Awarded { provider: from, job: accept.job });
                self.begin_work(now, id, accept.job, awarding.candidate, secure);
            }
            Err(_) => {
                self.fault(from, PeerFault::Malformed);
                self.jobs.remove(&accept.job);
                self.failed(now, id, from, Failure::Session);
            }
        }
    }

    pub(super) fn refused(&mut self, now: Time, from: NodeId, refuse: Refuse) {
        let Some(id) = self.jobs.get(&refuse.job).copied() else { return };
        let serving = self.orders.get(&id).is_some_and(|errand| match &errand.phase {
            Phase::Awarding(awarding) => {
                awarding.award.job == refuse.job && awarding.candidate.bid.provider == from
            }
            Phase::Working(working) => working.job == refuse.job && working.provider() == from,
            Phase::Idle | Phase::Calling(_) => false,
        });
        if serving {
            let mut why = Failure::Refused(refuse.why);
            if let Some(account) = self.orders.get(&id).and_then(|errand| errand.account()) {
                match refuse.why {
                    // This channel will not do with this provider any more: take the rest back and open another.
                    Refusal::Unpaid | Refusal::BadVoucher | Refusal::ChallengeTooShort => {
                        self.payments.give_up(now, &account, &mut self.outbox);
                    }
                    Refusal::Unfunded => {
                        why = self.payments.unfunded(&account).map_or(why, Failure::Payment);
                    }
                    Refusal::UnknownBid
                    | Refusal::PriceBelowBid
                    | Refusal::Busy
                    | Refusal::Malformed
                    | Refusal::TaskTooLarge
                    | Refusal::ChannelTerms
                    | Refusal::Engine
                    | Refusal::Leaving => {}
                }
            }
            self.failed(now, id, from, why);
        }
    }

    pub(super) fn undelivered(&mut self, now: Time, to: NodeId) {
        let lost: Vec<OrderId> = self
            .orders
            .iter()
            .filter(|(_, errand)| match &errand.phase {
                Phase::Awarding(awarding) => awarding.candidate.bid.provider == to,
                Phase::Working(working) => working.provider() == to,
                Phase::Idle | Phase::Calling(_) => false,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            self.failed(now, id, to, Failure::Gone);
        }
    }

    /// Everything that is due by the clock.
    pub(super) fn timers(&mut self, now: Time) {
        let due: Vec<OrderId> =
            self.orders.iter().filter(|(_, errand)| errand.wake_at() <= now).map(|(id, _)| *id).collect();
        for id in due {
            self.order_due(now, id);
        }
        self.crowds.settle(now);
        self.lingering_due(now);
        self.payments.timers(now, &mut self.outbox);
    }

    fn order_due(&mut self, now: Time, id: OrderId) {
        let Some(errand) = self.orders.get_mut(&id) else { return };
        if now >= errand.deadline {
            // Bids that are in by the deadline still tell why nothing came of the order.
            if matches!(errand.phase, Phase::Calling(_)) {
                return self.close_auction(now, id);
            }
            return self.end(now, id, Some(Failure::Deadline));
        }
        match &mut errand.phase {
            Phase::Idle => self.advance(now, id),
            Phase::Calling(_) => self.close_auction(now, id),
            Phase::Awarding(awarding) => {
                let provider = awarding.candidate.bid.provider;
                if now >= awarding.until {
                    return self.failed(now, id, provider, Failure::NoAnswer);
                }
                awarding.repeat_at = awarding.until;
                let award = awarding.award.clone();
                self.send(provider, ToProvider::Award(award));
            }
            Phase::Working(_) => self.work_due(now, id),
        }
    }
}
