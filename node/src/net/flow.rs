//! Rates that strangers share by where they come from, as they share places. (`NE-2`)

use std::collections::BTreeMap;
use std::time::Duration;

use bombyx_protocol::ident::Prefix;
use libp2p::PeerId;
use web_time::Instant;

use super::excess::Excess;
use super::limits;

/// A vessel that fills with what comes and empties at a steady rate.
#[derive(Debug, Clone, Copy)]
struct Vessel {
    level: f64,
    at: Instant,
}

impl Vessel {
    fn level(&self, rate: f64, now: Instant) -> f64 {
        (self.level - now.saturating_duration_since(self.at).as_secs_f64() * rate).max(0.0)
    }

    fn add(&mut self, rate: f64, now: Instant) {
        *self = Self { level: self.level(rate, now) + 1.0, at: now };
    }
}

/// What passes in a second, shared as places are: each thing holds a place until its time has passed, and time passes
/// for all prefixes alike.
#[derive(Debug)]
pub(super) struct Shares {
    /// A second, of everybody together.
    rate: f64,
    /// At once, of everybody together.
    burst: f64,
    by_prefix: BTreeMap<Prefix, f64>,
    passed_at: Option<Instant>,
}

impl Shares {
    /// Allows so much a second, and that much for `burst` at once.
    pub(super) fn new(rate: u32, burst: Duration) -> Self {
        let rate = f64::from(rate);
        Self { rate, burst: rate * burst.as_secs_f64(), by_prefix: BTreeMap::new(), passed_at: None }
    }

    /// Takes so much for a prefix, if it is left for it.
    pub(super) fn take(&mut self, prefix: Prefix, amount: f64, now: Instant) -> bool {
        self.let_time_pass(now);
        let all: f64 = self.by_prefix.values().sum();
        let share = self.by_prefix.get(&prefix).copied().unwrap_or(0.0);
        let is_left = share + amount <= self.burst - all;
        if is_left {
            *self.by_prefix.entry(prefix).or_default() += amount;
        }
        is_left
    }

    /// Takes off what time has worked off: from every prefix the same, and what one does not need from the others.
    fn let_time_pass(&mut self, now: Instant) {
        let since = self.passed_at.replace(now).unwrap_or(now);
        let mut left = now.saturating_duration_since(since).as_secs_f64() * self.rate;
        while left > NOTHING && !self.by_prefix.is_empty() {
            let each = left / self.by_prefix.len() as f64;
            left = 0.0;
            self.by_prefix.retain(|_, level| {
                left += (each - *level).max(0.0);
                *level -= each;
                *level > NOTHING
            });
        }
    }
}

/// What strangers share, and what friends share besides, before they take of the strangers'. (`NE-2`)
#[derive(Debug)]
pub(super) struct Pools {
    strangers: Shares,
    friends: Shares,
    excess: Excess,
}

impl Pools {
    pub(super) fn new(what: &'static str, strangers: u32, friends: u32, burst: Duration) -> Self {
        Self {
            strangers: Shares::new(strangers, burst),
            friends: Shares::new(friends, burst),
            excess: Excess::of(what),
        }
    }

    /// Takes so much for a peer of a prefix, if it is left for it, and notes it if not.
    pub(super) fn take(&mut self, prefix: Prefix, is_friend: bool, amount: f64, now: Instant) -> bool {
        let is_left =
            (is_friend && self.friends.take(prefix, amount, now)) || self.strangers.take(prefix, amount, now);
        if !is_left {
            self.excess.note(prefix, now);
        }
        is_left
    }

    #[cfg(test)]
    pub(super) fn has_refused(&self) -> bool {
        self.excess.total > 0
    }
}

/// Things a second, of each peer and in [`Pools`]. Friends have as much again as all the others.
#[derive(Debug)]
pub(super) struct Flow {
    /// A second, of one peer.
    each_rate: f64,
    each_burst: f64,
    pools: Pools,
    by_peer: BTreeMap<PeerId, Vessel>,
}

/// Why a [`Flow`] takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The peer sends more than one may.
    Peer,
    /// Its prefix has had its share of what there is.
    Share,
}

impl Flow {
    /// Allows so many a second in all and of one peer, and each for `burst` at once.
    pub(super) fn new(what: &'static str, rate: u32, each: u32, burst: Duration) -> Self {
        Self {
            each_rate: f64::from(each),
            each_burst: f64::from(each) * burst.as_secs_f64(),
            pools: Pools::new(what, rate, rate, burst),
            by_peer: BTreeMap::new(),
        }
    }

