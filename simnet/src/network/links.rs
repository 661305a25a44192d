//! Links between hosts: how long a message takes from one location to another, and whether it arrives at all.
//!
//! One way takes half of the round trip between the two regions, the access delay of both ends, the time that the
//! sender's uplink needs for the bytes, and jitter. A lost packet is a delay, not a lost message: QUIC and TCP send it
//! again. Messages vanish or arrive twice only where a scenario asks for it, and across a partition.

use bombyx_protocol::time::{Span, Time};

use crate::kernel::{Purpose, fold, unit};
use crate::network::location::{ACCESS_CLASSES, Location, sending};
use crate::scenario::{Faults, Jitter, Network, Regions};

/// One way within a region, in microseconds: the matrix has no figure for it.
const WITHIN_REGION_US: u64 = 500;
/// What a lost packet adds to the round trip until it is sent again: the peer's longest acknowledgement delay.
const ACK_DELAY_US: u64 = 25_000;

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
pub enum Transit {
    /// It arrives after this long.
    Arrives(Span),
    /// It arrives twice, after these.
    Twice(Span, Span),
    /// It vanishes, and nobody is told.
    Lost,
    /// No path leads there at the moment.
    Cut,
}

/// All links of a world.
#[derive(Debug, Clone)]
pub struct Links {
    /// One way for an empty message when nothing varies, in microseconds, by the codes of both locations.
    one_way_us: Vec<u32>,
    locations: usize,
    /// Delay variation by quantile, in 65,536ths of the path.
    variation: Vec<u32>,
    jitter: Jitter,
    burst: u64,
    /// By the codes of the two access classes: how often a packet of a message is lost on one of them.
    loss: [[u64; ACCESS_CLASSES.len()]; ACCESS_CLASSES.len()],
    faults: Faults,
    /// Share of pairs behind NATs that reach each other without a relay.
    punch_share: f64,
    partitions: Vec<Partition>,
}

/// A host that sends copies of one message at one moment.
#[derive(Debug)]
pub struct Sender<'a> {
    links: &'a Links,
    now: Time,
    from: Location,
    /// What a copy takes on its uplink, in microseconds.
    sending: u64,
}

/// Quantiles of the delay variation. The first bits of a message's fate choose one of them.
const QUANTILES: usize = 1 << QUANTILE_BITS;
const QUANTILE_BITS: u32 = 11;
/// The next bits decide on a burst, and as many more on a lost packet.
const CHANCE_BITS: u32 = 26;

/// Returns a probability as a bound for `CHANCE_BITS` even bits.
fn chance(probability: f64) -> u64 {
    (probability * (1u64 << CHANCE_BITS) as f64) as u64
}

/// Returns the quantiles of a lognormal share of the path, in 65,536ths.
fn variation(jitter: Jitter) -> Vec<u32> {
    let below = |z: f64| 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
    let density = |z: f64| libm::exp(-0.5 * z * z) / libm::sqrt(std::f64::consts::TAU);
    // Newton's method from the quantile before; the first lies left of all.
    let mut z = -3.6;
    (0..QUANTILES)
        .map(|location| {
            let wanted = (location as f64 + 0.5) / QUANTILES as f64;
            for _ in 0..4 {
                z -= (below(z) - wanted) / density(z);
            }
            (jitter.median_share * libm::exp(jitter.sigma * z) * 65_536.0) as u32
        })
        .collect()
}

impl Links {
    /// Creates the links of a scenario.
    #[must_use]
    pub fn new(regions: &Regions, network: &Network, partitions: Vec<Partition>) -> Self {
        let classes = ACCESS_CLASSES.len();
        let locations = regions.names.len() * classes;
        let one_way = |from: usize, to: usize| {
            let (source, target) = (from / classes, to / classes);
            let between = if source == target {
                WITHIN_REGION_US
            } else {
                u64::from(regions.rtt_ms[source][target]) * 500
            };
            let access = |location: usize| ACCESS_CLASSES[location % classes].one_way_us;
            u32::try_from(between + access(from) + access(to)).unwrap_or(u32::MAX)
        };
        let lost = |up: usize, down: usize| chance(ACCESS_CLASSES[up].loss + ACCESS_CLASSES[down].loss);
        Self {
            one_way_us: (0..locations * locations)
                .map(|pair| one_way(pair / locations, pair % locations))
                .collect(),
            locations,
            variation: variation(network.jitter),
            jitter: network.jitter,
            burst: chance(network.jitter.burst_probability),
            loss: std::array::from_fn(|up| std::array::from_fn(|down| lost(up, down))),
            faults: network.faults,
            punch_share: network.punch_share,
            partitions,
        }
    }

