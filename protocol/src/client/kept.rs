//! The sessions that a client keeps: its next jobs with a provider begin in them, without a handshake.

use crate::deadlines::Deadlines;
use crate::entropy::Entropy;
use crate::ident::NodeId;
use crate::limits;
use crate::market::auction::Candidate;
use crate::session::{End, KEPT_JOBS_MAX, KeptSecret, Secure, prologue};
use crate::table::Table;
use crate::time::Time;
use crate::work::order::JobId;

/// The newest session with each provider.
#[derive(Debug, Default)]
pub(super) struct KeptSessions {
    held: Table<NodeId, KeptSession>,
    deadlines: Deadlines<NodeId>,
}

#[derive(Debug)]
struct KeptSession {
    /// The job of its handshake.
    session: JobId,
    /// The key that the provider showed in it.
    provider_key: [u8; 32],
    secret: KeptSecret,
    /// The number of the next job.
    next: u64,
    until: Time,
}

/// A job that begins in a kept session.
#[derive(Debug)]
pub(super) struct KeptJob {
    pub(super) job: JobId,
    pub(super) secure: Secure,
    pub(super) opening: KeptOpening,
}

/// Where it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeptOpening {
    /// The job whose handshake the session is kept from.
    pub(super) session: JobId,
    pub(super) number: u64,
}

impl KeptSessions {
    /// Keeps the session of a job that was served and paid.
    pub(super) fn keep(&mut self, now: Time, candidate: &Candidate, session: JobId, secret: KeptSecret) {
        self.expire(now);
        let provider = candidate.bid.provider;
        if self.held.len() < limits::LEASES_MAX || self.held.contains_key(&provider) {
            // The provider counts from the payment, which was not later: end well before it does.
            let until = now + limits::SESSION_KEPT.half();
            let provider_key = candidate.bid.session_key;
            self.held.insert(provider, KeptSession { session, provider_key, secret, next: 0, until });
            self.deadlines.touch(provider);
        }
    }

    /// Wipes those that are over: their secrets would else lie in memory for as long as the node is idle. (`SE-23`)
    pub(super) fn expire(&mut self, now: Time) {
        for provider in self.deadlines.due_of(now, &self.held, |kept| kept.until) {
            self.held.remove(&provider);
        }
    }

    pub(super) fn wake_at(&mut self) -> Option<Time> {
        self.deadlines.next_of(&self.held, |kept| kept.until)
    }

    /// Begins a new job with a candidate, if a session is kept with the key of its bid. (`SE-24`, `SE-25`)
    pub(super) fn begin(
        &mut self,
        now: Time,
        client: &NodeId,
        candidate: &Candidate,
        entropy: &mut Entropy,
    ) -> Option<KeptJob> {
        let bid = &candidate.bid;
        let kept = self.held.get_mut(&bid.provider)?;
        let is_over = kept.until <= now || kept.next >= KEPT_JOBS_MAX;
        if is_over || kept.provider_key != bid.session_key {
            self.forget(&bid.provider);
            return None;
        }
        let (job, number) = (JobId(entropy.bytes()), kept.next);
        kept.next = number.saturating_add(1);
        let secure =
            Secure::kept(&kept.secret, End::Client, &prologue(client, &bid.provider, &job.0), number);
        Some(KeptJob { job, secure, opening: KeptOpening { session: kept.session, number } })
    }

    /// Keeps nothing with a provider any more.
    pub(super) fn forget(&mut self, provider: &NodeId) {
        self.held.remove(provider);
        self.deadlines.touch(*provider);
    }
}
