//! The plain values at the joint between a node and its swarm: what the node asks, what the swarm tells, and why something
//! did not come about.

use std::collections::BTreeSet;

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::wire::message::VerifiedGossip;

/// What the node asks of the swarm.
#[derive(Debug, Clone)]
pub enum NetCommand {
    /// Send `bytes` (at most `bombyx_protocol::limits::FRAME_BYTES_MAX`) to one node, which is found and dialled
    /// when it is not connected.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Send `bytes` to one node over a connection that stands, or drop them. So a stranger's question makes this node dial
    /// nobody and look nothing up. (`NE-1`)
    Answer {
        /// The receiver.
        to: NodeId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Gossip `bytes` (at most [`super::limits::GOSSIP_BYTES_MAX`]) on a topic. No subscription is needed.
    Publish {
        /// The topic's short name.
        topic: String,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Listen to a topic: 1 to [`super::limits::TOPIC_BYTES_MAX`] characters of `a-z`, `A-Z`, `0-9`, `-`, `_`, `.`, `/`.
    Subscribe(String),
    /// Stop listening to a topic.
    Unsubscribe(String),
    /// Announce in the hash table that this node provides a model, and keep announcing it.
    Provide([u8; 32]),
    /// Stop announcing a model. Records already given out expire within [`super::limits::RECORD_TTL`].
    Withdraw([u8; 32]),
    /// Look up the providers of a model; answered by one [`NetEvent::Providers`].
    FindProviders([u8; 32]),
    /// Look up the providers of a model and connect to some of them, for a call that is about to be gossiped; answered by
    /// one [`NetEvent::Met`] within [`super::limits::MEET_PATIENCE`]. (`NE-1`)
    Meet([u8; 32]),
    /// Join through a further node: an address as those of `join`.
    Join(String),
    /// Find those that sell anything and connect to them by turns, for [`super::limits::SURVEY_LIFE`]: each is told of by one
    /// [`NetEvent::ProviderVisited`], and the end of the first round by [`NetEvent::Surveyed`], within
    /// [`super::limits::SURVEY_PATIENCE`]. (`NE-14`)
    Survey,
    /// Hand out a model's manifest from now on: its canonical JSON, at most [`super::limits::MANIFEST_BYTES_MAX`] bytes.
    ShowManifest {
        /// The model.
        model: [u8; 32],
        /// The manifest.
        json: Vec<u8>,
    },
    /// Ask a connected node for a model's manifest; answered by one [`NetEvent::Manifest`]. (`NE-15`)
    FetchManifest {
        /// The node.
        from: NodeId,
        /// The model.
        model: [u8; 32],
    },
    /// The nodes that have a channel with this one, from now on: what is kept for them, strangers cannot take. (`NE-2`)
    Befriend(BTreeSet<NodeId>),
    /// Hold a fault against a peer. Enough of them block it for [`super::limits::BLOCK_TIME`].
    Penalise {
        /// The peer.
        peer: NodeId,
        /// What it did.
        fault: Fault,
    },
}

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It announced a frame above the limit.
    OversizedFrame,
    /// Its message could not be decoded.
    Malformed,
    /// It sent more than a peer may, once.
    Flooding,
    /// It sent something signed wrongly.
    FalseSignature,
    /// It broke a rule of the protocol that an honest node keeps.
    RuleBroken,
}

/// What the swarm tells the node.
#[derive(Debug, Clone)]
pub enum NetEvent {
    /// This node listens on a further address: a full multiaddr with `/p2p/`, ready for another node's `join`.
    Listening(String),
    /// A first connection to this node exists, and it is of this network.
    Connected(NodeId),
    /// The last connection to this node is gone. Messages sent shortly before may be lost.
    Disconnected(NodeId),
    /// This node is part of the network: a node from `join` was reached and is of the same network.
    Joined {
        /// The node through which.
        via: NodeId,
    },
    /// A join address failed; it is tried again, ever more slowly, until one of them works.
    JoinFailed {
        /// The address as it was written.
        address: String,
        /// Why.
        why: JoinError,
    },
    /// A direct message. `from` is authenticated by the connection.
    Received {
        /// The sender.
        from: NodeId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A gossiped statement that was judged to be what it claims to be, and is forwarded. (`WI-11`)
    Gossip {
        /// The statement.
        gossip: VerifiedGossip,
        /// The message in which it came.
        bytes: Vec<u8>,
    },
    /// A direct message was not taken by its receiver.
    Undelivered {
        /// The receiver.
        to: NodeId,
        /// Why.
        why: DeliveryError,
    },
    /// A message could not be gossiped.
    Unpublished {
        /// The topic's short name.
        topic: String,
        /// Why.
        why: PublicationError,
    },
    /// A topic could not be subscribed to.
    Unsubscribable {
        /// The topic as it was named.
        topic: String,
    },
    /// The nodes found that provide a model, this one excluded; empty when none was found in time.
    Providers {
        /// The model.
        key: [u8; 32],
        /// Its providers, in no order of merit.
        nodes: Vec<NodeId>,
    },
    /// What a node sent for a model's manifest: nothing that has been checked, and nothing at all where none came.
    Manifest {
        /// The node.
        from: NodeId,
        /// The model.
        model: [u8; 32],
        /// What it sent.
        json: Vec<u8>,
    },
    /// A provider is connected, and can be asked what it offers.
    ProviderVisited(NodeId),
    /// All those that sell, as far as found, were told of.
    Surveyed,
    /// Providers of a model are connected, or none can be for now.
    Met {
        /// The model.
        key: [u8; 32],
        /// How many are connected that can hear a call.
        providers: usize,
    },
}

/// Why a join address failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// No connection came about.
    #[error("cannot connect: {0}; check that the node runs and that the address and port are right")]
    Unreachable(String),
    /// Another node answered.
    #[error("another node answers there, {found}; correct the part after /p2p/")]
    WrongNode {
        /// Its peer id.
        found: String,
    },
    /// The node is of another network.
    #[error("the node speaks {theirs:?}, not this network; check the network's name on both sides")]
    OtherNetwork {
        /// What it says it speaks.
        theirs: String,
    },
    /// The node closed the connection at once.
    #[error("the node closed the connection at once; it may be full, or may have blocked this node")]
    Closed,
    /// This node refuses to dial it, because the peer is blocked or too many dials are under way.
    #[error("the dial was refused on this side: {0}")]
    Refused(String),
}

/// Why a direct message was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The id is no ed25519 key, or is this node's own.
    #[error("the receiver's id is not the key of another node")]
    NotANode,
    /// Longer than a frame may be.
    #[error("the message is longer than a frame may be")]
    TooLong,
    /// The receiver is blocked for its faults.
    #[error("the receiver is blocked")]
    Blocked,
    /// No address of the receiver is known here or in the hash table.
    #[error("no address of the receiver is known")]
    NoAddress,
    /// No address of the receiver answers.
    #[error("no address of the receiver answers")]
    Unreachable,
    /// The receiver is not connected, and this node does not dial it for this.
    #[error("the receiver is not connected")]
    Unconnected,
    /// The stream to the receiver broke twice.
    #[error("the stream to the receiver broke twice")]
    Broken,
    /// The receiver did not take it in time.
    #[error("the receiver did not take it in time")]
    TimedOut,
    /// Too many messages wait for this receiver.
    #[error("too many messages wait for this receiver")]
    QueueFull,
    /// Too much waits for all receivers together.
    #[error("too much waits to be sent")]
    Busy,
}

