//! Gossip at message level: one mesh for each model's topic, flooded with duplicates suppressed.
//!
//! Every member forwards the first copy of a message to all its mesh links but the one it came from. Who publishes sends
//! to every member that it is connected to, as the node does. Links are drawn once: a ring, so that every topic hangs
//! together, and random chords up to the mean degree.
//!
//! Members of a topic are numbered in the order of their hosts; links go by these numbers.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::kernel::{Draws, Purpose};
use crate::scenario::Network;

/// Members of a topic that a host which publishes on it sees to be connected to: the node's `TOPIC_PEERS_MIN`.
const LISTENERS_MIN: usize = 8;

/// Attempts to find a place for a chord; where all fail, nearly everyone is linked to everyone.
const CHORD_DRAWS_MAX: u64 = 8;

/// The hosts that follow one model, and their links.
#[derive(Debug, Default)]
pub struct Topic {
    /// Hosts, ascending.
    pub members: Vec<u32>,
    /// Where the links of each member begin in `peers`, and where the last ends.
    starts: Vec<u32>,
    /// Members.
    peers: Vec<u32>,
}

impl Topic {
    fn new(members: Vec<u32>, mesh: Vec<BTreeSet<u32>>) -> Self {
        let (mut starts, mut peers) = (vec![0], Vec::new());
        for links in mesh {
            peers.extend(links);
            starts.push(u32::try_from(peers.len()).expect("a topic's links are far fewer"));
        }
        Self { members, starts, peers }
    }

    /// Returns the members that a member is linked to.
    #[must_use]
    pub fn links(&self, member: u32) -> &[u32] {
        &self.peers[self.range(member)]
    }

    /// Returns where the links of a member are among those of all members in their order.
    pub(crate) fn range(&self, member: u32) -> Range<usize> {
        self.starts[member as usize] as usize..self.starts[member as usize + 1] as usize
    }

    /// Returns the member that a host is.
    #[must_use]
    pub fn member(&self, host: u32) -> Option<u32> {
        self.members.binary_search(&host).ok().map(|member| member as u32)
    }
}

/// All topics.
#[derive(Debug, Default)]
pub struct Overlay {
    /// By number of the model.
    pub topics: Vec<Topic>,
    /// Share of all pairs of hosts that have a connection.
    connected: f64,
}

/// Returns whether two hosts have a connection, as far as chance and not a mesh has made it: a
/// `share` of all pairs has one.
#[must_use]
pub fn are_connected(draws: &Draws, share: f64, one: u32, other: u32) -> bool {
    draws.happens(share, Purpose::Connected, &[u64::from(one.min(other)), u64::from(one.max(other))])
}

impl Overlay {
    /// Draws a mesh for every topic, from the hosts that follow it, of `hosts` in all.
    #[must_use]
    pub fn new(members: Vec<BTreeSet<u32>>, hosts: usize, network: &Network, draws: &Draws) -> Self {
        let topics = members
            .into_iter()
            .enumerate()
            .map(|(topic, members)| {
                let members: Vec<u32> = members.into_iter().collect();
                let mesh = mesh(topic as u64, &members, network.mesh_degree, draws);
                Topic::new(members, mesh)
            })
            .collect();
        Self { topics, connected: network.connected_share(hosts) }
    }

    /// Returns the members that a host publishes to. Long to work out, and always the same.
    #[must_use]
    pub fn targets(&self, topic: u32, from: u32, draws: &Draws) -> Vec<u32> {
        listeners(&self.topics[topic as usize], topic, from, self.connected, draws)
    }

    /// Returns how many hosts other than `host` follow a topic.
    #[must_use]
    pub fn others(&self, topic: u32, host: u32) -> usize {
        let of = &self.topics[topic as usize];
        of.members.len() - usize::from(of.member(host).is_some())
    }
}

/// Returns the members that a host is connected to: its links, those that chance has made, and
/// others until they are enough.
fn listeners(of: &Topic, topic: u32, from: u32, share: f64, draws: &Draws) -> Vec<u32> {
    let own = of.member(from);
    let links = own.map_or(&[][..], |member| of.links(member));
    let mut order: Vec<(bool, u64, u32)> = (0u32..)
        .zip(&of.members)
        .filter(|(member, _)| Some(*member) != own)
        .map(|(member, host)| {
            let is_connected = links.contains(&member) || are_connected(draws, share, from, *host);
            let about = [u64::from(topic), u64::from(from), u64::from(*host)];
            (!is_connected, draws.bits(Purpose::Fanout, &about), member)
        })
        .collect();
    order.sort_unstable();
    let connected = order.partition_point(|(is_stranger, ..)| !is_stranger);
    order.into_iter().take(connected.max(LISTENERS_MIN)).map(|(.., member)| member).collect()
}

