//! Gossip through a topic: hop by hop, or all of its paths solved at once where that gives the same result.
//!
//! The delay of a copy is drawn from the flood and the two hosts, not from what happened before, so the first copy of
//! every member is a shortest path and the `fast` fidelity finds it without an event for each hop. That is exact as long as
//! nobody gains or loses power and no partition or free ride begins or ends while copies are under way; a flood that
//! meets one of these is carried hop by hop in both fidelities, and so is every flood whose copies wait for other messages on
//! an uplink. Either way only the hosts that the
//! message asks for an answer are woken: all others would drop it at once. (`SI-5`)

use std::sync::Arc;

use bombyx_protocol::io::Input;
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Gossip, VerifiedGossip};

use crate::check::{Check, Violation};
use crate::kernel::{Purpose, fold};
use crate::network::{Flood, Ground, Kind, Transit};
use crate::scenario::{AttackKind, Fidelity};
use crate::world::event::Event;
use crate::world::parcel::Parcel;
use crate::world::shard::Shard;

/// Time that a host needs to check a gossip message before it forwards it: one signature.
const VALIDATE: Span = Span(150);

impl Shard {
    pub(crate) fn broadcast(&mut self, from: u32, topic: Topic, gossip: Gossip) -> Result<(), Violation> {
        let bytes = self.weigh(|bytes| codec::encode_onto(&gossip, bytes));
        Check::length(bytes, true)?;
        let environment = Arc::clone(&self.environment);
        // What is said on the market's own topic is for no host of a simulation: none lists what is on offer.
        let listened = topic.model().and_then(|model| environment.topics.get(&model).copied());
        let Some(topic) = listened else { return Ok(()) };
        if let Some(probe) = &mut self.probe {
            let carried = self.parcels.is_some().then_some(self.encoded.as_slice());
            probe.published(self.now, environment.overlay.others(topic, from), carried);
        }
        if let Some(parcels) = &mut self.parcels {
            let bytes = std::mem::take(&mut self.encoded);
            parcels.push(Parcel::Gossip { from, model: topic, bytes });
            return Ok(());
        }
        let name = self.hosts[from].next_draw();
        let key = environment.draws.bits(Purpose::Transit, &[u64::from(topic), u64::from(from), name]);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let targets = self.targets(topic, from);
        // Every host would find the same: one check does for all of them.
        let Ok(verified) = gossip.open() else { return Ok(()) };
        let said = (Kind::of_gossip(&gossip), verified);
        let flood = Flood::solved((from, self.now), (topic, key), said, bytes);
        let is_solvable = environment.scenario.fidelity == Fidelity::Fast && !self.uplinks.are_queues();
        if is_solvable && self.solve(&flood, &targets) {
            self.deliver(flood);
        } else {
            self.carry(flood, &targets);
        }
        Ok(())
    }

    /// Sends a flood on its way hop by hop.
    fn carry(&mut self, flood: Flood, targets: &[u32]) {
        self.counts.floods.carried += 1;
        let environment = Arc::clone(&self.environment);
        let of = &environment.overlay.topics[flood.topic as usize];
        let flood = Arc::new(flood.among(of.members.len()));
        if let Some(member) = of.member(flood.publisher) {
            flood.mark(member);
        }
        for member in targets {
            self.copy(&flood, flood.publisher, *member, 1, Span(0));
        }
    }

    /// Puts one copy of a flood on its way.
    fn copy(&mut self, flood: &Arc<Flood>, from: u32, member: u32, hops: u8, after: Span) {
        let to = self.environment.overlay.topics[flood.topic as usize].members[member as usize];
        let bytes = flood.bytes as usize;
        self.counts.sent(flood.kind, 1, bytes as u64);
        let fate = fold(fold(flood.key, u64::from(from)), u64::from(to));
        let (source, target) =
            (self.environment.locations[from as usize], self.environment.locations[to as usize]);
        let transit = self.environment.links.transit(self.now, source, target, bytes, fate);
        let copies = match self.uplinks.leave(from, source, self.now + after, bytes, transit) {
            Transit::Arrives(delay) => [Some(delay), None],
            Transit::Twice(first, second) => [Some(first), Some(second)],
            Transit::Lost | Transit::Cut => [None, None],
        };
        for delay in copies.into_iter().flatten() {
            let event = Event::Hop(Arc::clone(flood), member, hops);
            self.schedule_copy(self.now + after + delay, to, from, flood.key, event);
        }
    }

    /// Handles a copy that arrives, or one that was solved.
    pub(crate) fn hop(
        &mut self,
        flood: &Arc<Flood>,
        host: u32,
        member: u32,
        from: u32,
        hops: u8,
    ) -> Result<(), Violation> {
        if !flood.is_solved() {
            if !self.awake.is_up(host) {
                return Ok(());
            }
            if !flood.mark(member) {
                self.counts.hops.duplicate += 1;
                return Ok(());
            }
            self.counts.hops.first += 1;
            self.counts.hops.hops += u64::from(hops);
            if let Some(probe) = &mut self.probe {
                probe.heard(self.now, flood.published);
            }
            self.forward(flood, host, member, from, hops);
            if !self.is_asked(host, &Invitation::of(&flood.gossip)) {
                return Ok(());
            }
        }
        let prefix = self.environment.prefix(flood.publisher);
        self.feed(host, Input::Gossip { prefix, gossip: flood.gossip.clone() })
    }

