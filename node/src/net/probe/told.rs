//! What a probe is told of its peer, and why something was not done.

use std::collections::BTreeSet;
use std::io;

use super::super::error::NetError;

/// What a peer has said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// Its network, in identify's protocol version.
    pub version: String,
    /// Protocols of streams that it offers.
    pub protocols: BTreeSet<String>,
}

/// What a connection is like at the moment.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Once the peer has said it.
    pub identified: Option<Identified>,
    /// Topics that it listens to, by their full names.
    pub topics: BTreeSet<String>,
    /// Why the connection stands no longer.
    pub closed: Option<String>,
}

/// What a peer says unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A frame on a stream of direct messages.
    Message(Vec<u8>),
    /// A frame longer than any may be was announced. (`WI-10`)
    Oversized(usize),
    /// A gossiped message.
    Gossip {
        /// The topic's full name.
        topic: String,
        /// What was said.
        bytes: Vec<u8>,
    },
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The configuration or the address.
    #[error(transparent)]
    Net(#[from] NetError),
    /// No connection came about.
    #[error("no connection to the node: {0}")]
    Unreachable(String),
    /// The peer ended it.
    #[error("the connection was closed: {0}")]
    Closed(String),
    /// The peer does not offer the protocol.
    #[error("the node does not offer {0}")]
    NotOffered(String),
    /// A stream broke, or nothing came.
    #[error("a stream broke: {0}")]
    Stream(#[from] io::Error),
}

/// What a probe has its swarm do.
pub(super) enum Command {
    /// Listens to a topic.
    Subscribe(String),
    /// Says something on a topic.
    Publish {
        /// Its full name.
        topic: String,
        /// Whatever it is.
        bytes: Vec<u8>,
    },
}
