//! The same scenario in simnet's `message` tier, measured in the same way.

use bombyx_protocol::time::{Span, Time};
use bombyx_simnet::kademlia::Kademlia;
use bombyx_simnet::net::{Links, Passage, Regions};
use bombyx_simnet::population::hosts;
use bombyx_simnet::report::Report;
use bombyx_simnet::rng::{Draws, Purpose};
use bombyx_simnet::scenario::Scenario;
use bombyx_simnet::world::{Stopped, World};

use crate::cpu_s;
use crate::run::LOOKUPS;
use crate::samples::{Lookup, Samples};

/// Bytes of a handshake's flight, of a request to the hash table, and of an answer that names twenty nodes with their addresses.
const HANDSHAKE_BYTES: usize = 1_200;
const REQUEST_BYTES: usize = 120;
const ANSWER_BYTES: usize = 1_600;

/// Runs a scenario in the `message` tier.
pub(crate) fn run(scenario: &Scenario) -> Result<Samples, Box<Stopped>> {
    let began = cpu_s();
    let mut world = World::new(scenario);
    world.probe_gossip(Samples::settled(scenario));
    world.run(|_| ())?;
    let report = Report::of(&world, cpu_s() - began);
    Ok(Samples::of(&world, &report, look_up(scenario), None))
}

/// The lookups that the stack tier does, by the model of the hash table.
fn look_up(scenario: &Scenario) -> Vec<Lookup> {
    let draws = Draws::new(scenario.seed);
    let hosts = hosts(scenario, &draws);
    let network = &scenario.network;
    let links = Links::new(&Regions::shipped(), network.jitter, network.faults, Vec::new());
    let table = Kademlia::new((0u32..).zip(&hosts).map(|(number, host)| (number, host.node)), draws);
    let mut passages = 0;
    let mut one_way = |from: u32, to: u32, bytes: usize| {
        passages += 1;
        let (source, target) = (hosts[from as usize].place, hosts[to as usize].place);
        let about = [u64::from(from), u64::from(to), passages];
        match links.passage(Time(0), source, target, bytes, &draws, &about) {
            Passage::Arrives(span) | Passage::Twice(span, _) => span,
            Passage::Lost | Passage::Cut => Span(0),
        }
    };
    (0..LOOKUPS)
        .map(|number| {
            let key = draws.seed32(Purpose::LookupKey, &[u64::from(number)]);
            let lookup = table.look_up(number % hosts.len() as u32, &key, |from, to| {
                // In a settled network idle connections are closed: a handshake comes first.
                let handshake = one_way(from, to, HANDSHAKE_BYTES).0 + one_way(to, from, HANDSHAKE_BYTES).0;
                Span(handshake + one_way(from, to, REQUEST_BYTES).0 + one_way(to, from, ANSWER_BYTES).0)
            });
            Lookup { requests: u64::from(lookup.requests), ms: lookup.took.0 as f64 / 1e3 }
        })
        .collect()
}
