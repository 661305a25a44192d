//! Room for jobs and their channels: who makes room for a newcomer, and when each is forgotten.

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::fair;
use crate::ident::{Origin, Prefix};
use crate::io::Budget;
use crate::limits;
use crate::time::Time;
use crate::wire::message::Refusal;
use crate::work::order::JobId;

use super::Provider;
use super::job::Phase;

impl Provider {
    /// Makes room for one more job of this client: strangers share one room, customers another. (`MK-43`)
    pub(super) fn make_room(&mut self, now: Time, origin: Origin) {
        let clientele = &self.admission.clientele;
        let has_paid = clientele.has_ever_paid(&origin.node);
        let most = if has_paid {
            limits::JOBS_MAX.saturating_sub(limits::STRANGERS_JOBS_MAX)
        } else {
            limits::STRANGERS_JOBS_MAX
        };
        if self.jobs.len() < most {
            return;
        }
        let held = self.jobs.resting(|node| clientele.has_ever_paid(node) == has_paid);
        if held.len() < most {
            return;
        }
        let Some(out) = fair::victim(&held, origin) else { return };
        self.admission.crowded(now, Budget::Jobs, origin.prefix, &mut self.outbox);
        self.evict(now, out);
    }

    /// Ends a job and forgets it at once.
    fn evict(&mut self, now: Time, id: JobId) {
        self.end(now, id, Some(Refusal::Busy));
        if let Some(Phase::Over { bill: Some((account, cost)), for_reading, .. }) =
            self.jobs.get(&id).map(|job| &job.phase)
        {
            let (account, cost) = (*account, *cost);
            if for_reading.is_some() {
                self.earnings.waive(&account, cost);
            } else if let Some(earner) = self.earnings.find_mut(&account) {
                earner.exposure.write_off(cost);
            }
        }
        self.remove(now, id);
    }

    /// Forgets a job at its end, and gives up what it left unpaid once no other job is served on its channel: one that waits
    /// for its own turn to begin would wait for that for ever. (`CH-9`)
    pub(super) fn forget(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let client = job.origin.node;
        if let Phase::Over { bill: Some((account, cost)), for_reading, .. } = &job.phase {
            let (account, cost, for_reading) = (*account, *cost, *for_reading);
            let earner = self.earnings.find(&account);
            let is_owing = earner.is_some_and(|earner| earner.unpaid() > Nano::ZERO);
            if let Some(covered) = for_reading {
                if earner.is_none_or(|earner| earner.paid() < covered) {
                    // It takes this one for a stranger, or for one that failed it, and need not pay.
                    self.admission.clientele.has_ended(client, false, true);
                    self.earnings.waive(&account, cost);
                }
            } else if is_owing {
                self.jobs.change(&id, |job| job.stay_until(now + limits::LINGER));
                if self.jobs.served_on(&account).any(|(_, served)| served.has_begun()) {
                    return;
                }
                self.earnings.write_off(&account, cost, &mut self.outbox);
            }
        }
        self.remove(now, id);
    }

    /// Ends a job that its client has forgotten, as a crash makes it, with all on its channel of which it is as silent, and gives up at
    /// once what they left unpaid, as far as that costs no more than a window: until then no other could be served or settled
    /// there. (`CH-9`)
    pub(super) fn leave_forgotten(&mut self, now: Time, id: JobId) {
        let Some(account) = self.jobs.get(&id).and_then(|job| job.account()).copied() else { return };
        let Some(heard) = self.earnings.channel_mut(&account).map(|channel| channel.heard) else { return };
        let served = self.jobs.served_on(&account);
        let forgotten: Vec<JobId> =
            served.filter(|(_, served)| served.is_passed_over(heard)).map(|(id, _)| id).collect();
        // None goes on with the room that another leaves.
        for id in &forgotten {
            self.end(now, *id, Some(Refusal::Unpaid));
        }
        for id in forgotten {
            let Some(Phase::Over { bill: Some((_, cost)), for_reading: None, .. }) =
                self.jobs.get(&id).map(|job| &job.phase)
            else {
                continue;
            };
            let cost = *cost;
            if self.earnings.find(&account).is_some_and(|earner| earner.exposure.may_write_off(cost)) {
                self.earnings.write_off(&account, cost, &mut self.outbox);
                self.remove(now, id);
            }
        }
        self.jobs.freed.channels.insert(account);
    }

    /// Forgets all but the id of a job that is whole, acknowledged and paid: a table of the dead would bound how many are served in
    /// a second.
    pub(super) fn retire(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Phase::Over { bill: Some((account, _)), for_reading: None, is_whole: true, .. } = &job.phase
        else {
            return;
        };
        let earner = self.earnings.find(account);
        if earner.is_some_and(|earner| earner.is_open() && earner.unpaid() == Nano::ZERO) {
            self.keep_session(now, id);
            self.remove(now, id);
            self.ended.note(now, id);
        }
    }

    /// Forgets a job, and its channel with its last job where the ledger has not shown that. (`CH-51`)
    fn remove(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.remove(&id) else { return };
        let Phase::Over { bill: Some((account, _)), .. } = job.phase else { return };
        self.credit.follow(now, &account, &mut self.earnings);
        self.abandon_unless_needed(now, &account);
    }

    fn abandon_unless_needed(&mut self, now: Time, account: &ChannelId) {
        if !self.earnings.is_awaited(now, account) && self.jobs.on(account).next().is_none() {
            self.abandon(account);
        }
    }

    fn abandon(&mut self, account: &ChannelId) {
        self.credit.lose(account);
        self.earnings.abandon(account, &mut self.outbox);
    }

    /// Forgets channels that were kept for a voucher and that the ledger has not shown since.
    pub(super) fn abandon_late(&mut self, now: Time) {
        let late: Vec<ChannelId> = self.earnings.unfunded().collect();
        for account in late {
            self.abandon_unless_needed(now, &account);
        }
    }

    /// Ends what runs on a channel whose place another one takes.
    pub(super) fn displaced(&mut self, now: Time, account: &ChannelId, by: Prefix) {
        self.admission.crowded(now, Budget::Channels, by, &mut self.outbox);
        let on: Vec<JobId> = self.jobs.on(account).collect();
        for id in on {
            self.evict(now, id);
        }
        // One without a job was not evicted with it.
        self.abandon(account);
    }
}
