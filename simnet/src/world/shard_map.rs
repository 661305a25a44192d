//! Which shard of a world each host belongs to: neighbours together, so that a message from one shard to another is long
//! under way and each can run ahead of the others for as long as that.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use bombyx_protocol::time::Span;

use crate::host::Host;
use crate::network::{Links, Location};
use crate::scenario::Regions;

/// How much larger than an even share the largest shard may be, in percent, for the sake of longer ways between shards.
const UNEVEN_PERCENT: usize = 15;

/// Where every host sits.
#[derive(Debug)]
pub(crate) struct ShardMap {
    /// By host: its shard. Empty where one shard has everyone.
    shard: Vec<usize>,
    /// By host: its slot in its shard, whose hosts are in their order. Empty where one shard has everyone.
    slot: Vec<u32>,
    /// How many shards there are.
    pub(crate) shards: usize,
    /// Nothing gets from one shard to another faster; without end where there is one.
    pub(crate) lookahead: Span,
}

impl ShardMap {
    /// Divides hosts among at most so many shards.
    pub(crate) fn new(hosts: &[Host], links: &Links, shards: NonZeroUsize) -> Self {
        let regions = Regions::shipped().names.len();
        let mut crowd = vec![0; regions];
        hosts.iter().for_each(|host| crowd[usize::from(host.location.region)] += 1);
        let by_region = territories(links, &crowd, shards.get());
        let mut shard: Vec<usize> =
            hosts.iter().map(|host| by_region[usize::from(host.location.region)]).collect();
        gather_owners(hosts, &mut shard);
        Self::numbered(hosts, links, &shard)
    }

    /// Numbers the shards that have anybody, and the slots in each.
    fn numbered(hosts: &[Host], links: &Links, wanted: &[usize]) -> Self {
        let mut of: BTreeMap<usize, Vec<Location>> = BTreeMap::new();
        let mut slots = Vec::with_capacity(hosts.len());
        for (host, shard) in hosts.iter().zip(wanted) {
            let seated = of.entry(*shard).or_default();
            slots.push(u32::try_from(seated.len()).expect("hosts are numbered with 32 bits"));
            seated.push(host.location);
        }
        if of.len() < 2 {
            return Self { shard: Vec::new(), slot: Vec::new(), shards: 1, lookahead: Span::MAX };
        }
        let numbers: BTreeMap<usize, usize> = of.keys().copied().zip(0..).collect();
        let shard = wanted.iter().map(|shard| numbers[shard]).collect();
        let locations: Vec<&Vec<Location>> = of.values().collect();
        Self { shard, slot: slots, shards: of.len(), lookahead: lookahead(links, &locations) }
    }

    /// Returns the shard that a host is in.
    pub(crate) fn shard(&self, host: u32) -> usize {
        self.shard.get(host as usize).copied().unwrap_or(0)
    }

    /// Returns where it is in that shard.
    pub(crate) fn slot(&self, host: u32) -> usize {
        self.slot.get(host as usize).map_or(host as usize, |slot| *slot as usize)
    }
}

/// Puts all names of one owner together: what they share, a card or a count of names, is a matter of order.
fn gather_owners(hosts: &[Host], shard: &mut [usize]) {
    let mut owners: BTreeMap<usize, usize> = BTreeMap::new();
    for (host, shard) in hosts.iter().zip(shard) {
        let is_name = host.accomplices.as_ref().is_some_and(|accomplices| accomplices.name.is_some());
        if let Some(plan) = host.plan.filter(|_| is_name) {
            *shard = *owners.entry(plan.attack).or_insert(*shard);
        }
    }
}

/// Returns the shortest way between two hosts of different shards, whatever a message on it draws.
fn lookahead(links: &Links, shards: &[&Vec<Location>]) -> Span {
    let relays: BTreeSet<u8> = shards
        .iter()
        .flat_map(|locations| locations.iter())
        .filter_map(|location| Some(location.relay?.region))
        .collect();
    let relays: Vec<u8> = relays.into_iter().collect();
    let kinds: Vec<BTreeSet<(u8, u8)>> = shards
        .iter()
        .map(|locations| locations.iter().map(|location| (location.region, location.access)).collect())
        .collect();
    let plain = |(region, access): &(u8, u8)| Location { region: *region, access: *access, relay: None };
    let mut least = Span::MAX;
    for (number, one) in kinds.iter().enumerate() {
        let others = kinds.iter().enumerate().filter(|(other, _)| *other != number);
        for (from, to) in
            others.flat_map(|(_, other)| one.iter().flat_map(|from| other.iter().map(move |to| (from, to))))
        {
            least = least.min(links.least(plain(from), plain(to), &relays));
        }
    }
    least
}

