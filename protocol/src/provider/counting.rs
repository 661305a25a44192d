//! Whose input is counted when: a tokenizer's time is the provider's, and nobody has paid for it yet. (`WR-25`)

use crate::amount::Nano;
use crate::ident::NodeId;
use crate::io::Output;
use crate::time::Time;
use crate::wire::message::Refusal;
use crate::work::order::{JobId, Task};

use super::Provider;
use super::job::{Count, Next};

/// An input that waits for its turn to be counted: customers' go first, then those that came first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_stranger: bool,
    since: Time,
    job: JobId,
    client: NodeId,
}

impl Provider {
    /// Lets a task wait for its count, or refuses it where strangers have had their budget. (`WR-25`)
    pub(super) fn queue_count(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Some(tokens_max) =
            job.served().and_then(|served| served.task.as_ref()).map(Task::input_tokens_max)
        else {
            return;
        };
        let origin = job.origin;
        let admits = self.admission.clientele.has_ever_paid(&origin.node)
            || self.admission.may_count(now, origin, tokens_max, &mut self.outbox);
        if !admits {
            return self.end(now, id, Some(Refusal::Busy));
        }
        self.jobs.change(&id, |job| job.served_mut().map(|served| served.counts(now, Count::Waits(now))));
    }

    /// Asks the engine for as many counts as it may be asked for.
    pub(super) fn begin_counts(&mut self, now: Time) {
        self.counts.expire(now);
        while let Some(Turn { job: id, client, is_stranger, .. }) = self.next_count() {
            let begun = self.jobs.change(&id, |job| {
                let model = job.promised.model;
                let served = job.served_mut()?;
                let task = served.task.clone()?;
                served.counts(now, Count::Runs);
                Some((model, task))
            });
            let Some((model, task)) = begun.flatten() else { return };
            self.counts.begin(now, id, client, !is_stranger);
            self.outbox.push(Output::Count { job: id, model, task });
        }
    }

    /// Returns the input that is counted next, if one may be.
    fn next_count(&self) -> Option<Turn> {
        let clientele = &self.admission.clientele;
        let waiting = self.jobs.without_engine().filter_map(|(id, job, served)| {
            let since = served.waits_for_count()?;
            let client = job.origin.node;
            let is_customer = clientele.has_ever_paid(&client);
            let turn = Turn { is_stranger: !is_customer, since, job: id, client };
            self.counts.has_room(&id, &client, is_customer).then_some(turn)
        });
        waiting.min()
    }

    /// Returns whether the engine may count an input as it begins with it, because there is money, and its client stated the last
    /// ones rightly and paid for them. A false word costs that client this trust, and the provider a step of its engine. (`WR-22`)
    pub(super) fn may_begin_uncounted(&self, id: JobId, credit: Nano) -> bool {
        let Some(job) =
            self.jobs.get(&id).filter(|job| self.admission.clientele.is_regular(&job.origin.node))
        else {
            return false;
        };
        let earner = job.served().and_then(|served| self.earnings.find(&served.account));
        job.served().zip(earner).is_some_and(|(served, earner)| served.may_begin_uncounted(earner, credit))
    }

    /// Lets a task step that is not counted: it is as soon as its money allows that.
    pub(super) fn resume_uncounted(&mut self, now: Time, id: JobId, credit: Nano) {
        self.step(now, id, |job| {
            job.served().map_or(Next::Stay, |mut served| served.resume_uncounted(credit))
        });
    }
}