    fn forward(&mut self, flood: &Arc<Flood>, host: u32, member: u32, from: u32, hops: u8) {
        if self.keeps(host, flood.publisher) {
            return;
        }
        let topic = flood.topic as usize;
        for link in 0..self.environment.overlay.topics[topic].links(member).len() {
            let of = &self.environment.overlay.topics[topic];
            let to = of.links(member)[link];
            if of.members[to as usize] != from {
                self.copy(flood, host, to, hops.saturating_add(1), VALIDATE);
            }
        }
    }

    /// Returns the members that a host publishes to. A victim of an eclipse knows nobody but the
    /// attackers, if any is there.
    fn targets(&mut self, topic: u32, from: u32) -> Vec<u32> {
        let environment = &self.environment;
        let fans = self.fans.entry((topic, from));
        let targets =
            fans.or_insert_with(|| environment.overlay.targets(topic, from, &environment.draws)).clone();
        let Some(plan) = environment.eclipse_of(from).filter(|plan| plan.is_on(self.now)) else {
            return targets;
        };
        let attacks = |host: u32| environment.plan(host).is_some_and(|other| other.attack == plan.attack);
        let members = (0u32..).zip(&environment.overlay.topics[topic as usize].members);
        let attackers: Vec<u32> = members
            .filter(|(_, host)| attacks(**host))
            .map(|(member, _)| member)
            .take(targets.len())
            .collect();
        if attackers.is_empty() { targets } else { attackers }
    }

    /// Returns whether a host forwards nothing of what this publisher says: an eclipse keeps its
    /// victims' calls.
    fn keeps(&self, host: u32, publisher: u32) -> bool {
        self.environment.may_keep
            && self.environment.plan(host).filter(|plan| plan.is_on(self.now)).is_some_and(|plan| {
                let is_aimed = plan.kind == AttackKind::Eclipse;
                let is_victim = self.environment.eclipse_of(publisher).is_some();
                plan.kind == AttackKind::FreeRider || (is_aimed && is_victim)
            })
    }

    /// Finds the paths of a flood as though it were carried hop by hop. Returns whether that is exact.
    fn solve(&mut self, flood: &Flood, targets: &[u32]) -> bool {
        let mut way = std::mem::take(&mut self.way);
        let environment = &self.environment;
        let ground = Ground {
            now: self.now,
            topic: &environment.overlay.topics[flood.topic as usize],
            distances: &environment.distances[flood.topic as usize],
            links: &environment.links,
            publisher: (flood.publisher, environment.locations[flood.publisher as usize]),
            key: flood.key,
            bytes: flood.bytes as usize,
            validate: VALIDATE,
        };
        way.find(&ground, targets, |host| self.awake.is_up(host), |host| self.keeps(host, flood.publisher));
        let is_exact = !environment.changes.meet(flood.topic, self.now, way.last);
        self.way = way;
        is_exact
    }

    /// Delivers a flood along the paths that [`Self::solve`] has found.
    fn deliver(&mut self, flood: Flood) {
        let way = std::mem::take(&mut self.way);
        self.counts.floods.solved += 1;
        self.counts.sent(flood.kind, way.sent, way.sent * u64::from(flood.bytes));
        self.counts.hops.first += way.first;
        self.counts.hops.hops += way.hops;
        self.counts.hops.duplicate += way.arrived - way.first;
        let (environment, flood) = (Arc::clone(&self.environment), Arc::new(flood));
        let invitation = Invitation::of(&flood.gossip);
        let members = &environment.overlay.topics[flood.topic as usize].members;
        for ((member, host), reached) in (0u32..).zip(members).zip(way.reached()) {
            if let Some(reached) = reached.filter(|_| self.is_asked(*host, &invitation)) {
                let event = Event::Hop(Arc::clone(&flood), member, reached.hops);
                self.schedule_copy(reached.at, *host, reached.from, flood.key, event);
            }
        }
        self.way = way;
    }

    /// Returns whether a host would do anything with a message but drop it. Attackers receive everything.
    fn is_asked(&self, host: u32, invitation: &Invitation) -> bool {
        if self.environment.plan(host).is_some_and(|plan| plan.is_real()) {
            return true;
        }
        self.environment.is_provider(host)
            && invitation.share.invites(&invitation.id, &self.environment.nodes[host as usize])
    }
}

/// The hosts that a gossip message asks for an answer.
struct Invitation {
    /// The share of all providers.
    share: Share,
    /// What draws the share: the message's id.
    id: [u8; 16],
}

impl Invitation {
    fn of(gossip: &VerifiedGossip) -> Self {
        let (share, id) = match gossip {
            VerifiedGossip::Call(call) => (call.invited, call.id.0),
            VerifiedGossip::Seek(seek) => (seek.invited, seek.id.0),
        };
        Self { share, id }
    }
}
