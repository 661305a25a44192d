//! Gossip at message level: one mesh for each model's topic, flooded with duplicates suppressed.
//!
//! Every member forwards the first copy of a message to all its mesh links but the one it came from. A host that is
//! no member publishes to a fixed handful of members. Links are drawn once: a ring, so that every topic hangs
//! together, and random chords up to the mean degree.

use std::collections::BTreeSet;
use std::rc::Rc;

use bombyx_protocol::wire::message::Gossip;

use crate::rng::{Draws, Purpose};

/// Members that a host without a mesh publishes to: libp2p's `mesh_n`.
const FANOUT: u64 = 6;

/// A message under way through a topic.
#[derive(Debug)]
struct Flood {
    topic: u32,
    gossip: Rc<Gossip>,
    bytes: u32,
    /// One bit for each member that has it.
    seen: Vec<u64>,
    /// Copies that are scheduled to arrive.
    under_way: u32,
}

/// Number of a message under way; used again once all its copies have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FloodId(pub u32);

#[derive(Debug, Default)]
struct Topic {
    /// Hosts, ascending.
    members: Vec<u32>,
    /// Links of each member, as hosts, ascending.
    mesh: Vec<Vec<u32>>,
}

/// A copy at a host that had none.
#[derive(Debug)]
pub struct FirstCopy {
    /// What it says.
    pub gossip: Rc<Gossip>,
    /// To whom the host forwards it.
    pub forward: Vec<u32>,
    /// Encoded length.
    pub bytes: usize,
}

/// All topics and all messages under way.
#[derive(Debug, Default)]
pub struct Overlay {
    topics: Vec<Topic>,
    floods: Vec<Flood>,
    free: Vec<u32>,
}

impl Overlay {
    /// Draws a mesh of mean degree `degree` for every topic, from the hosts that follow it.
    #[must_use]
    pub fn new(members: Vec<BTreeSet<u32>>, degree: u32, draws: &Draws) -> Self {
        let topics = members
            .into_iter()
            .enumerate()
            .map(|(topic, members)| {
                let members: Vec<u32> = members.into_iter().collect();
                let mesh = mesh(topic as u64, &members, degree, draws);
                Topic { members, mesh }
            })
            .collect();
        Self { topics, floods: Vec::new(), free: Vec::new() }
    }

    /// Begins a flood of `gossip`. Returns its number and the hosts that the publisher sends it to.
    #[must_use]
    pub fn publish(
        &mut self,
        topic: u32,
        from: u32,
        gossip: Gossip,
        bytes: usize,
        draws: &Draws,
    ) -> (FloodId, Vec<u32>) {
        let Topic { members, mesh } = &self.topics[topic as usize];
        let mut seen = vec![0; members.len().div_ceil(64)];
        let targets = match members.binary_search(&from) {
            Ok(place) => {
                mark(&mut seen, place);
                mesh[place].clone()
            }
            Err(_) => fanout(members, topic, from, draws),
        };
        let flood = Flood {
            topic,
            gossip: Rc::new(gossip),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            seen,
            under_way: 0,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.floods[id as usize] = flood;
                id
            }
            None => {
                self.floods.push(flood);
                u32::try_from(self.floods.len() - 1).expect("floods under way are bounded by pending events")
            }
        };
        (FloodId(id), targets)
    }

    /// A copy was put on its way.
    pub fn sent(&mut self, id: FloodId) {
        self.floods[id.0 as usize].under_way += 1;
    }

    /// A copy arrives; `None` where the host has it already.
    pub fn arrive(&mut self, id: FloodId, from: u32, at: u32) -> Option<FirstCopy> {
        let flood = &mut self.floods[id.0 as usize];
        flood.under_way -= 1;
        let topic = &self.topics[flood.topic as usize];
        let place = topic.members.binary_search(&at).ok()?;
        if !mark(&mut flood.seen, place) {
            return None;
        }
        let forward = topic.mesh[place].iter().copied().filter(|peer| *peer != from).collect();
        Some(FirstCopy { gossip: Rc::clone(&flood.gossip), forward, bytes: flood.bytes as usize })
    }

    /// A copy arrives where nobody is.
    pub fn missed(&mut self, id: FloodId) {
        self.floods[id.0 as usize].under_way -= 1;
    }

    /// Forgets a flood once nothing of it is under way; call it after the copies of a hop were sent.
    pub fn settle(&mut self, id: FloodId) {
        if self.floods[id.0 as usize].under_way == 0 {
            self.free.push(id.0);
        }
    }

    /// How many hosts other than `host` follow a topic.
    #[must_use]
    pub fn others(&self, topic: u32, host: u32) -> usize {
        let members = &self.topics[topic as usize].members;
        members.len() - usize::from(members.binary_search(&host).is_ok())
    }

    /// How many hosts follow a topic.
    #[must_use]
    pub fn members(&self, topic: u32) -> usize {
        self.topics[topic as usize].members.len()
    }
}

