//! Nodes that are rude on the wire: libp2p without any of the rules above it.

use bombyx_node::conform::{Options, Outcome, run};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, StreamProtocol, Swarm, SwarmBuilder, identify, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};

/// What the node does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It is of another network than it is asked for.
    Foreign,
    /// It accepts streams of messages, and says nothing on them.
    Ungreeting,
    /// It goes on talking after the greeting.
    Talkative,
    /// It takes whatever comes, of whatever length.
    Patient,
    /// It sends away whoever says anything.
    Touchy,
}

/// Every manner, a check that must find it, what it says, and a rule that it names.
const MANNERS: [(Manner, &str, &str, &str); 8] = [
    (Manner::Foreign, "identify", "/bombyx/elsewhere", "WI-13"),
    (Manner::Ungreeting, "greeting", "no greeting", "WI-10"),
    (Manner::Talkative, "greeting", "more than one byte", "WI-10"),
    (Manner::Patient, "oversized", "is not closed", "WI-10"),
    (Manner::Patient, "malformed", "do not block", "WI-4"),
    (Manner::Patient, "other-network", "stays connected", "WI-13"),
    (Manner::Patient, "forwarding", "of another time is forwarded", "WI-18"),
    (Manner::Touchy, "malformed", "end the connection", "WI-4"),
];

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    gossip: gossipsub::Behaviour,
    stream: libp2p_stream::Behaviour,
}

impl Manner {
    fn swarm(self) -> Swarm<Behaviour> {
        let network = if self == Self::Foreign { "elsewhere" } else { "bombyx-dev" };
        let behaviour = |keypair: &Keypair| {
            let said = identify::Config::new(format!("/bombyx/{network}"), keypair.public());
            let gossip = gossipsub::ConfigBuilder::default()
                .validation_mode(ValidationMode::Anonymous)
                .message_id_fn(|message| gossipsub::MessageId::from(message.data.clone()))
                .heartbeat_interval(std::time::Duration::from_millis(300))
                .build()
                .unwrap();
            let mut gossip = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, gossip).unwrap();
            gossip.subscribe(&IdentTopic::new("bombyx/bombyx-dev/market")).unwrap();
            let identify = identify::Behaviour::new(said);
            Behaviour { identify, gossip, stream: libp2p_stream::Behaviour::new() }
        };
        SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(behaviour)
            .unwrap()
            .with_swarm_config(|config| {
                config.with_idle_connection_timeout(std::time::Duration::from_secs(60))
            })
            .build()
    }

    /// Runs such a node, and returns its address.
    async fn start(self) -> String {
        let mut swarm = self.swarm();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let mut incoming =
            swarm.behaviour().stream.new_control().accept(StreamProtocol::new("/bombyx/msg/1")).unwrap();
        let (told, address) = oneshot::channel();
        let (annoyed, mut unwelcome) = mpsc::channel::<PeerId>(16);
        tokio::spawn(async move {
            let mut told = Some(told);
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => if let SwarmEvent::NewListenAddr { address, .. } = event
                        && let Some(told) = told.take()
                    {
                        told.send(format!("{address}/p2p/{}", swarm.local_peer_id())).unwrap();
                    },
                    Some(peer) = unwelcome.recv() => drop(swarm.disconnect_peer_id(peer)),
                }
            }
        });
        tokio::spawn(async move {
            while let Some((peer, stream)) = incoming.next().await {
                tokio::spawn(self.serve(peer, stream, annoyed.clone()));
            }
        });
        address.await.unwrap()
    }

    async fn serve(self, peer: PeerId, mut stream: libp2p::Stream, annoyed: mpsc::Sender<PeerId>) {
        let greeting: &[u8] = match self {
            Self::Ungreeting => &[],
            Self::Talkative => &[1, 1],
            Self::Foreign | Self::Patient | Self::Touchy => &[1],
        };
        let _ = stream.write_all(greeting).await;
        let _ = stream.flush().await;
        let mut bytes = [0; 4_096];
        while let Ok(1..) = stream.read(&mut bytes).await {
            if self == Self::Touchy {
                let _ = annoyed.send(peer).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rudeness_on_the_wire_is_found_and_the_broken_rule_is_named() {
    for (number, (manner, name, words, rule)) in (1..).zip(MANNERS) {
        let options = Options {
            network: "bombyx-dev".into(),
            address: manner.start().await,
            model: None,
            only: vec![name.to_owned()],
            seed: [200 + number; 32],
        };
        let found = run(options, |_| {}).await.unwrap();
        let [report] = &found.checks[..] else { panic!("one check") };
        let Outcome::Fail(why) = &report.outcome else {
            panic!("{manner:?} is not found: {:?}", report.outcome)
        };
        assert!(why.contains(words), "{manner:?}: {name}: {why}");
        assert!(report.rules.contains(&rule), "{manner:?}: {:?}", report.rules);
    }
}
