//! How many of this provider's bids to customers are won of late. (`MK-21`)

use crate::limits;

/// The rate of winning while nothing is known: every second bid.
const WON_PPM_UNKNOWN: u64 = 500_000;
/// The least that is assumed: one bid in as many as a slot may have out.
const WON_PPM_MIN: u64 = 1_000_000 / limits::BIDS_PER_SLOT_MAX as u64;
/// A bid's weight in the rate: one part in so many.
const WON_MEMORY: u64 = 16;

/// The share of bids that are won: each weighs a sixteenth.
#[derive(Debug)]
pub(super) struct WinRate {
    /// Of a million; never below what [`limits::BIDS_PER_SLOT_MAX`] stands for.
    ppm: u64,
}

impl Default for WinRate {
    fn default() -> Self {
        Self { ppm: WON_PPM_UNKNOWN }
    }
}

impl WinRate {
    /// Returns how many of so many bids are likely to be won.
    pub(super) fn of(&self, bids: usize) -> u16 {
        let likely = (bids as u64).saturating_mul(self.ppm).checked_div(1_000_000).unwrap_or(0);
        u16::try_from(likely).unwrap_or(u16::MAX)
    }

    /// Learns one bid's outcome.
    pub(super) fn learn(&mut self, won: bool) {
        let target = if won { 1_000_000 } else { WON_PPM_MIN };
        let (low, high) = (self.ppm.min(target), self.ppm.max(target));
        let step = high.saturating_sub(low).div_ceil(WON_MEMORY);
        self.ppm = if won { self.ppm.saturating_add(step) } else { self.ppm.saturating_sub(step) };
    }
}
