//! What a world gives to another fidelity to be carried, and what it gets back.

/// What a host gave away to be carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parcel {
    /// A message to one host.
    Direct {
        /// The sender.
        from: u32,
        /// The receiver.
        to: u32,
        /// The encoded message.
        bytes: Vec<u8>,
    },
    /// Gossip on a model's topic.
    Gossip {
        /// The publisher.
        from: u32,
        /// The number of the model.
        model: u32,
        /// The encoded message.
        bytes: Vec<u8>,
    },
}

/// What arrives at a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// A message from one host.
    Direct {
        /// The sender.
        from: u32,
        /// The receiver.
        to: u32,
        /// The encoded message.
        bytes: Vec<u8>,
    },
    /// A first copy of gossip.
    Gossip {
        /// The host that heard it.
        at: u32,
        /// The encoded message.
        bytes: Vec<u8>,
    },
    /// A message could not be delivered.
    Undelivered {
        /// The sender.
        from: u32,
        /// The host that it was for.
        to: u32,
    },
}

impl Inbound {
    /// Returns the host at which it arrives.
    pub(crate) const fn receiver(&self) -> u32 {
        match self {
            Self::Direct { to: host, .. }
            | Self::Gossip { at: host, .. }
            | Self::Undelivered { from: host, .. } => *host,
        }
    }

    /// Returns the host that it has come from or not gone to.
    pub(crate) const fn other(&self) -> u32 {
        match self {
            Self::Direct { from: host, .. }
            | Self::Gossip { at: host, .. }
            | Self::Undelivered { to: host, .. } => *host,
        }
    }
}
