//! The same scenario in simnet's `message` fidelity, measured in the same way.

use bombyx_protocol::time::{Span, Time};
use bombyx_simnet::kernel::{Draws, Purpose};
use bombyx_simnet::network::{Kademlia, Links, Transit, are_connected};
use bombyx_simnet::results::Report;
use bombyx_simnet::scenario::{Regions, Scenario};
use bombyx_simnet::workload::population::hosts;
use bombyx_simnet::world::{InvariantError, World};
use sha2::{Digest as _, Sha256};

use crate::cpu_s;
use crate::run::{LOOKUPS, peer_of};
use crate::samples::{Connections, LookupSample, Samples};

/// Bytes of a handshake's flight, of a request to the hash table, and of an answer that names twenty nodes with their addresses.
const HANDSHAKE_BYTES: usize = 1_200;
const REQUEST_BYTES: usize = 120;
const ANSWER_BYTES: usize = 1_600;

/// Runs a scenario in the `message` fidelity. The hosts that look things up have as many connections as those of the stack.
pub(crate) fn run(scenario: &Scenario, connections: Connections) -> Result<Samples, Box<InvariantError>> {
    let began = cpu_s();
    let mut world = World::new(scenario);
    world.probe_gossip(Samples::measured_from(scenario));
    world.run(|_| ())?;
    let report = Report::of(&world, cpu_s() - began);
    Ok(Samples::of(&world, &report, look_up(scenario, connections.before_lookups), connections))
}

/// Returns the lookups that the stack fidelity does, by the model of the hash table.
fn look_up(scenario: &Scenario, connections: f64) -> Vec<LookupSample> {
    let draws = Draws::new(scenario.seed);
    let hosts = hosts(scenario, &draws);
    let network = &scenario.network;
    let links = Links::new(&Regions::shipped(), network, Vec::new());
    let places = (0u32..)
        .zip(&hosts)
        .filter_map(|(number, host)| Some((number, place(&peer_of(host.node)?.to_bytes()))));
    let table = Kademlia::new(places, draws);
    let share = connections / hosts.len().saturating_sub(1).max(1) as f64;
    let mut passages = 0;
    let mut one_way = |from: u32, to: u32, bytes: usize| {
        passages += 1;
        let (source, target) = (hosts[from as usize].location, hosts[to as usize].location);
        let fate = draws.bits(Purpose::Transit, &[u64::from(from), u64::from(to), passages]);
        match links.transit(Time(0), source, target, bytes, fate) {
            Transit::Arrives(span) | Transit::Twice(span, _) => span.0,
            Transit::Lost | Transit::Cut => 0,
        }
    };
    (0..LOOKUPS)
        .map(|number| {
            let key = draws.seed32(Purpose::LookupKey, &[u64::from(number)]);
            let lookup = table.look_up(number % hosts.len() as u32, place(&key), |from, to| {
                let mut took = one_way(from, to, REQUEST_BYTES) + one_way(to, from, ANSWER_BYTES);
                if !are_connected(&draws, share, from, to) {
                    took += one_way(from, to, HANDSHAKE_BYTES) + one_way(to, from, HANDSHAKE_BYTES);
                }
                Span(took)
            });
            LookupSample { requests: u64::from(lookup.requests), ms: lookup.took.0 as f64 / 1e3 }
        })
        .collect()
}

/// Returns where Kademlia puts a key or a node: the beginning of its SHA-256.
fn place(bytes: &[u8]) -> u64 {
    Sha256::digest(bytes).iter().take(8).fold(0, |place, byte| place << 8 | u64::from(*byte))
}
