//! Gossip through a topic: hop by hop, or its whole way solved at once where that comes to the same.
//!
//! The delay of a copy is drawn from the flood and the two hosts, not from what happened before, so the first copy of
//! every member is a shortest path and the `fast` tier finds it without an event for each hop. That is exact as long as
//! nobody gains or loses power and no partition or free ride begins or ends while copies are under way; a flood that
//! meets one of these is carried hop by hop in both tiers, and so is every flood whose copies wait for other messages on
//! an uplink. Either way only those wake up whom the message asks for an
//! answer: all others would drop it first thing. (`SI-5`)

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use bombyx_protocol::io::Input;
use bombyx_protocol::market::call::Call;
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::Seek;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::Gossip;
use bombyx_protocol::work::order::ModelId;

use crate::check::{Broken, Check};
use crate::measure::Kind;
use crate::net::Passage;
use crate::outside::Parcel;
use crate::overlay::FloodId;
use crate::rng::{Purpose, fold};
use crate::scenario::{AttackKind, Tier};
use crate::world::{Event, World};

/// What a host needs to check a gossip message before it forwards it: one signature.
const VALIDATE: Span = Span(150);

/// What changes who forwards what: a flood that meets none of it can be solved.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Members of a topic that are about to gain or lose power.
    power: BTreeSet<(u32, Time, u32)>,
    /// When partitions and free rides begin or end.
    shifts: BTreeSet<Time>,
}

impl Changes {
    pub(crate) fn new(shifts: impl Iterator<Item = Time>) -> Self {
        Self { power: BTreeSet::new(), shifts: shifts.collect() }
    }

    pub(crate) fn expect(&mut self, topic: u32, at: Time, host: u32) {
        self.power.insert((topic, at, host));
    }

    pub(crate) fn happened(&mut self, topic: u32, at: Time, host: u32) {
        self.power.remove(&(topic, at, host));
    }

    /// Whether anything changes in a topic from `now` until `end`.
    fn meet(&self, topic: u32, now: Time, end: Time) -> bool {
        self.power.range((topic, now, 0)..=(topic, end, u32::MAX)).next().is_some()
            || self.shifts.range(now..=end).next().is_some()
    }
}

/// How a message first reached a member.
#[derive(Debug, Clone, Copy)]
struct Reached {
    at: Time,
    /// The host that it came from.
    from: u32,
    hops: u8,
    /// Whether no earlier copy can come.
    is_final: bool,
}

const NOT_YET: Reached = Reached { at: Time(u64::MAX), from: u32::MAX, hops: 0, is_final: false };

/// The way of one flood, and room to solve the next one.
#[derive(Debug, Default)]
pub(crate) struct Solver {
    /// By member.
    reached: Vec<Reached>,
    /// Arrival, member and sender of copies that may be the first, packed so that they sort in this order.
    open: BinaryHeap<Reverse<u128>>,
    /// Copies sent.
    sent: u64,
    /// Copies that arrived where somebody is.
    arrived: u64,
    /// First copies.
    first: u64,
    /// Hops of all first copies.
    hops: u64,
    /// When the last copy arrives.
    last: Time,
}

impl Solver {
    fn reset(&mut self, members: usize, now: Time) {
        self.reached.clear();
        self.reached.resize(members, NOT_YET);
        self.open.clear();
        (self.sent, self.arrived, self.first, self.hops, self.last) = (0, 0, 0, 0, now);
    }

    /// A copy arrives, if anybody is there.
    fn arrives(&mut self, at: Time, member: u32, from: u32, hops: u8, is_up: bool) {
        self.last = self.last.max(at);
        if !is_up {
            return;
        }
        self.arrived += 1;
        let known = &mut self.reached[member as usize];
        if !known.is_final && (at, from) < (known.at, known.from) {
            *known = Reached { at, from, hops, is_final: false };
            self.open.push(Reverse(u128::from(at.0) << 64 | u128::from(member) << 32 | u128::from(from)));
        }
    }

    /// The member with the earliest first copy that was not looked at.
    fn next(&mut self) -> Option<(u32, Reached)> {
        while let Some(Reverse(packed)) = self.open.pop() {
            let (member, from) = ((packed >> 32) as u32, packed as u32);
            let known = &mut self.reached[member as usize];
            if !known.is_final && known.from == from && u128::from(known.at.0) == packed >> 64 {
                known.is_final = true;
                return Some((member, *known));
            }
        }
        None
    }
}