    /// Returns what becomes of a message of `bytes` that leaves now. `fate` is 64 even bits drawn
    /// for this message alone.
    #[must_use]
    pub fn transit(&self, now: Time, from: Location, to: Location, bytes: usize, fate: u64) -> Transit {
        self.sender(now, from, bytes).transit(to, self.path(from, to), fate)
    }

    /// Returns a host that sends copies of one message of `bytes` now.
    #[must_use]
    pub fn sender(&self, now: Time, from: Location, bytes: usize) -> Sender<'_> {
        Sender { links: self, now, from, sending: sending(from, bytes).0 }
    }

    /// Returns whether a partition keeps the two apart.
    #[must_use]
    pub fn is_cut(&self, now: Time, from: Location, to: Location) -> bool {
        let side = |partition: &Partition, location: Location| partition.regions >> location.region & 1;
        self.partitions.iter().any(|partition| {
            (partition.from <= now && now < partition.until) && side(partition, from) != side(partition, to)
        })
    }

    /// Returns when partitions begin and end.
    pub fn shifts(&self) -> impl Iterator<Item = Time> {
        self.partitions.iter().flat_map(|partition| [partition.from, partition.until])
    }

    /// Returns one way for an empty message when nothing varies.
    #[must_use]
    pub fn undisturbed(&self, from: Location, to: Location) -> Span {
        Span(u64::from(self.one_way_us[from.code() * self.locations + to.code()]))
    }

    /// Returns one way for an empty message of this pair: through a relay where both are behind
    /// NATs that no hole goes through.
    #[must_use]
    pub fn path(&self, from: Location, to: Location) -> Span {
        let direct = self.undisturbed(from, to);
        let (Some(one), Some(other)) = (from.relay, to.relay) else { return direct };
        // Both directions have one fate, and go over the relay of the host with the lower name.
        let (first, second) = if one.name <= other.name { (one, other) } else { (other, one) };
        let pair = fold(fold(Purpose::Punch as u64, u64::from(first.name)), u64::from(second.name));
        if unit(pair) < self.punch_share {
            return direct;
        }
        let via = Location { region: first.region, access: 0, relay: None };
        Span(self.undisturbed(from, via).0 + self.undisturbed(via, to).0)
    }

    /// Returns the time below which no message gets from one location to another, whatever it draws: directly, or over one of these
    /// regions' relays where that is shorter.
    #[must_use]
    pub fn least(&self, from: Location, to: Location, relays: &[u8]) -> Span {
        let over = relays.iter().map(|region| {
            let via = Location { region: *region, access: 0, relay: None };
            self.undisturbed(from, via).0 + self.undisturbed(via, to).0
        });
        Span(over.fold(self.undisturbed(from, to).0, u64::min))
    }
}

