//! Links between hosts: how long a message takes from one place to another, and whether it arrives at all.
//!
//! One way takes half of the round trip between the two regions, the access delay of both ends, the time that the
//! sender's uplink needs for the bytes, and jitter. A lost packet is a delay, not a lost message: QUIC and TCP send it
//! again. Messages vanish or arrive twice only where a scenario asks for it, and across a partition.

use bombyx_protocol::time::{Span, Time};
use serde::Deserialize;

use crate::rng::{Draws, Purpose};
use crate::scenario::{Access, Faults, Jitter, Network};

/// Median round trips between 20 regions, with their source in the file.
const REGIONS: &str = include_str!("../data/region-latency-20.json");
/// One way within a region, in microseconds: the matrix has no figure for it.
const WITHIN_REGION_US: u64 = 500;
/// What a lost packet adds to the round trip until it is sent again: the peer's longest acknowledgement delay.
const ACK_DELAY_US: u64 = 25_000;

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
pub struct Place {
    /// Index into the regions.
    pub region: u8,
    /// Index into [`ACCESS_CLASSES`].
    pub access: u8,
    /// Behind a NAT: the region of the relay through which it can be reached.
    pub relay: Option<u8>,
}

/// Regions cut off from all others for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// When it begins.
    pub from: Time,
    /// When it is over.
    pub until: Time,
    /// The regions on one side, one bit each.
    pub regions: u32,
}

/// What becomes of one message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It arrives after this long.
    Arrives(Span),
    /// It arrives twice, after these.
    Twice(Span, Span),
    /// It vanishes, and nobody is told.
    Lost,
    /// No path leads there at the moment.
    Cut,
}

/// The region table as it lies in the data file.
#[derive(Debug, Clone, Deserialize)]
pub struct Regions {
    /// Where the figures come from.
    pub attribution: String,
    /// Short names.
    pub names: Vec<String>,
    /// Round trips in milliseconds.
    pub rtt_ms: Vec<Vec<u32>>,
}

impl Regions {
    /// The shipped table.
    #[must_use]
    pub fn shipped() -> Self {
        serde_json::from_str(REGIONS).expect("the table is compiled in and a test reads it")
    }

    /// The index of a region by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<u8> {
        self.names.iter().position(|known| known == name).and_then(|index| u8::try_from(index).ok())
    }
}

/// All links of a world.
#[derive(Debug, Clone)]
pub struct Links {
    one_way_us: Vec<Vec<u64>>,
    jitter: Jitter,
    faults: Faults,
    /// Share of pairs behind NATs that reach each other without a relay.
    punch_share: f64,
    partitions: Vec<Partition>,
}

/// Draws a place for a host.
#[must_use]
pub fn settle(regions: usize, access: &Access, nat_share: f64, draws: &Draws, host: u64) -> Place {
    let region = draws.below(regions as u64, Purpose::Region, &[host]);
    let access = draws.weighted(access.shares().into_iter(), Purpose::Access, &[host]);
    let relay = draws
        .happens(nat_share, Purpose::Nat, &[host])
        .then(|| u8::try_from(draws.below(regions as u64, Purpose::Nat, &[host, 1])).unwrap_or(0));
    Place { region: u8::try_from(region).unwrap_or(0), access: u8::try_from(access).unwrap_or(0), relay }
}

impl Links {
    /// The links of a scenario.
    #[must_use]
    pub fn new(regions: &Regions, network: &Network, partitions: Vec<Partition>) -> Self {
        let one_way_us = regions
            .rtt_ms
            .iter()
            .enumerate()
            .map(|(from, row)| {
                let one_way = |(to, rtt_ms): (usize, &u32)| {
                    if to == from { WITHIN_REGION_US } else { u64::from(*rtt_ms) * 500 }
                };
                row.iter().enumerate().map(one_way).collect()
            })
            .collect();
        Self {
            one_way_us,
            jitter: network.jitter,
            faults: network.faults,
            punch_share: network.punch_share,
            partitions,
        }
    }