impl World {
    pub(crate) fn broadcast(&mut self, from: u32, model: ModelId, gossip: Gossip) -> Result<(), Broken> {
        let bytes = self.weigh(|bytes| codec::encode_onto(&gossip, bytes));
        Check::length(bytes, true)?;
        let Some(topic) = self.topics.get(&model).copied() else { return Ok(()) };
        let encoded = std::mem::take(&mut self.encoded);
        self.published(&encoded, self.overlay.others(topic, from));
        if let Some(parcels) = &mut self.parcels {
            parcels.push(Parcel::Gossip { from, model: topic, bytes: encoded });
            return Ok(());
        }
        self.encoded = encoded;
        let name = self.hosts[from as usize].next_draw();
        let key = self.draws.bits(Purpose::Passage, &[u64::from(topic), u64::from(from), name]);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let targets = self.targets(topic, from);
        let is_solvable = self.scenario.tier == Tier::Fast && !self.uplinks.are_queues();
        if is_solvable && self.solve(topic, from, key, bytes, &targets) {
            self.deliver(topic, from, key, bytes, gossip);
        } else {
            self.measures.floods.carried += 1;
            let kind = Kind::of_gossip(&gossip);
            let flood = self.overlay.begin(topic, from, key, gossip, bytes, false);
            for member in targets {
                self.copy(flood, kind, from, member, 1, Span(0));
            }
            self.overlay.settle(flood);
        }
        Ok(())
    }

    /// Puts one copy of a flood on its way.
    fn copy(&mut self, id: FloodId, kind: Kind, from: u32, member: u32, hops: u8, after: Span) {
        let flood = self.overlay.flood(id);
        let (key, bytes) = (flood.key, flood.bytes as usize);
        let to = self.overlay.topics[flood.topic as usize].members[member as usize];
        self.measures.sent(kind, 1, bytes as u64);
        let fate = fold(fold(key, u64::from(from)), u64::from(to));
        let (source, target) = (self.places[from as usize], self.places[to as usize]);
        let passage = self.links.passage(self.now, source, target, bytes, fate);
        let copies = match self.uplinks.leave(from, source, self.now + after, bytes, passage) {
            Passage::Arrives(delay) => [Some(delay), None],
            Passage::Twice(first, second) => [Some(first), Some(second)],
            Passage::Lost | Passage::Cut => [None, None],
        };
        for delay in copies.into_iter().flatten() {
            self.overlay.sent(id);
            self.schedule_copy(self.now + after + delay, to, from, key, Event::Hop(id, member, hops));
        }
    }

    /// A copy arrives, or a member hears what was solved for it.
    pub(crate) fn hop(
        &mut self,
        id: FloodId,
        host: u32,
        member: u32,
        from: u32,
        hops: u8,
    ) -> Result<(), Broken> {
        self.overlay.arrived(id);
        let mut is_heard = self.overlay.flood(id).is_solved;
        if !is_heard && self.awake[host as usize] {
            is_heard = self.overlay.mark(id, member);
            if is_heard {
                self.measures.hops.first += 1;
                self.measures.hops.hops += u64::from(hops);
                if self.probe.is_some() {
                    self.heard(&codec::encode(&*self.overlay.flood(id).gossip));
                }
                self.forward(id, host, member, from, hops);
                is_heard = self.is_asked(host, &Invitation::of(&self.overlay.flood(id).gossip));
            } else {
                self.measures.hops.duplicate += 1;
            }
        }
        let gossip = is_heard.then(|| (*self.overlay.flood(id).gossip).clone());
        self.overlay.settle(id);
        gossip.map_or(Ok(()), |gossip| self.feed(host, Input::Gossip(gossip)))
    }

    fn forward(&mut self, id: FloodId, host: u32, member: u32, from: u32, hops: u8) {
        let flood = self.overlay.flood(id);
        if self.keeps(host, flood.publisher) {
            return;
        }
        let (topic, kind) = (flood.topic as usize, Kind::of_gossip(&flood.gossip));
        for link in 0..self.overlay.topics[topic].links(member).len() {
            let to = self.overlay.topics[topic].links(member)[link];
            if self.overlay.topics[topic].members[to as usize] != from {
                self.copy(id, kind, host, to, hops.saturating_add(1), VALIDATE);
            }
        }
    }

    /// The members that a host publishes to. A victim of an eclipse knows nobody but the attackers, if any is there.
    fn targets(&mut self, topic: u32, from: u32) -> Vec<u32> {
        let targets = self.overlay.targets(topic, from, &self.draws);
        let Some(plan) = self.hosts[from as usize].eclipsed.filter(|plan| plan.is_on(self.now)) else {
            return targets;
        };
        let attacks =
            |host: u32| self.hosts[host as usize].plan.is_some_and(|other| other.attack == plan.attack);
        let members = (0u32..).zip(&self.overlay.topics[topic as usize].members);
        let attackers: Vec<u32> = members
            .filter(|(_, host)| attacks(**host))
            .map(|(member, _)| member)
            .take(targets.len())
            .collect();
        if attackers.is_empty() { targets } else { attackers }
    }

