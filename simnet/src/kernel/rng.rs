//! Randomness by counting: every draw is a hash of the seed, of what it is for and of who it is about.
//!
//! There is no stream to share, so a draw does not depend on what was drawn before it, on the order of events or on
//! the number of threads, and two runs that differ in one policy keep all their other draws. The functions are pure
//! integer and software floating point, the same on every machine; golden tests keep them from changing unseen.

use std::f64::consts::TAU;

/// What a draw is for. The numbers are part of every published result: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// The seeds of a machine's keys.
    Keys = 1,
    /// The seed of a machine's own entropy, a new one for each of its lives.
    Entropy = 2,
    /// A host's region.
    Region = 3,
    /// A host's access class.
    Access = 4,
    /// A host's GPU class.
    Gpu = 5,
    /// A provider's model.
    Model = 6,
    /// A provider's price.
    Price = 7,
    /// The links of a gossip mesh.
    Mesh = 8,
    /// The peers that a host without a mesh publishes to.
    Fanout = 9,
    /// The time between two orders.
    Arrival = 15,
    /// Who orders.
    Buyer = 16,
    /// Which model is ordered.
    Popularity = 17,
    /// Length of a prompt.
    PromptLength = 18,
    /// Length of an answer.
    AnswerLength = 19,
    /// Duration of one disk commit.
    Commit = 20,
    /// Who crashes.
    Crash = 21,
    /// Which models a client orders from.
    Favourites = 22,
    /// Who attacks.
    Attack = 23,
    /// What a random world is like.
    World = 24,
    /// Who loses power with a region.
    Outage = 25,
    /// Who joins late or leaves for good, and when.
    Join = 26,
    /// Who comes and goes, and when.
    Session = 27,
    /// Who is behind a NAT, and where its relay is.
    Nat = 28,
    /// Whether two hosts behind NATs reach each other without a relay.
    Punch = 29,
    /// At whom an eclipse is aimed.
    Victim = 30,
    /// What becomes of one message on its way: its delay, and whether it arrives. (10 to 14 were once its parts.)
    Transit = 40,
    /// A key that is looked up in the hash table.
    LookupKey = 60,
    /// Which of the hosts that fit are in a bucket of a routing table.
    Bucket = 61,
    /// Whether two hosts have a connection.
    Connected = 62,
}

/// All randomness of one run.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    seed: u64,
}

/// Returns the finalizer of SplitMix64 (Steele, Lea, Flood 2014; constants by Stafford).
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Folds one more number into a running 64-bit state: also how the world digests its events.
#[must_use]
pub const fn fold(state: u64, number: u64) -> u64 {
    mix(state.wrapping_add(GOLDEN) ^ mix(number.wrapping_add(GOLDEN)))
}

/// Returns 64 even bits as a number from 0 to just below 1.
#[must_use]
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

impl Draws {
    /// Creates the draws of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Returns 64 even bits.
    #[must_use]
    pub fn bits(&self, purpose: Purpose, about: &[u64]) -> u64 {
        about.iter().fold(fold(mix(self.seed), purpose as u64), |state, number| fold(state, *number))
    }

    /// Returns a number from 0 to just below 1.
    #[must_use]
    pub fn unit(&self, purpose: Purpose, about: &[u64]) -> f64 {
        unit(self.bits(purpose, about))
    }

    /// Returns a whole number below `n`; 0 for `n` of 0.
    #[must_use]
    pub fn below(&self, n: u64, purpose: Purpose, about: &[u64]) -> u64 {
        ((u128::from(self.bits(purpose, about)) * u128::from(n)) >> 64) as u64
    }

    /// Returns whether an event of this probability happens.
    #[must_use]
    pub fn happens(&self, probability: f64, purpose: Purpose, about: &[u64]) -> bool {
        probability > 0.0 && self.unit(purpose, about) < probability
    }

    /// Returns an exponential waiting time.
    #[must_use]
    pub fn exponential(&self, mean: f64, purpose: Purpose, about: &[u64]) -> f64 {
        -mean * libm::log(1.0 - self.unit(purpose, about))
    }

    /// Returns a standard normal number (Box and Muller).
    #[must_use]
    pub fn normal(&self, purpose: Purpose, about: &[u64]) -> f64 {
        let first = self.bits(purpose, about);
        let unit = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        libm::sqrt(-2.0 * libm::log(unit(first))) * libm::cos(TAU * unit(mix(first.wrapping_add(GOLDEN))))
    }

    /// Returns a lognormal number with this median.
    #[must_use]
    pub fn lognormal(&self, median: f64, sigma: f64, purpose: Purpose, about: &[u64]) -> f64 {
        median * libm::exp(sigma * self.normal(purpose, about))
    }

