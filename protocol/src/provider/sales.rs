//! What became of a provider's bids, as far as it can know: how much better others were is what their clients say.

use crate::wire::message::{Release, ReleaseReason};
use crate::work::price::Price;

/// A margin counts as this at the most, in thousandths: one client's word cannot drown the others'.
const MARGIN_MAX: u32 = 10_000;

/// The calls that a provider heard for models that it offers, and what came of them, since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sales {
    /// Calls that invited it.
    pub heard: u64,
    /// Bids made.
    pub bids: u64,
    /// Bids on which a job was taken.
    pub won: u64,
    /// Of these, those paid above the bid.
    pub paid_above: u64,
    /// How far above, all together, in millionths of the bid.
    pub above_ppm: u64,
    /// Bids released because another scored lower.
    pub outscored: u64,
    /// By how much, all together, in thousandths of the winner's score each.
    pub outscored_by: u64,
    /// Bids released because another bidder was better known, or named by the client's user.
    pub passed_over: u64,
    /// Bids released because they cost more than the order allowed.
    pub over_budget: u64,
    /// Bids released because they came when the call was over.
    pub too_late: u64,
    /// Bids released for another reason.
    pub unfit: u64,
}

impl Sales {
    /// Notes that a job was taken on a bid at a price.
    pub(super) fn won(&mut self, bid: Price, paid: Price) {
        self.won = self.won.saturating_add(1);
        let above = u128::from(paid.0.saturating_sub(bid.0)).saturating_mul(1_000_000);
        let ppm = above.checked_div(u128::from(bid.0)).unwrap_or(0);
        self.paid_above = self.paid_above.saturating_add(u64::from(paid > bid));
        self.above_ppm = self.above_ppm.saturating_add(u64::try_from(ppm).unwrap_or(u64::MAX));
    }

    /// Notes that a bid was released.
    pub(super) fn lost(&mut self, release: &Release) {
        let count = match release.why {
            ReleaseReason::Outscored => {
                self.outscored_by =
                    self.outscored_by.saturating_add(u64::from(release.margin.min(MARGIN_MAX)));
                &mut self.outscored
            }
            ReleaseReason::Preferred => &mut self.passed_over,
            ReleaseReason::OverBudget => &mut self.over_budget,
            ReleaseReason::TooLate => &mut self.too_late,
            ReleaseReason::Unfit | ReleaseReason::Other(_) => &mut self.unfit,
        };
        *count = count.saturating_add(1);
    }

    /// Returns by how many thousandths of the winner's score bids were outscored, on average of those that were.
    #[must_use]
    pub fn mean_margin(&self) -> u64 {
        self.outscored_by.checked_div(self.outscored).unwrap_or(0)
    }

    /// Returns by how many millionths awards were paid above the bid, on average of those that were.
    #[must_use]
    pub fn mean_above_ppm(&self) -> u64 {
        self.above_ppm.checked_div(self.paid_above).unwrap_or(0)
    }
}
