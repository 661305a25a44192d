//! Everything about a world that never changes while it runs, or is known beforehand: all shards read it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::cost::CostSheet;
use bombyx_protocol::work::order::ModelId;

use crate::actors::{AttackPlan, WHOLE};
use crate::host::Host;
use crate::host::power::{Power, Switch};
use crate::kernel::Draws;
use crate::network::{Distances, Links, Location, Overlay, Partition};
use crate::scenario::{self, Regions, Scenario, model_id};
use crate::workload::Workload;
use crate::workload::population::followers;
use crate::world::directory::Directory;
use crate::world::shard_map::ShardMap;

/// The constants of a run, read by every shard.
pub(crate) struct Environment {
    pub(crate) scenario: Scenario,
    pub(crate) draws: Draws,
    pub(crate) links: Links,
    /// Location of each host.
    pub(crate) locations: Vec<Location>,
    /// Identity of each host.
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) addresses: Directory,
    pub(crate) topics: BTreeMap<ModelId, u32>,
    pub(crate) overlay: Overlay,
    /// By topic.
    pub(crate) distances: Vec<Distances>,
    pub(crate) workload: Workload,
    /// All gains and losses of power, in order.
    pub(crate) switches: Vec<Switch>,
    pub(crate) changes: Changes,
    /// Whether anyone ever keeps gossip back.
    pub(crate) may_keep: bool,
    pub(crate) shard_map: ShardMap,
    /// What hosts do instead of following the protocol.
    plans: BTreeMap<u32, AttackPlan>,
    /// The eclipses that are aimed at hosts.
    eclipsed: BTreeMap<u32, AttackPlan>,
    /// In whose network a host is, where it is not in one of its own.
    neighbours: BTreeMap<u32, u32>,
    /// The list price of every provider.
    prices: Vec<CostSheet>,
}

/// Moments at which forwarding changes: a flood that meets none of them can be solved at once.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// By topic, when members gain or lose power.
    power: Vec<Vec<Time>>,
    /// When partitions and free rides begin or end.
    shifts: BTreeSet<Time>,
}

impl Changes {
    fn new(overlay: &Overlay, switches: &[Switch], shifts: impl Iterator<Item = Time>) -> Self {
        let mut follows: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (topic, of) in overlay.topics.iter().enumerate() {
            of.members.iter().for_each(|host| follows.entry(*host).or_default().push(topic));
        }
        let mut power = vec![Vec::new(); overlay.topics.len()];
        for switch in switches {
            for topic in follows.get(&switch.host).into_iter().flatten() {
                power[*topic].push(switch.at);
            }
        }
        Self { power, shifts: shifts.collect() }
    }

    /// Returns whether anything changes in a topic after `now` until `end`.
    pub(crate) fn meet(&self, topic: u32, now: Time, end: Time) -> bool {
        let power = &self.power[topic as usize];
        let next = power.partition_point(|at| *at <= now);
        power.get(next).is_some_and(|at| *at <= end) || self.shifts.range(now..=end).next().is_some()
    }
}

impl Environment {
    /// Makes the environment of a scenario with these hosts, in at most so many shards.
    pub(crate) fn new(scenario: &Scenario, draws: Draws, hosts: &[Host], shards: NonZeroUsize) -> Self {
        let regions = Regions::shipped();
        let network = &scenario.network;
        let links = Links::new(&regions, network, partitions(scenario, &regions));
        let overlay = Overlay::new(followers(scenario, hosts), hosts.len(), network, &draws);
        let workload = Workload::new(scenario);
        let switches = Power::new(scenario, &draws, &regions, workload.last_order(&draws)).switches(hosts);
        let keepers = || scenario.attack.iter().filter(|attack| attack.kind.keeps_gossip() && !attack.honest);
        let keep_shifts = keepers().flat_map(|ride| [Some(ride.start_s), ride.stop_s]).flatten();
        let shifts = links.shifts().chain(keep_shifts.map(scenario::at));
        let plans_of = |plan: fn(&Host) -> Option<AttackPlan>| {
            (0u32..).zip(hosts).filter_map(|(number, host)| Some((number, plan(host)?))).collect()
        };
        let locations: Vec<Location> = hosts.iter().map(|host| host.location).collect();
        Self {
            changes: Changes::new(&overlay, &switches, shifts),
            distances: overlay.topics.iter().map(|topic| Distances::of(topic, &locations, &links)).collect(),
            locations,
            nodes: hosts.iter().map(|host| host.node).collect(),
            addresses: Directory::new(hosts.iter().map(|host| host.node)),
            topics: (0..scenario.population.models).map(|model| (model_id(model), model)).collect(),
            may_keep: keepers().next().is_some(),
            shard_map: ShardMap::new(hosts, &links, shards),
            plans: plans_of(|host| host.plan),
            eclipsed: plans_of(|host| host.eclipsed.as_deref().copied()),
            neighbours: neighbours(scenario, hosts),
            prices: hosts.iter().filter_map(|host| Some(host.offer()?.cost)).collect(),
            scenario: scenario.clone(),
            draws,
            links,
            overlay,
            workload,
            switches,
        }
    }

