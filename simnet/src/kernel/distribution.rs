//! Probability distributions of lengths of time, all with mean 1, and the day's wave that stretches them.

use std::f64::consts::TAU;

use crate::kernel::rng::{Draws, Purpose};

/// A distribution of positive numbers with mean 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Without memory.
    Exponential,
    /// Gamma with this coefficient of variation: above 1 it comes in bursts, below 1 it is regular.
    Gamma {
        /// Standard deviation over mean.
        cv: f64,
    },
    /// Weibull; a shape below 1 has many short and a few very long values.
    Weibull {
        /// Its shape.
        shape: f64,
    },
    /// Pareto; the smaller the shape, the heavier the tail. A mean exists above 1 only.
    Pareto {
        /// Its shape.
        shape: f64,
    },
}

/// Candidates for one gamma draw: each is taken with a probability of 95 % and more.
const GAMMA_TRIES_MAX: u64 = 64;

impl Distribution {
    /// Returns a value for a subject. `about` must not be used with `purpose` for anything else.
    #[must_use]
    pub fn draw(self, draws: &Draws, purpose: Purpose, about: &[u64]) -> f64 {
        match self {
            Self::Exponential => draws.exponential(1.0, purpose, about),
            Self::Gamma { cv } => {
                let shape = 1.0 / (cv * cv);
                gamma(shape, draws, purpose, about) / shape
            }
            Self::Weibull { shape } => {
                let scale = 1.0 / libm::tgamma(1.0 + 1.0 / shape);
                scale * libm::pow(draws.exponential(1.0, purpose, about), 1.0 / shape)
            }
            Self::Pareto { shape } => {
                let least = (shape - 1.0) / shape;
                least * libm::exp(draws.exponential(1.0, purpose, about) / shape)
            }
        }
    }
}

/// Returns a gamma number of scale 1 (Marsaglia and Tsang 2000; below shape 1 with their power of a
/// uniform number).
fn gamma(shape: f64, draws: &Draws, purpose: Purpose, about: &[u64]) -> f64 {
    let name = |number: u64| [about, &[number]].concat();
    if shape < 1.0 {
        let unit = 1.0 - draws.unit(purpose, &name(u64::MAX));
        return gamma(shape + 1.0, draws, purpose, about) * libm::pow(unit, 1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    for attempt in 0..GAMMA_TRIES_MAX {
        let x = draws.normal(purpose, &name(attempt * 2));
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - draws.unit(purpose, &name(attempt * 2 + 1));
        if v > 0.0 && libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
    d
}

/// A rate that rises and falls once a day around its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wave {
    /// By which share of the mean the rate rises and falls: 0 is even, below 1.
    pub swing: f64,
    /// Length of a day, in seconds.
    pub day_s: f64,
    /// When the rate is highest, in seconds.
    pub peak_s: f64,
}

impl Wave {
    /// Returns how many mean waits have gone by at `at_s`, counted from time zero: the integral of
    /// the rate.
    #[must_use]
    pub fn elapsed(&self, at_s: f64) -> f64 {
        let phase = |at_s: f64| libm::sin(TAU * (at_s - self.peak_s) / self.day_s);
        at_s + self.swing * self.day_s / TAU * (phase(at_s) - phase(0.0))
    }

    /// Returns the rate at `at_s` over its mean.
    #[must_use]
    pub fn rate(&self, at_s: f64) -> f64 {
        1.0 + self.swing * libm::cos(TAU * (at_s - self.peak_s) / self.day_s)
    }

    /// Returns when so many seconds of mean rate have gone by after `from_s`: `from_s + wait_s`
    /// where nothing swings.
    #[must_use]
    pub fn after(&self, from_s: f64, wait_s: f64) -> f64 {
        if self.swing == 0.0 {
            return from_s + wait_s;
        }
        let goal = self.elapsed(from_s) + wait_s;
        // The rate stays between 1 - swing and 1 + swing of its mean, so the answer does as well.
        let (mut low, mut high) =
            (from_s + wait_s / (1.0 + self.swing), from_s + wait_s / (1.0 - self.swing));
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if self.elapsed(middle) < goal { low = middle } else { high = middle }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns mean and coefficient of variation of many draws.
    fn moments(law: Distribution) -> (f64, f64) {
        let draws = Draws::new(3);
        let all: Vec<f64> = (0..40_000).map(|i| law.draw(&draws, Purpose::Arrival, &[i])).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let square = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / all.len() as f64;
        (mean, libm::sqrt(square) / mean)
    }

    #[test]
    fn every_law_has_mean_one_and_its_own_spread() {
        // Weibull's variation at shape 0.5 is √5, Pareto's at shape 3 is 1/√3.
        for (law, cv) in [
            (Distribution::Exponential, 1.0),
            (Distribution::Gamma { cv: 3.0 }, 3.0),
            (Distribution::Gamma { cv: 0.5 }, 0.5),
            (Distribution::Weibull { shape: 0.5 }, 2.236),
            (Distribution::Pareto { shape: 3.0 }, 0.577),
        ] {
            let (mean, spread) = moments(law);
            assert!((mean - 1.0).abs() < 0.05, "{law:?}: mean {mean}");
            assert!((spread / cv - 1.0).abs() < 0.12, "{law:?}: variation {spread}");
        }
    }

    #[test]
    fn golden_draws_never_change() {
        let draws = Draws::new(1);
        let of = |law: Distribution| law.draw(&draws, Purpose::Arrival, &[5]).to_bits();
        let laws = [
            Distribution::Gamma { cv: 2.0 },
            Distribution::Weibull { shape: 0.6 },
            Distribution::Pareto { shape: 1.5 },
        ]
        .map(of);
        assert_eq!(laws, GOLDEN);
    }

    const GOLDEN: [u64; 3] =
        [4_592_828_259_227_082_369, 4_595_410_010_006_756_303, 4_601_757_423_285_146_802];

    #[test]
    fn a_wave_moves_waits_from_its_trough_to_its_peak() {
        let wave = Wave { swing: 0.8, day_s: 1_000.0, peak_s: 250.0 };
        assert!((wave.rate(250.0) - 1.8).abs() < 1e-9 && (wave.rate(750.0) - 0.2).abs() < 1e-9);
        let mut at_s = 0.0;
        let mut half = [0u32; 2];
        while at_s < 1_000.0 {
            at_s = wave.after(at_s, 1.0);
            half[usize::from(at_s > 500.0)] += 1;
        }
        assert_eq!(half[0] + half[1], 1_000, "a whole day has its mean number of waits");
        assert!((750..760).contains(&half[0]), "{half:?}");
        let even = Wave { swing: 0.0, ..wave };
        assert_eq!(even.after(3.0, 4.5), 7.5);
    }
}
