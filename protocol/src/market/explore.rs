//! When an order goes to somebody else than the best bidder, so that strangers enter and old measures are taken anew.

use crate::ident::Prefix;
use crate::limits;
use crate::table::Table;
use crate::time::Time;

/// The exploration of one client for one model. (`MK-33`)
#[derive(Debug, Clone)]
pub struct Exploration {
    /// Orders between two explored ones.
    every: u32,
    /// Orders since the last one.
    since: u32,
    /// Whether the next one goes to the lowest score.
    by_score: bool,
    /// How often each prefix was tried.
    tried: Table<Prefix, u32>,
    /// Until when the turns are used up that were taken, each for [`limits::EXPLORE_PACE`].
    turns_until: Time,
}

/// How an explored provider did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// It served this client for the first time, and well.
    Good,
    /// It failed, and had never served before.
    Failed,
    /// It was known: nothing speaks for trying such a one soon again.
    Known,
}

/// How far exploration may go in an auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Not at all.
    No,
    /// To a bidder whose score is at most three quarters of the best.
    ForABargain,
    /// To any.
    Yes,
}

impl Default for Exploration {
    fn default() -> Self {
        Self {
            every: limits::EXPLORE_EVERY,
            since: 0,
            by_score: true,
            tried: Table::default(),
            turns_until: Time(0),
        }
    }
}

impl Exploration {
    /// Returns the exploration of a client that was here before, at a place in its turns that nobody chose: else one with an order a run
    /// would never try anybody. So many strangers are remembered that failed and never served: each is tried half as often. (`MK-33`)
    #[must_use]
    pub fn resumed(draw: u64, failed: usize) -> Self {
        let (mut resumed, strangers) = (Self::default(), failed.min(limits::EXPLORE_EVERY_MAX as usize));
        (0..strangers).for_each(|_| resumed.learn(Trial::Failed));
        let every = u64::from(resumed.every);
        let place = draw.checked_rem(every).unwrap_or(0);
        // As in a run that goes on, one of so many orders tries anybody, and one of half as many somebody for a bargain.
        let is_last = place.saturating_add(1) == every;
        let since = if is_last { place } else { place.checked_rem(every / 2).unwrap_or(0) };
        let by_score = draw.leading_zeros() == 0;
        Self { since: u32::try_from(since).unwrap_or(0), by_score, ..resumed }
    }

    /// Counts an order, on a lease or not. Returns whether it goes to the market for the sake of a try although a lease stands.
    pub fn count(&mut self, now: Time) -> bool {
        let is_turn = self.is_next_turn(now);
        self.since = self.since.saturating_add(1);
        if is_turn {
            self.turns_until = self.turns_until.max(now) + limits::EXPLORE_PACE;
        }
        is_turn
    }

    /// Returns how far the next order may explore.
    #[must_use]
    pub const fn due(&self) -> Due {
        if self.since >= self.every {
            Due::Yes
        } else if self.since >= self.every / 2 {
            Due::ForABargain
        } else {
            Due::No
        }
    }

    /// Returns whether the order that is counted next passes a lease over: every E-th does, as long as their calls are no more than
    /// an author may gossip.
    #[must_use]
    pub fn is_next_turn(&self, now: Time) -> bool {
        let has_time = self.turns_until <= now + limits::EXPLORE_BURST;
        has_time && self.since.saturating_add(1).is_multiple_of(self.every)
    }

    /// Picks one of several bidders, which are given by prefix and by a number that nobody chose, the lowest score first. By
    /// turns it is the one of the lowest score, and one of the prefix that was tried least.
    #[must_use]
    pub fn pick(&self, bidders: &[(Prefix, u64)]) -> Option<usize> {
        if self.by_score {
            return (!bidders.is_empty()).then_some(0);
        }
        let tried = |prefix: &Prefix| self.tried.get(prefix).copied().unwrap_or(0);
        let order = |(_, (prefix, draw)): &(usize, &(Prefix, u64))| (tried(prefix), *draw);
        bidders.iter().enumerate().min_by_key(order).map(|(place, _)| place)
    }

    /// Notes that one is being tried.
    pub fn tries(&mut self, prefix: Prefix) {
        self.since = 0;
        self.by_score = !self.by_score;
        if !self.tried.contains_key(&prefix) && self.tried.len() >= limits::PREFIXES_TRIED_MAX {
            self.tried = Table::default();
        }
        let before = self.tried.get(&prefix).copied().unwrap_or(0);
        self.tried.insert(prefix, before.saturating_add(1));
    }

