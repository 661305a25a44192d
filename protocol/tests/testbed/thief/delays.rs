//! How a thief holds the jobs that it has: with its word, with a token now and then, or with a late refusal.

use bombyx_protocol::time::Time;
use bombyx_protocol::wire::message::{Content, FromProvider, Refusal, Refuse, ToClient, WorkProgress};

use super::{Others, Plan, Thief, WORD_EVERY};

impl Thief {
    /// Says of every job that it is alive.
    pub(super) fn word(&mut self, now: Time) {
        self.told += 1;
        self.word_at = now + WORD_EVERY;
        if self.told.is_multiple_of(8) {
            self.trickle(now);
        }
        self.refuse_due(now);
        if self.plan == Plan::Trickles(Others::Silence) {
            return;
        }
        let (start_ms, read) = if self.plan == Plan::Reads { (0, self.told) } else { (1, 0) };
        let trickle = self.trickle.as_ref().map(|(job, _)| *job);
        for job in self.jobs.keys().copied().filter(|job| Some(*job) != trickle).collect::<Vec<_>>() {
            self.say(job, &FromProvider::Progress(WorkProgress { start_ms, read }), false);
        }
    }

    /// Refuses jobs as busy whose time has come.
    pub(super) fn refuse_due(&mut self, now: Time) {
        for (job, _) in self.refused_at.extract_if(.., |_, at| *at <= now).collect::<Vec<_>>() {
            let Some((to, ..)) = self.jobs.remove(&job) else { continue };
            self.send(to, ToClient::Refuse(Refuse::of(job, Refusal::Busy)));
        }
    }

    /// Gives the job that has its turn a token.
    pub(super) fn trickle(&mut self, now: Time) {
        let Some((job, stream)) = &mut self.trickle else { return };
        let job = *job;
        let mut chunks =
            stream.content(now, &self.identity, Content::Tokens { ids: vec![7], text: "x".into() });
        chunks.extend(stream.sign_now(now, &self.identity));
        chunks.into_iter().for_each(|chunk| self.say(job, &FromProvider::Chunk(chunk), false));
    }
}
