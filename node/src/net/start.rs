//! A node's swarm, started: its parts are made, its addresses bound, its loop set going.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use web_time::Instant;

use super::config::NetConfig;
use super::dial::Dialer;
use super::discover::Discovery;
use super::error::NetError;
use super::foreigners::Foreigners;
use super::friends::Friends;
use super::gossip::Topics;
use super::gossip_validator::GossipValidator;
use super::handle::NetHandle;
use super::join::Joins;
use super::joint::{NetEvent, NetStatus};
use super::listen::{self, bind};
use super::manifests::{self, Shelf};
use super::outbox::Outbox;
use super::penalty::Penalties;
use super::prefix::Prefixes;
use super::pump::Pumps;
use super::routes::Routes;
use super::streams::{self, InboundLimiter};
use super::swarm::SwarmLoop;
use super::{address, behaviour, limits};

/// Starts a node's swarm: binds its listen addresses, then joins in the background.
///
/// Returns when every listen address is bound, with the handle for commands and the queue of events, which must be
/// read: see the module's page on backpressure.
///
/// # Errors
/// [`NetError`] when the configuration is not usable or an address cannot be bound.
pub async fn start(mut config: NetConfig) -> Result<(NetHandle, mpsc::Receiver<NetEvent>), NetError> {
    config.check()?;
    let now = Instant::now();
    let (keypair, node) = behaviour::identity(&config.identity_seed)?;
    let joins = Joins::read(&config, keypair.public().to_peer_id(), now)?;
    let listen = listen::read_all("listen", &config.listen, address::read_listenable)?;
    let external = listen::read_all("external", &config.external, address::read_external)?;

    let (friends, limiter) = (Friends::default(), Arc::new(InboundLimiter::default()));
    let own = listen.iter().chain(&external).map(|(_, address)| address);
    let known = joins.known.in_turn();
    let dialled = joins.addresses().chain(known.iter().map(|(_, address)| address));
    config.scope = address::scope_of(config.scope, own.chain(dialled));
    let typed = joins.addresses().cloned().collect();
    let mut swarm = behaviour::build(&config, &keypair, typed, &friends, &limiter)?;
    let (events, events_out) = mpsc::channel(limits::EVENTS_MAX);
    let mut out = Outbox::new(events.clone());
    let mut status = NetStatus::default();
    for (_, address) in external {
        swarm.add_external_address(address);
    }
    bind(&mut swarm, listen, &mut status, &mut out).await?;

    let (commands_in, commands) = mpsc::channel(limits::COMMANDS_MAX);
    let (requests_in, requests) = mpsc::channel(limits::REQUESTS_MAX);
    let (status_in, status_out) = watch::channel(status.clone());
    let (stop_in, stop) = watch::channel(false);
    let (prefixes, known) = (Prefixes::default(), joins.known.published());
    let mut control = swarm.behaviour().stream.new_control();
    let incoming = control
        .accept(streams::MESSAGES)
        .map_err(|why| NetError::Setup { part: "direct messages", why: why.to_string() })?;
    let of_peers = (prefixes.clone(), friends.clone());
    let asked = control
        .accept(manifests::MANIFESTS)
        .map_err(|why| NetError::Setup { part: "manifests", why: why.to_string() })?;
    let shelf = Shelf::default();
    tokio::spawn(manifests::serve(asked, shelf.clone(), of_peers.clone()));
    tokio::spawn(streams::accept(
        incoming,
        events.clone(),
        requests_in.clone(),
        Arc::clone(&limiter),
        of_peers,
    ));

    let pumps = Pumps::new(node, control.clone(), events.clone(), requests_in, friends.clone());
    let direct = pumps.direct();
    let swarm_loop = SwarmLoop {
        connections_high: config.connections_high.max(8),
        shelf,
        fetches: Arc::new(Semaphore::new(limits::MANIFESTS_FETCHED_MAX)),
        control,
        pumps,
        direct: direct.clone(),
        dialer: Dialer::new(config.scope),
        topics: Topics::new(&config.network),
        discovery: Discovery::new(&config.network, config.announce_topics, now),
        gossip_validator: GossipValidator::new(prefixes.clone(), friends.clone(), events.clone()),
        penalties: Penalties::default(),
        foreigners: Foreigners::new(behaviour::network_version(&config.network)),
        routes: Routes::new(behaviour::kad_protocol(&config.network)?, prefixes.clone()),
        prefixes: prefixes.clone(),
        friends,
        limiter,
        joins,
        status,
        published: status_in,
        events,
        out,
    };
    tokio::spawn(swarm_loop.run(swarm, commands, requests, stop));
    let handle =
        NetHandle { node, commands: commands_in, direct, prefixes, known, status: status_out, stop: stop_in };
    Ok((handle, events_out))
}