/// Returns the shard of each region: as far apart as is possible while all have about as many
/// hosts.
fn territories(links: &Links, crowd: &[usize], shards: usize) -> Vec<usize> {
    let regions = crowd.len();
    let centre = |region: usize| Location { region: region as u8, access: 0, relay: None };
    let way = |one: usize, other: usize| links.undisturbed(centre(one), centre(other));
    let ways: BTreeSet<Span> = (0..regions)
        .flat_map(|one| (0..one).map(move |other| (one, other)))
        .map(|(one, other)| way(one, other))
        .collect();
    let fair = crowd.iter().sum::<usize>().div_ceil(shards);
    let most = fair + fair * UNEVEN_PERCENT / 100;
    let divided = ways
        .iter()
        .rev()
        .map(|nearer| pack(&lands(regions, |one, other| way(one, other) < *nearer), crowd, shards));
    let mut narrowest = Vec::new();
    for territories in divided {
        let largest = (0..shards)
            .map(|shard| {
                (0..regions)
                    .filter(|region| territories[*region] == shard)
                    .map(|region| crowd[region])
                    .sum::<usize>()
            })
            .max();
        narrowest = territories;
        if largest.is_some_and(|largest| largest <= most) {
            break;
        }
    }
    narrowest
}

/// Joins all regions that a chain of neighbours connects. By region: the lowest of its land.
fn lands(regions: usize, are_near: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut land: Vec<usize> = (0..regions).collect();
    for one in 0..regions {
        for other in 0..one {
            if are_near(one, other) && land[one] != land[other] {
                let (keeps, goes) = (land[one].min(land[other]), land[one].max(land[other]));
                land.iter_mut().filter(|of| **of == goes).for_each(|of| *of = keeps);
            }
        }
    }
    land
}

/// Gives every land to a shard: the most crowded first, each to the shard that has the fewest hosts.
fn pack(land: &[usize], crowd: &[usize], shards: usize) -> Vec<usize> {
    let mut crowds: BTreeMap<usize, usize> = BTreeMap::new();
    for (land, crowd) in land.iter().zip(crowd) {
        *crowds.entry(*land).or_default() += crowd;
    }
    let mut order: Vec<(usize, usize)> = crowds.into_iter().collect();
    order.sort_by_key(|(land, crowd)| (std::cmp::Reverse(*crowd), *land));
    let mut loads = vec![0; shards];
    let mut owner = BTreeMap::new();
    for (land, crowd) in order {
        let least = (0..shards).min_by_key(|shard| loads[*shard]).unwrap_or(0);
        loads[least] += crowd;
        owner.insert(land, least);
    }
    land.iter().map(|land| owner[land]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Draws;
    use crate::scenario::Scenario;
    use crate::workload::population;

    fn seated(changes: &str, shards: usize) -> (Vec<Host>, Links, ShardMap) {
        let scenario = Scenario::parse("test.toml", &format!("nodes = 2000\n{changes}")).expect("a scenario");
        let hosts = population::hosts(&scenario, &Draws::new(1));
        let links = Links::new(&Regions::shipped(), &scenario.network, Vec::new());
        let shard_map = ShardMap::new(&hosts, &links, NonZeroUsize::new(shards).expect("one at least"));
        (hosts, links, shard_map)
    }

    #[test]
    fn two_shards_have_about_as_many_hosts_and_lie_far_apart() {
        let (hosts, _, shard_map) = seated("", 2);
        let first = (0..2_000).filter(|host| shard_map.shard(*host) == 0).count();
        assert!((850..1_150).contains(&first) && hosts.len() == 2_000, "{first}");
        assert!(shard_map.lookahead >= Span::from_ms(25), "{:?}", shard_map.lookahead);
        let mut slots: Vec<(usize, usize)> =
            (0..2_000).map(|host| (shard_map.shard(host), shard_map.slot(host))).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 2_000, "everyone has a slot of its own");
    }

    #[test]
    fn one_shard_has_everyone_in_their_order_and_nothing_to_wait_for() {
        let (_, _, shard_map) = seated("", 1);
        assert_eq!((shard_map.shards, shard_map.shard(77), shard_map.slot(77)), (1, 0, 77));
        assert_eq!(shard_map.lookahead, Span::MAX);
    }

    #[test]
    fn names_of_one_owner_sit_together() {
        let (hosts, _, shard_map) = seated("[[attack]]\nkind = \"sybil\"\nshare = 0.2\n", 3);
        let names = (0u32..).zip(&hosts).filter(|(_, host)| host.plan.is_some());
        let shards: BTreeSet<usize> = names.map(|(number, _)| shard_map.shard(number)).collect();
        assert_eq!((shards.len(), shard_map.shards), (1, 3));
    }

    /// Relays can be a short cut: the table breaks the triangle inequality here and there.
    #[test]
    fn no_message_between_two_shards_is_faster_than_they_are_apart() {
        for changes in
            ["", "[network]\nprovider_nat_share = 1.0\nclient_nat_share = 1.0\npunch_share = 0.0\n"]
        {
            let (hosts, links, shard_map) = seated(changes, 4);
            let across =
                |one: usize, other: usize| shard_map.shard(one as u32) != shard_map.shard(other as u32);
            let pairs = (0..hosts.len()).map(|one| (one, (one * 7 + 13) % hosts.len()));
            for (one, other) in pairs.filter(|(one, other)| across(*one, *other)) {
                let transit = links.transit(
                    bombyx_protocol::time::Time(0),
                    hosts[one].location,
                    hosts[other].location,
                    0,
                    0,
                );
                let crate::network::Transit::Arrives(after) = transit else { continue };
                assert!(after >= shard_map.lookahead, "{after:?} under {:?}", shard_map.lookahead);
            }
        }
    }
}
