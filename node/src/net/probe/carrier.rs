//! The swarm under a probe: identify, ping, gossip and streams with one peer, and with nobody else.

use futures::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Multiaddr;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{self, NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, Swarm, allow_block_list, gossipsub, identify, ping};
use libp2p_stream::Control;
use tokio::sync::{mpsc, watch};

use super::super::behaviour::network_version;
use super::super::gossip::{self, Gossip};
use super::super::scope::Scope;
use super::super::{internet, limits};
use super::told::{Command, Heard, Identified, ProbeError, Standing};

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    allowed: allow_block_list::Behaviour<allow_block_list::AllowedPeers>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    gossip: Gossip,
    stream: libp2p_stream::Behaviour,
}

/// The swarm's task.
pub(super) struct Carrier {
    swarm: Swarm<Behaviour>,
    peer: PeerId,
    standing: watch::Sender<Standing>,
    said: mpsc::Sender<Heard>,
}

impl Carrier {
    /// Makes a swarm for an identity, and begins to dial the peer.
    pub(super) fn dial(
        keypair: &Keypair,
        network: &str,
        (peer, address): (PeerId, Multiaddr),
        standing: watch::Sender<Standing>,
        said: mpsc::Sender<Heard>,
    ) -> Result<(Self, Control), ProbeError> {
        let mut allowed = allow_block_list::Behaviour::default();
        allowed.allow_peer(peer);
        let behaviour = Behaviour {
            allowed,
            identify: identify::Behaviour::new(
                identify::Config::new(network_version(network), keypair.public())
                    .with_agent_version(concat!("bombyx-conform/", env!("CARGO_PKG_VERSION")).to_owned()),
            ),
            ping: ping::Behaviour::default(),
            gossip: gossip::build(network, Scope::Private)?,
            stream: libp2p_stream::Behaviour::new(),
        };
        let control = behaviour.stream.new_control();
        let settings = swarm::Config::with_tokio_executor().with_idle_connection_timeout(limits::BLOCK_TIME);
        let own = keypair.public().to_peer_id();
        let mut swarm = Swarm::new(internet::transport(keypair)?, behaviour, own, settings);
        let dial = DialOpts::peer_id(peer).addresses(vec![address]).build();
        swarm.dial(dial).map_err(|why| ProbeError::Unreachable(why.to_string()))?;
        Ok((Self { swarm, peer, standing, said }, control))
    }

    /// Carries until the probe is dropped.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                event = self.swarm.select_next_some() => self.on_event(event).await,
            }
        }
        // It may be gone already.
        let _ = self.swarm.disconnect_peer_id(self.peer);
        let closing = async {
            while !matches!(self.swarm.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {}
        };
        let _ = tokio::time::timeout(limits::FAREWELL, closing).await;
    }

    fn on_command(&mut self, command: Command) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        let topic = |name: String| gossipsub::IdentTopic::new(name);
        // What cannot be said or followed is not heard either, and that is what is looked at.
        match command {
            Command::Subscribe(name) => drop(gossip.subscribe(&topic(name))),
            Command::Publish { topic: name, bytes } => drop(gossip.publish(topic(name), bytes)),
        }
    }

    async fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        if let SwarmEvent::Behaviour(event) = event {
            match event {
                BehaviourEvent::Identify(identify::Event::Received { info, .. }) => self.on_identified(&info),
                BehaviourEvent::Gossip(event) => self.on_gossip(event).await,
                BehaviourEvent::Identify(_) | BehaviourEvent::Ping(_) | BehaviourEvent::Stream(()) => {}
            }
        } else if let SwarmEvent::ConnectionClosed { cause, num_established: 0, .. } = event {
            let why = cause.map_or_else(|| "by the node".to_owned(), |why| why.to_string());
            self.standing.send_modify(|standing| standing.closed = Some(why));
        } else if let SwarmEvent::OutgoingConnectionError { error, .. } = event {
            self.standing.send_modify(|standing| standing.closed = Some(error.to_string()));
        }
    }

    fn on_identified(&self, info: &identify::Info) {
        let printable = |text: &str| text.chars().filter(|c| !c.is_control()).take(128).collect();
        let protocols = info.protocols.iter().map(|name| printable(name.as_ref())).collect();
        let said = Identified { version: printable(&info.protocol_version), protocols };
        self.standing.send_modify(|standing| standing.identified = Some(said));
    }

    async fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Subscribed { topic, .. } => {
                self.standing.send_modify(|standing| {
                    standing.topics.insert(topic.to_string());
                });
            }
            gossipsub::Event::Unsubscribed { topic, .. } => {
                self.standing.send_modify(|standing| {
                    standing.topics.remove(topic.as_str());
                });
            }
            gossipsub::Event::Message { message, .. } => {
                let heard = Heard::Gossip { topic: message.topic.to_string(), bytes: message.data };
                // Nobody listens any more where this fails.
                let _ = self.said.send(heard).await;
            }
            gossipsub::Event::GossipsubNotSupported { .. } | gossipsub::Event::SlowPeer { .. } => {}
        }
    }
}
