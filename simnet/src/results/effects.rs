//! What an attack does: a run beside its honest twin, with the same seed and the same hosts, which keep to the protocol.
//!
//! An attacker that earns much may earn less than it would have earned honestly. So its gain is the difference of the two
//! runs, and so is what others lose by it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::measures::Interval;
use crate::results::metrics::{self, Good, Metric};
use crate::scenario::MarkSpec;

const fn effect(key: &'static str, label: &'static str, unit: &'static str, good: Good) -> Metric {
    Metric { key, label, unit, good }
}

/// All effects, in the order of reports.
pub const EFFECTS: [Metric; 9] = [
    effect("gain", "attackers' gain over honesty", "10⁻³ coins", Good::Low),
    effect("gain_share", "attackers' gain over honesty, of an order's mean bill", "%", Good::Low),
    effect("others_profit_change", "change of honest providers' profit", "10⁻³ coins", Good::High),
    effect("buyer_price_over_twin", "honest buyers' price over the twin's", "×", Good::Low),
    effect("buyer_cost_over_twin", "honest buyers' price and waiting over the twin's", "×", Good::Low),
    effect("answered_change", "change of honest clients' orders answered", "points", Good::High),
    effect("failovers_change", "change of failovers for 100 orders", "", Good::Low),
    effect(
        "share_change",
        "change of the share of honest clients' answers that attackers give",
        "points",
        Good::Neither,
    ),
    effect("false_change", "change of answers that are not what was ordered", "points", Good::Low),
];

/// Returns the effect with this key.
#[must_use]
pub fn find(key: &str) -> Option<&'static Metric> {
    EFFECTS.iter().find(|effect| effect.key == key)
}

/// Returns what a run says against its honest twin; an effect that has no value is absent.
#[must_use]
pub fn of(run: &BTreeMap<String, f64>, twin: &BTreeMap<String, f64>) -> BTreeMap<&'static str, f64> {
    let both = |key: &str| Some((*run.get(key)?, *twin.get(key)?));
    let change = |key: &str| both(key).map(|(with, without)| with - without);
    let over =
        |key: &str| both(key).filter(|(_, without)| *without > 0.0).map(|(with, without)| with / without);
    let gain = change("attack_gain");
    let billed = twin.get("billed").copied().filter(|billed| *billed > 0.0);
    let all = [
        ("gain", gain),
        ("gain_share", gain.zip(billed).map(|(gain, billed)| gain / billed * 1e2)),
        ("others_profit_change", change("others_profit")),
        ("buyer_price_over_twin", over("buyer_price")),
        ("buyer_cost_over_twin", over("buyer_cost")),
        ("answered_change", change("buyer_success")),
        ("failovers_change", change("failovers_per_100")),
        ("share_change", change("attackers_share")),
        ("false_change", change("false_answers")),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key, value.filter(|value| value.is_finite())?))).collect()
}

/// What seeds can say about a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkOutcome {
    /// The whole interval is within the bound.
    Kept,
    /// The whole interval is beyond the bound.
    Broken,
    /// The bound lies within the interval, or a single seed gave none: more seeds are needed.
    Open,
}

impl fmt::Display for MarkOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Broken => "NOT KEPT",
            Self::Open => "open, needs more seeds",
        })
    }
}

/// What came out of one arm, against a mark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarkResult {
    /// The mark.
    pub mark: MarkSpec,
    /// The arm.
    pub arm: String,
    /// What came out.
    pub value: Interval,
    /// Whether the mark is kept.
    pub outcome: MarkOutcome,
}

impl fmt::Display for MarkResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = find(&self.mark.key).or(metrics::find(&self.mark.key)).map_or("", |metric| metric.label);
        let half = self.value.half.map_or_else(String::new, |half| format!(" ± {half:.3}"));
        write!(f, "{}: {label} {:.3}{half}", self.arm, self.value.mean)?;
        if let Some(most) = self.mark.at_most {
            write!(f, ", at most {most}")?;
        }
        if let Some(least) = self.mark.at_least {
            write!(f, ", at least {least}")?;
        }
        write!(f, ": {}", self.outcome)
    }
}

impl MarkSpec {
    /// Returns whether the mark binds an arm.
    #[must_use]
    pub fn binds(&self, arm: &str) -> bool {
        self.arms.is_empty() || self.arms.iter().any(|name| arm.starts_with(name.as_str()))
    }

    /// Returns what a value says about the mark.
    #[must_use]
    pub fn outcome(&self, value: &Interval) -> MarkOutcome {
        let (low, high) = (value.low(), value.high());
        let is_beyond =
            self.at_most.is_some_and(|most| low > most) || self.at_least.is_some_and(|least| high < least);
        let is_within =
            self.at_most.is_none_or(|most| high <= most) && self.at_least.is_none_or(|least| low >= least);
        match (value.half, is_beyond, is_within) {
            (Some(_), true, _) => MarkOutcome::Broken,
            (Some(_), _, true) => MarkOutcome::Kept,
            _ => MarkOutcome::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(values: &[(&str, f64)]) -> BTreeMap<String, f64> {
        values.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
    }

    /// A cartel that gains twice what it spends, and less than it would have gained honestly, loses by what it does.
    #[test]
    fn a_gain_is_what_an_attack_adds_to_honesty() {
        let with = metrics(&[("attack_gain", 0.68), ("buyer_price", 1.2), ("buyer_success", 98.0)]);
        let honest =
            [("attack_gain", 2.33), ("buyer_price", 1.0), ("buyer_success", 100.0), ("billed", 330.0)];
        let effects = of(&with, &metrics(&honest));
        assert!((effects["gain"] + 1.65).abs() < 1e-9 && (effects["gain_share"] + 0.5).abs() < 1e-9);
        assert!((effects["buyer_price_over_twin"] - 1.2).abs() < 1e-9);
        assert!((effects["answered_change"] + 2.0).abs() < 1e-9);
        assert!(!effects.contains_key("buyer_cost_over_twin"), "what was not measured is absent");
    }

    /// The mean alone says nothing: an interval on both sides of the bound leaves the question open. (`SI-10`)
    #[test]
    fn a_mark_is_kept_or_broken_by_the_whole_interval() {
        let mark = MarkSpec {
            key: "gain_share".into(),
            at_most: Some(3.0),
            at_least: None,
            arms: vec!["two".into()],
        };
        let says =
            |mark: &MarkSpec, mean: f64, half: f64| mark.outcome(&Interval { n: 8, mean, half: Some(half) });
        assert_eq!(says(&mark, 2.9, 0.1), MarkOutcome::Kept);
        assert_eq!(says(&mark, 2.9, 1.1), MarkOutcome::Open);
        assert_eq!(says(&mark, 4.0, 1.1), MarkOutcome::Open);
        assert_eq!(says(&mark, 4.0, 0.9), MarkOutcome::Broken);
        assert_eq!(mark.outcome(&Interval { n: 1, mean: 1.0, half: None }), MarkOutcome::Open, "one seed");
        assert!(mark.binds("two sellers, 1.2") && !mark.binds("five sellers"));
        let least = MarkSpec { at_most: None, at_least: Some(99.0), ..mark };
        assert_eq!(says(&least, 98.5, 0.4), MarkOutcome::Broken);
        assert_eq!(says(&least, 98.5, 0.6), MarkOutcome::Open);
        assert_eq!(says(&least, 99.5, 0.4), MarkOutcome::Kept);
    }
}
