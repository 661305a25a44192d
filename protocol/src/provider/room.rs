//! Room for jobs and channels of those who come: who makes room for a newcomer, and what the node is told of it.

use crate::fair;
use crate::ident::{Origin, Prefix};
use crate::io::{Budget, Crowd, Event, Output};
use crate::limits;
use crate::time::Time;
use crate::wire::message::Refusal;
use crate::work::order::JobId;

use super::Provider;
use super::job::Phase;

impl Provider {
    /// Makes room for one more job of this client: strangers share one room, customers another. (`MK-43`)
    pub(super) fn make_room(&mut self, now: Time, origin: Origin) {
        let has_paid = self.standing.has_ever_paid(&origin.node);
        let most = if has_paid {
            limits::JOBS_MAX.saturating_sub(limits::STRANGERS_JOBS_MAX)
        } else {
            limits::STRANGERS_JOBS_MAX
        };
        if self.jobs.len() < most {
            return;
        }
        let held: Vec<(JobId, Origin, Time)> = self
            .jobs
            .iter()
            .filter(|(_, job)| !job.holds_slot() && self.standing.has_ever_paid(&job.origin.node) == has_paid)
            .map(|(id, job)| (*id, job.origin, job.since))
            .collect();
        if held.len() < most {
            return;
        }
        let Some(out) = fair::victim(&held, origin) else { return };
        self.crowded(now, Budget::Jobs, origin.prefix);
        self.evict(now, out);
    }

    /// Ends a job and forgets it at once.
    fn evict(&mut self, now: Time, id: JobId) {
        self.over(now, id, Some(Refusal::Busy));
        let bill = match self.jobs.get(&id).map(|job| &job.phase) {
            Some(Phase::Over { bill, .. }) => *bill,
            Some(Phase::Promised(_) | Phase::Serving(_)) | None => None,
        };
        if let Some((account, cost)) = bill
            && let Some(earner) = self.earnings.find(&account)
        {
            earner.write_off(cost);
        }
        self.remove(now, id);
    }

    /// Forgets a job, and its channel with its last job where the ledger has not shown that. (`CH-51`)
    pub(super) fn remove(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.remove(&id) else { return };
        let Phase::Over { bill: Some((account, _)), .. } = job.phase else { return };
        self.note_loan(now, &account);
        self.abandon_unless_needed(now, &account);
    }

    fn abandon_unless_needed(&mut self, now: Time, account: &[u8; 32]) {
        if !self.earnings.is_awaited(now, account) && !self.jobs.values().any(|job| job.is_on(account)) {
            self.abandon(account);
        }
    }

    fn abandon(&mut self, account: &[u8; 32]) {
        self.credit.lose(account);
        self.earnings.abandon(account, &mut self.outbox);
    }

    /// Forgets channels that were kept for a voucher and that the ledger has not shown since.
    pub(super) fn abandon_late(&mut self, now: Time) {
        let late: Vec<[u8; 32]> = self.earnings.unfunded().collect();
        for account in late {
            self.abandon_unless_needed(now, &account);
        }
    }

    /// Another channel took the place of this one: what runs on it ends.
    pub(super) fn displaced(&mut self, now: Time, account: &[u8; 32], by: Prefix) {
        self.crowded(now, Budget::Channels, by);
        let on: Vec<JobId> =
            self.jobs.iter().filter(|(_, job)| job.is_on(account)).map(|(id, _)| *id).collect();
        for id in on {
            self.evict(now, id);
        }
        // One without a job was not evicted with it.
        self.abandon(account);
    }

    /// Counts somebody who was turned away, and tells the node at once or with the next.
    pub(super) fn crowded(&mut self, now: Time, budget: Budget, prefix: Prefix) {
        let (told, before) = self.crowds.get(&budget).copied().unwrap_or_default();
        let turned_away = before.saturating_add(1);
        let is_first = !self.crowds.contains_key(&budget);
        if is_first || now >= told + limits::CROWD_TOLD {
            self.crowds.insert(budget, (now, 0));
            let crowd = Crowd { budget, prefix, turned_away };
            self.outbox.push(Output::Event(Event::Crowded(crowd)));
        } else {
            self.crowds.insert(budget, (told, turned_away));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::wildcard_enum_match_arm)]
    use super::*;
    use crate::io::Machine as _;
    use crate::provider::ProviderConfig;
    use crate::time::Span;

    /// (`MK-45`)
    #[test]
    fn a_node_is_told_of_a_full_room_at_once_and_then_now_and_then_with_the_number_turned_away() {
        let mut provider = Provider::new(ProviderConfig::for_tests(1), Vec::new());
        let mut told = |at: Time| {
            provider.crowded(at, Budget::Jobs, Prefix::UNKNOWN);
            let mut told = Vec::new();
            loop {
                match provider.poll() {
                    Output::Wake(_) => return told,
                    Output::Event(Event::Crowded(crowd)) => told.push(crowd.turned_away),
                    _ => {}
                }
            }
        };
        let start = Time(1);
        assert_eq!(told(start), [1]);
        assert!((1..100).all(|ms| told(start + Span::from_ms(ms)).is_empty()));
        assert_eq!(told(start + limits::CROWD_TOLD), [100]);
        assert!(told(start + limits::CROWD_TOLD + Span::from_ms(1)).is_empty());
        assert_eq!(told(start + Span(2 * limits::CROWD_TOLD.0)), [2]);
    }
}