    /// Whether a host forwards nothing of what this publisher says: an eclipse keeps its victims' calls.
    fn keeps(&self, host: u32, publisher: u32) -> bool {
        self.may_keep
            && self.hosts[host as usize].plan.filter(|plan| plan.is_on(self.now)).is_some_and(|plan| {
                let is_aimed = plan.kind == AttackKind::Eclipse;
                let is_victim = self.hosts[publisher as usize].eclipsed.is_some();
                plan.kind == AttackKind::FreeRider || (is_aimed && is_victim)
            })
    }

    /// Finds the way of a flood as though every hop of it happened. Whether that is what would happen.
    fn solve(&mut self, topic: u32, from: u32, key: u64, bytes: u32, targets: &[u32]) -> bool {
        let mut way = std::mem::take(&mut self.solver);
        let of = &self.overlay.topics[topic as usize];
        way.reset(of.members.len(), self.now);
        if let Some(member) = of.member(from) {
            way.reached[member as usize].is_final = true;
        }
        let copy = |way: &mut Solver, from: u32, fates: u64, member: u32, hops: u8, at: Time| {
            let to = of.members[member as usize];
            way.sent += 1;
            let (source, target) = (self.places[from as usize], self.places[to as usize]);
            let fate = fold(fates, u64::from(to));
            // Partitions and drops stand still while the flood lasts, or it is not solved.
            let passage = self.links.passage(self.now, source, target, bytes as usize, fate);
            let is_up = self.awake[to as usize];
            match passage {
                Passage::Arrives(delay) => way.arrives(at + delay, member, from, hops, is_up),
                Passage::Twice(first, second) => {
                    way.arrives(at + first, member, from, hops, is_up);
                    way.arrives(at + second, member, from, hops, is_up);
                }
                Passage::Lost | Passage::Cut => {}
            }
        };
        let fates = fold(key, u64::from(from));
        for member in targets {
            copy(&mut way, from, fates, *member, 1, self.now);
        }
        while let Some((member, reached)) = way.next() {
            way.first += 1;
            way.hops += u64::from(reached.hops);
            let host = of.members[member as usize];
            if self.keeps(host, from) {
                continue;
            }
            let (fates, hops) = (fold(key, u64::from(host)), reached.hops.saturating_add(1));
            for link in of.links(member) {
                if of.members[*link as usize] != reached.from {
                    copy(&mut way, host, fates, *link, hops, reached.at + VALIDATE);
                }
            }
        }
        let is_exact = !self.changes.meet(topic, self.now, way.last);
        self.solver = way;
        is_exact
    }

    /// Carries out what [`Self::solve`] has found.
    fn deliver(&mut self, topic: u32, from: u32, key: u64, bytes: u32, gossip: Gossip) {
        let way = std::mem::take(&mut self.solver);
        self.measures.floods.solved += 1;
        self.measures.sent(Kind::of_gossip(&gossip), way.sent, way.sent * u64::from(bytes));
        self.measures.hops.first += way.first;
        self.measures.hops.hops += way.hops;
        self.measures.hops.duplicate += way.arrived - way.first;
        let invitation = Invitation::of(&gossip);
        let flood = self.overlay.begin(topic, from, key, gossip, bytes, true);
        for (member, reached) in (0u32..).zip(&way.reached) {
            let host = self.overlay.topics[topic as usize].members[member as usize];
            if reached.from != u32::MAX && self.is_asked(host, &invitation) {
                self.overlay.sent(flood);
                let event = Event::Hop(flood, member, reached.hops);
                self.schedule_copy(reached.at, host, reached.from, key, event);
            }
        }
        self.overlay.settle(flood);
        self.solver = way;
    }

    /// Whether a host would do anything with a message but drop it. Who has a plan of its own hears everything.
    fn is_asked(&self, host: u32, invitation: &Invitation) -> bool {
        let host = &self.hosts[host as usize];
        if host.plan.is_some() {
            return true;
        }
        host.is_provider()
            && match invitation {
                Invitation::To(share, id) => share.invites(id, &host.node),
                Invitation::Unreadable => true,
            }
    }
}

/// Whom a gossip message asks for an answer.
enum Invitation {
    /// The providers that this share of all holds, by the message's id.
    To(Share, [u8; 16]),
    /// Nobody can say.
    Unreadable,
}

impl Invitation {
    fn of(gossip: &Gossip) -> Self {
        let read = match gossip {
            Gossip::Call(signed) => {
                codec::decode_gossip::<Call>(&signed.body).map(|call| Self::To(call.invited, call.id.0))
            }
            Gossip::Seek(signed) => {
                codec::decode_gossip::<Seek>(&signed.body).map(|seek| Self::To(seek.invited, seek.id.0))
            }
        };
        read.unwrap_or(Self::Unreadable)
    }
}