    /// What becomes of a message of `bytes` that leaves now. `about` names it, sender and receiver first: equal names
    /// have equal fates.
    #[must_use]
    pub fn passage(
        &self,
        now: Time,
        from: Place,
        to: Place,
        bytes: usize,
        draws: &Draws,
        about: &[u64],
    ) -> Passage {
        if self.is_cut(now, from, to) {
            return Passage::Cut;
        }
        if draws.happens(self.faults.drop, Purpose::Drop, about) {
            return Passage::Lost;
        }
        let delay = self.delay(from, to, bytes, draws, about);
        if draws.happens(self.faults.duplicate, Purpose::Duplicate, about) {
            return Passage::Twice(delay, Span(delay.0 * 2));
        }
        Passage::Arrives(delay)
    }

    /// Whether a partition keeps the two apart.
    #[must_use]
    pub fn is_cut(&self, now: Time, from: Place, to: Place) -> bool {
        let side = |partition: &Partition, place: Place| partition.regions >> place.region & 1;
        self.partitions.iter().any(|partition| {
            (partition.from <= now && now < partition.until) && side(partition, from) != side(partition, to)
        })
    }

    /// One way for an empty message when nothing varies.
    #[must_use]
    pub fn undisturbed(&self, from: Place, to: Place) -> Span {
        let access = |place: Place| ACCESS_CLASSES[usize::from(place.access)].one_way_us;
        Span(self.one_way_us[usize::from(from.region)][usize::from(to.region)] + access(from) + access(to))
    }

    /// One way for an empty message of this pair: through a relay where both are behind NATs that no hole goes through.
    fn path(&self, from: Place, to: Place, draws: &Draws, about: &[u64]) -> Span {
        let direct = self.undisturbed(from, to);
        let (Some(relay), Some(other)) = (from.relay, to.relay) else { return direct };
        let (first, second) = (about.first().copied(), about.get(1).copied());
        let pair = [first.min(second).unwrap_or(0), first.max(second).unwrap_or(0)];
        if draws.happens(self.punch_share, Purpose::Punch, &pair) {
            return direct;
        }
        // Both directions go over the relay of the host with the lower number.
        let via = Place { region: if first < second { relay } else { other }, access: 0, relay: None };
        Span(self.undisturbed(from, via).0 + self.undisturbed(via, to).0)
    }