    /// Returns 32 bytes, such as the seed of a key in this virtual world. Worth nothing as a secret.
    #[must_use]
    pub fn seed32(&self, purpose: Purpose, about: &[u64]) -> [u8; 32] {
        let first = self.bits(purpose, about);
        let mut seed = [0; 32];
        for (word, chunk) in seed.chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&fold(first, word as u64).to_le_bytes());
        }
        seed
    }

    /// Returns the place of a draw among weights; the last place where the weights sum to nothing.
    #[must_use]
    pub fn weighted(
        &self,
        weights: impl Iterator<Item = f64> + Clone,
        purpose: Purpose,
        about: &[u64],
    ) -> usize {
        let total: f64 = weights.clone().sum();
        let mut rest = self.unit(purpose, about) * total;
        let mut last = 0;
        for (place, weight) in weights.enumerate() {
            last = place;
            if rest < weight {
                return place;
            }
            rest -= weight;
        }
        last
    }
}

/// Zipf's law over `n` things: the k-th most popular has weight `k^-exponent`.
#[derive(Debug, Clone)]
pub struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// Creates the law over `n` things.
    #[must_use]
    pub fn new(n: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=n)
            .map(|rank| {
                sum += libm::pow(rank as f64, -exponent);
                sum
            })
            .collect();
        Self { cumulative }
    }

    /// Returns the thing at a draw of [`Draws::unit`], 0 the most popular.
    #[must_use]
    pub fn pick(&self, unit: f64) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        self.cumulative
            .partition_point(|sum| *sum <= unit * total)
            .min(self.cumulative.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If one of these changes, every published seed means something else: add a purpose instead.
    #[test]
    fn golden_draws_never_change() {
        let draws = Draws::new(1);
        assert_eq!(draws.bits(Purpose::Region, &[7]), GOLDEN_BITS);
        assert_eq!(draws.below(1_000, Purpose::Buyer, &[3]), GOLDEN_BELOW);
        assert_eq!(draws.exponential(10.0, Purpose::Arrival, &[5]).to_bits(), GOLDEN_EXPONENTIAL);
        assert_eq!(draws.normal(Purpose::Price, &[5]).to_bits(), GOLDEN_NORMAL);
        assert_eq!(draws.lognormal(100.0, 0.5, Purpose::PromptLength, &[2]).to_bits(), GOLDEN_LOGNORMAL);
        assert_eq!(draws.seed32(Purpose::Keys, &[9])[..8], GOLDEN_SEED);
        assert_eq!(Zipf::new(20, 0.9).pick(0.5), 3);
    }

    const GOLDEN_BITS: u64 = 12_010_337_017_772_731_947;
    const GOLDEN_BELOW: u64 = 77;
    const GOLDEN_EXPONENTIAL: u64 = 4_616_711_204_470_839_819;
    const GOLDEN_NORMAL: u64 = 13_831_542_634_375_903_741;
    const GOLDEN_LOGNORMAL: u64 = 4_634_069_473_926_568_203;
    const GOLDEN_SEED: [u8; 8] = [98, 250, 134, 200, 240, 72, 6, 47];

    #[test]
    fn a_draw_depends_on_seed_purpose_and_subject_and_on_nothing_else() {
        let draws = Draws::new(1);
        let one = draws.bits(Purpose::Region, &[7, 1]);
        assert_eq!(one, Draws::new(1).bits(Purpose::Region, &[7, 1]));
        for other in [
            Draws::new(2).bits(Purpose::Region, &[7, 1]),
            draws.bits(Purpose::Access, &[7, 1]),
            draws.bits(Purpose::Region, &[1, 7]),
            draws.bits(Purpose::Region, &[7]),
            draws.bits(Purpose::Region, &[7, 1, 0]),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn draws_have_the_moments_of_their_laws() {
        let draws = Draws::new(3);
        let mean = |draw: &dyn Fn(u64) -> f64| (0..40_000).map(draw).sum::<f64>() / 40_000.0;
        let exponential = mean(&|i| draws.exponential(2.0, Purpose::Arrival, &[i]));
        assert!((exponential - 2.0).abs() < 0.05, "{exponential}");
        let normal = mean(&|i| draws.normal(Purpose::Transit, &[i]));
        let square = mean(&|i| draws.normal(Purpose::Transit, &[i]).powi(2));
        assert!(normal.abs() < 0.02 && (square - 1.0).abs() < 0.03, "{normal} {square}");
        let heavy = mean(&|i| draws.weighted([1.0, 3.0].into_iter(), Purpose::Gpu, &[i]) as f64);
        assert!((heavy - 0.75).abs() < 0.01, "{heavy}");
        let zipf = Zipf::new(10, 1.0);
        let first = mean(&|i| f64::from(u8::from(zipf.pick(draws.unit(Purpose::Popularity, &[i])) == 0)));
        assert!((first - 0.341).abs() < 0.01, "{first}");
        assert!((0..10_000).all(|i| draws.below(3, Purpose::Buyer, &[i]) < 3));
    }
}
