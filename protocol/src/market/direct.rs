//! When an order calls those directly that are known to sell, and when it is better called out to all. (`MK-66`)

use crate::limits;

/// How direct calls for a model went of late: where they bring too few bids in time, orders go without them.
#[derive(Debug, Default)]
pub struct DirectCalls {
    /// Orders that go without after the next one that is in vain.
    rest: u16,
    /// Orders that still go without.
    spared: u16,
}

impl DirectCalls {
    /// Returns whether an order calls directly, and counts it.
    #[must_use]
    pub fn takes_turn(&mut self) -> bool {
        let is_spared = self.spared > 0;
        self.spared = self.spared.saturating_sub(1);
        !is_spared
    }

    /// Learns whether a direct call brought bids enough.
    pub fn learn(&mut self, was_enough: bool) {
        self.rest = if was_enough {
            0
        } else {
            self.rest.saturating_mul(2).clamp(limits::DIRECT_SPARED, limits::DIRECT_SPARED_MAX)
        };
        self.spared = self.rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (`MK-66`)
    #[test]
    fn what_is_in_vain_is_spared_ever_longer_and_what_suffices_never() {
        let mut direct = DirectCalls::default();
        let mut spared = |was_enough: bool| {
            assert!(direct.takes_turn());
            direct.learn(was_enough);
            let mut spared = 0;
            while direct.spared > 0 {
                assert!(!direct.takes_turn());
                spared += 1;
            }
            spared
        };
        assert_eq!([false, false, false, true, false].map(&mut spared), [4, 8, 16, 0, 4]);
        assert!((0..9).map(|_| spared(false)).all(|times| times <= limits::DIRECT_SPARED_MAX));
    }
}
