//! An award that is out: the first half of the handshake with a candidate, repeated once.

use crate::ident::NodeId;
use crate::io::{Failure, PeerFault};
use crate::limits;
use crate::market::auction::Candidate;
use crate::outbox::Outbox;
use crate::session::{Initiator, prologue};
use crate::table::Table;
use crate::time::Time;
use crate::wire::extension::Extensions;
use crate::wire::message::{Accept, Award, ToProvider};
use crate::work::order::JobId;

use super::attempt::{Next, OpenSession};
use super::shared::SharedState;

/// An award whose answer is awaited.
#[derive(Debug)]
pub(super) struct PendingAward {
    pub(super) candidate: Candidate,
    pub(super) initiator: Initiator,
    award: Award,
    began: Time,
    repeat_at: Time,
    until: Time,
}

impl PendingAward {
    /// Awards a new job to a candidate. (`MK-9`)
    ///
    /// # Errors
    /// The candidate, if no handshake can be made with the session key of its bid: the bid is worthless.
    pub(super) fn start(
        now: Time,
        candidate: Candidate,
        shared: &mut SharedState,
    ) -> Result<Self, Box<Candidate>> {
        let job = JobId(shared.entropy.bytes());
        let provider = candidate.bid.provider;
        let prologue = prologue(&shared.identity.id(), &provider, &job.0);
        let started = Initiator::start(&candidate.bid.session_key, &prologue, &mut shared.entropy);
        let Ok((initiator, handshake)) = started else {
            shared.outbox.peer_fault(provider, PeerFault::Malformed);
            return Err(Box::new(candidate));
        };
        let award = Award {
            job,
            call: candidate.bid.call,
            bid: candidate.hash,
            price: candidate.price,
            handshake,
            extensions: Extensions::NONE,
        };
        shared.outbox.send_to_provider(provider, ToProvider::Award(award.clone()));
        let repeat_at = now + limits::AWARD_WAIT.half();
        Ok(Self { candidate, initiator, award, began: now, repeat_at, until: now + limits::AWARD_WAIT })
    }

    pub(super) const fn job(&self) -> JobId {
        self.award.job
    }

    pub(super) const fn provider(&self) -> NodeId {
        self.candidate.bid.provider
    }

    /// Returns when the award went out.
    pub(super) const fn began(&self) -> Time {
        self.began
    }

    /// Returns whether the provider has had all the time that there is for an answer.
    pub(super) fn is_late(&self, now: Time) -> bool {
        now >= self.until
    }

    pub(super) fn wake_at(&self) -> Time {
        self.repeat_at.min(self.until)
    }

    /// Repeats the award once, and gives the provider up after as long again.
    pub(super) fn on_time(&mut self, now: Time, outbox: &mut Outbox) -> Next {
        if self.is_late(now) {
            return Next::FailOver(Failure::NoAnswer);
        }
        self.repeat_at = self.until;
        outbox.send_to_provider(self.provider(), ToProvider::Award(self.award.clone()));
        Next::Stay
    }
}

/// Awards that were out when their orders ended or went elsewhere: who takes one all the same is given the job back. (`MK-45`)
#[derive(Debug, Default)]
pub(super) struct AbandonedAwards(Table<JobId, Box<PendingAward>>);

impl AbandonedAwards {
    pub(super) fn insert(&mut self, now: Time, award: Box<PendingAward>) {
        self.0.retain(|_, other| now < other.until + limits::LINGER);
        if self.0.len() < limits::JOBS_MAX {
            self.0.insert(award.job(), award);
        }
    }

    /// Gives the job of one back that its provider has taken.
    pub(super) fn on_accept(&mut self, from: NodeId, accept: &Accept, outbox: &mut Outbox) {
        let job = accept.job;
        if self.0.get(&job).is_none_or(|award| award.provider() != from) {
            return;
        }
        let Some(award) = self.0.remove(&job) else { return };
        let PendingAward { candidate, initiator, .. } = *award;
        if let Ok(secure) = initiator.finish(&accept.handshake) {
            OpenSession { job, candidate, secure, opening: None, recounted: false }.give_back(outbox);
        }
    }
}