impl Sender<'_> {
    /// Returns what becomes of the copy with this fate on its way to a location that lies so far
    /// away.
    #[must_use]
    pub fn transit(&self, to: Location, path: Span, fate: u64) -> Transit {
        if self.links.is_cut(self.now, self.from, to) {
            return Transit::Cut;
        }
        let faults = &self.links.faults;
        if faults.drop > 0.0 && unit(fold(fate, 1)) < faults.drop {
            return Transit::Lost;
        }
        let delay = self.delay(to, path.0, fate);
        if faults.duplicate > 0.0 && unit(fold(fate, 2)) < faults.duplicate {
            return Transit::Twice(delay, Span(delay.0 * 2));
        }
        Transit::Arrives(delay)
    }

    fn delay(&self, to: Location, path: u64, fate: u64) -> Span {
        let links = self.links;
        let quantile = fate as usize % QUANTILES;
        let mut delay = path + self.sending + ((path * u64::from(links.variation[quantile])) >> 16);
        let bits = |skipped: u32| fate >> skipped & ((1 << CHANCE_BITS) - 1);
        if bits(QUANTILE_BITS) < links.burst {
            let jitter = &links.jitter;
            let range = jitter.burst_max_ms.saturating_sub(jitter.burst_min_ms) * 1_000 + 1;
            delay += jitter.burst_min_ms * 1_000 + (unit(fold(fate, 3)) * range as f64) as u64;
        }
        let lost = links.loss[usize::from(self.from.access)][usize::from(to.access)];
        if bits(QUANTILE_BITS + CHANCE_BITS) < lost {
            delay += path * 2 + ACK_DELAY_US;
        }
        Span(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Draws;
    use crate::network::location::Relay;

    fn links(partitions: Vec<Partition>, faults: Faults) -> Links {
        Links::new(&Regions::shipped(), &Network { faults, ..Network::default() }, partitions)
    }

    fn location(region: u8, access: u8) -> Location {
        Location { region, access, relay: None }
    }

    fn delay(links: &Links, from: Location, to: Location, bytes: usize, id: u64) -> u64 {
        match links.transit(Time(0), from, to, bytes, fate(id)) {
            Transit::Arrives(after) => after.0,
            other @ (Transit::Twice(..) | Transit::Lost | Transit::Cut) => panic!("{other:?}"),
        }
    }

    fn fate(id: u64) -> u64 {
        Draws::new(1).bits(Purpose::Transit, &[id])
    }

    #[test]
    fn the_quantiles_of_the_variation_are_those_of_its_law() {
        let quantiles = variation(Jitter::default());
        let share = |location: usize| f64::from(quantiles[location]) / 65_536.0;
        assert!((share(QUANTILES / 2) - 0.03).abs() < 3e-4, "the median: {}", share(QUANTILES / 2));
        // One standard deviation above: e^0.8 times the median, at 84.13 %.
        let upper = share((QUANTILES as f64 * 0.841_345) as usize);
        assert!((upper - 0.03 * libm::exp(0.8)).abs() < 1e-3, "{upper}");
        assert!(quantiles.is_sorted() && quantiles[0] > 0);
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
        // Virginia to Amsterdam: 84 ms there and back; cable to data centre; 20,000 bytes at 20 Mbit/s are 8 ms.
        let floor = 42_000 + 8_000 + 300 + 8_000;
        let mut delays: Vec<u64> =
            (0..1_000).map(|id| delay(&links, location(0, 2), location(7, 0), 20_000, id)).collect();
        delays.sort_unstable();
        assert!(delays[0] > floor, "{} under {floor}", delays[0]);
        assert!(delays[500] < floor * 11 / 10, "half of all are within a tenth: {}", delays[500]);
        assert!(delays[999] > floor * 13 / 10, "a burst or a lost packet shows: {}", delays[999]);
    }

    #[test]
    fn a_partition_cuts_one_side_from_the_other_while_it_lasts() {
        let partition = Partition { from: Time(10), until: Time(20), regions: 0b1 };
        let links = links(vec![partition], Faults::default());
        let (inside, outside) = (location(0, 0), location(1, 0));
        assert!(links.is_cut(Time(10), inside, outside) && links.is_cut(Time(19), outside, inside));
        assert!(!links.is_cut(Time(15), inside, inside) && !links.is_cut(Time(15), outside, outside));
        assert!(!links.is_cut(Time(9), inside, outside) && !links.is_cut(Time(20), inside, outside));
    }

    #[test]
    fn messages_vanish_or_double_only_where_asked_for() {
        let count = |faults, wanted: fn(Transit) -> bool| {
            let links = links(vec![], faults);
            let transit = |id| links.transit(Time(0), location(0, 0), location(1, 0), 100, fate(id));
            (0..2_000).filter(|id| wanted(transit(*id))).count()
        };
        let lost = |transit| transit == Transit::Lost;
        let twice = |transit| matches!(transit, Transit::Twice(..));
        assert_eq!(count(Faults::default(), lost) + count(Faults::default(), twice), 0);
        assert!((150..250).contains(&count(Faults { drop: 0.1, ..Faults::default() }, lost)));
        assert!((150..250).contains(&count(Faults { duplicate: 0.1, ..Faults::default() }, twice)));
    }

    #[test]
    fn only_pairs_behind_nats_go_through_a_relay_and_only_some_of_them() {
        let network = Network { punch_share: 0.7, ..Network::default() };
        let links = Links::new(&Regions::shipped(), &network, vec![]);
        // Virginia and Iowa, over a relay in Sydney.
        let behind = |region: u8, name: u32| Location {
            relay: Some(Relay { region: 19, name }),
            ..location(region, 0)
        };
        assert_eq!(
            links.path(behind(0, 1), location(1, 0)),
            links.undisturbed(location(0, 0), location(1, 0))
        );
        let direct = links.undisturbed(location(0, 0), location(1, 0));
        let relayed =
            (0..1_000).filter(|name| links.path(behind(0, *name), behind(1, 2_000)) > direct).count();
        assert!((250..350).contains(&relayed), "{relayed}");
        for name in 0..50 {
            let (one, other) = (behind(0, name), behind(1, 99));
            assert_eq!(links.path(one, other), links.path(other, one), "both directions share their fate");
        }
    }
}