/// Sets a bit; whether it was clear.
fn mark(seen: &mut [u64], place: usize) -> bool {
    let (word, bit) = (place / 64, 1u64 << (place % 64));
    let fresh = seen[word] & bit == 0;
    seen[word] |= bit;
    fresh
}

fn fanout(members: &[u32], topic: u32, from: u32, draws: &Draws) -> Vec<u32> {
    let mut order: Vec<(u64, u32)> = members
        .iter()
        .map(|member| {
            (draws.bits(Purpose::Fanout, &[u64::from(topic), u64::from(from), u64::from(*member)]), *member)
        })
        .collect();
    order.sort_unstable();
    order.into_iter().take(FANOUT as usize).map(|(_, member)| member).collect()
}

fn mesh(topic: u64, members: &[u32], degree: u32, draws: &Draws) -> Vec<Vec<u32>> {
    let count = members.len();
    let mut links = vec![BTreeSet::new(); count];
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by_key(|place| {
        (draws.bits(Purpose::Mesh, &[topic, u64::from(members[*place])]), *place)
    });
    let mut connect = |a: usize, b: usize| {
        if a != b {
            links[a].insert(members[b]);
            links[b].insert(members[a]);
        }
    };
    let chords = u64::from(degree.saturating_sub(2) / 2);
    for (position, place) in order.iter().enumerate() {
        connect(*place, order[(position + 1) % count]);
        for chord in 0..chords {
            let about = [topic, u64::from(members[*place]), chord];
            let other = draws.below(count as u64, Purpose::Mesh, &about) as usize;
            connect(*place, other);
        }
    }
    links.into_iter().map(|links| links.into_iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bombyx_protocol::ident::Signature;
    use bombyx_protocol::wire::signed::Signed;

    use super::*;

    fn gossip() -> Gossip {
        Gossip::Call(Signed { body: vec![1, 2, 3], signature: Signature([0; 64]) })
    }

    fn flood(overlay: &mut Overlay, from: u32, draws: &Draws) -> (BTreeSet<u32>, usize) {
        let (id, targets) = overlay.publish(0, from, gossip(), 100, draws);
        let mut copies: VecDeque<(u32, u32)> = targets.into_iter().map(|to| (from, to)).collect();
        copies.iter().for_each(|_| overlay.sent(id));
        let (mut reached, mut sent) = (BTreeSet::new(), copies.len());
        while let Some((via, at)) = copies.pop_front() {
            if let Some(first) = overlay.arrive(id, via, at) {
                assert!(reached.insert(at), "a host takes a message once");
                for to in first.forward {
                    overlay.sent(id);
                    sent += 1;
                    copies.push_back((at, to));
                }
            }
            overlay.settle(id);
        }
        (reached, sent)
    }

    #[test]
    fn a_flood_reaches_every_member_once_from_inside_and_from_outside() {
        let draws = Draws::new(1);
        let members: BTreeSet<u32> = (10..310).collect();
        let mut overlay = Overlay::new(vec![members.clone()], 8, &draws);
        let (reached, sent) = flood(&mut overlay, 10, &draws);
        assert_eq!(reached, members.iter().copied().filter(|host| *host != 10).collect());
        assert!((300 * 6..300 * 8).contains(&sent), "about degree less one copies a member: {sent}");
        assert_eq!(flood(&mut overlay, 5, &draws).0, members);
        assert_eq!(overlay.floods.len(), 1, "the place of a finished flood is used again");
    }

    #[test]
    fn topics_of_no_one_and_of_one_host_do_no_harm() {
        let draws = Draws::new(1);
        let mut overlay = Overlay::new(vec![BTreeSet::new(), BTreeSet::from([4])], 8, &draws);
        let (_, targets) = overlay.publish(0, 4, gossip(), 100, &draws);
        assert!(targets.is_empty());
        let (id, targets) = overlay.publish(1, 9, gossip(), 100, &draws);
        assert_eq!(targets, [4]);
        overlay.sent(id);
        assert!(overlay.arrive(id, 9, 4).is_some_and(|first| first.forward.is_empty()));
    }
}
