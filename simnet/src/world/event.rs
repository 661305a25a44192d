//! What happens in a world, and the order in which it happens at one instant.

use std::sync::Arc;

use bombyx_protocol::channel::ledger::LedgerEvent;
use bombyx_protocol::channel::watch::WatchedVoucher;
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::message::Message;
use bombyx_protocol::work::order::JobId;

use crate::kernel::Key;
use crate::network::Flood;

/// The ledger and the world itself, where an event comes from a host that is none.
pub(crate) const LEDGER: u32 = u32::MAX - 1;
const WORLD: u32 = u32::MAX;

/// What happens to a host. The variants are in the order in which they happen at one instant.
pub(crate) enum Event {
    /// It loses power.
    Crash,
    /// It has power again.
    Restart,
    /// The ledger's answer arrives.
    LedgerNews(Box<LedgerEvent>),
    /// A disk commit of this life of the host is complete.
    Committed(u32),
    /// Its engine has something to say.
    Engine(Box<(JobId, u64)>),
    /// A direct message arrives.
    Message(Box<Message>),
    /// A copy of a gossip message arrives at this member of its topic, after this many hops.
    Hop(Arc<Flood>, u32, u8),
    /// A message could not be delivered to this host.
    Undelivered(u32),
    /// It is given the order with this number.
    Order(u32),
    /// The end: both sides are told to settle.
    Settle,
    /// A voucher is handed to a watcher.
    Watch(Box<WatchedVoucher>),
}

/// The rank of a host's tick: after everything else of its instant, so that nothing is asked for again that has just arrived.
const TICK: u8 = 11;

/// Returns where a host's tick belongs.
pub(crate) const fn tick(at: Time, host: u32) -> Key {
    Key { at, kind: TICK, dst: host, src: host, id: 0 }
}

impl Event {
    const fn rank(&self) -> u8 {
        match self {
            Self::Crash => 0,
            Self::Restart => 1,
            Self::LedgerNews(_) => 2,
            Self::Committed(_) => 3,
            Self::Engine(_) => 4,
            Self::Message(_) => 5,
            Self::Hop(..) => 6,
            Self::Undelivered(_) => 7,
            Self::Order(_) => 8,
            Self::Settle => 9,
            Self::Watch(_) => 10,
        }
    }

    /// Returns where this event belongs that `src` causes at `dst`, its `id`-th.
    pub(crate) const fn key(&self, at: Time, dst: u32, src: u32, id: u64) -> Key {
        Key { at, kind: self.rank(), dst, src, id }
    }

    /// Returns where this event belongs that the world itself causes; `id` tells it from others of
    /// its kind.
    pub(crate) const fn key_of_world(&self, at: Time, dst: u32, id: u64) -> Key {
        self.key(at, dst, WORLD, id)
    }
}
