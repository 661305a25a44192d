//! Hosts' uplinks as queues: what a message takes on its sender's, and how long it waits for those before it.

use bombyx_protocol::time::{Span, Time};

use crate::network::links::Transit;
use crate::network::location::{Location, sending};

/// Hosts' uplinks as queues: first come, first served.
#[derive(Debug, Default)]
pub struct Uplinks {
    /// When each host's is free; empty where queues are not modelled.
    free: Vec<Time>,
    waits: Waits,
}

/// How long messages waited for their sender's uplink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// Messages that left.
    pub messages: u64,
    /// Their waits together.
    pub together: Span,
    /// The longest.
    pub longest: Span,
}

impl Waits {
    /// Returns these and others together.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            together: Span(self.together.0 + other.together.0),
            longest: self.longest.max(other.longest),
        }
    }
}

impl Uplinks {
    /// Creates free uplinks for so many hosts.
    #[must_use]
    pub fn of(hosts: usize) -> Self {
        Self { free: vec![Time(0); hosts], waits: Waits::default() }
    }

    /// Returns whether messages wait here at all.
    #[must_use]
    pub const fn are_queues(&self) -> bool {
        !self.free.is_empty()
    }

    /// Returns how long messages waited, where they do.
    #[must_use]
    pub fn waits(&self) -> Option<Waits> {
        self.are_queues().then_some(self.waits)
    }

    /// Returns the transit of a message that a host at `location` is ready to send at `at`, with
    /// its wait. What vanishes vanishes on the way; what cannot set out takes no room.
    #[must_use]
    pub fn leave(
        &mut self,
        host: u32,
        location: Location,
        at: Time,
        bytes: usize,
        transit: Transit,
    ) -> Transit {
        let Some(free) = self.free.get_mut(host as usize).filter(|_| transit != Transit::Cut) else {
            return transit;
        };
        let start = at.max(*free);
        *free = start + sending(location, bytes);
        let wait = start.since(at);
        self.waits.messages += 1;
        self.waits.together.0 += wait.0;
        self.waits.longest = self.waits.longest.max(wait);
        let later = |after: Span| Span(after.0 + wait.0);
        match transit {
            Transit::Arrives(after) => Transit::Arrives(later(after)),
            Transit::Twice(first, second) => Transit::Twice(later(first), later(second)),
            Transit::Lost | Transit::Cut => transit,
        }
    }

    /// Empties the uplink of a host that lost power: it has nothing to send. What had a place in the queue leaves all the same.
    pub fn clear(&mut self, host: u32) {
        if let Some(free) = self.free.get_mut(host as usize) {
            *free = Time(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wait_for_those_before_them_on_one_uplink_only() {
        let mut uplinks = Uplinks::of(2);
        // 10,000 bytes take 16 ms on DSL.
        let dsl = Location { region: 0, access: 3, relay: None };
        let mut leave = |host, at, transit| uplinks.leave(host, dsl, Time(at), 10_000, transit);
        let arrives = Transit::Arrives(Span(20_000));
        assert_eq!(leave(0, 0, arrives), arrives);
        assert_eq!(leave(0, 1_000, Transit::Lost), Transit::Lost);
        assert_eq!(leave(0, 2_000, Transit::Cut), Transit::Cut);
        assert_eq!(
            leave(0, 2_000, arrives),
            Transit::Arrives(Span(50_000)),
            "after the first and the lost one"
        );
        assert_eq!(leave(1, 2_000, arrives), arrives);
        assert_eq!(leave(0, 48_000, arrives), arrives, "the queue is empty again");
        let waits = Waits { messages: 5, together: Span(45_000), longest: Span(30_000) };
        assert_eq!(uplinks.waits(), Some(waits));
        uplinks.clear(0);
        assert_eq!(uplinks.leave(0, dsl, Time(50_000), 10_000, arrives), arrives);
        assert_eq!(Uplinks::default().leave(0, dsl, Time(0), 10_000, arrives), arrives);
    }
}
