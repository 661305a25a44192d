//! Where the devnet's time comes from.

use std::time::{SystemTime, UNIX_EPOCH};

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
            Self::Host { ahead } => {
                let host = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u32::try_from(host.as_secs()).unwrap_or(u32::MAX).saturating_add(ahead)
            }
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
