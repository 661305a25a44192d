//! How often a client answers a provider that waits for money.

use crate::limits;
use crate::time::Time;

/// The demands of payment on one job: each answer costs a client a check and a signature. (`CH-55`)
#[derive(Debug)]
pub struct Demands {
    /// When the job was awarded.
    since: Time,
    /// How many have come.
    count: u64,
    /// How many chunks.
    chunks: u64,
    answered_at: Option<Time>,
}

/// What to do about a demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// Pay what is owed.
    Answer,
    /// Nothing: the answer to the one before is on its way.
    PassOver,
    /// Hold it against the provider: no honest one has reason to ask so often.
    Accuse,
}

impl Demands {
    /// Returns those on a job that was just awarded.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self { since: now, count: 0, chunks: 0, answered_at: None }
    }

    /// Counts chunks that are news, whatever is in them: after each a provider may stand still anew.
    pub const fn chunks(&mut self, count: usize) {
        self.chunks = self.chunks.saturating_add(count as u64);
    }

    /// Counts a demand. An honest provider makes one when it stands still, and one each [`limits::CHUNK_RETRY`] as long as it
    /// does. It is the sum that is bounded, because the network may bring many at once.
    pub fn take(&mut self, now: Time) -> Response {
        self.count = self.count.saturating_add(1);
        let waits = now.since(self.since).0.checked_div(limits::CHUNK_RETRY.0).unwrap_or(0);
        let most = limits::DEMANDS_MAX.saturating_add(self.chunks).saturating_add(waits);
        if self.count > most {
            return Response::Accuse;
        }
        if self.may_answer(now) { Response::Answer } else { Response::PassOver }
    }

    /// Returns whether it is time for an answer; it counts as given if so. A chunk that comes again asks for one as well, and is
    /// held against nobody: the network makes copies.
    pub fn may_answer(&mut self, now: Time) -> bool {
        let is_time = self.answered_at.is_none_or(|at| now >= at + limits::DEMAND_EVERY);
        if is_time {
            self.answered_at = Some(now);
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    /// (`CH-55`)
    #[test]
    fn a_provider_that_asks_each_700_ms_is_answered_each_time_and_one_that_asks_twice_is_accused() {
        let at = |number: u64| Time(1) + Span(limits::CHUNK_RETRY.0 * number);
        let mut honest = Demands::new(Time(1));
        assert!((0..1_000).all(|number| honest.take(at(number)) == Response::Answer));
        let mut other = Demands::new(Time(1));
        let accused = (0..1_000).find(|number| {
            other.take(at(*number));
            other.take(at(*number)) == Response::Accuse
        });
        assert_eq!(accused, Some(limits::DEMANDS_MAX - 1));
    }

    /// (`CH-55`)
    #[test]
    fn demands_that_the_network_brings_at_once_are_nobody_s_fault() {
        let mut demands = Demands::new(Time(1));
        demands.chunks(50);
        let at = Time(1) + Span(limits::CHUNK_RETRY.0 * 50);
        assert_eq!(demands.take(at), Response::Answer);
        for _ in 1..limits::DEMANDS_MAX + 100 {
            assert_eq!(demands.take(at), Response::PassOver);
        }
        assert_eq!(demands.take(at), Response::Accuse);
    }
}
