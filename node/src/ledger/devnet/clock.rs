//! Where the devnet's time comes from.

use crate::ledger::clock;

/// Chain time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clock {
    /// Stands still but for [`Self::advance`], in seconds.
    Manual(u32),
    /// The machine's clock and a lead over it, in seconds.
    Host { ahead: u32 },
}

impl Clock {
    /// Returns the time in unix seconds.
    pub(super) fn now_s(self) -> u32 {
        match self {
            Self::Manual(now) => now,
            Self::Host { ahead } => clock::now_s().saturating_add(ahead),
        }
    }

    /// Moves the time forward.
    pub(super) fn advance(&mut self, seconds: u32) {
        match self {
            Self::Manual(now) => *now = now.saturating_add(seconds),
            Self::Host { ahead } => *ahead = ahead.saturating_add(seconds),
        }
    }
}
