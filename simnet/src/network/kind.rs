//! Kinds of messages.

use bombyx_protocol::wire::message::{Gossip, Message, ToClient, ToProvider};

/// Kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Copies of calls.
    Call,
    /// Copies of seeks.
    Seek,
    /// Asks: answers to seeks.
    Ask,
    /// Bids.
    Bid,
    /// Awards.
    Award,
    /// Awards taken.
    Accept,
    /// Awards, jobs or calls refused, and providers that leave.
    Refuse,
    /// Losers told.
    Release,
    /// Clients told that a provider leaves.
    Leaving,
    /// Sealed frames from clients: tasks, acknowledgements, vouchers.
    Upstream,
    /// Sealed frames from providers: chunks with receipts.
    Downstream,
}

/// All kinds, with their names in reports.
pub const KINDS: [(Kind, &str); 11] = [
    (Kind::Call, "call"),
    (Kind::Seek, "seek"),
    (Kind::Ask, "ask"),
    (Kind::Bid, "bid"),
    (Kind::Award, "award"),
    (Kind::Accept, "accept"),
    (Kind::Refuse, "refuse"),
    (Kind::Release, "release"),
    (Kind::Leaving, "leaving"),
    (Kind::Upstream, "upstream"),
    (Kind::Downstream, "downstream"),
];

impl Kind {
    /// Returns the kind of a direct message.
    #[must_use]
    pub const fn of(message: &Message) -> Self {
        match message {
            Message::ToProvider(ToProvider::Award(_) | ToProvider::KeptAward(_)) => Self::Award,
            Message::ToProvider(ToProvider::Sealed(_)) => Self::Upstream,
            Message::ToProvider(ToProvider::Release(_)) => Self::Release,
            Message::ToProvider(ToProvider::Seek(_)) => Self::Seek,
            Message::ToProvider(ToProvider::Call(_)) => Self::Call,
            Message::ToClient(ToClient::Bid(_)) => Self::Bid,
            Message::ToClient(ToClient::Accept(_)) => Self::Accept,
            Message::ToClient(ToClient::Refuse(_) | ToClient::Decline(_)) => Self::Refuse,
            Message::ToClient(ToClient::Sealed(_)) => Self::Downstream,
            Message::ToClient(ToClient::Ask(_)) => Self::Ask,
            Message::ToClient(ToClient::Leaving) => Self::Leaving,
        }
    }

    /// Returns the kind of a gossip message.
    #[must_use]
    pub const fn of_gossip(gossip: &Gossip) -> Self {
        match gossip {
            Gossip::Call(_) => Self::Call,
            Gossip::Seek(_) => Self::Seek,
        }
    }
}