    /// Learns from a try: strangers are tried more often where they serve, and ever less where they fail.
    pub fn learn(&mut self, trial: Trial) {
        let twice = self.every.saturating_mul(2);
        self.every = match trial {
            Trial::Good => (self.every / 2).max(limits::EXPLORE_EVERY),
            Trial::Failed => twice.min(limits::EXPLORE_EVERY_MAX),
            Trial::Known => twice.min(limits::EXPLORE_KNOWN_EVERY_MAX).max(self.every),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Prefix = Prefix::of_ipv4([192, 0, 2, 1]);
    const OTHER: Prefix = Prefix::of_ipv4([198, 51, 100, 1]);

    fn dues(exploration: &mut Exploration, orders: usize) -> Vec<Due> {
        (0..orders)
            .map(|_| {
                exploration.count(Time(0));
                exploration.due()
            })
            .collect()
    }

    /// (`MK-33`)
    #[test]
    fn every_eighth_order_explores_and_each_fourth_for_a_bargain() {
        let mut exploration = Exploration::default();
        let [no, bargain, yes] = [Due::No, Due::ForABargain, Due::Yes];
        assert_eq!(dues(&mut exploration, 8), [no, no, no, bargain, bargain, bargain, bargain, yes]);
        exploration.tries(ONE);
        exploration.learn(Trial::Failed);
        assert_eq!(dues(&mut exploration, 16)[6..], [[no].as_slice(), &[bargain; 8], &[yes]].concat());
        (0..9).for_each(|_| exploration.learn(Trial::Failed));
        exploration.tries(ONE);
        assert_eq!(
            dues(&mut exploration, 128).iter().filter(|due| **due == yes).count(),
            1,
            "128 at the most"
        );
        exploration.learn(Trial::Known);
        exploration.tries(ONE);
        assert_eq!(dues(&mut exploration, 127).last(), Some(&bargain), "a known one brings nothing nearer");
        (0..9).for_each(|_| exploration.learn(Trial::Good));
        (0..9).for_each(|_| exploration.learn(Trial::Known));
        exploration.tries(ONE);
        assert_eq!(dues(&mut exploration, 32).iter().filter(|due| **due == yes).count(), 1, "32 at the most");
    }

    /// (`MK-33`)
    #[test]
    fn a_client_that_was_here_before_goes_on_somewhere_in_its_turns() {
        for (failed, every) in [(0, 8), (1, 16), (4, 128), (usize::MAX, 128)] {
            let resumed = |draw: u64| {
                let mut exploration = Exploration::resumed(draw, failed);
                exploration.count(Time(0));
                exploration.due()
            };
            let dues: Vec<Due> = (0..every).map(resumed).collect();
            let of = |due: Due| dues.iter().filter(|other| **other == due).count();
            assert_eq!((of(Due::Yes), of(Due::ForABargain)), (1, 1), "{failed}");
        }
    }

    /// (`MK-33`)
    #[test]
    fn a_thousand_orders_a_second_pass_their_lease_over_no_more_often_than_an_author_may_gossip() {
        let mut exploration = Exploration::default();
        let turns = (0..10_000_u64).filter(|ms| exploration.count(Time(ms * 1_000))).count();
        assert_eq!(turns, 8 + 20, "eight at once, and two a second");
        let mut rare = Exploration::default();
        let turns = (0..80_u64).filter(|order| rare.count(Time(order * 70_000))).count();
        assert_eq!(turns, 10, "every eighth of fourteen a second");
    }

    /// (`MK-33`)
    #[test]
    fn by_turns_the_lowest_score_and_the_prefix_that_was_tried_least() {
        let mut exploration = Exploration::default();
        let bidders = [(ONE, 1), (OTHER, 9), (OTHER, 5)];
        assert_eq!(exploration.pick(&[]), None);
        assert_eq!(exploration.pick(&bidders), Some(0));
        exploration.tries(ONE);
        assert_eq!(exploration.pick(&bidders), Some(2), "the draw decides within a prefix");
        assert_eq!(exploration.pick(&[]), None);
        exploration.tries(OTHER);
        assert_eq!(exploration.pick(&bidders), Some(0));
        exploration.tries(ONE);
        assert_eq!(exploration.pick(&bidders), Some(2));
        for number in 0..=limits::PREFIXES_TRIED_MAX {
            let [_, _, a, b] = u32::try_from(number).unwrap_or(0).to_be_bytes();
            exploration.tries(Prefix::of_ipv4([10, a, b, 0]));
        }
        assert!(exploration.tried.len() <= limits::PREFIXES_TRIED_MAX);
    }
}