/// Why a message was not gossiped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicationError {
    /// No peer listens to the topic, and none came within [`super::limits::UNHEARD_PATIENCE`].
    #[error("no peer listens to the topic")]
    NobodyListens,
    /// The topic's name is not usable.
    #[error("the topic's name is not usable")]
    BadTopic,
    /// Longer than [`super::limits::GOSSIP_BYTES_MAX`].
    #[error("the message is longer than gossip may be")]
    TooLong,
    /// The same bytes were gossiped on the same topic within the last two minutes.
    #[error("the same message was gossiped before")]
    Duplicate,
    /// The queues to all peers are full.
    #[error("too much waits to be gossiped")]
    Busy,
}

/// The state of the swarm at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetStatus {
    /// The connected nodes of this network.
    pub peers: BTreeSet<NodeId>,
    /// The addresses this node listens on, each with `/p2p/`.
    pub listening: BTreeSet<String>,
    /// Nodes in the routing table of the hash table.
    pub routes: usize,
    /// Gossiped messages dropped because events were read too slowly.
    pub gossip_dropped: u64,
    /// Gossiped messages dropped unread because more came than is looked at.
    pub gossip_refused: u64,
    /// Notices dropped because events were read too slowly.
    pub notices_dropped: u64,
    /// Answers dropped because their receiver was not connected.
    pub answers_dropped: u64,
}
