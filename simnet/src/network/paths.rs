//! The paths of one flood, found as a shortest path without an event for each hop.
//!
//! What a flood looks at lies close together: by member, where it is, and by link, how long the way is when nothing varies,
//! which costs a relay and a hash to work out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bombyx_protocol::time::{Span, Time};

use crate::kernel::fold;
use crate::network::links::{Links, Transit};
use crate::network::location::Location;
use crate::network::overlay::Topic;

/// A heap's entry holds a time since the flood began above so many bits for the member.
const MEMBER_BITS: u32 = 24;

/// The distances of one topic.
#[derive(Debug)]
pub(crate) struct Distances {
    /// By member.
    locations: Vec<Location>,
    /// By link, in the topic's order: one way for an empty message when nothing varies, in microseconds.
    paths: Vec<u32>,
}

impl Distances {
    /// Measures the distances of a topic whose members are among hosts at these locations.
    pub(crate) fn of(topic: &Topic, locations: &[Location], links: &Links) -> Self {
        let location = |member: u32| locations[topic.members[member as usize] as usize];
        let members = 0..topic.members.len() as u32;
        let pairs =
            members.clone().flat_map(|from| topic.links(from).iter().map(move |member| (from, *member)));
        let path = |(from, to)| u32::try_from(links.path(location(from), location(to)).0).unwrap_or(u32::MAX);
        Self { locations: members.map(location).collect(), paths: pairs.map(path).collect() }
    }
}

/// How a message first reached a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstCopy {
    pub(crate) at: Time,
    /// The host that it came from.
    pub(crate) from: u32,
    pub(crate) hops: u8,
    /// Whether no earlier copy can come.
    is_final: bool,
}

const NOT_YET: FirstCopy = FirstCopy { at: Time::NEVER, from: u32::MAX, hops: 0, is_final: false };

/// A flood, and the ground that it spreads over.
pub(crate) struct Ground<'a> {
    pub(crate) now: Time,
    pub(crate) topic: &'a Topic,
    pub(crate) distances: &'a Distances,
    pub(crate) links: &'a Links,
    /// The publisher and its location.
    pub(crate) publisher: (u32, Location),
    /// Names the flood in every draw about it.
    pub(crate) key: u64,
    /// Its encoded length.
    pub(crate) bytes: usize,
    /// What a host needs before it forwards the message.
    pub(crate) validate: Span,
}

/// The paths of one flood, and room for the next one.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// By member.
    reached: Vec<FirstCopy>,
    /// Arrivals of copies that may be the first, in their order.
    open: BinaryHeap<Reverse<u64>>,
    begun: Time,
    /// Copies sent.
    pub(crate) sent: u64,
    /// Copies that arrived where somebody is.
    pub(crate) arrived: u64,
    /// First copies.
    pub(crate) first: u64,
    /// Hops of all first copies.
    pub(crate) hops: u64,
    /// When the last copy arrives.
    pub(crate) last: Time,
}

impl Paths {
    /// Finds the paths of a flood to these members and on from them, as though it were carried hop by hop. Hosts
    /// without power receive nothing; hosts that keep it forward nothing.
    pub(crate) fn find(
        &mut self,
        ground: &Ground<'_>,
        targets: &[u32],
        is_up: impl Fn(u32) -> bool,
        keeps: impl Fn(u32) -> bool,
    ) {
        let Ground { now, topic, distances, links, key, bytes, .. } = *ground;
        let (publisher, home) = ground.publisher;
        self.reset(topic.members.len(), now);
        if let Some(member) = topic.member(publisher) {
            self.reached[member as usize].is_final = true;
        }
        // Partitions and drops stand still while the flood lasts, or it is not solved.
        let (sender, fates) = (links.sender(now, home, bytes), fold(key, u64::from(publisher)));
        for member in targets {
            let (host, location) = (topic.members[*member as usize], distances.locations[*member as usize]);
            let transit = sender.transit(location, links.path(home, location), fold(fates, u64::from(host)));
            self.copy(transit, (now, publisher, 1), *member, is_up(host));
        }
        while let Some((member, reached)) = self.next() {
            self.first += 1;
            self.hops += u64::from(reached.hops);
            let from = topic.members[member as usize];
            if keeps(from) {
                continue;
            }
            let (sender, fates) =
                (links.sender(now, distances.locations[member as usize], bytes), fold(key, u64::from(from)));
            let leaves = (reached.at + ground.validate, from, reached.hops.saturating_add(1));
            let paths = &distances.paths[topic.range(member)];
            for (to, path) in topic.links(member).iter().zip(paths) {
                let (host, location) = (topic.members[*to as usize], distances.locations[*to as usize]);
                if host != reached.from {
                    let fate = fold(fates, u64::from(host));
                    let transit = sender.transit(location, Span(u64::from(*path)), fate);
                    self.copy(transit, leaves, *to, is_up(host));
                }
            }
        }
    }

    /// Returns, by member, how the message reached it first, if it did.
    pub(crate) fn reached(&self) -> impl Iterator<Item = Option<FirstCopy>> {
        self.reached.iter().map(|reached| (reached.from != u32::MAX).then_some(*reached))
    }

    fn reset(&mut self, members: usize, now: Time) {
        self.reached.clear();
        self.reached.resize(members, NOT_YET);
        self.open.clear();
        (self.begun, self.last) = (now, now);
        (self.sent, self.arrived, self.first, self.hops) = (0, 0, 0, 0);
    }

    /// Sends a copy that leaves at this time, from this host, with so many hops when it arrives.
    fn copy(&mut self, transit: Transit, leaves: (Time, u32, u8), member: u32, is_up: bool) {
        self.sent += 1;
        match transit {
            Transit::Arrives(delay) => self.arrives(delay, leaves, member, is_up),
            Transit::Twice(first, second) => {
                self.arrives(first, leaves, member, is_up);
                self.arrives(second, leaves, member, is_up);
            }
            Transit::Lost | Transit::Cut => {}
        }
    }

    /// Lets a copy arrive, if anybody is there.
    fn arrives(&mut self, delay: Span, (left, from, hops): (Time, u32, u8), member: u32, is_up: bool) {
        let at = left + delay;
        self.last = self.last.max(at);
        if !is_up {
            return;
        }
        self.arrived += 1;
        let known = &mut self.reached[member as usize];
        if !known.is_final && (at, from) < (known.at, known.from) {
            *known = FirstCopy { at, from, hops, is_final: false };
            self.open.push(Reverse(at.since(self.begun).0 << MEMBER_BITS | u64::from(member)));
        }
    }

    /// Returns the member with the earliest first copy that was not looked at.
    fn next(&mut self) -> Option<(u32, FirstCopy)> {
        while let Some(Reverse(packed)) = self.open.pop() {
            let member = (packed & ((1 << MEMBER_BITS) - 1)) as u32;
            let known = &mut self.reached[member as usize];
            // An arrival that an earlier one came before is void.
            if !known.is_final && known.at.since(self.begun).0 == packed >> MEMBER_BITS {
                known.is_final = true;
                return Some((member, *known));
            }
        }
        None
    }
}
