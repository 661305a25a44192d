//! Where a host is and how it is connected.

use bombyx_protocol::time::Span;

use crate::kernel::{Draws, Purpose};
use crate::scenario::Access;

/// How a host is connected to its region.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccessClass {
    /// Its name in scenarios.
    pub name: &'static str,
    /// Uplink in megabits a second.
    pub uplink_mbit: u64,
    /// One way to the region's backbone, in microseconds.
    pub one_way_us: u64,
    /// Probability that a message loses a packet on this access.
    pub loss: f64,
}

/// The access classes, in the order of [`Access`]'s shares.
pub const ACCESS_CLASSES: [AccessClass; 5] = [
    AccessClass { name: "dc", uplink_mbit: 1_000, one_way_us: 300, loss: 0.0001 },
    AccessClass { name: "fibre", uplink_mbit: 300, one_way_us: 4_000, loss: 0.0005 },
    AccessClass { name: "cable", uplink_mbit: 20, one_way_us: 8_000, loss: 0.001 },
    AccessClass { name: "dsl", uplink_mbit: 5, one_way_us: 15_000, loss: 0.003 },
    AccessClass { name: "lte", uplink_mbit: 15, one_way_us: 25_000, loss: 0.005 },
];

/// Where a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Index into the regions.
    pub region: u8,
    /// Index into [`ACCESS_CLASSES`].
    pub access: u8,
    /// Behind a NAT: the relay through which it can be reached.
    pub relay: Option<Relay>,
}

/// What a host behind a NAT has instead of a port that others can call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relay {
    /// Index into the regions.
    pub region: u8,
    /// Tells the hosts apart whose pairs share a fate.
    pub name: u32,
}

impl Location {
    /// Returns a number for each pair of region and access class.
    pub(super) fn code(self) -> usize {
        usize::from(self.region) * ACCESS_CLASSES.len() + usize::from(self.access)
    }
}

/// Draws a location for a host.
#[must_use]
pub fn locate(regions: usize, access: &Access, nat_share: f64, draws: &Draws, host: u64) -> Location {
    let region = draws.below(regions as u64, Purpose::Region, &[host]);
    let access = draws.weighted(access.shares().into_iter(), Purpose::Access, &[host]);
    let relay = draws.happens(nat_share, Purpose::Nat, &[host]).then(|| Relay {
        region: u8::try_from(draws.below(regions as u64, Purpose::Nat, &[host, 1])).unwrap_or(0),
        name: draws.bits(Purpose::Nat, &[host, 2]) as u32,
    });
    Location { region: u8::try_from(region).unwrap_or(0), access: u8::try_from(access).unwrap_or(0), relay }
}

/// Returns what a message takes on its sender's uplink.
pub(crate) fn sending(from: Location, bytes: usize) -> Span {
    Span(bytes as u64 * 8 / ACCESS_CLASSES[usize::from(from.access)].uplink_mbit)
}
