//! The sessions that a provider keeps: a client that has paid begins further jobs in them, without a handshake.

use crate::deadlines::Deadlines;
use crate::ident::NodeId;
use crate::limits;
use crate::session::{End, JobNumbers, KeptSecret, Secure, prologue};
use crate::table::Table;
use crate::time::Time;
use crate::work::order::JobId;

/// The sessions that are kept, by client and by the job of their handshake.
#[derive(Debug, Default)]
pub(super) struct KeptSessions {
    held: Table<(NodeId, JobId), KeptSession>,
    deadlines: Deadlines<(NodeId, JobId)>,
}

#[derive(Debug)]
struct KeptSession {
    secret: KeptSecret,
    numbers: JobNumbers,
    until: Time,
}

impl KeptSessions {
    /// Keeps the session of a client's job for a while; one of its own gives way, or else nobody's. (`SE-24`)
    pub(super) fn keep(&mut self, now: Time, client: NodeId, job: JobId, secret: KeptSecret) {
        self.expire(now);
        let theirs = self.held.iter().filter(|((owner, _), _)| *owner == client);
        let oldest = theirs.map(|(key, session)| (session.until, *key)).min();
        let count = self.held.keys().filter(|(owner, _)| *owner == client).count();
        if let Some((_, key)) = oldest.filter(|_| count >= limits::CLIENT_SESSIONS_MAX) {
            self.held.remove(&key);
            self.deadlines.touch(key);
        }
        if self.held.len() < limits::SESSIONS_MAX {
            let (numbers, until) = (JobNumbers::default(), now + limits::SESSION_KEPT);
            self.held.insert((client, job), KeptSession { secret, numbers, until });
            self.deadlines.touch((client, job));
        }
    }

    /// Wipes those that are over: their secrets would else lie in memory for as long as the node is idle. (`SE-23`)
    pub(super) fn expire(&mut self, now: Time) {
        for key in self.deadlines.due_of(now, &self.held, |session| session.until) {
            self.held.remove(&key);
        }
    }

    pub(super) fn wake_at(&mut self) -> Option<Time> {
        self.deadlines.next_of(&self.held, |session| session.until)
    }

    /// Opens the session of a further job, if the one that it builds on is kept and its number is free. (`SE-25`)
    pub(super) fn open(
        &mut self,
        now: Time,
        [client, provider]: [&NodeId; 2],
        session: JobId,
        number: u64,
        job: &JobId,
    ) -> Option<Secure> {
        let kept = self.held.get_mut(&(*client, session)).filter(|kept| kept.until > now)?;
        let prologue = prologue(client, provider, &job.0);
        kept.numbers.take(number).then(|| Secure::kept(&kept.secret, End::Provider, &prologue, number))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::entropy::Entropy;
    use crate::session::{Initiator, StaticKey, respond};
    use crate::time::Span;

    const PROVIDER: NodeId = NodeId([9; 32]);

    fn secret() -> KeptSecret {
        let key = StaticKey::from_seed([1; 32]);
        let (_, first) = Initiator::start(&key.public(), b"test", &mut Entropy::new([2; 32])).unwrap();
        respond(&key, b"test", &first, &mut Entropy::new([3; 32])).unwrap().0.take_kept().unwrap()
    }

    fn opens(kept: &mut KeptSessions, now: Time, client: u8, session: u8, number: u64) -> bool {
        let client = NodeId([client; 32]);
        kept.open(now, [&client, &PROVIDER], JobId([session; 16]), number, &JobId([77; 16])).is_some()
    }

    /// (`SE-24`, `SE-25`)
    #[test]
    fn a_session_is_kept_for_its_client_for_a_while_and_gives_each_number_once() {
        let (mut kept, now) = (KeptSessions::default(), Time(0));
        kept.keep(now, NodeId([1; 32]), JobId([5; 16]), secret());
        assert!(!opens(&mut kept, now, 2, 5, 0), "another client");
        assert!(!opens(&mut kept, now, 1, 6, 0), "another session");
        assert!(
            opens(&mut kept, now, 1, 5, 0)
                && !opens(&mut kept, now, 1, 5, 0)
                && opens(&mut kept, now, 1, 5, 1)
        );
        assert!(!opens(&mut kept, now + limits::SESSION_KEPT, 1, 5, 2), "over");
    }

    #[test]
    fn a_client_pushes_out_its_own_sessions_only_and_all_of_them_have_a_bound() {
        let mut kept = KeptSessions::default();
        kept.keep(Time(0), NodeId([1; 32]), JobId([1; 16]), secret());
        for job in 0..=u8::try_from(limits::CLIENT_SESSIONS_MAX).unwrap() {
            kept.keep(Time(0) + Span(u64::from(job)), NodeId([2; 32]), JobId([job; 16]), secret());
        }
        assert!(opens(&mut kept, Time(9), 1, 1, 0), "another's stays");
        assert!(!opens(&mut kept, Time(9), 2, 0, 0) && opens(&mut kept, Time(9), 2, 1, 0), "its oldest went");
        assert_eq!(kept.held.len(), limits::CLIENT_SESSIONS_MAX + 1);
    }
}
