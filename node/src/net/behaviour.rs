//! The libp2p behaviours of a node, and the settings of the swarm that drives them.

use std::sync::Arc;

use bombyx_protocol::ident::NodeId;
use libp2p::swarm::{self, NetworkBehaviour};
use libp2p::{
    Multiaddr, StreamProtocol, Swarm, Transport as _, allow_block_list, identify, identity, kad, ping,
};

use super::config::NetConfig;
use super::dial_filter::FilteredTransport;
use super::door::Door;
use super::error::NetError;
use super::friends::Friends;
use super::gossip::{self, Gossip};
use super::market::providers_key;
use super::records::Records;
use super::scope::Scope;
use super::streams::InboundLimiter;
use super::table::Table;
use super::{address, internet, limits};

/// Everything a node does on its connections.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    /// Before the door: nobody is shown out for one who may not come in.
    pub(super) blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(super) door: Door,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) kad: Table,
    pub(super) gossip: Gossip,
    pub(super) stream: libp2p_stream::Behaviour,
}

/// Returns what nodes of one network call themselves in identify: the network alone, so that nodes of two versions stay
/// connected and agree on a version by the names of their streams. (`WI-13`)
pub(super) fn network_version(network: &str) -> String {
    format!("/bombyx/{network}")
}

/// Returns what a node calls its program in identify, with the number of its start at the end: by that its peers know at once
/// that it was killed and is back. (`NE-13`)
fn agent_version() -> String {
    format!("bombyx/{}/{:016x}", env!("CARGO_PKG_VERSION"), rand::random::<u64>())
}

/// Returns the number of a peer's start, if what it calls its program ends in one. (`NE-13`)
pub(super) fn start_of(agent_version: &str) -> Option<u64> {
    let (_, number) = agent_version.rsplit_once('/')?;
    let is_number = number.len() == 16 && number.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(number, 16).ok().filter(|_| is_number)
}

/// Returns the protocol name of one network's hash table.
pub(super) fn kad_protocol(network: &str) -> Result<StreamProtocol, NetError> {
    StreamProtocol::try_from_owned(format!("/bombyx/{network}/kad/1"))
        .map_err(|_| NetError::Network(network.to_owned()))
}

/// Returns the identity key that a seed stands for, and its node id.
pub(super) fn identity(seed: &[u8; 32]) -> Result<(identity::Keypair, NodeId), NetError> {
    let refused = |why: String| NetError::Setup { part: "the identity", why };
    let mut seed = zeroize::Zeroizing::new(*seed);
    let keypair =
        identity::Keypair::ed25519_from_bytes(&mut seed[..]).map_err(|why| refused(why.to_string()))?;
    let node = address::node_of(&keypair.public().to_peer_id())
        .ok_or_else(|| refused("the key is not an ed25519 key".to_owned()))?;
    Ok((keypair, node))
}

/// Builds the swarm; nothing listens or dials yet.
///
/// Of the addresses that other nodes name it dials only usable ones, and any of `typed`.
pub(super) fn build(
    config: &NetConfig,
    keypair: &identity::Keypair,
    typed: Vec<Multiaddr>,
    friends: &Friends,
    limiter: &Arc<InboundLimiter>,
) -> Result<Swarm<Behaviour>, NetError> {
    let behaviour = behaviour(config, keypair, friends, limiter)?;
    let transport = FilteredTransport::new(internet::transport(keypair)?, config.scope, typed).boxed();
    // Protocols are negotiated before the first bytes and not along with them: over QUIC a record for the hash table,
    // which nobody answers, would never arrive. (`NE-6`)
    let settings = swarm::Config::with_tokio_executor()
        .with_smart_dial()
        .with_idle_connection_timeout(limits::CONNECTION_IDLE)
        .with_max_negotiating_inbound_streams(64);
    Ok(Swarm::new(transport, behaviour, keypair.public().to_peer_id(), settings))
}

fn behaviour(
    config: &NetConfig,
    keypair: &identity::Keypair,
    friends: &Friends,
    limiter: &Arc<InboundLimiter>,
) -> Result<Behaviour, NetError> {
    // Far above the level to which silent connections are trimmed: a network whose nodes sit at their hard limit
    // serves newcomers only by turns.
    let strangers_max = config.connections_high.saturating_mul(8) / 3;
    let identify = identify::Config::new_with_signed_peer_record(network_version(&config.network), keypair)
        .with_agent_version(agent_version())
        // In public, inner addresses are of no use to others and tell them about this network.
        .with_hide_listen_addrs(config.scope == Scope::Public);
    Ok(Behaviour {
        blocked: allow_block_list::Behaviour::default(),
        door: Door::new(strangers_max, friends.clone(), Arc::clone(limiter)),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::default(),
        kad: kademlia(config, keypair)?,
        gossip: gossip::build(&config.network, config.scope)?,
        stream: libp2p_stream::Behaviour::new(),
    })
}

fn kademlia(config: &NetConfig, keypair: &identity::Keypair) -> Result<Table, NetError> {
    let mut settings = kad::Config::new(kad_protocol(&config.network)?);
    settings
        // Strangers' records are stored after our own checks alone, and only peers whose address was checked
        // enter the routing table.
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_query_timeout(limits::QUERY_DEADLINE)
        .set_provider_record_ttl(Some(limits::RECORD_TTL))
        // Announcing and refreshing are duties of `discover`, which spreads them in time.
        .set_provider_publication_interval(None)
        .set_periodic_bootstrap_interval(None)
        .set_max_packet_size(32 * 1024);
    let id = keypair.public().to_peer_id();
    let mut kad =
        kad::Behaviour::with_config(id, Records::new(id, &providers_key(&config.network)), settings);
    let is_reachable = config.scope == Scope::Private || !config.external.is_empty();
    let serves = config.serves_table && is_reachable;
    kad.set_mode(Some(if serves { kad::Mode::Server } else { kad::Mode::Client }));
    Ok(Table::new(kad, config.scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (`NE-13`)
    #[test]
    fn each_start_has_a_number_and_other_programs_need_none() {
        let (first, second) = (start_of(&agent_version()), start_of(&agent_version()));
        assert!(first.is_some() && second.is_some() && first != second);
        for other in
            ["", "bombyx/0.1.0", "bombyx/0.1.0/", "a/b/+00000000000000f", "a/b/123", "x/00000000000000000f"]
        {
            assert_eq!(start_of(other), None, "{other}");
        }
        assert_eq!(start_of("anything/00000000000000ff"), Some(255));
    }
}
