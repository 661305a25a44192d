//! The libp2p behaviours of a node, and the settings of the swarm that drives them.

use bombyx_protocol::ident::NodeId;
use libp2p::core::upgrade::Version;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{StreamProtocol, Swarm, allow_block_list, connection_limits, identify, identity, kad, ping};

use super::config::{NetConfig, NetError, Scope};
use super::gossip::{self, Gossip};
use super::{address, internet, limits};

/// Everything a node does on its connections.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) kad: kad::Behaviour<MemoryStore>,
    pub(super) gossip: Gossip,
    pub(super) stream: libp2p_stream::Behaviour,
}

/// What nodes of one network call themselves in identify.
pub(super) fn network_version(network: &str) -> String {
    format!("/bombyx/{network}/1")
}

/// The protocol name of one network's hash table.
pub(super) fn kad_protocol(network: &str) -> Result<StreamProtocol, NetError> {
    StreamProtocol::try_from_owned(format!("/bombyx/{network}/kad/1"))
        .map_err(|_| NetError::Network(network.to_owned()))
}

/// The identity key that a seed stands for, and its node id.
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
pub(super) fn build(config: &NetConfig, keypair: identity::Keypair) -> Result<Swarm<Behaviour>, NetError> {
    let behaviour = behaviour(config, &keypair)?;
    internet::swarm(keypair, behaviour, |settings| {
        settings
            // Half a round trip less on every fresh stream: the protocol is named along with the first bytes.
            .with_substream_upgrade_protocol_override(Version::V1Lazy)
            .with_smart_dial()
            .with_idle_connection_timeout(limits::CONNECTION_IDLE)
            .with_max_negotiating_inbound_streams(64)
    })
}

fn behaviour(config: &NetConfig, keypair: &identity::Keypair) -> Result<Behaviour, NetError> {
    let identify = identify::Config::new_with_signed_peer_record(network_version(&config.network), keypair)
        .with_agent_version(concat!("bombyx/", env!("CARGO_PKG_VERSION")).to_owned())
        // In public, inner addresses are of no use to others and tell them about this network.
        .with_hide_listen_addrs(config.scope == Scope::Public);
    Ok(Behaviour {
        limits: connection_limits::Behaviour::new(connection_limits(config.connections_high)),
        blocked: allow_block_list::Behaviour::default(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::default(),
        kad: kademlia(config, keypair)?,
        gossip: gossip::build(&config.network, config.scope)?,
        stream: libp2p_stream::Behaviour::new(),
    })
}

/// Hard limits far above the level to which idle connections are trimmed: libp2p only refuses, it never makes room,
/// and a network whose nodes sit at their hard limit shuts newcomers out.
fn connection_limits(high: usize) -> connection_limits::ConnectionLimits {
    let hard = u32::try_from(high.saturating_mul(8) / 3).unwrap_or(u32::MAX);
    connection_limits::ConnectionLimits::default()
        .with_max_established(Some(hard))
        .with_max_established_per_peer(Some(limits::CONNECTIONS_PER_PEER))
        .with_max_pending_incoming(Some(limits::PENDING_IN_MAX))
        .with_max_pending_outgoing(Some(limits::PENDING_OUT_MAX))
}

fn kademlia(
    config: &NetConfig,
    keypair: &identity::Keypair,
) -> Result<kad::Behaviour<MemoryStore>, NetError> {
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
    let store = MemoryStoreConfig {
        max_records: 0,
        max_value_bytes: 0,
        max_providers_per_key: limits::PROVIDERS_PER_KEY,
        max_provided_keys: limits::RECORDS_MAX,
    };
    let mut kad = kad::Behaviour::with_config(id, MemoryStore::with_config(id, store), settings);
    let serves = config.scope == Scope::Private || !config.external.is_empty();
    kad.set_mode(Some(if serves { kad::Mode::Server } else { kad::Mode::Client }));
    Ok(kad)
}
