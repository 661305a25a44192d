//! Means with 95 % intervals by Student's t, of runs and of pairs of runs that share their seed.

use serde::{Deserialize, Serialize};

/// Two-sided 97.5 % points of Student's t for 1 to 30 degrees of freedom.
const T_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// The same for very many.
const NORMAL_975: f64 = 1.960;

/// A mean and how well it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Half of the width of the 95 % interval; `None` from a single value.
    pub half: Option<f64>,
}

impl Interval {
    /// Summarises independent values.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        if n == 0 {
            return Self::default();
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        if n < 2 {
            return Self { n, mean, half: None };
        }
        let square: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let error = libm::sqrt(square / (n - 1) as f64 / n as f64);
        Self { n, mean, half: Some(error * t_975(n - 1)) }
    }

    /// Returns the lower end; the mean where there is no interval.
    #[must_use]
    pub fn low(&self) -> f64 {
        self.mean - self.half.unwrap_or(0.0)
    }

    /// Returns the upper end; the mean where there is no interval.
    #[must_use]
    pub fn high(&self) -> f64 {
        self.mean + self.half.unwrap_or(0.0)
    }

    /// Returns whether the interval is known and does not hold zero: of a difference, that it is
    /// real.
    #[must_use]
    pub fn excludes_zero(&self) -> bool {
        self.half.is_some() && (self.low() > 0.0 || self.high() < 0.0)
    }
}

fn t_975(degrees: usize) -> f64 {
    match degrees {
        0 => f64::INFINITY,
        1..=30 => T_975[degrees - 1],
        // Cornish and Fisher's first terms, good to three digits from here on.
        more => NORMAL_975 + (NORMAL_975 * NORMAL_975 * NORMAL_975 + NORMAL_975) / (4.0 * more as f64),
    }
}

/// Returns how unevenly something is shared: 0 evenly, towards 1 all with one (Gini's coefficient).
#[must_use]
pub fn gini(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let sum: f64 = sorted.iter().sum();
    if sum <= 0.0 {
        return 0.0;
    }
    let n = sorted.len() as f64;
    let weighted: f64 = sorted.iter().enumerate().map(|(place, value)| (place + 1) as f64 * value).sum();
    2.0 * weighted / (n * sum) - (n + 1.0) / n
}

/// Returns the sum of squared shares, from 1/n to 1 (Herfindahl and Hirschman's index).
#[must_use]
pub fn hhi(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    if sum <= 0.0 { 0.0 } else { values.iter().map(|value| (value / sum) * (value / sum)).sum() }
}

/// Returns the largest difference between the shares of two samples that are not above any value
/// (Kolmogorov and Smirnov): 0 for equal distributions, 1 for two that do not overlap, or where one
/// is empty.
#[must_use]
pub fn ks(one: &[f64], other: &[f64]) -> f64 {
    if one.is_empty() || other.is_empty() {
        return 1.0;
    }
    let sorted = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    };
    let (one, other) = (sorted(one), sorted(other));
    let below =
        |sorted: &[f64], value: f64| sorted.partition_point(|one| *one <= value) as f64 / sorted.len() as f64;
    let values = one.iter().chain(&other);
    values.map(|value| (below(&one, *value) - below(&other, *value)).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_students() {
        let of = Interval::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        // Standard error 0.7071, t for 4 degrees 2.776.
        assert_eq!((of.n, of.mean), (5, 3.0));
        assert!((of.half.expect("five values") - 1.963).abs() < 1e-3, "{of:?}");
        assert!(of.excludes_zero());
        assert_eq!(Interval::of(&[7.0]), Interval { n: 1, mean: 7.0, half: None });
        assert!(!Interval::of(&[-1.0, 1.0]).excludes_zero());
        assert!((t_975(60) - 2.000).abs() < 2e-3);
    }

    #[test]
    fn two_samples_differ_by_their_largest_gap() {
        assert_eq!(ks(&[1.0, 2.0], &[2.0, 1.0]), 0.0);
        assert_eq!(ks(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(ks(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 9.0]), 0.25);
        assert_eq!(ks(&[], &[1.0]), 1.0);
    }

    #[test]
    fn concentration_runs_from_even_to_all_with_one() {
        assert!(gini(&[1.0; 4]).abs() < 1e-12);
        assert!((gini(&[0.0, 0.0, 0.0, 8.0]) - 0.75).abs() < 1e-12);
        assert!((hhi(&[1.0; 4]) - 0.25).abs() < 1e-12 && (hhi(&[0.0, 5.0]) - 1.0).abs() < 1e-12);
        assert_eq!((gini(&[]), hhi(&[0.0])), (0.0, 0.0));
    }
}
