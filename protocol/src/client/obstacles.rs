//! What stands in the way of an order where no bid can be taken: what does for the most, and of that what is the nearest to being put
//! right. One absurd bid says nothing of the others. (`MK-15`)

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Nano;
use crate::channel::fault::Remedy;
use crate::ident::Prefix;
use crate::io::Failure;
use crate::market::auction::BidReport;
use crate::market::score::Fate;
use crate::work::order::Tier;

use super::refusals::{self, Statement};

/// Why bids cannot be taken that are alike in that.
#[derive(Default)]
struct Obstacle {
    /// Where these bids came from.
    prefixes: BTreeSet<Prefix>,
    /// The nearest of them, by how far it is and what it could cost.
    nearest: Option<((u8, u64), Nano, Failure)>,
}

/// Returns what stands in the way of an order of this tier by bids that cannot be taken, or by those who did not bid and said why if
/// these are more; `least` is what a bid of a ceiling needs for the shortest answer that would do. Nothing where the bids were set aside for their providers alone.
pub(super) fn commonest(
    reports: &[BidReport],
    declines: &[Statement],
    tier: Tier,
    least: impl Fn(Nano) -> Nano,
) -> Option<Failure> {
    let mut obstacles: BTreeMap<u8, Obstacle> = BTreeMap::new();
    // Who asks more than it may could be paid, else it would be set aside for that: where its price alone stands in the way, no wallet
    // does. (`MK-52`)
    let is_price = reports.iter().any(|report| matches!(report.fate, Fate::OverCeiling { .. }));
    for report in reports.iter().filter(|report| !(is_price && is_of_wallet(report.fate))) {
        let Some((kind, distance, why)) = obstacle(report, tier, &least) else { continue };
        let obstacle = obstacles.entry(kind).or_default();
        obstacle.prefixes.insert(report.prefix);
        let this = (distance, report.cost_max, why);
        let is_nearer = |old: &((u8, u64), Nano, Failure)| (this.0, this.1) < (old.0, old.1);
        if obstacle.nearest.as_ref().is_none_or(is_nearer) {
            obstacle.nearest = Some(this);
        }
    }
    let of_bids = obstacles.into_values().filter_map(|Obstacle { prefixes, nearest }| {
        nearest.map(|(_, cost_max, why)| (prefixes.len(), cost_max, why))
    });
    // Of equally common ones that of the cheapest bid.
    let (bids, _, why) = of_bids.min_by_key(|(bids, cost_max, _)| (std::cmp::Reverse(*bids), *cost_max))?;
    let declined = refusals::commonest(declines).filter(|(_, decliners)| *decliners > bids);
    Some(declined.map_or(why, |(why, _)| Failure::Refused(why)))
}

fn is_of_wallet(fate: Fate) -> bool {
    matches!(fate, Fate::Unpayable { why, .. } if why.remedy() == Remedy::AnotherChannel)
}

/// Returns of which kind it is what keeps a bid from being taken, how far it is from that among its like, and what it is.
fn obstacle(
    report: &BidReport,
    tier: Tier,
    least: impl Fn(Nano) -> Nano,
) -> Option<(u8, (u8, u64), Failure)> {
    let BidReport { price, cost_max, .. } = *report;
    match report.fate {
        Fate::OverBudget => {
            let lowest = least(cost_max);
            Some((0, (0, lowest.0), Failure::OverBudget { lowest }))
        }
        Fate::OverCeiling { most } => Some((1, (0, price.0), Failure::OverCeiling { lowest: price, most })),
        Fate::WeakerTier => Some((2, (0, 0), Failure::NoTier(tier))),
        Fate::Unpayable { why, .. } => {
            let why = why.needing_at_most(least(cost_max));
            Some((3, why.distance(), Failure::Payment(why)))
        }
        Fate::Won { .. } | Fate::Outscored { .. } | Fate::FailedBefore | Fate::NotWanted => None,
    }
}