    /// Returns what a host does instead of following the protocol.
    pub(crate) fn plan(&self, host: u32) -> Option<AttackPlan> {
        self.plans.get(&host).copied()
    }

    /// Returns the eclipse that is aimed at a host.
    pub(crate) fn eclipse_of(&self, host: u32) -> Option<AttackPlan> {
        self.eclipsed.get(&host).copied()
    }

    /// Returns where a host's connections come from: every host is at home somewhere else, but for those that an attack has in
    /// few networks.
    pub(crate) fn prefix(&self, host: u32) -> Prefix {
        let home = self.neighbours.get(&host).copied().unwrap_or(host);
        let [_, a, b, c] = home.to_be_bytes();
        Prefix::of_ipv4([a, b, c, 0])
    }

    /// Returns the length of the whole answer to order `number`, which an odd client has longer or shorter.
    pub(crate) fn answer_tokens(&self, number: u64) -> u64 {
        let tokens = self.workload.answer_tokens(number, &self.draws);
        let plan = self.plan(self.workload.buyer(number, &self.draws)).filter(|plan| plan.is_real());
        plan.map_or(tokens, |plan| (tokens.saturating_mul(plan.answer_ppm) / WHOLE).max(1))
    }

    /// Returns whether a host sells.
    pub(crate) fn is_provider(&self, host: u32) -> bool {
        self.price(host).is_some()
    }

    /// Returns the list price of a provider.
    pub(crate) fn price(&self, host: u32) -> Option<&CostSheet> {
        // Clients come first, watchers last.
        self.prices.get(host.checked_sub(self.scenario.client_count())? as usize)
    }

    /// Returns a question to the ledger, a transaction or an answer takes this long one way.
    pub(crate) fn to_ledger(&self) -> Span {
        Span::from_ms(self.scenario.ledger.rpc_ms)
    }

    /// Returns nothing that happens in one shard or on the ledger is felt in another shard sooner.
    pub(crate) fn lookahead(&self) -> Span {
        self.shard_map.lookahead.min(self.to_ledger())
    }
}

/// Returns in whose network each host is whose attack has a number of them: by turns.
fn neighbours(scenario: &Scenario, hosts: &[Host]) -> BTreeMap<u32, u32> {
    let mut homes: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    let mut neighbours = BTreeMap::new();
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    for (number, host) in (0u32..).zip(hosts) {
        let Some(attack) = host.plan.map(|plan| plan.attack) else { continue };
        let Some(prefixes) = scenario.attack.get(attack).and_then(|spec| spec.prefixes) else { continue };
        let homes = homes.entry(attack).or_default();
        if homes.len() < prefixes as usize {
            homes.push(number);
        }
        let turn = seen.entry(attack).or_default();
        neighbours.insert(number, homes[*turn % homes.len()]);
        *turn += 1;
    }
    neighbours
}

fn partitions(scenario: &Scenario, regions: &Regions) -> Vec<Partition> {
    let one = |spec: &scenario::PartitionSpec| Partition {
        from: scenario::at(spec.from_s),
        until: scenario::at(spec.until_s),
        regions: spec
            .regions
            .iter()
            .filter_map(|name| regions.find(name))
            .fold(0, |bits, region| bits | 1 << region),
    };
    scenario.partition.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_meets_what_changes_after_it_began_and_nothing_else() {
        let shifts = BTreeSet::from([Time(100)]);
        let changes = Changes { power: vec![vec![Time(10), Time(20)], vec![]], shifts };
        let meet = |topic, now, end| changes.meet(topic, Time(now), Time(end));
        assert!(meet(0, 9, 10) && meet(0, 10, 20) && meet(0, 0, 50));
        assert!(!meet(0, 10, 19) && !meet(0, 20, 99) && !meet(1, 0, 99), "what is past is past");
        assert!(meet(1, 99, 100) && meet(0, 100, 101), "a shift at the very moment counts");
    }
}