    /// Lets one thing of a peer through, or not. Friends have as much again as all the others, and share it as they do.
    pub(super) fn pass(
        &mut self,
        peer: PeerId,
        prefix: Prefix,
        is_friend: bool,
        now: Instant,
    ) -> Result<(), Full> {
        if self.by_peer.len() >= limits::METERS_MAX {
            let rate = self.each_rate;
            self.by_peer.retain(|_, vessel| vessel.level(rate, now) > 0.0);
        }
        let empty = Vessel { level: 0.0, at: now };
        let own = self.by_peer.get(&peer).copied().unwrap_or(empty);
        if own.level(self.each_rate, now) + 1.0 > self.each_burst {
            self.pools.excess.note(prefix, now);
            return Err(Full::Peer);
        }
        // What is refused for others' sake counts as well: it was sent.
        self.by_peer.entry(peer).or_insert(empty).add(self.each_rate, now);
        if self.pools.take(prefix, is_friend, 1.0, now) { Ok(()) } else { Err(Full::Share) }
    }

    /// Returns how many things were not let through.
    pub(super) fn refused(&self) -> u64 {
        self.pools.excess.total
    }

    /// Lets one thing through that was counted for its peer before and found nothing left of its prefix's share.
    pub(super) fn take_share(&mut self, prefix: Prefix, now: Instant) -> bool {
        self.pools.strangers.take(prefix, 1.0, now)
    }
}

/// What is below this is a rounding error.
const NOTHING: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: u8) -> Prefix {
        Prefix::of_ipv4([10, 0, number, 1])
    }

    fn passed(flow: &mut Flow, peer: PeerId, prefix: Prefix, tries: usize, now: Instant) -> usize {
        (0..tries).filter(|_| flow.pass(peer, prefix, false, now).is_ok()).count()
    }

    /// (`NE-2`)
    #[test]
    fn a_flood_of_one_prefix_leaves_others_their_share_of_a_flow() {
        let mut flow = Flow::new("test", 100, 100, Duration::from_secs(2));
        let start = Instant::now();
        let flood = |flow: &mut Flow, now| -> usize {
            (0..300).map(|_| passed(flow, PeerId::random(), prefix(1), 1, now)).sum()
        };
        assert_eq!(flood(&mut flow, start), 100);
        assert_eq!(passed(&mut flow, PeerId::random(), prefix(2), 20, start), 20);
        // For ten seconds the flood takes what it can get, and somebody else says a word now and then.
        let (mut flooded, mut others) = (0, 0);
        for tick in 1..=100 {
            let now = start + Duration::from_millis(100) * tick;
            flooded += flood(&mut flow, now);
            others += passed(&mut flow, PeerId::random(), prefix(2), 1, now);
        }
        assert_eq!(others, 100, "whoever asks for little gets it");
        assert!((850..=950).contains(&flooded), "the rest is the flood's: {flooded}");
    }

    #[test]
    fn one_peer_passes_at_its_own_rate_and_a_friend_past_the_crowd() {
        let mut flow = Flow::new("test", 100, 10, Duration::from_secs(2));
        let (peer, now) = (PeerId::random(), Instant::now());
        assert_eq!(passed(&mut flow, peer, prefix(1), 50, now), 20);
        assert_eq!(flow.pass(peer, prefix(1), false, now), Err(Full::Peer));
        assert_eq!(passed(&mut flow, peer, prefix(1), 50, now + Duration::from_secs(1)), 10);
        while flow.pass(PeerId::random(), prefix(3), false, now).is_ok() {}
        assert_eq!(flow.pass(PeerId::random(), prefix(3), false, now), Err(Full::Share));
        assert_eq!(flow.pass(PeerId::random(), prefix(3), true, now), Ok(()));
    }

    /// (`NE-2`)
    #[test]
    fn a_friend_that_floods_leaves_other_friends_their_share() {
        let mut flow = Flow::new("test", 100, 1_000, Duration::from_secs(2));
        let (loud, quiet, start) = (PeerId::random(), PeerId::random(), Instant::now());
        let mut heard = 0;
        for tick in 0..1_000 {
            let now = start + Duration::from_millis(10) * tick;
            for _ in 0..3 {
                let _ = flow.pass(loud, prefix(1), true, now);
            }
            heard += u32::from(tick % 10 == 9 && flow.pass(quiet, prefix(2), true, now).is_ok());
        }
        assert_eq!(heard, 100);
        let mut flow = Flow::new("test", 100, 1_000, Duration::from_secs(2));
        let twice = (0..400).filter(|_| flow.pass(loud, prefix(1), true, start).is_ok()).count();
        assert_eq!(twice, 200, "half of the friends' and half of everybody's");
    }

    #[test]
    fn what_a_flow_remembers_of_strangers_is_bounded() {
        let mut flow = Flow::new("test", 1_000_000, 10, Duration::from_secs(1));
        let start = Instant::now();
        for tick in 0..u32::try_from(limits::METERS_MAX).unwrap_or(u32::MAX) * 3 {
            let now = start + Duration::from_millis(1) * tick;
            let _ = flow.pass(PeerId::random(), Prefix::of_ipv4(tick.to_be_bytes()), false, now);
        }
        assert!(
            flow.by_peer.len() <= limits::METERS_MAX
                && flow.pools.strangers.by_prefix.len() <= limits::METERS_MAX
        );
    }
}
