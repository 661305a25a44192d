//! Messages that travel outside of the world: another fidelity carries them over a network of its own and brings them back.
//!
//! Everything else stays in here: machines, disks, engines, the ledger, orders and invariants. The carrier owns the
//! clock. It lets the world run up to the present, takes the parcels that it left, and delivers what arrives.

use bombyx_protocol::ident::Prefix;
use bombyx_protocol::io::Input;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Gossip, Message};

use crate::check::Violation;
use crate::kernel::Key;
use crate::network::Kind;
use crate::scenario::Scenario;
use crate::world::parcel::{Inbound, Parcel};
use crate::world::shard::Shard;
use crate::world::{InvariantError, World};

impl World {
    /// Returns a world whose messages are left as parcels.
    #[must_use]
    pub fn carried_outside(scenario: &Scenario) -> Self {
        let mut world = Self::new(scenario);
        world.shards.iter_mut().for_each(|shard| shard.parcels = Some(Vec::new()));
        world
    }

    /// Returns what waits to be carried, in the order in which it was given away.
    pub fn parcels(&mut self) -> Vec<Parcel> {
        self.shards.iter_mut().filter_map(|shard| shard.parcels.as_mut()).flat_map(std::mem::take).collect()
    }

    /// Returns when the next event is due.
    pub fn next_at(&mut self) -> Option<Time> {
        Some(self.next_event()).filter(|next| *next < Time::NEVER)
    }

    /// Processes everything that is due by `now`. Returns whether the world is over.
    ///
    /// # Errors
    /// [`InvariantError`] at the first broken invariant.
    pub fn run_until(&mut self, now: Time) -> Result<bool, Box<InvariantError>> {
        self.run_before(now + Span(1))
    }

    /// Hands a host what arrives at it now; `now` is not before anything that was processed.
    ///
    /// # Errors
    /// [`InvariantError`] when it breaks an invariant; bytes that are no message break one.
    pub fn bring(&mut self, now: Time, inbound: Inbound) -> Result<(), Box<InvariantError>> {
        let at = self.environment.shard_map.shard(inbound.receiver());
        self.shards[at].accept(now.max(self.now), inbound);
        // More may happen at this very moment.
        self.exchange(now).map_err(|violation| self.stopped(violation))
    }

    /// Counts a copy that its receiver had already.
    pub fn duplicate(&mut self, bytes: &[u8]) {
        let Some(shard) = self.shards.first_mut() else { return };
        shard.counts.hops.duplicate += 1;
        if let Ok(gossip) = codec::decode_gossip::<Gossip>(bytes) {
            shard.counts.sent(Kind::of_gossip(&gossip), 1, bytes.len() as u64);
        }
    }
}

impl Shard {
    fn accept(&mut self, now: Time, inbound: Inbound) {
        let (dst, src, id) = (inbound.receiver(), inbound.other(), self.trace.events);
        self.begin(&Key { at: now, kind: u8::MAX, dst, src, id });
        let done = self.open(inbound);
        self.judge(done);
    }

    fn open(&mut self, inbound: Inbound) -> Result<(), Violation> {
        match inbound {
            Inbound::Direct { from, to, bytes } => {
                let message: Message = codec::decode(&bytes).map_err(garbled)?;
                let prefix = self.environment.prefix(from);
                let from = self.environment.nodes[from as usize];
                self.feed(to, Input::Received { from, prefix, message })
            }
            Inbound::Gossip { at, bytes } => {
                let gossip: Gossip = codec::decode_gossip(&bytes).map_err(garbled)?;
                self.counts.hops.first += 1;
                self.counts.sent(Kind::of_gossip(&gossip), 1, bytes.len() as u64);
                if let Some(probe) = &mut self.probe {
                    probe.recognise(self.now, &bytes);
                }
                // The node's shell judges it before it is passed on: what is false ends there.
                let Ok(gossip) = gossip.open() else { return Ok(()) };
                let author = self.environment.addresses.get(&gossip.author()).copied();
                let prefix = author.map_or(Prefix::UNKNOWN, |author| self.environment.prefix(author));
                self.feed(at, Input::Gossip { prefix, gossip })
            }
            Inbound::Undelivered { from, to } => {
                let to = self.environment.nodes[to as usize];
                self.feed(from, Input::Undelivered { to })
            }
        }
    }
}

fn garbled(error: codec::DecodeError) -> Violation {
    Violation { invariant: "what is carried arrives whole", detail: error.to_string() }
}