fn mesh(topic: u64, members: &[u32], degree: u32, draws: &Draws) -> Vec<BTreeSet<u32>> {
    let count = members.len();
    let mut links = vec![BTreeSet::new(); count];
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by_key(|location| {
        (draws.bits(Purpose::Mesh, &[topic, u64::from(members[*location])]), *location)
    });
    let connect = |links: &mut [BTreeSet<u32>], a: usize, b: usize| {
        if a != b {
            links[a].insert(b as u32);
            links[b].insert(a as u32);
        }
    };
    let chords = u64::from(degree.saturating_sub(2) / 2);
    for (position, location) in order.iter().enumerate() {
        connect(&mut links, *location, order[(position + 1) % count]);
        for chord in 0..chords {
            // In a small topic a chord often falls on a link that is there: then it is drawn again.
            let other = (0..CHORD_DRAWS_MAX).map(|attempt| {
                let about = [topic, u64::from(members[*location]), chord + attempt * chords];
                draws.below(count as u64, Purpose::Mesh, &about) as usize
            });
            let free = |other: &usize| other != location && !links[*location].contains(&(*other as u32));
            if let Some(other) = other.into_iter().find(free) {
                connect(&mut links, *location, other);
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bombyx_protocol::ident::Identity;
    use bombyx_protocol::market::invite::Share;
    use bombyx_protocol::market::seek::{Seek, SeekId};
    use bombyx_protocol::time::Time;
    use bombyx_protocol::wire::message::Gossip;
    use bombyx_protocol::work::order::ModelId;

    use super::*;
    use crate::network::flood::Flood;
    use crate::network::kind::Kind;

    fn network() -> Network {
        Network { connections: 84, ..Network::default() }
    }

    /// Floods without delays: hosts reached, and copies sent.
    fn flood(overlay: &Overlay, from: u32, draws: &Draws) -> (BTreeSet<u32>, usize) {
        let topic = &overlay.topics[0];
        let client = Identity::from_seed(&[1; 32]);
        let seek = Seek::for_model(SeekId([1; 16]), client.id(), ModelId([2; 32]), Share::ALL, 0);
        let said = (Kind::Seek, Gossip::Seek(seek.sign(&client)).open().unwrap());
        let flood = Flood::solved((from, Time(0)), (0, 1), said, 100).among(topic.members.len());
        assert!(topic.member(from).is_none_or(|member| flood.mark(member)));
        let targets = overlay.targets(0, from, draws);
        let mut copies: VecDeque<(u32, u32)> = targets.into_iter().map(|to| (from, to)).collect();
        let (mut reached, mut sent) = (BTreeSet::new(), copies.len());
        while let Some((via, member)) = copies.pop_front() {
            if flood.mark(member) {
                let host = topic.members[member as usize];
                assert!(reached.insert(host), "a host takes a message once");
                let links = topic.links(member).iter();
                let onward = links.filter(|to| topic.members[**to as usize] != via);
                let before = copies.len();
                copies.extend(onward.map(|to| (host, *to)));
                sent += copies.len() - before;
            }
        }
        (reached, sent)
    }

    #[test]
    fn a_flood_reaches_every_member_once_from_inside_and_from_outside() {
        let draws = Draws::new(1);
        let members: BTreeSet<u32> = (10..310).collect();
        let overlay = Overlay::new(vec![members.clone()], 10_000, &network(), &draws);
        let (reached, sent) = flood(&overlay, 10, &draws);
        assert_eq!(reached, members.iter().copied().filter(|host| *host != 10).collect());
        assert!((300 * 6..300 * 8).contains(&sent), "about degree less one copies a member: {sent}");
        assert_eq!(flood(&overlay, 5, &draws).0, members);
    }

    #[test]
    fn a_small_topic_has_the_links_that_are_asked_for_as_far_as_there_are_members() {
        let draws = Draws::new(1);
        let degree = |count: u32| {
            let members: BTreeSet<u32> = (0..count).collect();
            let overlay = Overlay::new(vec![members], 10_000, &network(), &draws);
            let links: usize = (0..count).map(|member| overlay.topics[0].links(member).len()).sum();
            links as f64 / f64::from(count)
        };
        assert!((7.5..=8.0).contains(&degree(23)), "{}", degree(23));
        assert!((7.9..=8.0).contains(&degree(300)), "{}", degree(300));
        assert!((3.5..=4.0).contains(&degree(5)), "{}", degree(5));
    }

    #[test]
    fn topics_of_no_one_and_of_one_host_do_no_harm() {
        let draws = Draws::new(1);
        let overlay = Overlay::new(vec![BTreeSet::new(), BTreeSet::from([4])], 10, &network(), &draws);
        assert!(overlay.targets(0, 4, &draws).is_empty());
        assert_eq!(overlay.targets(1, 9, &draws), [0]);
        assert!(overlay.topics[1].links(0).is_empty());
    }

    #[test]
    fn who_publishes_sends_to_everyone_it_is_connected_to_and_to_eight_at_least() {
        let draws = Draws::new(1);
        let members: BTreeSet<u32> = (10..110).collect();
        let sent = |hosts: usize, from: u32| {
            let overlay = Overlay::new(vec![members.clone()], hosts, &network(), &draws);
            let targets = overlay.targets(0, from, &draws);
            let links =
                overlay.topics[0].member(from).map_or(0, |member| overlay.topics[0].links(member).len());
            assert!(targets.len() >= links.max(LISTENERS_MIN));
            targets.len()
        };
        assert!((65..90).contains(&sent(110, 5)), "three quarters of a small network: {}", sent(110, 5));
        assert!((65..90).contains(&sent(110, 20)));
        assert_eq!(sent(1_000_000, 5), LISTENERS_MIN);
        assert_eq!(sent(50, 5), 100, "everyone is connected to everyone where there are few");
    }
}