    fn delay(&self, from: Place, to: Place, bytes: usize, draws: &Draws, about: &[u64]) -> Span {
        let (up, down) = (ACCESS_CLASSES[usize::from(from.access)], ACCESS_CLASSES[usize::from(to.access)]);
        let path = self.path(from, to, draws, about).0;
        let sending = bytes as u64 * 8 / up.uplink_mbit;
        let variation = draws.lognormal(
            self.jitter.median_share * path as f64,
            self.jitter.sigma,
            Purpose::Jitter,
            about,
        );
        let mut delay = path + sending + variation as u64;
        if draws.happens(self.jitter.burst_probability, Purpose::Burst, about) {
            let range = self.jitter.burst_max_ms.saturating_sub(self.jitter.burst_min_ms) * 1_000 + 1;
            delay += self.jitter.burst_min_ms * 1_000
                + draws.below(range, Purpose::Burst, &[about, &[1]].concat());
        }
        if draws.happens(up.loss + down.loss, Purpose::Retransmit, about) {
            delay += path * 2 + ACK_DELAY_US;
        }
        Span(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(partitions: Vec<Partition>, faults: Faults) -> Links {
        Links::new(&Regions::shipped(), &Network { faults, ..Network::default() }, partitions)
    }

    fn place(region: u8, access: u8) -> Place {
        Place { region, access, relay: None }
    }

    #[test]
    fn the_shipped_table_is_square_and_symmetric_and_names_its_source() {
        let regions = Regions::shipped();
        assert_eq!(regions.names.len(), 20);
        for (from, row) in regions.rtt_ms.iter().enumerate() {
            assert_eq!(row.len(), 20);
            for (to, rtt) in row.iter().enumerate() {
                assert_eq!(*rtt, regions.rtt_ms[to][from]);
            }
        }
        assert!(regions.attribution.contains("CC BY 4.0"));
        assert_eq!(regions.find("WEU"), Some(7));
    }

    #[test]
    fn a_message_takes_the_matrix_the_access_and_the_uplink_and_a_little_more() {
        let links = links(vec![], Faults::default());
        let draws = Draws::new(1);
        // Virginia to Amsterdam: 84 ms there and back; cable to data centre; 20,000 bytes at 20 Mbit/s are 8 ms.
        let floor = 42_000 + 8_000 + 300 + 8_000;
        let mut delays: Vec<u64> =
            (0..1_000).map(|id| links.delay(place(0, 2), place(7, 0), 20_000, &draws, &[id]).0).collect();
        delays.sort_unstable();
        assert!(delays[0] > floor, "{} under {floor}", delays[0]);
        assert!(delays[500] < floor * 11 / 10, "half of all are within a tenth: {}", delays[500]);
        assert!(delays[999] > floor * 13 / 10, "a burst or a lost packet shows: {}", delays[999]);
    }

    #[test]
    fn a_partition_cuts_one_side_from_the_other_while_it_lasts() {
        let partition = Partition { from: Time(10), until: Time(20), regions: 0b1 };
        let links = links(vec![partition], Faults::default());
        let (inside, outside) = (place(0, 0), place(1, 0));
        assert!(links.is_cut(Time(10), inside, outside) && links.is_cut(Time(19), outside, inside));
        assert!(!links.is_cut(Time(15), inside, inside) && !links.is_cut(Time(15), outside, outside));
        assert!(!links.is_cut(Time(9), inside, outside) && !links.is_cut(Time(20), inside, outside));
    }

    #[test]
    fn messages_vanish_or_double_only_where_asked_for() {
        let draws = Draws::new(1);
        let count = |faults, wanted: fn(Passage) -> bool| {
            let links = links(vec![], faults);
            let passage = |id| links.passage(Time(0), place(0, 0), place(1, 0), 100, &draws, &[id]);
            (0..2_000).filter(|id| wanted(passage(*id))).count()
        };
        let lost = |passage| passage == Passage::Lost;
        let twice = |passage| matches!(passage, Passage::Twice(..));
        assert_eq!(count(Faults::default(), lost) + count(Faults::default(), twice), 0);
        assert!((150..250).contains(&count(Faults { drop: 0.1, ..Faults::default() }, lost)));
        assert!((150..250).contains(&count(Faults { duplicate: 0.1, ..Faults::default() }, twice)));
    }

    #[test]
    fn only_pairs_behind_nats_go_through_a_relay_and_only_some_of_them() {
        let network = Network { punch_share: 0.7, ..Network::default() };
        let links = Links::new(&Regions::shipped(), &network, vec![]);
        let draws = Draws::new(1);
        let public = place(0, 0);
        // Virginia and Iowa, over a relay in Sydney.
        let (here, there) =
            (Place { relay: Some(19), ..place(0, 0) }, Place { relay: Some(19), ..place(1, 0) });
        let direct = links.undisturbed(here, there);
        assert_eq!(links.path(here, public, &draws, &[1, 2]), links.undisturbed(here, public));
        let relayed =
            (0..1_000).filter(|pair| links.path(here, there, &draws, &[*pair, 2_000]) > direct).count();
        assert!((250..350).contains(&relayed), "{relayed}");
        for pair in 0..50 {
            let (way, back) =
                (links.path(here, there, &draws, &[pair, 99]), links.path(there, here, &draws, &[99, pair]));
            assert_eq!(way, back, "both directions share their fate");
        }
    }
}
