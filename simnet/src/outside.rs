//! Messages that travel outside of the world: another tier carries them over a network of its own and brings them back.
//!
//! Everything else stays in here: machines, disks, engines, the ledger, orders and invariants. The carrier owns the
//! clock. It lets the world run up to the present, takes the parcels that it left, and delivers what arrives.

use bombyx_protocol::io::Input;
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Gossip, Message};

use crate::check::Broken;
use crate::rng::fold;
use crate::scenario::Scenario;
use crate::world::{Stopped, World};

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
pub enum Delivery {
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

impl World {
    /// A world whose messages are left as parcels.
    #[must_use]
    pub fn carried_outside(scenario: &Scenario) -> Self {
        let mut world = Self::new(scenario);
        world.parcels = Some(Vec::new());
        world
    }

    /// What waits to be carried, in the order in which it was given away.
    pub fn parcels(&mut self) -> Vec<Parcel> {
        self.parcels.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// When the next event is due.
    pub fn next_at(&mut self) -> Option<Time> {
        self.queue.next_at()
    }

    /// Works off everything that is due by `now`. Whether the world is over.
    ///
    /// # Errors
    /// [`Stopped`] at the first broken invariant.
    pub fn run_until(&mut self, now: Time) -> Result<bool, Box<Stopped>> {
        while !self.is_over() && self.queue.next_at().is_some_and(|at| at <= now) {
            self.step()?;
        }
        Ok(self.is_over() || self.queue.is_empty())
    }

    /// Hands a host what arrives at it now; `now` is not before anything that was worked off.
    ///
    /// # Errors
    /// [`Stopped`] when it breaks an invariant; bytes that are no message break one.
    pub fn bring(&mut self, now: Time, delivery: Delivery) -> Result<(), Box<Stopped>> {
        self.now = self.now.max(now);
        self.events += 1;
        self.accept(delivery).map_err(|broken| self.stopped(broken))
    }

    fn accept(&mut self, delivery: Delivery) -> Result<(), Broken> {
        match delivery {
            Delivery::Direct { from, to, bytes } => {
                self.trace_arrival(to, from);
                let message: Message = codec::decode(&bytes).map_err(garbled)?;
                let from = self.hosts[from as usize].node;
                self.feed(to, Input::Received { from, message })
            }
            Delivery::Gossip { at, bytes } => {
                self.trace_arrival(at, at);
                let gossip: Gossip = codec::decode_gossip(&bytes).map_err(garbled)?;
                self.measures.hops.first += 1;
                self.measures.sent(crate::measure::Kind::of_gossip(&gossip), 1, bytes.len() as u64);
                self.heard(&bytes);
                self.feed(at, Input::Gossip(gossip))
            }
            Delivery::Undelivered { from, to } => {
                self.trace_arrival(from, to);
                let to = self.hosts[to as usize].node;
                self.feed(from, Input::Undelivered { to })
            }
        }
    }

    fn trace_arrival(&mut self, dst: u32, src: u32) {
        self.trace = fold(fold(self.trace, self.now.0), u64::from(dst) << 32 | u64::from(src));
    }

    /// Counts a copy that its receiver had already.
    pub fn duplicate(&mut self, bytes: &[u8]) {
        self.measures.hops.duplicate += 1;
        if let Ok(gossip) = codec::decode_gossip::<Gossip>(bytes) {
            self.measures.sent(crate::measure::Kind::of_gossip(&gossip), 1, bytes.len() as u64);
        }
    }
}

fn garbled(error: codec::DecodeError) -> Broken {
    Broken { invariant: "what is carried arrives whole", detail: error.to_string() }
}
